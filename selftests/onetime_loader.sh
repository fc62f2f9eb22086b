#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# `isthmus onetime`: attaching, pools and which prefixes may be one, reading, clients, commands, detaching;
# each refusal and its message. Sessions under traffic are in onetime_closed.sh.
#
#   near eth0 ──────────── eth0 box lo
#   2001:db8:1::2/64       2001:db8:1::1/64
#   192.0.2.2/24           192.0.2.1/24

. "${0%/*}/lib/net.sh"
need jq bpftool python3
. "$SELFTESTS/lib/onetime_loader.sh"
onetime_world
conf() { bpftool -j map dump pinned "$DIR/onetime_conf" | jq -c ".[0].formatted.value | $1"; }
index() { in_ns box ip -j link show "$1" | jq '.[0].ifindex'; }

# ---- words

refused "attach: no device" 2 "attach: --dev DEV is needed" onetime attach
refused "attach: strict and lenient" 2 "--strict or --lenient, not both" onetime attach --dev eth0 --strict --lenient
refused "attach: no such device" 1 "eth9: no such device.*ip link" onetime attach --dev eth0 --dev eth9
in_ns box ip link add ip0 type veth peer name ip1
if in_ns box ip tuntap add mode tun name tun0 2>/dev/null; then
	refused "attach: a device without Ethernet headers" 1 "tun0: not an Ethernet device" onetime attach --dev tun0
	in_ns box ip link del tun0
else
	skip "attach: a device without Ethernet headers" "no tun devices"
fi
refused "attach: a device twice" 2 "--dev eth0: given twice" onetime attach --dev eth0 --dev eth0
refused "attach: too few addresses" 2 "--addresses 15: a number from 16 to" onetime attach --dev eth0 --addresses 15
refused "attach: a cgroup that is not there" 1 "--cgroup /nowhere: No such file.*cgroup2" \
	onetime attach --dev eth0 --cgroup /nowhere
equal "a failed attach leaves nothing" "$(remains)" ""
refused "attach: a directory of another file system" 1 "--cgroup: it is not in a cgroup2.*directory of one" \
	onetime attach --dev eth0 --cgroup /tmp
equal "it leaves nothing either" "$(remains)" ""
no_cgroup() {
	unshare -m sh -c "umount -l $CGROUP_ROOT; exec nsenter --net=/run/netns/$NET-box isthmus onetime attach \
		--dev eth0 --instance $INSTANCE"
}
refused "attach: no cgroup2" 1 "no cgroup2 is mounted.*--cgroup" no_cgroup
equal "no cgroup2: nothing remains" "$(remains)" ""
for verb in detach show list netstat addresses sockstat stats "pool del $POOL" "pool add eth0 $POOL" "client show" \
	"attach --replace"; do
	want=3 says="not attached.*isthmus onetime attach"
	[ "$verb" != "attach --replace" ] || want=2 says="--dev DEV is needed"
	# shellcheck disable=SC2086
	refused "not attached: $verb" $want "$says" onetime $verb
done
refused "pool: neither add nor del" 2 "pool eat: add or del is needed" onetime pool eat
refused "pool: no word" 2 "pool: add DEV PREFIX|del PREFIX is needed" onetime pool
refused "pool add: no prefix" 2 "pool add: DEV PREFIX is needed, as .pool add eth0 2001:db8:1::/64" onetime pool add eth0
refused "pool del: too many words" 2 "pool del: PREFIX is needed" onetime pool del eth0 $POOL
refused "pool add: too many words" 2 "more: 3 words are enough" onetime pool add eth0 $POOL more
refused "pool del: an option of add" 2 "--mode, --reset and --client are of pool add" onetime pool del $POOL --reset
refused "pool: a mode that is none" 2 "--mode l7: one of l0|l1|l2|aware is needed" onetime pool add eth0 $POOL --mode l7
# word as it is given, what is said
while IFS='|' read -r prefix said; do
	refused "pool: $prefix" 2 "pool add: $prefix: $said" onetime pool add eth0 "$prefix"
