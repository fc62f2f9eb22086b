#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The same program (lib/resoa_calls.c) makes the same calls on a local stack and through a resoa server with the same addresses,
# and says what it sees; its peer does the same for both. What they say must be equal, byte by byte.
#
#   here    client ── Unix LHP ── s1 e0 198.51.100.1, 2001:db8::1 ──── e0 p1 198.51.100.2, 2001:db8::2; 203.0.113.1
#   local                         s2 e0 the same                  ──── e0 p2 the same
#
# Behind the peer: 203.0.113.2 leaves, .66 drops, .67 is unreachable, .68 prohibited; .128/25 a router further; .192/26 MTU 1300.
#
#   RESOA_CALLS="WORD..."	only cases with one of the words in their name
#   RESOA_CALLS_LOCAL=N		only the local stack, N times, which must be equal

. "${0%/*}/lib/net.sh"
need diff python3
PROGRAM=$B/selftests/lib/resoa_calls
read -r -a WORDS <<<"${RESOA_CALLS:-}"

# ---- two worlds that are the same

world() { # NUMBER
	local s=s$1 p=p$1
	net_ns "$s" "$p"
	net_link "$s" e0 198.51.100.1/24,2001:db8::1/64 "$p" e0 198.51.100.2/24,2001:db8::2/64
	world_peer "$p"
	net_route "$s" 203.0.113.0/24 198.51.100.2
	net_route "$s" 2001:db8:1::/48 2001:db8::2
	in_ns "$s" ip route add unreachable 10.1.0.0/16
	in_ns "$s" ip route add prohibit 10.2.0.0/16
	in_ns "$s" ip route add blackhole 10.3.0.0/16
	in_ns "$s" ip -6 route add unreachable 2001:db8:f1::/48
	in_ns "$s" ip -6 route add prohibit 2001:db8:f2::/48
	in_ns "$s" ip -6 route add blackhole 2001:db8:f3::/48
	# Who does not answer is given up after 0.3 s.
	in_ns "$s" sysctl -qw net.ipv4.neigh.e0.retrans_time_ms=100 net.ipv6.neigh.e0.retrans_time_ms=100
	wait_for 30 in_ns "$s" ping -qc1 -W1 198.51.100.2
	wait_for 30 in_ns "$s" ping -qc1 -W1 2001:db8::2
	spawn "$p" "peer$1.log" "$B/selftests/lib/resoa_peer" "$TMP/peer$1.sock"
	spawn "$s" "taken$1.log" python3 -c "$TAKEN"
	wait_for 30 test -S "$TMP/peer$1.sock"
	wait_for 30 listening "$s" t 4499
	world_names "$1"
}

world_peer() { # NAME
	net_addresses "$1" lo 203.0.113.1/32,2001:db8:1::1/128
	net_addresses "$1" lo 203.0.113.2/32,2001:db8:1::2/128
	net_forward "$1"
	in_ns "$1" ip link add d0 type bridge
	in_ns "$1" ip link set d0 up
	in_ns "$1" ip route add 203.0.113.128/26 dev d0
	in_ns "$1" ip route add 203.0.113.192/26 dev d0 mtu 1300
	in_ns "$1" ip -6 route add 2001:db8:1:1::/64 dev d0
	in_ns "$1" ip -6 route add 2001:db8:1:2::/64 dev d0 mtu 1300
	in_ns "$1" ip route add blackhole 203.0.113.66
	in_ns "$1" ip route add unreachable 203.0.113.67
	in_ns "$1" ip route add prohibit 203.0.113.68
	in_ns "$1" ip -6 route add blackhole 2001:db8:1::66
	in_ns "$1" ip -6 route add unreachable 2001:db8:1::67
	in_ns "$1" ip -6 route add prohibit 2001:db8:1::68
	# As many errors as there are.
	in_ns "$1" sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
}

