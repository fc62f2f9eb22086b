#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# R10 (4.3): a peer's FIN is acknowledged when the client has all bytes before it, not when the server has.
# While the client's daemon is stopped it has none; by capture at the peer no FIN is acknowledged then. Control: the
# same where the programs are not at the peers' device.
#
#   alice (no address)
#      isthmus-resoa ──── LHP ──── isthmus-resoad   server 192.0.2.1 ──── 192.0.2.2 peer, tcpdump
#                                                   2001:db8:1::1         2001:db8:1::2

. "${0%/*}/lib/net.sh"
need python3 tcpdump
. "$SELFTESTS/lib/resoa.sh"

COUNT=200 BYTES=20000

resoa_up
resoa_client alice
fin() { python3 "$SELFTESTS/lib/resoa_fin.py" "$@"; } # in this shell's network
spawn peer serve4.log python3 "$SELFTESTS/lib/resoa_fin.py" serve $PEER4 7000 $BYTES
SERVE4=$SPAWNED
spawn peer serve6.log python3 "$SELFTESTS/lib/resoa_fin.py" serve $PEER6 7002 $BYTES
SERVE6=$SPAWNED
spawn peer serve3.log python3 "$SELFTESTS/lib/resoa_fin.py" serve $PEER4 7003 3000000
wait_for 20 listening peer t 7000
wait_for 20 listening peer t 7002
wait_for 20 listening peer t 7003

in_state() { in_ns peer ss -Htn state "$1" "sport = :$2" | wc -l; } # STATE PORT: sockets of the peer
none_in() { [ "$(in_state "$1" "$2")" = 0 ]; }
all_in() { [ "$(in_state "$1" "$2")" = $COUNT ]; }
all_sent() { [ "$(($(in_state fin-wait-1 "$1") + $(in_state fin-wait-2 "$1")))" = $COUNT ]; }

# Connections whose client is stopped before their peers send and end. ACKED: how many FINs there were, how many
# were acknowledged before it went on, after that, and never.
stopped() { # NAME ADDRESS PORT SERVER-PID
	local dump start
	spawn peer "$1.dump" tcpdump -i eth0 -s 120 -U -w "$TMP/$1.pcap" "tcp port $3"
	dump=$SPAWNED
	wait_for 10 log_has "$1.dump" 'listening on'
	spawn - "$1.log" resoa_in alice python3 "$SELFTESTS/lib/resoa_fin.py" read "$2" "$3" $COUNT $BYTES 0
	wait_for 30 log_has "$1.log" connected
	kill -STOP "${RESOA_PID[alice]}"
	kill -USR1 "$4"
	wait_for 10 all_sent "$3"
	sleep 2
	HELD=$(in_state fin-wait-1 "$3")
	start=$EPOCHREALTIME
	kill -CONT "${RESOA_PID[alice]}"
	wait_for 30 log_has "$1.log" complete
	wait_for 10 none_in fin-wait-1 "$3"
	sleep 2 # tcpdump is behind
	end "$dump"
	ACKED=$(fin acked "$TMP/$1.pcap" "$3" "$start" $EPOCHREALTIME)
}

for family in 4 6; do
	address=PEER$family serve=SERVE$family
	stopped ip$family "${!address}" $((6996 + family)) "${!serve}"
	equal "IPv$family: FINs held while the client has no byte" "$HELD" $COUNT
	equal "IPv$family: by capture: FINs, acknowledged before, after, never" "$ACKED" "$COUNT 0 $COUNT 0"
	check "IPv$family: each program has all bytes and the end" log_has ip$family.log "^complete $COUNT"
done

# ---- readers that pause

pause() { # NAME PORT BYTES
	spawn - "$1.log" resoa_in alice python3 "$SELFTESTS/lib/resoa_fin.py" read $PEER4 "$2" 1 "$3" $PAUSE
	wait_for 30 log_has "$1.log" connected
}
PAUSE=20
pause small 7000 $BYTES
pause large 7003 3000000
sleep 1
equal "the reader pauses: the program's socket has all, so its FIN is acknowledged" "$(in_state fin-wait-2 7000)" 1
check "after $PAUSE s: all bytes and the end" wait_for $((PAUSE + 10)) log_has small.log '^complete 1'
check "3 MB: also, from the peer's own queue" wait_for 20 log_has large.log '^complete 1'

# ---- the limit of time

end "${RESOA_PID[alice]}"
end "$RESOA_SERVER"
resoa_server --fin-seconds 2
resoa_start alice
spawn - limit.log resoa_in alice python3 "$SELFTESTS/lib/resoa_fin.py" read $PEER4 7000 1 $BYTES 0
wait_for 30 log_has limit.log connected
kill -STOP "${RESOA_PID[alice]}"
kill -USR1 "$SERVE4"
sleep 1
equal "held" "$(in_state fin-wait-1 7000)" 1
check "let in after 2 s" wait_for 4 none_in fin-wait-1 7000
check "and counted" eval "isthmus-resoad stats --control '$TMP/resoad.sock' | has '^FIN_TIMEOUT .* 1 packets'"
kill -CONT "${RESOA_PID[alice]}"
check "the program has all bytes and the end" wait_for 10 log_has limit.log '^complete 1'

# ---- control: no program at the peers' device

end "${RESOA_PID[alice]}"
end "$RESOA_SERVER"
RESOA_DEVICE=lo resoa_server
resoa_start alice
stopped control $PEER4 7000 "$SERVE4"
equal "control: none is held" "$HELD" 0
equal "control: by capture: FINs, acknowledged before, after, never" "$ACKED" "$COUNT $COUNT 0 0"
