#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs for selftests/resoa_run.sh; each prints lines that are compared.

bind PROTO ADDRESS PORT [hold]   the bound name, or the error; with hold waits for its end
twice PORT                       two sockets, one port: what the second is told
from ADDRESS PORT                connects: own address, and what is echoed
echo PORT                        a server that sends back what comes
descriptors ADDRESS PORT         dup, fork, exec, passing, epoll: of one echo server
auto                             ports that the kernel chooses
values ADDRESS PORT              of a connection: path MTU, MSS, congestion control, state
accepted PORT                    the same of the first connection that comes
many ADDRESS PORT COUNT          that many connections, held
control PATH                     nonsense for the daemon's socket
"""
import errno
import os
import select
import socket
import struct
import sys
import time

PROTOS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def error(e):
    return errno.errorcode.get(e.errno, str(e.errno))


def open_for(address, kind=socket.SOCK_STREAM):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind)
    sock.settimeout(60)
    return sock


def bind(proto, address, port, hold=""):
    sock = open_for(address, PROTOS[proto])
    try:
        sock.bind((address, int(port)))
    except OSError as e:
        print(error(e), flush=True)
        return
    print("bound", sock.getsockname()[0], sock.getsockname()[1], flush=True)
    if hold == "hold":
        sys.stdin.read()
        time.sleep(300)
    elif hold == "close":
        sock.close()
        time.sleep(300)


def twice(port):
    first, second = socket.socket(), socket.socket()
    first.bind(("0.0.0.0", int(port)))
    try:
        second.bind(("0.0.0.0", int(port)))
        print("both")
    except OSError as e:
        print(error(e))


def exchange(sock, text):
    sock.sendall(text)
    got = b""
    while len(got) < len(text):
        part = sock.recv(65536)
        if not part:
            break
        got += part
    return got == text


def connect_from(address, port):
    sock = open_for(address)
    try:
        sock.connect((address, int(port)))
    except OSError as e:
        print(error(e))
        return
    print(sock.getsockname()[0], sock.getpeername()[0], exchange(sock, b"from" * 1000))


def echo(port):
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", int(port)))
    sock.listen(64)
    open_ones = {}
    while True:
        for ready in select.select([sock] + list(open_ones), [], [])[0]:
            if ready is sock:
                open_ones[sock.accept()[0]] = True
                continue
            try:
                data = ready.recv(65536)
                ready.sendall(data)
            except OSError:
                data = b""
            if not data:
                del open_ones[ready]
                ready.close()


def child(work):
    pid = os.fork()
    if not pid:
        work()
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)


def pass_on(sock, address, port):
    """The descriptor goes to another process by SCM_RIGHTS, and is closed here."""
    one, other = socket.socketpair()

    def receiver():
        _, got, _, _ = socket.recv_fds(other, 1, 1)
        passed = socket.socket(fileno=got[0])
        print("passed", passed.getpeername()[1] == port, exchange(passed, b"passed on"))

    pid = os.fork()
    if not pid:
        one.close()
        sock.close()
        receiver()
        sys.stdout.flush()
        os._exit(0)
    socket.send_fds(one, [b"x"], [sock.fileno()])
    sock.close()
    os.waitpid(pid, 0)


def edge(sock):
    """One event for each arrival, none for what was left unread."""
    poll = select.epoll()
    poll.register(sock, select.EPOLLIN | select.EPOLLET)
    first = len(poll.poll(0.05))
    sock.send(b"ab")
    second = poll.poll(5)
    third = len(poll.poll(0.05))
    sock.send(b"c")
    fourth = poll.poll(5)
    print("edge", first, second and second[0][1] == select.EPOLLIN, third,
          fourth and fourth[0][1] == select.EPOLLIN, sock.recv(10))


def level(sock):
    poll = select.epoll()
    poll.register(sock, select.EPOLLIN | select.EPOLLOUT)
    print("level", poll.poll(5)[0][1] == select.EPOLLOUT)
    sock.send(b"x")
    select.select([sock], [], [], 5)
    print("level", poll.poll(5)[0][1] == select.EPOLLIN | select.EPOLLOUT, sock.recv(1))


def descriptors(address, port):
    port = int(port)
    sys.stdout.flush()
    sock = open_for(address)
    sock.connect((address, port))
    sock.settimeout(None)  # else it is one that does not block, wherever it goes
    copy = sock.dup()
    sock.close()
    print("dup", exchange(copy, b"by a copy"))
    sys.stdout.flush()
    child(lambda: print("fork", exchange(copy, b"by a child")))
    print("after fork", exchange(copy, b"by the parent"))
    sys.stdout.flush()
    copy.set_inheritable(True)
    child(lambda: os.execv(sys.executable, [sys.executable, __file__, "inherited", str(copy.fileno())]))
    edge(copy)
    level(copy)
    sys.stdout.flush()
    pass_on(copy, address, port)


def inherited(number):
    sock = socket.socket(fileno=int(number))
    print("exec", exchange(sock, b"by another program"))


def auto():
    """A bound one's port and a connected UDP one's are of the block."""
    sock = socket.socket()
    sock.bind(("0.0.0.0", 0))
    again = sock.getsockname()
    sock.listen(1)
    print(sock.getsockname()[1], sock.getsockname() == again)


def print_values(sock):
    v6 = sock.family == socket.AF_INET6
    mtu = sock.getsockopt(socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP, 24 if v6 else 14)
    print("mtu", mtu, "mss", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG),
          sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode(),
          "state", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[0], flush=True)


def values(address, port):
    sock = open_for(address)
    sock.connect((address, int(port)))
    print_values(sock)


def accepted(port):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("0.0.0.0", int(port)))
    sock.listen(1)
    print_values(sock.accept()[0])


def many(address, port, count):
    socks = []
    for _ in range(int(count)):
        sock = open_for(address)
        sock.connect((address, int(port)))
        exchange(sock, b"hello")
        socks.append(sock)
    print(len(socks), flush=True)
    time.sleep(300)


def control(path):
    """What the socket of run makes of what it does not know: nothing, or an answer that says no."""
    good = struct.Struct("=II")
    for packet, fds in ((b"x", ()), (b"", ()), (b"x" * 5000, ()), (good.pack(1, 3), ()), (good.pack(1, 3), (0,)),
                        (good.pack(7, 1), ()), (good.pack(1, 99), ()), (good.pack(1, 2), (0, 1, 2))):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(60)
        sock.connect(path)
        socket.send_fds(sock, [packet], list(fds)) if fds else sock.send(packet)
        answer = sock.recv(1000)
        print(struct.unpack_from("=i", answer)[0] if answer else "closed", flush=True)


COMMANDS = {"many": many, "control": control, "values": values, "accepted": accepted, "bind": bind, "twice": twice, "from": connect_from, "echo": echo, "descriptors": descriptors,
            "inherited": inherited, "auto": auto}
COMMANDS[sys.argv[1]](*sys.argv[2:])
