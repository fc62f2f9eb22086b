# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes of dns_members.sh and dns_bind.sh: `dns_scenes.py SCENE` prints NAME, what was got and what was wanted.

What members keep from scene to scene (secrets, numbers) is in members.json of the current folder.
"""
import hmac
import ipaddress
import json
import socket
import sqlite3
import struct
import subprocess
import sys
import time

from dns_member import (ACCEPT, ELSEWHERE, FULL, NO_TUNNEL, SERVER4, SLOW, SOON, NEVER, WAITING, Client, Gateway, Link,
                        Waypoint, bindings, command, enrol, status, wait_until)

HOME, OTHER = "home.example.net", "other.example.net"
HOSTS = {1: "web", 2: "db", 7: "@"}
WEB, DB = "web.home.example.net", "db.home.example.net"
ADDRESSES = [f"192.0.2.{n}" for n in range(200, 216)]
MORE = [f"192.0.3.{n}" for n in range(200, 216)]


def same(name, got, want):
    print(name, "-" if got in ("", None) else got, "-" if want in ("", None) else want, sep="\t", flush=True)


def kept():
    try:
        with open("members.json", encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def keep(**values):
    everything = kept() | values
    with open("members.json", "w", encoding="utf-8") as file:
        json.dump(everything, file)


def gateway(name=HOME, hosts=None, **more):
    return Gateway(name, kept()[name], HOSTS if hosts is None else hosts, **more)


def waypoint(name="w1", addresses=None, up=True, **more):
    """Logged in, with a tunnel to each gateway."""
    w = Waypoint(name, kept()[name], ADDRESSES if addresses is None else addresses, **more)
    for number in kept().get("numbers", {}).values() if up else []:
        w.tunnel(number)
    return w


def both(**more):
    return gateway(), waypoint(**more)


def denied(link, message):
    """A login that must fail, and is the connection's end."""
    answer = link.request(message)
    return f"{answer.get('error')} {link.is_closed()}"


def sent_to(reply):
    """Address of the only record of an answer."""
    return reply.records[0].split()[3] if reply and reply.records else "none"


# ---- enrolment and logins


def scene_enrol():
    silent = Link()
    began = time.monotonic()
    for kind, name in (("gateway", HOME), ("gateway", OTHER), ("waypoint", "w1"), ("waypoint", "w2")):
        line = command(kind, "add", name)
        words = line.split(":")
        same(f"{kind} {name}: its line", (len(words), words[0], words[1], words[4:]),
             (6, "isthmus2", name, [SERVER4, "3481"]))
        wrong = {"op": "enrol", "name": name, "token": words[2][1:] + words[2][0] + "x"}
        same("a wrong token", denied(Link(words[3]), wrong), "denied True")
        same("another's name", denied(Link(), {"op": "enrol", "name": "w9", "token": words[2]}), "denied True")
        link, answer = enrol(line)
        same("the right one", (answer["ok"], len(answer.get("secret", ""))), (True, 43))
        link.close()
        same("the same again", enrol(line)[1].get("error"), "denied")
        keep(**{name: answer["secret"]})
    line = command("gateway", "add", HOME)
    with sqlite3.connect("state/dns.db", timeout=5) as db:
        db.execute("UPDATE members SET token_expires = ? WHERE name = ?", (int(time.time()) - 1, HOME))
    same("a token that has expired", enrol(line)[1].get("text"), "the token has expired: ask for a new one")
    g = gateway()
    same("the secret of before is still good", g.answer["ok"], True)
    link, answer = enrol(command("gateway", "add", HOME))
    same("after a new token", answer["ok"], True)
    same("it is not any more", Gateway(HOME, kept()[HOME], HOSTS).answer["error"], "denied")
    keep(**{HOME: answer["secret"]})
    same("a gateway outside of the zones", "is in one of the zones" in command("gateway", "add", "home.example.org"),
         True)
    same("no name", "no domain name" in command("waypoint", "add", "a..b"), True)
    same("list", command("gateway", "list").split(), [HOME, OTHER])
    same("waypoints, one of them not joined yet", command("waypoint", "add", "w3") and
         command("waypoint", "list").split("\n"), ["w1", "w2", "w3 (not joined yet)"])
    same("who is silent is sent away", silent.is_closed(max(0, began + 10 - time.monotonic()) + SOON), True)
    at_10 = time.monotonic() - began
    same("after 10 s", 9 < at_10 < 10 + SOON + 1, True)


