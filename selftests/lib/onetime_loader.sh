# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What stories of `isthmus onetime` share. Sourced after net.sh; the host is namespace `box`.
#
#   near eth0 ──────────── eth0 box lo
#   2001:db8:1::2/64       2001:db8:1::1/64
#   192.0.2.2/24           192.0.2.1/24
#
# 2001:db8:99::/64 and 198.51.100.0/24 are routed to the box.

# shellcheck disable=SC2034 # for stories
POOL=2001:db8:99::/64 POOL4=198.51.100.0/24
DIR=$PINS/$INSTANCE/onetime
CGROUP_ROOT=$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)

onetime_world() {
	net_ns near box
	net_link near eth0 2001:db8:1::2/64,192.0.2.2/24 box eth0 2001:db8:1::1/64,192.0.2.1/24
	net_route near $POOL 2001:db8:1::1
	net_route near $POOL4 192.0.2.1
}

onetime() { in_ns box isthmus onetime "$@" --instance "$INSTANCE"; }
# by_hand WHAT...: as the agent would do it (onetime_ssa.py)
by_hand() { in_ns box python3 "$SELFTESTS/lib/onetime_ssa.py" "$DIR" "$@"; }

exits() { # CODE cmd...: its exit code; what it says is in $TMP/stdout and $TMP/stderr
	local want=$1 got=0
	shift
	"$@" >"$TMP/stdout" 2>"$TMP/stderr" || got=$?
	[ "$got" = "$want" ] || { echo "exit $got, not $want: $(cat "$TMP/stderr")"; return 1; }
}
says() { grep -q -- "$1" "$TMP/stderr" || { echo "not said: $1"; cat "$TMP/stderr"; return 1; }; }
# refused NAME CODE PATTERN cmd...: one line that has the pattern, nothing on stdout.
refused() {
	local name=$1 code=$2 pattern=$3 problem=
	shift 3
	problem=$(exits "$code" "$@" && says "$pattern") || { not_ok "$name" "$problem"; return 0; }
	if [ "$(grep -vc "warning:" "$TMP/stderr")" != 1 ] || [ -s "$TMP/stdout" ]; then
		not_ok "$name" "not one line: $(cat "$TMP/stderr" "$TMP/stdout")"
	else
		ok "$name"
	fi
}

# Ids of all links of ours, while they are attached.
link_ids() {
	local pin
	for pin in "$PINS/$INSTANCE"/onetime*/link_*; do
		[ ! -e "$pin" ] || bpftool -j link show pinned "$pin" | jq .id
	done
}
pool_routes() { # of any instance
	in_ns box ip -6 route show table local proto 105
	in_ns box ip -4 route show table local proto 105
}
# remains [LINK-ID...]: what is left of us, nothing if nothing is: pins, programs, those links, routes, flags.
remains() {
	local dev id
	[ ! -e "$PINS/$INSTANCE" ] || echo "$PINS/$INSTANCE"
	for dev in eth0 lo; do
		in_ns box tc qdisc show dev "$dev" | grep clsact || true
		in_ns box bpftool net show dev "$dev" 2>/dev/null | grep -o 'onetime_[a-z_]*' || true
		in_ns box ip link show dev "$dev" | grep -o ALLMULTI || true
	done
	for id; do
		! bpftool link show id "$id" >/dev/null 2>&1 || echo "link $id"
	done
	pool_routes
	in_ns box sysctl -n net.ipv6.ip_nonlocal_bind net.ipv4.ip_nonlocal_bind | grep -v '^0$' || true
	find "$CGROUP_ROOT" -maxdepth 1 -name 'isthmus-onetime-*' -newer "$TMP" 2>/dev/null |
		while read -r dev; do # of a `run` of ours, not of another story that runs now
			[ -e "/proc/${dev##*-}" ] || echo "$dev"
		done
}
detached() { # NAME: detaches, and nothing is left
	local ids
	ids=$(link_ids)
	check "$1: detach" onetime detach
	# shellcheck disable=SC2086
	equal "$1: nothing remains" "$(remains $ids)" ""
}
pools() { onetime show --json | jq -c "[.pools[] | ${1:-.pool}]"; }
programs() { onetime show --json | jq -c '[.attachments[].program]'; }
counted() { onetime stats --json | jq ".reasons[] | select(.reason == \"$1\").packets"; } # REASON
