#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# 1-to-1 clients whose addresses the server leases by DHCP with their MACs, from Kea.
#
#   c1 (…:01) ─┐ LHP                                      peer 192.0.2.2
#   c2 (…:02) ─┴───── isthmus-resoad, server 192.0.2.1 ── Kea: 6 s; c1 192.0.2.101, c2 192.0.2.102
#                     eth0 gets both, /32                 a web server that says who asks

. "${0%/*}/lib/net.sh"
need python3 curl busybox kea-dhcp4
. "$SELFTESTS/lib/resoa.sh"

MAC1=02:00:00:00:0c:01 MAC2=02:00:00:00:0c:02

# Who has no address here is told nothing.
kea_start() { # ADDRESS of c1 [of c2]
	local c2=''
	[ -z "${2:-}" ] || c2=", { \"hw-address\": \"$MAC2\", \"ip-address\": \"$2\" }"
	cat >"$TMP/kea.json" <<-KEA
		{ "Dhcp4": {
		  "interfaces-config": { "interfaces": [ "eth0" ], "dhcp-socket-type": "raw" },
		  "lease-database": { "type": "memfile", "persist": true, "name": "$TMP/kea.csv", "lfc-interval": 0 },
		  "valid-lifetime": 6, "renew-timer": 1, "rebind-timer": 3, "authoritative": true,
		  "host-reservation-identifiers": [ "hw-address" ],
		  "subnet4": [ { "id": 1, "subnet": "192.0.2.0/24",
		    "reservations": [ { "hw-address": "$MAC1", "ip-address": "$1" }$c2 ] } ],
		  "loggers": [ { "name": "kea-dhcp4", "severity": "INFO", "output_options": [ { "output": "stdout" } ] } ]
		} }
	KEA
	mkdir -p "$TMP/kea"
	rm -f "$TMP/kea.log"
	spawn peer kea.log env KEA_PIDFILE_DIR="$TMP/kea" KEA_LOCKFILE_DIR="$TMP/kea" kea-dhcp4 -c "$TMP/kea.json"
	KEA=$SPAWNED
	wait_for 15 log_has kea.log DHCP4_STARTED
}

