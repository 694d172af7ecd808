# SPDX-License-Identifier: Apache-2.0
"""The shortest way through everything: a pid in, both hooks of both devices of its namespace covered, counted, shown,
and clean again after SIGTERM."""

import socket
import signal

import host


class First(host.HostTest):
    def test_pid_in_namespace_covered(self):
        ns = self.unnamed()
        ns.ip("link", "add", "a", "type", "veth", "peer", "name", "b")
        ns.devices += ["a", "b"]
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
        before = daemon.device(ns, "lo")
        with ns.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(7):
                sender.sendto(b"x" * 100, ("127.0.0.1", 9))
        # Each packet that finds nobody listening is answered by an ICMP error, but nothing is answered with less.
        after = daemon.device(ns, "lo")
        for hook in host.HOOKS:
            self.assertGreaterEqual(after[hook]["packets"] - before[hook]["packets"], 7, hook)
            self.assertEqual((after[hook]["packets"], after[hook]["bytes"]), ns.traffic("lo")[hook], hook)

    def operator_sees_it(self, daemon, ns):
        row = daemon.row(ns)
        self.assertEqual(row["inum"], ns.inum)
        self.assertIn(row["handle"], ("weak", "pinned"))
        self.assertEqual({device["name"] for device in row["devices"]}, set(ns.devices))
        asked = ns.ours()
        for device in row["devices"]:
            self.assertEqual(device["state"], "attached")
            self.assertFalse(device["error"])
            for hook in host.HOOKS:
                self.assertEqual(device[hook]["program_id"],
                                 asked[device["name"], hook][0]["options"]["prog"]["id"])
        self.assertEqual(daemon.ask("get", ns.cookie)["namespaces"], [daemon.row(ns)])
        status = daemon.status()
        self.assertEqual(status["counters"]["sync.new"], 1)
        self.assertEqual(status["coverage"]["devices_covered"], len(ns.devices))


if __name__ == "__main__":
    host.main()
