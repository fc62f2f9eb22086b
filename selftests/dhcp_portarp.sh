#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The whole of it: hosts get their sets by DHCP, isthmus-portarp on both sides is told, and packets flow.
#
#   outside ──────── gateway ──────── lan (a Linux bridge) ─┬─ host1, host2   192.0.2.1
#   198.51.100.2     198.51.100.1     192.0.2.254           └─ stock          (not used)
#                    isthmus-dhcp server                       isthmus-dhcp client
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/sharers.sh"
. "${0%/*}/lib/dhcp.sh"
need jq

story_end() { portarp_pins_remove; }

SERVER_NS=gateway SERVER_DEVICES='--device lan' SERVER_ID=$GATEWAY
GATEWAY_SOCKET=$(socket_of gateway)
sharers_net
cat >"$TMP/pools" <<-POOLS
	[pool $SHARED]
	offset = $OFFSET
	length = $LENGTH
	exclude = 0-1
	prefix = 24
	router = $GATEWAY
	lease-time = 20

	[host host2]
	mac = $(mac_of host2)
	address = $SHARED
	psid = 5
	ports = 80
POOLS

# host1's programs are before its client's packet socket, host2's behind it.
hook_of() { if [ "$1" = host1 ]; then echo xdp-generic; else echo tc; fi; } # HOST

known_at_gateway() { # PSID HOST
	portarp gateway usage --json | jq -e --argjson p "$1" --arg m "$(mac_of "$2")" \
		'[.sets[] | select(.psid == $p and .mac == $m and .leased)] | length == 1'
}

unknown_at_gateway() { # PSID
	portarp gateway usage --json | jq -e --argjson p "$1" '[.sets[] | select(.psid == $p)] | length == 0'
}

uses() { # HOST PSID
	portarp "$1" usage --json | jq -e --argjson p "$2" '[.sets[] | select(.psid == $p)] | length == 1'
}

host_start() { # HOST
	spawn "$1" "$1.out" isthmus-dhcp client --device lan --state "$TMP/$1.state" --control "$TMP/$1.sock" \
		--portarp "$(socket_of "$1")" --log-level debug --print
	CLIENT_PID=$SPAWNED
}

page_of() { # HOST PORT: served there, fetched from outside
	spawn "$1" "page-$2.log" python3 -c '
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
http.server.HTTPServer(("192.0.2.1", int(sys.argv[2])), H).serve_forever()' "$1" "$2"
	wait_for 10 listening "$1" t "$2"
	in_ns outside curl -sS --max-time $((10 * SLOW)) "http://$SHARED:$2/"
}

check "the gateway attaches" portarp_attach gateway gateway --mode tc
portarp_agent gateway
GATEWAY_PID=$AGENT_PID
server_start
for host in host1 host2; do
	check "$host attaches" portarp_attach $host host --mode "$(hook_of $host)"
	portarp_agent $host
	host_start $host
done
check "host1 gets a set by DHCP" wait_for 15 client_is host1 bound
check "host2 too" wait_for 15 client_is host2 bound
equal "host1's is the first one that may be given" "$(client_set host1)" "$SHARED $OFFSET $LENGTH 2"
equal "host2's is its own" "$(client_set host2)" "$SHARED $OFFSET $LENGTH 5"
check "the address was told to the gateway, and host1's lease" wait_for 10 known_at_gateway 2 host1
check "and host2's" wait_for 10 known_at_gateway 5 host2
check "with its single port" wait_for 10 eval 'portarp gateway usage --json | jq -e "[.sets[] | select(.low == 80)] | length == 1"'
check "host1's agent uses its set" wait_for 10 uses host1 2
check "host2's agent its own" wait_for 10 uses host2 5
check "outside reaches host1" [ "$(page_of host1 "$(port_of 2 5)")" = host1 ]
check "outside reaches host2 by the same address" [ "$(page_of host2 "$(port_of 5 5)")" = host2 ]
check "and by its single port" [ "$(page_of host2 80)" = host2 ]
: >"$TMP/host1.out"
check "a lease is renewed while the address is in use" wait_for 20 log_has host1.out '"event":"renewed"'
end "$GATEWAY_PID" KILL
portarp_agent gateway
check "a gateway's agent that was killed knows the lease again" wait_for 15 known_at_gateway 2 host1
isthmus-dhcp release --control "$TMP/host1.sock"
check "a release ends it at the gateway" wait_for 10 unknown_at_gateway 2
refuse "and at the host" uses host1 2
check "host2 is still served" [ "$(in_ns outside curl -sS --max-time 10 "http://$SHARED:80/")" = host2 ]
