#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A waypoint and a gateway on real packets: unmodified programs outside reach hosts in a home without addresses of
# their own, past a router that masquerades and lets nothing in. The maps are filled as agents would.
#
#   alice ──── inet ──── wp            wp 203.0.113.1, waypoint addresses .80 and .81
#   198.51.100.7 │
#              home ──── lan ─┬─ host1 192.168.1.10
#              192.0.2.2      └─ host2 192.168.1.11
#              192.168.1.1

. "${0%/*}/lib/net.sh"
need jq bpftool ethtool nft python3

FLOW=$B/selftests/bench/flow
W1=203.0.113.80 W2=203.0.113.81
ALICE=198.51.100.7

# ---- the network

net_ns alice inet wp home lan host1 host2
net_link alice eth0 $ALICE/24 inet alice 198.51.100.1/24
net_link wp eth0 203.0.113.1/24 inet wp 203.0.113.254/24
net_link home wan 192.0.2.2/24 inet home 192.0.2.1/24
in_ns lan ip link add br0 type bridge
in_ns lan ip link set br0 up
lan_port() { # NAME DEV ADDRESS
	in_ns "$1" ip link add "$2" type veth peer name "$1" netns "$NET-lan"
	in_ns "$1" ip addr add "$3" dev "$2"
	in_ns "$1" ip link set "$2" up
	in_ns lan ip link set "$1" master br0 up
	net_xdp_ready lan "$1"
	net_xdp_ready "$1" "$2"
}
lan_port home lan 192.168.1.1/24
lan_port host1 eth0 192.168.1.10/24
lan_port host2 eth0 192.168.1.11/24
net_forward inet
net_forward home
net_route alice default 198.51.100.1
net_route wp default 203.0.113.254
net_route home default 192.0.2.1
net_route host1 default 192.168.1.1
net_route host2 default 192.168.1.1
for address in $W1 $W2; do in_ns inet ip route add $address via 203.0.113.1; done
for name in alice wp home; do net_xdp_ready inet $name; done
net_xdp_ready wp eth0
net_xdp_ready home wan
# A home router as they are: it masquerades, and nothing that was not asked for comes in.
in_ns home nft -f - <<-NFT
	table ip nat {
		chain post {
			type nat hook postrouting priority srcnat
			oifname "wan" masquerade
		}
	}
	table inet filter {
		chain forward {
			type filter hook forward priority filter; policy drop
			iifname "lan" accept
			ct state established,related accept
		}
	}
NFT

mac_of() { in_ns "$1" ip -j link show dev "$2" | jq -r '.[0].address'; }
index_of() { in_ns "$1" ip -j link show dev "$2" | jq -r '.[0].ifindex'; }
fill() { # STEM: lines from standard input
	python3 "$SELFTESTS/lib/tunnel_fill.py" "$PINS/$INSTANCE/$1" "$1" >"$TMP/fill"
	bpftool batch file "$TMP/fill" >/dev/null
}
stat_of() { # STEM REASON
	in_ns "$([ "$1" = waypoint ] && echo wp || echo home)" isthmus "$1" stats --instance "$INSTANCE" --json |
		jq --arg reason "$2" '.reasons[] | select(.reason == $reason).packets'
}

