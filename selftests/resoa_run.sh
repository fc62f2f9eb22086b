#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What programs find under `isthmus-resoa run`: their own exit status, environment and descriptors, the server's
# files and ports. Two clients share the ports of one server; nobody is a user without privileges.
#
#   run, shell ── c1 ─┐
#   run        ── c2 ─┼── isthmus-resoad ── server 192.0.2.1 ── peer 192.0.2.2: echo 7000
#   run, nobody ─ c3 ─┘     its own /etc
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/resoa.sh"
need python3 jq dnsmasq

P=$SELFTESTS/lib/resoa_run.py
NOBODY=(setpriv --reuid=65534 --regid=65534 --clear-groups)
run_of() { isthmus-resoa run --control "$TMP/$1.sock" "${@:2}"; } # NAME [OPTION...] -- cmd...
status_of() { # cmd...: its exit status
	local status=0
	"$@" >"$TMP/out.log" 2>&1 </dev/null || status=$?
	echo $status
}
said() { run_of "$1" -- python3 "$P" "${@:2}"; }
hold() { # NAME LOG bind...: a program that binds; its pid is SPAWNED
	# The pid is the program's: run becomes it.
	spawn - "$2" isthmus-resoa run --control "$TMP/$1.sock" -- python3 "$P" bind "${@:3}" hold
	wait_for 10 log_has "$2" .
}
is_free() { [[ $(said "$1" bind tcp 0.0.0.0 "$2") == bound* ]]; }

# The server has an /etc of its own.
mkdir "$TMP/etc" "$TMP/bin"
printf '127.0.0.1 localhost\n203.0.113.99 at-the-server.example\n' >"$TMP/etc/hosts"
printf 'nameserver 127.0.0.1\nsearch server.example\noptions timeout:1 attempts:2\n' >"$TMP/etc/resolv.conf"
printf 'passwd: files\nhosts: files dns\n' >"$TMP/etc/nsswitch.conf"
cat >"$TMP/bin/isthmus-resoad" <<WRAP
#!/bin/sh
[ "\$1" = run ] || exec $B/isthmus-resoad "\$@"
exec unshare -m sh -c 'mount --make-rprivate / && for f in hosts resolv.conf nsswitch.conf; do
	mount --bind $TMP/etc/\$f /etc/\$f || exit 1; done; exec $B/isthmus-resoad "\$@"' resoad "\$@"
WRAP
chmod 755 "$TMP/bin/isthmus-resoad"
PATH=$TMP/bin:$PATH
chmod 711 "$TMP"

resoa_up
spawn peer echo.log python3 "$P" echo 7000
wait_for 10 listening peer t 7000
for name in c1 c2 c3; do
	(umask 077 && isthmus-resoad client add $name --clients "$TMP/resoad.clients" >"$TMP/$name.key")
done
sed -i 's/^\[client.*/&\nany-port = yes/' "$TMP/resoad.clients"
kill -HUP "$RESOA_SERVER"
resoa_client c1
resoa_client c2
resoa_client c3 --group nogroup

# ---- a program is itself

equal "exit status" "$(status_of run_of c1 -- sh -c 'exit 7')" 7
equal "exit status of success" "$(status_of run_of c1 -- true)" 0
equal "end by a signal" "$(status_of run_of c1 -- sh -c 'kill -TERM $$')" 143
equal "no such program" "$(status_of run_of c1 -- "$TMP/none")" 127
equal "no program at all" "$(status_of run_of c1 -- /etc/passwd)" 126
equal "without a program" "$(status_of run_of c1)" 2
equal "without a daemon" "$(status_of isthmus-resoa run --control "$TMP/none.sock" -- true)" 3
check "that is told" grep -q "does it run" "$TMP/out.log"
equal "shell" "$(echo 'exit 5' | SHELL=/bin/sh isthmus-resoa shell --control "$TMP/c1.sock" >/dev/null 2>&1 || echo $?)" 5
equal "shell takes no words" "$(status_of isthmus-resoa shell --control "$TMP/c1.sock" now)" 2
equal "environment, folder and arguments" \
	"$(cd / && WORD='a b' run_of c1 -- sh -c 'echo "$WORD|$PWD|$1|$2"' name 'c d' --json)" 'a b|/|c d|--json'
exec 7<<<"of the caller"
equal "descriptors" "$(run_of c1 -- sh -c 'cat <&7; cat' <<<"input")" $'of the caller\ninput'
exec 7<&-
equal "user and groups" "$(run_of c1 -- id)" "$(id)"
equal "addresses are the server's" \
	"$(run_of c1 -- ip -j addr show dev e0 | jq -r '.[].addr_info[] | select(.scope == "global").local' | sort | paste -sd' ')" \
	"192.0.2.1 2001:db8:1::1"
equal "run inside run" "$(run_of c1 -- isthmus-resoa run --control "$TMP/c1.sock" -- python3 "$P" from $PEER4 7000)" \
	"192.0.2.1 192.0.2.2 True"

# ---- the server's files

