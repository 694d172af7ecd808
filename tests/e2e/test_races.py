# SPDX-License-Identifier: Apache-2.0
"""Devices that move, are renamed, come and go while the daemon is at work on them, and others who delete its filters
meanwhile. However it goes, it ends with every device covered once and everybody else's filters as they were."""

import contextlib
import json
import signal
import socket
import threading

import host

DAY = {"audit.interval": "24h"}
ROUNDS = 600 if host.LONG else 200


class Racing(host.HostTest):
    def serve(self, *namespaces, settings=None, **options):
        daemon = self.daemon({**DAY, **(settings or {})}, **options)
        daemon.sync(*[ns.pid for ns in namespaces])
        for ns in namespaces:
            self.assertCovered(ns)
        return daemon

    def assertAgrees(self, daemon, ns):
        """The daemon's account is the kernel's: the same devices under the same numbers, all of them attached."""
        links = {(link["ifindex"], link["ifname"]) for link in json.loads(ns.ip("-j", "link"))}

        def agrees():
            rows = daemon.row(ns)["devices"]
            return ({(row["ifindex"], row["name"]) for row in rows} == links and
                    {row["state"] for row in rows} == {"attached"})

        host.until(agrees, f"the daemon knows {links}")

    def up(self, ns, *names):
        for name in names:
            ns.ip("link", "set", "dev", name, "up")

    def slots(self, daemon):
        return daemon.status()["meter"]["slots_in_use"]

    @contextlib.contextmanager
    def meanwhile(self, act):
        """Somebody who does something over and over, in a thread."""
        over, done = threading.Event(), []

        def repeat():
            while not over.is_set():
                act()
                done.append(1)

        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            yield
            before = len(done)
            host.until(lambda: len(done) > before + 2 or not thread.is_alive(), "it goes on")
        finally:
            over.set()
            thread.join()


class Moves(Racing):
    def ifindex(self, ns, name):
        return json.loads(ns.ip("-j", "link", "show", "dev", name))[0]["ifindex"]

    def move(self, here, there):
        here.ip("link", "set", "dev", "a", "netns", there.reference)
        here.devices.remove("a")
        there.devices.append("a")
        self.up(there, "a")

    def there_and_back(self, **options):
        here, there = self.unnamed(), self.unnamed()
        here.add_pair("a", "b")
        there.add_pair("x", "y")
        self.up(here, "a", "b")
        self.up(there, "x", "y")
        daemon = self.serve(here, there, **options)
        slots = self.slots(daemon)
        for i in range(10):
            was = self.ifindex(here, "a")
            taken = f"t{i}"
            if was not in {link["ifindex"] for link in json.loads(there.ip("-j", "link"))}:
                there.ip("link", "add", "name", taken, "index", was, "type", "bridge")
                there.devices.append(taken)
                self.up(there, taken)
                slots += 1
            self.move(here, there)
            self.assertNotEqual(self.ifindex(there, "a"), was, "its number was taken")
            for ns in (here, there):
                self.assertCovered(ns)
                self.assertAgrees(daemon, ns)
            here, there = there, here
        self.assertEqual(self.slots(daemon), slots, "none is lost on the way")
        daemon.stop()
        self.assertBare(here)
        self.assertBare(there)

    def test_there_and_back_with_its_number_taken(self):
        self.there_and_back()

    def test_the_same_with_pins(self):
        self.there_and_back(pinned=True)

    def test_while_the_daemon_does_not_look(self):
        """It moves on before anybody has looked for it."""
        three = [self.unnamed() for _ in range(3)]
        three[0].add_pair("a", "b")
        self.up(three[0], "a", "b")
        daemon = self.serve(*three)
        for i in range(30):
            daemon.tell(signal.SIGSTOP)
            self.move(three[i % 3], three[(i + 1) % 3])
            self.move(three[(i + 1) % 3], three[(i + 2) % 3])
            daemon.tell(signal.SIGCONT)
            self.move(three[(i + 2) % 3], three[(i + 1) % 3])
            for ns in three:
                self.assertCovered(ns)
        for ns in three:
            self.assertAgrees(daemon, ns)
        daemon.stop()
        for ns in three:
            self.assertBare(ns)