ask() { isthmus-resoad "$@" --control "$TMP/resoad.sock"; }
says() { grep -Eq -- "$1" <<<"$("${@:2}")"; } # PATTERN cmd...
has_address() { says " inet $1/32 .* resoad-" in_ns server ip -o -4 addr show dev eth0; }
has_not() { ! has_address "$1"; }
seen_as() { [ "$(resoa_in "$1" curl -sm 3 "http://$PEER4/")" = "$2" ]; }    # NAME ADDRESS
renewed() { [ "$(grep -c "$1: renewed" "$TMP/resoad.log")" -gt 2 ]; }        # NAME
reached() { in_ns peer curl -sm 3 -o /dev/null "http://$1:8080/kea.json"; } # ADDRESS

resoa_up --dhcp-device eth0 --log-level debug
for n in 1 2; do
	(umask 077 && isthmus-resoad client add c$n --clients "$TMP/resoad.clients" >"$TMP/c$n.key")
	mac=MAC$n
	printf 'mode = 1-to-1\naddress = dhcp\nmac = %s\n' "${!mac}" >>"$TMP/resoad.clients"
done
kill -HUP "$RESOA_SERVER"

WHO="import socket
s = socket.create_server(('', 80))
while True:
    c, a = s.accept()
    c.recv(4096)
    c.sendall(b'HTTP/1.0 200 OK\r\n\r\n' + a[0].encode())
    c.close()"
# What ends a connection: of the client, and its peer's side.
HOLD="import errno, socket, sys
s = socket.create_server(('', 81)).accept()[0] if sys.argv[1] == 'peer' else socket.create_connection(('$PEER4', 81))
print('connected', flush=True)
try:
    print('end', s.recv(1))
except OSError as e:
    print(errno.errorcode[e.errno])"
CONNECT="import errno, socket
s = socket.socket()
s.settimeout(60)
try:
    s.connect(('$PEER4', 80))
    print('connected')
except OSError as e:
    print(errno.errorcode[e.errno])"
spawn peer web.log python3 -c "$WHO"

# ---- two clients, two addresses

wait_for 10 says 'state UP' in_ns peer ip link show eth0 # or Kea opens no socket
kea_start 192.0.2.101 192.0.2.102
resoa_client c1
resoa_client c2
check "the device has the first one's address" has_address 192.0.2.101
check "and the second one's" has_address 192.0.2.102
equal "a peer sees the first one by its own" "$(resoa_in c1 curl -sm 10 http://$PEER4/)" 192.0.2.101
equal "and the second one by its own" "$(resoa_in c2 curl -sm 10 http://$PEER4/)" 192.0.2.102
equal "which is all that programs there have" "$(resoa_in c2 ip -o addr show dev e0 | sed -n 's/.* inet6* \([^ ]*\) .*/\1/p')" 192.0.2.102/32
check "status tells the lease" says '^c1 leases 192.0.2.101 of 192.0.2.2, [0-6] s left' ask status
check "client list, too" says '^c2: 1-to-1, .* 192.0.2.102 of 192.0.2.2, [0-6] s left' ask client list
check "and the client's show" says '^lease of 192.0.2.101 by 192.0.2.2, -?[0-9]+ s left' isthmus-resoa show --control "$TMP/c1.sock"
check "frames to a client's MAC are let in" says "^$MAC1 self" in_ns server bridge fdb show dev eth0
equal "of root's rights it keeps three" "$(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$RESOA_SERVER/status")" 0000008000001400
spawn - export.log resoa_in c1 busybox httpd -f -p 8080 -h "$TMP"
check "a port of its address is the client's" wait_for 10 reached 192.0.2.101
check "the first lease is renewed" wait_for 10 renewed c1
check "and the second" wait_for 10 renewed c2
refuse "so none was lost" log_has resoad.log 'no more'

# ---- NAK: another address for the first client, none for the second

end "$KEA"
kea_start 192.0.2.111
check "a NAK ends the lease" wait_for 20 log_has resoad.log '192.0.2.101 is its address no more: the server refused it'
check "and gives way to another" wait_for 40 seen_as c1 192.0.2.111
check "the old address is gone" has_not 192.0.2.101
check "what listened before is reached by the new one" wait_for 10 reached 192.0.2.111
check "the second one's is gone" wait_for 10 has_not 192.0.2.102
spawn - c2.connect resoa_in c2 python3 -c "$CONNECT"

# ---- the DHCP server is gone

spawn peer peer.hold python3 -c "$HOLD" peer
wait_for 10 listening peer t 81
spawn - c1.hold resoa_in c1 python3 -c "$HOLD" client
wait_for 20 log_has c1.hold connected
end "$KEA"
check "without a DHCP server the lease ends" wait_for 20 log_has resoad.log '192.0.2.111 is its address no more: its time is over'
check "the address goes" wait_for 5 has_not 192.0.2.111
check "the program's connection is reset" wait_for 10 log_has c1.hold ECONNRESET
check "its peer's side, too" wait_for 10 log_has peer.hold ECONNRESET
check "the client is told why" wait_for 10 log_has c1.log 'refused: the lease of its address is over'
kea_start 192.0.2.121
check "with a lease the network is there" wait_for 40 seen_as c1 192.0.2.121
check "without one there is none" wait_for 30 log_has c2.connect ENETUNREACH
end "${RESOA_PID[c2]}"

# ---- a server is killed

end "${RESOA_PID[c1]}"
kill -KILL "$RESOA_SERVER"
wait "$RESOA_SERVER" 2>/dev/null || true
check "a killed server leaves an address behind" has_address 192.0.2.121
at_most "but the kernel takes it away with the lease" "$(in_ns server ip -j addr show dev eth0 | jq '.[].addr_info[] | select(.local == "192.0.2.121").valid_life_time')" 8
rm -f "$TMP/resoad.lhp" "$TMP/resoad.log"
resoa_server --dhcp-device eth0
check "the next one takes it away at once" has_not 192.0.2.121
resoa_start c1
check "a client that comes has it again" seen_as c1 192.0.2.121

# ---- given back

in_ns server ip addr add 192.0.2.102/24 dev lo
end "$KEA"
kea_start 192.0.2.121 192.0.2.102
spawn c2 c2.log isthmus-resoa daemon --server "$RESOA_PLACE" --key "$TMP/c2.key" --control "$TMP/c2.sock"
check "an address that is the host's own is declined" wait_for 10 log_has resoad.log '192.0.2.102 was leased, but is an address of this host'
check "which Kea hears" wait_for 10 log_has kea.log 'DHCP4_DECLINE_LEASE .*192.0.2.102'
refuse "a client that has one gives nothing back" log_has kea.log 'DHCP4_RELEASE .*192.0.2.121'
end "${RESOA_PID[c1]}"
check "a client that is gone gives it back" wait_for 15 log_has kea.log 'DHCP4_RELEASE .*192.0.2.121'
check "and it goes" wait_for 5 has_not 192.0.2.121
end "$KEA"
kea_start 192.0.2.131
resoa_start c1
check "when it comes again it has one" has_address 192.0.2.131
end "$RESOA_SERVER"
check "a server that ends takes it away" has_not 192.0.2.131
check "and gives it back" wait_for 10 log_has kea.log 'DHCP4_RELEASE .*192.0.2.131'
