# SPDX-License-Identifier: Apache-2.0
"""A private host for end-to-end tests, and what a test needs on it: namespaces, the kernel's answers, the
daemon.

Each test file runs under `private_host`, so this process is pid 1 of its own pid, network, mount and ipc
namespaces: all that a test makes dies with it, whatever happens. What a test expects comes from the log of
what it made (`Namespace.devices`), what is true from the kernel (tc, bpftool, /proc): never from the daemon.
"""

import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import kernel
import rtnl

BUILD = os.environ["NNS_BUILD"]
SANITIZE = os.environ.get("NNS_SANITIZE", "")
# Seconds until a condition that should come true is given up; shorter for who is looking for a failure.
PATIENCE = float(os.environ.get("NNS_PATIENCE", 90 if SANITIZE else 30))
# The longer form of a test that has one.
LONG = os.environ.get("NNS_LONG") == "1"
# How much slower than usual each of a crowd's members is to make and to judge: an emulated machine has small crowds.
SLOWNESS = int(os.environ.get("NNS_SLOWNESS", 1))
SKIPPED = 77  # an exit status that CTest is told of
HOOKS = ("ingress", "egress")
OUR_HANDLE = "0x2e"
# A /run of a daemon's own, which hides the lock of the instance's first one from it.
HIDDEN_RUN = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh")
SANITIZER_REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|: runtime error: ")

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_SO_NETNS_COOKIE = 71
_MS_BIND, _MNT_DETACH = 0x1000, 0x2


def _check(result, what):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def until(condition, what, seconds=None):
    """Poll until condition() is true and return what it said; the deadline only bounds a failing test."""
    deadline = time.monotonic() + (seconds or PATIENCE)
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within the deadline: {what}")
        time.sleep(0.005)


