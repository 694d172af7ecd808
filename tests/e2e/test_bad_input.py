# SPDX-License-Identifier: Apache-2.0
"""Nonsense on the queue, on the control socket and in the configuration: refused, counted or explained, and
whoever comes next is served.

Kernel threads have a file of their own: a private pid namespace has none.
"""

import contextlib
import errno
import os
import random
import struct
import subprocess
import tempfile

import host


class BadPids(host.HostTest):
    def setUp(self):
        self.running = self.daemon()
        self.count = self.running.counter

    def assertNextIsServed(self):
        ns = self.unnamed()
        self.running.queue.send(str(ns.pid).encode())
        self.assertCovered(ns)

    def assertRefused(self, message, reason, times=1):
        """One message, one pid after it: refused with that reason and nothing else happened."""
        before = self.running.status()["counters"]
        self.running.queue.send(message)
        self.assertNextIsServed()
        after = self.running.status()["counters"]
        grown = {name: after[name] - before[name] for name in after
                 if name.startswith(("refused.", "sync.")) and after[name] != before[name]}
        self.assertEqual(grown, {f"refused.{reason}": times, "sync.new": 1})

    def test_numbers_that_are_no_pids(self):
        with open("/proc/sys/kernel/pid_max") as file:
            above = int(file.read()) + 1
        for pid in (0, 4294967295, above):
            for message in (str(pid).encode(), host.binary([pid])):
                with self.subTest(message=message):
                    self.assertRefused(message, "range")
        self.running.stop()

    def test_pid_max_that_is_raised_later(self):
        def release(text):
            return tuple(int(word) for word in text.split(".")[:2])

        if release(os.uname().release) < (6, 14):
            self.skipTest("this kernel has one pid_max for all pid namespaces: the real host's")
        self.setPidMax(40000)
        for attempt in (1, 2):
            self.assertRefused(b"50000", "range")
            self.assertEqual(self.count("refused.range"), attempt)
        self.setPidMax(60000)
        self.running.queue.send(b"50000")
        self.assertNextIsServed()
        self.assertEqual((self.count("refused.range"), self.count("sync.refused"), self.count("sync.gone")), (2, 0, 1))
        self.running.stop()

    def setPidMax(self, limit):
        path = "/proc/sys/kernel/pid_max"
        with open(path) as file:
            self.addCleanup(self.write, path, file.read())
        self.write(path, limit)

    @staticmethod
    def write(path, value):
        with open(path, "w") as file:
            file.write(str(value))

    def test_a_bad_pid_is_refused_alone(self):
        first, last = self.unnamed(), self.unnamed()
        self.running.queue.send(host.binary([first.pid, 0, 4294967295, last.pid]))
        self.assertCovered(first)
        self.assertCovered(last)
        self.assertEqual(self.count("refused.range"), 2)
        more = self.unnamed()
        self.running.queue.send(f"zwölf 12x -3 {more.pid} 0x10".encode())
        self.assertCovered(more)
        self.assertEqual(self.count("refused.token"), 4)
        self.running.stop()

    def test_a_number_beyond_32_bits(self):
        ns = self.unnamed()
        # Were it cut to 32 bits, it would be the pid of a living process.
        self.running.queue.send(str(ns.pid + (1 << 32)).encode())
        self.assertNextIsServed()
        self.assertTrue(ns.bare())
        self.assertEqual(self.count("refused.range") + self.count("refused.token"), 1)

    def test_zombie(self):
        process = subprocess.Popen(["unshare", "--net", "true"])
        self.addCleanup(process.wait)
        host.until(lambda: host.netns_inum(process.pid) is None, "the process is a zombie")
        self.running.queue.send(str(process.pid).encode())
        self.assertNextIsServed()
        self.assertEqual((self.count("sync.gone"), self.count("sync.error")), (1, 0))

    def test_dead(self):
        process = subprocess.Popen(["true"])
        process.wait()
        self.running.queue.send(str(process.pid).encode())
        self.assertNextIsServed()
        self.assertEqual((self.count("sync.gone"), self.count("sync.error")), (1, 0))

    def test_thread_id(self):
        home = self.unnamed()
        ns = self.of_a_thread(home)
        self.assertNotEqual(ns.inum, home.inum)
        self.running.queue.send(str(ns.pid).encode())
        self.assertCovered(ns)
        self.assertTrue(home.bare(), "a thread's namespace is its own, not its leader's")
        self.running.stop()

    def test_malformed_messages(self):
        whole = host.binary([1, 1])
        for message, reason in (
                (b"", "empty"), (b" \n\t ", "empty"),
                (b"NNS1", "truncated"), (whole[:6], "truncated"), (whole[:-1], "truncated"),
                (host.binary([1], count=65535), "truncated"),
                (whole + b"\0", "trailing"), (host.binary([1, 1], count=1), "trailing"),
                (host.binary([1], kind=0), "type"), (host.binary([1], kind=2), "type"),
                (host.binary([]), "count"), (host.binary([1], count=0), "count"),
                (b"NNS2" + whole[4:12], "token"), (b"abc", "token"), (b"\xff\xfe", "token")):
            with self.subTest(message=message):
                self.assertRefused(message, reason)
        self.running.stop()

    def test_over_long(self):
        size = self.running.queue.attributes().msgsize
        with self.assertRaises(OSError) as refused:
            self.running.queue.send(b"1 " * size)
        self.assertEqual(refused.exception.errno, errno.EMSGSIZE)
        ns = self.unnamed()
        self.running.queue.send(str(ns.pid).encode().rjust(size))
        self.assertCovered(ns)
        self.running.stop()

    def test_random_messages(self):
        chance = random.Random(4711)
        size = self.running.queue.attributes().msgsize
        for _ in range(1500):
            body = chance.randbytes(chance.randrange(0, min(size, 2048)))
            head = chance.choice((b"", b"NNS1", b"NNS1\1\0", b"NNS1\1\0" + struct.pack("<H", len(body) // 4)))
            self.running.queue.send((head + body)[:size])
        self.assertNextIsServed()
        self.assertEqual(self.running.counter("sync.error"), 0)
        self.running.stop()


class BadClients(host.HostTest):
    def setUp(self):
        self.running = self.daemon({"control.timeout": "300ms"})

    def connect(self):
        client = host.Client(self.running.socket)
        self.addCleanup(client.close)
        return client

    def assertServed(self):
        ns = self.unnamed()
        self.assertEqual(self.running.sync(ns.pid)[ns.pid]["outcome"], "new")
        self.assertTrue(ns.covered())

    def test_half_a_request_and_then_nothing(self):
        client = self.connect()
        client.send(b'{"version":1,"comm')
        self.assertServed()
        client.at_end()
        self.assertEqual(self.running.counter("control.timeouts"), 1)
        self.assertServed()
        self.running.stop()

    def test_half_a_request_and_gone(self):
        # Four places, and no time limit that would give them back in our stead.
        self.running.stop()
        self.running = self.daemon({"control.clients": "4", "control.timeout": "1h"})
        before = self.running.fds()
        for _ in range(20):
            client = self.connect()
            with contextlib.suppress(BrokenPipeError):  # when it has not yet noticed that the others left
                client.send(b'{"version":1,')
            client.close()
        host.until(lambda: self.running.command("status", check=False).returncode == 0, "a place is free")
        host.until(lambda: len(self.running.fds()) <= len(before), "their descriptors are closed")
        self.assertServed()
        self.assertGreaterEqual(self.running.counter("control.clients"), 5, "none came in twice")
        self.running.stop()

    def test_garbage(self):
        chance = random.Random(4711)
        lines = [b"", b"{}", b"[]", b"nonsense", b'{"version":1}', b'{"version":1,"command":"dance"}',
                 b'{"version":99,"command":"list"}', b'{"version":1,"command":"sync"}',
                 b'{"version":1,"command":"sync","pids":"1"}', b'{"version":1,"command":"sync","pids":[-1]}',
                 b'{"version":1,"command":"list","more":1}', b'{"version":1,"command":"get"}',
                 b"[" * 5000, b"\0" * 100, chance.randbytes(3000).replace(b"\n", b" ")]
        for line in lines:
            with self.subTest(line=line[:60]):
                client = self.connect()
                client.send(line + b"\n")
                answers = list(client.lines())
                self.assertEqual(len(answers), 1)
                self.assertIs(answers[0]["done"], False)
                self.assertTrue(answers[0]["error"])
                client.close()
        self.assertEqual(self.running.counter("control.refused"), len(lines))
        self.assertServed()
        self.running.stop()

    def test_a_path_is_refused(self):
        ns = self.named()
        self.running.sync(self.visitor(ns))
        for command in ("get", "flush"):
            for name in (ns.path, "/proc/self/ns/net", "blue", "-1", "0x10", "1 "):
                answers = self.connect().ask({"version": 1, "command": command, "namespace": name})
                self.assertEqual(len(answers), 1, name)
                self.assertIn("decimal number", answers[0]["error"])
        self.assertCovered(ns)
        answers = self.connect().ask({"version": 1, "command": "get", "namespace": str(ns.inum)})
        self.assertEqual(answers[0]["namespace"]["cookie"], ns.cookie)
        self.running.stop()

    def test_a_bad_request_does_not_spoil_the_connection(self):
        client = self.connect()
        client.send(b'nonsense\n{"version":1,"command":"status"}\n')
        self.assertIs(list(client.lines())[0]["done"], False)
        self.assertServed()

    def test_an_endless_line(self):
        client = self.connect()
        with self.assertRaises((BrokenPipeError, ConnectionResetError), msg="4 MiB without a newline were taken"):
            for _ in range(64):
                client.send(b"x" * 65536)
        self.assertIn(b"longer than 1048576 bytes", client.at_end())
        self.assertServed()
        self.assertEqual(self.running.counter("control.refused"), 1)
        self.running.stop()

    def test_a_client_that_never_reads(self):
        ns = self.unnamed()
        ns.add_veths(200)
        self.running.sync(ns.pid)
        client = self.connect()
        client.socket.setblocking(False)
        with self.assertRaises(BlockingIOError):  # ask until neither side can take more
            while True:
                client.socket.send(b'{"version":1,"command":"list"}\n' * 200)
        self.assertServed()
        host.until(lambda: self.running.counter("control.timeouts") >= 1, "the client is given up")
        self.assertServed()
        self.running.stop()

    def test_sigterm_while_a_client_never_reads(self):
        ns = self.unnamed()
        ns.add_veths(200)
        self.running.sync(ns.pid)
        client = self.connect()
        client.send(b'{"version":1,"command":"list"}\n' * 50)
        half = self.connect()
        half.send(b'{"version":1')
        self.running.stop()
        self.assertBare(ns)

    def test_more_clients_than_allowed(self):
        crowded = self.daemon({"instance": "second", "control.clients": "4", "control.timeout": "20s"})
        clients = []
        for _ in range(4):
            clients.append(host.Client(crowded.socket))
            self.addCleanup(clients[-1].close)
            self.assertEqual(len(self.ask_status(clients[-1])), 2)
        one_more = host.Client(crowded.socket)
        self.addCleanup(one_more.close)
        self.assertIn(b'"error"', one_more.at_end())
        clients[0].close()
        host.until(lambda: crowded.command("status", check=False).returncode == 0, "a place becomes free")
        clients[1].close()
        host.until(lambda: self.busy(crowded), "who was turned away is counted")
        crowded.stop()

    @staticmethod
    def busy(daemon):
        with contextlib.suppress(AssertionError):  # it need not have noticed yet that a place is free
            return daemon.counter("control.busy")
        return None

    @staticmethod
    def ask_status(client):
        client.send(b'{"version":1,"command":"status"}\n')
        return list(client.lines())


class BadParameters(host.HostTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="nns-e2e-")
        self.addCleanup(directory.cleanup)
        self.file = os.path.join(directory.name, "netnsync.conf")

    def check(self, *flags):
        return host.run(f"{host.BUILD}/netnsyncd", *flags, "--check-config", check=False)

    def assertBad(self, done, *words):
        self.assertNotEqual(done.returncode, 0)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertNotRegex(done.stderr, host.SANITIZER_REPORT)

    def test_flags(self):
        for assignment, words in (
                ("no.such=1", ["no.such"]), ("queue.depth", ["queue.depth"]), ("=1", []),
                ("queue.depth=many", ["queue.depth", "many"]), ("queue.depth=0", ["queue.depth"]),
                ("queue.depth=-1", ["queue.depth"]), ("queue.depth=99999999999999999999", ["queue.depth"]),
                ("queue.name=netnsync", ["queue.name"]), ("queue.name=/a/b", ["queue.name"]),
                ("network.enabled=perhaps", ["network.enabled", "perhaps"]),
                ("lonely.timeout=soon", ["lonely.timeout", "soon"]), ("lonely.timeout=5parsecs", ["parsecs"]),
                ("instance=a b", ["instance"]), ("instance=", ["instance"]),
                ("instance=" + "x" * 33, ["instance"]),
                ("attach.mode=glue", ["attach.mode", "glue"]), ("attach.priority=0", ["attach.priority"]),
                ("attach.priority=65536", ["attach.priority"]), ("cache.capacity=0", ["cache.capacity"]),
                ("program.ingress=alone", ["program."])):
            with self.subTest(assignment=assignment):
                self.assertBad(self.check("--set", assignment), *words)

    def test_wrong_usage(self):
        for words in (["--bogus"], ["more"], ["--set"], ["--set", "no.such=1"], ["--config", self.file]):
            done = host.run(f"{host.BUILD}/netnsyncd", *words, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertTrue(done.stderr)
            self.assertNotRegex(done.stderr, host.SANITIZER_REPORT)

    def test_every_bad_line_of_a_file_is_named(self):
        with open(self.file, "w") as file:
            file.write("# a comment\n\nqueue.depth = 10\nno.such = 1\nqueue.depth = many\n"
                       "network.enabled = true\njust words\nlonely.timeout = 5parsecs  # and why\n")
        done = self.check("--config", self.file)
        self.assertBad(done, *[f"{self.file}:{line}:" for line in (4, 5, 7, 8)])
        for line in (1, 2, 3, 6):
            self.assertNotIn(f"{self.file}:{line}:", done.stderr)

    def test_a_file_that_is_not_there(self):
        self.assertBad(self.check("--config", self.file), self.file)

    def test_good_ones_start_nothing(self):
        with open(self.file, "w") as file:
            file.write(f"queue.name = /nns-unborn\ncontrol.path = {self.file}.sock\nlonely.timeout = 2s\n")
        done = self.check("--config", self.file, "--set", "workers.count=2")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertFalse(os.path.exists("/dev/mqueue/nns-unborn"))
        self.assertFalse(os.path.exists(f"{self.file}.sock"))

    def test_a_flag_wins_over_the_file(self):
        with open(self.file, "w") as file:
            file.write("network.enabled = false\ninstance = filed\n")
        ns = self.unnamed()
        daemon = self.daemon({"network.enabled": "true"}, config=self.file)
        self.assertEqual(daemon.sync(ns.pid)[ns.pid]["outcome"], "new")
        self.assertTrue(ns.covered("filed"))
        daemon.stop()
        self.assertBare(ns, "filed")

    def test_a_queue_beyond_the_systems_limits(self):
        daemon = self.daemon({"queue.msgsize": "262144"}, wait=False)
        host.until(lambda: daemon.process.poll() is not None, "the daemon gives up")
        self.assertNotEqual(daemon.process.returncode, 0)
        # Who may exceed the system's limits meets the user's.
        limit = "RLIMIT_MSGQUEUE" if host.may_exceed_limits() else "msgsize_max"
        self.assertIn(limit, daemon.stderr())

    def test_an_object_that_is_none(self):
        for path in ("/no/such/object.o", "/etc/passwd"):
            settings = {"program.object": path, "program.ingress": "a", "program.egress": "b"}
            daemon = self.daemon(settings, wait=False)
            host.until(lambda: daemon.process.poll() is not None, "the daemon gives up")
            self.assertNotEqual(daemon.process.returncode, 0)
            self.assertIn(path, daemon.stderr())


if __name__ == "__main__":
    host.main()