done <<-'PREFIXES'
	2001:db8::|a prefix, as 2001:db8:1::/64, is needed
	2001:db8:::/64|a prefix, as
	192.0.2.0/33|a prefix, as
	/64|a prefix, as
	2001:db8:99::/+64|a prefix, as
	2001:db8::/47|an IPv6 pool is /48 to /126
	2001:db8:99::/127|an IPv6 pool is /48 to /126
	10.0.0.0/7|an IPv4 pool is /8 to /31
	198.51.100.0/32|an IPv4 pool is /8 to /31
	2001:db8:99::1/64|bits are set behind the prefix; is 2001:db8:99::/64 meant?
	198.51.100.7/24|bits are set behind the prefix; is 198.51.100.0/24 meant?
	ff02::/64|multicast addresses cannot be a pool
	fe80::/64|link-local addresses cannot be a pool
	::/64|the loopback address or one of IPv4 cannot be a pool
	127.1.0.0/16|loopback addresses cannot be a pool
	169.254.0.0/16|link-local addresses cannot be a pool
	224.0.0.0/8|multicast addresses cannot be a pool
	240.0.0.0/8|reserved addresses cannot be a pool
	0.0.0.0/8|addresses that no host has cannot be a pool
PREFIXES
refused "client: no word" 2 "client: add|del|show is needed" onetime client
refused "client: another word" 2 "client eat: add, del or show is needed" onetime client eat
refused "client add: nobody" 2 "one of --all, --user NAME and --cgroup PATH is needed" onetime client add
refused "client add: two" 2 "one of --all, --user NAME and --cgroup PATH is needed" onetime client add --all --user root
refused "client add: a second word" 2 "client add: all: no word is needed here" onetime client add all
refused "client show: of one" 2 "it shows all of them" onetime client show --all
refused "client del: JSON" 2 "--json is of client show" onetime client del --all --json
refused "run: no command" 2 "run: COMMAND .* is needed" onetime run
refused "run: an option that is none" 2 "--what: no such option here" in_ns box isthmus onetime run --what true

# ---- attach

check "attach" onetime attach --dev eth0 --dev lo --addresses 5000 --eas 77
refused "attach twice" 1 "already attached.*--replace.*detach" onetime attach --dev eth0
equal "conf: abi, links, strict" "$(conf '[.abi, .links, .strict]')" "[1,2,1]"
equal "conf: times" "$(conf '[.claim_ns, .linger_ns, .udp_ns] | map(. / 1e9 | floor)')" "[130,120,120]"
equal "conf: automatic ports" "$(conf '[.port_low, .port_high] | join(" ")')" \
	"\"$(in_ns box sysctl -n net.ipv4.ip_local_port_range | tr '\t' ' ')\""
equal "conf: the namespace" "$(conf .netns)" "$(in_ns box stat -Lc %i /proc/self/ns/net)"
equal "conf: its cookie" "$(conf .netns_cookie)" \
	"$(in_ns box python3 -c 'import socket; print(int.from_bytes(socket.socket().getsockopt(socket.SOL_SOCKET, 71, 8), "little"))')"
equal "conf: links" "$(conf '[.link[] | select(.ifindex > 0) | .ifindex]')" "[$(index eth0),1]"
equal "show: devices, MACs" "$(onetime show --json | jq -r '[.devices[] | .device + " " + .mac] | join(" ")')" \
	"eth0 $(in_ns box ip -j link show eth0 | jq -r '.[0].address') lo 00:00:00:00:00:00"
equal "show: tc in and out on each, and no XDP" "$(onetime show --json | jq -r '[.attachments[] | "\(.ifindex) \(.hook) \(.by)"] | join(" ")')" \
	"$(index eth0) tc tcx $(index eth0) out tcx 1 tc tcx 1 out tcx"
