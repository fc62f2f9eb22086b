#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The Last Hop Protocol on Ethernet by itself, beside TCP of the same pair of devices by turns: MTU 1500, TSO, GSO
# and GRO off.
#
#   a to_b ====== b to_a       speed   the pair as it is
#                              loss    5 % of frames each way are lost (bpf at ingress)
#                              share   RATE (tbf, 20 ms of queue), one flow of each at the same time
#
# TCP is measured with CUBIC, which is the LHP's own, and with BBR, which is the default of some kernels and takes no
# loss for congestion.
. "${0%/*}/lib/bench.sh"

ADDRESS_A=192.0.2.1 ADDRESS_B=192.0.2.2 PORT=7000
MAC_B=02:00:00:00:00:0b
: "${BULK_SECONDS:=3}" "${SHARE_SECONDS:=10}" "${RATE:=300mbit}"
WIRE=$B/selftests/lhp_ether_wire.bpf.o

set_up() {
	net_ns a b
	net_link a to_b $ADDRESS_A/24 b to_a $ADDRESS_B/24
	ip -n "$NET-b" link set to_a address $MAC_B
	for end in a:to_b b:to_a; do
		in_ns "${end%:*}" ethtool -K "${end#*:}" tso off gso off gro off >/dev/null
		in_ns "${end%:*}" tc qdisc add dev "${end#*:}" clsact
	done
	spawn b listen.log taskset -c 1 "${FIRST[@]}" "$BENCH_TOOLS/lhp_flow" listen ether:to_a
	wait_for 5 in_ns b grep -q 88b5 /proc/net/packet
}

wire() { # SECTION, or nothing for a good one
	for end in a:to_b b:to_a; do
		in_ns "${end%:*}" tc filter del dev "${end#*:}" ingress
		[ -z "$1" ] || in_ns "${end%:*}" tc filter add dev "${end#*:}" ingress bpf direct-action \
			object-file "$WIRE" section "tc/$1"
	done
}

tcp_server() {
	spawn b "tcp-$1.json" taskset -c 1 "${FIRST[@]}" "$BENCH_TOOLS/flow" --listen --bind "$ADDRESS_B:$PORT" --role recv --timeout 60
	TCP_SERVER=$SPAWNED
	wait_for 5 listening b t $PORT
}

# tcp NAME CONGESTION SECONDS: what the receiver tells is in tcp-NAME.json.
tcp() {
	# By route: in a namespace the sysctl takes only what the first one allows everybody.
	in_ns a ip route replace "$ADDRESS_B/32" dev to_b congctl "$2"
	tcp_server "$1"
	in_ns a taskset -c 0 "${FIRST[@]}" "$BENCH_TOOLS/flow" --connect "$ADDRESS_B:$PORT" --role send --seconds "$3" >/dev/null
	wait "$TCP_SERVER"
}

lhp() { # NAME SECONDS
	in_ns a timeout 120 taskset -c 0 "${FIRST[@]}" "$BENCH_TOOLS/lhp_flow" send ether:to_b/$MAC_B "$2" >"$TMP/lhp-$1.json"
}

alone() { # lhp|cubic|bbr ROUND, WHAT is speed or loss
	local file=$TMP/tcp-$WHAT.json
	case $1 in
	lhp)
		lhp "$WHAT" "$BULK_SECONDS"
		file=$TMP/lhp-$WHAT.json
		;;
	*) tcp "$WHAT" "$1" "$BULK_SECONDS" ;;
	esac
	sample "$WHAT-$1" "$2" "$(jq .mbit_s "$file")" "$(cat "$file")"
}

share() { # cubic|bbr ROUND
	local both
	lhp "share" "$SHARE_SECONDS" &
	both=$!
	tcp share "$1" "$SHARE_SECONDS"
	wait "$both"
	sample "share-$1" "$2" "$(jq -s '.[0].mbit_s / (.[0].mbit_s + .[1].mbit_s)' "$TMP/lhp-share.json" "$TMP/tcp-share.json")" \
		"$(jq -cs . "$TMP/lhp-share.json" "$TMP/tcp-share.json")"
}

measure() {
	local round
	for ((round = 1; round <= ROUNDS; round++)); do
		tell "round $round of $ROUNDS"
		WHAT=speed
		in_turn "$round" alone lhp cubic bbr
		wire plain5
		WHAT=loss
		in_turn "$round" alone lhp cubic bbr
		wire ""
		in_ns a tc qdisc add dev to_b root tbf rate "$RATE" burst 64k latency 20ms
		in_turn "$round" share cubic bbr
		in_ns a tc qdisc del dev to_b root
	done
}

bars() {
	local name
	for name in speed loss; do
		tell "$name, Mbit/s: LHP $(median $name-lhp), TCP with CUBIC $(median $name-cubic), with BBR $(median $name-bbr)"
	done
	tell "LHP, CPU seconds for a GB: $(jq -c .cpu_s_per_gb "$TMP/lhp-speed.json") (sender, receiver)"
	tell "share of the LHP beside TCP with CUBIC $(median share-cubic), with BBR $(median share-bbr)"
	bar speed_gbit_s "$(calculate "$(median speed-lhp) / 1000")" '>=' 4
	bar loss_over_cubic "$(calculate "$(median loss-lhp) / $(median loss-cubic)")" '>=' 0.7
	bar loss_over_bbr "$(calculate "$(median loss-lhp) / $(median loss-bbr)")" '>=' 0.7
	bar share_beside_cubic "$(median share-cubic)" '>=' 0.3
	bar share_beside_cubic_at_most "$(median share-cubic)" '<=' 0.7
	bar share_beside_bbr "$(median share-bbr)" '>=' 0.3
	bar share_beside_bbr_at_most "$(median share-bbr)" '<=' 0.7
}

set_up
offloads a to_b b to_a
measure
bars
