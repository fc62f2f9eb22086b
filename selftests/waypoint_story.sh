#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Names, waypoints and gateways with their agents (AVES): unmodified programs, a stock resolver in between. The network is
# drawn in lib/aves.sh.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/aves.sh"
need jq ethtool nft python3 unbound dig curl busybox

FLOW=$B/selftests/bench/flow

# ask NS NAME [TYPE]: what the name server says, without a resolver; resolve NS NAME: by it
ask() { in_ns "$1" dig +short +time=4 +tries=1 "@$DNS" "$2.$ZONE" "${3:-A}"; }
resolve() { in_ns "$1" dig +short +time=4 +tries=1 "@$RESOLVER" "$2.$ZONE" A; }
pinged() { with_names "$1" ping -qc"${4:-3}" -i0.2 -W2 "-$2" "$3.$ZONE"; } # NS FAMILY NAME
bindings() { in_ns wp isthmus waypoint list --instance "$INSTANCE" --json | jq -c "[.bindings[] | select(.initiator == \"$1\") | .waypoint] | sort"; }
stat_of() { # STEM NS INSTANCE REASON
	in_ns "$2" isthmus "$1" stats --instance "$3" --json | jq --arg reason "$4" '.reasons[] | select(.reason == $reason).packets'
}
is_one_of_ours() { [[ " ${W[*]} " == *" $1 "* ]]; }
web() { # HOME: a page that tells which home it is
	mkdir -p "$TMP/www$1"
	echo "home $1" >"$TMP/www$1/index.html"
	head -c 2000000 /dev/urandom >"$TMP/www$1/file"
	spawn "host$1" "httpd$1.log" busybox httpd -f -p "[::]:80" -h "$TMP/www$1"
	wait_for 5 listening "host$1" t 80
}
page() { with_names "$1" curl -sS --max-time 10 "-$2" "http://$3.$ZONE/${4:-}"; } # NS FAMILY NAME [FILE]

# ---- W1, W4, W13, W18: by name, from outside, through a resolver

by_name() { # MODE
	local home
	check "$1: tunnels are up" aves_ready home1 home2
	check "$1: ping by name" pinged alice 4 web.home1
	check "$1: and the second home's, behind two NATs" pinged alice 4 web.home2
	for home in 1 2; do
		equal "$1: the page of home$home" "$(page alice 4 "web.home$home")" "home $home"
		page alice 4 "web.home$home" file >"$TMP/got" || true
		check "$1: 2 MB of home$home, whole" cmp "$TMP/got" "$TMP/www$home/file"
	done
	check "$1: a second client" pinged carol 4 web.home1
	equal "$1: the same port of both homes at the same time: two addresses" "$(bindings $ALICE | jq length)" 2
	check "$1: an IPv6 client of an IPv4 host" pinged alice 6 web.home1
	equal "$1: its page, too" "$(page alice 6 web.home2)" "home 2"
	check "$1: an IPv4 client of an IPv6 host" pinged alice 4 six.home1
	check "$1: IPv6 all the way" pinged alice 6 six.home1
	equal "$1: the page by IPv4 of a host with IPv6 alone" "$(page alice 4 six.home1)" "home 1"
	equal "$1: nothing was dropped on its way" "$(for reason in UNFINISHED MALFORMED SEND_FAILED FORGED REPLAYED NO_PEER; do
		stat_of waypoint wp "$INSTANCE" $reason
		stat_of gateway home1 "$INSTANCE-1" $reason
		stat_of gateway home2 "$INSTANCE-2" $reason
	done | awk '{ sum += $1 } END { print sum }')" 0
}

answers() {
	equal "a static name of the zone" "$(ask alice www)" 203.0.113.200
	equal "TXT below a bound name" "$(ask alice text.web.home1 TXT)" '"beside a bound name"'
	equal "no such host" "$(in_ns alice dig +time=4 +tries=1 @$DNS nobody.home1.$ZONE | grep -c NXDOMAIN)" 1
	equal "MX of a bound name: none" "$(in_ns alice dig +time=4 +tries=1 @$DNS web.home1.$ZONE MX | grep -c 'NOERROR')" 1
	equal "TTL 0" "$(in_ns alice dig +time=4 +tries=1 +noall +answer @$DNS web.home1.$ZONE | awk '{ print $2 }')" 0
	check "an A is a waypoint address" is_one_of_ours "$(ask alice web.home1)"
	equal "the same for who asks again" "$(ask carol web.home2)" "$(sleep 2.1 && ask carol web.home2)"
}

# ---- W10, W18: addresses change under sessions

