# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of splice's maps (maps/splice.h) as `bpftool batch` commands, written as BPF and an agent would.

splice_fill.py DIR session SUBSCRIBER AT PROVIDER AT tcp|udp FLAGS FLAGS ID
    two legs; with an ID other than 0 also both sides and their joined rendezvous.
    Up 11 packets of 100 bytes, down 22; joined 90 s ago, last seen 5 s ago.
splice_fill.py DIR many N
    N sessions at ports 3000 to 2999 + N, from ports 20000 on
splice_fill.py DIR joined SUBSCRIBER AT PROVIDER AT tcp|udp IFINDEX DST SRC IFINDEX DST SRC
    a session that forwards: the device and MAC addresses towards each side
splice_fill.py DIR abi N
"""
import ipaddress
import json
import struct
import subprocess
import sys
import time

FLAGS = {"none": 0, "pure": 1, "acked": 2, "fin": 4, "rst": 8}
PROVIDER = 0x10
PROTO = {"tcp": 6, "udp": 17}
SYN_RCVD = 2
LIVE = 1
NOW = time.monotonic_ns()
SECOND = 10**9


def address(text):
    host = ipaddress.ip_address(text)
    return host.packed if host.version == 6 else b"\0" * 10 + b"\xff\xff" + host.packed


def endpoint(text):
    host, port = text.rsplit(":", 1)
    return address(host), struct.pack("!H", int(port))


def update(name, key, value):
    key, value = key.hex(" "), value.hex(" ")
    print(f"map update pinned {DIR}/{name} key hex {key} value hex {value}")


def ranges():
    """splice_local: address to (low, high, first)."""
    dump = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", f"{DIR}/splice_local"],
                          check=True, capture_output=True).stdout
    result = {}
    for entry in json.loads(dump):
        key = bytes(int(byte, 16) for byte in entry["key"])
        result[key] = struct.unpack("=HHI", bytes(int(byte, 16) for byte in entry["value"]))
    return result


def leg_index(local, proto):
    """splice_leg_index() of maps/splice.h."""
    low, high, first = RANGES[local[0]]
    port = struct.unpack("!H", local[1])[0]
    assert low <= port <= high
    return first + port - low + (high - low + 1 if proto == PROTO["udp"] else 0)


def total(*parts):
    words = b"".join(parts)
    return sum(struct.unpack(f"={len(words) // 2}H", words))


def delta(old, new):
    """RFC 1624: the sum of ~old + new."""
    value = total(bytes(255 - byte for byte in old), new)
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def hop(ifindex=0, dst="", src=""):
    mac = [bytes.fromhex(one.replace(":", "")).ljust(6, b"\0") for one in (dst, src)]
    return struct.pack("=I6s6sHH", int(ifindex), *mac, 0, 0)


def leg(here, there, proto, flags, packets, way, seen, number):
    (remote, local), (far, far_local) = here, there
    value = (
        remote[0] + far_local[0] + far[0] + remote[1] + far_local[1] + far[1]
        + struct.pack("=HH", delta(remote[0] + local[0], far_local[0] + far[0]),
                      delta(remote[1] + local[1], far_local[1] + far[1]))
        + struct.pack("=BBI", LIVE, flags, 1) + way
        + struct.pack("=4xQQQQQ", NOW, number, seen, packets, 100 * packets)
    )
    update("splice_leg", struct.pack("=I", leg_index(local, proto)), value)


def side(own, other, which, proto, number):
    local = own[1][0] + own[1][1] + struct.pack("=Bx", proto)
    far = other[1][0] + other[1][1] + struct.pack("=Bx", proto)
    value = struct.pack("=QQ", number, NOW + 60 * SECOND) + own[0][0] + far + struct.pack("=BB2x", which, 1)
    update("splice_side", local, value)


def join(sides, number):
    value = struct.pack("=IB3xQ", 0, SYN_RCVD, NOW - 90 * SECOND)
    for remote, _ in sides:
        value += struct.pack("=Q2s38x", NOW - 90 * SECOND, remote[1])
    update("splice_join", struct.pack("=Q", number), value)


def flags_of(text):
    return sum(FLAGS[word] for word in text.split("+"))


def session(ends, proto, flags, number, ways=(hop(), hop()), packets=(11, 22)):
    sides = (ends[0:2], ends[2:4])
    seen = NOW - 5 * SECOND
    leg(sides[0], sides[1], PROTO[proto], flags[0], packets[0], ways[1], seen, number)
    leg(sides[1], sides[0], PROTO[proto], flags[1] | PROVIDER, packets[1], ways[0], seen, number)
    if number:
        join(sides, number)
        side(sides[0], sides[1], 0, PROTO[proto], number)
        side(sides[1], sides[0], 1, PROTO[proto], number)


def main(what, words):
    if what == "session":
        session([endpoint(word) for word in words[:4]], words[4], [flags_of(word) for word in words[5:7]],
                int(words[7]))
    elif what == "joined":
        session([endpoint(word) for word in words[:4]], words[4], [FLAGS["acked"]] * 2, 0,
                (hop(*words[5:8]), hop(*words[8:11])), (0, 0))
    elif what == "many":
        for i in range(int(words[0])):
            ends = [f"192.0.2.2:{20000 + i}", f"192.0.2.1:{3000 + i}",
                    f"198.51.100.2:{20000 + i}", f"198.51.100.1:{3000 + i}"]
            session([endpoint(word) for word in ends], "tcp", [FLAGS["acked"]] * 2, 0)
    elif what == "abi":
        update("splice_conf", bytes(4), struct.pack("=QQQII", 0, 0, 0, 1, int(words[0])) + bytes(32))


DIR = sys.argv[1]
RANGES = ranges()
main(sys.argv[2], sys.argv[3:])
