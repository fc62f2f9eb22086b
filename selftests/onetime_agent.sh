#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# isthmus-onetime with unmodified servers and clients: addresses by das, AUTO_SET and give, each for one
# session; what restarts, ends and limits do; addresses for connects.
#
#   client eth0 ───────────────── eth0 server
#   2001:db8:1::2, ::3/64         2001:db8:1::1/64        pool 2001:db8:100::/64, listeners' addresses
#   192.0.2.2/24                  192.0.2.1/24            pool 198.51.100.0/28
#   pool 2001:db8:200::/64 (connects of `isthmus onetime run`)

. "${0%/*}/lib/net.sh"
need jq python3
LIB=$SELFTESTS/lib
P=2001:db8:100:

net_ns client server
net_link client eth0 2001:db8:1::2/64,2001:db8:1::3/64,192.0.2.2/24 server eth0 2001:db8:1::1/64,192.0.2.1/24
net_route client 2001:db8:100::/64 2001:db8:1::1
net_route client 198.51.100.0/28 192.0.2.1
net_route server 2001:db8:200::/64 2001:db8:1::2

loader() { in_ns server isthmus onetime "$@" --instance "$INSTANCE"; }
agent() { in_ns server isthmus-onetime "$@" --control "$TMP/agent.sock"; }
status() { agent status --json | jq -r "$1"; }
story_end() {
	loader detach >/dev/null 2>&1
	in_ns client isthmus onetime detach --instance "$INSTANCE-c" >/dev/null 2>&1
	net_remove_pins "$INSTANCE-c"
}

agent_start() { # OPTION...
	spawn server agent.log isthmus-onetime run --instance "$INSTANCE" --state "$TMP/onetime.db" \
		--control "$TMP/agent.sock" "$@"
	AGENT=$SPAWNED
	wait_for 30 agent status
}

serve() { # LOG KIND ADDRESS PORT [FILE]: SERVER is its pid
	local log=$1
	shift
	spawn server "$log" python3 "$LIB/onetime_serve.py" "$@"
	SERVER=$SPAWNED
	case $1 in
	udp) wait_for 30 listening server u "$3" ;;
	*) wait_for 30 listening server t "$3" ;;
	esac
}

# connect ADDRESS [PORT [FROM]]: what the server said, "refused" or "silent"
connect() { echo "$1" | in_ns client python3 "$LIB/onetime_connect.py" tcp "${2:-80}" ${3:+"$3"}; }
datagram() { echo "$1" | in_ns client python3 "$LIB/onetime_connect.py" udp "${2:-53}" ${3:+"$3"}; }
local_of() { cut -d' ' -f1; }

pending_everywhere() { loader show --json | jq '[.pools[].pending] | add'; }
is() { # WANT cmd...: what it prints
	local want=$1
	shift
	[ "$("$@")" = "$want" ]
}

refused() { # NAME PATTERN WORD...: a command of the agent fails and says so on one line
	local name=$1 pattern=$2 said code=0
	shift 2
	said=$(agent "$@" 2>&1) || code=$?
	if [ "$code" = 1 ] && [ "$(wc -l <<<"$said")" = 1 ] && [[ $said =~ $pattern ]]; then
		ok "$name"
	else
		not_ok "$name" "exit $code: $said"
	fi
}

# ---- start