attached_type() { bpftool -j link show pinned "$DIR/link_$1_0" | jq -r '[.type, .attach_type] | join(" ")'; }
equal "links: look-up, ends of sessions, replies" \
	"$(for link in lookup sockops release reply_sendmsg6 reply_sendmsg4; do attached_type $link; done | paste -sd,)" \
	"netns sk_lookup,cgroup cgroup_sock_ops,cgroup cgroup_inet_sock_release,cgroup cgroup_udp6_sendmsg,cgroup cgroup_udp4_sendmsg"
equal "sizes" "$(onetime show --json | jq -c '.tables[] | select(.table == "onetime_addr").capacity') $(for ea in 6 4; do
	bpftool -j map show pinned "$DIR/onetime_ea$ea" | jq .max_entries; done | paste -sd' ')" "5000 77 77"
equal "no address is local yet" "$(pool_routes)" ""
check "other traffic passes" in_ns near ping -qc2 -i0.1 -W2 2001:db8:1::1
at_least "and is counted" "$(counted OTHER)" 4
equal "stats: every reason of maps/onetime.h" "$(onetime stats --json | jq -r '[.reasons[].reason] | join(" ")')" \
	"$(sed -n 's/^\tX(\([A-Z0-9_]*\),.*/\1/p' "$SELFTESTS/../maps/onetime.h" | paste -sd' ')"
for verb in show list netstat addresses sockstat stats "client show"; do
	# shellcheck disable=SC2086
	check "$verb: text" onetime $verb
	check "$verb: JSON is one object" eval "onetime $verb --json | jq -es 'length == 1 and .[0].datapath == \"onetime\"'"
done
full() { onetime list "$@" >/dev/full; }
refused "output that cannot be written" 1 "standard output" full --json

# ---- pools

refused "pool add: no such device" 1 "eth9: no such device.*ip link" onetime pool add eth9 $POOL
refused "pool add: a device that is not guarded" 1 "ip0: onetime is not attached to it.*--dev ip0" onetime pool add ip0 $POOL
refused "pool add: elsewhere" 1 "another network namespace.*nsenter" \
	in_ns near isthmus onetime pool add eth0 $POOL --instance "$INSTANCE"
refused "pool: an address of this host" 1 "eth0 has its address 2001:db8:1::1; name a prefix without" \
	onetime pool add eth0 2001:db8:1::/120
refused "pool: an on-link prefix, an address of this host in it" 1 "eth0 has its address" onetime pool add eth0 2001:db8:1::/64
refused "pool: around an on-link prefix" 1 "eth0 has its address" onetime pool add eth0 2001:db8:1::/48
in_ns box ip link set ip0 up
in_ns box ip link set ip1 up
in_ns box ip -6 route add 2001:db8:5:1::/64 dev ip0
in_ns box ip -4 route add 203.0.113.0/25 dev ip0
refused "pool: a connected route" 1 "2001:db8:5:1::/64 is on the link of ip0, and its hosts would be unreachable" \
	onetime pool add eth0 2001:db8:5:1::/64
refused "pool: around a connected route" 1 "2001:db8:5:1::/64 is on the link of ip0" onetime pool add eth0 2001:db8:5::/48
refused "pool: around one of IPv4" 1 "203.0.113.0/25 is on the link of ip0" onetime pool add eth0 203.0.113.0/24
refused "pool: part of another device's" 1 "part of 2001:db8:5:1::/64, which is on the link of ip0; name that device" \
	onetime pool add eth0 2001:db8:5:1:8000::/65
in_ns box ip -6 route add local 2001:db8:6::/64 dev lo
refused "pool: in the local table" 1 "2001:db8:6::/64 is in the local table already; .ip route" onetime pool add eth0 2001:db8:6::/64
refused "pool: the broadcast address" 1 "192.0.2.255/32 is in the local table already" onetime pool add eth0 192.0.2.128/25
in_ns box ip -6 route add 2001:db8:7:1::/64 dev eth0 proto ra expires 600
refused "pool: part of what a router announces" 1 "a router on eth0 announces: hosts make addresses of it" \
	onetime pool add eth0 2001:db8:7:1:8000::/65
