# SPDX-License-Identifier: Apache-2.0
"""Pods as Kubernetes makes them: a namespace that only a mount holds, and CNI plugins that put devices there. Nobody
tells the daemon anything. Label full: the plugins are a package of their own (scripts/setup full)."""

import json
import os
import tempfile

import host

PLUGINS = "/usr/lib/cni"
PODS = host.crowd(25)


class Cni(host.HostTest):
    def setUp(self):
        leases = tempfile.TemporaryDirectory(prefix="nns-cni-")
        self.addCleanup(leases.cleanup)
        self.leases = leases.name
        self.own = host.own_namespace()
        self.watcher = self.daemon({"discover.enabled": "true", "audit.interval": "24h"})
        self.assertCovered(self.own)

    def call(self, command, pod, name, kind, **more):
        """One plugin's word on one pod."""
        config = {"cniVersion": "0.4.0", "name": kind, "type": kind, **more}
        environment = {**os.environ, "CNI_COMMAND": command, "CNI_CONTAINERID": pod.name, "CNI_NETNS": pod.path,
                       "CNI_IFNAME": name, "CNI_PATH": PLUGINS}
        return host.run(f"{PLUGINS}/{kind}", input=json.dumps(config), env=environment).stdout

    def network(self, kind, subnet):
        ipam = {"type": "host-local", "subnet": subnet, "dataDir": self.leases}
        return {"kind": kind, "ipam": ipam, **({"bridge": "cni0", "isGateway": True} if kind == "bridge" else {})}

    def add(self, pod, network):
        """The plugin's own report is the log: what it made where."""
        self.call("ADD", pod, "lo", "loopback")
        for made in json.loads(self.call("ADD", pod, "eth0", **network))["interfaces"]:
            devices = pod.devices if made.get("sandbox") else self.own.devices
            if made["name"] not in devices:
                devices.append(made["name"])

    def remove(self, pod, network):
        self.call("DEL", pod, "eth0", **network)
        host.run("ip", "netns", "del", pod.name)

    def come_and_go(self, network):
        before, pods = len(self.watcher.fds()), [self.named() for _ in range(PODS)]
        for pod in pods:
            self.add(pod, network)
        self.assertEqual([pod.devices for pod in pods], [["lo", "eth0"]] * PODS)
        self.assertGreaterEqual(len(self.own.devices), 1 + PODS)
        cookies = {pod.cookie for pod in pods}
        self.assertFound(self.watcher, *pods, self.own)
        self.assertEqual(self.watcher.counter("feed.pids"), 0, "nobody told")

        for pod in pods:
            self.remove(pod, network)
        host.until(lambda: not cookies & {row["cookie"] for row in self.watcher.ask("list")["namespaces"]},
                   "they are forgotten")
        host.until(lambda: len(self.watcher.fds()) <= before, "no descriptor is left")
        self.assertEqual(self.watcher.status()["namespaces"]["pinned"], 0)
        here = {link["ifname"] for link in json.loads(self.own.ip("-j", "link"))}
        self.own.devices = [name for name in self.own.devices if not name.startswith("veth")]
        self.assertEqual(here, set(self.own.devices), "their veth pairs are gone")
        self.assertCovered(self.own)
        self.watcher.stop()
        self.assertBare(self.own)

    def test_pods_on_a_bridge(self):
        self.addCleanup(host.run, "ip", "link", "del", "cni0", check=False)
        self.come_and_go(self.network("bridge", "10.96.0.0/16"))

    def test_pods_point_to_point(self):
        self.come_and_go(self.network("ptp", "10.95.0.0/16"))


if __name__ == "__main__":
    host.main()
