# SPDX-License-Identifier: Apache-2.0
"""`netnsync watch`: what a test does to the kernel is what those who watch are told, all of it and in order; and who
watches badly harms nobody."""

import contextlib
import ctypes
import datetime
import json
import os
import signal
import subprocess
import unittest

import host
import kernel
from test_faults import Injector

DAY = {"audit.interval": "24h"}
WATCHFUL = {"discover.enabled": "true", **DAY}
WATCH = {"version": 1, "command": "watch"}
MIB = 1 << 20
MANY_EVENTS = unittest.skipIf(host.SLOWNESS > 1, "the thousands of events that buffers hold take too long here")


class Watch:
    """A `netnsync --json watch`, and what it has printed."""

    def __init__(self, daemon, *words):
        self.events, self._rest = [], b""
        self.process = host.start(f"{host.BUILD}/netnsync", "--socket", daemon.socket, "--json", "watch", *words,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.await_event("watching")

    def read(self):
        data = self.process.stdout.read()
        lines = (self._rest + (data or b"")).split(b"\n")
        self._rest = lines.pop()
        self.events += [json.loads(line) for line in lines]
        return self.events

    def of(self, event, ns=None, name=None):
        """Events of that kind, of a namespace, of a device."""
        return [row for row in self.read() if row["event"] == event and ns in (None, row.get("cookie"))
                and name in (None, row.get("name"))]

    def await_event(self, event, ns=None, name=None, count=1):
        """The first that came of these, once there are so many of them."""
        cookie = ns and ns.cookie
        try:
            return host.until(lambda: len(self.of(event, cookie, name)) >= count and self.of(event, cookie, name),
                              f"{event} of {name}")[0]
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.events}") from None

    def story(self, ns, name):
        """What happened to a device, in order."""
        return [row["event"] for row in self.read() if row.get("cookie") == ns.cookie and row.get("name") == name]

    def end(self, number):
        """How it ends on a signal: its exit status, and what it complained of."""
        os.kill(self.process.pid, number)
        return self.ended()

    def ended(self):
        status = self.process.wait(host.PATIENCE)
        self.read()
        return status, self.process.stderr.read().decode()


class WatchTest(host.HostTest):
    def watch(self, daemon, *words):
        watch = Watch(daemon, *words)
        self.addCleanup(host.end, watch.process)
        return watch

    def stalled(self, daemon, request=WATCH):
        """A client that watches but does not read on after the first line."""
        client = host.Client(daemon.socket)
        self.addCleanup(client.close)
        client.send(json.dumps(request).encode() + b"\n")
        self.assertEqual(json.loads(client.socket.makefile("rb", buffering=0).readline())["event"]["event"], "watching")
        return client

    @contextlib.contextmanager
    def held(self, daemon):
        """It does nothing meanwhile."""
        daemon.halt()
        try:
            yield
        finally:
            daemon.tell(signal.SIGCONT)

    def ifindex(self, ns, name):
        return json.loads(ns.ip("-j", "link", "show", "dev", name))[0]["ifindex"]

    def assertWhole(self, watch):
        """One number after the other, and time goes on."""
        events = watch.read()
        first = events[0]["sequence"]
        self.assertEqual([row["sequence"] for row in events], list(range(first, first + len(events))))
        times = [datetime.datetime.strptime(row["time"], "%Y-%m-%dT%H:%M:%S.%fZ") for row in events]
        self.assertEqual(times[1:], sorted(times[1:]))
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        self.assertLess(abs(now - times[-1]), datetime.timedelta(hours=1))


