# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of a waypoint's and a gateway's maps as `bpftool batch` commands, written as agents would.

tunnel_fill.py DIR STEM		reads lines from standard input:

peer INDEX LOCAL REMOTE PORT VNI IFINDEX DST_MAC SRC_MAC MTU [straight]
    where and how packets are sealed; PORT is the remote one
key VNI PEER		how packets that carry VNI are opened
address ADDRESS NUMBER	(waypoint)
wait NUMBER PLACE PREFIX/BITS PEER HOST SECONDS ADDRESS
host NUMBER ADDRESS IFINDEX DST_MAC SRC_MAC MTU plain|masked|aware	(gateway)
host6 ADDRESS PEER HOST	(waypoint)

Keys of the tunnel follow from the VNI: both ends are filled by this program.
"""
import hashlib
import ipaddress
import struct
import sys
import time

CPUS = 64
MODES = {"plain": 1, "masked": 2, "aware": 3}


def update(name, key, value):
    print(f"map update pinned {DIR}/{STEM}_{name} key hex {key.hex(' ')} value hex {value.hex(' ')}")


def mapped(text):
    address = ipaddress.ip_address(text)
    return bytes(10) + b"\xff\xff" + address.packed if address.version == 4 else address.packed


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def secret(vni):
    return hashlib.sha256(b"story %d" % int(vni)).digest()[:16]


def add_peer(index, local, remote, port, vni, ifindex, dst, src, mtu, *words):
    flags = 1 | (4 if "straight" in words else 0)
    value = secret(vni) + mapped(local) + mapped(remote) + struct.pack(">HH", 6081, int(port))
    value += struct.pack("=II6s6sHBBI", int(vni), int(ifindex), mac(dst), mac(src), int(mtu), flags, 0, 0)
    update("peer", struct.pack("=I", int(index)), value)


def add_key(vni, peer):
    update("key", struct.pack("=I", int(vni)), secret(vni) + struct.pack("=IHBBQ", int(peer), CPUS, 0, 0, 0))
    for cpu in range(CPUS):
        update("window", struct.pack("=II", int(vni), cpu), bytes(144))


def add_address(address, number):
    update("addr", ipaddress.IPv4Address(address).packed, struct.pack("=IIQ", int(number), 0, 0))


def add_wait(number, place, prefix, peer, host, seconds, address):
    network = ipaddress.ip_network(prefix)
    until = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + int(float(seconds) * 1e9)
    value = struct.pack("=QQ", until, 1) + network.network_address.packed + network.netmask.packed
    update("wait", struct.pack("=I", int(number) * 8 + int(place)), value + struct.pack("=IIII", int(peer), int(host), 0, 0))
    update("addr", ipaddress.IPv4Address(address).packed, struct.pack("=IIQ", int(number), 0, until))


def add_host(number, address, ifindex, dst, src, mtu, mode):
    value = mapped(address) + struct.pack("=I6s6sHBB", int(ifindex), mac(dst), mac(src), int(mtu), MODES[mode], 0)
    update("host", struct.pack("=I", int(number)), value)


def add_host6(address, peer, host):
    update("host6", mapped(address), struct.pack("=II", int(peer), int(host)))


DIR, STEM = sys.argv[1], sys.argv[2]
for line in sys.stdin:
    words = line.split()
    if words:
        globals()["add_" + words[0]](*words[1:])
