# SPDX-License-Identifier: Apache-2.0
"""A kernel that refuses while a daemon takes over from a former one, or leaves to the next: pins, locks, the queue, the
control socket. Each time either the daemon comes up, covers, and tells what it was refused, or it ends with 1 and a
sentence, and all that it found is as it was. NNS_LONG=1: every errno at every call."""

import contextlib
import os
import signal
import typing

import host
import test_faults
import test_restart

PINS, QUEUE, SOCKET = test_restart.PINS, "/nns-e2e-faults-start", "/run/fault-start/control.sock"
WITH_UMASK = ("sh", "-c", 'umask 0777 && exec "$@"', "sh")
UNNOTICED = "would not be noticed"
OUTLIVE = "counts will not outlive this daemon"
NO_SOCKET = "cannot listen on"
QUEUED = "the queue /nns-e2e-faults-start"
NO_LOCK = f"{UNNOTICED}|{OUTLIVE}|{NO_SOCKET}"
# Of a start's last calls so many are of threads that may come to them when it is up already.
LATE_CALLS = 3


class Row(typing.NamedTuple):
    """A system call of a start, how it can fail, and what is said of that."""

    site: str  # in the words of tests/fallback/fault.c
    errors: str
    told: str  # of what is of no consequence nothing is
    beside: str = ""  # what fails as well, so that the call is made
    under: tuple = ()
    stale: bool = True  # the dead one's socket is left: it is removed when its place is taken


# Where a daemon was killed: filters, pins, queue and socket are there.
AFTER_A_CRASH = [
    Row("bpf@0:7", "EPERM EMFILE ENOMEM", "cannot look at"),  # BPF_OBJ_GET
    Row("flock", "EINTR ENOLCK", NO_LOCK),
    Row("mkdir", "ENOMEM EROFS", NO_LOCK),
    Row("connect@2:110", "EPERM EACCES ENOMEM EAGAIN", NO_SOCKET),
    Row("unlink", "EPERM EBUSY EROFS", NO_SOCKET),
    Row("fchmod", "EPERM ENOMEM", NO_SOCKET, stale=False),
    Row("chmod", "ENOMEM EPERM", NO_SOCKET, under=WITH_UMASK, stale=False),
    Row("mq_open", "EMFILE ENOMEM", QUEUED, stale=False),
]

# Where nothing of the instance was, and pins and queue are to be made.
FROM_NOTHING = [
    Row("bpf@0:6", "EPERM ENOMEM EMFILE", OUTLIVE),  # BPF_OBJ_PIN
    Row("mkdir", "ENOMEM EROFS", NO_LOCK),
    Row("mq_open", "EMFILE ENOSPC ENOMEM", QUEUED),
    Row("fchmod", "EPERM ENOMEM", f"{NO_SOCKET}|{QUEUED}"),
    Row("mq_unlink", "EPERM", QUEUED, beside="fchmod=EPERM#2"),
    Row("access", "EACCES", ""),  # whether there is something else than counts: only for the log
]

# Where the pins are of another layout: they are replaced, once it serves.
OTHER_LAYOUT = [
    Row("unlink", "EPERM EBUSY EROFS ENOMEM", f"{OUTLIVE}|{NO_SOCKET}"),
    Row("bpf@0:6", "EPERM ENOMEM EMFILE", OUTLIVE),
]

# At an orderly end.
ENDING = [
    Row("unlink", "EPERM EBUSY EROFS ENOMEM", "counts stay in"),
    Row("rmdir", "EPERM EBUSY EROFS ENOMEM", "cannot remove"),
]


def identity(path):
    with contextlib.suppress(FileNotFoundError):
        return os.lstat(path).st_ino
    return None