# Another program of the server, on its own port.
TAKEN='
import socket
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.bind(("::", 4499))
s = socket.create_server(("::", 4499), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    c, _ = s.accept()
    c.sendall(b"taken!")
    c.close()
'

# What the server knows of names: its hosts file, and a name server at the peer.
world_names() { # NUMBER
	cat >"$TMP/hosts" <<-HOSTS
		127.0.0.1 localhost
		::1 localhost
		203.0.113.1 only-the-server-knows
		2001:db8:1::1 only-the-server-knows
	HOSTS
	echo "nameserver 198.51.100.2" >"$TMP/resolv.conf"
	spawn "p$1" "dns$1.log" dnsmasq -k -u root --conf-file=/dev/null --no-hosts --no-resolv --pid-file --listen-address=198.51.100.2 \
		--bind-interfaces --address=/by-dns.example.net/203.0.113.5 --address=/by-dns.example.net/2001:db8:1::5 \
		--address=/not-there.example.net/ --ptr-record=2.100.51.198.in-addr.arpa,peer.example.net --local=//
	wait_for 30 listening "p$1" u 53
}

# at_server NUMBER cmd...: with the server's files
at_server() {
	# shellcheck disable=SC2016 # of the shell there
	in_ns "s$1" unshare -m sh -c 'mount --bind "$1/hosts" /etc/hosts; mount --bind "$1/resolv.conf" /etc/resolv.conf; shift; exec "$@"' \
		sh "$TMP" "${@:2}"
}

local_run() { RESOA_PEER=$TMP/peer2.sock at_server 2 "$PROGRAM" "${WORDS[@]}" >"$TMP/$1" 2>&1 </dev/null; } # FILE

# ---- the local stack alone

repeat() {
	local i
	world 2
	for ((i = 1; i <= RESOA_CALLS_LOCAL; i++)); do
		in_ns s2 ip route flush cache
		in_ns s2 ip -6 route flush cache
		local_run "local$i"
		check "run $i is equal" diff "$TMP/local1" "$TMP/local$i"
	done
}

if [ -n "${RESOA_CALLS_LOCAL:-}" ]; then
	repeat
	exit
fi

# ---- the two runs

daemons() {
	local here=$TMP/resoad
	(umask 077 && : >"$here.clients")
	(umask 077 && isthmus-resoad client add here --clients "$here.clients" >"$TMP/here.key")
	printf 'any-port = yes\n' >>"$here.clients"
	spawn - resoad.log in_ns s1 unshare -m sh -c "mount --bind '$TMP/hosts' /etc/hosts; mount --bind '$TMP/resolv.conf' /etc/resolv.conf
		exec isthmus-resoad run --listen 'unix:$here.lhp' --device e0 --address4 198.51.100.1 --address6 2001:db8::1 \
		--clients '$here.clients' --control '$here.sock'"
	wait_for 30 log_has resoad.log 'serving|listen'
	net_ns client
	spawn client client.log isthmus-resoa daemon --server "unix:$here.lhp" --key "$TMP/here.key" --control "$TMP/client.sock"
	wait_for 30 log_has client.log "programs' namespace"
}

here_run() { # FILE
	RESOA_PEER=$TMP/peer1.sock in_ns client isthmus-resoa run --control "$TMP/client.sock" -- \
		"$PROGRAM" "${WORDS[@]}" >"$TMP/$1" 2>&1 </dev/null
}

compare() {
	local verdict name cases=0
	"$SELFTESTS/lib/resoa_calls_diff.py" "$TMP/local" "$TMP/here" >"$TMP/verdicts"
	while read -r verdict name; do
		case $verdict in
		same) ok "$name" ;;
		differs) not_ok "$name" "it differs" ;;
		*)
			echo "    $verdict $name"
			continue
			;;
		esac
		cases=$((cases + 1))
	done <"$TMP/verdicts"
	at_least "cases" "$cases" "$([ "${#WORDS[@]}" = 0 ] && echo 370 || echo 1)"
}

world 1
world 2
daemons
here_run here &
HERE=$!
local_run local
wait "$HERE" || true
compare
