#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The bars of onetime. Two pairs of hosts stand at the same time and are measured by turns: one as Linux has it, one
# whose server has an address for every session and whose client has one for every connect.
#
#   plain-c to_s ── to_c plain-s            no program
#   once-c  to_s ── to_c once-s x ── to_s scanner
#           EAs of EA_POOL   SSAs of POOL
#
#   connections   one after the other, a byte there and back, closed by the client
#   bulk          one TCP flow (Reno), offloads as veth has them
#   cost          what a run of sk_lookup and of the guard takes, by the kernel's own count, with one address in the
#                 table and with 1,000,000 more
#   scan          one who saw all addresses sends 10,000,000 packets to those used, in use, kept for others, and to
#                 random ones, while genuine clients go on
#
# Pools are routed, so no neighbour is asked for each address. sockops and sock_release stand at the cgroup's root,
# so plain TCP passes them, too.
. "${0%/*}/lib/bench.sh"

POOL=2001:db8:5:: EA_POOL=2001:db8:ea::
CLIENT=2001:db8:c::1 SERVER=2001:db8:c::2
SCANNER=2001:db8:bad::
PORT=443 BULK_PORT=444
: "${CONNECTIONS:=10000}" "${MILLION:=1000000}" "${TRIES:=10000000}" "${SCAN_RATE:=300000}"
NEXT=0 # number of the next address (lib/onetime_numbers.h)

story_end() {
	isthmus onetime detach --instance "$INSTANCE-s" || true
	isthmus onetime detach --instance "$INSTANCE-c" || true
	sysctl -qw kernel.bpf_stats_enabled=0
} >/dev/null 2>&1

pair() { # NAME
	local end
	net_ns "$1-c" "$1-s"
	net_link "$1-c" to_s $CLIENT/64 "$1-s" to_c $SERVER/64
	in_ns "$1-c" ip route add default via $SERVER
	in_ns "$1-s" ip route add default via $CLIENT
	for end in c s; do in_ns "$1-$end" sysctl -qw net.ipv4.tcp_congestion_control=reno; done
	# As docs/operations.md says: what the kernel notes of an address that never comes again is of no use, and finding
	# that costs one-time connections 5 us each: measured without it, 0.78 of plain TCP. Both pairs are set alike.
	for end in c s; do in_ns "$1-$end" sysctl -qw net.ipv4.tcp_no_metrics_save=1; done
	# One address has 64,512 ports, and each is in TIME-WAIT for a minute: plain TCP would soon be at its end.
	in_ns "$1-c" sysctl -qw net.ipv4.ip_local_port_range="1024 65535" net.ipv4.tcp_tw_reuse=1
}

onetime() { # END VERB...
	local end=$1
	shift
	in_ns "once-$end" isthmus onetime "$@" --instance "$INSTANCE-$end"
}

agent() { # END
	spawn "once-$1" "agent-$1.log" isthmus-onetime run --instance "$INSTANCE-$1" --state "$TMP/$1.db" \
		--control "$TMP/$1.sock" --eas 60000
	wait_for 10 test -S "$TMP/$1.sock"
}

set_up() {
	pair plain
	pair once
	net_ns scanner
	net_link scanner to_s ${SCANNER}1/64 once-s x ${SCANNER}2/64
	onetime s attach --dev to_c --dev x
	onetime s pool add to_c $POOL/64
	onetime c attach --dev to_s
	onetime c pool add to_s $EA_POOL/64 --client
	agent s
	agent c
}

# ---- listeners and addresses

# index PORT: of the listener that was registered last; one that has ended is listed until it is cleared away.
declare -A LISTENER
index() { onetime s sockstat --json | jq -e ".sockets[] | select(.pid == ${LISTENER[$1]}) | .listener"; }

# pending COUNT PORT [ONLY]: NUMBER is the number of the first of so many new addresses.
pending() {
	NUMBER=$NEXT NEXT=$((NEXT + $1))
	"$BENCH_TOOLS/fill_onetime" "$INSTANCE-s" $POOL "$NUMBER" "$1" "$(index "$2")" "$2" ${3:+"$3"}
}

numbers() { "$BENCH_TOOLS/connect" --numbers $POOL "$@"; } # NUMBER COUNT

