# SPDX-License-Identifier: Apache-2.0
"""Nobody tells the daemon anything: namespaces and devices come, move and go, and it keeps up. Audits are a day apart
unless a test is about them, so that what is covered was found by an event."""

import json
import os
import signal
import subprocess
import unittest

import host
import kernel

DAY = {"audit.interval": "24h"}
WATCHFUL = {"discover.enabled": "true", **DAY}


class Found(host.HostTest):
    """Namespaces."""

    def test_those_that_are_there_at_the_start(self):
        made = [self.unnamed() for _ in range(host.crowd(40))] + [self.named(), self.of_a_thread()]
        made[0].add_pair("a", "b")
        own = host.own_namespace()
        daemon = self.daemon(WATCHFUL)
        self.assertFound(daemon, *made, own)
        self.assertEqual(daemon.counter("feed.pids"), 0)
        daemon.stop()
        for ns in made + [own]:
            self.assertBare(ns)

    def test_those_that_come(self):
        daemon = self.daemon(WATCHFUL)
        self.assertFound(daemon, host.own_namespace())
        for _ in range(host.crowd(20)):
            self.assertFound(daemon, self.unnamed())
            self.assertFound(daemon, self.named())
        self.assertFound(daemon, *self.nested())
        daemon.stop()

    def test_mounts_that_come_where_they_are_told_by_mountinfo(self):
        before = self.named()
        daemon = self.daemon(WATCHFUL, denied=["fanotify_init=EPERM"])
        self.assertIn("mountinfo", daemon.status()["capabilities"]["discovery"])
        self.assertFound(daemon, before)
        scans, unknown = (daemon.counter(name) for name in ("discover.scans", "events.unknown"))
        for _ in range(host.crowd(10)):
            self.assertFound(daemon, self.named())
        host.run("ip", "netns", "del", before.name)
        many = [self.named() for _ in range(host.crowd(20))]
        self.assertFound(daemon, *many)
        # Elsewhere on the machine devices may come up, and are looked for.
        asked = daemon.counter("events.unknown") - unknown
        self.assertLessEqual(daemon.counter("discover.scans") - scans, asked, "no look at everything")
        daemon.stop()

    @unittest.skipUnless(kernel.opens_by_id(host.own_namespace()), "a kernel that opens them by their tasks")
    def test_those_whose_tasks_lead_nowhere(self):
        """Whom the walk met in one may be elsewhere when it is asked."""
        made = [self.unnamed() for _ in range(5)]
        daemon = self.daemon(WATCHFUL, denied=[f"pidfd_open@0:{ns.pid}=EMFILE" for ns in made])
        self.assertFound(daemon, *made)
        daemon.stop()

    def test_more_devices_than_a_program_lists(self):
        ns = self.unnamed()
        ns.add_veths(130)
        daemon = self.daemon({**DAY, "discover.enabled": "false"})
        daemon.sync(ns.pid)
        self.assertCovered(ns)
        self.assertEqual(len(daemon.row(ns)["devices"]), 261)
        if daemon.status()["capabilities"]["listing"] == "BPF program":
            self.assertEqual((daemon.counter("list.walks"), daemon.counter("list.refused")), (0, 1))
            daemon.sync(ns.pid)
            self.assertEqual(daemon.counter("list.refused"), 1, "nor is that tried again")
        daemon.stop()

    def test_those_that_are_there_where_the_kernel_refuses_to_walk(self):
        """Not when it is asked whether it can, at the start."""
        made = [self.unnamed() for _ in range(10)] + [self.named(), self.of_a_thread()]
        daemon = self.daemon(WATCHFUL, denied=["bpf@0:33=EPERM"])  # BPF_ITER_CREATE
        self.assertFound(daemon, *made)
        self.assertGreaterEqual(daemon.counter("discover.unwalked"), 1)
        daemon.stop()

    def test_one_whose_only_process_unshared_and_stays_is_found_by_an_audit(self):
        daemon = self.daemon({**WATCHFUL, "audit.interval": "1s"})
        self.assertFound(daemon, self.of_a_thread())
        daemon.stop()

    def test_one_whose_only_process_unshared_and_stays_is_found_by_the_device_it_sets_up(self):
        script = ("import ctypes, fcntl, socket, struct, time\n"
                  "ctypes.CDLL(None).unshare(0x40000000)\n"
                  "print(flush=True)\n"
                  "input()\n"
                  "s = socket.socket()\n"
                  "fcntl.ioctl(s, 0x8914, struct.pack('16sH', b'lo', 1))\n"  # SIOCSIFFLAGS, IFF_UP
                  "s.close()\n"
                  "time.sleep(1e6)\n")
        daemon = self.daemon(WATCHFUL)
        self.assertFound(daemon, host.own_namespace())
        process = host.start("/usr/bin/python3", "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(host.end, process)
        process.stdout.readline()
        ns = host.Namespace(f"/proc/{process.pid}/ns/net", process.pid, process)
        process.stdin.write(b"\n")
        process.stdin.flush()
        self.assertFound(daemon, ns)
        daemon.stop()

    def test_none_is_looked_for_when_that_is_not_wanted(self):
        daemon = self.daemon({**DAY, "discover.enabled": "false"})
        ns, mounted, named = self.unnamed(), self.named(), self.unnamed()
        daemon.sync(named.pid)
        self.assertCovered(named)
        self.assertBare(ns)
        self.assertBare(mounted)
        daemon.stop()


class Devices(host.HostTest):
    def setUp(self):
        self.ns = self.unnamed()
        self.running = self.daemon({**DAY, "discover.enabled": "false"})
        self.running.sync(self.ns.pid)
        self.assertCovered(self.ns)

    def test_one_that_comes_up(self):
        self.ns.add_pair("a", "b")
        for name in ("a", "b"):
            self.ns.ip("link", "set", "dev", name, "up")
        self.assertCovered(self.ns)
        self.running.stop()
        self.assertBare(self.ns)

    def test_one_costs_a_look_at_it_and_no_listing(self):
        dumps, looks = (self.running.counter(name) for name in ("list.dumps", "list.looks"))
        self.ns.add_veths(5)
        for name in self.ns.devices[1:]:
            self.ns.ip("link", "set", "dev", name, "up")
        self.assertCovered(self.ns)
        self.assertGreaterEqual(self.running.counter("list.looks"), looks + 10)
        for name in self.ns.devices[1::2]:  # and its other end
            self.ns.ip("link", "del", "dev", name)
        host.until(lambda: len(self.running.row(self.ns)["devices"]) == 1, "all but loopback are forgotten")
        self.assertEqual(self.running.counter("list.dumps"), dumps)
        self.running.stop()

    def test_one_of_every_kind(self):
        self.ns.ip("link", "add", "name", "br", "type", "bridge")
        self.ns.ip("link", "add", "name", "i", "type", "ifb")
        self.ns.ip("tuntap", "add", "dev", "t", "mode", "tun")
        self.ns.ip("link", "add", "name", "vx", "type", "vxlan", "id", "7", "dstport", "4789")
        self.ns.ip("link", "add", "name", "mv", "link", "br", "type", "macvlan")
        self.ns.devices += ["br", "i", "t", "vx", "mv"]
        for kind in ("dummy", "netkit", "wireguard"):
            self.add_if_known(kind)
        for name in self.ns.devices[1:]:
            self.ns.ip("link", "set", "dev", name, "up")
        self.assertCovered(self.ns)
        self.running.stop()

    def add_if_known(self, kind):
        """A device of a kind that not every kernel has; the kernel names it, and the other end it may come with."""
        self.ns.run("ip", "link", "add", "type", kind, check=False)
        here = [link["ifname"] for link in json.loads(self.ns.ip("-j", "link"))]
        self.ns.devices += [name for name in here if name not in self.ns.devices]

    def test_one_whose_qdisc_somebody_deletes(self):
        self.ns.add_pair("a", "b")
        for name in ("a", "b"):
            self.ns.ip("link", "set", "dev", name, "up")
        self.assertCovered(self.ns)
        for _ in range(host.crowd(20)):
            self.ns.tc("qdisc", "del", "dev", "a", "clsact")
            self.assertCovered(self.ns)
        self.running.stop()

    def test_one_that_moves_there_and_back(self):
        other = self.unnamed()
        self.running.sync(other.pid)
        self.ns.add_pair("a", "b")
        for name in ("a", "b"):
            self.ns.ip("link", "set", "dev", name, "up")
        self.assertCovered(self.ns)
        for here, there in 5 * ((self.ns, other), (other, self.ns)):
            here.ip("link", "set", "dev", "a", "netns", there.reference)
            here.devices.remove("a")
            there.devices.append("a")
            there.ip("link", "set", "dev", "a", "up")
            self.assertCovered(there)
            self.assertCovered(here)
        self.running.stop()

    def test_one_that_loses_a_filter_gets_it_back_by_an_audit(self):
        other = self.unnamed()
        daemon = self.daemon({"audit.interval": "400ms", "instance": "second"})
        daemon.sync(other.pid)
        for _ in range(3):
            other.tc("filter", "del", "dev", "lo", "egress")
            host.until(lambda: other.covered("second"), "the filter is back")
        daemon.stop()
        self.running.stop()


class Gone(host.HostTest):
    def test_a_namespace_that_dies_is_let_go_at_once_and_forgotten(self):
        own = host.own_namespace()
        daemon = self.daemon({**DAY, "discover.enabled": "false"})
        made = [self.unnamed() for _ in range(host.crowd(20))]
        for i, ns in enumerate(made):
            ns.add_veth("eth0", own, f"h{i}")
        daemon.sync(*[ns.pid for ns in made])
        self.skipWherePinned(daemon, made[0])
        told = kernel.opens_by_id(made[0]) or kernel.traces("qdisc_destroy")
        noticed = "dead" if told else "lonely"
        before = daemon.fds()
        cookies = {ns.cookie for ns in made}
        for ns in made:
            ns.kill()
        host.until(lambda: "h0" not in own.ip("-o", "link"), "they die: nothing of ours holds them")
        host.until(lambda: not cookies & {row["cookie"] for row in daemon.ask("list")["namespaces"]}, "they are forgotten")
        self.assertEqual(daemon.counter(f"namespaces.{noticed}"), len(made))
        self.assertEqual(daemon.status()["namespaces"]["pinned"], 0)
        host.until(lambda: len(daemon.fds()) <= len(before), "no descriptor is left over")
        daemon.stop()

    def test_no_namespace_is_held_between_pieces_of_work(self):
        daemon = self.daemon(WATCHFUL)
        made = [self.unnamed() for _ in range(10)] + [self.named()]
        for ns in made:
            self.assertCovered(ns)
        self.skipWherePinned(daemon, made[0])
        self.assertFalse([name for name in daemon.fds() if name.startswith("net:")][1:], "its own alone")
        daemon.stop()

    @unittest.skipIf(host.SANITIZE, "a sanitizer brings its own allocator, and threads")
    def test_no_thread_but_its_own(self):
        """One of the allocator's would wake up long after whatever was freed."""
        daemon = self.daemon({**WATCHFUL, "workers.count": "2"})
        self.assertCovered(self.unnamed())
        names = []
        for thread in os.listdir(f"/proc/{daemon.pid}/task"):
            with open(f"/proc/{daemon.pid}/task/{thread}/comm") as file:
                names.append(file.read().strip())
        self.assertEqual(names, ["netnsyncd"] * 4, "loop, owner, two workers")
        daemon.stop()


if __name__ == "__main__":
    host.main()
