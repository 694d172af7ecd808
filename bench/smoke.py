# SPDX-License-Identifier: Apache-2.0
"""A few pairs of every scenario: what netnsync-bench prints must be complete and sane. No figure is judged."""

import fcntl
import json
import os
import pty
import re
import resource
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

BENCH = sys.argv.pop(1)
FIELDS = {"scenario", "variant", "beside", "floor", "ours", "unit", "ratio", "spread", "interval", "pairs"}


def run(*arguments, descriptors=None):
    """descriptors: the soft limit that whoever starts it has."""
    def limit():
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    return subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=120, check=False,
                          preexec_fn=limit)


def rows_of(*arguments, **starter):
    done = run("--json", *arguments, **starter)
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: exit {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def mounts():
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return file.read()


# A machine that does not make the private host that was asked for: some of the namespaces are not made, though the
# kernel says so, or the new one has a device of its own.
UNWILLING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <stdlib.h>

int unshare(int flags)
{
    int (*really)(int) = (int (*)(int))dlsym(RTLD_NEXT, "unshare");
    int not_made = atoi(getenv("NOT_MADE")), first = flags & ~not_made & ~CLONE_NEWPID;

    if (first && really(first))
        return -1;
    unsetenv("LD_PRELOAD");
    if (*getenv("AND_THEN") && system(getenv("AND_THEN")))
        return -1;
    return flags & ~not_made & CLONE_NEWPID ? really(CLONE_NEWPID) : 0;
}
"""
NAMESPACES = {"net": 0x40000000, "mnt": 0x20000, "pid": 0x20000000, "ipc": 0x08000000}


class Foreign:
    """A network namespace of somebody else's, outside of the private host, mounted outside of /run, its loopback up."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "a namespace")
        open(self.path, "w").close()
        subprocess.run(["unshare", f"--net={self.path}", "ip", "link", "set", "lo", "up"], check=True)
        self.stirring = None
        return self

    def stir(self):
        """Processes and devices come and go there, of which the kernel tells everybody who has tracepoints."""
        commands = ("ip link add name one type veth peer name another", "ip link set one up", "ip link del one")
        self.stirring = subprocess.Popen(["nsenter", f"--net={self.path}", "sh", "-ec",
                                          f"while :; do {'; '.join(commands)}; sleep 0.1; done"])

    def qdiscs(self):
        return subprocess.run(["nsenter", f"--net={self.path}", "tc", "qdisc", "show"],
                              capture_output=True, text=True, check=True).stdout

    def __exit__(self, *_):
        if self.stirring:
            self.stirring.kill()
            self.stirring.wait()
        subprocess.run(["umount", self.path], check=False)
        self.folder.cleanup()


class Bench(unittest.TestCase):
    def check_row(self, row, pairs, may_be_nothing=False):
        self.assertEqual(set(row), FIELDS)
        self.assertEqual(row["pairs"], pairs)
        self.assertGreater(row["floor"], 0, row)
        for name in ("ours", "ratio"):
            (self.assertGreaterEqual if may_be_nothing else self.assertGreater)(row[name], 0, row)
        self.check_interval(row, row["ratio"])

    def check_interval(self, row, median):
        if row["variant"].endswith("of all rounds"):
            self.assertEqual((row["spread"], row["interval"]), (None, None), row)
            return
        self.assertGreaterEqual(row["spread"], 0, row)
        low, high = row["interval"]
        self.assertLessEqual(low, median, row)
        self.assertLessEqual(median, high, row)

    def test_attach(self):
        rows = rows_of("--small", "--pairs", "1", "attach")
        self.assertEqual({row["scenario"] for row in rows}, {"attach"})
        today = ["floor", "libbpf", "socket kept per namespace", "clone of programs per device"]
        self.assertEqual([row["beside"] for row in rows], today + today + ["tcx links"])
        for row in rows:
            self.check_row(row, 1)

    def test_resolve(self):
        rows = rows_of("--pairs", "3", "resolve")
        self.assertEqual([row["beside"] for row in rows],
                         ["floor", "readlink by whole path", "open, fstat, close"] * 4)
        self.assertEqual(len({row["variant"] for row in rows}), 4)
        for row in rows:
            self.assertEqual(row["scenario"], "resolve")
            self.check_row(row, 3)

    def test_daemon_scenarios(self):
        rows = rows_of("--small", "--pairs", "1", "miss", "hit", "close")
        self.assertEqual([row["scenario"] for row in rows], ["miss"] * 4 + ["hit"] * 8 + ["close"])
        self.assertEqual([row["beside"] for row in rows[:4]], ["floor", "agent with libbpf"] * 2)
        self.assertEqual([row["beside"] for row in rows[4:12]],
                         ["floor", "open, fstat, close"] * 2 + ["floor", "1 worker"] * 2)
        self.assertEqual(len({(row["scenario"], row["variant"], row["beside"]) for row in rows}), len(rows))
        for row in rows:
            self.check_row(row, 1)

    def test_many(self):
        rows = rows_of("--small", "--pairs", "2", "many")
        *misses, growth = rows
        self.assertEqual({(row["scenario"], row["unit"]) for row in misses}, {("miss", "us/namespace")})
        self.assertEqual((growth["scenario"], growth["unit"]), ("miss", "ratio"))
        self.assertEqual(len({(row["variant"], row["beside"]) for row in rows}), len(rows))
        for row in rows:
            self.check_row(row, 2)
        few, many = (row for row in misses if row["beside"] == "floor")
        self.assertEqual((growth["floor"], growth["ours"]), (few["ratio"], many["ratio"]))
        self.assertAlmostEqual(growth["ratio"], many["ratio"] / few["ratio"], 4)

    def test_memory(self):
        rows = rows_of("--small", "--pairs", "1", "memory", descriptors=64)  # fewer than it needs
        self.assertEqual([(row["scenario"], row["unit"]) for row in rows],
                         [("memory", unit) for unit in ("MB", "bytes", *["descriptors"] * 3, "bytes", "descriptors")])
        self.assertEqual(len({(row["variant"], row["beside"]) for row in rows}), len(rows))
        for row in rows:
            # The few pages that so few namespaces take may have been there already.
            self.check_row(row, 1, may_be_nothing=row["unit"] == "bytes")
            self.assertEqual(row["beside"] == "allowance", row["unit"] != "descriptors", row)
            if row["beside"].startswith("a netlink socket"):
                self.assertEqual(row["floor"], 3 + 2 * int(re.search(r"(\d+) namespaces", row["variant"]).group(1)))
            elif row["unit"] == "descriptors":
                self.assertEqual(row["ratio"], 1, "they do not grow with the namespaces")

    def test_churn(self):
        rows = rows_of("--small", "--pairs", "1", "churn")
        self.assertEqual(len(rows), 6 + 6 + 5 + 5 + 1)
        self.assertEqual(len({row["variant"] for row in rows}), len(rows))
        others = ["no daemon", *["clsact, no daemon"] * 2, *["no daemon"] * 2]
        self.assertEqual([row["beside"] for row in rows], ["floor"] * 12 + others * 2 + ["floor"])
        for row in rows:
            self.assertEqual(row["scenario"], "churn")
            self.check_row(row, 1, may_be_nothing="missed" in row["variant"])

    def test_startup(self):
        rows = rows_of("--pairs", "1", "--namespaces", "7", "startup")
        self.assertEqual([row["scenario"] for row in rows], ["startup"] * 8)
        self.assertEqual([row["beside"] for row in rows], ["floor"] * 5 + ["agent with libbpf"] + ["floor"] * 2)
        self.assertEqual(len({row["variant"] for row in rows}), 7)
        for row in rows:
            self.assertIn(" 7 ", row["variant"])
            self.check_row(row, 1)

    def test_idle(self):
        """In a second of it a daemon may well do nothing at all. It finds whatever there is to be found, which must
        not be a namespace that the bench did not make."""
        with Foreign() as foreign:
            foreign.stir()
            rows = rows_of("--pairs", "1", "--namespaces", "7", "--seconds", "1", "idle")
            self.assertNotIn("clsact", foreign.qdiscs())
        self.assertEqual([row["scenario"] for row in rows], ["idle"] * 4)
        for row in rows:
            self.check_row(row, 1, may_be_nothing=True)
            self.assertEqual(row["beside"], "allowance")
        self.assertGreater(rows[-1]["ours"], 1, "memory")

    def assert_refused(self, words, *command, **environment):
        """It says so, and has left the machine as it was."""
        before = mounts()
        done = subprocess.run([*command, BENCH, "--floor-only", "--small", "--pairs", "1", "resolve"],
                              capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, **environment})
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(words, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(mounts(), before)

    def test_without_privilege(self):
        self.assert_refused("making a private host", "setpriv", "--bounding-set=-sys_admin")

    def test_no_private_host(self):
        with tempfile.TemporaryDirectory() as folder:
            preloaded = os.path.join(folder, "unwilling.so")
            subprocess.run(["cc", "-shared", "-fPIC", "-o", preloaded, "-x", "c", "-"], input=UNWILLING, text=True,
                           check=True)
            unwilling = {"LD_PRELOAD": preloaded, "NOT_MADE": "0", "AND_THEN": ""}
            for kind, flag in NAMESPACES.items():
                with self.subTest(kind):
                    self.assert_refused(f"/proc/self/ns/{kind} is the real host's: refusing to run",
                                        **{**unwilling, "NOT_MADE": str(flag)})
            self.assert_refused("has 3 devices here, not loopback alone",
                                **{**unwilling, "AND_THEN": "ip link add name one type veth peer name another"})

    def starts_of_another(self, *arguments):
        """How another daemon was started, and what the bench said."""
        with tempfile.TemporaryDirectory() as folder:
            told, daemon = os.path.join(folder, "told"), os.path.join(folder, "netnsyncd")
            open(told, "w").close()
            with open(daemon, "w", encoding="utf-8") as script:
                script.write(f'#!/bin/sh\necho "$@" >>{told}\nexit 1\n')
            os.chmod(daemon, 0o755)
            done = run("--small", "--pairs", "1", "--namespaces", "2", "--daemon", daemon, *arguments)
            self.assertEqual(done.returncode, 1, done.stderr)
            with open(told, encoding="utf-8") as file:
                return file.read().splitlines(), done.stderr

    def test_the_outside_is_excluded(self):
        outside = re.sub(r"\D", "", os.readlink("/proc/self/ns/net"))
        for scenario in ("idle", "churn"):
            starts, _ = self.starts_of_another("--confined", scenario)
            self.assertEqual(len(starts), 1)
            self.assertRegex(starts[0], rf"exclude\.namespaces=([0-9,]+,)?{outside}$")

    def test_another_that_discovers(self):
        if not os.uname().release.startswith("6.18."):
            self.skipTest("others' namespaces may not open by their identity")
        for scenario in ("idle", "churn"):
            starts, said = self.starts_of_another(scenario)
            self.assertEqual(starts, [])
            self.assertIn("refusing to run, save with --confined", said)
        self.assertEqual(len(self.starts_of_another("close")[0]), 1, "told of all its namespaces")

    def test_latency(self):
        rows = rows_of("--small", "--pairs", "1", "latency")
        self.assertEqual([(row["scenario"], row["beside"][:4]) for row in rows],
                         [("latency", "floo"), ("latency", "poll")] * 3 + [("latency", "floo")])
        for row in rows:
            self.check_row(row, 1)

    def test_packet(self):
        rows = rows_of("--small", "--pairs", "3", "packet")
        self.assertEqual([row["scenario"] for row in rows], ["packet"] * 2 * (3 + 4))
        self.assertEqual(len({(row["variant"], row["beside"]) for row in rows}), len(rows))
        for row in rows:
            # A round in which a program took no longer than the empty one has no value.
            self.check_row(row, row["pairs"] if "empty" in row["variant"] else 3)
            self.assertIn(row["pairs"], (1, 2, 3))

    def test_another_daemon(self):
        done = run("--daemon", "/nowhere/netnsyncd", "--namespaces", "1", "idle")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("/nowhere/netnsyncd", done.stderr)

    def test_floor_only(self):
        rows = rows_of("--floor-only", "--small", "--pairs", "2", "--namespaces", "7", "attach", "latency", "hit",
                       "resolve", "close", "startup", "packet", "churn")
        self.assertEqual([row["scenario"] for row in rows],
                         ["attach"] * 2 + ["latency"] * 4 + ["hit"] * 2 + ["resolve", "close"] + ["startup"] * 7 +
                         ["packet"] * 4 + ["churn"] * 22)
        for row in rows:
            self.assertGreater(row["floor"], 0, row)
            self.assertIsNone(row["ours"])
            self.assertIsNone(row["ratio"])
            self.check_interval(row, row["floor"])

    def test_table(self):
        done = run("--floor-only", "--pairs", "1", "attach")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("us/device"), 2, done.stdout)

    def test_table_tells_a_range_from_an_interval(self):
        for pairs, bounds in ((5, r"\(\d.*, \d.*\)"), (6, r"\[\d.*, \d.*\]")):
            done = run("--floor-only", "--small", "--pairs", str(pairs), "attach")
            self.assertEqual(done.returncode, 0, done.stderr)
            for line in done.stdout.splitlines()[1:]:
                self.assertRegex(line, bounds)

    def test_table_fits_what_is_in_it(self):
        done = run("--floor-only", "--small", "--pairs", "1", "--namespaces", "7", "startup")
        self.assertEqual(done.returncode, 0, done.stderr)
        title, *lines = done.stdout.splitlines()
        self.assertEqual({len(line) for line in lines}, {len(title)}, done.stdout)
        for column in ("beside", "that", "unit", "spread"):
            at = title.index(column)
            self.assertTrue(all(line[at - 2:at] == "  " for line in lines) or column in ("that", "spread"), column)
        widest = max(len(re.search(r"startup +(.*?)  +floor", line).group(1)) for line in lines)
        self.assertEqual(title.index("beside"), title.index("variant") + widest + 2, "not wider than its widest")

    def progress_of(self, columns, *arguments):
        """What is drawn on a terminal of that width, line by line, and whether stdout stays JSON."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with subprocess.Popen([BENCH, "--json", *arguments], stdout=subprocess.PIPE, stderr=slave) as process:
            os.close(slave)
            drawn = b""
            while True:
                try:
                    some = os.read(master, 65536)
                except OSError:  # all that had it open have ended
                    break
                drawn += some
                if not some:
                    break
            os.close(master)
            json.loads(process.stdout.read())
        self.assertEqual(process.returncode, 0)
        return [line for line in drawn.decode().split("\r\x1b[K") if line and not line.startswith("netnsync-bench")]

    def test_progress_on_a_terminal(self):
        for columns in (60, 80, 200):
            lines = self.progress_of(columns, "--floor-only", "--small", "--pairs", "4", "attach")
            lines = [line for line in lines if line.startswith("attach: ")]
            self.assertEqual(len(lines), 2 * 4, lines)
            self.assertLess(max(map(len, lines)), columns)
            for done, line in enumerate(lines):
                self.assertRegex(line, rf" {done % 4}/4( |$)")
                self.assertEqual("left" in line, done % 4 > 0, line)
                bar = re.search(r"\[(#*)(\.*)\]", line)
                width = len(bar.group(1)) + len(bar.group(2))
                self.assertGreaterEqual(width, 10)
                self.assertEqual(len(bar.group(1)), done % 4 * width // 4)
        for columns in (40, 20):  # too narrow for a bar, but not for how far it is
            narrow = [line for line in self.progress_of(columns, "--floor-only", "--small", "--pairs", "2", "attach")
                      if "/2" in line]
            self.assertEqual(len(narrow), 2 * 2, narrow)
            self.assertLess(max(map(len, narrow)), columns)

    def test_no_progress_elsewhere(self):
        self.assertNotRegex(run("--floor-only", "--small", "--pairs", "2", "attach").stderr, "[\r\x1b]")

    def test_wrong_use(self):
        names = re.findall(r"(?m)^  (\w+) ", run("--help").stdout.split("Scenarios:\n")[1])
        self.assertGreater(len(names), 2)
        there = f"there are {', '.join(names[:-1])} and {names[-1]}\n"
        for arguments, words in (
            ((), f"name a scenario; {there}"),
            (("nonsense",), f"no scenario 'nonsense'; {there}"),
            (("--pairs", "0", "attach"), "--pairs"),
            (("--namespaces", "20001", "startup"), "--namespaces wants a number from 1 to 20000"),
            (("--seconds", "x", "idle"), "--seconds"),
        ):
            done = run(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stdout, "")


unittest.main()
