#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets that scapy makes, through a gateway: what comes out of it, where, byte for byte.

	portarp_scapy.py NAMESPACES MODE LAN_MTU

Host 1 has set 2 of 192.0.2.1, host 2 has set 3 (offset 6, length 3). Behind every case a datagram of
known fate is sent; what comes before it is the case's.
"""
import ctypes
import logging
import os
import random
import socket
import sys
import time

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP, IPerror, fragment  # noqa: E402
from scapy.layers.inet import IPOption_NOP, IPOption_RR, UDPerror, TCPerror, ICMPerror  # noqa: E402,F401
from scapy.layers.ipsec import AH, ESP  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.layers.sctp import SCTP, SCTPChunkInit  # noqa: E402
from scapy.packet import Raw  # noqa: E402

NET, MODE, LAN_MTU = sys.argv[1], sys.argv[2], int(sys.argv[3])
OP_REQUEST = b"\0\x18"  # PE-ARP: the agent asks when it likes
SHARED, PEER, STOCK = "192.0.2.1", "198.51.100.77", "192.0.2.100"
libc = ctypes.CDLL(None, use_errno=True)
failed = 0


class Port:
    """A device in a namespace."""

    def __init__(self, name, device):
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{NET}-{name}", os.O_RDONLY)
        assert not libc.setns(there, 0)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((device, 0))
        self.mac = ":".join(f"{b:02x}" for b in self.socket.getsockname()[4])
        assert not libc.setns(home, 0)
        os.close(there)
        os.close(home)
        self.name = name

    def send(self, frame):
        self.socket.send(bytes(frame))

    def take(self):
        """What has come in, IPv4 and ARP; what the test itself has sent is left out."""
        frames = []
        self.socket.setblocking(False)
        while True:
            try:
                frame, address = self.socket.recvfrom(65536)
            except BlockingIOError:
                return frames
            if address[2] != socket.PACKET_OUTGOING and frame[12:14] in (b"\x08\x00", b"\x08\x06"):
                frames.append(frame)


outside, host1, host2, stock = Port("outside", "wan"), Port("host1", "lan"), Port("host2", "lan"), Port("stock", "lan")
gate_wan, gate_lan = Port("gateway", "wan").mac, Port("gateway", "lan").mac
PORTS = (outside, host1, host2, stock)
SETS = {host1: 2, host2: 3, stock: 5}


def port(psid, number):
    return (1 + number // 128) << 10 | psid << 7 | number % 128


def of(host, number):
    return port(SETS[host], number)


serial = 0


def marker():
    """Waits until a datagram of known fate has come by, both ways; what came before it is told."""
    global serial
    serial += 1
    word = b"marker %08d" % serial
    outside.send(Ether(src=outside.mac, dst=gate_wan) / IP(src=PEER, dst=SHARED) /
                 UDP(sport=9, dport=of(host1, 8000)) / word)
    host1.send(Ether(src=host1.mac, dst=gate_lan) / IP(src=SHARED, dst=PEER) /
               UDP(sport=of(host1, 8000), dport=9) / word)
    seen = {p: [] for p in PORTS}
    waiting, end = {outside, host1}, time.time() + 5
    last = False
    while not last and time.time() < end:
        last = not waiting  # once more, when all have it
        for p in PORTS:
            for frame in p.take():
                if word in frame:
                    waiting.discard(p)
                elif b"marker" not in frame and frame[20:22] != OP_REQUEST:
                    seen[p].append(frame)
        time.sleep(0.002)
    if waiting:
        print("# no marker at", [p.name for p in waiting])
    return seen


def result(name, good, why=""):
    global failed
    print(f"ok portarp_scapy: {MODE}: {name}" if good else f"not ok portarp_scapy: {MODE}: {name} # {why}")
    failed += not good


def forwarded(frame, source, destination):
    """As a router forwards it: MACs, TTL and its checksum; by an own sum, not the one under test."""
    frame = bytearray(bytes(frame))
    frame[0:6] = bytes.fromhex(destination.replace(":", ""))
    frame[6:12] = bytes.fromhex(source.replace(":", ""))
    frame[22] -= 1
    frame[24:26] = b"\0\0"
    header = frame[14:14 + (frame[14] & 15) * 4]
    total = sum(header[i] << 8 | header[i + 1] for i in range(0, len(header), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    frame[24:26] = (total ^ 0xffff).to_bytes(2, "big")
    return bytes(frame)


def case(name, sends, expect):
    """sends: (port, frame) pairs; expect: {port: [frames]}."""
    for p in PORTS:
        p.take()
    for p, frame in sends:
        p.send(frame)
    seen = marker()
    why = []
    for p in PORTS:
        got, want = list(seen[p]), [bytes(f) for f in expect.get(p, [])]
        if got != want:
            why.append(f"{p.name}: got {[Ether(f).summary() + ' ' + f.hex() for f in got]}"
                       f" want {[Ether(f).summary() + ' ' + f.hex() for f in want]}")
    result(name, not why, "; ".join(why))


def from_out(packet):
    return Ether(bytes(Ether(src=outside.mac, dst=gate_wan) / packet))


def from_host(host, packet, to=None):
    return Ether(bytes(Ether(src=host.mac, dst=to or gate_lan) / packet))


def inward(name, packets, host):
    """From outside to a host, or (None) to nobody."""
    frames = [from_out(p) for p in packets]
    case(name, [(outside, f) for f in frames], {host: [forwarded(f, gate_lan, host.mac) for f in frames]} if host else {})


def outward(name, host, packets, passes=True):
    frames = [from_host(host, p) for p in packets]
    case(name, [(host, f) for f in frames],
         {outside: [forwarded(f, gate_wan, outside.mac) for f in frames]} if passes else {})


def payload(size):
    return random.Random(size).randbytes(size)


def out_ip(**fields):
    return IP(src=PEER, dst=SHARED, **fields)


def in_ip(**fields):
    return IP(src=SHARED, dst=PEER, **fields)


def ports():
    for host in (host1, host2):
        for size in (0, 1, 500, 1400):
            inward(f"TCP to {host.name}, {size} bytes",
                   [out_ip(id=size, flags="DF") / TCP(sport=80, dport=of(host, 3), flags="S") / payload(size)], host)
            inward(f"UDP to {host.name}, {size} bytes",
                   [out_ip(id=size, tos=0xb8) / UDP(sport=53, dport=of(host, 8063)) / payload(size)], host)
            outward(f"TCP from {host.name}, {size} bytes",
                    host, [in_ip(id=size, tos=3) / TCP(sport=of(host, 3), dport=80, flags="SA") / payload(size)])
            outward(f"UDP from {host.name}, {size} bytes", host, [in_ip() / UDP(sport=of(host, 3), dport=53) / payload(size)])
    inward("UDP without a checksum", [out_ip() / UDP(sport=5, dport=of(host1, 4), chksum=0) / b"none"], host1)
    inward("a wrong UDP checksum stays", [out_ip() / UDP(sport=5, dport=of(host1, 4), chksum=0x1234) / b"bad"], host1)
    inward("a wrong TCP checksum stays", [out_ip() / TCP(sport=5, dport=of(host2, 4), chksum=0x4321) / b"bad"], host2)
    outward("a wrong UDP checksum stays, outward", host2, [in_ip() / UDP(sport=of(host2, 4), dport=5, chksum=0x1234) / b"bad"])
    inward("a port of a set that nobody has", [out_ip() / UDP(sport=5, dport=port(6, 4)) / b"x"], None)
    inward("a port below the sets", [out_ip() / UDP(sport=5, dport=80) / b"x"], None)
    inward("port 0", [out_ip() / UDP(sport=5, dport=0) / b"x"], None)
    inward("UDP-Lite", [out_ip(proto=136) / Raw(bytes(UDP(sport=5, dport=of(host1, 4), len=8, chksum=1)) + b"x")], host1)
    inward("DCCP", [out_ip(proto=33) / Raw(bytes(UDP(sport=5, dport=of(host2, 4), len=8, chksum=1)) + payload(8))], host2)


def spoofs():
    udp = UDP(sport=of(host2, 3), dport=53) / b"x"
    outward("another's port", host1, [in_ip() / udp], False)
    outward("a port of nobody", host1, [in_ip() / UDP(sport=port(6, 3), dport=53) / b"x"], False)
    outward("another's identifier", host1, [in_ip() / ICMP(id=of(host2, 3)) / b"x"], False)
    outward("another's identifier in an answer", host1, [in_ip() / ICMP(type=0, id=of(host2, 3)) / b"x"], False)
    outward("a stranger's own port of a set", stock, [in_ip() / UDP(sport=of(host1, 3), dport=53) / b"x"], False)
    outward("a first fragment from another's port", host1, [in_ip(flags="MF", id=7) / UDP(sport=of(host2, 3), dport=53) / payload(16)], False)
    outward("TCP of a tiny fragment (RFC 1858)", host1, [in_ip(flags="MF", id=8, proto=6) / Raw(bytes(TCP(sport=of(host1, 1)))[:8])], False)
    outward("TCP's flags in a later fragment (RFC 3128)", host1, [in_ip(frag=1, id=8, proto=6) / payload(16)], False)
    outward("an error about another's packet", host1,
            [in_ip() / ICMP(type=3, code=3) / IP(src=PEER, dst=SHARED) / UDP(sport=5, dport=of(host2, 3)) / b"x"], False)
    outward("an error about an own one", host1,
            [in_ip() / ICMP(type=3, code=3) / IP(src=PEER, dst=SHARED) / UDP(sport=5, dport=of(host1, 3)) / b"x"])
    outward("the stock host's own address is not looked at", stock, [IP(src=STOCK, dst=PEER) / UDP(sport=80, dport=53) / b"x"])


def fragments():
    orders = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    for kind, head in (("UDP", UDP), ("TCP", TCP)):
        for number, order in enumerate(orders):
            host = (host1, host2)[number % 2]
            whole = out_ip(id=100 + number + (kind == "TCP") * 10) / head(sport=5, dport=of(host, 9)) / payload(3500)
            parts = [from_out(p) for p in fragment(IP(bytes(whole)), 1480)]
            assert len(parts) == 3
            want = [forwarded(parts[i], gate_lan, host.mac) for i in order]
            if order[0] != 0:  # those that wait are sent when the first one has gone on
                before = order.index(0)
                want = [want[before]] + want[:before] + want[before + 1:]
            for p in PORTS:
                p.take()
            for i in order:
                outside.send(parts[i])
                time.sleep(0.01)
            time.sleep(0.1)
            seen = marker()
            got = seen[host]
            result(f"{kind}: fragments in order {order}", sorted(got) == sorted(want) and not any(seen[p] for p in PORTS if p is not host),
                   f"{len(got)} came: {[Ether(f).summary() for p in PORTS for f in seen[p]]}")
            if sorted(got) == sorted(want) and got != want:
                print(f"# {kind} {order}: order differs")
    parts = fragment(IP(bytes(in_ip(id=300) / UDP(sport=of(host1, 9), dport=5) / payload(3500))), 1480)
    outward("fragments outward", host1, parts)
    parts = fragment(IP(bytes(out_ip(id=301) / ICMP(id=of(host2, 2)) / payload(3500))), 1480)
    inward("an echo request in fragments", parts, host2)
    inward("later fragments whose first one never comes", [out_ip(id=302, frag=185, proto=17) / payload(8)], None)
    inward("two users of one identifier and protocol: the later first one counts",
           [out_ip(id=303, flags="MF") / UDP(sport=5, dport=of(host2, 2), len=100) / payload(8),
            out_ip(id=303, frag=2, proto=17) / payload(8)], host2)


def quoted(inner, **fields):
    """An error's body: the packet as it was forwarded, headers and so many bytes."""
    return Raw(bytes(inner)[:fields.get("bytes", 28)])


