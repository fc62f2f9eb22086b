#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# make demo-resoa: hosts without any IP address use the sockets of a host that has one. The network is drawn in
# lib/resoa_wire.sh; it is in network namespaces whose names carry this script's pid, and is removed at the end.
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/sshd.sh"
. "${0%/*}/lib/resoa_wire.sh"
. "${0%/*}/lib/tell.sh"

SSH=(ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o LogLevel=ERROR -o ConnectTimeout=8)
CLIENTS=(c1 c2 c3)
SHOWN_BY=by

# by HOST cmd...: a client's commands are run among its exported sockets
by() {
	case $1 in
	c?) in_client "$@" ;;
	*) in_ns "$@" ;;
	esac
}

# must NAME GOT WANT
must() { [[ $2 == *$3* ]] || fail "$1: '$2', not '$3'"; }

set_up() {
	local name
	tell "server: one public address, $SERVER; a wire of Ethernet to three clients, where nobody has an address"
	wire_up
	for name in "${CLIENTS[@]}"; do
		net_ns "$name"
		wire_plug "$name" eth0
	done
	wire_key c1
	wire_key c2 "granted = 80"
	wire_key c3 "granted = 8888"
	wire_server ether:lhp0
	shown server isthmus-resoad client list --control "$TMP/resoad.sock"
	services
	tell "the clients: isthmus-resoa daemon --server ether:eth0/$LHP_MAC --key ..."
	for name in "${CLIENTS[@]}"; do
		wire_client "$name" "ether:eth0/$LHP_MAC" || fail "$name is not registered: $(tail -n 3 "$TMP/$name.log")"
	done
	tell "what c1 itself has of IP: nothing"
	printf '            c1# ip address\n'
	in_ns c1 ip address | sed 's/^/              /'
	must "addresses of c1's device" "$(in_ns c1 ip -br address show dev eth0 | awk '{ print NF }')" 2
}

services() {
	mkdir -p "$TMP/ftp"
	head -c 3000000 /dev/urandom >"$TMP/ftp/file"
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$TMP/key.pem" -out "$TMP/cert.pem" -days 2 -subj /CN=peer >"$TMP/openssl.log" 2>&1
	cat "$TMP/key.pem" "$TMP/cert.pem" >"$TMP/both.pem"
	spawn peer services.log /usr/bin/python3 "$SELFTESTS/lib/resoa_services.py" $PEER "$TMP/ftp" "$TMP/both.pem"
	sshd_start peer $PEER:22
	wait_for 30 listening peer t 21 && wait_for 30 listening peer t 22 || fail "no services at the peer"
}

# ---- programs

web_and_ssh() {
	tell "c1: curl and ssh, unchanged; the peer sees the server's address"
	shown c1 curl -sS --max-time 10 http://$PEER/ | tee "$TMP/said"
	must "curl" "$(cat "$TMP/said")" "you are $SERVER"
	# shellcheck disable=SC2016 # of the shell there
	shown c1 "${SSH[@]}" -i "$TMP/user_key" root@$PEER 'echo "ssh from: $SSH_CONNECTION"' | tail -n 1 | tee "$TMP/said"
	must "ssh" "$(cat "$TMP/said")" "ssh from: $SERVER"
}

# ftp HOST URL OPTION...: prints what curl told the server, and fetches the file
ftp() {
	curl_ftp "$@" >"$TMP/ftp.log" 2>&1 || fail "FTP: $(tail -n 3 "$TMP/ftp.log")"
	grep -aE '^> (AUTH|PBSZ|PROT|PORT|RETR)|^< (150|226)' "$TMP/ftp.log" | tr -d '\r' | sed 's/^/              /'
	cmp "$TMP/ftp/file" "$TMP/ftp-copy" || fail "the file is not the same"
}
curl_ftp() { by "$1" curl -v -sS --max-time 20 --ftp-port - --disable-eprt "${@:3}" -o "$TMP/ftp-copy" "$2"; }

active_ftp() {
	tell "c3: active FTP. curl asks getsockname() for its address, and tells it; the server connects back, and nothing helps on the way"
	printf '            c3# curl --ftp-port - ftp://%s/file\n' $PEER
	ftp c3 ftp://$PEER/file
	must "the address in PORT" "$(grep -a '^> PORT' "$TMP/ftp.log")" "PORT 192,0,2,1,"
	tell "c3: the same within TLS, where no helper could have looked"
	printf '            c3# ftplib.FTP_TLS of Python: %s\n' $PEER
	in_client c3 "$SELFTESTS/lib/resoa_ftps.py" $PEER 2121 "$TMP/ftps-copy" >"$TMP/ftps.log" 2>&1 || fail "FTPS: $(tail -n 3 "$TMP/ftps.log")"
	grep -E "AUTH|PROT|PORT|226" "$TMP/ftps.log" | sed 's/^/              /'
	cmp "$TMP/ftp/file" "$TMP/ftps-copy" || fail "the file is not the same"
	must "the address in PORT" "$(grep PORT "$TMP/ftps.log")" "PORT 192,0,2,1,"
}

