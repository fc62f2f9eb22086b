#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make demo-waypoint: two homes with the same inside addresses are reached from outside by their names.
#
#   alice 198.51.100.7 ─────┐                       ┌── home1 ── host1     host1, host2: 192.168.1.10, both; web,
#   carol 198.51.100.9,     │                       │   192.0.2.2          ssh, FTP and DNS servers, unmodified,
#         2001:db8:1::9 ────┤                       │                      on the ports that everyone knows
#   resolver (unbound) ─────┴─ inet ────────────────┼── isp ── home2 ── host2
#                              │ │                  │   192.0.2.10  100.64.0.2
#   dns: isthmus-dns ──────────┘ │                  └   (home2 is behind an ISP's NAT, too)
#   wp: isthmus-waypoint ────────┘
#
# Everything is in network namespaces whose names carry this script's pid, and is removed at the end.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/aves.sh"
. "${0%/*}/lib/sshd.sh"
. "${0%/*}/lib/tell.sh"

HOME1=nas.home1.$ZONE
HOME2=nas.home2.$ZONE
INSIDE=192.168.1.10
FILE_BYTES=3000000

# named HOST cmd...: like shown, with the resolver in HOST's resolv.conf
named() { SHOWN_BY=with_names shown "$@"; }
# typed HOST WORDS: a command whose output is not shown, or that only looks so where it is at home
typed() { printf '            %s# %s\n' "$1" "$2"; }
indented() { sed 's/^/              /'; }
# table HOST cmd...: without the last option, by which this demo's agents are told from others
table() {
	typed "$1" "${*:2:$#-3}"
	in_ns "$@" | indented
}

# ---- the operator

operator_set_up() {
	tell "the network: two homes, a name server, a waypoint with three addresses, clients and their resolver"
	aves_net
	in_ns alice sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1 # carol has both families
	echo "alice A $ALICE" >>"$TMP/$ZONE.zone"
	tell "dns: the operator's name server for $ZONE; wp: the waypoint, in XDP"
	typed dns "isthmus-dns run --zone $ZONE=/etc/isthmus/$ZONE.zone --members-public $DNS:3481 &"
	aves_dns
	typed wp "isthmus waypoint attach --dev eth0 --mode xdp"
	typed dns "isthmus-dns waypoint add wp1 >wp1.line"
	typed wp "isthmus-waypoint join <wp1.line"
	typed wp "isthmus-waypoint run --tunnel $WP ${W[*]/#/--address } --prefix6 2001:db8:9::/64 &"
	aves_waypoint xdp 2>"$TMP/attach.log"
	aves_unbound
}

# ---- two subscribers; the three steps are the paper's (section 5.5)

subscribe() {
	local home
	tell "to subscribe, step 1: each home gets a subdomain of the operator"
	for home in home1 home2; do
		typed dns "isthmus-dns gateway add $home.$ZONE >$home.line"
		dns_says gateway add "$home.$ZONE" >"$TMP/$home.line" || fail "isthmus-dns gateway add failed"
		typed $home "isthmus-gateway join <$home.line"
		in_ns $home isthmus-gateway join --credentials "$TMP/$home.secret" <"$TMP/$home.line" >/dev/null ||
			fail "isthmus-gateway join failed"
	done
	tell "step 2: it says which of its hosts have which names; these are all the home's configuration"
	for home in home1 home2; do
		echo "nas $INSIDE" >"$TMP/$home.hosts"
		typed $home "cat /etc/isthmus/gateway.hosts"
		indented <"$TMP/$home.hosts"
	done
	tell "step 3: it runs the gateway's daemon, which also attaches the datapath"
	for home in 1 2; do
		aves_offloads home$home wan xdp
		aves_offloads home$home lan xdp
		typed home$home "isthmus-gateway run --attach xdp &"
		aves_gateway_run $home --attach xdp
	done
	aves_ready home1 home2 || fail "no tunnel"
	table home2 isthmus-gateway status --control "$TMP/home2.sock" || fail "isthmus-gateway status failed"
}

# ---- the servers in both homes

servers_set_up() {
	local home
	tell "host1, host2: web server, ssh server, FTP server, DNS server, all at $INSIDE, on ports 80, 22, 21, 53"
	for home in 1 2; do
		mkdir "$TMP/www$home" "$TMP/ftp$home"
		echo "<h1>the page of home$home</h1>" >"$TMP/www$home/index.html"
		head -c $FILE_BYTES /dev/urandom >"$TMP/www$home/file"
		head -c $FILE_BYTES /dev/urandom >"$TMP/ftp$home/file"
		servers_start $home
	done
	for home in 1 2; do
		for port in 21 22 80; do
			wait_for 20 listening host$home t $port || fail "no server on port $port of host$home"
		done
	done
}

