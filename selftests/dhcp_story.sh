#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Our server with our client, with stock clients, with frames of scapy and behind a relay; the gateway is
# a stub that keeps the table that isthmus-portarp would.
#
#   host1 ---+
#            +--- srv --------------- relay --- far
#   host2 ---+    br0: 10.9.0.1       192.0.2.254: giaddr
#                 wan: 10.1.0.1       10.1.0.2
#                 server, gateway     lib/dhcp_relay.py
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/dhcp.sh"
need busybox python3

net_ns srv host1 host2 relay far
in_ns srv ip link add br0 address 02:00:00:00:00:fe type bridge
in_ns srv ip addr add 10.9.0.1/24 dev br0
in_ns srv ip link set br0 up
for host in host1 host2; do
	net_link "$host" lan - srv "$host" -
	in_ns srv ip link set "$host" master br0
done
net_link srv wan 10.1.0.1/24 relay wan 10.1.0.2/24
net_link relay lan 192.0.2.254/24 far lan -
net_route srv 192.0.2.254/32 10.1.0.2

cat >"$TMP/pools" <<-POOLS
	[pool 192.0.2.1-192.0.2.2]
	offset = 6
	length = 8
	exclude = 0-3
	router = 192.0.2.254
	dns = 198.51.100.53
	lease-time = 8

	[pool 192.0.2.3]
	offset = 0
	length = 12

	[pool 192.0.2.100]
	full = yes
	router = 192.0.2.254

	[host web]
	mac = $(mac_of host2)
	address = 192.0.2.1
	psid = 52
	ports = 80, 8000-8009
POOLS

# ---- a client's life

life_story() {
	local before
	client_start host1
	check "a client is bound" wait_for 10 client_is host1 bound
	equal "to the first set that may be given" "$(client_set host1)" "192.0.2.1 6 8 4"
	check "the host's agent is told" wait_for 15 told host1 use 192.0.2.1 4
	check "and the gateway" wait_for 15 told gateway lease 192.0.2.1 4
	equal "with the client's MAC" "$(gateway_mac lease 192.0.2.1 4)" "$(mac_of host1)"
	check "it renews" wait_for 10 log_has host1.out '"event":"renewed"'
	before=$(server_counter received.discover)
	end "$CLIENT_PID" KILL
	client_start host1
	check "after a crash it is bound again" wait_for 10 client_is host1 bound
	equal "to the same set" "$(client_set host1)" "192.0.2.1 6 8 4"
	equal "without asking for a new one" "$(server_counter received.discover)" "$before"
	check "the log of assignments has its ranges" grep -q \
		"assigned 192.0.2.1 a=6 k=8 psid=4 ports=1040-1043,2064-2067,.* mac=$(mac_of host1) " "$TMP/assignments"
}

server_story() {
	end "$SERVER_PID" KILL
	server_start
	equal "a server that was killed knows the lease" "$(server_lease 192.0.2.1 4 .state)" bound
	check "it tells the gateway again" wait_for 10 told_times gateway lease 192.0.2.1 4 3
	: >"$TMP/host1.out"
	check "and renews it" wait_for 15 log_has host1.out '"event":"renewed"'
	: >"$TMP/gateway.ops"
	gateway_restart
	check "a gateway that has restarted is told again" wait_for 15 told gateway lease 192.0.2.1 4
}

# The server moves to another machine: what is sent to the old one's MAC is lost until the client broadcasts.
rebind_story() {
	end "$SERVER_PID"
	in_ns srv ip link set br0 address 02:00:00:00:00:fd
	: >"$TMP/host1.out"
	server_start
	check "a client whose server has moved asks the old one" wait_for 20 client_is host1 renewing
	sleep 1
	check "which does not answer" client_is host1 renewing
	check "then everybody, and keeps its lease" wait_for 10 log_has host1.out '"event":"renewed"'
	equal "the same one" "$(client_set host1)" "192.0.2.1 6 8 4"
}

release_story() {
	check "a release ends the client" client_release host1
	check "the lease" wait_for 15 server_lease_is 192.0.2.1 4 released
	check "and what the gateway knows" wait_for 15 told gateway release 192.0.2.1 4
	check "and the host" told host1 unuse 192.0.2.1 4
	: >"$TMP/gateway.ops"
	client_start host1 --release
	check "the same client gets the same set" wait_for 10 client_is host1 bound
	equal "again" "$(client_set host1)" "192.0.2.1 6 8 4"
	end "$CLIENT_PID"
	check "--release gives it back at the end" wait_for 15 server_lease_is 192.0.2.1 4 released
}

