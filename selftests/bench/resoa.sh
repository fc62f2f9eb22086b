#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The bars of resoa, beside a direct connection and SOCKS with proxychains, by turns. The network is drawn in
# lib/resoa_wire.sh: MTU 1500, and TSO, GSO and GRO off on all devices unless a row says `offloads`.
#
#   direct      on the server itself        ether   c1, without any address, by the Ethernet LHP
#   dante       by danted                   tls     host socks, by the TLS LHP
#   microsocks  by microsocks
#
#   bulk        3 streams of SECONDS_BULK s each way      eof       end of file after the last byte
#   single      one of them                               pause     the same after PAUSE s without reading
#   connect     connect(), and a message there and back
#   far         connect() to host far, behind a wire that takes WIRE_US each way
#   idle        memory of the daemons for each of SOCKETS sockets
. "${0%/*}/lib/bench.sh"
# shellcheck source=selftests/lib/resoa_wire.sh
. "$SELFTESTS/lib/resoa_wire.sh"

: "${SECONDS_BULK:=5}" "${PAUSE:=300}" "${SOCKETS:=10000}" "${CONNECTS:=500}" "${WIRE_US:=1000}"
FAR=198.51.100.2 EXPORTED=$BENCH_TOOLS/exported
[ "$ROUNDS" -le 5 ] || ROUNDS=5
ENDS=$BENCH_LIB/resoa_ends.py
WAYS=(direct ether tls dante microsocks)
BULK_PORT=9100 STREAMS=3

by_direct() { in_ns server "$@"; }
by_ether() { in_client c1 "$@"; }
by_tls() { in_client tls "$@"; }

offload() { # on|off
	local place
	for place in c1:eth0 wire:c1 wire:server server:lhp0 server:eth0 peer:eth0 socks:eth0 wire:socks; do
		in_ns "${place%:*}" ethtool -K "${place#*:}" tso "$1" gso "$1" gro "$1"
	done
} >/dev/null 2>&1

set_up() {
	wire_up
	net_ns c1
	wire_plug c1 eth0
	compared_up
	wire_key c1 "sockets = 20000"
	wire_key tls "sockets = 20000"
	ulimit -n "$(ulimit -Hn)"
	wire_server ether:lhp0 tls:10.77.0.1:7700
	wire_client c1 "ether:eth0/$LHP_MAC"
	wire_client tls tls:10.77.0.1:7700 socks
	far_up
	spawn peer ends.log "$ENDS" serve $PEER
	wait_for 30 listening peer t 7021
	offload off
}

# What line forwards as bytes has to have its checksum.
far_up() {
	net_ns line far
	net_link server line0 198.51.100.1/24 line left -
	net_link line right - far eth0 $FAR/24
	in_ns far ip route add default via 198.51.100.1
	in_ns server ethtool -K line0 tx off >/dev/null
	in_ns far ethtool -K eth0 tx off >/dev/null
	spawn line delay.log "${FIRST[@]}" "$EXPORTED" delay left right "$WIRE_US"
	spawn far far.log "$EXPORTED" serve $FAR 7000 1000000
	wait_for 5 listening far t 7000
}

# ---- bulk

# bulk WAY ROUND PREFIX send|recv: one direction
bulk() {
	local way=$1 round=$2 prefix=$3 role=$4 other=recv
	[ "$role" = send ] || other=send
	BULK_PORT=$((BULK_PORT + 1))
	spawn peer bulk.json "$BENCH_TOOLS/flow" --listen --bind $PEER:$BULK_PORT --role $other --streams "$STREAMS" \
		--seconds "$SECONDS_BULK" --timeout 30
	wait_for 20 listening peer t $BULK_PORT
	if ! "by_$way" timeout 60 "$BENCH_TOOLS/flow" --connect $PEER:$BULK_PORT --role "$role" --streams "$STREAMS" \
		--seconds "$SECONDS_BULK" >"$TMP/flow.json" 2>"$TMP/flow.log"; then
		tell "$prefix-$way, $role: no figure: $(tail -n 1 "$TMP/flow.log")"
		end "$SPAWNED"
		return
	fi
	wait "$SPAWNED" || true
	if [ "$role" = send ]; then
		sample "$prefix-$way-out" "$round" "$(jq .mbit_s "$TMP/bulk.json")"
	else
		sample "$prefix-$way-in" "$round" "$(jq .mbit_s "$TMP/flow.json")"
	fi
}

bulk_both() { # WAY ROUND
	bulk "$1" "$2" "$PREFIX" send
	bulk "$1" "$2" "$PREFIX" recv
}

# ---- times

