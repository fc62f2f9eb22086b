#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make demo: two homes that cannot reach each other, joined in the kernel of a relay between them.
#
#   host1  curl, ssh, dig                                 host2  web server, sshd, DNS server
#   192.168.1.10                                          192.168.1.10
#     |                                                      |
#   nat1  192.0.2.2                                        nat2  198.51.100.2
#     +-------------------------- inet ----------------------+
#                                   |
#                        relay  203.0.113.10: broker, translator
#
# Everything is in network namespaces whose names carry this script's pid, and is removed at the end.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/splice.sh"
. "${0%/*}/lib/agents.sh"
. "${0%/*}/lib/routes.sh"
. "${0%/*}/lib/sshd.sh"
. "${0%/*}/lib/tell.sh"

ROUNDS=3
ROUTE_SECONDS=1

# ---- the way of an operator and of two users

relay_set_up() {
	tell "relay: put the splice datapath on its device"
	shown relay isthmus splice attach --dev wan --address "$RELAY4" --ports 20000-29999 \
		--instance "$INSTANCE" || fail "isthmus splice attach failed"
	tell "relay: start the broker, enrol two users and a translator"
	broker_start
	printf '            relay# isthmus-broker user add alice >alice.line\n'
	printf '            relay# isthmus-broker user add bob >bob.line\n'
	printf '            relay# isthmus-broker translator add ist >ist.line\n'
	broker_user alice bob carol dave
	translator_start kernel
	shown relay isthmus-translator status --control "$TMP/translator.sock"
}

provider_set_up() {
	tell "host2: start a web server, a DNS server$(have_ssh && echo ', an ssh server'), all unmodified, on 127.0.0.1"
	mkdir "$TMP/www"
	echo "<h1>A page behind a NAT</h1>" >"$TMP/www/index.html"
	head -c 100000000 /dev/urandom >"$TMP/www/100MB"
	spawn host2 httpd.log busybox httpd -f -p 127.0.0.1:8080 -h "$TMP/www"
	spawn host2 dnsmasq.log dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --user=root \
		--pid-file= --port=5353 --listen-address=127.0.0.1 --bind-interfaces \
		--address=/printer.home.example/192.168.1.77
	if have_ssh; then ssh_set_up; fi
	tell "host2: bob enrols and provides them"
	printf '            host2# isthmus-peer login %s <bob.line; isthmus-peer daemon &\n' "$RELAY4"
	peer_start host2 bob
	shown host2 isthmus-peer provide web 127.0.0.1:8080 --dir "$TMP/bob"
	shown host2 isthmus-peer provide dns 127.0.0.1:5353 --udp --dir "$TMP/bob"
	if have_ssh; then shown host2 isthmus-peer provide ssh 127.0.0.1:2222 --dir "$TMP/bob"; fi
}

have_ssh() { command -v sshd >/dev/null && command -v ssh >/dev/null; }

ssh_set_up() {
	cat >"$TMP/ssh_config" <<-CONF
		Host bob
		HostName 127.0.0.1
		Port 2200
		User root
		IdentityFile $TMP/user_key
		StrictHostKeyChecking no
		UserKnownHostsFile /dev/null
		BatchMode yes
	CONF
	sshd_start host2 127.0.0.1:2222
	wait_for 5 listening host2 t 2222 || fail "sshd does not start"
}

subscriber_set_up() {
	tell "host1: alice enrols, looks for services and subscribes"
	printf '            host1# isthmus-peer login %s <alice.line; isthmus-peer daemon &\n' "$RELAY4"
	peer_start host1 alice
	shown host1 isthmus-peer services --dir "$TMP/alice"
	shown host1 isthmus-peer subscribe bob/web 8000 --dir "$TMP/alice"
	shown host1 isthmus-peer subscribe bob/dns 5300 --dir "$TMP/alice"
	if have_ssh; then shown host1 isthmus-peer subscribe bob/ssh 2200 --dir "$TMP/alice"; fi
}

use_services() {
	local there here
	tell "host1: curl fetches a page"
	shown host1 curl -sS --max-time 20 http://localhost:8000/ || fail "no page"
	tell "host1: curl fetches 100 MB"
	in_ns host1 curl -sS --max-time 60 -o "$TMP/copy" -w '            %{size_download} bytes, %{speed_download} bytes/s, %{time_total} s\n' \
		http://localhost:8000/100MB || fail "no file"
	there=$(sha256sum <"$TMP/www/100MB") here=$(sha256sum <"$TMP/copy")
	printf '            sha256 at bob %.16s…, at alice %.16s…\n' "$there" "$here"
	[ "$there" = "$here" ] || fail "the file is not the same"
	tell "host1: dig asks the DNS server (UDP)"
	shown host1 dig +short +tries=2 +time=3 -p 5300 @127.0.0.1 printer.home.example
	[ "$(in_ns host1 dig +short +tries=2 +time=3 -p 5300 @127.0.0.1 printer.home.example)" = 192.168.1.77 ] ||
		fail "no answer from the DNS server"
	if have_ssh; then
		tell "host1: ssh runs a command"
		shown host1 ssh -q -F "$TMP/ssh_config" bob 'echo "a shell on port ${SSH_CONNECTION##* }"' || fail "ssh failed"
	else
		tell "no sshd here: ssh is left out"
	fi
	tell "relay: what it knows of the sessions"
	shown relay isthmus splice list --instance "$INSTANCE"
}

# ---- the measurement

