# SPDX-License-Identifier: Apache-2.0
"""Hundreds of containers a second, each with its devices, packets and death: who lives long enough is covered, who
dies is let go, and afterwards the daemon is as it was."""

import collections
import re
import sys

import containers
import host

COUNT = 2000 if host.LONG else 300
DAY = {"audit.interval": "24h"}
# What the daemon's memory may have grown by. Its tables grow with the most namespaces it ever knew at once, and
# jemalloc keeps what it was given for a while.
RSS_MARGIN_KB = 4096


class Churning(host.HostTest):
    def begin(self, settings, **options):
        """A daemon that has been through some churn: tables and threads have their size."""
        self.own = host.own_namespace()
        self.running = self.daemon({**DAY, **settings}, **options)
        self.running.sync(self.own.pid)
        self.assertCovered(self.own)
        self.churn(50).finish()
        self.settle()
        self.fds, self.rss = collections.Counter(self.running.fds()), self.rss_kb()

    def tell(self):
        """What makes the churn's pids known to the daemon."""
        return None

    def churn(self, count, residents=0):
        churn = containers.Churn(count, residents, tell=self.tell())
        self.addCleanup(churn.close)
        churn.wait()
        return churn

    def rss_kb(self):
        with open(f"/proc/{self.running.pid}/status") as file:
            return int(re.search(r"^VmRSS:\s*(\d+)", file.read(), re.MULTILINE).group(1))

    def settle(self):
        """Until nothing is left of the containers, in the kernel or in the daemon."""
        host.until(lambda: not re.search(r"\bp\d+@", self.own.ip("-o", "link")), "the peers at home are gone")
        host.until(lambda: len(self.running.ask("list")["namespaces"]) == 1, "only the host's own is known")

    def pinned(self):
        """The namespaces that some process here is in or holds open, but the host's own."""
        held = set(host.run("lsns", "-t", "net", "-n", "-o", "NS").stdout.split()) - {str(self.own.inum)}
        return held | {name for name in self.running.fds() if name.startswith("net:")} - {f"net:[{self.own.inum}]"}

    def left_over(self):
        return collections.Counter(self.running.fds()) - self.fds

    def prove(self):
        churn = self.churn(COUNT, residents=COUNT // 20)
        self.running.wait_found(*churn.living)
        for ns in churn.living:
            self.assertCovered(ns)
        churn.wait_for_age()
        churn.finish()
        print(churn, file=sys.stderr)
        self.assertEqual(len(churn.devices), 3 * (COUNT + COUNT // 20), "the log is complete")
        self.assertGreaterEqual(len(churn.judged), 3 * (COUNT // 20), "the residents were old enough")
        self.assertEqual(churn.missed, [])

        self.settle()
        self.assertEqual(self.pinned(), set())
        self.assertEqual(self.running.status()["namespaces"]["pinned"], self.pins_at_rest)
        host.until(lambda: not self.left_over(), "no descriptor is left over")
        grown = self.rss_kb() - self.rss
        print(f"RSS {self.rss} kB before, {grown:+d}", file=sys.stderr)
        if not host.SANITIZE:  # whose quarantine keeps what was freed
            self.assertLess(grown, RSS_MARGIN_KB)
        self.running.stop()
        self.assertBare(self.own)

    pins_at_rest = 0


class Discovered(Churning):
    def test_it(self):
        self.begin({"discover.enabled": "true"})
        self.prove()


class Fed(Churning):
    """Nothing is found but what the queue names."""

    def tell(self):
        queue = self.running.queue
        return lambda pid: queue.send(str(pid).encode())

    def test_it(self):
        self.begin({})
        self.prove()


class Both(Fed):
    def test_it(self):
        self.begin({"discover.enabled": "true"})
        self.prove()


class Pinned(Churning):
    """Where every namespace that is known is held open: until nobody else is in it."""

    pins_at_rest = 1  # the host's own

    def test_it(self):
        self.begin({"discover.enabled": "true", "lonely.timeout": "300ms"}, pinned=True)
        self.prove()


if __name__ == "__main__":
    host.main()
