# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034 # for stories
#
# A name is enough: two homes with the same inside addresses, a waypoint, a name server, and outside a client with its
# resolver. Sourced after net.sh; aves_net makes the network, aves_start runs the agents.
#
#   alice 198.51.100.7 ─────┐                       ┌── home1 ── host1     home1, home2: the gateways, routers that
#   resolver 198.51.100.53 ─┤                       │   192.0.2.2          masquerade and let nothing in
#   carol 198.51.100.9 ─────┴─ inet ────────────────┼── isp ── home2 ── host2
#                              │ │                  │   192.0.2.10  100.64.0.2
#   dns 203.0.113.53 ──────────┘ │                  └   (home2 is behind an ISP's NAT, too)
#   wp 203.0.113.1 ──────────────┘
#
# host1 and host2 are both 192.168.1.10; waypoint addresses are 203.0.113.80 to .82 and 2001:db8:9::/64.

DNS=203.0.113.53 DNS6=2001:db8:53::53
WP=203.0.113.1
ALICE=198.51.100.7
RESOLVER=198.51.100.53
W=(203.0.113.80 203.0.113.81 203.0.113.82)
ZONE=example.net
declare -A AVES_PID=()

aves_net() {
	local address
	net_ns inet out alice carol resolver dns wp home1 isp home2 host1 host2
	in_ns out ip link add br0 type bridge
	in_ns out ip link set br0 up
	aves_port out alice $ALICE/24,2001:db8:1::7/64
	aves_port out carol 198.51.100.9/24,2001:db8:1::9/64
	aves_port out resolver $RESOLVER/24
	aves_port out inet 198.51.100.1/24,2001:db8:1::1/64 out
	net_link dns eth0 $DNS/30,$DNS6/64 inet dns 203.0.113.54/30,2001:db8:53::1/64
	net_link wp eth0 $WP/30,2001:db8:8::1/64 inet wp 203.0.113.2/30,2001:db8:8::fe/64
	net_link home1 wan 192.0.2.2/30 inet home1 192.0.2.1/30
	net_link isp wan 192.0.2.10/30,2001:db8:a::2/64 inet isp 192.0.2.9/30,2001:db8:a::1/64
	net_link home2 wan 100.64.0.2/24,2001:db8:64::2/64 isp lan 100.64.0.1/24,2001:db8:64::1/64
	net_forward inet isp home1 home2 wp # wp: replies to IPv6 initiators follow its routes
	net_route wp default 203.0.113.2 2001:db8:8::fe
	net_route dns default 203.0.113.54 2001:db8:53::1
	net_route home1 default 192.0.2.1
	net_route isp default 192.0.2.9 2001:db8:a::1
	net_route home2 default 100.64.0.1 2001:db8:64::1
	for address in alice carol resolver; do net_route $address default 198.51.100.1; done
	for address in alice carol; do net_route $address default 2001:db8:1::1; done
	for address in "${W[@]}"; do in_ns inet ip route add "$address" via $WP; done
	in_ns inet ip -6 route add 2001:db8:9::/64 via 2001:db8:8::1
	aves_home 1
	aves_home 2
	net_nat isp wan
	net_xdp_ready inet wp
	net_xdp_ready inet home1
	net_xdp_ready isp lan
	net_xdp_ready wp eth0
	aves_zone
	for address in dns wp home1 isp; do wait_for 10 in_ns $address ping -qc1 -W0.3 $ALICE; done
	wait_for 10 in_ns host2 ping -qc1 -W0.3 $ALICE
}

# A port of a bridge: NS_OF_BRIDGE NS ADDRESSES [DEV]
aves_port() {
	local dev=${4:-eth0}
	in_ns "$2" ip link add "$dev" type veth peer name "$2" netns "$NET-$1"
	net_addresses "$2" "$dev" "$3"
	in_ns "$1" ip link set "$2" master br0 up
}

aves_home() { # NUMBER: its router and its host
	net_link "host$1" eth0 192.168.1.10/24,fd00::10/64 "home$1" lan 192.168.1.1/24,fd00::1/64
	net_route "host$1" default 192.168.1.1 fd00::1
	net_nat "home$1" wan
	net_xdp_ready "home$1" lan
	net_xdp_ready "home$1" wan
	net_xdp_ready "host$1" eth0
}

aves_zone() {
	cat >"$TMP/$ZONE.zone" <<-ZONE
		\$TTL 300
		@ SOA ns admin 1 3600 600 86400 5
		@ NS ns
		ns A $DNS
		www A 203.0.113.200
		\$TTL 60
		text.web.home1 TXT "beside a bound name"
	ZONE
}

# ---- agents; each is started again by its function

aves_dns() { # [OPTION...]
	spawn dns dns.log isthmus-dns run --listen $DNS:53 --zone "$ZONE=$TMP/$ZONE.zone" --database "$TMP/dns/dns.db" \
		--control "$TMP/dns.sock" --members ":3481" --members-public $DNS:3481 --rate 0 "$@"
	AVES_PID[dns]=$SPAWNED
	wait_for 20 listening dns u 53
}