in_ns box ip addr add 2001:db8:7:2::5/64 dev eth0 nodad valid_lft 600 preferred_lft 600 proto kernel_ra 2>/dev/null ||
	in_ns box ip addr add 2001:db8:7:2::5/64 dev eth0 nodad valid_lft 600 preferred_lft 600
refused "pool: part of where hosts make addresses" 1 "a router on eth0 announces" onetime pool add eth0 2001:db8:7:2:8000::/65
in_ns box ip addr del 2001:db8:7:2::5/64 dev eth0
in_ns near ip addr add 2001:db8:1::8000:1/64 dev eth0 nodad
in_ns box ping -qc1 -W2 2001:db8:1::8000:1 >/dev/null
refused "pool: a neighbour is in it" 1 "a neighbour on eth0 has its address 2001:db8:1::8000:1; name a prefix" \
	onetime pool add eth0 2001:db8:1::8000:0/112
equal "none of the refused became one" "$(pools) $(pool_routes)" "[] "

check "pool: part of the link's own" exits 0 onetime pool add eth0 2001:db8:1:0:8000::/80
check "it is told what that needs" says "part of 2001:db8:1::/64, which is on the link of eth0: no other host there"
check "pool add" onetime pool add eth0 $POOL --mode aware --reset --client
refused "pool add: twice" 1 "$POOL is a pool already; .isthmus onetime pool del $POOL" onetime pool add eth0 $POOL
refused "pool add: part of one" 1 "2001:db8:99::/64 is a pool already" onetime pool add eth0 2001:db8:99:0:1::/80
refused "pool add: around one" 1 "2001:db8:99::/64 is a pool already" onetime pool add eth0 2001:db8:99::/48
check "pool add: IPv4" onetime pool add lo $POOL4 --client
equal "show: pools" "$(pools '[.pool, .device, .state, .mode, .refused, .client]' | jq -c 'sort | .[]' | paste -sd' ')" \
	'["198.51.100.0/24","lo","UNCERTAIN","l1","silence",true] ["2001:db8:1:0:8000::/80","eth0","UNCERTAIN","l1","silence",false] ["2001:db8:99::/64","eth0","UNCERTAIN","aware","reset",true]'
equal "numbers are not 0, and each its own" "$(pools .number | jq -c sort)" "[1,2,3]"
equal "flags in the map: reset, v4, client, ready" "$(bpftool -j map dump pinned "$DIR/onetime_pool" | jq -c '[.[].formatted.value.flags] | sort')" "[8,13,14]"
equal "conf: pools for clients" "$(conf '[.client6, .client4]')" "[1,1]"
equal "routes, of our own protocol" "$(pool_routes | awk '{ print $1, $2, $3, $4 }' | sort | paste -sd,)" \
	"local 198.51.100.0/24 dev lo,local 2001:db8:1:0:8000::/80 dev lo,local 2001:db8:99::/64 dev lo"
equal "allmulti on the link, not on lo" "$(onetime show --json | jq -c '[.devices[].allmulti]')" "[true,false]"
check "the device takes all multicast" eval "in_ns box ip link show eth0 | has ALLMULTI"
check "pool del" onetime pool del $POOL
check "allmulti stays with another pool" eval "in_ns box ip link show eth0 | has ALLMULTI"
check "pool del: the last one of IPv6" onetime pool del 2001:db8:1:0:8000::/80
check "allmulti has gone" eval "! in_ns box ip link show eth0 | has ALLMULTI"
equal "conf: pools for clients, fewer" "$(conf '[.client6, .client4]')" "[0,1]"
equal "a number is free again" "$(pools .number)" "[3]"
refused "pool del: none" 1 "$POOL: it is no pool; .isthmus onetime show" onetime pool del $POOL
in_ns box ip link set eth0 allmulticast on
onetime pool add eth0 $POOL
onetime pool del $POOL
check "somebody else's allmulti stays" eval "in_ns box ip link show eth0 | has ALLMULTI"
in_ns box ip link set eth0 allmulticast off
for i in $(seq 63); do onetime pool add eth0 "2001:db8:99:$i::/64"; done
refused "no more than 64" 1 "there are 64 pools, and no room for more" onetime pool add eth0 2001:db8:99::/64
equal "64 are there" "$(pools | jq length) $(pool_routes | wc -l)" "64 64"
detached "with 64 pools"

