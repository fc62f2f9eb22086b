#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# `isthmus splice`: attaching in each mode, reading, replacing under traffic, detaching, refusals.
#
#   left eth0 ──── eth0 relay eth1 ──── eth0 right
#   192.0.2.2     192.0.2.1   198.51.100.1     198.51.100.2
#   2001:db8:1::2  ::1         2001:db8:2::1     ::2

. "${0%/*}/lib/net.sh"
need jq bpftool ethtool python3

# ---- the network

net_ns left relay right
net_link left eth0 192.0.2.2/24,2001:db8:1::2/64 relay eth0 192.0.2.1/24,2001:db8:1::1/64
net_link right eth0 198.51.100.2/24,2001:db8:2::2/64 relay eth1 198.51.100.1/24,2001:db8:2::1/64
net_route left default 192.0.2.1 2001:db8:1::1
net_route right default 198.51.100.1 2001:db8:2::1
net_forward relay

RELAY=(in_ns relay isthmus)
DIR=$PINS/$INSTANCE/splice

splice() { "${RELAY[@]}" splice "$@" --instance "$INSTANCE"; }
attach() { splice attach --dev eth0 --dev eth1 --address 192.0.2.1 --address 198.51.100.1 "$@"; }
exits() { # CODE cmd...: its exit code and one line on stderr that it leaves in $TMP/stderr
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
	if [ "$(grep -vc warning: "$TMP/stderr")" != 1 ] || [ -s "$TMP/stdout" ]; then
		not_ok "$name" "not one line: $(cat "$TMP/stderr" "$TMP/stdout")"
	else
		ok "$name"
	fi
}
# What is left of us: pins, links, filters and qdiscs on the relay's devices.
remains() {
	[ ! -e "$PINS/$INSTANCE" ] || echo "$PINS/$INSTANCE"
	local dev
	for dev in eth0 eth1; do
		in_ns relay tc qdisc show dev "$dev" | grep clsact || true
		in_ns relay bpftool net show dev "$dev" 2>/dev/null | grep -o 'splice_[a-z]*' || true
	done
}
program() { # DEV HOOK: id of our program there
	splice show --json | jq --arg dev "$1" --arg hook "$2" '
		(.devices[] | select(.device == $dev).ifindex) as $i |
		.attachments[] | select(.ifindex == $i and .hook == $hook).program'
}

# ---- every mode

in_ns left ethtool -K eth0 tx off gro on >/dev/null
in_ns right ethtool -K eth0 tx off gro on >/dev/null

for mode in xdp xdp-generic tc tc+clsact xdp+clsact; do
	flags=(--mode "${mode%+clsact}")
	[ "${mode%+clsact}" = "$mode" ] || flags+=(--clsact)
	check "attach $mode" attach "${flags[@]}"
	equal "show: $mode on both devices" \
		"$(splice show --json | jq -r '[.devices[] | .device + " " + .mode] | sort | join(",")')" \
		"eth0 ${mode%+clsact},eth1 ${mode%+clsact}"
	case $mode in
	xdp*) at_least "$mode: XDP program runs" "$(program eth0 xdp)" 1 ;;
	*) equal "$mode: no XDP program" "$(program eth0 xdp)" "" ;;
	esac
	at_least "$mode: tc program runs" "$(program eth1 tc)" 1
	check "$mode: other traffic passes" in_ns left ping -qc2 -i0.1 -W1 198.51.100.2
	at_least "$mode: and is counted" "$(splice stats --json |
		jq '.reasons[] | select(.reason == "OTHER").packets')" 4
	check "$mode: detach" splice detach
	equal "$mode: nothing remains" "$(remains)" ""
done

# ---- auto tells what it chose

attach 2>"$TMP/auto"
equal "auto: tc on veth" "$(splice show --json | jq -r '[.devices[].mode] | unique | join(",")')" tc
check "auto: says why, a line for each device" test "$(grep -c 'mode tc (veth' "$TMP/auto")" = 2
refused "attach twice" 1 "already attached.*--replace" attach --mode tc

