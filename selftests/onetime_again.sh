#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What isthmus-onetime has given out is not given out again: after a reboot, of which the state file is all
# that stays; and with that lost too, what is in use goes on. With its unit's capabilities and as another
# user it starts a second time, too.
#
#   client eth0 ───────────────── eth0 server
#   2001:db8:1::2/64              2001:db8:1::1/64        pool 2001:db8:100::/64, listeners' addresses
#   pool 2001:db8:200::/64 (connects of `isthmus onetime run`)

. "${0%/*}/lib/net.sh"
need jq python3
LIB=$SELFTESTS/lib
P=2001:db8:100:
AS=()

net_ns client server
net_link client eth0 2001:db8:1::2/64 server eth0 2001:db8:1::1/64
net_route client 2001:db8:100::/64 2001:db8:1::1
net_route server 2001:db8:200::/64 2001:db8:1::2

loader() { # NAMESPACE WORD...
	local at=$1
	shift
	in_ns "$at" isthmus onetime "$@" --instance "$INSTANCE-$at"
}
agent() {
	local at=$1
	shift
	in_ns "$at" isthmus-onetime "$@" --control "$TMP/$at.sock"
}
story_end() {
	for at in server client; do
		loader $at detach >/dev/null 2>&1
		net_remove_pins "$INSTANCE-$at"
	done
}
start() { # NAMESPACE OPTION...: its agent is AGENT
	local at=$1
	shift
	spawn "$at" "$at.log" "${AS[@]}" isthmus-onetime run --instance "$INSTANCE-$at" --state "$TMP/$at.db" --control "$TMP/$at.sock" "$@"
	AGENT=$SPAWNED
	wait_for 30 agent "$at" status
}
refused() { # NAME PATTERN cmd...
	local name=$1 pattern=$2 said
	shift 2
	if said=$("$@" 2>&1) || ! [[ $said =~ $pattern ]]; then
		not_ok "$name" "$said"
	else
		ok "$name"
	fi
}
connect() { echo "$1" | in_ns client python3 "$LIB/onetime_connect.py" tcp 80; }

# ---- a reboot

attach() {
	loader server attach --dev eth0 >/dev/null
	loader server pool add eth0 2001:db8:100::/64 >/dev/null
	start server
	wait_for 10 agent server listen "$WEB" eth0 --auto 4
}
spawn server web.log python3 "$LIB/onetime_serve.py" tcp ::1 8080
WEB=$SPAWNED
wait_for 30 listening server t 8080
attach
refused "a listener without a name has not the name \"\"" "unknown: " agent server give ""
agent server das "$WEB" eth0 ${P}:5 >/dev/null
equal "a session" "$(connect ${P}:5 | cut -d' ' -f1)" ${P}:5
for _ in 1 2 3 4 5 6; do agent server give "$WEB"; done >"$TMP/given"
end "$AGENT" KILL
loader server detach >/dev/null
attach
unused=$(head -n 1 "$TMP/given")
refused "reboot: one that was used is not set again" "used: .*given out before" agent server das "$WEB" eth0 ${P}:5
refused "reboot: nor one that was not used" "used: .*given out before" agent server das "$WEB" eth0 "$unused"
equal "reboot: which is dead" "$(connect "$unused")" silent
for _ in 1 2 3 4 5 6; do agent server give "$WEB"; done >"$TMP/more"
equal "reboot: others are given" "$(sort "$TMP/given" "$TMP/more" | uniq -d | wc -l)" 0

# ---- another pool with the number of one that is gone

pending() { [ "$(agent server status --json | jq .pending)" = "$1" ]; }
check "given out" pending 6
loader server pool del 2001:db8:100::/64
check "without a pool: what was given out of it is counted no more" wait_for 10 pending 0
refused "without a pool: what is prepared is not given" "no-pool: .*pool has gone" agent server give "$WEB"
loader server pool add eth0 2001:db8:100::/64
check "the pool again: its listener gives addresses" wait_for 10 agent server give "$WEB"
loader server pool del 2001:db8:100::/64
loader server pool add eth0 198.51.100.0/28
check "a pool that is gone: what was given out of it is counted no more" wait_for 10 pending 0
refused "its listener has no pool" "no-pool: .*pool has gone" agent server give "$WEB"
loader server pool del 198.51.100.0/28
loader server pool add eth0 2001:db8:100::/64
end "$AGENT"

# ---- what its unit allows

caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$SELFTESTS/../agents/onetime/isthmus-onetime.service" | tr 'A-Z ' 'a-z,')
AS=(setpriv --bounding-set "-all,${caps//cap_/+}" --inh-caps=-all)
spawn server other.log python3 -c 'import os, socket, time; os.setuid(65534); s = socket.socket(socket.AF_INET6)
s.bind(("::1", 8090)); s.listen(); time.sleep(300)'
OTHER=$SPAWNED
wait_for 30 listening server t 8090
for i in 1 2; do
	check "the unit's capabilities, as nobody: start $i" start server --user nobody
	check "the unit's capabilities, as nobody: another user's server $i" agent server das "$OTHER" eth0 ${P}:2$i
	end "$AGENT"
done
AS=()

# ---- the state file is lost, and addresses come again

spawn server echo.log python3 "$LIB/onetime_serve.py" tcp 2001:db8:1::1 8100
wait_for 30 listening server t 8100
loader client attach --dev eth0 >/dev/null
loader client pool add eth0 2001:db8:200::/64 --client >/dev/null
eas() { agent client status --json | jq .eas6; }
enough() { [ "$(eas)" = 16 ]; }
start client --method sequential --eas 16
wait_for 10 enough
mkfifo "$TMP/hold.in"
spawn client hold.out sh -c "{ echo 2001:db8:1::1; cat '$TMP/hold.in'; } | isthmus onetime run --instance '$INSTANCE-client' \
	-- python3 '$LIB/onetime_connect.py' hold 8100"
exec {HOLD}>"$TMP/hold.in"
wait_for 30 test -s "$TMP/hold.out"
say() {
	echo "$1" >&"$HOLD"
	wait_for 10 grep -qx "$1" "$TMP/hold.out"
}
check "a session with an address of its own" say one
live() { loader client list --json | jq -r '[.sessions[] | select(.state == "LIVE").local.address] | join(" ")'; }
before=$(live)
end "$AGENT" KILL
rm "$TMP"/client.db*
start client --method sequential --eas 16
echo 2001:db8:1::1 | in_ns client isthmus onetime run --instance "$INSTANCE-client" -- python3 "$LIB/onetime_connect.py" tcp 8100 >/dev/null
check "state lost: it is told" wait_for 10 grep -q "is the state file an older copy" "$TMP/client.log"
check "state lost: addresses that are in use are passed over" wait_for 20 enough
check "state lost: the session goes on" say two
equal "state lost: with its address" "$(live)" "$before"