def icmp():
    for host in (host1, host2):
        inward(f"echo request to {host.name}", [out_ip() / ICMP(id=of(host, 2), seq=1) / payload(56)], host)
        inward(f"echo reply to {host.name}", [out_ip() / ICMP(type=0, id=of(host, 2), seq=1) / payload(56)], host)
        outward(f"echo request from {host.name}", host, [in_ip() / ICMP(id=of(host, 2), seq=1) / payload(56)])
        outward(f"echo reply from {host.name}", host, [in_ip() / ICMP(type=0, id=of(host, 2), seq=1) / payload(56)])
        inward(f"timestamp reply to {host.name}", [out_ip() / ICMP(type=14, id=of(host, 2))], host)
        for word, inner in (("UDP", UDP(sport=of(host, 2), dport=5) / payload(30)),
                            ("TCP", TCP(sport=of(host, 2), dport=5) / payload(30)),
                            ("an echo", ICMP(id=of(host, 2)) / payload(30)),
                            ("an echo reply", ICMP(type=0, id=of(host, 2)) / payload(30)),
                            ("UDP of a first fragment", None)):
            if inner is None:
                packet = in_ip(flags="MF", id=5, ttl=1) / UDP(sport=of(host, 2), dport=5) / payload(64)
            else:
                packet = in_ip(ttl=1) / inner
            for kind, code in ((11, 0), (3, 1), (3, 3), (3, 4), (12, 0), (4, 0)):
                inward(f"error {kind}/{code} about {word} of {host.name}",
                       [IP(src="198.51.100.99", dst=SHARED) / ICMP(type=kind, code=code, nexthopmtu=1400 if (kind, code) == (3, 4) else None) / quoted(packet)], host)
        packet = in_ip(options=[IPOption_NOP()] * 4) / UDP(sport=of(host, 2), dport=5) / payload(30)
        inward(f"an error about a packet with options of {host.name}", [out_ip() / ICMP(type=11) / quoted(packet, bytes=32)], host)
    inward("echo with an identifier of nobody", [out_ip() / ICMP(id=5)], None)
    inward("an error about another address' packet", [out_ip() / ICMP(type=3, code=1) / quoted(IP(src=STOCK, dst=PEER) / UDP(sport=of(host1, 2)))], None)
    inward("an error that is cut off", [out_ip() / ICMP(type=3, code=1) / quoted(in_ip() / UDP(sport=of(host1, 2)), bytes=24)], None)
    inward("an error about an error", [out_ip() / ICMP(type=3, code=1) / quoted(in_ip() / ICMP(type=3, code=1))], None)
    inward("ICMP of an unknown type", [out_ip() / ICMP(type=42, code=1)], None)
    inward("ICMP with a wrong checksum stays", [out_ip() / ICMP(id=of(host1, 2), chksum=0x1111) / b"x"], host1)
    # Errors about a later fragment, which was forwarded.
    parts = fragment(IP(bytes(in_ip(id=400) / UDP(sport=of(host2, 9), dport=5) / payload(3500))), 1480)
    outward("fragments of host2", host2, parts)
    inward("an error about a later fragment of host2", [out_ip() / ICMP(type=11, code=0) / quoted(parts[1])], host2)


