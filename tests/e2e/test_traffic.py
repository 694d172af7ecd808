# SPDX-License-Identifier: Apache-2.0
"""The meter against the kernel's own count of the same packets, both ways, at both ends of a veth pair."""

import socket

import host

ADDRESSES = ("10.99.0.1", "10.99.0.2")


class Traffic(host.HostTest):
    def setUp(self):
        self.ends = (self.unnamed(), self.named())
        self.names = ("left", "right")
        for ns in self.ends:
            ns.quiet()
        self.ends[0].add_veth("left", self.ends[1], "right")
        for ns, name, address in zip(self.ends, self.names, ADDRESSES):
            ns.ip("link", "set", "lo", "up")
            ns.ip("link", "set", name, "up")
            ns.ip("address", "add", f"{address}/24", "dev", name)
        self.daemon_ = self.daemon()
        self.daemon_.queue.send(f"{self.ends[0].pid} {self.visitor(self.ends[1])}".encode())
        for ns in self.ends:
            self.assertCovered(ns)

    def test_both_directions_at_both_ends(self):
        kernel = [self.kernel(i) for i in (0, 1)]
        ours = [self.ours(i) for i in (0, 1)]
        self.exchange(0, packets=400, size=100)
        self.exchange(1, packets=150, size=1200)
        for i in (0, 1):
            grown, counted = self.kernel(i), self.ours(i)
            for hook in host.HOOKS:
                sent = 400 if (hook == "egress") == (i == 0) else 150
                by_kernel = [now - then for now, then in zip(grown[hook], kernel[i][hook])]
                by_us = [now - then for now, then in zip(counted[hook], ours[i][hook])]
                self.assertEqual(by_us, by_kernel, f"{self.names[i]} {hook}: packets and bytes")
                self.assertGreaterEqual(by_us[0], sent)
        self.daemon_.stop()

    def test_devices_and_directions_are_not_mixed_up(self):
        third = self.unnamed()
        third.add_veth("idle", self.ends[0], "idlepeer")
        self.daemon_.queue.send(str(third.pid).encode())
        self.assertCovered(third)
        self.exchange(0, packets=50, size=64)
        row = self.daemon_.device(third, "idle")
        self.assertEqual([row[hook]["packets"] for hook in host.HOOKS], [0, 0])

    def kernel(self, i):
        return self.ends[i].traffic(self.names[i])

    def ours(self, i):
        row = self.daemon_.device(self.ends[i], self.names[i])
        return {hook: (row[hook]["packets"], row[hook]["bytes"]) for hook in host.HOOKS}

    def exchange(self, sender, packets, size):
        """UDP from one end to the other, with every packet taken there before the next leaves."""
        receiver = 1 - sender
        with self.ends[receiver].inside():
            into = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with self.ends[sender].inside():
            out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with into, out:
            into.settimeout(host.PATIENCE)
            into.bind((ADDRESSES[receiver], 4711))
            for number in range(packets):
                data = number.to_bytes(4, "big") * (size // 4)
                out.sendto(data, (ADDRESSES[receiver], 4711))
                self.assertEqual(into.recv(65536), data)


class Slots(host.HostTest):
    def test_a_slot_starts_at_nothing_for_its_next_holder(self):
        ns = self.unnamed()
        ns.quiet()
        ns.add_veths(150)
        ns.ip("link", "set", "lo", "up")
        daemon = self.daemon({"meter.memory": "1M"})
        limit = daemon.status()["meter"]["slots_limit"]
        # Slots never used come first: all must have been taken before one has a second holder.
        for _ in range(limit // len(ns.devices) + 3):
            daemon.sync(ns.pid)
            counted = [device[hook]["packets"] for device in daemon.row(ns)["devices"] for hook in host.HOOKS]
            self.assertEqual(counted, [0] * 2 * len(ns.devices))
            with ns.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", ("127.0.0.1", 9))
            self.assertGreater(daemon.device(ns, "lo")["egress"]["packets"], 0)
            daemon.command("flush", ns.cookie)
        self.assertEqual(daemon.counter("meter.exhausted"), 0)
        daemon.stop()


if __name__ == "__main__":
    host.main()
