# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What every story needs: namespaces of its own, processes that end with it, and result lines.
#
#	. "${0%/*}/lib/net.sh"
#
# Sets
#	NET		story's name and pid; first part of the names of its namespaces
#	INSTANCE	pin instance for `isthmus --instance`; its pins are removed at the end
#	TMP		directory of the story, removed at the end (KEEP=1 keeps it)
#	B		build directory
#	SLOW		how many times slower than usual this machine is (1; an emulated one: 10)
# Prints `ok NAME`, `not ok NAME # why` and `skip NAME # reason`, nothing else on success. A command that
# fails outside a check ends the story as failed. Namespaces of a predecessor that was killed are removed.

set -eEuo pipefail

SELFTESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STORY=$(basename "$0" .sh)
NET=$STORY-$$
INSTANCE=${STORY:0:20}-$$
: "${B:=$SELFTESTS/../build}" "${SLOW:=1}"
B=$(realpath "$B")
PATH=$B:$PATH:/usr/sbin:/sbin
PINS=/sys/fs/bpf/isthmus
NET_SPAWNED=()
NET_PASSED=0 NET_FAILED=0
NET_OWNER=$BASHPID
SPAWNED=

# ---- results

ok() {
	NET_PASSED=$((NET_PASSED + 1))
	echo "ok $STORY: $1"
}

not_ok() { # NAME WHY
	NET_FAILED=$((NET_FAILED + 1))
	echo "not ok $STORY: $1 # ${2:-}"
}

skip() { echo "skip $STORY: $1 # $2"; } # NAME REASON

# check NAME cmd...: the command's success is the result. Its output is shown only if it fails.
check() {
	local name=$1 status=0
	shift
	"$@" >"$TMP/check.log" 2>&1 || status=$?
	if [ "$status" = 0 ]; then
		ok "$name"
	else
		not_ok "$name" "exit $status of: $*"
		tail -n 15 "$TMP/check.log" | sed 's/^/    /'
	fi
}

# refuse NAME cmd...: the command must fail.
refuse() {
	local name=$1
	shift
	if "$@" >"$TMP/check.log" 2>&1; then
		not_ok "$name" "succeeded: $*"
		tail -n 15 "$TMP/check.log" | sed 's/^/    /'
	else
		ok "$name"
	fi
}

# equal NAME GOT WANT; at_least, at_most NAME GOT LIMIT (whole numbers)
equal() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', not '$3'"; fi
}
at_least() {
	if [ "${2:--1}" -ge "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', less than $3"; fi
}
at_most() {
	if [ -n "$2" ] && [ "$2" -le "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', more than $3"; fi
}

# need NAME...: ends the story with a skip if a program is not there.
need() {
	local program
	for program; do
		if ! command -v "$program" >/dev/null; then
			skip "$STORY" "no program $program"
			exit 0
		fi
	done
}

# ---- processes

# spawn NAME LOG cmd...: in the background in namespace NAME (- for none); output to $TMP/LOG.
# SPAWNED is its pid; it is ended by that pid, at the latest when the story ends.
spawn() {
	local name=$1 log=$TMP/$2
	shift 2
	: >"$log" # now: who waits for a line must not find that of a predecessor
	if [ "$name" = - ]; then
		SPAWNS="exec" "$@" >"$log" 2>&1 </dev/null & # a function that can become its command does
	else
		nsenter --net="/run/netns/$NET-$name" "$@" >"$log" 2>&1 </dev/null &
	fi
	SPAWNED=$!
	NET_SPAWNED+=("$SPAWNED")
}

# Still running? A process that has ended but was not waited for is not.
alive() { [ -r "/proc/$1/stat" ] && ! grep -q '^[0-9]* (.*) Z' "/proc/$1/stat"; } 2>/dev/null
ended() { ! alive "$1"; }

# end PID [SIGNAL]: ends a spawned process and waits for it, 3 s at most before SIGKILL.
end() {
	kill "-${2:-TERM}" "$1" || true
	wait_for 3 ended "$1" || kill -KILL "$1" || true
	wait "$1" || true
} 2>/dev/null # where bash tells of killed jobs

# wait_for SECONDS cmd...: until the command succeeds; fails after SECONDS, or longer on a slow machine.
wait_for() {
	local end=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000 * SLOW))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "${EPOCHREALTIME/[.,]/}" -lt "$end" ] || return 1
		sleep 0.03
	done
}

# listening NAME t|u PORT: does anything in the namespace listen there?
listening() { in_ns "$1" ss -Hln"$2" "sport = :$3" | has .; }

