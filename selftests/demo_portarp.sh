#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make demo-portarp: eight hosts, one public address, no translation.
#
#   outside ─────── gateway ──────── lan (a Linux bridge) ─┬─ host1 … host8   192.0.2.1, all of them
#   curl, FTP       DHCP, DNS                              └─ stock           192.0.2.100, knows nothing
#
# Everything is in network namespaces whose names carry this script's pid, and is removed at the end.
SHARERS=8
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/sharers.sh"
. "${0%/*}/lib/tell.sh"

ROUNDS=3
DNS_SOCKET=$TMP/dns.sock

story_end() { portarp_pins_remove; }

gateway_set_up() {
	tell "gateway: put the portarp datapath on its devices"
	shown gateway isthmus portarp attach --role gateway --uplink wan --lan lan --instance "$(instance_of gateway)" ||
		fail "isthmus portarp attach failed"
	tell "gateway: the agent, and $SHARED for eight hosts: 6 offset bits, 3 of PSID (RFC 7597)"
	portarp_agent gateway
	shown gateway isthmus-portarp address-add $SHARED --offset $OFFSET --length $LENGTH --control "$(socket_of gateway)"
	tell "gateway: a DHCP server with option 159 (RFC 7618), a DNS server for demo.example"
	dhcp_server
	dns_server
}

dhcp_server() {
	cat >"$TMP/pools.conf" <<-CONF
		[pool $SHARED]
		offset = $OFFSET
		length = $LENGTH
		prefix = 24
		router = $GATEWAY
		dns = 198.51.100.1
	CONF
	spawn gateway dhcp.log isthmus-dhcp server --device lan --pools "$TMP/pools.conf" --database "$TMP/dhcp.db" \
		--portarp "$(socket_of gateway)" --control "$TMP/dhcp.sock" --user root
}

dns_server() {
	cat >"$TMP/demo.zone" <<-ZONE
		demo.example. 3600 SOA ns.demo.example. admin.demo.example. 1 3600 600 86400 60
		demo.example. 3600 NS ns.demo.example.
		ns.demo.example. 3600 A 198.51.100.1
		shared.demo.example. 60 A $SHARED
	ZONE
	spawn gateway dns.log isthmus-dns run --listen 198.51.100.1:53 --zone "demo.example=$TMP/demo.zone" \
		--database "$TMP/dns.db" --control "$DNS_SOCKET" --user root
	wait_for 10 listening gateway u 53 || fail "no DNS server"
}

hosts_set_up() {
	local i
	tell "host1 … host8: attach, agent, DHCP client"
	for ((i = 1; i <= SHARERS; i++)); do host_set_up "host$i"; done
	for ((i = 1; i <= SHARERS; i++)); do
		wait_for 20 has_set "host$i" || fail "host$i has no ports: $(tail -n 3 "$TMP/client-host$i.log")"
	done
	tell "gateway: who has what"
	shown gateway isthmus portarp list --instance "$(instance_of gateway)"
}

host_set_up() { # NAME
	portarp_attach "$1" host || fail "isthmus portarp attach --role host failed"
	portarp_agent "$1"
	spawn "$1" "client-$1.log" isthmus-dhcp client --device lan --portarp "$(socket_of "$1")" --state "$TMP/client-$1.lease" \
		--control "$TMP/client-$1.sock" --user root
}

has_set() { set_of "$1" | grep -q '[0-9]'; }
set_of() { portarp "$1" status --json | jq -r '.sets[0].psid // empty'; } # NAME: its PSID

services() {
	local i psid port
	tell "each host: a web server, unmodified, on a port of its own, found by SRV"
	for ((i = 1; i <= SHARERS; i++)); do
		psid=$(set_of "host$i")
		port=$(port_of "$psid" 80)
		mkdir "$TMP/www$i"
		echo "<h1>host$i, PSID $psid, port $port of $SHARED</h1>" >"$TMP/www$i/index.html"
		spawn "host$i" "httpd$i.log" busybox httpd -f -p "$SHARED:$port" -h "$TMP/www$i"
		in_ns gateway isthmus-dns publish "_http._tcp.web$i.demo.example" --target shared.demo.example --port "$port" \
			--control "$DNS_SOCKET" >/dev/null || fail "publish failed"
	done
	mkdir -p "$TMP/etc"
	echo "nameserver 198.51.100.1" >"$TMP/etc/resolv.conf"
	tell "outside: the same address eight times, eight different pages"
	for ((i = 1; i <= SHARERS; i++)); do
		printf '            outside# isthmus-srv-run curl http://web%d.demo.example/\n              ' "$i"
		resolving outside isthmus-srv-run curl -sS --max-time 10 "http://web$i.demo.example/" | tee "$TMP/page$i"
		cmp -s "$TMP/page$i" "$TMP/www$i/index.html" || fail "not the page of host$i"
	done
	tell "gateway: whose is a port?"
	shown gateway isthmus portarp who "$SHARED:$(port_of "$(set_of host5)" 80)" --instance "$(instance_of gateway)"
}

# resolving NS cmd...: with the demo's resolv.conf
resolving() {
	local ns=$1
	shift
	unshare -m sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$TMP/etc/resolv.conf" \
		nsenter --net="/run/netns/$NET-$ns" "$@"
}