class Told(WatchTest):
    """What is told."""

    def setUp(self):
        self.running = self.daemon({**WATCHFUL, "exclude.devices": "skip*", "lonely.timeout": "1s"})
        self.assertCovered(host.own_namespace())
        self.seen = self.watch(self.running)

    def sync(self, ns):
        self.assertIn(self.running.sync(ns.pid)[ns.pid]["outcome"], ("new", "known"))

    def assertAttached(self, event, ns, name):
        """The event tells what the kernel shows."""
        self.assertEqual((event["inum"], event["ifindex"], event["name"]), (ns.inum, self.ifindex(ns, name), name))
        self.assertEqual((event["state"], event["covered"], event["error"]), ("attached", True, None))
        for hook in host.HOOKS:
            (row,) = ns.ours()[(name, hook)]
            self.assertEqual(event[hook]["program_id"], row.program)
            self.assertEqual(event[hook]["priority"], row.priority)

    def test_a_life(self):
        ns = self.unnamed()
        new = self.seen.await_event("namespace.new", ns)
        self.assertEqual(new["inum"], ns.inum)
        self.assertEqual(new["handle"], self.running.row(ns)["handle"])
        self.assertCovered(ns)
        self.assertAttached(self.seen.await_event("device.attached", ns, "lo"), ns, "lo")
        ns.add_pair("a", "b")
        for name in ("a", "b"):
            ns.ip("link", "set", "dev", name, "up")
        self.assertCovered(ns)
        for name in ("a", "b"):
            event = self.seen.await_event("device.attached", ns, name)
            self.assertEqual(event["kind"], "veth")
            self.assertAttached(event, ns, name)
        ns.kill()
        # Where the end of a loopback device is told, or a namespace is opened by its identity, the kernel says that.
        told = kernel.traces("qdisc_destroy") or kernel.opens_by_id(host.own_namespace())
        expected = "dead" if told else "lonely"
        self.assertEqual(self.seen.await_event("namespace.gone", ns)["reason"], expected)
        self.assertWhole(self.seen)
        cookies = [row["event"] for row in self.seen.read() if row.get("cookie") == ns.cookie]
        self.assertEqual((cookies[0], cookies[-1]), ("namespace.new", "namespace.gone"))
        self.running.stop()

    def test_a_device_that_is_renamed_and_deleted(self):
        ns = self.unnamed()
        ns.add_pair("a", "b")
        self.sync(ns)
        ifindex = self.ifindex(ns, "a")
        ns.ip("link", "set", "dev", "a", "name", "c")
        self.sync(ns)
        event = self.seen.await_event("device.renamed", ns, "c")
        self.assertEqual((event["ifindex"], event["former_name"]), (ifindex, "a"))
        ns.ip("link", "del", "dev", "c")
        self.sync(ns)
        self.assertEqual(self.seen.await_event("device.gone", ns, "c")["ifindex"], ifindex)
        self.seen.await_event("device.gone", ns, "b")
        self.assertEqual(self.seen.story(ns, "c"), ["device.renamed", "device.gone"])
        self.assertEqual(self.seen.story(ns, "b"), ["device.attached", "device.gone"])
        self.assertWhole(self.seen)

    def test_a_device_that_moves(self):
        here, there = self.unnamed(), self.unnamed()
        self.sync(here)
        self.sync(there)
        here.add_pair("v", "w")
        here.ip("link", "set", "dev", "v", "up")
        self.seen.await_event("device.attached", here, "v")
        there.add_pair("in", "between")  # so that its ifindex may be another there
        here.ip("link", "set", "dev", "v", "netns", there.reference)
        there.ip("link", "set", "dev", "v", "up")
        self.seen.await_event("device.gone", here, "v")
        event = self.seen.await_event("device.attached", there, "v")
        self.assertEqual(event["ifindex"], self.ifindex(there, "v"))

    def test_a_device_that_is_excluded(self):
        ns = self.unnamed()
        ns.add_pair("skip0", "a")
        self.sync(ns)
        self.assertEqual(self.seen.await_event("device.excluded", ns, "skip0")["ifindex"], self.ifindex(ns, "skip0"))
        self.seen.await_event("device.attached", ns, "a")
        ns.ip("link", "set", "dev", "a", "name", "skip1")
        self.sync(ns)
        self.seen.await_event("device.excluded", ns, "skip1")
        self.assertEqual(self.seen.story(ns, "skip1"), ["device.renamed", "device.excluded"])
        self.assertEqual(self.seen.story(ns, "skip0"), ["device.excluded"])
        self.sync(ns)
        self.assertEqual(len(self.seen.of("device.excluded")), 2, "told once")

    def test_a_device_that_cannot_be_covered(self):
        ns = self.unnamed()
        with self.held(self.running):  # or it is there before the obstacles are
            ns.add_pair("a", "b")
            ns.tc("qdisc", "add", "dev", "a", "ingress")
            ns.tc("qdisc", "add", "dev", "b", "ingress_block", "7", "clsact")
        self.sync(ns)
        for name, reason in (("a", "egress: legacy ingress"), ("b", "ingress: shared block")):
            event = self.seen.await_event("device.failed", ns, name)
            self.assertIn(reason, event["error"])
            self.assertEqual((event["state"], event["covered"]), ("failed", False))
            self.assertGreater(event["retry_in_ms"], 0)
        failures = self.running.counter("attach.failed")
        host.until(lambda: self.running.counter("attach.failed") > failures, "it is tried again")
        ns.tc("qdisc", "del", "dev", "a", "ingress")
        self.sync(ns)
        self.assertAttached(self.seen.await_event("device.attached", ns, "a"), ns, "a")
        # Not every try is told. The ingress filter it had went with the qdisc, which a listing tells of unless one more
        # try was there before.
        story = self.seen.story(ns, "a")
        self.assertIn(story, (["device.failed", "device.detached", "device.attached"],
                              ["device.failed", "device.attached"]))

    def test_filters_that_others_delete(self):
        ns = self.unnamed()
        self.sync(ns)
        ns.tc("filter", "del", "dev", "lo", "egress")
        self.sync(ns)
        self.assertAttached(self.seen.await_event("device.restored", ns, "lo"), ns, "lo")
        ns.tc("qdisc", "del", "dev", "lo", "clsact")
        self.sync(ns)
        self.seen.await_event("device.attached", ns, "lo", count=2)
        self.assertEqual(self.seen.story(ns, "lo"),
                         ["device.attached", "device.restored", "device.detached", "device.attached"])
        self.assertCovered(ns)

    def test_one_namespace_alone(self):
        ns, other = self.unnamed(), self.unnamed()
        watches = [self.watch(self.running, name) for name in (ns.cookie, ns.inum, f"/proc/{ns.pid}/ns/net")]
        for made in (other, ns):
            made.add_pair("a", "b")
            self.sync(made)
        for watch in watches:
            watch.await_event("device.attached", ns, "b")
            self.assertEqual({row.get("cookie") for row in watch.read()[1:]}, {ns.cookie})
        self.seen.await_event("device.attached", other, "b")

    def test_all_who_watch_are_told_the_same(self):
        late = self.watch(self.running)
        ns = self.unnamed()
        for watch in (self.seen, late):
            watch.await_event("device.attached", ns, "lo")
            self.assertWhole(watch)
        first = late.read()[0]["sequence"]
        told = {row["sequence"]: row for row in self.seen.read()}
        for row in late.read()[1:]:
            self.assertEqual(row, told[row["sequence"]])
        self.assertNotIn(first + 1, [row["sequence"] for row in self.seen.read() if row["event"] == "watching"][1:])


