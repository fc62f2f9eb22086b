# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What demo and bench of resoa share; after net.sh: clients on a wire, a server with one public address, a peer; and what
# they are compared with, a host behind SOCKS servers and one behind a NAT.
#
#   c1 eth0 (no address) ─┐
#   c2 eth0 (no address) ─┼─ wire ── lhp0 server eth0 192.0.2.1 ────────── eth0 peer 192.0.2.2
#   c3 eth0 (no address) ─┤          10.77.0.1: danted :1080, microsocks :1081, NAT
#   socks 10.77.0.2 ──────┤
#   nat 10.77.0.3 ────────┘
#
#   wire_up; wire_server LISTEN...; wire_client NAME PLACE; in_client NAME cmd...
#   compared_up; by_dante, by_microsocks, by_nat cmd...

SERVER=192.0.2.1 PEER=192.0.2.2
WIRE_MTU=1500

# Device DEV of namespace NAME at a port of the bridge; no address of any kind, not even link-local.
wire_plug() { # NAME DEV
	in_ns "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	ip link add "$2" netns "$NET-$1" mtu $WIRE_MTU type veth peer name "$1" netns "$NET-wire" mtu $WIRE_MTU
	in_ns wire ip link set "$1" master br0 up
	in_ns "$1" ip link set "$2" up
}

wire_up() {
	net_ns wire server peer
	in_ns wire ip link add br0 type bridge
	in_ns wire ip link set br0 up
	wire_plug server lhp0
	net_link server eth0 $SERVER/24 peer eth0 $PEER/24
	in_ns server ip route add default via $PEER
	LHP_MAC=$(in_ns server ip -j link show lhp0 | jq -r '.[0].address')
	(umask 077 && : >"$TMP/resoad.clients")
}

wire_key() { # NAME [SETTING...]: lines of the client's section
	(umask 077 && isthmus-resoad client add "$1" --clients "$TMP/resoad.clients" >"$TMP/$1.key")
	shift
	[ $# = 0 ] || printf '%s\n' "$@" >>"$TMP/resoad.clients"
}

wire_server() { # PLACE...
	local place listen=()
	for place; do listen+=(--listen "$place"); done
	spawn server resoad.log isthmus-resoad run "${listen[@]}" --device eth0 --address4 $SERVER --clients "$TMP/resoad.clients" \
		--control "$TMP/resoad.sock"
	RESOAD=$SPAWNED
	wait_for 30 log_has resoad.log 'serving|listen'
}

declare -A CLIENT=() # pids
wire_client() { # NAME PLACE [NS]
	spawn "${3:-$1}" "$1.log" isthmus-resoa daemon --server "$2" --key "$TMP/$1.key" --control "$TMP/$1.sock"
	CLIENT[$1]=$SPAWNED
	wait_for 30 log_has "$1.log" "programs' namespace"
}

in_client() { isthmus-resoa run --control "$TMP/$1.sock" -- "${@:2}"; } # NAME cmd...

# ---- what it is compared with

compared_host() { # NAME ADDRESS
	net_ns "$1"
	wire_plug "$1" eth0
	net_addresses "$1" eth0 "$2/24"
}

# On the clients' own wire: the ways to be compared are of the same length.
compared_up() {
	net_addresses server lhp0 10.77.0.1/24
	compared_host socks 10.77.0.2
	compared_host nat 10.77.0.3
	net_route nat default 10.77.0.1
	net_forward server
	net_nat server eth0
	cat >"$TMP/danted.conf" <<-CONF
		logoutput: stderr
		internal: 10.77.0.1 port = 1080
		external: eth0
		socksmethod: none
		clientmethod: none
		user.privileged: root
		user.unprivileged: nobody
		client pass { from: 0/0 to: 0/0 }
		socks pass { from: 0/0 to: 0/0 }
	CONF
	spawn server danted.log danted -f "$TMP/danted.conf"
	spawn server microsocks.log microsocks -i 10.77.0.1 -p 1081
	wait_for 30 listening server t 1080
	wait_for 30 listening server t 1081
	proxychains_conf dante 1080
	proxychains_conf microsocks 1081
}

proxychains_conf() { # NAME PORT
	printf 'strict_chain\nquiet_mode\ntcp_read_time_out 8000\ntcp_connect_time_out 5000\n[ProxyList]\nsocks5 10.77.0.1 %s\n' "$2" \
		>"$TMP/$1.conf"
}

by_dante() { in_ns socks proxychains4 -q -f "$TMP/dante.conf" "$@"; }
by_microsocks() { in_ns socks proxychains4 -q -f "$TMP/microsocks.conf" "$@"; }
by_nat() { in_ns nat "$@"; }
