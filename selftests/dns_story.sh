#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Services of a host on odd ports, told by SRV, found by unmodified programs through a stock resolver.
#
#   client                    resolver            dns                  host
#   isthmus-srv-run curl ...  unbound             isthmus-dns          httpd 40080, "ssh" 40022
#   192.0.2.20                192.0.2.10          192.0.2.53           192.0.2.1, 2001:db8::1
#        |                        |                   |                    |
#        +------------------------+------- lan -------+--------------------+
. "${0%/*}/lib/net.sh"

need unbound dig curl wget nc ssh python3

CLIENT=$SELFTESTS/lib/dns_client.py
DNS_PID=''

lan_host() { # NAME ADDRESSES
	net_ns "$1"
	ip link add eth0 netns "$NET-$1" type veth peer name "$1" netns "$NET-lan"
	net_addresses "$1" eth0 "$2"
	in_ns lan ip link set "$1" master br0 up
}

lan_start() {
	net_ns lan
	in_ns lan ip link add br0 type bridge
	in_ns lan ip link set br0 up
	lan_host client 192.0.2.20/24,2001:db8::20/64
	lan_host resolver 192.0.2.10/24
	lan_host dns 192.0.2.53/24,192.0.2.54/24,2001:db8::53/64,2001:db8::54/64
	lan_host host 192.0.2.1/24,2001:db8::1/64
	wait_for 20 in_ns client ping -qc1 -W0.3 192.0.2.53
	wait_for 20 in_ns client ping -qc1 -W0.3 2001:db8::53
}

zone_write() { # SERIAL [LINE]
	cat >"$TMP/zones/example.net" <<-ZONE
		\$TTL 300
		@ SOA ns1 admin $1 3600 600 86400 5
		@ NS ns1
		ns1 A 192.0.2.53
		web A 192.0.2.1
		web AAAA 2001:db8::1
		Mixed.Case CNAME Web
		*.wild A 192.0.2.99
		nothing.web TXT "below"
		$(for i in {1..60}; do echo "big TXT \"record $i of sixty, each as long as this one\""; done)
		${2:-}
	ZONE
}

dns_start() {
	STATE_DIRECTORY=$TMP/state spawn dns dns.log isthmus-dns run --listen :53 --listen 192.0.2.54:5300 \
		--listen '[2001:db8::54]:5300' --zone "example.net=$TMP/zones/example.net" \
		--database "$TMP/state/dns.db" --control "$TMP/dns.sock" --user nobody --metrics 192.0.2.53:9483 \
		--tcp-idle 2 --rate 5 --log-level debug
	DNS_PID=$SPAWNED
	wait_for 20 listening dns u 53
	wait_for 20 dns_command status
}

dns_command() { isthmus-dns "$@" --control "$TMP/dns.sock"; }
dns_count() { dns_command status --json | jq "$1"; } # JQ

resolver_start() {
	cat >"$TMP/unbound.conf" <<-CONF
		server:
			interface: 192.0.2.10
			access-control: 192.0.2.0/24 allow
			username: ""
			chroot: ""
			directory: "$TMP"
			pidfile: ""
			use-syslog: no
			module-config: "iterator"
			use-caps-for-id: yes
			do-ip6: no
			local-zone: "test." nodefault
		remote-control:
			control-enable: no
		stub-zone:
			name: "example.net"
			stub-addr: 192.0.2.53
	CONF
	spawn resolver unbound.log unbound -d -c "$TMP/unbound.conf"
	wait_for 20 listening resolver u 53
}

# As on a host of the LAN: its resolver is unbound.
at_client() {
	nsenter --net="/run/netns/$NET-client" unshare -m sh -c \
		'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$TMP/resolv.conf" "$@"
}
preloaded() { at_client isthmus-srv-run "$@"; }
asked() { at_client dig +time=$((5 * SLOW)) +tries=3 "$@"; }
direct() { in_ns client dig +time=$((5 * SLOW)) +tries=3 @192.0.2.53 "$@"; }
status_of() { sed -n 's/.*status: \([A-Z]*\).*/\1/p'; }

