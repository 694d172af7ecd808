#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""format.py ROOT: every C file is as clang-format 14 would write it (later versions write it otherwise)."""
import subprocess
import sys

import house

paths = house.files_under(sys.argv[1], "src", "bench", "tests", endings=(".c", ".h"))
violations = []
if paths:
    result = subprocess.run(["clang-format-14", "--dry-run", "-Werror", "--style=file", *paths], cwd=sys.argv[1],
                            capture_output=True, text=True)
    if result.returncode != 0:
        wrong = sorted({line.split(":")[0] for line in result.stderr.splitlines() if ": error:" in line})
        violations = [f"{path}: run clang-format-14 -i" for path in wrong] or [result.stderr]
house.conclude("format", len(paths), violations)