# relay_as none|tc|xdp|relay: what the sessions of the next runs go through.
relay_as() {
	end "$TRANSLATOR_PID"
	splice_detach 2>/dev/null || true
	case $1 in
	none) ;;
	relay) translator_start relay ;;
	*)
		splice_attach "$1" || fail "isthmus splice attach --mode $1 failed: $(cat "$TMP/attach.log")"
		translator_start kernel
		;;
	esac
}

# run_pair NAME: a run whose ends connect to a session that was negotiated for them.
run_pair() {
	local lines=$((ROUND * 100 + ++PAIRED))
	broker_user "s$lines" "p$lines"
	pair_start host1 "s$lines" host2 "p$lines" 2
	run_seen "$1" "$(cut -d' ' -f3 <<<"${PAIRS[0]}") $(cut -d' ' -f6 <<<"${PAIRS[0]}") \
		$(cut -d' ' -f3 <<<"${PAIRS[1]}") $(cut -d' ' -f6 <<<"${PAIRS[1]}")" \
		measure_pair "$1" "${PAIRS[0]}" "${PAIRS[1]}"
	end "$SPAWNED_PAIR"
}

# run_seen NAME PORTS cmd...: also counts what relay's own stack gets of these ports.
run_seen() {
	local name=$1 ports=$2
	shift 2
	# shellcheck disable=SC2086
	seen_start $ports
	"$@"
	seen_packets >>"$TMP/$name.seen"
}

link_offloads() { in_ns inet ethtool -K relay tx "$1" gro "$2" >/dev/null; } # TX GRO of inet's side

measure_round() {
	tell "round $ROUND of $ROUNDS: direct, forwarding, NAT"
	relay_as none
	run_seen direct "7000 7001" measure_open direct "$NAT2_4"
	route_forward
	run_seen forward "7000 7001" measure_open forward "$NAT2_4"
	link_offloads off on
	run_seen forward-wire "7000 7001" measure_open forward-wire "$NAT2_4"
	link_offloads on off
	route_forward_end
	route_nat
	run_seen nat "7000 7001" measure_open nat "$RELAY4"
	link_offloads off on
	run_seen nat-wire "7000 7001" measure_open nat-wire "$RELAY4"
	link_offloads on off
	route_nat_end
	tell "round $ROUND of $ROUNDS: userspace relay, splice in tc, splice in XDP"
	relay_as relay
	run_pair relay
	relay_as tc
	run_pair tc
	relay_as xdp
	link_offloads off on
	run_pair xdp
	link_offloads on off
}

row() { # NAME TEXT
	awk -v text="$2" -v mbit="$(median_of "$1" 1)" -v rtt="$(median_of "$1" 2)" -v cpu="$(median_of "$1" 3)" \
		-v direct="$(median_of direct 3)" -v seen="$(sort -n "$TMP/$1.seen" | tail -n 1)" 'BEGIN {
		own = text == "direct route" ? "-" : sprintf("%.2f", cpu - direct)
		printf "  %-28s %10.2f %12.1f %16s %14d\n", text, mbit / 1000, rtt, own, seen }'
}

table() {
	printf '\n  %-28s %10s %12s %16s %14s\n' "" "throughput" "round trip" "CPU at relay" "packets that"
	printf '  %-28s %10s %12s %16s %14s\n' "route" "Gbit/s" "µs" "s for each GB" "relay's stack saw"
	row direct "direct route"
	row forward "kernel forwarding"
	row nat "kernel NAT"
	row relay "userspace relay"
	row tc "splice, tc"
	echo "  packets of wire size at relay, as from a NIC:"
	row forward-wire "kernel forwarding"
	row nat-wire "kernel NAT"
	row xdp "splice, XDP"
	cat <<-TEXT

	  Medians of $ROUNDS alternated runs of one TCP connection from host1 to host2. CPU at relay: busy time of the whole machine for
	  each GB, less that of the direct route (below 0: noise). The last column counts the session's packets at the relay's input hook, of which
	  any that reaches a process has to pass; the userspace relay is its control. In the lower rows the senders'
	  link to the relay has no transmit offloads (native XDP on veth needs this), so that each packet is one of 1500 bytes; in the upper
	  ones it may be one of 64 KB.
	TEXT
	awk -v tc="$(median_of tc 2)" -v xdp="$(median_of xdp 2)" -v forward="$(median_of forward 2)" \
		-v wire="$(median_of forward-wire 2)" 'BEGIN {
		printf "  Round trip over that of kernel forwarding: tc %.2f, XDP %.2f.\n", tc / forward, xdp / wire }'
}

verdict() {
	local saw
	saw=$(cat "$TMP/tc.seen" "$TMP/xdp.seen" | sort -n | tail -n 1)
	[ "$saw" = 0 ] || fail "relay's stack saw $saw packets of a splice"
	[ "$(sort -n "$TMP/relay.seen" | head -n 1)" -gt 0 ] || fail "the counter does not count: it saw no packet of the relay"
}

title "isthmus: two homes, one relay"
tell "make two homes behind NAT routers, both 192.168.1.0/24, and a public network between them"
net_homes
tell "they cannot reach each other: host1's curl of $NAT2_4:8080 says: $(
	in_ns host1 curl -sS --max-time 1 "http://$NAT2_4:8080/" 2>&1 | sed 's/.*) //' || true)"
relay_set_up
provider_set_up
subscriber_set_up
use_services

title "What each way costs"
routes_init
for ((ROUND = 1; ROUND <= ROUNDS; ROUND++)); do
	PAIRED=0
	measure_round
done
table
verdict
tell "done; removing it all"
