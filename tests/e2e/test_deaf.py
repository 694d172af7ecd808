# SPDX-License-Identifier: Apache-2.0
"""Devices that come, move and go where no tracepoint tells of them: each lower rung of device events, forced. Audits are
a day apart, and so are listings where rtnetlink is to do the work, so that what is covered was found by the rung alone.
And events that are lost, on both upper rungs."""

import json
import os
import signal

import host

DAY = {"audit.interval": "24h"}
SOON = {"events.interval": "400ms"}
NEVER = {"events.interval": "24h"}
# Each of the calls without which there is no listening, and nobody else's.
REFUSALS = ("unshare=EPERM", "socket@1:0x80803=EMFILE", "setsockopt@2:8=EPERM", "bind@2:12=ENOMEM", "setsockopt@2:1=EPERM")


class Deaf(host.HostTest):
    def serve(self, settings, namespaces, **options):
        """A daemon that knows some namespaces."""
        options.setdefault("deaf", True)
        # Where handles are pinned a namespace that was left dies only after it.
        daemon = self.daemon({**DAY, "lonely.timeout": "300ms", **settings}, **options)
        daemon.sync(*[ns.pid for ns in namespaces])
        for ns in namespaces:
            self.assertCovered(ns)
        return daemon

    def add_up(self, ns, a, b):
        ns.add_pair(a, b)
        for name in (a, b):
            ns.ip("link", "set", "dev", name, "up")

    def forgotten(self, daemon, cookies):
        return not set(cookies) & {row["cookie"] for row in daemon.ask("list")["namespaces"]}


class Rung:
    """What has to be true on each."""

    def setUp(self):
        self.own = host.own_namespace()
        self.made = [self.unnamed() for _ in range(4)]
        for i, ns in enumerate(self.made):
            ns.add_veth("eth0", self.own, f"h{i}")
        self.addCleanup(self.remove_own)
        self.running = self.serve({"exclude.devices": "x*", **self.settings}, [*self.made, self.own], deaf=self.deaf)

    def remove_own(self):
        for name in self.own.devices[1:]:
            host.run("ip", "link", "del", "dev", name, check=False)

    def all_covered(self):
        for ns in (*self.made, self.own):
            self.assertCovered(ns)

    def ifindex(self, ns, name):
        return json.loads(ns.ip("-j", "link", "show", "dev", name))[0]["ifindex"]

    def states(self, ns):
        return {row["name"]: row["state"] for row in self.running.row(ns)["devices"]}

    def test_devices_that_come_up(self):
        self.assertEqual(self.running.status()["capabilities"]["device_events"], self.words)
        for i, ns in enumerate((*self.made, self.own)):
            self.add_up(ns, f"a{i}", f"b{i}")
        self.all_covered()
        self.running.stop()
        for ns in (*self.made, self.own):
            self.assertBare(ns)

    def test_devices_of_every_kind(self):
        ns = self.made[-1]
        ns.ip("link", "add", "name", "br0", "type", "bridge")
        ns.ip("link", "add", "name", "i", "type", "ifb")
        ns.ip("tuntap", "add", "dev", "t", "mode", "tun")
        ns.ip("link", "add", "name", "vx", "type", "vxlan", "id", "7", "dstport", "4789")
        ns.ip("link", "add", "name", "mv", "link", "br0", "type", "macvlan")
        ns.devices += ["br0", "i", "t", "vx", "mv"]
        self.all_covered()
        self.running.stop()

    def test_devices_that_move_there_and_back(self):
        first, last = self.made[0], self.made[-1]
        self.add_up(first, "a", "b")
        taken = self.ifindex(first, "a")
        last.ip("link", "add", "name", "br0", "index", taken, "type", "bridge")
        last.devices.append("br0")
        self.all_covered()
        for here, there in 2 * ((first, last), (last, first)):
            here.ip("link", "set", "dev", "a", "netns", there.reference)
            here.devices.remove("a")
            there.devices.append("a")
            self.all_covered()
            if there is last:
                self.assertNotEqual(self.ifindex(there, "a"), taken)
        self.running.stop()

    def test_devices_that_are_renamed(self):
        for ns in (self.made[0], self.made[-1]):
            ns.ip("link", "set", "dev", "eth0", "name", "x0")
            ns.devices[1] = "x0"
            host.until(lambda: self.states(ns).get("x0") == "excluded", "its new name is seen")
            self.assertEqual([len(ns.ours()["x0", hook]) for hook in host.HOOKS], [0, 0])
            ns.ip("link", "set", "dev", "x0", "name", "eth0")
            ns.devices[1] = "eth0"
            self.assertCovered(ns)
        self.running.stop()

    def test_devices_that_are_deleted(self):
        for i in range(len(self.made)):
            self.own.ip("link", "del", "dev", f"h{i}")
            self.own.devices.remove(f"h{i}")
            self.made[i].devices.remove("eth0")
        host.until(lambda: all(set(self.states(ns)) == {"lo"} for ns in (*self.made, self.own)), "they are forgotten")
        self.running.stop()

    def test_namespaces_that_die(self):
        cookies = [ns.cookie for ns in self.made]
        for ns in self.made:
            ns.kill()
        host.until(lambda: self.forgotten(self.running, cookies), "they are forgotten")
        self.running.stop()


