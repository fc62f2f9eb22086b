#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# An address for every session (Unified Multiplex), with unmodified programs: sshd, nginx, unbound; ssh, scp, curl, dig. The
# network is drawn in lib/onetime.sh.

. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/sshd.sh"
. "${0%/*}/lib/onetime.sh"
need jq curl ssh sshd nginx unbound dig tcpdump /usr/bin/python3
LIB=$SELFTESTS/lib
CGROUP=

story_end() {
	onetime_detach_all
	[ -z "$CGROUP" ] || rmdir "$CGROUP" 2>/dev/null
}

server() { onetime_of server "$@"; }
alice() { onetime_of alice "$@"; }
at_server() { onetime_listener server "$1" "$2"; } # PID FILTER
sockstat() { server sockstat --json | jq -r ".sockets[] | select(.pid == $1) | $2"; }
get() { in_ns "$1" curl -sS --max-time "${4:-8}" "$(onetime_url "$2" "${3:-ends}")"; } # FROM ADDRESS [PATH [SECONDS]]
get_ea() { alice run -- curl -sS --max-time 8 "$(onetime_url "$1" "${2:-ends}")"; }
code() { local code=0 && "$@" >/dev/null 2>&1 || code=$?; echo $code; }
refused() { # NAME PATTERN cmd...
	local said
	if said=$("${@:3}" 2>&1); then not_ok "$1" "it was not: $said"; elif [[ $said =~ $2 ]]; then ok "$1"; else not_ok "$1" "$said"; fi
}
ends_of() { tail -n 1 "$TMP/access.log" | cut -d' ' -f1,3; } # of nginx's last request

# capture NS DEV NAME [FILTER...]: until capture_end NAME; packets are in $TMP/NAME.pcap
declare -A CAPTURE
capture() {
	spawn "$1" "$3.tcpdump.log" tcpdump --immediate-mode -U -nni "$2" -w "$TMP/$3.pcap" "${@:4}"
	CAPTURE[$3]=$SPAWNED
	wait_for 20 log_has "$3.tcpdump.log" "listening on"
}
captured() { # NAME: how many
	sleep 0.3
	end "${CAPTURE[$1]}"
	tcpdump -nnr "$TMP/$1.pcap" 2>/dev/null | wc -l
}
# Addresses of both pools that a capture has seen.
seen() { tcpdump -nnr "$TMP/$1.pcap" 2>/dev/null | grep -oE '2001:db8:(100|200):[0-9a-f:]*[0-9a-f]|2001:db8:(100|200)::[0-9a-f:]+' | sort -u; }

# ---- start

start() {
	onetime_net
	capture near far all
	head -c 50000000 /dev/urandom >"$TMP/big"
	mkdir -p "$TMP/www"
	head -c 8000000 "$TMP/big" >"$TMP/www/file"
	onetime_attach server
	server pool add eth0 2001:db8:100::/64
	server pool add eth0 2001:db8:101::/64 --reset
	server pool add eth0 198.51.100.0/28
	onetime_agent server
	onetime_nginx
	sshd_start server "[::]:22"
	SSHD=$SPAWNED
	wait_for 20 listening server t 22
}

start_alice() { # --strict|--lenient IPV4-POOL: an IPv4 pool is used up when it was prepared once
	onetime_attach alice --eas 1024 "$1" 2>>"$TMP/said"
	alice pool add eth0 2001:db8:200::/64 --client 2>>"$TMP/said"
	alice pool add eth0 "$2" --client 2>>"$TMP/said"
	alice run -- true 2>>"$TMP/said" # tells of the settings that it makes
	onetime_agent alice --eas 400
	wait_for 30 onetime_eas_are alice 6 400
}

# ---- das (IV), LISTEN0 and LISTEN (III.B)

