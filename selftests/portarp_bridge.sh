#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A router that knows nothing of PE-ARP, and in front of the sharers a bridge that does (paper II.E): the router sees
# one host. Everything else passes the bridge as before.
#
#   outside ─── router ─── up BRIDGE down ─── lan ─┬─ host1, host2   192.0.2.1
#   198.51.100.2  192.0.2.254   (a Linux bridge)   └─ stock          192.0.2.100
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/sharers.sh"

story_end() {
	portarp_pins_remove
	net_remove_pins "$(instance_of bridge)"
}

bridge_net() {
	local i
	net_ns outside router bridge lan stock
	net_link outside wan "$OUTSIDE/24" router wan 198.51.100.1/24
	in_ns bridge ip link add br0 type bridge
	in_ns bridge ip link set br0 up
	net_link router lan "$GATEWAY/24,2001:db8:9::1/64" bridge wan -
	in_ns lan ip link add bridge type bridge
	in_ns lan ip link set bridge up
	net_link bridge lan - lan upper -
	for i in wan lan; do in_ns bridge ip link set $i master br0; done
	net_link stock lan "$STOCK/24,2001:db8:9::100/64" lan stock -
	for i in $(host_names); do
		net_ns "$i"
		net_link "$i" lan - lan "$i" -
	done
	for i in upper stock $(host_names); do in_ns lan ip link set "$i" master bridge; done
	net_route outside default 198.51.100.1
	net_route stock default "$GATEWAY"
	net_forward router
	in_ns router sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.lan.send_redirects=0
}

talk() { # NAME SERVER_NS ADDRESS PORT CLIENT_NS
	local server
	spawn "$2" "$1-s.json" "$FLOW" --listen --bind "$3:$4" --timeout $((10 * SLOW)) --role recv --verify --reply 50000
	server=$SPAWNED
	in_ns "$5" "$FLOW" --connect "$3:$4" --timeout $((10 * SLOW)) --role send --seconds 0 --bytes 300000 --verify \
		>"$TMP/$1-c.json" || return 1
	wait "$server" || return 1
	spawn "$2" "$1-us.json" "$FLOW" --udp --listen --bind "$3:$4" --timeout $((10 * SLOW)) --role echo --seconds 0
	server=$SPAWNED
	in_ns "$5" "$FLOW" --udp --connect "$3:$4" --timeout $((10 * SLOW)) --role ping --seconds 0 --count 20 --size "${6:-200}" \
		>"$TMP/$1-uc.json" || return 1
	wait "$server" && [ "$(jq .lost "$TMP/$1-uc.json")" = 0 ]
}

# A frame that is tagged reaches the other side with its tag and every byte.
tagged() {
	spawn stock tagged.log "$SELFTESTS/lib/tagged.py" receive lan
	wait_for 30 log_has tagged.log ready
	in_ns router "$SELFTESTS/lib/tagged.py" send lan "$(mac_of stock)"
	wait "$SPAWNED"
}

router_macs() { in_ns router ip -j neigh show $SHARED dev lan | jq -r '.[].lladdr' | sort -u; }

# The source MACs of IPv4 frames from the shared address that the router has got.
router_sees() {
	spawn router sees.log timeout 20 tcpdump -lnei lan -c 5 "ip and src host $SHARED and inbound"
	sleep 1
	talk "sees-$1" outside $OUTSIDE 7009 host1 && talk "sees2-$1" outside $OUTSIDE 7010 host2
	wait "$SPAWNED" || true
	awk '$4 ~ /^[0-9a-f:]+,$/ { print $2 }' "$TMP/sees.log" | sort -u
}

bridge_net
check "before: the router reaches the stock host" in_ns router ping -qc2 -i0.2 -W2 $STOCK
check "before: tagged frames pass" tagged
hosts=
for mode in tc xdp-generic; do
	if [ "$mode" != tc ]; then # XDP's redirect takes packets of the wire's size
		net_xdp_ready router lan
		net_xdp_ready lan upper
	fi
	check "$mode: attaches" portarp_attach bridge bridge --mode $mode
	portarp_agent bridge
	AGENT=$AGENT_PID
	check "$mode: an open address" portarp bridge address-add $SHARED --offset $OFFSET --length $LENGTH --open
	if [ -z "$hosts" ]; then
		for i in 1 2; do
			check "host$i: attaches" portarp_attach "host$i" host
			portarp_agent "host$i"
			check "host$i: uses a set" portarp "host$i" use "$SHARED" --offset $OFFSET --length $LENGTH --psid $((i + 1)) \
				--gateway "$GATEWAY" --prefix 24
		done
	fi
	hosts=1
	check "$mode: outside reaches host1" talk "$mode-o1" host1 $SHARED "$(port_of 2 5)" outside
	check "$mode: outside reaches host2" talk "$mode-o2" host2 $SHARED "$(port_of 3 5)" outside
	check "$mode: fragments" talk "$mode-o2f" host2 $SHARED "$(port_of 3 6)" outside 5000
	check "$mode: host1 reaches outside" talk "$mode-1o" outside $OUTSIDE 7000 host1
	check "$mode: host2 pings outside" in_ns host2 ping -qc2 -i0.2 -W2 $OUTSIDE
	check "$mode: outside pings host1 by an identifier of its set" in_ns outside ping -qc2 -i0.2 -W2 -e "$(port_of 2 9)" $SHARED
	check "$mode: the router itself reaches host1" talk "$mode-r1" host1 $SHARED "$(port_of 2 10)" router
	check "$mode: host1 reaches host2" talk "$mode-12" host2 $SHARED "$(port_of 3 11)" host1
	check "$mode: the stock host reaches host2" talk "$mode-s2" host2 $SHARED "$(port_of 3 12)" stock
	check "$mode: host1 reaches the stock host" talk "$mode-1s" stock $STOCK 7001 host1
	equal "$mode: the router has one MAC for the shared address" "$(router_macs | wc -l)" 1
	equal "$mode: both hosts come from it" "$(router_sees $mode)" "$(router_macs)"
	check "$mode: the router reaches the stock host as before" in_ns router ping -qc2 -i0.2 -W2 $STOCK
	check "$mode: IPv6 passes" in_ns router ping -6 -qc2 -i0.2 -W2 2001:db8:9::100
	check "$mode: tagged frames pass" tagged
	before=$(stat_of bridge SPOOFED)
	in_ns host1 "$SELFTESTS/lib/spoof.py" lan "$(mac_of router)" $SHARED "$(port_of 3 30)" $OUTSIDE 9 10
	equal "$mode: ten datagrams from another's port were dropped and counted" $(($(stat_of bridge SPOOFED) - before)) 10
	end "$AGENT" KILL
	check "$mode: agent dead: outside still reaches host2" talk "$mode-dead" host2 $SHARED "$(port_of 3 40)" outside
	check "$mode: detaches" in_ns bridge isthmus portarp detach --instance "$(instance_of bridge)"
done
