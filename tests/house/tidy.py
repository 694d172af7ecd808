#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py ROOT [SKELETONS]: clang-tidy finds nothing in src and bench. SKELETONS is the folder of built skeletons."""
import concurrent.futures
import os
import re
import subprocess
import sys

import house

FINDING = re.compile(r"^(.*?:\d+):\d+: (?:error|warning): (.*)$", re.MULTILINE)


def findings(root, skeletons, path):
    flags = ["-std=gnu17", "-D_GNU_SOURCE", '-DNNS_VERSION="0"', f"-I{root}/src", f"-I{root}/bench",
             *house.library_flags(), *[f"-isystem{folder}" for folder in skeletons]]
    result = subprocess.run(["clang-tidy-14", "--quiet", path, "--", *flags], cwd=root, capture_output=True, text=True)
    found = [f"{os.path.relpath(place, root)}: {what}" for place, what in FINDING.findall(result.stdout)]
    return found or ([f"{path}: {result.stderr}"] if result.returncode else [])


def check(root, skeletons):
    paths = [path for path in house.files_under(root, "src", "bench", endings=(".c",))
             if not path.endswith(".bpf.c")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda path: findings(root, skeletons, path), paths))
    return len(paths), sorted({finding for found in results for finding in found})


house.conclude("tidy", *check(os.path.abspath(sys.argv[1]), sys.argv[2:]))