register() { # PID PORT
	LISTENER[$2]=$1
	in_ns once-s isthmus-onetime listen "$1" to_c --port "$2" --das-required --control "$TMP/s.sock" >/dev/null
}

serve() { # NS PORT COUNT LOG
	spawn "$1" "$4" "$BENCH_TOOLS/connect" --serve "$2" "$3"
	wait_for 5 listening "$1" t "$2"
}

# ---- connections a second

connections_plain() { # ROUND
	in_ns plain-c "$BENCH_TOOLS/connect" --to $SERVER $PORT "$CONNECTIONS" >"$TMP/client.json"
	note_connections plain "$1"
}

connections_once() { # ROUND
	pending "$CONNECTIONS" $PORT
	once_client "$BENCH_TOOLS/connect" --to $POOL $PORT "$CONNECTIONS" "$NUMBER" >"$TMP/client.json"
	note_connections once "$1"
}

once_client() { in_ns once-c isthmus onetime run --instance "$INSTANCE-c" -- "$@"; }

note_connections() { # NAME ROUND
	[ "$(jq '.asked == .served' "$TMP/client.json")" = true ]
	sample "connections-$1" "$2" "$(jq '.served / .seconds' "$TMP/client.json")" "$(cat "$TMP/client.json")"
}

# ---- bulk

# bulk NAME ROUND SERVER ADDRESS CLIENT...: CLIENT are the words that run a command at the client.
bulk() {
	local name=$1 round=$2 server=$3 address=$4
	shift 4
	spawn "$server" bulk.json taskset -c 1 "$BENCH_TOOLS/flow" --listen --bind "[::]:$BULK_PORT" --role recv \
		--timeout 20
	wait_for 5 listening "$server" t $BULK_PORT
	if [ "$name" = once ]; then
		register "$SPAWNED" $BULK_PORT
		pending 1 $BULK_PORT
		address=$(numbers "$NUMBER" 1)
	fi
	"$@" taskset -c 0 "$BENCH_TOOLS/flow" --connect "[$address]:$BULK_PORT" --role send \
		--seconds "${SECONDS_BULK:-1.5}" >"$TMP/send.json"
	wait "$SPAWNED"
	sample "bulk-$name" "$round" "$(jq .mbit_s "$TMP/bulk.json")" "$(cat "$TMP/bulk.json")"
}

bulk_sample() { # NAME ROUND
	case $1 in
	plain) bulk plain "$2" plain-s $SERVER in_ns plain-c ;;
	once) bulk once "$2" once-s '' once_client ;;
	esac
}

connections_sample() { "connections_$1" "$2"; } # NAME ROUND

# ---- what the programs cost

# Nanoseconds and runs of all programs of a name since they were loaded: "NS RUNS".
run_time() { # PROGRAM
	bpftool prog show --json | jq -r --arg name "$1" \
		'[.[] | select(.name == $name)] | "\(map(.run_time_ns // 0) | add) \(map(.run_cnt // 0) | add)"'
}

# cost_sample NAME ROUND COUNT [MAKE]: ns for a run of each program in COUNT connections. MAKE: each address is
# made when it is to be used and removed afterwards, so that it is the table's only one.
cost_sample() {
	local name=$1 round=$2 count=$3 program before after make=()
	[ -z "${4:-}" ] || make=(--make "$INSTANCE-s" "$(index $PORT)" "$PORT")
	declare -A begin
	sysctl -qw kernel.bpf_stats_enabled=1
	for program in onetime_lookup onetime_in; do begin[$program]=$(run_time $program); done
	in_ns once-c "$BENCH_TOOLS/connect" --to $POOL $PORT "$count" "$NUMBER" "${make[@]}" >"$TMP/cost.json"
	for program in onetime_lookup onetime_in; do
		read -r -a before <<<"${begin[$program]}"
		read -r -a after <<<"$(run_time $program)"
		sample "$program-$name" "$round" \
			"$(calculate "(${after[0]} - ${before[0]}) / (${after[1]} - ${before[1]})")" "$(cat "$TMP/cost.json")"
	done
	sysctl -qw kernel.bpf_stats_enabled=0
	[ "$(jq '.asked == .served' "$TMP/cost.json")" = true ]
}

