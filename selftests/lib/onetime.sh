# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What stories of onetime with its agent share; after net.sh. A host that has the datapath is a namespace; its instance is
# $INSTANCE-NAME, its agent's socket $TMP/NAME.sock, what the agent keeps $TMP/NAME.db.

ONETIME_HOSTS=()

# onetime_of NAME VERB...: `isthmus onetime` there. Verbs of the agent need its socket.
onetime_of() {
	local name=$1 verb=$2
	case $verb in
	das | listen | give | trace) in_ns "$name" isthmus onetime "${@:2}" --control "$TMP/$name.sock" ;;
	status) in_ns "$name" isthmus-onetime "${@:2}" --control "$TMP/$name.sock" ;;
	run) in_ns "$name" isthmus onetime run --instance "$INSTANCE-$name" "${@:3}" ;;
	*) in_ns "$name" isthmus onetime "${@:2}" --instance "$INSTANCE-$name" ;;
	esac
}

onetime_attach() { # NAME [OPTION...]: on eth0
	ONETIME_HOSTS+=("$1")
	onetime_of "$1" attach --dev eth0 "${@:2}"
}

# onetime_agent NAME [OPTION...]: AGENT is its pid.
onetime_agent() {
	spawn "$1" "agent-$1.log" isthmus-onetime run --instance "$INSTANCE-$1" --state "$TMP/$1.db" \
		--control "$TMP/$1.sock" "${@:2}"
	AGENT=$SPAWNED
	wait_for 20 onetime_of "$1" status
}

onetime_detach_all() {
	local name
	for name in "${ONETIME_HOSTS[@]}"; do
		onetime_of "$name" detach || true
		net_remove_pins "$INSTANCE-$name"
	done
} >/dev/null 2>&1

# onetime_count NAME REASON: packets; onetime_listener NAME PID FILTER: of status
onetime_count() { onetime_of "$1" stats --json | jq ".reasons[] | select(.reason == \"$2\").packets"; }
onetime_listener() { onetime_of "$1" status --json | jq -r ".listeners[] | select(.pid == $2) | $3"; }
onetime_eas() { onetime_of "$1" status --json | jq ".eas${2:-6}"; } # NAME [4]: prepared
onetime_eas_are() { # NAME 6|4 LEAST [MOST]
	local count
	count=$(onetime_eas "$1" "$2")
	[ "$count" -ge "$3" ] && [ "$count" -le "${4:-$count}" ]
}

# ---- a network with clients, and what runs on the server
#
#   alice   eth0 2001:db8:a::2, 192.0.2.2   ──┐
#   bob     eth0 2001:db8:b::2, 192.0.2.18  ──┤      MTU
#   carol   eth0 2001:db8:c::2, 192.0.2.34  ──┼ near ─ 1300 ─ far ── eth0 server 2001:db8:1::1, 192.0.2.81
#   scanner eth0 2001:db8:d::2, 192.0.2.50  ──┘                        pools 2001:db8:100::/64, 2001:db8:101::/64 (reset),
#                                                                            198.51.100.0/28
#   alice's connects: 2001:db8:200::/64, 203.0.113.0/27

# shellcheck disable=SC2034 # for stories
onetime_net() {
	local name i=0
	P=2001:db8:100: ALICE=2001:db8:a::2 BOB=2001:db8:b::2 CAROL=2001:db8:c::2 SERVER=2001:db8:1::1
	net_ns near far server
	for name in alice:a bob:b carol:c scanner:d; do
		net_ns "${name%:*}"
		net_link "${name%:*}" eth0 "2001:db8:${name#*:}::2/64,192.0.2.$((i * 16 + 2))/28" \
			near "${name%:*}" "2001:db8:${name#*:}::1/64,192.0.2.$((i * 16 + 1))/28"
		net_route "${name%:*}" default "2001:db8:${name#*:}::1" "192.0.2.$((i * 16 + 1))"
		i=$((i + 1))
	done
	net_link near far 2001:db8:f::1/64,192.0.2.65/28 far near 2001:db8:f::2/64,192.0.2.66/28
	net_link server eth0 $SERVER/64,192.0.2.81/28 far server 2001:db8:1::2/64,192.0.2.82/28
	net_route server default 2001:db8:1::2 192.0.2.82
	net_route near default 2001:db8:f::2 192.0.2.66
	net_route far default 2001:db8:f::1 192.0.2.65
	net_route far 2001:db8:100::/64 $SERVER
	net_route far 2001:db8:101::/64 $SERVER
	net_route far 198.51.100.0/28 192.0.2.81
	net_route near 2001:db8:200::/64 $ALICE
	net_route near 203.0.113.0/27 192.0.2.2
	net_forward near far
	in_ns near ip link set far mtu 1300
	in_ns far ip link set near mtu 1300
	for name in alice bob carol scanner; do wait_for 10 in_ns $name ping -qc1 -W1 $SERVER; done
}

# onetime_nginx: on any address, port 8080; NGINX is its pid. Its log says who came, to which address of ours.
onetime_nginx() {
	mkdir -p "$TMP/www"
	cat >"$TMP/nginx.conf" <<-CONF
		daemon off;
		user root;
		worker_processes 1;
		pid $TMP/nginx.pid;
		error_log stderr;
		events { worker_connections 1024; }
		http {
			log_format ends '\$remote_addr \$remote_port \$server_addr \$server_port \$request_uri \$status';
			access_log $TMP/access.log ends;
			client_body_temp_path $TMP/body;
			proxy_temp_path $TMP/proxy;
			fastcgi_temp_path $TMP/fastcgi;
			uwsgi_temp_path $TMP/uwsgi;
			scgi_temp_path $TMP/scgi;
			server {
				listen [::]:8080 ipv6only=off;
				root $TMP/www;
				location = /ends { return 200 "\$remote_addr \$server_addr\\n"; }
			}
		}
	CONF
	spawn server nginx.log nginx -c "$TMP/nginx.conf" -e stderr
	NGINX=$SPAWNED
	wait_for 20 listening server t 8080
}

# onetime_ssh FROM ADDRESS cmd...; onetime_url ADDRESS [PATH]
ONETIME_SSH=(-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o LogLevel=ERROR)
onetime_ssh() { in_ns "$1" ssh "${ONETIME_SSH[@]}" -i "$TMP/user_key" "root@$2" "${@:3}"; }
onetime_url() { if [[ $1 == *:* ]]; then echo "http://[$1]:8080/${2:-ends}"; else echo "http://$1:8080/${2:-ends}"; fi; }
