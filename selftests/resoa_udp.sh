#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Datagrams: a program's output on the server itself, and among a client's sockets, must be the same.
#
#   client c1 ── LHP ── server: isthmus-resoad, eth0 ─── eth0 peer: echoes, TTL, groups
#     resoa_udp.py cases   resoa_udp.py cases
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/resoa.sh"

PROGRAM=$SELFTESTS/lib/resoa_udp.py

peer_start() { # FAMILY
	spawn peer "peer$1.log" python3 "$PROGRAM" peer "$1" 300
	wait_for 60 log_has "peer$1.log" serving
}

# Nobody answers for it, and nobody has a route to it.
routes() {
	in_ns server ip route add unreachable 10.9.9.0/24
	in_ns server ip -6 route add unreachable 2001:db8:77::/48
	in_ns peer ip route add 224.0.0.0/4 dev eth0
	in_ns peer ip route add 255.255.255.255 dev eth0
	in_ns peer ip route add 203.0.113.0/24 dev eth0
	in_ns peer ip -6 route add 2001:db8:99::/48 dev eth0
	in_ns peer sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
		net.ipv4.icmp_echo_ignore_broadcasts=0 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
}

cases() { # FAMILY ADDRESS
	local name
	in_ns server python3 "$PROGRAM" cases "$1" "$2" 192.0.2.255 >"$TMP/own$1"
	resoa_in c1 python3 "$PROGRAM" cases "$1" "$2" 192.0.2.255 >"$TMP/exported$1"
	while read -r name _; do
		check "IPv$1: $name" diff <(grep "^$name " "$TMP/own$1") <(grep "^$name " "$TMP/exported$1")
	done < <(cut -d' ' -f1 "$TMP/own$1" | grep . | sort -u)
}

flood() { # FAMILY ADDRESS BYTES
	equal "IPv$1: 2,000 datagrams of $3 bytes, 1,000/s, both ways" "2000 0" \
		"$(resoa_in c1 python3 "$PROGRAM" flood "$1" "$2" 2000 "$3")"
}

resoa_up
routes
peer_start 4
peer_start 6
resoa_client c1
cases 4 "$PEER4"
cases 6 "$PEER6"
flood 4 "$PEER4" 100
flood 6 "$PEER6" 1200
