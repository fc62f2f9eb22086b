#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# `isthmus portarp`: attaching in each role and mode, reading, replacing under traffic, detaching, refusals.
#
#   left eth0 ──── eth0 box eth1 ──── eth0 right
#   198.51.100.2   198.51.100.1   192.0.2.254     192.0.2.100
#
# The box is a gateway; a bridge, with both devices as ports of br0; a host on eth1.

. "${0%/*}/lib/net.sh"
need jq bpftool ethtool python3

# ---- the network

net_ns left box right
net_link left eth0 198.51.100.2/24 box eth0 198.51.100.1/24
net_link right eth0 192.0.2.100/24 box eth1 192.0.2.254/24
net_route left default 198.51.100.1
net_route right default 192.0.2.254
net_forward box
net_xdp_ready left eth0
net_xdp_ready right eth0
DIR=$PINS/$INSTANCE/portarp
HOST_MAC=02:00:00:00:00:34 OTHER_MAC=02:00:00:00:00:35

portarp() { in_ns box isthmus portarp "$@" --instance "$INSTANCE"; }
words_of() { # ROLE
	case $1 in
	host) echo --role host --lan eth1 ;;
	*) echo --role "$1" --uplink eth0 --lan eth1 ;;
	esac
}
attach() { # ROLE [OPTION...]
	local role=$1
	shift
	# shellcheck disable=SC2046
	portarp attach $(words_of "$role") "$@"
}
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
	if [ "$(grep -vc "warning:\|: mode tc" "$TMP/stderr")" != 1 ] || [ -s "$TMP/stdout" ]; then
		not_ok "$name" "not one line: $(cat "$TMP/stderr" "$TMP/stdout")"
	else
		ok "$name"
	fi
}
# What is left of us: pins, links, filters and qdiscs on the box's devices, programs of binds.
remains() {
	local dev
	[ ! -e "$PINS/$INSTANCE" ] || echo "$PINS/$INSTANCE"
	for dev in eth0 eth1; do
		in_ns box tc qdisc show dev "$dev" | grep clsact || true
		in_ns box bpftool net show dev "$dev" 2>/dev/null | grep -o 'portarp_[a-z_]*' || true
	done
	binds
}
# Bind programs of ours on the cgroup of this story alone: others' stories have theirs.
CGROUP_ROOT=$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
CGROUP=
if [ -n "$CGROUP_ROOT" ] && mkdir "$CGROUP_ROOT/$NET" 2>/dev/null; then CGROUP=$CGROUP_ROOT/$NET; fi
story_end() { [ -z "$CGROUP" ] || rmdir "$CGROUP"; }
binds() { [ -z "$CGROUP" ] || bpftool cgroup show "$CGROUP" 2>/dev/null | grep -o 'portarp_bind[46]' || true; }
attached() { # DEV: hooks of our programs there, "xdp out"
	portarp show --json | jq -r --arg dev "$1" '(.devices[] | select(.device == $dev).ifindex) as $i |
		[.attachments[] | select(.ifindex == $i).hook] | join(" ")'
}
kinds() { portarp show --json | jq -r '[.attachments[].by] | unique | join(" ")'; }
programs() { portarp show --json | jq -c '[.attachments[].program]'; }
counted() { portarp stats --json | jq '[.reasons[].packets] | add'; }

# ---- every role and mode

bridged() { # on|off
	if [ "$1" = on ]; then
		in_ns box ip link add br0 type bridge
		in_ns box ip link set br0 up
		in_ns box ip link set eth0 master br0
		in_ns box ip link set eth1 master br0
	else
		in_ns box ip link del br0
		# The box answers ARP for its addresses on br0 too, whose MAC is one of its ports': the other end
		# may have learned the wrong one.
		in_ns left ip neigh flush all
		in_ns right ip neigh flush all
	fi
}

# expected ROLE MODE DEV: what stands there
expected() {
	local hook=xdp
	[ "$2" != tc ] || hook=tc
	case $1:$3 in
	host:eth0) ;;
	gateway:eth0 | bridge:eth1) echo $hook ;;
	*) echo "$hook out" ;;
	esac
}

