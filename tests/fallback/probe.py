# SPDX-License-Identifier: Apache-2.0
"""What the tests of deny and fault share: a command that makes system calls and prints what the kernel answers."""
import subprocess
import sys

# Prints the errno name (or OK) that the kernel answers for each line of code.
PROBE = r"""
import ctypes, errno, os, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])
    return 'OK' if result >= 0 else errno.errorcode[ctypes.get_errno()]
def show():
    print(eval(sys.argv[1]))
if sys.argv[2] == 'thread':
    thread = threading.Thread(target=show); thread.start(); thread.join()
elif sys.argv[2] == 'child':
    pid = os.fork()
    if pid == 0:
        show(); sys.stdout.flush(); os._exit(0)
    os.waitpid(pid, 0)
else:
    show()
"""
IOCTL, SETNS, PIDFD_OPEN, GETPPID, SOCKET, UNUSED = 16, 308, 434, 110, 41, 9999

failures = 0


def check(title, got, wanted):
    global failures
    if got != wanted:
        failures += 1
        print(f"FAILED {title}: got {got!r}, wanted {wanted!r}")
    else:
        print(f"ok {title}")


def run(tool, rules, *command):
    return subprocess.run([tool, *rules, "--", *command], capture_output=True, text=True)


def probe(tool, rules, expression, where="main"):
    return run(tool, rules, sys.executable, "-c", PROBE, expression, where).stdout.strip()


def conclude():
    sys.exit(1 if failures else 0)