def portless():
    key = GRE(key_present=1, key=77, proto=0x800) / payload(40)
    inward("GRE that nobody began", [out_ip() / key], None)
    outward("GRE with a key from host1", host1, [in_ip() / key])
    inward("its answer", [out_ip() / key], host1)
    outward("GRE with another key from host2", host2, [in_ip() / (GRE(key_present=1, key=78, proto=0x800) / payload(40))])
    inward("the answer to host1 still", [out_ip() / key], host1)
    inward("an error about GRE of host1", [out_ip() / ICMP(type=3, code=4, nexthopmtu=1400) / quoted(in_ip() / key)], host1)
    outward("ESP from host2", host2, [in_ip() / ESP(spi=0x1001, seq=1, data=payload(60))])
    inward("ESP back, whose SPI is another", [out_ip() / ESP(spi=0x2002, seq=1, data=payload(60))], host2)
    outward("AH from host1", host1, [in_ip() / AH(nh=17, payloadlen=4, spi=0x3003, seq=1, icv=payload(12)) / UDP() / b"x"])
    inward("AH back", [out_ip() / AH(nh=17, payloadlen=4, spi=0x4004, seq=1, icv=payload(12)) / UDP() / b"x"], host1)
    sctp = SCTP(sport=of(host2, 5), dport=7000) / SCTPChunkInit()
    outward("SCTP from host2", host2, [in_ip() / sctp])
    inward("SCTP back", [out_ip() / SCTP(sport=7000, dport=of(host2, 5)) / SCTPChunkInit()], host2)
    outward("SCTP from another's port", host1, [in_ip() / sctp], False)
    outward("a stranger's GRE", stock, [in_ip() / key], False)
    inward("a protocol that nobody knows", [out_ip(proto=253) / payload(30)], None)