without=$(in_ns server isthmus-onetime run --instance "$INSTANCE" --state "$TMP/x.db" --control "$TMP/x.sock" 2>&1 || true)
case $without in
*"onetime_conf is not pinned: run \`isthmus onetime attach\`"*) ok "not attached: the agent says so" ;;
*) not_ok "not attached: the agent says so" "$without" ;;
esac
loader attach --dev eth0 >/dev/null
elsewhere=$(in_ns client isthmus-onetime run --instance "$INSTANCE" --state "$TMP/x.db" --control "$TMP/x.sock" 2>&1 || true)
case $elsewhere in
*"attached in another network namespace"*) ok "in another network namespace: the agent says so" ;;
*) not_ok "in another network namespace: the agent says so" "$elsewhere" ;;
esac
agent_start
second=$(in_ns server isthmus-onetime run --instance "$INSTANCE" --state "$TMP/x.db" --control "$TMP/x.sock" 2>&1 || true)
case $second in
*"another isthmus-onetime runs for it"*) ok "a second agent is refused" ;;
*) not_ok "a second agent is refused" "$second" ;;
esac
equal "its control socket is its user's alone" "$(stat -c %a "$TMP/agent.sock")" 600
equal "and so is what it knows" "$(stat -c %a "$TMP/onetime.db")" 600
loader pool add eth0 2001:db8:100::/64 >/dev/null
loader pool add eth0 198.51.100.0/28 >/dev/null
check "pools are found while it runs" wait_for 10 is 2 status '.pools | map(select(.usable and .ready)) | length'

# ---- das (III.A, IV)

serve web.log tcp ::1 8080 "$TMP/seen"
WEB=$SERVER
serve dns.log udp :: 5353
DNS=$SERVER
spawn client away.log python3 "$LIB/onetime_serve.py" tcp :: 8080
AWAY=$SPAWNED
wait_for 30 listening client t 8080
refused "das: no such process" "no-process: pid 999999" das 999999 eth0 ${P}:5
refused "das: a process without a listening socket" "no-socket: .*no listening TCP socket" das "$AGENT" eth0 ${P}:5
refused "das: a server of another network namespace" "other-network: .*another network namespace.*\[::\]:8080" das "$AWAY" eth0 ${P}:5
refused "das: another port" "no-socket: .*fd [0-9]+ tcp \[::1\]:8080" das "$WEB" eth0 ${P}:5 --port 81
refused "das: another descriptor" "no-socket: .*fd [0-9]+ tcp" das "$WEB" eth0 ${P}:5 --fd 9
refused "das: no such device" "no-device: .*eth7" das "$WEB" eth7 ${P}:5
refused "das: another device" "no-pool: ${P}:5 is in no pool on lo" das "$WEB" lo ${P}:5
refused "das: of no pool" "no-pool: 2001:db8:101::5" das "$WEB" eth0 2001:db8:101::5
refused "das: the pool's anycast address" "reserved: " das "$WEB" eth0 ${P}:
refused "das: a mode that is none" "mode l3 is none" das "$WEB" eth0 ${P}:5 --mode l3
refused "das: for clients of the other family" "192.0.2.2 is no address" das "$WEB" eth0 ${P}:5 --for 192.0.2.2
refused "das: for some, and for many" "without --for" das "$WEB" eth0 ${P}:5 --for 2001:db8:1::2 --many
end "$AWAY"
equal "what was refused has used up nothing" "$(agent das "$WEB" eth0 ${P}:5)" \
	"${P}:5: a session with python3[$WEB], tcp port 8080; dead in 86400 s if nobody has used it then"
refused "das: an address that waits" "used: .*waits for its first packet" das "$WEB" eth0 ${P}:5
equal "the server sees the address as its own, and the port that was asked" \
	"$(connect ${P}:5 2222 2001:db8:1::2 | cut -d' ' -f1-3)" "${P}:5 2222 2001:db8:1::2"