class Numbers(WatchTest):
    """An inum is another's at once when its namespace is gone (I5)."""

    def follow(self, daemon, known):
        """True when the number of one that was watched by it went to an heir, of whom nothing was told."""
        ns = self.unnamed()
        if known:
            daemon.sync(ns.pid)
        all_of_it, watch = self.watch(daemon), self.watch(daemon, ns.inum)
        daemon.sync(ns.pid)
        cookie, inum = ns.cookie, ns.inum
        if not known:
            watch.await_event("device.attached", ns, "lo")
        daemon.command("flush", ns.cookie)
        ns.kill()
        heir = self.heir_of_inum(inum)
        if not heir:
            return False
        daemon.sync(heir.pid)
        self.assertEqual(all_of_it.await_event("device.attached", heir, "lo")["inum"], inum)
        host.until(lambda: watch.of("namespace.gone", cookie), "its end is told")
        other = self.unnamed()  # whatever was to be told of the heir, was before this
        daemon.sync(other.pid)
        all_of_it.await_event("device.attached", other, "lo")
        self.assertEqual({row["cookie"] for row in watch.read()[1:]}, {cookie})
        return True

    def test_of_a_known_one(self):
        daemon = self.daemon(DAY)
        self.assertTrue(any(self.follow(daemon, True) for _ in range(10)), "the kernel has not given a number again")

    def test_of_one_that_comes(self):
        daemon = self.daemon(DAY)
        self.assertTrue(any(self.follow(daemon, False) for _ in range(10)), "the kernel has not given a number again")


