# SPDX-License-Identifier: Apache-2.0
"""A kernel that refuses now and then: every system call that src/io makes fails with every errno it can have, while
namespaces and devices come and go under traffic. Nothing covered is lost or forgotten meanwhile (I6, I9), what
failed is told by a counter, and once the faults are over everything that came is covered (I10)."""

import os
import socket
import sys
import threading
import time

import host
import test_restart

LONG = os.environ.get("NNS_LONG") == "1"
OWN = f"setns~net:[{host.netns_inum('self')}]"


class Injector:
    """The supervisor of tests/fallback/fault.c that a daemon runs under."""

    def __init__(self, directory, sites):
        self.path = f"{directory}/fault.sock"
        self.under = (f"{host.BUILD}/fault", "--control", self.path, *sites, "--")

    def tell(self, *words):
        """{site: (calls, failed ones)} as it was until now; from now on what the words say."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
            asked.settimeout(host.PATIENCE)
            asked.connect(self.path)
            asked.send(" ".join(words or ("counts",)).encode())
            answer = asked.recv(65536).decode()
        rows = [line.split(" ") for line in answer.splitlines()]
        return {site: (int(seen), int(fired)) for site, seen, fired in rows}


CASES = [
    ("setns", "EPERM ENOMEM"),
    ("open_by_handle_at", "EPERM ENOMEM EMFILE ENFILE ESTALE"),
    ("ioctl:0xb703", "EPERM"),
    ("ioctl:0x8008b70d", "EPERM"),
    ("ioctl:0xff04", "EPERM EMFILE ENFILE ENOMEM"),
    ("pidfd_open", "EPERM EMFILE ENFILE ENOMEM"),
    ("socket", "EPERM EMFILE ENFILE ENOMEM ENOBUFS"),
    ("setsockopt", "EPERM ENOMEM ENOBUFS"),
    ("sendto", "EPERM ENOMEM ENOBUFS EAGAIN EINTR/2"),
    ("recvfrom", "ENOMEM ENOBUFS/2 EAGAIN/2 EINTR/2"),
    ("openat", "EPERM EMFILE ENFILE ENOMEM EINTR/2"),
    ("newfstatat", "EACCES ENOMEM"),
    ("fstatfs", "EPERM ENOMEM"),
    ("bpf@0:1", "EPERM ENOMEM"),
    ("bpf@0:2", "EPERM ENOMEM E2BIG EBUSY"),
    ("bpf@0:3", "EPERM ENOMEM EBUSY"),
    ("bpf@0:10", "EPERM ENOMEM EAGAIN EINTR/2"),
    ("bpf@0:13", "EPERM EMFILE ENFILE ENOMEM"),
    ("bpf@0:15", "EPERM ENOMEM"),
    ("bpf@0:25", "EPERM ENOMEM EBUSY"),
    ("bpf@0:33", "EPERM EMFILE ENFILE ENOMEM"),
    ("read~bpf_iter", "EPERM ENOMEM EAGAIN/2 EINTR/2"),
    ("read~fanotify", "EPERM ENOMEM EINTR/2"),
    ("read~mountinfo", "ENOMEM EINTR/2"),
    ("457", "EPERM ENOMEM"),
    ("458", "EPERM ENOMEM"),
    ("mq_timedreceive", "EINTR/2 EPERM"),
    ("accept4", "EPERM EMFILE ENFILE ENOMEM ENOBUFS EINTR/2"),
    ("read~socket", "ENOMEM ECONNRESET EINTR/2"),
    ("write~socket", "EPIPE ENOMEM ENOBUFS EAGAIN/2 EINTR/2"),
]


class Try(test_restart.Pair):
    def test(self):
        inj = Injector("/run", [f"{OWN}=PASS", *[c for c, _ in CASES]])
        daemon = self.serve({"discover.enabled": "true", "audit.interval": "1s"}, under=inj.under)
        missed = self.difference(daemon)
        only = os.environ.get("ONLY")
        with self.traffic():
            for site, errors in CASES:
                if only and only not in site: continue
                for error in errors.split():
                    t0 = time.monotonic()
                    before = daemon.status()["counters"]
                    old = self.unnamed(); old.add_pair("a", "b"); self.assertCovered(old)
                    inj.tell("off", f"{OWN}=PASS", f"{site}={error}")
                    t1 = time.monotonic()
                    new = self.unnamed()
                    new.add_pair("a", "b")
                    for x in "ab": new.ip("link", "set", "dev", x, "up")
                    named = self.named()
                    for ns in (*self.ends, old):
                        n = ns.devices[-1] + "x"
                        ns.add_pair(n, n + "p"); ns.ip("link", "set", "dev", n, "up"); ns.ip("link", "set", "dev", n + "p", "up")
                    old.ip("link", "del", "dev", "a"); old.devices.remove("a"); old.devices.remove("b")
                    daemon.queue.send_pids([new.pid])
                    control = site in ("accept4", "read~socket", "write~socket")
                    if not control:
                        r = daemon.sync(new.pid, old.pid, *self.pids, wait=False)
                        rows = {row["cookie"] for row in daemon.ask("list")["namespaces"]}
                        for ns in self.ends:
                            self.assertIn(ns.cookie, rows)
                    else:
                        with __import__('contextlib').suppress(AssertionError, __import__('subprocess').TimeoutExpired):
                            daemon.command("list", check=False, timeout=2)
                        r = {}
                    try:
                        host.until(lambda: inj.tell()[site][1], "it fires", 4)
                    except AssertionError as e:
                        print("NO FIRE", site, error)
                    end = time.monotonic() + .3
                    while time.monotonic() < end:
                        for ns, keep in zip(self.ends, self.names):
                            ours = ns.ours()
                            for h in host.HOOKS:
                                assert len(ours[keep, h]) == 1, (site, error, keep, ours[keep, h])
                        time.sleep(0.05)
                    c0 = inj.tell()[site][0]; tt = time.monotonic()
                    time.sleep(.2)
                    c1 = inj.tell()[site]
                    rate = (c1[0] - c0) / (time.monotonic() - tt)
                    status = None
                    if not control: status = daemon.status()
                    inj.tell("off", f"{OWN}=PASS")
                    t2 = time.monotonic()
                    try:
                        for ns in (new, named, old, *self.ends): host.until(ns.covered, "cov", 15)
                    except AssertionError:
                        print("NOT COVERED", site, error, [(ns.covered()) for ns in (new, named, old, *self.ends)])
                    t3 = time.monotonic()
                    after = daemon.status()["counters"]
                    if after.get("namespaces.flushed") != before["namespaces.flushed"]: print("FLUSHED", after["namespaces.flushed"] - before["namespaces.flushed"], after["namespaces.dead"] - before["namespaces.dead"])
                    moved = {k: v - before[k] for k, v in after.items() if v != before[k] and any(w in k for w in ("fail", "err", "denied", "lost", "refused", "unknown", "inter", "given", "gone"))}
                    outs = [v["outcome"] for v in r.values()]
                    print(f"{site} {error}: {c1} rate {rate:.0f}/s on {t2-t1:.2f} recovered {t3-t2:.2f} {outs} {moved}", flush=True)
                    for ns in self.ends:
                        d = ns.devices[-1]
                        ns.ip("link", "del", "dev", d)
                        ns.devices = ns.devices[:-2]
                    old.kill(); new.kill(); host.run("ip", "netns", "del", named.name)
        self.assertEqual(self.difference(daemon), missed)
        daemon.stop()


if __name__ == "__main__":
    host.main()
