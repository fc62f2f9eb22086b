#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends what no program sends: garbage.py SOURCE DESTINATION LOW-HIGH COUNT [SEED], IPv4, as root.

COUNT packets go to random ports of the range: random datagrams, TCP segments with any flags,
lengths and options, fragments, IP options, headers that are cut off, unknown protocols, and ICMP
errors about sessions that do not exist. The same seed sends the same packets.
"""
import random
import socket
import struct
import sys


def cut(packet):
    return packet[:random.randrange(len(packet) + 1)]


def udp(port):
    length = random.choice([8, 0, 7, 65535, random.randrange(65536)])
    return socket.IPPROTO_UDP, struct.pack(">HHHH", random.randrange(65536), port, length,
                                           random.randrange(65536)) + random.randbytes(
                                               random.randrange(64))


def tcp(port):
    offset = random.choice([5, 5, 10, 15, 0, random.randrange(16)]) << 4
    flags = random.choice([0x02, 0x02, 0x12, 0x10, 0x04, 0x01, 0xff, random.randrange(256)])
    header = struct.pack(">HHIIBBHHH", random.randrange(65536), port, random.getrandbits(32),
                         random.getrandbits(32), offset, flags, random.randrange(65536),
                         random.randrange(65536), 0)
    return socket.IPPROTO_TCP, header + random.randbytes(random.randrange(64))


def icmp(port):
    inner = struct.pack(">BBHHHBBH", 0x45, 0, 60, 1, 0, 64, random.choice([6, 17]), 0)
    inner += socket.inet_aton(sys.argv[2]) + socket.inet_aton(sys.argv[1])
    inner += struct.pack(">HH", port, random.randrange(65536)) + bytes(16)
    kind, code = random.choice([(3, 4), (3, 3), (11, 0), (12, 0), (5, 1), (3, 255)])
    return socket.IPPROTO_ICMP, struct.pack(">BBHI", kind, code, 0, 576) + cut(inner)


def unknown(_):
    return random.randrange(256), random.randbytes(random.randrange(128))


def packet(source, destination, port):
    protocol, payload = random.choice([udp, tcp, tcp, icmp, unknown])(port)
    options = random.choice([b"", b"", b"", bytes([1] * 4), bytes([7, 39]) + bytes(38),
                             random.randbytes(40)])
    fragment = random.choice([0, 0, 0, 0x2000, 0x4000, random.randrange(65536)])
    if random.random() < 0.2:
        payload = cut(payload)
    header = struct.pack(">BBHHHBBH4s4s", 0x40 | (5 + len(options) // 4), random.randrange(256), 0,
                         random.randrange(65536), fragment, random.choice([64, 64, 1, 0]),
                         protocol, 0, source, destination)
    return header + options + payload


def main():
    source, destination = (socket.inet_aton(word) for word in sys.argv[1:3])
    low, high = (int(word) for word in sys.argv[3].split("-"))
    random.seed(int(sys.argv[5]) if len(sys.argv) > 5 else 1)
    refused = 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for _ in range(int(sys.argv[4])):
            try:
                raw.sendto(packet(source, destination, random.randint(low, high)),
                           (sys.argv[2], 0))
            except OSError:
                refused += 1  # the sender's own kernel wants a header that it understands
    print(int(sys.argv[4]) - refused)


if __name__ == "__main__":
    main()
