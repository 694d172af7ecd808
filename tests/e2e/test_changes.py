# SPDX-License-Identifier: Apache-2.0
"""Namespaces that change while they are known: devices that come, go, fail, are renamed or replaced."""

import socket

import host

# Only requests and audits make the daemon look.
DEAF = {"events.interval": "24h"}
LEGACY = ("qdisc", "add", "dev", "lo", "ingress")


def counts(row):
    """A device's counted packets, both ways."""
    return [row[hook]["packets"] for hook in host.HOOKS]


class Failing(host.HostTest):
    def test_a_queue_of_one_with_a_device_that_fails(self):
        ns = self.unnamed()
        ns.add_pair("a", "b")
        ns.tc(*LEGACY)
        daemon = self.daemon({"devices.queue": "1"})
        daemon.sync(ns.pid)
        states = {row["name"]: row["state"] for row in daemon.row(ns)["devices"]}
        self.assertEqual(states, {"lo": "failed", "a": "attached", "b": "attached"})
        ours = ns.ours()
        for device in ("a", "b"):
            self.assertEqual([len(ours[device, hook]) for hook in host.HOOKS], [1, 1], device)

        host.until(lambda: daemon.counter("attach.failed") >= 4, "it is tried again")
        self.assertLessEqual(daemon.counter("list.dumps"), 8, "one a device, some more, and none a retry")
        daemon.stop()
        self.assertBare(ns)

    def test_one_that_failed_is_covered_when_asked_for_after_the_obstacle_is_gone(self):
        ns = self.unnamed()
        ns.tc(*LEGACY)
        daemon = self.daemon()
        daemon.sync(ns.pid)
        self.assertEqual(daemon.device(ns, "lo")["state"], "failed")
        ns.tc("qdisc", "del", "dev", "lo", "ingress")
        daemon.sync(ns.pid)
        self.assertTrue(ns.covered())
        daemon.stop()


class Coming(host.HostTest):
    def test_a_request_for_a_known_namespace_brings_its_new_devices(self):
        ns = self.unnamed()
        daemon = self.daemon({**DEAF, "audit.interval": "1s"}, deaf="rtnetlink")
        daemon.sync(ns.pid)
        self.assertCovered(ns)
        ns.add_pair("a", "b")
        daemon.queue.send(str(ns.pid).encode())
        self.assertCovered(ns)
        # Not more than once a request: rounds go on, listings do not.
        relisted, audited = (daemon.counter(f"namespaces.{name}") for name in ("relisted", "audited"))
        host.until(lambda: daemon.counter("namespaces.audited") >= audited + 2, "some more rounds")
        self.assertEqual(daemon.counter("namespaces.relisted"), relisted)
        daemon.stop()
        self.assertBare(ns)

    def test_a_look_at_what_is_attached_attaches_nothing(self):
        ns = self.unnamed()
        ns.add_pair("a", "b")
        daemon = self.daemon()
        daemon.sync(ns.pid)
        filters = ns.filter_texts()
        for _ in range(5):
            daemon.sync(ns.pid)
        self.assertEqual(daemon.counter("attach.done"), len(ns.devices))
        self.assertEqual(ns.filter_texts(), filters)
        daemon.stop()


