# SPDX-License-Identifier: GPL-3.0-or-later
"""Waypoints, gateways and clients of isthmus-dns that do what they are told.

Written from docs/protocol.md and the RFCs, not with the agents' library: TLS with a pinned
fingerprint and JSON lines to the members' port, SETUP datagrams with HMAC by hashlib, DNS messages
made and taken apart here.
"""
import base64
import hashlib
import hmac
import ipaddress
import json
import os
import select
import socket
import ssl
import struct
import subprocess
import threading
import time

SERVER4, SERVER6 = "192.0.2.53", "2001:db8::53"
MEMBERS = (SERVER4, 3481)
CONTROL = os.environ.get("CONTROL", "")
SLOW = int(os.environ.get("SLOW", "1"))
SOON = 2.5 * SLOW  # what comes at all comes within this time
NEVER = 0.25  # for so long it is seen that nothing comes


def command(*words):
    """Standard output of `isthmus-dns WORDS`, or its complaint."""
    done = subprocess.run(["isthmus-dns", *words, "--control", CONTROL], text=True, check=False,
                          capture_output=True)
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip()


def status():
    return json.loads(command("status", "--json"))


def bindings():
    return status()["members"]["bindings"]


def wait_until(what, seconds=SOON):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.03)
    return True


# ---- members


class Link:
    """A connection to the members' port."""

    def __init__(self, fingerprint=None, source="192.0.2.60"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the fingerprint is the check
        self.sock = context.wrap_socket(socket.create_connection(MEMBERS, SOON * 2, (source, 0)))
        shown = hashlib.sha256(self.sock.getpeercert(binary_form=True)).hexdigest()
        if fingerprint and shown != fingerprint:
            raise ValueError("the certificate is another one")
        self.buffer, self.notices, self.next_id, self.ended = b"", [], 1, False

    def send(self, message):
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, seconds):
        """The next message; None if there is none in time, or never any more."""
        end = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            self.sock.settimeout(max(end - time.monotonic(), 0.001))
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                return None
            except OSError:
                data = b""
            if not data:
                self.ended = True
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        message = json.loads(line)
        if message.get("op") == "ping":
            self.send({"op": "pong"})
            return self.receive(max(end - time.monotonic(), 0.001))
        return message

    def wait(self, matches, seconds=SOON):
        """The first message that matches; others are kept."""
        for i, message in enumerate(self.notices):
            if matches(message):
                return self.notices.pop(i)
        end = time.monotonic() + seconds
        while (message := self.receive(max(end - time.monotonic(), 0.001))) is not None:
            if matches(message):
                return message
            self.notices.append(message)
        return None

    def request(self, message):
        message["id"] = number = self.next_id
        self.next_id += 1
        self.send(message)
        answer = self.wait(lambda m: m.get("re") == number)
        return answer or {"ok": False, "error": "none"}

    def notice(self, op, seconds=SOON, **members):
        return self.wait(lambda m: m.get("op") == op and all(m.get(k) == v for k, v in members.items()),
                         seconds)

    def sync(self):
        """What was sent before has been read."""
        self.send({"op": "ping"})
        return self.wait(lambda m: m.get("op") == "pong") is not None

    def is_closed(self, seconds=SOON):
        self.wait(lambda m: False, seconds)
        return self.ended

    def close(self):
        self.sock.close()


def enrol(line):
    """What a line of `gateway add` or `waypoint add` gives: (link, answer)."""
    _, name, token, fingerprint, *_ = line.split(":")
    link = Link(fingerprint)
    return link, link.request({"op": "enrol", "name": name, "token": token})


class Gateway(Link):
    def __init__(self, name, secret, hosts, **more):
        super().__init__()
        self.name = name
        self.answer = self.request({"op": "gateway", "name": name, "secret": secret, "version": 1,
                                    "hosts": numbered(hosts), **more})

    def hosts(self, hosts, **more):
        return self.request({"op": "hosts", "hosts": numbered(hosts), **more})


