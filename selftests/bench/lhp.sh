#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The Last Hop Protocol on Ethernet by itself, beside TCP of the same pair of devices by turns: MTU 1500, TSO, GSO
# and GRO off.
#
#   a to_b ====== b to_a       speed   the pair as it is
#                              loss    5 % of frames each way are lost (bpf at ingress)
#                              share   RATE (tbf, 20 ms of queue), one flow of each at the same time
#   a far_b == m == far_a b    middle  the same, with the queue in m, which takes frames in and sends them again
#
# TCP keeps little in the queue of its own device, and as much as it may in one on the way: so there are two. A bridge
# in m would not do: what waits behind a veth still counts as its sender's.
#
# TCP is measured with CUBIC, which is the LHP's own, and with BBR, which is the default of some kernels and takes no
# loss for congestion.
. "${0%/*}/lib/bench.sh"

ADDRESS_A=192.0.2.1 ADDRESS_B=192.0.2.2 FAR_A=198.51.100.1 FAR_B=198.51.100.2 PORT=7000
MAC_B=02:00:00:00:00:0b MAC_FAR=02:00:00:00:00:0f
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
	middle_up
}

listens_twice() { [ "$(in_ns b grep -c 88b5 /proc/net/packet)" = 2 ]; }

middle_up() {
	net_ns m
	net_link a far_b $FAR_A/24 m left -
	net_link b far_a $FAR_B/24 m right -
	ip -n "$NET-b" link set far_a address $MAC_FAR
	for end in a:far_b b:far_a m:left m:right; do
		in_ns "${end%:*}" ethtool -K "${end#*:}" tx off tso off gso off gro off >/dev/null
		in_ns "${end%:*}" ip link set dev "${end#*:}" promisc on
	done
	spawn m middle.log "${FIRST[@]}" "$BENCH_TOOLS/exported" delay left right 0
	in_ns m tc qdisc add dev right root tbf rate "$RATE" burst 64k latency 20ms
	spawn b far.log "${FIRST[@]}" "$BENCH_TOOLS/lhp_flow" listen ether:far_a
	wait_for 5 listens_twice
}

wire() { # SECTION, or nothing for a good one
	for end in a:to_b b:to_a; do
		in_ns "${end%:*}" tc filter del dev "${end#*:}" ingress
		[ -z "$1" ] || in_ns "${end%:*}" tc filter add dev "${end#*:}" ingress bpf direct-action \
			object-file "$WIRE" section "tc/$1"
	done
}

tcp_server() {
	spawn b "tcp-$1.json" taskset -c 1 "${FIRST[@]}" "$BENCH_TOOLS/flow" --listen --bind "$ADDRESS:$PORT" --role recv --timeout 60
	TCP_SERVER=$SPAWNED
	wait_for 5 listening b t $PORT
}

# Where flows go: to b directly, or by m.
directly() { ADDRESS=$ADDRESS_B DEVICE=to_b MAC=$MAC_B; }
by_m() { ADDRESS=$FAR_B DEVICE=far_b MAC=$MAC_FAR; }

# tcp NAME CONGESTION SECONDS: what the receiver tells is in tcp-NAME.json.
tcp() {
	# By route: in a namespace the sysctl takes only what the first one allows everybody.
	in_ns a ip route replace "$ADDRESS/32" dev $DEVICE congctl "$2"
	tcp_server "$1"
	in_ns a taskset -c 0 "${FIRST[@]}" "$BENCH_TOOLS/flow" --connect "$ADDRESS:$PORT" --role send --seconds "$3" >/dev/null
	wait "$TCP_SERVER"
}

lhp() { # NAME SECONDS
	in_ns a timeout 120 taskset -c 0 "${FIRST[@]}" "$BENCH_TOOLS/lhp_flow" send "ether:$DEVICE/$MAC" "$2" >"$TMP/lhp-$1.json"
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

share() { # cubic|bbr ROUND, WHAT is share or middle
	local both
	lhp "share" "$SHARE_SECONDS" &
	both=$!
	tcp share "$1" "$SHARE_SECONDS"
	wait "$both"
	sample "$WHAT-$1" "$2" "$(jq -s '.[0].mbit_s / (.[0].mbit_s + .[1].mbit_s)' "$TMP/lhp-share.json" "$TMP/tcp-share.json")" \
		"$(jq -cs . "$TMP/lhp-share.json" "$TMP/tcp-share.json")"
}

measure() {
	local round
	directly
	for ((round = 1; round <= ROUNDS; round++)); do
		tell "round $round of $ROUNDS"
		WHAT=speed
		in_turn "$round" alone lhp cubic bbr
		wire plain5
		WHAT=loss
		in_turn "$round" alone lhp cubic bbr
		wire ""
		in_ns a tc qdisc add dev to_b root tbf rate "$RATE" burst 64k latency 20ms
		WHAT=share
		in_turn "$round" share cubic bbr
		in_ns a tc qdisc del dev to_b root
		by_m
		WHAT=middle
		in_turn "$round" share cubic bbr
		directly
	done
}

bars() {
	local name other
	for name in speed loss; do
		tell "$name, Mbit/s: LHP $(median $name-lhp), TCP with CUBIC $(median $name-cubic), with BBR $(median $name-bbr)"
	done
	tell "LHP, CPU seconds for a GB: $(jq -c .cpu_s_per_gb "$TMP/lhp-speed.json") (sender, receiver)"
	for name in share middle; do
		tell "$name of the LHP beside TCP with CUBIC $(median $name-cubic), with BBR $(median $name-bbr)"
	done
	bar speed_gbit_s "$(calculate "$(median speed-lhp) / 1000")" '>=' 4
	bar loss_over_cubic "$(calculate "$(median loss-lhp) / $(median loss-cubic)")" '>=' 0.7
	bar loss_over_bbr "$(calculate "$(median loss-lhp) / $(median loss-bbr)")" '>=' 0.7
	for name in share middle; do
		for other in cubic bbr; do
			bar "${name}_beside_$other" "$(median "$name-$other")" '>=' 0.3
			bar "${name}_beside_${other}_at_most" "$(median "$name-$other")" '<=' 0.7
		done
	done
}

set_up
offloads a to_b b to_a
measure
bars
