#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Sets grow and shrink with use (P10), and our client with Kea, which gives option 159 by reservation.
#
#   host --- br0 --- srv: server, gateway (a stub)
#   kea1 --- lan --- kea: kea-dhcp4
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/dhcp.sh"
need python3

net_ns srv host kea kea1
in_ns srv ip link add br0 type bridge
in_ns srv ip addr add 10.9.0.1/24 dev br0
in_ns srv ip link set br0 up
net_link host lan - srv host -
in_ns srv ip link set host master br0
net_link kea lan 192.0.2.254/24 kea1 lan -

# 16 ports a set: 1024-1039 is PSID 64.
cat >"$TMP/pools" <<-POOLS
	[pool 192.0.2.1]
	offset = 0
	length = 12
	router = 192.0.2.254
	lease-time = 20
POOLS

# hold PORT...: UDP sockets on these ports, until HOLDER_PID ends.
hold() {
	spawn host hold.log python3 -c '
import socket, sys, time
held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in sys.argv[1:]]
for s, p in zip(held, sys.argv[1:]): s.bind(("", int(p)))
print("held", flush=True)
time.sleep(300)' "$@"
	HOLDER_PID=$SPAWNED
	wait_for 10 log_has hold.log held
}

sets() { client host | jq -c '[.sets[] | select(.psid) | .psid]'; }
sets_are() { [ "$(sets)" = "$1" ]; }

grow_story() {
	echo 2 >"$TMP/gateway.sock.used"
	client_start host --sets 3 --use-interval 1 --grow-above 80 --size-hint 12
	check "a client has one set" wait_for 10 sets_are "[64]"
	wait_for 10 server_knows_use 64 2
	hold {1024..1035} # 12 of 16: 75 %
	sleep 3
	equal "with 75 % of its ports in use it has one" "$(sets)" "[64]"
	end "$HOLDER_PID"
	hold {1024..1036} # 81 %
	check "with 81 % it asks for another" wait_for 10 log_has host.out 'one more set is asked for'
	check "which is refused while the gateway sees little use" wait_for 10 refused not-needed
	equal "so it has one" "$(sets)" "[64]"
	echo 13 >"$TMP/gateway.sock.used"
	check "and given when it sees the use" wait_for 30 sets_are "[64,65]"
	equal "of the same address" "$(client host | jq -r '[.sets[].address] | unique | join(" ")')" 192.0.2.1
	check "the host's agent uses both" told host use 192.0.2.1 65
	check "and the gateway knows both" told gateway lease 192.0.2.1 65
	equal "the old one was not given up" "$(told host unuse 192.0.2.1 64 && echo yes || echo no)" no
}

shrink_story() {
	local mine=$HOLDER_PID
	hold 1040 # one socket in the second set
	end "$mine"
	sleep 5
	equal "a set with an open socket is not given back" "$(sets)" "[64,65]"
	end "$HOLDER_PID"
	check "an unused one is" wait_for 15 sets_are "[64]"
	check "by a release" server_lease_is 192.0.2.1 65 released
	check "and the gateway hears of it" wait_for 15 told gateway release 192.0.2.1 65
	equal "the first stays" "$(server_lease 192.0.2.1 64 .state)" bound
}

# The server does not renew what the gateway sees unused, if the host has enough besides.
withhold_story() {
	client_release host
	rm -f "$TMP/host.state"
	end "$SERVER_PID"
	server_start --shrink-below 40 --grow-below 0
	echo 0 >"$TMP/gateway.sock.used"
	client_start host --sets 2 --use-interval 1 --grow-above 80 --size-hint 12
	wait_for 10 sets_are "[64]"
	hold {1024..1039} 1056 1057 1058 1059 # whatever the second one is
	check "two sets" wait_for 15 two_sets
	check "the second one is not renewed" wait_for 20 refused withheld
	check "the first one is" wait_for 10 log_has host.out '"psid":64,.*"event":"renewed"'
	end "$HOLDER_PID"
	client_release host
}

two_sets() { [ "$(client host | jq '[.sets[] | select(.psid)] | length')" = 2 ]; }
refused() { [ "$(server_counter "refused[\"$1\"]")" -gt 0 ]; }
server_knows_use() { [ "$(server_lease 192.0.2.1 "$1" .used)" = "$2" ]; }

# ---- Kea

kea_start() {
	cat >"$TMP/kea.json" <<-KEA
		{ "Dhcp4": {
		  "interfaces-config": { "interfaces": [ "lan" ], "dhcp-socket-type": "raw" },
		  "lease-database": { "type": "memfile", "persist": true, "name": "$TMP/kea.csv", "lfc-interval": 0 },
		  "valid-lifetime": 8, "renew-timer": 3, "rebind-timer": 6,
		  "host-reservation-identifiers": [ "client-id", "hw-address" ],
		  "subnet4": [ { "id": 1, "subnet": "192.0.2.0/24",
		    "option-data": [ { "name": "routers", "data": "192.0.2.254" } ],
		    "reservations": [ { "hw-address": "$(mac_of kea1)", "ip-address": "192.0.2.18",
		      "option-data": [ { "code": 159, "space": "dhcp4", "csv-format": false, "data": "06083400" } ] } ]
		  } ],
		  "loggers": [ { "name": "kea-dhcp4", "severity": "INFO", "output_options": [ { "output": "stdout" } ] } ]
		} }
	KEA
	mkdir -p "$TMP/kea"
	spawn kea kea.log env KEA_PIDFILE_DIR="$TMP/kea" KEA_LOCKFILE_DIR="$TMP/kea" kea-dhcp4 -c "$TMP/kea.json"
	wait_for 15 log_has kea.log DHCP4_STARTED
}

kea_story() {
	if ! command -v kea-dhcp4 >/dev/null; then
		skip "$STORY: Kea" "no program kea-dhcp4"
		return
	fi
	check "Kea runs" kea_start
	client_start kea1
	check "our client is bound by Kea" wait_for 15 client_is kea1 bound
	equal "to the set that was reserved, 1232-1235 and so on" "$(client_set kea1)" "192.0.2.18 6 8 52"
	check "it renews" wait_for 15 log_has kea1.out '"event":"renewed"'
	end "$CLIENT_PID" KILL
	: >"$TMP/kea1.out"
	client_start kea1
	check "after a crash Kea confirms the lease" wait_for 10 client_is kea1 bound
	equal "the same" "$(client_set kea1)" "192.0.2.18 6 8 52"
	client_release kea1
	check "Kea hears of its release" wait_for 10 log_has kea.log DHCP4_RELEASE
}

SERVER_DEVICES="--device br0"
gateway_start
server_start
grow_story
shrink_story
withhold_story
kea_story