held_session() { # cmd...: a TCP session that goes on while cmd runs
	local client server
	spawn host1 held-s.json "$FLOW" --listen --bind 0.0.0.0:7000 --timeout $((40 * SLOW)) --role recv --verify
	server=$SPAWNED
	wait_for 5 listening host1 t 7000
	spawn alice held-c.json "$FLOW" --connect "$(resolve alice web.home1):7000" --timeout $((40 * SLOW)) --role send --verify \
		--seconds 6
	client=$SPAWNED
	sleep 1.5
	"$@"
	wait "$client" && wait "$server"
}
home1_moves() {
	in_ns inet ip addr add 192.0.2.5/30 dev home1
	in_ns home1 ip addr add 192.0.2.6/30 dev wan
	in_ns home1 ip route replace default via 192.0.2.5 src 192.0.2.6
	in_ns home1 ip addr del 192.0.2.2/30 dev wan
}
waypoint_sees() { in_ns wp isthmus-waypoint status --json --control "$TMP/wp.sock" | jq -e --arg address "$1" '.gateways[] | select(.address == $address and .up)'; }
moves() {
	check "a session while the gateway's address changes" held_session home1_moves
	check "the waypoint knows the new address" wait_for 20 waypoint_sees 192.0.2.6:6081
	check "and new sessions come" pinged alice 4 web.home1
	in_ns isp nft flush ruleset
	in_ns isp nft -f - <<-NFT
		table ip nat {
			chain post {
				type nat hook postrouting priority srcnat
				oifname "wan" meta l4proto udp masquerade to :20000-20999
				oifname "wan" masquerade
			}
		}
	NFT
	in_ns isp conntrack -F >/dev/null 2>&1 || true
	check "another port of the ISP's NAT: sessions of home2 come by it" wait_for 25 pinged alice 4 web.home2
}

# ---- restarts: what is bound goes on, what is new is bound when all are there again

kill_agent() { end "${AVES_PID[$1]}" KILL; }
all_killed() { for agent in wp home1 home2 dns; do kill_agent $agent; done; }
restarts() {
	check "a session while all agents are killed" held_session all_killed
	check "bound initiators go on without agents" in_ns alice ping -qc5 -i0.1 -W2 "$(bindings $ALICE | jq -r '.[0]')"
	aves_dns
	aves_waypoint_run
	aves_gateway_run 1
	aves_gateway_run 2
	check "all agents are back, and tunnels" aves_ready home1 home2
	check "new sessions" pinged carol 4 web.home2
	kill_agent dns
	aves_dns
	check "a name server that restarts still knows the hosts' names" aves_ready home1 home2
	check "and serves them" pinged alice 4 web.home1
}

# The waypoint's machine restarts: its maps are lost, its database is not.
reboot() {
	local before
	before=$(bindings $ALICE)
	end "${AVES_PID[wp]}"
	in_ns wp isthmus waypoint detach --instance "$INSTANCE" >/dev/null
	in_ns wp isthmus waypoint attach --dev eth0 --instance "$INSTANCE" --mode xdp >/dev/null 2>&1
	aves_waypoint_run
	check "tunnels come again after the waypoint's machine was restarted" aves_ready home1 home2
	equal "its bindings are what they were" "$(bindings $ALICE)" "$before"
	check "and carry" in_ns alice ping -qc3 -i0.1 -W2 "$(jq -r '.[0]' <<<"$before")"
}

# ---- W3: the name server's clients are the initiators

intranet() {
	local one two first
	kill_agent dns
	aves_dns --initiators 198.51.100.0/24
	check "intranet: tunnels" aves_ready home1 home2
	one=$(ask carol web.home1)
	two=$(ask carol web.home2)
	equal "intranet: two hosts, two addresses" "$([ "$one" != "$two" ] && echo differ)" differ
	sleep 2.5 # no wait state is left
	equal "intranet: carol is bound before she has sent anything" \
		"$(jq -nc --arg one "$one" --arg two "$two" --argjson have "$(bindings 198.51.100.9)" '[$one, $two] - $have')" "[]"
	first=$(stat_of waypoint wp "$INSTANCE" UNSOLICITED)
	check "intranet: and is served" in_ns carol ping -qc2 -i0.1 -W2 "$one"
	equal "intranet: without a wait state" "$(stat_of waypoint wp "$INSTANCE" UNSOLICITED)" "$first"
	for _ in 1 2 3 4 5; do ask carol web.home1; done >"$TMP/again"
	equal "intranet: who asks again is told the same" "$(sort -u "$TMP/again")" "$one"
}

# ---- W12

straight() {
	local opened
	for agent in wp home1; do end "${AVES_PID[$agent]}"; done
	aves_waypoint_run --straight 1
	aves_gateway_run 1 --straight
	check "straight: tunnels" aves_ready home1
	opened=$(stat_of waypoint wp "$INSTANCE" OPENED)
	check "straight: ping" in_ns alice ping -qc5 -i0.1 -W2 "$(resolve alice web.home1)"
	at_least "straight: replies left without the tunnel" "$(stat_of gateway home1 "$INSTANCE-1" STRAIGHT)" 5
	equal "straight: none came by it" "$(stat_of waypoint wp "$INSTANCE" OPENED)" "$opened"
}

aves_net
web 1
web 2
aves_dns
aves_waypoint xdp
aves_gateway 1 xdp 'web 192.168.1.10\nsix fd00::10 masked\n'
aves_gateway 2 xdp 'web 192.168.1.10 masked # a comment\n'
aves_unbound
by_name xdp
answers
moves
restarts
reboot
intranet
straight
aves_detach
