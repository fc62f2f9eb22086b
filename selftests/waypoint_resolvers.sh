#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Resolvers of several houses between clients and names that a waypoint binds: unbound, dnsmasq, BIND 9 and Knot Resolver,
# one after the other, in front of the same agents. The network is drawn in lib/aves.sh; beside alice and carol there are
# dave 198.18.7.7, erin 198.18.8.8 and frank 198.18.9.9, each in a network of its own, for resolvers that tell their
# clients' networks.
#
# All bound names are asked for by way of the resolver's address: who asks from another one is told other waypoint
# addresses, at which clients that are bound there would be violators.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/aves.sh"
. "${0%/*}/lib/resolvers.sh"
need jq ethtool nft python3 dig curl busybox

ANCHOR=$TMP/anchor

dig_at() { in_ns "$1" dig "@$2" +time=$((4 * SLOW)) +tries=2 "${@:3}"; } # NS ADDRESS WORD...
ask() { dig_at alice $RESOLVER "$1.$ZONE" "${@:2}"; }			    # NAME WORD...
address_of() { ask "$1" A +short "${@:2}"; }
# "NOERROR ad 2": the code, whether it was found secure, and how many answers there are.
verdict() {
	sed -n 's/.*status: \([A-Z]*\),.*/\1/p; s/^;; flags: \([a-z ]*\);.*ANSWER: \([0-9]*\),.*/\1 \2/p' | paste -sd' ' |
		awk '{ ad = "-"; for (i = 2; i < NF; i++) if ($i == "ad") ad = "ad"; print $1, ad, $NF }'
}
is_one_of_ours() { [[ " ${W[*]} " == *" $1 "* ]]; }
waits() { in_ns wp isthmus waypoint waits --instance "$INSTANCE" --json | jq -c ".waits | map($1)"; } # JQ
no_waits() { [ "$(waits .address)" = '[]' ]; }
bindings() { # INITIATOR JQ
	in_ns wp isthmus waypoint list --instance "$INSTANCE" --json |
		jq -c --arg of "$1" ".bindings | map(select(.initiator == \$of)) | $2"
}
dns_count() { dns_says status --json | jq "$1"; } # JQ
web() {						  # HOME: a page that tells which home it is
	mkdir -p "$TMP/www$1"
	echo "home $1" >"$TMP/www$1/index.html"
	spawn "host$1" "httpd$1.log" busybox httpd -f -p "[::]:80" -h "$TMP/www$1"
	wait_for 5 listening "host$1" t 80
}
page() { with_names "$1" curl -sS --max-time $((10 * SLOW)) "-$2" "http://$3.$ZONE/"; } # NS FAMILY NAME
name_server() { aves_dns --subnet-from $RESOLVER/32; }

big_record() {
	local i
	for i in {1..60}; do echo "big TXT \"record $i of sixty, each as long as this one\""; done >>"$TMP/$ZONE.zone"
}

clients() { # NAME=NETWORK...
	local one
	for one; do
		net_ns "${one%=*}"
		aves_port out "${one%=*}" "198.18.${one#*=}.${one#*=}/24"
		in_ns inet ip addr add "198.18.${one#*=}.1/24" dev out
		net_route "${one%=*}" default "198.18.${one#*=}.1"
	done
}

# ---- without a resolver: what diagnostic programs can ask

odd() { dig_at resolver $DNS "web.home1.$ZONE" "$@"; }
odd_options() {
	local option own
	own=$(odd +short)
	check "an A is a waypoint address" is_one_of_ours "$own"
	for option in +nsid +cookie=0011223344556677 +nocookie +ednsopt=65001:00ff +tcp +notcp "+tcp +keepalive" +bufsize=512 +bufsize=0 \
		+noedns +norec +cdflag +zflag +dnssec +ednsflags=0x0040 +edns=1 +padding=128 +subnet=0.0.0.0/0 +subnet=2001:db8::/48 +qid=0; do
		# shellcheck disable=SC2086 # several words
		equal "dig $option" "$(odd +short $option)" "$own"
	done
	if command -v kdig >/dev/null; then odd_kdig "$own"; else skip "kdig" "no program kdig"; fi
	equal "the name is told in the letters that it was asked in" \
		"$(dig_at resolver $DNS "wEb.hOMe1.$ZONE" +noall +answer | cut -f1)" "wEb.hOMe1.$ZONE."
	equal "an answer of authority" "$(odd +norec | grep -c '^;; flags: qr aa;')" 1
	equal "the cookie comes back good" "$(odd +cookie | grep -c 'COOKIE: .*(good)')" 1
	equal "EDNS of another version" "$(odd +edns=1 +noednsnegotiation | grep -c 'status: BADVERS')" 1
	equal "ANY of a name that has none but waypoint addresses" "$(odd ANY | verdict)" "NOERROR - 0"
	equal "another class" "$(odd -c CH | verdict)" "REFUSED - 0"
	equal "another operation" "$(odd +opcode=STATUS | verdict)" "NOTIMP - 0"
	equal "a zone transfer" "$(odd AXFR | grep -c 'Transfer failed')" 1
}