# has WORD...: does standard input have it, as grep says? It is read to its end: after `grep -q`, what writes more dies
# by SIGPIPE, which pipefail takes for a failure.
has() { grep "$@" | cat >/dev/null; }

log_has() { grep -Eq -- "$2" "$TMP/$1"; } # LOG PATTERN

# ---- namespaces

net_ns() { # NAME...
	local name
	for name; do
		ip netns add "$NET-$name"
		in_ns "$name" ip link set lo up
		in_ns "$name" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 \
			net.ipv6.conf.default.accept_ra=0 net.ipv4.conf.all.rp_filter=0 \
			net.ipv4.conf.default.rp_filter=0
	done
}

# in_ns NAME cmd...: only the network changes: `ip netns exec` would hide /sys/fs/bpf.
in_ns() {
	local name=$1
	shift
	nsenter --net="/run/netns/$NET-$name" "$@"
}

# net_link NSA DEVA ADDRESSES NSB DEVB ADDRESSES: a veth pair; addresses CIDR, with commas, - for none.
net_link() {
	ip link add "$2" netns "$NET-$1" type veth peer name "$5" netns "$NET-$4"
	net_addresses "$1" "$2" "$3"
	net_addresses "$4" "$5" "$6"
}

net_addresses() { # NS DEV ADDRESSES
	local address
	for address in ${3//,/ }; do
		case $address in
		-) ;;
		*:*) in_ns "$1" ip addr add "$address" dev "$2" nodad ;;
		*) in_ns "$1" ip addr add "$address" dev "$2" ;;
		esac
	done
	in_ns "$1" ip link set "$2" up
}

# net_route NAME DESTINATION VIA...: `default` becomes the default route of VIA's family.
net_route() {
	local name=$1 destination=$2 via
	shift 2
	for via; do
		case $via in
		*:*) in_ns "$name" ip -6 route add "$destination" via "$via" ;;
		*) in_ns "$name" ip -4 route add "$destination" via "$via" ;;
		esac
	done
}

net_forward() { # NAME...
	local name
	for name; do
		in_ns "$name" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	done
}

# net_nat NAME WAN: masquerade out of WAN, nothing unasked for comes in.
net_nat() {
	in_ns "$1" nft -f - <<-NFT
		table inet nat {
			chain post {
				type nat hook postrouting priority srcnat
				oifname "$2" masquerade
			}
			chain forward {
				type filter hook forward priority filter
				ct state established,related accept
				iifname "$2" counter drop
			}
		}
	NFT
}

# net_xdp_ready NAME DEV: what native XDP on DEV's veth peer needs of DEV: whole checksums, and NAPI.
net_xdp_ready() { in_ns "$1" ethtool -K "$2" tx off gro on; } >/dev/null

# net_homes: two homes with the same private addresses, each behind its NAT; a router in between;
# the relay host with one arm, the broker's host with another.
#
#   host1 ── nat1 ────┐                             ┌──── nat2 ── host2
#   192.168.1.10      │192.0.2.2       198.51.100.2 │     192.168.1.10
#   fd00::10          └─────────── inet ────────────┘     fd00::10
#                                 │    │
#                      203.0.113.10    203.0.113.130
#                              relay    broker
#
# IPv6: 2001:db8:1::2 is nat1, 2001:db8:2::2 nat2, 2001:db8:3::10 relay, 2001:db8:4::130 broker.
# shellcheck disable=SC2034 # for stories
net_homes() {
	RELAY4=203.0.113.10 RELAY6=2001:db8:3::10
	BROKER4=203.0.113.130 BROKER6=2001:db8:4::130
	NAT1_4=192.0.2.2 NAT1_6=2001:db8:1::2 NAT2_4=198.51.100.2 NAT2_6=2001:db8:2::2
	net_ns host1 nat1 inet relay broker nat2 host2
	net_link nat1 wan 192.0.2.2/24,2001:db8:1::2/64 inet nat1 192.0.2.1/24,2001:db8:1::1/64
	net_link nat2 wan 198.51.100.2/24,2001:db8:2::2/64 inet nat2 198.51.100.1/24,2001:db8:2::1/64
	net_link relay wan 203.0.113.10/25,2001:db8:3::10/64 inet relay 203.0.113.1/25,2001:db8:3::1/64
	net_link broker wan 203.0.113.130/25,2001:db8:4::130/64 inet broker 203.0.113.129/25,2001:db8:4::1/64
	net_route relay default 203.0.113.1 2001:db8:3::1
	net_route broker default 203.0.113.129 2001:db8:4::1
	net_forward inet relay # relay: next hops follow its routes only where it may forward
	local home
	for home in 1 2; do
		net_link "host$home" lan 192.168.1.10/24,fd00::10/64 "nat$home" lan 192.168.1.1/24,fd00::1/64
		net_route "host$home" default 192.168.1.1 fd00::1
		net_forward "nat$home"
		net_nat "nat$home" wan
	done
	net_route nat1 default 192.0.2.1 2001:db8:1::1
	net_route nat2 default 198.51.100.1 2001:db8:2::1
	for home in 1 2; do # neighbours are found, IPv6 addresses usable
		wait_for 5 in_ns "host$home" ping -qc1 -W0.3 $RELAY6
		wait_for 5 in_ns "host$home" ping -qc1 -W0.3 $RELAY4
	done
}

