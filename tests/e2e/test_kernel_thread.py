# SPDX-License-Identifier: Apache-2.0
"""A kernel thread among the pids: it belongs to the real host's network namespace, and no private pid namespace
has one. So this file shares the real host's pids, and nothing else of it; the daemon excludes the namespace that a
kernel thread leads to, as in all tests, and the file's wrapper looks whether anything happened there.
"""

import os

import host

PF_KTHREAD = 0x00200000


def is_kernel_thread(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[6]) & PF_KTHREAD != 0


class KernelThread(host.HostTest):
    def setUp(self):
        if not is_kernel_thread(2):
            self.skipTest("pid 2 is no kernel thread: this machine is itself a container")
        # The real host outlives this test: the daemon ends with it, however it ends.
        self.running = self.daemon(under=("setpriv", "--pdeathsig", "KILL"))

    def test_its_namespace_is_looked_up_like_any_other(self):
        before = self.running.status()["counters"]
        real = int(os.environ["NNS_REAL_NETNS"])
        self.assertEqual(host.netns_inum(2), real)
        answer = self.running.sync(2, code=1)[2]
        self.assertEqual((answer["outcome"], answer["inum"]), ("excluded", real))
        for message in (b"2", host.binary([2])):
            self.running.queue.send(message)
        ns = self.unnamed()
        self.running.queue.send(str(ns.pid).encode())
        self.assertCovered(ns)
        after = self.running.status()["counters"]
        self.assertEqual({name: after[name] - before[name] for name in after
                          if name.startswith(("refused.", "sync.")) and after[name] != before[name]},
                         {"sync.excluded": 3, "sync.new": 1})
        self.running.stop()


if __name__ == "__main__":
    host.main()
