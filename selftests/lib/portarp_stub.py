#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for isthmus-portarp: its control socket, and a table of whose each set is.

	portarp_stub.py SOCKET LOG [ADDRESS...]

Knows the addresses (none given: all). Each request is a line of LOG. SOCKET.used holds how many ports
`usage` tells of each set; SOCKET.owner, read at the start, sets that another MAC has: JSON, as `lease`.
"""
import json
import os
import selectors
import socket
import sys

path, log = sys.argv[1], open(sys.argv[2], "a", buffering=1)
known = set(sys.argv[3:])
table = {}


def key(m):
    return (m["address"],) + tuple((k, m[k]) for k in ("a", "k", "psid", "low", "high") if k in m)


def used():
    try:
        return int(open(path + ".used").read())
    except OSError:
        return 0


def answer(m):
    op = m.get("op")
    if op == "address-add":
        known.add(m["address"])
        return {"ok": True}
    if op in ("lease", "release", "use") and known and m["address"] not in known:
        return {"ok": False, "error": "unknown-address", "text": "not a shared address"}
    if op == "lease":
        owner = table.get(key(m))
        if owner and owner["mac"] != m["mac"]:
            return {"ok": False, "error": "taken", "text": "another MAC has it"}
        table[key(m)] = m
    elif op == "release":
        owner = table.get(key(m))
        if owner and owner["mac"] != m["mac"]:
            return {"ok": False, "error": "taken", "text": "another MAC has it"}
        table.pop(key(m), None)
    elif op == "usage":
        rows = [r for r in table.values() if m.get("address", r["address"]) == r["address"]]
        rows = rows[m.get("skip", 0):]
        return {"ok": True, "more": max(0, len(rows) - 2),
                "sets": [dict(r, used_tcp=0, used_udp=used()) for r in rows[:2]]}
    return {"ok": True}


def send(conn, line):
    try:
        conn.sendall(line)
    except OSError:  # its end was killed
        pass


def serve(conn, lines):
    try:
        data = conn.recv(65536)
    except ConnectionError:  # its end was killed
        data = b""
    lines[conn] += data
    while b"\n" in lines[conn]:
        line, lines[conn] = lines[conn].split(b"\n", 1)
        m = json.loads(line)
        log.write(json.dumps(m, sort_keys=True) + "\n")
        if "id" in m:
            send(conn, json.dumps(dict(answer(m), re=m["id"])).encode() + b"\n")
    return bool(data)


def main():
    if os.path.exists(path + ".owner"):
        m = json.load(open(path + ".owner"))
        table[key(m)] = m
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    lines = {}
    while True:
        for event, _ in selector.select():
            if event.fileobj is listener:
                conn, _ = listener.accept()
                lines[conn] = b""
                selector.register(conn, selectors.EVENT_READ)
            elif not serve(event.fileobj, lines):
                selector.unregister(event.fileobj)
                event.fileobj.close()


main()
