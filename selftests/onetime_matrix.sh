#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Table I of the Unified Multiplex paper (III.C): who can talk to whom in each mode, with real connections; TCP and UDP, IPv6
# and IPv4.
#
#   client eth0 ──── near middle far ──── eth0 server
#   2001:db8:1::2, ::3/64     a wire          2001:db8:1::1/64   listeners' pools 2001:db8:100::/64, 198.51.100.0/24
#   192.0.2.2, .3/24      that changes        192.0.2.1/24
#   EAs 2001:db8:200::/64     ports
#       203.0.113.0/26
#
# U: unified, an address for each session (SSA, MANY at the server; EA by `isthmus onetime run`). L: legacy, a plain host with
# its address (LA) and an ephemeral (EP), well-known (WP) or reduced (RP) port. In L0 to L2 the wire changes, in the middle of
# each session, the ports that the mode does not look at (lib/ports_shift.py). MODES=... are those that are tried.

. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/onetime.sh"
need jq python3 ethtool nc
LIB=$SELFTESTS/lib
EVERY=6 # packets with the same ports
: "${MODES:=l0 l1 l2 aware}"
WP=443 RP=10443	   # servers listen at the well-known port, at a reduced one,
LISTENER_PORT=8080 # and at one that nobody needs to know in L0 to L2; UDP at the next one each
declare -A NEXT=([6]=16 [4]=16)

story_end() { onetime_detach_all; }

world() {
	net_ns client middle server
	net_link client eth0 2001:db8:1::2/64,2001:db8:1::3/64,192.0.2.2/24,192.0.2.3/24 middle near -
	net_link server eth0 2001:db8:1::1/64,192.0.2.1/24 middle far -
	in_ns middle sysctl -qw net.ipv6.conf.near.disable_ipv6=1 net.ipv6.conf.far.disable_ipv6=1
	net_xdp_ready client eth0
	net_xdp_ready server eth0
	in_ns middle ethtool -K near gro off >/dev/null
	in_ns middle ethtool -K far gro off >/dev/null
	net_route client 2001:db8:100::/64 2001:db8:1::1
	net_route client 198.51.100.0/24 192.0.2.1
	net_route server 2001:db8:200::/64 2001:db8:1::2
	net_route server 203.0.113.0/26 192.0.2.2
	spawn middle wire.log "$LIB/ports_shift.py" "$TMP/wire.sock" near far
	wait_for 10 test -S "$TMP/wire.sock"
	wait_for 10 in_ns client ping -qc1 -W1 2001:db8:1::1
}

# wire WHICH BACK: from now on; prints what was seen before
wire() { echo "$1 $2 $EVERY" | nc -N -U "$TMP/wire.sock"; }

# fresh FAMILY: ADDRESS is one of the server's pool that no session has had
fresh() {
	local number=${NEXT[$1]}
	NEXT[$1]=$((number + 1))
	if [ "$1" = 6 ]; then ADDRESS=$(printf '2001:db8:100::%x' "$number"); else ADDRESS=198.51.100.$number; fi
}

udp() { [ "$1" != udp ] || echo 1; } # what is added to a port

# set_address PROTO FAMILY PORT MODE USE: ADDRESS is a fresh one of that listener
set_address() {
	local many=()
	[ "$5" != MANY ] || many=(--many)
	fresh "$2"
	onetime_of server das "$SERVER" eth0 "$ADDRESS" --port "$(($3 + 0$(udp "$1")))" --mode "$4" "${many[@]}" >/dev/null
}

ask() { in_ns client "$LIB/onetime_pair.py" ask "$@"; }
ask_ea() { onetime_of client run -- "$LIB/onetime_pair.py" ask "$@"; }
la() { if [ "$1" = 6 ]; then echo "2001:db8:1::$2"; else echo "192.0.2.$2"; fi; }
is_ea() { [[ $1 == 2001:db8:200:* || $1 == 203.0.113.* ]]; }