def scene_join():
    """All members, for scenes that are not about how they log in."""
    for kind, name in (("gateway", HOME), ("gateway", OTHER), ("waypoint", "w1"), ("waypoint", "w2")):
        keep(**{name: enrol(command(kind, "add", name))[1]["secret"]})
    w = waypoint(up=False)
    links = [gateway(name, {0: "@"}) for name in (HOME, OTHER)]
    keep(numbers={link.name: w.notice("gateway", name=link.name)["id"] for link in links})


def scene_login():
    before = status()["members"]["refused"]
    secret = kept()
    login = {"name": HOME, "secret": secret[HOME], "version": 1, "hosts": []}
    same("wrong secret", denied(Link(), {**login, "op": "gateway", "secret": secret[OTHER]}), "denied True")
    same("another kind", denied(Link(), {**login, "op": "waypoint"}), "denied True")
    same("another version", denied(Link(), {**login, "op": "gateway", "version": 2}), "denied True")
    same("unknown op", denied(Link(), {**login, "op": "hosts"}), "denied True")
    same("no hosts", denied(Link(), {**login, "op": "gateway", "hosts": 7}), "denied True")
    same("no addresses", denied(Link(), {"op": "waypoint", "name": "w1", "secret": secret["w1"], "version": 1,
                                         "setup": "192.0.2.61:1", "tunnel": "192.0.2.61:2"}), "denied True")
    same("a prefix that is too long", waypoint(up=False, prefix6="2001:db8:6::/100").answer["ok"], False)
    same("these are counted", status()["members"]["refused"] - before, 7)
    garbage = Link()
    garbage.sock.sendall(b"no JSON\n")
    same("garbage is the end", garbage.is_closed(), True)
    first = gateway()
    same("a gateway logs in", (first.answer["ok"], first.answer["keepalive"]), (True, 30))
    w1 = waypoint(up=False)
    same("a waypoint has a key of 32 bytes", len(w1.key), 32)
    to_w1 = w1.notice("gateway", name=HOME)
    to_home = first.notice("waypoint", name="w1")
    same("both are told of each other", (to_w1["secret"] == to_home["secret"], to_w1["id"] == to_home["id"],
                                         to_home["tunnel"]), (True, True, ["192.0.2.61:6081"]))
    second = gateway()
    same("a gateway twice: the first ends", first.is_closed(), True)
    again = w1.notice("gateway", name=HOME)
    same("the number is the same", again["id"], to_w1["id"])
    same("the secret is another", again["secret"] != to_w1["secret"], True)
    other = gateway(OTHER, {0: "@"})
    number = other.notice("waypoint")["id"]
    same("another gateway has another number", number != again["id"], True)
    keep(numbers={HOME: again["id"], OTHER: number})
    time.sleep(0.1)
    same("the first one's end takes no name away", Client().text("mx.home.example.net"), "NXDOMAIN")
    w1.tunnel(again["id"])
    client = Client()
    client.ask(WEB)
    same("the second one's names are there", w1.setup().gateway, again["id"])
    newer = waypoint()
    same("a waypoint twice: the first ends", w1.is_closed(), True)
    same("with another key", newer.key != w1.key, True)
    client = Client()
    client.ask(WEB)
    same("and the second is asked", newer.setup().good, True)
    same("not the first", w1.setup(NEVER), None)
    same("connected", [g["connected"] for g in status()["members"]["gateways"]], [True, True])
    second.close()
    same("or not", wait_until(lambda: not all(g["connected"] for g in status()["members"]["gateways"])), True)


# ---- names


def asks_for(w, name, **options):
    """Number of the host that a question is about, or the answer that needs no waypoint."""
    client = Client(tcp=True)
    client.ask(name, **options)
    setup = w.setup(0.3 * SLOW)
    if not setup:
        reply = client.answer()
        return reply.text if reply else "nothing"
    w.accept(setup)
    client.answer()
    client.close()
    return setup.host


