# SPDX-License-Identifier: Apache-2.0
"""The calls that only handles by member make fail as those of test_faults do: a process or a mount that cannot be
opened for a while is not one that is gone (I9)."""

import host
import test_faults
from test_faults import Call

NS_GET_ID = "ioctl:0x8008b70d"

# Members are opened by the owner, then entered; whoever is lost is looked for by workers.
MEMBER = [
    Call("setns", "EPERM ENOMEM", "visits.failed"),
    Call("socket", "EPERM EMFILE ENFILE ENOMEM ENOBUFS", "visits.failed"),
    Call("getsockopt@2:71", "EPERM ENOMEM", "visits.failed"),  # SO_NETNS_COOKIE
    Call("pidfd_open", "EPERM EMFILE ENFILE ENOMEM", "visits.failed namespaces.astray"),
    Call("ioctl:0xff04", "EPERM EMFILE ENFILE ENOMEM", "visits.failed namespaces.astray"),  # PIDFD_GET_NET_NAMESPACE
    Call("ioctl:0xb703", "EPERM", "visits.failed namespaces.astray"),  # NS_GET_NSTYPE
    # Paths: of named namespaces, and what a search comes by.
    Call("openat2", "EPERM EMFILE ENFILE ENOMEM EAGAIN EINTR/2", "visits.failed namespaces.astray"),
    Call("statx", "EACCES ENOMEM", "visits.failed namespaces.astray"),
    Call("openat", "EPERM EMFILE ENFILE ENOMEM EINTR/2", "visits.failed namespaces.astray discover.failed"),
    Call("fstatfs", "EPERM ENOMEM EINTR/2", "discover.failed"),
    Call("newfstatat", "EACCES ENOMEM", "visits.failed namespaces.astray"),
]


class Member(test_faults.Churn):
    # Well above what one search takes here, where each of its calls waits for the injector.
    settings = {**test_faults.Churn.settings, "handle.mode": "member", "lonely.timeout": "3s"}
    denied, calls = (), [*MEMBER, Call(NS_GET_ID, "EPERM")]

    def test_each_call(self):
        self.begin(self.calls, denied=self.denied)
        self.assertTrue(self.running.status()["capabilities"]["handles"].startswith("weak: member"))
        missed = self.difference(self.running)
        self.go_through(self.calls)
        self.exchange()
        self.assertEqual(self.difference(self.running), missed, "no packet went by uncovered")
        self.end()


class BySocket(Member):
    """Only a socket inside tells the cookie."""

    denied, calls = (f"{NS_GET_ID}=ENOTTY",), MEMBER


if __name__ == "__main__":
    host.main()
