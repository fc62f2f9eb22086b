# SPDX-License-Identifier: GPL-3.0-or-later
"""
Datagrams as a program sees them: the same cases are run on a host's own stack and through resoa, and
what they print is compared.

	resoa_udp.py peer FAMILY SECONDS		answers; prints what it saw
	resoa_udp.py cases FAMILY PEER BROADCAST NARROW	prints a line for each case
	resoa_udp.py flood FAMILY PEER COUNT BYTES	paced; prints how many came back right
	resoa_udp.py many FAMILY PEER COUNT		as many sockets, each sends one and closes
	resoa_udp.py counts FAMILY COUNT		how many of them came, at the peer
	resoa_udp.py waits FAMILY FILE COUNT		writes its port to FILE, prints what comes
	resoa_udp.py tell FAMILY ADDRESS PORT TEXT	from the peer
	resoa_udp.py names ADDRESS			a name server, for its own host only

The peer: 7201, 7202 send back what came. 7203 sends back the TTL and TOS that came. 7204 is told
"PORT TTL TEXT" and sends TEXT to the sender's PORT, from another port. 7205 is told "GROUP PORT TEXT"
and sends TEXT to that group. 7206 is in the groups, and sends back what came, and how.
"""
import errno
import select
import socket
import struct
import sys
import time

V6 = sys.argv[2] == "6"
FAMILY = socket.AF_INET6 if V6 else socket.AF_INET
IP = socket.IPPROTO_IPV6 if V6 else socket.IPPROTO_IP
TTL, TOS = (52, 67) if V6 else (2, 1)  # as control messages
SET_TTL, SET_TOS = (16, 67) if V6 else (2, 1)
RECV_TTL, RECV_TOS = (51, 66) if V6 else (12, 13)
RECVERR, DISCOVER = (25, 23) if V6 else (11, 10)
MULTICAST_TTL, MULTICAST_LOOP = (18, 19) if V6 else (33, 34)
GROUP = "ff0e::8:1" if V6 else "239.1.2.3"
OTHER_GROUP = "ff0e::8:2" if V6 else "239.1.2.4"
ANY = "::" if V6 else "0.0.0.0"
MCAST_JOIN_SOURCE_GROUP = 46


def bound(port, address=ANY):
    s = socket.socket(FAMILY, socket.SOCK_DGRAM)
    s.setsockopt(IP, RECV_TTL, 1)
    s.setsockopt(IP, RECV_TOS, 1)
    if V6:
        s.setsockopt(IP, socket.IPV6_V6ONLY, 1)
    s.bind((address, port))
    return s


def large(s):
    """Room for what comes while this machine does something else (SO_RCVBUFFORCE)."""
    s.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)


def seen(control):
    """TTL and TOS of a datagram, by its control messages."""
    got = {kind: data[0] for level, kind, data in control if level == IP}
    return got.get(TTL), got.get(TOS)


def join(s, group, device=None):
    if V6:
        index = socket.if_nametoindex(device) if device else 0
        s.setsockopt(IP, 20, socket.inet_pton(FAMILY, group) + struct.pack("@I", index))
    else:
        s.setsockopt(IP, 35, socket.inet_aton(group) + socket.inet_aton(ANY))


def leave(s, group):
    if V6:
        s.setsockopt(IP, 21, socket.inet_pton(FAMILY, group) + struct.pack("@I", 0))
    else:
        s.setsockopt(IP, 36, socket.inet_aton(group) + socket.inet_aton(ANY))


# ---- the peer


