#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# `isthmus onetime client` and `run`: whose connects get an address of their own, and what becomes of a command;
# verbs of the agent; a table of a million sessions.
#
#   near eth0 ──────────── eth0 box lo
#   tells who comes        its clients
#   2001:db8:1::2/64       2001:db8:1::1/64

. "${0%/*}/lib/net.sh"
need jq bpftool python3
. "$SELFTESTS/lib/onetime_loader.sh"
RUNS=1
onetime_world
if ! mkdir "$CGROUP_ROOT/$NET" 2>/dev/null; then
	skip "clients" "no cgroup2 that can be written"
	exit 0
fi
story_end() { rmdir "$CGROUP_ROOT/$NET"; }
sysctls() { in_ns box sysctl -n net.ipv6.ip_nonlocal_bind net.ipv4.ip_nonlocal_bind | paste -sd' '; }
clients() { onetime client show --json | jq -c '[.clients[] | [.client, .name]] | sort'; }
program_links() { find "$DIR" -name 'link_*connect*' -o -name 'link_*sendmsg*' ! -name 'link_reply*' | wc -l; }
spawn near server.log python3 "$SELFTESTS/lib/onetime_ssa.py" - serve 7000 - 0 2001:db8:1::2
wait_for 30 listening near t 7000
# A client: prints with which address of its own it came to the server.
cat >"$TMP/client" <<'P'
import socket
try:
    s = socket.create_connection(("2001:db8:1::2", 7000), timeout=5)
    s.sendall(b"x")
    s.recv(1)
    print(s.getsockname()[0])
except OSError as e:
    print(e.strerror)
P
chmod 0644 "$TMP/client"
chmod 0755 "$TMP"
# Of the system: a user's own may not be for others.
PYTHON=$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || command -v python3)
client() { in_ns box "$@" "$PYTHON" "$TMP/client"; }
run() { in_ns box isthmus onetime run --instance "$INSTANCE" "$@"; }
last() { tail -n 1 "$TMP/server.log" | cut -d' ' -f2; } # who came to the server

onetime attach --dev eth0
onetime pool add eth0 $POOL --client
NUMBER=$(pools .number | jq '.[0]')
refused "add: no such user" 1 "--user nobodyatall: no such user" onetime client add --user nobodyatall
refused "add: no such cgroup" 1 "--cgroup /nowhere: No such file" onetime client add --cgroup /nowhere
refused "add: a directory of another file system" 1 "it is not in a cgroup2" onetime client add --cgroup "$TMP"
equal "the refused changed nothing" "$(clients) $(program_links) $(sysctls)" "[] 0 0 0"

# ---- run

exits 0 run true
check "the first one tells what it set" eval "grep -c 'net.ipv[64].ip_nonlocal_bind was 0 and is 1 now.*detach takes it back' '$TMP/stderr' | has -x 2"
equal "sysctls" "$(sysctls)" "1 1"
check "the second has nothing to tell" eval "exits 0 run true && ! grep -q . '$TMP/stderr'"
equal "client: without run, the host's address" "$(client env)" 2001:db8:1::1
equal "client: in run, and no address is prepared (strict)" "$(client isthmus onetime run --instance "$INSTANCE")" "Operation not permitted"
by_hand ea 2001:db8:99::aa "$NUMBER"
equal "client: in run, one of its own" "$(client isthmus onetime run --instance "$INSTANCE" --)" 2001:db8:99::aa
equal "the server saw it" "$(last)" 2001:db8:99::aa
check "it ended with its socket" wait_for 30 eval "[ \"\$(by_hand state 2001:db8:99::aa)\" = 6 ]"

for status in 0 1 77 255; do
	check "its exit status: $status" exits $status run sh -c "exit $status"