servers_start() {
	mkdir -m 0755 "$TMP/www"
	echo "a page" >"$TMP/www/index.html"
	spawn host httpd.log busybox httpd -f -p 40080 -h "$TMP/www"
	spawn host sshd.log python3 -uc '
import socket
with socket.create_server(("192.0.2.1", 40022)) as server:
    while True:
        client, _ = server.accept()
        client.sendall(b"SSH-2.0-story\r\n")
        print(client.recv(20).decode("latin-1"))
        client.close()'
	wait_for 20 listening host t 40080
	wait_for 20 listening host t 40022
}

# ---- answers

resolver_stories() {
	equal "address through the resolver" "$(asked +short web.example.net)" 192.0.2.1
	equal "IPv6 address" "$(asked +short web.example.net AAAA)" 2001:db8::1
	equal "alias, spelled as in the file" "$(asked +short mixed.case.example.net | paste -sd' ')" \
		"Web.example.net. 192.0.2.1"
	equal "wildcard" "$(asked +short a.b.wild.example.net)" 192.0.2.99
	equal "no such name" "$(asked none.example.net | status_of)" NXDOMAIN
	equal "no such type" "$(asked web.example.net MX | status_of)" NOERROR
	equal "the resolver keeps the absence as long as the SOA says" \
		"$(asked web.example.net MX +noall +authority | awk '{ print $2 <= 5, $4 }')" "1 SOA"
	equal "an empty non-terminal exists" "$(asked case.example.net | status_of)" NOERROR
	equal "long answers by TCP" "$(asked +short big.example.net TXT | wc -l)" 60
	equal "letters of the question come back" "$(direct +noall +answer wEB.eXample.NET | awk '{ print $1 }')" \
		wEB.eXample.NET.
	equal "from the second address" "$(in_ns client dig +short @192.0.2.54 web.example.net)" 192.0.2.1
	equal "from an address that is listened on alone" "$(in_ns client dig +short -p 5300 @192.0.2.54 web.example.net)" 192.0.2.1
	equal "by IPv6, alone" "$(in_ns client dig +short -p 5300 @2001:db8::54 web.example.net)" 192.0.2.1
	equal "by IPv6" "$(in_ns client dig +short @2001:db8::53 web.example.net)" 192.0.2.1
	equal "zone transfers are refused" "$(direct example.net AXFR | grep -c 'Transfer failed')" 1
	equal "other zones are refused" "$(direct example.org | status_of)" REFUSED
	equal "updates are not implemented" "$(printf 'server 192.0.2.53\nzone example.net\nupdate add x.example.net 60 A 192.0.2.9\nsend\n' |
		in_ns client nsupdate 2>&1 | grep -o NOTIMP)" NOTIMP
	equal "EDNS of another version" "$(direct +edns=1 +noednsnegotiation web.example.net | status_of)" BADVERS
	equal "a client subnet comes back with scope 0" \
		"$(direct +subnet=198.51.100.0/24 web.example.net | sed -n 's/.*CLIENT-SUBNET: //p')" 198.51.100.0/24/0
	equal "dig takes our cookie" "$(direct web.example.net | grep -c 'COOKIE: .* (good)')" 1
}

# ---- services

page() { "$@" 2>&1; }
srv_is() { [ "$(asked +short "$1" SRV)" = "$2" ]; } # NAME DATA

