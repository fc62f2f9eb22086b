#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Attacks on waypoints and gateways: copies of genuine tunnel packets, changed ones, scans, forged sources. The network
# is drawn in lib/aves.sh; `inet`, which all tunnels pass, is where the attacker keeps packets and sends copies. Besides,
# home1 has a second inside network, and there are three more clients.
#
#   host3 192.168.3.10 ── lan2 home1          mallory, dave, erin ── out (198.51.100.66, .20, .21)
#
# All the time numbered datagrams go from alice to host1 and from carol to host2, and back: a copy that was delivered
# would be counted there.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/aves.sh"
need jq ethtool nft python3 dig curl busybox unbound

WIRE=$SELFTESTS/lib/tunnel_wire.py
ECHO=$SELFTESTS/lib/numbered_echo.py
SCAN=$SELFTESTS/lib/scan.py
HOME1=192.0.2.2 HOME2=192.0.2.10 # as outside sees them
FLOWS=(host1 host2 host3 alice carol dave)

resolve() { in_ns "$1" dig +short +time=4 +tries=1 "@$RESOLVER" "$2.$ZONE" A; } # NS NAME
page() { with_names "$1" curl -sS --max-time 15 -4 "http://$2.$ZONE/"; }        # NS NAME
web() { # HOME
	mkdir -p "$TMP/www$1"
	echo "home $1" >"$TMP/www$1/index.html"
	spawn "host$1" "httpd$1.log" busybox httpd -f -p "[::]:80" -h "$TMP/www$1"
	wait_for 5 listening "host$1" t 80
}