def scene_hosts():
    g, w = both()
    same("told", asks_for(w, WEB), 1)
    same("another", asks_for(w, DB), 2)
    same("the gateway's own name", asks_for(w, HOME), 7)
    same("beside TXT", Client().text(HOME, "TXT"), f"NOERROR {HOME} 300 TXT " + b"\x0bof the zone".hex())
    same("no other name", Client().text("x.home.example.net"), "NXDOMAIN")
    same("no other type", Client().text(WEB, "MX"), "NOERROR")
    same("an alias of it", asks_for(w, "to-web.example.net"), 1)
    same("changed", g.hosts({1: "Mail", 2: "db", 3: "db", 4: "a.b"})["ok"], True)
    same("old name", asks_for(w, WEB), "NXDOMAIN")
    same("new name, in other letters", asks_for(w, "mAIL.home.example.net"), 1)
    same("deeper", asks_for(w, "a.b.home.example.net"), 4)
    same("what is between exists", Client().text("b.home.example.net"), "NOERROR")
    same("removed", asks_for(w, "www.home.example.net"), "NXDOMAIN")
    for what, hosts in (("twice the same number", [{"number": 1, "name": "q"}, {"number": 1, "name": "r"}]),
                        ("no such number", {4096: "q"}), ("no name", {5: "a..b"}), ("a wildcard", {5: "*"}),
                        ("no text", [{"number": 5, "name": 5}]), ("no array", [7])):
        same(f"{what}: refused", g.hosts(hosts).get("error"), "bad-message")
    same("and all is as before", (asks_for(w, "mail.home.example.net"), asks_for(w, "q.home.example.net")),
         (1, "NXDOMAIN"))
    same("some that cannot be", g.hosts({1: "web", 5: "x.child", 6: "alias"})["ok"], True)
    same("a delegated one is told", g.notice("refused", name="x.child.home.example.net.") is not None, True)
    same("an alias in the way, too", g.notice("refused", name="alias.home.example.net.") is not None, True)
    same("the delegation stays", Client().text("x.child.home.example.net"), "NOERROR")
    same("so does the alias", Client().text("alias.home.example.net"),
         "NOERROR alias.home.example.net 300 CNAME web.example.net web.example.net 300 A 192.0.2.1")
    same("and the others are served", asks_for(w, WEB), 1)
    command("publish", WEB, "--address", "192.0.2.9")
    same("an address that is published comes first", Client().text(WEB), f"NOERROR {WEB} 60 A 192.0.2.9")
    command("withdraw", WEB)
    same("until it is withdrawn", asks_for(w, WEB), 1)
    g.hosts({})
    same("none", asks_for(w, WEB), "NXDOMAIN")
    same("what was in the zone is still there", Client().text("text.home.example.net", "TXT").split()[0], "NOERROR")
    g.hosts(HOSTS, behind=[a for a in ADDRESSES if a != ADDRESSES[5]])
    client = Client()
    client.ask(WEB)
    same("addresses that the gateway is behind are not used", w.setup().address, ADDRESSES[5])
    g.close()
    same("names stay when the gateway goes", asks_for(w, DB), 2)
    gateway()


# ---- questions that are held


def scene_hold():
    _, w = both()
    number = kept()["numbers"][HOME]
    before = bindings()
    client = Client("198.51.100.200")
    client.ask(WEB)
    setup = w.setup()
    same("SETUP is made with the key", setup.good, True)
    same("for anyone of that name", (setup.mode, setup.bits, setup.initiator.hex()), (2, 0, "00000000"))
    same("for its host, for as long as the waypoint likes", (setup.gateway, setup.host, setup.ms), (number, 1, 0))
    same("one of the waypoint's addresses", setup.address in ADDRESSES, True)
    same("who asked", str(ipaddress.ip_address(setup.resolver)), "198.51.100.200")
    same("no answer yet", client.answer(0.15), None)
    same("held", bindings()["held"], 1)
    w.accept(setup)
    reply = client.answer()
    same("then its address, for no time", reply.text, f"NOERROR {WEB} 0 A {setup.address}")
    same("authoritative", reply.aa, True)
    w.accept(setup)
    same("a second ACCEPT changes nothing", client.answer(NEVER), None)
    client.ask(WEB)
    again = w.setup()
    same("the next time the same address, another serial", (again.address, again.serial != setup.serial),
         (setup.address, True))
    w.accept(again)
    client.answer()
    first = []
    for host in (WEB, DB, HOME):
        client.ask(host)
        first.append(w.setup().address)
        w.accept(w.seen[-1][1])
        client.answer()
    same("names of one client are spread", len(set(first)) > 1, True)
    client.ask("to-web.example.net")
    w.accept(w.setup())
    same("by an alias", client.answer().text,
         f"NOERROR to-web.example.net 300 CNAME {WEB} {WEB} 0 A {w.seen[-1][1].address}")
    now = bindings()
    same("counted", [now[k] - before[k] for k in ("asked", "accepted", "late", "asked_again", "held")],
         [len(w.seen), len(w.seen), 1, now["asked_again"] - before["asked_again"], 0])


