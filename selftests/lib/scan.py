# SPDX-License-Identifier: GPL-3.0-or-later
"""scan.py SOURCE|random RATE COUNT ADDRESS...: SYNs and UDP datagrams to any port of the addresses, by turns.

RATE a second, COUNT of them or until SIGTERM if it is 0, a minute at most. `random`: each has a source of its own
from 203.0.114.0/23. Prints how many were sent.
"""
import itertools
import random
import signal
import socket
import struct
import sys
import time


def total(data):
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xffff) + (value >> 16)
    return ~value & 0xffff


def packet(source, destination, tcp):
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    ports = struct.pack("!HH", random.randrange(1024, 65536), random.choice([22, 53, 80, 443, random.randrange(1, 65536)]))
    if tcp:
        segment = ports + struct.pack("!IIBBHHH", random.getrandbits(32), 0, 0x50, 0x02, 65535, 0, 0)
        check = total(ends + struct.pack("!HH", 6, len(segment)) + segment)
        segment = segment[:16] + struct.pack("!H", check) + segment[18:]
    else:
        segment = ports + struct.pack("!HH", 8 + 4, 0) + b"scan"
    return struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, 6 if tcp else 17, 0) + ends + segment


def main():
    source, rate, count, addresses = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    stopped, sent, begin = [], 0, time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    random.seed(1)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for address in itertools.cycle(addresses):
        if stopped or time.monotonic() - begin > 60 or (count and sent == count):
            break
        of = f"203.0.{random.choice([114, 115])}.{random.randrange(1, 255)}" if source == "random" else source
        raw.sendto(packet(of, address, sent // len(addresses) % 2 == 0), (address, 0))
        sent += 1
        pause = begin + sent / rate - time.monotonic()
        if pause > 0.001:
            time.sleep(pause)
    print(sent)


if __name__ == "__main__":
    main()
