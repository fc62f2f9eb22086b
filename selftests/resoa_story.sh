#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Programs of clients without an address use the sockets of a server: web, ssh, halves, resets, urgent
# data, ends of file; what becomes of connections when a daemon is killed.
#
#   alice, bob, carol (no address)
#      isthmus-resoa ──── LHP ──── isthmus-resoad   server 192.0.2.1 ──── 192.0.2.2 peer
#                                                   2001:db8:1::1         2001:db8:1::2

. "${0%/*}/lib/net.sh"
need python3 curl
. "$SELFTESTS/lib/resoa.sh"

resoa_up
resoa_client alice

mkdir "$TMP/web"
echo "hello" >"$TMP/web/hello"
head -c 3000000 /dev/urandom >"$TMP/web/big"
spawn peer web.log busybox httpd -f -p 80 -h "$TMP/web"
spawn peer web6.log busybox httpd -f -p "[$PEER6]:8080" -h "$TMP/web"
wait_for 30 listening peer t 80

ends() { python3 "$SELFTESTS/lib/resoa_ends.py" "$@"; } # in this shell's network
of() { resoa_in "$1" python3 "$SELFTESTS/lib/resoa_ends.py" "${@:2}"; }
spawn peer peer4.log python3 "$SELFTESTS/lib/resoa_ends.py" serve $PEER4 7000
PEER=$SPAWNED
spawn peer peer6.log python3 "$SELFTESTS/lib/resoa_ends.py" serve $PEER6 7000
wait_for 30 listening peer t 7000

equal "the client has no address" "$(in_ns alice ip -br addr show scope global)" ""
equal "curl, IPv4" "$(resoa_in alice curl -sm 10 http://$PEER4/hello)" hello
equal "curl, IPv6" "$(resoa_in alice curl -sm 10 "http://[$PEER6]:8080/hello")" hello
check "3 MB, the same bytes" eval "resoa_in alice curl -sm 20 http://$PEER4/big | cmp - '$TMP/web/big'"

# ---- a connection's life

for family in 4 6; do
	address=PEER$family own=SERVER$family
	equal "IPv$family: its name is the server's, at both ends" "$(of alice name ${!address} 7000)" "same ${!own}"
	equal "IPv$family: a half is closed, the other still works" "$(of alice halves ${!address} 7000)" "300003 EOF EOF"
	equal "IPv$family: the peer ends first" "$(of alice first ${!address} 7000)" "bye EOF"
	equal "IPv$family: a reset comes after the bytes before it" "$(of alice reset_in ${!address} 7000 40000)" "40000 ECONNRESET"
	equal "IPv$family: urgent data comes" "$(of alice urgent ${!address} 7000)" "abc True ! def"
	of alice reset_out ${!address} 7000
	check "IPv$family: the peer has all that was sent after its end" wait_for 15 log_has peer$family.log 'first got 200000 EOF'
	check "IPv$family: the peer sees a reset" wait_for 15 log_has peer$family.log 'sink got 1000 ECONNRESET'
	check "IPv$family: urgent data goes, at its place" wait_for 15 log_has peer$family.log 'urgent got ab<cde.'
done
at_most "us to the end of file, 1 byte, half of them" "$(of alice eof $PEER4 7000 200 1)" $((5000 * SLOW))
at_most "us to the end of file, 200 kB, half of them" "$(of alice eof $PEER4 7000 100 200000)" $((5000 * SLOW))
equal "refused" "$(of alice connect $PEER4 7999)" ECONNREFUSED
equal "no host" "$(of alice connect 192.0.2.77 7999)" EHOSTUNREACH

congestion() { # cmd...: what a socket says before and after connect()
	"$@" python3 -c 'import socket, sys
s = socket.socket()
say = lambda: s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
before = say()
s.connect((sys.argv[1], 80))
print(before, say())' $PEER4
}
equal "the default congestion control is the server's" "$(congestion resoa_in alice)" "$(congestion in_ns server)"
equal "and without run" "$(congestion resoa_net alice)" "$(congestion in_ns server)"

# ---- three clients

resoa_client bob
resoa_client carol
for name in alice bob carol; do
	resoa_in $name curl -sm 30 http://$PEER4/big >"$TMP/big.$name" &
	FETCHES+=($!)
done
for name in alice bob carol; do wait "${FETCHES[0]}" && FETCHES=("${FETCHES[@]:1}"); done
for name in alice bob carol; do check "$name: 3 MB while the others do" cmp "$TMP/big.$name" "$TMP/web/big"; done

# ---- listeners

spawn - listen.log resoa_in bob python3 "$SELFTESTS/lib/resoa_ends.py" listen $SERVER4 0 2
wait_for 30 log_has listen.log 'listens on'
PORT=$(sed -n 's/listens on //p' "$TMP/listen.log")
check "the server listens" wait_for 15 listening server t "$PORT"
equal "a peer comes to a client's listener" "$(in_ns peer python3 "$SELFTESTS/lib/resoa_ends.py" send $SERVER4 "$PORT" 100000)" "100000 EOF"
equal "another client, by the address that is its own, too" "$(of carol send $SERVER4 "$PORT" 100000)" "100000 EOF"
check "the listener saw the peer's address" log_has listen.log "^$PEER4 100000 EOF"
check "and the other client's" log_has listen.log "^$SERVER4 100000 EOF"
check "it ends with its program" wait_for 15 eval "! listening server t $PORT"

# ---- ends of daemons

waiter() { # NAME LOG
	spawn - "$2" resoa_in "$1" python3 "$SELFTESTS/lib/resoa_ends.py" wait $PEER4 7000
	wait_for 30 log_has "$2" connected
}
waiter carol killed.log
end "${RESOA_PID[carol]}" KILL
check "the client's daemon is killed: ECONNRESET, no end of file" wait_for 15 log_has killed.log '^0 ECONNRESET'
check "the peer sees a reset" wait_for 15 log_has peer4.log 'sink got 0 ECONNRESET'
waiter alice server.log
end "$RESOA_SERVER" KILL
check "the server is killed: ECONNRESET" wait_for 15 log_has server.log '^0 ECONNRESET'
resoa_server
check "alice connects again, once the server is back" wait_for 30 eval "[ \"\$(of alice connect $PEER4 7000)\" = connected ]"
equal "curl, after that" "$(resoa_in alice curl -sm 10 http://$PEER4/hello)" hello
end "$PEER"
