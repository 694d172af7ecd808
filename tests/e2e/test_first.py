# SPDX-License-Identifier: Apache-2.0
"""The shortest way through everything: a pid in, both hooks of its namespace's devices covered, counted and
shown, and clean again after SIGTERM."""

import socket
import signal

import host


class First(host.HostTest):
    def test_pid_in_namespace_covered(self):
        ns = self.unnamed()
        ns.add_pair("a", "b")
        ns.ip("link", "set", "lo", "up")
        daemon = self.daemon()
        self.assertTrue(ns.bare())

        daemon.queue.send(str(ns.pid).encode())
        self.assertCovered(ns)

        self.packets_are_counted(daemon, ns)
        self.operator_sees_it(daemon, ns)

        daemon.stop(signal.SIGTERM)
        self.assertBare(ns)
        kept = {row["dev"] for row in ns.qdiscs() if row["kind"] == "clsact"}
        self.assertEqual(kept, set(ns.devices), "a qdisc is never deleted")

    def packets_are_counted(self, daemon, ns):
        before, kernel = daemon.device(ns, "lo"), ns.traffic("lo")
        with ns.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(7):
                sender.sendto(b"x" * 100, ("127.0.0.1", 9))
        # Nobody listens there, so that some are answered: the kernel knows how many packets there were.
        after, kernel_after = daemon.device(ns, "lo"), ns.traffic("lo")
        for hook in host.HOOKS:
            packets = after[hook]["packets"] - before[hook]["packets"]
            self.assertGreaterEqual(packets, 7, hook)
            self.assertEqual(packets, kernel_after[hook][0] - kernel[hook][0], hook)
            self.assertGreater(after[hook]["bytes"] - before[hook]["bytes"], 7 * 100, hook)

    def operator_sees_it(self, daemon, ns):
        row = daemon.row(ns)
        self.assertEqual(row["inum"], ns.inum)
        self.assertIn(row["handle"], ("weak", "pinned"))
        self.assertEqual({device["name"] for device in row["devices"]}, set(ns.devices))
        asked = ns.filters()
        self.assertEqual({place: [found["options"]["prog"]["id"] for found in rows] for place, rows in asked.items()},
                         {place: [found.program for found in rows] for place, rows in ns.ours().items()})
        for device in row["devices"]:
            self.assertEqual(device["state"], "attached")
            self.assertFalse(device["error"])
            for hook in host.HOOKS:
                self.assertEqual(device[hook]["program_id"],
                                 asked[device["name"], hook][0]["options"]["prog"]["id"])
        self.assertEqual(daemon.ask("get", ns.cookie), daemon.row(ns))
        status = daemon.status()
        self.assertEqual(status["counters"]["sync.new"], 1)
        self.assertEqual(status["coverage"]["devices_covered"], len(ns.devices))


if __name__ == "__main__":
    host.main()
