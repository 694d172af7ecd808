# SPDX-License-Identifier: Apache-2.0
"""Letting go: at a signal, after a crash, of namespaces nobody is in any more, of a full cache's victims."""

import contextlib
import json
import os
import signal
import socket
import threading

import host


class Signals(host.HostTest):
    def several(self, count):
        made = [self.unnamed() for _ in range(count)]
        for ns in made:
            ns.add_pair("a", "b")
        return made

    def test_sigterm_with_work_in_flight(self):
        made = self.several(host.crowd(200 if host.LONG else 100))
        settings = {"queue.depth": "512", "queue.msgsize": "128", "workers.count": "1", "workers.queue": "1"}
        daemon = self.daemon(settings)
        for ns in made:
            daemon.queue.send(str(ns.pid).encode())
        daemon.stop(signal.SIGTERM)
        left = daemon.queue.waiting
        for ns in made:
            self.assertBare(ns)

        # What it did not take is still there, and the next one serves exactly that.
        for ns in made[:3]:
            daemon.queue.send(str(ns.pid).encode())
        heir = self.daemon(settings, queue=daemon.queue_name)
        host.until(lambda: heir.counter("feed.messages") == left + 3, "the messages left behind are read")
        for ns in made[:3] + (made[-left:] if left else []):
            self.assertCovered(ns)
        heir.stop()

    def test_sigint(self):
        ns = self.unnamed()
        daemon = self.daemon()
        daemon.queue.send(str(ns.pid).encode())
        self.assertCovered(ns)
        daemon.stop(signal.SIGINT)
        self.assertBare(ns)
        self.assertFalse(os.path.exists(daemon.socket), "the control socket goes with its daemon")
        self.assertTrue(os.path.exists(f"/dev/mqueue{daemon.queue_name}"), "the queue outlives it")

    def test_a_second_signal_ends_at_once(self):
        made = self.several(host.crowd(150))
        daemon = self.daemon(check_leaks=False)
        daemon.queue.send_pids(ns.pid for ns in made)
        for ns in made:
            self.assertCovered(ns)
        # Both are pending when it goes on: signals of two numbers do not merge into one.
        daemon.halt()
        daemon.tell(signal.SIGTERM)
        daemon.tell(signal.SIGINT)
        daemon.tell(signal.SIGCONT)
        host.until(lambda: daemon.process.poll() is not None, "the daemon ends")
        self.assertNotEqual(daemon.process.returncode, 0, "what was not finished is not called done")
        self.assertTrue(any(not ns.bare() for ns in made), "it did not wait for the work")

    def test_sigterm_before_any_work(self):
        self.daemon().stop()