servers_start() { # NUMBER
	spawn "host$1" "httpd$1.log" busybox httpd -f -p $INSIDE:80 -h "$TMP/www$1"
	spawn "host$1" "dnsmasq$1.log" dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file= \
		--listen-address=$INSIDE --bind-interfaces "--txt-record=where.home,a DNS server in home$1"
	spawn "host$1" "ftpd$1.log" /usr/bin/python3 -m pyftpdlib -i $INSIDE -p 21 -d "$TMP/ftp$1" -w
	sshd_start "host$1" $INSIDE:22
	echo "nas.home$1.$ZONE $(cut -d' ' -f1,2 "$TMP/host_key_host$1.pub")" >>"$TMP/known_hosts"
}

# What the user of alice has in ~/.ssh: both servers' keys, and they must be right.
ssh_config() {
	cat >"$TMP/ssh_config" <<-CONF
		User root
		IdentityFile $TMP/user_key
		UserKnownHostsFile $TMP/known_hosts
		GlobalKnownHostsFile /dev/null
		StrictHostKeyChecking yes
		BatchMode yes
		LogLevel ERROR
		ConnectTimeout 10
	CONF
}

# ---- the clients

# The control: nothing of what follows comes in by itself.
without_waypoint() {
	tell "alice: the home's own address lets nobody in, nor does a waypoint address for which nobody has asked"
	typed alice "curl --max-time 2 http://192.0.2.2/"
	! in_ns alice curl -sS --max-time 2 http://192.0.2.2/ 2>&1 | indented || fail "a way in past the NAT"
	typed alice "curl --max-time 1 http://${W[0]}/"
	! in_ns alice curl -sS --max-time 1 "http://${W[0]}/" 2>&1 | indented || fail "a way in without a binding"
}

ping_and_web() {
	tell "alice: ping, by name"
	named alice ping -c3 -i0.2 -W3 $HOME1 || fail "no ping of home1"
	named alice ping -c3 -i0.2 -W3 $HOME2 || fail "no ping of home2"
	tell "alice: the same inside address, the same port 80, two pages"
	page alice 1
	page alice 2
	tell "alice: $FILE_BYTES bytes from each at the same time"
	local pids=() pid home
	for home in 1 2; do
		typed alice "curl -o copy$home http://nas.home$home.$ZONE/file &"
		with_names alice curl -sS --max-time 20 -o "$TMP/copy$home" "http://nas.home$home.$ZONE/file" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid" || fail "no file"; done
	same www1/file copy1
	same www2/file copy2
	tell "wp: alice's bindings"
	table wp isthmus waypoint list --instance "$INSTANCE"
}

page() { # HOST NUMBER
	typed "$1" "curl http://nas.home$2.$ZONE/"
	with_names "$1" curl -sS --max-time 10 "http://nas.home$2.$ZONE/" >"$TMP/page" || fail "no page of home$2"
	indented <"$TMP/page"
	cmp "$TMP/page" "$TMP/www$2/index.html" || fail "not the page of home$2"
}

same() { # FILE COPY
	cmp "$TMP/$1" "$TMP/$2" || fail "$2 is not what was sent"
	printf '              %s: %d bytes, the same\n' "$2" "$(wc -c <"$TMP/$2")"
}

shells() {
	local home
	ssh_config
	tell "alice: ssh to both, each host key checked; the servers see alice's own address"
	for home in 1 2; do
		typed alice "ssh root@nas.home$home.$ZONE 'echo \$SSH_CONNECTION'"
		# shellcheck disable=SC2016 # of the shell there
		with_names alice ssh -F "$TMP/ssh_config" "nas.home$home.$ZONE" 'echo "$SSH_CONNECTION"' >"$TMP/seen$home" ||
			fail "no shell in home$home"
		indented <"$TMP/seen$home"
		grep -Eqx "$ALICE [0-9]+ $INSIDE 22" "$TMP/seen$home" || fail "home$home does not see alice"
	done
	typed alice "scp copy1 root@$HOME2:copied"
	with_names alice scp -q -F "$TMP/ssh_config" "$TMP/copy1" "$HOME2:$TMP/copied" || fail "scp failed"
	same copy1 copied
}

datagrams() {
	local home
	tell "alice: UDP, to a DNS server in each home"
	for home in 1 2; do
		named alice dig +short +tries=2 +time=3 @nas.home$home.$ZONE where.home TXT | tee "$TMP/told"
		grep -qx " *\"a DNS server in home$home\"" "$TMP/told" || fail "no answer of home$home's DNS server"
	done
}

traces() {
	tell "alice: traceroute, with UDP and with ICMP; the home's router and the host are hops as any others"
	trace alice $HOME1 home1
	trace alice -I $HOME2 home2
	tell "host1, host2: traceroute the other way; the routers' own NAT works as before"
	trace host1 alice.$ZONE out1
	trace host2 -I alice.$ZONE out2
}