# ---- reading

for verb in show list rendezvous stats; do
	check "$verb: text" splice "$verb"
	check "$verb: JSON is one object" eval "splice $verb --json | jq -es 'length == 1 and .[0].datapath == \"splice\"'"
done
# Others' instances may be unreadable, which is its exit code but not its output.
status() { isthmus status --json 2>"$TMP/stderr" || true; }
equal "status: JSON has the instance" "$(status |
	jq --arg i "$INSTANCE" '[.datapaths[] | select(.instance == $i and .datapath == "splice" and .devices == 2)] | length')" 1
equal "stats: every reason of maps/splice.h" "$(splice stats --json | jq -r '[.reasons[].reason] | join(" ")')" \
	"$(sed -n 's/^\tX(\([A-Z_]*\),.*/\1/p' "$SELFTESTS/../maps/splice.h" | paste -sd' ')"
equal "show: addresses and the default ports" "$(splice show --json | jq -c '[.addresses[] | [.address, .low, .high]] | sort')" \
	'[["192.0.2.1",10000,32767],["198.51.100.1",10000,32767]]'
splice detach
attach --mode tc --address 2001:db8:1::1 --address 2001:db8:2::1 --ports 2000-9999
equal "conf: the namespace" "$(splice show --json | jq .netns)" "$(in_ns relay stat -Lc %i /proc/self/ns/net)"
splice list --json >"$TMP/inside"
isthmus splice list --json --instance "$INSTANCE" >"$TMP/outside"
check "list: the same from another namespace" cmp "$TMP/inside" "$TMP/outside"

nobody=(in_ns relay setpriv --reuid=65534 --clear-groups /proc/self/fd/9)
refused "no privileges: list" 1 "no privileges" "${nobody[@]}" splice list --json --instance "$INSTANCE" 9<"$B/isthmus"
refused "no privileges: replace" 1 "no privileges" "${nobody[@]}" splice attach --replace --instance "$INSTANCE" 9<"$B/isthmus"
full() { splice stats "$@" >/dev/full; }
refused "output that cannot be written" 1 "standard output" full
refused "output that cannot be written, JSON" 1 "standard output" full --json

# Sessions and sides, written as the datapath and an agent would.
fill() { python3 "$SELFTESTS/lib/splice_fill.py" "$DIR" "$@" | bpftool batch file - >/dev/null; }
session() { splice list --json | jq -c --arg at "$1" '.sessions[] | select(.subscriber.address == $at)'; }

fill session 192.0.2.2:4001 192.0.2.1:2001 198.51.100.2:4002 198.51.100.1:2002 tcp acked acked 42
fill session 192.0.2.3:4001 192.0.2.1:2003 198.51.100.3:4001 198.51.100.1:2003 tcp acked+pure acked+pure 43
fill session 192.0.2.4:4001 192.0.2.1:2004 198.51.100.4:4001 198.51.100.1:2004 tcp acked none 0
fill session 192.0.2.5:4001 192.0.2.1:2005 198.51.100.5:4001 198.51.100.1:2005 tcp acked+fin acked 0
fill session 192.0.2.6:4001 192.0.2.1:2006 198.51.100.6:4001 198.51.100.1:2006 tcp acked+fin acked+fin 0
fill session 192.0.2.7:4001 192.0.2.1:2007 198.51.100.7:4001 198.51.100.1:2007 tcp acked+fin acked+rst 0
fill session 192.0.2.8:4001 192.0.2.1:2008 198.51.100.8:4001 198.51.100.1:2008 udp none none 0
fill session 2001:db8:1::2:4001 2001:db8:1::1:2009 2001:db8:2::2:4001 2001:db8:2::1:2009 tcp acked acked 0

