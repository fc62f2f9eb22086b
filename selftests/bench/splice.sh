#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The bars of splice. Every relay has a row of three namespaces to itself (lib/bench.sh), all stand at the same
# time, and a round measures each once; the order turns round after each.
#
#   drop      XDP drops at the relay: the generator alone      \  one UDP flow of 64-byte packets,
#   bare      XDP swaps the MACs and redirects                  | generator on CPU 0; the kernel does the
#   one       splice, native XDP, one session                   | whole way to the sink on that CPU
#   million   the same with 1,000,000 sessions, a random one    |
#   nat       nftables DNAT and masquerade, sink at XDP         |
#   nat-tc    the same, sink at tc                              |
#   forward   kernel forwarding, as a mark                     /
#   plain     kernel forwarding  \  TCP (Reno) between sockets, offloads as veth has them (GSO on): sender on
#   tc        splice in tc       /  CPU 0, receiver on CPU 1; ping-pong of 64 bytes, both on CPU 0
#   wire      kernel forwarding  \  the same, tx off and gro on as XDP needs it: round trips only
#   xdp       splice, native XDP /
#
# Beside them stand the demo's homes with real agents, for new sessions a second (lib/splice_sessions.sh).
. "${0%/*}/lib/bench.sh"
. "${0%/*}/lib/splice_sessions.sh"

MILLION=1000000
PORTS=10000-59999 # as lib/sessions.h
SESSION=0 # of announced pairs

splice_instance() { echo "$INSTANCE-$1"; }

story_end() {
	local name
	for name in one million tc xdp yard; do net_remove_pins "$(splice_instance $name)"; done
}

# splice_relay NAME MODE ADDRESSES: splice on both devices of a relay, so many addresses on each side.
splice_relay() {
	local i addresses=()
	in_ns "$1-r" sysctl -qw net.ipv4.ip_local_port_range="60000 65535"
	for ((i = 1; i <= $3; i++)); do addresses+=(--address "10.1.0.$i" --address "10.2.0.$i"); done
	in_ns "$1-r" isthmus splice attach --instance "$(splice_instance "$1")" --dev left --dev right \
		--mode "$2" --ports "$PORTS" "${addresses[@]}" >"$TMP/attach-$1.log" 2>&1
}

splice_sessions() { # NAME N
	in_ns "$1-r" "$BENCH_TOOLS/fill" "$(splice_instance "$1")" "$2" \
		left "$(mac "$1-g" gen)" right "$(mac "$1-s" sink)"
}

nat_relay() { # NAME: the one flow's DNAT, both ways' addresses
	in_ns "$1-r" nft -f - <<-NFT
		table ip relay {
			chain pre {
				type nat hook prerouting priority dstnat
				iifname "left" udp dport 10000 dnat to 10.144.0.2:1024
			}
			chain post {
				type nat hook postrouting priority srcnat
				oifname "right" masquerade
			}
		}
	NFT
}

set_up() {
	local name
	for name in drop bare one million nat nat-tc forward wire xdp; do
		relay_trio "$name"
		relay_xdp "$name"
	done
	relay_trio plain
	relay_trio tc
	# BBR, some machines' preset, paces by what it guesses; Reno is as fast as the path and always there.
	for name in plain-g plain-s tc-g tc-s; do
		in_ns "$name" sysctl -qw net.ipv4.tcp_congestion_control=reno
	done
	nat_relay nat
	nat_relay nat-tc
	splice_relay one xdp 1
	splice_sessions one 1
	splice_relay million xdp $((MILLION / 50000))
	splice_sessions million $MILLION
	splice_relay tc tc 1
	splice_relay xdp xdp 1
	sessions_set_up
	check_ways
	yardstick drop-r left sink sink_xdp
	yardstick bare-r left redirect redirect right
	for name in bare one million nat; do yardstick "$name-s" sink sink sink_xdp; done
	for name in nat-tc forward; do yardstick "$name-s" sink sink sink_tc; done
}