class Asked(host.HostTest):
    """At a signal, with clients that go on asking."""

    STOPPING = {"done": False, "error": "the daemon is stopping"}

    def ask_until_the_end(self, daemon, request):
        """A client that asks again and again, and the last line of each answer it got."""
        said = []

        def ask():
            client = host.Client(daemon.socket)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, StopIteration), client.socket:
                while True:
                    client.send(json.dumps(request).encode() + b"\n")
                    said.append(next(answer for answer in client.lines() if "done" in answer))

        thread = threading.Thread(target=ask)
        thread.start()
        self.addCleanup(thread.join)
        host.until(lambda: len(said) > 1, "the client is being served")
        return said, thread

    def test_requests_after_the_stop_are_refused(self):
        made = [self.unnamed() for _ in range(host.crowd(40))]
        for ns in made:
            ns.add_veths(20)
        daemon = self.daemon({"workers.count": "1"})
        daemon.sync(*[ns.pid for ns in made])
        pids = [ns.pid for ns in made] * 5
        clients = [self.ask_until_the_end(daemon, {"version": 1, **request}) for request in (
            {"command": "sync", "pids": pids}, {"command": "sync", "pids": pids},
            {"command": "sync", "pids": pids[:1], "wait": True}, {"command": "sync", "pids": [1 << 31]},
            {"command": "list"}, {"command": "status"}, {"command": "get", "namespace": str(made[0].cookie)})]
        daemon.stop()
        for said, thread in clients:
            thread.join()
            for answer in said:
                self.assertIn(answer, (self.STOPPING, {"done": True}))
        self.assertTrue(any(self.STOPPING in said for said, _ in clients), "some asked in time to be refused")
        for ns in made:
            self.assertBare(ns)

    def test_sync_that_waits_is_answered(self):
        made = [self.unnamed() for _ in range(host.crowd(60))]
        for ns in made:
            ns.add_veths(20)
        daemon = self.daemon({"workers.count": "1"})
        clients = []
        for ns in made:
            clients.append(host.Client(daemon.socket))
            self.addCleanup(clients[-1].close)
        for ns, client in zip(made, clients):
            client.send(json.dumps({"version": 1, "command": "sync", "pids": [ns.pid], "wait": True}).encode() + b"\n")
        daemon.stop()
        ends = []
        for client in clients:
            lines = client.at_end().splitlines()
            ends.append(json.loads(lines[-1]) if lines else None)
        self.assertEqual([end for end in ends if end not in ({"done": True}, self.STOPPING)], [])
        self.assertIn(self.STOPPING, ends)
        for ns in made:
            self.assertBare(ns)

    def test_an_answer_under_way_is_taken_to_its_end(self):
        ns = self.unnamed()
        daemon = self.daemon({"queue.depth": "16"})
        daemon.sync(ns.pid)
        count = host.crowd(8192)
        client = host.Client(daemon.socket)
        self.addCleanup(client.close)
        # The kernel holds little of what a client has not taken: most of this waits in the daemon.
        client.send(json.dumps({"version": 1, "command": "sync", "pids": [ns.pid] * count}).encode() + b"\n")
        client.socket.recv(1, socket.MSG_PEEK)
        daemon.tell(signal.SIGTERM)
        # From here on it waits for its clients, for a second at most.
        host.until(lambda: not os.path.exists(daemon.socket), "the daemon has stopped its work")
        lines = client.at_end().splitlines()
        self.assertEqual((len(lines), json.loads(lines[-1])), (count + 1, {"done": True}))
        self.assertBare(ns)
        daemon.wait_end()


