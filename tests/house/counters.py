#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""counters.py ROOT: every counter of the table is counted somewhere in src."""
import re
import sys

import house

TABLE = "src/core/counters.h"
ROW = re.compile(r"\bX\((\w+),")
USE = re.compile(r"\bNNS_COUNT_(\w+)")


def check(root):
    paths = house.files_under(root, "src", endings=(".c", ".h"))
    if TABLE not in paths:
        return 0, []
    table = house.without_comments(house.read(root, TABLE))
    rows = [(table.count("\n", 0, match.start()) + 1, match.group(1)) for match in ROW.finditer(table)]
    used = set()
    for path in paths:
        if not path.startswith("src/core/counters."):
            used |= set(USE.findall(house.without_comments(house.read(root, path), keep_strings=False)))
    return len(rows), [f"{TABLE}:{line}: nobody counts {name}" for line, name in rows if name not in used]


house.conclude("counters", *check(sys.argv[1]))