service_stories() {
	refuse "without SRV nobody finds the port" preloaded curl -sS --max-time 20 http://web.example.net/
	check "publish http" dns_command publish _http._tcp.web.example.net --target web.example.net --port 40080 --ttl 1
	check "publish ssh" dns_command publish _ssh._tcp.web.example.net --target web.example.net --port 40022 --ttl 1
	# That there was none is kept by the resolver for 5 s.
	check "SRV through the resolver" wait_for 30 srv_is _http._tcp.web.example.net "0 0 40080 web.example.net."
	check "and the other" wait_for 30 srv_is _ssh._tcp.web.example.net "0 0 40022 web.example.net."
	refuse "without the shim curl does not find it" at_client curl -sS --max-time 20 http://web.example.net/
	equal "curl" "$(page preloaded curl -sS --max-time 30 http://web.example.net/)" "a page"
	equal "curl by IPv6" "$(page preloaded curl -6 -sS --max-time 30 http://web.example.net/)" "a page"
	equal "wget" "$(page preloaded wget -q -O - -T 30 -t 1 http://web.example.net/)" "a page"
	equal "nc with the service's name" \
		"$(printf 'GET / HTTP/1.0\r\n\r\n' | page preloaded nc -w 20 web.example.net http | tail -n 1)" "a page"
	equal "nc with its number" \
		"$(printf 'GET / HTTP/1.0\r\n\r\n' | page preloaded nc -w 20 web.example.net 80 | tail -n 1)" "a page"
	equal "python" "$(page preloaded python3 -c '
import urllib.request
print(urllib.request.urlopen("http://web.example.net/", timeout=10).read().decode(), end="")')" "a page"
	preloaded ssh -F none -o BatchMode=yes -o ConnectTimeout=30 web.example.net true >"$TMP/ssh.log" 2>&1 || true
	check "ssh comes to its server" wait_for 20 log_has sshd.log '^SSH-2.0-OpenSSH'
	refuse "numbers only if they are wanted" preloaded env ISTHMUS_SRV_NUMERIC=0 curl -sS --max-time 20 http://web.example.net/
	equal "names always" "$(page preloaded env ISTHMUS_SRV_NUMERIC=0 python3 -c '
import socket
print(socket.create_connection(("web.example.net", "http"), 10).getpeername()[1])')" 40080
	equal "a port that has no name is left alone" \
		"$(page preloaded curl -sS --max-time 30 http://web.example.net:40080/)" "a page"
	equal "8 threads, freed by libc, errno kept" \
		"$(preloaded env ASAN_OPTIONS=verify_asan_link_order=0 "$B/selftests/srv" client web.example.net http | sort | paste -sd' ')" \
		"192.0.2.1 40080 2001:db8::1 40080"
}

