#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""tagged.py send DEV MAC | receive DEV: a frame with an 802.1Q tag, and whether it arrives whole."""
import socket
import struct
import sys

ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA, TAG_VALID = 3, 263, 8, 0x10
PAYLOAD = bytes(range(64, 164))
TCI = 0x2005


def send(dev, mac):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((dev, 0))
    s.send(bytes.fromhex(mac.replace(":", "")) + s.getsockname()[4] +
           struct.pack("!HHH", 0x8100, TCI, 0x88B5) + PAYLOAD)


def tag_of(frame, ancillary):
    """The kernel may keep the tag beside the frame (struct tpacket_auxdata)."""
    for level, kind, data in ancillary:
        status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data[:20])
        if level == SOL_PACKET and kind == PACKET_AUXDATA and status & TAG_VALID:
            return tci, frame[12:]
    if frame[12:14] == b"\x81\x00":
        return struct.unpack("!H", frame[14:16])[0], frame[16:]
    return None, frame[12:]


def receive(dev):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.bind((dev, ETH_P_ALL))
    s.settimeout(30)
    print("ready", flush=True)
    while True:
        frame, ancillary, _, _ = s.recvmsg(2000, 512)
        tci, rest = tag_of(frame, ancillary)
        if rest[:2] == b"\x88\xb5":
            return tci == TCI and rest[2:2 + len(PAYLOAD)] == PAYLOAD


if sys.argv[1] == "send":
    send(*sys.argv[2:])
else:
    sys.exit(0 if receive(sys.argv[2]) else 1)