equal "a name of the server's hosts" "$(run_of c1 -- getent ahostsv4 at-the-server.example | awk 'NR == 1 { print $1 }')" 203.0.113.99
refuse "which this host has not" getent ahostsv4 at-the-server.example
equal "a name server of the server's loopback has another name" \
	"$(run_of c1 -- sed -n 's/^nameserver //p' /etc/resolv.conf)" 192.0.0.8
equal "hosts: is the server's" "$(run_of c1 -- sed -n 's/^hosts: *//p' /etc/nsswitch.conf)" "files dns"
equal "the rest of nsswitch.conf is ours" "$(run_of c1 -- grep -v ^hosts: /etc/nsswitch.conf)" \
	"$(grep -v ^hosts: /etc/nsswitch.conf)"
refuse "they cannot be written" run_of c1 -- sh -c 'echo 127.0.0.1 x >>/etc/hosts'
refuse "nothing is mounted outside" grep -q "$TMP/c1.sock.files" /proc/self/mountinfo

spawn server dns.log dnsmasq -k -C /dev/null --listen-address=127.0.0.1 --bind-interfaces --no-resolv --no-hosts --pid-file= \
	--address=/www.server.example/203.0.113.55
wait_for 10 listening server u 53
equal "a name of a name server on the server's loopback" \
	"$(run_of c1 -- getent ahostsv4 www | awk 'NR == 1 { print $1 }')" 203.0.113.55
end "$SPAWNED"

# ---- ports

equal "bind, and its name" "$(said c1 bind tcp 0.0.0.0 8080)" "bound 0.0.0.0 8080"
equal "UDP" "$(said c1 bind udp 0.0.0.0 8080)" "bound 0.0.0.0 8080"
equal "IPv6" "$(said c1 bind tcp :: 8080)" "bound :: 8080"
equal "the server's address" "$(said c1 bind tcp 192.0.2.1 8080)" "bound 192.0.2.1 8080"
equal "a foreign address" "$(said c1 bind tcp 198.51.100.7 8080)" EADDRNOTAVAIL
equal "loopback" "$(said c1 bind tcp 127.0.0.1 8080)" "bound 127.0.0.1 8080"
equal "one port twice" "$(said c1 twice 8081)" EADDRINUSE
read -r port same <<<"$(said c1 auto)"
equal "an automatic port has its name at once" "$same" True
check "and is of the block" test "$port" -ge "$(isthmus-resoa status --json --control "$TMP/c1.sock" | jq '.registered.ports[0]')" \
	-a "$port" -le "$(isthmus-resoa status --json --control "$TMP/c1.sock" | jq '.registered.ports[1]')"
hold c1 hold.log tcp 0.0.0.0 8090
equal "bound" "$(cat "$TMP/hold.log")" "bound 0.0.0.0 8090"
equal "another client's port" "$(said c2 bind tcp 0.0.0.0 8090)" EADDRINUSE
equal "its port of the other protocol" "$(said c2 bind udp 0.0.0.0 8090)" "bound 0.0.0.0 8090"
end "$SPAWNED" KILL
check "is free soon after kill -9" wait_for 3 is_free c2 8090
spawn - close.log isthmus-resoa run --control "$TMP/c1.sock" -- python3 "$P" bind tcp 0.0.0.0 8091 close
wait_for 10 log_has close.log bound
check "and after close(), while its program runs" wait_for 3 is_free c2 8091
check "still running" alive "$SPAWNED"
end "$SPAWNED"
hold c1 udp.log udp :: 8092
equal "IPv6 and IPv4 are held" "$(said c2 bind udp 0.0.0.0 8092)" EADDRINUSE
end "$SPAWNED" KILL
check "and given back" wait_for 3 is_free c2 8092
spawn server own.log python3 "$P" bind tcp 0.0.0.0 8093 hold
wait_for 10 log_has own.log bound
equal "the server's own port" "$(said c1 bind tcp 0.0.0.0 8093)" EADDRINUSE
end "$SPAWNED"

# ---- descriptors: the same program on the server itself and here

in_ns server python3 "$P" descriptors $PEER4 7000 >"$TMP/local" 2>&1 || true
run_of c1 -- python3 "$P" descriptors $PEER4 7000 >"$TMP/remote" 2>&1 || true
at_least "the server's own program says" "$(wc -l <"$TMP/local")" 8
check "dup, fork, exec, epoll and passing are as there" diff "$TMP/local" "$TMP/remote"
run_of c1 -- python3 "$P" descriptors $PEER6 7000 >"$TMP/remote6" 2>&1 || true
check "also by IPv6" diff "$TMP/local" "$TMP/remote6"

# ---- what only the server's sockets know