exported_web() {
	tell "c2: a web server on port 80, which the server has granted it; reached from outside at the server's address"
	mkdir -p "$TMP/www"
	echo "c2's page" >"$TMP/www/index.html"
	printf '            c2# python3 -m http.server 80\n'
	spawn - web.log isthmus-resoa run --control "$TMP/c2.sock" -- /usr/bin/python3 -m http.server 80 --directory "$TMP/www"
	WEB=$SPAWNED
	wait_for 20 listening server t 80 || fail "no web server: $(cat "$TMP/web.log")"
	shown peer curl -sS --max-time 10 http://$SERVER/ | tee "$TMP/said"
	must "the exported web server" "$(cat "$TMP/said")" "c2's page"
	tell "its log has the peer's address; the port is nobody else's"
	wait_for 5 log_has web.log "GET / HTTP"
	sed 's/^/              /' "$TMP/web.log"
	must "the log" "$(cat "$TMP/web.log")" "$PEER"
	shown c1 /usr/bin/python3 -c 'import socket; socket.socket().bind(("", 80))' >"$TMP/said" || true
	tail -n 1 "$TMP/said"
	must "c1's bind" "$(cat "$TMP/said")" "Error"
}

datagrams() {
	tell "c1: UDP"
	shown c1 /usr/bin/python3 -c "$UDP" | tee "$TMP/said"
	must "UDP" "$(cat "$TMP/said")" "you are $SERVER"
	tell "which path the sockets take"
	shown server isthmus-resoad show --control "$TMP/resoad.sock"
}

# ---- beside SOCKS and NAT

UDP="import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(4); s.sendto(b'x',('$PEER',7777)); print(s.recv(99).decode(), end='')"
NAME="import socket; s=socket.create_connection(('$PEER',80),8); print(s.getsockname()[0])"
SERVE="import socket; s=socket.create_server(('',8888)); s.settimeout(12); c=s.accept()[0]; c.sendall(b'served'); c.close()"

works() { if "$@" >"$TMP/works" 2>&1 </dev/null; then echo yes; else echo no; fi; }
try_curl() { "$@" curl -sS --max-time 8 http://$PEER/ | grep -q "you are $SERVER"; }
try_ssh() { "$@" "${SSH[@]}" -i "$TMP/user_key" root@$PEER true; }
try_ftp() { rm -f "$TMP/copy" && "$@" curl -sS --max-time 8 --ftp-port - -o "$TMP/copy" ftp://$PEER/file && cmp "$TMP/ftp/file" "$TMP/copy"; }
try_ftps() {
	rm -f "$TMP/copy"
	"$@" timeout 20 "$SELFTESTS/lib/resoa_ftps.py" $PEER 2121 "$TMP/copy" && cmp "$TMP/ftp/file" "$TMP/copy"
}
try_udp() { "$@" timeout 6 /usr/bin/python3 -c "$UDP" | grep -q "you are $SERVER"; }
try_name() { [ "$("$@" timeout 10 /usr/bin/python3 -c "$NAME")" = $SERVER ]; }
try_serve() {
	"$@" timeout 12 /usr/bin/python3 -c "$SERVE" &
	local pid=$! got
	sleep 3
	got=$(in_ns peer curl -sS --http0.9 --max-time 3 http://$SERVER:8888/) || true
	kill "$pid" 2>/dev/null || true
	wait "$pid" || true
	[ "$got" = served ]
}

by_resoa() { in_client c3 "$@"; }

table() {
	local row column line
	tell "beside it, with an address on the same wire: dante and microsocks with proxychains, and NAT without helpers"
	compared_up
	printf '\n              %-46s %-6s %-6s %-11s %s\n' "" resoa dante microsocks NAT
	while IFS=: read -r row line; do
		printf '              %-46s' "$line"
		for column in "resoa:6" "dante:6" "microsocks:11" "nat:3"; do
			printf " %-${column#*:}s" "$(works "try_$row" "by_${column%:*}")" | tee -a "$TMP/table"
		done
		echo | tee -a "$TMP/table"
	done <<-ROWS
		curl:curl
		ssh:ssh
		ftp:active FTP
		ftps:active FTP within TLS
		serve:a program listens, and is reached from outside
		udp:UDP
		name:getsockname() is the public address
	ROWS
	echo
	! cut -c1-7 "$TMP/table" | grep -q no || fail "not all of it works by resoa"
}

title "isthmus resoa: the sockets of one host, used by others"
set_up
web_and_ssh
active_ftp
exported_web
datagrams
table
tell "done; removing it all"
