# SPDX-License-Identifier: Apache-2.0
"""A real container: made by runc, fed by its init's pid, covered while it runs and let go when it is gone."""

import json
import os
import shutil
import tempfile

import host

NAMESPACES = ("pid", "network", "ipc", "uts", "mount")


class Runc(host.HostTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="nns-runc-")
        self.addCleanup(directory.cleanup)
        self.bundle, self.state = f"{directory.name}/bundle", f"{directory.name}/state"
        os.makedirs(f"{self.bundle}/rootfs/bin")
        os.makedirs(f"{self.bundle}/rootfs/proc")
        shutil.copy(shutil.which("busybox"), f"{self.bundle}/rootfs/bin/busybox")
        config = {
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs", "readonly": True},
            "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/",
                        "args": ["/bin/busybox", "sleep", "1000000"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES]},
        }
        with open(f"{self.bundle}/config.json", "w") as file:
            json.dump(config, file)
        self.container = f"nns-e2e-{os.urandom(4).hex()}"

    def runc(self, *words, **options):
        return host.run("runc", "--root", self.state, *words, **options)

    def start_container(self):
        # Its output must not be a pipe of ours: the container would hold it open.
        with open(os.devnull) as nothing, open(f"{self.state}.log", "w+") as log:
            self.addCleanup(self.runc, "delete", "--force", self.container, check=False)
            process = host.start("runc", "--root", self.state, "run", "--detach", "--bundle", self.bundle,
                                 "--pid-file", f"{self.state}.pid", self.container, stdin=nothing, stdout=log,
                                 stderr=log)
            self.addCleanup(host.end, process)
            host.until(lambda: process.poll() is not None, "runc has started the container")
            log.seek(0)
            self.assertEqual(process.returncode, 0, log.read())
        with open(f"{self.state}.pid") as file:
            return int(file.read())

    def test_container(self):
        own = host.own_namespace()
        pid = self.start_container()
        ns = host.Namespace(f"/proc/{pid}/ns/net", pid)
        ns.add_veth("eth0", own, "host0")
        daemon = self.daemon({"lonely.timeout": "200ms"})
        daemon.queue.send(str(pid).encode())
        self.assertCovered(ns)
        cookie = ns.cookie
        self.assertTrue(own.bare(), "only the container was named")

        self.runc("delete", "--force", self.container)
        host.until(lambda: "host0" not in own.ip("-o", "link"), "the container's namespace dies")
        self.assertNotIn(cookie, {row["cookie"] for row in daemon.ask("list")["namespaces"]})
        daemon.stop()


if __name__ == "__main__":
    host.main()
