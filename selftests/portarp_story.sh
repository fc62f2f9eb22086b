#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Ordinary programs on hosts that share one address (paper II.E): outside, between sharers, with a host that knows
# nothing, at each hook of the gateway; then agents die, and addresses and sets change under traffic.
#
#   outside ──────── gateway ──────── lan (a Linux bridge) ─┬─ host1, host2   192.0.2.1
#   198.51.100.2     198.51.100.1     192.0.2.254           └─ stock          192.0.2.100
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/sharers.sh"

story_end() { portarp_pins_remove; }

# meet NAME SERVER_NS ADDRESS PORT CLIENT_NS "SERVER'S WORDS" "CLIENT'S WORDS"
meet() {
	local server
	# shellcheck disable=SC2086
	spawn "$2" "$1-s.json" "$FLOW" --listen --bind "$3:$4" --timeout $((10 * SLOW)) $6
	server=$SPAWNED
	# shellcheck disable=SC2086
	in_ns "$5" "$FLOW" --connect "$3:$4" --timeout $((10 * SLOW)) $7 >"$TMP/$1-c.json" || return 1
	wait "$server"
}

# talk NAME SERVER_NS ADDRESS PORT CLIENT_NS: TCP both ways, whole, then datagrams that are all answered
talk() {
	meet "$1-tcp" "$2" "$3" "$4" "$5" "--role recv --verify --reply 100000" \
		"--role send --seconds 0 --bytes 1000000 --verify" &&
		meet "$1-udp" "$2" "$3" "$4" "$5" "--udp --role echo --seconds 0" \
			"--udp --role ping --seconds 0 --count 50 --size 200"
}

# Datagrams in fragments, both ways.
fragments() { # NAME SERVER_NS ADDRESS PORT CLIENT_NS
	meet "$1-frag" "$2" "$3" "$4" "$5" "--udp --role echo --seconds 0" \
		"--udp --role ping --seconds 0 --count 20 --size 5000"
}

result() { jq -r "$2" "$TMP/$1.json"; }

gateway_start() { # MODE
	if [ "$1" != tc ]; then
		net_xdp_ready outside wan
		net_xdp_ready lan gateway
	fi
	check "gateway, $1: attaches" portarp_attach gateway gateway --mode "$1"
	portarp_agent gateway
	GATEWAY_PID=$AGENT_PID
	check "gateway, $1: an open address" portarp gateway address-add $SHARED --offset $OFFSET --length $LENGTH --open
}

# Two agents of one datapath would share its events.
second_agent() {
	local code=0
	in_ns gateway timeout 20 isthmus-portarp run --instance "$(instance_of gateway)" --control "$TMP/second.sock" \
		--state "$TMP/second.db" >"$TMP/second.log" 2>&1 || code=$?
	[ "$code" = 1 ] && grep 'another isthmus-portarp runs for it' "$TMP/second.log"
}

hosts_start() {
	local i
	for i in 1 2; do
		check "host$i: attaches" portarp_attach "host$i" host
		portarp_agent "host$i"
		check "host$i: uses a set" sharer "host$i" $((i + 1))
	done
}

from_outside() { # MODE
	local mode=$1
	check "$mode: outside reaches host1's ports" talk "$mode-o1" host1 $SHARED "$(port_of 2 5)" outside
	check "$mode: outside reaches host2's ports" talk "$mode-o2" host2 $SHARED "$(port_of 3 5)" outside
	check "$mode: host1 reaches outside" talk "$mode-1o" outside $OUTSIDE 7000 host1
	check "$mode: host2 reaches outside" talk "$mode-2o" outside $OUTSIDE 7000 host2
	check "$mode: fragments to host1" fragments "$mode-o1" host1 $SHARED "$(port_of 2 6)" outside
	check "$mode: fragments from host2" fragments "$mode-2o" outside $OUTSIDE 7001 host2
	equal "$mode: every long datagram was answered" \
		"$(result "$mode-o1-frag-c" .lost):$(result "$mode-2o-frag-c" .lost)" 0:0
	check "$mode: host1 pings outside" in_ns host1 ping -qc3 -i0.2 -W2 $OUTSIDE
	check "$mode: host2 pings outside with the same identifier" in_ns host2 ping -qc3 -i0.2 -W2 -e 77 $OUTSIDE
	check "$mode: so does host1" in_ns host1 ping -qc3 -i0.2 -W2 -e 77 $OUTSIDE
	check "$mode: outside pings host1 by an identifier of its set" in_ns outside ping -qc2 -i0.2 -W2 -e "$(port_of 2 9)" $SHARED
	refuse "$mode: but not by one that is nobody's" in_ns outside ping -qc2 -i0.2 -W1 -e 5 $SHARED
	check "$mode: traceroute from host1" traced host1 $OUTSIDE "$GATEWAY"
	check "$mode: traceroute to host2 meets the gateway" traced outside $SHARED 198.51.100.1 "$(port_of 3 7)"
	refuse "$mode: a port of nobody answers nothing" in_ns outside "$FLOW" --connect "$SHARED:$(port_of 7 0)" --timeout 2 --role ping --count 1
}

# traced NS ADDRESS HOP [PORT]: the first router on the way tells that it is there
traced() {
	in_ns "$1" "$SELFTESTS/lib/first_hop.py" "$2" "${4:-33434}" | has -x "$3"
}

