# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent of onetime does, by hand: entries of its maps, and a listener that gets sessions.

onetime_ssa.py DIR serve PORT INDEX POOL [ADDRESS]  an echo server on ADDRESS (::1), listener INDEX
onetime_ssa.py DIR address ADDRESS STATE POOL [USE [LISTENER [SECONDS]]]
onetime_ssa.py DIR fill PREFIX POOL COUNT           so many LIVE ones from PREFIX on
onetime_ssa.py DIR ea ADDRESS POOL                  one that is prepared for a client
onetime_ssa.py DIR state ADDRESS                    prints the number of its state, - if it has no entry
onetime_ssa.py DIR listener INDEX PORT POOL         a listener of this story's shell, without a socket

USE is ssa, ea or many. Layouts are those of maps/onetime.h, written down again here.
"""
import ctypes
import ipaddress
import os
import platform
import socket
import struct
import sys
import threading
import time

LOOKUP, UPDATE, OBJ_GET, UPDATE_BATCH = 1, 2, 7, 26
SYSCALL = {"x86_64": 321, "aarch64": 280}[platform.machine()]
STATES = ["free", "reserved", "pending", "taking", "claimed", "live", "closing", "dead"]
USES = {"ssa": 1, "ea": 2, "many": 3}
L1, TCP = 1, 6
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attr):
    result = libc.syscall(SYSCALL, command, attr, len(attr))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def opened(name):
    path = ctypes.create_string_buffer(f"{DIR}/onetime_{name}".encode())
    return bpf(OBJ_GET, struct.pack("=QII", ctypes.addressof(path), 0, 0))


def update(name, key, value):
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    bpf(UPDATE, struct.pack("=IxxxxQQQ", opened(name), ctypes.addressof(k), ctypes.addressof(v), 0))


def looked_up(name, key, size):
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(size)
    bpf(LOOKUP, struct.pack("=IxxxxQQQ", opened(name), ctypes.addressof(k), ctypes.addressof(v), 0))
    return v.raw


def mapped(address):
    return bytes(10) + b"\xff\xff" + address.packed if address.version == 4 else address.packed


def entry(state, pool, use="ssa", listener=0, seconds=600, peer=bytes(16), ports=(0, 0)):
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    until = now + int(float(seconds) * 1e9)
    ports = struct.pack("!HHHH", *ports, *ports)
    return (struct.pack("=IBBBBII", STATES.index(state), USES[use], L1, TCP, 0, int(listener), int(pool)) + ports + peer +
            struct.pack("=QQQQ", until, now - 5 * 10**9, 0, 77) + bytes(16))


def add_listener(index, port, pool, fd, cookie=0):
    flags, backlog = 1, 0
    update("listener", struct.pack("=I", int(index)),
           struct.pack("=IIQQQ", flags, os.getppid() if fd < 0 else os.getpid(), 0, cookie, 0) +
           struct.pack("!HBB", int(port), TCP, L1) + struct.pack("=III", int(pool), backlog, max(fd, 0)) +
           b"story".ljust(32, b"\0") + b"onetime_ssa".ljust(16, b"\0"))


def answer(connection):
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def serve(port, index, pool, address="::1"):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, int(port)))
    s.listen(64)
    cookie = int.from_bytes(s.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder)
    if index != "-":
        update("listen", struct.pack("=I", int(index)), struct.pack("=Q", s.fileno()))
        add_listener(index, port, pool, s.fileno(), cookie)
    while True:
        connection, source = s.accept()
        print(connection.getsockname()[0], source[0], flush=True)
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def address(text, state, pool, use="ssa", listener=0, seconds=600):
    update("addr", mapped(ipaddress.ip_address(text)), entry(state, pool, use, listener, seconds))


def ea(text, pool):
    packed = mapped(ipaddress.ip_address(text))
    update("addr", packed, entry("reserved", pool, "ea"))
    v = ctypes.create_string_buffer(packed, 16)
    bpf(UPDATE, struct.pack("=IxxxxQQQ", opened("ea6" if ":" in text else "ea4"), 0, ctypes.addressof(v), 0))


def fill(prefix, pool, count):
    first, count = ipaddress.ip_address(prefix), int(count)
    value = entry("live", pool, peer=mapped(ipaddress.ip_address("2001:db8:ffff::1")), ports=(80, 40000))
    keys = ctypes.create_string_buffer(b"".join(mapped(first + i) for i in range(count)))
    values = ctypes.create_string_buffer(value * count)
    bpf(UPDATE_BATCH, struct.pack("=QQQQIIQQ", 0, 0, ctypes.addressof(keys), ctypes.addressof(values), count,
                                  opened("addr"), 0, 0))


def state(text):
    try:
        print(struct.unpack("=I", looked_up("addr", mapped(ipaddress.ip_address(text)), 88)[:4])[0])
    except FileNotFoundError:
        print("-")


DIR = sys.argv[1]
{"serve": serve, "address": address, "fill": fill, "ea": ea, "state": state,
 "listener": lambda index, port, pool: add_listener(index, port, pool, -1)}[sys.argv[2]](*sys.argv[3:])
