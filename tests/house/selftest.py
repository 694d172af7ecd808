#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""selftest.py: each house rule passes on a small good tree, and fails on that tree with one thing wrong."""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SETTINGS = [os.path.join(HERE, "..", "..", name) for name in (".clang-format", ".clang-tidy")]
ROOT = "<the tree's own place>"
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"

GOOD = {
    "src/core/part.h": "int part(void);\n",
    "src/core/part.c": '#include "core/part.h"\n\nint part(void)\n{\n    return 1;\n}\n',
    "src/core/counters.h": '#define COUNTERS(X) X(PARTS, "parts", "of it") X(WHOLES, "wholes", "again")\n',
    "src/core/protocol.c": '#include <jansson.h>\n#include "core/part.h"\n',
    "src/bpf/count.h": "struct count {\n    int packets;\n};\n",
    "build/count.skel.h": "int skeleton(void);\n",
    "src/bpf/count.bpf.c": '#include <bpf/bpf_helpers.h>\n#include "bpf/count.h"\n',
    "src/io/count.h": "int count(void);\n",
    "src/io/count.c": '#include <bpf/libbpf.h>\n#include "bpf/count.h"\n#include "count.skel.h"\n#include "io/count.h"\n',
    "src/io/enter.c": "/* setns( in a comment is nobody's call */\n#include <sched.h>\n\nint enter(int fd)\n{\n    return setns(fd, 0);\n}\n",
    "src/io/queue.c": '#include <mqueue.h>\n#include "core/part.h"\n',
    "src/io/tc.h": "int tc(void);\n",
    "src/io/tc.c": '#include <netlink/msg.h>\n#include <linux/pkt_cls.h>\n#include "io/tc.h"\n#include "io/tc_reply.h"\n',
    "src/io/tc_reply.h": "int tc_reply(void);\n",
    "src/io/tc_reply.c": '#include "io/tc.h"\n#include "io/tc_reply.h"\n',
    "src/io/links.c": "#include <netlink/route/link.h>\n",
    "src/io/control.h": "#include <uv.h>\n",
    "src/workers/main.c": '#include <uv.h>\n#include "io/tc.h"\n#include "core/part.h"\n',
    "src/workers/count.c": "enum { NNS_COUNT_PARTS, NNS_COUNT_WHOLES };\n",
    "src/cli/main.c": '#include <jansson.h>\n#include "io/control.h"\n\n/* clang-format off */\n'
                      "struct command {\n    const char *name, *arguments, *summary;\n    int (*run)(void);\n};\n"
                      "int nns_cli_get(void);\nint nns_cli_list(void);\nstruct command commands[] = {\n"
                      '    {"get", "NS", "Show it", nns_cli_get},\n    {"list", "", "Show all", nns_cli_list},\n};\n',
    "docs/netnsync.1": ".Sh SYNOPSIS\n.Cm get Ar ns\n.Cm list\n.Sh DESCRIPTION\n.Ss Commands\n"
                       ".It Cm get Ar ns\n.It Cm list\n.Sh FILES\n",
    "bench/main.c": '#include "core/part.h"\n#include "floor/bare.h"\n',
    "bench/floor/bare.h": "int bare(void);\n",
    "bench/floor/bare.c": '#include "bare.h"\n',
    "bench/today/common.c": "int common;\n",
    "tests/unit/test_part.c": '#include "core/part.h"\n',
    "tests/helper.h": "int helper(void);\n",
    "tests/kernel/test_part.c": "int tested;\n",
    "tests/e2e/test_part.py": "tested = 1\n",
    "tests/e2e/test_whole.py": "tested = 1\n",
    "tests/qemu/run": 'TESTS=(\n    kernel_part "--real-pids test_part.py"\n)\n'
                      'declare -A LEFT_OUT=(\n    [test_whole.py]="too long"\n)\n',
    "CMakeLists.txt": "project(good)\n",
    "scripts/run": "ls /proc/1/root/etc $prefix/home/x somewhere/root/of ~/root/x\n",
}
SCRIPT = "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"
FIRST_LINE = {"CMakeLists.txt": SCRIPT.partition("\n")[2], "scripts/run": SCRIPT, "tests/qemu/run": SCRIPT,
              "tests/e2e/test_part.py": SCRIPT, "tests/e2e/test_whole.py": SCRIPT}


def include(name):
    return f'#include "{name}"\n'


def system(name):
    return f"#include <{name}>\n"