# A refused client: its set was given to another while it was away.
nak_story() {
	sed -i 's/"psid": 4/"psid": 52/; s/"leases": \[\]/"leases": []/' "$TMP/host1.state"
	client_start host1
	check "bound" wait_for 10 client_is host1 bound
	end "$CLIENT_PID" KILL
	sed -i 's/"psid": [0-9]*/"psid": 52/' "$TMP/host1.state"
	client_start host1
	check "a client with another's set is refused and gets its own" wait_for 10 client_is host1 bound
	equal "by a NAK" "$(($(server_counter sent.nak) > 0))" 1
	equal "and has not the other's" "$(client_set host1)" "192.0.2.1 6 8 4"
	client_release host1
}

# Single ports and a range of one host; the gateway believes at first that another has its set.
host_story() {
	jq -n '{op: "lease", address: "192.0.2.1", a: 6, k: 8, psid: 52, mac: "02:00:00:00:00:77", seconds: 0}' \
		>"$TMP/gateway.sock.owner"
	gateway_restart
	client_start host2
	check "a host with a reserved set" wait_for 10 client_is host2 bound
	equal "gets it" "$(client_set host2)" "192.0.2.1 6 8 52"
	equal "and hears of its further ports" "$(client host2 | jq -c '.sets[0].ranges')" "[[80,80],[8000,8009]]"
	check "the gateway hears of a single port" wait_for 10 grep -q '"high": 80, .*"low": 80, .*"op": "lease"' "$TMP/gateway.ops"
	check "and of a range" grep -q '"high": 8009, .*"low": 8000, .*"op": "lease"' "$TMP/gateway.ops"
	check "the host's agent too" grep -q '"high": 8009, .*"low": 8000, .*"op": "use"' "$TMP/host2.ops"
	check "who had the set there is put out" wait_for 10 grep -q '"mac": "02:00:00:00:00:77", .*"op": "release"' "$TMP/gateway.ops"
	rm "$TMP/gateway.sock.owner"
	client_release host2
	check "the single port goes with the lease" wait_for 15 grep -q '"high": 80, .*"low": 80, .*"op": "release"' "$TMP/gateway.ops"
}

# ---- others' clients

# udhcpc tells an unknown option as opt159, in hex.
stock_story() {
	cat >"$TMP/udhcpc.sh" <<-'SCRIPT'
		#!/bin/sh
		[ "$1" != bound ] || echo "$ip ${opt159:-none} $router" >"$OUT"
	SCRIPT
	chmod +x "$TMP/udhcpc.sh"
	OUT=$TMP/udhcpc.159 in_ns host1 busybox udhcpc -f -q -n -t 5 -T 1 -i lan -s "$TMP/udhcpc.sh" -O 159 -x 0x3d:0177 >"$TMP/udhcpc.log" 2>&1
	equal "udhcpc that asks for option 159" "$(cut -d' ' -f2 "$TMP/udhcpc.159")" "06080500"
	OUT=$TMP/udhcpc.full in_ns host1 busybox udhcpc -f -q -n -t 5 -T 1 -i lan -s "$TMP/udhcpc.sh" >>"$TMP/udhcpc.log" 2>&1
	equal "udhcpc that does not ask gets a full address" "$(cat "$TMP/udhcpc.full")" "192.0.2.100 none 192.0.2.254"
	refuse "when there is none left, nothing" env OUT="$TMP/udhcpc.none" nsenter --net="/run/netns/$NET-host2" \
		busybox udhcpc -f -q -n -t 2 -T 1 -i lan -s "$TMP/udhcpc.sh"
	equal "and that is counted" "$(($(server_counter refused.\"not-asked\") > 0))" 1
}

