#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What binds give.

bind.py ADDRESS PORT                       prints OK or the error's name
bind.py --automatic N ADDRESS A K PSID     N automatic ports, TCP and UDP by turns; prints how many are outside the set
"""
import errno
import resource
import socket
import sys


def kinds(i):
    return socket.SOCK_STREAM if i % 2 else socket.SOCK_DGRAM


def in_set(port, a, k, psid):
    """RFC 7597, 5.1, by the digits of the number."""
    digits = f"{port:016b}"
    return (a == 0 or "1" in digits[:a]) and int(digits[a:a + k] or "0", 2) == psid


def automatic(count, address, a, k, psid):
    outside, kept = 0, []
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, max(count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    for i in range(count):
        s = socket.socket(socket.AF_INET, kinds(i))
        s.bind((address, 0))
        kept.append(s)
        outside += not in_set(s.getsockname()[1], a, k, psid)
    return outside


if sys.argv[1] == "--automatic":
    print(automatic(int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:7])))
else:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).bind((sys.argv[1], int(sys.argv[2])))
        print("OK")
    except OSError as error:
        print(errno.errorcode[error.errno])
