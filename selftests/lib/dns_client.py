# SPDX-License-Identifier: GPL-3.0-or-later
"""What no ordinary client sends to a name server.

dns_client.py garbage ADDRESS COUNT     random and cut-off datagrams, then random TCP streams
dns_client.py pipeline ADDRESS COUNT    so many questions in one TCP segment, answers counted, in order
dns_client.py stall ADDRESS SECONDS     half a question by TCP: seconds until the server ends it
dns_client.py connections ADDRESS COUNT opens so many at once, prints how many are served
dns_client.py flood ADDRESS NAME COUNT  asks without EDNS and prints `answered truncated lost`
"""
import random
import select
import socket
import struct
import sys
import time


def question(name, number, type_=1):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", type_, 1)


def stream(address):
    sock = socket.create_connection((address, 53), timeout=5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def exactly(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def answer(sock):
    return exactly(sock, struct.unpack(">H", exactly(sock, 2))[0])


def garbage(address, count):
    random.seed(4)
    good = question("web.example.net", 7)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for i in range(count):
        kind = i % 4
        if kind == 0:
            data = random.randbytes(random.randrange(0, 600))
        elif kind == 1:
            data = good[: random.randrange(0, len(good))]
        elif kind == 2:
            data = bytearray(good)
            data[random.randrange(2, len(data))] ^= 1 << random.randrange(8)
        else:
            data = bytes([data[0] if data else 1, 2, 0x80]) + random.randbytes(60)  # an answer
        sock.sendto(bytes(data), (address, 53))
        if i % 50 == 0:
            time.sleep(0.01)
    for i in range(20):
        with stream(address) as tcp:
            tcp.sendall(random.randbytes(500))


def pipeline(address, count):
    with stream(address) as sock:
        data = b""
        for i in range(count):
            one = question("web.example.net", i)
            data += struct.pack(">H", len(one)) + one
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        order = [struct.unpack(">H", answer(sock)[:2])[0] for i in range(count)]
        print(sum(a == b for a, b in enumerate(order)))


def stall(address, limit):
    with stream(address) as sock:
        one = question("web.example.net", 1)
        sock.sendall(struct.pack(">H", len(one)) + one[:10])
        sock.settimeout(limit)
        start = time.monotonic()
        try:
            while sock.recv(1):
                pass
        except ConnectionResetError:
            pass
        print(int(time.monotonic() - start))


def connections(address, count):
    socks, served = [stream(address) for i in range(count)], 0
    for i, sock in enumerate(socks):
        one = question("web.example.net", i)
        try:
            sock.sendall(struct.pack(">H", len(one)) + one)
            answer(sock)
            served += 1
        except (EOFError, OSError):
            pass
    print(served)


def flood(address, name, count):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answered = truncated = 0
    for i in range(count):
        sock.sendto(question(name, i), (address, 53))
        if i % 50 < 49 and i < count - 1:
            continue
        # As many as a socket can hold: then wait for answers, or until none comes any more.
        while answered + truncated <= i and select.select([sock], [], [], 0.3 if i < count - 1 else 2)[0]:
            flags = sock.recv(600)[2]
            truncated += flags >> 1 & 1
            answered += 1 - (flags >> 1 & 1)
    print(answered, truncated, count - answered - truncated)


if __name__ == "__main__":
    words = sys.argv[2:]
    {"garbage": garbage, "pipeline": pipeline, "stall": stall, "connections": connections, "flood": flood}[
        sys.argv[1]
    ](*[int(word) if word.isdigit() else word for word in words])
