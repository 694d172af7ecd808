# SPDX-License-Identifier: Apache-2.0
"""Containers that come and go by the hundred (churn.c), and what the kernel showed of their devices."""

import collections
import subprocess
import threading
import time

import host

SET_UP_NS = 500 * 10 ** 6 * host.SLOWNESS  # what a container takes until its last device is up, and more
UNPACED = 10 ** 6  # as many a second as there is room for


class Device(collections.namedtuple("Device", "pid name up told asked covered gone")):
    """What was seen of one, in nanoseconds; covered says what the kernel answered when it was asked."""

    @property
    def latency(self):
        """From up to covered, 0 when it was before. Who never was took its whole life; who was, unheard, until it was
        asked for."""
        if self.told:
            return max(self.told - self.up, 0)
        return (self.asked if self.covered else self.gone) - self.up


class Churn:
    """A run of `churn`: as many containers as can be with at most `live` at a time, or `rate` a second. With an excuse,
    in milliseconds, half of them outlive it. Its log is read as it grows; with `tell`, that is called with each pid as it
    is born."""

    def __init__(self, count, residents=0, live=32, tell=None, rate=UNPACED, excuse=0):
        self.count, self.tell, self.last_birth, self.excuse = count, tell, 0, excuse * 10 ** 6
        self.born, self.devices, self.failed, self.nanoseconds = [], [], [], None
        words = (f"{host.BUILD}/churn", count, rate, live, residents, excuse, host.SLOWNESS)
        self.process = subprocess.Popen([str(word) for word in words], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
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
                self.devices.append(Device(int(rest[0]), rest[1], *map(int, rest[2:])))
            elif word == "done":
                self.nanoseconds = int(rest[1])
            else:
                self.failed.append(line)

    def wait(self):
        """Until all but the residents have ended."""
        host.until(lambda: self.nanoseconds or self.process.poll() is not None, "the churn is over",
                   host.PATIENCE + self.count / 10 + 2 * self.excuse / 1e9)

    @property
    def living(self):
        """The residents, as namespaces, with the devices they have inside."""
        dead = {device.pid for device in self.devices}
        made = [host.Namespace(f"/proc/{pid}/ns/net", pid) for pid in self.born if pid not in dead]
        for ns in made:
            ns.devices.append("eth0")
        return made

    def wait_for_age(self):
        """Until the youngest resident's devices have all outlived the excuse."""
        born = self.last_birth
        host.until(lambda: time.monotonic_ns() - born > self.excuse + SET_UP_NS, "the residents are old enough",
                   host.PATIENCE + self.excuse / 1e9)

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
        return sorted(device.latency for device in self.devices)

    def percentile(self, hundredths):
        latencies = self.latencies
        return latencies[(len(latencies) * hundredths + 99) // 100 - 1]

    @property
    def rate(self):
        """Containers born a second, residents not counted."""
        return (self.count - 1) * 1e9 / self.nanoseconds

    @property
    def judged(self):
        """Those that were asked for when there was no excuse any more."""
        return [device for device in self.devices if device.asked - device.up >= self.excuse]

    @property
    def missed(self):
        return [device for device in self.judged if not device.covered]

    def __str__(self):
        shown = ", ".join(f"{name} {value / 1e6:.1f}" for name, value in (
            ("p50", self.percentile(50)), ("p99", self.percentile(99)), ("max", self.latencies[-1])))
        covered, unheard = (sum(map(bool, rows)) for rows in (
            (device.told or device.covered for device in self.devices),
            (device.covered and not device.told for device in self.devices)))
        judged = f"; {len(self.judged)} asked for after {self.excuse / 1e6:.0f} ms" if self.excuse else ""
        return (f"{self.count} containers at {self.rate:.0f} a second; of {len(self.devices)} devices {covered} covered, "
                f"{unheard} of them unheard, ms from up: {shown}{judged}")