def scene_transports():
    _, w = both(where="2001:db8::62")
    for source, tcp in (("198.51.100.200", True), ("2001:db8:7::7", False), ("2001:db8:7::7", True)):
        client = Client(source, tcp)
        client.ask(WEB)
        setup = w.setup()
        same(f"{source} {'TCP' if tcp else 'UDP'}: SETUP", (setup.good, setup.resolver.hex()),
             (True, "00000000" if ":" in source else "c63364c8"))
        same("held", client.answer(0.05), None)
        w.accept(setup)
        same("answered", client.answer().text, f"NOERROR {WEB} 0 A {setup.address}")
    client = Client(tcp=True)
    numbers = [client.ask(name) for name in (WEB, DB, "web.example.net", HOME)]
    setups = [w.setup() for _ in range(3)]
    same("pipelined: what needs no waypoint is answered", client.answer().number, numbers[2])
    for setup in reversed(setups):
        w.accept(setup)
        time.sleep(0.03)
    same("the others in the order of their ACCEPTs", [client.answer().number for _ in range(3)],
         [numbers[3], numbers[1], numbers[0]])
    client = Client(tcp=True)
    client.ask(WEB)
    client.sock.shutdown(1)
    setup = w.setup()
    same("half closed: held", (client.answer(0.1), client.ended), (None, False))
    w.accept(setup)
    same("answered all the same", client.answer().text, f"NOERROR {WEB} 0 A {setup.address}")
    same("and then closed", (client.answer(), client.ended), (None, True))
    client = Client(tcp=True)
    client.ask(WEB)
    setup = w.setup()
    client.close()
    time.sleep(0.05)
    w.accept(setup)
    same("closed while it is held: its ACCEPT is the end", wait_until(lambda: bindings()["held"] == 0), True)
    client = Client(tcp=True)
    client.ask(WEB)
    setup = w.setup()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    same("reset while it is held: forgotten", wait_until(lambda: bindings()["held"] == 0, 1), True)
    late = bindings()["late"]
    w.accept(setup)
    same("its ACCEPT is for nobody", wait_until(lambda: bindings()["late"] == late + 1), True)
    client = Client(tcp=True)
    client.ask(WEB)
    setup = w.setup()
    time.sleep(1.5)  # --tcp-idle is 1 s
    w.accept(setup)
    same("who waits is not idle", sent_to(client.answer()), setup.address)
    same("who does not is", (client.answer(SOON + 1), client.ended), (None, True))


def scene_repeat():
    _, w = both()
    before = bindings()
    client, stream = Client(), Client("198.51.100.201", tcp=True)
    many = [stream.ask(WEB) for _ in range(65)]  # one more than are held of a connection
    while w.setup(0.3 * SLOW):
        pass
    same("one connection's held questions", bindings()["held"] - before["held"], 64)
    same("are forgotten after 3 s",
         wait_until(lambda: bindings()["forgotten"] >= before["forgotten"] + 64, 3 + SOON), True)
    setup = w.setup()
    w.accept(setup)
    reply = stream.answer()
    same("what was behind them is answered", reply and reply.number, many[-1])
    stream.close()
    w.seen.clear()
    before = bindings()
    client.ask(DB)
    while w.setup(1 * SLOW, repeated=True):
        pass
    w.seen = [(at, setup) for at, setup in w.seen if setup.host == 2]  # not what was left of before
    began, first = w.seen[0]
    same("without an answer it is sent four times", len(w.seen), 4)
    same("the same bytes", len({setup.data for _, setup in w.seen}), 1)
    late = [round(at - began - due, 3) for (at, _), due in zip(w.seen, (0, 0.2, 0.6, 1.4))]
    same("after 200, 600, 1400 ms", "yes" if all(-0.02 < x < 0.15 * SLOW + 0.1 for x in late) else late, "yes")
    same("no answer comes", client.answer(max(0, began + 3.3 - time.monotonic())), None)
    now = bindings()
    same("forgotten, and counted", [now[k] - before[k] for k in ("asked", "asked_again", "forgotten", "held")],
         [1, 3, 1, 0])
    w.accept(first)
    same("a late ACCEPT is ignored", client.answer(NEVER), None)
    same("and counted", bindings()["late"] - before["late"], 1)


