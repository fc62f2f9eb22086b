#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends of sessions that tell what they saw; neither knows of one-time addresses.

onetime_pair.py serve PORT...		on ::1 and 127.0.0.1, TCP at PORT, UDP at the next one: sends back what comes,
					at the end of a TCP session closes it, too; prints both ends
onetime_pair.py ask tcp|udp ADDRESS PORT [OPTION=VALUE]...
	from=ADDRESS port=PORT	bind to that first
	rounds=COUNT		lines of random bytes, each sent back before the next is sent (20)
	sessions=COUNT		at the same time, by turns (1)
	beside=ADDRESS[,PORT]	after half of the rounds somebody from there asks the same address
	beside_to=PORT		at this port
	before_to=PORT		somebody from `from` asks at this port, before all
	after=ADDRESS		somebody from there asks after the end
	wait=SECONDS		for an answer (3)

ask prints one JSON object: rounds and bytes that came back whole, eof (both ends have closed), local ends; what
before, beside and after got: "served", "silent" or "refused"; error is null or what ended the sessions.
"""
import errno
import json
import os
import socket
import sys
import threading

LINE = 1100  # bytes, one packet
SHORT = 0.5  # seconds: who is refused waits no longer


def text(address):
    return "%s %d" % (address[0].removeprefix("::ffff:"), address[1])


# ---- server

def answer(connection):
    with connection:
        print(text(connection.getsockname()), text(connection.getpeername()), flush=True)
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError as e:
            print(f"ended: {e}", flush=True)


def answer_all(s):
    while True:
        threading.Thread(target=answer, args=(s.accept()[0],), daemon=True).start()


def answer_datagrams(s):
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(data, peer)


def serve(*ports):
    for port in ports:
        for family, address in (socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"):
            stream, datagrams = socket.socket(family), socket.socket(family, socket.SOCK_DGRAM)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            datagrams.bind((address, int(port) + 1))
            stream.bind((address, int(port)))
            stream.listen(64)
            threading.Thread(target=answer_all, args=(stream,)).start()
            threading.Thread(target=answer_datagrams, args=(datagrams,)).start()


# ---- client

class Asking:
    def __init__(self, proto, address, port, own, own_port, wait):
        self.stream = proto == "tcp"
        self.s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                               socket.SOCK_STREAM if self.stream else socket.SOCK_DGRAM)
        self.s.settimeout(wait)
        if own or own_port:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.s.bind((own or "", own_port))
        self.s.connect((address, port))

    def round(self):
        line = os.urandom(LINE)
        self.s.sendall(line)
        got = b""
        while len(got) < LINE:
            data = self.s.recv(65536)
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "closed")
            got += data
        if got != line:
            raise ValueError("other bytes came back")

    def close(self):
        """True if the server has closed, too."""
        if not self.stream:
            return True
        self.s.shutdown(socket.SHUT_WR)
        return self.s.recv(1) == b""


def outcome(do):
    try:
        do()
        return None
    except TimeoutError:
        return "silent"
    except ConnectionError:
        return "refused"
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))


def ask(proto, address, port, *options):
    option = dict(word.split("=", 1) for word in options)
    told = {"rounds": 0, "bytes": 0, "eof": False, "local": [], "before": None, "beside": None, "after": None}
    rounds, asking = int(option.get("rounds", 20)), []

    def once(own, to):
        def do():
            address_, _, own_port = own.partition(",")
            other = Asking(proto, address, int(to), address_, int(own_port or 0), SHORT)
            other.round()
            other.close()
        return outcome(do) or "served"

    def whole():
        for _ in range(int(option.get("sessions", 1))):
            asking.append(Asking(proto, address, int(port), option.get("from"), int(option.get("port", 0)),
                                 float(option.get("wait", 3))))
            told["local"].append(text(asking[-1].s.getsockname()))
        for i in range(rounds):
            if i == rounds // 2 and "beside" in option:
                told["beside"] = once(option["beside"], option.get("beside_to", port))
            for each in asking:
                each.round()
                told["rounds"] += 1
                told["bytes"] += LINE
        told["eof"] = all([each.close() for each in asking])

    if "before_to" in option:
        told["before"] = once(option.get("from", ""), option["before_to"])
    told["error"] = outcome(whole)
    if "after" in option:
        told["after"] = once(option["after"], port)
    print(json.dumps(told))


{"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
