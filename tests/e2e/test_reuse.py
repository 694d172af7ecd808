# SPDX-License-Identifier: Apache-2.0
"""The kernel gives the inum of a dead namespace to the next one at once. Each heir is another namespace: seen as
new, covered, and its predecessor gone."""

import signal
import sys

import host

# How many heirs are wanted, and how many namespaces are made for that at most: others on this machine are given
# inums, too.
HEIRS, SOME, TRIES = (500, 100, 3) if host.LONG else (host.crowd(20), host.crowd(10), 2)

# No handle by identity, no resolver (BPF_PROG_TEST_RUN), no NS_GET_ID.
ONE_BY_ONE = ("open_by_handle_at=EPERM", "bpf@0:10=EPERM", "ioctl:0x8008b70d=ENOTTY")


class Reuse(host.HostTest):
    def setUp(self):
        self.own = host.own_namespace()
        self.known = {}  # {inum: cookie} of those that the daemon covered and that died since
        self.heirs = 0

    def find(self, ns):
        """Have the daemon know it."""
        self.running.sync(ns.pid, wait=False)

    def make(self):
        """A namespace with an uplink that tells of its death."""
        ns = self.unnamed()
        ns.add_veth("eth0", self.own, "uplink")
        ns.ip("link", "set", "dev", "eth0", "up")
        return ns

    def is_settled(self, ns):
        row = self.running.row(ns)
        return (row and {device["name"]: device["state"] for device in row["devices"]} ==
                {"lo": "attached", "eth0": "attached"} and row)

    def assertNew(self, ns):
        """It is known by its own name, with its own devices, and its predecessor is not any more."""
        host.until(ns.covered, "it is covered")
        row = host.until(lambda: self.is_settled(ns), "the daemon knows whom it covered")
        self.assertEqual(row["inum"], ns.inum)
        predecessor = self.known.pop(ns.inum, None)
        if predecessor:
            self.heirs += 1
            self.assertNotEqual(predecessor, ns.cookie)
            host.until(lambda: predecessor not in self.running.cookies(), "its predecessor is gone")

    def bury(self, ns):
        ns.kill()
        self.known[ns.inum] = ns.cookie
        host.until(lambda: "uplink" not in self.own.ip("-o", "link"), "it dies")

    def succeed(self, heirs, before=lambda: None):
        """One namespace after the other, until as many as wanted were heirs."""
        for _ in range(TRIES * heirs):
            ns = self.make()
            self.find(ns)
            self.assertNew(ns)
            before()
            self.bury(ns)
            if self.heirs == heirs:
                break
        if host.LONG:
            self.assertEqual(self.heirs, heirs, "somebody else on this machine is given the inums")
        elif not self.heirs:
            self.skipTest("somebody else on this machine is given the inums")
        print(f"{self.heirs} heirs", file=sys.stderr)
        self.running.tell(signal.SIGCONT)
        host.until(lambda: not self.running.cookies() & set(self.known.values()), "all are gone")
        self.running.stop()

    def serve(self, settings, handles=None, **options):
        """handles: how its status begins to say how it gets back into namespaces; None: as this kernel has it."""
        self.running = self.daemon(settings, **options)
        if handles:
            self.assertTrue(self.running.status()["capabilities"]["handles"].startswith(handles))

    def test_discovered(self):
        self.serve({"discover.enabled": "true", "audit.interval": "24h"})
        self.find = lambda ns: None
        self.succeed(HEIRS)

    def test_while_the_daemon_does_not_look(self):
        """The predecessors die and the heirs come behind its back."""
        self.serve({"discover.enabled": "true", "audit.interval": "24h"})
        self.find = lambda ns: self.running.tell(signal.SIGCONT)
        self.succeed(HEIRS, before=lambda: self.running.halt())

    def test_deaf(self):
        """Nobody tells it that the predecessors died."""
        self.serve({"audit.interval": "1s"}, deaf=True)
        self.succeed(SOME)

    def test_pinned(self):
        self.serve({"lonely.timeout": "10ms", "audit.interval": "24h"}, "pinned", pinned=True)
        self.succeed(SOME)

    def test_by_member(self):
        self.serve({"handle.mode": "member", "discover.enabled": "true", "audit.interval": "24h"}, "weak: member")
        self.find = lambda ns: None
        self.succeed(SOME)

    def test_by_member_and_told_no_cookies(self):
        """Each namespace has to be entered to be known."""
        self.serve({"lonely.timeout": "10ms", "audit.interval": "24h"}, "weak: member", denied=ONE_BY_ONE)
        self.assertNotIn("BPF", self.running.status()["capabilities"]["resolver"])
        self.succeed(SOME)

    def test_pinned_and_told_inums_alone(self):
        self.serve({"lonely.timeout": "10ms", "audit.interval": "24h"}, "pinned", pinned=True, denied=ONE_BY_ONE)
        self.assertNotIn("BPF", self.running.status()["capabilities"]["resolver"])
        self.succeed(SOME)


if __name__ == "__main__":
    host.main()