def scene_reject():
    _, w = both()
    before = bindings()
    client = Client()
    client.ask(WEB)
    first = w.setup()
    time.sleep(0.5)
    w.reject(first, ELSEWHERE)
    second = w.setup()
    same("after REJECT another address, another serial",
         (second.address != first.address, second.serial != first.serial, second.host), (True, True, 1))
    began = time.monotonic()
    same("it has 200 ms of its own", w.setup(SOON, repeated=True).serial == second.serial and
         time.monotonic() - began > 0.15, True)
    w.accept(second)
    same("and its answer", client.answer().text, f"NOERROR {WEB} 0 A {second.address}")
    for why in (ELSEWHERE, NO_TUNNEL, FULL):
        client.ask(WEB)
        asked = []
        while setup := w.setup(0.3 * SLOW):
            asked.append(setup)
            w.reject(setup, why)
        same(f"all REJECT, {why}: eight addresses", (len(asked), len({s.address for s in asked})), (8, 8))
        same("then SERVFAIL", client.answer().text, "SERVFAIL")
    client.ask(WEB)
    for _ in range(8):
        w.reject(w.setup(), WAITING)
    same("all wait: held", client.answer(0.02), None)
    setup = w.setup()
    same("asked once more", setup is not None, True)
    w.accept(setup)
    same("and answered", client.answer().text, f"NOERROR {WEB} 0 A {setup.address}")
    time.sleep(0.3)  # those that wait are taken for busy for 200 ms
    w.send({"op": "load", "binds": 9, "free": 0})
    w.sync()
    same("a waypoint that is full", client.text(WEB), "SERVFAIL")
    w.send({"op": "load", "binds": 8, "free": 1})
    w.sync()
    same("is asked when it is not", asks_for(w, WEB), 1)
    w.tunnel(kept()["numbers"][HOME], False)
    same("one without tunnel is not", client.text(WEB), "SERVFAIL")
    same("rejected", bindings()["rejected"] - before["rejected"], 33)
    same("held", bindings()["held"], 0)


def scene_forged():
    _, w = both()
    elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    elsewhere.bind(("192.0.2.61", 0))
    before = bindings()
    client = Client()
    client.ask(WEB)
    setup = w.setup()
    w.udp.sendto(setup.answer(bytes(32), ACCEPT, ms=2000), w.peer)
    w.accept(setup, serial=setup.serial + 65536)
    w.accept(setup, serial=setup.serial ^ 1)
    w.accept(setup, waypoint=bytes([203, 0, 113, 9]))
    w.accept(setup, host=2)
    w.accept(setup, gateway=setup.gateway + 1)
    w.accept(setup, zeros=b"x" * 16)
    w.accept(setup, type=1)
    good = setup.answer(w.key, ACCEPT, ms=50)
    w.udp.sendto(good[:71], w.peer)
    w.udp.sendto(good + b"\0", w.peer)
    w.udp.sendto(b"", w.peer)
    elsewhere.sendto(good, w.peer)
    same("none of them is believed", client.answer(NEVER), None)
    now = bindings()
    same("counted", [now[k] - before[k] for k in ("bad", "late", "accepted")], [9, 2, 0])
    w.accept(setup)
    same("the genuine one is", client.answer().text, f"NOERROR {WEB} 0 A {setup.address}")


def scene_lost():
    gateway()
    w = {"w1": waypoint(), "w2": waypoint("w2", MORE, where="192.0.2.62")}

    def asked():
        for _ in range(100):
            for name in w:
                setup = w[name].setup(0.02 * SLOW)
                if setup:
                    return name, setup
        return None, None

    client = Client()
    client.ask(WEB)
    name, setup = asked()
    w[name].close()
    left = w["w2" if name == "w1" else "w1"]
    other = left.setup()
    same("its connection ends: the other waypoint is asked", (other.good, other.serial != setup.serial), (True, True))
    w[name].udp.sendto(setup.answer(w[name].key, ACCEPT, ms=50), w[name].peer)
    same("its ACCEPT is not believed any more", client.answer(0.1), None)
    left.accept(other)
    same("the other's is", client.answer().text, f"NOERROR {WEB} 0 A {other.address}")
    w[name] = waypoint(name, ADDRESSES if name == "w1" else MORE, where="192.0.2.61" if name == "w1" else "192.0.2.62")
    client.ask(WEB)
    same("it comes again, and is asked first again", asked()[0], name)
    w[name].reject(w[name].seen[-1][1], FULL)
    for _ in range(3):
        w[name].reject(w[name].setup(), FULL)
    setup = left.setup()
    same("then the other", setup.good, True)
    w[name].close()
    time.sleep(0.1)
    left.accept(setup)
    same("whose answer counts while the first one goes", client.answer().text, f"NOERROR {WEB} 0 A {setup.address}")
    client.ask(WEB)
    left.setup()
    left.close()
    same("no waypoint is left", client.answer().text, "SERVFAIL")


