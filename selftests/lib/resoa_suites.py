# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs parts of CPython's own tests in this network: resoa_suites.py HOST MODULE[.CLASS]...

One line for each test, sorted: its name and how it ended. HOST is what these tests take for their own
address; they mean loopback, which does not leave a network.
"""
import faulthandler
import sys
import unittest

from test import support
from test.support import socket_helper

LIMIT = 80  # seconds; then all stacks are written, and it ends


class Results(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.lines = {}

    def note(self, test, how):
        self.lines[test.id()] = how

    def addSuccess(self, test):
        self.note(test, "ok")

    def addSkip(self, test, reason):
        self.note(test, "skipped")

    def addExpectedFailure(self, test, err):
        self.note(test, "failed as expected")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, "failed: " + why(err))

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, "error: " + why(err))


def why(err):
    return " ".join(f"{err[0].__name__} {err[1]}".split())


def main(host, names):
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    support.gc_collect = lambda: None  # three collections a test: most of its time
    socket_helper.HOST = socket_helper.HOSTv4 = host
    socket_helper.bind_port.__defaults__ = (host,)
    support.use_resources = {}  # nothing that goes to the Internet
    results = Results()
    unittest.defaultTestLoader.loadTestsFromNames(["test." + name for name in names]).run(results)
    for line in sorted(f"{test} {how}" for test, how in results.lines.items()):
        print(line)


main(sys.argv[1], sys.argv[2:])
