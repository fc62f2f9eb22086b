#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wire between two devices that changes TCP and UDP ports of what passes, in the middle of sessions.

ports_shift.py CONTROL NEAR FAR

Devices of its namespace; the hosts at both ends send whole checksums (ethtool -K DEV tx off). CONTROL is a
UNIX stream socket: a connection says one line `WHICH BACK EVERY`, and gets what was seen since the last one:

	WHICH	none, source, dest or both: which ports of packets from NEAR to FAR are changed, from the
		EVERYth packet of a session on, and anew with each EVERY packets. A session is a pair of
		addresses; where source ports stay, they tell sessions apart, too.
	BACK	own: answers get other ports in the same way (the client ignores ports, too);
		map: they get the ports that the client has used, for it knows no others.

	{"changed": packets to FAR with other ports,
	 "back":  answers whose ports were right (those of the last packet that went to FAR, exchanged),
		  stale (of one before: both were under way) and wrong,
	 "forth": the same of packets to FAR after answers,
	 "fins":  TCP FINs to FAR, to NEAR}
"""
import json
import os
import select
import socket
import struct
import sys

OUTGOING = 4
ETH = {0x86DD: (40, 6, 8, 24), 0x0800: (20, 9, 12, 16)}  # header, protocol at, source at, destination at


class Session:
    def __init__(self):
        self.count = [0, 0]  # of packets to FAR, to NEAR
        self.first = None  # the client's ports
        self.sent = [[], []]  # (source, destination) as they left us, to FAR, to NEAR


def checksum_after(check, old, new):
    """RFC 1624, equation 3."""
    total = ~check & 0xFFFF
    for was, is_ in zip(old, new):
        total += (~was & 0xFFFF) + is_
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Wire:
    def __init__(self, which, back, every):
        self.which, self.back, self.every = which, back, int(every)
        self.sessions = {}
        self.seen = {"changed": 0, "fins": [0, 0], "examples": []}
        for name in ("back", "forth"):
            self.seen[name] = {"right": 0, "stale": 0, "wrong": 0}

    def session(self, proto, near, far, near_port):
        key = (proto, near, far, near_port if self.which in ("none", "dest") else None)
        return self.sessions.setdefault(key, Session())

    def judge(self, name, others, ports):
        if not others:
            return
        came = [(dest, source) for source, dest in others[-8:]]
        kind = "right" if ports == came[-1] else "stale" if ports in came else "wrong"
        self.seen[name][kind] += 1
        if kind != "right" and len(self.seen["examples"]) < 4:
            self.seen["examples"].append([name, ports, came[-3:]])

    def to_far(self, session, source, dest):
        stage = session.count[0] // self.every
        if stage and self.which in ("source", "both"):
            source = 1024 + (session.first[0] + 977 * stage) % 60000
        if stage and self.which in ("dest", "both"):
            dest = 1024 + (session.first[1] + 1009 * stage) % 60000
        return source, dest

    def to_near(self, session, source, dest):
        if self.back == "map":
            return session.first[1], session.first[0]
        stage = session.count[1] // self.every
        if stage and self.which in ("source", "both"):
            dest = 1024 + (session.first[0] + 613 * stage) % 60000
        if stage and self.which in ("dest", "both"):
            source = 1024 + (session.first[1] + 757 * stage) % 60000
        return source, dest

    def ports(self, to, proto, source_address, dest_address, source, dest):
        """Those that the packet gets."""
        near, far, near_port = source_address, dest_address, source
        if to:
            near, far, near_port = dest_address, source_address, dest
        session = self.session(proto, near, far, near_port)
        if to and not session.first:
            return source, dest
        session.first = session.first or (source, dest)
        self.judge(("forth", "back")[to], session.sent[1 - to], (source, dest))
        new = (self.to_far, self.to_near)[to](session, source, dest)
        session.count[to] += 1
        session.sent[to].append(new)
        if not to:
            self.seen["changed"] += new != (source, dest)
        return new

    def frame(self, to, frame):
        shape = ETH.get(int.from_bytes(frame[12:14], "big"))
        if not shape:
            return frame
        header, proto_at, source_at, dest_at = shape
        at, proto = 14 + header, frame[14 + proto_at]
        if proto not in (6, 17):
            return frame
        if proto == 6 and frame[at + 13] & 1:
            self.seen["fins"][to] += 1
        addresses = frame[14 + source_at:14 + dest_at], frame[14 + dest_at:14 + 2 * dest_at - source_at]
        old = struct.unpack_from("!HH", frame, at)
        new = self.ports(to, proto, *addresses, *old)
        check_at = at + (16 if proto == 6 else 6)
        check = int.from_bytes(frame[check_at:check_at + 2], "big")
        frame = bytearray(frame)
        struct.pack_into("!HH", frame, at, *new)
        if check or proto == 6:
            struct.pack_into("!H", frame, check_at, checksum_after(check, old, new) or 0xFFFF * (proto == 17))
        return frame


def opened(device):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((device, 3))
    return s


def asked(control, wire):
    with control.accept()[0] as question:
        words = question.makefile().readline().split()
        question.sendall(json.dumps(wire.seen).encode() + b"\n")
    return Wire(*words)


def main(path, near, far):
    ends = [opened(near), opened(far)]
    control = socket.socket(socket.AF_UNIX)
    control.bind(path)
    os.chmod(path, 0o600)
    control.listen()
    wire = Wire("none", "map", 1)
    while True:
        for ready in select.select([*ends, control], [], [])[0]:
            if ready is control:
                wire = asked(control, wire)
                continue
            frame, where = ready.recvfrom(65536)
            if where[2] == OUTGOING:
                continue
            to = ends.index(ready)  # 0: to FAR
            try:
                ends[1 - to].send(wire.frame(to, frame))
            except OSError as e:
                print(f"not forwarded: {e}", flush=True)


main(*sys.argv[1:])