# ---- addresses as an agent makes them, and who has them

onetime attach --dev eth0 --lenient --clsact
equal "lenient; clsact" "$(onetime show --json | jq -c '[.strict, ([.attachments[].by] | unique)]')" '[false,["clsact"]]'
onetime pool add eth0 $POOL
by_hand listener 7 5000 1
sockets() { onetime sockstat --json | jq -c '.sockets[] | [.user, .command, .proto, .local, .foreign, .state, .pending, .sessions, .name]'; }
equal "sockstat: LISTEN0 without an address" "$(sockets)" '["root","onetime_ssa","tcp","*:5000","*:*","LISTEN0",0,0,"story"]'
by_hand address 2001:db8:99::2 pending 1 ssa 7
equal "sockstat: LISTEN with one" "$(sockets)" '["root","onetime_ssa","tcp","*:5000","*:*","LISTEN",1,0,"story"]'
by_hand address 2001:db8:99::3 pending 1 ssa 7 -1
by_hand address 2001:db8:99::4 reserved 1 ea
by_hand address 2001:db8:99::5 live 1 ssa 7
by_hand address 2001:db8:99::6 closing 1 ssa 7 100
by_hand address 2001:db8:99::7 claimed 1 ssa 7 100
by_hand address 2001:db8:99::8 live 1 many 7
equal "addresses: states, also those whose time has passed" \
	"$(onetime addresses --json | jq -c '[.addresses | sort_by(.address)[] | [.address[-1:], .state, .use]]')" \
	'[["2","PENDING","ssa"],["3","DEAD","ssa"],["4","UNCERTAIN","ea"],["5","LIVE","ssa"],["6","CLOSING","ssa"],["7","CLAIMED","ssa"],["8","LIVE","many"]]'
equal "addresses: age, what is left, listener, serial" "$(onetime addresses --json | jq -c '.addresses[] | select(.address == "2001:db8:99::7") |
	[.age >= 5, .left > 90 and .left < 101, .listener, .serial]')" '[true,true,"7",77]'
equal "netstat: sessions alone" "$(onetime netstat --json | jq -c '[.sessions[].state] | sort')" '["CLAIMED","CLOSING","LIVE"]'
equal "show: of each state" "$(pools '[.reserved, .pending, .claimed, .live, .closing, .dead]')" "[[1,1,1,2,1,1]]"
equal "show: prepared for clients" "$(onetime show --json | jq .prepared_eas)" 1
equal "sockstat: sessions" "$(sockets | jq -c '.[6:8]')" "[2,3]"
status() { in_ns box isthmus status --json 2>/dev/null | jq -c --arg i "$INSTANCE" '.datapaths[] | select(.instance == $i)'; }
equal "status" "$(status | jq -c '[.datapath, .mode, .devices, .pools, .addresses, .live, .in_this_netns]')" '["onetime","tc",1,1,7,2,true]'
refused "pool del: sessions live" 1 "3 of its sessions live.*--force" onetime pool del $POOL
equal "it stays whole" "$(pools .state) $(pool_routes | wc -l)" '["UNCERTAIN"] 1'
check "pool del --force" onetime pool del $POOL --force
equal "its addresses have gone" "$(onetime addresses --json | jq '.addresses | length')" 0
refused "elsewhere: client add" 1 "another network namespace.*nsenter" in_ns near isthmus onetime client add --all --instance "$INSTANCE"
refused "elsewhere: run" 1 "another network namespace.*nsenter" in_ns near isthmus onetime run --instance "$INSTANCE" true
refused "elsewhere: replace" 1 "another network namespace.*nsenter" in_ns near isthmus onetime attach --replace --instance "$INSTANCE"
onetime pool add eth0 $POOL
refused "elsewhere: detach" 1 "nsenter --net=" in_ns near isthmus onetime detach --instance "$INSTANCE"
equal "it is whole after that" "$(pools .state) $(pool_routes | wc -l) $(onetime show --json | jq '.attachments | length')" '["UNCERTAIN"] 1 2'

