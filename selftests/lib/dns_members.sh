# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# isthmus-dns with members, for stories whose waypoints, gateways and clients are scripts (dns_member.py) on one
# loopback device; after net.sh.
#
#   client --- A? ---> isthmus-dns --- SETUP ---> waypoint w1, w2      gateways home, other
#          <-- held --            <-- ACCEPT --      |                     |
#                                 <=============== TLS, members ===========+
#   198.51.100.0/24    192.0.2.53                 192.0.2.61, .62       192.0.2.60
#   203.0.113.0/24     2001:db8::53               2001:db8::62
#   10.9.0.0/16: initiators

need python3 jq

SCENES=$SELFTESTS/lib/dns_scenes.py
DNS_PID=''
export CONTROL=$TMP/dns.sock SLOW

zone_write() { # SERIAL [LINE]
	cat >"$TMP/zones/example.net" <<-ZONE
		\$TTL 300
		@ SOA ns1 admin $1 3600 600 86400 5
		@ NS ns1
		ns1 A 192.0.2.53
		web A 192.0.2.1
		home TXT "of the zone"
		text.home TXT "beside an address"
		alias.home CNAME web
		to-web CNAME web.home
		child.home NS ns1
		${2:-}
	ZONE
}

dns_start() {
	STATE_DIRECTORY=$TMP/state spawn lan dns.log "$B/isthmus-dns" run --listen 192.0.2.53:53 --listen '[2001:db8::53]:53' \
		--zone "example.net=$TMP/zones/example.net" --database "$TMP/state/dns.db" --control "$CONTROL" \
		--user nobody --members 192.0.2.53:3481 --initiators 10.9.0.0/16 --subnet-from 198.51.100.0/25 \
		--tcp-idle 1 --rate 5 --log-level debug
	DNS_PID=$SPAWNED
	wait_for 20 listening lan t 3481
	wait_for 20 dns_command status
}

dns_restart() {
	end "$DNS_PID"
	chown -R root:root "$TMP/state" # as systemd does with a StateDirectory
	dns_start
}

dns_command() { isthmus-dns "$@" --control "$CONTROL"; }

# Lines of a scene are NAME, what was got, what was wanted.
scene() {
	local name got want status=0
	(cd "$TMP" && in_ns lan python3 "$SCENES" "$@" >"$TMP/scene" 2>"$TMP/scene-$1.log") || status=$?
	while IFS=$'\t' read -r name got want; do
		equal "$1: $name" "$got" "$want"
	done <"$TMP/scene"
	equal "$1 runs to its end" "$status" 0
}

members_start() {
	local address
	net_ns lan
	for address in 192.0.2.53/24 198.51.100.1/24 203.0.113.1/24 10.9.0.1/16; do
		in_ns lan ip addr add $address dev lo
	done
	for address in 2001:db8::53 2001:db8::62 2001:db8:7::7; do
		in_ns lan ip addr add $address/128 dev lo nodad
	done
	mkdir -m 0755 "$TMP/zones"
	chmod 0711 "$TMP"
	install -d -m 0700 -o 65534 -g 65534 "$TMP/state"
	zone_write 1
	dns_start
}
