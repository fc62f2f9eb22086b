#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The bars of portarp's gateway. Every relay has a row of three namespaces to itself (lib/bench.sh), all stand at
# the same time, and a round measures each once; the order turns round after each. One UDP flow, or a random
# sharer for each packet; the kernel does the whole way to the sink on the generator's CPU.
#
#   bare      XDP swaps the MACs and redirects
#   one       portarp, native XDP, one sharer known
#   million   the same with 1,000,000 sharers of 3,907 addresses, a random one
#   nat       nftables sends a range of ports to a host, sink at XDP
#   nat-tc    the same, sink at tc
#
# A sample is a million packets: a shorter one would not come to most of a million sharers, and so measure how a
# table is first read into the cache.
. "${0%/*}/lib/bench.sh"

MILLION=1000000
SIZES="64 550"

portarp_instance() { echo "$INSTANCE-$1"; }

story_end() {
	local name
	for name in one million yard; do net_remove_pins "$(portarp_instance $name)"; done
}

portarp_relay() { # NAME SHARERS
	in_ns "$1-r" isthmus portarp attach --instance "$(portarp_instance "$1")" --role gateway --uplink left \
		--lan right --mode xdp --owners "$2" >"$TMP/attach-$1.log" 2>&1
	in_ns "$1-r" "$BENCH_TOOLS/fill_portarp" "$(portarp_instance "$1")" "$2" right "$(mac "$1-s" sink)"
}

nat_relay() { # NAME: ports of the shared address are a host's
	in_ns "$1-r" nft -f - <<-NFT
		table ip relay {
			chain pre {
				type nat hook prerouting priority dstnat
				iifname "left" ip daddr 100.64.0.0 udp dport 1024-2047 dnat to 10.144.0.2
			}
			chain post {
				type nat hook postrouting priority srcnat
				oifname "left" masquerade
			}
		}
	NFT
}

generate_what() {
	case $1 in
	million) echo sharers:$MILLION ;;
	*) echo sharers:1 ;;
	esac
}

generate_end() { echo "$1-s sink"; }

set_up() {
	local name
	for name in bare one million nat nat-tc; do
		relay_trio "$name"
		relay_xdp "$name"
	done
	portarp_relay one 1
	portarp_relay million $MILLION
	nat_relay nat
	nat_relay nat-tc
	check_ways
	yardstick bare-r left redirect redirect right
	for name in bare one million nat; do yardstick "$name-s" sink sink sink_xdp; done
	yardstick nat-tc-s sink sink sink_tc
}

# Before anything is counted, real sockets talk through what will be measured: the generator's flow, answered.
check_ways() {
	local name
	for name in one million; do
		in_ns "$name-s" ip addr add 100.64.0.0/32 dev sink
		udp_talk "$name" 100.64.0.0
	done
	for name in nat nat-tc; do udp_talk "$name" 10.144.0.2; done
}

udp_talk() { # NAME ADDRESS_OF_THE_SINK
	spawn "$1-s" "talk-$1.json" "$BENCH_TOOLS/flow" --udp --role echo --seconds 0 --listen --bind "$2:1024"
	in_ns "$1-g" "$BENCH_TOOLS/flow" --udp --role ping --seconds 0 --count 20 --timeout 5 \
		--connect 100.64.0.0:1024 --bind 10.128.0.2:1024 >"$TMP/talk-$1-ping.json"
	wait "$SPAWNED"
}

measure() {
	for size in $SIZES; do
		tell "frames of $size bytes"
		FRAME_BYTES=$size generate "$ROUNDS" $MILLION "$size" bare one million nat nat-tc
	done
}

bars() {
	local size bare one million nat
	for size in $SIZES; do
		bare=$(median "$size-bare") one=$(median "$size-one") million=$(median "$size-million")
		nat=$(calculate "[$(median "$size-nat"), $(median "$size-nat-tc")] | min")
		tell "ns a packet of $size bytes: bare redirect $bare, portarp $one, a million $million, NAT $nat"
		bar "one_over_redirect_$size" "$(calculate "$bare / $one")" '>=' 0.85
		bar "million_over_redirect_$size" "$(calculate "$bare / $million")" '>=' 0.6
		bar "over_nat_$size" "$(calculate "$nat / $one")" '>=' 2.2
	done
}

set_up
offloads one-g gen one-r left one-r right one-s sink
measure
bars
