# SPDX-License-Identifier: Apache-2.0
"""What `status` says the daemon can do here is what it really opened and does. Each rung is forced by denying the one
above it; what is open, /proc tells."""

import os
import re
import socket
import unittest

import host
import kernel

DISCOVER = {"discover.enabled": "true"}
TRACEPOINTS, LINKS, RUNS = "bpf@0:17=EPERM", "bpf@0:28=EPERM", "bpf@0:10=EPERM"  # what bpf(2) is asked for
FANOTIFY, HANDLES = "fanotify_init=EPERM", "open_by_handle_at=EPERM"
PIDFD_NETNS, NS_GET_ID = "ioctl:0xff04=ENOTTY", "ioctl:0x8008b70d=ENOTTY"

TASKS, DEVICES, WALK = "fork, exec and exit tracepoints", "qdisc tracepoints", "periodic walk"
RTNETLINK = "rtnetlink, up to 1000 namespaces"
HOOKED = ("sched_process_fork", "sched_process_exec", "sched_process_exit", "qdisc_create", "qdisc_destroy")
PINNED, DUMP = {"handle.mode": "pinned"}, "rtnetlink dump"
BEST = {"resolver": "BPF program for known, pidfd ioctl for new", "handles": "weak: nsfs file handle",
        "identity": "NS_GET_ID", "first_scan": "BPF task iterator",
        "discovery": f"{TASKS}, {DEVICES}, fanotify, {WALK}", "device_events": "qdisc tracepoints",
        "listing": "BPF program", "attach": "clsact", "meter_key": "attachment slot"}


has_first_rungs = unittest.skipUnless(
    kernel.opens_by_id(host.own_namespace()) and kernel.tells_of_mounts() and kernel.tells_ids() and
    kernel.opens_pidfds() and kernel.looks_pids_up() and kernel.traces(*HOOKED), "a kernel that lacks some of the first rungs")


class Saying(host.HostTest):
    def said(self, *denied, settings=None, under=()):
        """A daemon with these denied, that covers a namespace by a pid; its status."""
        deny = (f"{host.BUILD}/deny", *denied, "--") if denied else ()
        self.running = self.daemon({**DISCOVER, **(settings or {})}, under=(*under, *deny))
        ns = self.unnamed()
        disabled = (settings or {}).get("network.enabled") == "false"
        result = self.running.sync(ns.pid, code=int(disabled))[ns.pid]["outcome"]
        self.assertIn(result, ("disabled",) if disabled else ("new", "known"))
        return self.running.status()

    def assertSaid(self, status, **different):
        self.assertEqual(status["capabilities"], {**BEST, **different})

    def opened(self, what):
        return sum(what in name for name in self.running.fds())

    def links(self):
        """Programs that are attached: three to tasks, two to qdiscs, the iterator."""
        return self.opened("bpf_link")


class Lowest(Saying):
    def test_all_that_can_be_denied(self):
        """What is left is there on every kernel."""
        status = self.said(TRACEPOINTS, LINKS, RUNS, FANOTIFY, HANDLES, PIDFD_NETNS, NS_GET_ID)
        self.assertSaid(status, resolver="/proc", handles="weak: member's pid or mount path", identity="SO_NETNS_COOKIE",
                        first_scan="/proc walk", discovery=f"mountinfo, {WALK}", device_events=RTNETLINK, listing=DUMP)
        self.assertEqual((self.links(), self.opened("fanotify")), (0, 0))
        self.assertEqual((status["counters"]["resolve.pidfd"], status["counters"]["resolve.batches"]), (0, 0))