def numbered(hosts):
    """{1: "web"} as the protocol has it; a list is as it is."""
    if isinstance(hosts, list):
        return hosts
    return [{"number": number, "name": name, "family": "4"} for number, name in hosts.items()]


SETUP = struct.Struct(">4sBBBBQ4s4sIII4s16s")
ASK, ACCEPT, REJECT = 1, 2, 3
ELSEWHERE, WAITING, NO_TUNNEL, FULL = 1, 2, 3, 4


class Setup:
    FIELDS = ("magic", "type", "mode", "bits", "why", "serial", "waypoint", "initiator", "gateway", "host",
              "ms", "resolver", "zeros")

    def __init__(self, data, key):
        self.data = data
        self.good = len(data) == 72 and hmac.new(key, data[:56], "sha256").digest()[:16] == data[56:]
        for name, value in zip(self.FIELDS, SETUP.unpack(data[:56])):
            setattr(self, name, value)
        self.address = str(ipaddress.ip_address(self.waypoint))
        self.good = self.good and (self.magic, self.type, self.why, self.zeros) == (b"ISW1", ASK, 0, bytes(16))

    def answer(self, key, type_, why=0, **changed):
        values = {name: getattr(self, name) for name in self.FIELDS}
        values |= {"type": type_, "why": why} | changed
        data = SETUP.pack(*[values[name] for name in self.FIELDS])
        return data + hmac.new(key, data, "sha256").digest()[:16]


class Waypoint(Link):
    def __init__(self, name, secret, addresses, where="192.0.2.61", **more):
        super().__init__()
        self.name, self.stop = name, threading.Event()
        self.udp = socket.socket(socket.AF_INET6 if ":" in where else socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.udp.bind((where, 0))
        host = f"[{where}]" if ":" in where else where
        self.answer = self.request({
            "op": "waypoint", "name": name, "secret": secret, "version": 1, "addresses": addresses,
            "tunnel": f"{host}:6081", "setup": f"{host}:{self.udp.getsockname()[1]}", **more})
        key = self.answer.get("key", "")
        self.key = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
        self.seen = []  # (time, Setup)

    def tunnel(self, gateway, up=True):
        self.send({"op": "tunnel", "gateway": gateway, "up": up})
        self.sync()

    def setup(self, seconds=SOON, repeated=False):
        """The next SETUP, or None; those that come again are passed over unless they are wanted."""
        end = time.monotonic() + seconds
        while select.select([self.udp], [], [], max(end - time.monotonic(), 0))[0]:
            data, self.peer = self.udp.recvfrom(2048)
            setup = Setup(data, self.key)
            if repeated or all(setup.serial != seen.serial for _, seen in self.seen):
                self.seen.append((time.monotonic(), setup))
                return setup
        return None

    def accept(self, setup, ms=50, **changed):
        self.udp.sendto(setup.answer(self.key, ACCEPT, ms=ms, **changed), self.peer)

    def reject(self, setup, why):
        self.udp.sendto(setup.answer(self.key, REJECT, why), self.peer)

    def serve(self, ms=50):
        """Accepts everything until end() is called."""
        def run():
            while not self.stop.is_set():
                setup = self.setup(0.05)
                if setup:
                    self.accept(setup, ms)
        self.thread = threading.Thread(target=run)
        self.thread.start()

    def end(self):
        self.stop.set()
        self.thread.join()
        self.stop.clear()


# ---- clients

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "OPT": 41}
NAMES = {number: name for name, number in TYPES.items()}
CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