equal "a second session: another client" "$(connect ${P}:5 2222 2001:db8:1::3)" silent
equal "a second session: the same client" "$(connect ${P}:5 2222 2001:db8:1::2)" silent
refused "das: an address that was used" "used: .*was used by a session" das "$WEB" eth0 ${P}:5
equal "one of the pool that nobody was told of" "$(connect ${P}:6)" silent
agent das "$WEB" eth0 ${P}:7 --for 2001:db8:1::3 >/dev/null
equal "for one client: not for another" "$(connect ${P}:7 80 2001:db8:1::2)" silent
equal "for one client: for it" "$(connect ${P}:7 80 2001:db8:1::3 | local_of)" ${P}:7
agent das "$WEB" eth0 ${P}:8 --ttl 1 >/dev/null
sleep 1.2
equal "after its time" "$(connect ${P}:8)" silent
check "what nobody used in time is deleted, and counted" wait_for 10 is 1 status .counters.expired
refused "das: an address of before, that nobody had used" "used: .*given out before" das "$WEB" eth0 ${P}:8
agent das "$WEB" eth0 ${P}:9 --mode aware >/dev/null
equal "port aware: not another port" "$(connect ${P}:9 80)" silent
equal "port aware: the server's" "$(connect ${P}:9 8080 | local_of)" ${P}:9
agent das "$WEB" eth0 ${P}:a --many >/dev/null
for from in 2 3 2; do
	equal "for many: client $from" "$(connect ${P}:a 80 2001:db8:1::$from | cut -d' ' -f1,3)" "${P}:a 2001:db8:1::$from"
done
agent das "$DNS" eth0 ${P}:d >/dev/null
equal "UDP: the answer comes from the address that was asked" "$(datagram ${P}:d 53 2001:db8:1::2)" ${P}:d
equal "UDP: another client" "$(datagram ${P}:d 53 2001:db8:1::3)" silent
serve four.log tcp 127.0.0.1 8083
refused "an IPv6 address for a server of IPv4" "family: .*needs a socket of IPv6: fd [0-9]+ tcp 127.0.0.1:8083" das "$SERVER" eth0 ${P}:e
serve dual.log tcp :: 8081
DUAL=$SERVER
agent das "$DUAL" eth0 198.51.100.5 >/dev/null
equal "IPv4: the server sees the address as its own" "$(connect 198.51.100.5 | cut -d' ' -f1,3)" "198.51.100.5 192.0.2.2"
equal "IPv4: a second session" "$(connect 198.51.100.5)" silent
refused "IPv4: broadcast" "reserved: " das "$DUAL" eth0 198.51.100.15

# ---- LISTEN0 and LISTEN (III.B)

listener() { status ".listeners[] | select(.pid == $1) | $2"; }
agent listen --del "$WEB" >/dev/null
equal "no listener: for many no more" "$(connect ${P}:a)" silent
agent listen "$WEB" eth0 --das-required --name web >/dev/null
equal "DAS required: LISTEN0" "$(listener "$WEB" '.state + " " + .addresses + " " + .name')" "LISTEN0 das web"
refused "DAS required: none is given" "das-required" give web
refused "a listener twice" "exists" listen "$WEB" eth0
refused "a name twice" "name-taken" listen "$DUAL" eth0 --name web
refused "a name of digits" "bad-request" listen "$DUAL" eth0 --name 77
agent das "$WEB" eth0 ${P}:10 >/dev/null
equal "with an address: LISTEN" "$(listener "$WEB" .state)" LISTEN
equal "it is served" "$(connect ${P}:10 | local_of)" ${P}:10
check "used: LISTEN0 again" wait_for 10 is LISTEN0 listener "$WEB" .state
agent listen --del web >/dev/null
refused "no listener: none is given" "unknown: no listener has the name web" give web

# ---- AUTO_SET

agent listen "$WEB" eth0 --auto 50 --name web >/dev/null
equal "AUTO_SET: prepared at once" "$(listener "$WEB" '"\(.state) \(.addresses) \(.prepared)"')" "LISTEN auto 50"
# shellcheck disable=SC2016 # for the inner shell
in_ns server sh -c 'for i in $(seq 200); do isthmus-onetime give web --control "$1"; done' - "$TMP/agent.sock" >"$TMP/given"
equal "200 given, all different" "$(sort -u "$TMP/given" | wc -l)" 200
equal "of the pool" "$(grep -c "^2001:db8:100:" "$TMP/given")" 200
check "and as many as before are prepared again" wait_for 10 is 50 listener "$WEB" .prepared
equal "given out" "$(listener "$WEB" .pending)" 200
head -n 150 "$TMP/given" | in_ns client python3 "$LIB/onetime_connect.py" tcp 443 | local_of >"$TMP/served"
equal "150 sessions, each with the address that was given" "$(diff <(head -n 150 "$TMP/given") "$TMP/served" | wc -l)" 0
check "those are not pending any more" wait_for 10 is 50 listener "$WEB" .pending
equal "none of 10 of them again" "$(head -n 10 "$TMP/given" | in_ns client python3 "$LIB/onetime_connect.py" tcp 443 | sort | uniq -c |
	xargs)" "10 silent"

