#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""test_deny.py DENY: the tool of the fallback tests denies what its rules say, in every thread, and no more."""
import subprocess
import sys

from probe import IOCTL, PIDFD_OPEN, SETNS, SOCKET, UNUSED, check, conclude, run
from probe import probe as ask

DENY = sys.argv[1]


def deny(rules, *command):
    return run(DENY, rules, *command)


def probe(rules, expression, where="main"):
    return ask(DENY, rules, expression, where)


def open_pidfd():
    return f"call({PIDFD_OPEN}, os.getpid(), 0)"


check("nothing denied", probe(["getppid=EPERM"], open_pidfd()), "OK")
for where in ("main", "thread", "child"):
    check(f"by name, {where}", probe(["pidfd_open=ENOSYS"], open_pidfd(), where), "ENOSYS")
check("by number", probe([f"{PIDFD_OPEN}=EACCES"], open_pidfd()), "EACCES")
check("a number nobody knows", probe([f"{UNUSED}=EXDEV"], f"call({UNUSED})"), "EXDEV")

PIDFD_NET = 0xFF04
check("request denied", probe(["ioctl:0xFF04=ENOTTY"], f"call({IOCTL}, -1, {PIDFD_NET})"), "ENOTTY")
check("request denied, high bits set",
      probe(["ioctl:0xFF04=ENOTTY"], f"call({IOCTL}, -1, {PIDFD_NET | 1 << 40})"), "ENOTTY")
check("other request passes", probe(["ioctl:0xFF04=ENOTTY"], f"call({IOCTL}, -1, 0xFF05)"), "EBADF")
check("type of setns", probe(["setns:0x40000000=EPERM"], f"call({SETNS}, -1, 0x40000000)"), "EPERM")
check("argument 0 denied", probe(["socket@0:16=EAFNOSUPPORT"], f"call({SOCKET}, 16, 3, 0)"), "EAFNOSUPPORT")
check("argument 0 passes", probe(["socket@0:16=EAFNOSUPPORT"], f"call({SOCKET}, 1, 1, 0)"), "OK")
two = ["ioctl:0xFF04=ENOTTY", "pidfd_open=EMFILE"]
check("two rules, first", probe(two, f"call({IOCTL}, -1, {PIDFD_NET})"), "ENOTTY")
check("two rules, second", probe(two, open_pidfd()), "EMFILE")
privileges = "open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0]"
check("no_new_privs stays off", probe(["getppid=EPERM"], privileges), "0")

check("status passes through", deny(["getppid=EPERM"], "sh", "-c", "exit 7").returncode, 7)
check("no such command", deny(["getppid=EPERM"], "/nonexistent").returncode, 127)
for bad in ("getppid", "nosuchcall=EPERM", "getppid=ENOSUCH", "ioctl:x=EPERM", "ioctl:-1=EPERM", "ioctl:=EPERM",
            "ioctl:0x100000000=EPERM", "socket@6:1=EPERM", "socket@0=EPERM", "=EPERM", ""):
    check(f"bad rule '{bad}'", deny([bad], "true").returncode, 125)
check("no rule", deny([], "true").returncode, 125)
check("no command", subprocess.run([DENY, "getppid=EPERM", "--"], capture_output=True).returncode, 125)

conclude()