equal "list: all sessions" "$(splice list --json | jq '.sessions | length')" 8
equal "list: both ends" "$(session 192.0.2.2 | jq -r '[.subscriber, .subscriber_at, .provider, .provider_at] |
	map("\(.address):\(.port)") | join(" ")')" "192.0.2.2:4001 192.0.2.1:2001 198.51.100.2:4002 198.51.100.1:2002"
equal "list: packets and bytes each way" \
	"$(session 192.0.2.2 | jq -c '[.packets_up, .bytes_up, .packets_down, .bytes_down]')" "[11,1100,22,2200]"
equal "list: session's id, age and idle" "$(session 192.0.2.2 |
	jq -c '[.session, (.age >= 90 and .age < 190), (.idle >= 5 and .idle < 105)]')" '["000000000000002a",true,true]'
equal "list: age unknown without its rendezvous" "$(session 192.0.2.4 | jq -c '[.session, .age]')" "[null,null]"
state=2
for want in established:passive established:pure syn-rcvd:passive close-wait:passive time-wait:passive reset:passive \
	established:passive; do
	equal "list: 192.0.2.$state is $want" "$(session 192.0.2.$state | jq -r '.state + ":" + .mode')" "$want"
	state=$((state + 1))
done
documented() { sed -n "/^\.It Li $1\$/{n;p}" "$SELFTESTS/../docs/isthmus-splice.8"; }
for list in show:devices show:attachments show:addresses show:tables list:sessions rendezvous:rendezvous stats:reasons; do
	equal "isthmus-splice(8) has the members of ${list#*:}" "$(documented "${list#*:}")" \
		"$(splice "${list%:*}" --json | jq -r ".${list#*:}[0] | keys_unsorted | join(\" \")")"
done
equal "list: protocol and family" "$(splice list --json | jq -r '[.sessions[] | .proto + .family] | sort | join(" ")')" \
	"tcp4 tcp4 tcp4 tcp4 tcp4 tcp4 tcp6 udp4"
equal "list: only an address" "$(splice list --json --address 198.51.100.5 | jq -r '.sessions[].subscriber.address')" \
	192.0.2.5
equal "list: only an address that is nowhere" "$(splice list --json --address 203.0.113.9 | jq '.sessions | length')" 0
equal "list: a line of text each" "$(splice list | grep -c ' 198\.51\.100\.\|2001:db8:2::2')" 8
equal "rendezvous: sides of two announced pairs" "$(splice rendezvous --json | jq -c '[.rendezvous[] |
	[.session, .side, .at.port, .expected, .state]] | sort | .[0:2]')" \
	'[["000000000000002a","provider",2002,"198.51.100.2","syn-rcvd"],["000000000000002a","subscriber",2001,"192.0.2.2","syn-rcvd"]]'
equal "show: fill of the tables" "$(splice show --json | jq -c '[.tables[] | select(.table | test("leg|side|join")) | .entries]')" \
	"[16,4,2]"
equal "show: four addresses of 8000 ports, TCP and UDP" \
	"$(splice show --json | jq '.tables[] | select(.table == "splice_leg").capacity')" 64000
equal "status: sessions" "$(status | jq --arg i "$INSTANCE" '.datapaths[] | select(.instance == $i).sessions')" 8
equal "bpftool: fields have names" "$(bpftool -j map dump pinned "$DIR/splice_leg" |
	jq '[.[].formatted.value | select(.state == 1 and has("new_src") and .bytes > 0)] | length')" 16

# Many.
many() { splice list --json | jq '[.sessions[] | select(.subscriber.port >= 20000)] | length'; }
fill many 3000
equal "list: 3000 more sessions, each once" "$(many)" 3000
equal "list: no session twice" "$(splice list --json | jq '[.sessions[].subscriber] | length - (unique | length)')" 0

# ---- replacing

