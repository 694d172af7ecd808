# SPDX-License-Identifier: Apache-2.0
"""A kernel that refuses now and then: every system call that src/io makes fails with every errno it can have, while
namespaces and devices come and go under traffic. What is covered stays so and is not forgotten (I6, I9), what failed
is told by a counter, and once the faults are over everything that came is covered (I10).

Each call of a table fails with at most two errnos that stay, a denial and one other, in turn from row to row, and with
all that come and go (ERRNO/N). NNS_LONG=1: with all of them; and every n-th call, two at once, by chance."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
import typing
import unittest

import host
import rtnl
import test_restart

LONG = os.environ.get("NNS_LONG") == "1"
# A thread that cannot come back to its own namespace stops the daemon: a test of its own, and no other's business.
HOME = f"setns~net:[{host.netns_inum('self')}]"
# As where the kernel denies namespaces to whoever is not in them.
OTHERS = f"open_by_handle_at!{host.own_namespace().cookie}"
# With that no event of a task is enough to let its namespace in: its pid is opened, by whoever is told of it.
BY_PID = f"{OTHERS}=EMFILE"
LISTS = "bpf@0:10=EPERM"  # BPF_PROG_TEST_RUN: pids are resolved one by one then, and devices listed over rtnetlink
# Calls that a daemon may make because the ones before failed; a loop without a pause makes ten times as many.
CALLS_A_SECOND, CALLS_AT_ONCE = 3000, 500
DENIALS = {"EPERM", "EACCES"}
QUEUE = "/nns-e2e-faults"  # one for all daemons of a test: what queues may take together is bounded


class Call(typing.NamedTuple):
    """A system call, how it can fail, and how the daemon tells that it did."""

    site: str  # in the words of tests/fallback/fault.c
    faults: str
    counters: str = ""  # of which at least one moves; none: nothing is lost by the failure
    served: bool = True  # clients are answered meanwhile
    paced: bool = True
    beside: str = ""  # what has to fail for the call to be made at all


# The best rung. EINTR and a lost answer (EAGAIN) come and go; were each call interrupted, nobody could go on.
BEST = [
    # io/proc.c: the highest pid there can be; not knowing means to take the kernel's own bound
    Call("pread64~pid_max", "EPERM ENOMEM EINTR/2"),
    # io/netns.c: entering, opening, looking. A pid that could not be opened is found again by an audit.
    Call("setns", "EPERM ENOMEM", "visits.failed"),
    Call("open_by_handle_at", "EPERM ENOMEM EMFILE ENFILE ESTALE", "visits.failed"),
    Call(OTHERS, "ESTALE", "visits.failed"),
    Call(OTHERS, "ESTALE/5"),  # a denial that is over before the witness is asked
    Call("socket", "EPERM EMFILE ENFILE ENOMEM ENOBUFS", "visits.failed"),
    Call("connect@2:12", "EPERM ENOMEM", "visits.failed"),
    Call("setsockopt", "EPERM ENOMEM ENOBUFS"),  # only asks for smaller answers and more room
    Call("ioctl:0x8008b70d", "EPERM", "visits.failed"),  # NS_GET_ID
    Call("ioctl:0xb703", "EPERM", "sync.error", beside=BY_PID),  # NS_GET_NSTYPE
    Call("ioctl:0xff04", "EPERM EMFILE ENFILE ENOMEM", "sync.error sync.denied", beside=BY_PID),  # PIDFD_GET_NET_NAMESPACE
    Call("pidfd_open", "EPERM EMFILE ENFILE ENOMEM", "sync.error sync.denied", beside=BY_PID),
    Call("newfstatat", "EACCES ENOMEM", "sync.error sync.denied", beside=BY_PID),
    Call("fstatfs", "EPERM ENOMEM", "discover.failed"),
    Call("openat", "EPERM EMFILE ENFILE ENOMEM", "discover.failed"),  # io/mounts.c and proc.c, too
    Call("openat", "EINTR/2"),
    # io/links.c, which lists where the program of io/resolve.c does not, and io/tc.c
    Call("sendto", "EPERM ENOMEM ENOBUFS EAGAIN ENOBUFS/3", "list.failed attach.failed"),
    Call("sendto", "EPERM ENOMEM ENOBUFS EAGAIN ENOBUFS/3", "list.failed", beside=LISTS),
    Call("sendto", "EINTR/2"),
    Call("recvfrom", "ENOMEM ENOBUFS ENOMEM/5 EAGAIN/5", "attach.failed"),
    Call("recvfrom", "ENOMEM ENOBUFS ENOMEM/5 EAGAIN/5", "list.failed list.interrupted", beside=LISTS),
    Call("recvfrom", "EINTR/2"),
    # io/meter.c: traffic that cannot be read is not shown.
    Call("bpf@0:1", "EPERM ENOMEM"),
    # io/trace.c: its tables, the walk
    Call("bpf@0:2", "EPERM ENOMEM E2BIG EBUSY", "events.untold"),
    Call("bpf@0:3", "EPERM ENOMEM EBUSY", "events.untold"),
    # A walk that fails is followed by a search, which is not to find what the next one is to report.
    Call("bpf@0:25", "EPERM ENOMEM EBUSY", "discover.unwalked",
         beside=f"pidfd_open=EMFILE openat=EMFILE {BY_PID}"),
    Call("bpf@0:33", "EPERM EMFILE ENFILE ENOMEM", "discover.unwalked"),
    Call("read~bpf_iter", "EPERM ENOMEM", "discover.unwalked"),
    Call("read~bpf_iter", "EAGAIN/2 EINTR/2"),
    # io/resolve.c
    Call("bpf@0:10", "EPERM ENOMEM EAGAIN EINTR/2", "resolve.refused list.refused"),
    # io/mounts.c; statmount only says whether a change is of ours, and not knowing means to look
    Call("read~fanotify", "EPERM ENOMEM", "discover.failed"),
    Call("read~fanotify", "EINTR/2"),
    Call("read~mountinfo", "ENOMEM", "discover.failed"),
    Call("read~mountinfo", "EINTR/2"),
    Call("457", "EPERM ENOMEM"),
    Call("458", "EPERM ENOMEM", "discover.failed", beside="457=ENOMEM"),  # listmount
    # io/queue.c
    Call("mq_timedreceive", "EINTR/2", "feed.errors"),
    # io/control.c: clients are told by the connection. A write that finds no buffer is tried again with each round
    # of the loop, until the client's time is over.
    Call("accept4", "EPERM EMFILE ENFILE ENOMEM ENOBUFS", "control.errors", served=False),
    Call("accept4", "EINTR/2 ECONNABORTED/2"),
    Call("read~socket", "ENOMEM ECONNRESET", served=False),
    Call("read~socket", "EINTR/2"),
    Call("write~socket", "EPIPE ENOMEM", served=False),
    Call("write~socket", "ENOBUFS", served=False, paced=False),
    Call("write~socket", "EAGAIN/2 EINTR/2"),
]

# Without nsfs file handles and tracepoints: pinned, and found by walks over /proc.
PINNED = [
    Call("readlinkat", "EACCES ENOMEM", "lonely.unknown"),
    Call("getdents64", "ENOMEM EINTR EPERM", "lonely.unknown"),
    Call("openat", "EPERM EMFILE ENFILE ENOMEM", "lonely.unknown"),
    Call("statx", "EACCES ENOMEM", "lonely.unknown"),
    Call("newfstatat", "EACCES ENOMEM", "sync.error sync.denied discover.failed"),
    Call("fstatfs", "EPERM ENOMEM", "discover.failed"),
    Call("setns", "EPERM ENOMEM", "visits.failed"),
    Call("socket", "EPERM EMFILE ENFILE ENOMEM ENOBUFS", "visits.failed"),
]


class Injector:
    """The supervisor of tests/fallback/fault.c, which a daemon is started under."""

    serial = 0

    def __init__(self, *sites):
        Injector.serial += 1
        self.path, self.counts = (f"/run/fault{Injector.serial}.{what}" for what in ("socket", "counts"))
        sites = dict.fromkeys((f"{HOME}=PASS", *sites))
        self.under = (f"{host.BUILD}/fault", "--control", self.path, "--counts", self.counts, *sites, "--")

    def tell(self, *words):
        """{site: (calls, of them failed)} as it was until now; from now on what the words say."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
            asked.settimeout(host.PATIENCE)
            asked.connect(self.path)
            asked.send(" ".join(words).encode())
            answer = asked.recv(65536).decode()
        if answer.startswith("error"):
            raise AssertionError(answer)
        return read_counts(answer)

    def set(self, *faults):
        return self.tell("off", f"{HOME}=PASS", *faults)

    def calls(self, site):
        return self.tell("counts")[site][0]

    def fired(self, site):
        return self.tell("counts")[site][1]

    def at_end(self):
        """The same when what ran under it has ended."""
        with open(self.counts) as file:
            return read_counts(file.read())