def hairpin():
    for mine, its in ((host1, host2), (host2, host1), (host1, host1)):
        for word, packet in (("UDP", UDP(sport=of(mine, 2), dport=of(its, 3)) / payload(100)),
                             ("TCP", TCP(sport=of(mine, 2), dport=of(its, 3)) / payload(100))):
            frame = from_host(mine, IP(src=SHARED, dst=SHARED) / packet)
            case(f"{word} from {mine.name} to {its.name}", [(mine, frame)], {its: [forwarded(frame, gate_lan, its.mac)]})
    frame = from_host(stock, IP(src=STOCK, dst=SHARED) / UDP(sport=5, dport=of(host1, 3)) / b"x")
    case("the stock host to host1", [(stock, frame)], {host1: [forwarded(frame, gate_lan, host1.mac)]})
    frame = from_host(host1, IP(src=SHARED, dst=SHARED) / UDP(sport=of(host2, 2), dport=of(host2, 3)) / b"x")
    case("a spoofed hairpin", [(host1, frame)], {})
    # The host's answer "port unreachable" to another sharer.
    frame = from_host(host2, IP(src=SHARED, dst=SHARED) / ICMP(type=3, code=3) / IP(src=SHARED, dst=SHARED) /
                      UDP(sport=of(host1, 2), dport=of(host2, 3)) / b"x")
    case("an error between sharers", [(host2, frame)], {host1: [forwarded(frame, gate_lan, host1.mac)]})


