# SPDX-License-Identifier: Apache-2.0
"""The barrier: when `sync --wait` returns, what it says is so. Whatever it could not wait for it tells, after the
results, and the rest has been waited for all the same."""

import contextlib
import json
import os
import signal
import threading
import unittest

import host
import kernel
from test_faults import Injector

DAY = {"audit.interval": "24h"}
DEVICES = host.crowd(50)
ROUNDS = host.crowd(60 if host.LONG else 15)
HANDLES_BY_ID = "open_by_handle_at=EPERM"
SENDTO = "sendto"  # what lists and attaches; nobody but the owner calls it
RUN = "bpf@0:10"  # BPF_PROG_TEST_RUN, by which devices are listed where it is to be had


class WaitTest(host.HostTest):
    @contextlib.contextmanager
    def frozen(self, daemon):
        """What is not attached by now will not be."""
        pid = daemon.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def assertCoveredNow(self, daemon, *made):
        with self.frozen(daemon):
            for ns in made:
                self.assertTrue(ns.covered(), "it returned before all was attached")

    def crowded(self):
        ns = self.unnamed()
        ns.add_veths(DEVICES)
        return ns


class FailingVisits(WaitTest):
    """A namespace that cannot be listed, for a moment or for good."""

    def setUp(self):
        self.injector = Injector(SENDTO, RUN)
        self.running = self.daemon(DAY, under=self.injector.under)
        self.own = host.own_namespace()
        self.running.sync(self.own.pid)

    def test_a_moment_is_waited_out(self):
        for error in ("EPERM#1", "ENOMEM#1", "ENOBUFS#1"):
            ns = self.crowded()
            self.injector.set(f"{SENDTO}={error}", f"{RUN}=EPERM")
            self.assertEqual(self.running.sync(ns.pid)[ns.pid]["outcome"], "new")
            self.assertCoveredNow(self.running, ns)
            self.assertEqual(self.injector.fired(SENDTO), 1)
        self.assertEqual(self.running.counter("visits.failed"), 3)
        self.running.stop()

    def test_what_lasts_is_told_after_the_results(self):
        ns = self.crowded()
        self.injector.set(f"{SENDTO}=EPERM", f"{RUN}=EPERM")
        result = self.running.sync(ns.pid, error="cannot be listed or reached: Operation not permitted")[ns.pid]
        self.assertEqual((result["outcome"], result["cookie"], result["inum"]), ("new", ns.cookie, ns.inum))
        self.assertTrue(ns.bare())
        done = self.running.command("sync", "--wait", ns.pid, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, rf"(?m)^ *{ns.pid}  known +{ns.cookie} +{ns.inum} *$")
        self.assertIn("cannot be listed or reached", done.stderr)

        # All that is known is covered, and that is not all there is.
        coverage = self.running.status()["coverage"]
        self.assertEqual((coverage["ratio"], coverage["namespaces_unlisted"]), (1.0, 1))
        self.assertIn("100.00 % of the devices that could be listed\n", self.running.command("status").stdout)
        self.assertTrue(self.running.row(ns)["list_error"])

        self.injector.set()
        self.running.sync(ns.pid)
        self.assertCoveredNow(self.running, ns)
        self.assertEqual(self.running.status()["coverage"]["namespaces_unlisted"], 0)
        self.assertIn("100.00 %\n", self.running.command("status").stdout)
        self.running.stop()

    def test_it_returns_as_soon_as_it_can_be_listed(self):
        ns = self.crowded()
        self.injector.set(f"{SENDTO}=EPERM", f"{RUN}=EPERM")
        waiting = host.start(f"{host.BUILD}/netnsync", "--socket", self.running.socket, "sync", "--wait", ns.pid,
                             stdout=-1, stderr=-1, text=True)
        self.addCleanup(host.end, waiting)
        host.until(lambda: self.running.counter("visits.failed") > 0, "it waits")
        self.injector.set()
        self.assertEqual(waiting.wait(host.PATIENCE), 0, waiting.stderr.read())
        self.assertCoveredNow(self.running, ns)
        self.running.stop()


