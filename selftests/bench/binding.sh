#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The bars of names bound by waypoints: question -> SETUP -> ACCEPT -> answer, with real agents and a tunnel that is up.
# The network is that of lib/aves.sh with two links more, so that no router's time counts:
#
#   load: dns_load, CPU 0        isthmus-dns, CPU 1          isthmus-waypoint, CPU 0
#   alice 10.63.0.1 ──────────── 10.63.0.2 dns 10.62.0.1 ─── 10.62.0.2 wp
#   10.64.0.0/10, 10.128.0.0/10: initiators; local to alice, routed to her
#
# answers_per_second, cycles_per_setup: the name server knows its clients for initiators, each question is another
# initiator's, and each binding a new one. delayed_per_address, late_first_packets: it does not, they are waited for.
. "${0%/*}/lib/bench.sh"
# shellcheck source=selftests/lib/aves.sh
. "$SELFTESTS/lib/aves.sh"

HERE=$(realpath "${0%/*}")
HOSTS=24
BINDS=524288 # more than are made in all turns
SECONDS_EACH=0.3 # of a turn
BUSY=0.8 # of its CPU's time the name server must have taken, or a low rate tells of others
SETUP=10.62.0.2:3482
ADDRESSES=203.0.113.80/28
WAIT_MS=500 # delayed_per_address: how long an address waits for an initiator
DELAYED_SECONDS=10
# late_first_packets: hosts that all ask for by one resolver, fewer than addresses; questions a second, of each host fewer
# than are let in.
NAMED=12 RATE=400 FIRST_PACKETS=6000

need taskset python3 unbound ethtool nft

W=()
for ((i = 80; i < 96; i++)); do W+=("203.0.113.$i"); done
MHZ=$(sed -n 's/^cpu MHz[[:space:]]*: //p' /proc/cpuinfo | sed -n 2p)

set_up() {
	local i hosts=
	aves_net
	net_link alice load 10.63.0.1/30 dns load 10.63.0.2/30
	net_link dns setup 10.62.0.1/30 wp setup 10.62.0.2/30
	for i in 10.64.0.0/10 10.128.0.0/10; do
		in_ns alice ip route add local $i dev lo
		in_ns inet ip route add $i via $ALICE
		in_ns resolver ip route add $i via $ALICE
		in_ns wp ip route add $i via 203.0.113.2
		in_ns dns ip route add $i via 10.63.0.1
	done
	for ((i = 0; i < HOSTS; i++)); do hosts+="host$i 192.168.1.10\n"; done
	known_dns
	in_ns wp isthmus waypoint attach --dev eth0 --instance "$INSTANCE" --mode xdp --binds $BINDS >/dev/null
	dns_says waypoint add wp1 | in_ns wp isthmus-waypoint join --credentials "$TMP/wp.secret" >/dev/null
	aves_waypoint_run --setup $SETUP
	aves_gateway 1 xdp "$hosts"
	aves_ready home1
}

# The name server's clients are the initiators.
known_dns() {
	aves_dns --listen 10.63.0.2:53 --initiators 10.64.0.0/10 --initiators 10.128.0.0/10
	taskset -apc 1 "${AVES_PID[dns]}" >/dev/null
	first "${AVES_PID[dns]}"
}

first() { [ "${FIRST[0]}" != chrt ] || chrt -a -f -p 1 "$1"; }

restart() { # dns|wp CMD...
	end "${AVES_PID[$1]}"
	"${@:2}"
	aves_ready home1
}

# ---- bound at once

questions_write() {
	local i
	for ((i = 0; i < HOSTS; i++)); do echo "host$i.home1.$ZONE A 0 1"; done >"$TMP/questions"
}

load() { # ROUND: each has a network of initiators to itself
	local line
	line=$(in_ns alice "${FIRST[@]}" taskset -c 0 "$BENCH_TOOLS/dns_load" --server 10.63.0.2:53 --questions "$TMP/questions" \
		--clients "10.$((64 + 4 * $1)).0.0/14" --within $ADDRESSES --yield --seconds $SECONDS_EACH \
		--pid "${AVES_PID[dns]}" --pid "${AVES_PID[wp]}")
	[ "$(jq '.wrong + .lost' <<<"$line")" = 0 ] || tell "answers are wrong or lost: $line"
	jq -e '.wrong == 0 and .answers > 0' <<<"$line" >/dev/null # or its rate tells nothing
	sample rate "$1" "$(jq .rate <<<"$line")" "$line"
	sample dns-ns "$1" "$(jq '.cpu_ns_each[0] / .answers' <<<"$line")"
	sample waypoint-ns "$1" "$(jq '.cpu_ns_each[1] / .answers' <<<"$line")"
	sample both-ns "$1" "$(jq '.cpu_ns / .answers' <<<"$line")"
	sample busy "$1" "$(jq '.cpu_ns_each[0] / .seconds / 1e9' <<<"$line")"
}