more_net() {
	local name last
	net_ns mallory dave erin host3
	for name in mallory:66 dave:20 erin:21; do
		last=${name#*:}
		aves_port out "${name%:*}" "198.51.100.$last/24"
		net_route "${name%:*}" default 198.51.100.1
	done
	net_link host3 eth0 192.168.3.10/24 home1 lan2 192.168.3.1/24
	net_route host3 default 192.168.3.1
	net_xdp_ready home1 lan2
	net_xdp_ready host3 eth0
}

# ---- genuine traffic

serve() { # HOST...
	local host
	for host; do spawn "$host" "$host-echo.log" python3 "$ECHO" serve 7000 "$TMP/$host.count"; done
	for host; do wait_for 20 listening "$host" u 7000; done
}
ask() { # CLIENT NAME
	local to
	to=$(resolve "$1" "$2")
	in_ns "$1" ping -qc1 -W2 "$to" >/dev/null || true # binds, before a slower program starts
	spawn "$1" "$1-echo.log" python3 "$ECHO" ask "$to" 7000 "$TMP/$1.count"
	check "$1 is served by $2, to and fro" wait_for 20 came_more "$1" 5
}
came() {
	local count=0 rest
	[ ! -s "$TMP/$1.count" ] || read -r count rest <"$TMP/$1.count"
	echo "$count"
}
came_more() { [ "$(came "$1")" -ge "$2" ]; } # CLIENT COUNT
# What was delivered though nobody sent it, or not so often, all the time and anywhere.
delivered() {
	local name count again foreign rest sum=0
	for name in "${FLOWS[@]}"; do
		read -r count again foreign rest <"$TMP/$name.count"
		sum=$((sum + again + foreign))
	done
	echo $sum
}
goes_on() { # the control: answers come, of both homes
	local one two
	one=$(($(came alice) + 5)) two=$(($(came carol) + 5))
	wait_for 15 came_more alice "$one" && wait_for 15 came_more carol "$two"
}

# ---- attacks

# counted END REASON...: packets of these reasons at wp, home1 or home2
counted() {
	local end=$1 stem=gateway instance=$INSTANCE-${1#home}
	shift
	if [ "$end" = wp ]; then stem=waypoint instance=$INSTANCE; fi
	in_ns "$end" isthmus $stem stats --instance "$instance" --json |
		jq '[.reasons[] | select(.reason | IN($ARGS.positional[])).packets] | add' --args "$@"
}
counted_is() { local want=$1 && shift && [ "$(counted "$@")" -ge "$want" ]; }
# The attacker: one process, as programs are slow to start. It is asked by one pipe and answers by another.
attacker() {
	mkfifo "$TMP/asked" "$TMP/told"
	exec 7<>"$TMP/asked" 8<>"$TMP/told"
	nsenter --net="/run/netns/$NET-inet" python3 "$WIRE" "$TMP/wire" "$@" <&7 >&8 2>"$TMP/wire.log" &
	NET_SPAWNED+=($!)
	wait_for 20 test -e "$TMP/wire"
}
copies() { # FILE DEV HOW [OPTION...]: prints how many were sent
	local count=0
	echo "$*" >&7
	read -r -t $((20 * SLOW)) count <&8 || true
	echo "$count"
}

# attack NAME END REASONS FILE DEV HOW [OPTION...]: each copy is dropped for one of the reasons, and none is delivered.
attack() {
	local name=$1 end=$2 reasons before sent
	read -ra reasons <<<"$3"
	shift 3
	before=$(counted "$end" "${reasons[@]}")
	sent=$(copies "$@")
	wait_for 3 counted_is $((before + sent)) "$end" "${reasons[@]}" || true
	at_least "$name: copies were sent" "$sent" 20
	equal "$name: each was dropped as ${reasons[*]}" $(($(counted "$end" "${reasons[@]}") - before)) "$sent"
	equal "$name: none was delivered" "$(delivered)" 0
}

replays() {
	attack "replayed to the gateway" home1 REPLAYED "$TMP/wire" home1 copies
	attack "replayed to the waypoint" wp REPLAYED "$TMP/wire" wp copies
	attack "replayed from another source" wp REPLAYED "$TMP/wire" wp copies --from 198.51.100.66
	attack "to the gateway, from another source" home1 REPLAYED "$TMP/wire" home1 copies --from 198.51.100.66
	attack "the gateway's sent back to it" home1 VNI_UNKNOWN "$TMP/wire" home1 reflected
	attack "the waypoint's sent back to it" wp VNI_UNKNOWN "$TMP/wire" wp reflected
	check "after replays genuine packets pass" goes_on
}

changes() {
	attack "bits flipped, to the gateway" home1 FORGED "$TMP/wire" home1 flipped
	attack "bits flipped, to the waypoint" wp FORGED "$TMP/wire" wp flipped
	attack "cut, to the gateway" home1 "FORGED MALFORMED" "$TMP/wire" home1 cut
	attack "cut, to the waypoint" wp "FORGED MALFORMED" "$TMP/wire" wp cut
	attack "home1's, as if of home2" wp FORGED "$TMP/wire" wp grafted --peer $HOME1 --as $HOME2
	attack "home2's, as if of home1" wp FORGED "$TMP/wire" wp grafted --peer $HOME2 --as $HOME1
	attack "home1's, from home2's address" wp REPLAYED "$TMP/wire" wp copies --peer $HOME1 --from $HOME2
	equal "each bit of the headers by turns: all sent" "$(copies "$TMP/wire" wp every-bit) $(copies "$TMP/wire" home1 every-bit)" "256 256"
	check "after changed ones genuine packets pass" goes_on
	equal "each bit of the headers by turns: none was delivered" "$(delivered)" 0
}

# ---- control packets: copies of the handshake

tally() { # END: handshakes, and moves of gateways
	if [ "$1" = wp ]; then
		in_ns wp isthmus-waypoint status --json --control "$TMP/wp.sock" | jq -c '[.counters.handshakes, .counters.moved]'
	else
		in_ns "$1" isthmus-gateway status --json --control "$TMP/$1.sock" | jq -c '[.counters.handshakes, .counters.tunnels_lost]'
	fi
}
bad_control() { # END
	local program=gateway
	[ "$1" != wp ] || program=waypoint
	in_ns "$1" isthmus-$program status --json --control "$TMP/$1.sock" | jq .counters.control_bad
}
more_bad() { [ "$(bad_control "$1")" -ge "$2" ]; }

control() {
	local before bad options place
	before="$(tally wp) $(tally home1)"
	for place in wp home1; do
		for options in "" "--from 198.51.100.66"; do
			bad=$(bad_control $place)
			# shellcheck disable=SC2086 # words
			at_least "control packets to $place again $options: sent" "$(copies "$TMP/wire" $place control --peer $HOME1 $options)" 3
			check "control packets to $place again $options: seen as copies" wait_for 5 more_bad $place $((bad + 2))
		done
	done
	check "after control packets genuine ones pass" goes_on
	equal "no handshake, no move, no tunnel lost by them" "$(tally wp) $(tally home1)" "$before"
}

# ---- restarts: what was kept before is of no use after

handshaken() { # END COUNT
	[ "$(tally "$1" | jq '.[0]')" -ge "$2" ]
}
old_copies() { # WHEN
	check "$1: genuine packets pass again" goes_on
	attack "$1: the old ones to the gateway" home1 "REPLAYED VNI_UNKNOWN" "$TMP/before" home1 copies
	attack "$1: the old ones to the waypoint" wp "REPLAYED VNI_UNKNOWN" "$TMP/before" wp copies
	copies "$TMP/before" wp control >/dev/null
	copies "$TMP/before" home1 control >/dev/null
	check "$1: genuine packets pass after old handshakes" goes_on
	equal "$1: none of the old ones was delivered" "$(delivered)" 0
}
restart_waypoint() {
	end "${AVES_PID[wp]}" KILL
	aves_waypoint_run
	check "waypoint's agent anew: handshakes" wait_for 20 handshaken wp 2
	old_copies "waypoint's agent anew"
}
restart_gateway() {
	end "${AVES_PID[home1]}" KILL
	aves_gateway_run 1
	check "gateway's agent anew: a handshake" wait_for 20 handshaken home1 1
	old_copies "gateway's agent anew"
}
attach_waypoint_again() {
	end "${AVES_PID[wp]}"
	in_ns wp isthmus waypoint detach --instance "$INSTANCE" >/dev/null
	in_ns wp isthmus waypoint attach --dev eth0 --instance "$INSTANCE" --mode xdp >/dev/null 2>&1
	attack "waypoint's datapath anew, no agent" wp VNI_UNKNOWN "$TMP/before" wp copies
	aves_waypoint_run
	check "waypoint's datapath anew: handshakes" wait_for 20 handshaken wp 2
	old_copies "waypoint's datapath anew"
}
attach_gateway_again() {
	end "${AVES_PID[home1]}"
	in_ns home1 isthmus gateway detach --instance "$INSTANCE-1" >/dev/null
	aves_gateway_run 1 --attach xdp
	check "gateway's datapath anew: a handshake" wait_for 20 handshaken home1 1
	old_copies "gateway's datapath anew"
}

# ---- two inside networks

two_lans() {
	local source
	equal "two inside networks: all devices were found" "$(in_ns home1 isthmus gateway show --instance "$INSTANCE-1" --json |
		jq -c '[.. | objects | select(has("device")).device] | unique')" '["lan","lan2","wan"]'
	ask dave other.home1
	source=$(awk '{ print $4 }' "$TMP/host3.count")
	equal "a masked host of the second one sees the gateway's address there" "$source" 192.168.3.1
}

# ---- scans and floods (AVES 6.2)

scan() { # LOG SOURCE RATE COUNT
	spawn mallory "$1" python3 "$SCAN" "$2" "$3" "$4" "${W[@]}"
}
scanned() {
	local scanner unsolicited penalised name round
	unsolicited=$(counted wp UNSOLICITED) penalised=$(counted wp PENALISED)
	scan scan.log 198.51.100.66 100 0
	scanner=$SPAWNED
	check "a scan: nobody waits for its packets" wait_for 10 counted_is $((unsolicited + 60)) wp UNSOLICITED
	for round in 1 2; do
		for name in 1 2; do
			equal "a scan: a client is served by name ($round: home$name)" "$(page erin web.home$name)" "home $name"
		done
	done
	check "a scan: clients that are bound are served" goes_on
	at_least "a scan: the scanner waits for its second binding" $(($(counted wp PENALISED) - penalised)) 1
	end "$scanner"
}

forged() {
	local flood unsolicited
	# mallory as frank, who comes later, and as a thousand others all the time.
	scan forged.log 198.51.100.22 1000 120
	wait "$SPAWNED"
	unsolicited=$(counted wp UNSOLICITED)
	scan flood.log random 400 0
	flood=$SPAWNED
	net_ns frank
	aves_port out frank 198.51.100.22/24
	net_route frank default 198.51.100.1
	check "forged sources: they come" wait_for 20 counted_is $((unsolicited + 200)) wp UNSOLICITED
	equal "forged sources: whose address was forged is served" "$(page frank web.home1)" "home 1"
	equal "forged sources: another client is served, the other home" "$(page erin web.home2)" "home 2"
	check "forged sources: clients that are bound are served" goes_on
	end "$flood"
}

aves_net
more_net
web 1
web 2
serve host1 host2 host3
attacker wp home1 isp
aves_dns
aves_waypoint xdp
aves_gateway 1 xdp 'web 192.168.1.10\nother 192.168.3.10 masked\n'
aves_gateway 2 xdp 'web 192.168.1.10\n'
aves_unbound
check "tunnels are up" aves_ready home1 home2
ask alice web.home1
ask carol web.home2
two_lans
check "enough packets to copy" wait_for 20 came_more alice 40
check "enough packets to copy, of home2" wait_for 20 came_more carol 40
replays
changes
control
cp "$TMP/wire" "$TMP/before"
restart_waypoint
restart_gateway
attach_waypoint_again
attach_gateway_again
scanned
forged
equal "all the time: no copy and nothing foreign was delivered" "$(delivered)" 0
aves_detach