in_ns server ip route add $PEER4/32 dev eth0 mtu 1300
in_ns server ip -6 route add $PEER6/128 dev eth0 mtu 1400
in_ns server sysctl -qw net.ipv4.tcp_congestion_control=reno
local4=$(in_ns server python3 "$P" values $PEER4 7000)
equal "the server's own program says of its path" "$local4" "mtu 1300 mss 1248 reno state 1"
equal "MTU, MSS, congestion control are the server's" "$(said c1 values $PEER4 7000)" "$local4"
equal "IPv6" "$(said c1 values $PEER6 7000)" "$(in_ns server python3 "$P" values $PEER6 7000)"
spawn - accepted.log isthmus-resoa run --control "$TMP/c1.sock" -- python3 "$P" accepted 8095
wait_for 10 listening server t 8095
in_ns peer python3 "$P" from 192.0.2.1 8095 >/dev/null 2>&1 || true
wait_for 10 log_has accepted.log mtu
equal "of an accepted connection" "$(cat "$TMP/accepted.log")" "$local4"
in_ns server ip route del $PEER4/32 dev eth0 mtu 1300
in_ns server ip -6 route del $PEER6/128 dev eth0 mtu 1400

# ---- static programs

if gcc -static -o "$TMP/static" "$SELFTESTS/lib/resoa_static.c" 2>"$TMP/gcc.log"; then
	chmod 755 "$TMP/static"
	equal "static" "$(run_of c1 -- "$TMP/static" 8100 $PEER4 7000)" "192.0.2.1 8100 static"
	equal "static, --dual" "$(run_of c1 --dual -- "$TMP/static" 8101 $PEER4 7000)" "192.0.2.1 8101 static"
	equal "static, nobody" "$("${NOBODY[@]}" isthmus-resoa run --control "$TMP/c3.sock" -- "$TMP/static" 8102 $PEER4 7000)" \
		"192.0.2.1 8102 static"
else
	skip "static programs" "no libc for them: $(head -n 1 "$TMP/gcc.log")"
fi

# ---- in its own network

equal "--dual: names are the server's" "$(run_of c1 --dual -- python3 "$P" from $PEER4 7000)" "192.0.2.1 192.0.2.2 True"
equal "--dual: the network is its own" "$(run_of c1 --dual -- readlink /proc/self/ns/net)" "$(readlink /proc/self/ns/net)"
equal "--dual: bind is asked for" "$(run_of c1 --dual -- python3 "$P" bind tcp 0.0.0.0 8093)" "bound 0.0.0.0 8093"
run_of c1 --dual -- python3 "$P" descriptors $PEER4 7000 >"$TMP/dual" 2>&1 || true
check "--dual: descriptors are as on the server" diff "$TMP/local" "$TMP/dual"

# ---- nobody

nobody() { "${NOBODY[@]}" isthmus-resoa run --control "$TMP/c3.sock" -- "$@"; }
equal "nobody: names are the server's" "$(nobody python3 "$P" from $PEER4 7000)" "192.0.2.1 192.0.2.2 True"
equal "nobody: IPv6" "$(nobody python3 "$P" from $PEER6 7000)" "2001:db8:1::1 2001:db8:1::2 True"
equal "nobody: is still nobody" "$(nobody id -u)" 65534
equal "nobody: bind is asked for" "$(nobody python3 "$P" bind tcp 0.0.0.0 8110)" "bound 0.0.0.0 8110"
equal "nobody: privileged ports" "$(nobody python3 "$P" bind tcp 0.0.0.0 90)" EACCES
equal "nobody: another daemon is not for him" \
	"$(status_of "${NOBODY[@]}" isthmus-resoa run --control "$TMP/c1.sock" -- true)" 3
cp "$B/isthmus-resoa" "$TMP/suid"
chmod 4755 "$TMP/suid"
suid() { "${NOBODY[@]}" "$TMP/suid" run --control "$TMP/c3.sock" "$@"; }
equal "set-user-ID: the server's network" "$(suid -- python3 "$P" from $PEER4 7000)" "192.0.2.1 192.0.2.2 True"
equal "set-user-ID: the server's files" "$(suid -- getent ahostsv4 at-the-server.example | awk 'NR == 1 { print $1 }')" 203.0.113.99
equal "set-user-ID: nobody again" "$(suid -- id -u)$(suid -- sed -n 's/^CapPrm:\t*//p' /proc/self/status)" 655340000000000000000
echo 'secret = here' >"$TMP/secret"
chmod 600 "$TMP/secret"
refuse "set-user-ID: reads no file of root's" sh -c "${NOBODY[*]} $TMP/suid run --config $TMP/secret -- true 2>&1 | grep secret.*here"

# ---- show

check "show: the path of a socket" sh -c "isthmus-resoa run --control $TMP/c1.sock -- python3 $P bind tcp 0.0.0.0 8120 hold </dev/null >/dev/null 2>&1 &
	sleep 0.5; isthmus-resoa show --json --control $TMP/c1.sock | jq -e '.sockets[] | select(.kind == \"bind\" and .provider == \"unix\")'; kill \$!"

# ---- the daemon ends

spawn - orphan.log isthmus-resoa run --control "$TMP/c2.sock" -- sh -c "sleep 2; exec python3 $P bind tcp 0.0.0.0 8121"
sleep 0.5
end "${RESOA_PID[c2]}"
wait_for 10 ended "$SPAWNED"
equal "bind() without its daemon" "$(tail -n 1 "$TMP/orphan.log")" ENOSYS
refuse "the control sockets are gone" ls "$TMP/c2.sock.run" "$TMP/c2.sock.files"
