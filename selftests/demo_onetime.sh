#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make demo-onetime: sshd and nginx, unmodified, with an address for every session; who saw the traffic finds nothing.
#
#   alice   2001:db8:a::2 ──┐
#   bob     2001:db8:b::2 ──┤
#   carol   2001:db8:c::2 ──┼── near ──────── far ── server 2001:db8:1::1, a pool 2001:db8:100::/64
#   scanner 2001:db8:d::2 ──┘    tcpdump
#   alice has a pool, too: 2001:db8:200::/64, for her connects
#
# Everything is in network namespaces whose names carry this script's pid, and is removed at the end.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/sshd.sh"
. "${0%/*}/lib/onetime.sh"
. "${0%/*}/lib/tell.sh"

CLIENTS=(alice bob carol)
SHOWN_BY=by

story_end() { onetime_detach_all; }

# by HOST cmd...: isthmus with the demo's instance, ssh with its key
by() {
	case $2 in
	isthmus) onetime_of "$1" "${@:4}" ;;
	ssh) onetime_ssh "$1" "${3#root@}" "${@:4}" ;;
	*) in_ns "$@" ;;
	esac
}

# must NAME GOT WANT
must() { [ "$2" = "$3" ] || fail "$1: '$2', not '$3'"; }

set_up() {
	tell "server: the onetime datapath, a pool whose addresses are each used for one session"
	onetime_net
	spawn near tcpdump.log tcpdump --immediate-mode -U -nni far -w "$TMP/traffic.pcap" "tcp or udp"
	TCPDUMP=$SPAWNED
	ONETIME_HOSTS+=(server)
	shown server isthmus onetime attach --dev eth0
	shown server isthmus onetime pool add eth0 2001:db8:100::/64
	onetime_agent server || fail "no agent: $(cat "$TMP/agent-server.log")"
	tell "server: sshd and nginx start as ever; they know nothing of it"
	sshd_start server "[::]:22"
	SSHD=$SPAWNED
	onetime_nginx
	wait_for 20 listening server t 22 || fail "no sshd"
	tell "the pool, as ifconfig showed it: its addresses are UNCERTAIN until they are given out"
	shown server isthmus onetime show
}

delayed() { # Delayed Address Setting, section IV
	local name i=0
	tell "das, as in the paper: sshd, which has no address yet, is in LISTEN0"
	shown server isthmus onetime listen "$SSHD" eth0 --das-required --name ssh
	shown server isthmus onetime sockstat
	tell "it is told of three addresses, and is in LISTEN"
	for ((i = 1; i <= 3; i++)); do shown server isthmus onetime das "$SSHD" eth0 ${P}:$i; done
	shown server isthmus onetime sockstat
	tell "three clients by ssh: each sees another server"
	i=0
	for name in "${CLIENTS[@]}"; do
		i=$((i + 1))
		# shellcheck disable=SC2016 # of the shell there
		shown "$name" ssh "root@${P}:$i" 'echo "$SSH_CONNECTION"' | tee "$TMP/ssh-$name"
		must "ssh of $name" "$(tail -n 1 "$TMP/ssh-$name" | awk '{ print $3 }')" ${P}:$i
	done
	tell "each address was for one session: das of it is refused, and it answers nobody"
	shown server isthmus onetime das "$SSHD" eth0 ${P}:1 && fail "an address was set twice" || true
}

automatic() { # AUTO_SET, III.A
	local name address
	tell "nginx: addresses are prepared, and one is given for each client"
	shown server isthmus onetime listen "$NGINX" eth0 --auto 64 --name web
	for name in "${CLIENTS[@]}"; do
		address=$(onetime_of server give web)
		printf '            server# isthmus onetime give web\n              %s\n' "$address"
		shown "$name" curl -sS --max-time 10 "$(onetime_url "$address")" | tee "$TMP/web-$name"
		must "curl of $name" "$(tail -n 1 "$TMP/web-$name" | awk '{ print $2 }')" "$address"
	done
	tell "nginx's log: who came, at which address of the server"
	shown server cut -d' ' -f1,3,5,6 "$TMP/access.log"
}

ephemeral() { # EA, II.A
	local address
	tell "alice: a pool for her connects, by isthmus onetime run; three times curl, three addresses of hers"
	ONETIME_HOSTS+=(alice)
	shown alice isthmus onetime attach --dev eth0
	shown alice isthmus onetime pool add eth0 2001:db8:200::/64 --client
	onetime_agent alice --eas 64 || fail "no agent: $(cat "$TMP/agent-alice.log")"
	wait_for 20 onetime_eas_are alice 6 64 || fail "no addresses are prepared"
	for _ in 1 2 3; do
		address=$(onetime_of server give web)
		shown alice isthmus onetime run -- curl -sS --max-time 10 "$(onetime_url "$address")" | tee "$TMP/ea"
		tail -n 1 "$TMP/ea" >>"$TMP/eas"
	done
	must "addresses of alice" "$(awk '{ print $1 }' "$TMP/eas" | sort -u | grep -c '^2001:db8:200:')" 3
	tell "netstat: sessions that live, and those that have just ended"
	shown server isthmus onetime netstat
}

scanner() {
	local told
	sleep 0.5
	end "$TCPDUMP"
	tell "somebody on the way has seen all of it"
	tcpdump -nnr "$TMP/traffic.pcap" 'tcp[tcpflags] & tcp-syn != 0 or (ip6[6] = 6 and ip6[53] & 2 != 0)' 2>/dev/null >"$TMP/syns"
	grep -F "[S]" "$TMP/syns" | cut -c1-110 | sed 's/^/              /'
	tcpdump -nnr "$TMP/traffic.pcap" 2>/dev/null | grep -oE '2001:db8:[12]00:[0-9a-f:]*[0-9a-f]' | sort -u >"$TMP/seen"
	[ "$(wc -l <"$TMP/seen")" -ge 12 ] || fail "tcpdump has seen $(wc -l <"$TMP/seen") addresses"
	tell "and tries every address that it saw, at both ends: TCP and UDP, four ports, and ping"
	printf '            scanner# onetime_scan.py 1 22 53 80 8080 <%d addresses\n' "$(wc -l <"$TMP/seen")"
	told=$(in_ns scanner "$SELFTESTS/lib/onetime_scan.py" 1 22 53 80 8080 <"$TMP/seen")
	printf '              %s\n' "$told"
	must "connections and answers of the scanner" "$(jq -c '[.connected, .answers]' <<<"$told")" "[0,0]"
	tell "what became of that, packet by packet"
	shown server sh -c "isthmus onetime stats --instance $INSTANCE-server | grep -E 'REASON|FREE|TAKEN|ENDED|WRONG_PORT|ICMP_DROPPED'"
	tell "while who is given an address is served: the same host, with a fresh one"
	shown scanner curl -sS --max-time 10 "$(onetime_url "$(onetime_of server give web)")" | tee "$TMP/genuine"
	must "the scanner's host with an address of its own" "$(tail -n 1 "$TMP/genuine" | awk '{ print $1 }')" 2001:db8:d::2
	tell "and only the holder of the key can tell whose an address was"
	shown server isthmus onetime trace "$(tail -n 1 "$TMP/eas" | awk '{ print $2 }')"
}

title "isthmus onetime: an address for every session"
set_up
delayed
automatic
ephemeral
scanner
tell "done; removing it all"
