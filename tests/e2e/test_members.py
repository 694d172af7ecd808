# SPDX-License-Identifier: Apache-2.0
"""Handles by member: where the kernel opens no namespace by its identity, a process or a mount leads there, and
nothing is held. What happens to namespaces when those go, move, and are replaced by others of the same number."""

import os
import shutil
import signal
import subprocess
import sys
import unittest

import host
import kernel

DAY = {"audit.interval": "24h"}
SHORT = {**DAY, "lonely.timeout": "600ms"}
LONG = {**DAY, "lonely.timeout": "1h"}

HANDLES_BY_ID = "open_by_handle_at=EPERM"
NS_GET_ID = "ioctl:0x8008b70d=ENOTTY"
RUN_PROGRAMS = "bpf@0:10=EPERM"  # neither the resolver nor the walk
PTRACE = ("setpriv", "--inh-caps=-sys_ptrace", "--bounding-set=-sys_ptrace")

# Goes where its standard input says, a path a line, and says so.
WANDERER = """import ctypes, os, sys
for line in sys.stdin:
    fd = os.open(line.strip(), os.O_RDONLY)
    if ctypes.CDLL(None).setns(fd, 0x40000000):
        sys.exit("setns")
    os.close(fd)
    print("there", flush=True)
"""


class MembersTest(host.HostTest):
    DENIED = (HANDLES_BY_ID,)

    def by_member(self, settings=None, **options):
        daemon = self.daemon({**SHORT, **(settings or {})}, denied=self.DENIED, **options)
        self.assertEqual(daemon.status()["capabilities"]["handles"], "weak: member's pid or mount path")
        return daemon

    def seen_from(self, ns, pid):
        """The same namespace, with its log of devices, as another process in it leads there."""
        other = host.Namespace(f"/proc/{pid}/ns/net", pid)
        self.assertEqual(other.cookie, ns.cookie)
        other.devices = ns.devices
        return other

    def held(self, ns):
        """The same, held by a mere descriptor, which no look finds. Closed after the test, or by release."""
        fd = os.open(ns.path, os.O_RDONLY)
        self.release = lambda: os.close(fd)
        held = host.Namespace(f"/proc/{os.getpid()}/fd/{fd}")
        held._cookie, held.devices = ns.cookie, ns.devices
        return held

    def add_pair_up(self, ns, *names):
        ns.add_pair(*names)
        for name in names:
            ns.ip("link", "set", "dev", name, "up")

    def assertHoldsNothing(self, daemon):
        own = [f"net:[{host.netns_inum('self')}]"]
        host.until(lambda: [name for name in daemon.fds() if name.startswith("net:")] == own,
                   "no namespace but its own is open between pieces of work")
        self.assertEqual(daemon.status()["namespaces"]["pinned"], 0)

    def tracked_with_a_way_to_poke_it(self, settings=None):
        """A daemon and a namespace that it covers, with a device whose other end is outside: to change something
        there without a process that goes in, and could be found."""
        ns = self.unnamed()
        ns.add_veth("poked", host.own_namespace(), "poke")
        daemon = self.by_member(settings)
        daemon.sync(ns.pid)
        self.assertCovered(ns)
        return daemon, ns

    def poke(self, ns):
        host.run("ip", "link", "del", "poke")
        ns.devices.remove("poked")

    def assertFound(self, daemon, ns):
        self.assertCovered(ns)
        counters = daemon.status()["counters"]
        self.assertGreater(counters["namespaces.astray"], 0)
        self.assertEqual(counters["namespaces.found"], counters["namespaces.astray"])
        self.assertEqual((counters["namespaces.flushed"], counters["namespaces.added"]), (0, 1))
        self.assertEqual(daemon.row(ns)["handle"], "weak")
        self.assertHoldsNothing(daemon)


