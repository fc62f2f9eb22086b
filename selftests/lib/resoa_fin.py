#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers that end first, programs that read late, and what a capture says of the acknowledgment of a FIN.

  serve ADDRESS PORT BYTES        each connection: sends BYTES and ends when it hears anything, or all at SIGUSR1
  read ADDRESS PORT COUNT BYTES SECONDS
                                  COUNT connections, "connected"; says something unless SECONDS is 0; reads after
                                  SECONDS; "complete", of how many all bytes came, and the end
  waves ADDRESS PORT COUNT WIDTH BYTES
                                  the same for COUNT connections, WIDTH at a time: "connected", of how many at all so
                                  far; "complete" after the last; all stay open
  acked FILE PORT FROM TO         of the FINs of PORT in a capture: how many, how many acknowledged before FROM
                                  (epoch seconds), between FROM and TO, after TO or never
  order PEER CLIENT PORT          captures of the same connections at the peer and in the client's network: JSON of
                                  how many FINs there were, and how many were acknowledged after the client's kernel
                                  had acknowledged all bytes before them, earlier, or never

BYTES: a number, or MIN-MAX: another for each port of the client."""
import json
import resource
import selectors
import signal
import socket
import struct
import sys
import time


def bytes_for(size, port):
    first, _, last = size.partition("-")
    return int(first) + port * 7919 % (int(last or first) - int(first) + 1)


def give(sock, size, given):
    if sock not in given:
        given.add(sock)
        sock.sendall(b"z" * bytes_for(size, sock.getpeername()[1]))
        sock.shutdown(socket.SHUT_WR)


def accept_all(listener, selector, ours):
    try:
        while True:
            sock = listener.accept()[0]
            ours.add(sock)
            selector.register(sock, selectors.EVENT_READ)
    except BlockingIOError:
        pass


def heard(sock, size, given):
    """False at the end of the connection."""
    try:
        data = sock.recv(65536)
    except OSError:
        data = b""
    if data:
        give(sock, size, given)
    return bool(data)


def serve(address, port, size):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=4096)
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    ours, given, asked = set(), set(), []
    signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
    while True:
        for key, _ in selector.select(0.02):
            sock = key.fileobj
            if sock is not listener and not heard(sock, size, given):
                selector.unregister(sock)
                ours.discard(sock)
                given.discard(sock)
                sock.close()
        accept_all(listener, selector, ours)
        while asked:
            asked.pop()
            for sock in ours:
                give(sock, size, given)


def read_all(socks, size):
    """Of how many all bytes came, and the end."""
    good = 0
    for sock in socks:
        sock.settimeout(30)
        have = 0
        try:
            while part := sock.recv(65536):
                have += len(part)
            good += have == bytes_for(size, sock.getsockname()[1])
        except OSError as error:
            print(error, have, flush=True)
    return good


def read(address, port, count, size, seconds):
    socks = [socket.create_connection((address, port)) for _ in range(count)]
    print("connected", flush=True)
    for sock in socks if seconds else []:
        sock.sendall(b"go")
    time.sleep(seconds)
    print("complete", read_all(socks, size), flush=True)
    for sock in socks:
        sock.close()


def waves(address, port, count, width, size):
    socks, good = [], 0
    while len(socks) < count:
        wave = [socket.create_connection((address, port)) for _ in range(min(width, count - len(socks)))]
        socks += wave
        print("connected", len(socks), flush=True)
        good += read_all(wave, size)
    print("complete", good, flush=True)
    signal.pause()


def packets(path):
    """Time, source, destination and TCP header with its payload's length, of Ethernet frames."""
    with open(path, "rb") as file:
        data = file.read()
    at = 24
    while at + 16 <= len(data):
        seconds, micro, length, _ = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16 : at + 16 + length]
        at += 16 + length
        kind = frame[12:14]
        if kind == b"\x08\x00" and frame[23] == 6:
            head = 14 + (frame[14] & 15) * 4
            total = struct.unpack_from("!H", frame, 16)[0] + 14
            ends = frame[26:30], frame[30:34]
        elif kind == b"\x86\xdd" and frame[20] == 6:
            head, total = 54, struct.unpack_from("!H", frame, 18)[0] + 54
            ends = frame[22:38], frame[38:54]
        else:
            continue
        sport, dport, seq, ack, word = struct.unpack_from("!HHIIH", frame, head)
        payload = total - head - (word >> 12) * 4
        yield seconds + micro / 1e6, ends[0] + bytes([sport >> 8, sport & 255]), ends[1] + bytes(
            [dport >> 8, dport & 255]), seq, ack, word, payload, sport, dport


def acked(path, port, start, end):
    fins, first = {}, {}
    for when, source, destination, seq, ack, word, payload, sport, dport in packets(path):
        if sport == port and word & 1:
            fins[source, destination] = (seq + payload + 1) & 0xFFFFFFFF
        elif dport == port and word & 16 and (destination, source) in fins:
            if fins[destination, source] == ack:
                first.setdefault((destination, source), when)
    before = sum(1 for when in first.values() if when < start)
    between = sum(1 for when in first.values() if start <= when <= end)
    print(len(fins), before, between, len(fins) - before - between)


def after(base, number):
    return (number - base) & 0xFFFFFFFF


def followed(path, port):
    """Of each connection to PORT: how many bytes its FIN comes after, and when what number was acknowledged."""
    first, fins, acks = {}, {}, {}
    for when, source, destination, seq, ack, word, payload, sport, dport in packets(path):
        name = (destination, source) if sport == port else (source, destination)
        if sport == port and word & 2:
            first[name] = seq + 1
        elif sport == port and word & 1 and name in first:
            fins[name] = after(first[name], seq + payload)
        elif dport == port and word & 16 and name in first:
            acks.setdefault(name, []).append((when, after(first[name], ack)))
    return fins, acks


def acked_at(acks, number):
    return next((when for when, ack in acks if number <= ack < 1 << 31), None)


def order(peer, client, port):
    fins, acks = followed(peer, port)
    theirs = followed(client, port)[1]
    waits = []
    for name, count in fins.items():
        fin, data = acked_at(acks.get(name, []), count + 1), acked_at(theirs.get(name, []), count)
        if fin and data:
            waits.append(round((fin - data) * 1000, 3))
    waits.sort()
    early = sum(1 for wait in waits if wait <= 0)
    print(json.dumps({
        "fins": len(fins), "after": len(waits) - early, "early": early, "never": len(fins) - len(waits),
        "ms_first_median_last": [waits[0], waits[len(waits) // 2], waits[-1]] if waits else []}))


def main(words):
    if words[0] == "serve":
        serve(words[1], int(words[2]), words[3])
    elif words[0] == "read":
        read(words[1], int(words[2]), int(words[3]), words[4], float(words[5]))
    elif words[0] == "waves":
        waves(words[1], int(words[2]), int(words[3]), int(words[4]), words[5])
    elif words[0] == "order":
        order(words[1], words[2], int(words[3]))
    else:
        acked(words[1], int(words[2]), float(words[3]), float(words[4]))


descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
main(sys.argv[1:])