class Replaced(host.HostTest):
    """Another device under an ifindex that we know."""

    def setUp(self):
        self.ns = self.unnamed()
        self.ns.quiet()
        self.ns.add_pair("a", "b")
        # In a quarter of it what was asked for is listed.
        self.daemon_ = self.daemon({**DEAF, "audit.interval": "1s"}, deaf="rtnetlink")
        self.daemon_.sync(self.ns.pid)
        self.assertCovered(self.ns)
        for name, address in (("a", "10.99.1.1/24"), ("b", "10.99.2.1/24")):
            self.ns.ip("address", "add", address, "dev", name)
            self.ns.ip("link", "set", "dev", name, "up")
        self.say("10.99.1.255")
        self.ifindex = self.daemon_.device(self.ns, "a")["ifindex"]
        self.assertGreater(self.counted("a")[1], 0, "nothing was counted that could be mistaken for another's")

    def counted(self, name):
        return counts(self.daemon_.device(self.ns, name))

    def say(self, address):
        with self.ns.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.sendto(b"x" * 100, (address, 9))

    def replace(self, *kind):
        self.ns.ip("link", "del", "dev", "a")
        self.ns.ip("link", "add", "name", "z", "index", self.ifindex, *kind)
        self.ns.devices = ["lo", "z"]

    def clsact(self):
        """On a slow machine an audit may have been quicker."""
        self.ns.tc("qdisc", "replace", "dev", "z", "clsact")

    def assertStartsAtNothing(self):
        self.daemon_.sync(self.ns.pid)
        self.assertTrue(self.ns.covered())
        row = self.daemon_.device(self.ns, "z")
        self.assertEqual((row["ifindex"], row["state"]), (self.ifindex, "attached"))
        self.assertEqual(counts(row), [0, 0])
        self.ns.ip("address", "add", "10.99.3.1/24", "dev", "z")
        self.ns.ip("link", "set", "dev", "z", "up")
        self.say("10.99.3.255")
        self.assertGreater(self.counted("z")[1], 0)
        self.daemon_.stop()
        self.assertBare(self.ns)

    def test_by_one_of_its_kind(self):
        self.replace("type", "veth", "peer", "name", "y")
        self.ns.devices.append("y")
        self.ns.ip("link", "set", "dev", "y", "up")
        self.assertStartsAtNothing()

    def test_by_one_of_another_kind(self):
        self.replace("type", "bridge")
        self.clsact()
        self.assertStartsAtNothing()

    def test_by_one_of_its_kind_that_somebody_was_quick_to_give_a_clsact(self):
        self.replace("type", "veth", "peer", "name", "y")
        self.ns.devices.append("y")
        self.ns.ip("link", "set", "dev", "y", "up")
        self.clsact()
        self.assertStartsAtNothing()

    def test_by_one_like_it_and_only_told_by_the_queue(self):
        self.replace("type", "veth", "peer", "name", "y")
        self.ns.devices.append("y")
        self.clsact()
        self.daemon_.queue.send(str(self.ns.pid).encode())
        self.assertCovered(self.ns)
        self.daemon_.stop()

    def test_one_that_lost_a_single_filter_keeps_its_counts(self):
        self.ns.tc("filter", "del", "dev", "a", "ingress")
        self.daemon_.sync(self.ns.pid)
        self.assertCovered(self.ns)
        self.assertGreater(self.counted("a")[1], 0)
        self.daemon_.stop()


class Renamed(host.HostTest):
    """exclude.devices goes by names, and names change."""

    def setUp(self):
        self.ns = self.unnamed()
        self.ns.add_pair("a", "b")

    def start(self):
        daemon = self.daemon({"exclude.devices": "x*"})
        daemon.sync(self.ns.pid)
        return daemon

    def rename(self, old, new):
        self.ns.ip("link", "set", "dev", old, "name", new)
        self.ns.devices[self.ns.devices.index(old)] = new

    def on(self, device):
        ours = self.ns.ours()
        return [len(ours[device, hook]) for hook in host.HOOKS]

    def test_into_an_excluded_name_and_back(self):
        daemon = self.start()
        self.assertCovered(self.ns)
        slots = daemon.status()["meter"]["slots_in_use"]
        self.rename("a", "x1")
        daemon.sync(self.ns.pid)
        self.assertEqual(self.on("x1"), [0, 0])
        self.assertEqual(self.on("b"), [1, 1])
        self.assertEqual(daemon.device(self.ns, "x1")["state"], "excluded")
        self.assertEqual(daemon.status()["meter"]["slots_in_use"], slots - 1)
        self.rename("x1", "a")
        daemon.sync(self.ns.pid)
        self.assertTrue(self.ns.covered())
        daemon.stop()
        self.assertBare(self.ns)

    def test_a_failed_one_into_an_excluded_name(self):
        self.ns.tc("qdisc", "add", "dev", "a", "ingress")
        daemon = self.start()
        self.assertEqual(daemon.device(self.ns, "a")["state"], "failed")
        self.rename("a", "x1")
        daemon.sync(self.ns.pid)
        self.assertEqual(daemon.device(self.ns, "x1")["state"], "excluded")
        self.ns.tc("qdisc", "del", "dev", "x1", "ingress")
        for _ in range(3):
            daemon.sync(self.ns.pid)
            self.assertEqual(self.on("x1"), [0, 0])
        failed = daemon.counter("attach.failed")
        # Its retries would be due by now: another device's are, with the same times between them.
        other = self.unnamed()
        other.tc(*LEGACY)
        daemon.sync(other.pid)
        host.until(lambda: daemon.counter("attach.failed") >= failed + 4, "another is tried again")
        self.assertEqual(self.on("x1"), [0, 0])
        daemon.stop()