# Before anything is counted, real sockets talk through what will be measured: a relay that is fast because it
# breaks packets shows here. It also makes the NATs' flow an answered one, as it is in use.
check_ways() {
	local name
	for name in one million; do
		udp_talk "$name" "--connect 10.2.0.1:10000 --bind 10.144.0.2:1024"
	done
	for name in nat nat-tc; do
		udp_talk "$name" "--listen --bind 10.144.0.2:1024"
	done
}

udp_talk() { # NAME FAR_END
	# shellcheck disable=SC2086
	spawn "$1-s" "talk-$1.json" "$BENCH_TOOLS/flow" --udp --role echo --seconds 0 $2
	in_ns "$1-g" "$BENCH_TOOLS/flow" --udp --role ping --seconds 0 --count 20 --timeout 5 \
		--connect 10.1.0.1:10000 --bind 10.128.0.2:1024 >"$TMP/talk-$1-ping.json"
	wait "$SPAWNED"
}

# ---- packets a second

generate_what() { # NAME
	case $1 in
	million) echo $MILLION ;;
	forward) echo forward ;;
	*) echo 1 ;;
	esac
}

generate_end() { if [ "$1" = drop ]; then echo "drop-r left"; else echo "$1-s sink"; fi; } # NAME

# own_cost NAME: the median, over the rounds, of a packet's time less that of the same round into a drop.
own_cost() {
	jq -s --arg name "cost-$1" '(map(select(.name == "cost-drop") | {key: (.round | tostring), value}) | from_entries) as $drop |
		[.[] | select(.name == $name) | .value - $drop[.round | tostring]] | sort | .[length / 2 | floor]' \
		"$BENCH_OUT/$STORY.samples"
}

# ---- sockets

far_ends() { # NAME: what the sink's and the generator's flow are told, for one connection
	case $1 in
	plain | wire) echo "--listen --bind 10.2.0.2:7000|--connect 10.2.0.2:7000" ;;
	*)
		local port=$((10000 + SESSION))
		echo "$SESSION tcp 60 10.1.0.1 $port 10.1.0.2 10.2.0.1 $port 10.2.0.2" |
			"$SELFTESTS/lib/announce.py" "$(splice_instance "$1")"
		echo "--connect 10.2.0.1:$port|--connect 10.1.0.1:$port"
		;;
	esac
}