class Reasons(WatchTest):
    """Why a namespace goes, where it does not die; why it cannot be covered."""

    def test_lonely(self):
        daemon = self.daemon({**DAY, "lonely.timeout": "300ms"}, pinned=True)
        seen, ns = self.watch(daemon), self.unnamed()
        daemon.sync(ns.pid)
        self.assertEqual(seen.await_event("namespace.new", ns)["handle"], "pinned")
        cookie = ns.cookie
        ns.kill()
        host.until(lambda: seen.of("namespace.gone", cookie), "it goes")
        self.assertEqual(seen.of("namespace.gone", cookie)[0]["reason"], "lonely")

    def test_flushed(self):
        daemon = self.daemon(DAY)
        seen, ns = self.watch(daemon), self.unnamed()
        daemon.sync(ns.pid)
        daemon.command("flush", ns.cookie)
        self.assertEqual(seen.await_event("namespace.gone", ns)["reason"], "flushed")
        self.assertBare(ns)

    def test_evicted(self):
        daemon = self.daemon({**DAY, "cache.capacity": "16"})
        seen = self.watch(daemon)
        made = [self.unnamed() for _ in range(20)]
        daemon.sync(*[ns.pid for ns in made], error="flushed or evicted")
        gone = host.until(lambda: seen.of("namespace.gone"), "one is evicted")
        self.assertEqual({row["reason"] for row in gone}, {"evicted"})
        self.assertLessEqual({row["cookie"] for row in gone}, {ns.cookie for ns in made})


    def test_excluded(self):
        ns, name = self.unnamed(), "late"
        daemon = self.daemon({"audit.interval": "400ms", "exclude.namespaces": f"/run/netns/{name}"})
        seen = self.watch(daemon)
        daemon.sync(ns.pid)
        seen.await_event("device.attached", ns, "lo")
        host.run("ip", "netns", "attach", name, ns.pid)
        self.addCleanup(host.run, "ip", "netns", "del", name)
        self.assertEqual(seen.await_event("namespace.gone", ns)["reason"], "excluded")
        self.assertBare(ns)

    def test_failed(self):
        injector = Injector("sendto", "bpf@0:10")  # what lists: rtnetlink, and before it BPF_PROG_TEST_RUN
        daemon = self.daemon(DAY, under=injector.under)
        seen, ns = self.watch(daemon), self.unnamed()
        injector.set("sendto=EPERM", "bpf@0:10=EPERM")
        daemon.sync(ns.pid, wait=False)
        event = seen.await_event("namespace.failed", ns)
        self.assertEqual((event["inum"], event["error"]), (ns.inum, "Operation not permitted"))
        self.assertGreater(event["retry_in_ms"], 0)
        injector.set()
        self.assertCovered(ns)
        seen.await_event("device.attached", ns, "lo")
        self.assertWhole(seen)
        self.assertEqual(len(seen.of("namespace.failed")), 1, "the tries in between are not told")
        daemon.stop()


