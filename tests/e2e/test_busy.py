# SPDX-License-Identifier: Apache-2.0
"""Senders who keep the workers busy, and full, all the time: what happens to devices and namespaces meanwhile is seen
all the same. Audits are a day apart."""

import os
import threading

import host

BUSY = {"audit.interval": "24h", "workers.count": "1", "workers.queue": "1", "queue.depth": "8", "queue.msgsize": "65536"}
SENDERS, ROUNDS = 4, host.crowd(5)


class Busy(host.HostTest):
    def flood(self, daemon):
        """More pids than can be served, until the test ends."""
        message, queue, over = host.binary([os.getpid()] * 16000), daemon.queue, threading.Event()

        def send():
            while not over.is_set():
                try:
                    queue.send(message)
                except OSError:
                    return

        senders = [threading.Thread(target=send) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()

        def end():
            over.set()
            for sender in senders:
                sender.join()

        self.addCleanup(end)
        self.assertFull(daemon)
        return end

    def assertFull(self, daemon):
        pauses = daemon.counter("feed.pauses")
        host.until(lambda: daemon.counter("feed.pauses") > pauses and daemon.queue.waiting == 8, "the queue is full")

    def test_a_device_that_loses_its_qdisc(self):
        ns = self.unnamed()
        daemon = self.daemon(BUSY)
        daemon.sync(ns.pid, os.getpid())
        self.assertCovered(ns)
        end = self.flood(daemon)
        for _ in range(ROUNDS):
            ns.tc("qdisc", "del", "dev", "lo", "clsact")
            self.assertCovered(ns)
            self.assertFull(daemon)
        end()
        daemon.stop()

    def test_namespaces_that_come(self):
        daemon = self.daemon({**BUSY, "discover.enabled": "true"})
        daemon.wait_found(host.own_namespace())
        end = self.flood(daemon)
        for _ in range(ROUNDS):
            self.assertFound(daemon, self.unnamed(), self.named())
            self.assertFull(daemon)
        end()
        daemon.stop()


if __name__ == "__main__":
    host.main()