class Rtnetlink(Rung, Deaf):
    deaf, settings, words = True, NEVER, "rtnetlink, up to 1000 namespaces"

    def test_what_is_no_news_makes_nobody_look(self):
        ns = self.made[0]
        looks, read = (self.running.counter(name) for name in ("list.dumps", "events.read"))
        for i in range(20):
            ns.ip("link", "set", "dev", "eth0", "mtu", 1400 + i)
        host.until(lambda: self.running.counter("events.read") >= read + 20, "they are read")
        self.assertEqual(self.running.counter("list.dumps"), looks)
        self.running.stop()


class Bounded(Rung, Deaf):
    """More namespaces than may have a number: the host's own and two of the others are heard."""
    deaf, settings, words = True, {"events.nsid_max": "2", **SOON}, "rtnetlink, up to 2 namespaces"

    def setUp(self):
        if host.SLOWNESS > 1 and self._testMethodName in vars(Rung):
            self.skipTest("where all takes long: where all are heard, and where none is, it is tested")
        super().setUp()

    def assertHeard(self, daemon):
        """The host's own always is; where it was not the first, two others are as well."""
        heard = daemon.counter("events.heard")
        self.assertIn(heard, (2, 3))
        self.assertEqual(daemon.counter("events.refused"), 0)
        return heard

    def test_only_so_many_are_heard(self):
        self.assertHeard(self.running)
        self.running.stop()

    def test_those_that_are_heard_need_no_listing(self):
        self.running.stop()
        daemon = self.serve({**self.settings, **NEVER}, [*self.made, self.own])
        heard = self.assertHeard(daemon)
        for i, ns in enumerate((*self.made, self.own)):
            self.add_up(ns, f"a{i}", f"b{i}")
        self.assertCovered(self.own)
        host.until(lambda: sum(ns.covered() for ns in self.made) == heard - 1, "those that are heard are covered")
        self.assertEqual(daemon.counter("events.listings"), 0)
        daemon.stop()


class Listing(Rung, Deaf):
    deaf, settings, words = "rtnetlink", SOON, "listing every 400ms"


class Chosen(Deaf):
    """By the operator, or by what the kernel refuses."""

    def assertLists(self, daemon, ns):
        self.assertEqual(daemon.status()["capabilities"]["device_events"], "listing every 400ms")
        self.add_up(ns, "a", "b")
        self.assertCovered(ns)
        self.assertGreater(daemon.counter("events.listings"), 0)
        daemon.stop()
        self.assertBare(ns)

    def test_not_wanted(self):
        ns = self.unnamed()
        self.assertLists(self.serve({"events.nsid_max": "0", **SOON}, [ns]), ns)

    def test_refused_at_the_start(self):
        for refusal in REFUSALS:
            with self.subTest(refusal):
                ns = self.unnamed()
                under = (f"{host.BUILD}/deny", refusal, "--")
                self.assertLists(self.serve(SOON, [ns], under=under, queue="/nns-refused"), ns)

    def test_listings_do_not_hurry_retries(self):
        ns = self.unnamed()
        ns.tc("qdisc", "add", "dev", "lo", "ingress")
        daemon = self.daemon({**DAY, "events.interval": "10ms"}, deaf="rtnetlink")
        daemon.sync(ns.pid)
        host.until(lambda: daemon.counter("events.listings") >= 100, "many listings")
        failed = daemon.counter("attach.failed")
        self.assertLessEqual(50 * 2 ** (failed - 2), daemon.status()["uptime_ms"], "each wait doubles the one before")
        daemon.stop()

    def test_numbers_refused(self):
        ns = self.unnamed()
        daemon = self.serve(SOON, [ns], under=(f"{host.BUILD}/deny", "sendto@2:64=EPERM", "--"))
        self.add_up(ns, "a", "b")
        self.assertCovered(ns)
        self.assertGreater(daemon.counter("events.refused"), 0)
        self.assertEqual(daemon.counter("events.heard"), 0)
        daemon.stop()

    def test_nothing_can_be_read(self):
        ns = self.unnamed()
        daemon = self.serve(SOON, [ns], under=(f"{host.BUILD}/deny", "recvmsg=ENOMEM", "--"))
        self.add_up(ns, "a", "b")
        host.until(lambda: daemon.counter("events.errors") >= 3, "it is tried again")
        status = daemon.status()
        errors = status["counters"]["events.errors"]
        self.assertLessEqual(50 * (2 ** (errors - 1) - 1), status["uptime_ms"], "each rest doubles the one before")
        daemon.sync(ns.pid)
        self.assertCovered(ns)
        daemon.stop()

    def test_nobody_elses_numbers_become_more(self):
        made, own = [self.unnamed() for _ in range(3)], host.own_namespace()
        numbers = [ns.ip("netns", "list-id") for ns in (*made, own)]
        daemon = self.serve(NEVER, [*made, own])
        self.assertEqual(daemon.counter("events.heard"), 4)
        self.assertEqual([ns.ip("netns", "list-id") for ns in (*made, own)], numbers)
        daemon.stop()

    def test_where_handles_are_pinned(self):
        made = [self.unnamed() for _ in range(3)]
        daemon = self.serve({"events.nsid_max": "3", **NEVER}, made, pinned=True)
        for ns in made:
            self.add_up(ns, "a", "b")
            self.assertCovered(ns)
        dead = made.pop()
        cookie = dead.cookie
        dead.kill()
        host.until(lambda: self.forgotten(daemon, [cookie]), "it is let go")
        heir = self.unnamed()
        daemon.sync(heir.pid)
        host.until(lambda: daemon.sync(heir.pid) and daemon.counter("events.heard") == 4, "the number is another's")
        self.add_up(heir, "a", "b")
        self.assertCovered(heir)
        daemon.stop()

    def test_the_best_there_is(self):
        daemon = self.serve({}, [self.unnamed()], deaf=False)
        self.assertEqual(daemon.status()["capabilities"]["device_events"], "qdisc tracepoints")
        self.assertEqual(daemon.counter("events.heard"), 0)
        daemon.stop()