dns_says() { in_ns dns isthmus-dns "$@" --control "$TMP/dns.sock"; }

# Attached at MODE, joined with a line of the name server's, and run.
aves_waypoint() { # MODE [OPTION...]
	local options=(--instance "$INSTANCE" --mode "$1")
	aves_offloads wp eth0 "$1"
	[ "$1" != tc ] || options+=(--trust-offloads)
	in_ns wp isthmus waypoint attach --dev eth0 "${options[@]}" >/dev/null
	dns_says waypoint add wp1 | in_ns wp isthmus-waypoint join --credentials "$TMP/wp.secret" >/dev/null
	aves_waypoint_run "${@:2}"
}

aves_waypoint_run() { # [OPTION...]
	spawn wp waypoint.log isthmus-waypoint run --instance "$INSTANCE" "${W[@]/#/--address=}" --prefix6 2001:db8:9::/64 \
		--tunnel $WP --tunnel 2001:db8:8::1 --credentials "$TMP/wp.secret" --state "$TMP/wp.db" --control "$TMP/wp.sock" "$@"
	AVES_PID[wp]=$SPAWNED
}

aves_gateway() { # NUMBER MODE HOSTS [OPTION...]
	local instance=$INSTANCE-$1
	aves_offloads "home$1" wan "$2"
	aves_offloads "home$1" lan "$2"
	printf '%b' "$3" >"$TMP/home$1.hosts"
	if [ "$2" = tc ]; then
		in_ns "home$1" isthmus gateway attach --uplink wan --lan lan --mode tc --trust-offloads --instance "$instance" >/dev/null
	fi
	dns_says gateway add "home$1.$ZONE" | in_ns "home$1" isthmus-gateway join --credentials "$TMP/home$1.secret" >/dev/null
	aves_gateway_run "$1" --attach "$2" "${@:4}"
}

aves_gateway_run() { # NUMBER [OPTION...]
	spawn "home$1" "home$1.log" isthmus-gateway run --instance "$INSTANCE-$1" --hosts "$TMP/home$1.hosts" \
		--credentials "$TMP/home$1.secret" --state "$TMP/home$1.json" --control "$TMP/home$1.sock" "${@:2}"
	AVES_PID[home$1]=$SPAWNED
}

# At tc joined packets cannot be sealed.
aves_offloads() { in_ns "$1" ethtool -K "$2" gro "$([ "$3" = tc ] && echo off || echo on)"; } >/dev/null

tunnel_is_up() { in_ns wp isthmus-waypoint status --json --control "$TMP/wp.sock" | jq -e --arg name "$1.$ZONE" '.gateways[] | select(.name == $name).up'; }
dns_knows() { dns_says status --json | jq -e --arg name "$1.$ZONE" '.members.gateways[] | select(.name == $name) | .tunnels > 0'; }
aves_ready() { # HOME...
	local home
	for home; do
		wait_for 20 tunnel_is_up "$home" || return 1
		wait_for 20 dns_knows "$home" || return 1
	done
}

aves_detach() {
	local name
	for name in wp home1 home2; do
		[ -z "${AVES_PID[$name]:-}" ] || end "${AVES_PID[$name]}"
	done
	in_ns wp isthmus waypoint detach --instance "$INSTANCE" || true
	in_ns home1 isthmus gateway detach --instance "$INSTANCE-1" || true
	in_ns home2 isthmus gateway detach --instance "$INSTANCE-2" || true
} >/dev/null 2>&1

story_end() {
	aves_detach
	net_remove_pins "$INSTANCE-1"
	net_remove_pins "$INSTANCE-2"
}

# ---- clients

# A stock resolver between clients and the name server.
aves_unbound() {
	cat >"$TMP/unbound.conf" <<-CONF
		server:
		  interface: $RESOLVER
		  access-control: 0.0.0.0/0 allow
		  do-daemonize: no
		  username: ""
		  chroot: ""
		  directory: "$TMP"
		  pidfile: ""
		  use-syslog: no
		  do-not-query-localhost: no
		  module-config: "iterator"
		  num-threads: 1
		remote-control:
		  control-enable: no
		stub-zone:
		  name: $ZONE
		  stub-addr: $DNS
	CONF
	spawn resolver unbound.log unbound -c "$TMP/unbound.conf"
	wait_for 20 listening resolver u 53
	mkdir -p "$TMP/etc"
	echo "nameserver $RESOLVER" >"$TMP/etc/resolv.conf"
}

# with_names NS cmd...: with the resolver in its resolv.conf
with_names() {
	local ns=$1
	shift
	unshare -m sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$TMP/etc/resolv.conf" \
		nsenter --net="/run/netns/$NET-$ns" "$@"
}