# Rule, file, what is put at its end (or, with "=", in place of it), what the rule must say.
WRONG = [
    ("floors", "src/core/part.c", include("io/tc.h"), "src/core may not include src/io/tc.h"),
    ("floors", "src/core/part.c", "#include <io/tc.h>\n", "src/core may not include src/io/tc.h"),
    ("floors", "src/core/part.c", include("../io/tc.h"), "src/core may not include src/io/tc.h"),
    ("floors", "src/core/part.h", include("bpf/count.h"), "src/core may not include src/bpf/count.h"),
    ("floors", "src/io/links.c", include("io/tc.h"), "do not include their siblings"),
    ("floors", "src/io/links.c", include("io/tc_reply.h"), "do not include their siblings"),
    ("floors", "src/io/tc.c", include("tc_request.h"), "is no file of the project"),
    ("floors", "src/io/links.c", include("bpf/count.h"), "has 2 homes in src/io"),
    ("floors", "src/io/tc.c", include("count.skel.h") + include("bpf/count.h"), "has 2 homes in src/io"),
    ("floors", "src/workers/main.c", include("bpf/count.h"), "src/workers may not include"),
    ("floors", "src/workers/main.c", include("cli/view.h"), "src/workers may not include"),
    ("floors", "src/cli/main.c", include("workers/owner.h"), "src/cli may not include"),
    ("floors", "src/bpf/count.bpf.c", include("core/part.h"), "src/bpf may not include"),
    ("floors", "bench/floor/bare.c", include("core/part.h"), "bench/floor may not include src/core/part.h"),
    ("floors", "bench/today/common.c", include("core/part.h"), "bench/today may not include src/core/part.h"),
    ("floors", "bench/today/common.c", include("floor/bare.h"), "bench/today may not include bench/floor/bare.h"),
    ("floors", "bench/today/common.c", include("part.skel.h"), "bench/today may not include src/bpf/part.skel.h"),
    ("floors", "bench/main.c", include("../tests/helper.h"), "bench may not include tests/helper.h"),
    ("floors", "src/io/tc.c", include("tests/helper.h"), "src/io may not include tests/helper.h"),
    ("floors", "src/utils/helper.c", "", "stands on no floor"),
    ("homes", "src/io/tc.c", "int again(void)\n{\n    return setns (0, 0);\n}\n", "setns: 2 homes"),
    ("homes", "src/core/part.c", "int again(void)\n{\n    return setns(0, 0);\n}\n", "setns: not at home here"),
    ("homes", "src/io/enter.c", system("netlink/netlink.h"), "libnl: 3 homes"),
    ("homes", "src/workers/main.c", system("netlink/netlink.h"), "libnl: not at home here"),
    ("homes", "src/io/tc.c", system("uv.h"), "libuv: not at home here"),
    ("homes", "src/cli/main.c", system("uv.h"), "libuv: not at home here"),
    ("homes", "src/io/tc.c", system("jansson.h"), "jansson: not at home here"),
    ("homes", "src/io/tc.c", system("mqueue.h"), "POSIX message queues: 2 homes"),
    ("homes", "src/cli/main.c", system("mqueue.h"), "POSIX message queues: not at home here"),
    ("homes", "src/io/links.c", system("linux/pkt_cls.h"), "filters: not at home here"),
    ("homes", "src/workers/main.c", "int type = RTM_DELTFILTER;\n", "filters: not at home here"),
    ("homes", "src/io/tc.c", system("bpf/bpf.h"), "libbpf lives with the skeletons"),
    ("homes", "src/io/tc.c", include("count.skel.h"), "count.skel.h: 2 homes"),
    ("homes", "src/workers/main.c", include("count.skel.h"), "skeletons live in src/io"),
    ("counters", "src/core/counters.h", '#define MORE(X) X(NEVER, "never", "happens")\n', "nobody counts NEVER"),
    ("counters", "src/workers/count.c", "=/* NNS_COUNT_PARTS */\nint counted = NNS_COUNT_WHOLES;\n", "nobody counts PARTS"),
    ("manual", "src/cli/main.c", '    {"undo", "NS", "Take it back", nns_cli_undo},\n', "Commands: lacks undo"),
    ("manual", "docs/netnsync.1", "=.Sh SYNOPSIS\n.Cm get\n.Ss Commands\n.It Cm get\n.It Cm list\n", "SYNOPSIS: lacks list"),
    ("manual", "docs/netnsync.1", ".Ss Commands\n.It Cm get\n.It Cm list\n.It Cm gone\n", "there is no command gone"),
    ("machines", "tests/kernel/test_new.c", "int tested;\n", "neither runs nor leaves out kernel_new"),
    ("machines", "tests/e2e/test_new.py", "tested = 1\n", "neither runs nor leaves out test_new.py"),
    ("machines", "tests/qemu/run", '=TESTS=(\n    kernel_part test_part.py\n)\n', "neither runs nor leaves out test_whole.py"),
    ("machines", "tests/qemu/run", '=TESTS=(\n    kernel_part test_part.py test_whole.py test_old.py\n)\n', "is no test_old.py"),
    ("machines", "tests/qemu/run", '=declare -A LEFT_OUT=(\n    [kernel_part]=""\n)\n', "leaves out kernel_part for no reason"),
    ("machines", "tests/qemu/run", '=TESTS=(\n    kernel_part\n)\ndeclare -A LEFT_OUT=(\n    [kernel_part]="x"\n)\n',
     "runs and leaves out kernel_part"),
    ("headers", "src/core/part.h", "int size(struct undeclared_here value);\n", "alone with gcc"),
    ("headers", "src/core/part.h", "struct twice {\n    int field;\n};\n", "alone with clang"),
    ("headers", "bench/floor/bare.h", "size_t bare_size(void);\n", "bench/floor/bare.h"),
    ("headers", "src/bpf/count.h", "extern u32 counted;\n", "src/bpf/count.h: does not compile alone with clang"),
    ("headers", "tests/helper.h", "pid_t helper_pid(void);\n", "tests/helper.h"),
    ("format", "src/core/part.c", "int  ugly( void );\n", "src/core/part.c: run"),
    ("format", "bench/main.c", "int *f(void){return 0;}\n", "bench/main.c: run"),
    ("format", "tests/helper.h", "int* helper_of(void);\n", "tests/helper.h: run"),
    ("tidy", "src/core/part.c", "int both(int a)\n{\n    return a == a;\n}\n", "src/core/part.c:10: both sides"),
    ("tidy", "bench/main.c", "#define TWICE(x) x * 2\n", "bugprone-macro-parentheses"),
    ("tidy", "src/core/part.c", system("no_such_header.h"), "no_such_header.h"),
    ("files", "src/core/part.c", "=int part;\n", "part.c:1: the SPDX line"),
    ("files", "CMakeLists.txt", "=project(bad)\n", "CMakeLists.txt:1: the SPDX line"),
    ("files", "scripts/run", "=#!/bin/sh\necho\n", "scripts/run:2: the SPDX line"),
    ("files", "scripts/test", "=#!/usr/bin/python3\n\n# SPDX-License-Identifier: x\n", "scripts/test:2: the SPDX"),
    ("files", "src/core/part.c", "int line;\n" * 900, "lines, 900 allowed"),
    ("files", "README.md", "=see /home" + "/somebody/notes\n", "README.md:1: '/home"),
    ("files", "src/core/part.c", '/* "/root' + '/notes" */\n', "part.c:8: '/root"),
    ("files", "scripts/run", f"cd {ROOT}\n", "scripts/run:4: '/"),
    ("files", "scripts/run", f"PATH=/bin:{ROOT}/build make\n", "scripts/run:4: '/"),
    ("files", "scripts/run", f"cc -I{ROOT}/src x.c\n", "scripts/run:4: '/"),
]


