#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what resoa_calls said twice, case by case.

resoa_calls_diff.py LOCAL HERE [PATTERN...]: lines that match a pattern may differ. Prints `same CASE`, or `differs CASE`
and its lines.
"""
import difflib
import re
import sys


def read(path, patterns):
    cases = {}
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, separator, text = line.rstrip("\n").partition(": ")
            if not separator:
                name, text = "?", line.rstrip("\n")
            cases.setdefault(name, [])
            if not any(re.search(p, name + ": " + text) for p in patterns):
                cases[name].append(text)
    return cases


local, here = (read(path, sys.argv[3:]) for path in sys.argv[1:3])
for case in list(local) + [name for name in here if name not in local]:
    if local.get(case) == here.get(case):
        print("same", case)
        continue
    print("differs", case)
    lines = difflib.unified_diff(local.get(case, []), here.get(case, []), "local", "here", n=1, lineterm="")
    for line in list(lines)[2:]:
        print("    " + line)