odd_kdig() { # ADDRESS
	local option
	for option in +nsid +cookie +tcp +bufsize=512 +alignment=128 +ednsopt=65001:00ff +dnssec +norec; do
		equal "kdig $option" "$(in_ns resolver kdig "@$DNS" +timeout=$((4 * SLOW)) +short "$option" "web.home1.$ZONE" A)" "$1"
	done
}

# ---- by a resolver

# each NAME: what all of them must do, from another resolver's clients' view
each() {
	resolver_start "$1"
	static_names "$1"
	bound_names "$1"
	at_once "$1"
	scarce "$1"
	zero_ttl "$1"
	restarts "$1"
	resolver_end
}

static_names() {
	local before
	equal "$1: a static name" "$(address_of www)" 203.0.113.200
	equal "$1: TXT below a bound name" "$(ask text.web.home1 TXT +short)" '"beside a bound name"'
	equal "$1: no such name" "$(ask nobody.home1 | verdict)" "NXDOMAIN - 0"
	equal "$1: MX of a bound name: none" "$(ask web.home1 MX | verdict)" "NOERROR - 0"
	before=$(dns_count .questions_tcp)
	equal "$1: sixty records" "$(ask big TXT +short | sort -u | wc -l)" 60
	at_least "$1: by TCP" "$(dns_count .questions_tcp)" $((before + 1))
}

bound_names() {
	local home
	for home in 1 2; do
		equal "$1: the page of home$home" "$(page alice 4 "web.home$home")" "home $home"
		check "$1: by a waypoint address" is_one_of_ours "$(address_of "web.home$home")"
	done
	equal "$1: an IPv4 client, an IPv6 host" "$(page alice 4 six.home1)" "home 1"
	equal "$1: by IPv6" "$(page alice 6 web.home1)" "home 1"
	equal "$1: AAAA is in the waypoint's prefix" "$(ask web.home2 AAAA +short | grep -c '^2001:db8:9:')" 1
	equal "$1: alice has an address for each of the three" "$(bindings $ALICE 'map(.waypoint) | unique | length')" 3
	at_least "$1: what is bound stays so, seconds" "$(bindings $ALICE 'map(.left) | min | floor')" 100
}

at_once() {
	local job jobs=()
	page alice 4 web.home1 >"$TMP/page.1" 2>&1 &
	jobs+=($!)
	page alice 4 web.home1 >"$TMP/page.2" 2>&1 &
	jobs+=($!)
	page carol 4 web.home1 >"$TMP/page.3" 2>&1 &
	jobs+=($!)
	page carol 4 web.home2 >"$TMP/page.4" 2>&1 &
	jobs+=($!)
	for job in "${jobs[@]}"; do wait "$job" || true; done
	equal "$1: twice the same client at once, and two clients" "$(cat "$TMP"/page.[1-4] | paste -sd,)" "home 1,home 1,home 1,home 2"
}

# Two of three addresses wait: the third question must show that its sender is no forgery.
scarce() {
	local before got
	check "$1: no wait is left" wait_for 10 no_waits
	before=$(dns_count .members.bindings.proven_first)
	{
		dig_at alice $RESOLVER +short "web.home1.$ZONE" "web.home2.$ZONE"
		sleep 0.3 # the name server looks now and then how many wait
		dig_at alice $RESOLVER +short "six.home1.$ZONE"
	} >"$TMP/three"
	got=$(sort -u "$TMP/three" | grep -cxFf <(printf '%s\n' "${W[@]}"))
	equal "$1: three names in a row, three addresses" "$got" 3
	if [ "$1" = bind ]; then
		equal "$1: has shown cookies" "$(dns_count .members.bindings.proven_first)" "$before"
	else
		at_least "$1: came again by TCP" "$(dns_count .members.bindings.proven_first)" $((before + 1))
	fi
}

