# SPDX-License-Identifier: Apache-2.0
"""A daemon that ends and a next one that goes on: filters are adopted in place, counts continue, and what belongs
to another device does not. One daemon an instance."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading

import host

ADDRESSES = ("10.98.0.1", "10.98.0.2")
PINS = "/sys/fs/bpf/netnsync/default"
LOCK = "/run/netnsync/default.lock"
# Nothing finds out that a filter was taken away.
UNAWARE = {"audit.interval": "24h", "events.interval": "24h"}
OWN_PROGRAMS = """
#include <linux/bpf.h>
#define SEC(name) __attribute__((section(name), used))
SEC("tc") int own_in(struct __sk_buff *skb) { return -1; }
SEC("tc") int own_out(struct __sk_buff *skb) { return skb->len ? -1 : 0; }
char _license[] SEC("license") = "GPL";
"""
OWN = tempfile.TemporaryDirectory(prefix="nns-bpf-")


def pins(directory=PINS):
    with contextlib.suppress(FileNotFoundError):
        return sorted(os.listdir(directory))
    return None


def inodes(directory=PINS):
    return {name: os.stat(f"{directory}/{name}").st_ino for name in pins(directory)}


def own_programs():
    """The operator's, as settings."""
    target = f"{OWN.name}/own.o"
    if not os.path.exists(target):
        host.compile_bpf(OWN.name, "own", OWN_PROGRAMS)
    return {"program.object": target, "program.ingress": "own_in", "program.egress": "own_out"}


def holds_a_lock(process):
    with contextlib.suppress(FileNotFoundError):
        for fd in os.listdir(f"/proc/{process.pid}/fdinfo"):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{process.pid}/fdinfo/{fd}") as file:
                if "FLOCK" in file.read():
                    return True
    return False


class Pair(host.HostTest):
    """Two namespaces with a veth pair between them, and a count of what went through it."""

    def setUp(self):
        self.ends = (self.unnamed(), self.named())
        self.names = ("left", "right")
        for ns in self.ends:
            ns.quiet()
        self.ends[0].add_veth("left", self.ends[1], "right")
        for ns, name, address in zip(self.ends, self.names, ADDRESSES):
            ns.ip("link", "set", "lo", "up")
            ns.ip("link", "set", name, "up")
            ns.ip("address", "add", f"{address}/24", "dev", name)
        self.introduce()
        self.pids = (self.ends[0].pid, self.visitor(self.ends[1]))
        self.into, self.out = self.endpoint(1), self.endpoint(0)
        self.into.bind((ADDRESSES[1], 4711))

    def introduce(self):
        """No packets but the exchanged ones: some seconds after it heard of a neighbour the kernel would ask for it."""
        for i, ns in enumerate(self.ends):
            peer = json.loads(self.ends[1 - i].ip("-j", "link", "show", "dev", self.names[1 - i]))[0]["address"]
            ns.ip("neigh", "replace", ADDRESSES[1 - i], "lladdr", peer, "dev", self.names[i], "nud", "permanent")

    def endpoint(self, i):
        with self.ends[i].inside():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(made.close)
        made.settimeout(host.PATIENCE)
        return made

    def exchange(self, packets=200):
        """From left to right and back, with every packet taken there before the next leaves."""
        for number in range(packets):
            data = number.to_bytes(4, "big") * 25
            self.out.sendto(data, (ADDRESSES[1], 4711))
            taken, sender = self.into.recvfrom(65536)
            self.assertEqual(taken, data)
            self.into.sendto(data, sender)
            self.assertEqual(self.out.recv(65536), data)

    @contextlib.contextmanager
    def traffic(self):
        """Packets that go on and on meanwhile."""
        over, sent = threading.Event(), []

        def send():
            while not over.is_set():
                self.exchange(1)
                sent.append(1)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            host.until(lambda: sent, "the traffic flows")
            yield
            before = len(sent)
            host.until(lambda: len(sent) > before + 100, "the traffic goes on")
        finally:
            over.set()
            thread.join()

    def serve(self, settings=None, **options):
        daemon = self.daemon(settings, **options)
        daemon.sync(*self.pids)
        for ns in self.ends:
            self.assertCovered(ns)  # with exactly one filter a hook
        return daemon

    def texts(self):
        """All filters, to the letter."""
        return [ns.filter_texts() for ns in self.ends]

    def running(self):
        """The programs of ours that packets meet."""
        return {row.program for ns in self.ends for rows in ns.ours().values() for row in rows}

    def fail_to_start(self, settings, code=1):
        failing = self.daemon(settings, wait=False)
        host.until(lambda: failing.process.poll() is not None, "it gives up")
        self.assertEqual(failing.process.returncode, code, failing.stderr())
        self.assertRegex(failing.stderr(), "(?m)^error: .+")

    def kernel(self):
        return [ns.traffic(name) for ns, name in zip(self.ends, self.names)]

    def counted(self, daemon):
        rows = [daemon.device(ns, name) for ns, name in zip(self.ends, self.names)]
        return [{hook: (row[hook]["packets"], row[hook]["bytes"]) for hook in host.HOOKS} for row in rows]

    def difference(self, daemon):
        """What the kernel counted and we did not: the packets before the first daemon came."""
        return [{hook: tuple(theirs - ours for theirs, ours in zip(end[hook], mine[hook])) for hook in host.HOOKS}
                for end, mine in zip(self.kernel(), self.counted(daemon))]


