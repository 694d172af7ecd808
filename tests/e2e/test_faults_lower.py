# SPDX-License-Identifier: Apache-2.0
"""Faults, as test_faults has them, on the lower rungs: rtnetlink tells of devices, or nobody does; mountinfo tells of
mounts. And calls that wait, interrupted. Audits are a day apart where the rung itself is to make up for what it missed."""

import host
import test_faults
from test_faults import Call

DAY = {"audit.interval": "24h"}
# What one visit calls, on every rung of events: an error there is tried again by itself.
VISITS = [
    Call("setns", "EPERM ENOMEM", "visits.failed"),
    Call("open_by_handle_at", "EPERM ENOMEM EMFILE ENFILE", "visits.failed"),
    Call("socket", "EPERM EMFILE ENFILE ENOMEM ENOBUFS", "visits.failed"),
    Call("sendto", "EPERM ENOMEM ENOBUFS EAGAIN", "list.failed attach.failed"),
    Call("sendto", "EINTR/2"),
    Call("recvfrom", "ENOMEM ENOBUFS EAGAIN/5", "list.failed list.interrupted attach.failed"),
    Call("recvfrom", "EINTR/2"),
]

# io/link_events.c. Nobody else calls recvmsg, sends 64 bytes to ask for a number, or has 256 for an answer.
HEARING = [
    Call("recvmsg", "EPERM ENOMEM", "events.errors"),
    Call("recvmsg", "ENOBUFS/3", "events.overruns"),
    Call("recvmsg", "EINTR/2 EAGAIN/2"),
    Call("sendto@2:64", "EPERM ENOMEM ENOBUFS EAGAIN", "events.refused"),
    Call("sendto@2:64", "EINTR/2"),
    Call("recvfrom@2:256", "ENOMEM ENOBUFS EAGAIN", "events.refused"),
    Call("recvfrom@2:256", "EINTR/2"),
    # Which numbers there are, asked for when events were lost.
    Call("sendto@2:20", "EPERM ENOMEM ENOBUFS EINTR/2", beside="recvmsg=ENOBUFS/3"),
]

# io/mounts.c, by mountinfo. A mount that cannot be opened is seen again by an audit, and by nothing else.
MOUNTINFO = [
    Call("read~mountinfo", "EPERM ENOMEM", "discover.failed"),
    Call("read~mountinfo", "EINTR/2"),
    Call("poll@1:1", "ENOMEM EINTR"),  # only fetches the word of what is read anyway
    Call("statx", "EACCES ENOMEM"),  # a mount that cannot be told from another counts as new
]
OPENING = [
    Call("openat", "EPERM EMFILE ENFILE ENOMEM", "discover.failed"),
    Call("openat", "EINTR/2"),
    Call("fstatfs", "EPERM ENOMEM", "discover.failed"),
]
FANOTIFY = [
    Call("read~fanotify", "EPERM ENOMEM", "discover.failed"),
    Call("read~fanotify", "EINTR/2"),
    Call("457", "EPERM ENOMEM"),
    Call("458", "EPERM ENOMEM", "discover.failed", beside="457=ENOMEM"),
]

# libuv's loop and the owner; the locks and conditions of threads. Were each call interrupted, nobody could go on.
WAITING = [
    Call("epoll_wait", "EINTR/2"),
    Call("futex@1:128", "EINTR/2 EAGAIN/2"),  # FUTEX_WAIT_PRIVATE: a lock
    Call("futex@1:393", "EINTR/2 EAGAIN/2"),  # FUTEX_WAIT_BITSET_PRIVATE, by the real clock: a condition
    Call("mq_timedreceive", "EINTR/2"),
]


class Lower(test_faults.BestRung):
    """A table, gone through on a rung."""

    options, capability = {}, {}
    table = ()

    def test_each_call(self):
        self.begin(self.table, **self.options)
        said = self.running.status()["capabilities"]
        for name, words in self.capability.items():
            self.assertIn(words, said[name])
        missed = self.difference(self.running)
        with self.pings():
            self.go_through(self.table)
        self.assertEqual(self.difference(self.running), missed, "no packet went by uncovered")
        self.end()


class Told(Lower):
    """Named by a pid, and by mounts; then rtnetlink tells, and a listing where it does not."""

    settings = {"discover.enabled": "true", **DAY, "events.interval": "400ms"}
    options, capability, table = {"deaf": True}, {"device_events": "rtnetlink"}, HEARING


class Listed(Lower):
    """Nobody tells of devices."""

    settings = {"discover.enabled": "true", "audit.interval": "400ms", "events.interval": "200ms"}
    options, table = {"deaf": "rtnetlink"}, VISITS


class ByMountinfo(Lower):
    settings = {"discover.enabled": "true", **DAY}
    options, table = {"denied": ("fanotify_init=EPERM",)}, MOUNTINFO


class MountsOpened(Lower):
    options, table = {"denied": ("fanotify_init=EPERM",)}, OPENING


class ByFanotify(Lower):
    """As in the table of the best rung, but no audit comes to help."""

    settings = {"discover.enabled": "true", **DAY}
    table = FANOTIFY


class Interrupted(Lower):
    table = WAITING


del Lower
if __name__ == "__main__":
    host.main()