ftp() {
	mkdir "$TMP/ftp"
	head -c 3000000 /dev/urandom >"$TMP/ftp/file"
	tell "outside: an FTP server; host3 fetches by active FTP, the server connects back, and nothing on the way helps"
	spawn outside ftpd.log /usr/bin/python3 -m pyftpdlib -i $OUTSIDE -p 21 -d "$TMP/ftp"
	wait_for 10 listening outside t 21 || fail "no FTP server"
	printf '            host3# curl --ftp-port - --disable-eprt ftp://%s/file\n' $OUTSIDE
	in_ns host3 curl -sS --max-time 20 --ftp-port - --disable-eprt -o "$TMP/ftp-copy" "ftp://$OUTSIDE/file" || fail "active FTP failed"
	cmp "$TMP/ftp/file" "$TMP/ftp-copy" || fail "the file is not the same"
	printf '              %d bytes, the same\n' "$(wc -c <"$TMP/ftp-copy")"
}

neighbours() {
	tell "host1 and host2 have the same address and talk to each other"
	printf '            host1# curl http://%s:%d/\n              ' $SHARED "$(port_of "$(set_of host2)" 80)"
	in_ns host1 curl -sS --max-time 10 "http://$SHARED:$(port_of "$(set_of host2)" 80)/" || fail "host1 does not reach host2"
	tell "all eight ping outside at once, with the same identifier"
	local i pids=()
	for ((i = 1; i <= SHARERS; i++)); do
		spawn "host$i" "ping$i.log" ping -qc3 -i0.2 -W2 -e 4242 $OUTSIDE
		pids+=("$SPAWNED")
	done
	for i in "${pids[@]}"; do wait "$i" || fail "a ping was not answered"; done
	printf '              24 requests, 24 answers\n'
	tell "a port that is not host1's cannot be bound"
	printf '            host1# nc -l %s %d\n              ' $SHARED "$(port_of "$(set_of host2)" 1)"
	in_ns host1 timeout 2 nc -l $SHARED "$(port_of "$(set_of host2)" 1)" 2>&1 || true
	tell "and one that host1 sends from past its kernel is dropped by the gateway"
	in_ns host1 "$SELFTESTS/lib/spoof.py" lan "$(mac_of gateway)" $SHARED "$(port_of "$(set_of host2)" 1)" $OUTSIDE 9 5
	shown gateway sh -c "isthmus portarp stats --instance $(instance_of gateway) | grep -E 'REASON|SPOOFED|DELIVERED|CHECKED'"
}

# ---- the measurement: outside sends to host1

nat_on() { # the same host behind kernel NAT: a private address, a range of ports forwarded
	in_ns gateway ip addr add 10.9.0.1/24 dev lan
	in_ns host1 ip addr add 10.9.0.2/24 dev lan
	in_ns host1 ip route add 198.51.100.0/24 via 10.9.0.1 src 10.9.0.2 table 77
	in_ns host1 ip rule add pref 5 from 10.9.0.2 lookup 77
	in_ns gateway nft -f - <<-NFT
		table ip demo_nat {
			chain pre {
				type nat hook prerouting priority dstnat
				iifname "wan" ip daddr 198.51.100.1 tcp dport 9000-9999 dnat to 10.9.0.2
			}
			chain post {
				type nat hook postrouting priority srcnat
				oifname "wan" ip saddr 10.9.0.2 masquerade
			}
		}
	NFT
}

bulk() { # NAME BIND CONNECT
	spawn host1 "bulk-$1.json" "$FLOW" --listen --bind "$2" --role recv --seconds 2 --timeout 10
	local server=$SPAWNED
	in_ns outside "$FLOW" --connect "$3" --role send --seconds 2 --timeout 10 >"$TMP/near.json" || fail "bulk $1 failed"
	wait "$server" || fail "bulk $1 failed"
	jq .mbit_s "$TMP/bulk-$1.json" >>"$TMP/$1.mbit"
	spawn host1 "echo-$1.json" "$FLOW" --listen --bind "$2" --role echo --seconds 1 --timeout 10
	server=$SPAWNED
	in_ns outside "$FLOW" --connect "$3" --role ping --seconds 0.5 --timeout 10 >"$TMP/near.json" || fail "ping $1 failed"
	wait "$server" || true
	jq .rtt_us.p50 "$TMP/near.json" >>"$TMP/$1.rtt"
}

middle() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

measure() {
	local round port
	port=$(port_of "$(set_of host1)" 90)
	nat_on
	for ((round = 1; round <= ROUNDS; round++)); do
		tell "round $round of $ROUNDS: kernel NAT, portarp"
		bulk nat 10.9.0.2:9000 198.51.100.1:9000
		bulk portarp "$SHARED:$port" "$SHARED:$port"
	done
	printf '\n  %-28s %10s %12s\n  %-28s %10s %12s\n' "" throughput "round trip" "outside to host1" "Gbit/s" "µs"
	for name in nat portarp; do
		awk -v name=$name -v mbit="$(middle "$TMP/$name.mbit")" -v rtt="$(middle "$TMP/$name.rtt")" 'BEGIN {
			printf "  %-28s %10.2f %12.1f\n", name == "nat" ? "kernel NAT, a port range" : "portarp (tc, as veth needs)", mbit / 1000, rtt }'
	done
	printf '\n  Medians of %d alternated runs of one TCP connection.\n' "$ROUNDS"
}

title "isthmus portarp: eight hosts, one address"
sharers_net
gateway_set_up
hosts_set_up
services
ftp
neighbours
title "What it costs"
measure
tell "done; removing it all"