old=$(program eth0 tc)
check "replace without a change" splice attach --replace
new=$(program eth0 tc)
check "replace: another program, the same link" test "$old" != "$new"
equal "replace: sessions stay" "$(splice list --json | jq '.sessions | length')" 3008
equal "replace: settings stay" "$(splice show --json | jq -c '[.half_open, .tcp_idle, .udp_idle]')" "[21,7440,300]"
check "replace: other times" splice attach --replace --half-open 5 --tcp-idle 100 --udp-idle 50
equal "replace: other times are there" "$(splice show --json | jq -c '[.half_open, .tcp_idle, .udp_idle]')" "[5,100,50]"
addresses() { splice show --json | jq -r '[.addresses[] | "\(.address):\(.low)-\(.high)"] | sort | join(" ")'; }
was=$(addresses)
refused "replace: one address too many" 1 "203.0.113.1: no room" splice attach --replace --address 192.0.2.1 \
	--address 198.51.100.1 --address 2001:db8:1::1 --address 2001:db8:2::1 --address 203.0.113.1 --ports 2000-9999
refused "replace: an address in the place of one with sessions" 1 "203.0.113.1: no room" \
	splice attach --replace --address 192.0.2.1 --address 198.51.100.1 --address 203.0.113.1 --ports 2000-9999
refused "replace keeps the ports" 1 "--replace keeps its ports 2000-9999" splice attach --replace --ports 2000-2999
refused "replace keeps the size" 1 "--rendezvous 7: the attached table has 16384" splice attach --replace --rendezvous 7
equal "replace: the refused ones changed nothing" "$(addresses)" "$was"
check "replace: the size and ports that it has" splice attach --replace --rendezvous 16384 --ports 2000-9999
equal "replace: sessions are where they were" "$(splice list --json | jq '.sessions | length')" 3008
refused "replace keeps the mode" 1 "keeps mode tc" splice attach --replace --mode xdp
refused "replace in another namespace" 1 "another network namespace" \
	in_ns left isthmus splice attach --replace --instance "$INSTANCE"
check "replace: one device less" splice attach --replace --dev eth1
equal "replace: only that device is left" "$(splice show --json | jq -r '[.devices[].device] | join(",")')" eth1
equal "replace: nothing on the other" "$(in_ns relay bpftool net show dev eth0 | grep -c splice_tc || true)" 0
check "replace: one device more" splice attach --replace --dev eth1 --dev eth0
equal "replace: both devices again" "$(splice show --json | jq -r '[.devices[].device] | sort | join(",")')" eth0,eth1
old=$(program eth0 tc)
refused "replace with a device that is not there" 1 "eth9: no such device" \
	splice attach --replace --dev eth0 --dev eth9
equal "replace: the failed one changed nothing" "$(program eth0 tc) $(splice show --json | jq '.devices | length')" "$old 2"
splice detach
equal "replace: nothing remains" "$(remains)" ""

attach --mode tc --ports 2000-2999
check "replace: another address in the place of one" \
	splice attach --replace --address 198.51.100.1 --address 203.0.113.1 --ports 2000-2999
equal "replace: it is there, the other is not" "$(addresses)" "198.51.100.1:2000-2999 203.0.113.1:2000-2999"
check "replace: a smaller one beside none" splice attach --replace --address 203.0.113.2 --ports 2000-2099
equal "replace: the parts do not overlap" "$(bpftool -j map dump pinned "$DIR/splice_local" | jq '[.[].formatted.value.first]')" "$(jq -n '[0]')"
splice detach

# ---- replacing under traffic: a joined session's datagrams, numbered, and the control