def ask(name, sends, expect):
    """expect: {port: [predicate]}; for what the kernel makes."""
    for p in PORTS:
        p.take()
    for p, frame in sends:
        p.send(frame)
    seen = marker()
    good = all(len(seen[p]) == len(expect.get(p, [])) and all(test(Ether(f)) for f, test in zip(seen[p], expect.get(p, []))) for p in PORTS)
    result(name, good, str([(p.name, Ether(f).summary(), f.hex()) for p in PORTS for f in seen[p]]))


def stack():
    """What the kernel does for us: TTL, sizes, options."""
    udp = UDP(sport=5, dport=of(host1, 3)) / payload(20)
    exceeded = lambda f: ICMP in f and f[ICMP].type == 11 and f[IP].src == "198.51.100.1" and bytes(f[IPerror])[:28]  # noqa: E731
    ask("TTL 1 ends", [(outside, from_out(out_ip(ttl=1) / udp))], {outside: [exceeded]})
    ask("TTL 0 ends", [(outside, from_out(out_ip(ttl=0) / udp))], {outside: [exceeded]})
    inward("TTL 2 goes on", [out_ip(ttl=2) / udp], host1)
    inward("options go on", [out_ip(options=[IPOption_NOP()] * 4) / udp], host1)
    frame = from_out(out_ip(options=[IPOption_RR(length=7, pointer=4, routers=["0.0.0.0"])]) / udp)
    ask("a record-route option is filled in", [(outside, frame)],
        {host1: [lambda f: f[UDP].dport == of(host1, 3) and f.dst == host1.mac and f[IP].ttl == 63]})
    needed = lambda f: ICMP in f and (f[ICMP].type, f[ICMP].code, f[ICMP].nexthopmtu) == (3, 4, 1280)  # noqa: E731
    big = TCP(sport=5, dport=of(host2, 3)) / payload(1400)
    if LAN_MTU == 1280:
        ask("longer than the LAN's MTU, DF", [(outside, from_out(out_ip(flags="DF") / big))], {outside: [needed]})
        ask("the same without DF is cut", [(outside, from_out(out_ip(id=9) / big))],
            {host2: [lambda f: f[IP].flags.MF and f.dst == host2.mac, lambda f: f[IP].frag and f.dst == host2.mac]})
    ask("options to another's set", [(outside, from_out(out_ip(options=[IPOption_NOP()] * 4) / UDP(sport=5, dport=of(host2, 3)) / b"x"))],
        {host2: [lambda f: f[UDP].dport == of(host2, 3) and f.dst == host2.mac]})


def arp():
    probe = Ether(src=stock.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=stock.mac, psrc=STOCK, pdst=SHARED)
    # Others see the question too, as broadcasts go.
    heard = [lambda f: f[ARP].op == 1]
    ask("an ordinary question gets the gateway's MAC", [(stock, probe)],
        {host1: heard, host2: heard, stock: [lambda f: f[ARP].op == 2 and f[ARP].hwsrc == gate_lan and f[ARP].psrc == SHARED]})


def main():
    for p in (host1, host2, stock):  # the bridge learns where they are
        p.send(Ether(src=p.mac, dst="ff:ff:ff:ff:ff:ff", type=0x88b5) / b"here")
    for group in ((stack,) if LAN_MTU < 1500 else (ports, spoofs, fragments, icmp, portless, hairpin, stack, arp)):
        try:
            group()
        except Exception as error:  # the others' results count
            import traceback
            traceback.print_exc()
            result(f"{group.__name__} runs to its end", False, repr(error))
    sys.exit(failed != 0)


main()
