# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# A server of sockets, clients without any address, and a peer; after net.sh.
#
#   client c1 ─┐                                   server                      peer
#   client c2 ─┼── LHP: Unix (or what RESOA_LHP says) ── isthmus-resoad, eth0 ─── eth0
#   client c3 ─┘                                   192.0.2.1/24                192.0.2.2/24
#                                                  2001:db8:1::1/64            2001:db8:1::2/64
#
# RESOA_LHP: unix (preset), vsock (loopback), or tls, ether: then clients are on a bridge with the server; 10.77.0.0/24, or no address.
#
#   resoa_up [OPTION...]              namespaces server and peer, isthmus-resoad with these options
#   resoa_client NAME [OPTION...]     namespace NAME, its key, isthmus-resoa with these options; waits
#   resoa_in NAME cmd...              a command among NAME's exported sockets
#   resoa_net NAME cmd...             the same without `isthmus-resoa run`: in the daemon's network only
#   resoa_path NAME                   that network, for nsenter
# RESOA_SERVER, RESOA_PID[NAME] are the daemons' pids; their logs $TMP/resoad.log, $TMP/NAME.log.

declare -A RESOA_PID=()
: "${RESOA_LHP:=unix}"

# shellcheck disable=SC2034 # for stories
resoa_up() {
	SERVER4=192.0.2.1 SERVER6=2001:db8:1::1 PEER4=192.0.2.2 PEER6=2001:db8:1::2
	net_ns server peer
	net_link server eth0 $SERVER4/24,$SERVER6/64 peer eth0 $PEER4/24,$PEER6/64
	in_ns server ip route add default via $PEER4
	in_ns server ip -6 route add default via $PEER6
	case $RESOA_LHP in
	unix) RESOA_PLACE=unix:$TMP/resoad.lhp RESOA_LISTEN=$RESOA_PLACE ;;
	vsock) RESOA_PLACE=vsock:1:$((2000 + $$ % 30000)) RESOA_LISTEN=$RESOA_PLACE ;; # no network has its own ports
	tls)
		RESOA_PLACE=tls:10.77.0.1:7700 RESOA_LISTEN=tls:10.77.0.1:7700
		in_ns server ip link add lhp0 type bridge
		net_addresses server lhp0 10.77.0.1/24
		;;
	ether)
		in_ns server ip link add lhp0 address 02:00:00:00:77:01 type bridge
		net_addresses server lhp0 -
		RESOA_PLACE=ether:lhp0/02:00:00:00:77:01 RESOA_LISTEN=ether:lhp0
		;;
	esac
	(umask 077 && : >"$TMP/resoad.clients")
	resoa_server "$@"
}

resoa_server() { # [OPTION...]: starts isthmus-resoad (again)
	spawn server resoad.log isthmus-resoad run --listen "$RESOA_LISTEN" --device "${RESOA_DEVICE:-eth0}" --address4 $SERVER4 \
		--address6 $SERVER6 --clients "$TMP/resoad.clients" --control "$TMP/resoad.sock" "$@"
	RESOA_SERVER=$SPAWNED
	wait_for 20 log_has resoad.log 'serving|listen'
}

RESOA_COUNT=0
resoa_client() { # NAME [OPTION...]
	net_ns "$1"
	RESOA_COUNT=$((RESOA_COUNT + 1))
	case $RESOA_LHP in
	tls) net_link "$1" lhp0 "10.77.0.$((RESOA_COUNT + 1))/24" server "lhp$RESOA_COUNT" - ;;
	ether) net_link "$1" lhp0 - server "lhp$RESOA_COUNT" - ;;
	esac
	case $RESOA_LHP in
	tls | ether) in_ns server ip link set "lhp$RESOA_COUNT" master lhp0 ;;
	esac
	if [ ! -f "$TMP/$1.key" ]; then
		(umask 077 && isthmus-resoad client add "$1" --clients "$TMP/resoad.clients" >"$TMP/$1.key")
		kill -HUP "$RESOA_SERVER"
	fi
	resoa_start "$@"
}

resoa_start() { # NAME [OPTION...]: the daemon (again)
	spawn "$1" "$1.log" isthmus-resoa daemon --server "$RESOA_PLACE" --key "$TMP/$1.key" --control "$TMP/$1.sock" "${@:2}"
	RESOA_PID[$1]=$SPAWNED
	wait_for 20 log_has "$1.log" "programs' namespace"
}

resoa_path() { # NAME
	echo "/proc/${RESOA_PID[$1]}/fd/$(sed -n "s/.*programs' namespace: descriptor //p" "$TMP/$1.log" | tail -n 1)"
}

resoa_net() { nsenter --net="$(resoa_path "$1")" "${@:2}"; } # NAME cmd...

resoa_in() { # NAME cmd...
	if [ -S "$TMP/$1.sock.run" ]; then
		${SPAWNS-} isthmus-resoa run --control "$TMP/$1.sock" -- "${@:2}"
	else
		resoa_net "$@"
	fi
}
