#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Waypoints and gateways log in to isthmus-dns, and names of gateways' hosts come and go. The drawing is in
# lib/dns_members.sh.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/dns_members.sh"

need delv

serial_is() { dns_command status --json | jq -e ".zones[0].serial == $1"; }

members_start
for name in enrol login hosts; do scene $name; done
scene address6
dns_command key add example.net >/dev/null
dns_command key show example.net | awk 'BEGIN { print "trust-anchors {" }
	$4 == "DNSKEY" { printf "%s static-key %s %s %s \"%s\";\n", $1, $5, $6, $7, $8 } END { print "};" }' >"$TMP/delv.keys"
scene signed
dns_restart
scene restart
zone_write 2 "new A 192.0.2.2
late.home TXT \"no alias any more\""
sed -i '/^alias.home/d' "$TMP/zones/example.net"
kill -HUP "$DNS_PID"
check "SIGHUP takes a new zone" wait_for 20 serial_is 2
scene reload
scene delete
check "the server goes on" alive "$DNS_PID"
