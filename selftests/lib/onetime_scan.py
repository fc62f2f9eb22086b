#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""onetime_scan.py SECONDS PORT...: tries each address of standard input by TCP and UDP at each port, and by ping.

Prints one JSON object: addresses, asked (attempts), connected and answers (connections, datagrams, refusals, ICMP of any
kind that came back).
"""
import errno
import json
import select
import socket
import struct
import sys
import time

SECONDS, PORTS = float(sys.argv[1]), [int(port) for port in sys.argv[2:]]
ADDRESSES = sys.stdin.read().split()
PART = 200  # sockets at a time


def started(address, port, kind):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, kind)
    s.setblocking(False)
    try:
        s.connect((address, port))
    except BlockingIOError:
        pass
    if kind == socket.SOCK_DGRAM:
        s.send(b"anybody there?")
    return s


def outcome(s):
    """Of a socket that is ready: has it connected, or been answered?"""
    error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        return False, error != errno.ETIMEDOUT
    return s.type == socket.SOCK_STREAM, True


def tried(part):
    end, connected, answers = time.monotonic() + SECONDS, 0, 0
    waiting = [started(*what) for what in part]
    while waiting and (left := end - time.monotonic()) > 0:
        streams = [s for s in waiting if s.type == socket.SOCK_STREAM]
        readable, writable, _ = select.select([s for s in waiting if s not in streams], streams, [], left)
        for s in readable + writable:
            is_connected, is_answer = outcome(s)
            connected += is_connected
            answers += is_answer
            s.close()
            waiting.remove(s)
    for s in waiting:
        s.close()
    return connected, answers


def pinged():
    """Echo requests by raw sockets; what comes from any of the addresses, or tells about them, is an answer."""
    known, answers = set(ADDRESSES), 0
    six, four = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58), socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
    for address in ADDRESSES:
        if ":" in address:
            six.sendto(struct.pack("!BBHHH", 128, 0, 0, 77, 1), (address, 0))
        else:
            four.sendto(struct.pack("!BBHHH", 8, 0, ~(0x800 + 77 + 1) & 0xFFFF, 77, 1), (address, 0))
    end = time.monotonic() + SECONDS
    while (left := end - time.monotonic()) > 0:
        for s in select.select([six, four], [], [], left)[0]:
            answers += s.recvfrom(2000)[1][0] in known
    return answers


def main():
    told = {"addresses": len(ADDRESSES), "asked": 0, "connected": 0, "answers": pinged()}
    attempts = [(address, port, kind) for address in ADDRESSES for port in PORTS
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
    for i in range(0, len(attempts), PART):
        connected, answers = tried(attempts[i:i + PART])
        told["connected"] += connected
        told["answers"] += answers
    told["asked"] = len(attempts) + len(ADDRESSES)
    print(json.dumps(told))


main()
