# SPDX-License-Identifier: Apache-2.0
"""What the operator does not want touched: named before it was seen, after it was covered, or by the next daemon's
parameters."""

import os

import host

SHORT = {"audit.interval": "400ms"}
TRIES, HEIRS = 10, 100
OTHERS = ("protocol", "all", "u32", "match", "u32", "0", "0", "flowid", "1:1")


class Namespaces(host.HostTest):
    def heir_of(self, inum):
        """A namespace that has got the inum of a dead one, or None: others on this machine may have got it."""
        for _ in range(HEIRS):
            ns = self.unnamed()
            if ns.inum == inum:
                return ns
            ns.kill()
        return None

    def number_is_not_passed_on(self, **options):
        heir = None
        for _ in range(TRIES):
            ns = self.unnamed()
            daemon = self.daemon({"exclude.namespaces": str(ns.inum)}, **options)
            self.assertEqual(daemon.sync(ns.pid)[ns.pid]["outcome"], "excluded")
            ns.kill()
            heir = self.heir_of(ns.inum)
            if heir:
                break
            daemon.stop()
        self.assertIsNotNone(heir, "the kernel has not given the number again")
        self.assertEqual(daemon.sync(heir.pid)[heir.pid]["outcome"], "new")
        self.assertCovered(heir)
        daemon.stop()

    def test_a_number_is_not_passed_on(self):
        self.number_is_not_passed_on()

    def test_a_number_is_not_passed_on_where_handles_are_pinned(self):
        self.number_is_not_passed_on(pinned=True)

    def test_a_path_to_a_known_one_takes_our_filters_off(self):
        ns, name = self.unnamed(), "late"
        ns.tc("qdisc", "add", "dev", "lo", "clsact")
        ns.tc("filter", "add", "dev", "lo", "egress", "prio", "3", *OTHERS)
        before = ns.filter_texts()
        daemon = self.daemon({**SHORT, "exclude.namespaces": f"/run/netns/{name}"})
        self.assertEqual(daemon.sync(ns.pid)[ns.pid]["outcome"], "new")
        self.assertCovered(ns)
        host.run("ip", "netns", "attach", name, ns.pid)
        self.addCleanup(host.run, "ip", "netns", "del", name)
        host.until(ns.bare, "its filters are gone")
        host.until(lambda: daemon.row(ns) is None, "it is forgotten")
        self.assertEqual(ns.filter_texts(), before)
        self.assertEqual(daemon.sync(ns.pid)[ns.pid]["outcome"], "excluded")
        self.assertEqual(daemon.counter("namespaces.withdrawn"), 1)
        self.assertTrue(ns.bare())
        daemon.stop()

    def test_what_a_daemon_before_covered_is_taken_off(self):
        ns, other = self.unnamed(), self.unnamed()
        ns.add_pair("a", "b")
        daemon = self.daemon()
        daemon.sync(ns.pid, other.pid)
        daemon.kill()
        self.assertCovered(ns)
        heir = self.daemon({"exclude.namespaces": str(ns.inum)})
        results = heir.sync(ns.pid, other.pid)
        self.assertEqual(results[ns.pid]["outcome"], "excluded")
        host.until(ns.bare, "its filters are gone")
        host.until(lambda: heir.row(ns) is None, "it is forgotten")
        self.assertCovered(other)
        self.assertEqual(heir.status()["meter"]["slots_reserved"], 0)
        heir.stop()

    def test_tasks_in_one_are_no_news(self):
        ns = self.unnamed()
        daemon = self.daemon({"discover.enabled": "true", "audit.interval": "24h", "exclude.namespaces": str(ns.inum)})
        host.until(lambda: daemon.counter("sync.excluded") > 0, "it has been met")
        self.assertCovered(self.unnamed())
        before = daemon.counter("sync.excluded")
        for _ in range(40):
            ns.run("true")
        self.assertCovered(self.unnamed())
        self.assertEqual(daemon.counter("sync.excluded"), before)
        self.assertTrue(ns.bare())
        daemon.stop()


class NobodyYet(host.HostTest):
    """The daemon's own namespace is excluded and there is no other: who comes later is found all the same."""

    def alone(self, **options):
        excluded = str(host.own_namespace().inum)
        daemon = self.daemon({"discover.enabled": "true", "exclude.namespaces": excluded, **SHORT}, **options)
        host.until(lambda: daemon.counter("discover.scans") > 0, "it has looked")
        self.assertEqual(daemon.cookies(), set())
        return daemon

    def test_a_process_without_tracepoints(self):
        daemon = self.alone(deaf=True)
        self.assertFound(daemon, self.unnamed())
        daemon.stop()

    def test_a_thread_that_unshares_and_stays(self):
        daemon = self.alone()
        self.assertFound(daemon, self.of_a_thread())
        daemon.stop()


class Devices(host.HostTest):
    def test_what_a_daemon_before_covered_is_taken_off(self):
        ns = self.unnamed()
        ns.add_pair("a", "b")
        ns.tc("qdisc", "add", "dev", "a", "clsact")
        ns.tc("filter", "add", "dev", "a", "ingress", "prio", "3", *OTHERS)
        before = {place: text for place, text in ns.filter_texts().items() if place[0] == "a"}
        daemon = self.daemon()
        daemon.sync(ns.pid)
        daemon.kill()
        self.assertCovered(ns)
        heir = self.daemon({"exclude.devices": "a"})
        heir.sync(ns.pid)
        for (device, hook), rows in ns.ours().items():
            self.assertEqual(len(rows), 0 if device == "a" else 1, (device, hook))
        self.assertEqual({place: text for place, text in ns.filter_texts().items() if place[0] == "a"}, before)
        self.assertEqual(heir.device(ns, "a")["state"], "excluded")
        heir.stop()


if __name__ == "__main__":
    host.main()