each_mode() { # ROLE MODE: with +clsact
	local role=$1 mode=${2%+clsact} before options=(--mode "${2%+clsact}") by
	local name="$1, $2"
	by=$([ "$mode" = tc ] || echo "link ")tcx
	if [ "$mode" != "$2" ]; then
		options+=(--clsact)
		by=${by/tcx/clsact}
		[ "$mode" = tc ] || by="clsact link"
	fi
	[ "$role" != host ] || options+=(--cgroup "$CGROUP")
	check "$name: attach" attach "$role" "${options[@]}"
	equal "$name: role" "$(portarp show --json | jq -r .role)" "$role"
	equal "$name: sides" "$(portarp show --json | jq -r '[.devices[] | .device + ":" + .side + ":" + .mode] | join(" ")')" \
		"$([ "$role" = host ] || echo "eth0:uplink:$mode ")eth1:lan:$mode"
	[ "$role" = host ] || equal "$name: what stands on the uplink" "$(attached eth0)" "$(expected "$role" "$mode" eth0)"
	equal "$name: what stands on the LAN" "$(attached eth1)" "$(expected "$role" "$mode" eth1)"
	equal "$name: by" "$(kinds)" "$by"
	equal "$name: binds" "$(binds | sort | paste -sd' ')" "$([ "$role" = host ] && echo "portarp_bind4 portarp_bind6")"
	before=$(counted)
	if [ "$role" = host ]; then
		check "$name: other traffic passes" in_ns box ping -qc2 -i0.1 -W2 192.0.2.100
	else
		check "$name: other traffic passes" in_ns left ping -qc2 -i0.1 -W2 192.0.2.100
	fi
	at_least "$name: and is counted" $(($(counted) - before)) 4
	check "$name: detach" portarp detach
	equal "$name: nothing remains" "$(remains)" ""
}

MODES="xdp xdp-generic tc tc+clsact xdp+clsact"
for mode in $MODES; do each_mode gateway "$mode"; done
bridged on
# With br0 in between left and right are on one link.
in_ns left ip addr add 192.0.2.101/24 dev eth0
for mode in $MODES; do each_mode bridge "$mode"; done
bridged off
in_ns left ip addr del 192.0.2.101/24 dev eth0
if [ -n "$CGROUP" ]; then
	for mode in $MODES; do each_mode host "$mode"; done
else
	skip "host in each mode" "no cgroup2 that can be written"
fi

# ---- auto tells what it chose, warnings

attach gateway 2>"$TMP/stderr"
equal "auto: tc on veth" "$(portarp show --json | jq -r '[.devices[].mode] | unique | join(",")')" tc
check "auto: says why, a line for each device" test "$(grep -c 'mode tc (veth' "$TMP/stderr")" = 2
refused "attach twice" 1 "already attached.*--replace.*detach" attach gateway --mode tc
portarp detach
attach bridge 2>"$TMP/stderr"
check "bridge: a device without a bridge is told" test "$(grep -c 'warning: it is no port of a bridge.*master' "$TMP/stderr")" = 2
portarp detach
bridged on
attach bridge 2>"$TMP/stderr"
equal "bridge: no warning with one" "$(grep -c 'no port of a bridge' "$TMP/stderr" || true)" 0
portarp detach
bridged off
in_ns box sysctl -qw net.ipv4.conf.eth0.forwarding=0
attach gateway 2>"$TMP/stderr"
check "gateway: forwarding off is told" says "eth0: warning: IPv4 forwarding is off.*sysctl"
portarp detach
in_ns box sysctl -qw net.ipv4.conf.eth0.forwarding=1

# ---- what attach writes

attach gateway --mode tc --op-request 300 --op-reply 301 --addresses 3 --owners 1000 --blocks 2 --watch 3 --flows 70
conf() { bpftool -j map dump pinned "$DIR/portarp_conf" | jq -c ".[0].formatted.value | $1"; }
index() { in_ns "$1" ip -j link show "$2" | jq '.[0].ifindex'; }
mac() { in_ns "$1" ip -j link show "$2" | jq -r '.[0].address'; }
equal "conf: abi, role, links, generation" "$(conf '[.abi, .role, .links, .generation]')" "[1,1,2,0]"
equal "conf: operations, in wire order" "$(conf '[.op_request, .op_reply]')" \
	"$(python3 -c 'import socket; print("[%d,%d]" % (socket.htons(300), socket.htons(301)))')"
equal "conf: times" "$(conf '[.echo_ns, .ident_ns, .proto_ns, .frag_ns] | map(. / 1e9 | floor)')" "[60,60,600,30]"
equal "conf: the namespace" "$(conf .netns)" "$(in_ns box stat -Lc %i /proc/self/ns/net)"
equal "conf: its cookie" "$(conf .netns_cookie)" \
	"$(in_ns box python3 -c 'import socket; print(int.from_bytes(socket.socket().getsockopt(socket.SOL_SOCKET, 71, 8), "little"))')"
