# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of portarp's maps (maps/portarp.h) as `bpftool batch` commands, written as an agent would.

portarp_fill.py DIR	reads lines from standard input:

address ADDRESS A K FIRST [BLOCK [USE]]
    a shared address; BLOCK and USE are counted from 1, 0 = none
owner INDEX[-LAST] MAC known|stale|none|up|asked [WAITING]
ports BLOCK LOW HIGH INDEX
    single ports and ranges of a block belong to the owner INDEX
mine ADDRESS A K LOW HIGH PSID...
    a host's own: sets, and a range unless LOW is 0
abi N
"""
import ipaddress
import struct
import sys

FLAGS = {"known": 0x8000, "stale": 0xC000, "none": 0x2000, "up": 0x9000, "asked": 0}


def update(name, key, value):
    key, value = key.hex(" "), value.hex(" ")
    print(f"map update pinned {DIR}/{name} key hex {key} value hex {value}")


def address(text):
    return ipaddress.IPv4Address(text).packed


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def add_address(host, a, k, first, block="0", use="0"):
    value = struct.pack("=IIII6sHBBBBI", int(first), int(block), int(use), 1, bytes(6), 1500, int(a), int(k), 0, 0, 0)
    update("portarp_addr", address(host), value)


def add_owner(indices, who, state, waiting="0"):
    first, last = indices.split("-") if "-" in indices else (indices, indices)
    for index in range(int(first), int(last) + 1):
        update("portarp_owner", struct.pack("=I", index), struct.pack("=6sH", mac(who), FLAGS[state] | int(waiting)))


def add_ports(block, low, high, index):
    for port in range(int(low), int(high) + 1):
        update("portarp_port", struct.pack("=I", (int(block) - 1) << 16 | port), struct.pack("=I", int(index) + 1))


def add_mine(host, a, k, low, high, *psids):
    psids = [int(psid) for psid in psids]
    further = (psids[1:] + [0] * 7)[:7]
    ranges = [int(low), int(high)] if int(low) else []
    value = struct.pack("=BBH7HBB", int(a), int(k), psids[0], *further, len(psids), len(ranges) // 2)
    value += struct.pack("=32H", *(ranges + [0] * 32)[:32]) + struct.pack("=HHIIQ", 0, 0, 1, 0, 0)
    update("portarp_mine", address(host), value)


def set_abi(number):
    update("portarp_conf", bytes(4), struct.pack("=I", int(number)) + bytes(332))


DIR = sys.argv[1]
COMMANDS = {"address": add_address, "owner": add_owner, "ports": add_ports, "mine": add_mine, "abi": set_abi}
for line in sys.stdin:
    what, *words = line.split()
    COMMANDS[what](*words)
