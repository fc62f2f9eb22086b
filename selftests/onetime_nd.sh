#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A pool's addresses among the hosts of a link, with their kernels' neighbour discovery and ARP as they are: found
# while they are in use, defended against duplicate address detection, left to others while they are free; a flood of
# questions costs neither entries nor sessions.
#
#   server ────────── lan (a Linux bridge) ─┬─ host       2001:db8:1::2  192.0.2.2
#   2001:db8:1::1  192.0.2.1                └─ stranger   2001:db8:1::3  192.0.2.3
#   pools 2001:db8:2::/64 and 203.0.113.0/24, on the link of its device
. "${0%/*}/lib/net.sh"
need ndisc6 arping jq

POOL=2001:db8:2 POOL4=203.0.113
HOST=2001:db8:1::2
PIN=$PINS/$INSTANCE/onetime
NEIGHBOUR=$SELFTESTS/lib/onetime_neighbour.py
FLOW=$B/selftests/bench/flow
FLOOD_S=3
# What is in each state, of both pools.
RESERVED=1 PENDING=2 TAKING=3 CLAIMED=4 LIVE=5 CLOSING=6 DEAD=7 FREE=9
STATES=(- reserved pending taking claimed live closing dead)
EA=$POOL::ea:1

net() {
	local name
	net_ns server lan host stranger
	in_ns lan ip link add bridge type bridge mcast_snooping 0
	in_ns lan ip link set bridge up
	net_link server lan 2001:db8:1::1/64,192.0.2.1/24 lan server -
	net_link host lan $HOST/64,192.0.2.2/24 lan host -
	net_link stranger lan 2001:db8:1::3/64,192.0.2.3/24 lan stranger -
	for name in server host stranger; do in_ns lan ip link set "$name" master bridge; done
	for name in host stranger; do
		in_ns "$name" ip route add $POOL::/64 dev lan
		in_ns "$name" ip route add $POOL4.0/24 dev lan
	done
	in_ns stranger sysctl -qw net.ipv6.conf.lan.accept_dad=1 net.ipv6.conf.lan.ndisc_notify=1
}

onetime() { in_ns server isthmus onetime "$@" --instance "$INSTANCE"; }
fill() { "$NEIGHBOUR" fill "$PIN" $POOL::/64 $POOL4.0/24; }
state_of() { "$NEIGHBOUR" state "$PIN" "$1"; }
mac_of() { in_ns "$1" ip -j link show lan | jq -r '.[0].address'; }
stat_of() { onetime stats --json | jq --arg reason "$1" '.reasons[] | select(.reason == $reason) | .packets'; }

attach() {
	check "the datapath is on the device" onetime attach --dev lan
	check "an IPv6 pool" onetime pool add lan $POOL::/64
	check "an IPv4 pool" onetime pool add lan $POOL4.0/24
	fill
}

# ---- resolution

asked() { in_ns "$1" ndisc6 -1 -n -r 1 -w $((300 * SLOW)) "$2" "${3:-lan}"; } # NAME ADDRESS [DEV]
answered_by_server() { asked "$@" | has -i "$(mac_of server)"; }

resolution() {
	local state
	for state in $PENDING $TAKING $CLAIMED $LIVE $CLOSING; do
		check "${STATES[state]}: found" answered_by_server host $POOL::$state
	done
	for state in $RESERVED $DEAD $FREE; do
		refuse "${STATES[state]:-free}: not found" asked host $POOL::$state
	done
	resolution_by_kernel
}

# The kernel's own question; what would come to a proxy of the kernel's beside it.
resolution_by_kernel() {
	local ms proxy
	ms=$(in_ns host "$NEIGHBOUR" time lan $POOL::$PENDING)
	at_most "the host's kernel is answered within 10 ms" "${ms%.*}" $((10 * SLOW))
	equal "and has the server's MAC" "$(neighbour host $POOL::$PENDING)" "$(mac_of server)"
	equal "who is not found is not answered" "$(in_ns host "$NEIGHBOUR" time lan $POOL::$FREE)" none
	in_ns stranger sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.lan.proxy_ndp=1
	in_ns stranger ip neigh add proxy 2001:db8:1::99 dev lan
	proxy=$(in_ns host "$NEIGHBOUR" time lan 2001:db8:1::99)
	at_least "a kernel's proxy answers too" "${proxy%.*}" 0
	echo "ours $ms ms, a kernel's proxy $proxy ms" >"$TMP/figures"
	in_ns stranger ip neigh del proxy 2001:db8:1::99 dev lan
	in_ns stranger sysctl -qw net.ipv6.conf.all.forwarding=0
}

neighbour() { in_ns "$1" ip -j neigh show "$2" | jq -r '.[0].lladdr'; }

# The kernel keeps the outer tag beside the packet, the inner one stays in it.
tags() {
	equal "tagged: found" "$(in_ns host "$NEIGHBOUR" tagged lan $POOL::$LIVE 2005)" 2005
	equal "tagged twice: found" "$(in_ns host "$NEIGHBOUR" tagged lan $POOL::$LIVE 2005 e007)" "2005 e007"
	equal "tagged, free: not found" "$(in_ns host "$NEIGHBOUR" tagged lan $POOL::$FREE 2005)" none
}

# ---- duplicate address detection by the stranger's kernel

detected() { # ADDRESS: ok or dadfailed
	in_ns stranger ip addr add "$1/128" dev lan
	wait_for 5 not_tentative "$1" || true
	if flags_of "$1" | has dadfailed; then echo dadfailed; else flags_of "$1" | has tentative || echo ok; fi
	in_ns stranger ip addr del "$1/128" dev lan
}