class Evicted(host.HostTest):
    MODE = "pinned"

    def setUp(self):
        self.daemon_ = self.daemon({"cache.capacity": "1", "lonely.timeout": "300ms", "handle.mode": self.MODE})

    def evict(self):
        victim, kept = self.unnamed(), self.named()
        self.daemon_.sync(victim.pid)
        self.daemon_.sync(self.visitor(kept))
        self.assertTrue(self.daemon_.row(victim)["evicted"])
        self.assertBare(victim)
        return victim, kept

    def get(self, what):
        done = self.daemon_.command("--json", "get", what, check=False)
        return done.returncode, done.stdout

    def test_one_that_died_is_shown_no_longer(self):
        victim, kept = self.evict()
        cookie, inum = victim.cookie, victim.inum
        sweeps = self.daemon_.counter("lonely.sweeps")
        host.until(lambda: self.daemon_.counter("lonely.sweeps") >= sweeps + 3, "some looks")
        self.assertTrue(self.daemon_.row(victim)["evicted"], "it lives, uncovered")
        self.assertEqual(self.get(inum)[0], 0)

        victim.kill()
        host.until(lambda: cookie not in {row["cookie"] for row in self.daemon_.ask("list")["namespaces"]},
                   "it is listed no longer")
        self.assertEqual(self.get(inum)[0], 1)
        self.assertEqual(self.get(cookie)[0], 1)
        self.assertCovered(kept)
        self.daemon_.stop()

    def heir(self, inum):
        """A namespace with the inum of one that has died, or None: the kernel gives the lowest free number,
        but maybe to somebody else on this machine."""
        return next((made for made in (self.unnamed() for _ in range(40)) if made.inum == inum), None)

    def succeed(self):
        """Have one evicted and die, and its inum given to another namespace."""
        for _ in range(10):
            victim, _ = self.evict()
            cookie, inum = victim.cookie, victim.inum
            victim.kill()
            heir = self.heir(inum)
            if heir:
                return cookie, heir
        self.skipTest("somebody else on this machine is always given the inum")

    def test_it_does_not_live_on_in_the_heir_of_its_inum(self):
        cookie, heir = self.succeed()
        self.daemon_.sync(heir.pid)
        sweeps = self.daemon_.counter("lonely.sweeps")
        host.until(lambda: self.daemon_.counter("lonely.sweeps") >= sweeps + 4, "some looks")
        self.assertNotIn(cookie, {row["cookie"] for row in self.daemon_.ask("list")["namespaces"]})
        self.daemon_.stop()

    def test_it_is_not_taken_for_the_heir_of_its_inum(self):
        _, heir = self.succeed()
        code, said = self.get(f"/proc/{heir.pid}/ns/net")
        self.assertEqual(code, 1, f"nobody told the daemon of it, and it says {said}")
        self.daemon_.stop()

    def test_nor_by_a_client_that_is_told_no_ids(self):
        _, heir = self.succeed()
        done = host.run(f"{host.BUILD}/deny", "ioctl:0x8008b70d=ENOTTY", "--", f"{host.BUILD}/netnsync", "--socket",
                        self.daemon_.socket, "get", f"/proc/{heir.pid}/ns/net", check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.daemon_.stop()


class EvictedByMember(Evicted):
    """Where nothing is pinned either, nor told dead by the kernel."""
    MODE = "member"


if __name__ == "__main__":
    host.main()