bound() { in_ns "$1" ss -Hanu "sport = :$2" | has .; } # connected sockets do not listen
# traffic cmd...: runs it five times while numbered datagrams pass the session; sets SENT and RECEIVED.
traffic() {
	spawn right received.log python3 "$SELFTESTS/lib/udp_count.py" receive 198.51.100.2:4002 198.51.100.1:2002
	local receiver=$SPAWNED
	wait_for 5 bound right 4002
	spawn left sent.log python3 "$SELFTESTS/lib/udp_count.py" send 192.0.2.2:4001 192.0.2.1:2001
	local sender=$SPAWNED
	wait_for 5 bound left 4001
	for _ in 1 2 3 4 5; do
		sleep 0.1
		"$@" >"$TMP/check.log" 2>&1
	done
	sleep 0.1
	kill -TERM "$sender"
	wait "$sender" "$receiver"
	SENT=$(cat "$TMP/sent.log") RECEIVED=$(cat "$TMP/received.log")
}
exchange() { splice attach --replace; }
away_and_back() { # the control: detaching and attaching does lose packets and sessions
	splice detach
	attach --mode "$mode" --ports 2000-2999 "${clsact[@]}" 2>/dev/null
	joined
}
mac() { in_ns "$1" ip -j link show "$2" | jq -r '.[0].address'; }
index() { in_ns "$1" ip -j link show "$2" | jq '.[0].ifindex'; }
joined() {
	fill joined 192.0.2.2:4001 192.0.2.1:2001 198.51.100.2:4002 198.51.100.1:2002 udp \
		"$(index relay eth0)" "$(mac left eth0)" "$(mac relay eth0)" \
		"$(index relay eth1)" "$(mac right eth0)" "$(mac relay eth1)"
}

for variant in tc tc+clsact xdp; do
	mode=${variant%+clsact}
	clsact=()
	[ "$mode" = "$variant" ] || clsact=(--clsact)
	attach --mode "$mode" --ports 2000-2999 "${clsact[@]}" 2>/dev/null
	joined
	traffic exchange
	equal "replace under traffic, $variant: all datagrams arrive" "$RECEIVED" "$SENT"
	at_least "replace under traffic, $variant: datagrams meanwhile" "$SENT" 1000
	equal "replace under traffic, $variant: the session counted them and ten ends" \
		"$(splice list --json | jq '.sessions[0].packets_up')" $((SENT + 10))
	if [ "$variant" = tc ]; then
		traffic away_and_back
		at_most "control: detach and attach loses some" "$RECEIVED" $((SENT - 1))
	fi
	splice detach
done

# ---- failed attach, foreign filters

refused "a second device that is not there" 1 "eth9: no such device" \
	splice attach --dev eth0 --dev eth9 --address 192.0.2.1 --mode tc
equal "a failed attach leaves nothing" "$(remains)" ""
in_ns relay ip link add wide type veth peer name narrow
in_ns relay ip link set wide up
in_ns relay bpftool prog load "$B/selftests/loader_foreign.bpf.o" "$PINS-$$" type xdp
in_ns relay ip link set dev eth1 xdp pinned "$PINS-$$"
refused "XDP is taken: says by whom" 1 "eth1: XDP program foreign (id [0-9]*) is there already" \
	attach --mode xdp
equal "the failed second device: nothing on the first" "$(remains)" ""
in_ns relay ip link set dev eth1 xdp off
rm -f "$PINS-$$"

in_ns relay tc qdisc add dev eth0 clsact
in_ns relay tc filter add dev eth0 ingress pref 7 protocol ip u32 match u32 0 0 flowid 1:1
attach --mode tc --clsact
equal "clsact: other filters stay" "$(in_ns relay tc filter show dev eth0 ingress | grep -c 'pref 7 u32 chain 0 $')" 1
in_ns left isthmus splice detach --instance "$INSTANCE" 2>"$TMP/stderr" && not_ok "detach elsewhere" "succeeded"
check "clsact: detach elsewhere tells where to do it" says "nsenter --net="
check "clsact: detach" splice detach
equal "clsact: the foreign filter is left, ours not" \
	"$(in_ns relay tc filter show dev eth0 ingress | grep -c 'pref 7 u32 chain 0 $') $(in_ns relay tc filter show dev eth0 ingress | grep -c bpf || true)" "1 0"
