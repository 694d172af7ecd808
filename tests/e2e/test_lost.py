# SPDX-License-Identifier: Apache-2.0
"""The kernel's buffer of events runs over while the daemon does not read: what happened then was told by nobody. It
ends in full coverage, after one look at everything."""

import signal

import host

RING_RECORDS = 16384
FLOOD = RING_RECORDS + 600  # each time a device gets a new root qdisc it is told of


class Lost(host.HostTest):
    def setUp(self):
        self.noise = self.unnamed()
        self.noise.add_pair("noisy", "b")
        # Excluded, and so told of however often it is; down, or each qdisc would take a grace period to let go of.
        self.noise.devices.remove("noisy")
        self.made = [self.unnamed() for _ in range(4)]
        for i, ns in enumerate(self.made):
            ns.add_pair(f"a{i}", f"b{i}")
            for name in ns.devices:
                ns.ip("link", "set", "dev", name, "up")

    def begin(self, **options):
        """Events and what follows from their loss are all there is: no audit comes to help."""
        self.running = self.daemon({"discover.enabled": "true", "audit.interval": "24h", "lonely.timeout": "300ms",
                                    "exclude.devices": "noisy"}, **options)
        self.own = host.own_namespace()
        self.running.wait_found(*self.made, self.noise, self.own)
        for ns in self.made + [self.own]:
            self.assertCovered(ns)

    def flood(self):
        batch = "qdisc add dev noisy root pfifo\nqdisc del dev noisy root\n" * FLOOD
        self.noise.run("tc", "-batch", "-", input=batch, timeout=4 * host.PATIENCE)

    def change(self, serial):
        """A device that comes, one that loses its qdisc, one that moves, a namespace that comes and one that dies."""
        first, second, third, dying = self.made
        first.add_pair(f"c{serial}", f"d{serial}")
        first.ip("link", "set", "dev", f"c{serial}", "up")
        second.tc("qdisc", "del", "dev", "lo", "clsact")
        moved = second.devices.pop()
        second.ip("link", "set", "dev", moved, "netns", third.reference)
        third.devices.append(moved)
        third.ip("link", "set", "dev", moved, "up")
        new = self.unnamed()
        new.add_pair(f"a{serial}", f"b{serial}")
        new.ip("link", "set", "dev", f"a{serial}", "up")
        dead = dying.cookie
        dying.kill()
        self.made = [first, third, second, new]
        return dead

    def lose(self, serial):
        before = self.running.counter("events.lost")
        self.running.halt()
        self.flood()
        dead = self.change(serial)
        self.running.tell(signal.SIGCONT)
        self.running.wait_found(*self.made)
        for ns in self.made:
            self.assertCovered(ns)
        host.until(lambda: dead not in self.running.cookies(), "the dead are forgotten")
        self.assertGreaterEqual(self.running.counter("events.lost") - before, FLOOD - RING_RECORDS)

    def assertCalm(self):
        """One look was enough, and events do again what they did."""
        resyncs = self.running.counter("events.resyncs")
        ns = self.made[0]
        ns.add_pair("last", "least")
        for name in ("last", "least"):
            ns.ip("link", "set", "dev", name, "up")
        self.assertCovered(ns)
        self.assertEqual(self.running.counter("events.resyncs"), resyncs)
        self.running.stop()
        for ns in self.made + [self.own]:
            self.assertBare(ns)

    def test_what_happened_meanwhile_is_seen(self):
        self.begin()
        self.lose(10)
        self.assertCalm()

    def test_twice_in_a_row(self):
        self.begin()
        self.lose(10)
        self.lose(11)
        self.assertCalm()

    def test_with_pins(self):
        self.begin(pinned=True)
        self.lose(10)
        self.assertCalm()


if __name__ == "__main__":
    host.main()
