# SPDX-License-Identifier: Apache-2.0
"""What this kernel has, asked by other means than the daemon's, for tests that depend on it: never its version, which
says nothing of how it was built and of what is allowed here."""

import ctypes
import fcntl
import os
import struct

PIDFD_GET_NET_NAMESPACE, NS_GET_ID = 0xff04, 0x8008b70d
FAN_REPORT_MNT, FAN_CLOEXEC = 0x4000, 0x1
FD_NSFS_ROOT, NSFS_HANDLE, CLONE_NEWNET = -10003, 241, 0x40000000
INITIAL_PID_NAMESPACE = 0xeffffffc

_libc = ctypes.CDLL(None, use_errno=True)


def answers(fd, request, argument=0):
    """Whether this kernel knows an ioctl."""
    try:
        answer = fcntl.ioctl(fd, request, argument)
    except OSError:
        return False
    finally:
        os.close(fd)
    if isinstance(answer, int) and answer > 2:
        os.close(answer)
    return True


def has_symbols(*names):
    wanted = set(names)
    with open("/proc/kallsyms") as file:
        for line in file:
            wanted.discard(line.split()[2])
    return not wanted


def opens_by_id(ns):
    """Whether a namespace can be opened knowing its cookie and inum only."""
    place = struct.pack("=QII", ns.cookie, CLONE_NEWNET, ns.inum)
    handle = ctypes.create_string_buffer(struct.pack("=Ii", len(place), NSFS_HANDLE) + place)
    fd = _libc.open_by_handle_at(FD_NSFS_ROOT, handle, os.O_RDONLY)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def tells_of_mounts():
    """Whether mounts can be watched, one event each."""
    fd = _libc.fanotify_init(FAN_REPORT_MNT | FAN_CLOEXEC, os.O_RDONLY)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def looks_pids_up():
    """Whether programs find a task by its pid, as the pid namespace of this test counts."""
    if has_symbols("bpf_task_from_vpid"):
        return True
    return has_symbols("bpf_task_from_pid") and os.stat("/proc/self/ns/pid").st_ino == INITIAL_PID_NAMESPACE


def traces(*names):
    return has_symbols(*(f"__traceiter_{name}" for name in names))


def opens_pidfds():
    """Whether a pidfd leads to its process's network namespace."""
    return answers(os.pidfd_open(os.getpid()), PIDFD_GET_NET_NAMESPACE)


def tells_ids():
    """Whether the descriptor of a namespace tells its cookie."""
    return answers(os.open("/proc/self/ns/net", os.O_RDONLY), NS_GET_ID, bytes(8))


def renames_what_is_up(ns, device):
    """Whether a device can be renamed that is up: this one is, for a moment."""
    if ns.run("ip", "link", "set", "dev", device, "name", f"{device}-", check=False).returncode:
        return False
    ns.ip("link", "set", "dev", f"{device}-", "name", device)
    return True
