#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Whose ports are bound by programs under `isthmus-resoa run`: two clients share those of one server, which has
# programs, too. And what getsockopt() tells of a connection, as the server's own sockets would.
#
#   run ── c1 ─┐
#   run ── c2 ─┴── isthmus-resoad ── server 192.0.2.1 ── peer 192.0.2.2: echo 7000
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/resoa.sh"
. "${0%/*}/lib/resoa_run.sh"
need python3 jq

resoa_up
run_clients c1 c2

# ---- ports

equal "bind, and its name" "$(said c1 bind tcp 0.0.0.0 8080)" "bound 0.0.0.0 8080"
equal "UDP" "$(said c1 bind udp 0.0.0.0 8080)" "bound 0.0.0.0 8080"
equal "IPv6" "$(said c1 bind tcp :: 8080)" "bound :: 8080"
equal "the server's address" "$(said c1 bind tcp 192.0.2.1 8080)" "bound 192.0.2.1 8080"
equal "a foreign address" "$(said c1 bind tcp 198.51.100.7 8080)" EADDRNOTAVAIL
equal "loopback" "$(said c1 bind tcp 127.0.0.1 8080)" "bound 127.0.0.1 8080"
equal "one port twice" "$(said c1 twice 8081)" EADDRINUSE
read -r port same <<<"$(said c1 auto)"
equal "an automatic port has its name at once" "$same" True
check "and is of the block" test "$port" -ge "$(isthmus-resoa status --json --control "$TMP/c1.sock" | jq '.registered.ports[0]')" \
	-a "$port" -le "$(isthmus-resoa status --json --control "$TMP/c1.sock" | jq '.registered.ports[1]')"
hold c1 hold.log tcp 0.0.0.0 8090
equal "bound" "$(cat "$TMP/hold.log")" "bound 0.0.0.0 8090"
equal "another client's port" "$(said c2 bind tcp 0.0.0.0 8090)" EADDRINUSE
equal "its port of the other protocol" "$(said c2 bind udp 0.0.0.0 8090)" "bound 0.0.0.0 8090"
end "$SPAWNED" KILL
check "is free soon after kill -9" wait_for 60 is_free c2 8090
spawn - close.log isthmus-resoa run --control "$TMP/c1.sock" -- python3 "$P" bind tcp 0.0.0.0 8091 close
wait_for 60 log_has close.log bound
check "and after close(), while its program runs" wait_for 60 is_free c2 8091
check "still running" alive "$SPAWNED"
end "$SPAWNED"
hold c1 udp.log udp :: 8092
equal "IPv6 and IPv4 are held" "$(said c2 bind udp 0.0.0.0 8092)" EADDRINUSE
end "$SPAWNED" KILL
check "and given back" wait_for 60 is_free c2 8092
spawn server own.log python3 "$P" bind tcp 0.0.0.0 8093 hold
wait_for 60 log_has own.log bound
equal "the server's own port" "$(said c1 bind tcp 0.0.0.0 8093)" EADDRINUSE
end "$SPAWNED"

# ---- beside the server's own programs: as two programs of one host are beside each other

beside() { # FIRST SECOND: who has ports from PORT on, who wants them too; c1, or server
	local name=$1-$2 role where
	for role in "first $1" "second $2" "dialler peer"; do
		read -r role where <<<"$role"
		if [ "$where" = c1 ]; then set -- run_of c1 --; else set -- in_ns "$where"; fi
		spawn - "$name.$role.log" "$@" python3 "$SELFTESTS/lib/resoa_binds.py" agent "$TMP/$name.$role"
	done
	for role in first second dialler; do wait_for 60 test -S "$TMP/$name.$role"; done
	python3 "$SELFTESTS/lib/resoa_binds.py" ask "$TMP/$name."{first,second,dialler} 192.0.2.1 "$PORT" >"$TMP/$name.beside"
}
PORT=9000 beside server server
at_least "cases of a port that is wanted twice" "$(wc -l <"$TMP/server-server.beside")" 50
PORT=9100 beside c1 server
check "EADDRINUSE for a program of the server" diff "$TMP/server-server.beside" "$TMP/c1-server.beside"
PORT=9200 beside server c1
check "EADDRINUSE for the client's" diff "$TMP/server-server.beside" "$TMP/server-c1.beside"

# ---- what only the server's sockets know

in_ns server ip route add $PEER4/32 dev eth0 mtu 1300
in_ns server ip -6 route add $PEER6/128 dev eth0 mtu 1400
in_ns server sysctl -qw net.ipv4.tcp_congestion_control=reno
local4=$(in_ns server python3 "$P" values $PEER4 7000)
equal "the server's own program says of its path" "$local4" "mtu 1300 mss 1248 reno state 1"
equal "MTU, MSS, congestion control are the server's" "$(said c1 values $PEER4 7000)" "$local4"
equal "IPv6" "$(said c1 values $PEER6 7000)" "$(in_ns server python3 "$P" values $PEER6 7000)"
spawn - accepted.log isthmus-resoa run --control "$TMP/c1.sock" -- python3 "$P" accepted 8095
wait_for 60 listening server t 8095
in_ns peer python3 "$P" from 192.0.2.1 8095 >/dev/null 2>&1 || true
wait_for 60 log_has accepted.log mtu
equal "of an accepted connection" "$(cat "$TMP/accepted.log")" "$local4"
in_ns server ip route del $PEER4/32 dev eth0 mtu 1300
in_ns server ip -6 route del $PEER6/128 dev eth0 mtu 1400

# ---- show, in more than one answer

spawn - many.log isthmus-resoa run --control "$TMP/c1.sock" -- python3 "$P" many $PEER4 7000 300
wait_for 60 log_has many.log 300
isthmus-resoa show --json --control "$TMP/c1.sock" >"$TMP/show.json"
equal "show tells of all" "$(jq '[.sockets[] | select(.kind == "connect" and .remote == "192.0.2.2:7000")] | length' "$TMP/show.json")" 300
equal "each once" "$(jq '[.sockets[].rsock] | unique | length' "$TMP/show.json")" "$(jq '.sockets | length' "$TMP/show.json")"
equal "and which path it takes" "$(jq -r '[.sockets[].provider] | unique[]' "$TMP/show.json")" unix
equal "with its bytes" "$(jq '[.sockets[] | select(.kind == "connect").sent] | unique[]' "$TMP/show.json")" 5
check "as text" sh -c "isthmus-resoa show --control $TMP/c1.sock | grep -q '192.0.2.2:7000: connect connected, 5 bytes sent'"
check "stats" sh -c "isthmus-resoa stats --control $TMP/c1.sock | grep -q '^SYN_HELD .* 30[0-9]'"
check "status" sh -c "isthmus-resoa status --control $TMP/c1.sock | grep -q 'c1: registered with unix'"
end "$SPAWNED"
