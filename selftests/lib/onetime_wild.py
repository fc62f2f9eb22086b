# SPDX-License-Identifier: GPL-3.0-or-later
"""A wildcard listener, and knocks at addresses that must not reach it.

onetime_wild.py listen PORT FILE POOL...       TCP and UDP on [::]; FILE: what came for a pool by TCP, by UDP, and
                                               what came for other addresses
onetime_wild.py knock PORT FILE PREFIX...      SYNs and datagrams to addresses of each prefix, an address is its own
                                               prefix; FILE: how many to each
onetime_wild.py talk ADDRESS PORT SECONDS      numbered lines to an echo server, each compared, until SIGUSR1 or so
                                               long; prints how many
"""
import errno
import ipaddress
import os
import random
import select
import signal
import socket
import struct
import sys
import time

PAUSE, PATIENCE, AT_ONCE = 0.02, 0.2, 64


class Counts:
    def __init__(self, path, count):
        self.file, self.of = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), [0] * count
        self.add(0, 0)

    def add(self, which, by=1):
        self.of[which] += by
        os.pwrite(self.file, " ".join(map(str, self.of)).ljust(63).encode() + b"\n", 0)


def unmapped(text):
    address = ipaddress.ip_address(text)
    return address.ipv4_mapped if address.version == 6 and address.ipv4_mapped else address


def in_pools(text, pools):
    address = unmapped(text)
    return any(address.version == pool.version and address in pool for pool in pools)


def listen(port, path, *pools):
    pools, counts = [ipaddress.ip_network(pool) for pool in pools], Counts(path, 3)
    tcp = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    for s in tcp, udp:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", int(port)))
    tcp.listen(256)
    while True:
        for s in select.select([tcp, udp], [], [])[0]:
            if s is tcp:
                connection, _ = tcp.accept()
                local = connection.getsockname()[0]
                connection.close()
            else:
                _, ancillary, _, _ = udp.recvmsg(64, 128)
                local = str(ipaddress.IPv6Address(ancillary[0][2][:16]))
            counts.add((0 if s is tcp else 1) if in_pools(local, pools) else 2)


def address_of(network):
    return str(network[random.randrange(network.num_addresses)])


def begin(address, port, kind):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    s.setblocking(False)
    try:
        if kind == socket.SOCK_DGRAM:
            s.sendto(b"knock", (address, port))
        else:
            s.connect((address, port))
    except OSError as e:
        if e.errno not in (errno.EINPROGRESS, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EACCES,
                           errno.EPERM, errno.ECONNREFUSED, errno.EAGAIN):
            raise
    return s


def knock(port, path, *prefixes):
    networks, counts, open_ones = [ipaddress.ip_network(prefix) for prefix in prefixes], Counts(path, len(prefixes)), []
    while True:
        for i, network in enumerate(networks):
            for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
                open_ones.append((time.monotonic(), begin(address_of(network), int(port), kind)))
                counts.add(i)
        while open_ones and (len(open_ones) > AT_ONCE or open_ones[0][0] + PATIENCE < time.monotonic()):
            open_ones.pop(0)[1].close()
        time.sleep(PAUSE)


def talk(address, port, seconds):
    enough = []
    signal.signal(signal.SIGUSR1, lambda *_: enough.append(True))
    s = socket.create_connection((address, int(port)), timeout=20)
    stream, number, end = s.makefile("rwb"), 0, time.monotonic() + float(seconds)
    while time.monotonic() < end and not enough:
        line = b"line %d %s\n" % (number, struct.pack("=Q", number * 0x9E3779B97F4A7C15 % 2**64).hex().encode())
        stream.write(line)
        stream.flush()
        if stream.readline() != line:
            sys.exit(f"line {number} came back as another")
        number += 1
    s.shutdown(socket.SHUT_WR)
    if stream.read():
        sys.exit("more came than was sent")
    print(number)


{"listen": listen, "knock": knock, "talk": talk}[sys.argv[1]](*sys.argv[2:])