das() {
	server listen "$SSHD" eth0 --das-required --name ssh >/dev/null
	equal "sshd: LISTEN0" "$(sockstat "$SSHD" '[.command, .proto, .local, .state] | join(" ")')" "sshd tcp *:22 LISTEN0"
	equal "das" "$(server das "$SSHD" eth0 ${P}:1 --json | jq -r '[.address, .command, .port] | join(" ")')" "${P}:1 sshd 22"
	equal "sshd: LISTEN" "$(sockstat "$SSHD" .state)" LISTEN
	refused "das twice for one address" "used" server das "$SSHD" eth0 ${P}:1
	server das "$SSHD" eth0 ${P}:2 >/dev/null
	server das "$SSHD" eth0 ${P}:3 >/dev/null
	local name i=0
	for name in alice bob carol; do
		i=$((i + 1))
		# shellcheck disable=SC2016 # of the shell there
		onetime_ssh $name ${P}:$i 'echo $SSH_CONNECTION' >"$TMP/ssh-$name" 2>"$TMP/ssh-$name.log" || true
	done
	equal "sshd: three clients, three addresses" "$(cut -d' ' -f1,3,4 "$TMP"/ssh-{alice,bob,carol} | paste -sd,)" \
		"$ALICE ${P}:1 22,$BOB ${P}:2 22,$CAROL ${P}:3 22"
	check "sshd: LISTEN0 again" wait_for 10 eval '[ "$(sockstat "$SSHD" .state)" = LISTEN0 ]'
	refused "sshd: the first address again" "onnect" onetime_ssh alice ${P}:1 -o ConnectTimeout=1 true
}

# ---- AUTO_SET: nginx

auto_set() {
	local name address
	server listen "$NGINX" eth0 --auto 64 --name web >/dev/null
	equal "nginx: LISTEN at once" "$(sockstat "$NGINX" '[.state, .auto_set] | join(" ")')" "LISTEN true"
	for name in alice bob carol; do
		address=$(server give web)
		equal "nginx: $name's own address" "$(get $name "$address")" "$(eval echo \$"${name^^}") $address"
		equal "nginx: it is in the log" "$(ends_of)" "$(eval echo \$"${name^^}") $address"
		echo "$address" >>"$TMP/web"
	done
	equal "nginx: three addresses" "$(sort -u "$TMP/web" | wc -l)" 3
	equal "the first, for another client: no answer" "$(code get bob "$(head -n 1 "$TMP/web")" ends 1)" 28
	equal "and for the same: no answer" "$(code get alice "$(head -n 1 "$TMP/web")" ends 1)" 28
}

# ---- a server of UDP

udp_server() {
	cat >"$TMP/unbound.conf" <<-CONF
		server:
			interface: ::1
			do-tcp: no
			so-reuseport: no
			do-daemonize: no
			use-syslog: no
			chroot: ""
			username: ""
			directory: "$TMP"
			pidfile: "$TMP/unbound.pid"
			access-control: ::/0 allow
			local-data: "www.story.example. A 192.0.2.99"
		remote-control:
			control-enable: no
	CONF
	spawn server unbound.log unbound -d -c "$TMP/unbound.conf"
	local unbound=$SPAWNED
	wait_for 20 listening server u 53
	server das "$unbound" eth0 ${P}:53 >/dev/null
	server das "$unbound" eth0 ${P}:54 >/dev/null
	equal "unbound: answers from its address" "$(in_ns bob dig +short +time=3 +tries=1 @${P}:53 www.story.example)" 192.0.2.99
	equal "unbound: not to a second client" "$(code in_ns carol dig +short +time=1 +tries=1 @${P}:53 www.story.example)" 9
	echo "nameserver ${P}:54" >"$TMP/resolv.conf"
	# shellcheck disable=SC2016 # of the shell there
	equal "unbound: the resolver of a client with an address of its own" "$(alice run -- unshare -m sh -c 'mount --bind "$0" /etc/resolv.conf &&
		exec getent ahostsv4 www.story.example' "$TMP/resolv.conf" | head -n 1 | cut -d' ' -f1)" 192.0.2.99
	refused "dig binds a socket itself: strict refuses it" "permission denied" alice run -- dig +short +time=1 +tries=1 @${P}:53 www.story.example
	equal "netstat: both sessions, by protocol" "$(server netstat --json | jq -r '[.sessions[] | select(.proto == "udp6") | .local.address] | sort | join(" ")')" \
		"${P}:53 ${P}:54"
}

