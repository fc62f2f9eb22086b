#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Pure splices between two peers (thesis 4.4, figure 4.7): host2 provides, its NAT keeps source ports.
#
#   host1 bob ── nat1 ── inet ── nat2 ── alice host2: P1 is told to the broker
#                         │
#                      relay: sees bob's P2, tells it to alice
#
# Then nat2 chooses ports at random: the same announcements end in passive splices.

. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/splice.sh"
. "${0%/*}/lib/agents.sh"

need busybox curl jq

# Mode of the datapath's sessions that are established.
modes() {
	in_ns relay isthmus splice list --instance "$INSTANCE" --json |
		jq -r '[.sessions[] | select(.state == "established") | .mode] | unique | join(" ")'
}

# A client that connects and says nothing for a while.
hold() {
	spawn host1 held.log sh -c 'sleep 3 | busybox nc 127.0.0.1 8080'
	wait_for 3 relaying
}

relaying() { peer host1 bob status --json | jq -e 'any(.sessions[]; .state == "relay")'; }

failed() { peer host1 bob status --json | jq .totals.failed; }

fetch() { in_ns host1 curl -sS -m "${2:-10}" "http://127.0.0.1:$1/page" -o "$TMP/got" && cmp "$TMP/page" "$TMP/got"; }

net_homes
splice_attach tc
broker_start
broker_user alice bob
translator_start kernel
peer_start host2 alice
peer_start host1 bob --pool 0
mkdir "$TMP/www"
head -c 3000000 /dev/urandom >"$TMP/page"
cp "$TMP/page" "$TMP/www/page"
spawn host2 httpd.log busybox httpd -f -p 127.0.0.1:80 -h "$TMP/www"
wait_for 5 listening host2 t 80

check "a pure service is published" peer host2 alice provide web localhost:80 --pure
check "it is subscribed" peer host1 bob subscribe alice/web 8080
check "a page comes through a pure splice" fetch 8080
hold
equal "the datapath knows it as pure" "$(modes)" pure
equal "nothing failed on the way" "$(failed)" 0
wait "$SPAWNED" || true

in_ns nat2 nft flush chain inet nat post
in_ns nat2 nft add rule inet nat post oifname wan masquerade fully-random
check "a page comes though the NAT changes ports" fetch 8080 20
hold
equal "the datapath changes ports then" "$(modes)" passive
check "no later client waits" fetch 8080 2
