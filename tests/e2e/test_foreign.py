# SPDX-License-Identifier: Apache-2.0
"""What others put on a device stays as it was, byte for byte: while we are there, and after."""

import tempfile

import host

FOREIGN = """
#include <linux/bpf.h>
__attribute__((section("classifier"), used)) int foreign(struct __sk_buff *skb) { return -1; }
char _license[] __attribute__((section("license"), used)) = "Dual BSD/GPL";
"""
EVERYTHING = ("u32", "match", "u32", "0", "0")


class Foreign(host.HostTest):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="nns-bpf-")
        cls.addClassCleanup(directory.cleanup)
        target = host.compile_bpf(directory.name, "foreign", FOREIGN)
        cls.program = ("bpf", "da", "obj", target, "sec", "classifier")

    def setUp(self):
        self.ns = self.unnamed()
        self.ns.add_pair("a", "b")

    def clsact(self, device="a", *more):
        self.ns.tc("qdisc", "add", "dev", device, *more, "clsact")

    def u32(self, hook, priority, device="a"):
        self.ns.tc("filter", "add", "dev", device, hook, "prio", priority, *EVERYTHING)

    def bpf(self, hook, priority, device="a", handle="0x1"):
        self.ns.tc("filter", "add", "dev", device, hook, "prio", priority, "handle", handle, *self.program)

    def attach(self, **settings):
        """Feed the namespace and wait until the daemon has settled every device, one way or the other."""
        self.before = self.ns.filter_texts()
        self.qdiscs_before = self.ns.qdiscs()
        daemon = self.daemon(settings)
        daemon.sync(self.ns.pid)
        return daemon

    def assertForeignUntouched(self):
        now = self.ns.filter_texts()
        self.assertEqual({place: host.less_ours(text) for place, text in now.items()}, self.before)
        for qdisc in self.qdiscs_before:
            self.assertIn(qdisc, self.ns.qdiscs())

    def assertLeftAsFound(self, daemon):
        daemon.stop()
        self.assertEqual(self.ns.filter_texts(), self.before)
        for qdisc in self.qdiscs_before:
            self.assertIn(qdisc, self.ns.qdiscs())
        added = [row for row in self.ns.qdiscs() if row not in self.qdiscs_before]
        self.assertEqual({row["kind"] for row in added} - {"clsact"}, set())

    def priorities(self, device="a"):
        ours = self.ns.ours()
        return tuple([row.priority for row in ours[device, hook]] for hook in host.HOOKS)

    def assertAttachesAt(self, ingress, egress, **settings):
        """The daemon finds these priorities free on a, and nobody else notices."""
        daemon = self.attach(**settings)
        self.assertCovered(self.ns)
        self.assertEqual(self.priorities(), ([ingress], [egress]))
        self.assertForeignUntouched()
        self.assertLeftAsFound(daemon)

    def test_priority_held_by_u32_on_ingress(self):
        self.clsact()
        self.u32("ingress", 10)
        self.assertAttachesAt(11, 10)

    def test_priority_held_by_another_bpf_program(self):
        self.clsact()
        self.bpf("ingress", 10)
        self.bpf("egress", 10)
        self.bpf("egress", 11, handle=host.OUR_HANDLE)
        self.assertAttachesAt(11, 12)

    def test_our_handle_in_foreign_hands(self):
        self.clsact()
        self.bpf("ingress", 10, handle=host.OUR_HANDLE)
        daemon = self.attach()
        self.assertCovered(self.ns)
        self.assertForeignUntouched()
        self.assertLeftAsFound(daemon)

    def test_another_protocol_at_our_priority(self):
        self.clsact()
        self.ns.tc("filter", "add", "dev", "a", "egress", "protocol", "ip", "prio", 10, *EVERYTHING)
        self.assertAttachesAt(10, 11)

    def test_filter_at_priority_1(self):
        self.clsact()
        self.bpf("ingress", 1)
        self.u32("egress", 1)
        self.assertAttachesAt(10, 10)

    def test_a_configured_priority_is_the_first_tried(self):
        self.clsact()
        self.u32("ingress", 500)
        self.assertAttachesAt(501, 500, **{"attach.priority": "500"})

    def test_all_our_priorities_held(self):
        self.clsact()
        for priority in range(10, 26):
            self.u32("egress", priority)
        daemon = self.attach()
        row = daemon.device(self.ns, "a")
        self.assertEqual(row["state"], "failed")
        self.assertIn("priorit", row["error"])
        ours = self.ns.ours()
        self.assertEqual((len(ours["a", "ingress"]), len(ours["a", "egress"])), (1, 0))
        self.assertForeignUntouched()
        self.assertLeftAsFound(daemon)

    def test_shared_block(self):
        self.clsact("a", "ingress_block", "7")
        self.ns.tc("filter", "add", "block", "7", "prio", "10", *EVERYTHING)
        block = self.ns.tc("-j", "filter", "show", "block", "7")
        daemon = self.attach()
        row = daemon.device(self.ns, "a")
        self.assertEqual(row["state"], "failed")
        self.assertIn("block", row["error"])
        self.assertEqual(len(self.ns.ours()["a", "egress"]), 1)
        self.assertEqual(self.ns.tc("-j", "filter", "show", "block", "7"), block)
        for device in ("lo", "b"):
            self.assertEqual(daemon.device(self.ns, device)["state"], "attached", "the others do not suffer")
        self.assertForeignUntouched()
        self.assertLeftAsFound(daemon)
        self.assertEqual(self.ns.tc("-j", "filter", "show", "block", "7"), block)

    def test_legacy_ingress_qdisc(self):
        self.ns.tc("qdisc", "add", "dev", "a", "ingress")
        self.u32("ingress", 3)
        daemon = self.attach()
        row = daemon.device(self.ns, "a")
        self.assertEqual(row["state"], "failed")
        self.assertIn("ingress", row["error"])
        # The kernel shows a legacy qdisc's one list for either hook: ours must stand there once, not twice.
        self.assertEqual(len(self.ns.ours()["a", "ingress"]), 1)
        self.assertTrue(row["ingress"]["program_id"])
        self.assertFalse(row["egress"]["program_id"])
        self.assertForeignUntouched()
        self.assertLeftAsFound(daemon)

    def test_legacy_ingress_qdisc_without_filters(self):
        self.ns.tc("qdisc", "add", "dev", "a", "ingress")
        daemon = self.attach()
        self.assertEqual(len(self.ns.ours()["a", "ingress"]), 1)
        self.assertEqual(daemon.device(self.ns, "a")["state"], "failed")
        self.assertLeftAsFound(daemon)

    def test_clsact_that_was_there(self):
        self.clsact()
        daemon = self.attach()
        self.assertCovered(self.ns)
        self.assertForeignUntouched()
        self.assertLeftAsFound(daemon)
        self.assertIn("clsact", {row["kind"] for row in self.ns.qdiscs() if row["dev"] == "a"})

    def test_filters_added_after_ours(self):
        daemon = self.attach()
        self.assertCovered(self.ns)
        self.u32("ingress", 9)
        self.bpf("egress", 10, handle="0x1")
        theirs = {place: host.less_ours(text) for place, text in self.ns.filter_texts().items()}
        daemon.stop()
        self.assertEqual(self.ns.filter_texts(), theirs)
        self.assertEqual(len(self.ns.filters()["a", "egress"]), 1)

    def test_our_place_taken_over_by_somebody_else(self):
        daemon = self.attach()
        self.assertCovered(self.ns)
        self.ns.tc("filter", "replace", "dev", "a", "ingress", "prio", 10, "handle", host.OUR_HANDLE,
                   *self.program)
        taken = self.ns.filter_texts()["a", "ingress"]
        self.assertEqual(host.less_ours(taken), taken)
        daemon.stop()
        self.assertEqual(self.ns.filter_texts()["a", "ingress"], taken, "what is not ours any more stays")

    def test_after_a_take_over_we_go_elsewhere(self):
        daemon = self.attach()
        self.ns.tc("filter", "replace", "dev", "a", "ingress", "prio", 10, "handle", host.OUR_HANDLE,
                   *self.program)
        taken = self.ns.filter_texts()["a", "ingress"]
        daemon.sync(self.ns.pid)
        self.assertCovered(self.ns)
        self.assertEqual(self.priorities(), ([11], [10]))
        daemon.stop()
        self.assertEqual(self.ns.filter_texts()["a", "ingress"], taken)


if __name__ == "__main__":
    host.main()