def scene_initiators():
    _, w = both()
    for tcp in (False, True):
        client = Client("10.9.0.5", tcp)
        client.ask(WEB)
        setup = w.setup()
        same("an initiator itself is bound at once", (setup.good, setup.mode, setup.bits, setup.initiator.hex()),
             (True, 1, 32, "0a090005"))
        w.accept(setup, 900000)
        same("and answered", client.answer().text, f"NOERROR {WEB} 0 A {setup.address}")
    other = Client("10.9.0.6")
    for name in (WEB, DB):
        other.ask(name)
        same("that is no wait for others", w.setup().mode, 1)
        w.accept(w.seen[-1][1], 900000)
        other.answer()
    client = Client("203.0.113.5")
    client.ask(WEB)
    same("who is in none of these networks is waited for", w.setup().mode, 2)


def scene_subnet():
    _, w = both()
    rows = (("198.51.100.7", "203.0.113.0/24", 24, "cb007100", 24),
            ("198.51.100.7", "203.0.113.9/32", 32, "cb007109", 32),
            ("198.51.100.7", "203.0.0.0/8", 8, "cb000000", 8),
            ("198.51.100.7", "202.0.0.0/7", 0, "00000000", 0),
            ("198.51.100.7", "2001:db8::/48", 0, "00000000", 0),
            ("198.51.100.200", "203.0.113.0/24", 0, "00000000", 0),
            ("2001:db8:7::7", "203.0.113.0/24", 0, "00000000", 0),
            ("10.9.0.9", "203.0.113.0/24", 32, "0a090009", 0))
    for source, subnet, bits, initiator, scope in rows:
        client = Client(source)
        client.ask(WEB, subnet=subnet)
        setup = w.setup()
        w.accept(setup, 1)
        reply = client.answer()
        same(f"{source} tells {subnet}", (setup.bits, setup.initiator.hex(), reply.scope), (bits, initiator, scope))
    places = set()
    for source in ("198.51.100.7", "198.51.100.99"):
        client = Client(source)
        client.ask(WEB, subnet="203.0.113.0/24")
        places.add(w.setup().address)
        w.accept(w.seen[-1][1], 1)
        client.answer()
    same("one subnet by two resolvers: one address", len(places), 1)
    first, second = Client("198.51.100.7"), Client("198.51.100.7")
    first.ask(WEB, subnet="203.0.113.0/24")
    one = w.setup()
    w.accept(one, 2000)
    first.answer()
    second.ask(WEB, subnet="203.0.113.0/25")
    two = w.setup()
    same("a network inside shares its wait", two.address in ADDRESSES, True)
    w.accept(two, 1000)


# ---- who means no good


def scene_scarce():
    _, w = both(addresses=ADDRESSES[:2])
    client = Client("203.0.113.7")
    client.ask(WEB)
    w.accept(w.setup(), 6000 * SLOW)
    client.answer()
    time.sleep(0.1)
    before = bindings()
    client.ask(DB, cookie=b"12345678")
    reply = client.answer()
    same("half of the addresses wait: ask by TCP", reply.text, "NOERROR TC")
    same("a cookie of ours comes with it", len(reply.cookie or b""), 24)
    same("nothing is asked for", w.setup(NEVER), None)
    same("counted", bindings()["proven_first"] - before["proven_first"], 1)
    client.ask(DB, cookie=reply.cookie)
    setup = w.setup()
    same("who shows it is bound", setup.host, 2)
    w.accept(setup, 100)
    same("and answered", client.answer().text, f"NOERROR {DB} 0 A {setup.address}")
    forged = Client("203.0.113.8")
    forged.ask(DB, cookie=reply.cookie)
    same("another's cookie is of no use", forged.answer().text, "NOERROR TC")
    time.sleep(0.2)
    same("TCP is", asks_for(w, DB), 2)
    initiator = Client("10.9.0.7")
    initiator.ask(DB)
    same("an initiator needs no wait", w.setup().mode, 1)


def flood(name, count, sources):
    """Questions without cookie from many addresses; nobody reads the answers."""
    socks = [Client(f"203.0.113.{n}") for n in sources]
    for i in range(count):
        socks[i % len(socks)].ask(name)
        if i % 50 == 49:
            time.sleep(0.01)
    return socks


