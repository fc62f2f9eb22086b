#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two ends of connections: `serve ADDRESS PORT` is the peer, the others are programs of a client.

The peer does what the first line that it reads says; a program prints what became of it."""
import errno
import fcntl
import select
import signal
import socket
import struct
import sys
import threading
import time

LINGER_0 = struct.pack("ii", 1, 0)
SIOCATMARK = 0x8905


def name_of(error):
    return errno.errorcode.get(error.errno, str(error))


def at_mark(sock):
    mark = bytearray(4)
    fcntl.ioctl(sock, SIOCATMARK, mark)
    return mark != b"\0\0\0\0"


def read_all(sock):
    """All bytes, and how they ended."""
    data = b""
    while True:
        try:
            part = sock.recv(65536)
        except OSError as error:
            return data, name_of(error)
        if not part:
            return data, "EOF"
        data += part


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    sock.close()


# ---- the peer


def read_line(sock):
    line = b""
    while not line.endswith(b"\n"):
        part = sock.recv(1)
        if not part:
            break
        line += part
    return line.decode().split()


def peer_echo(sock, _):
    data, end = read_all(sock)
    sock.sendall(data + end.encode())


def peer_reset(sock, words):
    sock.sendall(b"x" * int(words[1]))
    time.sleep(0.1)
    reset(sock)


def peer_first(sock, _):
    """Ends first, and tells the log what comes after."""
    sock.sendall(b"bye")
    sock.shutdown(socket.SHUT_WR)
    data, end = read_all(sock)
    print("first got", len(data), end, flush=True)


def peer_sink(sock, _):
    data, end = read_all(sock)
    print("sink got", len(data), end, flush=True)


def peer_urgent(sock, _):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    time.sleep(0.3)  # a mark that comes while recv() waits is not seen
    got = b""
    while b"." not in got:
        got += b"<" if at_mark(sock) else b""
        got += sock.recv(1)
    sock.send(b"abc")
    sock.send(b"!", socket.MSG_OOB)
    time.sleep(0.05)
    sock.send(b"def")
    print("urgent got", got.decode(), flush=True)


def peer_time(sock, words):
    sock.sendall(b"y" * int(words[1]))
    sock.sendall(struct.pack("d", time.monotonic()))


def peer_name(sock, _):
    sock.sendall(("%s %d" % sock.getpeername()[:2]).encode())


def peer_one(sock):
    with sock:
        words = read_line(sock)
        if words:
            globals()["peer_" + words[0]](sock, words)


def serve(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, int(port)), family=family, backlog=128)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=peer_one, args=(sock,), daemon=True).start()


# ---- programs


def dial(address, port, order):
    sock = socket.create_connection((address, int(port)), timeout=20)
    sock.sendall(order.encode() + b"\n")
    return sock


def halves(address, port):
    """Sends, ends, and reads the answer after that."""
    sock = dial(address, port, "echo")
    sock.sendall(b"z" * 300000)
    sock.shutdown(socket.SHUT_WR)
    data, end = read_all(sock)
    print(len(data), data[-3:].decode(), end)


def first(address, port):
    """The peer ends first; the program still sends."""
    sock = dial(address, port, "first")
    data, end = read_all(sock)
    sock.sendall(b"z" * 200000)
    sock.close()
    print(data.decode(), end)


def reset_in(address, port, size):
    sock = dial(address, port, "reset " + size)
    time.sleep(0.4)
    data, end = read_all(sock)
    print(len(data), end)


def reset_out(address, port):
    sock = dial(address, port, "sink")
    sock.sendall(b"x" * 1000)
    time.sleep(0.2)
    reset(sock)


def urgent(address, port):
    sock = dial(address, port, "urgent")
    sock.send(b"ab")
    sock.send(b"c", socket.MSG_OOB)
    time.sleep(0.05)
    sock.send(b"de.")
    poll = select.poll()
    poll.register(sock, select.POLLPRI)
    poll.poll(5000)
    time.sleep(0.2)
    before, mark = sock.recv(100), at_mark(sock)
    byte = sock.recv(1, socket.MSG_OOB)
    print(before.decode(), mark, byte.decode(), read_all(sock)[0].decode())


def eof(address, port, count, size):
    """The median in us from the peer's last byte to the end of file."""
    times = []
    for _ in range(int(count)):
        sock = dial(address, port, "time " + size)
        data, end = read_all(sock)
        times.append(time.monotonic() - struct.unpack("d", data[-8:])[0])
        assert end == "EOF" and len(data) == int(size) + 8
        sock.close()
    times.sort()
    print(int(times[len(times) // 2] * 1e6))
    print("worst", int(times[-1] * 1e6), file=sys.stderr)


def name(address, port):
    """Is the name that the peer sees the one that the program sees?"""
    sock = dial(address, port, "name")
    seen = read_all(sock)[0].decode()
    print("same" if seen == "%s %d" % sock.getsockname()[:2] else seen, sock.getsockname()[0])


def wait(address, port):
    """Connected, and reads until it ends."""
    sock = dial(address, port, "sink")
    print("connected", flush=True)
    sock.settimeout(60)
    data, end = read_all(sock)
    print(len(data), end, flush=True)


def listen(address, port, count):
    """Takes `count` connections and says who they are; echoes."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, int(port)), family=family)
    print("listens on", listener.getsockname()[1], flush=True)
    for _ in range(int(count)):
        sock, peer = listener.accept()
        data, end = read_all(sock)
        sock.sendall(data)
        sock.close()
        print(peer[0], len(data), end, flush=True)


def send(address, port, size):
    sock = socket.create_connection((address, int(port)), timeout=20)
    sock.sendall(b"s" * int(size))
    sock.shutdown(socket.SHUT_WR)
    data, end = read_all(sock)
    print(len(data), end)


def connect(address, port):
    try:
        socket.create_connection((address, int(port)), timeout=30)
        print("connected")
    except OSError as error:
        print(name_of(error))


signal.signal(signal.SIGPIPE, signal.SIG_IGN)
globals()[sys.argv[1]](*sys.argv[2:])
