#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A gateway against packets that scapy makes: what comes out of it, where, and every byte of it. The sharers are
# silent devices, so nobody but the test sends.
#
#   outside ──────── gateway ──────── lan (a Linux bridge) ─┬─ host1, host2   192.0.2.1
#   198.51.100.2     198.51.100.1     192.0.2.254           └─ stock          192.0.2.100
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/sharers.sh"

need /usr/bin/python3
/usr/bin/python3 -c "import scapy" 2>/dev/null || { skip "$STORY" "no scapy" && exit 0; }

story_end() { portarp_pins_remove; }

sharers_net
for i in 1 2; do in_ns "host$i" sysctl -qw net.ipv6.conf.all.disable_ipv6=1; done
# A peer beside the one that the kernel of `outside` answers for.
in_ns gateway ip neigh replace 198.51.100.77 dev wan nud permanent \
	lladdr "$(in_ns outside ip -j link show dev wan | jq -r '.[0].address')"
for mode in tc xdp-generic xdp; do
	if [ "$mode" != tc ]; then
		net_xdp_ready outside wan
		net_xdp_ready lan gateway
	fi
	check "$mode: attaches" portarp_attach gateway gateway --mode "$mode"
	portarp_agent gateway
	check "$mode: a shared address" portarp gateway address-add $SHARED --offset $OFFSET --length $LENGTH
	for i in 1 2; do
		check "$mode: a set of host$i" portarp gateway lease $SHARED --offset $OFFSET --length $LENGTH \
			--psid $((i + 1)) --mac "$(mac_of "host$i")"
	done
	for mtu in 1500 1280; do
		in_ns gateway ip link set lan mtu $mtu
		"$SELFTESTS/lib/portarp_scapy.py" "$NET" "$mode" $mtu >"$TMP/scapy.log" 2>&1 || NET_FAILED=$((NET_FAILED + 1))
		cat "$TMP/scapy.log"
	done
	in_ns gateway ip link set lan mtu 1500
	end "$AGENT_PID"
	check "$mode: detaches" in_ns gateway isthmus portarp detach --instance "$(instance_of gateway)"
done
