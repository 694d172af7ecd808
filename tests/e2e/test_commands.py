# SPDX-License-Identifier: Apache-2.0
"""What each command does, prints and returns, and the parameters that say what is covered."""

import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

import host

OWN_PROGRAMS = """
#include <linux/bpf.h>
#define SEC(name) __attribute__((section(name), used))
SEC("tc") int my_in(struct __sk_buff *skb) { return -1; }
SEC("tc") int my_out(struct __sk_buff *skb) { return skb->len ? -1 : 0; }
char _license[] SEC("license") = "GPL";
"""


class Commands(host.HostTest):
    def setUp(self):
        self.running = self.daemon()
        self.ns = self.unnamed()
        self.ns.add_pair("a", "b")

    def exit_of(self, *words):
        return self.running.command(*words, check=False).returncode

    def test_sync_wait_returns_when_all_is_attached(self):
        made = [self.unnamed() for _ in range(host.crowd(10))]
        pid = self.running.pid
        for outcome, prefix in (("new", "v"), ("known", "w")):
            for ns in made:
                ns.add_veths(100, prefix)
            done = self.running.command("--json", "sync", "--wait", *[ns.pid for ns in made])
            os.kill(pid, signal.SIGSTOP)  # what is not attached by now will not be
            for ns in made:
                self.assertTrue(ns.covered(), outcome)
            os.kill(pid, signal.SIGCONT)
            self.assertOutcomes(done, made, outcome)

    def assertOutcomes(self, done, made, outcome):
        results = json.loads(done.stdout)["results"]
        self.assertEqual({(row["pid"], row["outcome"], row["cookie"], row["inum"]) for row in results},
                         {(ns.pid, outcome, ns.cookie, ns.inum) for ns in made})
        self.assertEqual(len(results), len(made))

    def test_sync_without_wait(self):
        result = self.running.sync(self.ns.pid, wait=False)[self.ns.pid]
        self.assertEqual((result["outcome"], result["inum"]), ("new", self.ns.inum))
        self.assertCovered(self.ns)
        self.assertEqual(self.running.sync(self.ns.pid, wait=False)[self.ns.pid]["outcome"], "known")

    def test_sync_wait_returns_although_a_device_cannot_be_covered(self):
        self.ns.tc("qdisc", "add", "dev", "a", "ingress")
        done = self.running.command("sync", "--wait", self.ns.pid)
        self.assertEqual(done.returncode, 0)
        row = self.running.device(self.ns, "a")
        self.assertEqual(row["state"], "failed")
        self.assertTrue(row["error"])

    def test_sync_of_pids_that_share_a_namespace(self):
        others = [self.visitor(self.ns) for _ in range(5)]
        results = self.running.sync(self.ns.pid, *others)
        outcomes = sorted(row["outcome"] for row in results.values())
        self.assertEqual(len(results), 6)
        self.assertEqual(set(outcomes) - {"new", "known"}, set())
        self.assertEqual({row["cookie"] for row in results.values()}, {self.ns.cookie})

    def test_sync_fails_when_any_pid_fails(self):
        dead = subprocess.Popen(["true"])
        dead.wait()
        done = self.running.command("--json", "sync", "--wait", self.ns.pid, dead.pid, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual({row["pid"]: row["outcome"] for row in json.loads(done.stdout)["results"]},
                         {self.ns.pid: "new", dead.pid: "gone"})
        self.assertTrue(self.ns.covered())
        self.assertEqual(self.exit_of("sync", "4294967295"), 1)

    def test_sync_of_a_thousand_pids(self):
        pids = [self.ns.pid] * 999 + [self.visitor(self.ns)]
        done = self.running.command("--json", "sync", *pids)
        self.assertEqual(len(json.loads(done.stdout)["results"]), 1000)

    def test_enqueue(self):
        host.command("enqueue", "--queue", self.running.queue_name, self.ns.pid)
        self.assertCovered(self.ns)
        done = host.command("enqueue", "--queue", "/no-such-queue", self.ns.pid, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/no-such-queue", done.stderr)

    def test_list(self):
        self.assertEqual(self.running.ask("list"), {"namespaces": []})
        self.running.sync(self.ns.pid)
        row, = self.running.ask("list")["namespaces"]
        self.assertEqual((row["cookie"], row["inum"]), (self.ns.cookie, self.ns.inum))
        links = {link["ifname"]: link for link in json.loads(self.ns.ip("-j", "-d", "link"))}
        for device in row["devices"]:
            link = links.pop(device["name"])
            self.assertEqual(device["ifindex"], link["ifindex"])
            kind = link.get("linkinfo", {}).get("info_kind", "loopback")
            self.assertEqual((device["kind"], device["state"]), (kind, "attached"))
            for hook in host.HOOKS:
                self.assertEqual(set(device[hook]) & {"packets", "bytes"}, {"packets", "bytes"})
        self.assertEqual(links, {})

        table = self.running.command("list").stdout
        for word in (str(self.ns.inum), "veth", "lo", "attached"):
            self.assertIn(word, table)
        with self.assertRaises(ValueError):
            json.loads(table)

    def test_get_by_cookie_inum_and_path(self):
        self.running.sync(self.ns.pid)
        expected = self.running.row(self.ns)
        for name in (self.ns.cookie, self.ns.inum, f"/proc/{self.ns.pid}/ns/net"):
            self.assertEqual(self.running.ask("get", name), expected, name)
        self.assertIn("veth", self.running.command("get", self.ns.cookie).stdout)

        mounted = self.named()
        self.running.sync(self.visitor(mounted))
        self.assertEqual(self.running.ask("get", mounted.path), self.running.row(mounted))
        for name in (1 << 60, "/no/such/path", "/proc/self/ns/mnt"):
            done = self.running.command("get", name, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""), name)
            self.assertTrue(done.stderr, name)

    def test_status(self):
        self.running.sync(self.ns.pid)
        status = self.running.status()
        for name in ("capabilities", "counters", "coverage"):
            self.assertTrue(status[name], name)
        self.assertEqual(status["coverage"]["devices_known"], len(self.ns.devices))
        self.assertEqual(status["coverage"]["devices_covered"], len(self.ns.devices))
        known = host.programs()
        for program in status["programs"].values():
            self.assertEqual(known[program]["type"], "sched_cls")
        table = self.running.command("status").stdout
        for word in ("resolver", "sync.new"):
            self.assertIn(word, table)

    def memory(self):
        return self.running.status()["memory"]

    def test_memory_is_what_the_process_has(self):
        """Of the allocator that is really there, figures that fit what the kernel says of the process."""
        with open(f"/proc/{self.running.pid}/maps") as file:
            jemalloc = "/libjemalloc.so" in file.read()
        with open(f"/proc/{self.running.pid}/smaps_rollup") as file:
            private = int(re.search(r"^Anonymous: +(\d+) kB$", file.read(), re.MULTILINE).group(1)) << 10
        memory = self.memory()
        known = {key: value for key, value in memory.items() if value is not None}
        name = "sanitizer" if host.SANITIZE else "jemalloc" if jemalloc else "libc"
        self.assertEqual(memory["allocator"], name)
        if name == "sanitizer":
            self.assertEqual(known.keys(), {"allocator"})
            return
        self.assertLess(0, memory["allocated_bytes"])
        self.assertLessEqual(memory["allocated_bytes"], memory["active_bytes"])
        if name == "libc":
            self.assertEqual(known.keys(), {"allocator", "allocated_bytes", "active_bytes"})
            return
        self.assertEqual(known, memory)
        self.assertEqual(memory["active_bytes"] % os.sysconf("SC_PAGESIZE"), 0)
        self.assertIn(memory["arenas"], (1, 2, 3), "one more for what is huge")
        self.assertLess(0, memory["metadata_bytes"])
        self.assertLess(memory["active_bytes"], memory["resident_bytes"])
        # Libraries have variables, and threads stacks: that is not the allocator's.
        self.assertLess(memory["allocated_bytes"], private)
        self.assertLess(private, memory["resident_bytes"] + (512 << 10))

        table = self.running.command("status").stdout
        self.assertRegex(table, r"\nmemory:\n  allocator +jemalloc\n  arenas +[123]\n  allocated_bytes +[\d.]+ [KM]iB\n")

    @unittest.skipIf(host.SANITIZE, "its allocator is another")
    def test_memory_is_that_of_now(self):
        """Whoever watches has room made for 8,192 events, of 64 bytes at the least, as long as they watch."""
        events = 8192 * 64
        before = self.memory()["allocated_bytes"]
        client = host.Client(self.running.socket)
        client.send(b'{"version":1,"command":"watch"}\n')
        host.until(lambda: self.memory()["allocated_bytes"] > before + events, "that room is allocated")
        client.close()
        host.until(lambda: self.memory()["allocated_bytes"] < before + events, "that room is free")

    def test_flush(self):
        self.running.sync(self.ns.pid)
        self.assertTrue(self.ns.covered())
        self.running.command("flush", self.ns.cookie)
        host.until(self.ns.bare, "our filters are gone")
        self.assertIsNone(self.running.row(self.ns))
        self.assertEqual(self.exit_of("flush", self.ns.cookie), 1)
        self.assertEqual(self.running.sync(self.ns.pid)[self.ns.pid]["outcome"], "new")
        self.assertTrue(self.ns.covered())

    def test_the_hosts_own_is_not_flushed(self):
        own = host.own_namespace()
        self.running.sync(1)
        self.assertEqual(self.exit_of("flush", own.inum), 1)
        self.assertTrue(own.covered())

    def test_usage(self):
        for words in ([], ["dance"], ["sync"], ["sync", "--wait"], ["sync", "abc"], ["sync", "-1"], ["get"],
                      ["get", "1", "2"], ["enqueue"], ["flush"], ["detach"], ["--nonsense", "list"],
                      ["list", "--nonsense"]):
            done = self.running.command(*words, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertTrue(done.stderr, words)
        explained = self.running.command("status", "--help").stdout
        for name in self.running.status()["counters"]:
            self.assertRegex(explained, rf"(?m)^  {name} +\w")
        self.assertLess(max(map(len, explained.splitlines())), 80)
        self.assertNotRegex(explained.partition("Counters, ")[2], r"\n\w", "no line is broken by others")
        helped = self.running.command("--help")
        for name in ("sync", "enqueue", "list", "get", "status", "flush", "detach"):
            self.assertIn(name, helped.stdout)

    def test_no_daemon(self):
        for words in (["list"], ["status"], ["sync", str(self.ns.pid)], ["get", "1"], ["flush", "1"]):
            done = host.command(*words, socket="/no/such/socket", check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""), words)
            self.assertIn("/no/such/socket", done.stderr, words)

    def test_socket_and_queue_are_private(self):
        self.assertEqual(os.stat(self.running.socket).st_mode & 0o777, 0o660)
        self.assertEqual(os.stat(f"/dev/mqueue{self.running.queue_name}").st_mode & 0o777, 0o600)


class Deciding(host.HostTest):
    def setUp(self):
        self.ns = self.unnamed()
        self.ns.add_veths(2)

    def test_disabled(self):
        daemon = self.daemon({"network.enabled": "false"})
        done = daemon.command("--json", "sync", "--wait", self.ns.pid, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(json.loads(done.stdout)["results"][0]["outcome"], "disabled")
        daemon.queue.send(str(self.ns.pid).encode())
        host.until(lambda: daemon.counter("sync.disabled") == 2, "the queue is answered alike")
        self.assertTrue(self.ns.bare())
        self.assertEqual(self.ns.qdiscs(), [])
        daemon.stop()

    def test_excluded_devices(self):
        daemon = self.daemon({"exclude.devices": "v0*,*1b"})
        daemon.sync(self.ns.pid)
        ours = self.ns.ours()
        states = {row["name"]: row["state"] for row in daemon.row(self.ns)["devices"]}
        for device in self.ns.devices:
            out = device in ("v0a", "v0b", "v1b")
            self.assertEqual(states[device], "excluded" if out else "attached", device)
            for hook in host.HOOKS:
                self.assertEqual(len(ours[device, hook]), 0 if out else 1, device)
        self.assertEqual({row["dev"] for row in self.ns.qdiscs()}, {"lo", "v1a"}, "none for the excluded")
        daemon.stop()

    def test_excluded_namespaces(self):
        mounted, free = self.named(), self.unnamed()
        daemon = self.daemon({"exclude.namespaces": f"{self.ns.inum},{mounted.path}"})
        results = daemon.sync(self.ns.pid, self.visitor(mounted), free.pid, code=1)
        self.assertEqual([row["outcome"] for row in results.values()], ["excluded", "excluded", "new"])
        self.assertTrue(free.covered())
        for ns in (self.ns, mounted):
            self.assertTrue(ns.bare())
            self.assertEqual(ns.qdiscs(), [])
        daemon.stop()

    def test_programs_of_ones_own(self):
        directory = tempfile.TemporaryDirectory(prefix="nns-bpf-")
        self.addCleanup(directory.cleanup)
        target = host.compile_bpf(directory.name, "own", OWN_PROGRAMS)
        settings = {"program.object": target, "program.ingress": "my_in", "program.egress": "my_out"}
        daemon = self.daemon(settings)
        daemon.sync(self.ns.pid)
        self.assertTrue(self.ns.covered())
        self.assertProgramsRun(self.ns.ours())
        for (_, hook), rows in self.ns.ours().items():
            self.assertEqual(host.program_of(rows[0])["name"], settings[f"program.{hook}"])
        self.assertNotIn("packets", daemon.device(self.ns, "lo")["ingress"], "nobody counts here")

        # A successor with other programs replaces them in place.
        daemon.kill()
        heir = self.daemon()
        heir.sync(self.ns.pid)
        self.assertTrue(self.ns.covered())
        self.assertProgramsRun(self.ns.ours())
        heir.stop()
        self.assertBare(self.ns)


if __name__ == "__main__":
    host.main()