# ---- large and long sessions, path MTU, the agent's death

large() {
	server das "$SSHD" eth0 ${P}:4 >/dev/null
	check "scp of 50 MB, an EA to a SSA" alice run -- scp -q "${ONETIME_SSH[@]}" -i "$TMP/user_key" "$TMP/big" "root@[${P}:4]:$TMP/copy"
	equal "scp: the same bytes" "$(sha256sum <"$TMP/copy")" "$(sha256sum <"$TMP/big")"
	at_least "path MTU: the client was told by ICMP" "$(onetime_count alice ICMP)" 1
	server das "$SSHD" eth0 ${P}:5 >/dev/null
	check "scp back" alice run -- scp -q "${ONETIME_SSH[@]}" -i "$TMP/user_key" "root@[${P}:5]:$TMP/copy" "$TMP/back"
	check "scp back: the same bytes" cmp "$TMP/back" "$TMP/big"
	at_least "path MTU: the server was told by ICMP" "$(onetime_count server ICMP)" 1
}

# hold NAME FROM ADDRESS: a session of ssh that has sent half of a file, and sends the rest on release, which says whether
# all has come.
hold() {
	local by=()
	[ "$2" != alice ] || by=(isthmus onetime run --instance "$INSTANCE-alice" --)
	mkfifo "$TMP/$1.in"
	spawn "$2" "$1.log" sh -c 'in=$0 && exec "$@" <"$in"' "$TMP/$1.in" "${by[@]}" ssh "${ONETIME_SSH[@]}" -i "$TMP/user_key" "root@$3" "head -c 8000000 >$TMP/$1"
	HOLDER[$1]=$SPAWNED
	eval "exec {HOLD_$1}>'$TMP/$1.in'"
	local fd=HOLD_$1
	head -c 4000000 "$TMP/www/file" >&"${!fd}"
	wait_for 20 test -s "$TMP/$1"
}
release() {
	local fd=HOLD_$1
	tail -c +4000001 "$TMP/www/file" >&"${!fd}"
	eval "exec {HOLD_$1}>&-"
	wait "${HOLDER[$1]}" && cmp "$TMP/$1" "$TMP/www/file"
}
declare -A HOLDER

agent_dies() {
	local pending
	server das "$SSHD" eth0 ${P}:6 >/dev/null
	hold long alice ${P}:6
	pending=$(server give web)
	end "$SERVER_AGENT" KILL
	end "$ALICE_AGENT" KILL
	equal "agents dead: what was given out is served" "$(get_ea "$pending" | cut -d' ' -f2)" "$pending"
	onetime_agent server
	SERVER_AGENT=$AGENT
	onetime_agent alice --eas 400
	ALICE_AGENT=$AGENT
	equal "netstat: the long session lives" "$(server netstat --json | jq -r ".sessions[] | select(.local.address == \"${P}:6\") | .state")" LIVE
	check "agents killed and restarted: the long session is whole" release long
	equal "the next agent knows the listener" "$(at_server "$NGINX" '"\(.name) \(.state)"')" "web LISTEN"
	equal "and gives others" "$(server give web | grep -cxF "$pending")" 0
}

. "${0%/*}/lib/onetime_after.sh"

start
SERVER_AGENT=$AGENT
start_alice --strict 203.0.113.0/28
ALICE_AGENT=$AGENT
das
auto_set
udp_server
large
agent_dies
scanner
reboot_server
clients
clients_choice
strict_and_lenient
refusals
ipv4
readable
