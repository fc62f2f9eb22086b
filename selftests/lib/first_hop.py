#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""first_hop.py ADDRESS PORT: sends a datagram with TTL 1 and prints who says that its time is over."""
import socket
import sys

IP_RECVERR, MSG_ERRQUEUE = 11, 0x2000
address, port = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
s.settimeout(0.5)
for _ in range(10):
    s.sendto(b"hop", (address, port))
    try:
        s.recv(100)
    except OSError:
        pass
    try:
        _, ancillary, _, _ = s.recvmsg(100, 512, MSG_ERRQUEUE)
    except OSError:
        continue
    for level, kind, data in ancillary:
        # struct sock_extended_err, then the sockaddr_in of who sent the error
        if level == socket.IPPROTO_IP and kind == IP_RECVERR and data[5] == 11:
            print(socket.inet_ntoa(data[20:24]))
            sys.exit(0)
sys.exit(1)
