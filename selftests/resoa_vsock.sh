#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A client by vsock, as in a virtual machine without any network device; here by the loopback of vsock, which few
# kernels have (CONFIG_VSOCKETS_LOOPBACK; Debian's do).
#
#   alice (no device but lo)
#      isthmus-resoa ──── vsock 1:PORT ──── isthmus-resoad   server 192.0.2.1 ──── 192.0.2.2 peer

. "${0%/*}/lib/net.sh"
need python3 curl
python3 -c 'import socket
listener = socket.socket(socket.AF_VSOCK)
listener.bind((1, socket.VMADDR_PORT_ANY))
listener.listen()
socket.socket(socket.AF_VSOCK).connect(listener.getsockname())' 2>/dev/null || {
	skip "$STORY" "this kernel has no loopback of vsock"
	exit 0
}
RESOA_LHP=vsock
. "$SELFTESTS/lib/resoa.sh"

resoa_up
resoa_client alice
check "the client has come by vsock" log_has resoad.log 'client alice: registered, by vsock from vsock 1:'
equal "it has no device but lo" "$(in_ns alice ip -br link | grep -cv '^lo ')" 0

mkdir "$TMP/web"
echo hello >"$TMP/web/hello"
head -c 3000000 /dev/urandom >"$TMP/web/big"
spawn peer web.log busybox httpd -f -p 80 -h "$TMP/web"
spawn peer ends.log python3 "$SELFTESTS/lib/resoa_ends.py" serve $PEER6 7000
wait_for 30 listening peer t 80
wait_for 30 listening peer t 7000
of() { resoa_in "$1" python3 "$SELFTESTS/lib/resoa_ends.py" "${@:2}"; }

equal "curl" "$(resoa_in alice curl -sm $((10 * SLOW)) http://$PEER4/hello)" hello
check "3 MB, the same bytes" eval "resoa_in alice curl -sm $((20 * SLOW)) http://$PEER4/big | cmp - '$TMP/web/big'"
equal "IPv6: its name is the server's, at both ends" "$(of alice name $PEER6 7000)" "same $SERVER6"
equal "a half is closed, the other still works" "$(of alice halves $PEER6 7000)" "300003 EOF EOF"

spawn - listen.log resoa_in alice python3 "$SELFTESTS/lib/resoa_ends.py" listen $SERVER4 0 1
wait_for 30 log_has listen.log 'listens on'
PORT=$(sed -n 's/listens on //p' "$TMP/listen.log")
equal "a peer comes to its listener" "$(in_ns peer python3 "$SELFTESTS/lib/resoa_ends.py" send $SERVER4 "$PORT" 100000)" "100000 EOF"

end "$RESOA_SERVER" KILL
resoa_server
check "the server is killed, and comes back" wait_for 30 eval "[ \"\$(of alice connect $PEER6 7000)\" = connected ]"
