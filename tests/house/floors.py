#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""floors.py ROOT: folders are floors, and includes go down only."""
import os
import sys

import house

# Which folders' headers the files of a folder may include; io, bpf and bench/floor have more to say below.
MAY_INCLUDE = {
    "src/core": {"src/core"},
    "src/bpf": {"src/bpf"},
    "src/io": {"src/core", "src/io", "src/bpf"},
    "src/workers": {"src/core", "src/io", "src/workers"},
    "src/cli": {"src/core", "src/io", "src/cli"},
    "bench/floor": {"bench/floor"},
    "bench/today": {"bench/today"},
    "bench": {"src/core", "src/io", "src/workers", "src/cli", "src/bpf", "bench/floor", "bench/today", "bench"},
}


def folder_of(path):
    """The floor a file stands on, None for one that no rule binds."""
    for folder in sorted(MAY_INCLUDE, key=len, reverse=True):
        if path.startswith(folder + "/"):
            return folder
    return "tests" if path.startswith("tests/") else None


def resolve(root, path, name):
    """The project's file that an include names, None for one of the system. Skeletons stand where they are made from:
    beside who includes them, or in src/bpf."""
    if name.endswith(".skel.h"):
        source = os.path.join(os.path.dirname(path), name.replace(".skel.h", ".bpf.c"))
        return source if os.path.exists(os.path.join(root, source)) else "src/bpf/" + name
    for folder in (os.path.dirname(path), "src", ".", "bench", "tests"):
        candidate = os.path.normpath(os.path.join(folder, name))
        if os.path.exists(os.path.join(root, candidate)):
            return candidate
    return None


def stem(path):
    return os.path.basename(path).split(".")[0]


def is_sibling(path, target):
    """io/tc.c and io/tc_reply.c are one thing, with io/tc.h and io/tc_reply.h; io/links.h is another."""
    one, other = sorted((stem(path), stem(target)), key=len)
    return one != other and not other.startswith(one + "_")


def check(root):
    violations, bpf_homes = [], {}
    paths = house.files_under(root, "src", "bench", endings=(".c", ".h"))
    for path in paths:
        floor = folder_of(path)
        if floor is None:
            violations.append(f"{path}: stands on no floor")
            continue
        for line, quoted, name in house.includes(root, path):
            target = resolve(root, path, name)
            if target is None:
                if quoted:
                    violations.append(f"{path}:{line}: '{name}' is no file of the project")
                continue
            above = folder_of(target)
            if above not in MAY_INCLUDE[floor]:
                violations.append(f"{path}:{line}: {floor} may not include {target}")
            elif floor == "src/io" and above == "src/io" and is_sibling(path, target):
                violations.append(f"{path}:{line}: io files do not include their siblings ({target})")
            elif floor == "src/io" and above == "src/bpf":
                bpf_homes.setdefault(target, set()).add(stem(path))
    for target, homes in sorted(bpf_homes.items()):
        if len(homes) > 1:
            violations.append(f"{target}: has {len(homes)} homes in src/io: {', '.join(sorted(homes))}")
    return len(paths), violations


house.conclude("floors", *check(sys.argv[1]))
