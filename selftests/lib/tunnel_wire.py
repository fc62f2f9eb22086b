#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody on the tunnels' way can do: keep their packets, and send copies.

tunnel_wire.py FILE DEV...      until SIGTERM: keeps IPv4 frames of UDP port 6081, a line `DEV out|in HEX` each in FILE
Each line of standard input has copies sent, and is answered with a line that says how many:

FILE DEV HOW [--count N] [--peer ADDRESS] [--from ADDRESS] [--as ADDRESS]
    of the newest N data frames that went out of DEV:
    copies     as they were; with --from: with that outer source
    control    all control frames instead
    reflected  those that came in by DEV, back to their sender, as if of the other end
    grafted    the payload of --peer's, in the outer headers and under the VNI of --as's
    flipped    one bit of sequence, host number, tag or inner packet is another
    every-bit  of one frame, each bit of Geneve's header and option by turns
    cut        1, 2, 3... bytes shorter, lengths and checksum fitting

--peer: those from or to this outer address only. Sent past the device's queue, so copies are not kept again.
"""
import argparse
import select
import shlex
import signal
import socket
import struct
import sys
import time

PORT = 6081
ETH_P_ALL, PACKET_OUTGOING, PACKET_QDISC_BYPASS, SOL_PACKET = 3, 4, 20, 263
IP, UDP, GENEVE, OPTION, INNER = 14, 34, 42, 50, 74
CONTROL = 0x80


def is_tunnel(frame):
    return (len(frame) >= OPTION and frame[12:14] == b"\x08\x00" and frame[IP] == 0x45 and frame[IP + 9] == 17 and
            PORT in struct.unpack_from("!HH", frame, UDP) and frame[IP + 6] & 0x3f == 0 and frame[IP + 7] == 0)


def listen(device):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))  # what goes out, too
    s.bind((device, ETH_P_ALL))
    return s


def serve(path, devices):
    sockets = {listen(device): device for device in devices}
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    with open(path, "w", buffering=1, encoding="ascii") as file:
        while not stopped:
            for s in select.select([*sockets, sys.stdin], [], [], 0.2)[0]:
                if s is sys.stdin:
                    print(send(PARSER.parse_args(shlex.split(sys.stdin.readline()))), flush=True)
                    continue
                frame, where = s.recvfrom(65536)
                if is_tunnel(frame):
                    file.write(f"{sockets[s]} {'out' if where[2] == PACKET_OUTGOING else 'in'} {frame.hex()}\n")


def kept(arguments, direction, control, peer):
    frames = []
    with open(arguments.file, encoding="ascii") as file:
        for line in file:
            device, way, text = line.split() if line.count(" ") == 2 and line.endswith("\n") else ("", "", "")
            frame = bytes.fromhex(text)
            if device != arguments.device or way != direction or bool(frame[GENEVE + 1] & CONTROL) != control:
                continue
            if peer is None or socket.inet_aton(peer) in (frame[IP + 12:IP + 16], frame[IP + 16:IP + 20]):
                frames.append(frame)
    return frames if control else frames[-arguments.count:]


def sum_ip(header):
    header = header[:10] + b"\0\0" + header[12:]
    value = sum(struct.unpack("!10H", header))
    while value >> 16:
        value = (value & 0xffff) + (value >> 16)
    return header[:10] + struct.pack("!H", ~value & 0xffff) + header[12:]


def framed(frame, source, destination, ports, payload):
    """The frame anew, around this Geneve payload. UDP has no checksum: the tag is what counts."""
    ip = frame[IP:IP + 2] + struct.pack("!H", 28 + len(payload)) + frame[IP + 4:IP + 12] + source + destination
    return (frame[:IP] + sum_ip(ip) + ports + struct.pack("!HH", 8 + len(payload), 0) + payload)


def ends(frame):
    return frame[IP + 12:IP + 16], frame[IP + 16:IP + 20], frame[UDP:UDP + 4]


def of_source(frame, address):
    _, destination, ports = ends(frame)
    return framed(frame, socket.inet_aton(address), destination, ports, frame[GENEVE:])


def back(frame):
    source, destination, ports = ends(frame)
    turned = frame[6:12] + frame[:6] + frame[12:]
    return framed(turned, destination, source, ports[2:] + ports[:2], frame[GENEVE:])


def graft(frame, onto):
    payload = frame[GENEVE:GENEVE + 4] + onto[GENEVE + 4:GENEVE + 7] + frame[GENEVE + 7:]
    return framed(onto, *ends(onto), payload)


def flip(frame, bit):
    changed = bytearray(frame)
    changed[bit // 8] ^= 1 << bit % 8
    return of_source(bytes(changed), socket.inet_ntoa(frame[IP + 12:IP + 16]))


# By turns: the sequence's last byte, the host number's, the tag's first and last, the inner header, its last byte.
def flipped(frame, turn):
    places = [OPTION + 11, OPTION + 15, OPTION + 16, OPTION + 23, INNER + 16, len(frame) - 1]
    return flip(frame, 8 * places[turn % len(places)] + turn % 8)


def cut(frame, turn):
    return framed(frame, *ends(frame), frame[GENEVE:len(frame) - 1 - turn % 16])


def made(arguments):
    how = arguments.how
    if how == "grafted":
        onto = kept(arguments, "out", False, getattr(arguments, "as"))[-1]
        return [graft(frame, onto) for frame in kept(arguments, "out", False, arguments.peer)]
    frames = kept(arguments, "in" if how == "reflected" else "out", how == "control", arguments.peer)
    if how == "reflected":
        return [back(frame) for frame in frames]
    if how == "flipped":
        return [flipped(frame, turn) for turn, frame in enumerate(frames)]
    if how == "cut":
        return [cut(frame, turn) for turn, frame in enumerate(frames)]
    if how == "every-bit":
        return [flip(frames[-1], bit) for bit in range(8 * GENEVE, 8 * INNER)]
    return [of_source(frame, getattr(arguments, "from")) if getattr(arguments, "from") else frame for frame in frames]


def send(arguments):
    try:
        frames = made(arguments)
    except IndexError:  # nothing of that kind was kept
        return 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        s.bind((arguments.device, 0))
        for frame in frames:
            s.send(frame)
            time.sleep(0.001)
    return len(frames)


PARSER = argparse.ArgumentParser()
for word in ("file", "device", "how"):
    PARSER.add_argument(word)
PARSER.add_argument("--count", type=int, default=24)
for word in ("--peer", "--from", "--as"):
    PARSER.add_argument(word)

if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