class Crash(host.HostTest):
    def setUp(self):
        self.ns, self.mounted = self.unnamed(), self.named()
        self.ns.add_veth("a", self.mounted, "b")
        self.pids = [self.ns.pid, self.visitor(self.mounted)]

    def both(self, assertion, instance="default"):
        for ns in (self.ns, self.mounted):
            assertion(ns, instance)

    def cover(self, settings=None, **options):
        daemon = self.daemon(settings, **options)
        daemon.queue.send_pids(self.pids)
        self.both(self.assertCovered, daemon.instance)
        return daemon

    def adopt(self, settings=None):
        """A daemon that finds filters: it has done nothing before they run its own programs."""
        daemon = self.daemon(settings)
        current = set(daemon.status()["programs"].values())
        self.both(lambda ns, _: self.assertFalse(self.programs_of(ns) & current))
        daemon.queue.send_pids(self.pids)
        self.both(lambda ns, _: host.until(lambda: self.programs_of(ns) <= current, f"{ns.path} is adopted"))
        self.both(self.assertCovered, daemon.instance)
        return daemon

    @staticmethod
    def programs_of(ns):
        return {row.program for rows in ns.ours().values() for row in rows}

    def texts(self, instance):
        return [{place: host.less_ours(text, instance) for place, text in ns.filter_texts().items()}
                for ns in (self.ns, self.mounted)]

    def test_detach_without_a_daemon_takes_exactly_ours(self):
        crashed = self.cover()
        other = self.cover({"instance": "other"})
        expected = self.texts("default")
        qdiscs = self.ns.qdiscs()
        crashed.kill()
        self.both(self.assertCovered)
        crashed.command("detach", "--all")
        self.both(self.assertBare)
        self.both(self.assertCovered, "other")
        self.assertEqual([ns.filter_texts() for ns in (self.ns, self.mounted)], expected)
        self.assertEqual(self.ns.qdiscs(), qdiscs)

        other.kill()
        other.command("detach", "--all", "--instance", "other")
        self.both(self.assertBare, "other")
        self.assertEqual(self.ns.qdiscs(), qdiscs)

    def test_detach_that_may_not_ask_for_programs_says_so(self):
        crashed = self.cover()
        crashed.kill()
        for refusal, sentence in (("EPERM", "Operation not permitted"), ("EMFILE", "Too many open files"),
                                  ("ENOENT", "Resource temporarily unavailable")):
            done = host.run(f"{host.BUILD}/deny", f"bpf={refusal}", "--", f"{host.BUILD}/netnsync", "--socket",
                            crashed.socket, "--json", "detach", "--all", check=False)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            told = json.loads(done.stdout)["detached"]
            self.assertEqual((told["filters"], told["failed"]), (0, 2))
            self.assertEqual(done.stderr.count(f"could not be swept: {sentence}"), 2, done.stderr)
            self.both(self.assertCovered)
        crashed.command("detach", "--all")
        self.both(self.assertBare)

    def test_detach_finds_a_namespace_that_only_a_mount_holds(self):
        crashed = self.cover()
        crashed.kill()
        os.kill(self.pids[1], signal.SIGKILL)
        crashed.command("detach", "--all")
        self.both(self.assertBare)

    def test_detach_of_a_living_daemon(self):
        daemon = self.cover()
        daemon.command("detach", "--all")
        self.both(self.assertBare)
        daemon.stop()

    def with_neighbours(self):
        """Others' filters beside ours, and others' qdiscs: {device: kind} of those that are not to be touched."""
        self.ns.add_pair("spare", "old")
        daemon = self.daemon({"exclude.devices": "spare"})
        for device, kind in (("spare", "clsact"), ("old", "ingress")):
            self.ns.tc("qdisc", "add", "dev", device, kind)
            self.u32(device, "ingress", 3)
        daemon.sync(*self.pids)
        self.assertEqual(len(self.ns.ours()["old", "ingress"]), 1)
        self.u32("a", "egress", 5)
        self.u32("a", "ingress", 77)
        return daemon, {"spare": "clsact", "old": "ingress"}

    def u32(self, device, hook, priority):
        self.ns.tc("filter", "add", "dev", device, hook, "prio", priority, "u32", "match", "u32", "0", "0")

    def hooked(self, ns):
        return {row["dev"]: row["kind"] for row in ns.qdiscs() if row["kind"] in ("clsact", "ingress")}

    def assertToldWhatWent(self, told, neighbours):
        """Gone is what was ours to take, and what else went with it was said; the neighbours are whole."""
        self.both(self.assertBare)
        self.assertEqual([self.hooked(self.ns), self.hooked(self.mounted)], [neighbours, {}])
        for device in neighbours:
            rows = self.ns.filters()[device, "ingress"]
            self.assertEqual({(row["kind"], row["pref"]) for row in rows}, {("u32", 3)})
        links = {ns.cookie: {link["ifname"]: link["ifindex"] for link in json.loads(ns.ip("-j", "link"))}
                 for ns in (self.ns, self.mounted)}
        self.assertEqual({(row["cookie"], row["inum"], row["name"], row["ifindex"], row["kind"]) for row in told},
                         {(ns.cookie, ns.inum, name, links[ns.cookie][name], "clsact")
                          for ns, name in ((self.ns, "lo"), (self.ns, "a"), (self.mounted, "lo"),
                                           (self.mounted, "b"))})
        filters = [(row["name"], item["hook"], item["kind"], item["priority"])
                   for row in told for item in row["filters"]]
        self.assertEqual(sorted(filters), [("a", "egress", "u32", 5), ("a", "ingress", "u32", 77)])

    def test_detach_takes_the_qdiscs_along_only_when_told(self):
        crashed, neighbours = self.with_neighbours()
        crashed.kill()
        told = crashed.ask("detach", "--all", "--qdiscs")["detached"]
        self.assertEqual((told["by"], told["filters"], told["failed"]), ("sweep", 9, 0))
        self.assertToldWhatWent(told["qdiscs"], neighbours)

        again = crashed.ask("detach", "--all", "--qdiscs")["detached"]
        self.assertEqual((again["filters"], again["qdiscs"]), (0, []))
        self.assertEqual(self.hooked(self.ns), neighbours)

    def test_a_name_that_is_no_text_is_told_alike_by_all(self):
        odd = self.unnamed()
        odd.run("ip", "link", "add", "name", "\udcffd", "type", "veth", "peer", "name", "plain")
        crashed = self.cover()
        crashed.sync(odd.pid)
        names = {row["name"] for row in crashed.row(odd)["devices"]}
        self.assertEqual(names, {"lo", "\ufffdd", "plain"})
        crashed.kill()
        told = crashed.ask("detach", "--all", "--qdiscs")["detached"]
        self.assertEqual({row["name"] for row in told["qdiscs"] if row["cookie"] == odd.cookie}, names)

    def test_a_living_daemons_qdiscs(self):
        daemon, neighbours = self.with_neighbours()
        told = daemon.ask("detach", "--all", "--qdiscs")["detached"]
        self.assertEqual((told["by"], told["devices"], told["met"], told["failed"]), ("daemon", 5, 5, 0))
        self.assertToldWhatWent(told["qdiscs"], neighbours)
        daemon.sync(*self.pids)
        self.assertCovered(self.mounted)
        daemon.stop()

    def test_a_qdisc_with_filters_of_the_instance_stays(self):
        # The twin, which nothing can tell of the first one, puts its programs in the place of the first one's.
        daemon, twin = self.cover(), self.cover({"bpffs.path": ""}, under=host.HIDDEN_RUN)
        before = self.hooked(self.ns)
        done = daemon.command("detach", "--all", "--qdiscs", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"namespace {self.ns.cookie}, device a: its qdisc stays: ", done.stderr)
        self.both(self.assertCovered)
        self.assertEqual(self.hooked(self.ns), before)
        twin.stop()
        daemon.stop()

    def test_qdiscs_told_to_a_person(self):
        crashed = self.cover()
        other = self.cover({"instance": "other"}, deaf=True)  # else it would be back at once
        self.u32("a", "ingress", 3)
        crashed.kill()
        text = crashed.command("detach", "--all", "--qdiscs").stdout
        self.both(lambda ns, instance: self.assertBare(ns, "other"))
        place = f"namespace {self.ns.cookie}, device a: removed "
        self.assertIn(f"{place}along with its qdisc: ingress filter, priority 3, u32\n", text)
        self.assertRegex(text, f'{place}along with its qdisc: egress filter, priority 11, bpf "netnsync:other:')
        self.assertIn(f"{place}its qdisc clsact\n", text)
        self.assertRegex(text, r"removed 8 filters .*; 4 qdiscs and in them 9 filters of others\n$")
        other.kill()

    def test_a_new_daemon_adopts_what_a_crash_left(self):
        self.cover().kill()
        self.both(self.assertCovered)
        heir = self.adopt()
        self.assertEqual(heir.counter("attach.adopted"), 2 * 4, "both hooks of a, b and two loopbacks")
        heir.stop()
        self.both(self.assertBare)

    def test_keep_attached(self):
        first = self.cover({"keep_attached": "true"})
        first.stop()
        self.both(self.assertCovered)
        heir = self.adopt({"keep_attached": "true"})
        left = [ns.filter_texts() for ns in (self.ns, self.mounted)]
        heir.stop()
        self.assertEqual([ns.filter_texts() for ns in (self.ns, self.mounted)], left)
        self.adopt().stop()
        self.both(self.assertBare)

    def test_a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not(self):
        crashed = self.cover()
        crashed.kill()
        self.assertTrue(os.path.exists(crashed.socket))
        heir = self.daemon({"control.path": crashed.socket}, queue=crashed.queue_name, wait=False)
        heir.socket = crashed.socket
        heir.wait_ready()

        rival = self.daemon({"instance": "rival", "control.path": crashed.socket}, wait=False)
        host.until(lambda: rival.process.poll() is not None, "the rival gives up")
        self.assertNotEqual(rival.process.returncode, 0)
        self.assertIn(crashed.socket, rival.stderr())
        self.assertEqual(heir.status()["counters"]["sync.new"], 0)
        heir.stop()


