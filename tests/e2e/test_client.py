# SPDX-License-Identifier: Apache-2.0
"""netnsync against a daemon that a test plays: answers no daemon of ours would give, and very long ones."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

NETNSYNC = os.path.join(os.environ["NNS_BUILD"], "netnsync")
SANITIZED = bool(os.environ.get("NNS_SANITIZE"))
PATIENCE = 60
DONE = b'{"done":true}\n'


def line(value):
    return json.dumps(value).encode() + b"\n"


def namespace(cookie, **more):
    hook = {"program_id": 7, "priority": 10, "packets": 1, "bytes": 60}
    devices = [{"ifindex": index, "name": f"veth{index}", "kind": "veth", "state": "attached", "covered": True,
                "ingress": hook, "egress": hook, "error": None} for index in (1, 2)]
    return {"cookie": cookie, "inum": 4026532000, "handle": "pinned", "devices": devices} | more


class Daemon:
    """Hands each request to answer(request), which returns the bytes to send, and None after them to hang up."""

    def __init__(self, path, answer):
        self.requests, self.answer = [], answer
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client, client.makefile("rb") as lines:
                try:
                    self.serve_client(client, lines)
                except OSError:
                    pass

    def serve_client(self, client, lines):
        for text in lines:
            request = json.loads(text)
            self.requests.append(request)
            for part in self.answer(request):
                if part is None:
                    return
                client.sendall(part)

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(PATIENCE)


class ClientTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="nns-client-")
        self.addCleanup(self.directory.cleanup)
        self.path = os.path.join(self.directory.name, "control.sock")

    def play(self, answer):
        daemon = Daemon(self.path, answer)
        self.addCleanup(daemon.stop)
        return daemon

    def run_client(self, *words, **options):
        options = {"stdout": subprocess.PIPE} | options
        done = subprocess.run([NETNSYNC, "--socket", self.path, *map(str, words)], stderr=subprocess.PIPE,
                              timeout=PATIENCE, **options)
        self.assertNotRegex(done.stderr.decode(), "Sanitizer|runtime error")
        return done

    def fails(self, *words, says):
        done = self.run_client(*words)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(says, done.stderr.decode())
        return done


class Requests(ClientTest):
    def test_what_is_sent(self):
        cases = [
            (["list"], {"command": "list"}),
            (["status"], {"command": "status"}),
            (["get", "17"], {"command": "get", "namespace": "17"}),
            (["get", "/proc/self/ns/net"], {"command": "get"}),
            (["flush", "4026531840"], {"command": "flush", "namespace": "4026531840"}),
            (["sync", "1", "4294967295"], {"command": "sync", "pids": [1, 4294967295], "wait": False}),
            (["sync", "3", "--wait"], {"command": "sync", "pids": [3], "wait": True}),
            (["detach", "--all"], {"command": "detach", "instance": "default"}),
            (["detach", "--all", "--instance", "b"], {"command": "detach", "instance": "b"}),
        ]
        daemon = self.play(lambda request: [DONE])
        for words, expected in cases:
            self.run_client(*words)
            sent = daemon.requests.pop()
            self.assertEqual(sent | expected, sent, words)
            self.assertEqual(sent["version"], 1)

    def test_a_path_is_opened_by_the_caller_and_goes_as_a_number(self):
        daemon = self.play(lambda request: [line({"namespace": namespace(1)}), DONE])
        odd = os.fsencode(self.directory.name) + b"/\xff"
        os.symlink("/proc/self/ns/net", odd)
        own = os.stat("/proc/self/ns/net").st_ino
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            cookie = int.from_bytes(asked.getsockopt(socket.SOL_SOCKET, 71, 8), sys.byteorder)  # SO_NETNS_COOKIE
        for path, where in (("/proc/self/ns/net", "/"), ("net", "/proc/self/ns"), (odd, "/")):
            done = subprocess.run([NETNSYNC, "-s", self.path, "get", path], cwd=where, capture_output=True,
                                  timeout=PATIENCE)
            self.assertEqual(done.returncode, 0, done.stderr)
            # The inum is what a kernel without NS_GET_ID leaves.
            self.assertIn(daemon.requests.pop()["namespace"], (str(cookie), str(own)), path)

    def test_a_path_that_leads_to_no_network_namespace(self):
        daemon = self.play(lambda request: [DONE])
        pipe = os.path.join(self.directory.name, "pipe")
        os.mkfifo(pipe)  # opening it would hang
        for path in (pipe, self.directory.name, "/no/such/path", "/proc/self/ns/mnt", "here", "-1x"):
            self.fails("get", "--", path, says=path)
            self.fails("flush", "--", path, says=path)
        self.assertEqual(daemon.requests, [])

    def test_many_pids_go_in_several_requests(self):
        def answer(request):
            return [line({"result": {"pid": pid, "outcome": "known", "cookie": 1, "inum": 2}})
                    for pid in request["pids"]] + [DONE]

        daemon = self.play(answer)
        pids = list(range(1, 70001))
        done = self.run_client("--json", "sync", *pids)
        self.assertEqual(done.returncode, 0)
        self.assertEqual([row["pid"] for row in json.loads(done.stdout)["results"]], pids)
        self.assertEqual([len(request["pids"]) for request in daemon.requests], [65536, 70000 - 65536])

    def test_bad_pids_are_named(self):
        for word in ("abc", "1x", "", "4294967296", "99999999999999999999", "1.5", "+1", " 1"):
            for command in ("sync", "enqueue"):
                done = self.run_client(command, "1", word)
                self.assertEqual((done.returncode, done.stdout), (2, b""), word)
                self.assertIn(f'"{word}"', done.stderr.decode())

    def test_a_wrong_number_of_arguments_is_named(self):
        for words, says in ((["sync"], "no pid"), (["enqueue"], "no pid"), (["get"], "no namespace"),
                            (["get", "1", "odd"], '"odd"'), (["list", "odd"], '"odd"'),
                            (["detach", "--all", "odd"], '"odd"')):
            done = self.run_client(*words)
            self.assertEqual((done.returncode, done.stdout), (2, b""), words)
            self.assertIn(says, done.stderr.decode(), words)

    def test_common_options_may_follow_the_command(self):
        daemon = self.play(lambda request: [DONE])
        for words in (["list"], ["get", "1"], ["sync", "1"], ["detach", "--all"]):
            subprocess.run([NETNSYNC, *words, "--socket", self.path], capture_output=True, timeout=PATIENCE)
            self.assertEqual(daemon.requests[-1]["command"], words[0])
            daemon.requests.clear()


class Answers(ClientTest):
    def test_long_list_is_one_document_and_is_not_held(self):
        def answer(request):
            for start in range(0, count, 100):
                yield b"".join(line({"namespace": namespace(start + i)}) for i in range(100))
            yield DONE

        peak = {}
        self.play(answer)
        for count in (100, 20000):
            with tempfile.TemporaryFile() as out:
                child = subprocess.Popen([NETNSYNC, "--socket", self.path, "--json", "list"], stdout=out)
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
                self.assertEqual(child.returncode, 0)
                out.seek(0)
                document = json.load(out)
            peak[count] = usage.ru_maxrss
            self.assertEqual(list(document), ["namespaces"])
            self.assertEqual(document["namespaces"], [namespace(i) for i in range(count)])
        if not SANITIZED:
            self.assertLess(peak[20000] - peak[100], 2048, "KiB more for 19,900 namespaces more")

    def test_empty_list(self):
        self.play(lambda request: [DONE])
        self.assertEqual(json.loads(self.run_client("--json", "list").stdout), {"namespaces": []})
        self.assertEqual(len(self.run_client("list").stdout.splitlines()), 1)

    def test_an_answer_that_breaks_off_is_valid_json_and_a_failure(self):
        endings = {
            "out of \"memory\"": [line({"done": False, "error": "out of \"memory\""})],
            "closed the connection": [None],
            "not understood": [b"{nonsense}\n"],
        }
        for says, ending in endings.items():
            self.setUp()
            self.play(lambda request, ending=ending: [line({"namespace": namespace(5)}), *ending])
            document = json.loads(self.fails("--json", "list", says=says).stdout)
            self.assertEqual(document["namespaces"], [namespace(5)])
            self.assertIn(says, document["error"])
            self.fails("list", says=says)

    def test_nothing_is_printed_of_a_refusal(self):
        self.play(lambda request: [line({"done": False, "error": "no such namespace"})])
        for words in (["list"], ["get", "1"], ["status"], ["flush", "1"], ["sync", "1"]):
            for json_too in ([], ["--json"]):
                self.assertEqual(self.fails(*json_too, *words, says="no such namespace").stdout, b"")

    def test_a_daemon_that_is_full(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen()

        def turn_away():
            client, _ = listener.accept()
            client.sendall(line({"done": False, "error": "too many clients"}))
            client.close()

        thread = threading.Thread(target=turn_away)
        thread.start()
        self.fails("list", says="too many clients")
        thread.join(PATIENCE)
        listener.close()

    def test_an_answer_without_what_was_asked_for(self):
        self.play(lambda request: [DONE])
        self.fails("get", "1", says="the daemon's answer")
        self.fails("status", says="the daemon's answer")
        self.fails("sync", "1", says="0 pids of 1")

    def test_sync_fails_with_any_other_outcome(self):
        for outcome in ("new", "known", "gone", "denied", "disabled", "excluded", "refused", "error", "later"):
            self.setUp()
            result = {"pid": 4, "outcome": outcome, "cookie": 0, "inum": 0}
            self.play(lambda request, result=result: [line({"result": result}), DONE])
            done = self.run_client("--json", "sync", "4")
            self.assertEqual(json.loads(done.stdout), {"results": [result]})
            self.assertEqual(done.returncode, 0 if outcome in ("new", "known") else 1, outcome)

    def test_terminals_are_safe(self):
        evil = "x\x1b[31m\x07\u009b2J\u00e9\n"
        row = namespace(1, list_error=evil)
        row["devices"][0] |= {"name": evil, "kind": evil, "error": evil}
        self.play(lambda request: [line({"namespace": row}), line({"done": False, "error": evil})])
        done = self.run_client("list")
        for text in (done.stdout.decode(), done.stderr.decode()):
            self.assertFalse(re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), repr(text))
            self.assertIn("\u00e9", text)
        rows = done.stdout.decode().splitlines()
        self.assertEqual(len(rows), 3)

    def test_columns_stand_below_their_titles(self):
        self.play(lambda request: [line({"namespace": namespace(12, devices=[])}),
                                   line({"namespace": namespace(34, evicted=True, devices=[])}),
                                   line({"namespace": namespace(56)}), DONE])
        title, *rows = self.run_client("list").stdout.decode().splitlines()
        self.assertEqual(len(rows), 4)
        for row in rows:
            self.assertEqual(row[title.index("NAMESPACE"):][:9].strip(), row.split()[0])
            self.assertIn(row[title.index("STATE"):].split()[0], ("-", "evicted", "attached"))
            self.assertEqual(row[:title.index("INUM") + 4].split()[-1], "4026532000")

    def test_output_that_nobody_gets_is_a_failure(self):
        self.play(lambda request: [line({"namespace": namespace(1)}), DONE])
        with open("/dev/full", "w", encoding="ascii") as full:
            done = self.run_client("list", stdout=full)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot write", done.stderr)

    def play_instance(self, name, detach):
        """A daemon of that instance, which answers detach with that line."""
        def answer(request):
            return [line({"status": {"instance": name}}), DONE] if request["command"] == "status" else [line(detach)]

        return self.play(answer)

    def test_another_instances_daemon(self):
        # Whatever words it would refuse in: what it is asked for is its name.
        daemon = self.play_instance("blue", {"done": False, "error": "words for a person"})
        self.fails("detach", "--all", says="instance blue; say whose filters with --instance")
        for words in ([], ["--qdiscs"]):
            done = self.run_client("--json", "detach", "--all", "--instance", "none-of-this-name", *words)
            self.assertEqual(done.returncode, 0, done.stderr)
            swept = json.loads(done.stdout)["detached"]
            self.assertEqual((swept["by"], swept["filters"], swept["failed"]), ("sweep", 0, 0))
            self.assertGreater(swept["looked_at"], 0)
        self.assertEqual([request["command"] for request in daemon.requests], ["status"] * 3)

    def test_its_own_instances_daemon(self):
        for words in ([], ["--instance", "default"]):
            self.setUp()
            self.play_instance("default", {"done": True})
            done = self.run_client("--json", "detach", "--all", *words)
            self.assertEqual((done.returncode, json.loads(done.stdout)), (0, {"detached": {"by": "daemon"}}))

    def test_a_daemon_that_refuses_to_detach_is_not_swept_behind(self):
        for error in ("the daemon is stopping", "this is instance blue"):
            for words in ([], ["--instance", "default"]):
                self.setUp()
                self.play_instance("default", {"done": False, "error": error})
                self.assertEqual(self.fails("detach", "--all", *words, says=error).stdout, b"")
        self.setUp()
        self.play(lambda request: [line({"done": False, "error": "too many clients"})])
        self.assertEqual(self.fails("detach", "--all", "--instance", "b", says="too many clients").stdout, b"")

    def test_status_leaves_out_what_was_never_counted(self):
        status = {"version": "1", "uptime_ms": 3723000,
                  "coverage": {"devices_known": 100000, "devices_covered": 99999, "ratio": 0.99999, "failed": 0,
                               "missing": {"gone": 0, "kernel": 0}},
                  "meter": {"bytes": 4194304}, "counters": {"sync.new": 0, "sync.known": 9}}
        self.play(lambda request: [line({"status": status}), DONE])
        text = self.run_client("status").stdout.decode()
        for words in ("uptime +1h 2m 3s", "ratio +99.99 %", "bytes +4.0 MiB", "sync.known +9"):
            self.assertRegex(text, words)
        for absent in ("sync.new", "missing", "uptime_ms"):
            self.assertNotIn(absent, text)
        self.assertRegex(text, "failed +0")
        self.assertEqual(json.loads(self.run_client("--json", "status").stdout), status)

    def test_a_ratio_is_cut_and_only_all_is_100(self):
        for covered, known, percent in ((57, 100, "57.00"), (29, 100, "29.00"), (1, 3, "33.33"), (2, 3, "66.66"),
                                        (99999, 100000, "99.99"), (2 ** 48 - 1, 2 ** 48, "99.99"),
                                        (7, 7, "100.00"), (0, 5, "0.00"), (0, 0, None)):
            self.setUp()
            coverage = {"devices_known": known, "devices_covered": covered,
                        "ratio": covered / known if known else None}
            self.play(lambda request, coverage=coverage: [line({"status": {"coverage": coverage}}), DONE])
            text = self.run_client("status").stdout.decode()
            self.assertRegex(text, rf"(?m)^  ratio +{percent} %$" if percent else r"(?m)^  ratio +-$")

    def test_status_says_why_devices_are_missing(self):
        missing = {"waiting": 0, "legacy_ingress": 3}
        self.play(lambda request: [line({"status": {"coverage": {"missing": missing}}}), DONE])
        text = self.run_client("status").stdout.decode()
        self.assertRegex(text, r"(?m)^  missing:\n    legacy_ingress +3$")
        self.assertNotIn("waiting", text)


if __name__ == "__main__":
    unittest.main()
