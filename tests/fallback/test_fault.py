#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""test_fault.py FAULT: the tool fails the calls its rules say, when they say, counts them, and obeys its socket."""
import os
import signal
import socket
import subprocess
import sys
import tempfile

from probe import GETPPID, IOCTL, PIDFD_OPEN, SETNS, SOCKET, check, conclude, probe, run

FAULT = sys.argv[1]
ASK, PIDFD = f"call({GETPPID})", f"call({PIDFD_OPEN}, os.getpid(), 0)"


def times(count, expression=ASK):
    return f"' '.join({expression} for _ in range({count}))"


def answers(rule, count, where="main"):
    return probe(FAULT, [f"getppid={rule}"], times(count), where).split()


def failed(rule, count):
    """Which of COUNT calls failed, counted from 1."""
    return [i for i, answer in enumerate(answers(rule, count), 1) if answer != "OK"]


# Which calls.
check("nothing of the rule's is called", probe(FAULT, ["getppid=EPERM"], PIDFD), "OK")
for where in ("main", "thread", "child"):
    check(f"by name, {where}", probe(FAULT, ["pidfd_open=ENOSYS"], PIDFD, where), "ENOSYS")
check("by number", probe(FAULT, [f"{PIDFD_OPEN}=EACCES"], PIDFD), "EACCES")
check("request fails", probe(FAULT, ["ioctl:0xFF04=ENOTTY"], f"call({IOCTL}, -1, {0xFF04 | 1 << 40})"), "ENOTTY")
check("other request passes", probe(FAULT, ["ioctl:0xFF04=ENOTTY"], f"call({IOCTL}, -1, 0xFF05)"), "EBADF")
check("argument 0 passes", probe(FAULT, ["socket@0:16=EAFNOSUPPORT"], f"call({SOCKET}, 1, 1, 0)"), "OK")
check("two of one call", probe(FAULT, ["setns:1=EPERM", "setns:2=ENOMEM"], f"call({SETNS}, -1, 2)"), "ENOMEM")
check("one that passes decides, too", probe(FAULT, ["setns=PASS", "setns:2=ENOMEM"], f"call({SETNS}, -1, 2)"), "EBADF")
check("the first of two decides", probe(FAULT, ["setns=EPERM", "setns:2=ENOMEM"], f"call({SETNS}, -1, 2)"), "EPERM")
LINK = f"[call({IOCTL}, fd, 0xFF05) for fd in (os.open('/dev/null', 0), os.open('/dev/zero', 0))]"
check("by what a descriptor leads to", probe(FAULT, ["ioctl~/dev/null=EPERM"], LINK), "['EPERM', 'ENOTTY']")
HANDLES = """[call(304, -1, ctypes.addressof(handle), 0) for handle in
    [ctypes.create_string_buffer(bytes(8) + number.to_bytes(8, 'little')) for number in (7, 8)]]"""
check("by what a file handle is of", probe(FAULT, ["open_by_handle_at!7=EPERM"], HANDLES), "['EINVAL', 'EPERM']")

# When.
check("always", failed("EPERM", 3), [1, 2, 3])
check("every third", failed("EPERM/3", 7), [3, 6])
check("the second alone", failed("EPERM#2", 5), [2])
check("from the fourth on", failed("EPERM+4", 6), [4, 5, 6])
check("never", failed("EPERM#99", 5), [])
chance = failed("EPERM%40,7", 200)
check("by chance, about as often as was said", 50 < len(chance) < 110, True)
check("by the same seed the same", failed("EPERM%40,7", 200), chance)
check("by another seed others", failed("EPERM%40,8", 200) != chance, True)

# Counts.
with tempfile.TemporaryDirectory() as directory:
    path = f"{directory}/counts"
    probe(FAULT, ["--counts", path, "getppid=EPERM/2", "setns"], times(5) + f" + call({SETNS}, -1, 2)")
    with open(path) as file:
        check("counts", file.read(), "getppid 5 2\nsetns 1 0\n")

    # Control.
    path = f"{directory}/socket"
    inside = subprocess.Popen([FAULT, "--control", path, "getppid", "setns=EPERM", "--", sys.executable, "-c", """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
for line in sys.stdin:
    print(ctypes.get_errno() if libc.syscall(%d) < 0 else 'OK', flush=True)
""" % GETPPID], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(message):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
            asked.connect(path)
            asked.send(message.encode())
            return asked.recv(65536).decode()

    def call():
        inside.stdin.write("\n")
        inside.stdin.flush()
        return inside.stdout.readline().strip()

    check("a site without a fault", call(), "OK")
    check("is counted", tell("getppid=EPERM"), "getppid 1 0\nsetns 0 0\n")
    check("asked for the counts alone", tell("counts"), "getppid 0 0\nsetns 0 0\n")
    check("a fault that is set", [call(), call()], ["1", "1"])
    check("counts from 0, and is replaced", tell("getppid=ENOMEM#2"), "getppid 2 2\nsetns 0 0\n")
    check("the second from then on", [call(), call(), call()], ["OK", "12", "OK"])
    check("is taken away", tell("off"), "getppid 3 1\nsetns 0 0\n")
    check("and gone", call(), "OK")
    for bad in ("getpid=EPERM", "getppid", "getppid=EPERM/0", "getppid=NO", "nothing"):
        check(f"bad word '{bad}'", tell(f"off {bad} off"), f"error {bad.split('=')[0]}\n")
    inside.send_signal(signal.SIGKILL)
    inside.wait()
    check("the command dies with it", inside.stdout.read(), "")
    inside.stdin.close()
    inside.stdout.close()

# As a command.
privileges = "open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0]"
check("no_new_privs stays off", probe(FAULT, ["getppid=EPERM"], privileges), "0")
check("no descriptor is left behind", probe(FAULT, ["getppid=EPERM"], "len(os.listdir('/proc/self/fd'))"), "4")
check("status passes through", run(FAULT, ["getppid=EPERM"], "sh", "-c", "exit 7").returncode, 7)
check("a signal's, too", run(FAULT, ["getppid=EPERM"], "sh", "-c", "kill -9 $$").returncode, 137)
check("no such command", run(FAULT, ["getppid=EPERM"], "/nonexistent").returncode, 127)
check("the exec itself fails", run(FAULT, ["execve=EACCES"], "true").returncode, 127)
for bad in ("nosuchcall=EPERM", "getppid=ENOSUCH", "getppid=EPERM/", "getppid=EPERM/0", "getppid=EPERM%10", "getppid=",
            "getppid=EPERM%101,1", "getppid=EPERM#x", "ioctl:x=EPERM", "socket@6:1=EPERM", "getppid~=EPERM",
            "socket@0:1~x=EPERM", "socket!=EPERM", "socket!x=EPERM", "socket!0=EPERM", "=EPERM", ""):
    check(f"bad rule '{bad}'", run(FAULT, [bad], "true").returncode, 125)
check("no rule", run(FAULT, [], "true").returncode, 125)
check("an option without its value", subprocess.run([FAULT, "--counts"], capture_output=True).returncode, 125)
check("a socket that cannot be", run(FAULT, ["--control", "/nonexistent/s", "getppid"], "true").returncode, 125)

conclude()
