# SPDX-License-Identifier: Apache-2.0
"""Every kind and number of namespaces: whoever names one process of it gets the whole namespace covered, once."""

import re
import signal
import subprocess

import host

# What a daemon can open a namespace with, as strace prints it.
OPENED_BY_PIDFD = re.compile(r"ioctl\(.*(0xff04|_IOC_NONE, 0xff, 0x4|PIDFD_GET_NET_NAMESPACE).*\) = \d+$", re.M)
OPENED_BY_PROC = re.compile(r"openat\(.*\"(/proc/)?\d+/ns/net\".*\) = \d+$", re.M)
NETLINK_SEND = re.compile(r"^\d+ +(?:sendmsg|sendto)\(\d+(?:<NETLINK:.*?>)?, (.*) = (\d+)$", re.M)


class Kinds(host.HostTest):
    def test_named_unnamed_and_nested(self):
        unnamed, named = self.unnamed(), self.named()
        outer, inner = self.nested()
        unnamed.add_veth("u", named, "n")
        unnamed.add_veth("i", inner, "o")
        daemon = self.daemon()
        daemon.queue.send(f"{unnamed.pid} {self.visitor(named)}\n{inner.pid}".encode())
        for ns in (unnamed, named, inner):
            self.assertCovered(ns)
        self.assertTrue(outer.bare(), "nobody named a process of the namespace between")
        daemon.queue.send(host.binary([outer.pid]))
        self.assertCovered(outer)
        self.assertEqual({row["cookie"] for row in daemon.ask("list")["namespaces"]},
                         {ns.cookie for ns in (unnamed, named, inner, outer)})
        daemon.stop()
        for ns in (unnamed, named, inner, outer):
            self.assertBare(ns)

    def test_the_hosts_own(self):
        own = host.own_namespace()
        other = self.unnamed()
        own.add_veth("h", other, "c")
        self.addCleanup(host.run, "ip", "link", "del", "h", check=False)
        daemon = self.daemon()
        daemon.queue.send(b"1")
        self.assertCovered(own)
        self.assertEqual(daemon.sync(1)[1]["outcome"], "known")
        self.assertTrue(other.bare())
        daemon.stop()
        self.assertBare(own)

    def test_a_new_device_is_found_at_the_next_request(self):
        ns = self.unnamed()
        daemon = self.daemon()
        self.assertEqual(daemon.sync(ns.pid)[ns.pid]["outcome"], "new")
        self.assertCovered(ns)
        self.assertEqual(daemon.sync(ns.pid)[ns.pid]["outcome"], "known")


