#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of onetime_serve.py.

	onetime_connect.py tcp PORT [FROM]	for each address of standard input, a line: what the server said,
						checked by an echo; or "refused", "silent"
	onetime_connect.py udp PORT [FROM]	the same by one datagram: where the answer came from
	onetime_connect.py hold PORT [FROM]	one session: what the server said; then each line of standard input
						is sent, and what comes back is printed
"""
import socket
import sys

kind, port = sys.argv[1], int(sys.argv[2])
own = sys.argv[3] if len(sys.argv) > 3 else None
WAIT = 0.7  # seconds: three SYNs would take 3
PATIENCE = 20  # once it is connected: the server may be slow


def open_socket(address, type_):
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, type_)
    sock.settimeout(WAIT)
    if own:
        sock.bind((own, 0))
    return sock


def line(sock):
    text = b""
    while not text.endswith(b"\n"):
        data = sock.recv(4096)
        if not data:
            raise ConnectionResetError
        text += data
    return text.decode().strip()


def tcp(address):
    with open_socket(address, socket.SOCK_STREAM) as sock:
        sock.connect((address, port))
        sock.settimeout(PATIENCE)
        said = line(sock)
        sock.sendall(b"echo\n")
        return said if line(sock) == "echo" else "no echo"


def udp(address):
    with open_socket(address, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"datagram", (address, port))
        data, peer = sock.recvfrom(4096)
        return peer[0] if data == b"datagram" else "other data"


def hold(address):
    with open_socket(address, socket.SOCK_STREAM) as sock:
        sock.connect((address, port))
        sock.settimeout(PATIENCE)
        print(line(sock), flush=True)
        for text in sys.stdin:
            sock.sendall(text.encode())
            print(line(sock), flush=True)


for text in iter(sys.stdin.readline, ""):
    try:
        if kind == "hold":
            hold(text.strip())
        else:
            print({"tcp": tcp, "udp": udp}[kind](text.strip()), flush=True)
    except TimeoutError:
        print("silent", flush=True)
    except OSError:
        print("refused", flush=True)