class Members:
    """On each of the ways to learn a cookie."""

    def test_namespaces_that_die_are_held_by_nobody_and_forgotten(self):
        """At once: the kernel tells that they are dead."""
        self.assertForgotten(self.by_member(LONG), "dead")

    def test_who_died_unheard_is_forgotten_in_time(self):
        self.assertForgotten(self.by_member(deaf=True), "lonely")

    def assertForgotten(self, daemon, why):
        own = host.own_namespace()
        made = [self.unnamed() for _ in range(10)]
        for i, ns in enumerate(made):
            ns.add_veth("eth0", own, f"h{i}")
        daemon.sync(*[ns.pid for ns in made])
        for ns in made:
            self.assertCovered(ns)
        self.assertHoldsNothing(daemon)
        cookies = {ns.cookie for ns in made}
        for ns in made:
            ns.kill()
        host.until(lambda: "h0" not in own.ip("-o", "link"), "they die: nothing of ours holds them")
        host.until(lambda: not cookies & {row["cookie"] for row in daemon.ask("list")["namespaces"]},
                   "they are forgotten")
        status = daemon.status()
        counters = status["counters"]
        self.assertEqual((counters[f"namespaces.{why}"], counters["namespaces.flushed"]), (10, 10))
        self.assertEqual(counters["detach.failed"], 0)
        self.assertEqual((status["namespaces"]["astray"], status["meter"]["slots_in_use"]), (0, 0))
        daemon.stop()

    def test_a_member_that_ends_while_another_lives(self):
        ns = self.unnamed()
        daemon = self.by_member()
        daemon.sync(ns.pid)
        other = self.seen_from(ns, self.visitor(ns))
        ns.kill()
        self.add_pair_up(other, "a", "b")
        self.assertFound(daemon, other)
        daemon.stop()
        self.assertBare(other)

    def test_a_member_that_moves(self):
        ns, elsewhere = self.unnamed(), self.unnamed()
        wanderer = host.start(sys.executable, "-c", WANDERER, ns=ns, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True)
        self.addCleanup(host.end, wanderer)
        daemon = self.by_member()
        self.assertEqual(daemon.sync(wanderer.pid)[wanderer.pid]["cookie"], ns.cookie)
        wanderer.stdin.write(f"{elsewhere.path}\n")
        wanderer.stdin.flush()
        self.assertEqual(wanderer.stdout.readline(), "there\n")
        self.add_pair_up(ns, "a", "b")
        self.assertFound(daemon, ns)
        self.assertBare(elsewhere)
        daemon.stop()
        self.assertBare(ns)

    def test_a_pid_that_another_process_has_now(self):
        ns = self.unnamed()
        daemon = self.by_member()
        daemon.sync(ns.pid)
        other = self.seen_from(ns, self.visitor(ns))
        pid = ns.pid
        ns.kill()
        heir = self.heir_of(pid)
        self.add_pair_up(other, "a", "b")
        self.assertFound(daemon, other)
        self.assertBare(heir)
        daemon.stop()
        self.assertBare(other)

    def heir_of(self, pid):
        """A namespace whose process has the pid of one that has ended."""
        def born():
            with open("/proc/sys/kernel/ns_last_pid", "w") as file:
                file.write(str(pid - 1))
            heir = self.unnamed()
            return heir if heir.pid == pid else heir.kill()

        return host.until(born, "a process has the pid")

    def test_a_mount_that_goes_while_a_process_lives(self):
        named = self.named()
        daemon = self.by_member()
        visitor = self.visitor(named)
        daemon.sync(visitor)
        os.kill(visitor, signal.SIGKILL)
        self.add_pair_up(named, "a", "b")
        self.assertFound(daemon, named)  # by the mount
        other = self.seen_from(named, self.visitor(named))
        host.run("ip", "netns", "del", named.name)
        self.add_pair_up(other, "c", "d")
        self.assertFound(daemon, other)
        daemon.stop()
        self.assertBare(other)

    def test_one_that_is_astray_is_found_by_a_request(self):
        daemon, ns = self.tracked_with_a_way_to_poke_it(LONG)
        held = self.held(ns)
        ns.kill()
        self.poke(ns)
        host.until(lambda: daemon.row(held)["handle"] == "none", "it is known to be astray")
        self.assertEqual(daemon.status()["namespaces"]["astray"], 1)
        self.add_pair_up(held, "a", "b")
        visitor = self.visitor(held)
        self.release()
        answer = daemon.sync(visitor)[visitor]
        self.assertEqual((answer["outcome"], answer["cookie"]), ("known", ns.cookie))
        again = self.seen_from(ns, visitor)
        self.assertTrue(again.covered())
        self.assertFound(daemon, again)
        daemon.stop()
        self.assertBare(again)

    def test_one_that_is_out_of_reach_is_forgotten_in_time(self):
        daemon, ns = self.tracked_with_a_way_to_poke_it()
        held = self.held(ns)
        self.addCleanup(self.release)
        ns.kill()
        self.poke(ns)
        host.until(lambda: not daemon.row(held), "it is forgotten")
        self.assertEqual(daemon.counter("namespaces.lonely"), 1)
        # It is one like any other when it is met again.
        visitor = self.visitor(held)
        self.assertEqual(daemon.sync(visitor)[visitor]["outcome"], "new")
        self.assertTrue(held.covered())
        daemon.stop()
        self.assertBare(held)

    def test_at_the_end_whoever_went_astray_is_looked_for(self):
        ns = self.unnamed()
        gone = self.unnamed()
        daemon = self.by_member(LONG)
        daemon.sync(ns.pid, gone.pid)
        other = self.seen_from(ns, self.visitor(ns))
        daemon.halt()
        ns.kill()
        gone.kill()
        daemon.tell(signal.SIGTERM)
        daemon.tell(signal.SIGCONT)
        daemon.wait_end()
        self.assertBare(other)


