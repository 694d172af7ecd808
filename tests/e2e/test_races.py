# SPDX-License-Identifier: Apache-2.0
"""Devices that move, are renamed, come and go while the daemon is at work on them, and others who delete its filters
meanwhile. However it goes, it ends with every device covered once and everybody else's filters as they were."""

import contextlib
import json
import signal
import socket
import struct
import threading

import host
import kernel

DAY = {"audit.interval": "24h"}
ROUNDS = host.crowd(600 if host.LONG else 120)
SO_RCVBUFFORCE = 33


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
        """Somebody who does something over and over, in a thread; yields a list as long as it was done often. What
        stops them fails the test."""
        over, done, stopped = threading.Event(), [], []

        def repeat():
            try:
                while not over.is_set():
                    act()
                    done.append(1)
            except BaseException as error:
                stopped.append(error)

        def goes_on():
            if stopped:
                raise stopped[0]
            return len(done) > before + 2

        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            yield done
            before = len(done)
            host.until(goes_on, "it goes on")
        finally:
            over.set()
            thread.join()
        if stopped:
            raise stopped[0]


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
        for i in range(host.crowd(10)):
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
        for i in range(host.crowd(30)):
            daemon.halt()
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


class Telling:
    """What the kernel tells of a namespace's devices and filters, in the order in which it came about."""

    RTM_NEWLINK, RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER = 16, 36, 37, 44
    LINK_AND_TC = 0x1 | 0x8

    def __init__(self, ns):
        with ns.inside():
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        self.socket.bind((0, self.LINK_AND_TC))
        self.names, self.attaching, self.renamed_meanwhile, self.renamed = {}, {}, 0, 0

    def hear(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.take(self.socket.recv(1 << 16))
        return self

    def take(self, message):
        """All three kinds begin with a family and, four bytes on, the ifindex."""
        _, kind, _, _, _, _, ifindex = struct.unpack_from("=IHHIIIi", message)
        if kind == self.RTM_NEWQDISC and b"clsact" in message:
            self.attaching[ifindex] = 0
        elif kind == self.RTM_DELQDISC and b"clsact" in message:
            self.attaching.pop(ifindex, None)
        elif kind == self.RTM_NEWTFILTER and b"netnsync:" in message:
            self.attaching[ifindex] = self.attaching.get(ifindex, 1) + 1
            if self.attaching[ifindex] == len(host.HOOKS):
                del self.attaching[ifindex]
        elif kind == self.RTM_NEWLINK:
            name = message[message.index(b"\x03\0", 32) + 2:].split(b"\0")[0]
            if self.names.setdefault(ifindex, name) != name:
                self.names[ifindex] = name
                self.renamed += 1
                self.renamed_meanwhile += ifindex in self.attaching


class Names(Racing):
    def renaming(self, ns, *names):
        """Commands that give a device one name after the other; where one that is up cannot be renamed, it goes down
        meanwhile."""
        line = "link set dev {0} name {1}\n"
        if not kernel.renames_what_is_up(ns, "b"):
            line = "link set dev {0} down\n" + line + "link set dev {1} up\n"
        return "".join(line.format(*pair) for pair in zip(names, names[1:]))

    def test_a_device_renamed_while_it_is_attached(self):
        """No audit comes to help, and nothing tells a daemon with tracepoints of a name."""
        ns = self.unnamed()
        ns.add_pair("a", "b")
        self.up(ns, "a", "b")
        steady = host.Namespace(ns.path, ns.pid)
        steady.devices.append("b")
        batch = self.renaming(ns, "a", "other", "a") * 50
        daemon = self.serve(ns)
        telling = Telling(ns)
        self.addCleanup(telling.socket.close)
        attached = daemon.counter("attach.done")

        def strip():
            for name in ("b", "a", "other"):
                ns.run("tc", "qdisc", "del", "dev", name, "clsact", check=False)
            host.until(steady.covered, "b is covered again")
            return telling.hear().renamed_meanwhile

        with self.meanwhile(lambda: ns.run("ip", "-batch", "-", input=batch)):
            for _ in range(ROUNDS // 10):
                strip()
            host.until(strip, "a device is renamed between its clsact and its filters")
        self.assertGreater(daemon.counter("attach.done"), attached + ROUNDS // 10)
        self.assertGreater(telling.hear().renamed, 100)
        ns.run("ip", "-batch", "-", input=self.renaming(ns, "a", "last"))
        ns.devices[ns.devices.index("a")] = "last"
        self.assertCovered(ns)
        daemon.sync(ns.pid)
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

        def hurry():
            ns.run("ip", "-batch", "-", input=batch * 20)
            return daemon.counter("attach.gone")

        for _ in range(ROUNDS // 20):
            hurry()
        host.until(hurry, "a device is gone when it is to be attached")
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
        ns.add_veths(host.crowd(75), "before")
        daemon = self.serve(ns, settings={"discover.enabled": "true"})
        ns.add_veths(host.crowd(75), "after")
        names = ns.devices[1:]
        self.assertEqual(len(names), 4 * host.crowd(75))
        ns.run("ip", "-batch", "-", input="".join(f"link set dev {name} up\n" for name in names))
        self.assertCovered(ns)
        self.assertAgrees(daemon, ns)
        daemon.stop()
        self.assertBare(ns)

    def test_three_hundred_devices_and_a_queue_of_a_few(self):
        ns = self.unnamed()
        ns.add_veths(host.crowd(150))
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
        daemon.halt()
        delete()
        bare = [place for place, rows in self.ns.ours().items() if not rows]
        self.assertGreaterEqual(len(bare), 4)
        daemon.tell(signal.SIGCONT)

    def sent(self, *names):
        """What the kernel counts of the packets, device by device and hook by hook."""
        return {(name, hook): self.ns.traffic(name)[hook][0] for name in names for hook in host.HOOKS}

    def counted(self, daemon):
        row = daemon.device(self.ns, "b")
        return {("b", hook): row[hook]["packets"] for hook in host.HOOKS}

    def assertCounted(self, daemon):
        """Each packet, now that nobody deletes anything, where no filter of others keeps them from ours."""
        before, ours = self.sent("b"), self.counted(daemon)
        for _ in range(100):
            self.send()
        went = {place: packets - before[place] for place, packets in self.sent("b").items()}
        self.assertGreaterEqual(min(went.values()), 100)
        self.assertEqual({place: packets - ours[place] for place, packets in self.counted(daemon).items()}, went)

    def vandalise(self, daemon, delete):
        self.assertCounted(daemon)
        self.assertDeletes(daemon, delete)
        before = self.sent("a", "b")
        with self.meanwhile(self.send) as sent, self.meanwhile(delete):
            for _ in range(ROUNDS // 10):
                self.assertForeignUntouched()
        with self.meanwhile(self.send) as more:
            for _ in range(ROUNDS // 10):
                delete()
                host.until(self.ns.covered, "every filter is back")
                self.assertForeignUntouched()
            self.assertCovered(self.ns)
        # The kernel drops some while a qdisc comes or goes.
        self.assertTrue(sent and more)
        for place, packets in self.sent("a", "b").items():
            self.assertGreater(packets, before[place], "packets went through meanwhile")
        self.assertCounted(daemon)
        self.assertForeignUntouched()
        self.assertProgramsRun(self.ns.ours())
        daemon.stop()
        self.assertBare(self.ns)
        self.assertForeignUntouched()

    def test_filters_one_by_one(self):
        """Of which no event tells."""
        daemon = self.serve(self.ns, settings={"audit.interval": "100ms"})
        places = {place: rows[0].priority for place, rows in self.ns.ours().items()}
        batch = "".join(f"filter del dev {name} {hook} protocol all prio {priority} handle {host.OUR_HANDLE} bpf\n"
                        for (name, hook), priority in places.items())
        self.vandalise(daemon, lambda: self.ns.run("tc", "-force", "-batch", "-", input=batch, check=False))

    def test_clsact_of_those_that_have_no_other_filters(self):
        daemon = self.serve(self.ns)
        batch = "qdisc del dev b clsact\nqdisc del dev lo clsact\n"
        self.vandalise(daemon, lambda: self.ns.run("tc", "-force", "-batch", "-", input=batch, check=False))


if __name__ == "__main__":
    host.main()