def crowd(count):
    """How many of something are many here."""
    return max(count // SLOWNESS, 2)


def run(*command, check=True, ns=None, **options):
    """Run a command, in a namespace if one is given, and return the CompletedProcess with text output."""
    options.setdefault("timeout", PATIENCE)
    options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
    if options["stdin"] is None:
        del options["stdin"]
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, preexec_fn=ns and ns.enter, **options)
    if check and done.returncode != 0:
        words = " ".join(map(str, command))
        raise AssertionError(f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def start(*command, ns=None, **options):
    """Start a process; with a namespace, inside it. The caller ends it by its pid."""
    return subprocess.Popen([str(word) for word in command], preexec_fn=ns and ns.enter, **options)


def end(process):
    """Kill a process we started and wait for it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def is_dead(pid):
    """Is a process gone, or a zombie with all its threads, so that it holds nothing any more? The first thread may
    be one before the others have left, who share its descriptors."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return True
    return all(_has_ended(f"/proc/{pid}/task/{thread}") for thread in threads)


def _state(task):
    with open(f"{task}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def _is_stopped(pid):
    try:
        return all(_state(f"/proc/{pid}/task/{thread}") == "T" for thread in os.listdir(f"/proc/{pid}/task"))
    except OSError:  # one has ended meanwhile
        return False


def _has_ended(task):
    try:
        return _state(task) in "ZX"
    except OSError:
        return True


def netns_inum(pid):
    """The inum of a process's network namespace, or None when it has none any more."""
    try:
        return int(re.sub(r"\D", "", os.readlink(f"/proc/{pid}/ns/net")))
    except OSError:
        return None


def children(pid):
    """The direct children of a process."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def send_room():
    """How many bytes one send on a netlink socket as the kernel makes it can carry."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as asked:
        return asked.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 32


def may_exceed_limits():
    """Has root CAP_SYS_RESOURCE here? Then message queues may be larger than fs.mqueue says."""
    with open("/proc/self/status") as file:
        capabilities = re.search(r"^CapEff:\s*(\w+)", file.read(), re.MULTILINE)
    return bool(int(capabilities.group(1), 16) >> 24 & 1)


def unshare_net():
    _check(_libc.unshare(_CLONE_NEWNET), "unshare")


def _mount(kind, target):
    os.makedirs(target, exist_ok=True)
    _check(_libc.mount(kind.encode(), target.encode(), kind.encode(), 0, None), f"mount {kind}")


def unmount(path):
    """Take away what is mounted at a file, and the file. What is gone already is no error."""
    _libc.umount2(path.encode(), _MNT_DETACH)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _write(path, value):
    with open(path, "w") as file:
        file.write(str(value))


def _prepare():
    """Make this process's surroundings private, and refuse to go on when they are not."""
    real = os.environ.get("NNS_REAL_NETNS")
    private = os.getpid() == 1 or "NNS_REAL_PIDS" in os.environ
    if not private or not real or real == str(netns_inum("self")):
        sys.exit("this is no private host: run the test under tests/e2e/private_host")
    _mount("tmpfs", "/run")
    _mount("bpf", "/sys/fs/bpf")
    _mount("mqueue", "/dev/mqueue")
    # RLIMIT_MSGQUEUE, 800 KiB for all queues of a user, still holds: a deep queue needs small messages.
    _write("/proc/sys/fs/mqueue/msg_max", 1024)
    _write("/proc/sys/fs/mqueue/msgsize_max", 65536)
    run("ip", "link", "set", "lo", "up")


# --- namespaces -----------------------------------------------------------------------------------


class Namespace:
    """A network namespace a test made. `devices` is the log of the devices the test put there."""

    def __init__(self, path, pid=None, process=None, name=None):
        self.path, self.pid, self.process, self.name = path, pid, process, name
        self.devices = ["lo"]
        self.inum = os.stat(path).st_ino
        self._cookie = None

    def enter(self):
        """Move the calling thread here. Used between fork and exec; holds nothing open afterwards."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(fd, _CLONE_NEWNET), "setns")
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def inside(self):
        """Be inside for a while. Sockets opened here pin the namespace until they are closed."""
        own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.enter()
            yield
        finally:
            _check(_libc.setns(own, _CLONE_NEWNET), "setns back")
            os.close(own)

    @property
    def cookie(self):
        """The kernel's never reused name of this namespace."""
        if self._cookie is None:
            with self.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
                answer = asked.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
            self._cookie = struct.unpack("=Q", answer)[0]
        return self._cookie

    def run(self, *command, **options):
        return run(*command, ns=self, **options)

    def ip(self, *arguments):
        return self.run("ip", *arguments).stdout

    def tc(self, *arguments):
        return self.run("tc", *arguments).stdout

    def quiet(self):
        """No packets but those a test sends: IPv6 would announce itself on every link that comes up."""
        for which in ("all", "default"):
            self.run("sysctl", "-q", "-w", f"net.ipv6.conf.{which}.disable_ipv6=1")

    def add_veth(self, name, other, other_name):
        """A veth pair from here to another namespace."""
        self.ip("link", "add", "name", name, "type", "veth",
                "peer", "name", other_name, "netns", other.reference)
        self.devices.append(name)
        other.devices.append(other_name)

    def add_pair(self, name, peer):
        """A veth pair with both ends here."""
        with rtnl.Route(self) as route:
            route.add_pair(name, peer)
        self.devices += [name, peer]

    def add_veths(self, count, prefix="v", group=0):
        """Many pairs, both ends here, in one go."""
        pairs = [(f"{prefix}{i}a", f"{prefix}{i}b") for i in range(count)]
        batch = "".join(f"link add name {a} group {group} type veth peer name {b}\n" for a, b in pairs)
        self.run("ip", "-batch", "-", input=batch)
        self.devices += [name for pair in pairs for name in pair]

    @property
    def reference(self):
        """How ip(8) names this namespace."""
        return str(self.pid) if self.name is None else self.name

    def kill(self):
        """End the processes that hold an unnamed namespace."""
        if self.process:
            end(self.process)
            self.process = None

    # What the kernel says.

    def filter_texts(self):
        """{(device, hook): exactly what `tc -j filter show` prints} for every device of the log."""
        asked = [(device, hook) for device in self.devices for hook in HOOKS]
        batch = "".join(f"filter show dev {device} {hook}\n" for device, hook in asked)
        text = self.run("tc", "-j", "-force", "-batch", "-", input=batch).stdout
        decoder, texts, position = json.JSONDecoder(), [], 0
        while text[position:].strip():
            position += len(text[position:]) - len(text[position:].lstrip())
            _, stop = decoder.raw_decode(text, position)
            texts.append(text[position:stop])
            position = stop
        if len(texts) != len(asked):
            raise AssertionError(f"{len(asked)} devices and hooks asked, {len(texts)} answers: {text}")
        return dict(zip(asked, texts))

    def filters(self):
        """{(device, hook): its filters}, the rows with options only: each is one filter."""
        return {place: [row for row in json.loads(text) if "options" in row]
                for place, text in self.filter_texts().items()}

    def ours(self, instance="default"):
        """{(device, hook): the filters of an instance of ours}, as rtnl.Filter. Asked without a process, by whose
        coming and going a daemon could find this namespace."""
        try:
            with rtnl.Route(self) as route:
                indexes = {device: route.index(device) for device in self.devices}
                return {(device, hook): [row for row in route.filters(index, hook) if is_of(row, instance)]
                        for device, index in indexes.items() for hook in HOOKS}
        except OSError as error:
            raise AssertionError(f"{self.path}, {self.devices}: {error}") from error

    def covered(self, instance="default"):
        """True when every device of the log carries exactly one filter of ours on both hooks."""
        return all_have_one(self.ours(instance))

    def bare(self, instance="default"):
        """True when no device of the log carries a filter of ours."""
        return not any(self.ours(instance).values())

    def qdiscs(self):
        return json.loads(self.tc("-j", "qdisc", "show"))

    def traffic(self, device):
        """The kernel's own count: {"ingress": (packets, bytes), "egress": (packets, bytes)}."""
        stats = json.loads(self.ip("-s", "-j", "link", "show", "dev", device))[0]["stats64"]
        return {"ingress": (stats["rx"]["packets"], stats["rx"]["bytes"]),
                "egress": (stats["tx"]["packets"], stats["tx"]["bytes"])}


def all_have_one(ours):
    return all(len(rows) == 1 for rows in ours.values())


def is_of(row, instance):
    """Is this rtnl.Filter one of that instance of ours?"""
    return row.kind == "bpf" and row.handle == int(OUR_HANDLE, 16) and row.name.startswith(f"netnsync:{instance}:")


def is_ours(row, instance="default"):
    """The same of a row of tc's."""
    options = row.get("options", {})
    return (row.get("kind") == "bpf" and options.get("handle") == OUR_HANDLE
            and options.get("bpf_name", "").startswith(f"netnsync:{instance}:"))


def less_ours(text, instance="default"):
    """What `tc -j filter show` would print had we added nothing: our filters and the heads of the priorities
    that hold nothing else are taken out of the text, all other bytes stay."""
    rows = [row for row in json.loads(text) if not is_ours(row, instance)]
    held = {row["pref"] for row in rows if "options" in row}
    emptied = {row["pref"] for row in json.loads(text) if is_ours(row, instance)} - held
    kept = [row for row in rows if row["pref"] not in emptied]
    return json.dumps(kept, separators=(",", ":"))


def programs():
    """{id: what the kernel says of that BPF program}."""
    return {row["id"]: row for row in json.loads(run("bpftool", "-j", "prog", "show").stdout)}


_programs = {}


def program_of(row):
    """Likewise of the program of an rtnl.Filter. An id is not given twice."""
    if row.program not in _programs:
        _programs.update(programs())
    return _programs[row.program]


def compile_bpf(directory, name, text):
    """A BPF object from C, made with the same compiler the project uses."""
    source, target = os.path.join(directory, f"{name}.c"), os.path.join(directory, f"{name}.o")
    with open(source, "w") as file:
        file.write(text)
    include = f"/usr/include/{os.uname().machine}-linux-gnu"
    run("clang", "-O2", "-g", "-target", "bpf", f"-I{include}", "-c", source, "-o", target)
    return target


def own_namespace():
    """The private host's own."""
    return Namespace("/proc/1/ns/net", pid=1)


# --- the queue ------------------------------------------------------------------------------------


class Queue:
    """A sender's view of a POSIX message queue."""

    class _Attributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_long) for name in ("flags", "maxmsg", "msgsize", "curmsgs")] + [
            ("reserved", ctypes.c_long * 4)]

    class _Timespec(ctypes.Structure):
        _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]

    def __init__(self, name):
        self.name = name
        self.fd = _check(_libc.mq_open(name.encode(), os.O_WRONLY | os.O_CLOEXEC), f"mq_open {name}")

    def close(self):
        _libc.mq_close(self.fd)

    def send(self, data, wait=True):
        """Send bytes. Raises OSError (EMSGSIZE, EAGAIN when it is full and we are not to wait)."""
        now = time.time()
        deadline = self._Timespec(int(now + (PATIENCE if wait else 0)), 0)
        try:
            _check(_libc.mq_timedsend(self.fd, data, ctypes.c_size_t(len(data)), 0, ctypes.byref(deadline)),
                   f"mq_send of {len(data)} bytes")
        except OSError as error:
            if error.errno == errno.ETIMEDOUT and not wait:
                raise OSError(errno.EAGAIN, "the queue is full") from None
            raise

    def send_pids(self, pids):
        """As many binary messages as the queue's message size asks for."""
        fit = (self.attributes().msgsize - 8) // 4
        pids = list(pids)
        for first in range(0, len(pids), fit):
            self.send(binary(pids[first:first + fit]))

    def attributes(self):
        attributes = self._Attributes()
        _check(_libc.mq_getattr(self.fd, ctypes.byref(attributes)), "mq_getattr")
        return attributes

    @property
    def waiting(self):
        return self.attributes().curmsgs


