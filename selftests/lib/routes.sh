# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034
#
# Measures one route after another between host1 and host2 of net_homes; after net.sh.
#
#   direct    host1 - nat1 - inet - nat2 - host2
#   the rest  host1 - nat1 - inet - relay - inet - nat2 - host2
#
# nat2 forwards ports 7000 and 7001 to host2, for the routes that need an open port there.

FLOW=$B/selftests/bench/flow
: "${ROUTE_SECONDS:=2}"

routes_init() {
	in_ns nat2 nft -f - <<-NFT
		table inet nat {
			chain pre {
				type nat hook prerouting priority dstnat
				iifname "wan" tcp dport 7000-7001 dnat ip to 192.168.1.10
			}
		}
		insert rule inet nat forward ct status dnat accept
	NFT
	in_ns relay nft -f - <<-NFT
		table inet seen {
			set ports { type inet_service; }
			counter session_packets { }
			chain input {
				type filter hook input priority raw
				tcp dport @ports counter name session_packets
			}
		}
	NFT
	in_ns relay sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.wan.send_redirects=0
	in_ns inet sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.relay.send_redirects=0
}

# Kernel forwarding: what the homes send each other makes the detour through relay.
route_forward() {
	in_ns inet ip rule add pref 100 iif nat1 to 198.51.100.0/24 lookup 100
	in_ns inet ip rule add pref 101 iif nat2 to 192.0.2.0/24 lookup 100
	in_ns inet ip route add default via 203.0.113.10 dev relay table 100
}

route_forward_end() {
	in_ns inet ip rule del pref 100
	in_ns inet ip rule del pref 101
	in_ns inet ip route flush table 100
}

# Kernel NAT: relay's own port leads to the provider, and back through relay.
route_nat() {
	in_ns relay nft -f - <<-NFT
		table ip port_forward {
			chain pre {
				type nat hook prerouting priority dstnat
				tcp dport 7000-7001 dnat to $NAT2_4
			}
			chain post {
				type nat hook postrouting priority srcnat
				ct status dnat masquerade
			}
		}
	NFT
}

route_nat_end() { in_ns relay nft delete table ip port_forward; }

busy_ticks() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9 }' /proc/stat; }

seen_start() { # PORT...
	in_ns relay nft flush set inet seen ports
	in_ns relay nft reset counter inet seen session_packets >/dev/null
	local port
	for port; do in_ns relay nft add element inet seen ports "{ $port }"; done
}

seen_packets() {
	in_ns relay nft -j list counter inet seen session_packets | jq '.nftables[].counter? | objects | .packets'
}

json() { jq -r "$2" "$TMP/$1"; } # LOG EXPRESSION

# A run of flow: host2 gets PROVIDER's words, then host1 SUBSCRIBER's. Words are options, split at spaces.
flow_run() { # NAME ROLES-OF-SUBSCRIBER PROVIDER SUBSCRIBER
	local provider port=${3#*:}
	# shellcheck disable=SC2086
	spawn host2 "$1-provider.json" "$FLOW" $3
	provider=$SPAWNED
	if [[ $3 == *--listen* ]]; then wait_for 5 listening host2 t "${port%% *}"; fi
	# shellcheck disable=SC2086
	in_ns host1 "$FLOW" $2 $4 >"$TMP/$1.json"
	wait "$provider"
}

# measure NAME BULK_PROVIDER BULK_SUBSCRIBER PING_PROVIDER PING_SUBSCRIBER: one run of a route. Appends to
# $TMP/NAME.runs: Mbit/s, median round trip in µs, busy CPU seconds of the whole machine for each GB.
measure() {
	local busy
	busy=$(busy_ticks)
	flow_run "$1-bulk" "--role send --seconds $ROUTE_SECONDS" "$2 --role recv" "$3"
	busy=$(($(busy_ticks) - busy))
	flow_run "$1-ping" "--role ping --seconds 0.5" "$4 --role echo" "$5"
	echo "$(json "$1-bulk-provider.json" .mbit_s) $(json "$1-ping.json" .rtt_us.p50)" \
		"$(json "$1-bulk-provider.json" "$busy / $(getconf CLK_TCK) / (.received / 1e9)")" >>"$TMP/$1.runs"
}

measure_open() { # NAME ADDRESS: the provider listens, the subscriber connects to ADDRESS
	measure "$1" "--listen --bind 192.168.1.10:7000" "--connect $2:7000" \
		"--listen --bind 192.168.1.10:7001" "--connect $2:7001"
}

# measure_pair NAME LINE0 LINE1: both connect, to where two lines of lib/pair.py say.
measure_pair() {
	local bulk ping
	read -ra bulk <<<"$2"
	read -ra ping <<<"$3"
	measure "$1" "--connect ${bulk[4]}:${bulk[5]}" "--connect ${bulk[1]}:${bulk[2]}" \
		"--connect ${ping[4]}:${ping[5]}" "--connect ${ping[1]}:${ping[2]}"
}

# median_of NAME COLUMN
median_of() { cut -d' ' -f"$2" "$TMP/$1.runs" | sort -g | sed -n "$((($(wc -l <"$TMP/$1.runs") + 1) / 2))p"; }
