#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The Ethernet LHP between two processes, on real devices that have no IP address at all.
#
#	client                                        server
#	+------+                                    +--------+
#	| to_s ============= a bad wire =========== | to_c   |
#	+------+    lost, twice, not so long (bpf)  +--------+
#
. "${0%/*}/lib/net.sh"

BENCH=$B/selftests/bench
WIRE=$B/selftests/lhp_ether_wire.bpf.o
MAC_S=02:00:00:00:00:0b
COUNT=100000 STREAMS=50

net_ns client server
ip -n "$NET-client" link add to_s address 02:00:00:00:00:0a type veth peer name to_c address $MAC_S \
	netns "$NET-server"
for end in client:to_s server:to_c; do
	in_ns "${end%:*}" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	ip -n "$NET-${end%:*}" link set "${end#*:}" up
	in_ns "${end%:*}" tc qdisc add dev "${end#*:}" clsact
done

# wire SECTION: of both directions; none: a good one
wire() {
	local end
	for end in client:to_s server:to_c; do
		in_ns "${end%:*}" tc filter del dev "${end#*:}" ingress
		[ -z "$1" ] || in_ns "${end%:*}" tc filter add dev "${end#*:}" ingress bpf direct-action \
			object-file "$WIRE" section "tc/$1"
	done
}

sent() { timeout $((120 * SLOW)) nsenter --net="/run/netns/$NET-client" "$BENCH/lhp_messages" send "$@" 2>&1 || true; }
field() { sed -n "s/.*$1 \([0-9]*\).*/\1/p" <<<"$2"; } # NAME LINE

spawn server listen.log "$BENCH/lhp_messages" listen ether:to_c
LISTENER=$SPAWNED
wait_for 5 in_ns server grep -q 88b5 /proc/net/packet

equal "the client has no address" "$(ip -n "$NET-client" -br address show to_s | grep -c '[0-9]/[0-9]')" 0

for loss in "" loss1 loss5 loss20; do
	wire "$loss"
	count=$COUNT
	[ "$loss" != loss20 ] || count=$((COUNT / 5))
	got=$(sent ether:to_s/$MAC_S $count $STREAMS)
	equal "${loss:-no loss}: $count messages on $STREAMS streams, each once, in order and whole" \
		"$(cut -d' ' -f1-4 <<<"$got")" "received $count wrong 0"
	equal "${loss:-no loss}: no semi-reliable message came twice" "$(field twice "$got")" 0
	[ -n "$loss" ] || equal "no loss: all semi-reliable ones came" "$(field semi "$got")" $((count / 10))
	[ -z "$loss" ] || at_least "$loss: lost frames were repeated" "$(field repeated "$got")" 100
done

wire short
got=$(sent ether:to_s/$MAC_S 2000 $STREAMS)
equal "frames of 1500 bytes vanish: shorter ones are sent" "$(cut -d' ' -f1-4 <<<"$got")" "received 2000 wrong 0"
wire ""

got=$(sent ether:to_s/$MAC_S 10 1 2)
equal "another key: no answer" "$got" "lhp_messages: no answer from to_s/$MAC_S"
got=$(sent "ether:to_s/$MAC_S#0x88b6" 10 1)
equal "another EtherType: no answer" "$got" "lhp_messages: no answer from to_s/$MAC_S"
spawn server listen2.log "$BENCH/lhp_messages" listen 'ether:to_c#0x88b6'
wait_for 5 in_ns server grep -q 88b6 /proc/net/packet
got=$(sent "ether:to_s/$MAC_S#0x88b6" 1000 $STREAMS)
equal "another EtherType, with a listener: served" "$(cut -d' ' -f1-4 <<<"$got")" "received 1000 wrong 0"

# Ends. A listener that is killed says nothing: one that comes in its place does.
spawn client sender.log "$BENCH/lhp_messages" send ether:to_s/$MAC_S 4000000000 $STREAMS
SENDER=$SPAWNED
sleep 0.5
end "$LISTENER" KILL
spawn server listen3.log "$BENCH/lhp_messages" listen ether:to_c
LISTENER=$SPAWNED
if wait_for 5 ended "$SENDER"; then
	check "the server was started anew: its client learns it" log_has sender.log 'does not know this connection any more'
else
	not_ok "the server was started anew: its client learns it" "$(cat "$TMP/sender.log")"
fi
spawn client sender2.log "$BENCH/lhp_messages" send ether:to_s/$MAC_S 4000000000 $STREAMS
SENDER=$SPAWNED
sleep 0.5
end "$LISTENER" KILL
BEGUN=$EPOCHSECONDS
if wait_for 25 ended "$SENDER"; then
	check "the server was killed: its client learns it from silence" log_has sender2.log 'is silent'
	at_most "within 20 s, and a little" $((EPOCHSECONDS - BEGUN)) 21
else
	not_ok "the server was killed: its client learns it from silence" "$(cat "$TMP/sender2.log")"
fi
