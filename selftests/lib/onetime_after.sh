# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# onetime_story.sh, second half: after the sessions. What it calls is there and in onetime.sh.

# ---- who saw all of it, and comes afterwards

scan() { in_ns scanner "$LIB/onetime_scan.py" 0.7 "$@"; } # PORT...; addresses: standard input

scanner() {
	local dropped told
	cp "$TMP/all.pcap" "$TMP/sofar.pcap"
	seen sofar >"$TMP/seen"
	at_least "the scanner has seen addresses of both pools" "$(grep -c '2001:db8:100:' "$TMP/seen")" 12
	at_least "and clients' ones" "$(grep -c '2001:db8:200:' "$TMP/seen")" 4
	server das "$SSHD" eth0 ${P}:7 >/dev/null
	hold live bob ${P}:7
	echo ${P}:7 >>"$TMP/seen"
	dropped=$(dropped)
	told=$(scan 80 22 8080 53 <"$TMP/seen")
	equal "all are tried by TCP, UDP and ICMP: no answer" "$(jq -c '[.connected, .answers]' <<<"$told")" "[0,0]"
	at_least "and counted as dropped" $(($(dropped) - dropped)) "$(($(jq .asked <<<"$told") / 2))"
	check "the session at one of them goes on" release live
	server give web >"$TMP/fresh"
	equal "a fresh address answers the scanner's host" "$(jq .connected < <(scan 8080 <"$TMP/fresh"))" 1
}

# At both hosts: packets for addresses that are nobody's, or another's.
dropped() {
	local name
	for name in server alice; do
		onetime_of $name stats --json | jq '[.reasons[] | select(.reason | IN("FREE", "TAKEN", "WRONG_PORT", "ICMP_DROPPED", "ENDED")).packets] | add'
	done | awk '{ sum += $1 } END { print sum }'
}

# ---- a reboot: nothing of the kernel's is left, what the agent has on disk is

reboot_server() {
	local first trace
	first=$(head -n 1 "$TMP/web")
	end "$SERVER_AGENT"
	server detach
	equal "reboot: no pool is left" "$(in_ns server ip -6 route show table local proto 105 | wc -l)" 0
	server attach --dev eth0
	server pool add eth0 2001:db8:100::/64
	server pool add eth0 2001:db8:101::/64 --reset
	server pool add eth0 198.51.100.0/28
	onetime_agent server
	SERVER_AGENT=$AGENT
	equal "reboot: an address of before" "$(code get alice "$first" ends 1)" 28
	refused "reboot: das of one that das had set" "used" server das "$SSHD" eth0 ${P}:1
	refused "reboot: das of one that was given" "used" server das "$SSHD" eth0 "$first"
	server listen "$NGINX" eth0 --auto 64 --name web >/dev/null
	for _ in $(seq 60); do server give web; done >"$TMP/given"
	equal "reboot: 60 given, none of before" "$(sort -u "$TMP/given" | grep -vcxFf "$TMP/seen")" 60
	trace=$(server trace "$first" --json)
	equal "trace: method, pool, name, and it has a number" "$(jq -r '[.method, .pool, .name, (.counter | type)] | join(" ")' <<<"$trace")" \
		"keyed 2001:db8:100:: web number"
	at_most "trace: when it was given" "$(($(date +%s) - $(jq .time <<<"$trace")))" 600
	equal "trace: what das set, for whom" "$(server trace ${P}:1 --json | jq -r '.method + " " + .name')" "das ssh"
	refused "trace: never given" "never given" server trace ${P}:7777
}

# ---- clients (II.A)

clients() {
	local i
	equal "curl: an address of its own" "$(get_ea $SERVER | grep -c '^2001:db8:200:')" 1
	: >"$TMP/access.log"
	for ((i = 0; i < 300; i++)); do printf 'url = "%s"\n' "$(onetime_url $SERVER)"; done >"$TMP/urls"
	alice run -- curl -sS --max-time 60 -H 'Connection: close' -K "$TMP/urls" >"$TMP/curls" || true
	equal "300 connects of curl: 300 addresses in nginx's log" "$(cut -d' ' -f1 "$TMP/access.log" | sort -u | grep -c '^2001:db8:200:')" 300
	equal "none of them was seen before" "$(cut -d' ' -f1 "$TMP/access.log" | grep -cxFf "$TMP/seen" || true)" 0
	equal "without it: the host's address" "$(get alice $SERVER | cut -d' ' -f1)" $ALICE
}

