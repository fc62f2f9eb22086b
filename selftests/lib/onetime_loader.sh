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
	[ -z "$RUNS" ] || run_remains
}
# Cgroups of a `run` of ours, not of another story that runs now. Only who leaves commands behind looks for
# them, as nobody can tell whose they were.
RUNS=
run_remains() {
	local cgroup
	find "$CGROUP_ROOT" -maxdepth 1 -name 'isthmus-onetime-*' -newer "$TMP" 2>/dev/null |
		while read -r cgroup; do
			[ -e "/proc/${cgroup##*-}" ] || echo "$cgroup"
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

# ---- knocks at addresses of pools, and a listener that must not hear them (onetime_wild.py)

wild() { # NAME LOG WORD...
	local name=$1 log=$2
	shift 2
	spawn "$name" "$log" python3 "$SELFTESTS/lib/onetime_wild.py" "$@"
}
knocks() { awk '{ print $1 + $2 }' "$TMP/$1"; }     # at pools
came() { cut -d' ' -f1-2 "$TMP/came"; }             # for a pool: by TCP, by UDP
came_elsewhere() { cut -d' ' -f3 "$TMP/came"; }
more_than() { [ "$("$1" "${@:3}")" -gt "$2" ]; }
# silent NAME: since the last one knocks went on at both ends, others were heard, and none for a pool.
NEAR=0 BOX=0 ELSEWHERE=0
silent() {
	wait_for 30 more_than knocks $((NEAR + 20)) near && wait_for 20 more_than knocks $((BOX + 20)) box &&
		wait_for 30 more_than came_elsewhere $((ELSEWHERE + 10)) || {
		not_ok "$1: knocks go on, and others are heard" "$(cat "$TMP/near" "$TMP/box" "$TMP/came" | paste -sd' ')"
		return 0
	}
	NEAR=$(knocks near) BOX=$(knocks box) ELSEWHERE=$(came_elsewhere)
	equal "$1: none came for a pool" "$(came)" "0 0"
}
knocking() { # begins it
	wild box listen.log listen 5000 "$TMP/came" $POOL $POOL4
	wait_for 30 listening box t 5000
	wild near near.log knock 5000 "$TMP/near" $POOL $POOL4 2001:db8:1::1
	wild box box.log knock 5000 "$TMP/box" $POOL $POOL4 2001:db8:1::1
}
# This is what local routes without programs do.
heard() {
	local tcp udp
	read -r tcp udp _ <"$TMP/came" && [ "$tcp" -gt 0 ] && [ "$udp" -gt 0 ]
}
open_for_all() {
	in_ns box ip -6 route add local $POOL dev lo
	in_ns box ip -4 route add local $POOL4 dev lo
	wait_for 30 heard
}
