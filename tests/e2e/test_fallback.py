# SPDX-License-Identifier: Apache-2.0
"""An older kernel, acted: the daemon with newer system calls denied covers all the same, and says how."""

import unittest

import host
import kernel

PIDFD = "pidfd_open=ENOSYS"
PIDFD_NETNS = "ioctl:0xff04=ENOTTY"
NS_GET_ID = "ioctl:0x8008b70d=ENOTTY"


needs_pidfd_netns = unittest.skipUnless(kernel.opens_pidfds(), "a pidfd does not lead to a namespace here")
needs_ns_ids = unittest.skipUnless(kernel.tells_ids(), "a namespace's descriptor does not tell its cookie here")


class Fallback(host.HostTest):
    def cover(self, *denied):
        """A daemon with these denied, fed with two namespaces that it must cover; its status."""
        unnamed, named = self.unnamed(), self.named()
        unnamed.add_veth("a", named, "b")
        visitor = self.visitor(named)
        under = (f"{host.BUILD}/deny", *denied, "--") if denied else ()
        daemon = self.daemon(under=under)
        results = daemon.sync(unnamed.pid, visitor)
        for pid, ns in ((unnamed.pid, unnamed), (visitor, named)):
            self.assertTrue(ns.covered())
            self.assertEqual((results[pid]["outcome"], results[pid]["cookie"], results[pid]["inum"]),
                             ("new", ns.cookie, ns.inum))
        status = daemon.status()
        daemon.stop()
        for ns in (unnamed, named):
            self.assertBare(ns)
        return status

    @needs_pidfd_netns
    def test_nothing_denied(self):
        status = self.cover()
        self.assertEqual(status["counters"]["resolve.pidfd"], 2)
        self.assertEqual(status["counters"]["resolve.proc"], 0)

    @needs_pidfd_netns
    def test_without_pidfds(self):
        status = self.cover(PIDFD)
        self.assertEqual(status["counters"]["resolve.pidfd"], 0)
        self.assertEqual(status["counters"]["resolve.proc"], 2)
        self.assertNotEqual(status["capabilities"]["resolver"], self.cover()["capabilities"]["resolver"])

    @needs_pidfd_netns
    def test_pidfds_without_the_namespace_ioctl(self):
        status = self.cover(PIDFD_NETNS)
        self.assertEqual(status["counters"]["resolve.pidfd"], 0)
        self.assertEqual(status["counters"]["resolve.proc"], 2)

    @needs_ns_ids
    @needs_pidfd_netns
    def test_without_namespace_ids(self):
        status = self.cover(NS_GET_ID)
        self.assertEqual(status["counters"]["resolve.pidfd"], 2)
        self.assertNotEqual(status["capabilities"]["identity"], self.cover()["capabilities"]["identity"])

    def test_like_6_1(self):
        status = self.cover(PIDFD, PIDFD_NETNS, NS_GET_ID)
        self.assertEqual(status["counters"]["resolve.proc"], 2)


if __name__ == "__main__":
    host.main()
