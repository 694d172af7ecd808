# SPDX-License-Identifier: Apache-2.0
"""Namespaces with nothing but loopback or tunnels in them, where nothing happens: they are kept as they are, however
often somebody looks, and so is the host's own."""

import host

LOOKS = 60 if host.LONG else 12
NEVER = ("namespaces.added", "namespaces.flushed", "namespaces.dead", "namespaces.lonely", "namespaces.given_up",
         "attach.done", "attach.failed", "detach.done", "sync.new")
SETTINGS = {"discover.enabled": "true", "lonely.timeout": "150ms", "audit.interval": "200ms"}


class Quiet(host.HostTest):
    def setUp(self):
        self.made = [self.unnamed(), self.loopback_up(), self.tunnel(self.unnamed()), self.tunnel(self.named()),
                     self.named(), self.of_a_thread(), host.own_namespace()]

    def loopback_up(self):
        ns = self.unnamed()
        ns.ip("link", "set", "dev", "lo", "up")
        return ns

    def tunnel(self, ns):
        """A tun device that stays without anybody who holds it, and WireGuard where the kernel has it."""
        ns.ip("tuntap", "add", "dev", "tun", "mode", "tun")
        ns.ip("link", "set", "dev", "tun", "up")
        ns.devices.append("tun")
        if ns.run("ip", "link", "add", "name", "wg", "type", "wireguard", check=False).returncode == 0:
            ns.ip("link", "set", "dev", "wg", "up")
            ns.devices.append("wg")
        return ns

    def counters(self, daemon):
        counters = daemon.status()["counters"]
        return {name: counters[name] for name in NEVER}

    def kept(self, looks, **options):
        daemon = self.daemon(SETTINGS, **options)
        daemon.wait_found(*self.made)
        for ns in self.made:
            self.assertCovered(ns)
        host.until(lambda: daemon.status()["coverage"]["devices_covered"] == sum(len(ns.devices) for ns in self.made),
                   "all is accounted for")
        before, programs = self.counters(daemon), [ns.filter_texts() for ns in self.made]
        for name, every in looks.items():
            first = daemon.counter(name)
            host.until(lambda: daemon.counter(name) >= first + every * LOOKS, f"{LOOKS} looks: {name}", 2 * host.PATIENCE)
        self.assertEqual(self.counters(daemon), before)
        self.assertEqual([ns.filter_texts() for ns in self.made], programs)
        self.assertEqual(daemon.cookies(), {ns.cookie for ns in self.made})
        daemon.stop()
        for ns in self.made:
            self.assertBare(ns)

    def test_weak(self):
        self.kept({"namespaces.audited": len(self.made), "discover.scans": 1})

    def test_pinned(self):
        """Many times longer than what would make a namespace lonely that nobody is in."""
        self.kept({"namespaces.audited": len(self.made), "lonely.sweeps": 3}, pinned=True)

    def test_deaf(self):
        self.kept({"namespaces.audited": len(self.made)}, deaf=True)


if __name__ == "__main__":
    host.main()