class Many(host.HostTest):
    def test_200_namespaces_at_once(self):
        made = [self.unnamed() for _ in range(200)]
        for ns in made:
            ns.ip("link", "add", "a", "type", "veth", "peer", "name", "b")
            ns.devices += ["a", "b"]
        daemon = self.daemon()
        daemon.queue.send_pids(ns.pid for ns in made)
        for ns in made:
            self.assertCovered(ns)
        rows = {row["cookie"]: row for row in daemon.ask("list")["namespaces"]}
        self.assertEqual(set(rows), {ns.cookie for ns in made})
        for ns in made:
            self.assertEqual({(device["name"], device["state"]) for device in rows[ns.cookie]["devices"]},
                             {(name, "attached") for name in ns.devices})
        self.assertEqual(daemon.counter("sync.new"), 200)
        daemon.stop()
        for ns in made:
            self.assertBare(ns)

    def test_1000_pids_of_one_namespace(self):
        ns = self.unnamed()
        crowd = self.crowd(ns, 1000)
        daemon, trace = self.traced("openat,ioctl")
        daemon.queue.send_pids(crowd)
        self.assertCovered(ns)
        host.until(lambda: self.answered(daemon) == len(crowd), "every pid has an outcome")
        counters = daemon.status()["counters"]
        self.assertEqual(counters["namespaces.added"], 1)
        self.assertEqual(counters["sync.new"] + counters["sync.known"], len(crowd))
        self.assertEqual(counters["resolve.pidfd"] + counters["resolve.proc"], 1)
        self.assertEqual(len(daemon.ask("list")["namespaces"]), 1)
        daemon.stop()
        self.assertEqual(self.opened(trace(), crowd), 1, "one namespace, opened once")

    def test_300_devices_in_as_few_sends_as_their_bytes_need(self):
        ns = self.unnamed()
        ns.add_veths(150)
        daemon, trace = self.traced("sendmsg,sendto")
        daemon.queue.send(str(ns.pid).encode())
        self.assertCovered(ns)
        counted = daemon.counter("attach.sends")
        daemon.kill()
        sends = [int(sent) for what, sent in NETLINK_SEND.findall(trace())
                 if "RTM_NEWTFILTER" in what or "RTM_NEWQDISC" in what]
        self.assertTrue(sends)
        with open("/proc/sys/net/core/wmem_default") as file:
            room = int(file.read()) - 32  # what one send on a socket as the kernel makes it can carry
        self.assertEqual(len(sends), -(-sum(sends) // room), f"sends of {sends} bytes")
        self.assertEqual(counted, len(sends))

    def answered(self, daemon):
        counters = daemon.status()["counters"]
        return sum(value for name, value in counters.items() if name.startswith("sync."))

    def crowd(self, ns, count):
        shell = host.start("sh", "-c", f"i=0; while [ $i -lt {count} ]; do sleep infinity & i=$((i+1)); done; wait",
                           ns=ns)
        self.addCleanup(host.end, shell)
        pids = host.until(lambda: (lambda found: len(found) == count and found)(host.children(shell.pid)),
                          "all processes run")
        self.addCleanup(self.disperse, pids)
        return pids

    @staticmethod
    def disperse(pids):
        for pid in pids:
            host.os.kill(pid, signal.SIGKILL)

    def traced(self, calls):
        """A daemon under strace, and a function that returns what strace has written."""
        place = host.tempfile.NamedTemporaryFile(prefix="nns-strace-")
        self.addCleanup(place.close)
        daemon = self.daemon(under=("strace", "-f", "-yy", "-e", f"trace={calls}", "-o", place.name),
                             check_leaks=False)

        def text():
            with open(place.name, errors="replace") as file:
                return file.read()

        return daemon, text

    def opened(self, trace, pids):
        return len(OPENED_BY_PIDFD.findall(trace)) + len(OPENED_BY_PROC.findall(trace))


class Dying(host.HostTest):
    def test_pids_that_die_between_enqueue_and_open(self):
        daemon = self.daemon()
        survivors = [self.unnamed() for _ in range(20)]
        doomed = [self.unnamed() for _ in range(100)]
        daemon.tell(signal.SIGSTOP)
        for i, ns in enumerate(doomed):
            daemon.queue.send(str(ns.pid).encode())
            if i % 5 == 4:
                daemon.queue.send(str(survivors[i // 5].pid).encode())
        for ns in doomed:
            ns.kill()
        daemon.tell(signal.SIGCONT)
        for ns in survivors:
            self.assertCovered(ns)
        host.until(lambda: daemon.counter("sync.gone") == len(doomed), "every dead pid is counted as gone")
        self.assertEqual(daemon.counter("sync.new"), len(survivors))
        self.assertEqual(daemon.counter("sync.error"), 0)
        daemon.stop()

    def test_pids_that_die_while_they_are_looked_at(self):
        daemon = self.daemon()
        sent = 0
        for _ in range(60):
            batch = [subprocess.Popen(["unshare", "--net", "true"]) for _ in range(8)]
            daemon.queue.send(host.binary([process.pid for process in batch]))
            sent += len(batch)
            for process in batch:
                process.wait()
        ns = self.unnamed()
        daemon.queue.send(str(ns.pid).encode())
        self.assertCovered(ns)

        def counters():
            return daemon.status()["counters"]

        host.until(lambda: sum(v for k, v in counters().items() if k.startswith("sync.")) == sent + 1,
                   "every pid has an outcome")
        self.assertEqual(counters()["sync.error"], 0)
        daemon.stop()


if __name__ == "__main__":
    host.main()