equal "clsact: our qdisc is gone, the foreign one not" \
	"$(in_ns relay tc qdisc show dev eth1 | grep -c clsact || true) $(in_ns relay tc qdisc show dev eth0 | grep -c clsact)" "0 1"
in_ns relay tc qdisc del dev eth0 clsact

attach --mode tc --clsact
in_ns relay tc filter add dev eth1 egress pref 9 protocol ip u32 match u32 0 0 flowid 1:1
splice detach
equal "clsact: our qdisc stays with a foreign filter in it" \
	"$(in_ns relay tc filter show dev eth1 egress | grep -c 'pref 9 u32 chain 0 $')" 1
in_ns relay tc qdisc del dev eth1 clsact

# Its namespace has ended, and the filter with it: detach must not wait for somebody to go there.
net_ns gone
in_ns gone ip link add eth0 type veth peer name eth1
in_ns gone isthmus splice attach --dev eth0 --address 192.0.2.1 --clsact --instance "$INSTANCE" 2>/dev/null
net_remove_ns "$NET-gone"
check "clsact: detach when the namespace is no more" wait_for 5 splice detach
equal "clsact: nothing remains of it" "$(remains)" ""

# ---- virtual devices

in_ns relay ip link add br0 type bridge
in_ns relay ip link set br0 up
splice attach --dev br0 --dev eth0 --address 192.0.2.1 2>"$TMP/stderr"
check "auto: a bridge is not hardware" says "br0: mode tc (not hardware"
splice detach
if in_ns relay ip link add link eth0 name eth0.7 type vlan id 7 2>/dev/null; then
	in_ns relay ip link set eth0.7 up
	attach --mode tc
	equal "a VLAN device is told as its parent and tag" "$(bpftool -j map dump pinned "$DIR/splice_dev" |
		jq -c --argjson i "$(index relay eth0.7)" '[.[].formatted | select(.key == $i).value | [.ifindex, .vlan_proto, .vlan_tci]][0]')" \
		"[$(index relay eth0),$(python3 -c 'import socket; print(socket.htons(0x8100))'),$(python3 -c 'import socket; print(socket.htons(7))')]"
	splice detach
else
	skip "a VLAN device is told as its parent and tag" "this kernel has no VLAN devices"
fi

# ---- an attach that was killed

attach --mode tc --clsact
mv "$DIR" "$PINS/$INSTANCE/splice@new"
check "attach after a killed one" attach --mode tc
equal "its filter is gone" "$(in_ns relay tc filter show dev eth0 ingress | grep -c bpf || true)" 0
splice detach
equal "killed: nothing remains" "$(remains)" ""

# ---- one at a time

attach --mode tc
flock "$PINS/$INSTANCE" sleep 1 &
sleep 0.2
check "waits for the lock" splice attach --replace
wait $!
splice detach

# ---- another ABI

attach --mode tc
python3 "$SELFTESTS/lib/splice_fill.py" "$DIR" abi 999 | bpftool batch file - >/dev/null
refused "another ABI: list" 1 "of another version" splice list --json
refused "another ABI: replace" 1 "of another version" splice attach --replace
exits 1 isthmus status --json && ok "another ABI: status says so" || not_ok "another ABI: status says so" "$(cat "$TMP/stderr")"
check "another ABI: status shows the others" jq -e .datapaths "$TMP/stdout"
check "another ABI: detach" splice detach
equal "another ABI: nothing remains" "$(remains)" ""

# ---- refusals

bare=(in_ns relay setpriv --bounding-set=-all --inh-caps=-all)
refused "no privileges: attach" 1 "no privileges.*as root" \
	"${bare[@]}" isthmus splice attach --dev eth0 --address 192.0.2.1 --instance "$INSTANCE"