times() { # WAY ROUND
	local what unit
	for what in connect:us eof:ms; do
		unit=${what#*:} what=${what%:*}
		if "by_$1" timeout 60 "$ENDS" "$what" $PEER "$CONNECTS" >"$TMP/times.json" 2>"$TMP/times.log"; then
			sample "$what-$1" "$2" "$(jq ".p50_$unit" "$TMP/times.json")" "$(cat "$TMP/times.json")"
		else
			tell "$what-$1: no figure: $(tail -n 1 "$TMP/times.log")"
		fi
	done
}

far() { # WAY ROUND
	"by_$1" "$EXPORTED" connects $FAR 7000 $((CONNECTS / 5)) >"$TMP/far.json"
	sample "far-$1" "$2" "$(jq .p50 "$TMP/far.json")" "$(cat "$TMP/far.json")"
}

# An EP message to the server and its answer, by the daemon's own account: one is sent every 5 s.
round_trip() { # CLIENT ROUND
	sleep 5
	sample "trip-$1" "$2" "$(isthmus-resoa stats --json --control "$TMP/$1.sock" | jq .lhp.ping_us)"
}

# ---- memory

rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

idle() { # WAY CLIENT
	local before after open
	before=$(($(rss_kb "$RESOAD") + $(rss_kb "${CLIENT[$2]}")))
	mkfifo "$TMP/idle-$1"
	"by_$1" "$ENDS" idle $PEER "$SOCKETS" <"$TMP/idle-$1" >"$TMP/idle-$1.json" 2>&1 &
	exec 7>"$TMP/idle-$1"
	wait_for 240 grep -q open "$TMP/idle-$1.json" || true
	open=$(jq .open "$TMP/idle-$1.json" 2>/dev/null || echo 0)
	after=$(($(rss_kb "$RESOAD") + $(rss_kb "${CLIENT[$2]}")))
	exec 7>&-
	wait $! || true
	tell "idle-$1: $open sockets, $before kB before, $after kB after: $(head -c 200 "$TMP/idle-$1.json")"
	[ "$open" -lt 1 ] || sample "idle-$1" 1 "$(calculate "($after - $before) / $open")" "$(cat "$TMP/idle-$1.json")"
}

# ---- the measurement

pause_begin() {
	spawn - pause.json isthmus-resoa run --control "$TMP/c1.sock" -- "$ENDS" pause $PEER "$PAUSE"
	PAUSED=$SPAWNED
}

measure() {
	local round
	pause_begin
	for ((round = 1; round <= ROUNDS; round++)); do
		tell "round $round of $ROUNDS"
		PREFIX=bulk in_turn "$round" bulk_both "${WAYS[@]}"
		STREAMS=1 PREFIX=single in_turn "$round" bulk_both ether tls dante
		in_turn "$round" times "${WAYS[@]}"
		in_turn "$round" far direct ether tls
		round_trip c1 "$round"
		round_trip tls "$round"
	done
	offload on
	for ((round = 1; round <= (ROUNDS > 2 ? 2 : ROUNDS); round++)); do
		PREFIX=offloads in_turn "$round" bulk_both "${WAYS[@]}"
	done
	offload off
	idle ether c1
	idle tls tls
	tell "waiting for the reader that pauses"
	wait "$PAUSED" || true
}

# A median, or null.
figure() { median "$1" 2>/dev/null || echo null; }
ratio() { jq -n "($1) as \$a | ($2) as \$b | if \$a == null or \$b == null or \$b == 0 then null else \$a / \$b end"; }

told() { # PREFIX
	local way
	for way in "${WAYS[@]}"; do
		tell "$1 Mbit/s: $way out $(figure "$1-$way-out") in $(figure "$1-$way-in")"
	done
}

# The worse direction.
bulk_bar() { # NAME PREFIX WAY OTHER LIMIT
	bar "$1" "$(jq -n "[$(ratio "$(figure "$2-$3-out")" "$(figure "$2-$4-out")"), $(ratio "$(figure "$2-$3-in")" "$(figure "$2-$4-in")")] |
		if any(. == null) then null else min end")" '>=' "$5"
}

bars() {
	local way rtt
	told bulk
	told single
	told offloads
	for way in "${WAYS[@]}"; do
		tell "connect us $(figure "connect-$way"), end of file ms $(figure "eof-$way"): $way"
	done
	rtt=$(figure trip-c1)
	tell "a message to the server and back, ether: $rtt us; tls: $(figure trip-tls) us; pause: $(cat "$TMP/pause.json")"
	for way in direct ether tls; do tell "connect us $(figure "far-$way") over a wire of $WIRE_US us: $way"; done
	bulk_bar bulk_ether_over_dante bulk ether dante 0.8
	bulk_bar bulk_tls_over_dante bulk tls dante 0.7
	bulk_bar bulk_ether_over_microsocks bulk ether microsocks 0.8
	bulk_bar single_ether_over_dante single ether dante 0.8
	bulk_bar single_tls_over_dante single tls dante 0.7
	bulk_bar offloads_ether_over_dante offloads ether dante 0.8
	bulk_bar offloads_tls_over_dante offloads tls dante 0.7
	bar eof_ms "$(figure eof-ether)" '<=' 5
	bar eof_after_pause "$(jq 'if .end and .bytes == 100000 then 1 else 0 end' "$TMP/pause.json" 2>/dev/null || echo null)" = 1
	tell "connect over direct on a wire without delay: $(ratio "$(figure connect-ether) | if . == null then null else . - $rtt end" "$(figure connect-direct)")"
	bar connect_over_direct "$(ratio "$(figure far-ether) | if . == null then null else . - $rtt end" "$(figure far-direct)")" '<=' 1.3
	bar idle_kib "$(figure idle-ether)" '<=' 16
}

set_up
offloads c1 eth0 server lhp0 server eth0 peer eth0
measure
bars
