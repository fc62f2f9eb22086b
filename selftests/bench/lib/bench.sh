# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What every stem's bench needs: relays to measure, samples, medians, bars.
#
#	. "${0%/*}/lib/bench.sh"
#
# Samples, bars and offload settings are lines of JSON in $BENCH_OUT, a directory that bench/run gives.

# shellcheck source=selftests/lib/net.sh
. "${BASH_SOURCE[0]%/*}/../../lib/net.sh"

BENCH_LIB=$SELFTESTS/bench/lib
BENCH_TOOLS=$B/selftests/bench
: "${BENCH_OUT:=$TMP}" "${ROUNDS:=9}"
: >"$BENCH_OUT/$STORY.samples"
: >"$BENCH_OUT/$STORY.bars"
: >"$BENCH_OUT/$STORY.offloads"

# Before a busy process: it goes first, so what else the machine does hardly counts (autogroups defeat nice).
# Not for one that waits often: its packets may be left to a kernel thread, which then has to wait too.
FIRST=(chrt -f 1)
"${FIRST[@]}" true 2>/dev/null || FIRST=(env)

tell() { echo "$STORY: $*"; }

# ---- numbers

# sample NAME ROUND VALUE [JSON]: JSON is the tool's own line, kept with it.
sample() {
	jq -cn --arg bench "$STORY" --arg name "$1" --argjson round "$2" --argjson value "$3" \
		--argjson raw "${4:-null}" '{bench: $bench, name: $name, round: $round, value: $value, raw: $raw}' \
		>>"$BENCH_OUT/$STORY.samples"
}

# median NAME: of its samples.
median() {
	jq -s --arg name "$1" '[.[] | select(.name == $name) | .value] | sort |
		if length == 0 then error("no sample of " + $name)
		elif length % 2 == 1 then .[length / 2 | floor]
		else (.[length / 2 - 1] + .[length / 2]) / 2 end' "$BENCH_OUT/$STORY.samples"
}

calculate() { jq -n "$1"; } # EXPRESSION of numbers

# bar NAME VALUE OP LIMIT: OP is >=, <= or =; VALUE null = it could not be told, which is short. bench/run prints it.
bar() {
	local name=$STORY.$1
	jq -cn --arg name "$name" --arg op "$3" --argjson limit "$4" --argjson value "$2" \
		'(if $value == null then false elif $op == ">=" then $value >= $limit elif $op == "<=" then $value <= $limit else $value == $limit end) as $ok |
		{name: $name, value: (($value // -1) * 1000 | round / 1000), exact: $value, op: $op, limit: $limit,
		verdict: (if $ok then "ok" else "short" end)}' >>"$BENCH_OUT/$STORY.bars"
}

# in_turn ROUND FUNCTION NAME...: odd rounds forward, even ones backward.
in_turn() {
	local round=$1 function=$2 names=("${@:3}") i
	for ((i = 0; i < ${#names[@]}; i++)); do
		if ((round % 2)); then
			"$function" "${names[i]}" "$round"
		else
			"$function" "${names[-1 - i]}" "$round"
		fi
	done
}

# offloads NS DEV...: keeps their settings.
offloads() {
	while [ $# -ge 2 ]; do
		in_ns "$1" ethtool --json -k "$2" | jq -c --arg bench "$STORY" --arg ns "$1" '.[0] |
			{bench: $bench, ns: $ns, dev: .ifname, on: [to_entries[] | select(.value.active? == true) | .key]}' \
			>>"$BENCH_OUT/$STORY.offloads"
		shift 2
	done
}

# ---- relays

# relay_trio NAME: a generator, a relay and a sink in a row; every address of lib/sessions.h lives at the ends.
#
#   NAME-g gen ─── left NAME-r right ─── sink NAME-s
#   10.1.0.2    10.1.0.1      10.2.0.1     10.2.0.2
#   10.128.0.0/12                           10.144.0.0/12
relay_trio() {
	local name=$1
	net_ns "$name-g" "$name-r" "$name-s"
	net_link "$name-g" gen 10.1.0.2/24,10.128.0.2/32 "$name-r" left 10.1.0.1/24
	net_link "$name-r" right 10.2.0.1/24 "$name-s" sink 10.2.0.2/24,10.144.0.2/32
	in_ns "$name-g" ip route add default via 10.1.0.1 src 10.128.0.2
	in_ns "$name-s" ip route add default via 10.2.0.1 src 10.144.0.2
	in_ns "$name-r" ip route add 10.128.0.0/12 via 10.1.0.2
	in_ns "$name-r" ip route add 10.144.0.0/12 via 10.2.0.2
	net_forward "$name-r"
	relay_neighbour "$name" g gen 10.1.0.1 r left
	relay_neighbour "$name" r left 10.1.0.2 g gen
	relay_neighbour "$name" r right 10.2.0.2 s sink
	relay_neighbour "$name" s sink 10.2.0.1 r right
}

# No address resolution in the middle of a measurement.
relay_neighbour() { # NAME END DEV ADDRESS OTHER_END OTHER_DEV
	in_ns "$1-$2" ip neigh replace "$4" lladdr "$(mac "$1-$5" "$6")" dev "$3" nud permanent
}

mac() { in_ns "$1" ip -j link show dev "$2" | jq -r '.[0].address'; } # NS DEV

# relay_xdp NAME: all four devices as native XDP wants them.
relay_xdp() {
	net_xdp_ready "$1-g" gen
	net_xdp_ready "$1-r" left
	net_xdp_ready "$1-r" right
	net_xdp_ready "$1-s" sink
}

# yardstick NS DEV OBJECT PROGRAM [TARGET]: its maps are pinned at $INSTANCE-yard/NS-DEV; story_end() of the stem's
# script removes them.
yardstick() {
	mkdir -p "$PINS/$INSTANCE-yard"
	in_ns "$1" "$BENCH_TOOLS/attach" "$2" "$BENCH_TOOLS/$3.bpf.o" "$4" "$PINS/$INSTANCE-yard/$1-$2" ${5:+"$5"}
}

# generate ROUNDS PACKETS PREFIX NAME...: sends through the relays by turns; a turn's nanoseconds for a packet are
# a sample of PREFIX-NAME. FRAME_BYTES is a frame's size (64). A stem tells by generate_what NAME what gen is to send, by generate_end NAME where
# its packets end, as "NS DEV".
generate() {
	local rounds=$1 packets=$2 prefix=$3 name end relays=()
	shift 3
	for name; do
		end=$(generate_end "$name")
		relays+=(--relay "$prefix-$name,/run/netns/$NET-$name-g,gen,$(mac "$name-r" left),$PINS/$INSTANCE-yard/${end/ /-}/sink_count,$(generate_what "$name")")
	done
	"${FIRST[@]}" "$BENCH_TOOLS/gen" --object "$BENCH_TOOLS/gen.bpf.o" --rounds "$rounds" --packets "$packets" \
		--size "${FRAME_BYTES:-64}" "${relays[@]}" >"$TMP/gen.json"
	jq -c --arg bench "$STORY" '.relays[] | . as $relay | .ns | to_entries[] |
		{bench: $bench, name: $relay.name, round: (.key + 1), value: .value, raw: null}' "$TMP/gen.json" \
		>>"$BENCH_OUT/$STORY.samples"
	jq -r '.relays[] | select(.counted < .sent) | "\(.name): \(.sent - .counted) of \(.sent) packets were lost"' \
		"$TMP/gen.json" | while read -r name; do tell "$name"; done
}