class Names(Racing):
    def test_a_device_renamed_while_it_is_attached(self):
        ns = self.unnamed()
        ns.add_pair("a", "b")
        self.up(ns, "a", "b")
        steady = host.Namespace(ns.path, ns.pid)
        steady.devices.append("b")
        daemon = self.serve(ns, settings={"audit.interval": "1s"})
        there_and_back = "link set dev a name other\nlink set dev other name a\n" * 50
        with self.meanwhile(lambda: ns.run("ip", "-batch", "-", input=there_and_back)):
            for _ in range(ROUNDS // 10):
                for name in ("b", "a", "other"):
                    ns.run("tc", "qdisc", "del", "dev", name, "clsact", check=False)
                host.until(steady.covered, "b is covered again")
        ns.ip("link", "set", "dev", "a", "name", "last")
        ns.devices[ns.devices.index("a")] = "last"
        self.assertCovered(ns)
        self.assertAgrees(daemon, ns)
        daemon.stop()
        self.assertBare(ns)


class Numbers(Racing):
    def come_and_go(self, add, **options):
        """A pair that is made, brought up and deleted over and over, by the commands given."""
        ns = self.unnamed()
        daemon = self.serve(ns, **options)
        other = self.unnamed()
        daemon.sync(other.pid)
        batch = f"{add}\nlink set dev a up\nlink set dev b up\nlink del dev a\n"
        for _ in range(ROUNDS // 20):
            ns.run("ip", "-batch", "-", input=batch * 20)
        ns.run("ip", "-batch", "-", input=batch.replace("link del dev a\n", ""))
        ns.devices += ["a", "b"]
        self.assertCovered(ns)
        self.assertAgrees(daemon, ns)
        host.until(lambda: self.slots(daemon) == len(ns.devices) + len(other.devices), "no slot is lost")
        self.assertTrue(other.covered(), "others do not suffer")
        daemon.stop()
        self.assertBare(ns)

    def test_devices_that_come_and_go(self):
        self.come_and_go("link add name a type veth peer name b")

    def test_devices_that_come_and_go_under_one_number(self):
        self.come_and_go("link add name a index 50 type veth peer name b index 51")

    def test_devices_that_come_and_go_with_pins(self):
        self.come_and_go("link add name a index 50 type veth peer name b index 51", pinned=True)

    def test_three_hundred_devices(self):
        ns = self.unnamed()
        ns.add_veths(75, "before")
        daemon = self.serve(ns, settings={"discover.enabled": "true"})
        ns.add_veths(75, "after")
        names = ns.devices[1:]
        self.assertEqual(len(names), 300)
        ns.run("ip", "-batch", "-", input="".join(f"link set dev {name} up\n" for name in names))
        self.assertCovered(ns)
        self.assertAgrees(daemon, ns)
        daemon.stop()
        self.assertBare(ns)

    def test_three_hundred_devices_and_a_queue_of_a_few(self):
        ns = self.unnamed()
        ns.add_veths(150)
        daemon = self.serve(ns, settings={"devices.queue": "7"})
        self.assertAgrees(daemon, ns)
        daemon.stop()
        self.assertBare(ns)


class Vandals(Racing):
    """Somebody else deletes our filters, again and again, while packets go through."""

    def setUp(self):
        self.ns = self.unnamed()
        self.ns.quiet()
        self.ns.add_pair("a", "b")
        self.up(self.ns, "a", "b", "lo")
        for hook in host.HOOKS:
            self.ns.tc("qdisc", "replace", "dev", "a", "clsact")
            for priority in (5, 10, 20):
                self.ns.tc("filter", "add", "dev", "a", hook, "prio", priority, "u32", "match", "u32", "0", "0")
        self.before = self.theirs()
        self.qdiscs = self.ns.qdiscs()
        with self.ns.inside():
            self.frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.addCleanup(self.frames.close)

    def theirs(self):
        return {place: host.less_ours(text) for place, text in self.ns.filter_texts().items() if place[0] == "a"}

    def send(self):
        for name in ("a", "b"):
            self.frames.sendto(bytes(60), (name, 0))

    def assertForeignUntouched(self):
        self.assertEqual(self.theirs(), self.before)
        for qdisc in self.qdiscs:
            self.assertIn(qdisc, self.ns.qdiscs())

    def assertDeletes(self, daemon, delete):
        daemon.tell(signal.SIGSTOP)
        delete()
        bare = [place for place, rows in self.ns.ours().items() if not rows]
        self.assertGreaterEqual(len(bare), 4)
        daemon.tell(signal.SIGCONT)

    def vandalise(self, daemon, delete):
        self.assertDeletes(daemon, delete)
        with self.meanwhile(self.send):
            for _ in range(ROUNDS // 10):
                delete()
                host.until(self.ns.covered, "every filter is back")
                self.assertForeignUntouched()
            with self.meanwhile(delete):
                for _ in range(ROUNDS // 10):
                    self.assertForeignUntouched()
            self.assertCovered(self.ns)
        self.assertForeignUntouched()
        self.assertProgramsRun(self.ns)
        daemon.stop()
        self.assertBare(self.ns)
        self.assertForeignUntouched()

    def test_filters_one_by_one(self):
        """Of which no event tells."""
        daemon = self.serve(self.ns, settings={"audit.interval": "100ms"})
        places = {place: rows[0]["pref"] for place, rows in self.ns.ours().items()}
        batch = "".join(f"filter del dev {name} {hook} protocol all prio {priority} handle {host.OUR_HANDLE} bpf\n"
                        for (name, hook), priority in places.items())
        self.vandalise(daemon, lambda: self.ns.run("tc", "-force", "-batch", "-", input=batch, check=False))

    def test_clsact_of_those_that_have_no_other_filters(self):
        daemon = self.serve(self.ns)
        batch = "qdisc del dev b clsact\nqdisc del dev lo clsact\n"
        self.vandalise(daemon, lambda: self.ns.run("tc", "-force", "-batch", "-", input=batch, check=False))


if __name__ == "__main__":
    host.main()