class Lonely(host.HostTest):
    def test_a_namespace_without_process_and_mount_is_let_go(self):
        own = host.own_namespace()
        doomed, mounted, lively = self.unnamed(), self.named(), self.unnamed()
        doomed.add_veth("d0", own, "hostside")
        mounted.add_veth("m0", lively, "l0")
        visitor = self.visitor(mounted)
        daemon = self.daemon({"lonely.timeout": "200ms"}, pinned=True)
        daemon.queue.send_pids([doomed.pid, visitor, lively.pid])
        for ns in (doomed, mounted, lively):
            self.assertCovered(ns)
        cookie = doomed.cookie

        doomed.kill()
        os.kill(visitor, signal.SIGKILL)

        # The kernel takes the peer away only when the namespace has really died: nothing of ours holds it.
        host.until(lambda: "hostside" not in own.ip("-o", "link"), "the namespace dies")
        self.assertNotIn(cookie, {row["cookie"] for row in daemon.ask("list")["namespaces"]})
        self.assertEqual(daemon.counter("namespaces.lonely"), 1)

        sweeps = daemon.counter("lonely.sweeps")
        host.until(lambda: daemon.counter("lonely.sweeps") >= sweeps + 3, "some more sweeps")
        self.assertEqual(daemon.counter("namespaces.lonely"), 1, "a mount or a process is reason to stay")
        self.assertCovered(mounted)
        self.assertCovered(lively)
        daemon.stop()
        self.assertBare(mounted)

    def test_a_thread_is_reason_enough_to_stay(self):
        ns = self.of_a_thread()
        canary = self.unnamed()
        daemon = self.daemon({"lonely.timeout": "200ms"}, pinned=True)
        daemon.queue.send_pids([ns.pid, canary.pid])
        self.assertCovered(ns)
        self.assertCovered(canary)
        canary.kill()
        host.until(lambda: daemon.counter("namespaces.lonely") == 1, "the canary is let go")
        self.assertCovered(ns)
        daemon.stop()


