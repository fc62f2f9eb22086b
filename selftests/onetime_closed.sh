#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A pool's addresses reach no wildcard listener: not before, during or after any step of `isthmus onetime`.
# A session goes on while programs are exchanged.
#
#   near eth0 ──────────── eth0 box lo
#   knocks                 [::]:5000 listens; knocks at itself
#   2001:db8:1::2/64       2001:db8:1::1/64

. "${0%/*}/lib/net.sh"
need jq bpftool python3
. "$SELFTESTS/lib/onetime_loader.sh"
onetime_world
knocking

# ---- each step

silent "before"
attach() { onetime attach --dev eth0; }
for round in 1 2 3; do
	attach
	silent "round $round: attached"
	onetime pool add eth0 $POOL
	onetime pool add eth0 $POOL4
	silent "round $round: pools"
	onetime attach --replace
	silent "round $round: replaced"
	onetime pool del $POOL
	silent "round $round: without a pool"
	onetime detach
	silent "round $round: detached"
done
attach
for _ in $(seq 40); do
	onetime pool add eth0 $POOL
	onetime pool del $POOL
done
silent "40 times added and deleted"
onetime pool add eth0 $POOL --reset
onetime pool add eth0 $POOL4 --reset
silent "pools that answer with a reset"
check "which the kernel sends" wait_for 30 eval "[ \"\$(counted REFUSED_RST)\" -gt 0 ]"
detached "after that"

# ---- a session while programs are exchanged

talk_through() { # WORDS OF ATTACH
	local talker
	onetime attach --dev eth0 "$@"
	onetime pool add eth0 $POOL
	spawn box server.log python3 "$SELFTESTS/lib/onetime_ssa.py" "$DIR" serve 6000 3 1
	SERVER=$SPAWNED
	wait_for 30 listening box t 6000
	wait_for 30 eval "onetime sockstat --json | jq -e '.sockets | length == 1' >/dev/null"
	by_hand address 2001:db8:99::7 pending 1 ssa 3
	wild near talk.log talk 2001:db8:99::7 80 100
	talker=$SPAWNED
	wait_for 30 eval "[ \"\$(by_hand state 2001:db8:99::7)\" = 5 ]"
	LINES_BEFORE=$(counted SESSION)
	for _ in 1 2 3 4 5; do
		onetime attach --replace
		sleep 0.2
	done
	equal "replace under a session${1:+, $1}: it lives" "$(onetime netstat --json | jq -r '.sessions[].state')" LIVE
	kill -USR1 "$talker"
	wait "$talker" && ok "replace under a session${1:+, $1}: every line came back" ||
		not_ok "replace under a session${1:+, $1}: every line came back" "$(tail -n1 "$TMP/talk.log")"
	at_least "replace under a session${1:+, $1}: so many lines" "$(tail -n1 "$TMP/talk.log")" 50
	at_least "replace under a session${1:+, $1}: its packets were seen" $(($(counted SESSION) - LINES_BEFORE)) 20
	equal "the server saw the address as its own" "$(cut -d' ' -f1 "$TMP/server.log")" 2001:db8:99::7
	check "its end is told to the exchanged programs" wait_for 30 eval "[ \"\$(by_hand state 2001:db8:99::7)\" = 6 ]"
	refuse "the address is over for others" in_ns near timeout 1 python3 "$SELFTESTS/lib/onetime_wild.py" talk 2001:db8:99::7 80 1
	end "$SERVER"
	check "pool del --force" onetime pool del $POOL --force
	detached "after a session${1:+, $1}"
}
talk_through
talk_through --clsact
silent "after sessions"

# ---- control

check "control: without the guard they come" open_for_all