class Successor(test_restart.Pair):
    """A daemon that was killed, and those that come after it."""

    settings = {"discover.enabled": "true", "audit.interval": "24h", "control.path": SOCKET}
    beginning = {}  # what the killed one had instead

    def setUp(self):
        super().setUp()
        self.addCleanup(host.run, "rm", "-rf", os.path.dirname(SOCKET), f"/dev/mqueue{QUEUE}")
        self.leave()

    def begin(self, wait=True, settings=None, **options):
        daemon = self.daemon({**self.settings, **(settings or {})}, wait=False, queue=QUEUE, **options)
        daemon.socket = SOCKET
        if wait:
            daemon.wait_ready()
        return daemon

    def leave(self):
        """A daemon covers, counts, and is killed. What it leaves is what the next ones are to find."""
        daemon = self.begin(settings=self.beginning)
        self.assertTakenOver(daemon)
        self.exchange(20)
        daemon.kill()
        self.left = self.found()

    def found(self):
        pinned = test_restart.pins() or []
        return {"filters": self.texts(), "socket": identity(SOCKET), "queue": identity(f"/dev/mqueue{QUEUE}"),
                "pins": {pin: identity(f"{PINS}/{pin}") for pin in pinned}}

    def assertTakenOver(self, daemon):
        daemon.sync(*self.pids)
        current = set(daemon.status()["programs"].values())
        for ns in self.ends:
            self.assertCovered(ns)
        self.assertLessEqual(self.running(), current)

    @staticmethod
    def state(daemon):
        if daemon.process.poll() is not None:
            return "ended"
        with contextlib.suppress(OSError):
            if host.Client(SOCKET).ask({"version": 1, "command": "status"})[-1]["done"]:
                return "up"
        return None

    def forget(self):
        """As it is where no daemon ever was."""
        host.run("rm", "-rf", os.path.dirname(SOCKET), f"/dev/mqueue{QUEUE}", "/run/netnsync")
        # A daemon that was killed on a busy machine may hold its locks for a moment more.
        host.until(lambda: host.command("detach", "--all", socket="/run/nobody", check=False).returncode == 0,
                   "nobody has the instance")
        host.run("rm", "-rf", "/run/netnsync", PINS)

    # One start after another.

    def calls(self, row):
        """Those of a start that are ours, not the dynamic linker's, and how many of all are always made."""
        injector = test_faults.Injector(row.site)
        host.run(*row.under, *injector.under, f"{host.BUILD}/netnsyncd", "--version")
        counts = [self.count(row) for _ in range(test_faults.STARTS)]
        return range(injector.at_end()[row.site][0] + 1, max(counts) + 1), min(counts)

    def count(self, row):
        self.prepare()
        injector = test_faults.Injector(row.site, *row.beside.split())
        daemon = self.begin(wait=False, under=(*row.under, *injector.under))
        host.until(lambda: self.state(daemon), "it comes up, or ends")
        if daemon.process.poll() is not None:
            return injector.at_end()[row.site][0]
        calls = injector.calls(row.site)
        daemon.kill()
        return calls

    def faults(self, row):
        """[(errno, at which call, whether that call is always made)]"""
        calls, always = self.calls(row)
        errors = row.errors.split()
        self.assertTrue(calls, f"{row.site} is called in a start")
        if host.LONG:
            chosen = [(error, call) for error in errors for call in calls]
        else:  # each call once, and each errno once
            chosen = [(errors[i % len(errors)], call) for i, call in enumerate(calls)] + \
                [(error, calls[0]) for error in errors[len(calls):]]
        return [(error, call, call <= always) for error, call in chosen]

    def prepare(self):
        """Before each start."""

    def start(self, row, fault, always):
        self.prepare()
        before = self.found()
        injector = test_faults.Injector(f"{row.site}={fault}", *row.beside.split())
        daemon = self.begin(wait=False, under=(*row.under, *injector.under))
        try:
            state = host.until(lambda: self.state(daemon), f"it comes up or gives up\n{daemon.stderr()}")
            if state == "up":
                self.assertComesUp(daemon, row, injector, always)
            else:
                self.assertGreater(injector.at_end()[row.site][1], 0)
                self.assertGivesUp(daemon, row, before)
        finally:
            daemon.kill()
        daemon.check_sanitizers()

    def assertComesUp(self, daemon, row, injector, always):
        self.assertTakenOver(daemon)
        self.exchange(5)
        fired = injector.fired(row.site)
        self.assertTrue(fired or not always, "the call is made, and fails")
        if fired and row.told:
            self.assertRegex(daemon.stderr(), row.told)

    def assertGivesUp(self, daemon, row, before):
        self.assertEqual(daemon.process.returncode, 1, daemon.stderr())
        self.assertRegex(daemon.stderr(), f"(?m)^error: .*({row.told}|cannot make sure)")
        if not row.stale:
            before = {**before, "socket": None}
        self.assertEqual(self.found(), before)

    def go_through(self, rows):
        for row in rows:
            for error, call, always in self.faults(row):
                with self.subTest(f"{row.site}={error}#{call}", beside=row.beside):
                    self.start(row, f"{error}#{call}", always)


class AfterACrash(Successor):
    def prepare(self):
        """What came up has taken over, and was killed in its turn."""
        self.assertEqual(self.found()["pins"], self.left["pins"], "whatever the last one was refused")

    def test_each_call(self):
        self.go_through(AFTER_A_CRASH)
        heir = self.begin()
        self.assertTakenOver(heir)
        heir.stop()
        self.assertIsNone(test_restart.pins())