class Mixed(WaitTest):
    """One pid has no devices to be waited for; those of the others are waited for."""

    def test_beside_an_excluded_one(self):
        *out, good = sorted((self.unnamed() for _ in range(4)), key=lambda ns: ns.cookie)
        good.add_veths(DEVICES)
        daemon = self.daemon({**DAY, "exclude.namespaces": ",".join(str(ns.inum) for ns in out)})
        for outcome, prefix in (("new", None), ("known", "w")):
            if prefix:
                good.add_veths(DEVICES, prefix)
            results = daemon.sync(*[ns.pid for ns in (*out, good)], code=1)
            self.assertCoveredNow(daemon, good)
            self.assertEqual({results[ns.pid]["outcome"] for ns in out}, {"excluded"})
            self.assertEqual(results[good.pid]["outcome"], outcome)
        self.assertEqual(daemon.sync(out[0].pid, code=1)[out[0].pid]["outcome"], "excluded")
        daemon.stop()

    @unittest.skipUnless(kernel.opens_pidfds() and kernel.looks_pids_up(),
                         "a pid that cannot be opened is nobody's here: only what is open tells whose namespace it is in")
    def test_beside_one_that_is_astray(self):
        """The process that leads to it cannot be opened any more, by nobody who looks."""
        lost, good = self.crowded(), self.crowded()
        site = f"pidfd_open@0:{lost.pid}"
        injector = Injector(site)
        # Looked for by the pids of tasks, not by paths in /proc.
        settings = {**DAY, "lonely.timeout": "1h", "discover.enabled": "true"}
        daemon = self.daemon(settings, under=injector.under, denied=(HANDLES_BY_ID,))
        self.assertEqual(daemon.status()["capabilities"]["handles"], "weak: member's pid or mount path")
        daemon.sync(lost.pid, good.pid)
        for ns in (lost, good):
            ns.add_veths(DEVICES, "w")
        injector.set(f"{site}=ESRCH")
        results = daemon.sync(lost.pid, good.pid, error="no process and no mount is found")
        self.assertCoveredNow(daemon, good)
        self.assertEqual({row["cookie"] for row in results.values()}, {lost.cookie, good.cookie})
        self.assertEqual(results[good.pid]["outcome"], "known")
        self.assertEqual(daemon.status()["namespaces"]["astray"], 1)
        injector.set()
        daemon.sync(lost.pid)
        self.assertCoveredNow(daemon, lost)
        daemon.stop()


class Churning(WaitTest):
    """Namespaces and devices come and go all the while."""

    def churn(self, ends):
        while not ends.is_set():
            ns = self.unnamed()
            ns.run("ip", "-batch", "-", check=False,
                   input="link add a type veth peer name b\nlink set a up\nlink set b up\nlink del a\n" * 5)
            ns.kill()

    @contextlib.contextmanager
    def meanwhile(self):
        ends = threading.Event()
        thread = threading.Thread(target=self.churn, args=(ends,))
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()

    def sync(self, daemon, made):
        """Results by pid. What dies meanwhile is gone, or was known and has been forgotten."""
        done = daemon.command("--json", "sync", "--wait", *[ns.pid for ns in made], check=False)
        answer = json.loads(done.stdout)
        if "error" in answer:
            self.assertRegex(answer["error"], "flushed or evicted|cannot be listed or reached")
        return {row["pid"]: row["outcome"] for row in answer["results"]}

    def test_all_that_lives_is_waited_for(self):
        daemon = self.daemon({**DAY, "discover.enabled": "true"})
        with self.meanwhile():
            for _ in range(ROUNDS):
                dying, good, other = self.unnamed(), self.crowded(), self.unnamed()
                pids = [dying.pid, good.pid, other.pid]
                killer = threading.Timer(0.005, dying.kill)
                killer.start()
                outcomes = self.sync(daemon, [dying, good, other])
                self.assertCoveredNow(daemon, good, other)
                self.assertEqual(sorted(outcomes), sorted(pids))
                self.assertLessEqual({outcomes[good.pid], outcomes[other.pid]}, {"new", "known"})
                killer.join()
                good.add_veths(5, "w")
                self.sync(daemon, [good])
                self.assertCoveredNow(daemon, good)
                for ns in (good, other):
                    ns.kill()
        daemon.stop()


if __name__ == "__main__":
    host.main()
