#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# At tc; a host that knows its waypoint addresses, for IPsec (W14); a subscriber's gateway that is a waypoint for others
# (W16). The network is drawn in lib/aves.sh; home1 has the waypoint address 192.0.2.66 here.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/aves.sh"
need jq ethtool nft python3 dig curl busybox unbound

AH=$SELFTESTS/lib/ah.py
OWN=192.0.2.66

resolve() { in_ns "$1" dig +short +time=4 +tries=1 "@$RESOLVER" "$2.$ZONE" A; } # NS NAME
stat_of() { # STEM NS INSTANCE REASON
	in_ns "$2" isthmus "$1" stats --instance "$3" --json | jq --arg reason "$4" '.reasons[] | select(.reason == $reason).packets'
}
web() { # HOME
	mkdir -p "$TMP/www$1"
	echo "home $1" >"$TMP/www$1/index.html"
	head -c 3000000 /dev/urandom >"$TMP/www$1/file"
	spawn "host$1" "httpd$1.log" busybox httpd -f -p "[::]:80" -h "$TMP/www$1"
	wait_for 5 listening "host$1" t 80
}
page() { with_names "$1" curl -sS --max-time 15 "-$2" "http://$3.$ZONE/${4:-}"; } # NS FAMILY NAME [FILE]

at_tc() {
	local home
	for home in 1 2; do
		equal "tc: the page of home$home" "$(page alice 4 "web.home$home")" "home $home"
		page alice 4 "web.home$home" file >"$TMP/got" || true
		check "tc: 3 MB of home$home, whole" cmp "$TMP/got" "$TMP/www$home/file"
	done
	equal "tc: the page by IPv6" "$(page alice 6 web.home1)" "home 1"
	check "tc: a long ping with DF is told the path MTU" in_ns alice ping -qc3 -i0.2 -W2 -M dont -s 1800 "$(resolve alice web.home1)"
	equal "tc: all packets were those of the wire" "$(stat_of waypoint wp "$INSTANCE" UNFINISHED)" 0
}

# ---- W14: nothing of the packet changes on its way, so its authentication header stays good

aware() {
	local address to
	for address in "${W[@]}"; do in_ns host1 ip addr add "$address/32" dev lo; done
	printf 'web 192.168.1.10\nvpn 192.168.1.10 aware\n' >"$TMP/home1.hosts"
	kill -HUP "${AVES_PID[home1]}"
	check "aware: the name server serves the new host" wait_for 10 named vpn.home1
	to=$(resolve alice vpn.home1)
	check "aware: ping" in_ns alice ping -qc2 -i0.2 -W2 "$to" # which binds, before the slower programs start
	spawn host1 ah.log python3 "$AH" echo "$to" $((20 * SLOW))
	wait_for 20 log_has ah.log ready
	equal "aware: AH passes both ways, its address included" "$(in_ns alice python3 "$AH" ping $ALICE "$to" 20)" 20
	equal "aware: the host saw nothing that was not genuine" "$(grep -c None "$TMP/ah.log" || true)" 0
	# The control: where the address is rewritten, AH fails.
	for address in "${W[@]}"; do in_ns host1 ip addr del "$address/32" dev lo; done
	to=$(resolve carol web.home1)
	check "plain: ping" in_ns carol ping -qc2 -i0.2 -W2 "$to"
	spawn host1 ah-plain.log python3 "$AH" echo 192.168.1.10 $((8 * SLOW))
	wait_for 20 log_has ah-plain.log ready
	equal "plain: AH does not pass" "$(in_ns carol python3 "$AH" ping 198.51.100.9 "$to" 3)" 0
	at_least "plain: though it arrived" "$(grep -c None "$TMP/ah-plain.log" || true)" 3
}
named() { [ -n "$(resolve alice "$1")" ]; }

# ---- W19: home2's uplink has IPv6 alone; its host has IPv4 alone

six_uplink() {
	end "${AVES_PID[home2]}"
	in_ns home2 ip -4 addr flush dev wan
	sed -i "s/:$DNS:/:[$DNS6]:/" "$TMP/home2.secret"
	aves_gateway_run 2
	check "IPv6 uplink: the tunnel is there" wait_for 20 waypoint_sees '[2001:db8:a::2]:'
	check "IPv6 uplink: the name server knows it" aves_ready home2
	equal "IPv6 uplink: the page of an IPv4 host, by IPv4" "$(page alice 4 web.home2)" "home 2"
	page alice 4 web.home2 file >"$TMP/got" || true
	check "IPv6 uplink: 3 MB, whole" cmp "$TMP/got" "$TMP/www2/file"
	equal "IPv6 uplink: by IPv6" "$(page alice 6 web.home2)" "home 2"
	in_ns home2 ip addr add 100.64.0.2/24 dev wan
	net_route home2 default 100.64.0.1
}
waypoint_sees() { # BEGINNING
	in_ns wp isthmus-waypoint status --json --control "$TMP/wp.sock" |
		jq -e --arg begin "$1" '.gateways[] | select(.up and (.address | startswith($begin)))'
}

# ---- W16: home1's router is a waypoint for others, never for its own hosts

subscriber_waypoint() {
	in_ns inet ip route add $OWN via 192.0.2.2
	check "W16: a waypoint on the gateway's machine, at a port of its own" in_ns home1 isthmus waypoint attach --dev wan --mode tc \
		--trust-offloads --port 6082 --instance "$INSTANCE-o"
	dns_says waypoint add wp2 | in_ns home1 isthmus-waypoint join --credentials "$TMP/wp2.secret" >/dev/null
	spawn home1 wp2.log isthmus-waypoint run --instance "$INSTANCE-o" --address $OWN --tunnel 192.0.2.2 \
		--credentials "$TMP/wp2.secret" --state "$TMP/wp2.db" --control "$TMP/wp2.sock"
	OWN_PID=$SPAWNED
	end "${AVES_PID[home1]}"
	aves_gateway_run 1 --behind $OWN
	check "W16: its tunnel to home2" wait_for 25 own_tunnel
	end "${AVES_PID[wp]}" # the other waypoint is gone: only home1's is left
	check "W16: home2's host by home1's address" wait_for 15 is_own carol web.home2
	equal "W16: its page" "$(page carol 4 web.home2)" "home 2"
	equal "W16: home1's own host is not served there" "$(resolve carol web.home1 | grep -c "^$OWN" || true)" 0
	at_least "W16: home1 has sealed for home2" "$(stat_of waypoint home1 "$INSTANCE-o" SEALED)" 3
	end "$OWN_PID"
	in_ns home1 isthmus waypoint detach --instance "$INSTANCE-o" >/dev/null
	net_remove_pins "$INSTANCE-o"
}
own_tunnel() {
	in_ns home1 isthmus-waypoint status --json --control "$TMP/wp2.sock" |
		jq -e --arg name "home2.$ZONE" '.gateways[] | select(.name == $name).up'
}
is_own() { [ "$(resolve "$1" "$2")" = $OWN ]; }

aves_net
web 1
web 2
aves_dns
aves_waypoint tc
aves_gateway 1 tc 'web 192.168.1.10\n'
aves_gateway 2 tc 'web 192.168.1.10\n'
aves_unbound
check "tc: tunnels are up" aves_ready home1 home2
at_tc
six_uplink
aware
subscriber_waypoint
aves_detach