# The waypoint does not answer, so the resolver asks again; a new one, which has not learned to be patient.
held_once() {
	local own before late
	own=$(address_of web.home2)
	resolver_end
	check "$1: no wait is left" wait_for 10 no_waits
	resolver_start "$1"
	equal "$1: restarts: AAAA" "$(ask web.home2 AAAA +short | grep -c '^2001:db8:9:')" 1
	before=$(dns_count .questions_udp)
	kill -STOP "${AVES_PID[wp]}"
	in_ns carol dig "@$RESOLVER" +short +time=$((1 * SLOW)) +tries=8 "web.home2.$ZONE" >"$TMP/late" &
	late=$!
	wait_for 2 questions_are $((before + 2)) || true
	kill -CONT "${AVES_PID[wp]}"
	wait_for 2 waits_to "$TMP/waits" || true
	wait "$late" || true
	[ "$1" = dnsmasq ] || # which lets a second one of the same wait for the first one's answer
		at_least "$1: asked again while its question was held" "$(dns_count .questions_udp)" $((before + 2))
	equal "$1: is answered as before" "$(grep -v '^;' "$TMP/late")" "$own"
	equal "$1: at one address, for anybody" "$(jq -c unique "$TMP/waits")" "[\"$own/0\"]"
	equal "$1: and its page" "$(page carol 4 web.home2)" "home 2"
	equal "$1: carol is bound once there" "$(bindings 198.51.100.9 'map(.waypoint) | sort == unique')" true
}
questions_are() { [ "$(dns_count .questions_udp)" -ge "$1" ]; }
waits_to() { waits '"\(.address)/\(.bits)"' >"$1" && ! grep -qx '\[\]' "$1"; } # FILE

# Whether it is kept although its TTL is 0.
zero_ttl() {
	local before
	equal "$1: TTL 0 is told on" "$(ask web.home1 +noall +answer | awk '{ print $2 }')" 0
	before=$(dns_count .members.bindings.accepted)
	for _ in 1 2; do
		sleep 1.1 # unbound keeps it for the second in which it came
		ask web.home1 >/dev/null
	done
	equal "$1: TTL 0 is not kept: two questions, two waits" "$(($(dns_count .members.bindings.accepted) - before))" 2
}

restarts() {
	kill_agent dns
	name_server
	check "$1: the name server restarts" aves_ready home1 home2
	equal "$1: the page of home1" "$(page alice 4 web.home1)" "home 1"
	equal "$1: and of home2" "$(page alice 4 web.home2)" "home 2"
	held_once "$1"
	equal "$1: restarted: the page of home1" "$(page alice 4 web.home1)" "home 1"
	equal "$1: and of home2 for another" "$(page carol 4 web.home2)" "home 2"
}
kill_agent() { end "${AVES_PID[$1]}" KILL; }

# Answers are kept for 5 seconds by default, which is longer than a wait: it serves who is bound, and nobody else.
kresd_keeps() {
	resolver_start kresd keeping
	equal "kresd, as it is: the page of home1" "$(page alice 4 web.home1)" "home 1"
	at_least "kresd, as it is: keeps an address for some seconds" "$(ask web.home1 +noall +answer | awk '{ print $2 }')" 1
	equal "kresd, as it is: the page again" "$(page alice 4 web.home1)" "home 1"
	resolver_end
}

# ---- a signed zone

signed() { # NAME
	resolver_start "$1" validating
	equal "$1: signed: a static name" "$(ask www +dnssec | verdict)" "NOERROR ad 2"
	equal "$1: signed: a bound name" "$(ask web.home1 +dnssec | verdict)" "NOERROR ad 2"
	check "$1: signed: a waypoint address" is_one_of_ours "$(address_of web.home1)"
	equal "$1: signed: AAAA" "$(ask web.home1 AAAA +dnssec | verdict)" "NOERROR ad 2"
	equal "$1: signed: TXT below a bound name" "$(ask text.web.home1 TXT +dnssec | verdict)" "NOERROR ad 2"
	equal "$1: signed: MX of a bound name: none" "$(ask web.home1 MX +dnssec | verdict)" "NOERROR ad 0"
	equal "$1: signed: no such name" "$(ask nobody.home1 +dnssec | verdict)" "NOERROR ad 0"
	equal "$1: signed: a bound name after the denials" "$(ask web.home2 +dnssec | verdict)" "NOERROR ad 2"
	[ "$1" = kresd ] || # which does not implement it
		equal "$1: signed: ANY of a bound name: none" "$(ask six.home1 ANY +dnssec | verdict)" "NOERROR ad 0"
	equal "$1: signed: by TCP" "$(ask web.home1 +dnssec +tcp | verdict)" "NOERROR ad 2"
	equal "$1: signed: the page of home1" "$(page alice 4 web.home1)" "home 1"
	equal "$1: signed: the page of home2" "$(page alice 4 web.home2)" "home 2"
	resolver_end
}