# whole NAME TOLD SESSIONS BESIDE [AFTER]: all bytes and FINs of what `ask` told, and what another client got
whole() {
	equal "$1" "$(jq -c '[.rounds, .bytes == .rounds * 1100, .eof, .error]' <<<"$2")" "[$((20 * $3)),true,true,null]"
	equal "$1: another one during the session and after it" "$(jq -r '"\(.beside) \(.after)"' <<<"$2")" "$4 ${5:-$4}"
}

# shifted NAME SEEN PROTO SESSIONS: the wire has changed ports, and answers carry those of the last packet received. Answers
# that were under way when ports changed are few.
shifted() {
	local fins=$4
	[ "$3" = tcp ] || fins=0
	if jq -en --argjson seen "$2" --argjson fins "$fins" '$seen | .changed >= 12 and .fins[0] >= $fins and .fins[1] >= $fins
		and .back.wrong == 0 and .back.right >= 20 and .back.stale * 10 <= .back.right' >/dev/null; then
		ok "$1: ports were changed, answers carry those of the last packet"
	else
		not_ok "$1: ports were changed, answers carry those of the last packet" "$2"
	fi
}

# ---- port ignore: L0, L1, L2

# ignore MODE USE CLIENT PROTO FAMILY
ignore() {
	local mode=$1 use=$2 client=$3 proto=$4 family=$5 told seen before which=both name options=() sessions=1 beside=silent
	name="$mode: U($use,*) - $([ "$client" = EA ] && echo "U(EA,*)" || echo "L(LA,EP)"), $proto, IPv$family"
	[ "$mode" != l2 ] || which=dest
	if [ "$use" = MANY ]; then
		sessions=2 beside=served
	fi
	set_address "$proto" "$family" $LISTENER_PORT "$mode" "$use"
	before=$(onetime_count server REWRITTEN)
	options=("$proto" "$ADDRESS" $((2000 + RANDOM)) "sessions=$sessions")
	if [ "$client" = EA ]; then # who comes besides has an EA, too
		wire "$which" own >/dev/null
		told=$(ask_ea "${options[@]}" beside= after=)
		equal "$name: its address is an EA" "$(is_ea "$(jq -r '.local[0]' <<<"$told")" && echo yes)" yes
	else
		wire "$which" map >/dev/null
		told=$(ask "${options[@]}" from="$(la "$family" 2)" beside="$(la "$family" 3)" after="$(la "$family" 3)")
		equal "$name: its address is its own" "$(jq -r '[.local[] | split(" ")[0]] | unique[]' <<<"$told")" "$(la "$family" 2)"
	fi
	whole "$name: bytes both ways$([ "$proto" = udp ] || echo " and FINs")" "$told" $sessions $beside
	seen=$(wire none map)
	shifted "$name" "$seen" "$proto" $sessions
	at_least "$name: the server's ports were set" $(($(onetime_count server REWRITTEN) - before)) 12
}

# In L2 the client's port tells sessions: a changed one is another session.
l2_other_port() { # PROTO FAMILY
	local told seen name="l2: L(LA,EP), $1, IPv$2"
	set_address "$1" "$2" $LISTENER_PORT l2 SSA
	wire source map >/dev/null
	told=$(ask "$1" "$ADDRESS" 443 from="$(la "$2" 2)" wait=1)
	equal "$name: its port is changed: no answer" "$(jq -r '.error, .rounds > 0' <<<"$told" | xargs)" "silent true"
	seen=$(wire none map)
	at_least "$name: and it was changed" "$(jq .changed <<<"$seen")" 1
	set_address "$1" "$2" $LISTENER_PORT l2 SSA
	told=$(ask "$1" "$ADDRESS" 443 from="$(la "$2" 2)" beside="$(la "$2" 2)" after="$(la "$2" 2)")
	whole "$name: another port of the same client: refused, and the session goes on" "$told" 1 silent
	set_address "$1" "$2" $LISTENER_PORT l2 MANY
	told=$(ask "$1" "$ADDRESS" 443 from="$(la "$2" 2)" beside="$(la "$2" 2)" beside_to=444 after="$(la "$2" 2)")
	whole "$name: at an address of many, another port is another session" "$told" 1 served
}

# ---- port aware