class Restart(Pair):
    """Beside the filters of another agent, at the priority that we try first and on both sides of it."""

    PRIORITIES = (1, 10, 30)
    settings = {}

    def setUp(self):
        super().setUp()
        for ns, name in zip(self.ends, self.names):
            ns.tc("qdisc", "add", "dev", name, "clsact")
            for hook in host.HOOKS:
                for priority in self.PRIORITIES:
                    ns.tc("filter", "add", "dev", name, hook, "prio", priority, "u32", "match", "u32", "0", "0")
        self.before = self.texts()

    def crash(self, daemon):
        daemon.kill()

    def assertForeignUntouched(self):
        now = [{place: host.less_ours(text) for place, text in texts.items()} for texts in self.texts()]
        self.assertEqual(now, self.before)

    def assertOneEach(self, program_ids):
        """One filter a hook, and nobody else's program."""
        for ns in self.ends:
            self.assertTrue(ns.covered())
        self.assertLessEqual(self.running(), program_ids)

    def test_counts_go_on_and_no_packet_is_missed(self):
        daemon = self.serve(self.settings)
        self.assertTrue(daemon.status()["meter"]["pinned"])
        missed = self.difference(daemon)
        self.exchange()
        for _ in range(3):
            before, left = self.counted(daemon), set(daemon.status()["programs"].values())
            self.crash(daemon)
            with self.traffic():  # without a daemon, and while the next one takes over
                self.assertOneEach(left)
                self.exchange_more()
                daemon = self.serve(self.settings)
                self.assertOneEach(set(daemon.status()["programs"].values()))
                self.assertForeignUntouched()
            for ours, earlier in zip(self.counted(daemon), before):
                for hook in host.HOOKS:
                    self.assertGreater(ours[hook][0], earlier[hook][0])
            self.assertEqual(self.difference(daemon), missed, "each packet is counted, and counted once")
            self.assertEqual(daemon.status()["meter"]["slots_reserved"], 0)
        for row in self.counted(daemon):
            for hook in host.HOOKS:
                self.assertGreater(row[hook][0], 800, "200 at first, and in each of three rounds")
        daemon.command("detach", "--all")
        daemon.stop()
        self.assertEqual(self.texts(), self.before)

    def exchange_more(self):
        start = self.kernel()[0]["egress"][0]
        host.until(lambda: self.kernel()[0]["egress"][0] > start + 200, "packets without a daemon")


class Kept(Restart):
    """The same with an orderly stop that leaves the filters."""

    settings = {"keep_attached": "true"}

    def crash(self, daemon):
        daemon.stop(signal.SIGTERM)
        self.assertEqual(pins(), ["holders", "slots"])


