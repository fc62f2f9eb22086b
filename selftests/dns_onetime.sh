#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# One-time names with the real agent: unmodified web servers, resolvers and clients; each client that asks for the name
# gets an address of its own, which serves it alone.
#
#   alice ──── 198.18.1.0/24, 2001:db8:a::/64 ────┐
#   carol ──── 198.18.2.0/24, 2001:db8:c::/64 ────┤
#   resolver ─ 198.18.3.0/24, 2001:db8:e::/64 ────┼── inet: router; 203.0.113.54 root, 203.0.113.53 isthmus-dns
#   box ────── 198.18.4.0/24, 2001:db8:b::/64 ────┘
#     web servers on port 80, isthmus-onetime; pool 2001:db8:99::/64
#
# unbound keeps an answer with TTL 0 for the second in which it came, and as dnsmasq lets a second question wait for the
# answer of the first. Two clients of one resolver are told two addresses if they ask in two seconds; where nothing is
# kept (stub-no-cache), at any two times.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/resolvers.sh"
need jq dig curl busybox

ZONE=example.net HOME_NAME=home.example.net DNS=203.0.113.53 RESOLVER=198.18.3.2 BOX4=198.18.4.2
POOL=2001:db8:99::
ANCHOR=$TMP/anchor
DNS_PID='' AGENT_PID=''

world() {
	local ns i=0 letter=(a c e b)
	net_ns inet alice carol resolver box
	for ns in alice carol resolver box; do
		net_link "$ns" eth0 "198.18.$((i + 1)).2/24,2001:db8:${letter[i]}::2/64" \
			inet "$ns" "198.18.$((i + 1)).1/24,2001:db8:${letter[i]}::1/64"
		net_route "$ns" default "198.18.$((i + 1)).1" "2001:db8:${letter[i]}::1"
		i=$((i + 1))
	done
	net_addresses inet lo "$DNS/32,$ROOT/32"
	net_forward inet
	net_route inet ${POOL}/64 2001:db8:b::2
}

zone() {
	cat >"$TMP/$ZONE.zone" <<-ZONE
		\$TTL 300
		@ SOA ns admin 1 3600 600 86400 5
		@ NS ns
		ns A $DNS
		legacy.home A $BOX4
	ZONE
}

# ---- what is said

dns_says() { isthmus-dns "$@" --control "$TMP/dns.sock"; }
agent_says() { in_ns box isthmus-onetime "$@" --control "$TMP/agent.sock"; }
count() { dns_says status --json | jq ".members.gives.$1"; }
ask() { in_ns "$1" dig "@$RESOLVER" +time=$((4 * SLOW)) +tries=2 "$2.$HOME_NAME" "${@:3}"; } # NS NAME WORD...
direct() { in_ns resolver dig "@$DNS" +time=$((4 * SLOW)) +tries=1 "$1.$HOME_NAME" "${@:2}"; }
address_of() { ask "$1" "$2" AAAA +short "${@:3}"; }
verdict() { # "NOERROR ad 2"
	sed -n 's/.*status: \([A-Z]*\),.*/\1/p; s/^;; flags: \([a-z ]*\);.*ANSWER: \([0-9]*\),.*/\1 \2/p' | paste -sd' ' |
		awk '{ ad = "-"; for (i = 2; i < NF; i++) if ($i == "ad") ad = "ad"; print $1, ad, $NF }'
}
with_names() { # NS cmd...
	unshare -m sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$TMP/etc/resolv.conf" \
		nsenter --net="/run/netns/$NET-$1" "${@:2}"
}
page() { in_ns "$1" curl -gsS --max-time $((3 * SLOW)) "http://[$2]/"; }			     # NS ADDRESS
by_name() { with_names "$1" curl -sS --max-time $((5 * SLOW)) -w ' %{remote_ip}\n' "http://$2.$HOME_NAME/"; } # NS NAME
in_pool() { [[ $1 == 2001:db8:99:* ]]; }
next_second() { sleep 1.1; }

# ---- programs

dns_start() {
	spawn inet dns.log isthmus-dns run --listen $DNS:53 --zone "$ZONE=$TMP/$ZONE.zone" --database "$TMP/state/dns.db" \
		--control "$TMP/dns.sock" --members $DNS:3481 --subnet-from $RESOLVER/32 --metrics $DNS:9483 --log-level debug
	DNS_PID=$SPAWNED
	wait_for 20 dns_says status
}
agent_start() { # OPTION...
	spawn box agent.log isthmus-onetime run --instance "$INSTANCE" --state "$TMP/onetime.db" --control "$TMP/agent.sock" \
		--credentials "$TMP/onetime.secret" --log-level debug "$@"
	AGENT_PID=$SPAWNED
	wait_for 20 agent_says status
}
web() { # NAME PORT
	mkdir -p "$TMP/www$1"
	echo "page of $1" >"$TMP/www$1/index.html"
	spawn box "httpd-$1.log" busybox httpd -f -p "[::]:$2" -h "$TMP/www$1"
	wait_for 10 listening box t "$2"
	check "listener $1" agent_says listen "$SPAWNED" eth0 --name "$1"
}
is_told() { direct "$1" AAAA | has 'status: NOERROR'; }
connected() { [ "$(dns_says status --json | jq '.members.onetime[0].connected')" = "$1" ]; }
story_end() { in_ns box isthmus onetime detach --instance "$INSTANCE" >/dev/null 2>&1; }