flags_of() { in_ns stranger ip -6 addr show dev lan to "$1"; }
not_tentative() { flags_of "$1" | has dadfailed || ! flags_of "$1" | has tentative; }

detection() {
	local state before
	for state in $RESERVED $PENDING $LIVE $CLOSING; do
		equal "${STATES[state]}: another host's detection fails" "$(detected $POOL::$state)" dadfailed
		equal "${STATES[state]}: and stays" "$(state_of $POOL::$state)" "${STATES[state]}"
	done
	before=$(stat_of ND_CONFLICT)
	equal "dead: another host may have it" "$(detected $POOL::$DEAD)" ok
	equal "free: another host may have it" "$(detected $POOL::$FREE)" ok
	equal "and tells so (RFC 9131)" $(($(stat_of ND_CONFLICT) - before)) 2
	equal "which makes no entry" "$(state_of $POOL::$FREE)" free
}

# A host that did not ask, or whose question was lost.
conflicts() {
	fill
	in_ns stranger "$NEIGHBOUR" advertise lan $POOL::$LIVE $POOL::$RESERVED $POOL::$PENDING
	check "reserved: ends" wait_for 2 is_state $POOL::$RESERVED dead
	check "pending: ends" is_state $POOL::$PENDING dead
	check "live: goes on" is_state $POOL::$LIVE live
	fill
}

is_state() { [ "$(state_of "$1")" = "$2" ]; }

# ---- ARP

arp_asked() { in_ns "$1" arping -q -c 1 -w "$SLOW" -I lan "$2"; }
arp_free() { in_ns stranger arping -q -D -c 1 -w "$SLOW" -I lan "$1"; }

arp() {
	local state
	for state in $PENDING $TAKING $CLAIMED $LIVE $CLOSING; do
		check "ARP, ${STATES[state]}: found" arp_asked host $POOL4.$state
	done
	for state in $RESERVED $DEAD $FREE; do
		refuse "ARP, ${STATES[state]:-free}: not found" arp_asked host $POOL4.$state
	done
	for state in $RESERVED $PENDING $LIVE $CLOSING; do
		refuse "ARP, ${STATES[state]}: a probe is answered" arp_free $POOL4.$state
	done
	check "ARP, dead: another host may have it" arp_free $POOL4.$DEAD
	check "ARP, free: another host may have it" arp_free $POOL4.$FREE
	for state in $RESERVED $LIVE; do
		in_ns stranger ip addr add "$POOL4.$state/32" dev lan
		in_ns stranger arping -q -U -c 1 -w "$SLOW" -I lan -s "$POOL4.$state" "$POOL4.$state" || true
		in_ns stranger ip addr del "$POOL4.$state/32" dev lan
	done
	equal "ARP, announced, reserved: ends" "$(state_of $POOL4.$RESERVED)" dead
	equal "ARP, announced, live: goes on" "$(state_of $POOL4.$LIVE)" live
	fill
}

# ---- a flood

entries() { bpftool -j map dump pinned "$PIN/onetime_addr" | jq length; }
neighbours() { in_ns server ip neigh show nud all | grep -vc -e PERMANENT -e NOARP; }

live_session() { "$NEIGHBOUR" session "$PIN" $EA 5555 $HOST 7000; }

session() { # SECONDS: bytes that came, through an address of the pool
	spawn host echo.json "$FLOW" --listen --bind "[$HOST]:7000" --role recv --verify --timeout 20
	wait_for 3 listening host t 7000
	in_ns server "$FLOW" --connect "[$HOST]:7000" --bind "[$EA]:5555" --role send --seconds "$1" --verify --timeout 20 \
		>"$TMP/session.json" && wait "$SPAWNED"
}

flood() {
	local entries neighbours silent conflicts told sent flooding
	in_ns server sysctl -qw net.ipv6.ip_nonlocal_bind=1
	live_session
	check "a session before the flood" session 1
	entries=$(entries) neighbours=$(neighbours) silent=$(stat_of ND_SILENT) conflicts=$(stat_of ND_CONFLICT)
	told=$(stat_of ND_UNTOLD)
	live_session
	spawn stranger flood.out "$NEIGHBOUR" flood lan $POOL::/64 $FLOOD_S
	flooding=$SPAWNED
	check "a session goes on in a flood" session $FLOOD_S
	check "the flood ends" wait "$flooding"
	read -r -a sent <"$TMP/flood.out"
	at_least "solicitations were sent" $((sent[0] + sent[1])) 1000
	equal "none was answered" $(($(stat_of ND_SILENT) - silent)) $((sent[0] + sent[1]))
	equal "advertisements were seen" $(($(stat_of ND_CONFLICT) - conflicts)) "${sent[2]}"
	at_least "the agent was told of few" $(($(stat_of ND_UNTOLD) - told)) $((sent[0] + sent[2] - 16 * (FLOOD_S + 2)))
	equal "the table has as many addresses" "$(entries)" "$entries"
	at_most "the kernel has as many neighbours" "$(neighbours)" $((neighbours + 3)) # hosts of the link may be new
	echo "$((sent[0] + sent[1] + sent[2])) messages in $FLOOD_S s, session $(jq -c . "$TMP/session.json")" >>"$TMP/figures"
}

net
attach
resolution
tags
detection
conflicts
arp
flood