# services_are PORTS: as a program gets them
services_are() {
	[ "$(preloaded python3 -c '
import socket
print([a[4][1] for a in socket.getaddrinfo("web.example.net", "http", socket.AF_INET, socket.SOCK_STREAM)])')" = "$1" ]
}

order_stories() {
	check "a better one, which is down" dns_command publish _http._tcp.web.example.net --target web.example.net \
		--port 40081 --ttl 1
	check "the other one as the second" dns_command publish _http._tcp.web.example.net --target web.example.net \
		--port 40080 --priority 5 --ttl 1
	# The resolver keeps what it has for a second or two.
	check "in order of priority" wait_for 10 services_are "[40081, 40080]"
	equal "curl goes on to the second" "$(page preloaded curl -sS --max-time 30 http://web.example.net/)" "a page"
	check "withdraw it" dns_command withdraw _http._tcp.web.example.net --port 40081
	check "a service that is not available" dns_command publish _https._tcp.web.example.net --target . --port 0 --ttl 1
	equal "curl is told so" "$(preloaded curl -sS --max-time 20 https://web.example.net/ 2>/dev/null || echo $?)" 6
	check "publish with an owner" dns_command publish _x._tcp.web.example.net --target web.example.net --port 1 --owner one
	refuse "another owner cannot change it" dns_command publish _x._tcp.web.example.net --target web.example.net --port 1 \
		--owner two
	check "an owner withdraws all that is his" dns_command withdraw --owner one
	equal "and no more" "$(dns_command list | awk '{ print $1 }' | sort -u | paste -sd' ')" \
		"_http._tcp.web.example.net. _https._tcp.web.example.net. _ssh._tcp.web.example.net."
	refuse "nothing is published outside of the zones" dns_command publish _http._tcp.example.org --target a --port 1
}

# ---- restarts

restart_stories() {
	equal "privileges are gone" "$(awk '/^(Uid|CapEff|CapBnd)/ { print $2 }' "/proc/$DNS_PID/status" | paste -sd' ')" \
		"65534 0000000000000000 0000000000000000"
	check "publish for 2 s" dns_command publish short.example.net --address 192.0.2.2 --seconds 2
	equal "it is there" "$(direct +short short.example.net)" 192.0.2.2
	end "$DNS_PID" KILL
	wait_for 20 ended "$DNS_PID"
	chown -R root:root "$TMP/state" # as systemd does with a StateDirectory
	dns_start
	equal "published records outlive a kill" "$(direct +short _http._tcp.web.example.net SRV)" \
		"5 0 40080 web.example.net."
	check "what has ended is gone" wait_for 20 gone short.example.net
	zone_write 2 "added A 192.0.2.3"
	kill -HUP "$DNS_PID"
	check "SIGHUP takes the new zone" wait_for 20 serial_is 2
	equal "its name" "$(direct +short added.example.net)" 192.0.2.3
	equal "and the published one" "$(direct +short _http._tcp.web.example.net SRV)" "5 0 40080 web.example.net."
	zone_write 3 "wrong A 192.0.2.999"
	kill -HUP "$DNS_PID"
	check "a wrong zone is told with its line" wait_for 20 log_has dns.log 'example.net:[0-9]+: .*stay as they are'
	equal "and not taken" "$(direct +short example.net SOA | awk '{ print $3 }')" 2
	refuse "check finds it too" isthmus-dns check --zone "example.net=$TMP/zones/example.net"
	zone_write 4
	check "check likes the right one" isthmus-dns check --zone "example.net=$TMP/zones/example.net"
}

gone() { [ "$(direct "$1" | status_of)" = NXDOMAIN ]; }
serial_is() { [ "$(direct +short example.net SOA | awk '{ print $3 }')" = "$1" ]; }

# ---- who means no good

hostile_stories() {
	local before flood
	before=$(dns_count .questions_udp)
	check "garbage" in_ns client python3 "$CLIENT" garbage 192.0.2.53 2000
	equal "the server goes on" "$(direct +short web.example.net)" 192.0.2.1
	check "it saw the garbage" wait_for 20 seen_more_than $((before + 1800))
	at_least "malformed questions are counted" "$(dns_count .answers.formerr)" 20
	at_least "answers are dropped" "$(dns_count .answers.dropped)" 400
	at_least "senseless streams end" "$(dns_count .tcp_malformed)" 15
	equal "500 questions in one stream, in order" "$(in_ns client python3 "$CLIENT" pipeline 192.0.2.53 500)" 500
	at_most "half a question is waited for 2 s" "$(in_ns client python3 "$CLIENT" stall 192.0.2.53 $((20 * SLOW)))" \
		$((15 * SLOW))
	at_least "that was its end by the clock" "$(dns_count .tcp_timeouts)" 1
	equal "50 connections for one address" "$(in_ns client python3 "$CLIENT" connections 192.0.2.53 70)" 50
	at_least "more are refused" "$(dns_count .tcp_refused)" 20
	read -ra flood <<<"$(in_ns client python3 "$CLIENT" flood 192.0.2.53 web.example.net 1000)"
	equal "who asks for what exists is never limited" "${flood[0]}" 1000
	read -ra flood <<<"$(in_ns client python3 "$CLIENT" flood 192.0.2.53 x.none.example.net 1000)"
	at_most "unknown names are, answers" "${flood[0]}" $((100 * SLOW))
	at_least "some are told to use TCP" "${flood[1]}" 200
	at_least "others get nothing" "${flood[2]}" 300
	equal "who does is answered" "$(direct +tcp x.none.example.net | status_of)" NXDOMAIN
	equal "and so is the resolver" "$(asked y.none.example.net | status_of)" NXDOMAIN
}

seen_more_than() { [ "$(dns_count .questions_udp)" -gt "$1" ]; }

metric_stories() {
	local metrics
	metrics=$(in_ns client curl -sS http://192.0.2.53:9483/metrics)
	at_least "metrics count answers" "$(sed -n 's/^isthmus_dns_answers_total{result="noerror"} //p' <<<"$metrics")" 1500
	equal "metrics count records" "$(sed -n 's/^isthmus_dns_records //p' <<<"$metrics")" "$(dns_command list | wc -l)"
}

mkdir -m 0755 "$TMP/zones"
chmod 0711 "$TMP"
install -d -m 0700 -o 65534 -g 65534 "$TMP/state"
echo "nameserver 192.0.2.10" >"$TMP/resolv.conf"
zone_write 1
lan_start
dns_start
resolver_start
servers_start
resolver_stories
service_stories
order_stories
restart_stories
hostile_stories
metric_stories