@has_first_rungs
class Capabilities(Saying):
    def test_nothing_denied(self):
        status = self.said()
        self.assertSaid(status)
        self.assertEqual(self.links(), 6)
        self.assertEqual(self.opened("fanotify"), 1)
        self.assertGreater(status["counters"]["resolve.batches"], 0)
        self.assertGreater(status["counters"]["list.walks"], 0)
        self.assertEqual((status["counters"]["list.walks"], status["counters"]["list.refused"]),
                         (status["counters"]["list.dumps"], 0))
        table = self.running.command("status").stdout
        for name, text in BEST.items():
            self.assertRegex(table, rf"\n  {name} +{re.escape(text)}\n")
        self.assertRegex(table, rf"\nmeter:\n(  .*\n)*  pinned +{'yes' if status['meter']['pinned'] else 'no'}\n")

    def test_no_program_can_be_run(self):
        status = self.said(RUNS)
        self.assertSaid(status, resolver="pidfd ioctl", first_scan="/proc walk", listing=DUMP,
                        discovery=f"{DEVICES}, fanotify, {WALK}")
        self.assertEqual((status["counters"]["resolve.batches"], status["counters"]["list.walks"]), (0, 0))
        self.assertGreater(status["counters"]["list.dumps"], 0)
        self.assertEqual(self.links(), 2)

    def test_neither_programs_nor_the_ioctl_of_pidfds(self):
        status = self.said(RUNS, PIDFD_NETNS)
        self.assertSaid(status, resolver="/proc", first_scan="/proc walk", listing=DUMP,
                        discovery=f"{DEVICES}, fanotify, {WALK}")
        self.assertEqual((status["counters"]["resolve.pidfd"], status["counters"]["resolve.batches"]), (0, 0))
        self.assertGreater(status["counters"]["resolve.proc"], 0)

    def test_no_ioctl_of_pidfds(self):
        self.assertSaid(self.said(PIDFD_NETNS), resolver="BPF program for known, /proc for new")
        # Where events tell of namespaces, too, whoever names a pid may come too late to have it opened.
        status = self.said(PIDFD_NETNS, settings={"discover.enabled": "false", "instance": "second"})
        self.assertEqual(status["counters"]["resolve.pidfd"], 0)
        self.assertGreater(status["counters"]["resolve.proc"], 0)

    def test_no_tracepoints(self):
        self.assertSaid(self.said(TRACEPOINTS), discovery=f"fanotify, {WALK}", device_events=RTNETLINK)
        self.assertEqual(self.links(), 1)

    def test_no_iterator(self):
        self.assertSaid(self.said(LINKS), first_scan="/proc walk")
        self.assertEqual(self.links(), 5)

    def test_no_fanotify(self):
        self.assertSaid(self.said(FANOTIFY), discovery=f"{TASKS}, {DEVICES}, mountinfo, {WALK}")
        self.assertEqual(self.opened("fanotify"), 0)

    def test_no_fanotify_and_no_tracepoints(self):
        self.assertSaid(self.said(FANOTIFY, TRACEPOINTS), discovery=f"mountinfo, {WALK}", device_events=RTNETLINK)

    def without_mountinfo(self):
        """Under this the daemon cannot open its own: a socket lies over it."""
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("/run/in-the-way")
        self.addCleanup(os.unlink, "/run/in-the-way")
        return ("unshare", "--mount", "sh", "-c", 'mount --bind /run/in-the-way /proc/$$/mountinfo && exec "$@"', "sh")

    def test_no_word_of_mounts(self):
        under = self.without_mountinfo()
        self.assertSaid(self.said(FANOTIFY, under=under), discovery=f"{TASKS}, {DEVICES}, {WALK}")
        self.assertSaid(self.said(FANOTIFY, TRACEPOINTS, settings={"instance": "second"}, under=under), discovery=WALK,
                        device_events=RTNETLINK)

    def test_handles_by_member(self):
        self.assertSaid(self.said(HANDLES), handles="weak: member's pid or mount path")

    def test_pinned_handles(self):
        status = self.said(settings=PINNED)
        self.assertSaid(status, handles="pinned: an open descriptor", listing=DUMP,
                        resolver="readlink for known, pidfd ioctl for new")
        self.assertGreater(status["namespaces"]["pinned"], 0)
        self.assertEqual(status["counters"]["resolve.batches"], 0)

    def test_pinned_handles_without_the_ioctl_of_pidfds(self):
        status = self.said(PIDFD_NETNS, settings=PINNED)
        self.assertSaid(status, handles="pinned: an open descriptor", listing=DUMP,
                        resolver="readlink for known, /proc for new")
        self.assertEqual(status["counters"]["resolve.pidfd"], 0)

    def test_no_ids_of_namespaces(self):
        status = self.said(NS_GET_ID)["capabilities"]
        self.assertEqual(status["identity"], "SO_NETNS_COOKIE")

    def test_nothing_is_discovered(self):
        self.assertSaid(self.said(settings={"discover.enabled": "false"}), first_scan="none", discovery="queue only")
        self.assertEqual((self.links(), self.opened("fanotify")), (2, 0))

    def test_no_networking(self):
        status = self.said(settings={"network.enabled": "false"})
        self.assertSaid(status, first_scan="none", discovery="none", device_events="none", listing="none", attach="none")
        self.assertEqual((self.links(), self.opened("fanotify")), (0, 0))

    def test_an_operators_own_programs_have_no_key(self):
        place = self.running_object()
        status = self.said(settings={"program.object": place, "program.ingress": "mine", "program.egress": "mine"})
        self.assertSaid(status, meter_key="none")

    def running_object(self):
        text = ('#define SEC(name) __attribute__((section(name), used))\nstruct __sk_buff;\n'
                'SEC("tc") int mine(struct __sk_buff *skb) { return -1; }\nchar _license[] SEC("license") = "GPL";\n')
        self.addCleanup(os.unlink, "/run/mine.c")
        self.addCleanup(os.unlink, "/run/mine.o")
        return host.compile_bpf("/run", "mine", text)


if __name__ == "__main__":
    host.main()