refused "no BPF file system" 1 "no BPF file system.*mount -t bpf" \
	unshare -m sh -c "umount -l /sys/fs/bpf; exec isthmus splice attach --dev lo --address 192.0.2.1 --instance $INSTANCE"
in_ns relay ip tuntap add tun0 mode tun
refused "not Ethernet" 1 "tun0: not an Ethernet device" \
	splice attach --dev tun0 --address 192.0.2.1
for verb in show list rendezvous stats detach; do
	refused "not attached: $verb" 3 "not attached" splice "$verb"
done
refused "replace of nothing without words" 2 "--dev DEV is needed" splice attach --replace
check "replace of nothing is an attach" attach --replace --mode tc
splice detach

equal "nothing remains at all" "$(remains)" ""
equal "status of nothing" "$(status | jq --arg i "$INSTANCE" '[.datapaths[] | select(.instance == $i)] | length')" 0

while IFS='|' read -r name pattern words; do
	# shellcheck disable=SC2086
	refused "usage: $name" 2 "$pattern" isthmus $words
done <<-'TABLE'
	nothing|a command is needed|
	unknown datapath|nosuch: no such datapath|nosuch attach
	no verb|a verb is needed|splice
	unknown verb|no verb nosuch|splice nosuch
	unknown option|--nosuch: no such option|splice attach --nosuch
	option of another verb|--dev: no such option|splice list --dev eth0
	a word|eth0: an option is needed|splice attach eth0
	no device|--dev DEV is needed|splice attach --address 192.0.2.1
	no address|--address ADDR is needed|splice attach --dev eth0
	option without value|--dev: DEV is needed|splice attach --dev
	flag with value|--replace: takes no value|splice attach --replace=1
	device twice|eth0: given twice|splice attach --dev eth0 --dev eth0
	device name too long|not the name of a network device|splice attach --dev abcdefghijklmnop
	device name with slash|not the name of a network device|splice attach --dev a/b
	address twice|192.0.2.1: given twice|splice attach --address 192.0.2.1 --address 192.0.2.1
	not an address|--address 192.0.2: not a unicast|splice attach --address 192.0.2
	multicast|not a unicast|splice attach --address 224.0.0.1
	multicast 6|not a unicast|splice attach --address ff02::1
	mapped|not a unicast|splice attach --address ::ffff:192.0.2.1
	any|not a unicast|splice attach --address ::
	ports backwards|above the last|splice attach --ports 2000-1000
	port zero|from 1 to 65535|splice attach --ports 0-10
	port too high|from 1 to 65535|splice attach --ports 1-65536
	one port|LOW-HIGH is needed|splice attach --ports 1000
	ports with sign|from 1 to 65535|splice attach --ports 1-+5
	mode|one of auto.xdp.xdp-generic.tc|splice attach --mode fast
	instance with dot|1 to 32 of|splice list --instance a.b
	instance empty|1 to 32 of|splice list --instance=
	instance of 33|1 to 32 of|splice list --instance abcdefghijklmnopqrstuvwxyz0123456
	instance named as a datapath|cannot be an instance|splice list --instance splice
	rendezvous zero|a number from 1 to|splice attach --rendezvous 0
	rendezvous too many|a number from 1 to|splice attach --rendezvous 4194305
	rendezvous overflow|a number from 1 to|splice attach --rendezvous 4294967297
	seconds negative|a number from 1 to|splice attach --tcp-idle -1
	seconds with letters|a number from 1 to|splice attach --udp-idle 10s
	json of attach|--json: no such option|splice attach --json
	status with a word|an option is needed|status all
	version with a word|no word is needed|version all
TABLE
for words in help --help -h "splice --help" "splice help" "splice attach --help" "splice list -h" "status --help" version; do
	# shellcheck disable=SC2086
	check "on stdout, exit 0: $words" eval "isthmus $words 2>&1 >$TMP/stdout | wc -c | has -x 0 && test -s $TMP/stdout"
done
[ "$NET_FAILED" = 0 ]