equal "conf: links" "$(conf '[.link[] | select(.ifindex > 0) | [.ifindex, .mtu, .side, .hook]]')" \
	"[[$(index box eth0),1500,1,1],[$(index box eth1),1500,2,1]]"
equal "conf: MACs" "$(portarp show --json | jq -r '[.devices[].mac] | join(" ")')" "$(mac box eth0) $(mac box eth1)"
equal "conf: nothing of an uplink above, no own addresses" "$(conf '[.up_ifindex, (.up_mac | add), (.own | add)]')" "[0,0,0]"
capacity() { portarp show --json | jq -c "[.tables[] | select(.table == \"portarp_$1\") | .capacity]"; }
equal "sizes: addresses, owners, sharers, own, flows" \
	"$(capacity addr) $(capacity owner) $(capacity sharer) $(capacity mine) $(capacity flow)" "[3] [1000] [1000] [3] [70]"
equal "sizes: blocks of 65536 ports, 4096 words for a watched address" "$(capacity port) $(capacity use)" "[131072] [12288]"

# ---- reading: nothing yet, then entries as an agent writes them

for verb in show list stats; do
	check "$verb: text" portarp "$verb"
	check "$verb: JSON is one object" eval "portarp $verb --json | jq -es 'length == 1 and .[0].datapath == \"portarp\"'"
done
equal "list: nobody" "$(portarp list --json | jq -c .owners)" "[]"
equal "stats: every reason of maps/portarp.h" "$(portarp stats --json | jq -r '[.reasons[].reason] | join(" ")')" \
	"$(sed -n 's/^\tX(\([A-Z_]*\),.*/\1/p' "$SELFTESTS/../maps/portarp.h" | paste -sd' ')"
# Others' instances may be unreadable, which is its exit code but not its output.
status() { in_ns box isthmus status "$@" 2>"$TMP/stderr" || true; }
equal "status: the instance" "$(status --json | jq -c --arg i "$INSTANCE" '.datapaths[] | select(.instance == $i) |
	[.datapath, .role, .mode, .devices, .addresses, .known, .in_this_netns]')" '["portarp","gateway","tc",2,0,0,true]'
in_ns box isthmus splice attach --dev eth0 --address 198.51.100.1 --mode tc --instance "$INSTANCE" 2>/dev/null
equal "status: text has headings for each datapath" \
	"$(status | grep -c '^DATAPATH .* ROLE \|^DATAPATH .* SESSIONS ')" 2
in_ns box isthmus splice detach --instance "$INSTANCE"

fill() { python3 "$SELFTESTS/lib/portarp_fill.py" "$DIR" | bpftool batch file - >/dev/null; }
fill <<-LINES
	address 192.0.2.2 0 1 300
	address 192.0.2.1 6 8 0 1 1
	owner 0-255 00:00:00:00:00:00 none
	owner 52 $HOST_MAC known
	owner 53 $OTHER_MAC stale
	owner 54 00:00:00:00:00:00 asked 3
	owner 55 $OTHER_MAC up
	owner 256 $HOST_MAC known
	ports 1 80 80 256
	owner 257 $HOST_MAC known
	ports 1 60000 60009 257
LINES
rows() { portarp list --json "$@" | jq -c '.owners[] | [.address, .psid, .count, .state, .waiting]'; }
equal "list: sets by address, then ranges" "$(rows | paste -sd' ')" \
	'["192.0.2.1",52,252,"known",0] ["192.0.2.1",53,252,"stale",0] ["192.0.2.1",54,252,"waiting",3] ["192.0.2.1",55,252,"uplink",0] ["192.0.2.1",null,1,"known",0] ["192.0.2.1",null,10,"known",0] ["192.0.2.2",0,32768,"unknown",0] ["192.0.2.2",1,32768,"unknown",0]'
