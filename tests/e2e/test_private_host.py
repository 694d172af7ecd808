# SPDX-License-Identifier: Apache-2.0
"""Every end-to-end test ends with a look at the real host's devices. Here that look is shown to fail, in a namespace
that takes the real host's place, with an eth0 of its own."""

import os
import tempfile

import host

LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "private_host")
PROGRAM = """
#include <linux/bpf.h>
__attribute__((section("classifier"), used)) int meter(struct __sk_buff *skb) { return -1; }
char _license[] __attribute__((section("license"), used)) = "Dual BSD/GPL";
"""


class Outside(host.HostTest):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="nns-bpf-")
        cls.addClassCleanup(directory.cleanup)
        # tc names a filter after its program's file.
        cls.ours = host.compile_bpf(directory.name, "netnsync:default:meter", PROGRAM)
        cls.foreign = host.compile_bpf(directory.name, "foreign", PROGRAM)

    def setUp(self):
        self.outside = self.named()
        self.outside.ip("link", "add", "name", "eth0", "type", "veth", "peer", "name", "peer")

    def launch(self, *commands, **options):
        """A private host that runs commands outside of it. (exit status, what it said)."""
        script = "\n".join(f"nsenter --net={self.outside.path} {command}" for command in commands) or "true"
        done = host.run(LAUNCHER, "sh", "-eu", "-c", script, ns=self.outside, check=False, **options)
        return done.returncode, done.stderr

    def filter_of(self, target):
        return f"tc filter add dev eth0 egress prio 10 handle 0x2e bpf da obj {target} sec classifier"

    def assertCaught(self, what, *commands, **options):
        code, said = self.launch(*commands, **options)
        self.assertEqual(code, 1, said)
        self.assertIn(what, said)

    def test_nothing_happened(self):
        self.assertEqual(self.launch(), (0, ""))

    def test_a_test_that_failed(self):
        self.assertEqual(self.launch("sh -c 'exit 7'")[0], 7)

    def test_what_is_others_may_stay(self):
        self.outside.tc("qdisc", "add", "dev", "eth0", "clsact")
        self.outside.run("sh", "-c", self.filter_of(self.foreign))
        self.assertEqual(self.launch()[0], 0)

    def test_devices_that_come_and_go(self):
        self.outside.ip("link", "add", "name", "other", "type", "veth", "peer", "name", "another")
        self.assertEqual(self.launch("ip link add name br type bridge", "ip link del dev other"), (0, ""))

    def test_a_qdisc(self):
        self.assertCaught("changed during the test", "tc qdisc add dev eth0 clsact")

    def test_a_filter_of_ours(self):
        self.assertCaught("filters of ours stand on", "tc qdisc add dev eth0 clsact", self.filter_of(self.ours))

    def test_a_filter_of_ours_beside_anothers(self):
        self.outside.tc("qdisc", "add", "dev", "eth0", "clsact")
        self.assertCaught("filters of ours stand on", self.filter_of(self.ours))

    def test_a_filter_of_ours_that_stood_there_before(self):
        self.outside.tc("qdisc", "add", "dev", "eth0", "clsact")
        self.outside.run("sh", "-c", self.filter_of(self.ours))
        self.assertCaught("before the test")

    def test_a_filter_taken_away(self):
        self.outside.tc("qdisc", "add", "dev", "eth0", "clsact")
        self.outside.run("sh", "-c", self.filter_of(self.foreign))
        self.assertCaught("changed during the test", "tc filter del dev eth0 egress")

    def test_a_look_that_says_nothing(self):
        with tempfile.TemporaryDirectory(prefix="nns-path-") as first:
            path = {**os.environ, "PATH": f"{first}:{os.environ['PATH']}"}
            self.assertCaught("cannot see", f"cp /bin/false {first}/tc", env=path)


if __name__ == "__main__":
    host.main()