# socket_run NAME ROLE OTHER_ROLE OTHER_CPU SECONDS [WORD...]: words go before the commands. The generator's
# line of JSON is $TMP/near.json, the sink's far.json.
socket_run() {
	local ends words=("${@:6}")
	SESSION=$((SESSION + 1))
	ends=$(far_ends "$1")
	# shellcheck disable=SC2086
	spawn "$1-s" far.json ${words[@]+"${words[@]}"} taskset -c "$4" "$BENCH_TOOLS/flow" --role "$3" \
		--seconds "$5" ${ends%|*}
	# shellcheck disable=SC2086
	in_ns "$1-g" ${words[@]+"${words[@]}"} taskset -c 0 "$BENCH_TOOLS/flow" --role "$2" \
		--seconds "$5" ${ends#*|} >"$TMP/near.json"
	wait "$SPAWNED"
}

bulk_sample() { # NAME ROUND
	socket_run "$1" send recv 1 "${SECONDS_BULK:-1.5}" "${FIRST[@]}"
	sample "bulk-$1" "$2" "$(jq .mbit_s "$TMP/far.json")" "$(cat "$TMP/far.json")"
}

ping_sample() { # NAME ROUND
	socket_run "$1" ping echo 0 "${SECONDS_PING:-0.6}"
	sample "ping-$1" "$2" "$(jq .rtt_us.p50 "$TMP/near.json")" "$(cat "$TMP/near.json")"
}

# ---- what the relay's own sockets could see

# shellcheck disable=SC2016
# IPv4 packets that the relay's stack got to deliver: nothing in user space sees another one.
delivered() { in_ns "$1-r" awk '/^Ip: [0-9]/ { print $10 }' /proc/net/snmp; } # NAME

spliced() { # NAME: packets that splice forwarded
	in_ns "$1-r" isthmus splice stats --instance "$(splice_instance "$1")" --json |
		jq '.reasons[] | select(.reason == "FORWARDED") | .packets'
}

# The zero beside its controls: the counter counts three pings, and packets did go through.
userspace_packets() {
	local name before sum=0 control
	for name in one tc xdp; do
		sum=$((sum + $(delivered $name) - DELIVERED[$name]))
		control=$(spliced $name)
		if ! [ "$control" -gt 10000 ]; then
			echo "$STORY: only '$control' packets were spliced by $name: its zero says nothing" >&2
			return 1
		fi
		before=$(delivered $name)
		in_ns "$name-g" ping -qc3 -i0.01 -W1 10.1.0.1 >/dev/null
		control=$(($(delivered $name) - before))
		if [ "$control" != 3 ]; then
			echo "$STORY: 3 pings to $name were counted as $control: its zero says nothing" >&2
			return 1
		fi
	done
	echo "$sum"
}

# ---- the measurement

measure() {
	local round name
	declare -gA DELIVERED
	for name in one tc xdp; do DELIVERED[$name]=$(delivered $name); done
	# A relay's own cost is a small difference of two large times: many turns.
	tell "a packet's time"
	generate $((ROUNDS * 30)) 32768 cost drop bare one
	generate "$ROUNDS" $MILLION packet one million nat nat-tc forward
	for ((round = 1; round <= ROUNDS; round++)); do
		tell "round $round of $ROUNDS"
		in_turn "$round" bulk_sample plain tc
		in_turn "$round" ping_sample plain tc wire xdp
		sessions_sample "$round"
	done
	if [ "$(sessions_joined)" -lt $((ROUNDS * CONNECTIONS)) ]; then
		echo "$STORY: $(sessions_joined) sessions were joined for $((ROUNDS * CONNECTIONS)) connections" >&2
		return 1
	fi
}

bars() {
	local drop bare own one million nat nat_tc seen
	drop=$(median cost-drop) bare=$(own_cost bare) own=$(own_cost one)
	one=$(median packet-one) million=$(median packet-million)
	nat=$(median packet-nat) nat_tc=$(median packet-nat-tc)
	seen=$(userspace_packets)
	tell "ns a packet: into a drop $drop; beyond it bare redirect $bare, splice $own"
	tell "ns a packet: splice $one, a million $million, NAT $nat, NAT and sink at tc $nat_tc, forwarding $(median packet-forward)"
	tell "TCP Mbit/s: forwarding $(median bulk-plain) tc $(median bulk-tc)"
	tell "RTT us: forwarding $(median ping-plain) tc $(median ping-tc); wire-sized $(median ping-wire) xdp $(median ping-xdp)"
	# Where a sink is cheaper for NAT's socket buffers, NAT gets it.
	bar udp64_over_nat "$(calculate "([$nat, $nat_tc] | min) / $one")" '>=' 2.5
	# A difference below nothing is noise, and no result.
	bar relay_cost_over_redirect "$(calculate "if $bare > 0 and $own > 0 then $own / $bare else null end")" '<=' 1.3
	bar tcp_bulk_over_forward "$(calculate "$(median bulk-tc) / $(median bulk-plain)")" '>=' 0.95
	bar table_million "$(calculate "$one / $million")" '>=' 0.5
	bar sessions_per_second "$(median sessions)" '>=' 500
	# The worse one of both hooks.
	bar rtt_over_forward "$(calculate "[$(median ping-tc) / $(median ping-plain),
		$(median ping-xdp) / $(median ping-wire)] | max")" '<=' 1.1
	bar userspace_packets "$seen" = 0
}

set_up
offloads plain-g gen plain-r left tc-g gen tc-r left tc-r right one-g gen one-r left one-r right one-s sink
measure
bars
