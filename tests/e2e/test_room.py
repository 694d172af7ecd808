# SPDX-License-Identifier: Apache-2.0
"""More namespaces than the cache has room for, and a daemon that looks for them: those that are in stay in, covered,
and the others are listed as evicted, whatever happens in them. Only a request changes that, or that room comes."""

import unittest

import host
import kernel

CAPACITY, SURPLUS = 4, 3


class Room:
    def setUp(self):
        self.made = [self.unnamed() for _ in range(CAPACITY - 1 + SURPLUS)]
        self.running = self.daemon({"discover.enabled": "true", "cache.capacity": str(CAPACITY), "handle.mode": self.MODE,
                                    "audit.interval": "400ms", "lonely.timeout": "300ms"})
        self.own = host.own_namespace()
        host.until(lambda: len(self.evicted()) == SURPLUS, "the cache is full, and some are left out")
        self.assertCovered(self.own)

    def evicted(self):
        return {row["cookie"] for row in self.running.ask("list")["namespaces"] if row.get("evicted")}

    def split(self):
        """Who is covered, who is not: both lists by the kernel, and as the daemon lists them."""
        left_out = self.evicted()
        kept = [ns for ns in self.made if ns.cookie not in left_out]
        rest = [ns for ns in self.made if ns.cookie in left_out]
        for ns in kept:
            self.assertCovered(ns)
        for ns in rest:
            self.assertBare(ns)
        return kept, rest

    def assertStill(self):
        """Tasks come and go everywhere, and audits walk over all: no filter is taken off or put on, and those that are
        left out are no news."""
        names = ("namespaces.evicted", "namespaces.no_room", "namespaces.added", "detach.done", "attach.done")
        kept, rest = self.split()
        texts = [ns.filter_texts() for ns in kept]
        before = self.running.status()["counters"]
        for _ in range(host.crowd(10)):
            for ns in self.made:
                ns.run("true")
            self.assertEqual([ns.filter_texts() for ns in kept], texts)
        host.until(lambda: self.running.counter("discover.scans") >= before["discover.scans"] + 3, "some audits")
        after = self.running.status()["counters"]
        self.assertEqual({name: after[name] for name in names}, {name: before[name] for name in names})
        self.assertEqual(self.split(), (kept, rest))

    def test_those_that_are_in_stay_in(self):
        self.assertStill()
        counters = self.running.status()["counters"]
        self.assertEqual(counters["namespaces.evicted"], 0)
        self.assertGreaterEqual(counters["namespaces.no_room"], SURPLUS)
        self.running.stop()

    def test_room_that_comes_is_for_one_that_was_left_out(self):
        for _ in range(SURPLUS):
            kept, rest = self.split()
            dead = kept[0].cookie
            kept[0].kill()
            self.made.remove(kept[0])
            host.until(lambda: len(self.evicted()) == len(rest) - 1, "one of them finds room")
            self.assertNotIn(dead, self.running.cookies())
        for ns in self.made:
            self.assertCovered(ns)
        self.assertEqual(self.running.counter("namespaces.evicted"), 0)
        self.running.stop()

    def test_one_that_is_named_takes_anothers_place_and_that_is_all(self):
        _, rest = self.split()
        self.running.sync(rest[0].pid)
        self.assertCovered(rest[0])
        self.assertNotIn(rest[0].cookie, self.evicted())
        self.assertEqual(len(self.evicted()), SURPLUS)
        self.assertStill()
        self.assertEqual(self.running.counter("namespaces.evicted"), 1)
        self.running.stop()

    def test_one_that_is_left_out_and_dies_is_listed_no_longer(self):
        _, rest = self.split()
        dead = rest[0].cookie
        rest[0].kill()
        host.until(lambda: dead not in self.evicted(), "it is not missed any more")
        self.running.stop()


@unittest.skipUnless(kernel.opens_by_id(host.own_namespace()), "no namespace is opened by its identity here")
class ById(Room, host.HostTest):
    MODE = "auto"


class ByMember(Room, host.HostTest):
    MODE = "member"


class Pinned(Room, host.HostTest):
    MODE = "pinned"


if __name__ == "__main__":
    host.main()
