#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Handshakes that go wrong, and who is not let in.
#
#   host1 --- nat1 ---+            +--- nat2 --- host2
#             drops   |            |    drops
#             some    +--- inet ---+    some
#                           |
#   host1  SYN ------>   relay   <------ SYN  host2
#          <--- SYNACK   made of each other's SYN   SYNACK --->
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/splice.sh"

ONE_SYN=80 # bytes: a SYN or SYNACK of Linux is 60, so one is lost and the next is not

# lost_story NAME PORT NS DEV FLAGS: the first packet with FLAGS that comes to NS by DEV is lost.
lost_story() {
	lose "$3" "$4" "$5" "$ONE_SYN"
	announce "$2" "$2" $(($2 + 1))
	check "$1: the session comes up and carries bytes" transfer "lost-$2" "$2" $(($2 + 1))
	equal "$1: one was lost" "$(lost "$3")" 1
}

lost_stories() { # MODE
	local again
	again=$(stat_of SYN_AGAIN)
	announce 20100 20100 20101
	check "$1, nothing lost: the session carries bytes" transfer control 20100 20101
	equal "$1, nothing lost: no SYN was repeated" "$(stat_of SYN_AGAIN)" "$again"
	count host2 lan "tcp flags & (syn | ack) == syn"
	lost_story "$1, SYNACK to the subscriber" 20102 nat1 wan "syn | ack"
	lost_story "$1, SYNACK to the provider" 20104 nat2 wan "syn | ack"
	at_least "$1: repeated SYNs were answered from the stored ones" "$(stat_of SYN_AGAIN)" $((again + 2))
	lost_story "$1, SYN of the subscriber" 20106 nat1 lan syn
	lost_story "$1, SYN of the provider" 20108 nat2 lan syn
	lose nat1 wan "syn | ack" "$ONE_SYN"
	lost_story "$1, SYNACKs to both" 20110 nat2 wan "syn | ack"
	equal "$1, SYNACKs to both: the other one was lost too" "$(lost nat1)" 1
	equal "$1: no SYN was forwarded, repeated or not" "$(counted host2)" 0
}

# One side comes 1.5 s after the other, whose SYN is repeated meanwhile.
late_story() { # MODE
	announce 1 20120 20121
	spawn host1 late-1.json "$FLOW" --connect "$RELAY4:20120" --role send --seconds 0 --bytes 100000 --verify
	sleep 1.5
	check "$1: a provider that comes late is served" in_ns host2 "$FLOW" --connect "$RELAY4:20121" \
		--role recv --verify
}

# All 100 pairs connect within milliseconds: both orders, and both at once, on both CPUs.
together_story() { # MODE
	local i
	for ((i = 0; i < 100; i++)); do
		echo "$((1000 + i)) tcp 30 $RELAY4 $((21000 + i)) $NAT1_4 $RELAY4 $((22000 + i)) $NAT2_4"
	done | "$SELFTESTS/lib/announce.py" "$INSTANCE"
	check "$1: 100 pairs that connect at once are joined" meet together 21000 22000 \
		"--streams 100 --port-step 1 --role send --seconds 0 --bytes 20000 --verify" \
		"--streams 100 --port-step 1 --role recv --verify"
	equal "$1: each of them" "$(result together-2 .finished)" 100
}

# try NS PORT: connects for 0.8 s (no SYN is repeated); fails if nobody answers.
try() { in_ns "$1" "$FLOW" --connect "$RELAY4:$2" --role ping --seconds 0 --count 1 --timeout 0.8; }

# nobody NAME REASON NS PORT: a SYN to PORT gets no packet back and is counted under REASON.
nobody() {
	local before
	before=$(stat_of "$2")
	count inet relay "tcp sport $4"
	refuse "$1: is not connected" try "$3" "$4"
	equal "$1: gets no packet" "$(counted inet)" 0
	at_least "$1: is counted as $2" "$(stat_of "$2")" $((before + 1))
}

refused_stories() { # MODE
	nobody "$1: who was not announced" UNANNOUNCED host1 20200
	announce 1 20202 20203 tcp 30 "$NAT1_4" 198.51.100.77
	nobody "$1: who has another address than the probe" WRONG_SOURCE host2 20203
	announce 2 20204 20205 tcp 30 -
	nobody "$1: who has not probed" UNANNOUNCED host1 20204
	announce 3 20206 20207 tcp 0
	nobody "$1: who comes after the rendezvous" EXPIRED host1 20206
	announce 4 20208 20209
	nobody "$1: who is alone" SYN_HELD host1 20208
	announce 5 20210 20211
	count inet relay "tcp sport 20210"
	check "$1: a genuine pair is served" transfer genuine 20210 20211
	at_least "$1: and does get packets" "$(counted inet)" 10
}

# A neighbour behind the same NAT has the announced address: the first to come has the side.
neighbour_story() { # MODE
	local before
	before=$(stat_of SIDE_TAKEN)
	announce 6 20220 20221
	spawn host1 first-1.json "$FLOW" --connect "$RELAY4:20220" --role send --seconds 0 --bytes 100000 --verify
	sleep 0.3
	refuse "$1: a neighbour that comes second is not connected" try third 20220
	at_least "$1: it is counted as SIDE_TAKEN" "$(stat_of SIDE_TAKEN)" $((before + 1))
	check "$1: the first one's session goes on" in_ns host2 "$FLOW" --connect "$RELAY4:20221" \
		--role recv --verify
}

# half-open time 1 s: a SYN whose sender has gone is forgotten, the rendezvous is not.
stale_story() { # MODE
	announce 7 20230 20231
	refuse "$1: a subscriber comes and goes" timeout 0.3 nsenter --net="/run/netns/$NET-host1" \
		"$FLOW" --connect "$RELAY4:20230"
	sleep 1.5
	spawn host2 stale-2.json "$FLOW" --connect "$RELAY4:20231" --role recv --verify
	sleep 0.3
	equal "$1: its old SYN is not joined" "$(in_ns relay isthmus splice list --instance "$INSTANCE" --json |
		jq '[.sessions[] | select(.subscriber_at.port == 20230)] | length')" 0
	check "$1: it comes again and is served" in_ns host1 "$FLOW" --connect "$RELAY4:20230" \
		--role send --seconds 0 --bytes 100000 --verify
}

net_homes
net_neighbour third 1
for mode in tc xdp; do
	check "$mode: attaches" splice_attach "$mode"
	lost_stories "$mode"
	late_story "$mode"
	together_story "$mode"
	refused_stories "$mode"
	neighbour_story "$mode"
	check "$mode: the half-open time is changed in place" splice_attach "$mode" --replace --half-open 1
	stale_story "$mode"
	splice_detach
done