# ---- trace (O10)

first=$(head -n 1 "$TMP/given")
equal "trace: pool and method" "$(agent trace "$first" --json | jq -r '.method + " " + .pool + " " + .name')" "keyed 2001:db8:100:: web"
counters() { while read -r address; do agent trace "$address" --json | jq .counter; done < <(head -n 8 "$TMP/given"); }
equal "trace: the numbers of eight in a row" "$(counters | sort -un | wc -l)" 8
given_for=$(agent give web --for 2001:db8:1::2)
equal "trace: for whom" "$(agent trace "$given_for" --json | jq -r .client)" 2001:db8:1::2
at_most "trace: when" "$(($(date +%s) - $(agent trace "$given_for" --json | jq .time)))" 100
equal "trace: what das set" "$(agent trace ${P}:10 --json | jq -r .method)" das
refused "trace: never given out" "unknown: .*never given out" trace ${P}:77

# ---- the agent ends, and another begins

# hold NAME ADDRESS [FROM]: a session that lasts; say NAME TEXT sends by it
hold() {
	mkfifo "$TMP/$1.in"
	spawn client "$1.out" sh -c "{ echo $2; cat '$TMP/$1.in'; } | python3 '$LIB/onetime_connect.py' hold 80 ${3:-}"
	eval "exec {HOLD_$1}>'$TMP/$1.in'"
	wait_for 30 test -s "$TMP/$1.out"
}
say() {
	local fd=HOLD_$1
	echo "$2" >&"${!fd}"
	wait_for 10 grep -qx "$2" "$TMP/$1.out"
}

hold live "$(agent give web)"
check "a session that lasts" say live one
sed -n 151,155p "$TMP/given" >"$TMP/left"
end "$AGENT" KILL
check "agent dead: the session goes on" say live two
equal "agent dead: what was given out is served" \
	"$(in_ns client python3 "$LIB/onetime_connect.py" tcp 443 <"$TMP/left" | local_of)" "$(cat "$TMP/left")"
equal "agent dead: none a second time" "$(connect "$(head -n 1 "$TMP/left")")" silent
agent_start --pending-of-listener 60 --pending-of-client 3
equal "another agent knows its listeners" "$(listener "$WEB" '"\(.name) \(.state) \(.prepared)"')" "web LISTEN 50"
check "and what is given out" wait_for 10 is 46 listener "$WEB" .pending
check "the session goes on" say live three
equal "what was given out by the first is served" "$(connect "$(sed -n 156p "$TMP/given")" | local_of)" "$(sed -n 156p "$TMP/given")"
agent give web >"$TMP/more"
equal "it gives another one" "$(grep -cxf "$TMP/more" "$TMP/given")" 0
refused "das: one that the first had set" "used: " das "$WEB" eth0 ${P}:5

# ---- limits

for _ in 1 2 3; do agent give web --for 2001:db8:7::/48 >/dev/null; done
refused "a client's limit" "limit: these clients have 3 .*--pending-of-client" give web --for 2001:db8:7::99/48
agent give web --for 2001:db8:8::/48 >/dev/null
left=$((60 - $(listener "$WEB" .pending)))
for ((i = 0; i < left; i++)); do agent give web >/dev/null; done
refused "a listener's limit" "limit: the listener has 60 .*--pending-of-listener" give web
equal "what a limit refused is counted" "$(status .counters.refused)" 2
equal "one that is used makes room" "$(connect "$(sed -n 157p "$TMP/given")" | local_of)" "$(sed -n 157p "$TMP/given")"
check "then one is given again" agent give web

