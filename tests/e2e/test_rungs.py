# SPDX-License-Identifier: Apache-2.0
"""The best rung of each ladder that this kernel has is the one the daemon stands on. What the kernel has is asked
here, by other means than the daemon's; what the daemon uses is seen from its open files and from what it counts.
Worth most on older kernels: tests/qemu/run. With the real host's pids (private_host --real-pids) nothing is
discovered, for there the daemon would find everybody."""

import os

import host
import kernel

DAY = {"audit.interval": "24h"}
OWN_PIDS = os.getpid() == 1


class Rungs(host.HostTest):
    @classmethod
    def tearDownClass(cls):
        for name, text in cls.said.items():
            print(f"# {name}: {text}")

    def serve(self, **settings):
        # Real pids outlive this test: the daemon is not to.
        under = () if OWN_PIDS else ("setpriv", "--pdeathsig", "KILL")
        daemon = self.daemon({"discover.enabled": "true" if OWN_PIDS else "false", **DAY, **settings}, under=under)
        Rungs.said = daemon.status()["capabilities"]
        return daemon

    def opened(self, daemon, what):
        return sum(what in name for name in daemon.fds())

    def test_resolver(self):
        daemon, made = self.serve(**{"discover.enabled": "false"}), [self.unnamed() for _ in range(4)]
        for outcome in ("new", "known"):
            results = daemon.sync(*[ns.pid for ns in made])
            self.assertEqual({row["outcome"] for row in results.values()}, {outcome})
            self.assertEqual([results[ns.pid]["cookie"] for ns in made], [ns.cookie for ns in made])
        by_pidfd = kernel.opens_pidfds()
        counters = daemon.status()["counters"]
        self.assertEqual((counters["resolve.pidfd"] > 0, counters["resolve.proc"] > 0), (by_pidfd, not by_pidfd))
        self.assertEqual(counters["resolve.refused"], 0)
        if daemon.status()["namespaces"]["pinned"]:
            self.assertEqual(counters["resolve.batches"], 0, "what is pinned is known by its inum")
        else:
            self.assertEqual(counters["resolve.batches"] > 0, kernel.looks_pids_up())
        daemon.stop()

    def test_handles(self):
        daemon, made = self.serve(), [self.unnamed() for _ in range(4)]
        daemon.sync(*[ns.pid for ns in made])
        held = self.opened(daemon, "net:[") - 1  # its own
        self.assertEqual(held, daemon.status()["namespaces"]["pinned"])
        if kernel.opens_by_id(made[0]):
            self.assertEqual(held, 0)
        for ns in made:
            self.assertCovered(ns)
        identity = "NS_GET_ID" if kernel.tells_ids() else "SO_NETNS_COOKIE"
        self.assertEqual(daemon.status()["capabilities"]["identity"], identity)
        daemon.stop()

    def test_links(self):
        daemon = self.serve()  # each program that is attached is one
        devices = 2 if kernel.traces("qdisc_create", "qdisc_destroy") else 0
        tasks = 3 if kernel.traces("sched_process_fork", "sched_process_exec", "sched_process_exit") else 0
        walk = 1 if kernel.has_symbols("bpf_iter_run_prog") else 0
        self.assertEqual(self.opened(daemon, "bpf_link") + self.opened(daemon, "bpf-link"),
                         devices + (tasks + walk if OWN_PIDS else 0))
        daemon.stop()

    def test_mounts(self):
        daemon = self.serve()
        self.assertEqual(self.opened(daemon, "fanotify"), 1 if OWN_PIDS and kernel.tells_of_mounts() else 0)
        daemon.stop()

    def test_devices_that_come_up_or_lose_their_clsact(self):
        if not kernel.traces("qdisc_create", "qdisc_destroy"):
            self.skipTest("no tracepoints of qdiscs here")
        ns, daemon = self.unnamed(), self.serve()
        daemon.sync(ns.pid)
        ns.add_pair("a", "b")
        for name in ("a", "b"):
            ns.ip("link", "set", "dev", name, "up")
        self.assertCovered(ns)
        ns.tc("qdisc", "del", "dev", "a", "clsact")
        self.assertCovered(ns)
        daemon.stop()

    def test_namespaces_that_come(self):
        if not OWN_PIDS:
            self.skipTest("nothing is discovered where everybody would be")
        before = [self.unnamed(), self.named(), self.of_a_thread()]
        daemon = self.serve()
        self.assertFound(daemon, *before, self.unnamed(), self.named())
        self.assertEqual(daemon.counter("feed.pids"), 0)
        daemon.stop()


if __name__ == "__main__":
    host.main()
