# SPDX-License-Identifier: Apache-2.0
"""kill -9 in the midst of churn, over and over; and what the next daemon makes of what it finds, with nobody to tell it
of anything."""

import random
import time

import containers
import host

KILLS = 50 if host.LONG else 8
WATCHFUL = {"discover.enabled": "true", "audit.interval": "24h"}


def programs_of(ns):
    return {row["options"]["prog"]["id"] for rows in ns.ours().values() for row in rows}


class Succession(host.HostTest):
    """Namespaces of every sort, with foreign filters beside ours, that one daemon leaves to the next."""

    def setUp(self):
        self.made = [self.unnamed() for _ in range(3)] + [self.named(), self.of_a_thread()]
        for ns in self.made:
            ns.quiet()
            ns.add_pair("a", "b")
            for name in ("lo", "a", "b"):
                ns.ip("link", "set", "dev", name, "up")
            ns.tc("qdisc", "add", "dev", "a", "clsact")
            for hook in host.HOOKS:
                for priority in (1, 10, 30):
                    ns.tc("filter", "add", "dev", "a", hook, "prio", priority, "u32", "match", "u32", "0", "0")
        self.before = [ns.filter_texts() for ns in self.made]

    def assertForeignUntouched(self):
        now = [{place: host.less_ours(text) for place, text in ns.filter_texts().items()} for ns in self.made]
        self.assertEqual(now, self.before)

    def assertTakenOver(self, daemon):
        """Every device carries one filter a hook, with the program of this daemon."""
        daemon.wait_found(*self.made)
        current = set(daemon.status()["programs"].values())
        for ns in self.made:
            self.assertCovered(ns)
            host.until(lambda: programs_of(ns) <= current, f"{ns.path} runs this daemon's programs")
            self.assertTrue(ns.covered())

    def end(self, daemon):
        daemon.stop()
        for ns in self.made:
            self.assertBare(ns)
        self.assertEqual([ns.filter_texts() for ns in self.made], self.before)


class Crashes(Succession):
    def begin(self):
        # One queue: those that are killed leave it, and a user has room for a few only.
        return self.daemon(WATCHFUL, wait=False, check_leaks=False, queue="/nns-e2e-crash")

    def kill_soon(self, daemon, most):
        """At a moment that nobody chose."""
        time.sleep(random.uniform(0, most))
        daemon.kill()

    def test_in_the_midst_of_churn(self):
        churn = containers.Churn(KILLS * 40, residents=20, live=12)
        self.addCleanup(churn.close)
        for _ in range(KILLS // 2):
            self.kill_soon(self.begin(), 0.3)
            daemon = self.begin()
            daemon.wait_ready()
            self.assertTakenOver(daemon)
            self.assertForeignUntouched()
            self.kill_soon(daemon, 0.1)
        daemon = self.begin()
        daemon.wait_ready()
        churn.wait()
        self.assertTakenOver(daemon)
        daemon.wait_found(*churn.living)
        for ns in churn.living:
            self.assertCovered(ns)
        self.assertForeignUntouched()
        churn.finish()
        self.end(daemon)


class Heirs(Succession):
    """Nobody sends the heir a pid."""

    def leave(self, settings=None):
        daemon = self.daemon({**WATCHFUL, **(settings or {})})
        self.assertTakenOver(daemon)
        if settings:
            daemon.stop()
        else:
            daemon.kill()

    def succeed(self, settings=None, **options):
        heir = self.daemon({**WATCHFUL, **(settings or {})}, **options)
        self.assertTakenOver(heir)
        self.assertForeignUntouched()
        self.assertEqual(heir.counter("feed.pids"), 0)
        self.end(heir)

    def test_of_one_that_was_killed(self):
        self.leave()
        self.succeed()

    def test_of_one_that_left_its_filters(self):
        self.leave({"keep_attached": "true"})
        self.succeed()

    def test_with_pins(self):
        self.leave()
        self.succeed(pinned=True)

    def test_without_tracepoints(self):
        self.leave()
        self.succeed(deaf=True)


class Excluded(Succession):
    """What the heir is to leave alone, it leaves as if we had never been there."""

    def setUp(self):
        super().setUp()
        first = self.daemon(WATCHFUL)
        self.assertTakenOver(first)
        first.kill()

    def assertLeftAlone(self, heir, ns, names):
        def bare():
            return all(not rows for (name, _), rows in ns.ours().items() if name in names)

        host.until(bare, f"{names} of {ns.path} carry nothing of ours")
        self.assertForeignUntouched()

    def test_a_device(self):
        heir = self.daemon({**WATCHFUL, "exclude.devices": "a"})
        heir.wait_found(*self.made)
        for ns in self.made:
            self.assertLeftAlone(heir, ns, {"a"})
            ns.devices.remove("a")
            self.assertCovered(ns)
            ns.devices.append("a")
        heir.stop()

    def test_a_namespace(self):
        left, *others = self.made
        heir = self.daemon({**WATCHFUL, "exclude.namespaces": str(left.inum)})
        heir.wait_found(*others)
        for ns in others:
            self.assertCovered(ns)
        self.assertLeftAlone(heir, left, {"lo", "a", "b"})
        heir.stop()


if __name__ == "__main__":
    host.main()
