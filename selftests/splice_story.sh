#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What a joined session carries, at each hook: both ends connect to relay, which has no agent.
#
#   host1 --- nat1 ---+            +--- nat2 --- host2        both: 192.168.1.10, fd00::10
#      connect() to   |            |   connect() to
#      relay:20000    +--- inet ---+   relay:20001
#                           |
#                         relay        splice on its one device
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/splice.sh"

tcp_story() { # MODE
	announce 1 20000 20001
	check "$1: bytes arrive whole, both ways, past a half-close" transfer "$1-tcp" 20000 20001
	equal "$1: nothing is different" "$(result "$1-tcp-1" .mismatches):$(result "$1-tcp-1" .received)" 0:100000
	equal "$1: the session has ended on both sides" "$(sessions_in time-wait)" 1

	announce 2 20002 20003
	meet "$1-reset" 20002 20003 "--role send --seconds 0.5 --rate 10 --reset" "--role recv" || true
	equal "$1: a reset reaches the other end" "$(result "$1-reset-2" .resets)" 1
	equal "$1: a reset is seen" "$(sessions_in reset)" 1

	announce 3 20004 20005
	check "$1: small messages go and return" meet "$1-ping" 20004 20005 \
		"--role ping --seconds 0 --count 200" "--role echo"
	equal "$1: every one was answered" "$(result "$1-ping-1" .rtt_us.count)" 200

	announce6 4 20006 20007
	MEET_FAMILY=6
	check "$1: IPv6 bytes arrive whole" transfer "$1-tcp6" 20006 20007
	MEET_FAMILY=4
}

# Source ports that are the other side's port at relay, and NATs that keep them: the ports already are what they shall be.
pure_story() { # MODE PORT
	local port=$2 other=$(($2 + 1))
	announce 5 "$port" "$other"
	check "$1: a pure splice carries bytes" meet "$1-pure" "$port" "$other" \
		"--bind 192.168.1.10:$other --role send --seconds 0 --bytes 1000000 --verify" \
		"--bind 192.168.1.10:$port --role recv --verify"
	equal "$1: it is pure" "$(in_ns relay isthmus splice list --instance "$INSTANCE" --json |
		jq '[.sessions[] | select(.mode == "pure")] | length')" 1
}

udp_story() { # MODE
	announce 6 20020 20021 udp
	check "$1: datagrams go and return" meet "$1-udp" 20020 20021 \
		"--udp --role ping --seconds 0 --count 100 --size 200" "--udp --role echo"
	equal "$1: every datagram was answered" "$(result "$1-udp-1" .lost)" 0
	announce 7 20022 20023 udp
	check "$1: datagrams longer than a link's packets" meet "$1-frag" 20022 20023 \
		"--udp --role ping --seconds 0 --count 20 --size 5000" "--udp --role echo"
	equal "$1: every long datagram was answered" "$(result "$1-frag-1" .lost)" 0
}

net_homes
port=20010 # TIME-WAIT keeps a pair of ports from the next mode
for mode in tc xdp xdp-generic; do
	check "$mode: attaches" splice_attach "$mode"
	tcp_story "$mode"
	pure_story "$mode" $((port += 100))
	udp_story "$mode"
	at_least "$mode: packets were forwarded in the kernel" "$(stat_of FORWARDED)" 1000
	equal "$mode: nothing was malformed" "$(stat_of MALFORMED)" 0
	check "$mode: detaches" splice_detach
	refuse "$mode: nothing is left pinned" test -e "$PINS/$INSTANCE"
done