# net_neighbour NAME HOME: one more host behind nat HOME (1 or 2), 192.168.2.10.
net_neighbour() {
	net_ns "$1"
	net_link "$1" lan 192.168.2.10/24,fd00:2::10/64 "nat$2" lan2 192.168.2.1/24,fd00:2::1/64
	net_route "$1" default 192.168.2.1 fd00:2::1
}

# ---- the end

net_remove_ns() { # full name
	local pid
	for pid in $(ip netns pids "$1" 2>/dev/null); do
		kill -KILL "$pid" 2>/dev/null || true
	done
	ip netns del "$1" 2>/dev/null || true
}

net_remove_pins() { # instance
	[ ! -d "$PINS/$1" ] || rm -rf "${PINS:?}/${1:?}"
}

# What a story of this name left behind whose process is no more. The pid may belong to another now.
net_remove_stale() {
	local name pid
	for name in /run/netns/"$STORY"-*-* "$PINS/${STORY:0:20}"-* /tmp/isthmus-"$STORY"-*; do
		name=${name##*/}
		name=${name#isthmus-}
		pid=${name#"$STORY"-}
		pid=${pid#"${STORY:0:20}"-}
		pid=${pid%%[-.]*}
		[[ $pid =~ ^[0-9]+$ ]] || continue
		! grep -qs "$STORY" "/proc/$pid/cmdline" || continue
		[ ! -e "/run/netns/$name" ] || net_remove_ns "$name"
		net_remove_pins "$name"
		rm -rf "/tmp/isthmus-$name"
	done
}

net_cleanup() {
	local status=$? line=${NET_LINE:-?} pid name
	[ "$BASHPID" = "$NET_OWNER" ] || exit "$status"
	trap '' INT TERM
	trap - EXIT ERR
	set +e
	if [ "$status" -ge 128 ]; then
		echo "not ok $STORY: runs to its end # ended by signal $((status - 128))"
		NET_FAILED=$((NET_FAILED + 1))
	elif [ "$status" != 0 ]; then
		echo "not ok $STORY: runs to its end # exit $status at line $line"
		NET_FAILED=$((NET_FAILED + 1))
	fi
	if [ "$NET_FAILED" != 0 ] && [ "$status" -lt 128 ]; then
		net_show_logs
	fi
	if declare -F story_end >/dev/null; then
		story_end
	fi
	for pid in "${NET_SPAWNED[@]}"; do kill -TERM "$pid"; done 2>/dev/null
	for pid in "${NET_SPAWNED[@]}"; do
		wait_for 2 ended "$pid" || kill -KILL "$pid" 2>/dev/null
	done
	for name in /run/netns/"$NET"-*; do
		[ ! -e "$name" ] || net_remove_ns "${name##*/}"
	done
	net_remove_pins "$INSTANCE"
	if [ -z "${KEEP:-}" ]; then rm -rf "$TMP"; else echo "kept: $TMP"; fi
	[ "$NET_FAILED" = 0 ] || [ "$status" -ge 128 ] || exit 1
	exit "$status"
}

# After a failure: the last lines of what the spawned processes said.
net_show_logs() {
	local log
	for log in "$TMP"/*.log; do
		if [ ! -s "$log" ] || [ "${log##*/}" = check.log ]; then continue; fi
		echo "    ---- ${log##*/}"
		tail -n "${LOG_LINES:-12}" "$log" | cut -c1-300 | sed 's/^/    /'
	done
}

if [ "$(id -u)" != 0 ]; then
	skip "$STORY" "network namespaces need root"
	exit 0
fi
# shellcheck source=selftests/lib/bpffs.sh
. "$SELFTESTS/lib/bpffs.sh"
net_remove_stale
TMP=/tmp/isthmus-$NET
mkdir -m 0700 "$TMP"
trap net_cleanup EXIT
trap 'NET_LINE=${NET_LINE:-$LINENO of ${BASH_SOURCE[0]##*/}: $BASH_COMMAND}' ERR
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
