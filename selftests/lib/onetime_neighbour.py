#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of onetime's table as an agent makes them, and what a link's hosts see and send.

onetime_neighbour.py fill DIR PREFIX...
    a server's entry in each state (maps/onetime.h), good for ten minutes: 1 reserved, 2 pending ... 7 dead
onetime_neighbour.py session DIR ADDRESS PORT PEER PORT
    a client's TCP session
onetime_neighbour.py state DIR ADDRESS
onetime_neighbour.py time DEV ADDRESS
    milliseconds from this host's own question for an IPv6 address to the answer; `none` after 2 s
onetime_neighbour.py tagged DEV ADDRESS TCI...
    asks for an IPv6 address in a frame with these tags (hexadecimal); prints those of the answer, or `none`
onetime_neighbour.py advertise DEV ADDRESS...
    says to all nodes that IPv6 addresses are this device's
onetime_neighbour.py flood DEV PREFIX SECONDS
    solicitations from :: and others, and advertisements, for random addresses; prints how many of each
"""
import ipaddress
import json
import random
import socket
import struct
import subprocess
import sys
import time

STATES = ["free", "reserved", "pending", "taking", "claimed", "live", "closing", "dead"]
SSA, EA = 1, 2
TCP = 6
ENTRY = "=IBBBBII4s4s16sQQQQ16s"
ETH_IP6 = b"\x86\xdd"
SO_TIMESTAMPNS = 35
SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 0x10


def address(text):
    host = ipaddress.ip_address(text)
    return host.packed if host.version == 6 else b"\0" * 10 + b"\xff\xff" + host.packed


def bpftool(*words, batch=None):
    return subprocess.run(["bpftool", "-j", *words], input=batch, text=True, check=True, capture_output=True).stdout


def entry(directory, addr, name, use, ports, peer):
    now = time.monotonic_ns()
    value = struct.pack(ENTRY, STATES.index(name), use, 0, TCP, 0, 0, 1, ports, ports, peer, now + 600 * 10**9, now, 0, 0, b"")
    return f"map update pinned {directory}/onetime_addr key hex {addr.hex(' ')} value hex {value.hex(' ')}\n"


def fill(directory, *prefixes):
    lines = ""
    for prefix in prefixes:
        for number, name in enumerate(STATES[1:], 1):
            addr = address(str(ipaddress.ip_network(prefix)[number]))
            lines += entry(directory, addr, name, SSA, b"", b"")
    bpftool("batch", "file", "-", batch=lines)


def session(directory, addr, port, peer, peer_port):
    ports = struct.pack("!HH", int(port), int(peer_port))
    bpftool("batch", "file", "-", batch=entry(directory, address(addr), "live", EA, ports, address(peer)))


def state(directory, addr):
    words = ["map", "lookup", "pinned", f"{directory}/onetime_addr", "key", "hex", *address(addr).hex(" ").split()]
    try:
        value = json.loads(bpftool(*words))["value"]
    except subprocess.CalledProcessError:
        print("free")
        return
    print(STATES[struct.unpack("=I", bytes(int(byte, 16) for byte in value[:4]))[0]])


def message_of(frame, wanted, target):
    """Is it ICMPv6 of this type about this address?"""
    return frame[12:14] == ETH_IP6 and frame[20] == 58 and frame[54] == wanted and frame[62:78] == target


def stamp_of(ancillary):
    """When the kernel saw it, ns."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, ns = struct.unpack("=qq", data[:16])
            return seconds * 10**9 + ns
    raise RuntimeError("no time stamp")


def time_of(dev, addr):
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    packets.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    packets.bind((dev, 0))
    packets.settimeout(0.1)
    asked, end, target = None, time.monotonic() + 2, address(addr)
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"x", (addr, 9))
    while time.monotonic() < end:
        try:
            frame, ancillary, _, _ = packets.recvmsg(2048, 256)
        except socket.timeout:
            continue
        if message_of(frame, 135, target) and asked is None:
            asked = stamp_of(ancillary)
        elif message_of(frame, 136, target) and asked is not None:
            print(f"{(stamp_of(ancillary) - asked) / 10**6:.3f}")
            return
    print("none")


def total(data):
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return ~value & 0xFFFF


def frame_of(kind, mac, source, target):
    """kind: 0 duplicate address detection, 1 resolution, 2 an advertisement to all nodes."""
    group = address("ff02::1") if kind == 2 else address("ff02::1:ff00:0")[:13] + target[13:]
    body = struct.pack("!BBHI", 136 if kind == 2 else 135, 0, 0, 0) + target
    if kind:
        body += bytes([kind, 1]) + mac
    source = bytes(16) if kind == 0 else source
    check = total(source + group + struct.pack("!II", len(body), 58) + body)
    body = body[:2] + struct.pack("!H", check) + body[4:]
    head = struct.pack("!IHBB", 0x60000000, len(body), 58, 255) + source + group
    return b"\x33\x33" + group[12:] + mac + ETH_IP6 + head + body


def tags_of(frame, ancillary):
    """The outer one, which the kernel has taken out of the frame, then those that are in it; and what follows."""
    tags = []
    for level, kind, data in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA and struct.unpack("=I", data[:4])[0] & TP_STATUS_VLAN_VALID:
            tags.append(struct.unpack("=H", data[16:18])[0])
    while frame[12:14] in (b"\x81\x00", b"\x88\xa8"):
        tags.append(struct.unpack("!H", frame[14:16])[0])
        frame = frame[:12] + frame[16:]
    return tags, frame


def tagged(dev, addr, *tags):
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    packets.bind((dev, 0))
    packets.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    packets.settimeout(0.1)
    mac = packets.getsockname()[4]
    frame = frame_of(1, mac, address("fe80::1"), address(addr))
    packets.send(frame[:12] + b"".join(b"\x81\x00" + bytes.fromhex(tag) for tag in tags) + frame[12:])
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        try:
            frame, ancillary, _, _ = packets.recvmsg(2048, 256)
        except socket.timeout:
            continue
        seen, frame = tags_of(frame, ancillary)
        if message_of(frame, 136, address(addr)) and frame[:6] == mac:
            print(*(f"{tag:04x}" for tag in seen))
            return
    print("none")


def advertise(dev, *addrs):
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    packets.bind((dev, 0))
    for addr in addrs:
        packets.send(frame_of(2, packets.getsockname()[4], address(addr), address(addr)))


def flood(dev, prefix, seconds):
    random.seed(4861)
    net, kinds, sent = ipaddress.ip_network(prefix), (0, 1, 1, 2), [0, 0, 0]
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((dev, 0))
    mac = raw.getsockname()[4]
    frames = []
    for number in range(20000):
        host = random.getrandbits(128 - net.prefixlen)
        target = (int(net.network_address) | host).to_bytes(16, "big")
        source = address("fe80::")[:8] + random.randbytes(8)
        kind = kinds[number % 4]
        frames.append((kind, frame_of(kind, mac, source, target)))
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        for kind, frame in frames:
            try:
                raw.send(frame)
            except OSError:  # no room at the moment
                continue
            sent[kind] += 1
    print(*sent)


{"fill": fill, "session": session, "state": state, "time": time_of, "tagged": tagged, "advertise": advertise,
 "flood": flood}[sys.argv[1]](*sys.argv[2:])