cost() {
	local round per=2000
	onetime s pool del $POOL/64 --force
	onetime s pool add to_c $POOL/64
	for ((round = 1; round <= ROUNDS; round++)); do
		NUMBER=$NEXT NEXT=$((NEXT + per))
		cost_sample one "$round" $per make
	done
	pending "$MILLION" $PORT
	for ((round = 1; round <= ROUNDS; round++)); do
		cost_sample million "$round" $per
		NUMBER=$((NUMBER + per))
	done
	# The rest is not for whoever comes next.
	onetime s pool del $POOL/64 --force
	onetime s pool add to_c $POOL/64
}

# ---- one who saw all addresses

# Genuine clients and one long session go on while every address that was ever used, or is kept for them, is tried.
scan() {
	local genuine=30000 scanner
	spawn once-s held.json "$BENCH_TOOLS/flow" --listen --bind "[::]:$BULK_PORT" --role echo --timeout 200
	wait_for 5 listening once-s t $BULK_PORT
	register "$SPAWNED" $BULK_PORT
	pending 1 $BULK_PORT
	spawn once-c ping.json isthmus onetime run --instance "$INSTANCE-c" -- "$BENCH_TOOLS/flow" \
		--connect "[$(numbers "$NUMBER" 1)]:$BULK_PORT" --role ping --seconds $((TRIES / SCAN_RATE)) --rate 20
	pending $genuine $PORT $EA_POOL
	numbers 0 "$NEXT" >"$TMP/seen"
	spawn scanner scan.json "$BENCH_TOOLS/scan" to_s "$(mac once-s x)" $SCANNER $POOL "$TRIES" "$SCAN_RATE" \
		"$TMP/seen"
	scanner=$SPAWNED
	once_client "$BENCH_TOOLS/connect" --to $POOL $PORT $genuine "$NUMBER" >"$TMP/genuine.json"
	wait "$scanner"
}

# ---- the measurement

measure() {
	local round
	serve plain-s $PORT 1000000000 plain.json
	serve once-s $PORT 1000000000 once.json
	ONCE_SERVER=$SPAWNED
	register "$ONCE_SERVER" $PORT
	for ((round = 1; round <= ROUNDS; round++)); do
		tell "round $round of $ROUNDS"
		in_turn "$round" connections_sample plain once
		in_turn "$round" bulk_sample plain once
	done
	tell "cost of the programs"
	cost
	tell "$TRIES tries of one who saw $NEXT addresses"
	scan
	end "$ONCE_SERVER"
}

# Those that the server served and no client of ours was: a second use of an address, or a stranger.
strangers() {
	jq -s '[.[] | select(.name == "connections-once" or (.name | startswith("onetime_lookup-"))) | .raw.served] | add' \
		"$BENCH_OUT/$STORY.samples" | jq -s '.[1].served - .[0] - .[2].served' - "$TMP/once.json" "$TMP/genuine.json"
}

bars() {
	tell "connections a second: plain $(median connections-plain), one-time $(median connections-once)"
	tell "TCP Mbit/s: plain $(median bulk-plain), one-time $(median bulk-once)"
	tell "ns a run, one address and $MILLION more: sk_lookup $(median onetime_lookup-one) $(median onetime_lookup-million), guard $(median onetime_in-one) $(median onetime_in-million)"
	tell "scan: $(cat "$TMP/scan.json"), genuine: $(cat "$TMP/genuine.json"), server: $(cat "$TMP/once.json")"
	bar connections_over_plain "$(calculate "$(median connections-once) / $(median connections-plain)")" '>=' 0.8
	bar bulk_over_plain "$(calculate "$(median bulk-once) / $(median bulk-plain)")" '>=' 0.98
	bar lookup_million_over_one \
		"$(calculate "$(median onetime_lookup-million) / $(median onetime_lookup-one)")" '<=' 2
	bar guard_million_over_one "$(calculate "$(median onetime_in-million) / $(median onetime_in-one)")" '<=' 2
	bar scan_tries "$(jq .sent "$TMP/scan.json")" '>=' 10000000
	bar scan_answers "$(jq .answers "$TMP/scan.json")" = 0
	bar scan_strangers "$(strangers)" = 0
	bar scan_used_twice "$(jq .twice "$TMP/once.json")" = 0
	bar scan_genuine "$(jq '.served / .asked' "$TMP/genuine.json")" '>=' 0.999
}

set_up
offloads plain-c to_s plain-s to_c once-c to_s once-s to_c
measure
bars
