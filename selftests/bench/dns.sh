#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The bars of isthmus-dns, beside Knot DNS with the same zone: each server has one thread for UDP, on CPU 1, and both
# are asked by turns. Only one is asked at a time; the other sleeps.
#
#   load                         servers
#   dns_load, CPU 0              isthmus-dns 192.0.2.53, knotd 192.0.2.54, CPU 1
#   192.0.2.1 ─────────────────── 192.0.2.53, 192.0.2.54
#
# Half of the questions are for A, a fifth for AAAA, a tenth for TXT, a fifth for names that do not exist; all with
# EDNS. An answer's way to the socket that asked is the server's CPU's work, as veth has it, for both alike.
. "${0%/*}/lib/bench.sh"

NAMES=4000 ASKED=16384
SECONDS_EACH=1.5 # of a turn
BUSY=0.8 # of its CPU's time a server must have taken; 0.95 is what the scheduler gives FIRST
declare -A PID ADDRESS=([isthmus]=192.0.2.53 [knotd]=192.0.2.54)

need knotd taskset

zone_write() {
	cat >"$TMP/zones/bench.example" <<-'ZONE'
		$ORIGIN bench.example.
		$TTL 300
		@ SOA ns1 admin 1 3600 600 86400 5
		@ NS ns1
		ns1 A 192.0.2.53
	ZONE
	awk -v names=$NAMES 'BEGIN {
		for (i = 0; i < names; i++) {
			printf "host%d A 198.18.%d.%d\n", i, i / 256, i % 256
			printf "host%d AAAA 2001:db8::%x\n", i, i
			printf "host%d TXT \"host number %d\"\n", i, i
		}
	}' >>"$TMP/zones/bench.example"
}

# NAME TYPE RCODE ANSWERS, in an order that is no zone's.
questions_write() {
	awk -v names=$NAMES -v asked=$ASKED 'BEGIN {
		srand(1)
		split("A A A A A AAAA AAAA TXT none none", kind)
		for (i = 0; i < asked; i++) {
			what = kind[int(rand() * 10) + 1]
			host = "host" int(rand() * names)
			if (what == "none") printf "no%s.bench.example A 3 0\n", host
			else printf "%s.bench.example %s 0 1\n", host, what
		}
	}' >"$TMP/questions"
}

knotd_start() {
	cat >"$TMP/knot.conf" <<-CONF
		server:
		    listen: ${ADDRESS[knotd]}@53
		    rundir: $TMP/knot
		    pidfile: $TMP/knot/pid
		    udp-workers: 1
		    tcp-workers: 1
		    background-workers: 1
		log:
		  - target: stderr
		    any: warning
		database:
		    storage: $TMP/knot
		template:
		  - id: default
		    storage: $TMP/zones
		    zonefile-sync: -1
		    journal-content: none
		zone:
		  - domain: bench.example
		    file: bench.example
	CONF
	spawn servers knotd.log "${FIRST[@]}" taskset -c 1 knotd -c "$TMP/knot.conf"
	PID[knotd]=$SPAWNED
}

isthmus_start() {
	STATE_DIRECTORY=$TMP/state spawn servers isthmus.log "${FIRST[@]}" taskset -c 1 isthmus-dns run --listen "${ADDRESS[isthmus]}:53" \
		--zone "bench.example=$TMP/zones/bench.example" --database "$TMP/state/dns.db" --control "$TMP/dns.sock" \
		--user nobody --rate 0
	PID[isthmus]=$SPAWNED
}

set_up() {
	local name
	chmod 755 "$TMP"
	mkdir -m 755 "$TMP/zones" "$TMP/knot"
	mkdir "$TMP/state"
	chown nobody "$TMP/state"
	zone_write
	questions_write
	net_ns load servers
	net_link load load 192.0.2.1/24 servers servers 192.0.2.53/24,192.0.2.54/24
	isthmus_start
	knotd_start
	wait_for 20 ask_once isthmus
	wait_for 20 ask_once knotd
	# knotd gives each thread a CPU of its own; and who inherits must not escape either.
	for name in isthmus knotd; do taskset -apc 1 "${PID[$name]}" >/dev/null; done
}

ask_once() { in_ns load dig +short +time=1 +tries=1 "@${ADDRESS[$1]}" host1.bench.example | grep -qx 198.18.0.1; }

# load NAME ROUND: a server's turn.
load() {
	local line
	line=$(in_ns load "${FIRST[@]}" taskset -c 0 "$BENCH_TOOLS/dns_load" --server "${ADDRESS[$1]}:53" --questions "$TMP/questions" \
		--seconds $SECONDS_EACH --pid "${PID[$1]}")
	[ "$(jq '.wrong + .lost' <<<"$line")" = 0 ] || tell "$1: answers are wrong or lost: $line"
	jq -e '.wrong == 0 and .answers > 0' <<<"$line" >/dev/null # or its rate tells nothing
	sample "$1" "$2" "$(jq .rate <<<"$line")" "$line"
	sample "$1-ns" "$2" "$(jq '.cpu_ns / .answers' <<<"$line")"
	sample "$1-busy" "$2" "$(jq '.cpu_ns / .seconds / 1e9' <<<"$line")"
}

measure() {
	local round
	for ((round = 1; round <= ROUNDS; round++)); do
		if ((round % 2)); then
			load isthmus "$round"
			load knotd "$round"
		else
			load knotd "$round"
			load isthmus "$round"
		fi
	done
}

# ratio: the median of what both rates of each round are to each other. Where a server had time to spare, the rates tell
# of the generator (or of other work on its CPU), and nothing follows.
ratio() {
	jq -s --argjson busy "$BUSY" 'def by(name): map(select(.name == name) | {key: (.round | tostring), value}) | from_entries;
		def middle: sort | .[length / 2 | floor];
		by("isthmus") as $isthmus | by("knotd") as $knotd |
		if ([by("isthmus-busy", "knotd-busy") | [.[]] | middle] | min) < $busy then null
		else [$isthmus | to_entries[] | .value / $knotd[.key]] | middle end' "$BENCH_OUT/$STORY.samples"
}

bars() {
	local name mhz
	mhz=$(sed -n 's/^cpu MHz[[:space:]]*: //p' /proc/cpuinfo | sed -n 2p)
	tell "$(knotd --version)"
	for name in isthmus knotd; do
		tell "$name: $(median $name) answers/s, $(calculate "$(median $name-ns) * $mhz / 1000 | round") cycles an answer" \
			"(its CPU's time by $mhz MHz), busy $(calculate "$(median $name-busy) * 100 | round") %"
	done
	bar static_over_knotd "$(ratio)" '>=' 0.5
}

set_up
offloads load load servers servers
measure
bars
