#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# `isthmus waypoint` and `isthmus gateway`: attaching in each mode, reading, replacing under traffic, detaching,
# refusals. The box stands between two hosts:
#
#   left eth0 ──── eth0 box eth1 ──── eth0 right
#   198.51.100.2   198.51.100.1   192.0.2.254     192.0.2.100

. "${0%/*}/lib/net.sh"
need jq bpftool ethtool

net_ns left box right
net_link left eth0 198.51.100.2/24 box eth0 198.51.100.1/24
net_link right eth0 192.0.2.100/24 box eth1 192.0.2.254/24
net_route left default 198.51.100.1
net_route right default 192.0.2.254
net_forward box
net_xdp_ready left eth0
net_xdp_ready right eth0
in_ns box ethtool -K eth0 gro off
in_ns box ethtool -K eth1 gro off

run() { in_ns box isthmus "$@" --instance "$INSTANCE"; } # NOUN VERB [OPTION...]
words_of() { # NOUN
	case $1 in
	waypoint) echo --dev eth0 --dev eth1 ;;
	gateway) echo --uplink eth0 --lan eth1 ;;
	esac
}
attach() { # NOUN [OPTION...]
	local noun=$1
	shift
	# shellcheck disable=SC2046
	run "$noun" attach $(words_of "$noun") "$@"
}
# refused NAME CODE PATTERN cmd...: one line that has the pattern, nothing on stdout.
refused() {
	local name=$1 code=$2 pattern=$3 got=0
	shift 3
	"$@" >"$TMP/stdout" 2>"$TMP/stderr" || got=$?
	if [ "$got" != "$code" ]; then
		not_ok "$name" "exit $got, not $code: $(cat "$TMP/stderr")"
	elif ! grep -q -- "$pattern" "$TMP/stderr"; then
		not_ok "$name" "not said: $pattern: $(cat "$TMP/stderr")"
	elif [ -s "$TMP/stdout" ] || [ "$(grep -vc 'warning:\|: mode tc (' "$TMP/stderr")" != 1 ]; then
		not_ok "$name" "not one line: $(cat "$TMP/stderr" "$TMP/stdout")"
	else
		ok "$name"
	fi
}
remains() { # NOUN: what is left of it
	local dev
	[ ! -e "$PINS/$INSTANCE/$1" ] || echo "$PINS/$INSTANCE/$1"
	for dev in eth0 eth1; do
		in_ns box tc qdisc show dev "$dev" | grep clsact || true
		in_ns box bpftool net show dev "$dev" 2>/dev/null | grep -o "$1_[a-z_]*" || true
	done
}
hooks_at() { # NOUN DEV: "xdp tc"
	run "$1" show --json | jq -r --arg dev "$2" '(.devices[] | select(.device == $dev).ifindex) as $i |
		[.attachments[] | select(.ifindex == $i).hook] | join(" ")'
}
counted() { run "$1" stats --json | jq '[.reasons[].packets] | add'; }
programs() { run "$1" show --json | jq -c '[.attachments[].program]'; }

each_mode() { # NOUN MODE: with +clsact
	local noun=$1 mode=${2%+clsact} name="$1, $2" options=(--mode "${2%+clsact}") before
	[ "$mode" = "$2" ] || options+=(--clsact)
	[ "$mode" != tc ] || options+=(--trust-offloads)
	check "$name: attach" attach "$noun" "${options[@]}"
	for dev in eth0 eth1; do
		equal "$name: what stands on $dev" "$(hooks_at "$noun" $dev)" "$([ "$mode" = tc ] || echo "xdp ")tc"
	done
	equal "$name: modes" "$(run "$noun" show --json | jq -r '[.devices[].mode] | unique | join(" ")')" "$mode"
	before=$(counted "$noun")
	check "$name: other traffic passes" in_ns left ping -qc2 -i0.1 -W2 192.0.2.100
	at_least "$name: and is counted" $(($(counted "$noun") - before)) 4
	check "$name: detach" run "$noun" detach
	equal "$name: nothing remains" "$(remains "$noun")" ""
}