def guarded(path, text):
    """A good header has a guard; what a wrong header appends stands outside of it."""
    guard = path.replace("/", "_").replace(".", "_").upper()
    return f"#ifndef {guard}\n#define {guard}\n\n{text}\n#endif\n" if path.endswith(".h") else text


def write(root, path, text, how="w"):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, how, encoding="utf-8") as file:
        file.write(text)


def make_good(root):
    for path, text in GOOD.items():
        write(root, path, FIRST_LINE.get(path, SPDX) + guarded(path, text))
    for settings in SETTINGS:
        shutil.copy(settings, root)
    # Headers that only some wrong includes name.
    for path in ("src/cli/view.h", "src/workers/owner.h"):
        write(root, path, SPDX + guarded(path, "int nothing(void);\n"))


def run_rule(rule, root):
    command = [sys.executable, "-B", os.path.join(HERE, rule + ".py"), root]
    if rule == "tidy":
        command.append(os.path.join(root, "build"))  # where skeletons are
    result = subprocess.run(command, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def judge(rule, change, wanted):
    """Makes a good tree, changes it, asks the rule; an unexpected answer comes back as text."""
    with tempfile.TemporaryDirectory(prefix="nns-house-") as root:
        make_good(root)
        if change:
            path, text = change
            write(root, path, text.removeprefix("=").replace(ROOT, root), "w" if text.startswith("=") else "a")
        status, said = run_rule(rule, root)
    if wanted is None:
        return None if status == 0 else f"the good tree is refused:\n{said}"
    if status != 1:
        return f"exit status {status}, not 1:\n{said}"
    return None if wanted in said else f"does not say '{wanted}':\n{said}"


def judge_empty(rule):
    with tempfile.TemporaryDirectory(prefix="nns-house-") as root:
        status, said = run_rule(rule, root)
    return None if status == 1 and "nothing to check" in said else f"an empty tree passes:\n{said}"


failures = 0
rules = sorted({rule for rule, *_ in WRONG})
cases = [(f"{rule}: good tree", judge(rule, None, None)) for rule in rules]
cases += [(f"{rule}: empty tree", judge_empty(rule)) for rule in rules]
cases += [(f"{rule}: {path}: {wanted}", judge(rule, (path, text), wanted)) for rule, path, text, wanted in WRONG]
for title, complaint in cases:
    if complaint:
        failures += 1
        print(f"FAILED {title}\n{complaint}")
print(f"selftest: {len(cases)} cases, {failures} failed")
sys.exit(1 if failures else 0)
