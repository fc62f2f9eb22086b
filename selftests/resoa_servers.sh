#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Two servers, each with an address of its own: a client takes the other one when its own ends. A
# whole host without an address whose programs need no `isthmus-resoa run`.
#
#                      ┌── server  192.0.2.1 ─── 192.0.2.2 ──┐
#   alice, dave ── LHP ┤                                     peer, 198.51.100.1 on lo
#                      └── server2 192.0.3.1 ─── 192.0.3.2 ──┘

. "${0%/*}/lib/net.sh"
need python3
. "$SELFTESTS/lib/resoa.sh"
TARGET=198.51.100.1
ENDS=$SELFTESTS/lib/resoa_ends.py RUN=$SELFTESTS/lib/resoa_run.py

resoa_up
net_ns server2
net_link server2 eth0 192.0.3.1/24 peer eth1 192.0.3.2/24
net_route server2 default 192.0.3.2
in_ns peer ip addr add $TARGET/32 dev lo
FIRST=$RESOA_PLACE SECOND=unix:$TMP/resoad2.lhp
second() {
	spawn server2 resoad2.log isthmus-resoad run --listen "$SECOND" --device eth0 --address4 192.0.3.1 \
		--clients "$TMP/resoad.clients" --control "$TMP/resoad2.sock"
	SERVER_2=$SPAWNED
	wait_for 20 log_has resoad2.log serving
}
spawn peer peer.log python3 "$ENDS" serve $TARGET 7000
wait_for 30 listening peer t 7000
resoa_client alice
name() { resoa_in "$1" python3 "$ENDS" name $TARGET 7000; }
equal "by the only server" "$(name alice)" "same 192.0.2.1"
second
end "${RESOA_PID[alice]}"
resoa_start alice --server "$SECOND"

OWN=$(name alice)
OWN=${OWN#same }
case $OWN in
192.0.2.1) MINE=$RESOA_SERVER OTHER=192.0.3.1 ;;
192.0.3.1) MINE=$SERVER_2 OTHER=192.0.2.1 ;;
*) MINE='' OTHER='' ;;
esac
check "by one of two servers" test -n "$OTHER"
spawn - lost.log resoa_in alice python3 "$ENDS" wait $TARGET 7000
wait_for 30 log_has lost.log connected
end "$MINE" KILL
check "its connections end with it" wait_for 15 log_has lost.log '^0 ECONNRESET'
check "new ones go by the other" wait_for 30 eval "[ \"\$(name alice)\" = 'same $OTHER' ]"
equal "and have its address alone" "$(resoa_net alice ip -4 -br addr show dev e0 | awk '{ print NF, $3 }')" "3 $OTHER/24"
case $OTHER in 192.0.2.1) LEFT=$RESOA_SERVER ;; *) LEFT=$SERVER_2 ;; esac
end "$LEFT" KILL
wait_for 5 log_has alice.log "connection to the server has ended.*" || true
equal "without a server a connect is refused in the end" "$(resoa_in alice python3 "$ENDS" connect $TARGET 7000)" ENETUNREACH
end "${RESOA_PID[alice]}"

# ---- a whole host

resoa_server
net_ns dave
(umask 077 && isthmus-resoad client add dave --clients "$TMP/resoad.clients" >"$TMP/dave.key")
echo 'granted = 8080 8081' >>"$TMP/resoad.clients"
kill -HUP "$RESOA_SERVER"
spawn server host.log python3 "$RUN" bind tcp 0.0.0.0 8080 hold
HOST=$SPAWNED
wait_for 30 log_has host.log bound
BEFORE=$(in_ns dave sysctl -n net.ipv4.ip_local_port_range)
resoa_start dave --server "$FIRST" --whole-host
equal "whole host: a program that knows nothing of it" "$(in_ns dave python3 "$ENDS" name $TARGET 7000)" "same 192.0.2.1"
equal "whole host: loopback is its own" "$(in_ns dave python3 "$ENDS" connect 127.0.0.1 7000)" ECONNREFUSED
bound() { in_ns "$1" python3 "$RUN" bind tcp "$2" "$3" || true; }
is_reserved() { [ "$(bound server 0.0.0.0 "$1")" = EADDRINUSE ]; }
check "whole host: a granted port is reserved" wait_for 20 is_reserved 8081
equal "whole host: one that a program of the server has" "$(bound dave 0.0.0.0 8080)" EADDRINUSE
end "$HOST"
check "whole host: and has no more" wait_for 30 eval "[ \"\$(bound dave 0.0.0.0 8080)\" = 'bound 0.0.0.0 8080' ]"
spawn dave served.log python3 "$ENDS" listen 0.0.0.0 8081 1
wait_for 30 log_has served.log "listens on"
check "whole host: a listener is reached" wait_for 20 eval "[ \"\$(in_ns peer python3 \"$ENDS\" send 192.0.2.1 8081 5)\" = '5 EOF' ]"
check "whole host: its port is reserved after it" wait_for 20 is_reserved 8081
equal "whole host: a port that is not granted is the host's own" "$(bound dave 0.0.0.0 9090)" "bound 0.0.0.0 9090"
REFUSED='import errno, select, socket
s = socket.create_server(("192.0.2.1", 9091))
p = select.poll(); p.register(s, select.POLLIN)
p.poll(20000)
try: s.setblocking(False); s.accept()
except OSError as e: print(errno.errorcode[e.errno])'
equal "whole host: at the server's address alone it is told" "$(in_ns dave python3 -c "$REFUSED")" EINVAL
end "${RESOA_PID[dave]}"
equal "whole host: what it was before" "$(in_ns dave sysctl -n net.ipv4.ip_local_port_range; in_ns dave ip -br link | wc -l)" "$BEFORE
1"
