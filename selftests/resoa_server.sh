#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What the server allows its clients: limits, rules, whose ports are whose, a flood beside a quiet client, SIGHUP.
#
#   alice (any port)         LHP
#   bob (8 sockets, a rule) ───── isthmus-resoad   server 192.0.2.1 ──── 192.0.2.2 peer

. "${0%/*}/lib/net.sh"
need python3 curl busybox jq
. "$SELFTESTS/lib/resoa.sh"

resoa_up
resoa_client alice
resoa_client bob
KEYS=$(cat "$TMP/resoad.clients")
sections() { # ALICE'S-LINES BOB'S-LINES
	printf '%s\n' "$KEYS" | sed "s/^\[client alice\]/&\n$1/; s/^\[client bob\]/&\n$2/" >"$TMP/resoad.clients"
	kill -HUP "$RESOA_SERVER"
	sleep 1
}
sections 'granted = 8080\nany-port = yes' 'sockets = 8\ndeny = tcp 192.0.2.2:9000'
ask() { isthmus-resoad "$@" --control "$TMP/resoad.sock"; }

mkdir "$TMP/web"
echo hello >"$TMP/web/hello"
truncate -s 200M "$TMP/web/flood"
spawn peer web.log busybox httpd -f -p 80 -h "$TMP/web"
spawn peer web9.log busybox httpd -f -p 9000 -h "$TMP/web"
wait_for 20 listening peer t 9000

# ---- ports

bind_at() { # PORT: a program that says what bind(2) did, and holds the port for a while
	cat <<-PYTHON
		import errno, socket, time
		s = socket.socket()
		try:
		    s.bind(("0.0.0.0", $1)); s.listen(); print("bound", flush=True); time.sleep(${2:-0})
		except OSError as e:
		    print(errno.errorcode[e.errno])
	PYTHON
}
equal "a port of its block" "$(resoa_in alice python3 -c "$(bind_at 20500)")" bound
equal "a port of another's block" "$(resoa_in bob python3 -c "$(bind_at 20500)")" EADDRINUSE
equal "a granted port" "$(resoa_in alice python3 -c "$(bind_at 8080)")" bound
spawn server host.log python3 -c "$(bind_at 9600 60)"
HOST=$SPAWNED
wait_for 20 log_has host.log bound
equal "a port that a program of the server has" "$(resoa_in alice python3 -c "$(bind_at 9600)")" EADDRINUSE
end "$HOST"
spawn - held.log resoa_in alice python3 -c "$(bind_at 9700 60)"
HELD=$SPAWNED
wait_for 20 log_has held.log bound
equal "a port that a client has, for a program of the server" "$(in_ns server python3 -c "$(bind_at 9700)")" EADDRINUSE
equal "and for the client itself" "$(resoa_in alice python3 -c "$(bind_at 9700)")" EADDRINUSE
end "$HELD"

# ---- a listener, from outside

spawn - export.log resoa_in alice busybox httpd -f -p 8080 -h "$TMP/web"
EXPORTED=$SPAWNED
check "a client's web server listens at the server" wait_for 20 listening server t 8080
equal "reached from outside" "$(in_ns peer curl -sm 10 http://$SERVER4:8080/hello)" hello
equal "by another client, as by any peer" "$(resoa_in bob curl -sm 10 http://$SERVER4:8080/hello)" hello
check "show: the listener and its path" eval "ask show | has 'alice .* tcp listener .*:8080, by unix'"
end "$EXPORTED"

# Who comes after close() is refused, though the server has not heard of it: alice's daemon stands still meanwhile.
CLOSES='import signal, socket
s = socket.create_server(("0.0.0.0", 8088))
signal.signal(signal.SIGUSR1, lambda *_: None)
print("listens", flush=True); signal.pause()
s.close()
print("closed", flush=True); signal.pause()'
DIALS="import errno, socket
try: socket.create_connection(('$SERVER4', 8088), timeout=60); print('connected')
except OSError as e: print(errno.errorcode[e.errno])"
knocks() { ask stats --json | jq '.reasons.KNOCK_HELD.packets // 0'; }
knocked() { [ "$(knocks)" -gt "$KNOCKS" ]; }
spawn - closes.log isthmus-resoa run --control "$TMP/alice.sock" -- python3 -c "$CLOSES"
CLOSING=$SPAWNED
wait_for 20 log_has closes.log listens
KNOCKS=$(knocks)
kill -STOP "${RESOA_PID[alice]}"
kill -USR1 "$CLOSING"
wait_for 20 log_has closes.log closed
spawn peer dials.log python3 -c "$DIALS"
wait_for 20 knocked
equal "a connect waits for the client" "$(cat "$TMP/dials.log")" ""
kill -CONT "${RESOA_PID[alice]}"
check "and is refused, for the listener was closed before" wait_for 20 log_has dials.log ECONNREFUSED
end "$CLOSING"

# ---- limits

refuse "a destination that a rule denies" resoa_in bob curl -sm 5 http://$PEER4:9000/hello
equal "another client has no such rule" "$(resoa_in alice curl -sm 10 http://$PEER4:9000/hello)" hello
refuse "the server's own loopback" resoa_in alice curl -sm 5 http://$SERVER4:1/
CONNECTS="import socket
ok = 0
held = []
for _ in range(20):
    s = socket.socket(); s.settimeout(3)
    try:
        s.connect(('$PEER4', 80)); ok += 1; held.append(s)
    except OSError:
        pass