# aware USE SERVER-PORT CLIENT-PORT PROTO FAMILY
aware() {
	local use=$1 port=$((${!2} + 0$(udp "$4"))) proto=$4 family=$5 own=0 other=$WP told beside=silent name="aware: U($1,$2) - L(LA,$3), $4, IPv$5"
	[ "$3" = EP ] || own=$((30000 + RANDOM % 2000))
	[ "$2" = RP ] || other=$RP
	[ "$use" = SSA ] || beside=served
	set_address "$proto" "$family" "${!2}" aware "$use"
	wire none map >/dev/null
	told=$(ask "$proto" "$ADDRESS" "$port" from="$(la "$family" 2)" port=$own before_to="$other" beside="$(la "$family" 3)" after="$(la "$family" 3)")
	equal "$name: another port is refused" "$(jq -r .before <<<"$told")" silent
	whole "$name: bytes both ways" "$told" 1 $beside
	[ "$own" = 0 ] || equal "$name: from its port" "$(jq -r '.local[0]' <<<"$told" | cut -d' ' -f2)" "$own"
	check "$name: ports are those of the packets" jq -e '.changed == 0 and .back.wrong == 0 and .back.right >= 20' <<<"$(wire none map)"
}

aware_changed() { # PROTO FAMILY
	local which told
	for which in source dest; do
		set_address "$1" "$2" $WP aware SSA
		wire $which map >/dev/null
		told=$(ask "$1" "$ADDRESS" $((WP + 0$(udp "$1"))) from="$(la "$2" 2)" wait=1)
		equal "aware: L(LA,EP), $1, IPv$2, the wire changes ports ($which): no answer" \
			"$(jq -r '.error, .rounds > 0' <<<"$told" | xargs)" "silent true"
		at_least "aware: $1, IPv$2, $which: they were changed" "$(wire none map | jq .changed)" 1
	done
}

# ---- all of it

CLIENT_POOLS=()
client_pools() { # MODE NUMBER: EAs are of this mode
	local pool
	for pool in "${CLIENT_POOLS[@]}"; do onetime_of client pool del "$pool" --force; done
	wait_for 10 onetime_eas_are client 6 0 0
	CLIENT_POOLS=("2001:db8:200:0:$2::/80" "203.0.113.$(($2 * 16))/28")
	for pool in "${CLIENT_POOLS[@]}"; do onetime_of client pool add eth0 "$pool" --client --mode "$1"; done
	wait_for 10 onetime_eas_are client 6 32
	wait_for 10 onetime_eas_are client 4 4
} >>"$TMP/pools.log" 2>&1

world
onetime_attach server --addresses 4096
onetime_of server pool add eth0 2001:db8:100::/64
onetime_of server pool add eth0 198.51.100.0/24
onetime_agent server
onetime_attach client --addresses 4096 --eas 64
onetime_of client run -- true 2>>"$TMP/said" # tells of the settings that it makes
onetime_agent client --eas 64
spawn server server.log "$LIB/onetime_pair.py" serve $LISTENER_PORT $WP $RP
SERVER=$SPAWNED
for port in $LISTENER_PORT $WP $RP; do
	wait_for 20 listening server t "$port"
	wait_for 20 listening server u $((port + 1))
done

i=0
for mode in l0 l1 l2; do
	i=$((i + 1))
	[[ " $MODES " == *" $mode "* ]] || continue
	client_pools $mode $i
	for proto in tcp udp; do
		for family in 6 4; do
			ignore $mode SSA EA $proto $family
			[ $mode = l0 ] || ignore $mode SSA LA $proto $family
			if [ $mode = l2 ]; then
				ignore $mode MANY LA $proto $family
				l2_other_port $proto $family
			fi
		done
	done
done
[[ " $MODES " == *" aware "* ]] || exit 0
for proto in tcp udp; do
	for family in 6 4; do
		for server in WP RP; do
			for client in EP RP; do
				aware SSA $server $client $proto $family
				[ $family = 4 ] || aware MANY $server $client $proto $family
			done
		done
		aware_changed $proto $family
	done
done
