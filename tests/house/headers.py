#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""headers.py ROOT: every header compiles alone, and twice, under gcc and clang (src/bpf: for the BPF target)."""
import concurrent.futures
import os
import subprocess
import sys

import house

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-unused-function", "-fsyntax-only"]


def commands_for(root, path, flags):
    native = ["-std=gnu17", "-D_GNU_SOURCE", f"-I{root}/src", f"-I{root}/bench", f"-I{root}", *flags]
    if path.startswith("src/bpf/"):
        triplet = subprocess.run(["gcc", "-dumpmachine"], capture_output=True, text=True).stdout.strip()
        return [["clang", "-target", "bpf", "-O2", "-g", f"-I{root}/src", f"-I/usr/include/{triplet}"]]
    return [["gcc", *native], ["clang", "-Wthread-safety", *native]]


def complaints(root, path, flags):
    source = f'#include "{os.path.join(root, path)}"\n' * 2
    found = []
    for command in commands_for(root, path, flags):
        result = subprocess.run([*command, *WARNINGS, "-x", "c", "-"], input=source, capture_output=True, text=True)
        if result.returncode != 0:
            found.append(f"{path}: does not compile alone with {command[0]}:\n{result.stderr.rstrip()}")
    return found


def check(root):
    flags = house.library_flags()
    paths = house.files_under(root, "src", "bench", "tests", endings=(".h",))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda path: complaints(root, path, flags), paths))
    return len(paths), [complaint for found in results for complaint in found]


house.conclude("headers", *check(os.path.abspath(sys.argv[1])))
