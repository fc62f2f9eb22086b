#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Splices that wait in a subscriber's pool: they are there before a client, and one whose NAT mapping
# was lost meanwhile costs its client some seconds but not the connection.
#
#   host1 bob ── nat1 (forgets) ── inet ── nat2 ── alice host2
#                                   │
#                                 relay

. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/splice.sh"
. "${0%/*}/lib/agents.sh"

need busybox curl jq

ready() { peer host1 bob status --json | jq '[.sessions[] | select(.state == "ready")] | length'; }
pool_is() { [ "$(ready)" = "$1" ]; }
fetch() { in_ns host1 curl -sS -m 25 http://127.0.0.1:8080/page -o "$TMP/got" && cmp "$TMP/page" "$TMP/got"; }

# nat1 passes nothing of what the pool holds now.
forget() {
	local port
	in_ns nat1 nft add table inet forget
	in_ns nat1 nft 'add chain inet forget c { type filter hook forward priority -5; }'
	for port in $(peer host1 bob status --json | jq -r '.sessions[].translator | split(":")[1]'); do
		in_ns nat1 nft add rule inet forget c tcp dport "$port" counter drop
	done
}

net_homes
splice_attach tc
broker_start
broker_user alice bob
translator_start kernel
peer_start host2 alice
peer_start host1 bob --pool-keep 1 --pool-idle 4
mkdir "$TMP/www"
head -c 300000 /dev/urandom >"$TMP/page"
cp "$TMP/page" "$TMP/www/page"
spawn host2 httpd.log busybox httpd -f -p 127.0.0.1:80 -h "$TMP/www"
wait_for 5 listening host2 t 80
peer host2 alice provide web 127.0.0.1:80 >/dev/null
peer host1 bob subscribe alice/web 8080 >/dev/null

check "one is kept though no client came" wait_for 5 pool_is 1
equal "the server was not asked yet" "$(in_ns host2 ss -Htn state established 'sport = :80' | wc -l)" 0
check "a client is served" fetch
check "the pool is full then" wait_for 5 pool_is 2
check "and shrinks when no more come" wait_for 15 pool_is 1
forget
check "a client of a dead splice is served by another" fetch
equal "the dead one is counted" "$(peer host1 bob status --json | jq .totals.failed)" 1
check "a service that is withdrawn" peer host2 alice unprovide web
check "takes its pooled splices with it" wait_for 5 pool_is 0
