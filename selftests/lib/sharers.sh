# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034
#
# A LAN whose hosts share one address, behind a gateway; after net.sh.
#
#   outside ──────── gateway ──────── lan (a Linux bridge) ─┬─ host1 … hostN   192.0.2.1, all of them
#   198.51.100.2     198.51.100.1     192.0.2.254           └─ stock           192.0.2.100, knows nothing
#
# The shared address has 6 offset bits and 3 of PSID: eight sets of 63 ranges of 128 ports.

SHARED=192.0.2.1 OUTSIDE=198.51.100.2 GATEWAY=192.0.2.254 STOCK=192.0.2.100
SHARERS=${SHARERS:-2} # hosts
OFFSET=6 LENGTH=3
FLOW=$B/selftests/bench/flow
CGROUP=
AGENT_PID=

# sharers_net: namespaces and links alone.
sharers_net() {
	local i
	net_ns outside gateway lan stock
	net_link outside wan "$OUTSIDE/24" gateway wan 198.51.100.1/24
	in_ns lan ip link add bridge type bridge
	in_ns lan ip link set bridge up
	net_link gateway lan "$GATEWAY/24" lan gateway -
	net_link stock lan "$STOCK/24" lan stock -
	for ((i = 1; i <= SHARERS; i++)); do
		net_ns "host$i"
		net_link "host$i" lan - lan "host$i" -
	done
	for i in gateway stock $(host_names); do in_ns lan ip link set "$i" master bridge; done
	net_route outside default 198.51.100.1
	net_route stock default "$GATEWAY"
	net_forward gateway
	in_ns gateway sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.lan.send_redirects=0
}

host_names() { seq -f 'host%g' "$SHARERS"; }

# ---- the parts, as an operator starts them; names of instances and sockets end in the namespace's

instance_of() { echo "$INSTANCE-$1"; } # NAME
socket_of() { echo "$TMP/portarp-$1.sock"; }

# A host's cgroup, whose binds are checked: the namespace's processes need not be in it, its parent counts.
cgroup_root() { awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts; }

# portarp_attach NAME ROLE [OPTION...]
portarp_attach() {
	local name=$1 role=$2
	shift 2
	case $role in
	host) set -- --lan lan "$@" ;;
	*) set -- --uplink wan --lan lan "$@" ;;
	esac
	in_ns "$name" isthmus portarp attach --instance "$(instance_of "$name")" --role "$role" "$@" \
		>"$TMP/attach-$name.log" 2>&1 || { cat "$TMP/attach-$name.log" && false; }
}

# portarp_agent NAME [OPTION...]: AGENT_PID
portarp_agent() {
	local name=$1
	shift
	spawn "$name" "agent-$name.log" isthmus-portarp run --instance "$(instance_of "$name")" \
		--control "$(socket_of "$name")" --state "$TMP/portarp-$name.db" --log-level debug "$@"
	AGENT_PID=$SPAWNED
	wait_for 10 portarp "$name" status
}

# portarp NAME COMMAND...: of the agent there
portarp() {
	local name=$1
	shift
	in_ns "$name" isthmus-portarp "$@" --control "$(socket_of "$name")"
}

# sharer NAME PSID: uses a set, for ever
sharer() {
	portarp "$1" use "$SHARED" --offset $OFFSET --length $LENGTH --psid "$2" --gateway "$GATEWAY"
}

mac_of() { in_ns "$1" ip -j link show dev lan | jq -r '.[0].address'; } # NAME

stat_of() { # NAME REASON
	in_ns "$1" isthmus portarp stats --instance "$(instance_of "$1")" --json |
		jq --arg reason "$2" '.reasons[] | select(.reason == $reason) | .packets'
}

# A port of a host's set: PSID NUMBER
port_of() { echo $((((1 + $2 / 128) << 10) | ($1 << 7) | $2 % 128)); }

portarp_pins_remove() {
	local name
	for name in gateway $(host_names); do net_remove_pins "$(instance_of "$name")"; done
}
