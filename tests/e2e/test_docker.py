# SPDX-License-Identifier: Apache-2.0
"""A real container engine: dockerd on the private host, with containers on its bridge. Nobody tells the daemon
anything; every device is covered, in the containers and on the host, and neither of the two is in the other's way.

It takes long and needs packages of its own (scripts/setup full), hence its label."""

import concurrent.futures
import contextlib
import glob
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile

import host

CONTAINERS = 50
AT_ONCE = 4
ENGINE = ("dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2", "docker-proxy")
# Where there is AppArmor it would else load a profile for good; the others are where the engine keeps a key and
# containerd its extensions, whatever its directories are.
HIDDEN = [place for place in ("/sys/kernel/security", "/etc/docker", "/opt") if os.path.isdir(place)]
# The bridge is made in the private host's namespace; nothing else of the network is touched.
NETWORK = ("--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false",
           "--userland-proxy=false", "--bip=10.97.0.1/16")


def processes(names):
    """Those of this pid namespace that run one of these programs."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) in names:
                found.append(int(pid))
    return found


def busybox_root():
    """A root file system, as a tar archive's bytes."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(shutil.which("busybox"), "bin/busybox")
        for applet in ("sh", "sleep", "ping"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return archive.getvalue()


class Engine:
    """A dockerd with a directory and a control group of its own, which are gone with it."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="nns-docker-")
        self.groups = os.path.basename(self.directory)
        self.log = open(f"{self.directory}/log", "w+")
        for place in HIDDEN:  # the mounts are this private host's
            host.run("mount", "-t", "tmpfs", "tmpfs", place)
        # The client would look for its configuration at home.
        self.environment = {**os.environ, "DOCKER_HOST": f"unix://{self.directory}/socket", "HOME": self.directory}
        self.process = host.start(
            "/usr/sbin/dockerd", "--data-root", f"{self.directory}/data", "--exec-root", f"{self.directory}/exec",
            "--pidfile", f"{self.directory}/pid", "--host", self.environment["DOCKER_HOST"],
            "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{self.groups}", *NETWORK,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.environment)

    def docker(self, *words, **options):
        options.setdefault("timeout", 10 * host.PATIENCE)  # fifty containers in one command
        return host.run("/usr/bin/docker", *words, env=self.environment, **options).stdout

    def said(self):
        with open(self.log.name, errors="replace") as file:
            return file.read()

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"dockerd ended with {self.process.returncode}:\n{self.said()}")
            return not host.run("/usr/bin/docker", "info", env=self.environment, check=False).returncode

        host.until(ready, "dockerd answers")

    def load_image(self, name):
        with open(f"{self.directory}/root.tar", "wb") as file:
            file.write(busybox_root())
        self.docker("import", file.name, name)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        host.until(lambda: self.process.poll() is not None, "dockerd ends")

    def close(self):
        """What is left of it, also after a failure: its processes, mounts, control groups and files."""
        host.end(self.process)
        for place in HIDDEN:
            host.run("umount", place, check=False)
        for pid in processes(ENGINE):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for group in self.own_groups():
            self.end_group(group)
        self.unmount()
        self.log.close()
        shutil.rmtree(self.directory)

    def own_groups(self):
        """Of every hierarchy, those within before those around."""
        found = glob.glob(f"/sys/fs/cgroup/*/{self.groups}") + glob.glob(f"/sys/fs/cgroup/{self.groups}")
        return [place for top in found for place, _, _ in os.walk(top, topdown=False)]

    def end_group(self, group):
        def gone():
            try:
                with open(f"{group}/cgroup.procs") as file:
                    for pid in file.read().split():
                        os.kill(int(pid), signal.SIGKILL)
                os.rmdir(group)
            except FileNotFoundError:
                return True
            except (OSError, ProcessLookupError):
                pass
            return not os.path.exists(group)

        host.until(gone, f"{group} is gone")

    def unmount(self):
        with open("/proc/self/mountinfo") as file:
            places = [line.split()[4] for line in file]
        for place in reversed([place for place in places if place.startswith(f"{self.directory}/")]):
            host.run("umount", "--lazy", place)


class Docker(host.HostTest):
    def setUp(self):
        self.own = host.own_namespace()
        self.engine = Engine()
        self.addCleanup(self.engine.close)
        self.engine.wait_ready()
        self.engine.load_image("nns")
        self.own.devices.append("docker0")
        self.watcher = self.daemon({"discover.enabled": "true", "audit.interval": "24h"})
        self.assertCovered(self.own)

    def start_container(self, name):
        self.engine.docker("run", "--detach", "--name", name, "nns", "/bin/sleep", "1000000")
        return int(self.engine.docker("inspect", "--format", "{{.State.Pid}}", name))

    def start_containers(self, names):
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
            pids = list(threads.map(self.start_container, names))
        made = [host.Namespace(f"/proc/{pid}/ns/net", pid) for pid in pids]
        self.assertFound(self.watcher, *made)  # with the device they all have, before a command runs inside
        names_here = self.devices_here()
        for ns in made:
            link, = json.loads(ns.ip("-j", "link", "show", "dev", "eth0"))
            ns.devices.append("eth0")
            self.own.devices.append(names_here[link["link_index"]])
        return made

    def devices_here(self):
        return {link["ifindex"]: link["ifname"] for link in json.loads(self.own.ip("-j", "link"))}

    def assertTalks(self, name):
        """Packets pass between a container and the host, now that our programs see each of them."""
        self.engine.docker("exec", name, "/bin/ping", "-c", "1", "-W", "10", "10.97.0.1")

    def assertLetGo(self, gone, before):
        """Of namespaces that docker has removed: nothing is left, of ours or because of us."""
        host.until(lambda: set(self.devices_here().values()) == set(self.own.devices), "their veth pairs are gone")
        cookies = {ns.cookie for ns in gone if ns.cookie}
        host.until(lambda: not cookies & {row["cookie"] for row in self.watcher.ask("list")["namespaces"]},
                   "they are forgotten")
        host.until(lambda: len(self.watcher.fds()) <= before, "no descriptor is left")
        self.assertEqual(self.watcher.status()["namespaces"]["pinned"], 0)

    def test_containers_come_and_go(self):
        before = len(self.watcher.fds())
        names = [f"c{i}" for i in range(CONTAINERS)]
        made = self.start_containers(names)
        self.assertEqual(len({ns.cookie for ns in made}), CONTAINERS)
        self.assertFound(self.watcher, *made, self.own)
        self.assertEqual(len(self.own.devices), 2 + CONTAINERS)
        self.assertEqual(set(self.devices_here().values()), set(self.own.devices), "and these are all there are")
        self.assertEqual(self.watcher.counter("feed.pids"), 0, "nobody told")
        for name in (names[0], names[-1]):
            self.assertTalks(name)

        veths = self.own.devices[2:]
        self.engine.docker("rm", "--force", *names)
        del self.own.devices[2:]
        self.assertTrue(veths)
        self.assertLetGo(made, before)
        self.assertCovered(self.own)
        self.assertEqual(self.engine.docker("ps", "--all", "--quiet"), "")

        last, = self.start_containers(["last"])
        self.assertCovered(last)
        self.watcher.stop()
        for ns in (last, self.own):
            self.assertBare(ns)
        self.assertTalks("last")
        self.engine.docker("rm", "--force", "last")
        self.engine.stop()


if __name__ == "__main__":
    host.main()
