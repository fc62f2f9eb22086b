#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Gateways in cascade (paper III): below the first one a second one has half of the address' ports and shares them
# out among hosts of its own; single ports and a range are given to hosts besides their sets (P8).
#
#   outside ─── gateway ─── lan ─┬─ host1                             192.0.2.1, PSID 0 of 2^1 … see below
#   198.51.100.2                 └─ second ─── lower ─┬─ low1, low2    192.0.2.1 too
#                                   10.1.0.1          └─ a LAN of its own
#
# Up here the address has 6 offset bits and 1 of PSID: host1 has set 0, second has set 1. Below it has 3 of PSID: sets
# 4 to 7 are what second has.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/sharers.sh"

SHARERS=1

story_end() {
	local name
	portarp_pins_remove
	for name in second low1 low2; do net_remove_pins "$(instance_of $name)"; done
}

# set_port K PSID NUMBER: a port of a set with 6 offset bits
set_port() { echo $((((1 + $3 / (1 << (10 - $1))) << 10) | ($2 << (10 - $1)) | $3 % (1 << (10 - $1)))); }

talk() { # NAME SERVER_NS ADDRESS PORT CLIENT_NS
	local server
	spawn "$2" "$1-s.json" "$FLOW" --listen --bind "$3:$4" --timeout $((10 * SLOW)) --role recv --verify --reply 50000
	server=$SPAWNED
	in_ns "$5" "$FLOW" --connect "$3:$4" --timeout $((10 * SLOW)) --role send --seconds 0 --bytes 300000 --verify \
		>"$TMP/$1-c.json" || return 1
	wait "$server"
}

lower_net() {
	local name
	net_ns second lower low1 low2
	in_ns lower ip link add bridge type bridge
	in_ns lower ip link set bridge up
	net_link second wan 192.0.2.250/24 lan second -
	in_ns lan ip link set second master bridge
	net_link second lan 10.1.0.1/24 lower second -
	for name in low1 low2; do
		net_link "$name" lan - lower "$name" -
		in_ns lower ip link set "$name" master bridge
	done
	in_ns lower ip link set second master bridge
	net_route second default "$GATEWAY"
	net_forward second
	in_ns second sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.lan.send_redirects=0
}

sharers_net
lower_net
check "gateway: attaches" portarp_attach gateway gateway
portarp_agent gateway
check "gateway: the address in two sets" portarp gateway address-add $SHARED --offset 6 --length 1 --open
check "host1: attaches" portarp_attach host1 host
portarp_agent host1
check "host1: uses the first set" portarp host1 use $SHARED --offset 6 --length 1 --psid 0 --gateway $GATEWAY

check "second: attaches" portarp_attach second gateway
portarp_agent second
check "second: has the other set" portarp second upstream $SHARED --offset 6 --length 1 --psid 1 \
	--gateway-mac "$(mac_of gateway)"
check "second: shares it out in four" portarp second address-add $SHARED --offset 6 --length 3 --open
for i in 1 2; do
	check "low$i: attaches" portarp_attach "low$i" host
	portarp_agent "low$i"
	check "low$i: uses a quarter" portarp "low$i" use $SHARED --offset 6 --length 3 --psid $((3 + i)) --gateway 10.1.0.1
done

check "outside reaches host1" talk o-1 host1 $SHARED "$(set_port 1 0 7)" outside
check "outside reaches low1 through both gateways" talk o-l1 low1 $SHARED "$(set_port 3 4 7)" outside
check "outside reaches low2" talk o-l2 low2 $SHARED "$(set_port 3 5 7)" outside
check "low1 reaches outside" talk l1-o outside $OUTSIDE 7000 low1
check "low1 reaches low2" talk l1-l2 low2 $SHARED "$(set_port 3 5 9)" low1
check "low1 reaches host1, above its gateway" talk l1-1 host1 $SHARED "$(set_port 1 0 9)" low1
check "host1 reaches low2, below the second gateway" talk 1-l2 low2 $SHARED "$(set_port 3 5 11)" host1
check "two TTLs are taken on the way" [ "$(in_ns outside "$SELFTESTS/lib/first_hop.py" $SHARED "$(set_port 3 4 8)")" = 198.51.100.1 ]
equal "gateway: second has all of its set" "$(in_ns gateway isthmus portarp who "$SHARED:$(set_port 3 5 9)" \
	--instance "$(instance_of gateway)" --json | jq -r '.owners[0].mac')" "$(in_ns second ip -j link show dev wan | jq -r '.[0].address')"

# Single ports and ranges: 80 is in no set of 6 offset bits; 1030 to 1033 are taken out of host1's set.
check "gateway: port 80 is given to host1" portarp gateway lease $SHARED --ports 80-80 --mac "$(mac_of host1)"
check "host1: uses it" portarp host1 use $SHARED --ports 80-80 --gateway $GATEWAY
check "outside reaches port 80" talk o-80 host1 $SHARED 80 outside
equal "who has port 80" "$(in_ns gateway isthmus portarp who "$SHARED:80" --instance "$(instance_of gateway)" --json |
	jq -r '.owners[0] | "\(.mac) \(.ports)"')" "$(mac_of host1) 80"
check "gateway: port 80 is taken back" portarp gateway release $SHARED --ports 80-80 --mac "$(mac_of host1)"
refuse "outside does not reach it any more" in_ns outside "$FLOW" --connect "$SHARED:80" --timeout 2 --role ping --count 1
check "the others are as before" talk o-1-again host1 $SHARED "$(set_port 1 0 8)" outside
