#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers that end first, programs that read late, and what a capture says of the acknowledgment of a FIN.

  serve ADDRESS PORT BYTES        each connection: sends BYTES and ends when it hears anything, or all at SIGUSR1
  read ADDRESS PORT COUNT BYTES SECONDS
                                  COUNT connections, "connected"; says something unless SECONDS is 0; reads after
                                  SECONDS; "complete", of how many all bytes came, and the end
  acked FILE PORT FROM TO         of the FINs of PORT in a capture: how many, how many acknowledged before FROM
                                  (epoch seconds), between FROM and TO, after TO or never"""
import selectors
import signal
import socket
import struct
import sys
import time


def give(sock, size, given):
    if sock not in given:
        given.add(sock)
        sock.sendall(b"z" * size)
        sock.shutdown(socket.SHUT_WR)


def serve(address, port, size):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=1000)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    ours, given, asked = set(), set(), []
    signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
    while True:
        for key, _ in selector.select(0.02):
            sock = key.fileobj
            if sock is listener:
                sock = listener.accept()[0]
                ours.add(sock)
                selector.register(sock, selectors.EVENT_READ)
                continue
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            if data:
                give(sock, size, given)
            else:
                selector.unregister(sock)
                ours.discard(sock)
                given.discard(sock)
                sock.close()
        while asked:
            asked.pop()
            for sock in ours:
                give(sock, size, given)


def read(address, port, count, size, seconds):
    socks = [socket.create_connection((address, port)) for _ in range(count)]
    print("connected", flush=True)
    for sock in socks if seconds else []:
        sock.sendall(b"go")
    time.sleep(seconds)
    good = 0
    for sock in socks:
        sock.settimeout(30)
        have = 0
        try:
            while part := sock.recv(65536):
                have += len(part)
            good += have == size
        except OSError as error:
            print(error, have, flush=True)
    print("complete", good, flush=True)
    for sock in socks:
        sock.close()


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


def main(words):
    if words[0] == "serve":
        serve(words[1], int(words[2]), int(words[3]))
    elif words[0] == "read":
        read(words[1], int(words[2]), int(words[3]), int(words[4]), float(words[5]))
    else:
        acked(words[1], int(words[2]), float(words[3]), float(words[4]))


main(sys.argv[1:])