equal "list: only an address" "$(rows --address 192.0.2.2 | wc -l)" 2
equal "list: only one that is nowhere" "$(rows --address 192.0.2.9 | wc -l)" 0
ports() { portarp "$@" --json | jq -r '.owners[0].ports'; }
want_ports=$(python3 -c 'print(",".join("%d-%d" % (i << 10 | 52 << 2, i << 10 | 52 << 2 | 3) for i in range(1, 64)))')
equal "list: all ranges of a set in JSON" "$(ports list)" "$want_ports"
equal "list: the first ones in text" "$(portarp list | grep -c "$HOST_MAC.* 1232-1235,2256-2259,3280-3283,... (63)\$")" 1
# who ENDPOINT: MAC, psid, state of the answer
who() { portarp who "$1" --json | jq -c '.owners[] | [.mac, .psid, .state]' | paste -sd' '; }
equal "who: a port of a set" "$(who 192.0.2.1:1232)" "[\"$HOST_MAC\",52,\"known\"]"
equal "who: the first port of another" "$(who 192.0.2.1:1236)" "[\"$OTHER_MAC\",53,\"stale\"]"
equal "who: a set that waits has no MAC" "$(who 192.0.2.1:1240)" '[null,54,"waiting"]'
equal "who: a set that is given to nobody" "$(who 192.0.2.1:1024)" '[null,0,"none"]'
equal "who: a single port, below all sets" "$(who 192.0.2.1:80)" "[\"$HOST_MAC\",null,\"known\"]"
equal "who: a port of a range" "$(ports who 192.0.2.1:60003)" 60000-60009
equal "who: a range stands above sets" "$(who 192.0.2.1:60010)" "$(python3 -c 'print("[null,%d,\"none\"]" % (60010 >> 2 & 255))')"
equal "who: a whole half" "$(ports who 192.0.2.2:65535)" 32768-65535
equal "who: the reverse has every set and range of a host" "$(who $HOST_MAC)" \
	"[\"$HOST_MAC\",52,\"known\"] [\"$HOST_MAC\",null,\"known\"] [\"$HOST_MAC\",null,\"known\"]"
equal "who: in capitals" "$(who "${HOST_MAC^^}" | wc -w)" 3
equal "who: a host that has nothing" "$(who 02:00:00:00:00:99)" ""
check "who: the word may stand behind options" in_ns box isthmus portarp who --json --instance "$INSTANCE" 192.0.2.1:80
refused "who: no set has the port" 1 "192.0.2.1:81: the port is in no set.*list" portarp who 192.0.2.1:81
refused "who: no shared address" 1 "192.0.2.9:81: not a shared address.*show" portarp who 192.0.2.9:81
# Every port's answer against the sets that the fill gave.
truth() {
	local port
	for port in $(seq 1 997 65535) 1023 1024 1231 1235 59999 60000 60009; do
		portarp who "192.0.2.1:$port" --json 2>/dev/null | jq -r --arg port "$port" '.owners[] | "\($port) \(.psid)"' || true
	done
}
equal "who: a sample of ports against the sets" "$(truth)" "$(python3 - <<-'P'
	for port in list(range(1, 65536, 997)) + [1023, 1024, 1231, 1235, 59999, 60000, 60009]:
	    if 60000 <= port <= 60009 or port == 80:
	        print(port, "null")
	    elif port > 1023:
	        print(port, port // 4 % 256)
P
)"
equal "status: known owners" "$(status --json | jq --arg i "$INSTANCE" '.datapaths[] | select(.instance == $i).known')" 5
entries() { portarp show --json | jq -c "[.tables[] | select(.table == \"portarp_$1\") | .entries]"; }
equal "show: places of owners, blocks, watched addresses" "$(entries owner) $(entries port) $(entries use)" "[260] [65536] [4096]"
equal "show: addresses" "$(portarp show --json | jq -c '.addresses[] | [.address, .offset_bits, .psid_bits, .claims, .ranges, .watched]' | sort | paste -sd' ')" \
	'["192.0.2.1",6,8,"leased",true,true] ["192.0.2.2",0,1,"leased",false,false]'
fill <<<"mine 192.0.2.1 6 8 80 80 52 53"
equal "show: own sets and ranges" "$(portarp show --json | jq -c '.own[] | [.address, .sets, .left, (.ports | split(",") | length), .ports[0:9], .ports[-14:]]')" \
	'["192.0.2.1",2,null,127,"1232-1235","64724-64727,80"]'
portarp list --json >"$TMP/inside"
isthmus portarp list --json --instance "$INSTANCE" >"$TMP/outside"
check "list: the same from another namespace" cmp "$TMP/inside" "$TMP/outside"
equal "show: no device names in another namespace" \
	"$(isthmus portarp show --json --instance "$INSTANCE" | jq -c '[.in_this_netns, .devices[].device]')" "[false,null,null]"
