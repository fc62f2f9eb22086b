#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What programs find under `isthmus-resoa run`: their own exit status, environment and descriptors, the server's
# files; static programs, and nobody, who is a user without privileges.
#
#   run, shell ── c1 ─┐
#   run        ── c2 ─┼── isthmus-resoad ── server 192.0.2.1 ── peer 192.0.2.2: echo 7000
#   run, nobody ─ c3 ─┘     its own /etc
. "${0%/*}/lib/net.sh"
. "${0%/*}/lib/resoa.sh"
. "${0%/*}/lib/resoa_run.sh"
need python3 jq dnsmasq

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
run_clients c1 c2 c3

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
wait_for 60 listening server u 53
equal "a name of a name server on the server's loopback" \
	"$(run_of c1 -- getent ahostsv4 www | awk 'NR == 1 { print $1 }')" 203.0.113.55
end "$SPAWNED"

# ---- descriptors: the same program on the server itself and here

in_ns server python3 "$P" descriptors $PEER4 7000 >"$TMP/local" 2>&1 || true
run_of c1 -- python3 "$P" descriptors $PEER4 7000 >"$TMP/remote" 2>&1 || true
at_least "the server's own program says" "$(wc -l <"$TMP/local")" 8
check "dup, fork, exec, epoll and passing are as there" diff "$TMP/local" "$TMP/remote"
run_of c1 -- python3 "$P" descriptors $PEER6 7000 >"$TMP/remote6" 2>&1 || true
check "also by IPv6" diff "$TMP/local" "$TMP/remote6"

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

# ---- nonsense for the control socket

fds() { ls "/proc/${RESOA_PID[c1]}/fd" | wc -l; }
before=$(fds)
equal "nonsense is answered, or the connection ends" "$(python3 "$P" control "$TMP/c1.sock.run" | paste -sd' ')" \
	"closed closed closed 71 71 71 71 0"
same_fds() { [ "$(fds)" = "$before" ]; }
check "and no descriptor is left behind" wait_for 30 same_fds
equal "a group that is none" "$(status_of timeout 60 isthmus-resoa daemon --server unix:"$TMP/none" --key "$TMP/c1.key" \
	--control "$TMP/other.sock" --group no-such-group)" 1
equal "a control socket that another daemon has" "$(status_of timeout 60 isthmus-resoa daemon --server unix:"$TMP/none" \
	--key "$TMP/c1.key" --control "$TMP/c1.sock")" 1
check "whose sockets are still its own" run_of c1 -- true
spawn - lonely.log isthmus-resoa daemon --server unix:"$TMP/none" --key "$TMP/c1.key" --control "$TMP/other.sock"
wait_for 60 test -S "$TMP/other.sock.run"
equal "run without a server" "$(status_of isthmus-resoa run --control "$TMP/other.sock" -- true)" 1
check "that is told, too" grep -q "not registered" "$TMP/out.log"
end "$SPAWNED"

# ---- the daemon ends

spawn - orphan.log isthmus-resoa run --control "$TMP/c2.sock" -- sh -c \
	"echo started; while [ -S $TMP/c2.sock.run ]; do sleep 0.1; done; exec python3 $P bind tcp 0.0.0.0 8121"
wait_for 60 log_has orphan.log started
end "${RESOA_PID[c2]}"
wait_for 60 ended "$SPAWNED"
equal "bind() without its daemon" "$(tail -n 1 "$TMP/orphan.log")" ENOSYS
refuse "the control sockets are gone" ls "$TMP/c2.sock.run" "$TMP/c2.sock.files"
