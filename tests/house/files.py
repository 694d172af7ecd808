#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""files.py ROOT: licence line first, no file too long, no path of a developer's machine."""
import os
import re
import sys

import house

LICENSED = (".c", ".h", ".py", ".sh", ".cmake", "CMakeLists.txt")
LONG, TOO_LONG = 700, 900
HOMES = r"/(?:home|Users)/\w+|/root/\w+"


def machine_paths(root):
    """Finds the tree's own place, and people's home directories. A place of one part may be anybody's word."""
    places = {place for place in (os.path.abspath(root), os.path.realpath(root)) if place.count("/") > 1}
    words = "|".join([HOMES, *(re.escape(place) + r"(?![\w.-])" for place in sorted(places))])
    # Not where it goes on from another path; a compiler's -I and -L stand before one without a blank.
    return re.compile(rf"(?:(?<![\w.~}}])|(?<=-[IL]))(?:{words})")


def check_license(path, lines):
    is_script = bool(lines) and lines[0].startswith("#!")
    if not (is_script or path.endswith(LICENSED)):
        return []
    line = 1 if is_script else 0
    if len(lines) > line and "SPDX-License-Identifier: " in lines[line]:
        return []
    return [f"{path}:{line + 1}: the SPDX line is missing here"]


def check_length(path, lines):
    if not path.startswith("src/") or len(lines) <= LONG:
        return []
    if len(lines) <= TOO_LONG:
        print(f"note: {path} is getting long: {len(lines)} lines")
        return []
    return [f"{path}: {len(lines)} lines, {TOO_LONG} allowed"]


def check_words(path, lines, forbidden):
    return [f"{path}:{number}: '{match.group()}' names somebody's machine" for number, line in enumerate(lines, 1)
            for match in forbidden.finditer(line)]


def check(root):
    violations = []
    forbidden = machine_paths(root)
    paths = [path for path in house.files_under(root) if not os.path.islink(os.path.join(root, path))]
    for path in paths:
        lines = house.read(root, path).splitlines()
        violations += check_license(path, lines) + check_length(path, lines) + check_words(path, lines, forbidden)
    return len(paths), violations


house.conclude("files", *check(sys.argv[1]))
