# SPDX-License-Identifier: GPL-3.0-or-later
"""IPsec AH (RFC 4302) with HMAC-SHA-256-128 (RFC 4868) in userspace, for kernels that have none.

ah.py echo LOCAL SECONDS	answers what is genuine, from the address that it came to
ah.py ping LOCAL REMOTE COUNT	prints how many answers were genuine
"""
import hashlib
import hmac
import socket
import struct
import sys
import time

KEY = b"isthmus selftests' AH, of 32 byt"
AH = 51
NONE = 59  # no next header
TEXT = b"what nobody on the way may change"


def icv(source, destination, length, ident, ah, payload):
    """Mutable fields of the IP header are zero (RFC 4302, 3.3.3.1): TOS, flags, offset, TTL, checksum."""
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length, ident, 0, 0, AH, 0, source, destination)
    return hmac.new(KEY, header + ah + bytes(16) + payload, hashlib.sha256).digest()[:16]


def packet(source, destination, sequence):
    source, destination = socket.inet_aton(source), socket.inet_aton(destination)
    ah = struct.pack(">BBHII", NONE, (12 + 16) // 4 - 2, 0, 0x1000, sequence)
    length, ident = 20 + 28 + len(TEXT), 0x4000 + sequence
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length, ident, 0, 64, AH, 0, source, destination)
    return header + ah + icv(source, destination, length, ident, ah, TEXT) + TEXT


def genuine(data):
    """Source, destination and sequence of a whole packet, or None."""
    if len(data) != 20 + 28 + len(TEXT) or data[0] != 0x45 or data[9] != AH:
        return None
    length, ident = struct.unpack(">HH", data[2:6])
    ah, tag, payload = data[20:32], data[32:48], data[48:]
    if not hmac.compare_digest(tag, icv(data[12:16], data[16:20], length, ident, ah, payload)):
        return None
    return socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20]), struct.unpack(">I", ah[8:12])[0]


def open_socket(local):
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, AH)
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
    raw.bind((local, 0))
    return raw


def echo(local, seconds):
    raw = open_socket(local)
    raw.settimeout(0.2)
    print("ready", flush=True)
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        try:
            found = genuine(raw.recv(2048))
        except socket.timeout:
            continue
        print(found, flush=True)
        if found:
            raw.sendto(packet(found[1], found[0], found[2]), (found[0], 0))


def ping(local, remote, count):
    raw = open_socket(local)
    raw.settimeout(1)
    good = 0
    for sequence in range(1, int(count) + 1):
        raw.sendto(packet(local, remote, sequence), (remote, 0))
        try:
            good += genuine(raw.recv(2048)) == (remote, local, sequence)
        except socket.timeout:
            pass
    print(good)


{"echo": echo, "ping": ping}[sys.argv[1]](*sys.argv[2:])
