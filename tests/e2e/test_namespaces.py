# SPDX-License-Identifier: Apache-2.0
"""Every kind and number of namespaces: name one process of it, and the whole namespace is covered, once."""

import os
import re
import signal
import subprocess
import tempfile

import host
import kernel

# Opening a process's namespace, as strace prints it.
OPEN = re.compile(r"ioctl\(\d+, (?:0xff04|_IOC\(_IOC_NONE, 0xff, 0x4, 0\)|PIDFD_GET_NET_NAMESPACE)"
                  r"|openat2?\([^,]+, \"(?:/proc/)?\d+/ns/net\"")
# A send that starts with RTM_NEWQDISC or RTM_NEWTFILTER, and how many bytes the kernel took. strace cannot
# know that a socket from another namespace speaks netlink, so that it prints plain bytes.
ATTACHING_SEND = re.compile(r"send(?:msg|to)\(.*?\"(?:\\x[0-9a-f]{2}){4}\\x(?:24|2c)\\x00.* = (\d+)$", re.M)


def whole_calls(text):
    """What strace writes, with the two halves of a call in one line where another thread's came between."""
    begun, lines = {}, []
    for line in text.splitlines():
        thread, _, said = line.partition(" ")
        if said.endswith(" <unfinished ...>"):
            begun[thread] = line.removesuffix(" <unfinished ...>")
        elif said.lstrip().startswith("<... "):
            lines.append(begun.pop(thread, "") + said.partition(" resumed>")[2])
        else:
            lines.append(line)
    return "\n".join([*lines, *begun.values()])


class Kinds(host.HostTest):
    def test_where_few_descriptors_were_left_to_the_daemon(self):
        """What is opened waits for the owner, a descriptor each, and no pid is refused for that."""
        made = [self.unnamed() for _ in range(100)]
        daemon = self.daemon(under=("prlimit", "--nofile=64:4096"))
        daemon.sync(*[ns.pid for ns in made])
        self.assertCovered(made[0])
        self.assertEqual(daemon.counter("sync.error"), 0)
        daemon.stop()

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

    def test_sync_finds_what_has_changed_since(self):
        ns = self.unnamed()
        ns.add_pair("a", "b")
        daemon = self.daemon()
        self.assertEqual(daemon.sync(ns.pid)[ns.pid]["outcome"], "new")
        self.assertCovered(ns)

        ns.add_pair("c", "d")
        self.assertFalse(ns.covered())
        self.assertEqual(daemon.sync(ns.pid)[ns.pid]["outcome"], "known")
        self.assertTrue(ns.covered(), "a device that came")

        ns.tc("filter", "del", "dev", "a", "ingress")
        ns.tc("qdisc", "del", "dev", "b", "clsact")
        self.assertFalse(ns.covered())
        daemon.sync(ns.pid)
        self.assertTrue(ns.covered(), "filters that somebody took away")

        ns.ip("link", "del", "c")
        ns.devices = ["lo", "a", "b"]
        daemon.sync(ns.pid)
        self.assertEqual({row["name"] for row in daemon.row(ns)["devices"]}, set(ns.devices))
        daemon.stop()
        self.assertBare(ns)


