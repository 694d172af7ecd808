# SPDX-License-Identifier: Apache-2.0
"""Containers that come and go by the hundred (churn.c), and what the kernel showed of their devices."""

import collections
import subprocess
import threading
import time

import host

Device = collections.namedtuple("Device", "pid name up covered gone")


class Churn:
    """A run of `churn`. Its log is read as it grows; with `tell`, that is called with each pid as it is born."""

    def __init__(self, count, residents=0, live=32, tell=None):
        self.count, self.tell, self.last_birth, self.excuse = count, tell, 0, None
        self.born, self.devices, self.failed, self.nanoseconds = [], [], [], None
        self.process = subprocess.Popen([f"{host.BUILD}/churn", str(count), str(live), str(residents)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            word, *rest = line.split()
            if word == "born":
                self.born.append(int(rest[0]))
                self.last_birth = time.monotonic_ns()
                if self.tell:
                    self.tell(self.born[-1])
            elif word == "device":
                self.devices.append(Device(int(rest[0]), rest[1], *(int(number) for number in rest[2:])))
            elif word == "done":
                self.nanoseconds = int(rest[1])
            else:
                self.failed.append(line)

    def wait(self):
        """Until all but the residents have ended."""
        host.until(lambda: self.nanoseconds or self.process.poll() is not None, "the churn is over",
                   host.PATIENCE + self.count / 10)

    @property
    def living(self):
        """The residents, as namespaces, with the devices they have inside."""
        dead = {device.pid for device in self.devices}
        made = [host.Namespace(f"/proc/{pid}/ns/net", pid) for pid in self.born if pid not in dead]
        for ns in made:
            ns.devices.append("eth0")
        return made

    def wait_for_age(self):
        """Until the youngest resident has lived ten times as long as those before it, but for a hundredth of them,
        took to be covered: there is no excuse then."""
        born, self.excuse = self.last_birth, 10 * self.percentile(99)
        host.until(lambda: time.monotonic_ns() - born > self.excuse, "the residents are old enough")

    def finish(self):
        """End the residents; afterwards the log is complete."""
        self.process.stdin.close()
        self.process.wait(timeout=host.PATIENCE)
        self.reader.join()
        if self.process.returncode or self.failed:
            raise AssertionError(f"the churn itself failed: {self.failed}")

    def close(self):
        self.process.kill()
        self.reader.join()
        host.end(self.process)

    @property
    def latencies(self):
        """From up to covered, sorted."""
        return sorted(device.covered - device.up for device in self.devices if device.covered)

    def percentile(self, hundredths):
        latencies = self.latencies
        return latencies[(len(latencies) * hundredths - 1) // 100]

    @property
    def judged(self):
        return [device for device in self.devices if device.gone - device.up > self.excuse]

    @property
    def missed(self):
        return [device for device in self.judged if not device.covered]

    def __str__(self):
        shown = ", ".join(f"{name} {value / 1e6:.1f}" for name, value in (
            ("p50", self.percentile(50)), ("p99", self.percentile(99)), ("max", self.latencies[-1])))
        return (f"{self.count} containers at {self.count * 1e9 / self.nanoseconds:.0f} a second; of "
                f"{len(self.devices)} devices {len(self.latencies)} seen covered, ms from up: {shown}; "
                f"{len(self.judged)} lived longer than {self.excuse / 1e6:.0f} ms")
