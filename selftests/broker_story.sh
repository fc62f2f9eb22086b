#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The broker dies and comes back, homes move, firewalls stand in the way, and BPF is not there.
#
#   host1 --- nat1 ---+             +--- nat2 --- host2
#   alice     (moves, |             |             bob, servers
#              blocks)+--- inet ----+
#                        |     |
#                      relay  broker
#                 translator
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/splice.sh"
BROKER_NS=broker
. "${0%/*}/lib/agents.sh"

page() { in_ns host1 curl -sS --max-time $((8 * SLOW)) http://localhost:8000/; }
page_is_served() { [ "$(page)" = "a page" ]; }

restart_story() {
	spawn host2 through-2.json "$FLOW" --listen --bind 127.0.0.1:7000 --role recv --verify
	local receiver=$SPAWNED
	wait_for 5 listening host2 t 7000
	spawn host1 through-1.json "$FLOW" --connect 127.0.0.1:7100 --role send --seconds $((4 * SLOW)) --rate 100 --size 1000 --verify
	wait_for 10 flow_is_joined
	end "$BROKER_PID" KILL
	check "the broker is dead" ended "$BROKER_PID"
	sleep 1
	broker_start --keepalive 2 --listen :443
	check "a session in progress outlives the broker" wait "$receiver"
	equal "with every byte" "$(result through-2 '"\(.received) \(.mismatches)"')" "$(result through-1 .sent) 0"
	check "the provider is back" wait_for 30 peer_online host2 bob
	check "the subscriber is back" wait_for 30 peer_online host1 alice
	check "the translator is back" wait_for 30 translator_ready
	check "what was provided is served again" wait_for 15 page_is_served
}

flow_is_joined() { peer host1 alice status --json | jq -e '[.sessions[] | select(.state == "relay")] | length > 0'; }

# nat1 gets another public address while both peers are logged in.
move_story() {
	in_ns nat1 ip addr del 192.0.2.2/24 dev wan
	in_ns nat1 ip addr add 192.0.2.77/24 dev wan
	in_ns nat1 ip route replace default via 192.0.2.1
	check "a home whose address changed is served again" wait_for 30 page_is_served
	at_least "from its new address" "$(in_ns relay isthmus splice list --instance "$INSTANCE" --json |
		jq '[.sessions[] | select(.subscriber.address == "192.0.2.77")] | length')" 1
	in_ns nat1 ip addr del 192.0.2.77/24 dev wan
	in_ns nat1 ip addr add 192.0.2.2/24 dev wan
	in_ns nat1 ip route replace default via 192.0.2.1
	check "and back" wait_for 30 page_is_served
}

# A firewall at home lets no UDP out: the probe goes by TCP, to port 443 here. The broker is on 443 too.
firewall_story() {
	in_ns nat1 nft -f - <<-NFT
		table inet firewall {
			chain forward {
				type filter hook forward priority filter - 1
				iifname "lan" meta l4proto udp counter drop
				iifname "lan" tcp dport { 3478-3480 } counter drop
			}
		}
	NFT
	peer_restart host1 alice 443
	check "with UDP blocked and broker and probe on 443 the page is served" wait_for 15 page_is_served
	at_least "the firewall was in the way" "$(in_ns nat1 nft -j list table inet firewall |
		jq '[.. | .counter? | objects | .packets] | add')" 1
	in_ns nat1 nft delete table inet firewall
}

# Without the splice datapath `auto` takes the userspace relay and says so.
relay_story() {
	end "$TRANSLATOR_PID"
	check "splice detaches" splice_detach
	check "the translator starts without BPF" translator_start auto --address "$RELAY4" --ports 20000-29999
	equal "it says so" "$(translator_status | jq -r .engine)" relay
	at_least "and why" "$(translator_status | jq -r '.engine_why | length')" 10
	count relay wan "meta l4proto { tcp, udp } th dport 20000-29999"
	check "the page is served" wait_for 15 page_is_served
	equal "a UDP service too" "$(in_ns host1 dig +short +tries=2 +time=3 -p 5300 @127.0.0.1 printer.home.example)" \
		192.168.1.77
	at_least "its packets pass the relay's stack" "$(counted relay)" 10
}

# The broker runs a translator on its own host (thesis 3.2), with one command.
own_story() {
	end "$TRANSLATOR_PID"
	end "$BROKER_PID"
	cat >"$TMP/own.conf" <<-CONF
		[translator]
		broker = 127.0.0.1:$BROKER_PORT
		login-file = $TMP/ist.line
		engine = relay
		address = $BROKER4
		ports = 20000-29999
		control = $TMP/own.sock
	CONF
	broker_start --listen :443 --run --file "$TMP/own.conf"
	count broker wan "tcp dport 20000-29999"
	check "the broker's own translator serves" wait_for 30 page_is_served
	at_least "with packets to the broker's own address" "$(counted broker)" 10
}

# peer_restart HOST USER PORT: the daemon logs in at another port of the broker.
peer_restart() {
	end "$ALICE_PID"
	rm -rf "${TMP:?}/$2"
	broker user del "$2" >/dev/null
	broker_user "$2"
	BROKER_PORT=$3 peer_start "$1" "$2"
	ALICE_PID=$PEER_PID
	peer "$1" "$2" subscribe bob/web 8000 >/dev/null
	peer "$1" "$2" subscribe bob/dns 5300 --udp >/dev/null
}

net_homes
check "splice attaches" splice_attach tc
broker_start --keepalive 2 --listen :443
broker_user alice bob
translator_start kernel --probe-port-tcp 443
peer_start host2 bob
peer_start host1 alice
ALICE_PID=$PEER_PID
mkdir "$TMP/www"
echo "a page" >"$TMP/www/index.html"
spawn host2 httpd.log busybox httpd -f -p 127.0.0.1:8080 -h "$TMP/www"
spawn host2 dnsmasq.log dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --user=root \
	--pid-file= --port=5353 --listen-address=127.0.0.1 --bind-interfaces \
	--address=/printer.home.example/192.168.1.77
peer host2 bob provide web 127.0.0.1:8080 >/dev/null
peer host2 bob provide flow 127.0.0.1:7000 >/dev/null
peer host2 bob provide dns 127.0.0.1:5353 --udp >/dev/null
peer host1 alice subscribe bob/web 8000 >/dev/null
peer host1 alice subscribe bob/flow 7100 >/dev/null
check "a page is served" wait_for 10 page_is_served
firewall_story
peer host1 alice subscribe bob/flow 7100 >/dev/null
restart_story
move_story
relay_story
own_story