# A cgroup, a user.
clients_choice() {
	local root
	root=$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
	if [ -n "$root" ] && mkdir "$root/$NET" 2>/dev/null; then
		CGROUP=$root/$NET
		alice client add --cgroup "$CGROUP"
		equal "a cgroup: an address of its own" "$(in_cgroup get alice $SERVER | grep -c '^2001:db8:200:')" 1
		equal "and nobody else" "$(get alice $SERVER | cut -d' ' -f1)" $ALICE
		alice client del --cgroup "$CGROUP"
		equal "a cgroup no more" "$(in_cgroup get alice $SERVER | cut -d' ' -f1)" $ALICE
	else
		skip "clients in a cgroup" "no cgroup can be made"
	fi
	alice client add --user nobody
	equal "a user: an address of its own" "$(as_nobody | grep -c '^2001:db8:200:')" 1
	equal "root: not" "$(get alice $SERVER | cut -d' ' -f1)" $ALICE
	alice client del --user nobody
	equal "a user no more" "$(as_nobody | cut -d' ' -f1)" $ALICE
}
in_cgroup() { sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$CGROUP" bash -c "$(declare -f in_ns get onetime_url); NET=$NET; \"\$@\"" - "$@"; }
as_nobody() { in_ns alice setpriv --reuid=nobody --clear-groups curl -sS --max-time 8 "$(onetime_url $SERVER)"; }

strict_and_lenient() {
	local bound
	bound=$(onetime_count alice EA_BOUND_REFUSED)
	capture alice eth0 strict "src $ALICE and (tcp or udp)"
	refused "strict: a program that binds an address itself" "" alice run -- curl -sS --max-time 3 --interface $ALICE "$(onetime_url $SERVER)"
	equal "strict: it is counted" $(($(onetime_count alice EA_BOUND_REFUSED) - bound)) 1
	equal "strict: nothing has left with the host's address" "$(captured strict)" 0
	end "$ALICE_AGENT"
	alice detach
	start_alice --lenient 203.0.113.16/28
	capture alice eth0 lenient "src $ALICE and (tcp or udp)"
	equal "lenient: it passes" "$(alice run -- curl -sS --max-time 8 --interface $ALICE "$(onetime_url $SERVER)" | cut -d' ' -f1)" $ALICE
	at_least "lenient: with the host's address" "$(captured lenient)" 4
	equal "lenient: who binds none has an address of its own" "$(get_ea $SERVER | grep -c '^2001:db8:200:')" 1
}

refusals() {
	equal "a pool that resets: refused at once" "$(code get bob 2001:db8:101::9 ends 4)" 7
	equal "a silent pool: nothing" "$(code get bob ${P}:9 ends 1)" 28
	at_least "counted: told" "$(onetime_count server REFUSED_RST)" 1
}

ipv4() {
	local address
	server das "$NGINX" eth0 198.51.100.5 >/dev/null
	equal "IPv4 pool: its address, and the client's" "$(get bob 198.51.100.5)" "::ffff:192.0.2.18 ::ffff:198.51.100.5"
	equal "IPv4: a second session" "$(code get bob 198.51.100.5 ends 1)" 28
	refused "IPv4: das of the broadcast address" "reserved" server das "$NGINX" eth0 198.51.100.15
	refused "IPv4: das twice" "used" server das "$NGINX" eth0 198.51.100.5
	server das "$NGINX" eth0 198.51.100.6 >/dev/null
	equal "IPv4: a client with an address of its own" "$(get_ea 198.51.100.6 | grep -c '^::ffff:203\.0\.113\.[0-9]* ::ffff:198\.51\.100\.6$')" 1
}

readable() {
	local verb
	for verb in show addresses list netstat sockstat stats status "client show"; do
		# shellcheck disable=SC2086
		check "$verb: JSON" eval "server $verb --json | jq -es 'length == 1 and (.[0] | type) == \"object\"'"
	done
	equal "show: pools" "$(server show --json | jq -r '[.pools[] | .pool + " " + .state] | sort | join(",")')" \
		"198.51.100.0/28 UNCERTAIN,2001:db8:100::/64 UNCERTAIN,2001:db8:101::/64 UNCERTAIN"
}
