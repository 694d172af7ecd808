#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""machines.py ROOT: every test of tests/e2e and tests/kernel runs in tests/qemu's machine, or is left out for a reason."""
import os
import re
import sys

import house

RUN = "tests/qemu/run"
TESTS = re.compile(r"^TESTS=\(\n(.*?)^\)", re.MULTILINE | re.DOTALL)
LEFT_OUT = re.compile(r"^declare -A LEFT_OUT=\(\n(.*?)^\)", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"\b(?:test_\w+\.py|kernel_\w+)")
REASON = re.compile(r'^ *\[(\S+)\]="(.*)"$', re.MULTILINE)


def part(pattern, text):
    found = pattern.search(text)
    return found.group(1) if found else ""


def tests_of(root):
    """As tests/qemu/run names them."""
    found = {os.path.basename(path) for path in house.files_under(root, "tests/e2e", endings=(".py",))}
    found = {name for name in found if name.startswith("test_")}
    for path in house.files_under(root, "tests/kernel", endings=(".c",)):
        name = os.path.basename(path).removesuffix(".c")
        if name.startswith("test_"):
            found.add(name.replace("test_", "kernel_", 1))
    return found


def check(root):
    if not os.path.exists(os.path.join(root, RUN)):
        return 0, []
    text = house.read(root, RUN)
    there, run = tests_of(root), set(NAME.findall(part(TESTS, text)))
    reasons = dict(REASON.findall(part(LEFT_OUT, text)))
    violations = [f"{RUN}: neither runs nor leaves out {name}" for name in sorted(there - run - set(reasons))]
    violations += [f"{RUN}: runs and leaves out {name}" for name in sorted(run & set(reasons))]
    violations += [f"{RUN}: is no {name}" for name in sorted((run | set(reasons)) - there)]
    violations += [f"{RUN}: leaves out {name} for no reason" for name, why in sorted(reasons.items()) if not why]
    return len(there), violations


house.conclude("machines", *check(sys.argv[1]))
