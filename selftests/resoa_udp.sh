#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Datagrams: a program's output on the server itself, and among a client's sockets, must be the same.
#
#   client c1 ── LHP ── server: isthmus-resoad, eth0 ─── eth0 peer: echoes, TTL, groups ─── narrow0
#     resoa_udp.py cases   resoa_udp.py cases                       routes on             MTU 1300
#                          127.0.0.53 name server
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/resoa.sh"

PROGRAM=$SELFTESTS/lib/resoa_udp.py

# With a resolv.conf of its own.
# shellcheck disable=SC2120 # resoa_up gives options
resoa_server() { # [OPTION...]
	# shellcheck disable=SC2016 # the inner shell's
	spawn server resoad.log unshare -m sh -c 'mount --bind "$0" /etc/resolv.conf && exec isthmus-resoad "$@"' \
		"$TMP/resolv.conf" run --listen "$RESOA_LISTEN" --device eth0 --address4 "$SERVER4" --address6 "$SERVER6" \
		--clients "$TMP/resoad.clients" --control "$TMP/resoad.sock" "$@"
	RESOA_SERVER=$SPAWNED
	wait_for 60 log_has resoad.log 'serving|listen'
}

peer_start() { # FAMILY
	spawn peer "peer$1.log" python3 "$PROGRAM" peer "$1" 600
	wait_for 60 log_has "peer$1.log" serving
}

# Nobody answers for some, and nobody has a route to others.
routes() {
	in_ns server ip route add unreachable 10.9.9.0/24
	in_ns server ip -6 route add unreachable 2001:db8:77::/48
	in_ns peer ip route add 224.0.0.0/4 dev eth0
	in_ns peer ip route add 255.255.255.255 dev eth0
	in_ns peer ip route add 203.0.113.0/24 dev eth0
	in_ns peer ip -6 route add 2001:db8:99::/48 dev eth0
	in_ns peer ip link add narrow0 mtu 1300 type veth peer name narrow1 mtu 1300
	net_addresses peer narrow0 198.18.0.1/24,2001:db8:18::1/64
	net_addresses peer narrow1 -
	in_ns peer sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
		net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
}

# The path's MTU is remembered by the server: each run has a destination of its own.
cases() { # FAMILY PEER NARROW
	local name
	in_ns server python3 "$PROGRAM" cases "$1" "$2" 192.0.2.255 "${3}8" >"$TMP/own$1"
	resoa_in c1 python3 "$PROGRAM" cases "$1" "$2" 192.0.2.255 "${3}9" >"$TMP/exported$1"
	while read -r name; do
		check "IPv$1: $name" diff <(grep "^$name " "$TMP/own$1") <(grep "^$name " "$TMP/exported$1")
	done < <(cut -d' ' -f1 "$TMP/own$1" | grep . | sort -u)
	at_least "IPv$1: they are many" "$(grep -c '^[a-z]' "$TMP/exported$1")" 33
}

flood() { # FAMILY ADDRESS BYTES
	equal "IPv$1: 2,000 datagrams of $3 bytes, 1,000/s, both ways" \
		"$(resoa_in c1 python3 "$PROGRAM" flood "$1" "$2" 2000 "$3")" "2000 0"
}

server_sockets() { in_ns server ss -Huanp | grep -c '"isthmus-resoad"'; }
no_sockets() { [ "$(server_sockets)" = 0 ]; }

# Sockets that send once and close, more than a client may have at one time.
many() {
	spawn peer counts.log python3 "$PROGRAM" counts 4 1500
	wait_for 60 log_has counts.log serving
	resoa_in c1 python3 "$PROGRAM" many 4 "$PEER4" 1500
	check "1,500 sockets that send once: all of it came" wait_for 20 log_has counts.log '^1500$'
	check "nothing is left of sockets that ended" wait_for 20 no_sockets
}

# A program that waits on its port is served by the next server, too.
restart() {
	local port
	spawn c1 waits.log isthmus-resoa run --control "$TMP/c1.sock" -- python3 "$PROGRAM" waits 4 "$TMP/port" 2
	wait_for 60 test -s "$TMP/port"
	port=$(cat "$TMP/port")
	check "it is there before anything is sent" wait_for 10 eval '! no_sockets'
	in_ns peer python3 "$PROGRAM" tell 4 "$SERVER4" "$port" before
	check "what comes is for it" wait_for 10 log_has waits.log before
	end "$RESOA_SERVER"
	resoa_server
	check "it is there again" wait_for 30 eval '! no_sockets'
	in_ns peer python3 "$PROGRAM" tell 4 "$SERVER4" "$port" after
	check "what comes to the next server is for it" wait_for 10 log_has waits.log after
	check "its end is the end of it there" wait_for 20 no_sockets
}

# As on the server, where the resolver is on loopback, and answers loopback only.
names() {
	spawn server names.log python3 "$PROGRAM" names 127.0.0.53
	wait_for 60 log_has names.log serving
	equal "a name is looked up at the server" \
		"$(resoa_in c1 getent ahostsv4 host.test.example | awk '{ print $1; exit }')" 192.0.2.77
}

echo "nameserver 127.0.0.53" >"$TMP/resolv.conf"
resoa_up
routes
peer_start 4
peer_start 6
resoa_client c1
cases 4 "$PEER4" 198.18.0.
cases 6 "$PEER6" 2001:db8:18::
names
many
flood 4 "$PEER4" 100
flood 6 "$PEER6" 1200
restart
