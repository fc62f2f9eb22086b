#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Initiators of a network, each of which asks for a name and sends a first packet to the answer.

Each is an address of --clients, which are local here; with --subnet, of a /24 of its own. They ask
themselves, or a resolver's address --from asks for them, with the client's subnet (RFC 7871) if
there is --subnet, and with a cookie (RFC 7873), so that its address is known to be true. --window
of them are on their way at once, and at most --rate of them begin in a second. An answer's address is sent a UDP datagram by the initiator up to
--delay-ms later. At the end a line of JSON:

    asked, again (truncated: asked once more), answered, failed (an rcode, or no address),
    silent (no answer in --timeout), sent (first packets), late_ms (the longest that a packet was
    sent after its time), seconds
"""
import argparse
import heapq
import ipaddress
import json
import os
import random
import select
import socket
import struct
import time

PORT = 4000  # of first packets; nobody has to listen there
OPT, SUBNET, COOKIE = 41, 8, 10
TRUNCATED, RCODE = 0x0200, 0x000F


def question(number, name, subnet, cookie):
    """A question for A, with EDNS."""
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    options = struct.pack("!HH", COOKIE, len(cookie)) + cookie
    if subnet:
        options += struct.pack("!HHHBB", SUBNET, 7, 1, 24, 0) + subnet.packed[:3]
    return (struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 1) + labels + b"\0\0\1\0\1" +
            struct.pack("!BHHIH", 0, OPT, 1232, 0, len(options)) + options)


def skip_name(data, at):
    while data[at]:
        if data[at] >= 0xC0:
            return at + 2
        at += 1 + data[at]
    return at + 1


def read(data):
    """Flags, the last A, and the cookie of an answer."""
    _, flags, questions, *counts = struct.unpack_from("!HHHHHH", data)
    at, address, cookie = 12, None, None
    for _ in range(questions):
        at = skip_name(data, at) + 4
    for _ in range(sum(counts)):
        at = skip_name(data, at)
        kind, _, _, length = struct.unpack_from("!HHIH", data, at)
        at += 10
        if kind == 1:
            address = socket.inet_ntoa(data[at:at + 4])
        option = at
        while kind == OPT and option + 4 <= at + length:
            code, size = struct.unpack_from("!HH", data, option)
            if code == COOKIE:
                cookie = data[option + 4:option + 4 + size]
            option += 4 + size
        at += length
    return flags, address, cookie


class Initiators:
    def __init__(self, options):
        self.options = options
        self.names = options.names.split(",")
        network = ipaddress.ip_network(options.clients)
        step = 256 if options.subnet else 1
        self.clients = (network[i] for i in range(1, network.num_addresses, step))
        self.cookie = os.urandom(8)
        self.poll = select.epoll()
        self.waiting = {}  # fd: socket, number, name, client, deadline
        self.due = []  # time, client, address
        self.count = dict.fromkeys(["asked", "again", "answered", "failed", "silent", "sent"], 0)
        self.late = 0.0

    def ask(self, client, name):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        one.bind((self.options.source or str(client), 0))
        one.connect((self.options.server, 53))
        number = random.randrange(65536)
        one.send(question(number, name, self.options.subnet and client, self.cookie))
        self.waiting[one.fileno()] = one, number, name, client, time.monotonic() + self.options.timeout
        self.poll.register(one.fileno(), select.EPOLLIN)

    def ask_next(self):
        self.ask(next(self.clients), self.names[self.count["asked"] % len(self.names)])
        self.count["asked"] += 1

    def forget(self, fd):
        self.poll.unregister(fd)
        self.waiting.pop(fd)[0].close()

    def hear(self, fd):
        one, number, name, client, _ = self.waiting[fd]
        try:
            data = one.recv(4096)
        except OSError:
            data = b""
        if len(data) < 12 or struct.unpack_from("!H", data)[0] != number:
            return
        self.forget(fd)
        flags, address, cookie = read(data)
        if self.options.source and cookie and len(cookie) > 8:
            self.cookie = cookie
        if flags & TRUNCATED:
            self.count["again"] += 1
            self.ask(client, name)
        elif flags & RCODE or not address:
            self.count["failed"] += 1
        else:
            self.count["answered"] += 1
            delay = random.uniform(0, self.options.delay_ms / 1000)
            heapq.heappush(self.due, (time.monotonic() + delay, int(client), address))

    def send_due(self):
        while self.due and self.due[0][0] <= time.monotonic():
            when, client, address = heapq.heappop(self.due)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.bind((str(ipaddress.ip_address(client)), 0))
                one.sendto(b"first", (address, PORT))
            self.late = max(self.late, time.monotonic() - when)
            self.count["sent"] += 1

    def end_silent(self):
        now = time.monotonic()
        for fd in [fd for fd, one in self.waiting.items() if one[4] <= now]:
            self.forget(fd)
            self.count["silent"] += 1

    def run(self):
        begin = time.monotonic()
        end = begin + self.options.seconds
        while True:
            more = time.monotonic() < end and self.count["asked"] < self.options.count
            most = min(self.options.count, 1 + (time.monotonic() - begin) * self.options.rate)
            while more and len(self.waiting) < self.options.window and self.count["asked"] < most:
                self.ask_next()
            if not more and not self.waiting and not self.due:
                break
            for fd, _ in self.poll.poll(0.002):
                self.hear(fd)
            self.send_due()
            self.end_silent()
        return self.count | {"late_ms": round(self.late * 1000), "seconds": time.monotonic() - begin}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--names", required=True)
    parser.add_argument("--clients", required=True)
    parser.add_argument("--from", dest="source")
    parser.add_argument("--subnet", action="store_true")
    parser.add_argument("--window", type=int, default=8)
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--rate", type=float, default=1e9)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--timeout", type=float, default=5)
    print(json.dumps(Initiators(parser.parse_args()).run()))


main()
