#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""homes.py ROOT: each outside library, and each dangerous call, has one home in src."""
import re
import sys

import house

# What, the include or the call it is known by, which files may hold it, and how many of them.
HOMES = [
    ("libuv", "include", r"uv\.h", r"src/io/control\.[ch]|src/workers/\w+\.[ch]", None),
    ("libnl", "include", r"netlink/.*", r"src/io/\w+\.[ch]", 2),
    ("jansson", "include", r"jansson\.h", r"src/core/protocol\w*\.[ch]|src/cli/\w+\.[ch]", None),
    ("POSIX message queues", "include", r"mqueue\.h", r"src/io/\w+\.c", 1),
    ("filters", "include", r"linux/pkt_cls\.h", r"src/(core|io)/tc\w*\.[ch]|src/bpf/.*", None),
    ("filters", "call", r"\bRTM_(NEW|DEL)TFILTER\b", r"src/(core|io)/tc\w*\.c", None),
    ("setns", "call", r"\bsetns\s*\(", r"src/io/\w+\.c", 1),
]
LIBBPF = re.compile(r"bpf/.*")
SKELETON = re.compile(r".*\.skel\.h")


def users_of(root, paths, kind, pattern):
    """(path, line) of every use."""
    found = []
    for path in paths:
        if kind == "include":
            found += [(path, line) for line, _, name in house.includes(root, path) if re.fullmatch(pattern, name)]
        else:
            text = house.without_comments(house.read(root, path), keep_strings=False)
            found += [(path, text.count("\n", 0, match.start()) + 1) for match in re.finditer(pattern, text)]
    return found


def check_home(root, paths, title, kind, pattern, where, most):
    users = users_of(root, paths, kind, pattern)
    violations = [f"{path}:{line}: {title}: not at home here" for path, line in users
                  if not re.fullmatch(where, path)]
    homes = sorted({path for path, _ in users})
    if most is not None and len(homes) > most:
        violations.append(f"{title}: {len(homes)} homes, {most} allowed: {', '.join(homes)}")
    return violations


def check_skeletons(root, paths):
    """Each skeleton is opened by one file of src/io, and only those files know libbpf."""
    homes, libbpf, violations = {}, {}, []
    for path in paths:
        for line, _, name in house.includes(root, path):
            if SKELETON.fullmatch(name):
                homes.setdefault(name, set()).add(path)
                if not path.startswith("src/io/"):
                    violations.append(f"{path}:{line}: skeletons live in src/io")
            elif LIBBPF.fullmatch(name) and not path.startswith("src/bpf/"):
                libbpf[path] = line
    for name, users in sorted(homes.items()):
        if len(users) > 1:
            violations.append(f"{name}: {len(users)} homes: {', '.join(sorted(users))}")
    keepers = set().union(*homes.values()) if homes else set()
    violations += [f"{path}:{line}: libbpf lives with the skeletons" for path, line in sorted(libbpf.items())
                   if path not in keepers]
    return violations


def check(root):
    paths = house.files_under(root, "src", endings=(".c", ".h"))
    violations = check_skeletons(root, paths)
    for home in HOMES:
        violations += check_home(root, paths, *home)
    return len(paths), violations


house.conclude("homes", *check(sys.argv[1]))