class Full(host.HostTest):
    CAPACITY = host.crowd(64)

    def test_eviction(self):
        own = host.own_namespace()
        made = [self.unnamed() for _ in range(self.CAPACITY + host.crowd(40))]
        daemon = self.daemon({"cache.capacity": str(self.CAPACITY)})
        before = len(daemon.fds())
        daemon.queue.send(b"1")
        self.assertCovered(own)
        for ns in made:
            daemon.queue.send(str(ns.pid).encode())
        host.until(lambda: daemon.counter("sync.new") == len(made) + 1, "every namespace was new once")
        host.until(lambda: daemon.status()["coverage"]["queued"] == 0, "no device waits")

        covered = {ns.cookie for ns in made + [own] if ns.covered()}
        bare = {ns.cookie for ns in made + [own] if ns.bare()}
        self.assertEqual(len(covered) + len(bare), len(made) + 1, "covered or bare, nothing between")
        self.assertLessEqual(len(covered), self.CAPACITY)
        self.assertIn(own.cookie, covered, "the host's own is never the victim")

        rows = daemon.ask("list")["namespaces"]
        self.assertEqual({row["cookie"] for row in rows if not row.get("evicted")}, covered)
        self.assertEqual({row["cookie"] for row in rows if row.get("evicted")}, bare)
        self.assertEqual(daemon.counter("namespaces.evicted"), len(bare))
        self.assertLessEqual(len(daemon.fds()) - before, self.CAPACITY + 8)

        # A victim that is named again is taken back.
        victim = next(ns for ns in made if ns.cookie in bare)
        daemon.queue.send(str(victim.pid).encode())
        self.assertCovered(victim)
        self.assertFalse(daemon.row(victim).get("evicted"))
        daemon.stop()
        for ns in made + [own]:
            self.assertBare(ns)

    def test_descriptors_do_not_pile_up(self):
        daemon = self.daemon({"lonely.timeout": "100ms"}, pinned=True)
        before = daemon.fds()
        for _ in range(5):
            made = [self.unnamed() for _ in range(20)]
            daemon.sync(*[ns.pid for ns in made])
            for ns in made:
                ns.kill()
        host.until(lambda: daemon.counter("namespaces.lonely") == 100, "all are let go")
        try:
            host.until(lambda: len(daemon.fds()) <= len(before), "their descriptors are closed")
        except AssertionError:
            self.assertEqual(daemon.fds(), before)
        daemon.stop()


if __name__ == "__main__":
    host.main()