for noun in waypoint gateway; do
	for mode in xdp xdp-generic tc tc+clsact xdp+clsact; do each_mode $noun "$mode"; done
done

# ---- what is written and read

attach waypoint --mode xdp --port 7000 --binds 1000 --addresses 3 2>/dev/null
equal "waypoint: conf" "$(bpftool -j map dump pinned "$PINS/$INSTANCE/waypoint/waypoint_conf" |
	jq -c '.[0].formatted.value | [.common.abi, .common.links, .common.port, .icmp_ns / 1e9, .udp_ns / 1e9, .tcp_ns / 1e9,
		.mixed_ns / 1e9, .http_ns / 1e9, .linger_ns / 1e9, .reject_ns / 1e9]')" \
	"[1,2,$((16#581b)),60,900,1800,900,1200,120,180]"
equal "waypoint: sizes" "$(run waypoint show --json | jq -c '[.port, (.tables[] | select(.table == "bindings" or .table == "addresses").capacity)]')" "[7000,3,1000]"
for verb in show list waits stats; do
	check "waypoint: $verb as text" run waypoint $verb
	check "waypoint: $verb as JSON" eval "run waypoint $verb --json | jq -e .datapath"
done
refused "attach twice" 1 "already attached.*--replace.*detach" attach waypoint --mode xdp
refused "replace keeps --binds" 1 "--binds: --replace .*detach and attach again" run waypoint attach --replace --binds 5
check "status has it" eval "in_ns box isthmus status --json | jq -e '.datapaths[] | select(.datapath == \"waypoint\" and .instance == \"$INSTANCE\")'"
run waypoint detach

# More bindings: what belongs to them grows too.
capacity() { bpftool -j map show pinned "$PINS/$INSTANCE/waypoint/waypoint_$1" | jq .max_entries; } # MAP
attach waypoint --mode xdp --binds 300000 2>/dev/null
equal "waypoint: sizes of many" "$(for map in addr bind conn reject source; do capacity $map; done | paste -sd ' ')" \
	"1024 300000 600000 150000 150000"
equal "waypoint: many are shown" "$(run waypoint show --json | jq '.tables[] | select(.table == "bindings").capacity')" 300000
run waypoint detach
refused "waypoint: too many" 2 "--binds.*8388608" attach waypoint --mode xdp --binds 8388609

attach gateway --mode tc --trust-offloads --ports 50000-50999 --prefix64 64:ff9b::/96 --flows 77 2>/dev/null
equal "gateway: ports, prefix, size" "$(run gateway show --json | jq -c '[.ports, .prefix64, (.tables[] | select(.table == "flows").capacity)]')" \
	'["50000-50999","64:ff9b::",77]'
for verb in show list hosts stats; do
	check "gateway: $verb as text" run gateway $verb
	check "gateway: $verb as JSON" eval "run gateway $verb --json | jq -e .datapath"
done

# No key of a tunnel is ever printed.
bpftool map update pinned "$PINS/$INSTANCE/gateway/gateway_peer" key 1 0 0 0 value \
	0xde 0xad 0xbe 0xef 0xde 0xad 0xbe 0xef 0xde 0xad 0xbe 0xef 0xde 0xad 0xbe 0xef \
	0 0 0 0 0 0 0 0 0 0 0xff 0xff 192 0 2 1 0 0 0 0 0 0 0 0 0 0 0xff 0xff 203 0 113 9 \
	0x17 0xc1 0x9c 0x40 7 0 0 0 1 0 0 0 2 0 0 0 0 1 2 0 0 0 0 2 0xdc 5 1 0 0 0 0 0