@unittest.skipUnless(kernel.tells_ids(), "a namespace's descriptor does not tell its cookie here")
class ByDescriptor(Members, MembersTest):
    """The descriptor tells the cookie, a program that of many pids."""


class BySocket(Members, MembersTest):
    """Only a socket inside tells the cookie once a namespace is open."""
    DENIED = (HANDLES_BY_ID, NS_GET_ID)


class ByProc(Members, MembersTest):
    """Nor does a program tell of any task: as on a kernel that lets us load none."""
    DENIED = (HANDLES_BY_ID, NS_GET_ID, RUN_PROGRAMS)


class Discovered(MembersTest):
    """Nobody asks, and no look is due: an event brings it back."""

    def lose(self):
        daemon, ns = self.tracked_with_a_way_to_poke_it({**LONG, "discover.enabled": "true"})
        held = self.held(ns)
        self.addCleanup(self.release)
        ns.kill()
        self.poke(ns)
        host.until(lambda: daemon.row(held)["handle"] == "none", "it is known to be astray")
        host.until(lambda: daemon.counter("discover.scans") == 2, "and has been looked for")
        return daemon, held

    def assertBack(self, daemon, ns):
        host.until(lambda: daemon.row(ns)["handle"] == "weak", "it is found again")
        self.assertCovered(ns)
        daemon.stop()
        self.assertBare(ns)

    def test_by_a_process_that_comes(self):
        daemon, ns = self.lose()
        self.visitor(ns)
        self.assertBack(daemon, ns)

    def test_by_a_mount_that_comes(self):
        daemon, ns = self.lose()
        with open("/run/again", "w"):
            pass
        host.run("mount", "--bind", ns.path, "/run/again")
        self.addCleanup(host.run, "umount", "/run/again")
        self.assertBack(daemon, ns)


