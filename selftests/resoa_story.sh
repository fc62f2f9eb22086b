#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Programs of clients without an address use the sockets of a server: web, ssh, halves, resets, urgent
# data, ends of file; what becomes of connections when a daemon is killed.
#
#   alice, bob, carol (no address)
#      isthmus-resoa ──── LHP ──── isthmus-resoad   server 192.0.2.1 ──── 192.0.2.2 peer
#                                                   2001:db8:1::1         2001:db8:1::2

. "${0%/*}/lib/net.sh"
need python3 curl
. "$SELFTESTS/lib/resoa.sh"

resoa_up
resoa_client alice

mkdir "$TMP/web"
echo "hello" >"$TMP/web/hello"
head -c 3000000 /dev/urandom >"$TMP/web/big"
spawn peer web.log busybox httpd -f -p 80 -h "$TMP/web"
spawn peer web6.log busybox httpd -f -p "[$PEER6]:8080" -h "$TMP/web"
wait_for 10 listening peer t 80

equal "the client has no address" "$(in_ns alice ip -br addr show scope global)" ""
equal "curl, IPv4" "$(resoa_in alice curl -sm 10 http://$PEER4/hello)" hello
equal "curl, IPv6" "$(resoa_in alice curl -sm 10 "http://[$PEER6]:8080/hello")" hello
check "3 MB, the same bytes" eval "resoa_in alice curl -sm 20 http://$PEER4/big | cmp - '$TMP/web/big'"