def answer(s, port, data, control, who):
    if port in (7201, 7202):
        s.sendto(data, who)
    elif port == 7203:
        s.sendto(repr(seen(control)).encode(), who)
    elif port == 7204:
        to, ttl, text = data.split(b" ", 2)
        with socket.socket(FAMILY, socket.SOCK_DGRAM) as other:
            other.bind((ANY, 7304))
            other.setsockopt(IP, SET_TTL, int(ttl))
            other.sendto(text, (who[0], int(to)))
    elif port == 7205:
        group, to, text = data.split(b" ", 2)
        with socket.socket(FAMILY, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            other.bind((ANY, 7305))
            other.sendto(text, (group.decode(), int(to)))
    else:
        s.sendto(b"%d bytes, TTL %d" % (len(data), seen(control)[0]), who)


def peer():
    sockets = {bound(port): port for port in range(7201, 7207)}
    for s, port in sockets.items():
        large(s)
        if port == 7206:
            join(s, GROUP, "eth0")
    end = time.time() + float(sys.argv[3])
    print("serving", flush=True)
    while time.time() < end:
        for s in select.select(list(sockets), [], [], 1)[0]:
            try:
                data, control, _, who = s.recvmsg(65536, 512)
                answer(s, sockets[s], data, control, who)
            except OSError as e:
                print(sockets[s], e, flush=True)


# ---- the program


def new(timeout=2):
    s = socket.socket(FAMILY, socket.SOCK_DGRAM)
    s.settimeout(timeout)
    return s


def hears(s, seconds=0.4):
    """What comes in a while, with who sent it: several, or none."""
    got = []
    end = time.time() + seconds
    while time.time() < end:
        if select.select([s], [], [], max(0, end - time.time()))[0]:
            data, who = s.recvfrom(70000)
            got.append((data[:40], who[:2]))
    return got


def errors(s):
    got = []
    s.setblocking(False)
    while True:
        try:
            data, control, _, who = s.recvmsg(2000, 512, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            return got
        for level, kind, value in control:
            if level == IP and kind == RECVERR:
                number, origin, icmp, code, _, info, _ = struct.unpack_from("=IBBBBII", value)
                # Behind it the address of who said so.
                raw = value[24:40] if V6 else value[20:24]
                by = socket.inet_ntop(FAMILY, raw)
                got.append((data, errno.errorcode[number], origin, icmp, code, info, by, who[:2]))


def unconnected():
    s = new()
    s.sendto(b"hello", (PEER, 7201))
    return s.recvfrom(100)


def empty():
    s = new()
    s.sendto(b"", (PEER, 7201))
    return s.recvfrom(100)


def two_peers():
    s = new()
    s.sendto(b"a", (PEER, 7201))
    first = s.recvfrom(9)
    s.sendto(b"b", (PEER, 7202))
    return first, s.recvfrom(9)


def connected():
    s = new()
    s.connect((PEER, 7201))
    s.send(b"x")
    got = s.recv(10), s.getsockname()[0], s.getpeername()[:2]
    # Not from the one it is connected to: not for it.
    t = new()
    t.sendto(b"%d 64 stray" % s.getsockname()[1], (PEER, 7204))
    return got, hears(s)


def connected_again():
    s = new()
    s.connect((PEER, 7201))
    s.send(b"1")
    first = s.recv(10)
    s.connect((PEER, 7202))
    s.send(b"2")
    return first, s.recvfrom(10)


def refused():
    s = new()
    s.connect((PEER, 7999))
    s.send(b"x")
    time.sleep(0.3)
    return s.recv(10)


def refused_send():
    s = new()
    s.connect((PEER, 7999))
    s.send(b"x")
    time.sleep(0.3)
    return s.send(b"y")


def refused_error():
    s = new()
    s.connect((PEER, 7999))
    s.send(b"x")
    polled = select.poll()
    polled.register(s, select.POLLIN)
    events = [event for _, event in polled.poll(1000)]
    code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return events, errno.errorcode[code], s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def refused_unconnected():
    s = new()
    s.sendto(b"x", (PEER, 7999))
    time.sleep(0.3)
    s.sendto(b"after", (PEER, 7201))
    return s.recvfrom(10)


def error_queue():
    s = new()
    s.setsockopt(IP, RECVERR, 1)
    s.sendto(b"what was sent", (PEER, 7999))
    time.sleep(0.3)
    return errors(s)


def error_queue_two():
    s = new()
    s.setsockopt(IP, RECVERR, 1)
    s.sendto(b"first", (PEER, 7998))
    time.sleep(0.3)
    try:
        s.sendto(b"second", (PEER, 7999))
    except OSError as e:
        print("                 ", e.errno)
        s.sendto(b"second", (PEER, 7999))
    time.sleep(0.3)
    return errors(s)


def hops():
    """A time to live of 1 ends at the peer, which routes no further."""
    s = new()
    s.setsockopt(IP, RECVERR, 1)
    s.setsockopt(IP, SET_TTL, 1)
    s.sendto(b"trace", (FAR, 33434))
    time.sleep(0.3)
    return errors(s)


def ttl_tos():
    s = new()
    s.sendto(b"?", (PEER, 7203))
    first = s.recv(20)
    s.setsockopt(IP, SET_TTL, 7)
    s.setsockopt(IP, SET_TOS, 0x28)
    s.sendto(b"?", (PEER, 7203))
    return first, s.recv(20)


def ttl_received():
    s = bound(0)
    s.settimeout(2)
    t = new()
    t.sendto(b"%d 33 seen" % s.getsockname()[1], (PEER, 7204))
    data, control, _, who = s.recvmsg(100, 512)
    return data, seen(control), who[:2]


def long_9000():
    s = new()
    s.sendto(bytes(i * 7 & 255 for i in range(9000)), (PEER, 7201))
    got = s.recv(10000)
    return got == bytes(i * 7 & 255 for i in range(9000))


def long_60000():
    s = new()
    sent = bytes(i * 11 & 255 for i in range(60000))
    s.sendto(sent, (PEER, 7201))
    return s.recv(65536) == sent


def longest():
    s = new()
    sent = bytes(i * 13 & 255 for i in range(65507))
    s.sendto(sent, (PEER, 7201))
    return s.recv(65536) == sent


def too_long():
    s = new()
    return s.sendto(bytes(65536), (PEER, 7201))


def dont_fragment():
    s = new()
    s.setsockopt(IP, DISCOVER, 2)
    s.connect((PEER, 7201))
    return s.send(bytes(3000))


def no_route():
    return new().sendto(b"x", (NOWHERE, 9))


def no_family():
    return new().sendto(b"x", ("fe80::1" if V6 else "0.0.0.1", 9))


def bound_waits():
    """A server: it has sent nothing when the first datagram comes."""
    s = bound(0)
    s.settimeout(2)
    time.sleep(0.2)
    t = new()
    t.sendto(b"%d 64 request" % s.getsockname()[1], (PEER, 7204))
    data, who = s.recvfrom(100)
    s.sendto(b"reply", (PEER, 7201))
    return data, who[:2], s.recvfrom(100)


def bound_one():
    own = new()
    own.connect((PEER, 7201))
    s = bound(0, own.getsockname()[0])
    s.settimeout(2)
    own.close()
    t = new()
    t.sendto(b"%d 64 request" % s.getsockname()[1], (PEER, 7204))
    return s.recvfrom(100), s.getsockname()[0]


def both_families():
    """One socket of IPv6 that takes IPv4, too."""
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.settimeout(2)
    s.bind(("::", 0))
    s.sendto(b"four", ("::ffff:192.0.2.2", 7201))
    got = [s.recvfrom(100)[:2]]
    s.sendto(b"six", (PEER, 7201))
    got.append(s.recvfrom(100))
    for family, peer in ((socket.AF_INET, "192.0.2.2"), (socket.AF_INET6, PEER)):
        with socket.socket(family, socket.SOCK_DGRAM) as t:
            t.sendto(b"%d 64 to both" % s.getsockname()[1], (peer, 7204))
            got += hears(s)
    return got


def only_six():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(IP, socket.IPV6_V6ONLY, 1)
    s.bind(("::", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as t:
        t.sendto(b"%d 64 not for it" % s.getsockname()[1], ("192.0.2.2", 7204))
        return hears(s)


def reused():
    """Another socket has the port at once."""
    s = bound(0)
    port = s.getsockname()[1]
    s.sendto(b"1", (PEER, 7201))
    s.settimeout(2)
    first = s.recv(10)
    s.close()
    s = bound(port)
    s.settimeout(2)
    s.sendto(b"2", (PEER, 7201))
    second = s.recv(10)
    time.sleep(0.3)
    new().sendto(b"%d 64 later" % port, (PEER, 7204))
    return first, second, hears(s)


def shared():
    """Two members of a group have one port; then one of them ends."""
    pair = []
    for _ in range(2):
        s = socket.socket(FAMILY, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((ANY, pair[0].getsockname()[1] if pair else 0))
        join(s, GROUP)
        pair.append(s)
    port = pair[0].getsockname()[1]
    time.sleep(0.3)
    t = new()
    t.sendto(b"%s %d to two" % (GROUP.encode(), port), (PEER, 7205))
    got = [hears(s) for s in pair]
    pair[1].close()
    time.sleep(0.3)
    t.sendto(b"%s %d to one" % (GROUP.encode(), port), (PEER, 7205))
    return got, hears(pair[0])


def narrow():
    """A link on the way takes less: the first is refused by its router, the next here."""
    s = new()
    s.setsockopt(IP, RECVERR, 1)
    s.setsockopt(IP, DISCOVER, 2)
    s.sendto(bytes(1400), (NARROW, 9))
    time.sleep(0.3)
    got = [error[1:7] for error in errors(s)]
    try:
        s.sendto(bytes(1400), (NARROW, 9))
    except OSError as e:
        got.append(errno.errorcode[e.errno])
    return got


def closed():
    """What comes for a closed port is refused, or at least not given to the next."""
    s = new()
    s.sendto(b"x", (PEER, 7201))
    s.recv(10)
    s.close()
    t = new()
    t.sendto(b"y", (PEER, 7201))
    return t.recvfrom(10)


def broadcast_refused():
    return new().sendto(b"x", ("255.255.255.255", 7201))


def broadcast():
    s = new()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.sendto(b"all", ("255.255.255.255", 7201))
    return s.recvfrom(10)


def subnet_refused():
    return new().sendto(b"x", (BROADCAST, 7201))


def subnet():
    s = new()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.sendto(b"subnet", (BROADCAST, 7201))
    return s.recvfrom(10)


def broadcast_received():
    s = bound(0)
    port = s.getsockname()[1]
    time.sleep(0.2)
    t = new()
    t.sendto(b"255.255.255.255 %d everybody" % port, (PEER, 7205))
    got = hears(s)
    t.sendto(b"%s %d subnet" % (BROADCAST.encode(), port), (PEER, 7205))
    return got, hears(s)


def group_sent():
    s = new()
    s.sendto(b"x", (GROUP, 7206))
    first = s.recvfrom(60)
    s.setsockopt(IP, MULTICAST_TTL, 5)
    s.sendto(b"xy", (GROUP, 7206))
    return first, s.recvfrom(60)


def group_long():
    s = new()
    s.sendto(bytes(5000), (GROUP, 7206))
    return s.recvfrom(60)


def group_received():
    s = bound(0)
    port = s.getsockname()[1]
    t = new()
    ask = b"%s %d to a group" % (GROUP.encode(), port)
    t.sendto(ask, (PEER, 7205))
    before = hears(s)
    join(s, GROUP)
    time.sleep(0.3)
    t.sendto(ask, (PEER, 7205))
    during = hears(s)
    t.sendto(b"%s %d to another" % (OTHER_GROUP.encode(), port), (PEER, 7205))
    other = hears(s)
    leave(s, GROUP)
    time.sleep(0.3)
    t.sendto(ask, (PEER, 7205))
    return before, during, other, hears(s)


def group_before_bind():
    s = new()
    join(s, GROUP)
    s.bind((ANY, 0))
    time.sleep(0.3)
    new().sendto(b"%s %d early" % (GROUP.encode(), s.getsockname()[1]), (PEER, 7205))
    return hears(s)


def group_source():
    """Of one source only: of the peer, then of somebody else."""
    got = []
    for source in (PEER, NOWHERE):
        s = bound(0)
        address = struct.pack("@HH", FAMILY, 0)
        group, of = ((address + bytes(4) + socket.inet_pton(FAMILY, a) + bytes(4) if V6
                      else address + socket.inet_aton(a)).ljust(128, b"\0") for a in (GROUP, source))
        s.setsockopt(IP, MCAST_JOIN_SOURCE_GROUP, struct.pack("@Q", 0) + group + of)
        time.sleep(0.3)
        new().sendto(b"%s %d source" % (GROUP.encode(), s.getsockname()[1]), (PEER, 7205))
        got.append(hears(s))
    return got


def group_loop():
    """What a program sends to its own group comes once, or not at all."""
    got = []
    for loop in (1, 0):
        s = bound(0)
        join(s, GROUP)
        time.sleep(0.2)
        t = new()
        t.setsockopt(IP, MULTICAST_LOOP, loop)
        t.sendto(b"loop", (GROUP, s.getsockname()[1]))
        got.append([data for data, _ in hears(s)])
    return got


CASES = [unconnected, empty, two_peers, connected, connected_again, refused, refused_send, refused_error,
         refused_unconnected, error_queue, error_queue_two, hops, ttl_tos, ttl_received, long_9000,
         long_60000, longest, too_long, dont_fragment, no_route, no_family, bound_waits, bound_one, closed,
         reused, shared, narrow,         group_sent, group_long, group_received, group_before_bind, group_source, group_loop]
CASES_6 = [both_families, only_six]
CASES_4 = [broadcast_refused, broadcast, subnet_refused, subnet, broadcast_received]


def run(case):
    try:
        result = case()
    except OSError as e:
        result = "error %s" % (errno.errorcode[e.errno] if e.errno else e)
    print("%-19s %s" % (case.__name__, result), flush=True)


# ---- many


def flood():
    """COUNT datagrams at 1,000/s, each with its number; the echo must have the same bytes."""
    count, size = int(sys.argv[4]), int(sys.argv[5])
    s = new()
    large(s)
    s.connect((sys.argv[3], 7201))
    right, wrong, sent, begin = set(), 0, 0, time.time()
    heard = begin
    while len(right) < count and (sent < count or time.time() < heard + 3):
        while sent < count and time.time() - begin > sent / 1000:
            s.send(struct.pack("!I", sent).ljust(size, b"%c" % (sent & 255)))
            sent += 1
        if select.select([s], [], [], 0.0005)[0]:
            data, heard = s.recv(65536), time.time()
            number = struct.unpack("!I", data[:4])[0]
            if data == struct.pack("!I", number).ljust(size, b"%c" % (number & 255)):
                right.add(number)
            else:
                wrong += 1
    print(len(right), wrong)


def many():
    for i in range(int(sys.argv[4])):
        with socket.socket(FAMILY, socket.SOCK_DGRAM) as s:
            s.sendto(b"%d" % i, (sys.argv[3], 7207))
        time.sleep(0.002)


def counts():
    """What `many` has sent, at the peer."""
    s, got = bound(7207), set()
    large(s)
    print("serving", flush=True)
    s.settimeout(60)
    try:
        while len(got) < int(sys.argv[3]):
            got.add(s.recv(100))
            s.settimeout(3)
    except TimeoutError:
        pass
    print(len(got), flush=True)


def waits():
    s = bound(0)
    with open(sys.argv[3], "w") as file:
        print(s.getsockname()[1], file=file)
    for _ in range(int(sys.argv[4])):
        print(s.recv(100).decode(), flush=True)


def tell():
    with socket.socket(FAMILY, socket.SOCK_DGRAM) as s:
        s.sendto(sys.argv[5].encode(), (sys.argv[3], int(sys.argv[4])))


def names():
    """Answers every question for A with 192.0.2.77, if it comes from loopback."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((sys.argv[2], 53))
    print("serving", flush=True)
    while True:
        query, who = s.recvfrom(512)
        end = query.index(b"\0", 12) + 5
        right = query[end - 4:end - 2] == b"\0\1" and who[0].startswith("127.")
        head = query[:2] + b"\x85\x80\0\1" + (b"\0\1" if right else b"\0\0") + bytes(4)
        answer = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 60, 4) + bytes([192, 0, 2, 77])
        s.sendto(head + query[12:end] + (answer if right else b""), who)


MODES = {"peer": peer, "flood": flood, "many": many, "counts": counts, "waits": waits, "tell": tell,
         "names": names}

if sys.argv[1] in MODES:
    MODES[sys.argv[1]]()
else:
    PEER = sys.argv[3]
    BROADCAST = sys.argv[4]
    NARROW = sys.argv[5]
    FAR = "2001:db8:99::1" if V6 else "203.0.113.9"
    NOWHERE = "2001:db8:77::1" if V6 else "10.9.9.9"
    chosen = sys.argv[6:]
    for test in CASES + (CASES_6 if V6 else CASES_4):
        if not chosen or test.__name__ in chosen:
            run(test)