class Behind(WatchTest):
    """The loop's thread does not come round, and the owner goes on working: what it may leave there is bounded."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
    GROUP = 7  # of devices that go together, as one by one each takes a grace period

    def ptrace(self, request, thread):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(request, thread, None, None):
            raise OSError(ctypes.get_errno(), "ptrace")

    @contextlib.contextmanager
    def without_loop(self, daemon):
        """Only that one thread stands still."""
        thread = daemon.pid  # the first
        self.ptrace(self.SEIZE, thread)
        self.ptrace(self.INTERRUPT, thread)
        os.waitpid(thread, self.WALL)
        try:
            yield
        finally:
            self.ptrace(self.DETACH, thread)

    @MANY_EVENTS
    def test_what_the_owner_drops_is_told_as_a_number(self):
        ns = self.unnamed()
        daemon = self.daemon({**DAY, "events.interval": "50ms"}, deaf="rtnetlink")
        daemon.sync(ns.pid)
        seen, steady = self.watch(daemon), list(ns.devices)
        with self.without_loop(daemon):
            # The first 4,096 at most wait for the loop; each round makes two events a device.
            for number in range(4):
                ns.add_veths(400, f"v{number}x", group=self.GROUP)
                host.until(ns.covered, "listings go on")
                ns.ip("link", "del", "group", self.GROUP)
                ns.devices = list(steady)
        ns.add_pair("last", "but")
        daemon.sync(ns.pid)
        last = seen.await_event("device.attached", ns, "last")["sequence"]
        (lost,) = seen.of("lost")
        self.assertGreater(lost["missed"], 0)
        numbers = [row["sequence"] for row in seen.read() if row["sequence"] <= last]
        self.assertEqual(len(numbers) + lost["missed"] - 1, numbers[-1] - numbers[0] + 1)
        at = numbers.index(lost["sequence"])
        self.assertEqual(numbers[at] - numbers[at - 1], lost["missed"])
        self.assertEqual(daemon.counter("watch.lost"), lost["missed"])
        self.assertCovered(ns)
        daemon.stop()


class Bad(WatchTest):
    """Those who watch and do not read, or leave."""

    def setUp(self):
        self.ns = self.unnamed()
        self.running = None
        self.begin_anew("10m")

    def begin_anew(self, timeout):
        """A daemon that waits so long for its clients."""
        if self.running:
            self.running.stop()
        self.running = self.daemon({**DAY, "control.timeout": timeout})
        self.running.sync(self.ns.pid)

    def happen(self):
        """Once: it is forgotten and found again."""
        self.running.command("flush", self.ns.cookie)
        self.running.sync(self.ns.pid)

    def happen_often(self, until):
        """The namespace and its many devices go and come until that is so."""
        self.ns.add_veths(100)
        for _ in range(200):
            self.happen()
            if until():
                return
        self.fail("not after all these events")

    def rss(self):
        with open(f"/proc/{self.running.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) << 10

    def sockets(self):
        """The daemon's: the one it listens on, and its clients'."""
        return sum(name.startswith("socket:") for name in self.running.fds())

    def left(self):
        """Nobody watches any more, and no descriptor of a client stays."""
        return self.running.status()["work"]["watchers"] == 0 and self.sockets() == 1

    @MANY_EVENTS
    def test_who_does_not_read_is_told_how_much_it_missed(self):
        fast, slow = self.watch(self.running), self.stalled(self.running)
        self.happen()
        before = self.rss()
        # More than the daemon keeps and the socket holds: all of it would be three times as large.
        self.happen_often(lambda: len(fast.read()) > 14000)
        self.assertEqual(self.running.status()["work"]["watchers"], 2)
        if not host.SANITIZE:
            self.assertLess(self.rss() - before, 4 * MIB)
        last = fast.read()[-1]["sequence"]
        events = self.read_up_to(slow, last)
        (lost,) = [row for row in events if row["event"] == "lost"]
        known = {row["sequence"]: row for row in fast.read()}
        expected = lost["sequence"] - lost["missed"] + 1
        self.assertEqual(events[events.index(lost) - 1]["sequence"] + 1, expected)
        self.assertEqual(events[events.index(lost) + 1]["sequence"], lost["sequence"] + 1)
        self.assertEqual([known[row["sequence"]] for row in events if row is not lost],
                         [row for row in events if row is not lost])
        self.assertEqual(self.running.counter("watch.lost"), lost["missed"])
        self.assertEqual(len(events) + lost["missed"] - 1, last - events[0]["sequence"] + 1, "one is the loss")
        self.assertWhole(fast)
        self.running.stop()

    def read_up_to(self, client, sequence):
        """All the events that wait for a client, up to that one."""
        events = []
        with client.socket.makefile("rb") as file:
            while not events or events[-1]["sequence"] < sequence:
                events.append(json.loads(file.readline())["event"])
        return events

    @MANY_EVENTS
    def test_who_never_reads_is_closed_in_the_end(self):
        self.begin_anew("50ms")
        self.stalled(self.running)
        self.happen_often(lambda: self.running.counter("control.timeouts"))
        host.until(self.left, "it is gone")
        self.running.stop()

    def test_who_leaves_is_forgotten_at_once(self):
        watch = self.watch(self.running)
        host.until(lambda: self.running.status()["work"]["watchers"] == 1, "it watches")
        self.assertGreaterEqual(self.sockets(), 2)
        host.end(watch.process)
        host.until(self.left, "nothing is left of it, though nothing happened")

    def test_who_leaves_after_it_stopped_sending_is_forgotten_too(self):
        self.begin_anew("100ms")
        for parting in (lambda client: client.socket.shutdown(1), lambda client: client.send(b'{"version":1')):
            client = self.stalled(self.running)
            parting(client)
            self.happen()
            self.assertEqual(self.read_up_to(client, 0)[0]["event"], "namespace.gone", "it still watches")
            client.close()
            host.until(self.left, "nothing is left of it")

    @MANY_EVENTS
    def test_who_does_not_read_does_not_keep_the_daemon_from_ending(self):
        self.stalled(self.running)
        self.happen_often(lambda: self.running.counter("namespaces.flushed") > 20)
        self.running.stop()

    def test_nothing_is_told_while_nobody_watches(self):
        watch = self.watch(self.running)
        self.happen()
        last = watch.await_event("device.attached", self.ns)["sequence"]
        host.end(watch.process)
        host.until(lambda: self.running.status()["work"]["watchers"] == 0, "it left")
        self.happen()
        self.assertEqual(self.watch(self.running).read()[0]["sequence"], last)


class End(WatchTest):
    def test_the_daemon_tells_that_it_ends(self):
        daemon = self.daemon(DAY)
        watch, client, stuck = self.watch(daemon), self.stalled(daemon), self.stalled(daemon)
        ns = self.unnamed()
        daemon.sync(ns.pid)
        watch.await_event("device.attached", ns, "lo")
        daemon.stop()
        *_, last = client.lines()
        self.assertEqual(last, {"done": False, "error": "the daemon is stopping"})
        status, complaint = watch.ended()
        self.assertEqual(status, 1)
        self.assertIn("the daemon is stopping", complaint)
        self.assertBare(ns)
        stuck.close()

    def test_the_command_ends_well_when_it_is_told_to(self):
        daemon = self.daemon(DAY)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            self.assertEqual(self.watch(daemon).end(number), (0, ""))

    def test_the_command_ends_when_nobody_reads_its_output(self):
        daemon = self.daemon(DAY)
        line = f"{host.BUILD}/netnsync --socket {daemon.socket} watch"
        done = host.run("bash", "-c", f"set -o pipefail; {line} | head -n 2")
        titles, first = done.stdout.splitlines()
        self.assertEqual(titles.split(), ["TIME", "EVENT", "NAMESPACE", "INUM", "DEVICE", "KIND", "DETAIL"])
        self.assertIn("watching", first)
        self.assertIn("instance default", first)
        watch = self.watch(daemon)
        watch.process.stdout.close()
        self.assertEqual(watch.process.wait(host.PATIENCE), 0)
        watch.process.stdout = None

    def test_the_command_fails_where_there_is_no_daemon(self):
        self.assertEqual(host.command("watch", socket="/run/nobody", check=False).returncode, 1)
        self.assertEqual(host.command("watch", "/no/such/path", socket="/run/nobody", check=False).returncode, 1)
        self.assertEqual(host.command("watch", "1", "2", socket="/run/nobody", check=False).returncode, 2)

    def test_the_table_has_a_line_for_each(self):
        daemon = self.daemon({**DAY, "exclude.devices": "skip*"})
        path = f"{daemon.directory}/table"
        with open(path, "w") as file:
            process = host.start(f"{host.BUILD}/netnsync", "--socket", daemon.socket, "watch", stdout=file)
        self.addCleanup(host.end, process)
        host.until(lambda: daemon.status()["work"]["watchers"], "it watches")
        ns = self.unnamed()
        ns.add_pair("a", "skip0")
        ns.tc("qdisc", "add", "dev", "a", "ingress")
        daemon.sync(ns.pid)
        ns.ip("link", "set", "dev", "skip0", "name", "skip1")
        daemon.sync(ns.pid)
        daemon.command("flush", ns.cookie)

        def table():
            with open(path) as file:
                return file.read()

        host.until(lambda: "namespace.gone" in table(), "all is printed")
        for event, rest in (("namespace.new", r"- +- +handle \w+"),
                            ("device.attached", r"lo +loopback +ingress program \d+, egress program \d+"),
                            ("device.failed", r"a +veth +egress: legacy ingress qdisc; tried again in \d+ ms"),
                            ("device.renamed", "skip1 +veth +was skip0"),
                            ("namespace.gone", "- +- +flushed")):
            self.assertRegex(table(), rf"Z  {event} +{ns.cookie} +{ns.inum}  {rest}\n")


if __name__ == "__main__":
    host.main()
