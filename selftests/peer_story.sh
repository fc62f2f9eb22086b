#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Services of a home used in another, by peers that have no privileges.
#
#   host1  nobody: isthmus-peer (alice)                   nobody: isthmus-peer (bob)  host2
#     curl -> 127.0.0.1:8000                                      127.0.0.1:8080 <- httpd
#     dig  -> 127.0.0.1:5300                                      127.0.0.1:5353 <- dnsmasq
#       |                                                             |
#     nat1 ------------------------- inet -------------------------- nat2
#                                      |
#                        relay: broker, translator, splice
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/splice.sh"
. "${0%/*}/lib/agents.sh"

NOBODY="setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all"

# A user's daemon and commands, as nobody. TMP is root's: the daemon's directory is elsewhere in it.
unprivileged() { # HOST USER WORDS...
	local host=$1 user=$2
	shift 2
	# shellcheck disable=SC2086
	in_ns "$host" $NOBODY isthmus-peer "$@" --dir "$TMP/$user"
}

unprivileged_start() { # HOST USER
	install -d -m 0700 -o 65534 -g 65534 "$TMP/$2"
	unprivileged "$1" "$2" login "$RELAY4:$BROKER_PORT" <"$TMP/$2.line" >"$TMP/$2-login.log" 2>&1
	# shellcheck disable=SC2086
	spawn "$1" "$2.log" $NOBODY isthmus-peer daemon --dir "$TMP/$2"
	wait_for 10 peer_online "$1" "$2"
}

login_stories() {
	local line token
	line=$(cat "$TMP/mallory.line")
	token=$(cut -d: -f3 <<<"$line")
	mkdir -m 0700 "$TMP/mallory"
	sed "s/$token/$(tr 'A-Za-z' 'B-ZAb-za' <<<"$token")/" "$TMP/mallory.line" >"$TMP/wrong.line"
	refuse "a wrong token is refused" peer host1 mallory login "$RELAY4:$BROKER_PORT" <"$TMP/wrong.line"
	sed 's/:[0-9a-f]*$/:'"$(printf '%064d' 0)/" "$TMP/mallory.line" >"$TMP/other.line"
	refuse "another broker's certificate is refused" peer host1 mallory login "$RELAY4:$BROKER_PORT" \
		<"$TMP/other.line"
	check "the right token is accepted" peer host1 mallory login "$RELAY4:$BROKER_PORT" <"$TMP/mallory.line"
	rm -rf "$TMP/mallory"
	mkdir -m 0700 "$TMP/mallory"
	refuse "it is accepted once only" peer host1 mallory login "$RELAY4:$BROKER_PORT" <"$TMP/mallory.line"
	refuse "no token is stored in clear" grep -aqr "$token" "$TMP/broker"
}

servers_start() {
	mkdir -m 0755 "$TMP/www"
	head -c 20000000 /dev/urandom >"$TMP/www/file"
	echo "a page" >"$TMP/www/index.html"
	spawn host2 httpd.log busybox httpd -f -p 127.0.0.1:8080 -h "$TMP/www"
	spawn host2 dnsmasq.log dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --user=root \
		--pid-file= --port=5353 --listen-address=127.0.0.1 --bind-interfaces \
		--address=/printer.home.example/192.168.1.77
}

curl1() { in_ns host1 curl -sS --max-time $((20 * SLOW)) "$@"; }
hash_of() { sha256sum | cut -d' ' -f1; }
name_of() { in_ns host1 dig +short +tries=2 +time=3 -p 5300 @127.0.0.1 printer.home.example; }

# Many clients at once, each its own splice.
many_stories() {
	local i pids=() good=0
	for ((i = 0; i < 50; i++)); do
		curl1 http://localhost:8000/ >"$TMP/many-$i" 2>&1 &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || true; done
	for ((i = 0; i < 50; i++)); do
		[ "$(cat "$TMP/many-$i")" != "a page" ] || good=$((good + 1))
	done
	equal "50 clients at once are served" "$good" 50
}

service_stories() {
	equal "a page arrives" "$(curl1 http://localhost:8000/)" "a page"
	equal "a file arrives whole" "$(curl1 http://localhost:8000/file | hash_of)" "$(hash_of <"$TMP/www/file")"
	equal "a UDP service answers" "$(name_of)" 192.168.1.77
	many_stories
	equal "the relay's stack saw no packet of them" "$(counted relay)" 0
	at_least "they were forwarded in the kernel" "$(stat_of FORWARDED)" 10000
	equal "the peers have no capability" \
		"$(grep -h '^Cap\(Eff\|Prm\)' "/proc/$PEER_DAEMON/status" | cut -f2 | sort -u)" 0000000000000000
}