dhclient_story() {
	if ! command -v dhclient >/dev/null; then
		skip "$STORY: dhclient" "no program dhclient"
		return
	fi
	cat >"$TMP/dhclient.conf" <<-'CONF'
		option v4-portparams code 159 = string;
		send dhcp-client-identifier ff:0:0:0:9:0:3:0:1:2:0:0:0:0:9;
		request subnet-mask, routers, v4-portparams;
		timeout 40;
	CONF
	check "dhclient gets a lease" in_ns host1 dhclient -1 -v -cf "$TMP/dhclient.conf" -lf "$TMP/dhclient.leases" \
		-pf "$TMP/dhclient.pid" -sf /bin/true lan
	check "dhclient with the raw option" grep -q 'option v4-portparams 6:8:6:0;' "$TMP/dhclient.leases"
	check "dhclient ends" in_ns host1 dhclient -x -pf "$TMP/dhclient.pid" lan
}

scapy_story() {
	local mac=02:00:00:00:05:01
	if ! /usr/bin/python3 -c 'import scapy.layers.dhcp' 2>/dev/null; then
		skip "$STORY: scapy" "no python3-scapy"
		return
	fi
	check "scapy's exchanges end" in_ns host1 "$SELFTESTS/lib/dhcp_scapy.py" lan 10.9.0.1
	cp "$TMP/check.log" "$TMP/scapy.out"
	scapy_says "an offer" offer 2
	scapy_says "goes to the MAC" offer_mac $mac
	scapy_says "and the address, without ARP" offer_ip True
	scapy_says "with right checksums" sums True
	scapy_says "and a set" set 06080700
	scapy_says "a set that was not offered is refused, to all" nak "6=ff:ff:ff:ff:ff:ff"
	scapy_says "what was offered is acknowledged" ack 5
	scapy_says "with the same set" ack_set True
	scapy_says "what was declined is not offered again" declined_again False
	scapy_says "a frame of another MAC gets nothing" spoofed True
	scapy_says "who wants a broadcast gets one" broadcast "ff:ff:ff:ff:ff:ff=255.255.255.255"
	scapy_says "a right-justified PSID is refused" right_justified True
	scapy_says "a hint of a size chooses the pool" size 12
	scapy_says "INFORM: no address, no time" inform "5=0.0.0.0=None"
}
scapy_says() { equal "scapy: $1" "$(sed -n "s/^$2=//p" "$TMP/scapy.out")" "$3"; } # NAME KEY VALUE

# ---- through a relay

relay_story() {
	spawn relay relay.log "$SELFTESTS/lib/dhcp_relay.py" lan 192.0.2.254 wan 10.1.0.1
	wait_for 20 listening relay u 67
	client_start far --size-hint 8
	check "a client behind a relay is bound" wait_for 10 client_is far bound
	check "option 82 comes back to the relay" log_has relay.log '^down 5 echoed'
	check "its renewal goes through the relay too" wait_for 10 log_has far.out '"event":"renewed"'
	equal "and nothing is lost of option 82" "$(grep -c lost "$TMP/relay.log" || true)" 0
	equal "two requests, two answers" "$(($(grep -c '^up 3' "$TMP/relay.log") >= 2 && $(grep -c '^down 5' "$TMP/relay.log") >= 2))" 1
	client_release far
	check "and its release" wait_for 15 log_has relay.log '^up 7'
}

gateway_start
server_start
life_story
server_story
rebind_story
release_story
nak_story
host_story
stock_story
dhclient_story
scapy_story
relay_story

# More leases than one control message holds, read back from the database: the command tells all.
many_story() {
	end "$SERVER_PID"
	python3 - "$TMP/dhcp.db" <<-'PYTHON'
		import sqlite3, sys, time
		database = sqlite3.connect(sys.argv[1])
		now = int(time.time())
		row = database.execute("SELECT address, psid, a, k FROM leases WHERE k = 8 LIMIT 1").fetchone()
		address, psid, a, k = row
		for each in range(1 << k):
		    client = b"\xff" + each.to_bytes(4, "big")
		    database.execute("INSERT OR REPLACE INTO leases VALUES (?,?,?,?,2,?,?,0,x'',?,?,0)",
		                     (address, each, a, k, client, b"\x02\x00" + each.to_bytes(4, "big"), now, now + 3600))
		database.commit()
	PYTHON
	server_start
	equal "status tells every lease" "$(server | jq '.known - (.leases | length)')" 0
	equal "each once" "$(server | jq '.leases | length - (map([.address, .psid]) | unique | length)')" 0
	at_least "more than one message holds" "$(server | jq .known)" 201
	equal "and nothing of more" "$(server | jq 'has("more")')" false
}
many_story
