#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A DHCP relay agent: RFC 1542, RFC 3046.

	dhcp_relay.py LAN GIADDR UP SERVER

Prints a line for each message that it relays: the way, the message type, whether option 82 came back.
"""
import selectors
import socket
import struct
import sys

lan, giaddr, up, server = sys.argv[1:]
CIRCUIT = bytes([82, 7, 1, 5]) + b"port7"


def bound(device):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
    s.bind(("", 67))
    return s


def end_of_options(m):
    at = 240
    while at < len(m) and m[at] != 255:
        at += 1 if m[at] == 0 else 2 + m[at + 1]
    return at


def to_server(m, out):
    if m[0] != 1 or m[3] >= 16:
        return
    m = bytearray(m)
    m[3] += 1
    m[24:28] = socket.inet_aton(giaddr)
    at = end_of_options(m)
    out.sendto(bytes(m[:at]) + CIRCUIT + b"\xff", (server, 67))
    print("up", m[242], flush=True)


def to_client(m, out):
    if m[0] != 2 or m[24:28] != socket.inet_aton(giaddr):
        return
    at = m.find(CIRCUIT, 240)
    echoed = "echoed" if at >= 0 else "lost"
    if at >= 0:
        m = m[:at] + m[at + len(CIRCUIT):]
    out.sendto(m, ("255.255.255.255", 68))
    print("down", m[242], echoed, flush=True)


def main():
    inside, outside = bound(lan), bound(up)
    selector = selectors.DefaultSelector()
    selector.register(inside, selectors.EVENT_READ)
    selector.register(outside, selectors.EVENT_READ)
    while True:
        for event, _ in selector.select():
            m = event.fileobj.recv(4096)
            if len(m) < 244 or struct.unpack_from("!I", m, 236)[0] != 0x63825363:
                continue
            if event.fileobj is inside:
                to_server(m, outside)
            else:
                to_client(m, inside)


main()