class Meanwhile(Pair):
    """What happens while there is no daemon."""

    def begin(self):
        daemon = self.serve()
        self.exchange()
        self.assertGreaterEqual(self.counted(daemon)[0]["egress"][0], 200)
        ifindex = daemon.device(self.ends[0], "left")["ifindex"]
        daemon.kill()
        return ifindex

    def replace(self, ifindex):
        """Another device under left's ifindex."""
        left = self.ends[0]
        left.ip("link", "del", "dev", "left")
        self.ends[1].devices.remove("right")
        left.ip("link", "add", "name", "left", "index", ifindex, "type", "veth", "peer", "name", "other")
        left.devices.append("other")

    def assertNothing(self, daemon, name="left"):
        row = daemon.device(self.ends[0], name)
        self.assertEqual([row[hook]["packets"] for hook in host.HOOKS], [0, 0])
        return row

    def test_a_device_replaced_under_its_ifindex_starts_at_nothing(self):
        ifindex = self.begin()
        self.replace(ifindex)
        daemon = self.serve()
        self.assertEqual(self.assertNothing(daemon)["ifindex"], ifindex)
        daemon.stop()

    def test_one_that_somebody_gave_a_clsact_starts_at_nothing_too(self):
        ifindex = self.begin()
        self.replace(ifindex)
        self.ends[0].tc("qdisc", "add", "dev", "left", "clsact")
        self.ends[0].tc("filter", "add", "dev", "left", "egress", "prio", "10", "u32", "match", "u32", "0", "0")
        daemon = self.serve()
        self.assertNothing(daemon)
        daemon.stop()

    def test_what_another_daemon_put_there_is_no_proof(self):
        """It counted elsewhere, and in a slot of the same number by chance."""
        ifindex = self.begin()
        self.replace(ifindex)
        between = self.serve({"bpffs.path": ""})
        self.assertFalse(between.status()["meter"]["pinned"])
        between.kill()
        daemon = self.serve()
        self.assertTrue(daemon.status()["meter"]["pinned"])
        self.assertNothing(daemon)
        daemon.stop()

    def test_one_that_lost_a_filter_keeps_its_counts(self):
        self.begin()
        self.ends[0].tc("filter", "del", "dev", "left", "ingress")
        daemon = self.serve()
        self.assertGreaterEqual(self.counted(daemon)[0]["egress"][0], 200)
        daemon.stop()

    def test_a_newcomer_gets_nobodys_slot(self):
        self.begin()
        newcomer = self.unnamed()
        newcomer.add_pair("a", "b")
        daemon = self.daemon()
        daemon.sync(newcomer.pid)
        reserved = daemon.status()["meter"]["slots_reserved"]
        self.assertGreaterEqual(reserved, 4, "two ends with their loopbacks")
        counted = [row[hook]["packets"] for row in daemon.row(newcomer)["devices"] for hook in host.HOOKS]
        self.assertEqual(counted, [0] * 6)
        daemon.sync(*self.pids)
        self.assertGreaterEqual(self.counted(daemon)[0]["egress"][0], 200)
        self.assertEqual(daemon.status()["meter"]["slots_reserved"], reserved - 4)
        daemon.stop()


