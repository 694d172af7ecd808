# SPDX-License-Identifier: Apache-2.0
"""Hundreds of containers a second, each with its devices, packets and death: who lives longer than ten times what
ninety-nine of a hundred need is covered, who dies is let go, and afterwards the daemon is as it was."""

import collections
import re
import sys
import time
import unittest

import containers
import host
import kernel

# Of each of two rounds; before them, of the one that shows how long it takes to be covered.
COUNT, CALIBRATION = (host.crowd(count) for count in ((1000, 300) if host.LONG else (200, 100)))
RATE = 130 if host.SLOWNESS == 1 else 10
# That many a second come for certain in the longer form, where nothing slows them; else as many as this machine makes.
LEAST_RATE = 100 if host.LONG and not host.SANITIZE and host.SLOWNESS == 1 else 0
ROOM = 2000 // host.SLOWNESS  # living at a time
LEAST_JUDGED = 0.4  # of the devices of those that come and go; half of them are meant to live as long
DAY = {"audit.interval": "24h"}
# What the daemon's memory may grow by from one round to the next, which is like it.
MARGIN_KB = 4096
MEMORY_STILL_S = 1.5  # what is free goes back to the kernel within a second


class Churning(host.HostTest):
    def begin(self, settings, **options):
        """A daemon that has been through some churn: tables and threads have their size."""
        self.own = host.own_namespace()
        self.running = self.daemon({**DAY, **settings}, **options)
        self.running.sync(self.own.pid)
        self.assertCovered(self.own)
        churn = self.churn(CALIBRATION)
        churn.finish()
        print(f"\n{churn}", file=sys.stderr)
        self.excuse = 10 * churn.percentile(99) // 10 ** 6 + 1
        self.settle()
        self.fds = collections.Counter(self.running.fds())

    def tell(self):
        """What makes the churn's pids known to the daemon."""
        return None

    def churn(self, count, **options):
        churn = containers.Churn(count, live=ROOM, rate=RATE, tell=self.tell(), **options)
        self.addCleanup(churn.close)
        churn.wait()
        return churn

    def private_kb(self):
        """The daemon's own memory: not what it shares with the files it was made from."""
        with open(f"/proc/{self.running.pid}/smaps_rollup") as file:
            return int(re.search(r"^Anonymous:\s*(\d+)", file.read(), re.MULTILINE).group(1))

    def memory_kb(self):
        """The same when it has given back what is free."""
        least, since = self.private_kb(), time.monotonic()

        def still():
            nonlocal least, since
            now = self.private_kb()
            if now < least:
                least, since = now, time.monotonic()
            return time.monotonic() - since > MEMORY_STILL_S

        host.until(still, "its memory is at rest")
        return least

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

    def assertJudged(self, churn):
        """Enough of those that came and went were old enough, and each of these was covered."""
        passing = [device for device in churn.devices if device.pid not in self.residents]
        judged = [device for device in churn.judged if device.pid not in self.residents]
        self.assertEqual(len(churn.devices), 3 * (COUNT + COUNT // 20), "the log is complete")
        self.assertEqual(len(churn.judged) - len(judged), 3 * (COUNT // 20), "the residents were old enough")
        self.assertGreaterEqual(len(judged), LEAST_JUDGED * len(passing), "old enough to be judged")
        self.assertEqual(churn.missed, [])
        self.assertGreaterEqual(churn.rate, LEAST_RATE)

    def round(self):
        """One of two equal ones; afterwards all is as it was. The daemon's memory then."""
        churn = self.churn(COUNT, residents=COUNT // 20, excuse=self.excuse)
        living = churn.living
        self.residents = {ns.pid for ns in living}
        self.running.wait_found(*living)
        for ns in living:
            self.assertCovered(ns)
        churn.wait_for_age()
        churn.finish()
        print(churn, file=sys.stderr)
        self.assertJudged(churn)

        self.settle()
        self.assertEqual(self.pinned(), set())
        self.assertEqual(self.running.status()["namespaces"]["pinned"], self.pins_at_rest)
        host.until(lambda: not self.left_over(), "no descriptor is left over")
        return self.memory_kb()

    def prove(self):
        first, *later = [self.round() for _ in range(self.rounds)]
        for second in later:
            print(f"{first} kB of memory after the first, {second - first:+d} after the second", file=sys.stderr)
            if not host.SANITIZE:  # whose quarantine keeps what was freed
                self.assertLess(second - first, MARGIN_KB)
        self.running.stop()
        self.assertBare(self.own)

    pins_at_rest = 0
    rounds = 2 if host.LONG else 1  # one shows what is left over of everything but memory


class Discovered(Churning):
    rounds = 2 if host.SLOWNESS == 1 else 1

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


@unittest.skipIf(host.SLOWNESS > 1, "each by itself is enough where all takes long")
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


@unittest.skipUnless(kernel.opens_by_id(host.own_namespace()), "that is how all are found again here")
class Member(Churning):
    """Where a process or a mount leads to each namespace, and goes with it."""

    def test_it(self):
        self.begin({"discover.enabled": "true", "handle.mode": "member", "lonely.timeout": "300ms"})
        self.assertTrue(self.running.status()["capabilities"]["handles"].startswith("weak: member"))
        self.prove()


if __name__ == "__main__":
    host.main()
