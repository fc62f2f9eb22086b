#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that knows nothing of one-time addresses: it tells each client both ends of the session, as
its own kernel sees them, and then sends back what comes.

	onetime_serve.py tcp|udp|fork ADDRESS PORT [FILE]

tcp: each session has a thread. fork: each has a process, which outlives the server. Told to by SIGUSR1, it
closes its listening socket and goes on. FILE: the ends of every session, a line each."""
import os
import signal
import socket
import sys
import threading

kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
seen = open(sys.argv[4], "a", buffering=1) if len(sys.argv) > 4 else None


def ends(own, peer):
    line = "%s %d %s %d\n" % (own[0].removeprefix("::ffff:"), own[1], peer[0].removeprefix("::ffff:"), peer[1])
    if seen:
        seen.write(line)
    return line.encode()


def session(conn):
    with conn:
        conn.sendall(ends(conn.getsockname(), conn.getpeername()))
        while data := conn.recv(65536):
            conn.sendall(data)


def udp():
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, port))
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(data, peer)


def tcp():
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((address, port))
    listener.listen(512)
    closed = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: (closed.set(), listener.close()))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while not closed.is_set():
        try:
            conn, _ = listener.accept()
        except OSError:
            break
        if kind == "tcp":
            threading.Thread(target=session, args=(conn,), daemon=True).start()
        elif os.fork() == 0:
            listener.close()
            session(conn)
            os._exit(0)
        else:
            conn.close()
    signal.pause()


udp() if kind == "udp" else tcp()
