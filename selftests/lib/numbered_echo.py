# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered datagrams to a host and back: which arrive, and whether any arrives twice or was never sent.

numbered_echo.py serve PORT FILE                 answers what is genuine with itself
numbered_echo.py ask ADDRESS PORT FILE           25 a second

FILE always holds one line: how many different ones have come, how many copies, how many that nobody sent, and
where the newest is from.
"""
import hashlib
import os
import socket
import struct
import sys
import time

PAUSE = 0.04


def datagram(number):
    head = struct.pack("!Q", number)
    return head + hashlib.sha256(b"numbered" + head).digest()


class Count:
    def __init__(self, path):
        self.seen, self.again, self.foreign = set(), 0, 0
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self.write("-")

    def take(self, data, source):
        number = struct.unpack("!Q", data[:8])[0] if len(data) >= 8 else 0
        genuine = data == datagram(number)
        self.foreign += not genuine
        self.again += genuine and number in self.seen
        if genuine:
            self.seen.add(number)
        self.write(source)
        return genuine

    def write(self, source):
        os.pwrite(self.file, f"{len(self.seen)} {self.again} {self.foreign} {source}".ljust(79).encode() + b"\n", 0)


def serve(port, path):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("0.0.0.0", int(port)))
    count = Count(path)
    while True:
        data, source = s.recvfrom(2048)
        if count.take(data, source[0]):
            s.sendto(data, source)


def ask(address, port, path):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((address, int(port)))
    count, number, due = Count(path), 0, time.monotonic()
    while True:
        try:
            if time.monotonic() >= due:
                number, due = number + 1, time.monotonic() + PAUSE
                s.send(datagram(number))
            s.settimeout(max(due - time.monotonic(), 0.001))
            count.take(s.recv(2048), address)
        except OSError:  # a timeout, or an ICMP error: the next one may get through
            pass


{"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
