# SPDX-License-Identifier: Apache-2.0
"""The first start on a host where namespaces and devices are already: what its look at everything calls fails for a while,
from the first such call on. Once the faults are over all is covered, with the next audit at the latest. NNS_LONG=1: from
each of the calls on, and each alone."""

import re

import host
import test_faults

# What comes after all that a start without discovery calls; by identity, as the walk tells of.
WALK = [
    ("bpf@0:33", "EPERM ENOMEM"),  # BPF_ITER_CREATE
    ("read~bpf_iter", "EPERM ENOMEM"),
    ("bpf@0:10", "EPERM ENOMEM"),
    ("bpf@0:2", "EPERM ENOMEM"),
    ("open_by_handle_at", "EMFILE ENOMEM"),
    ("ioctl:0xb703", "EPERM"),  # NS_GET_NSTYPE
    ("ioctl:0x8008b70d", "EPERM"),  # NS_GET_ID
    ("newfstatat", "EACCES ENOMEM"),
    ("openat", "EPERM EMFILE"),
    ("fstatfs", "EPERM ENOMEM"),
    ("read~mountinfo", "EPERM ENOMEM"),
    ("setns", "EPERM ENOMEM"),
    ("socket", "EMFILE ENOBUFS"),
    ("setsockopt", "EPERM"),
    ("sendto", "EPERM ENOBUFS"),
    ("recvfrom", "ENOMEM EAGAIN"),
]
# Where there is no walk all of /proc is searched.
SEARCH = [
    ("getdents64", "EPERM ENOMEM"),
    ("readlinkat", "EACCES ENOMEM"),
    ("statx", "EACCES ENOMEM"),
    ("newfstatat", "EACCES ENOMEM"),
    ("openat", "EPERM EMFILE"),
    ("read~mountinfo", "EPERM ENOMEM"),
]
NO_WALK = ("bpf@0:28=EPERM",)  # BPF_LINK_CREATE


class First(test_faults.Churn):
    """One start after another, of which none leaves anything."""

    table, denied = (), ()

    def setUp(self):
        super().setUp()
        self.there = (*self.ends, self.unnamed(), self.mounted(), self.unnamed())
        for ns in self.there:
            test_faults.up(ns, *self.newcomers())

    def launch(self, *sites, **settings):
        injector = test_faults.Injector(*sites)
        daemon = self.daemon({**self.settings, **settings}, wait=False, queue=test_faults.QUEUE, denied=self.denied,
                             under=injector.under)
        host.until(lambda: test_faults.Start.state(daemon), "it comes up, or gives up")
        return daemon, injector

    def all_covered(self):
        return all(ns.covered() for ns in self.there)

    def calls(self, found):
        """Those of a start, until it is up, or has found and covered all."""
        daemon, injector = self.launch(*(site for site, _ in self.table), **{"discover.enabled": str(found).lower()})
        if found:
            host.until(self.all_covered, "all is covered")
        counts = {site: calls for site, (calls, _) in injector.tell("counts").items()}
        daemon.stop()
        return counts

    def meet(self, site, errors):
        """Whether each errno was met. The look begins while the daemon is still starting: the first call that fails may
        be one that it gives up without, and then the next one is tried."""
        first, last = self.before[site] + 1, self.after[site]
        self.assertGreaterEqual(last, first, "the look at everything calls it")
        if host.LONG:
            for fault in (f"{error}{which}{n}" for error in errors for which in "+#" for n in range(first, last + 1)):
                self.start(site, fault)
        return all(any(self.start(site, f"{error}+{n}") for n in range(first, last + 1)) for error in errors)

    def start(self, site, fault):
        """True when the call failed, and it came up all the same."""
        daemon, injector = self.launch(f"{site}={fault}")
        if daemon.process.poll() is not None:
            self.assertEqual(daemon.process.returncode, 1, daemon.stderr())
            self.assertRegex(daemon.stderr(), re.compile("^error: .+", re.MULTILINE))
            return False
        host.until(lambda: injector.fired(site) or self.all_covered(), "the call fails")
        fired = injector.fired(site)
        injector.set()
        host.until(self.all_covered, f"all is covered\n{daemon.stderr()}")
        daemon.stop()
        for ns in self.there:
            self.assertBare(ns)
        return fired

    def test_each_call(self):
        self.before, self.after = self.calls(found=False), self.calls(found=True)
        for site, errors in self.table:
            with self.subTest(site, errors=errors):
                self.assertTrue(self.meet(site, errors.split()), "it failed, and the daemon went on")


class Walk(First):
    table = WALK


class Search(First):
    table, denied = SEARCH, NO_WALK


del First
if __name__ == "__main__":
    host.main()
