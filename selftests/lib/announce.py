#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Announces pairs to the splice datapath as the translator's agent does, by bpftool.

Reads lines `SESSION PROTO SECONDS LOCAL0 PORT0 EXPECTED0 LOCAL1 PORT1 EXPECTED1`: a number, tcp or
udp, how long the rendezvous lasts, then for the subscriber (0) and the provider (1) the translator's
address and port that is theirs and the address that a probe would have shown (- = no probe yet).
PORT 0: not announced (the second side of a pure splice). Layouts: maps/splice.h.
"""
import ipaddress
import struct
import subprocess
import sys
import time

PINS = "/sys/fs/bpf/isthmus"


def address(text):
    if text == "-":
        return bytes(16)
    parsed = ipaddress.ip_address(text)
    return bytes(10) + b"\xff\xff" + parsed.packed if parsed.version == 4 else parsed.packed


def local_key(local, port, proto):
    return address(local) + struct.pack(">H", int(port)) + bytes([{"tcp": 6, "udp": 17}[proto], 0])


def command(folder, name, key, value):
    return f"map update pinned {folder}/{name} key hex {key.hex(' ')} value hex {value.hex(' ')}\n"


def announce(folder, line):
    session, proto, seconds, *words = line.split()
    session = int(session)
    sides = [words[0:3], words[3:6]]
    keys = [local_key(side[0], side[1], proto) for side in sides]
    expires = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + int(float(seconds) * 1e9)
    text = command(folder, "splice_join", struct.pack("=Q", session), bytes(112))
    for side, (_, port, expected) in enumerate(sides):
        if port == "0":
            continue
        value = struct.pack("=QQ", session, expires) + address(expected) + keys[1 - side] + bytes(
            [side, expected != "-", 0, 0])
        text += command(folder, "splice_side", keys[side], value)
    return text


def main():
    folder = f"{PINS}/{sys.argv[1]}/splice"
    batch = "".join(announce(folder, line) for line in sys.stdin)
    done = subprocess.run(["bpftool", "batch", "file", "-"], input=batch, text=True,
                          capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
