# SPDX-License-Identifier: Apache-2.0
"""What the operator does not want touched: named before it was seen, after it was covered, or by the next daemon's
parameters."""

import json
import os
import socket
import tempfile

import host
import test_restart

SHORT = {"audit.interval": "400ms"}
TRIES, HEIRS = 10, 100
QUEUE = "/nns-e2e-exclude"  # one for all: what the queues of a user may take together is bounded
OTHERS = ("protocol", "all", "u32", "match", "u32", "0", "0", "flowid", "1:1")


def tell(path, words):
    """What tests/fallback/fault.c is to do from now on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
        asked.connect(path)
        asked.send(words.encode())
        asked.recv(65536)


class Namespaces(host.HostTest):
    def number_is_not_passed_on(self, **options):
        heir = None
        for _ in range(TRIES):
            ns = self.unnamed()
            daemon = self.daemon({"exclude.namespaces": str(ns.inum)}, **options)
            self.assertEqual(daemon.sync(ns.pid, code=1)[ns.pid]["outcome"], "excluded")
            ns.kill()
            heir = self.heir_of_inum(ns.inum)
            if heir:
                break
            daemon.stop()
        self.assertIsNotNone(heir, "the kernel has not given the number again")
        self.assertEqual(daemon.sync(heir.pid)[heir.pid]["outcome"], "new")
        self.assertCovered(heir)
        daemon.stop()

    def test_a_number_is_not_passed_on(self):
        self.number_is_not_passed_on()

    def test_a_number_is_not_passed_on_where_handles_are_pinned(self):
        self.number_is_not_passed_on(pinned=True)

    def test_a_path_to_a_known_one_takes_our_filters_off(self):
        ns, name = self.unnamed(), "late"
        ns.tc("qdisc", "add", "dev", "lo", "clsact")
        ns.tc("filter", "add", "dev", "lo", "egress", "prio", "3", *OTHERS)
        before = ns.filter_texts()
        daemon = self.daemon({**SHORT, "exclude.namespaces": f"/run/netns/{name}"})
        self.assertEqual(daemon.sync(ns.pid)[ns.pid]["outcome"], "new")
        self.assertCovered(ns)
        host.run("ip", "netns", "attach", name, ns.pid)
        self.addCleanup(host.run, "ip", "netns", "del", name)
        host.until(ns.bare, "its filters are gone")
        host.until(lambda: daemon.row(ns) is None, "it is forgotten")
        self.assertEqual(ns.filter_texts(), before)
        self.assertEqual(daemon.sync(ns.pid, code=1)[ns.pid]["outcome"], "excluded")
        self.assertEqual(daemon.counter("namespaces.withdrawn"), 1)
        self.assertTrue(ns.bare())
        daemon.stop()

    def met_by_a_path(self, settings, **options):
        """A namespace that is excluded by a path, until the path is taken away."""
        ns, name = self.unnamed(), "soon"
        host.run("ip", "netns", "attach", name, ns.pid)
        self.addCleanup(host.run, "ip", "netns", "del", name, check=False)
        daemon = self.daemon({**SHORT, "exclude.namespaces": f"/run/netns/{name}", **settings}, **options)
        return daemon, ns, name

    def test_a_path_that_goes_excludes_nobody(self):
        daemon, ns, name = self.met_by_a_path({})
        self.assertEqual(daemon.sync(ns.pid, code=1)[ns.pid]["outcome"], "excluded")
        host.run("ip", "netns", "del", name)
        host.until(lambda: daemon.sync(ns.pid, code=None)[ns.pid]["outcome"] != "excluded", "it is served")
        self.assertCovered(ns)
        daemon.stop()

    def test_who_a_path_led_to_is_found(self):
        daemon, ns, name = self.met_by_a_path({"discover.enabled": "true"})
        host.until(lambda: daemon.counter("sync.excluded") > 0, "it has been met")
        host.run("ip", "netns", "del", name)
        daemon.wait_found(ns)
        self.assertCovered(ns)
        ns.add_pair("a", "b")
        for device in ("a", "b"):
            ns.ip("link", "set", "dev", device, "up")
        self.assertCovered(ns)
        daemon.stop()

    def assertTakenOff(self, before=None, heirs=None, **options):
        ns, other = self.unnamed(), self.unnamed()
        ns.add_pair("a", "b")
        for device in ("a", "b"):
            ns.tc("qdisc", "add", "dev", device, "clsact")
        ns.tc("filter", "add", "dev", "a", "egress", "prio", "3", *OTHERS)
        texts, qdiscs = ns.filter_texts(), ns.qdiscs()
        daemon = self.daemon(before, queue=QUEUE)
        daemon.sync(ns.pid, other.pid)
        daemon.kill()
        self.assertCovered(ns)
        heir = self.daemon({"audit.interval": "24h", **(heirs or {}), "exclude.namespaces": str(ns.inum)}, queue=QUEUE,
                           **options)
        results = heir.sync(ns.pid, other.pid, code=1)
        self.assertEqual(results[ns.pid]["outcome"], "excluded")
        host.until(ns.bare, "its filters are gone")
        host.until(lambda: heir.row(ns) is None, "it is forgotten")
        self.assertEqual(ns.filter_texts(), texts)
        self.assertEqual([row for row in ns.qdiscs() if row["dev"] != "lo"],
                         [row for row in qdiscs if row["dev"] != "lo"])
        self.assertCovered(other)
        self.assertEqual(heir.counter("namespaces.withdrawn"), 1)
        self.assertEqual(heir.status()["meter"]["slots_reserved"], 0)
        self.assertEqual(heir.sync(ns.pid, code=1)[ns.pid]["outcome"], "excluded")
        heir.stop()

    def test_what_a_daemon_before_covered_is_taken_off(self):
        self.assertTakenOff()

    def test_nor_does_that_need_its_slots(self):
        unpinned, own = {"bpffs.path": ""}, test_restart.own_programs()
        for before, heirs in ((unpinned, unpinned), (unpinned, {}), ({}, unpinned), (own, {}), (own, own), ({}, own)):
            with self.subTest(before=before, heirs=heirs):
                self.assertTakenOff(before, heirs)

    def test_nor_where_handles_are_pinned(self):
        self.assertTakenOff({"bpffs.path": ""}, {"bpffs.path": ""}, pinned=True)

    def test_one_with_nothing_in_it_is_looked_at_once_and_never_known(self):
        ns = self.unnamed()
        ns.add_pair("a", "b")
        daemon = self.daemon({**SHORT, "exclude.namespaces": str(ns.inum)})
        watcher = host.Client(daemon.socket)
        self.addCleanup(watcher.close)
        watcher.send(b'{"version": 1, "command": "watch"}\n')
        before = daemon.status()["counters"]
        for _ in range(3):
            self.assertEqual(daemon.sync(ns.pid, code=1)[ns.pid]["outcome"], "excluded")
        after = daemon.status()["counters"]
        for name in ("namespaces.added", "namespaces.withdrawn", "list.dumps"):
            self.assertEqual(after[name], before[name], name)
        self.assertEqual([row for row in ns.qdiscs() if row["kind"] == "clsact"], [])
        daemon.stop()
        told = [json.loads(line).get("event", {}) for line in watcher.at_end().splitlines()]
        self.assertEqual(told[0]["event"], "watching")
        self.assertNotIn(ns.cookie, [event.get("cookie") for event in told])

    def test_tasks_in_one_are_no_news(self):
        ns = self.unnamed()
        daemon = self.daemon({"discover.enabled": "true", "audit.interval": "24h", "exclude.namespaces": str(ns.inum)})
        host.until(lambda: daemon.counter("sync.excluded") > 0, "it has been met")
        self.assertCovered(self.unnamed())
        before = daemon.counter("sync.excluded")
        for _ in range(40):
            ns.run("true")
        self.assertCovered(self.unnamed())
        self.assertEqual(daemon.counter("sync.excluded"), before)
        self.assertTrue(ns.bare())
        daemon.stop()

    def lost_while_it_is_given_up(self, timeout):
        """By member: its filters cannot be taken off at first, and the process that led there ends meanwhile."""
        ns, name = self.unnamed(), f"later{timeout}"
        faults, path = f"/run/{name}.faults", f"/run/{name}.excluded"
        os.symlink(f"/run/netns/{name}", path)
        under = (f"{host.BUILD}/fault", "--control", faults, "sendto", "bpf@0:10", "--")
        daemon = self.daemon({**SHORT, "handle.mode": "member", "lonely.timeout": timeout, "exclude.namespaces": path},
                             under=under)
        daemon.sync(ns.pid)
        self.assertCovered(ns)
        visitor = self.visitor(ns)
        left = host.Namespace(f"/proc/{visitor}/ns/net", visitor)
        tell(faults, "sendto=ENOBUFS bpf@0:10=EPERM")
        host.run("ip", "netns", "attach", name, ns.pid)
        audited = daemon.counter("namespaces.audited")
        host.until(lambda: daemon.counter("namespaces.audited") > audited, "an audit wants to know")
        failed = daemon.counter("visits.failed")
        host.until(lambda: daemon.counter("visits.failed") > failed + 1, "it has been met")
        # Who was excluded stays so while nobody can say where the path leads; at no moment may it lead nowhere.
        os.symlink(path, f"{path}.next")
        os.rename(f"{path}.next", path)
        host.run("umount", f"/run/netns/{name}")
        ns.kill()
        host.until(lambda: daemon.counter("namespaces.astray") > 0, "it is astray")
        tell(faults, "off")
        return daemon, left, visitor

    def assertWithdrawn(self, daemon, ns):
        host.until(ns.bare, "its filters are gone")
        host.until(lambda: daemon.row(ns) is None, "it is forgotten")
        self.assertEqual(daemon.counter("namespaces.withdrawn"), 1)
        daemon.stop()

    def test_one_that_went_astray_is_found_by_a_request(self):
        daemon, ns, visitor = self.lost_while_it_is_given_up("1h")
        daemon.sync(visitor, wait=False, code=None)  # excluded, where a walk over all tasks came before it
        self.assertWithdrawn(daemon, ns)

    def test_one_that_went_astray_is_found_by_a_search(self):
        daemon, ns, _ = self.lost_while_it_is_given_up("1s")
        self.assertWithdrawn(daemon, ns)


class Deaf(host.HostTest):
    """A path lies on a file system that nobody serves: whoever asks it for a name waits for as long as it is there."""

    def mount(self):
        try:
            server = os.open("/dev/fuse", os.O_RDWR)
        except OSError:
            self.skipTest("no file system can be served here")
        self.addCleanup(os.close, server)
        path = tempfile.mkdtemp(prefix="nns-deaf-")
        self.addCleanup(os.rmdir, path)
        host.run("mount", "-i", "-t", "fuse", "-o", f"fd={server},rootmode=40000,user_id=0,group_id=0", "deaf", path,
                 pass_fds=(server,))
        self.addCleanup(host.run, "umount", "-f", path)
        return path

    def test_the_daemon_serves_all_others_and_ends(self):
        ns, out = self.unnamed(), self.unnamed()
        paths = (f"{self.mount()}/ns", f"/proc/{out.pid}/ns/net")
        # To look for leaks all threads are stopped, and the one that waits for the file system cannot be.
        daemon = self.daemon({**SHORT, "exclude.namespaces": ",".join(paths)}, check_leaks=False)
        results = daemon.sync(ns.pid, out.pid, code=1)
        self.assertEqual([results[one.pid]["outcome"] for one in (ns, out)], ["new", "excluded"])
        self.assertCovered(ns)
        host.until(lambda: daemon.counter("namespaces.audited") > 4, "audits go on")
        self.assertGreater(daemon.counter("exclude.unknown"), 0)
        self.assertTrue(out.bare())
        daemon.stop()
        self.assertTrue(ns.bare())


class NobodyYet(host.HostTest):
    """The daemon's own namespace is excluded and there is no other: who comes later is found all the same."""

    def alone(self, **options):
        excluded = str(host.own_namespace().inum)
        daemon = self.daemon({"discover.enabled": "true", "exclude.namespaces": excluded, **SHORT}, **options)
        host.until(lambda: daemon.counter("discover.scans") > 0, "it has looked")
        self.assertEqual(daemon.cookies(), set())
        return daemon

    def test_a_process_without_tracepoints(self):
        daemon = self.alone(deaf=True)
        self.assertFound(daemon, self.unnamed())
        daemon.stop()

    def test_a_thread_that_unshares_and_stays(self):
        daemon = self.alone()
        self.assertFound(daemon, self.of_a_thread())
        daemon.stop()


class Devices(host.HostTest):
    def test_what_a_daemon_before_covered_is_taken_off(self):
        ns = self.unnamed()
        ns.add_pair("a", "b")
        ns.tc("qdisc", "add", "dev", "a", "clsact")
        ns.tc("filter", "add", "dev", "a", "ingress", "prio", "3", *OTHERS)
        before = {place: text for place, text in ns.filter_texts().items() if place[0] == "a"}
        daemon = self.daemon()
        daemon.sync(ns.pid)
        daemon.kill()
        self.assertCovered(ns)
        heir = self.daemon({"exclude.devices": "a"})
        heir.sync(ns.pid)
        for (device, hook), rows in ns.ours().items():
            self.assertEqual(len(rows), 0 if device == "a" else 1, (device, hook))
        self.assertEqual({place: text for place, text in ns.filter_texts().items() if place[0] == "a"}, before)
        self.assertEqual(heir.device(ns, "a")["state"], "excluded")
        heir.stop()


if __name__ == "__main__":
    host.main()