def binary(pids, kind=1, count=None):
    """A binary message; kind and count only to tell lies."""
    pids = list(pids)
    return struct.pack(f"<4sHH{len(pids)}I", b"NNS1", kind, len(pids) if count is None else count, *pids)


# --- the daemon -----------------------------------------------------------------------------------


class Daemon:
    """A netnsyncd of the build under test, with queue, control socket and log of its own."""

    _serial = 0

    def __init__(self, settings, under=(), queue=None, config=None, check_leaks=True):
        Daemon._serial += 1
        self.directory = tempfile.mkdtemp(prefix="nns-e2e-")
        self.socket = f"{self.directory}/control.sock"
        self.queue_name = queue or f"/nns-e2e-{Daemon._serial}"
        self.instance = settings.get("instance", "default")
        # The real host's namespace cannot be seen from here; naming it makes sure that nothing acts on it.
        excluded = [os.environ["NNS_REAL_NETNS"]] + [
            word for word in [settings.pop("exclude.namespaces", "")] if word]
        # Small queues: what all tests' queues may take together is bounded.
        self.settings = {"queue.name": self.queue_name, "queue.msgsize": "2048", "control.path": self.socket,
                         "discover.enabled": "false", "exclude.namespaces": ",".join(excluded), **settings}
        flags = [word for name, value in self.settings.items() for word in ("--set", f"{name}={value}")]
        flags += ["--config", config] if config else []
        self.log = open(f"{self.directory}/stderr", "w+")
        environment = dict(os.environ)
        if not check_leaks:  # it cannot run while strace holds the process, and says nothing of an abrupt end
            environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
            environment["TSAN_OPTIONS"] = environment.get("TSAN_OPTIONS", "") + ":report_thread_leaks=0"
        self.process = start(*under, f"{BUILD}/netnsyncd", *flags, stdin=subprocess.DEVNULL, stdout=self.log,
                             stderr=self.log, env=environment)
        self._queue = None

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"netnsyncd ended with {self.process.returncode}:\n{self.stderr()}")
            with contextlib.suppress(OSError, AssertionError):
                return Client(self.socket).ask({"version": 1, "command": "status"})

        until(ready, "netnsyncd answers on its control socket")

    @property
    def pid(self):
        """The daemon's own pid, also where it runs under strace or a launcher."""
        pid = self.process.pid
        while os.path.basename(os.readlink(f"/proc/{pid}/exe")) != "netnsyncd":
            pid = children(pid)[0]
        return pid

    @property
    def queue(self):
        if self._queue is None:
            self._queue = Queue(self.queue_name)
        return self._queue

    def stderr(self):
        self.log.flush()
        with open(self.log.name) as file:
            return file.read()

    def tell(self, number):
        os.kill(self.pid, number)

    def halt(self):
        """Nothing moves any more until SIGCONT: a thread that runs is stopped only once one that slept has had a turn."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        until(lambda: _is_stopped(pid), "all its threads are stopped")

    def stop(self, number=signal.SIGTERM):
        """Ask it to end and require that it ends well: exit 0, and nothing from a sanitizer."""
        self.tell(number)
        self.wait_end()

    def wait_end(self, code=0):
        until(lambda: self.process.poll() is not None, f"netnsyncd ends\n{self.stderr()}")
        self.check_sanitizers()
        if self.process.returncode != code:
            raise AssertionError(f"exit {self.process.returncode}, expected {code}:\n{self.stderr()}")

    def check_sanitizers(self):
        text = self.stderr()
        if SANITIZER_REPORT.search(text):
            raise AssertionError(f"a sanitizer reports:\n{text}")

    def kill(self):
        """kill -9, as a crash would; once it is dead, what it held is free."""
        if self.process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                pid = self.pid
                os.kill(pid, signal.SIGKILL)
                until(lambda: is_dead(pid), "the killed daemon is dead")
            end(self.process)

    def close(self):
        """What is left after a test, also one that failed."""
        self.kill()
        if self._queue:
            self._queue.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"/dev/mqueue{self.queue_name}")
        text = self.stderr()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        if SANITIZER_REPORT.search(text):
            raise AssertionError(f"a sanitizer reports:\n{text}")

    # The operator's view.

    def command(self, *arguments, check=True, **options):
        return command(*arguments, socket=self.socket, check=check, **options)

    def ask(self, *arguments):
        """The JSON a subcommand prints."""
        return json.loads(self.command("--json", *arguments).stdout)

    def answers(self, command):
        """What the daemon itself answers, without a process of netnsync's each time."""
        try:
            *answers, last = Client(self.socket).ask({"version": 1, "command": command})
        except OSError as error:
            raise AssertionError(f"{command}: {error}\n{self.stderr()}") from error
        if not last["done"]:
            raise AssertionError(f"{command}: {last}")
        return [value for answer in answers for value in answer.values()]

    def status(self):
        return self.answers("status")[0]

    def counter(self, name):
        return self.status()["counters"][name]

    def row(self, ns):
        """The namespace's row of `list`, found by the kernel's cookie, or None."""
        rows = [row for row in self.answers("list") if row["cookie"] == ns.cookie]
        if len(rows) > 1:
            raise AssertionError(f"one namespace, {len(rows)} rows: {rows}")
        return rows[0] if rows else None

    def cookies(self):
        """Which namespaces it knows."""
        return {row["cookie"] for row in self.answers("list")}

    def wait_found(self, *namespaces):
        """Wait until it knows them. To start a task in a namespace, tc's or ip's, gives it away: what is to be found
        without that is waited for here first."""
        wanted = {ns.cookie for ns in namespaces}
        try:
            until(lambda: wanted <= self.cookies(), "the namespaces are found")
        except AssertionError as error:
            counters = {name: count for name, count in self.status()["counters"].items() if count}
            raise AssertionError(f"{error}: not {wanted - self.cookies()}; {counters}\n{self.stderr()}") from None

    def device(self, ns, name):
        """A device's row of `list`."""
        return next(row for row in self.row(ns)["devices"] if row["name"] == name)

    def sync(self, *pids, wait=True, code=0, error=None):
        """{pid: its result}, of `sync --wait`. It has to end with that status: 1 where a pid is neither new nor known,
        None for either. An error, of which this is a part, ends the whole, as when not all could be waited for."""
        words = ["sync"] + (["--wait"] if wait else []) + [str(pid) for pid in pids]
        done = self.command("--json", *words, check=False)
        answer = json.loads(done.stdout) if done.stdout else {"results": []}
        wanted = (1,) if error else (0, 1) if code is None else (code,)
        if done.returncode not in wanted or bool(error) != ("error" in answer):
            raise AssertionError(f"netnsync {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        if error and not (error in answer["error"] and error in done.stderr):
            raise AssertionError(f"not '{error}': {done.stdout}{done.stderr}")
        return {row["pid"]: row for row in answer["results"]}

    def fds(self):
        """What its open descriptors lead to; less pipes, which a sanitizer opens to its symbolizer."""
        place = f"/proc/{self.pid}/fd"
        names = []
        for fd in os.listdir(place):
            with contextlib.suppress(FileNotFoundError):
                names.append(os.readlink(f"{place}/{fd}"))
        return sorted(name for name in names if not name.startswith("pipe:"))


def command(*arguments, socket=None, check=True, **options):
    """Run netnsync."""
    place = ("--socket", socket) if socket else ()
    done = run(f"{BUILD}/netnsync", *place, *arguments, check=False, **options)
    if SANITIZER_REPORT.search(done.stderr):
        raise AssertionError(f"a sanitizer reports:\n{done.stderr}")
    if check and done.returncode != 0:
        raise AssertionError(f"netnsync {' '.join(map(str, arguments))}: exit {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return done


class Client:
    """A control connection without manners: sends what it is told to."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise

    def send(self, data):
        self.socket.sendall(data)

    def lines(self):
        """Answer lines up to and including the one that ends the answer."""
        with self.socket.makefile("rb") as file:
            for line in file:
                answer = json.loads(line)
                yield answer
                if "done" in answer:
                    return

    def ask(self, request):
        with self.socket:
            self.send(json.dumps(request).encode() + b"\n")
            return list(self.lines())

    def at_end(self):
        """Wait until the daemon has closed the connection, and return what it still said."""
        said = b""
        while True:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return said
            if not data:
                return said
            said += data

    def close(self):
        self.socket.close()


# --- the test case --------------------------------------------------------------------------------


class HostTest(unittest.TestCase):
    """A test on the private host. All it makes through these methods is undone after it."""

    maxDiff = None
    _named = 0

    def daemon(self, settings=None, wait=True, pinned=False, deaf=False, denied=(), **options):
        """pinned: it holds each namespace open. deaf: without tracepoints, so that rtnetlink tells of devices; to
        "rtnetlink": without that as well, so that only a timer, requests and audits make it look. denied: further
        rules of deny."""
        settings = {"handle.mode": "pinned", **(settings or {})} if pinned else settings
        denied = list(denied)
        denied += ["bpf@0:17=EPERM", "bpf@0:28=EPERM"] if deaf else []  # BPF_RAW_TRACEPOINT_OPEN, BPF_LINK_CREATE
        denied += ["setsockopt@2:8=EPERM"] if deaf == "rtnetlink" else []  # NETLINK_LISTEN_ALL_NSID
        if denied:
            options["under"] = (*options.get("under", ()), f"{BUILD}/deny", *denied, "--")
        daemon = Daemon(dict(settings or {}), **options)
        self.addCleanup(daemon.close)
        if wait:
            daemon.wait_ready()
        return daemon

    def unnamed(self):
        """A namespace that only a process holds."""
        process = subprocess.Popen(["sleep", "infinity"], preexec_fn=unshare_net)
        return self._keep(Namespace(f"/proc/{process.pid}/ns/net", process.pid, process))

    @staticmethod
    def _new_name():
        HostTest._named += 1
        return f"e2e{HostTest._named}"

    def named(self):
        """A namespace that only a bind mount holds, as `ip netns add` makes it."""
        name = self._new_name()
        run("ip", "netns", "add", name)
        self.addCleanup(run, "ip", "netns", "del", name, check=False)
        return self._keep(Namespace(f"/run/netns/{name}", name=name))

    def mounted(self):
        """A named one that no task tells of: nobody started there, or ended there. A mount is all there is of it."""
        name = self._new_name()
        path = f"/run/netns/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()
        with own_namespace().inside():  # and back here from where this thread goes now
            unshare_net()
            _check(_libc.mount(b"/proc/thread-self/ns/net", path.encode(), b"", _MS_BIND, None), f"mount {path}")
        self.addCleanup(unmount, path)
        return self._keep(Namespace(path, name=name))

    def nested(self):
        """A namespace made by a child of a process in a namespace of its own, each one
        pid namespace further down."""
        outer = subprocess.Popen(["unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c",
                                  "unshare --net --pid --fork --kill-child sleep infinity & wait"])

        def innermost():
            pid = outer.pid
            while True:
                below = children(pid)
                if not below:
                    break
                pid = below[0]
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/comm") as file:
                    return pid if file.read().strip() == "sleep" else None

        self.addCleanup(end, outer)
        pid = until(innermost, "the nested namespace's process runs")
        inner = self._keep(Namespace(f"/proc/{pid}/ns/net", pid, outer))
        middle = next(child for child in children(outer.pid))
        return Namespace(f"/proc/{middle}/ns/net", middle), inner

    def of_a_thread(self, home=None):
        """A namespace that only one thread is in; its process's leader stays at home."""
        script = ("import ctypes, threading, time\n"
                  "def run():\n"
                  f"    ctypes.CDLL(None).unshare({_CLONE_NEWNET})\n"
                  "    print(threading.get_native_id(), flush=True)\n"
                  "    time.sleep(1e6)\n"
                  "threading.Thread(target=run).start()\n")
        process = start("/usr/bin/python3", "-c", script, ns=home, stdout=subprocess.PIPE, text=True)
        self.addCleanup(end, process)
        thread = int(process.stdout.readline())
        return Namespace(f"/proc/{process.pid}/task/{thread}/ns/net", thread)

    def heir_of_inum(self, inum, tries=100):
        """A namespace that has got the inum of a dead one, or None: others on this machine may have got it."""
        for _ in range(tries):
            ns = self.unnamed()
            if ns.inum == inum:
                return ns
            ns.kill()
        return None

    def _keep(self, ns):
        self.addCleanup(ns.kill)
        return ns

    def visitor(self, ns):
        """A process inside a namespace: what a named one needs to be found by a pid."""
        process = start("sleep", "infinity", ns=ns)
        self.addCleanup(end, process)
        return process.pid

    def skipWherePinned(self, daemon, ns):
        """For what is so only where the daemon need not hold namespaces open, and this kernel makes it."""
        if daemon.row(ns)["handle"] == "pinned" and not kernel.opens_by_id(ns):
            self.skipTest("a namespace cannot be opened by its cookie and inum here: the daemon pins it")

    def assertCovered(self, ns, instance="default"):
        """Wait until the kernel shows one filter of ours on both hooks of every device the test made, and
        check what it says of them."""
        ours = {}

        def covered():
            nonlocal ours
            ours = ns.ours(instance)
            return all_have_one(ours)

        try:
            until(covered, "all devices covered")
        except AssertionError:
            self.fail(f"not covered: { {k: len(v) for k, v in ours.items() if len(v) != 1} }")
        self.assertProgramsRun(ours, instance)

    def assertFound(self, daemon, *made):
        """Wait until the daemon lists namespaces that nobody named to it, and then that they are covered. No command
        runs inside before, which would be what they are found by."""
        cookies = {ns.cookie for ns in made}
        until(lambda: cookies <= daemon.cookies(), "they are found")
        for ns in made:
            self.assertCovered(ns)

    def assertProgramsRun(self, ours, instance="default"):
        """Every filter of ours runs a program that the kernel knows, under the name and tag it carries."""
        for place, rows in ours.items():
            for row in rows:
                program = program_of(row)
                self.assertEqual(program["type"], "sched_cls", place)
                self.assertTrue(row.direct, place)
                self.assertEqual(row.name, f"netnsync:{instance}:{program['name']}:{program['tag']}", place)

    def assertBare(self, ns, instance="default"):
        left = {place: rows for place, rows in ns.ours(instance).items() if rows}
        self.assertEqual(left, {})


_prepare()


def main():
    """Exit status: 0 when something ran and nothing failed, SKIPPED when each of them was skipped, else 1."""
    result = unittest.main(verbosity=2, exit=False).result
    if not result.testsRun:
        sys.exit("no tests ran")
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if len(result.skipped) >= result.testsRun else 0)