# ---- replace keeps all but programs

old=$(programs)
check "replace" onetime attach --replace
equal "replace: other programs, as many" "$(jq -n --argjson a "$old" --argjson b "$(programs)" \
	'[($a | length) == ($b | length), ([$a, $b] | transpose | all(.[0] != .[1]))] | all')" true
equal "replace: pools stay" "$(pools)" "[\"$POOL\"]"
for words in "--dev lo" --strict --lenient "--addresses 99" "--eas 9" "--cgroup /"; do
	# shellcheck disable=SC2086
	refused "replace keeps ${words% *}" 1 "${words% *}: --replace .*detach and attach again" onetime attach --replace $words
done
detached "clsact"

# ---- instances

onetime attach --dev eth0
in_ns box isthmus onetime attach --dev eth0 --instance "$INSTANCE-b"
onetime pool add eth0 $POOL
refused "another instance's pool" 1 "$POOL is a pool already, maybe of another instance" \
	in_ns box isthmus onetime pool add eth0 $POOL --instance "$INSTANCE-b"
in_ns box isthmus onetime pool add eth0 2001:db8:98::/64 --instance "$INSTANCE-b"
check "instances: one goes" onetime detach
equal "instances: the other's pool stays" "$(pool_routes | awk '{ print $2 }')" 2001:db8:98::/64
check "instances: and can be read" in_ns box isthmus onetime show --instance "$INSTANCE-b"
in_ns box isthmus onetime detach --instance "$INSTANCE-b"
equal "instances: nothing remains" "$(remains)" ""

# ---- another ABI: routes that would be unguarded go too

onetime attach --dev eth0
onetime pool add eth0 $POOL
python3 - "$DIR" <<-'P'
	import json, subprocess, sys
	at = sys.argv[1] + "/onetime_conf"
	value = json.loads(subprocess.check_output(["bpftool", "-j", "map", "dump", "pinned", at]))[0]["value"]
	subprocess.check_call(["bpftool", "map", "update", "pinned", at, "key", "0", "0", "0", "0", "value", "0x63", "0", "0", "0"] + value[4:])
P
refused "another ABI: show" 1 "of another version" onetime show
refused "another ABI: replace" 1 "of another version" onetime attach --replace
refused "another ABI: detach elsewhere" 1 "nsenter --net=" in_ns near isthmus onetime detach --instance "$INSTANCE"
ids=$(link_ids)
check "another ABI: detach" onetime detach
in_ns box ip link set eth0 allmulticast off # what is known of it was in the map
# shellcheck disable=SC2086
equal "another ABI: nothing remains" "$(remains $ids)" ""

# ---- its namespace has ended

net_ns gone
in_ns gone ip link add eth0 type veth peer name eth1
in_ns gone isthmus onetime attach --dev eth0 --clsact --instance "$INSTANCE" 2>/dev/null
in_ns gone isthmus onetime pool add eth0 $POOL --instance "$INSTANCE"
net_remove_ns "$NET-gone"
check "detach when the namespace is no more" wait_for 5 onetime detach
equal "nothing remains of it" "$(remains)" ""
in_ns box ip link add eth2 type veth peer name eth3
onetime attach --dev eth0 --dev eth2 2>/dev/null
onetime pool add eth2 $POOL
in_ns box ip link del eth2
check "a device is no more: replace" onetime attach --replace
check "a device is no more: pool del" onetime pool del $POOL
detached "a device is no more"