done
check "its arguments" test "$(run printf '%s|' a '' 'b c' --json -- --instance)" = "a||b c|--json|--|--instance|"
check "not found" exits 127 run nosuchcommand
check "what is said" says "run: nosuchcommand: No such file"
check "not executable" exits 126 run "$TMP/client"
check "what is said of that" says "run: $TMP/client: Permission denied"
check "ended by a signal" exits 143 run sh -c 'kill -TERM $$'
equal "as another user" "$(run --user nobody id -un)" nobody
equal "its groups" "$(run --user nobody id -G)" "$(id -G nobody)"
refused "as nobody that there is" 1 "run: --user nobodyatall: no such user" run --user nobodyatall true
equal "in a cgroup of its own, below ours" "$(run sh -c 'grep ^0:: /proc/self/cgroup' | sed 's/[0-9]*$//')" \
	"$(grep ^0:: /proc/self/cgroup | sed 's|/$||')/isthmus-onetime-"
for signal in TERM HUP USR1 USR2; do # of those that bash does not ignore in the background
	spawn box "$signal.log" isthmus onetime run --instance "$INSTANCE" bash -c "trap 'echo $signal; exit 42' $signal; echo ready; while :; do sleep 0.05; done"
	wait_for 30 log_has "$signal.log" ready
	kill -"$signal" "$SPAWNED"
	wait_for 30 ended "$SPAWNED"
	status=0
	wait "$SPAWNED" || status=$?
	equal "$signal is passed on" "$(tail -n1 "$TMP/$signal.log") $status" "$signal 42"
done
check "standard input reaches it" test "$(echo words | run cat)" = words
equal "nothing is left of all these" "$(clients) $(program_links)" "[] 0"

# Children that outlive the command stay members.
run sh -c 'sleep 600 >/dev/null 2>&1 & echo $!' >"$TMP/child" 2>"$TMP/stderr"
child=$(cat "$TMP/child")
check "a child that stays: is told" says "processes of it still run, in .*/isthmus-onetime-[0-9]*; it goes with the next"
equal "a child that stays: is a client" "$(clients | jq -c '.[0][0]')" '"cgroup"'
equal "a child that stays: its programs" "$(program_links)" 4
kill "$child"
wait_for 30 ended "$child"
equal "a child that has ended: show clears it" "$(clients) $(program_links)" "[] 0"
# One that was killed.
spawn box killed.log isthmus onetime run --instance "$INSTANCE" sleep 600
wait_for 30 eval "[ \"\$(program_links)\" = 4 ]"
wait_for 30 pgrep -P "$SPAWNED"
child=$(pgrep -P "$SPAWNED")
kill -KILL "$SPAWNED"
wait "$SPAWNED" 2>/dev/null || true
equal "killed: its command goes on" "$(clients | jq length)" 1
kill "$child"
wait_for 30 ended "$child"
check "killed: the next run clears it" run true
equal "killed: nothing is left" "$(program_links)" 0

# ---- client

check "add: a cgroup" onetime client add --cgroup "$CGROUP_ROOT/$NET"
refused "add: twice" 1 "it has the programs already.*client show" onetime client add --cgroup "$CGROUP_ROOT/$NET"
equal "show: a cgroup" "$(clients)" "[[\"cgroup\",\"$CGROUP_ROOT/$NET\"]]"
in_cgroup() { sh -c "echo 0 >'$CGROUP_ROOT/$NET/cgroup.procs'; exec \"\$@\"" - "$@"; }
by_hand ea 2001:db8:99::ab "$NUMBER"
equal "cgroup: a member" "$(in_cgroup nsenter --net="/run/netns/$NET-box" python3 "$TMP/client")" 2001:db8:99::ab
equal "cgroup: somebody else" "$(client env)" 2001:db8:1::1
equal "cgroup: a member in another namespace" "$(in_cgroup nsenter --net="/run/netns/$NET-near" python3 "$TMP/client")" 2001:db8:1::2
onetime attach --replace
by_hand ea 2001:db8:99::ac "$NUMBER"
equal "replace: cgroups stay clients" "$(in_cgroup nsenter --net="/run/netns/$NET-box" python3 "$TMP/client")" 2001:db8:99::ac
check "del: a cgroup" onetime client del --cgroup "$CGROUP_ROOT/$NET"
refused "del: twice" 1 "it has no programs of clients" onetime client del --cgroup "$CGROUP_ROOT/$NET"
mkdir "$CGROUP_ROOT/$NET/gone"
onetime client add --cgroup "$CGROUP_ROOT/$NET/gone"
rmdir "$CGROUP_ROOT/$NET/gone"
equal "a cgroup that has gone: show clears it" "$(clients) $(program_links)" "[] 0"