between() { # MODE
	local mode=$1
	check "$mode: host1 to host2, by the address that both have" talk "$mode-12" host2 $SHARED "$(port_of 3 20)" host1
	check "$mode: host2 to host1" talk "$mode-21" host1 $SHARED "$(port_of 2 20)" host2
	check "$mode: host1 to itself" talk "$mode-11" host1 $SHARED "$(port_of 2 21)" host1
	check "$mode: fragments between sharers" fragments "$mode-12" host2 $SHARED "$(port_of 3 22)" host1
	check "$mode: host1 pings host2" in_ns host1 ping -qc2 -i0.2 -W2 -e "$(port_of 3 23)" $SHARED
	check "$mode: host1 to the stock host" talk "$mode-1s" stock $STOCK 7000 host1
	check "$mode: the stock host to host2" talk "$mode-s2" host2 $SHARED "$(port_of 3 24)" stock
	check "$mode: the stock host pings host1" in_ns stock ping -qc2 -i0.2 -W2 -e "$(port_of 2 25)" $SHARED
	equal "$mode: the stock host has the gateway's MAC for the shared address" "$(stock_neighbour)" "$(mac_of gateway)"
}

stock_neighbour() { in_ns stock ip -j neigh show $SHARED | jq -r '.[0].lladdr'; }

spoofing() { # MODE
	local before after
	before=$(stat_of gateway SPOOFED)
	in_ns host1 "$SELFTESTS/lib/spoof.py" lan "$(mac_of gateway)" $SHARED "$(port_of 3 30)" $OUTSIDE 9 10
	after=$(stat_of gateway SPOOFED)
	equal "$1: ten datagrams from another's port were dropped and counted" $((after - before)) 10
	before=$(stat_of gateway CHECKED)
	in_ns host1 "$SELFTESTS/lib/spoof.py" lan "$(mac_of gateway)" $SHARED "$(port_of 2 30)" $OUTSIDE 9 10
	at_least "$1: ten from its own were not" $(($(stat_of gateway CHECKED) - before)) 10
}

own_ports_only() {
	refuse "host1: a port of host2 cannot be bound" in_ns host1 "$FLOW" --listen --bind "$SHARED:$(port_of 3 1)" --role echo --timeout 1
	check "host1: the error is EACCES" bind_is host1 "$(port_of 3 1)" EACCES
	check "host1: a port of its own can" bind_is host1 "$(port_of 2 1)" OK
	check "host1: 127.0.0.1 is not restricted" bind_is host1 80 OK 127.0.0.1
	equal "host1: 2,000 automatic ports are all its own" "$(in_ns host1 "$SELFTESTS/lib/bind.py" --automatic 2000 $SHARED 6 3 2)" 0
}

bind_is() { # NS PORT WORD [ADDRESS]
	[ "$(in_ns "$1" "$SELFTESTS/lib/bind.py" "${4:-$SHARED}" "$2")" = "$3" ]
}

agents_die() {
	end "$GATEWAY_PID" KILL
	check "gateway agent dead: outside still reaches host1" talk dead-o1 host1 $SHARED "$(port_of 2 40)" outside
	check "gateway agent dead: host2 still reaches outside" talk dead-2o outside $OUTSIDE 7002 host2
	check "gateway agent dead: fragments" fragments dead-o1 host1 $SHARED "$(port_of 2 41)" outside
	portarp_agent gateway
	check "gateway agent back: it knows both owners" owners_known 2
	check "gateway agent back: outside reaches host2" talk back-o2 host2 $SHARED "$(port_of 3 41)" outside
}

owners_known() {
	[ "$(in_ns gateway isthmus portarp list --instance "$(instance_of gateway)" --json |
		jq '[.owners[] | select(.state == "known")] | length')" = "$1" ]
}

# An owner that nobody has asked yet: the packets wait, none is lost, the order stays.
first_packets() {
	local lost
	portarp gateway release $SHARED --offset $OFFSET --length $LENGTH --psid 2 --mac "$(mac_of host1)"
	check "first packets: the owner is not known" owners_known 1
	meet first host1 $SHARED "$(port_of 2 50)" outside "--udp --role echo --seconds 0" \
		"--udp --role ping --seconds 0 --count 30 --size 100 --timeout 10"
	lost=$(result first-c .lost)
	equal "first packets: every one was delivered" "$lost" 0
	at_least "first packets: one had waited" "$(stat_of gateway HELD)" 1
}

who_is() { # ENDPOINT
	in_ns gateway isthmus portarp who "$1" --instance "$(instance_of gateway)" --json | jq -r '.owners[0].mac'
}

sharers_net
hosts_started=
for mode in tc xdp xdp-generic; do
	gateway_start "$mode"
	check "gateway, $mode: a second agent is refused" second_agent
	if [ -z "$hosts_started" ]; then hosts_start; fi
	hosts_started=1
	from_outside "$mode"
	between "$mode"
	spoofing "$mode"
	if [ "$mode" = tc ]; then own_ports_only; fi
	equal "$mode: who has host2's port" "$(who_is "$SHARED:$(port_of 3 0)")" "$(mac_of host2)"
	first_packets
	agents_die
	end "$AGENT_PID"
	check "$mode: detaches" in_ns gateway isthmus portarp detach --instance "$(instance_of gateway)"
done