def read_counts(text):
    rows = [line.rsplit(" ", 2) for line in text.splitlines()]
    return {site: (int(calls), int(failed)) for site, calls, failed in rows}


def up(ns, name, peer):
    """A pair of devices that comes, and comes up."""
    with rtnl.Route(ns) as route:
        route.add_pair(name, peer)
        route.up(name)
        route.up(peer)
    ns.devices += [name, peer]


def down(ns, *names):
    """Pairs of devices that go: of each its first is named, or both."""
    with rtnl.Route(ns) as route:
        for name in names:
            route.delete(name)
    ns.devices = [device for device in ns.devices if device not in names]


def choose(call, turn):
    """Of the faults of a row those that are gone through."""
    passing = [fault for fault in call.faults.split() if "/" in fault]
    staying = [fault for fault in call.faults.split() if "/" not in fault]
    if LONG or len(staying) <= 2:
        return staying + passing
    denials = [fault for fault in staying if fault in DENIALS][:1]
    others = [fault for fault in staying if fault not in DENIALS]
    return denials + [others[(turn + i) % len(others)] for i in range(2 - len(denials))] + passing


class Churn(test_restart.Pair):
    """Two namespaces that stay, with traffic between them, and others that come and go."""

    settings = {"discover.enabled": "true", "audit.interval": "400ms"}
    forgets_soon = True  # the dead, so that there is time to wait for that after each row

    def setUp(self):
        super().setUp()
        self.resident, self.serial, self.programs = len(self.ends[0].devices), 0, None

    def begin(self, calls, **options):
        """A daemon under an injector of these calls, and of those that fail beside them."""
        beside = [fault.split("=")[0] for call in calls for fault in call.beside.split()]
        self.injector = Injector(*(call.site for call in calls), *beside)
        self.running = self.serve(dict(self.settings), under=self.injector.under, queue=QUEUE, **options)
        self.passing, self.gone = [], set()

    def serve(self, settings=None, **options):
        self.programs = None
        daemon = super().serve(settings, **options)
        self.programs = set(daemon.status()["programs"].values())
        return daemon

    def newcomers(self):
        """Names that no device of a test had before."""
        self.serial += 1
        return f"c{self.serial}", f"d{self.serial}"

    def until(self, condition, what):
        try:
            return host.until(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.state_of_things()}") from None

    def state_of_things(self):
        """For whoever reads why."""
        told = [f"calls, failed: {self.injector.tell('counts')}", self.running.stderr()[-4000:]]
        self.injector.set()
        with contextlib.suppress(AssertionError):
            told.insert(1, str({name: count for name, count in self.running.status()["counters"].items() if count}))
        return "\n".join(told)

    # tc and bpftool were asked of each program at the beginning: from then on the numbers of these are enough.

    def is_covered(self, ns):
        ours = ns.ours()
        return host.all_have_one(ours) and all(row.program in self.programs for (row,) in ours.values())

    def assertCovered(self, ns, instance="default"):
        if self.programs is None:
            super().assertCovered(ns, instance)
        else:
            self.until(lambda: self.is_covered(ns), f"{ns.path} is covered")

    @contextlib.contextmanager
    def pings(self):
        """Packets all the while, by a process of its own; none is under way when it has ended."""
        process = host.start("ping", "-q", "-i", "0.002", test_restart.ADDRESSES[1], ns=self.ends[0],
                             stdout=subprocess.DEVNULL)
        self.addCleanup(host.end, process)
        try:
            yield
            self.assertIsNone(process.poll(), "the traffic goes on")
        finally:
            process.terminate()
            process.wait()

    def assertKept(self, served=True):
        """What was covered is covered, and listed."""
        self.assertIsNone(self.running.process.poll(), self.running.stderr())
        for ns, name in zip(self.ends, self.names):
            found = ns.ours()
            for hook in host.HOOKS:
                self.assertEqual(len(found[name, hook]), 1, f"{name} {hook}")
        if served:
            self.assertLessEqual({ns.cookie for ns in self.ends}, self.running.cookies())

    def assertPaced(self, site):
        """A call that fails is not made again and again without a pause."""
        began, before = time.monotonic(), self.injector.calls(site)
        self.assertKept(served=False)
        calls, seconds = self.injector.calls(site) - before, time.monotonic() - began
        self.assertLess(calls, CALLS_AT_ONCE + CALLS_A_SECOND * seconds)

    def stir(self):
        """A new namespace, which a pid also tells of, and devices in it."""
        ns = self.unnamed()
        self.passing.append(ns)
        up(ns, "a", "b")
        self.running.queue.send_pids([ns.pid, self.pids[0]])
        return ns

    def stir_everywhere(self):
        """All that can happen: namespaces and devices that are new, devices that come to the old and go."""
        self.passing.append(self.mounted())
        for ns in self.ends:
            up(ns, *self.newcomers())
        for ns in [ns for ns in self.passing if "a" in ns.devices][:1]:
            down(ns, "a", "b")
        self.stir()

    def ask(self, served):
        """What clients want, who may be left alone when they are not served."""
        if served:
            self.running.sync(*self.pids, self.passing[-1].pid, wait=False, code=None)  # some of it may fail
            self.assertLessEqual({ns.cookie for ns in self.ends}, self.running.cookies())
            return
        waiting = host.start(f"{host.BUILD}/netnsync", "--socket", self.running.socket, "list",
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(host.end, waiting)

    def settle(self):
        """The faults are over: all that came is covered, and what is alive is not forgotten."""
        self.injector.set()
        for ns in (*self.passing, *self.ends):
            self.assertCovered(ns)
        self.assertKept()
        for ns in self.ends:
            down(ns, *ns.devices[self.resident:])
        self.gone |= {ns.cookie for ns in self.passing}
        for ns in self.passing:
            ns.kill()
            if ns.name:
                host.unmount(ns.path)
        self.passing = []
        if self.forgets_soon:
            self.bury()

    def bury(self):
        """All that went is forgotten, and nothing else is."""
        self.until(lambda: not self.gone & self.running.cookies(), "the dead are forgotten")
        self.assertEqual(self.running.counter("namespaces.flushed"), len(self.gone), "flushed though alive")

    def inflict(self, *faults, served=True, every=all):
        """Everything happens while these are on; only what no fault of theirs can hide is asked for."""
        self.injector.set(*faults)
        self.stir_everywhere()
        self.ask(served)
        self.until(lambda: every(self.injector.fired(fault.split("=")[0]) for fault in faults), f"{faults} take place")
        self.assertKept(served)

    def recover(self):
        """What the faults before did is over: who was lost is found, by those that are asked for by name, and somebody is
        there whom no fault has met."""
        fresh = self.stir()
        self.running.sync(*self.pids, fresh.pid, os.getpid(), wait=False, code=None)
        wanted = {ns.cookie for ns in (*self.ends, fresh, host.own_namespace())}

        def reached():
            return wanted <= {row["cookie"] for row in self.running.answers("list") if row["handle"] != "none"}

        self.until(reached, "all are found, and there is a way to each")
        self.assertCovered(fresh)

    def suffer(self, call, turn):
        """One row of the table."""
        for fault in choose(call, turn):
            self.recover()
            before = self.running.status()["counters"]
            self.inflict(f"{call.site}={fault}", *call.beside.split(), served=call.served)
            if call.paced:
                self.assertPaced(call.site)
            if call.served:
                self.assertTold(call, before)
            self.injector.set()
            self.assertTold(call, before)
        self.settle()

    def assertTold(self, call, before):
        def moved():
            now = self.running.status()["counters"]
            return not call.counters or [name for name in call.counters.split() if now[name] > before[name]]

        self.until(moved, f"one of {call.counters} moves")

    def go_through(self, calls):
        for turn, call in enumerate(calls):
            with self.subTest(call.site, faults=call.faults), self.over_at_the_end():
                self.suffer(call, turn)
        self.bury()

    @contextlib.contextmanager
    def over_at_the_end(self):
        """A row that failed does not make others fail."""
        try:
            yield
        finally:
            self.injector.set()

    def end(self):
        """An orderly one: nothing of ours is left."""
        self.running.stop()
        for ns in self.ends:
            self.assertBare(ns)


class BestRung(Churn):
    """Where the kernel has all that the table of the best rung calls."""

    def begin(self, calls, **options):
        super().begin(calls, **options)
        if not self.running.status()["capabilities"]["handles"].startswith("weak"):
            self.skipTest("this kernel opens no namespace by its cookie")


class Best(BestRung):
    def test_each_call(self):
        self.begin(BEST)
        missed = self.difference(self.running)
        with self.pings():
            self.go_through(BEST)
        self.assertEqual(self.difference(self.running), missed, "no packet went by uncovered")
        self.end()


class Pinned(Churn):
    # Well above what one look at all of /proc takes here, where each of its calls waits for the injector.
    settings = {**Churn.settings, "lonely.timeout": "2s"}
    forgets_soon = False

    def test_each_call(self):
        self.begin(PINNED, pinned=True, deaf=True)
        missed = self.difference(self.running)
        self.go_through(PINNED)
        self.exchange()
        self.assertEqual(self.difference(self.running), missed)
        self.end()


@unittest.skipUnless(LONG, "takes minutes")
class Sweep(BestRung):
    """The same calls in other rhythms."""

    # Those that fail always in the table, and leave clients alone. A namespace that cannot be opened when another
    # can is dead, however soon afterwards it could be.
    calls = [(call.site, fault) for call in BEST if call.served and not call.beside
             for fault in call.faults.split() if fault.isalpha() and fault != "ESTALE"]
    FREQUENT = ("setns", "open_by_handle_at", "socket", "setsockopt", "sendto", "recvfrom", "bpf@0:2")

    def run_with(self, *faults):
        with self.subTest(faults=faults), self.over_at_the_end():
            self.inflict(*faults, every=any)
            self.settle()

    def setUp(self):
        super().setUp()
        self.begin([Call(site, "") for site, _ in self.calls])

    def test_every_third_and_every_fifth(self):
        for site, error in self.calls:
            for n in (3, 5) if site in self.FREQUENT else ():
                self.run_with(f"{site}={error}/{n}")
        self.end()

    def test_two_at_once(self):
        frequent = [call for call in self.calls if call[0] in self.FREQUENT]
        rare = [call for call in self.calls if call[0] not in self.FREQUENT]
        for seed in range(40):
            chance = random.Random(seed)
            chosen = (chance.choice(frequent), chance.choice(rare))
            self.run_with(*(f"{site}={error}%60,{seed}" for site, error in chosen))
        self.end()


class Again(BestRung):
    """Visits that fail are tried again by themselves: no audit comes to help."""

    settings = {"audit.interval": "24h"}

    def test_what_came_meanwhile_is_covered(self):
        sites = ("setns", "open_by_handle_at", "socket", "sendto", "recvfrom")
        self.begin([Call(site, "") for site in sites])
        for site in sites:
            with self.subTest(site):
                self.injector.set(f"{site}=ENOMEM")
                up(self.ends[0], *self.newcomers())
                host.until(lambda: self.injector.fired(site) > 2, "it is tried again")
                self.assertKept()
                self.injector.set()
                self.assertCovered(self.ends[0])
        self.end()


class Home(Churn):
    """Coming back from another namespace."""

    settings = {}

    def test_it_is_tried_again_while_memory_is_short(self):
        self.begin([])
        self.injector.tell(f"{HOME}=ENOMEM/2")
        for ns in self.ends:
            up(ns, *self.newcomers())
            self.assertCovered(ns)
        self.assertGreater(self.injector.fired(HOME), 0)
        self.assertKept()
        self.injector.set()
        self.end()

    def test_without_it_the_daemon_ends_and_what_it_covered_stays_so(self):
        for error in ("ENOMEM", "EPERM"):
            self.begin([])
            missed = self.difference(self.running)
            self.injector.tell(f"{HOME}={error}")
            up(self.ends[0], *self.newcomers())
            host.until(lambda: self.running.process.poll() is not None, "it ends")
            self.assertEqual(self.running.process.returncode, 128 + signal.SIGABRT)
            self.assertIn("cannot return to the own network namespace", self.running.stderr())
            self.exchange()
            self.running = self.serve(queue=QUEUE)
            self.assertEqual(self.difference(self.running), missed)
            self.end()


class Orders(BestRung):
    """What removes filters says so when it cannot, and forgets nothing."""

    settings = {}
    LEAVING = (("sendto", "ENOBUFS"), ("recvfrom", "ENOMEM"), ("recvfrom", "EAGAIN"), ("socket", "EMFILE"),
               ("setns", "EPERM"), ("open_by_handle_at", "ESTALE"), ("open_by_handle_at", "EMFILE"))

    def setUp(self):
        super().setUp()
        self.begin([Call(site, "") for site in ("sendto", "recvfrom", "socket", "setns", "open_by_handle_at")])

    def test_flush_and_detach(self):
        for site, error in self.LEAVING:
            with self.subTest(site, error=error):
                self.injector.set(f"{site}={error}")
                for words in (("flush", str(self.ends[0].cookie)), ("detach", "--all")):
                    done = self.running.command(*words, check=False)
                    self.assertEqual(done.returncode, 1, done.stdout)
                    self.assertKept()
                self.assertGreater(self.injector.fired(site), 0)
                self.injector.set()
                for ns in self.ends:
                    self.assertCovered(ns)
        self.running.command("detach", "--all")
        self.end()

    def test_the_end(self):
        for site, error in self.LEAVING:
            with self.subTest(site, error=error):
                self.injector.set(f"{site}={error}")
                self.running.tell(signal.SIGTERM)
                self.running.wait_end(1)
                self.assertIn("not all filters could be removed", self.running.stderr())
                for ns in self.ends:
                    self.assertCovered(ns)
                self.begin([Call(site, "") for site, _ in self.LEAVING])
        self.injector.set("sendto=EINTR/2", "recvfrom=EINTR/3")
        self.end()


class Adopting(Churn):
    """A program that the kernel will not tell of: its filter is neither ours nor another's (I9)."""

    settings = {}

    def test_it_stays_until_somebody_knows(self):
        rows = (("bpf@0:13", "EPERM"), ("bpf@0:15", "ENOMEM"), ("bpf@0:13", "EMFILE"), ("bpf@0:13", "ENOMEM"),
                ("bpf@0:15", "EPERM"))
        for site, error in rows if LONG else rows[:3]:
            with self.subTest(site, error=error):
                self.begin([Call(site, "")])
                missed = self.difference(self.running)
                self.running.tell(signal.SIGKILL)
                self.running.wait_end(128 + signal.SIGKILL)
                self.injector = Injector(site)
                self.running = self.daemon(under=self.injector.under, queue=QUEUE)
                self.injector.set(f"{site}={error}")
                self.running.sync(*self.pids, error="has not answered for every device")
                self.assertGreater(self.injector.fired(site), 0)
                self.assertKept(served=False)
                reasons = {device["error"] for ns in self.ends for device in self.running.row(ns)["devices"]}
                self.assertNotEqual(reasons, {None})
                self.injector.set()
                host.until(lambda: all(self.running.device(ns, name)["state"] == "attached"
                                       for ns, name in zip(self.ends, self.names)), "adopted")
                self.exchange()
                self.assertEqual(self.difference(self.running), missed)
                self.end()


# What a start needs. Each call that fails leads to a lower rung or to a sentence and exit 1.
STARTING = [
    ("bpf", "EPERM ENOMEM EMFILE"),
    ("bpf@0:0", "EPERM ENOMEM"),  # BPF_MAP_CREATE
    ("bpf@0:5", "EPERM ENOMEM"),  # BPF_PROG_LOAD
    ("bpf@0:7", "EPERM ENOMEM EMFILE"),  # BPF_OBJ_GET
    ("bpf@0:10", "EPERM ENOMEM"),
    ("bpf@0:15", "EPERM ENOMEM"),
    ("bpf@0:17", "EPERM EMFILE"),  # BPF_RAW_TRACEPOINT_OPEN
    ("bpf@0:18", "EPERM ENOMEM"),  # BPF_BTF_LOAD
    ("bpf@0:22", "EPERM ENOMEM"),  # BPF_MAP_FREEZE
    ("bpf@0:28", "EPERM EMFILE"),  # BPF_LINK_CREATE
    ("bpf@0:35", "EPERM ENOMEM"),  # BPF_PROG_BIND_MAP
    ("mmap@3:1", "ENOMEM EPERM"),  # maps, shared with the kernel
    ("openat", "EPERM EMFILE ENFILE ENOMEM"),
    ("faccessat2", "EACCES"),
    ("read~status", "ENOMEM EINTR"),  # /proc/self/status
    ("read~possible", "EPERM ENOMEM"),  # of processors
    ("read~vmlinux", "EPERM ENOMEM"),  # the kernel's types
    ("fstatfs", "EPERM"),
    ("newfstatat", "EACCES ENOMEM"),
    ("ioctl:0xb703", "EPERM"),
    ("ioctl:0x8008b70d", "EPERM"),
    ("ioctl:0xff04", "EPERM ENOMEM EMFILE"),
    ("pidfd_open", "EPERM EMFILE"),
    ("open_by_handle_at", "EPERM ENOMEM EMFILE ESTALE"),
    ("unshare", "EPERM ENOMEM"),
    ("setns", "EPERM ENOMEM"),
    ("socket", "EPERM EMFILE ENFILE ENOMEM ENOBUFS"),
    ("setsockopt", "EPERM ENOMEM"),
    ("getsockopt", "EPERM ENOMEM"),
    ("bind", "EPERM ENOMEM EACCES"),
    ("listen", "EPERM"),
    ("flock", "ENOLCK EPERM"),
    ("mkdir", "EPERM ENOSPC"),
    ("fchmod", "EPERM"),
    ("mq_open", "EPERM EMFILE ENFILE ENOMEM ENOSPC"),
    ("mq_getsetattr", "EPERM"),
    ("fanotify_init", "EPERM EMFILE ENOMEM"),
    ("fanotify_mark", "EPERM ENOMEM ENOSPC"),
    ("457", "EPERM ENOMEM"),
    ("458", "EPERM ENOMEM"),
    ("epoll_create1", "EMFILE ENFILE ENOMEM"),
    ("eventfd2", "EMFILE ENFILE ENOMEM"),
    ("pipe2", "EMFILE ENFILE"),
    ("clone3", "EAGAIN ENOMEM"),
]


# What is called beside these where there are no tracepoints: io/link_events.c and its numbers.
STARTING_BY_RTNETLINK = [
    ("socket", "EPERM EMFILE ENFILE ENOMEM ENOBUFS"),
    ("setsockopt", "EPERM ENOMEM ENOBUFS"),
    ("bind", "EPERM ENOMEM"),
    ("sendto@2:64", "EPERM ENOMEM ENOBUFS"),
    ("recvfrom@2:256", "ENOMEM ENOBUFS"),
]

STARTS = 3  # how many calls one makes differs a little


class Start(Churn):
    """What a former daemon left is there, whether its successor comes up or not."""

    settings = {"keep_attached": "true", "discover.enabled": "true"}
    table, options = STARTING, {}
    PINS = [f"{test_restart.PINS}/{name}" for name in ("holders", "slots")]

    def setUp(self):
        super().setUp()
        self.begin([])
        self.running.stop()
        self.inums = [os.stat(pin).st_ino for pin in self.PINS]
        usual = [self.starting() for _ in range(STARTS)]
        self.most, self.always = ({site: what(counts[site][0] for counts in usual) for site, _ in self.table}
                                  for what in (max, min))
        self.before_main = self.loading()

    def starting(self):
        """The calls until it answers."""
        injector = Injector(*(site for site, _ in self.table))
        daemon = self.daemon(dict(self.settings), under=injector.under, queue=QUEUE, **self.options)
        counts = injector.tell("counts")
        daemon.stop()
        return counts

    def loading(self):
        """What the dynamic linker calls, which is none of our business."""
        injector = Injector(*(site for site, _ in self.table))
        host.run(*injector.under, f"{host.BUILD}/netnsyncd", "--version")
        return injector.at_end()

    def assertLeft(self):
        for ns in self.ends:
            self.assertTrue(ns.covered())
        self.assertEqual([os.stat(pin).st_ino for pin in self.PINS], self.inums)

    def start(self, site, fault):
        injector = Injector(f"{site}={fault}")
        daemon = self.daemon(dict(self.settings), under=injector.under, queue=QUEUE, wait=False, **self.options)
        try:
            self.assertStarts(daemon, injector, site, fault)
        finally:
            daemon.kill()
        daemon.check_sanitizers()
        self.assertLeft()

    def assertStarts(self, daemon, injector, site, fault):
        if host.until(lambda: self.state(daemon), f"it comes up or gives up\n{daemon.stderr()}") == "up":
            if not self.is_rare(site, fault):
                host.until(lambda: injector.fired(site) or self.is_spared(injector, site, fault), "the call fails")
            self.assertLeft()
            injector.set()
            daemon.sync(*self.pids)
            daemon.stop()
        else:
            self.assertGreater(injector.at_end()[site][1], 0)
            self.assertEqual(daemon.process.returncode, 1, daemon.stderr())
            self.assertRegex(daemon.stderr(), "(?m)^error: .+")
            self.assertFalse(os.path.exists(daemon.socket))

    def is_rare(self, site, fault):
        """A call that not each start comes to."""
        return "#" in fault and int(fault.partition("#")[2]) > self.always[site]

    @staticmethod
    def is_spared(injector, site, fault):
        """Was it a way home, which does not fail here?"""
        return site == "setns" and "#" in fault and injector.calls(site) >= int(fault.partition("#")[2])

    @staticmethod
    def state(daemon):
        if daemon.process.poll() is not None:
            return "ended"
        with contextlib.suppress(OSError):
            if host.Client(daemon.socket).ask({"version": 1, "command": "status"})[-1]["done"]:
                return "up"
        return None

    def choose(self, site, errors):
        first, last = self.before_main[site][0] + 1, self.most[site]
        self.assertLessEqual(first, last, f"{site} is called")
        if site == "pipe2":  # ours tells whether the next, of libuv, will abort
            last = first
        if LONG:
            return [f"{error}#{n}" for error in errors for n in range(first, last + 1)]
        return [f"{errors[0]}+{first}", f"{errors[-1]}#{random.Random(site).randint(first, last)}"]

    def test_each_call(self):
        for site, errors in self.table:
            for fault in self.choose(site, errors.split()):
                with self.subTest(f"{site}={fault}"):
                    self.start(site, fault)


class StartByRtnetlink(Start):
    """Where rtnetlink is to tell of devices; where it cannot, nobody does, and all are looked at."""

    table, options = STARTING_BY_RTNETLINK, {"deaf": True}


if __name__ == "__main__":
    host.main()