check "add: a user" onetime client add --user nobody
check "add: another, by number" onetime client add --user 12345
refused "add: a user twice" 1 "--user nobody: it is a client already" onetime client add --user nobody
equal "show: users" "$(clients)" '[["user","12345"],["user","nobody"]]'
as_nobody() { client setpriv --reuid=nobody --regid=nogroup --clear-groups; }
by_hand ea 2001:db8:99::ad "$NUMBER"
equal "user: its connects" "$(as_nobody)" 2001:db8:99::ad
equal "user: somebody else's" "$(client env)" 2001:db8:1::1
check "del: a user" onetime client del --user nobody
equal "del: the other stays" "$(clients) $(program_links)" '[["user","12345"]] 4'
equal "del: no client any more" "$(as_nobody)" 2001:db8:1::1
check "del: the last user" onetime client del --user 12345
refused "del: a user that is none" 1 "--user 12345: it is no client" onetime client del --user 12345
equal "del: and the programs go" "$(program_links)" 0

check "add: all" onetime client add --all
equal "show: all" "$(clients)" "[[\"all\",\"$CGROUP_ROOT\"]]"
by_hand ea 2001:db8:99::ae "$NUMBER"
equal "all: a process" "$(client env)" 2001:db8:99::ae
equal "all: not in other namespaces" "$(in_ns near python3 "$TMP/client")" 2001:db8:1::2
detached "with all as clients"
equal "detach took the sysctls back" "$(sysctls)" "0 0"
onetime attach --dev eth0
in_ns box sysctl -qw net.ipv6.ip_nonlocal_bind=1
run true 2>/dev/null
onetime detach
equal "what was 1 before stays" "$(sysctls)" "1 0"
in_ns box sysctl -qw net.ipv6.ip_nonlocal_bind=0

# ---- verbs of the agent

mkdir "$TMP/alone" "$TMP/beside"
cp "$B/isthmus" "$TMP/alone"
cp "$B/isthmus" "$TMP/beside"
printf '#!/bin/sh\nprintf "%%s|" "$@"\nexit 9\n' >"$TMP/beside/isthmus-onetime"
chmod 0755 "$TMP/beside/isthmus-onetime"
handed() { PATH=/usr/bin:/bin "$TMP/$1/isthmus" onetime "${@:2}"; }
for verb in das listen give trace; do
	refused "$verb: no agent" 1 "isthmus-onetime: it is not installed; install it beside isthmus.*the verb $verb" handed alone $verb
	check "$verb: the agent's" exits 9 handed beside $verb 719 eth0 2001:db8::1 --port 80 --help
	equal "$verb: it gets the words" "$(cat "$TMP/stdout")" "$verb|719|eth0|2001:db8::1|--port|80|--help|"
done
check "from PATH" exits 9 env PATH="$TMP/beside:/usr/bin:/bin" "$TMP/alone/isthmus" onetime das 1 2 3
check "help names them" eval "isthmus onetime --help | has '^  das '"

# ---- a million

onetime attach --dev eth0 --addresses 1000000
onetime pool add eth0 $POOL
check "a million sessions" by_hand fill 2001:db8:99:: 1 1000000
equal "list: JSON has each" "$(onetime list --json | tr '}' '\n' | grep -c '"proto": *"tcp6"')" 1000000
equal "list: text has each" "$(onetime netstat | grep -c '^tcp6 ')" 1000000
equal "show: counts them" "$(pools .live) $(onetime show --json | jq -c '.tables[] | select(.table == "onetime_addr") | [.entries, .capacity]')" \
	"[1000000] [1000000,1000000]"
kilobytes=$(in_ns box python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' isthmus onetime list --json --instance "$INSTANCE")
at_most "list: memory, KiB" "$kilobytes" 32768
refused "pool del" 1 "1000000 of its sessions live" onetime pool del $POOL
check "pool del --force" onetime pool del $POOL --force
equal "no address is left" "$(onetime addresses --json | jq '.addresses | length')" 0
detached "after a million"