def question(name, type_, number, cookie=None, subnet=None, edns=False):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    options = b"" if cookie is None else struct.pack(">2H", 10, len(cookie)) + cookie
    if subnet:
        network = ipaddress.ip_network(subnet)
        data = network.network_address.packed[:(network.prefixlen + 7) // 8]
        options += struct.pack(">3H2B", 8, 4 + len(data), 1 if network.version == 4 else 2,
                               network.prefixlen, 0) + data
    more = b""
    if options or edns:
        more = struct.pack(">BHHIH", 0, TYPES["OPT"], 1232, 0, len(options)) + options
    return (struct.pack(">6H", number, 0, 1, 0, 0, bool(more)) + labels + b"\0" +
            struct.pack(">2H", TYPES[type_], 1) + more)


class Reply:
    """An answer: `text` is "NOERROR web.home.example.net 0 A 192.0.2.200"."""

    def __init__(self, data):
        self.data = data
        self.number, flags, *counts = struct.unpack(">6H", data[:12])
        self.tc, self.aa, self.code = bool(flags & 0x200), bool(flags & 0x400), CODES.get(flags & 15)
        self.at, self.records, self.cookie, self.scope = 12, [], None, None
        for _ in range(counts[0]):
            self.name()
            self.at += 4
        sections = [[self.record() for _ in range(count)] for count in counts[1:]]
        self.records = sections[0]
        self.text = " ".join([self.code + (" TC" if self.tc else "")] + self.records)

    def name(self):
        labels, at, jumped = [], self.at, False
        while self.data[at]:
            if self.data[at] >= 0xc0:
                if not jumped:
                    self.at, jumped = at + 2, True
                at = struct.unpack(">H", self.data[at:at + 2])[0] & 0x3fff
                continue
            labels.append(self.data[at + 1:at + 1 + self.data[at]].decode())
            at += 1 + self.data[at]
        if not jumped:
            self.at = at + 1
        return ".".join(labels)

    def record(self):
        owner = self.name()
        type_, class_, ttl, length = struct.unpack(">HHIH", self.data[self.at:self.at + 10])
        self.at += 10
        start, end = self.at, self.at + length
        data = self.data[start:end]
        if type_ == TYPES["CNAME"]:
            data = self.name()
        elif type_ in (TYPES["A"], TYPES["AAAA"]):
            data = str(ipaddress.ip_address(data))
        elif type_ == TYPES["OPT"]:
            self.options(data)
        self.at = end
        return f"{owner} {ttl} {NAMES.get(type_, type_)} {data if isinstance(data, str) else data.hex()}"

    def options(self, data):
        while data:
            code, length = struct.unpack(">2H", data[:4])
            if code == 10:
                self.cookie = data[4:4 + length]
            elif code == 8:
                self.scope = data[7]
            data = data[4 + length:]


class Client:
    numbers = 0

    def __init__(self, source="198.51.100.200", tcp=False, port=0):
        server = SERVER6 if ":" in source else SERVER4
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        self.sock.bind((source, port))
        self.sock.connect((server, 53))
        if tcp:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tcp, self.buffer, self.ended = tcp, b"", False

    def ask(self, name, type_="A", **options):
        Client.numbers = (Client.numbers + 1) & 0xffff
        data = question(name, type_, Client.numbers, **options)
        try:
            self.sock.send(struct.pack(">H", len(data)) + data if self.tcp else data)
        except ConnectionRefusedError:
            pass
        return Client.numbers

    def answer(self, seconds=SOON):
        end = time.monotonic() + seconds
        while True:
            if self.tcp and len(self.buffer) >= 2:
                length = struct.unpack(">H", self.buffer[:2])[0]
                if len(self.buffer) >= 2 + length:
                    data, self.buffer = self.buffer[2:2 + length], self.buffer[2 + length:]
                    return Reply(data)
            if not select.select([self.sock], [], [], max(end - time.monotonic(), 0))[0]:
                return None
            data = self.sock.recv(65536)
            if not self.tcp:
                return Reply(data)
            if not data:
                self.ended = True
                return None
            self.buffer += data

    def text(self, *question_, seconds=SOON, **options):
        self.ask(*question_, **options)
        reply = self.answer(seconds)
        return reply.text if reply else "nothing"

    def close(self):
        self.sock.close()
