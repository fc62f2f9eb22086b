#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""spoof.py DEV MAC SOURCE SPORT DESTINATION DPORT COUNT: UDP datagrams past the kernel's own stack and its programs."""
import socket
import struct
import sys

dev, mac, source, sport, destination, dport, count = sys.argv[1:]
PACKET_QDISC_BYPASS, SOL_PACKET = 20, 263


def total(data):
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return ~value & 0xFFFF


s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
s.bind((dev, 0))
own = s.getsockname()[4]
payload = b"not mine"
udp = struct.pack("!HHHH", int(sport), int(dport), 8 + len(payload), 0) + payload
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0x4000, 64, 17, 0,
                 socket.inet_aton(source), socket.inet_aton(destination))
ip = ip[:10] + struct.pack("!H", total(ip)) + ip[12:]
frame = bytes.fromhex(mac.replace(":", "")) + own + b"\x08\x00" + ip + udp
for _ in range(int(count)):
    s.send(frame)