waypoint_says() { in_ns wp isthmus-waypoint status --json --control "$TMP/wp.sock" | jq "$1"; }

known() {
	local round
	questions_write
	taskset -apc 0 "${AVES_PID[wp]}" >/dev/null
	first "${AVES_PID[wp]}"
	for ((round = 1; round <= ROUNDS; round++)); do load "$round"; done
}

# ---- delayed

packets() { in_ns wp isthmus waypoint stats --instance "$INSTANCE" --json | jq -c '.reasons | map({key: .reason, value: .packets}) | from_entries'; }

# initiators NAME HOSTS OPTION...: sends first packets; its counts with those of the datapath are $TMP/NAME.json.
initiators() {
	local before after
	before=$(packets)
	in_ns alice python3 "$HERE/lib/initiators.py" --names "$(seq -s, -f "host%g.home1.$ZONE" 0 $(($2 - 1)))" \
		"${@:3}" >"$TMP/initiators.json"
	sleep 0.2
	after=$(packets)
	jq -c --argjson before "$before" --argjson after "$after" \
		'. + {bound: ($after.BOUND - $before.BOUND), unsolicited: ($after.UNSOLICITED - $before.UNSOLICITED),
		violated: ($after.VIOLATED - $before.VIOLATED), refused: ($after.REFUSED - $before.REFUSED)}' \
		"$TMP/initiators.json" >"$TMP/$1.json"
	tell "$1: $(cat "$TMP/$1.json")"
}

delayed() {
	local address=("${W[@]}")
	W=("${W[0]}")
	restart wp aves_waypoint_run --setup $SETUP --wait $WAIT_MS
	restart dns aves_dns --subnet-from $ALICE/32
	initiators delayed-subnets $HOSTS --server $DNS --from $ALICE --subnet --clients 10.128.0.0/14 --window 32 --seconds $DELAYED_SECONDS
	initiators delayed-anyone $HOSTS --server $DNS --from $ALICE --clients 10.132.0.0/14 --window 4 --seconds $DELAYED_SECONDS
	W=("${address[@]}")
}

through_resolver() {
	restart wp aves_waypoint_run --setup $SETUP
	aves_unbound
	initiators resolver $NAMED --server $RESOLVER --clients 10.136.0.0/14 --window 64 --rate $RATE --count $FIRST_PACKETS --seconds 60 --delay-ms 50
}

bars() {
	local rate own busy
	rate=$(median rate) own=$(calculate "1e9 / $(median dns-ns) | round") busy=$(median busy)
	tell "answers with a binding: $rate/s; isthmus-dns took $(calculate "$busy * 100 | round") % of CPU 1, by its CPU time alone $own/s"
	tell "cycles of a set-up: CPU time (schedstat: user, system and the softirqs meanwhile) of isthmus-dns and isthmus-waypoint" \
		"by $MHZ MHz: $(calculate "$(median dns-ns) * $MHZ / 1000 | round") and $(calculate "$(median waypoint-ns) * $MHZ / 1000 | round")"
	if [ "$(calculate "$rate < 60000 and $busy < $BUSY")" = true ]; then
		tell "CPU 1 had time to spare, or was another's: answers_per_second is what isthmus-dns's CPU time makes of one core"
		rate=$own
	fi
	bar answers_per_second "$rate" '>=' 60000
	bar cycles_per_setup "$(calculate "$(median both-ns) * $MHZ / 1000 | round")" '<=' 30000
	bar delayed_per_address "$(jq '.bound / .seconds' "$TMP/delayed-subnets.json")" '>=' 2
	bar late_first_packets "$(jq 'if .sent > 0 then 100 * (.sent - .bound) / .sent else null end' "$TMP/resolver.json")" '<=' 0.1
}

set_up
offloads alice load dns load dns setup wp setup wp eth0
known
delayed
through_resolver
bars