class Layout(Pair):
    def test_another_number_of_slots_begins_at_nothing_and_says_so(self):
        daemon = self.serve()
        self.exchange()
        daemon.kill()
        heir = self.serve({"meter.memory": "1M"})
        self.assertIn("counts begin at nothing", heir.stderr())
        self.assertEqual(self.counted(heir)[0]["egress"][0], 0)
        self.exchange()
        self.assertGreaterEqual(self.counted(heir)[0]["egress"][0], 200)
        heir.stop()

    def test_unpinned(self):
        host.run("umount", "/sys/fs/bpf")
        self.addCleanup(host.run, "mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
        daemon = self.serve()
        self.assertFalse(daemon.status()["meter"]["pinned"])
        self.assertEqual(daemon.stderr().count("counts will not outlive this daemon"), 1, daemon.stderr())
        self.exchange()
        daemon.kill()
        heir = self.serve()
        self.assertEqual(self.counted(heir)[0]["egress"][0], 0)
        heir.stop()


class Pins(Pair):
    def test_they_go_at_an_orderly_stop(self):
        daemon = self.serve()
        self.assertEqual(pins(), ["holders", "slots"])
        daemon.stop()
        self.assertIsNone(pins())

    def test_they_stay_with_the_filters_and_go_with_them(self):
        daemon = self.serve({"keep_attached": "true"})
        daemon.stop()
        self.assertEqual(pins(), ["holders", "slots"])
        done = daemon.command("--json", "detach", "--all")
        self.assertTrue(json.loads(done.stdout)["detached"]["counts"])
        self.assertIsNone(pins())
        for ns in self.ends:
            self.assertBare(ns)
        done = daemon.command("--json", "detach", "--all")
        self.assertFalse(json.loads(done.stdout)["detached"]["counts"])

    def test_detach_for_a_crashed_daemon_with_a_place_of_its_own(self):
        crashed = self.serve({"bpffs.path": "/sys/fs/bpf/elsewhere"})
        self.assertEqual(pins("/sys/fs/bpf/elsewhere/default"), ["holders", "slots"])
        crashed.kill()
        text = crashed.command("detach", "--all", "--bpffs", "/sys/fs/bpf/elsewhere").stdout
        self.assertIn(", and its counts", text)
        self.assertIsNone(pins("/sys/fs/bpf/elsewhere/default"))

    def assertRefusesToSweep(self, socket, instance="default", **options):
        before, texts = pins(), self.texts()
        done = host.command("detach", "--all", "--qdiscs", socket=socket, check=False, **options)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(f"instance {instance} has a daemon", done.stderr)
        self.assertEqual(self.texts(), texts, "no filter is touched")
        self.assertEqual(pins(), before)

    def test_detach_at_the_wrong_socket_leaves_a_living_daemons(self):
        for settings in ({}, {"bpffs.path": ""}, {"bpffs.path": "/sys/fs/bpf/elsewhere"}, own_programs()):
            with self.subTest(settings=settings):
                daemon = self.serve({**UNAWARE, **settings}, deaf="rtnetlink")
                self.assertRefusesToSweep(f"{daemon.directory}/nobody")
                other = self.daemon({"instance": "other"})
                done = host.command("detach", "--all", "--instance", "default", socket=other.socket, check=False)
                self.assertEqual(done.returncode, 1, done.stdout)
                other.stop()
                for ns in self.ends:
                    self.assertTrue(ns.covered())
                os.unlink(daemon.socket)  # as if it did not listen yet
                self.assertRefusesToSweep(daemon.socket)
                daemon.stop()

    def test_detach_leaves_a_daemon_whose_run_is_another(self):
        for settings in ({}, own_programs()):
            with self.subTest(settings=settings):
                daemon = self.serve({**UNAWARE, **settings}, deaf="rtnetlink", under=host.HIDDEN_RUN)
                self.assertRefusesToSweep(f"{daemon.directory}/nobody")
                daemon.stop()

    def test_no_daemon_starts_while_its_filters_are_swept(self):
        crowd = [self.unnamed() for _ in range(host.crowd(60))]
        for ns in crowd:
            ns.add_veths(4)
        crashed = self.daemon()
        crashed.sync(*[ns.pid for ns in crowd])
        crashed.kill()
        sweep = host.start(f"{host.BUILD}/netnsync", "--socket", crashed.socket, "detach", "--all",
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(host.end, sweep)
        host.until(lambda: holds_a_lock(sweep) or sweep.poll() is not None, "it takes the instance")
        os.kill(sweep.pid, signal.SIGSTOP)
        self.assertTrue(any(not ns.bare() for ns in crowd), "it was stopped before its end")
        rival = self.daemon(wait=False)
        host.until(lambda: rival.process.poll() is not None, "the daemon gives up")
        self.assertEqual(rival.process.returncode, 1)
        self.assertIn(f"is being detached: {LOCK} is locked", rival.stderr())
        done = host.command("detach", "--all", socket=crashed.socket, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("is being detached already", done.stderr)
        os.kill(sweep.pid, signal.SIGCONT)
        text = sweep.communicate(timeout=host.PATIENCE)[0]
        self.assertEqual(sweep.returncode, 0, text)
        for ns in crowd:
            self.assertBare(ns)
        self.assertIsNone(pins())
        self.daemon().stop()

    def test_a_start_that_fails_leaves_what_a_crash_left(self):
        daemon = self.serve()
        self.exchange()
        daemon.kill()
        left, texts = inodes(), self.texts()
        for settings in ({"control.path": "/proc/no/such.sock"}, {"queue.name": "/nns-e2e-bad", "queue.depth": "60000"},
                         {"control.path": "/proc/no/such.sock", "meter.memory": "1M"},
                         {"control.path": "/proc/no/such.sock", **own_programs()},
                         {"program.object": "/dev/null", "program.ingress": "a", "program.egress": "b"}):
            with self.subTest(settings=settings):
                self.fail_to_start(settings)
                self.assertEqual((inodes(), self.texts()), (left, texts))
        heir = self.serve()
        self.assertGreaterEqual(self.counted(heir)[0]["egress"][0], 200)
        heir.stop()
        for settings in ({}, own_programs()):
            self.fail_to_start({"control.path": "/proc/no/such.sock", **settings})
            self.assertIsNone(pins(), "and nothing of its own")

    def test_the_operators_programs_take_the_place_of_what_counted(self):
        self.serve().kill()
        daemon = self.serve(own_programs())
        self.assertEqual(self.running(), set(daemon.status()["programs"].values()))
        self.assertEqual(pins(), [], "its directory is locked, and nothing in it")
        daemon.stop()
        self.assertIsNone(pins())

    def test_who_adopted_nothing_leaves_the_counts_with_their_filters(self):
        """It was told of no namespace, or may look at none."""
        daemon = self.serve()
        missed = self.difference(daemon)
        daemon.kill()
        left, texts = inodes(), self.texts()
        for settings in ({}, {"network.enabled": "false"}, {"network.enabled": "false", **own_programs()}):
            with self.subTest(settings=settings):
                between = self.daemon(settings)
                self.exchange()
                between.stop()
                self.assertEqual((inodes(), self.texts()), (left, texts))
        heir = self.serve()
        self.assertEqual(self.difference(heir), missed, "each packet is counted")
        heir.stop()
        self.assertIsNone(pins())

    def test_who_adopted_a_part_leaves_the_rest(self):
        daemon = self.serve()
        missed = self.difference(daemon)
        daemon.kill()
        left = inodes()
        between = self.daemon()
        between.sync(self.pids[0])
        between.stop()
        self.assertBare(self.ends[0])
        self.assertTrue(self.ends[1].covered())
        self.assertEqual(inodes(), left)
        self.exchange()
        heir = self.serve()
        self.assertEqual(self.difference(heir)[1], missed[1], "each packet is counted")
        heir.stop()
        self.assertIsNone(pins())

    def test_the_dead_leave_nothing_to_keep(self):
        """A namespace, and a device of one that lives, which are gone before the heir begins."""
        mortal = self.unnamed()
        mortal.add_pair("a", "b")
        self.ends[1].add_pair("c", "d")
        daemon = self.serve()
        daemon.sync(mortal.pid)
        self.assertCovered(mortal)
        daemon.kill()
        mortal.kill()
        self.ends[1].ip("link", "del", "dev", "c")
        for name in ("c", "d"):
            self.ends[1].devices.remove(name)
        heir = self.serve()
        self.assertGreater(heir.status()["meter"]["slots_reserved"], 0)
        heir.stop()
        self.assertIsNone(pins())


class Single(host.HostTest):
    DIRECTORY = "its directory in /sys/fs/bpf/netnsync"

    def assertRefused(self, says, settings=None, **options):
        rival = self.daemon(settings, wait=False, **options)
        host.until(lambda: rival.process.poll() is not None, "the rival gives up")
        self.assertEqual(rival.process.returncode, 1, rival.stderr())
        self.assertIn(f"instance default has a daemon already, or is being detached: {says} is locked", rival.stderr())

    def test_a_second_daemon_does_not_start(self):
        ns = self.unnamed()
        daemon = self.daemon()
        daemon.sync(ns.pid)
        before = ns.filter_texts()
        self.assertRefused(LOCK)
        self.assertRefused(LOCK, {"bpffs.path": ""})
        self.assertRefused(self.DIRECTORY, under=host.HIDDEN_RUN)
        self.assertRefused(self.DIRECTORY, own_programs(), under=host.HIDDEN_RUN)
        self.assertEqual(ns.filter_texts(), before)
        self.assertEqual(pins(), ["holders", "slots"])
        self.daemon({"instance": "other"}).stop()
        daemon.kill()
        self.daemon().stop()

    def test_nor_where_nothing_is_pinned(self):
        ns = self.unnamed()
        daemon = self.daemon(own_programs())
        daemon.sync(ns.pid)
        before = ns.filter_texts()
        self.assertRefused(self.DIRECTORY, under=host.HIDDEN_RUN)
        self.assertRefused(self.DIRECTORY, own_programs(), under=host.HIDDEN_RUN)
        self.assertEqual(ns.filter_texts(), before)
        daemon.stop()
        self.assertIsNone(pins())

    def test_without_a_bpffs_the_file_is_enough(self):
        daemon = self.daemon({"bpffs.path": ""})
        self.assertRefused(LOCK, {"bpffs.path": ""})
        self.assertRefused(LOCK)
        daemon.stop()


if __name__ == "__main__":
    host.main()