# Another zone's key: what is forged is not believed.
bogus() {
	awk '$4 == "DNSKEY" { $8 = substr($8, 1, 20) "AAAAAAAA" substr($8, 29) } $4 == "DNSKEY"' "$ANCHOR" >"$ANCHOR.wrong"
	mv "$ANCHOR.wrong" "$ANCHOR"
	resolver_start unbound validating
	equal "another key: a bound name is taken for forged" "$(ask web.home1 +dnssec | verdict)" "SERVFAIL - 0"
	resolver_end
}

# ---- resolvers that tell their clients' networks (W17)

subnet_of() { sed -n 's/^; CLIENT-SUBNET: //p'; }
waits_for() { # NS NAME PREFIX BITS: asks, and is waited for with this prefix
	dig_at "$1" $RESOLVER +short "$2.$ZONE" A
	waits '"\(.prefix)/\(.bits)"' | has -F "\"$3/$4\""
}
refused_ping() { ! in_ns erin ping -qc1 -W0.5 -I 198.18.8.9 "$1"; }
subnets() {
	in_ns erin ip addr add 198.18.8.9/24 dev eth0
	equal "subnet: a listed resolver's is believed" \
		"$(dig_at resolver $DNS "web.home1.$ZONE" +subnet=198.18.7.0/24 | subnet_of)" 198.18.7.0/24/24
	equal "subnet: another's is not" "$(dig_at frank $DNS "web.home1.$ZONE" +subnet=198.18.7.0/24 | subnet_of)" 198.18.7.0/24/0
	equal "subnet: of AAAA it does not matter" \
		"$(dig_at resolver $DNS "web.home1.$ZONE" AAAA +subnet=198.18.7.0/24 | subnet_of)" 198.18.7.0/24/0
	check "subnet: no wait is left" wait_for 10 no_waits
	resolver_start unbound subnet
	check "unbound, subnet: the wait is for dave's network" wait_for 10 waits_for dave web.home1 198.18.7.0 24
	check "unbound, subnet: another network's client comes first" refused_ping "$(dig_at dave $RESOLVER +short "web.home1.$ZONE")"
	equal "unbound, subnet: and is not bound" "$(bindings 198.18.8.9 length)" 0
	equal "unbound, subnet: dave's page" "$(page dave 4 web.home1)" "home 1"
	check "unbound, subnet: erin's is another wait" wait_for 10 waits_for erin web.home2 198.18.8.0 24
	equal "unbound, subnet: erin's page" "$(page erin 4 web.home2)" "home 2"
	equal "unbound, subnet: dave's other one" "$(page dave 4 web.home2)" "home 2"
	equal "unbound, subnet: the scope comes back" \
		"$(dig_at dave $RESOLVER "web.home1.$ZONE" +subnet=198.18.7.0/24 | subnet_of)" 198.18.7.0/24/24
	resolver_end
	resolver_start dnsmasq subnet
	check "dnsmasq, subnet: the wait is for frank alone" wait_for 10 waits_for frank web.home1 198.18.9.9 32
	equal "dnsmasq, subnet: frank's page" "$(page frank 4 web.home1)" "home 1"
	resolver_end
}

aves_net
clients dave=7 erin=8 frank=9
resolver_root
big_record
web 1
web 2
name_server
aves_waypoint xdp
aves_gateway 1 xdp 'web 192.168.1.10\nsix fd00::10 masked\n'
aves_gateway 2 xdp 'web 192.168.1.10 masked\n'
check "tunnels are up" aves_ready home1 home2
odd_options
HAVE=()
for house in unbound dnsmasq bind kresd; do
	program=$(resolver_program $house)
	if command -v "$program" >/dev/null; then HAVE+=("$house"); else skip "$house" "no program $program"; fi
done
for house in "${HAVE[@]}"; do each "$house"; done
[[ " ${HAVE[*]} " != *" kresd "* ]] || kresd_keeps
check "the zone gets a key" dns_says key add $ZONE
dns_says key show $ZONE >"$ANCHOR"
for house in "${HAVE[@]}"; do [ "$house" = dnsmasq ] || signed "$house"; done
bogus
subnets
aves_detach