# ---- with a resolver

two_clients() { # RESOLVER [PAUSE]
	local a c pause=${2:-next_second}
	$pause
	a=$(address_of alice web)
	$pause
	c=$(address_of carol web)
	check "$1: alice's address is of the pool" in_pool "$a"
	check "$1: carol's, too" in_pool "$c"
	check "$1: they are not the same" [ "$a" != "$c" ]
	equal "$1: alice's page" "$(page alice "$a")" "page of web"
	equal "$1: carol's page" "$(page carol "$c")" "page of web"
	refuse "$1: the address of alice serves carol not" page carol "$a"
	refuse "$1: nor alice a second time" page alice "$a"
}

by_names() { # RESOLVER
	local ns got
	for ns in alice carol alice; do
		next_second
		got=$(by_name $ns web)
		equal "$1: $ns by name" "$(head -n 1 <<<"$got")" "page of web"
		check "$1: at an address of the pool" in_pool "$(tail -n 1 <<<"$got" | awk '{ print $NF }')"
	done
	next_second
	equal "$1: happy eyeballs, with an A beside" "$(by_name alice legacy | head -n 1)" "page of legacy"
	equal "$1: IPv4 only" "$(with_names carol curl -4sS --max-time $((5 * SLOW)) "http://legacy.$HOME_NAME:81/")" \
		"page of legacy"
}

answers_of() { # RESOLVER
	local before told
	next_second
	equal "$1: TTL 0 is told on" "$(ask alice web AAAA +noall +answer | awk '{ print $2 }')" 0
	equal "$1: A: none" "$(ask alice web A | verdict)" "NOERROR - 0"
	equal "$1: HTTPS: none" "$(ask alice web TYPE65 | verdict)" "NOERROR - 0"
	before=$(count given)
	told=$(for _ in 1 2 3; do
		next_second
		address_of alice web
	done)
	equal "$1: three questions, three addresses" "$(sort -u <<<"$told" | grep -c "^${POOL%:}")" 3
	at_least "$1: counted" "$(count given)" $((before + 3)) # a resolver may ask again
}

signed() {
	dns_says key add $ZONE >/dev/null
	dns_says key show $ZONE >"$ANCHOR"
	resolver_start unbound validating
	equal "signed: an address" "$(ask alice web AAAA +dnssec | verdict)" "NOERROR ad 2"
	equal "signed: no A" "$(ask alice web A +dnssec | verdict)" "NOERROR ad 0"
	equal "signed: no HTTPS" "$(ask alice web TYPE65 +dnssec | verdict)" "NOERROR ad 0"
	equal "signed: no such name" "$(ask alice nobody AAAA +dnssec | verdict)" "NOERROR ad 0"
	next_second
	equal "signed: an address after the denials" "$(ask alice web AAAA +dnssec | verdict)" "NOERROR ad 2"
	equal "signed: the A beside" "$(ask alice legacy A +dnssec | verdict)" "NOERROR ad 2"
	two_clients signed
	resolver_end
}

# ---- limits

# Who asks for more than it may have is told its oldest ones again.
client_limit() {
	local i told=()
	end "$AGENT_PID"
	agent_start --dns-pending 3 --dns-ttl 30
	check "the agent is back" wait_for 20 is_told web
	for i in 1 2 3 4 5 6 7 8; do told+=("$(in_ns carol dig @$DNS +short "web.$HOME_NAME" AAAA)"); done
	equal "limit: three addresses for eight questions" "$(printf '%s\n' "${told[@]}" | sort -u | grep -c "^${POOL%:}")" 3
	equal "limit: by turns" "${told[3]} ${told[4]} ${told[5]}" "${told[0]} ${told[1]} ${told[2]}"
	check "limit: another client is told another" [ "$(in_ns alice dig @$DNS +short "web.$HOME_NAME" AAAA)" != "${told[0]}" ]
	equal "limit: they serve" "$(page carol "${told[0]}")" "page of web"
	equal "limit: what is used makes room" \
		"$(in_ns carol dig @$DNS +short "web.$HOME_NAME" AAAA | grep -cFx "$(printf '%s\n' "${told[@]}")")" 0
}