rule_stories() {
	check "a service is kept for one user" unprivileged host2 bob provide private 127.0.0.1:8080 --allow carol
	check "another one may ask" peer host1 alice subscribe bob/private 8001 --tcp
	refuse "but is denied" curl1 -m $((4 * SLOW)) http://localhost:8001/
	check "one is withdrawn" unprivileged host2 bob unprovide web
	refuse "and is no longer served" curl1 -m $((4 * SLOW)) http://localhost:8000/
	check "it is provided again" unprivileged host2 bob provide web 127.0.0.1:8080
	check "and is served again" wait_for 10 curl1 -m $((4 * SLOW)) http://localhost:8000/
	check "a service whose server is down" unprivileged host2 bob provide down 127.0.0.1:9
	check "can be subscribed to" peer host1 alice subscribe bob/down 8002 --tcp
	refuse "and its client is told" curl1 -m $((4 * SLOW)) http://localhost:8002/
}

garbage_stories() {
	local i
	in_ns host1 "$SELFTESTS/lib/garbage.py" 192.168.1.10 "$RELAY4" 3479-3480 5000 3 >"$TMP/garbage.log"
	for ((i = 0; i < 20; i++)); do
		head -c 3000 /dev/urandom | in_ns host1 timeout 1 nc -N "$RELAY4" 3480 || true
		head -c 100 /dev/urandom | in_ns host1 timeout 1 nc -N "$RELAY4" 3479 || true
	done >"$TMP/garbage.log" 2>&1
	check "broker and translator live through garbage" alive "$BROKER_PID"
	check "and the translator" alive "$TRANSLATOR_PID"
	equal "and serve" "$(curl1 http://localhost:8000/)" "a page"
}

# At its start a subscription's port is another program's: it is not forgotten, and opens when the port is free.
taken_story() {
	local squatter
	end "$ALICE_DAEMON"
	spawn host1 squatter.log nc -l -k 127.0.0.1 8000
	squatter=$SPAWNED
	check "another program takes the port" wait_for 5 in_ns host1 nc -z 127.0.0.1 8000
	# shellcheck disable=SC2086
	spawn host1 alice.log $NOBODY isthmus-peer daemon --dir "$TMP/alice"
	wait_for 10 peer_online host1 alice
	check "status tells of it" eval 'peer host1 alice status | has "local port 8000"'
	end "$squatter"
	check "it is served again" wait_for 15 eval '[ "$(curl1 http://localhost:8000/)" = "a page" ]'
}

# The home's IPv4 leads nowhere although it has both: the next sessions go by IPv6.
broken_family_story() {
	in_ns nat1 nft add table ip broken
	in_ns nat1 nft "add chain ip broken forward { type filter hook forward priority 0; }"
	in_ns nat1 nft "add rule ip broken forward ip daddr $RELAY4 udp dport 3479 drop"
	in_ns nat1 nft "add rule ip broken forward ip daddr $RELAY4 tcp dport { 3479, 20000-29999 } drop"
	check "with broken IPv4 a page comes by IPv6" \
		wait_for 40 eval '[ "$(curl1 http://localhost:8000/)" = "a page" ]'
	at_least "which is an IPv6 splice" "$(in_ns relay isthmus splice list --instance "$INSTANCE" --json |
		jq '[.sessions[] | select(.family == "6")] | length')" 1
	in_ns nat1 nft delete table ip broken
}

# A user whose home has IPv6 only: broker, probe and splice by IPv6.
ipv6_story() {
	in_ns host1 ip -4 addr flush dev lan
	mkdir -m 0700 "$TMP/carol"
	check "a user logs in by IPv6" peer host1 carol login "[$RELAY6]:$BROKER_PORT" <"$TMP/carol.line"
	peer_daemon host1 carol
	check "subscribes" peer host1 carol subscribe bob/web 8003
	equal "and gets the page" "$(curl1 http://localhost:8003/)" "a page"
	at_least "through an IPv6 splice" "$(in_ns relay isthmus splice list --instance "$INSTANCE" --json |
		jq '[.sessions[] | select(.family == "6")] | length')" 1
}

net_homes
chmod 0711 "$TMP"
check "splice attaches" splice_attach tc
broker_start
broker_user alice bob carol mallory
translator_start kernel
login_stories
servers_start
unprivileged_start host2 bob
PEER_DAEMON=$SPAWNED
unprivileged_start host1 alice
ALICE_DAEMON=$SPAWNED
check "a service is provided without root" unprivileged host2 bob provide web 127.0.0.1:8080
check "a UDP one" unprivileged host2 bob provide dns 127.0.0.1:5353 --udp
equal "the other user sees both" \
	"$(peer host1 alice services --json | jq -r '[.[] | select(.user == "bob").service] | sort | join(" ")')" "dns web"
check "and subscribes to one" unprivileged host1 alice subscribe bob/web 8000
check "and the other" unprivileged host1 alice subscribe bob/dns 5300
count relay wan "meta l4proto { tcp, udp } th dport 20000-29999"
service_stories
rule_stories
garbage_stories
taken_story
broken_family_story
ipv6_story