def scene_flood():
    _, w = both()
    w.serve(40)
    before = bindings()
    began = time.monotonic()
    flood(WEB, 1500, range(10, 60))
    wait_until(lambda: bindings()["asked"] + bindings()["limited"] - before["asked"] - before["limited"] > 1000)
    took = time.monotonic() - began
    now = bindings()
    asked, limited = now["asked"] - before["asked"], now["limited"] - before["limited"]
    most = 100 + 50 * took + 20
    same("wait states of one responder are limited", "yes" if 100 <= asked <= most else (asked, most), "yes")
    same("the rest is told to use TCP", limited > 300, True)
    same("another client's other name", sent_to_by(Client("198.51.100.222"), DB), True)
    same("a client of the same name by TCP", sent_to_by(Client("198.51.100.222", True), WEB), True)
    curious = Client("198.51.100.221")
    curious.ask(WEB, cookie=b"12345678")
    reply = curious.answer()
    same("or with a cookie", sent_to_by(curious, WEB, cookie=reply.cookie), True)
    greedy = Client("198.51.100.9", True)
    texts = [greedy.text(WEB).split()[0] for _ in range(160)]
    same("a client that asks for it all the time is limited", "SERVFAIL" in texts, True)
    same("in another network nobody is", sent_to_by(Client("10.9.0.200", True), WEB), True)
    same("IPv6, too", sent_to_by(Client("2001:db8:7::7", True), WEB), True)
    w.end()


def sent_to_by(client, name, **options):
    client.ask(name, **options)
    return sent_to(client.answer()) in ADDRESSES


def scene_scan():
    _, w = both()
    w.serve(40)
    scanner = Client("203.0.113.77")
    for i in range(300):
        scanner.ask(f"host{i}.home.example.net")
    wait_until(lambda: status()["answers"]["nxdomain"] > 0)
    replies = []
    while reply := scanner.answer(0.3):
        replies.append(reply.text)
    same("who tries names is told little", len([t for t in replies if t == "NXDOMAIN"]) < 60, True)
    same("others are told at once", Client("198.51.100.150").text("x.home.example.net"), "NXDOMAIN")
    same("and bound", sent_to_by(Client("198.51.100.150"), WEB), True)
    same("also those of its network", sent_to_by(Client("203.0.113.78"), WEB), True)
    w.end()


# ---- IPv6


def expected6(host, prefix, name="w1", of=HOME):
    """The prefix, and then bits of HMAC-SHA256 under the server's key."""
    with sqlite3.connect("file:state/dns.db?mode=ro", uri=True) as db:
        key = db.execute("SELECT key FROM member_key").fetchone()[0]
    mac = int.from_bytes(hmac.new(key, f"{name}\n{of}\n{host}".encode(), "sha256").digest()[:16], "big")
    network = ipaddress.ip_network(prefix)
    mask = int(network.hostmask)
    return str(ipaddress.ip_address(int(network.network_address) | mac & mask))


def scene_address6():
    prefix = "2001:db8:6:4::/62"
    g, w = both(prefix6=prefix)
    client = Client("2001:db8:7::7")
    texts = {name: client.text(name, "AAAA") for name in (WEB, DB)}
    same("no binding is needed", w.setup(0.05), None)
    same("an address of the waypoint's prefix", texts[WEB], f"NOERROR {WEB} 60 AAAA {expected6(1, prefix)}")
    same("another host has another", texts[DB], f"NOERROR {DB} 60 AAAA {expected6(2, prefix)}")
    told = w.notice("host6", host=1, id=kept()["numbers"][HOME])
    same("the waypoint knows it", told and told["address"], expected6(1, prefix))
    g.hosts({1: "web", 3: "new"})
    told = w.notice("host6", host=3)
    same("it is told of a new one", told and told["address"], expected6(3, prefix))
    told = w.notice("host6", host=2, gone=True)
    same("and of one that goes", told and told["address"], expected6(2, prefix))
    same("which has no name", client.text(DB, "AAAA"), "NXDOMAIN")
    g.hosts(HOSTS)
    same("it comes again with its address", client.text(DB, "AAAA"), texts[DB])
    w.tunnel(kept()["numbers"][HOME], False)
    same("without tunnel there is none", client.text(WEB, "AAAA"), "NOERROR")
    w.close()
    w = waypoint()
    same("without prefix neither", client.text(WEB, "AAAA"), "NOERROR")
    keep(address6=texts[WEB], prefix6=prefix)