class Lost(Deaf):
    def stopped(self, daemon):
        pid = daemon.pid
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(lambda: daemon.process.poll() is None and os.kill(pid, signal.SIGCONT))
        return pid

    def flood_links(self, ns):
        """More than the socket holds: 2 MiB of 2.3 KB each."""
        ns.run("ip", "-batch", "-", input="".join(f"link set dev lo mtu {1400 + i}\n" for i in range(2000)))

    def flood_tracepoints(self, ns):
        """More than the buffer holds: each qdisc at the root of a device that is down is one of 16,384."""
        words = "qdisc add dev flood root pfifo\nqdisc del dev flood root\n"
        ns.run("tc", "-batch", "-", input=17000 * words, timeout=4 * host.PATIENCE)

    def test_of_rtnetlink(self):
        made = [self.unnamed() for _ in range(3)]
        daemon = self.serve({"events.nsid_max": "3", **NEVER}, made)
        self.assertEqual(daemon.counter("events.heard"), 3)
        dead = made.pop()
        cookie = dead.cookie
        pid = self.stopped(daemon)
        self.flood_links(made[0])
        for ns in made:
            self.add_up(ns, "a", "b")
        made[0].ip("link", "set", "dev", "a", "netns", made[1].reference, "name", "moved")
        made[0].devices.remove("a")
        made[1].devices.append("moved")
        dead.kill()
        os.kill(pid, signal.SIGCONT)
        for ns in made:
            self.assertCovered(ns)
        self.assertGreaterEqual(daemon.counter("events.overruns"), 1)
        host.until(lambda: self.forgotten(daemon, [cookie]), "who died unheard is forgotten")

        # It hears again, and the number of the dead is another's.
        made.append(self.unnamed())
        daemon.sync(made[-1].pid)
        for ns in made:
            self.add_up(ns, "c", "d")
            self.assertCovered(ns)
        self.assertEqual(daemon.counter("events.heard"), 4)
        self.assertEqual(daemon.counter("events.listings"), 0)
        daemon.stop()

    def test_of_the_tracepoints(self):
        ns, foreign = self.unnamed(), self.unnamed()
        daemon = self.serve(NEVER, [ns], deaf=False)
        foreign.add_pair("flood", "b")
        pid = self.stopped(daemon)
        self.flood_tracepoints(foreign)
        self.add_up(ns, "a", "b")
        ns.tc("qdisc", "del", "dev", "lo", "clsact")
        os.kill(pid, signal.SIGCONT)
        self.assertCovered(ns)
        self.assertGreater(daemon.counter("events.lost"), 0)

        # It hears again.
        self.add_up(ns, "c", "d")
        self.assertCovered(ns)
        daemon.stop()


if __name__ == "__main__":
    host.main()
