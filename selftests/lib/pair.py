#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Negotiates sessions as a provider and a subscriber do, and leaves the connecting to the caller.

Both peers of docs/protocol.md in one process, each in its own network namespace: enrolment,
publication, negotiation and probes, written from that document and not with the agents' library.
For each session one line is printed,

    SESSION ADDRESS0 PORT0 STATUS0 ADDRESS1 PORT1 STATUS1

for the subscriber (0) and the provider (1): where it is to connect to, and what the translator
answered to its probe (`ok`, `unknown`, `expired`, `family`, or `silent`). Then the connections to
the broker are kept until a signal ends the process.
"""
import argparse
import base64
import ctypes
import hashlib
import json
import os
import select
import socket
import ssl
import struct

CLONE_NEWNET = 0x40000000
PROBE = struct.Struct(">4sQBBxx16s16x")
STATUS = ["ok", "unknown", "expired", "family"]


def enter(netns):
    """The sockets that this thread opens from now on belong to namespace file `netns`."""
    fd = os.open(netns, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns", netns)
    os.close(fd)


class Peer:
    """One user's connection to the broker."""

    def __init__(self, netns, broker, line, timeout):
        _, self.user, token, fingerprint = line.strip().split(":")
        self.netns = netns
        self.buffer = b""
        self.notices = []
        self.next_id = 1
        enter(netns)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the fingerprint is the check
        self.sock = context.wrap_socket(socket.create_connection(broker, timeout))
        shown = hashlib.sha256(self.sock.getpeercert(binary_form=True)).hexdigest()
        if shown != fingerprint:
            raise ValueError("the broker's certificate is not the announced one")
        self.request({"op": "enrol", "user": self.user, "token": token})

    def send(self, message):
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def ask(self, message):
        message["id"] = self.next_id
        self.next_id += 1
        self.send(message)
        return message["id"]

    def receive(self):
        while b"\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the broker closed the connection of " + self.user)
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        message = json.loads(line)
        if message.get("op") == "ping":
            self.send({"op": "pong"})
        return message

    def wait(self, matches):
        """The first message that matches; what comes before it is kept for later calls."""
        for i, message in enumerate(self.notices):
            if matches(message):
                return self.notices.pop(i)
        while True:
            message = self.receive()
            if matches(message):
                return message
            self.notices.append(message)

    def answer(self, number):
        answer = self.wait(lambda m: m.get("re") == number)
        if not answer["ok"]:
            raise RuntimeError(f"{answer['error']}: {answer.get('text', '')}")
        return answer

    def request(self, message):
        return self.answer(self.ask(message))

    def probe(self, splice, arguments):
        """Asks up to four times, as a peer does."""
        token = base64.urlsafe_b64decode(splice["token"] + "==")
        if arguments.wrong_token:
            token = bytes(b ^ 1 for b in token)
        role = splice["role"]
        question = PROBE.pack(b"ISQ1", int(splice["session"], 16), role, 0, token)
        enter(self.netns)
        udp = not arguments.probe_tcp
        family = socket.AF_INET6 if ":" in splice["address"] else socket.AF_INET
        to = (splice["address"], splice["probe_port_udp" if udp else "probe_port_tcp"])
        with socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as s:
            s.settimeout(2)
            s.connect(to)
            for wait in (0.2, 0.4, 0.8, 1.6):
                s.send(question)
                s.settimeout(wait)
                try:
                    magic, session, side, status, _ = PROBE.unpack(s.recv(64))
                except (TimeoutError, ConnectionError, struct.error):
                    continue
                if (magic, session, side) == (b"ISA1", int(splice["session"], 16), role):
                    return STATUS[status]
        return "silent"


def negotiate(subscriber, provider, service, arguments):
    family = [arguments.family]
    number = subscriber.ask({"op": "negotiate", "user": provider.user, "service": service,
                             "families": family})
    offer = provider.wait(lambda m: m.get("op") == "offer")
    provider.send({"re": offer["id"], "ok": True, "families": family})
    splice = [subscriber.answer(number)]
    splice.append(provider.wait(lambda m: m.get("op") == "splice" and
                                m["session"] == splice[0]["session"]))
    line = [splice[0]["session"]]
    for peer, side in zip((subscriber, provider), splice):
        silent = arguments.no_probe
        line += [side["address"], str(side["port"]),
                 "silent" if silent else peer.probe(side, arguments)]
    print(*line, flush=True)


def keep(peers):
    """Answers the broker's pings."""
    while True:
        ready, _, _ = select.select([p.sock for p in peers], [], [])
        for peer in peers:
            if peer.sock in ready or peer.sock.pending():
                peer.notices.append(peer.receive())
                del peer.notices[:-16]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--subscriber", nargs=2, required=True, metavar=("NETNS", "LINE"),
                        help="namespace file, and what `isthmus-broker user add` printed")
    parser.add_argument("--provider", nargs=2, required=True, metavar=("NETNS", "LINE"))
    parser.add_argument("--proto", choices=("tcp", "udp"), default="tcp")
    parser.add_argument("--family", choices=("4", "6"), default="4")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--probe-tcp", action="store_true")
    parser.add_argument("--no-probe", action="store_true")
    parser.add_argument("--wrong-token", action="store_true")
    arguments = parser.parse_args()
    host, port = arguments.broker.rsplit(":", 1)
    peers = []
    for netns, name in (arguments.subscriber, arguments.provider):
        with open(name, encoding="ascii") as file:
            peers.append(Peer(netns, (host.strip("[]"), int(port)), file.read(), 20))
    peers[1].request({"op": "publish", "service": "pair", "proto": arguments.proto})
    for _ in range(arguments.count):
        negotiate(peers[0], peers[1], "pair", arguments)
    keep(peers)


if __name__ == "__main__":
    main()
