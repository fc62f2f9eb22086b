#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may have a port beside whom: `agent PATH` makes sockets as it is told there, `ask FIRST SECOND DIALLER ADDRESS PORT` tells
three of them, and prints what the second was told by bind(2) and listen(2) while the first had the port.

Each case has a port of its own, for a port that was closed may be in use for a moment."""
import errno
import itertools
import socket
import sys
import time


# ---- an agent: one line in, one out


def make(proto, address, port, reuse):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
    sock.settimeout(20)
    KEPT.append(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
    sock.bind((address, int(port)))
    return sock


def do_bind(*words):
    make(*words)


def do_listen():
    KEPT[-1].listen()


def do_reuse():
    KEPT[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def do_dial(address, port):
    """The other end closes first."""
    with socket.create_connection((address, int(port)), timeout=20) as sock:
        while sock.recv(1):
            pass


def do_leave():
    """Takes a connection and closes it, and the listener: TIME_WAIT is left."""
    sock, _ = KEPT[-1].accept()
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)
    sock.close()
    do_close()


def do_close():
    for sock in KEPT:
        sock.close()
    KEPT.clear()


def agent(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    control = listener.accept()[0].makefile("rw")
    for line in control:
        word, *rest = line.split()
        try:
            globals()["do_" + word](*rest)
            print("ok", file=control, flush=True)
        except OSError as error:
            print(errno.errorcode.get(error.errno, str(error)), file=control, flush=True)


# ---- who asks


class Agent:
    def __init__(self, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        self.file = sock.makefile("rw")

    def begin(self, *words):
        print(*words, file=self.file, flush=True)

    def end(self):
        return self.file.readline().strip()

    def say(self, *words):
        self.begin(*words)
        return self.end()


def beside(first, second, port, case):
    proto, listens, one, two, any_one, any_two, address = case
    first.say("bind", proto, "0.0.0.0" if any_one else address, port, one)
    if listens:
        first.say("listen")
    told = [second.say("bind", proto, "0.0.0.0" if any_two else address, port, two)]
    if proto == "tcp" and told == ["ok"]:
        told.append(second.say("listen"))
    return told


def after(second, soon, *words):
    """A server hears of close() and setsockopt() a little later: what is to be free then is so soon."""
    end = time.monotonic() + 5
    told = second.say("bind", "tcp", *words)
    while soon and told != "ok" and time.monotonic() < end:
        second.say("close")
        told = second.say("bind", "tcp", *words)
    return told


def ask(first_path, second_path, dialler_path, address, port):
    first, second, dialler = Agent(first_path), Agent(second_path), Agent(dialler_path)
    port = int(port)
    cases = [c for c in itertools.product(("tcp", "udp"), *[(0, 1)] * 5, (address,)) if c[0] == "tcp" or not c[1]]
    for case in cases:
        port += 1
        print(*case[:-1], *beside(first, second, port, case))
        second.say("close")
        first.say("close")
    for one, two in itertools.product((0, 1), (0, 1)):
        port += 1
        first.say("bind", "tcp", address, port, one)
        first.say("listen")
        dialler.begin("dial", address, port)
        left = first.say("leave"), dialler.end()
        print("time-wait", one, two, *left, after(second, one and two, address, port, two))
        second.say("close")
    port += 1
    first.say("bind", "tcp", address, port, 0)
    first.say("reuse")
    print("later", after(second, True, address, port, 1))


KEPT: list[socket.socket] = []
{"agent": agent, "ask": ask}[sys.argv[1]](*sys.argv[2:])