equal "gateway: a peer is shown" "$(run gateway show --json | jq -r '.peers[0] | "\(.peer) \(.remote.address) \(.remote.port) \(.up)"')" "1 203.0.113.9 40000 true"
refuse "gateway: without its key" eval "{ run gateway show; run gateway show --json; } | grep -i 'dead\|16045690984503098046\|key'"
run gateway detach

# ---- offloads at tc

in_ns box ethtool -K eth0 gro on
refused "tc: GRO is refused" 1 "eth0: mode tc needs packets of the wire.*ethtool -K eth0 gro off" attach waypoint --mode tc
in_ns box ethtool -K eth0 gro off
refused "tc: a veth peer elsewhere cannot be asked" 1 "eth0: mode tc needs whole checksums.*--trust-offloads" attach waypoint --mode tc
in_ns box ip link add eth2 type veth peer name eth3
in_ns box ethtool -K eth2 gro off
refused "tc: a peer that leaves checksums unfinished" 1 "its peer eth3 leaves them unfinished.*ethtool -K eth3 tx off" \
	run waypoint attach --dev eth2 --mode tc
in_ns box ethtool -K eth3 tx off >/dev/null
check "tc: a peer that finishes them" run waypoint attach --dev eth2 --mode tc
run waypoint detach
equal "tc: nothing remains" "$(remains waypoint)" ""

# ---- replace under traffic: every echo request is answered and counted

SENT=0 ANSWERED=0
ping_through() { # NOUN
	local pinger
	spawn right ping.log ping -qi0.005 -W2 198.51.100.2
	pinger=$SPAWNED
	for _ in 1 2 3 4 5; do
		sleep 0.2
		run "$1" attach --replace
	done
	sleep 0.2
	end "$pinger" INT
	read -r SENT ANSWERED < <(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 \2/p' "$TMP/ping.log")
}
for noun in waypoint gateway; do
	for mode in tc xdp; do
		attach $noun --mode $mode --trust-offloads 2>/dev/null
		wait_for 20 in_ns right ping -qc1 -W0.5 198.51.100.2 # neighbours are found
		old=$(programs $noun)
		ping_through $noun
		at_least "$noun, $mode: replace: echo requests meanwhile" "$SENT" 100
		at_least "$noun, $mode: replace: all are answered, but the last" "$ANSWERED" $((SENT - 1))
		at_least "$noun, $mode: replace: every one was seen" "$(counted $noun)" $((2 * SENT - 2))
		refuse "$noun, $mode: replace: programs are new" test "$old" = "$(programs $noun)"
		run $noun detach
	done
done

# ---- refusals

for noun in waypoint gateway; do
	for verb in show list stats detach; do
		refused "$noun, not attached: $verb" 3 "not attached.*attach" run $noun $verb
	done
	# shellcheck disable=SC2046
	refused "$noun: a device that is not there" 1 "eth9: no such device.*ip link" \
		run $noun attach "--$([ "$noun" = waypoint ] && echo dev || echo uplink)" eth9 \
		$([ "$noun" = waypoint ] || echo --lan eth1) --mode xdp
	equal "$noun: it leaves nothing" "$(remains $noun)" ""
done
refused "waypoint: no device" 2 "--dev DEV is needed" run waypoint attach
refused "gateway: no LAN" 2 "--lan DEV is needed" run gateway attach --uplink eth0
refused "gateway: no uplink" 2 "--uplink DEV is needed" run gateway attach --lan eth0
refused "gateway: a device on both sides" 2 "cannot be uplink and LAN at once" run gateway attach --uplink eth0 --lan eth0 --mode xdp
for prefix in 64:ff9b:: 64:ff9b::/95 ::/96 64:ff9b::1/96 nonsense/96; do
	refused "gateway: --prefix64 $prefix" 2 "an IPv6 prefix of 96 bits" attach gateway --mode xdp --prefix64 $prefix
done
equal "nothing remains at all" "$(remains waypoint)$(remains gateway)" ""
