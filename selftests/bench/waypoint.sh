#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The bars of waypoint's sealing. Every relay has a row of three namespaces to itself (lib/bench.sh), all stand at
# the same time and are measured by turns. The generator is on CPU 0; the kernel does the whole way to the sink
# there.
#
#   drop      XDP drops at the relay: the generator alone  \  one UDP flow of 64-byte frames, and of inner
#   bare      XDP swaps the MACs and redirects              | packets of 1464 bytes under an outer MTU of 1600
#   sealed    waypoint, native XDP, one binding            /
#   million   the same with 1,000,000 bindings at one address, a random one of them; 64-byte frames
. "${0%/*}/lib/bench.sh"

MTU=1600
MILLION=1000000
SHORT=64 LONG=1478 # frames; 1464 bytes behind Ethernet

story_end() { net_remove_pins "$INSTANCE-yard"; }

generate_what() { if [ "$1" = million ]; then echo $MILLION; else echo 1; fi; } # NAME
generate_end() { if [ "$1" = drop ]; then echo "drop-r left"; else echo "$1-s sink"; fi; } # NAME

set_up() {
	local name
	for name in drop bare sealed million; do
		relay_trio "$name"
		relay_xdp "$name"
		in_ns "$name-r" ip link set right mtu $MTU
		in_ns "$name-s" ip link set sink mtu $MTU
	done
	waypoint_relay sealed 1
	waypoint_relay million $MILLION
	check_way
	one_address
	yardstick drop-r left sink sink_xdp
	yardstick bare-r left redirect redirect right
	for name in bare sealed million; do yardstick "$name-s" sink sink sink_xdp; done
}

# waypoint_relay NAME SESSIONS: BOUND[NAME] is how many the program has bound.
declare -A BOUND
waypoint_relay() {
	BOUND[$1]=$(in_ns "$1-r" "$BENCH_TOOLS/fill_waypoint" "$B/bpf/waypoint.bpf.o" left right \
		"$(mac "$1-r" right)" "$(mac "$1-s" sink)" $MTU "$2")
}

# $TMP/one: the tools, with a generator that sends to one address whatever the number of sessions.
one_address() {
	mkdir "$TMP/one"
	ln -s "$BENCH_TOOLS/gen" "$TMP/one/gen"
	ln -s "$BENCH_TOOLS/waypoint_gen.bpf.o" "$TMP/one/gen.bpf.o"
}

# Before anything is counted: what the sink gets of a datagram is a tunnel packet with Geneve and our option.
check_way() {
	local i
	spawn sealed-s seen timeout 20 tcpdump -c1 -nxi sink udp port 6081
	for ((i = 0; i < 15; i++)); do
		kill -0 "$SPAWNED" 2>/dev/null || break
		in_ns sealed-g "$BENCH_TOOLS/flow" --udp --role ping --seconds 0 --count 1 --timeout 1 \
			--connect 10.1.0.1:10000 --bind 10.128.0.2:1024 >/dev/null 2>&1 || true
	done
	wait "$SPAWNED"
	grep -q ' 0000 0100 ff49 8105' "$TMP/seen"
}

measure() {
	tell "frames of $SHORT bytes"
	generate $((ROUNDS * 30)) 32768 short drop bare sealed
	tell "frames of $LONG bytes"
	FRAME_BYTES=$LONG generate $((ROUNDS * 10)) 32768 long drop bare sealed
	tell "${BOUND[million]} bindings at one address"
	BENCH_TOOLS=$TMP/one generate "$ROUNDS" $MILLION table drop sealed million
}

# own_cost PREFIX NAME: the median, over the rounds, of a packet's time less that of the same round into a drop.
own_cost() {
	jq -s --arg drop "$1-drop" --arg name "$1-$2" \
		'(map(select(.name == $drop) | {key: (.round | tostring), value}) | from_entries) as $base |
		[.[] | select(.name == $name) | .value - $base[.round | tostring]] | sort | .[length / 2 | floor]' \
		"$BENCH_OUT/$STORY.samples"
}

bars() {
	local bare own long one million
	bare=$(own_cost short bare) own=$(own_cost short sealed) long=$(own_cost long sealed)
	tell "ns a frame of $SHORT bytes: into a drop $(median short-drop); beyond it bare redirect $bare, sealing $own"
	tell "ns a frame of $LONG bytes: into a drop $(median long-drop); beyond it bare redirect $(own_cost long bare), sealing $long"
	one=$(own_cost table sealed) million=$(own_cost table million)
	tell "ns a frame of $SHORT bytes beyond a drop: sealing with 1 binding $one, with ${BOUND[million]} $million"
	bar sessions "${BOUND[million]}" '>=' $MILLION
	# A difference below nothing is noise, and no result.
	bar seal64_over_redirect "$(calculate "if $bare > 0 and $own > 0 then $own / $bare else null end")" '<=' 3
	bar seal1464_gbit_s "$(calculate "if $long > 0 then 1464 * 8 / $long else null end")" '>=' 8
}

set_up
offloads sealed-g gen sealed-r left sealed-r right sealed-s sink
measure
bars
