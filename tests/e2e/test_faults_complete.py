# SPDX-License-Identifier: Apache-2.0
"""Is there a system call of the daemon's that no table of faults has? A life on each rung is traced, from the first call
to the last, and what was called is a site of a table, or has its reason here why not."""

import re
import shutil
import tempfile
import unittest

import host
import test_faults
import test_faults_lower
import test_faults_members
import test_faults_start

TABLES = (test_faults.BEST, test_faults.PINNED, test_faults.STARTING, test_faults.STARTING_BY_RTNETLINK,
          test_faults_members.MEMBER, test_faults_lower.VISITS, test_faults_lower.HEARING, test_faults_lower.MOUNTINFO, test_faults_lower.OPENING,
          test_faults_lower.FANOTIFY, test_faults_lower.WAITING, test_faults_start.AFTER_A_CRASH,
          test_faults_start.FROM_NOTHING, test_faults_start.OTHER_LAYOUT, test_faults_start.ENDING)
ELSEWHERE = {
    "epoll_ctl": "test_faults_start.Epoll",
    "fcntl": "test_faults_start.Clients",
    "bpf@0:13": "test_faults.Adopting",  # BPF_PROG_GET_FD_BY_ID
}

CANNOT = "cannot fail as it is called"
MEMORY = "memory: what fails is an allocation, and tests of units have those"
LOADER = "the loader, or a library before main()"
LIBRARY = "a library that goes on without"
WAKING = "neither waits nor fails: of ours, never full, never blocking"
EXEMPT = {
    "close": "the descriptor is free, whatever it says",
    "munmap": MEMORY, "madvise": MEMORY, "brk": MEMORY, "mprotect": MEMORY, "mremap": MEMORY,
    "getpid": CANNOT, "gettid": CANNOT, "geteuid": CANNOT, "uname": CANNOT, "sched_yield": CANNOT, "exit": CANNOT,
    "exit_group": CANNOT, "rt_sigaction": CANNOT, "rt_sigprocmask": CANNOT, "rt_sigreturn": CANNOT,
    "set_robust_list": CANNOT, "rseq": CANNOT, "set_tid_address": CANNOT, "arch_prctl": CANNOT,
    "sched_getaffinity": CANNOT, "prlimit64": CANNOT, "restart_syscall": CANNOT, "ioctl:0x5421": CANNOT,  # FIONBIO
    "clock_nanosleep": "a pause, which may be shorter",
    "execve": "the one that starts it",
    "readlink": f"jemalloc's: {LIBRARY}",
    "open": f"jemalloc's: {LIBRARY}",
    "getrandom": f"the allocator's: {LIBRARY}",
    "lseek": "libbpf's, of a file that it reads then",
    "pread64~/lib": LOADER, "read~.so": LOADER,
    "read~/overcommit_memory": f"jemalloc's: {LIBRARY}",
    "read~/transparent_hugepage": f"jemalloc's: {LIBRARY}",
    "read~/cpu/online": f"libc's: {LIBRARY}",
    "read~/dev/urandom": f"jansson's: {LIBRARY}",
    "read~eventfd": WAKING, "write~eventfd": WAKING,
    "read~pipe:": WAKING, "write~pipe:": WAKING,  # libuv's, for signals
    "write~/stderr": "the log: there is nobody else to tell",
}

# A call as strace prints it: with constants as numbers, and what a descriptor leads to.
CALL = re.compile(r"^\d+ +(\w+)\((?: *<unfinished|([^<,)]*)(?:<([^>]*)>)?(?:, (\w+))?)")
NUMBERED = {"syscall_0x1c9": "457", "syscall_0x1ca": "458", "statmount": "457", "listmount": "458"}


def site_of(line):
    """As the tables name it: (the site, what its descriptor leads to), or None."""
    match = CALL.match(line)
    if not match:
        return None
    name, first, link, second = match.groups()
    name = NUMBERED.get(name, name)
    if name == "bpf" and first:
        return f"bpf@0:{int(first, 0)}", ""
    if name == "ioctl" and second:
        return f"ioctl:{int(second, 0):#x}", ""
    return name, link or ""


def calls(trace):
    """What was called from the daemon's own beginning on: whoever starts it ends in an execve."""
    made = set()
    for line in trace:
        site = site_of(line)
        if site and site[0] == "execve":
            made = set()
        if site:
            made.add(site)
    return made


def is_in(sites, call):
    """By its whole name, or by its name and what its descriptor leads to; where a table tells calls of one name apart by
    something else, by the name."""
    name, link = call
    for site in sites:
        whole, _, text = site.partition("~")
        if whole == name and (not text or text in link):
            return True
        if name not in ("bpf", "ioctl") and re.split("[@:!]", whole)[0] == name and not text:
            return True
    return False


@unittest.skipUnless(shutil.which("strace"), "no strace")
class Life(test_faults.Churn):
    """One rung."""

    options = {}

    def test_each_call_is_in_a_table(self):
        sites = {row if isinstance(row, str) else row[0] for table in TABLES for row in table}
        with tempfile.NamedTemporaryFile("r", prefix="nns-strace-", errors="replace") as trace:
            self.live(("strace", "-f", "-qq", "-y", "-X", "raw", "-s", "0", "-o", trace.name))
            made = calls(trace)
        self.assertGreater(len(made), 80, "all was traced")
        left = {call for call in made if not is_in((*sites, *ELSEWHERE, *EXEMPT), call)}
        self.assertEqual(left, set(), "each is a site of a table of faults, or needs no table")

    def live(self, tracer):
        """Start, churn, end. strace leaves no room for an injector."""
        self.running = self.serve(dict(self.settings), under=tracer, queue=test_faults.QUEUE, check_leaks=False,
                                  **self.options)
        self.passing, self.gone = [], set()
        for _ in range(3):
            self.stir_everywhere()
            self.ask(served=True)
        for ns in (*self.passing, *self.ends):
            host.HostTest.assertCovered(self, ns)
        gone = {ns.cookie for ns in self.passing}
        for ns in self.passing:
            ns.kill()
            if ns.name:
                host.unmount(ns.path)
        host.until(lambda: not gone & self.running.cookies(), "the dead are forgotten")
        self.end()


class ById(Life):
    """What is best where this is run."""


class ByMember(Life):
    settings = {**test_faults.Churn.settings, "handle.mode": "member", "lonely.timeout": "1s"}


class Pinned(Life):
    settings = {**test_faults.Churn.settings, "lonely.timeout": "1s"}
    options = {"pinned": True, "deaf": True}


class Listing(Life):
    """Nobody tells of devices, and mountinfo of mounts."""

    settings = {**test_faults.Churn.settings, "events.interval": "400ms"}
    options = {"deaf": "rtnetlink", "denied": ("fanotify_init=EPERM",)}


del Life
if __name__ == "__main__":
    host.main()