# ---- DNSSEC


def found(text, *addresses):
    """What delv thinks of an answer, and whether it has one of these addresses."""
    return "; fully validated" in text, any(address in text for address in addresses)


def delv(*words):
    done = subprocess.run(["delv", f"@{SERVER4}", "+root=example.net", "-a", "delv.keys", *words], text=True,
                          check=False, capture_output=True)
    return done.stdout


def scene_signed():
    _, w = both()
    w.serve(20)
    same("an address that is held is signed", found(delv(WEB, "A"), *ADDRESSES), (True, True))
    same("by TCP, too", found(delv(DB, "A", "+tcp"), *ADDRESSES), (True, True))
    same("by an alias", found(delv("to-web.example.net", "A"), *ADDRESSES), (True, True))
    same("that there is no IPv6 address is proved", "negative response, fully validated" in delv(WEB, "AAAA"), True)
    same("another type", "negative response, fully validated" in delv(WEB, "MX"), True)
    w.end()
    w.close()
    w = waypoint(prefix6="2001:db8:6::/64")
    w.serve(20)
    same("an IPv6 address is signed", found(delv(WEB, "AAAA"), expected6(1, "2001:db8:6::/64")), (True, True))
    w.end()


# ---- what lasts, and what does not


def scene_restart():
    client = Client()
    same("after a restart names are there", client.text(WEB), "SERVFAIL")
    same("but no others", client.text("x.home.example.net"), "NXDOMAIN")
    same("not connected", [g["connected"] for g in status()["members"]["gateways"]], [False, False])
    w = waypoint(prefix6=kept()["prefix6"])
    same("who was enrolled logs in", w.answer["ok"], True)
    client.ask(WEB)
    setup = w.setup()
    same("names are bound before their gateway is back", (setup.host, setup.gateway), (1, kept()["numbers"][HOME]))
    w.accept(setup)
    same("and answered", client.answer().text, f"NOERROR {WEB} 0 A {setup.address}")
    same("the IPv6 address is the same", client.text(WEB, "AAAA"), kept()["address6"])
    told = w.notice("host6", host=1)
    same("and told", told and told["address"], kept()["address6"].split()[-1])
    same("the gateway's login is good", gateway().answer["ok"], True)


def scene_reload():
    g, w = both()
    same("names are served by the new zone", asks_for(w, WEB), 1)
    same("which has others", Client().text("new.example.net"), "NOERROR new.example.net 300 A 192.0.2.2")
    g.hosts({1: "web", 6: "alias"})
    same("a name whose alias is gone is taken", asks_for(w, "alias.home.example.net"), 6)
    g.hosts(HOSTS)


def scene_delete():
    g, w = both()
    other = gateway(OTHER, {0: "@"})
    other.notice("waypoint")
    client = Client()
    client.ask(WEB)
    setup = w.setup()
    command("gateway", "del", HOME)
    w.accept(setup)
    same("a question of before", client.answer().text.split()[0], "NXDOMAIN")
    same("a gateway that is deleted is sent away", g.is_closed(), True)
    same("the waypoint is told", w.notice("gateway-gone") is not None, True)
    same("its names are gone", sent_to(ask_reply(WEB)), "none")
    same("it cannot log in", gateway().answer.get("error"), "denied")
    same("the other one stays", asks_for(w, OTHER), 0)
    same("what is not there cannot be deleted", "none of that name" in command("gateway", "del", HOME), True)
    client.ask(OTHER)
    w.setup()
    command("waypoint", "del", "w1")
    same("a waypoint that is deleted: what was asked of it", client.answer().text, "SERVFAIL")
    same("it is sent away", w.is_closed(), True)
    same("gateways are told", other.notice("waypoint-gone", name="w1") is not None, True)
    same("it cannot log in", waypoint(up=False).answer.get("error"), "denied")
    same("its names have no address", Client().text(OTHER), "SERVFAIL")
    line = command("gateway", "add", HOME)
    link, answer = enrol(line)
    again = Gateway(HOME, answer["secret"], HOSTS)
    same("the name can be had again", again.answer["ok"], True)
    w2 = waypoint("w2", MORE, up=False, where="192.0.2.62")
    same("under another number", w2.notice("gateway", name=HOME)["id"] not in kept()["numbers"].values(), True)
    same("nothing is left", bindings()["held"], 0)


def ask_reply(name):
    client = Client()
    client.ask(name)
    return client.answer()


if __name__ == "__main__":
    globals()["scene_" + sys.argv[1]]()