# Given to alice's network alone, if her resolver tells it.
only_subnet() {
	local address
	end "$AGENT_PID"
	agent_start --dns-only client-subnet
	check "the agent is back" wait_for 20 is_told web
	address=$(direct web AAAA +short +subnet=2001:db8:a::/64)
	refuse "only: carol is not of the subnet" page carol "$address"
	equal "only: alice is" "$(page alice "$address")" "page of web"
	address=$(direct web AAAA +short +subnet=198.18.1.0/24)
	equal "only: a subnet of the other family says nothing" "$(page carol "$address")" "page of web"
}

# When half of what a listener may have is out, addresses are for who is no forgery: by TCP.
scarce() {
	local i before
	end "$AGENT_PID"
	agent_start --pending-of-listener 40 --dns-pending 32
	check "the agent is back" wait_for 20 is_told web
	before=$(count scarce)
	for i in {1..25}; do direct web AAAA +short +nocookie +ignore >/dev/null; done
	equal "scarce: by UDP: truncated" "$(direct web AAAA +nocookie +ignore | grep -c '^;; flags: .* tc')" 1
	at_least "scarce: counted" "$(count scarce)" $((before + 1))
	for i in {1..6}; do in_ns alice dig "@$DNS" +short +nocookie +tcp "web.$HOME_NAME" AAAA; done >"$TMP/scarce"
	equal "scarce: by TCP: two for a client, by turns" "$(sort "$TMP/scarce" | uniq -c | awk '{ print $1 }' | paste -sd,)" 3,3
	equal "scarce: they serve" "$(page alice "$(head -n 1 "$TMP/scarce")")" "page of web"
}

metrics_are_counts() {
	local event
	for event in asked given none scarce timeout; do
		equal "metrics: $event" "$(in_ns inet curl -sS "http://$DNS:9483/metrics" |
			sed -n "s/^isthmus_dns_onetime_total{event=\"$event\"} //p")" "$(count $event)"
	done
	equal "status: the agent" "$(dns_says status | grep -c "^onetime  *$HOME_NAME connected, 2 services")" 1
}

unused_expire() {
	local address
	end "$AGENT_PID"
	agent_start --dns-ttl 5
	check "the agent is back" wait_for 20 is_told web
	address=$(direct web AAAA +short)
	sleep $((6 * SLOW))
	refuse "an address that was not used in time is dead" page alice "$address"
}

comes_and_goes() {
	local before
	before=$(count offline)
	end "$AGENT_PID"
	check "the agent is gone" wait_for 5 connected false
	equal "without the agent: SERVFAIL" "$(direct web AAAA | verdict)" "SERVFAIL - 0"
	equal "the name is still there" "$(direct web TXT | verdict)" "NOERROR - 0"
	at_least "counted" "$(count offline)" $((before + 1))
	end "$DNS_PID"
	dns_start
	equal "the name server restarts: SERVFAIL, not NXDOMAIN" "$(direct web AAAA | verdict)" "SERVFAIL - 0"
	agent_start
	check "the agent logs in, with its listeners of before" wait_for 20 is_told web
	check "a listener ends" agent_says listen --del web
	check "and so does its name" wait_for 5 eval 'direct web AAAA | has NXDOMAIN'
}

world
zone
resolver_root
dns_start
check "attach" in_ns box isthmus onetime attach --dev eth0 --instance "$INSTANCE"
check "a pool" in_ns box isthmus onetime pool add eth0 ${POOL}/64 --instance "$INSTANCE"
line=$(dns_says onetime add $HOME_NAME)
check "join" in_ns box isthmus-onetime join "$line" --credentials "$TMP/onetime.secret"
equal "a secret is nobody else's to read" "$(stat -c %a "$TMP/onetime.secret")" 600
equal "list" "$(dns_says onetime list)" $HOME_NAME
agent_start
web web 80
web legacy 81
check "the name is served" wait_for 10 is_told web
check "the other one, too" wait_for 10 is_told legacy
equal "status of the agent" "$(agent_says status --json | jq -c .name_server)" "{\"name\":\"$HOME_NAME\",\"connected\":true}"
for house in unbound dnsmasq; do
	if ! command -v $house >/dev/null; then
		skip "$house" "no program $house"
		continue
	fi
	resolver_start $house
	two_clients $house
	by_names $house
	answers_of $house
	[ $house != dnsmasq ] || two_clients "dnsmasq, at once" true
	resolver_end
done
if command -v unbound >/dev/null; then
	resolver_start unbound uncached
	two_clients "unbound, nothing kept" true
	resolver_end
	signed
else
	skip "signed" "no program unbound"
fi
only_subnet
client_limit
scarce
metrics_are_counts
unused_expire
comes_and_goes
equal "no answer was late or bad" "$(($(count late) + $(count bad)))" 0
