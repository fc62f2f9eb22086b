#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Many at once, full tables, and garbage: those who are served stay served.
#
#   host1 --- nat1 ---+            +--- nat2 --- host2
#   1,000 flows       |            |             1,000 flows
#                     +--- inet ---+
#   stranger -------------'  |
#   (garbage, no NAT)      relay
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/splice.sh"

# announce_many FIRST COUNT: sessions FIRST.., ports FIRST.. for host1 and FIRST+COUNT.. for host2.
announce_many() {
	local i
	for ((i = 0; i < $2; i++)); do
		echo "$(($1 + i)) tcp 60 $RELAY4 $(($1 + i)) $NAT1_4 $RELAY4 $(($1 + $2 + i)) $NAT2_4"
	done | "$SELFTESTS/lib/announce.py" "$INSTANCE"
}

thousand_story() { # MODE
	check "$1: 1,000 pairs are announced" announce_many 20000 1000
	check "$1: 1,000 connections at once carry their bytes" meet thousand 20000 21000 \
		"--streams 1000 --port-step 1 --role send --seconds 0 --bytes 50000 --verify --timeout $((30 * SLOW))" \
		"--streams 1000 --port-step 1 --role recv --verify --timeout $((30 * SLOW))"
	equal "$1: none is lost" "$(result thousand-2 '"\(.finished) \(.received) \(.mismatches)"')" \
		"1000 50000000 0"
	equal "$1: the table has them all" "$(in_ns relay isthmus splice list --instance "$INSTANCE" --json |
		jq '.sessions | length')" 1000
}

# Room for 8 pairs: they go on while others cannot be announced.
full_story() { # MODE
	local live
	announce_many 23000 8
	spawn host2 full-2.json "$FLOW" --connect "$RELAY4:23008" --streams 8 --port-step 1 --role recv --verify
	live=$SPAWNED
	spawn host1 full-1.json "$FLOW" --connect "$RELAY4:23000" --streams 8 --port-step 1 --role send \
		--seconds $((3 * SLOW)) --rate 200 --size 1000 --verify
	wait_for 5 full_is_live
	refuse "$1, full: the ninth pair cannot be announced" announce_many 24000 1
	refuse "$1, full: and is not joined" meet more 24000 24001 \
		"--role send --seconds 0 --bytes 1000 --timeout 2" "--role recv --timeout 2"
	check "$1, full: the live ones end well" wait "$live"
	equal "$1, full: every one, every byte" "$(result full-2 '"\(.finished) \(.mismatches)"')" "8 0"
	at_least "$1, full: they did move bytes" "$(result full-2 .received)" 1000000
}

full_is_live() { [ "$(sessions_in established)" = 8 ]; }

# Garbage at every port from a host without NAT, and from the NAT's own address, while a transfer runs.
garbage_story() { # MODE
	local sent unanswered
	announce 25000 25000 25001
	spawn host2 garbage-2.json "$FLOW" --connect "$RELAY4:25001" --role recv --verify
	local receiver=$SPAWNED
	spawn host1 garbage-1.json "$FLOW" --connect "$RELAY4:25000" --role send --seconds $((4 * SLOW)) --rate 500 \
		--size 10000 --verify
	count stranger lan "meta l4proto { tcp, udp }"
	sent=$(in_ns stranger "$SELFTESTS/lib/garbage.py" 203.0.114.10 "$RELAY4" 20000-29999 20000 1)
	at_least "$1: garbage was sent" "$sent" 10000
	unanswered=$(counted stranger)
	equal "$1: no TCP or UDP packet answers it" "$unanswered" 0
	in_ns nat1 "$SELFTESTS/lib/garbage.py" "$NAT1_4" "$RELAY4" 24990-25010 20000 2 >"$TMP/garbage.log"
	check "$1: a transfer through it arrives" wait "$receiver"
	equal "$1: not a byte is different" "$(result garbage-2 .mismatches)" 0
	at_least "$1: strangers' packets are counted" \
		$(($(stat_of UNANNOUNCED) + $(stat_of NO_SESSION) + $(stat_of MALFORMED))) 3000
	announce 25002 25002 25003
	check "$1: a new pair is served afterwards" transfer after 25002 25003
}

net_homes
net_ns stranger
net_link stranger lan 203.0.114.10/24 inet stranger 203.0.114.1/24
net_route stranger default 203.0.114.1
for mode in tc xdp; do
	check "$mode: attaches" splice_attach "$mode"
	thousand_story "$mode"
	garbage_story "$mode"
	splice_detach
	check "$mode: attaches with room for 8 pairs" splice_attach "$mode" --rendezvous 8
	full_story "$mode"
	splice_detach
done