# Each hop has to answer, and the last one to be the destination.
trace() { # HOST WORDS... LOG
	local host=$1 log=$TMP/trace-${*: -1}
	set -- traceroute -w 2 -q 1 "${@:2:$#-2}"
	typed "$host" "$*"
	with_names "$host" "$@" >"$log" 2>&1 || fail "traceroute failed: $(cat "$log")"
	indented <"$log"
	if grep -q '\*' "$log"; then fail "a hop is silent"; fi
	[ "$(tail -n 1 "$log" | grep -o '([0-9.]*)')" = "$(head -n 1 "$log" | grep -o '([0-9.]*)')" ] || fail "it does not arrive"
}

ftp() {
	tell "alice: active FTP, for which the server connects back; nothing on the way knows FTP"
	ftp_get alice 1 active --ftp-port -
	ftp_get alice 2 active --ftp-port -
	tell "alice: passive FTP, on a second port of the same waypoint address; and a file the other way"
	ftp_get alice 1 passive --ftp-pasv
	ftp_get alice 2 passive --ftp-pasv
	typed alice "curl -T copy1 ftp://$HOME2/sent"
	with_names alice curl -sS --max-time 20 -T "$TMP/copy1" "ftp://$HOME2/sent" || fail "FTP to home2 failed"
	same copy1 ftp2/sent
}

ftp_get() { # HOST NUMBER NAME OPTION...
	local copy=$3-$1-$2
	typed "$1" "curl ${*:4} -o $copy ftp://nas.home$2.$ZONE/file"
	with_names "$1" curl -sS --max-time 20 "${@:4}" -o "$TMP/$copy" "ftp://nas.home$2.$ZONE/file" || fail "FTP from home$2 failed"
	same "ftp$2/file" "$copy"
}

second_client() {
	tell "carol: IPv4, beside alice"
	named carol ping -4 -c3 -i0.2 -W3 $HOME2 || fail "no ping by carol"
	tell "carol: IPv6, to a host that has IPv4 only: it has an address for that, and needs no binding"
	named carol dig +short $HOME1 AAAA
	named carol ping -c3 -i0.2 -W3 $HOME1 || fail "no ping by IPv6"
	page6 1
	page6 2
	ftp_get carol 1 passive --ftp-pasv -6
}

page6() { # NUMBER: without an option IPv6 is preferred
	page carol "$1"
	with_names carol curl -sS --max-time 10 -o /dev/null -w '%{remote_ip}\n' "http://nas.home$1.$ZONE/" >"$TMP/page"
	sed 's/^/              from /' "$TMP/page"
	grep -q '^2001:db8:9:' "$TMP/page" || fail "that was not IPv6"
}

# ---- what each machine knows

tables() {
	tell "wp: who is bound to whom, and what became of every packet"
	table wp isthmus waypoint list --instance "$INSTANCE" || fail "isthmus waypoint list failed"
	table wp isthmus-waypoint status --control "$TMP/wp.sock" || fail "isthmus-waypoint status failed"
	table wp isthmus waypoint stats --instance "$INSTANCE" | awk '$3 != "0"'
	tell "home2: its end of the tunnel"
	table home2 isthmus gateway show --instance "$INSTANCE-2" || fail "isthmus gateway show failed"
	tell "dns: members, and what was asked"
	table dns isthmus-dns status --control "$TMP/dns.sock" | grep -E '#|zone|gateway|waypoint|binding' || fail "isthmus-dns status failed"
}

# Nothing may have been lost, whatever the client made of it.
no_losses() {
	local name
	for name in wp home1 home2; do
		losses $name >"$TMP/losses" || fail "no counters of $name"
		[ ! -s "$TMP/losses" ] || fail "$name dropped: $(cat "$TMP/losses")"
	done
}

losses() { # NAME
	local stem=gateway instance=$INSTANCE-${1#home}
	if [ "$1" = wp ]; then stem=waypoint instance=$INSTANCE; fi
	in_ns "$1" isthmus $stem stats --instance "$instance" --json | jq -r '.reasons[] | select(.packets > 0 and (.reason |
		IN("VIOLATED", "REFUSED", "PENALISED", "FORGED", "REPLAYED", "FOREIGN", "MALFORMED", "UNFINISHED", "SEND_FAILED",
		"NO_PEER", "FLOW_FULL", "BIND_FULL", "UNTRANSLATABLE"))) | "\(.reason) \(.packets)"'
}

title "isthmus waypoint: a name is enough"
operator_set_up
subscribe
servers_set_up
title "From outside, with unmodified programs"
without_waypoint
ping_and_web
shells
datagrams
traces
ftp
second_client
title "What the machines know"
tables
no_losses
tell "done; removing it all"