class Hidden(MembersTest):
    # In a mount namespace of its own: over the first of two mounts of one namespace lies one of another.
    SCRIPT = """mount -t tmpfs tmpfs /mnt && touch /mnt/a /mnt/b && mount --bind "$1" /mnt/a &&
    mount --bind "$1" /mnt/b && mount --bind "$2" /mnt/a && echo ready && exec sleep infinity"""

    def test_a_mount_that_another_lies_over_leads_nowhere(self):
        ns, other = self.unnamed(), self.unnamed()
        ns.add_veth("poked", host.own_namespace(), "poke")
        keeper = host.start("unshare", "--mount", "sh", "-c", self.SCRIPT, "sh", ns.path, other.path,
                            stdout=subprocess.PIPE, text=True)
        self.addCleanup(host.end, keeper)
        self.assertEqual(keeper.stdout.readline(), "ready\n")
        daemon = self.by_member()
        daemon.sync(ns.pid)
        self.assertCovered(ns)
        hidden = host.Namespace(f"/proc/{keeper.pid}/root/mnt/b")
        hidden._cookie, hidden.devices = ns.cookie, ns.devices
        ns.kill()
        host.run("ip", "link", "del", "poke")
        hidden.devices.remove("poked")
        host.until(lambda: daemon.counter("namespaces.found") > 0, "it is found by the other path")
        self.assertEqual(daemon.row(hidden)["handle"], "weak")
        self.assertEqual(daemon.counter("namespaces.flushed"), 0)
        self.assertCovered(hidden)
        daemon.stop()
        self.assertBare(hidden)


class Many(MembersTest):
    COUNT = 150 if os.environ.get("NNS_LONG") == "1" else 20

    def test_all_go_astray_are_found_and_die(self):
        made = [self.unnamed() for _ in range(self.COUNT)]
        daemon = self.by_member({"discover.enabled": "true"})
        for ns in made:
            self.assertCovered(ns)
        before = len(daemon.fds())
        others = [self.seen_from(ns, self.visitor(ns)) for ns in made]
        for ns, other in zip(made, others):
            ns.kill()
            self.add_pair_up(other, "a", "b")
        for other in others:
            self.assertCovered(other)
        self.assertHoldsNothing(daemon)
        self.assertEqual(daemon.counter("namespaces.flushed"), 0)
        cookies = {other.cookie for other in others}
        for other in others:
            os.kill(other.pid, signal.SIGKILL)
        host.until(lambda: not cookies & {row["cookie"] for row in daemon.ask("list")["namespaces"]},
                   "they are forgotten")
        self.assertEqual(daemon.counter("detach.failed"), 0)
        host.until(lambda: len(daemon.fds()) <= before, "no descriptor is left of them")
        daemon.stop()


class Chosen(host.HostTest):
    def handles(self, settings=None, **options):
        daemon = self.daemon(settings, **options)
        ns = self.unnamed()
        self.assertEqual(daemon.sync(ns.pid)[ns.pid]["outcome"], "new")
        self.assertTrue(ns.covered())
        pins = len([name for name in daemon.fds() if name == f"net:[{ns.inum}]"])
        handles, handle = daemon.status()["capabilities"]["handles"], daemon.row(ns)["handle"]
        daemon.stop()
        return handles, handle, pins

    def test_by_the_operator(self):
        self.assertEqual(self.handles({"handle.mode": "pinned"}), ("pinned: an open descriptor", "pinned", 1))
        self.assertEqual(self.handles({"handle.mode": "member"}), ("weak: member's pid or mount path", "weak", 0))

    def test_by_member_where_nobody_elses_namespace_opens_by_its_identity(self):
        others = f"open_by_handle_at!{host.own_namespace().cookie}=ESTALE"
        self.assertEqual(self.handles(under=(f"{host.BUILD}/fault", others, "--")),
                         ("weak: member's pid or mount path", "weak", 0))

    @unittest.skipUnless(shutil.which(PTRACE[0]), "no setpriv here")
    def test_pinned_where_others_processes_lead_nowhere(self):
        daemon = self.daemon(under=PTRACE, denied=(HANDLES_BY_ID,))
        self.assertEqual(daemon.status()["capabilities"]["handles"], "pinned: an open descriptor")
        daemon.stop()
        daemon = self.daemon({"handle.mode": "member"}, under=PTRACE, wait=False)
        daemon.wait_end(1)
        self.assertIn("handle.mode = member: ", daemon.stderr())


if __name__ == "__main__":
    host.main()
