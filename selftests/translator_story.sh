#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The translator's agent dies, comes back, and ends what is over. Packets need it for none of that.
#
#   host1 --- nat1 ---+             +--- nat2 --- host2
#   isthmus-peer      |             |      isthmus-peer
#   100 senders       +--- inet ----+      100 receivers
#                           |
#                 relay: broker, translator (SIGKILL), splice
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/splice.sh"
. "${0%/*}/lib/agents.sh"

flows_start() { # NAME: 100 connections that send for some seconds
	spawn host2 "$1-2.json" "$FLOW" --listen --bind 127.0.0.1:7000 --streams 100 --role recv --verify \
		--timeout $((25 * SLOW))
	RECEIVER=$SPAWNED
	wait_for 5 listening host2 t 7000
	spawn host1 "$1-1.json" "$FLOW" --connect 127.0.0.1:7100 --streams 100 --role send --seconds $((5 * SLOW)) \
		--rate 50 --size 5000 --verify
	SENDER=$SPAWNED
}

joined() { [ "$(translator_status | jq .joined)" -ge "$1" ]; }
ended_as() { [ "$(translator_status | jq ".ended.\"$1\"")" -ge "$2" ]; }
established() { [ "$(sessions_in established)" -ge "$1" ]; }

kill_story() {
	flows_start kill
	check "100 connections are joined" wait_for 10 established 100
	sleep 0.5
	end "$TRANSLATOR_PID" KILL
	check "the translator is dead" ended "$TRANSLATOR_PID"
	at_least "its sessions are not" "$(sessions_in established)" 100
	sleep 1
	check "the translator starts again" translator_start kernel
	at_least "and picks the sessions up" "$(translator_status | jq .joined)" 100
	check "the senders end well" wait "$SENDER"
	check "the receivers end well" wait "$RECEIVER"
	equal "no connection is lost, no byte is different" \
		"$(result kill-2 '"\(.finished) \(.failed) \(.mismatches)"')" "100 0 0"
	equal "every byte sent has arrived" "$(result kill-2 .received)" "$(result kill-1 .sent)"
	check "the new agent sees them end" wait_for 20 ended_as "done" 100
}

# The control: the userspace relay's connections do die with it.
control_story() {
	end "$TRANSLATOR_PID"
	splice_detach
	translator_start relay
	flows_start control
	check "control, relay: 100 connections are joined" wait_for 10 joined 100
	end "$TRANSLATOR_PID" KILL
	refuse "control, relay: the connections die with it" wait "$SENDER"
	end "$RECEIVER"
	splice_attach tc
	translator_start kernel
}

# Silence ends a session, traffic keeps one. Times are changed in place.
idle_story() {
	check "times are changed under the live translator" splice_attach tc --replace --tcp-idle $((3 * SLOW)) --udp-idle $((3 * SLOW))
	broker_user idle0 idle1
	pair_start host1 idle0 host2 idle1 2
	local silent busy
	read -ra silent <<<"${PAIRS[0]}"
	read -ra busy <<<"${PAIRS[1]}"
	spawn host2 silent-2.json "$FLOW" --connect "${silent[4]}:${silent[5]}" --role echo
	spawn host1 silent-1.json "$FLOW" --connect "${silent[1]}:${silent[2]}" --role ping --seconds $((30 * SLOW)) --rate 0.004
	spawn host2 busy-2.json "$FLOW" --connect "${busy[4]}:${busy[5]}" --role echo
	spawn host1 busy-1.json "$FLOW" --connect "${busy[1]}:${busy[2]}" --role ping --seconds $((30 * SLOW)) --rate 5
	check "a silent and a busy session are joined" wait_for 10 sides_live "${silent[2]}" "${busy[2]}"
	check "the silent one ends as idle" wait_for 15 ended_as idle 1
	check "its session is gone" wait_for 10 side_gone "${silent[2]}"
	check "the busy one lives" sides_live "${busy[2]}"
}

sides_live() { # PORT...: of the subscriber's side
	local port
	for port; do
		in_ns relay isthmus splice list --instance "$INSTANCE" --json |
			jq -e ".sessions[] | select(.subscriber_at.port == $port)" >/dev/null || return 1
	done
}

side_gone() { ! sides_live "$1"; }

# A probe with another token shows nothing; who has another address than the probe is not let in.
refused_story() {
	local pair before
	broker_user s0 p0 s1 p1 s2 p2
	pair_start host1 s0 host2 p0 1 --wrong-token
	read -ra pair <<<"${PAIRS[0]}"
	refuse "a wrong probe token is not ok" test "${pair[3]}" = ok
	refuse "its side is not connected" in_ns host1 "$FLOW" --connect "${pair[1]}:${pair[2]}" --role ping \
		--count 1 --seconds 0 --timeout 1.5
	pair_start host1 s1 host2 p1 1
	read -ra pair <<<"${PAIRS[0]}"
	before=$(stat_of WRONG_SOURCE)
	refuse "a host with another address is not connected" in_ns broker "$FLOW" \
		--connect "${pair[1]}:${pair[2]}" --role ping --count 1 --seconds 0 --timeout 1.5
	at_least "and is counted as WRONG_SOURCE" "$(stat_of WRONG_SOURCE)" $((before + 1))
	spawn host2 genuine-2.json "$FLOW" --connect "${pair[4]}:${pair[5]}" --role echo
	check "the announced host is" in_ns host1 "$FLOW" --connect "${pair[1]}:${pair[2]}" --role ping \
		--count 10 --seconds 0 --timeout $((5 * SLOW))
	pair_start host1 s2 host2 p2 1 --no-probe
	read -ra pair <<<"${PAIRS[0]}"
	refuse "who has not probed is not connected" in_ns host1 "$FLOW" --connect "${pair[1]}:${pair[2]}" \
		--role ping --count 1 --seconds 0 --timeout 1.5
}

# The router next to relay gets another MAC address while a transfer runs.
neighbour_story() {
	broker_user n0 n1
	pair_start host1 n0 host2 n1 1
	local pair
	read -ra pair <<<"${PAIRS[0]}"
	spawn host2 moved-2.json "$FLOW" --connect "${pair[4]}:${pair[5]}" --role recv --verify
	RECEIVER=$SPAWNED
	spawn host1 moved-1.json "$FLOW" --connect "${pair[1]}:${pair[2]}" --role send --seconds $((4 * SLOW)) --rate 100 \
		--size 2000 --verify
	sleep 1
	in_ns inet sysctl -qw net.ipv4.conf.relay.arp_notify=1
	in_ns inet ip link set relay address 02:00:00:00:00:77
	in_ns inet ip neigh flush dev relay
	check "a transfer goes on when the next hop's MAC address changes" wait "$RECEIVER"
	equal "its session has the new address" "$(result moved-2 .mismatches)" 0
}

# More than the table holds: the broker is told, those who are there go on.
full_story() {
	end "$TRANSLATOR_PID"
	splice_detach
	splice_attach tc
	translator_start kernel --sessions 4
	broker_user f0 f1 f2 f3
	pair_start host1 f0 host2 f1 4
	local pair
	read -ra pair <<<"${PAIRS[3]}"
	refuse "a full translator refuses the fifth session" pair_start host1 f2 host2 f3 1
	spawn host2 full-2.json "$FLOW" --connect "${pair[4]}:${pair[5]}" --role echo
	check "the fourth is served" in_ns host1 "$FLOW" --connect "${pair[1]}:${pair[2]}" --role ping \
		--count 10 --seconds 0 --timeout $((5 * SLOW))
}

net_homes
check "splice attaches" splice_attach tc
broker_start
broker_user alice bob
translator_start kernel
peer_start host2 bob
peer_start host1 alice
peer host2 bob provide flow 127.0.0.1:7000 >/dev/null
peer host1 alice subscribe bob/flow 7100 >/dev/null
kill_story
control_story
refused_story
neighbour_story
idle_story
full_story
