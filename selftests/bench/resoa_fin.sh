#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The bar of R10 (4.3): of CONNECTIONS, half of them by IPv6, each peer's FIN is acknowledged after the client has all
# bytes before it. Told by two captures: when the peer got the acknowledgment of its FIN, and when the kernel of the
# program's socket acknowledged the last byte. The peer sends and ends for WIDTH connections at once; for every second
# such wave the client's daemon is stopped then, for longer than an acknowledgment is delayed (40 ms). The control is
# the same where the programs are not at the peers' device: in the waves that were stopped, every FIN is acknowledged
# too early.
#
#   alice (no address): program, tcpdump
#      isthmus-resoa ──── LHP ──── isthmus-resoad   server ──── peer, tcpdump
#
#   RESOA_LHP    ether, tls or unix

: "${RESOA_LHP:=ether}"
. "${0%/*}/lib/bench.sh"
# shellcheck source=selftests/lib/resoa.sh
. "$SELFTESTS/lib/resoa.sh"

: "${CONNECTIONS:=10000}" "${WIDTH:=500}" "${BYTES:=0-20000}" "${STOP_S:=0.2}"
FIN=$SELFTESTS/lib/resoa_fin.py
BUFFER_KB=131072 # of each capture; more than its packets
declare -A SERVE=()

set_up() {
	ulimit -n "$(ulimit -Hn)"
	resoa_up
	(umask 077 && isthmus-resoad client add alice --clients "$TMP/resoad.clients" >"$TMP/alice.key")
	printf '%s\n' "sockets = 60000" "ports = 10000-29999" >>"$TMP/resoad.clients"
	kill -HUP "$RESOA_SERVER"
	resoa_client alice
	serve $PEER4 7000
	serve $PEER6 7002
}

serve() { # ADDRESS PORT
	spawn peer "serve$2.log" python3 "$FIN" serve "$1" "$2" "$BYTES"
	SERVE[$2]=$SPAWNED
	wait_for 20 listening peer t "$2"
}

capture() { # NAME NETWORK DEVICE
	spawn - "$1.dump" nsenter --net="$2" tcpdump -i "$3" -s 96 -B $BUFFER_KB -w "$TMP/$1.pcap" tcp
	wait_for 10 log_has "$1.dump" 'listening on'
}

# ---- one family's connections

all_ended() { # PORT COUNT: the peer has sent its FIN on so many of all connections
	[ "$(in_ns peer ss -Htn state fin-wait-1 state fin-wait-2 "sport = :$1" | wc -l)" = "$2" ]
}

wave() { # PORT COUNT stopped|not: the peer sends and ends
	[ "$3" = not ] || kill -STOP "${RESOA_PID[alice]}"
	kill -USR1 "${SERVE[$1]}"
	wait_for 30 all_ended "$1" "$2"
	[ "$3" = not ] || sleep "$STOP_S"
	kill -CONT "${RESOA_PID[alice]}"
}

waves() { # LOG PORT COUNT
	local have how=stopped
	for ((have = WIDTH; have <= $3; have += WIDTH)); do
		wait_for 60 log_has "$1" "^connected $have\$"
		wave "$2" "$have" $how
		if [ $how = not ]; then how=stopped; else how=not; fi
	done
	wait_for 60 log_has "$1" complete
}

# Leaves NAME.json.
family() { # NAME ADDRESS PORT COUNT
	local peer client program
	capture "$1-peer" "/run/netns/$NET-peer" eth0
	peer=$SPAWNED
	capture "$1-client" "$(resoa_path alice)" e0
	client=$SPAWNED
	spawn - "$1.log" isthmus-resoa run --control "$TMP/alice.sock" -- python3 "$FIN" waves "$2" "$3" "$4" "$WIDTH" "$BYTES"
	program=$SPAWNED
	waves "$1.log" "$3" "$4"
	sleep 1 # tcpdump is behind
	end "$peer"
	end "$client"
	end "$program" # after the captures: closing the sockets is no part of them
	end "${SERVE[$3]}"
	serve "$2" "$3"
	python3 "$FIN" order "$TMP/$1-peer.pcap" "$TMP/$1-client.pcap" "$3" >"$TMP/$1.json"
	tell "$1: $(cat "$TMP/$1.json"), whole: $(sed -n 's/^complete //p' "$TMP/$1.log")"
}

lost() { # NAME: packets that the four captures have not; each says so at its end
	awk '/dropped by kernel/ { said++; sum += $1 } END { print said == 4 ? sum : "null" }' "$TMP/$1"-ip?-*.dump
}

whole() { awk '/^complete/ { sum += $2 } END { print sum + 0 }' "$TMP/$1"-ip?.log; } # NAME

both() { # NAME: of both families, in SUM
	family "$1-ip4" $PEER4 7000 $HALF
	family "$1-ip6" $PEER6 7002 $HALF
	SUM=$(jq -cs --argjson lost "$(lost "$1")" --argjson whole "$(whole "$1")" \
		'{fins: map(.fins) | add, after: map(.after) | add, early: map(.early) | add, lost: $lost, whole: $whole}' \
		"$TMP/$1-ip4.json" "$TMP/$1-ip6.json")
	sample "$1" 1 "$(jq .after <<<"$SUM")" "$SUM"
}

figure() { jq ".$1" <<<"$SUM"; }

# ---- with the programs, and without

HALF=$((CONNECTIONS / 2 / WIDTH * WIDTH))
set_up
both with
bar whole "$(figure whole)" = $((2 * HALF))
bar after "$(figure after)" = $((2 * HALF))
bar lost_packets "$(figure lost)" = 0
end "${RESOA_PID[alice]}"
end "$RESOA_SERVER"
RESOA_DEVICE=lo resoa_server
resoa_start alice
both without
bar control_early "$(figure early)" '>=' $(((HALF / WIDTH + 1) / 2 * WIDTH * 2))
bar control_lost_packets "$(figure lost)" = 0
