# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered datagrams over one path: how many of them arrive.

udp_count.py send LOCAL REMOTE       4000 a second until SIGTERM, then the end ten times; prints how many
udp_count.py receive LOCAL REMOTE    prints the number of different datagrams that came
"""
import signal
import socket
import struct
import sys
import time

END = 0xFFFFFFFF
RATE = 4000
LIMIT = 240000


def endpoint(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def send_one(sock, number):
    """An earlier datagram's ICMP error is reported here: that one is lost, this one is sent again."""
    for _ in range(2):
        try:
            sock.send(struct.pack("!I", number).ljust(64, b"\0"))
            return
        except ConnectionRefusedError:
            pass


def send(sock):
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    begin, number = time.monotonic(), 0
    while not stopped and number < LIMIT:
        pause = begin + number / RATE - time.monotonic()
        if pause > 0.001:
            time.sleep(pause)
        send_one(sock, number)
        number += 1
    print(number)
    for _ in range(10):
        time.sleep(0.05)
        send_one(sock, END)


def receive(sock):
    seen = set()
    sock.settimeout(10)
    try:
        while (number := struct.unpack("!I", sock.recv(2048)[:4])[0]) != END:
            seen.add(number)
    except TimeoutError:
        pass
    print(len(seen))


sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
sock.bind(endpoint(sys.argv[2]))
sock.connect(endpoint(sys.argv[3]))
if sys.argv[1] == "send":
    send(sock)
else:
    receive(sock)
