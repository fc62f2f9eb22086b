#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# `isthmus onetime` killed at any moment: what it leaves lets nobody in, and the next one clears it.
#
#   near eth0 ──────────── eth0 box lo
#   knocks                 [::]:5000 listens; knocks at itself
#   2001:db8:1::2/64       2001:db8:1::1/64

. "${0%/*}/lib/net.sh"
need jq bpftool python3
. "$SELFTESTS/lib/onetime_loader.sh"
onetime_world
knocking

milliseconds() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
# killed COMMAND...: after a random part of the time that it takes ($LASTS ms)
killed() {
	local pid
	nsenter --net="/run/netns/$NET-box" isthmus onetime "$@" --instance "$INSTANCE" >/dev/null 2>&1 &
	pid=$!
	sleep "$(printf '0.%03d' $((RANDOM % (LASTS > 999 ? 999 : LASTS + 1))))"
	kill -KILL "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}
FAILED=0
again() { onetime "$@" >>"$TMP/again.log" 2>&1 || { FAILED=$((FAILED + 1)); echo "of: $*" >>"$TMP/again.log"; }; }

start=$(milliseconds)
onetime attach --dev eth0
LASTS=$(($(milliseconds) - start))
onetime detach
for _ in $(seq 20); do
	killed attach --dev eth0
	# It may have come to its end before.
	onetime detach >/dev/null 2>&1 || true
	again attach --dev eth0
	again detach
done
equal "20 killed attaches: the next one works" "$FAILED" 0
equal "20 killed attaches: nothing remains" "$(remains)" ""
silent "20 killed attaches"

onetime attach --dev eth0
start=$(milliseconds)
onetime pool add eth0 $POOL
LASTS=$(($(milliseconds) - start))
onetime pool del $POOL
for _ in $(seq 10); do
	killed pool add eth0 $POOL
	# Either it is whole, or the next one makes it so.
	[ "$(pools .state)" = '["UNCERTAIN"]' ] || again pool add eth0 $POOL
	[ "$(pools .state) $(pool_routes | wc -l)" = '["UNCERTAIN"] 1' ] || FAILED=$((FAILED + 1))
	killed pool del $POOL
	onetime pool del $POOL >/dev/null 2>&1 || true
	[ "$(pools) $(pool_routes)" = "[] " ] || FAILED=$((FAILED + 1))
done
equal "10 killed pool adds and dels: the next one makes it whole" "$FAILED" 0
silent "10 killed pool adds and dels"
detached "after that"

LASTS=100
for _ in $(seq 10); do
	again attach --dev eth0
	again pool add eth0 $POOL
	killed detach
	onetime detach >/dev/null 2>&1 || true
	[ ! -e "$DIR" ] || FAILED=$((FAILED + 1))
done
equal "10 killed detaches: the next one ends it" "$FAILED" 0
equal "10 killed detaches: nothing remains" "$(remains)" ""
silent "10 killed detaches"

LASTS=200
for _ in $(seq 10); do
	again attach --dev eth0
	killed client add --all
	again detach
done
equal "10 killed client adds: detach takes all back" "$FAILED $(remains)" "0 "

# ---- control

check "control: without the guard they come" open_for_all
