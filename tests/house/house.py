# SPDX-License-Identifier: Apache-2.0
"""What the house rules share: walking the tree, reading C without its comments, reporting."""
import functools
import os
import re
import subprocess
import sys

LEFT_OUT = {"build", ".git"}
LIBRARIES = ["libuv", "libbpf", "libnl-3.0", "libnl-route-3.0", "jansson"]
TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def files_under(root, *folders, endings=("",)):
    """The paths, relative to ROOT, of the files in FOLDERS (all when none is named) with one of ENDINGS."""
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if name not in LEFT_OUT and name != "__pycache__")
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root)
            if name in LEFT_OUT:  # .git is a file in a linked work tree
                continue
            if name.endswith(endings) and (not folders or path.startswith(tuple(f + "/" for f in folders))):
                found.append(path)
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def without_comments(text, keep_strings=True):
    """TEXT with the same lines, its comments blank (and its strings too, on request)."""

    def blank(match):
        token = match.group()
        if token[0] != "/" and keep_strings:
            return token
        return re.sub(r"[^\n]", " ", token)

    return TOKENS.sub(blank, text)


def includes(root, path):
    """(line, is quoted, name) of every include of a file."""
    text = without_comments(read(root, path))
    return [(text.count("\n", 0, match.start()) + 1, match.group(1) == '"', match.group(2))
            for match in INCLUDE.finditer(text)]


@functools.cache
def library_flags():
    """What a compiler needs to find the outside libraries' headers."""
    output = subprocess.run(["pkg-config", "--cflags", *LIBRARIES], capture_output=True, text=True, check=True)
    return output.stdout.split()


def conclude(rule, checked, violations):
    """Ends a rule's program. A rule that found nothing to look at has not been kept: it did not look."""
    for violation in violations:
        print(violation)
    if not checked:
        print(f"{rule}: found nothing to check")
    print(f"{rule}: {checked} checked, {len(violations)} wrong")
    sys.exit(1 if violations or not checked else 0)