# ---- listeners end

last=$(sed -n 158p "$TMP/given")
end "$WEB" KILL
equal "server dead: what it was given is refused" "$(connect "$last")" silent
check "its place is free after a while" wait_for 20 is 0 pending_everywhere
equal "no listener is left of it" "$(listener "$WEB" .state)" ""
serve fork.log fork ::1 8090
agent listen "$SERVER" eth0 --name fork --auto 4 >/dev/null
hold child "$(agent give fork)"
unused=$(agent give fork)
end "$SERVER" KILL
check "a forking server dead: its child's session goes on" say child one
equal "what nobody has used is refused" "$(connect "$unused")" silent
serve closes.log tcp ::1 8091
agent listen "$SERVER" eth0 --name closes --auto 4 >/dev/null
hold kept "$(agent give closes)"
unused=$(agent give closes)
kill -USR1 "$SERVER"
check "a socket that closes while its server goes on ends the listener" wait_for 15 is "" listener "$SERVER" .state
equal "what nobody has used is refused then" "$(connect "$unused")" silent
check "the session goes on" say kept one
check "closed: its child's session still does" say child two

# ---- addresses for connects (II.A)

onetime_c() { in_ns client isthmus onetime "$@" --instance "$INSTANCE-c"; }
onetime_c attach --dev eth0 --eas 2048 >/dev/null
onetime_c pool add eth0 2001:db8:200::/64 --client >/dev/null
spawn client client.log isthmus-onetime run --instance "$INSTANCE-c" --state "$TMP/client.db" --control "$TMP/client.sock" --eas 1000
CLIENT_AGENT=$SPAWNED
eas() { in_ns client isthmus-onetime status --json --control "$TMP/client.sock" | jq .eas6; }
check "EAs are prepared" wait_for 10 is 1000 eas
serve plain.log tcp 2001:db8:1::1 8100
for ((i = 0; i < 300; i++)); do echo 2001:db8:1::1; done >"$TMP/targets"
in_ns client isthmus onetime run --instance "$INSTANCE-c" -- python3 "$LIB/onetime_connect.py" tcp 8100 <"$TMP/targets" >"$TMP/eas" 2>&1
equal "300 connects, as many addresses" "$(cut -d' ' -f3 "$TMP/eas" | sort -u | grep -c ^2001:db8:200:)" 300
check "there are as many again" wait_for 10 is 1000 eas
end "$CLIENT_AGENT" KILL
head -n 100 "$TMP/targets" | in_ns client isthmus onetime run --instance "$INSTANCE-c" -- \
	python3 "$LIB/onetime_connect.py" tcp 8100 >>"$TMP/eas" 2>&1
equal "agent dead: 100 more" "$(cut -d' ' -f3 "$TMP/eas" | sort -u | grep -c ^2001:db8:200:)" 400
spawn client client2.log isthmus-onetime run --instance "$INSTANCE-c" --state "$TMP/client.db" --control "$TMP/client.sock" --eas 1000
check "another agent goes on with what is prepared" wait_for 10 is 1000 eas
equal "no more were made than have gone" \
	"$(in_ns client isthmus-onetime status --json --control "$TMP/client.sock" | jq .counters.eas)" 100
in_ns client isthmus onetime run --instance "$INSTANCE-c" -- python3 "$LIB/onetime_connect.py" tcp 8100 <"$TMP/targets" >>"$TMP/eas" 2>&1
equal "and 300 more" "$(cut -d' ' -f3 "$TMP/eas" | sort -u | grep -c ^2001:db8:200:)" 700

# ---- metrics

equal "nothing of this was told as an error" "$(grep -c "error\|cannot" "$TMP/agent.log" "$TMP/client2.log" | cut -d: -f2 | xargs)" "0 0"
