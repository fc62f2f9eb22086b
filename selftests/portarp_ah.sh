#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# IPsec AH (RFC 4302) signs addresses and ports: it passes because nothing is translated on the way (paper I), and
# through no NAT. Two sharers use it with the same peer at the same time.
#
#   outside ──────── gateway ──────── lan ─┬─ host1   192.0.2.1
#   198.51.100.2                           └─ host2   192.0.2.1
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/sharers.sh"

story_end() { portarp_pins_remove; }

KEY=0x$(printf '%064d' 0 | tr 0 a)

# ah NS SOURCE DESTINATION SPI: what goes there, and what comes from there, has an AH
ah() {
	in_ns "$1" ip xfrm state add src "$2" dst "$3" proto ah spi "$4" mode transport auth-trunc 'hmac(sha256)' "$KEY" 128
}
ah_out() { # NS SOURCE DESTINATION SPI SELECTOR...
	in_ns "$1" ip xfrm policy add src "$2" dst "$3" "${@:5}" dir out tmpl src "$2" dst "$3" proto ah spi "$4" mode transport
}
ah_in() { # NS SOURCE DESTINATION SELECTOR...
	in_ns "$1" ip xfrm policy add src "$2" dst "$3" "${@:4}" dir in tmpl src "$2" dst "$3" proto ah mode transport
}

net_ns probe
if ! in_ns probe ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto ah spi 1 mode transport auth-trunc 'hmac(sha256)' "$KEY" 128 2>/dev/null; then
	skip "AH through the gateway" "this kernel has no AH (CONFIG_INET_AH)"
	exit 0
fi

sharers_net
check "gateway attaches" portarp_attach gateway gateway
portarp_agent gateway
check "an open address" portarp gateway address-add $SHARED --offset $OFFSET --length $LENGTH --open
for i in 1 2; do
	check "host$i attaches" portarp_attach "host$i" host
	portarp_agent "host$i"
	check "host$i uses a set" sharer "host$i" $((i + 1))
	port=$(port_of $((i + 1)) 0)
	# Each direction has an SPI of its own; the hosts' connections differ by their server's port.
	ah "host$i" $SHARED $OUTSIDE 0x10$i
	ah "host$i" $OUTSIDE $SHARED 0x20$i
	ah_out "host$i" $SHARED $OUTSIDE 0x10$i proto tcp dport 700$i
	ah_in "host$i" $OUTSIDE $SHARED proto tcp sport 700$i
	ah outside $SHARED $OUTSIDE 0x10$i
	ah outside $OUTSIDE $SHARED 0x20$i
	ah_out outside $OUTSIDE $SHARED 0x20$i proto tcp sport 700$i
	ah_in outside $SHARED $OUTSIDE proto tcp dport 700$i
done
# A new inbound SPI is for who began last with the peer: so one begins, and the other while it goes on.
pids=()
for i in 1 2; do
	spawn outside "ah-s$i.json" "$FLOW" --listen --bind "$OUTSIDE:700$i" --role echo --seconds 0 --timeout $((20 * SLOW))
	pids+=("$SPAWNED")
	spawn "host$i" "ah-c$i.json" "$FLOW" --connect "$OUTSIDE:700$i" --bind "$SHARED:$(port_of $((i + 1)) 0)" \
		--role ping --seconds $((4 * SLOW)) --timeout $((20 * SLOW))
	pids+=("$SPAWNED")
	sleep $((1 * SLOW))
done
for pid in "${pids[@]}"; do check "a TCP connection under AH goes on" wait "$pid"; done
for i in 1 2; do
	at_least "host$i: messages were answered" "$(jq .rtt_us.count "$TMP/ah-c$i.json")" 20
	at_least "host$i: packets were authenticated" "$(in_ns "host$i" ip -s xfrm state | awk '/spi 0x0*20/ { n = 1 }
		n && /lifetime current/ { getline; sub(/.*\(bytes\), /, ""); print $1 + 0; exit }')" 20
done