print(ok)"
equal "eight sockets and no more" "$(resoa_in bob timeout 90 python3 -c "$CONNECTS")" 8
equal "of the others as many as they like" "$(resoa_in alice timeout 90 python3 -c "$CONNECTS")" 20
check "when they have ended, new ones" wait_for 20 eval "[ \"\$(resoa_in bob curl -sm 5 http://$PEER4/hello)\" = hello ]"

# ---- no descriptors left

ACCEPTS='import socket
s = socket.create_server(("0.0.0.0", 20501)); print("listens", flush=True)
kept = [s.accept() for _ in range(2)]; print("accepted", flush=True)'
spawn - accepts.log resoa_in alice python3 -c "$ACCEPTS"
wait_for 20 log_has accepts.log listens
free=0
while [ -e "/proc/$RESOA_SERVER/fd/$free" ]; do free=$((free + 1)); done
limit=$(prlimit --pid "$RESOA_SERVER" --nofile --noheadings --raw --output SOFT)
prlimit --pid "$RESOA_SERVER" --nofile=$free:
spawn peer dials2.log python3 -c "import socket, time
kept = [socket.create_connection(('$SERVER4', 20501), timeout=60) for _ in range(2)]; print('connected', flush=True); time.sleep(60)"
wait_for 20 log_has dials2.log connected
ticks() { awk '{ print $14 + $15 }' "/proc/$RESOA_SERVER/stat"; }
before=$(ticks)
sleep 1
at_most "the server waits for some, and does nothing: 10 ms of 1 s" $(($(ticks) - before)) 40
prlimit --pid "$RESOA_SERVER" --nofile="$limit:"
check "then it accepts" wait_for 20 log_has accepts.log accepted

# ---- a flood

spawn - flood.log resoa_in bob bash -c "for i in 1 2 3 4; do curl -so /dev/null http://$PEER4/flood & done; wait"
FLOOD=$SPAWNED
sleep 1
QUIET=$(resoa_in alice bash -c "for i in 1 2 3 4 5 6 7 8 9; do curl -so /dev/null -w '%{time_total}\n' http://$PEER4/hello; done" |
	sort -n | sed -n '5s/\..*//p')
equal "beside it half of another client's requests take less than a second" "$QUIET" 0
end "$FLOOD"

# ---- a total of bytes

FETCH="import errno, socket
got = 0
try:
    s = socket.create_connection(('$PEER4', 80), timeout=60); s.sendall(b'GET /flood HTTP/1.0\r\n\r\n')
    while part := s.recv(65536): got += len(part)
    print('end')
except OSError as e:
    print(errno.errorcode[e.errno], 500000 < got <= 1000000)"
of_alice() { ask client list --json | jq ".clients[] | select(.name == \"alice\") | $1"; } # FIELD
TOTAL=$(($(of_alice '.bytes_in + .bytes_out') + 1000000))
sections "bytes = $TOTAL" ""
equal "a connection ends when it is used up" "$(resoa_in alice timeout 60 python3 -c "$FETCH")" "EHOSTUNREACH True"
equal "not a byte more" "$(of_alice '.bytes_in + .bytes_out')" "$TOTAL"
equal "new ones fail as those that are denied" "$(resoa_in alice timeout 60 python3 -c "$FETCH")" "EHOSTUNREACH False"
check "client list tells it" grep -q '^alice: .* used up$' <(ask client list)
check "the log, too" log_has resoad.log "client alice: its $TOTAL bytes are used up"
sections "bytes = $((TOTAL + 1000000))" ""
equal "with a larger one it goes on" "$(resoa_in alice curl -sm 10 http://$PEER4/hello)" hello

# ---- the file of clients, read anew

WAITS="import errno, socket
s = socket.create_connection(('$PEER4', 80)); print('connected', flush=True)
try:
    print(len(s.recv(1)))
except OSError as e:
    print(errno.errorcode[e.errno])"
spawn - bob.wait resoa_in bob python3 -c "$WAITS"
spawn - alice.wait resoa_in alice python3 -c "$WAITS"
ALIVE=$SPAWNED
wait_for 20 log_has bob.wait connected
wait_for 20 log_has alice.wait connected
cp "$TMP/resoad.clients" "$TMP/good"
echo 'nonsense = 1' >>"$TMP/resoad.clients"
kill -HUP "$RESOA_SERVER"
check "a mistake is told, with its line" wait_for 5 log_has resoad.log ':[0-9]+: unknown key .nonsense.; the clients stay'
sed '/^\[client bob\]/,$d' "$TMP/good" >"$TMP/resoad.clients"
kill -HUP "$RESOA_SERVER"
check "bob is no client any more: his connections are reset" wait_for 10 log_has bob.wait ECONNRESET
check "alice's stand" alive "$ALIVE"
equal "and she makes new ones" "$(resoa_in alice curl -sm 10 http://$PEER4/hello)" hello
check "client list" eval "ask client list | has '^alice: n-to-1, ports 20000-20999, by unix' && ! ask client list | has bob"
end "$RESOA_SERVER"
