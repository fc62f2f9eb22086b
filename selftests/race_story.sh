#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A third host behind the subscriber's NAT has the announced address too. It wins the race: its SYN is joined
# with the provider's. The peers' proof keeps it from every application byte, and the session is made again.
#
#   host1  alice: SYN, lost at first -.
#                                      nat1 --- inet --- nat2 --- host2  bob, web server
#   third  SYN to the same port ------'           |
#                                               relay
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/splice.sh"
. "${0%/*}/lib/agents.sh"

# Nothing hides the port from this third host; in the world it would have to guess it.
subscriber_port() {
	in_ns relay isthmus splice rendezvous --instance "$INSTANCE" --json |
		jq -re '[.rendezvous[] | select(.side == "subscriber" and .expected != null and .state != "syn-rcvd")][0].at.port'
}

hold_back() { # alice's SYNs to splices do not leave
	in_ns nat1 nft -f - <<-NFT
		table inet holdback {
			chain pre {
				type filter hook prerouting priority raw
				iifname "lan" tcp dport 20000-29999 tcp flags & (syn | ack) == syn drop
			}
		}
	NFT
}

unauthenticated() { [ "$(peer host2 bob status --json | jq .totals.unauthenticated)" -ge 1 ]; }

# What the third host says: what a subscriber says, without the secret. WORDS: printf's.
third_says() {
	# shellcheck disable=SC2059
	{
		printf "$1"
		sleep $((2 * SLOW))
	} | in_ns third timeout $((4 * SLOW)) nc "$RELAY4" "$PORT" >"$TMP/third.bytes" 2>/dev/null || true
}

turned_away() { [ "$(grep -c '(prove)' "$TMP/bob.log")" -gt "$1" ]; }

# NAME WORDS: the third host wins while alice's SYN is held back.
race() {
	local before client
	before=$(grep -c '(prove)' "$TMP/bob.log" || true)
	hold_back
	in_ns host1 curl -sS --max-time $((40 * SLOW)) http://localhost:8000/ >"$TMP/page" 2>"$TMP/curl.log" &
	client=$!
	check "$1: a rendezvous is announced" wait_for 5 subscriber_port
	PORT=$(subscriber_port)
	count third lan "tcp flags & (syn | ack) == syn | ack"
	third_says "$2"
	at_least "$1: the third host was joined" "$(counted third)" 1
	refuse "$1: it got nothing of the page" grep -aq secret "$TMP/third.bytes"
	at_most "$1: it got no more than a hello" "$(stat -c %s "$TMP/third.bytes")" 72
	check "$1: the provider turned it away before the proof" wait_for 15 turned_away "$before"
	in_ns nat1 nft delete table inet holdback
	check "$1: the client is served in the end" wait "$client"
	equal "$1: with the page" "$(cat "$TMP/page")" "a secret page"
}

net_homes
net_neighbour third 1
check "splice attaches" splice_attach tc
broker_start
broker_user alice bob
translator_start kernel
peer_start host2 bob --log-level debug
peer_start host1 alice --pool 0 --log-level debug
mkdir "$TMP/www"
echo "a secret page" >"$TMP/www/index.html"
spawn host2 httpd.log busybox httpd -vv -f -p 127.0.0.1:8080 -h "$TMP/www"
peer host2 bob provide web 127.0.0.1:8080 >/dev/null
peer host1 alice subscribe bob/web 8000 >/dev/null
equal "without a race the page is served" "$(in_ns host1 curl -sS --max-time $((10 * SLOW)) http://localhost:8000/)" "a secret page"
refuse "and nobody was unauthenticated" unauthenticated
hello='ISP1\000\000\000\000'$(printf 'n%.0s' {1..32})$(printf 'p%.0s' {1..32})G
race "a false proof" "$hello"
check "it was counted as unauthenticated" unauthenticated
race "a request instead of a proof" 'GET / HTTP/1.0\r\n\r\n'
race "silence" ''