class FromNothing(Successor):
    def prepare(self):
        self.forget()

    def assertGivesUp(self, daemon, row, before):
        """A queue that was made and cannot be taken back stays."""
        if row.site == "mq_unlink":
            before = {**before, "queue": self.found()["queue"]}
            self.assertTrue(before["queue"])
        super().assertGivesUp(daemon, row, before)

    def test_each_call(self):
        self.go_through(FROM_NOTHING)


class OtherLayout(Successor):
    settings = {**Successor.settings, "meter.memory": "2M"}
    beginning = {"meter.memory": "1M"}

    def prepare(self):
        self.forget()
        self.leave()

    def test_each_call(self):
        self.go_through(OTHER_LAYOUT)


class End(Successor):
    """Pins that cannot be removed stay for the next one, and with filters that cannot."""

    def stop_under(self, *faults, code=0):
        injector = test_faults.Injector(*(fault.split("=")[0] for fault in faults))
        daemon = self.begin(under=injector.under)
        self.assertTakenOver(daemon)
        injector.set(*faults)
        daemon.tell(signal.SIGTERM)
        daemon.wait_end(code)
        return daemon

    def test_pins(self):
        for row in ENDING:
            for error in row.errors.split():
                with self.subTest(row.site, error=error):
                    daemon = self.stop_under(f"{row.site}={error}")
                    self.assertRegex(daemon.stderr(), row.told)
                    for ns in self.ends:
                        self.assertBare(ns)
        self.begin().stop()
        self.assertIsNone(test_restart.pins())

    def test_filters_that_stay_count_on(self):
        daemon = self.begin()
        self.assertTakenOver(daemon)
        missed = self.difference(daemon)
        daemon.kill()
        self.stop_under("sendto=ENOBUFS", code=1)
        self.assertEqual(test_restart.pins(), ["holders", "slots"])
        self.exchange(20)
        heir = self.begin()
        self.assertTakenOver(heir)
        self.assertEqual(self.difference(heir), missed, "each packet is counted")
        heir.stop()
        self.assertIsNone(test_restart.pins())


class Clients(Successor):
    """A connection that is accepted, and of no use then."""

    def test_it_is_closed_and_the_next_one_is_served(self):
        injector = test_faults.Injector("fcntl@1:3")  # F_GETFL, in uv_pipe_open
        daemon = self.begin(under=injector.under)
        before = daemon.counter("control.errors")
        injector.set("fcntl@1:3=EPERM")
        for _ in range(3):
            refused = host.Client(SOCKET)
            self.addCleanup(refused.close)
            self.assertEqual(refused.at_end(), b"")
        injector.set()
        self.assertEqual(daemon.counter("control.errors"), before + 3)
        self.assertTakenOver(daemon)
        daemon.stop()


class Epoll(Successor):
    """The loop's library ends the process where the kernel has no room to watch a descriptor."""

    def test_filters_stay_and_the_next_one_goes_on(self):
        daemon = self.begin()
        self.assertTakenOver(daemon)
        missed = self.difference(daemon)
        daemon.kill()
        (calls, always), ends = self.calls(Row("epoll_ctl", "", "")), set()
        for call in calls if host.LONG else [*calls][::2]:
            for error in ("ENOMEM", "ENOSPC"):
                with self.subTest(call=call, error=error):
                    ends.add(self.suffer(f"epoll_ctl={error}#{call}", call <= always - LATE_CALLS))
        self.assertLessEqual(ends, {"up", 1, 128 + signal.SIGABRT})
        self.assertIn(128 + signal.SIGABRT, ends)
        self.assertEqual(self.found()["pins"], self.left["pins"])
        heir = self.begin()
        self.assertTakenOver(heir)
        self.assertEqual(self.difference(heir), missed, "each packet is counted")
        heir.stop()

    def suffer(self, fault, always):
        """How it ends, or that it does not."""
        injector = test_faults.Injector(fault)
        daemon = self.begin(wait=False, check_leaks=False, under=injector.under)
        try:
            host.until(lambda: self.state(daemon), "it comes up, or ends")
            self.exchange(5)
            for ns in self.ends:
                self.assertTrue(ns.covered())
            if daemon.process.poll() is not None:
                return daemon.process.returncode
            self.assertTrue(injector.fired("epoll_ctl") or not always)
            return "up"
        finally:
            daemon.kill()


if __name__ == "__main__":
    host.main()
