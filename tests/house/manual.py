#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""manual.py ROOT: docs/netnsync.1 has every command of netnsync's table, in its synopsis and described, and no other."""
import os
import re
import sys

import house

TABLE, MANUAL = "src/cli/main.c", "docs/netnsync.1"
ROW = re.compile(r'^\s*\{"(\w+)", ".*", ".*", nns_cli_\w+\},$', re.MULTILINE)
SECTION = re.compile(r"^\.S[hs] (.*)$", re.MULTILINE)
PLACES = {"SYNOPSIS": re.compile(r"^\.Cm (\w+)", re.MULTILINE),
          "Commands": re.compile(r"^\.It Cm (\w+)", re.MULTILINE)}


def sections(text):
    """{title: text} of a manual page; a subsection is one of its own."""
    parts = SECTION.split(text)
    return dict(zip(parts[1::2], parts[2::2]))


def check(root):
    if not all(os.path.exists(os.path.join(root, path)) for path in (TABLE, MANUAL)):
        return 0, []
    commands = ROW.findall(house.read(root, TABLE))
    pages = sections(house.read(root, MANUAL))
    violations = []
    for title, pattern in PLACES.items():
        named = pattern.findall(pages.get(title, ""))
        violations += [f"{MANUAL}: {title}: lacks {name}" for name in commands if name not in named]
        violations += [f"{MANUAL}: {title}: there is no command {name}" for name in named if name not in commands]
    return len(commands), violations


house.conclude("manual", *check(sys.argv[1]))
