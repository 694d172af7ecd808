# SPDX-License-Identifier: Apache-2.0
"""Namespaces of hundreds of devices that come, go, move and lose filters while the daemon lists them: no listing is
whole, and what the test's own log says is covered all the same."""

import os
import subprocess
import tempfile

import host

PAIRS, ROUNDS = host.crowd(400), 3
SOON, NEVER = {"audit.interval": "400ms"}, {"audit.interval": "24h", "events.interval": "1s"}


class Churn:
    """Devices that come up and go in a namespace all the time, and are in no log."""

    def __init__(self, ns, directory):
        self.stop = f"{directory}/stop"
        with open(f"{directory}/batch", "w") as batch:
            for i in range(8):
                batch.write(f"link add name x{i} type veth peer name y{i}\nlink set dev x{i} up\n")
            batch.writelines(f"link del dev x{i}\n" for i in range(8))
        script = 'while [ ! -e "$0" ]; do ip -batch "$1" || exit 1; done'
        self.process = host.start("sh", "-c", script, self.stop, f"{directory}/batch", ns=ns, stdout=subprocess.DEVNULL)

    def end(self):
        """All of them are gone after it."""
        with open(self.stop, "w"):
            pass
        if self.process.wait(host.PATIENCE):
            raise AssertionError("ip could not do what it was to do")


class Crowded(host.HostTest):
    def churn(self, ns):
        directory = tempfile.TemporaryDirectory(prefix="nns-churn-")
        self.addCleanup(directory.cleanup)
        churn = Churn(ns, directory.name)
        self.addCleanup(host.end, churn.process)
        return churn

    def add_up(self, ns, *pairs):
        words = "".join(f"link add name {a} type veth peer name {b}\nlink set dev {a} up\nlink set dev {b} up\n"
                        for a, b in pairs)
        ns.run("ip", "-batch", "-", input=words)
        ns.devices += [name for pair in pairs for name in pair]

    def move(self, name, here, there):
        here.ip("link", "set", "dev", name, "netns", there.reference)
        here.devices.remove(name)
        there.devices.append(name)

    def assertAllSettled(self, daemon, *made):
        """It knows the log's devices and no others, and owes no listing."""
        for ns in made:
            self.assertCovered(ns)
            host.until(lambda ns=ns: {row["name"] for row in daemon.row(ns)["devices"]} == set(ns.devices)
                       and not daemon.row(ns).get("list_error"), "what is gone is known to be, and the rest is listed")

    def assertInterrupted(self, daemon, pid):
        """However often it takes: each of these makes it list."""
        host.until(lambda: daemon.sync(pid) and daemon.counter("list.partial"), "a listing is interrupted")

    def test_what_changes_while_it_is_listed(self):
        ns, other = self.unnamed(), self.unnamed()
        ns.add_veths(PAIRS)
        left = [f"v{i}" for i in range(PAIRS)]
        churn = self.churn(ns)
        daemon = self.daemon(SOON)
        daemon.sync(ns.pid, other.pid, wait=False)
        self.assertCovered(ns)
        away = None
        for i in range(ROUNDS):
            self.add_up(ns, (f"a{i}", f"b{i}"))
            dead, moved, bare, emptied = (left.pop() for _ in range(4))
            ns.ip("link", "del", "dev", f"{dead}a")
            ns.devices = [name for name in ns.devices if name not in (f"{dead}a", f"{dead}b")]
            if away:
                self.move(away, other, ns)
            away = f"{moved}a"
            self.move(away, ns, other)
            ns.tc("qdisc", "del", "dev", f"{bare}a", "clsact")
            ns.tc("filter", "del", "dev", f"{emptied}b", "ingress")
            self.assertCovered(ns)
            self.assertCovered(other)
        self.assertInterrupted(daemon, ns.pid)
        churn.end()
        self.assertAllSettled(daemon, ns, other)
        self.assertEqual(daemon.counter("visits.failed"), 0)
        daemon.stop()
        self.assertBare(ns)
        self.assertBare(other)

    def test_what_comes_up_while_a_listing_waits(self):
        """In the host's own namespace, and nothing but news to go by."""
        own = host.own_namespace()
        own.add_veths(PAIRS, prefix="h")
        self.addCleanup(own.run, "ip", "-batch", "-", input="".join(f"link del dev h{i}a\n" for i in range(PAIRS)))
        churn = self.churn(own)
        daemon = self.daemon(NEVER)
        self.assertInterrupted(daemon, os.getpid())
        self.assertCovered(own)
        for i in range(ROUNDS):
            many = [(f"a{i}n{k}", f"b{i}n{k}") for k in range(20)]
            self.addCleanup(own.run, "ip", "-batch", "-", input="".join(f"link del dev {a}\n" for a, _ in many))
            self.add_up(own, *many)
            self.assertCovered(own)
        churn.end()
        self.assertAllSettled(daemon, own)
        daemon.stop()
        self.assertBare(own)


if __name__ == "__main__":
    host.main()