class Many(host.HostTest):
    def test_many_namespaces_at_once(self):
        made = [self.unnamed() for _ in range(host.crowd(200 if host.LONG else 100))]
        for ns in made:
            ns.add_pair("a", "b")
        daemon = self.daemon()
        daemon.queue.send_pids(ns.pid for ns in made)
        for ns in made:
            self.assertCovered(ns)
        rows = {row["cookie"]: row for row in daemon.ask("list")["namespaces"]}
        self.assertEqual(set(rows), {ns.cookie for ns in made})
        for ns in made:
            self.assertEqual({(device["name"], device["state"]) for device in rows[ns.cookie]["devices"]},
                             {(name, "attached") for name in ns.devices})
        self.assertEqual(daemon.counter("sync.new"), len(made))
        daemon.stop()
        for ns in made:
            self.assertBare(ns)

    def name_all(self, count, opened_each, mode="auto", **options):
        """Processes of one namespace: however many are named, it is visited once. To learn where they are, each is
        opened, or one for all."""
        ns = self.unnamed()
        crowd = self.crowd(ns, host.crowd(count))
        openings = len(crowd) if opened_each else 1
        settings = {"audit.interval": "24h", "handle.mode": mode}
        daemon, trace = self.traced("-e", "trace=openat,openat2,ioctl", settings=settings, **options)
        before = len(OPEN.findall(trace()))  # it tries what it can at start
        daemon.queue.send_pids(crowd)
        self.assertCovered(ns)
        host.until(lambda: self.answered(daemon) == len(crowd), "every pid has an outcome")
        counters = daemon.status()["counters"]
        self.assertEqual(counters["namespaces.added"], 1)
        self.assertEqual(counters["sync.new"] + counters["sync.known"], len(crowd))
        self.assertEqual(counters["resolve.pidfd"] + counters["resolve.proc"], openings)
        self.assertEqual(len(daemon.ask("list")["namespaces"]), 1)
        # By member it goes by one of these processes once more, when it ends.
        self.assertEqual(len(OPEN.findall(trace())) - before, openings)
        daemon.stop()

    def test_1000_pids_of_one_namespace(self):
        self.name_all(1000, opened_each=not kernel.looks_pids_up())

    def test_pids_that_no_program_looks_up(self):
        """Only what is open tells its cookie; where it is held open, a link tells enough."""
        for mode in ("auto", "member", "pinned"):
            with self.subTest(mode=mode):
                self.name_all(100, opened_each=mode != "pinned", mode=mode, denied=["bpf@0:10=EPERM"])  # PROG_TEST_RUN

    def test_300_devices_in_as_few_sends_as_their_bytes_need(self):
        ns = self.unnamed()
        ns.add_veths(150)
        daemon, trace = self.traced("-e", "trace=sendmsg,sendto", "-xx", "-s", "16")
        daemon.queue.send(str(ns.pid).encode())
        self.assertCovered(ns)
        counted = daemon.counter("attach.sends")
        daemon.stop()
        sends = [int(taken) for taken in ATTACHING_SEND.findall(trace())]
        self.assertTrue(sends)
        room = host.send_room()
        self.assertEqual(len(sends), -(-sum(sends) // room), f"sends of {sends} bytes")
        self.assertEqual(counted, len(sends))

    def answered(self, daemon):
        counters = daemon.status()["counters"]
        return sum(value for name, value in counters.items() if name.startswith("sync."))

    def crowd(self, ns, count):
        script = f"i=0; while [ $i -lt {count} ]; do sleep infinity & i=$((i+1)); done; wait"
        shell = host.start("sh", "-c", script, ns=ns)
        self.addCleanup(host.end, shell)
        pids = host.until(lambda: (lambda found: len(found) == count and found)(host.children(shell.pid)),
                          "all processes run")
        for pid in pids:
            self.addCleanup(os.kill, pid, signal.SIGKILL)
        return pids

    def traced(self, *what, **options):
        """A daemon under strace, and a function that returns what strace has written."""
        place = tempfile.NamedTemporaryFile(prefix="nns-strace-")
        self.addCleanup(place.close)
        daemon = self.daemon(under=("strace", "-f", *what, "-o", place.name), check_leaks=False, **options)

        def text():
            with open(place.name, errors="replace") as file:
                return whole_calls(file.read())

        return daemon, text


class Dying(host.HostTest):
    def test_pids_that_die_between_enqueue_and_open(self):
        daemon = self.daemon({"queue.depth": "256", "queue.msgsize": "128"})
        survivors = [self.unnamed() for _ in range(host.crowd(20))]
        doomed = [self.unnamed() for _ in range(5 * len(survivors))]
        daemon.halt()
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
        self.look_at_dying(self.daemon())

    def test_pids_that_die_while_they_are_looked_at_by_proc(self):
        self.look_at_dying(self.daemon(under=(f"{host.BUILD}/deny", "ioctl:0xff04=ENOTTY", "--")))

    def look_at_dying(self, daemon):
        sent = 0
        for _ in range(host.crowd(60)):
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
        self.assertEqual((counters()["sync.error"], counters()["sync.denied"]), (0, 0))
        daemon.stop()
        # Some were looked at before they had left the host's own namespace.
        self.assertBare(host.own_namespace())


if __name__ == "__main__":
    host.main()
