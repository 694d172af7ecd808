# SPDX-License-Identifier: Apache-2.0
"""kill -9 in the midst of churn, over and over; and what the next daemon makes of what it finds, with nobody to tell it
of anything. NNS_LONG=1: fifty times. NNS_SEED=N: at the moments of the run that said so."""

import contextlib
import json
import os
import random
import re
import time

import containers
import host

RESTARTS = 50 if host.LONG else host.crowd(6)
SEED = int(os.environ.get("NNS_SEED", random.SystemRandom().randrange(1 << 32)))
# Containers of one churn; the next one begins when so many of them were born.
COUNT, RESIDENTS, ENOUGH = host.crowd(2400), host.crowd(40), host.crowd(1200)
# No container that is not to stay gets older.
OLD_S = 3 * host.SLOWNESS
WATCHFUL = {"discover.enabled": "true", "audit.interval": "24h"}


def programs_of(ns):
    return {row.program for rows in ns.ours().values() for row in rows}


def less_clsact(rows, kept=()):
    """Qdiscs, less the clsact of devices other than those that had one before us."""
    return [row for row in rows if row["kind"] != "clsact" or row["dev"] in kept]


def peers_of(namespaces):
    """The devices at home that those of containers are joined with: churn names them by their ifindex."""
    links = [json.loads(ns.ip("-j", "link", "show", "dev", "eth0"))[0] for ns in namespaces]
    return [f"p{link['link_index']}" for link in links]


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
        self.qdiscs = [ns.qdiscs() for ns in self.made]

    def assertForeignUntouched(self):
        now = [{place: host.less_ours(text) for place, text in ns.filter_texts().items()} for ns in self.made]
        self.assertEqual(now, self.before)
        self.assertEqual([less_clsact(ns.qdiscs(), {"a"}) for ns in self.made], self.qdiscs)

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
    def setUp(self):
        super().setUp()
        print(f"NNS_SEED={SEED}", flush=True)
        self.chance = random.Random(SEED)
        self.own = host.own_namespace()
        self.addCleanup(self.own.run, "tc", "qdisc", "del", "dev", "lo", "clsact")
        self.own.tc("qdisc", "add", "dev", "lo", "clsact")
        for hook in host.HOOKS:
            self.own.tc("filter", "add", "dev", "lo", hook, "prio", "10", "u32", "match", "u32", "0", "0")
        self.own_before = self.own.filter_texts()
        self.churn = None

    def begin(self):
        # One queue: those that are killed leave it, and a user has room for a few only.
        return self.daemon(WATCHFUL, wait=False, check_leaks=False, queue="/nns-e2e-crash")

    # The churn.

    def start_churn(self):
        self.births = {}
        self.churn = containers.Churn(COUNT, residents=RESIDENTS, live=12,
                                      tell=lambda pid: self.births.setdefault(pid, time.monotonic()))
        self.addCleanup(self.churn.close)

    def end_churn(self):
        """The next one names its devices like this one, whose last ones take a moment to go."""
        self.churn.wait()
        self.churn.finish()
        host.until(lambda: not re.search(r": p\d+@", self.own.ip("-o", "link")), "its devices are gone")

    def await_residents(self):
        host.until(self.residents, "some are old enough")

    def go_on(self):
        """There is to be churn for long enough."""
        if len(self.churn.born) >= ENOUGH:
            self.end_churn()
            self.start_churn()
            self.await_residents()

    def assertChurning(self):
        self.assertIsNone(self.churn.process.poll(), f"the churn has ended: {self.churn.failed}")
        self.assertIsNone(self.churn.nanoseconds, "only residents are left")

    def residents(self):
        """Those that have been there for longer than any other may be, by the log."""
        dead, made = {device.pid for device in self.churn.devices}, []
        for pid, birth in list(self.births.items()):
            if pid in dead or time.monotonic() - birth < OLD_S:
                continue
            with contextlib.suppress(OSError):  # on a slow machine some are dying yet
                made.append(host.Namespace(f"/proc/{pid}/ns/net", pid))
                made[-1].devices.append("eth0")
                made[-1].cookie  # pylint: disable=pointless-statement
        return made

    def is_dead(self, ns):
        return host.is_dead(ns.pid) or host.netns_inum(ns.pid) != ns.inum

    # What is asked after each restart.

    def runs(self, ns, current):
        """Every device has exactly one filter a hook, with one of these programs."""
        ours = ns.ours().values()
        return all(len(rows) == 1 and rows[0].program in current for rows in ours)

    def assertResidentsTakenOver(self, residents, current):
        for ns in residents:
            try:
                host.until(lambda: self.runs(ns, current), f"{ns.path} is taken over")
            except AssertionError:
                if not self.is_dead(ns):
                    raise

    def assertOwnTakenOver(self, residents, current):
        """The host's own, where the peers come and go; those of residents stay."""
        self.own.devices = ["lo", *peers_of(ns for ns in residents if not self.is_dead(ns))]
        host.until(lambda: self.runs(self.own, current), "the host's own is taken over")
        now = {place: host.less_ours(text) for place, text in self.own.filter_texts().items()}
        self.assertEqual({place: text for place, text in now.items() if place in self.own_before}, self.own_before)
        self.assertEqual({text for place, text in now.items() if place not in self.own_before} or {"[]"}, {"[]"})

    def assertAllTakenOver(self, daemon):
        residents = self.residents()
        daemon.wait_found(self.own, *self.made)
        # By its own looks alone: a task started there would give it away.
        host.until(lambda: {ns.cookie for ns in residents if not self.is_dead(ns)} <= daemon.cookies(),
                   "the residents are found")
        current = set(daemon.status()["programs"].values())
        self.assertResidentsTakenOver(residents, current)
        self.assertOwnTakenOver(residents, current)
        self.assertTakenOver(daemon)
        self.assertForeignUntouched()
        return len(residents)

    # Kills.

    def kill_soon(self, daemon, most):
        """At a moment that nobody chose."""
        time.sleep(self.chance.uniform(0, most))
        self.assertChurning()
        daemon.kill()

    def test_in_the_midst_of_churn(self):
        self.start_churn()
        first = self.begin()
        first.wait_ready()
        self.await_residents()
        self.kill_soon(first, 0.1)
        for _ in range(RESTARTS):
            self.kill_soon(self.begin(), 0.3)  # while it starts
            daemon = self.begin()
            daemon.wait_ready()
            self.assertTrue(self.assertAllTakenOver(daemon), "of the churn's own some each time")
            self.go_on()
            self.kill_soon(daemon, 0.1)
        daemon = self.begin()
        daemon.wait_ready()
        self.churn.wait()
        self.assertAllTakenOver(daemon)
        self.churn.finish()
        self.end(daemon)
        self.own.devices = ["lo"]
        self.assertBare(self.own)
        self.assertEqual(self.own.filter_texts(), self.own_before)


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