documented() { sed -n "/^\.It Li $1\$/{n;p}" "$SELFTESTS/../docs/isthmus-portarp.8"; }
for list in show:devices show:attachments show:addresses show:own show:tables list:owners stats:reasons; do
	equal "isthmus-portarp(8) has the members of ${list#*:}" "$(documented "${list#*:}")" \
		"$(portarp "${list%:*}" --json | jq -r ".${list#*:}[0] | keys_unsorted | join(\" \")")"
done
equal "bpftool: fields have names" "$(bpftool -j map lookup pinned "$DIR/portarp_owner" key 52 0 0 0 | jq -c '.formatted.value.mac')" "[2,0,0,0,0,52]"
full() { portarp list "$@" >/dev/full; }
refused "output that cannot be written" 1 "standard output" full
refused "output that cannot be written, JSON" 1 "standard output" full --json

# ---- replacing: programs alone

old=$(programs)
check "replace" portarp attach --replace
equal "replace: other programs, as many" "$(jq -n --argjson a "$old" --argjson b "$(programs)" \
	'[($a | length) == ($b | length), ([$a, $b] | transpose | all(.[0] != .[1]))] | all')" true
equal "replace: owners stay" "$(portarp list --json | jq '.owners | length')" 8
equal "replace: settings stay" "$(portarp show --json | jq -c '[.op_request, .op_reply]')" "[300,301]"
old=$(programs)
for words in "--lan eth1" "--uplink eth0" "--role host" "--mode xdp" "--owners 7" "--blocks 1" "--flows 9" "--op-reply 77" "--cgroup /"; do
	# shellcheck disable=SC2086
	refused "replace keeps ${words% *}" 1 "${words% *}: --replace .*detach and attach again" portarp attach --replace $words
done
refused "replace in another namespace" 1 "another network namespace.*nsenter" \
	in_ns left isthmus portarp attach --replace --instance "$INSTANCE"
equal "replace: the refused ones changed nothing" "$(programs)" "$old"
check "replace: the same role may be told" portarp attach --replace --role gateway --mode auto
portarp detach

# Numbered echo requests from right to left through the gateway, five exchanges meanwhile: all are answered.
SENT=0 ANSWERED=0
ping_through() { # cmd...: sets SENT and ANSWERED
	local pinger
	spawn right ping.log ping -qi0.005 -W2 198.51.100.2
	pinger=$SPAWNED
	for _ in 1 2 3 4 5; do
		sleep 0.2
		"$@" >"$TMP/check.log" 2>&1
	done
	sleep 0.2
	end "$pinger" INT
	read -r SENT ANSWERED < <(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 \2/p' "$TMP/ping.log")
}
exchange() { portarp attach --replace; }
for variant in tc tc+clsact xdp; do
	options=(--mode "${variant%+clsact}")
	[ "$variant" = "${variant%+clsact}" ] || options+=(--clsact)
	attach gateway "${options[@]}" 2>/dev/null
	wait_for 20 in_ns right ping -qc1 -W0.5 198.51.100.2 # neighbours are found
	ping_through exchange
	at_least "replace under traffic, $variant: echo requests meanwhile" "$SENT" 100
	at_least "replace under traffic, $variant: all are answered, but the last" "$ANSWERED" $((SENT - 1))
	at_least "replace under traffic, $variant: every one was seen" "$(counted)" $((2 * SENT - 2))
	portarp detach
done

# ---- failed attach, others' programs and filters

refused "a second device that is not there" 1 "eth9: no such device.*ip link" \
	portarp attach --role gateway --uplink eth0 --lan eth9 --mode tc
equal "it leaves nothing" "$(remains)" ""
in_ns box bpftool prog load "$B/selftests/loader_foreign.bpf.o" "$PINS-$$" type xdp
in_ns box ip link set dev eth1 xdp pinned "$PINS-$$"
refused "XDP is taken: says by whom" 1 "eth1: XDP program foreign (id [0-9]*) is there already.*--mode tc" attach gateway --mode xdp
equal "the failed second device: nothing on the first" "$(remains)" ""
check "the foreign program is still there" eval "in_ns box ip link show eth1 | has 'prog/xdp'"
check "tc beside a foreign XDP program" attach gateway --mode tc
portarp detach
in_ns box ip link set dev eth1 xdp off
rm -f "$PINS-$$"
refused "a cgroup that is not there" 1 "--cgroup /nowhere: No such file.*cgroup2" attach host --mode tc --cgroup /nowhere
equal "a failed cgroup leaves nothing" "$(remains)" ""
refused "a directory of another file system" 1 "--cgroup /tmp: it is not in a cgroup2" attach host --mode xdp --cgroup /tmp
equal "it leaves nothing either" "$(remains)" ""

foreign() { in_ns box tc filter show dev "$1" "$2" | grep -c 'u32 chain 0 $' || true; }
in_ns box tc qdisc add dev eth0 clsact
in_ns box tc filter add dev eth0 ingress pref 7 protocol ip u32 match u32 0 0 flowid 1:1
attach gateway --mode tc --clsact
in_ns box tc filter add dev eth1 egress pref 99 protocol ip u32 match u32 0 0 flowid 1:1
equal "clsact: others' filters stay beside ours" "$(foreign eth0 ingress) $(foreign eth1 egress)" "1 1"
refused "clsact: detach elsewhere tells where to do it" 1 "nsenter --net=" \
	in_ns left isthmus portarp detach --instance "$INSTANCE"
check "clsact: detach" portarp detach
equal "clsact: others' filters are left, ours not" \
	"$(foreign eth0 ingress) $(foreign eth1 egress) $(in_ns box tc filter show dev eth0 ingress | grep -c bpf || true) $(in_ns box tc filter show dev eth1 egress | grep -c bpf || true)" "1 1 0 0"
equal "clsact: a qdisc of ours stays with a foreign filter in it" "$(in_ns box tc qdisc show dev eth1 | grep -c clsact)" 1
in_ns box tc qdisc del dev eth0 clsact
in_ns box tc qdisc del dev eth1 clsact

# Its namespace has ended, and the filters with it: detach must not wait for somebody to go there.
net_ns gone
in_ns gone ip link add eth0 type veth peer name eth1
in_ns gone isthmus portarp attach --role gateway --uplink eth0 --lan eth1 --clsact --instance "$INSTANCE" 2>/dev/null
net_remove_ns "$NET-gone"
check "clsact: detach when the namespace is no more" wait_for 5 portarp detach
equal "clsact: nothing remains of it" "$(remains)" ""

# A device that has gone: the others are replaced and detached.
in_ns box ip link add eth2 type veth peer name eth3
portarp attach --role gateway --uplink eth0 --lan eth1 --lan eth2 --mode tc 2>/dev/null
in_ns box ip link del eth2
check "a device is no more: replace" portarp attach --replace
check "a device is no more: detach" portarp detach
equal "a device is no more: nothing remains" "$(remains)" ""

# ---- an attach that was killed, one at a time, another ABI

attach gateway --mode tc --clsact
mv "$DIR" "$PINS/$INSTANCE/portarp@new"
check "attach after a killed one" attach gateway --mode tc
equal "its filters are gone" "$(in_ns box tc filter show dev eth1 egress | grep -c bpf || true)" 0
portarp detach
equal "killed: nothing remains" "$(remains)" ""
attach gateway --mode tc
flock "$PINS/$INSTANCE" sleep 1 &
sleep 0.2
check "waits for the lock" portarp attach --replace
wait $!
fill <<<"abi 999"
refused "another ABI: list" 1 "of another version" portarp list --json
refused "another ABI: replace" 1 "of another version" portarp attach --replace
check "another ABI: detach" portarp detach
equal "another ABI: nothing remains" "$(remains)" ""

# ---- binds: where the root of cgroup2 is, is found

attach host --mode tc 2>/dev/null && ok "host: the cgroup2 mount is found" || not_ok "host: the cgroup2 mount is found" "not attached"
equal "host: bind programs stand at it" "$(bpftool cgroup show "$CGROUP_ROOT" | grep -o 'portarp_bind[46]' | sort -u | paste -sd' ')" \
	"portarp_bind4 portarp_bind6"
check "host: replace" portarp attach --replace
portarp detach
no_cgroup() {
	unshare -m sh -c "umount -l $CGROUP_ROOT; exec nsenter --net=/run/netns/$NET-box isthmus portarp attach \
		--role host --lan eth1 --mode tc --instance $INSTANCE"
}
refused "host: no cgroup2" 1 "no cgroup2 is mounted.*--cgroup" no_cgroup
equal "host: no cgroup2: nothing remains" "$(remains)" ""

# ---- the mapping of RFC 7597, without privileges and pins

nobody() { setpriv --reuid=65534 --clear-groups /proc/self/fd/9 portarp map "$@" 9<"$B/isthmus"; }
# mapped WORD OPTION...: address, PSID, IPv6 address, number of ports, first and last range
mapped() {
	nobody "$@" --json | jq -r '"\(.ipv4) \(.psid) \(.ipv6) \(.count) \(.ranges[0] | "\(.low)-\(.high)") \(.ranges[-1] | "\(.low)-\(.high)")"'
}
EXAMPLE1="--prefix6 2001:db8::/40 --prefix4 192.0.2.0/24 --ea-len 16"
FULL="192.0.2.18 52 2001:db8:12:3400:0:c000:212:34 252 1232-1235 64720-64723"
# shellcheck disable=SC2086
for word in 192.0.2.18:1232 192.0.2.18:64723 2001:db8:12:3400:0:c000:212:34 2001:db8:12:3400::; do
	equal "map: RFC 7597 A examples 1 to 3, $word" "$(mapped $word $EXAMPLE1)" "$FULL"
done
EXAMPLE4="--prefix6 2001:db8:12:3400::/56 --prefix4 192.0.2.18/32"
# shellcheck disable=SC2086
for word in 192.0.2.18 192.0.2.18:80 2001:db8:12:3400:0:c000:212:0 2001:db8:12:3400::; do
	equal "map: RFC 7597 A example 4, $word" "$(mapped $word $EXAMPLE4)" \
		"192.0.2.18 0 2001:db8:12:3400:0:c000:212:0 65536 0-65535 0-65535"
done
# shellcheck disable=SC2086
for word in 192.0.2.18:1232 2001:db8:12:3400:0:c000:212:34; do
	equal "map: RFC 7597 A example 5, $word" "$(mapped $word $EXAMPLE4 --length 8)" "$FULL"
done
# shellcheck disable=SC2086
equal "map: RFC 7599 A example 5 as printed, PSID 0x20, is another set" \
	"$(mapped 2001:db8:12:3400:0:c000:212:20 $EXAMPLE4 --length 8)" \
	"192.0.2.18 32 2001:db8:12:3400:0:c000:212:20 252 1152-1155 64640-64643"
equal "map: openwrt/openwrt#14449, PSID 0x11 at the end of a /48" \
	"$(mapped 2001:db8:4011:: --prefix6 2001:db8:4000::/34 --prefix4 192.0.2.0/24 --ea-len 14 | cut -d' ' -f2,4,5)" "17 1008 1296-1311"
equal "map: a contiguous set" "$(mapped 192.0.2.18:1024 --prefix6 2001:db8::/40 --prefix4 192.0.2.0/24 --ea-len 14 --offset 0)" \
	"192.0.2.18 1 2001:db8:12:400:0:c000:212:1 1024 1024-2047 1024-2047"
equal "map: an IPv4 prefix for each" "$(mapped 192.0.2.18 --prefix6 2001:db8::/40 --prefix4 192.0.2.0/24 --ea-len 4)" \
	"192.0.2.16 0 2001:db8:10::c000:210:0 65536 0-65535 0-65535"
# There and back, over every length of the PSID, by addresses that the other way gave.
there_and_back() {
	local ea address ipv6
	for ea in 8 9 12 16 18; do
		for address in 192.0.2.0:1024 192.0.2.18:1232 192.0.2.255:65535; do
			ipv6=$(nobody $address --prefix6 2001:db8::/40 --prefix4 192.0.2.0/24 --ea-len $ea --json) || return 1
			[ "$(nobody "$(jq -r .ipv6 <<<"$ipv6")" --prefix6 2001:db8::/40 --prefix4 192.0.2.0/24 --ea-len $ea --json)" = "$ipv6" ] || return 1
		done
	done
}
check "map: there and back" there_and_back
check "map: text" nobody 192.0.2.18:1232 --prefix6 2001:db8::/40 --prefix4 192.0.2.0/24 --ea-len 16
equal "isthmus-portarp(8) has the members of ranges" "$(documented ranges)" "low high"
while IFS='|' read -r name code pattern words; do
	# shellcheck disable=SC2086
	refused "map: $name" "$code" "$pattern" nobody $words
done <<-TABLE
	no prefix|2|--prefix4 and --prefix6 are needed|192.0.2.18:1232
	not a prefix|2|--prefix4 192.0.2.0: not an IPv4 prefix|192.0.2.18:1232 --prefix4 192.0.2.0 --prefix6 2001:db8::/40
	length with sign|2|not an IPv4 prefix|192.0.2.18:1232 --prefix4 192.0.2.0/+24 --prefix6 2001:db8::/40
	a long prefix|2|not an IPv6 prefix|192.0.2.18:1232 --prefix4 192.0.2.0/24 --prefix6 2001:db8::/129
	another address|1|not in --prefix4|192.0.3.18:1232 $EXAMPLE1
	another prefix|1|not in --prefix6|2001:db9:: $EXAMPLE1
	a port of nobody|1|ports below 1024 are in no set|192.0.2.18:1023 $EXAMPLE1
	no port|2|ADDRESS:PORT|192.0.2.18 $EXAMPLE1
	a port too high|2|ADDRESS:PORT|192.0.2.18:65536 $EXAMPLE1
	a port with sign|2|ADDRESS:PORT|192.0.2.18:+1232 $EXAMPLE1
	another PSID at the end|1|2001:db8:12:3400:0:c000:212:34 would be right|2001:db8:12:3400:0:c000:212:35 $EXAMPLE1
	another address at the end|1|would be right|2001:db8:12:3400:0:c000:213:34 $EXAMPLE1
	a prefix that does not tell the PSID|1|would be right|2001:db8:12:3400:: $EXAMPLE4 --length 8
	a length that the EA bits contradict|2|--ea-len 16 and --prefix4 make it 8|192.0.2.18:1232 $EXAMPLE1 --length 7
	more bits than a port has|2|more than the 16 of a port|192.0.2.18:1232 $EXAMPLE1 --offset 9
	more bits than an address has|2|--ea-len 48: with --prefix6 of 100 bits, at most 28|192.0.2.18:1 --prefix4 0.0.0.0/0 --prefix6 2001:db8::/100 --ea-len 48 --offset 0
	no word|2|ADDRESS:PORT.IPV6 is needed|$EXAMPLE1
	two words|2|one word is enough|192.0.2.18:1232 192.0.2.19:1232 $EXAMPLE1
TABLE

# ---- refusals

bare=(in_ns box setpriv --bounding-set=-all --inh-caps=-all)
refused "no privileges: attach" 1 "no privileges.*as root" \
	"${bare[@]}" isthmus portarp attach --role host --lan eth1 --instance "$INSTANCE"
in_ns box ip tuntap add tun0 mode tun
refused "not Ethernet" 1 "tun0: not an Ethernet device" portarp attach --role host --lan tun0
for verb in show list stats detach; do
	refused "not attached: $verb" 3 "not attached.*attach" portarp "$verb"
done
refused "not attached: who" 3 "not attached" portarp who 192.0.2.1:80
refused "replace of nothing without words" 2 "--role gateway" portarp attach --replace
check "replace of nothing is an attach" attach gateway --replace --mode tc
portarp detach
equal "nothing remains at all" "$(remains)" ""

while IFS='|' read -r name pattern words; do
	# shellcheck disable=SC2086
	refused "usage: $name" 2 "$pattern" isthmus portarp $words
done <<-'TABLE'
	no verb|a verb is needed|
	no role|--role gateway.bridge.host is needed|attach --lan eth1
	no LAN|--lan DEV is needed|attach --role host
	no uplink of a gateway|--uplink DEV is needed|attach --role gateway --lan eth1
	no uplink of a bridge|--uplink DEV is needed|attach --role bridge --lan eth1
	uplink of a host|--uplink eth0: a host has|attach --role host --lan eth1 --uplink eth0
	cgroup of a gateway|--cgroup /x: only a host|attach --role gateway --lan eth1 --uplink eth0 --cgroup /x
	another role|one of gateway.bridge.host|attach --role router
	LAN twice|--lan eth1: given twice|attach --role host --lan eth1 --lan eth1
	a bad device|--uplink a/b: not the name|attach --uplink a/b
	too many owners|--owners 4194305: a number from 1 to 4194304|attach --owners 4194305
	an ordinary ARP operation|--op-request 2: a number from 3|attach --op-request 2
	requests and replies alike|--op-request 25: replies have it|attach --role host --lan eth1 --op-request 25
	replies as requests|--op-reply 24: requests have it|attach --role host --lan eth1 --op-reply 24
	who without a word|ADDRESS:PORT.MAC is needed|who
	who with two|one word is enough|who 192.0.2.1:1 192.0.2.1:2
	a word of a verb without|an option is needed|list 192.0.2.1
TABLE
attach gateway --mode tc
refused "usage: who is neither" 2 "ADDRESS:PORT.*or a MAC is needed" portarp who 192.0.2.1
refused "usage: who with a short MAC" 2 "or a MAC is needed" portarp who 2:0:0:0:0:1
portarp detach
refused "usage: a device on both sides" 2 "eth0: it cannot be uplink and LAN" portarp attach --role gateway --uplink eth0 --lan eth0
[ "$NET_FAILED" = 0 ]
