# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034
#
# Server, clients and a stub of isthmus-portarp; after net.sh. The server is in namespace srv.

SERVER_PID='' CLIENT_PID='' GATEWAY_PID=''

mac_of() { in_ns "$1" ip -j link show lan | jq -r ".[0].address"; }

# shellcheck disable=SC2086 # options are words
# server_start [OPTION...]: with $TMP/pools; the log is server.log.
server_start() {
	spawn "${SERVER_NS:-srv}" server.log isthmus-dhcp server ${SERVER_DEVICES:---device br0 --device wan} --pools "$TMP/pools" --database "$TMP/dhcp.db" \
		--control "$TMP/server.sock" --portarp "${GATEWAY_SOCKET:-$TMP/gateway.sock}" --assignments "$TMP/assignments" \
		--server-id "${SERVER_ID:-10.9.0.1}" --add-addresses --usage-interval 1 --grace 2 --log-level debug "$@"
	SERVER_PID=$SPAWNED
	wait_for 20 server
}
server() { isthmus-dhcp status --control "$TMP/server.sock" --json; }
server_counter() { server | jq ".counters.$1 // 0"; }
server_lease() { # ADDRESS PSID FILTER
	server | jq -r --arg a "$1" --argjson p "$2" "[.leases[] | select(.address == \$a and .psid == \$p)][0] | $3"
}
server_lease_is() { [ "$(server_lease "$1" "$2" .state)" = "$3" ]; }

# The gateway: what it was told is in gateway.ops, one request a line.
gateway_start() {
	spawn - gateway.log "$SELFTESTS/lib/portarp_stub.py" "$TMP/gateway.sock" "$TMP/gateway.ops" "${GATEWAY_KNOWS:-none}"
	GATEWAY_PID=$SPAWNED
	wait_for 20 test -S "$TMP/gateway.sock"
}
gateway_restart() {
	end "$GATEWAY_PID"
	rm -f "$TMP/gateway.sock"
	gateway_start
}

# client_start NAMESPACE [OPTION...]: its events are in NAMESPACE.out, what its isthmus-portarp was told
# in NAMESPACE.ops.
client_start() {
	local name=$1
	shift
	if [ ! -S "$TMP/$name-portarp.sock" ]; then
		spawn - "$name-portarp.log" "$SELFTESTS/lib/portarp_stub.py" "$TMP/$name-portarp.sock" "$TMP/$name.ops"
		wait_for 20 test -S "$TMP/$name-portarp.sock"
	fi
	spawn "$name" "$name.out" isthmus-dhcp client --device lan --state "$TMP/$name.state" --control "$TMP/$name.sock" \
		--portarp "$TMP/$name-portarp.sock" --log-level debug --print "$@"
	CLIENT_PID=$SPAWNED
	wait_for 20 client "$name"
}
client() { isthmus-dhcp status --control "$TMP/$1.sock" --json; }
client_release() {
	isthmus-dhcp release --control "$TMP/$1.sock"
	wait_for 15 ended "$CLIENT_PID"
}
client_is() { [ "$(client "$1" | jq -r '.sets[0].state')" = "$2" ]; }
client_set() { client "$1" | jq -r '.sets[0] | "\(.address) \(.a) \(.k) \(.psid)"'; }

ops() { # NAME OP ADDRESS PSID
	jq -c --arg o "$2" --arg a "$3" --argjson p "$4" 'select(.op == $o and .address == $a and .psid == $p)' "$TMP/$1.ops"
}
told() { [ -n "$(ops "$@")" ]; }
told_times() { [ "$(ops "$1" "$2" "$3" "$4" | wc -l)" -ge "$5" ]; }
gateway_mac() { ops gateway "$@" | jq -r .mac | tail -1; } # OP ADDRESS PSID