# Host numbers 1 and 2; VNIs: 100 to the gateway, 200 to the waypoint.
start() { # MODE MODE_OF_HOSTS [WORD...]
	local options=(--instance "$INSTANCE" --mode "$1") host gro
	gro=$([ "$1" = tc ] && echo off || echo on) # at tc joined packets cannot be sealed
	in_ns wp ethtool -K eth0 gro "$gro"
	in_ns home ethtool -K wan gro "$gro"
	in_ns home ethtool -K lan gro "$gro"
	[ "$1" != tc ] || options+=(--trust-offloads)
	check "$1, $2: the waypoint attaches" in_ns wp isthmus waypoint attach --dev eth0 "${options[@]}"
	check "$1, $2: the gateway attaches" in_ns home isthmus gateway attach --uplink wan --lan lan "${options[@]}"
	fill waypoint <<-LINES
		peer 1 203.0.113.1 192.0.2.2 6081 100 $(index_of wp eth0) $(mac_of inet wp) $(mac_of wp eth0) 1500 ${*:3}
		key 200 1
		address $W1 0
		address $W2 1
	LINES
	fill gateway <<-LINES
		peer 1 192.0.2.2 203.0.113.1 6081 200 $(index_of home wan) $(mac_of inet home) $(mac_of home wan) 1500 ${*:3}
		key 100 1
	LINES
	for host in 1 2; do
		fill gateway <<<"host $host 192.168.1.1$((host - 1)) $(index_of home lan) $(mac_of host$host eth0) $(mac_of home lan) 1500 $2"
	done
	# What a masked flow has as its source.
	bpftool -j map dump pinned "$PINS/$INSTANCE/gateway/gateway_conf" >"$TMP/conf.json"
	inside_set
}
# The agent writes the LAN's own address into the configuration's second link.
inside_set() {
	python3 - "$TMP/conf.json" "$PINS/$INSTANCE/gateway/gateway_conf" >"$TMP/fill" <<-'PYTHON'
		import json, sys
		value = bytearray(int(byte, 16) for byte in json.load(open(sys.argv[1]))[0]["value"])
		link = 16 + 44  # tunnel_conf: the second link
		value[link + 24:link + 28] = bytes((192, 168, 1, 1))
		print("map update pinned", sys.argv[2], "key hex 00 00 00 00 value hex", value.hex(" "))
	PYTHON
	bpftool batch file "$TMP/fill" >/dev/null
}
stop() {
	in_ns wp isthmus waypoint detach --instance "$INSTANCE"
	in_ns home isthmus gateway detach --instance "$INSTANCE"
}
# waits NUMBER HOST [SECONDS]: a wait state of a waypoint address, as a SETUP makes it
waits() { fill waypoint <<<"wait $1 0 0.0.0.0/0 1 $2 ${3:-5} 203.0.113.8$1"; }

# meet NAME HOST PORT WAYPOINT SERVER_WORDS CLIENT_WORDS
meet() {
	local server
	# shellcheck disable=SC2086
	spawn "$2" "$1-s.json" "$FLOW" --listen --bind "0.0.0.0:$3" --timeout $((10 * SLOW)) $5
	server=$SPAWNED
	# shellcheck disable=SC2016 # the listener is there
	wait_for 10 in_ns "$2" sh -c 'ss -Hltun "sport = :$0" | grep -q .' "$3"
	# shellcheck disable=SC2086
	in_ns alice "$FLOW" --connect "$4:$3" --timeout $((10 * SLOW)) $6 >"$TMP/$1-c.json" || return 1
	wait "$server"
}

sessions() { # NAME
	waits 0 1
	check "$1: the first packet of a ping is answered" in_ns alice ping -qc1 -W2 $W1
	check "$1: all are" in_ns alice ping -qc20 -i0.02 -W2 $W1
	waits 1 2
	check "$1: TCP to host1, whole both ways" meet "t1" host1 80 $W1 "--role recv --verify --reply 100000" \
		"--role send --seconds 0 --bytes 3000000 --verify"
	check "$1: the same port of host2 at the same time" meet "t2" host2 80 $W2 "--role recv --verify --reply 100000" \
		"--role send --seconds 0 --bytes 3000000 --verify"
	check "$1: datagrams" meet "u1" host1 5000 $W1 "--udp --role echo --seconds 0" \
		"--udp --role ping --seconds 0 --count 50 --size 200"
	check "$1: datagrams in fragments that are cut again" in_ns alice ping -qc10 -i0.05 -W2 -M dont -s 3000 $W1
	equal "$1: bindings" "$(in_ns wp isthmus waypoint list --instance "$INSTANCE" --json |
		jq -c '[.bindings[] | [.initiator, .waypoint, .host]] | sort')" "[[\"$ALICE\",\"$W1\",1],[\"$ALICE\",\"$W2\",2]]"
	equal "$1: nothing was dropped on its way" "$(for reason in UNFINISHED MALFORMED SEND_FAILED FORGED REPLAYED NO_HOP NO_PEER; do
		stat_of waypoint $reason
		stat_of gateway $reason
	done | awk '{ sum += $1 } END { print sum }')" 0
}

