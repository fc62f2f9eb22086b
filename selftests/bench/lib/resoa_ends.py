#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends of resoa's bench; each prints one line of JSON.

resoa_ends.py serve ADDRESS            ports 7001 to 7012 accept and wait; 7020 sends 1,000 bytes and ends; 7021 waits for a byte
                                       first, then sends 100,000 and ends
resoa_ends.py connect ADDRESS COUNT    microseconds of connect(): p50, p99
resoa_ends.py eof ADDRESS COUNT        milliseconds from the last byte to the end of file: p50, p99
resoa_ends.py pause ADDRESS SECONDS    whether all bytes and the end of file arrive after a pause of the reader
resoa_ends.py idle ADDRESS COUNT       opens so many, prints, and keeps them until its input ends
"""
import json
import resource
import selectors
import socket
import sys
import time


def told(values, unit):
    values.sort()
    return {"count": len(values), f"p50_{unit}": values[len(values) // 2], f"p99_{unit}": values[len(values) * 99 // 100]}


def answer(sock):
    """At a byte, or at the end: what has ended is closed, for descriptors are as many as the sockets of one row."""
    try:
        if sock.recv(1):
            sock.sendall(bytes(100000))
    except ConnectionError:
        pass


def serve(address):
    selector = selectors.DefaultSelector()
    for port in [*range(7001, 7013), 7020, 7021]:
        listener = socket.create_server((address, port), backlog=4096)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, port)
    while True:
        for key, _ in selector.select():
            if key.data == 0:
                answer(key.fileobj)
                selector.unregister(key.fileobj)
                key.fileobj.close()
                continue
            try:
                sock, _ = key.fileobj.accept()
            except BlockingIOError:
                continue
            if key.data == 7020:
                sock.sendall(bytes(1000))
                sock.close()
            else:
                selector.register(sock, selectors.EVENT_READ, 0)


def connect(address, count):
    times = []
    for i in range(count):
        with socket.socket() as sock:
            begin = time.monotonic_ns()
            sock.connect((address, 7001 + i % 12))
            times.append((time.monotonic_ns() - begin) / 1000)
    return told(times, "us")


def eof(address, count):
    times = []
    for _ in range(count):
        with socket.create_connection((address, 7020)) as sock:
            left = 1000
            while left:
                left -= len(sock.recv(left))
            last = time.monotonic_ns()
            assert sock.recv(1) == b""
            times.append((time.monotonic_ns() - last) / 1e6)
    return told(times, "ms")


def pause(address, seconds):
    with socket.create_connection((address, 7021)) as sock:
        sock.sendall(b"x")
        time.sleep(seconds)
        sock.settimeout(30)
        total = 0
        while True:
            got = sock.recv(65536)
            if not got:
                return {"seconds": seconds, "bytes": total, "end": True}
            total += len(got)


def idle(address, count):
    socks = []
    error = ""
    for i in range(count):
        sock = socket.socket()
        try:
            sock.connect((address, 7001 + i % 12))
        except OSError as e:
            error = str(e)
            break
        socks.append(sock)
    print(json.dumps({"open": len(socks), "error": error}), flush=True)
    sys.stdin.read()


hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
if sys.argv[1] == "serve":
    serve(sys.argv[2])
result = {"connect": connect, "eof": eof, "pause": pause, "idle": idle}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
if result:
    print(json.dumps(result))