# A responder sees who it is.
seen() { # NAME WANT
	local pid
	spawn host1 seen.txt timeout 10 tcpdump -nlc1 -i eth0 "udp dst port 7777"
	pid=$SPAWNED
	wait_for 5 grep -q listening "$TMP/seen.txt"
	in_ns alice bash -c "for i in 1 2 3; do echo x >/dev/udp/$W1/7777; sleep 0.2; done"
	wait "$pid" || true
	equal "$1: whom the responder sees" "$(sed -n 's/.*IP \([0-9.]*\)\.[0-9]* > .*/\1/p' "$TMP/seen.txt" | head -1)" "$2"
}

lengths() { # NAME
	refuse "$1: a ping of 1450 bytes with DF is too long" in_ns alice ping -qc1 -W1 -M "do" -s 1422 $W1
	check "$1: and its sender was told 1440" eval "in_ns alice ip route get $W1 | has 'mtu 1440'"
	check "$1: one of 1440 passes" in_ns alice ping -qc1 -W2 -M "do" -s 1412 $W1
	in_ns alice ip route flush cache
}

hops() { # NAME: two routers, the waypoint, the gateway, the host
	local ttl said
	for ttl in 2 3; do
		said=$(in_ns alice ping -c1 -W2 -t $ttl $W1 | grep -c "From $W1.*Time to live exceeded" || true)
		equal "$1: TTL $ttl ends at the waypoint's address" "$said" 1
	done
	check "$1: TTL 4 arrives" in_ns alice ping -qc1 -W2 -t 4 $W1
}

violated() { # NAME
	local said
	waits 0 2 3
	said=$(in_ns alice timeout 5 bash -c "exec 3<>/dev/tcp/$W1/80" 2>&1 || true)
	at_least "$1: bound to host1 while host2 is waited for: no route to host" "$(grep -c "No route to host" <<<"$said")" 1
	at_least "$1: counted" "$(stat_of waypoint VIOLATED)" 1
	check "$1: what was bound goes on" in_ns alice ping -qc1 -W2 $W2
}

untouched() { # NAME
	check "$1: host1 reaches alice by the router's NAT" in_ns host1 ping -qc2 -i0.1 -W2 $ALICE
	refuse "$1: and alice not host1 without a waypoint" in_ns alice ping -qc1 -W1 192.168.1.10
	refuse "$1: a stranger's connection to an address that waits for nobody" \
		in_ns inet timeout 2 bash -c "exec 3<>/dev/tcp/$W2/80"
}

for mode in xdp tc; do
	start $mode plain
	sessions "$mode"
	seen "$mode" $ALICE
	lengths "$mode"
	hops "$mode"
	violated "$mode"
	untouched "$mode"
	stop
done
start xdp masked
sessions "masked"
seen "masked" 192.168.1.1
stop
start xdp plain straight
waits 0 1
check "straight: ping" in_ns alice ping -qc5 -i0.05 -W2 $W1
check "straight: TCP" meet s1 host1 80 $W1 "--role recv --verify --reply 100000" "--role send --seconds 0 --bytes 1000000 --verify"
at_least "straight: replies did not come by the tunnel" "$(stat_of gateway STRAIGHT)" 10
equal "straight: not one of them" "$(stat_of waypoint OPENED)" 0
stop
