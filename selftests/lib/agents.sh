# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034
#
# Broker, translator and peers as an operator and users set them up; after net.sh and net_homes.

BROKER_PID='' TRANSLATOR_PID=''
: "${BROKER_NS:=relay}" # the broker's host: relay or broker
BROKER_PORT=3480

broker_address() { if [ "$BROKER_NS" = relay ]; then echo "$RELAY4"; else echo "$BROKER4"; fi; }

broker() { in_ns "$BROKER_NS" isthmus-broker "$@" --database "$TMP/broker/broker.db"; }

# broker_start [OPTION...]: the log is broker.log; a restart goes on with the same database.
broker_start() {
	(umask 077 && mkdir -p "$TMP/broker")
	spawn "$BROKER_NS" broker.log isthmus-broker run --listen ":$BROKER_PORT" \
		--database "$TMP/broker/broker.db" "$@"
	BROKER_PID=$SPAWNED
	wait_for 10 listening "$BROKER_NS" t "$BROKER_PORT"
}

broker_user() { # NAME...: what they log in with is in NAME.line
	local name
	for name; do (umask 077 && broker user add "$name" >"$TMP/$name.line"); done
}

# translator_start ENGINE [OPTION...]: kernel needs splice_attach before.
translator_start() {
	local engine=$1 where=()
	shift
	if [ "$engine" = relay ]; then # kernel: the addresses and ports of the attach
		where=(--address "$RELAY4" --address "$RELAY6" --ports 20000-29999)
	fi
	if [ ! -e "$TMP/ist.line" ]; then (umask 077 && broker translator add ist >"$TMP/ist.line"); fi
	spawn relay translator.log isthmus-translator run --broker "$(broker_address):$BROKER_PORT" \
		--login-file "$TMP/ist.line" --instance "$INSTANCE" --engine "$engine" \
		--control "$TMP/translator.sock" --log-level debug ${where[@]+"${where[@]}"} "$@"
	TRANSLATOR_PID=$SPAWNED
	wait_for 10 translator_ready
}

translator_ready() { translator_status | jq -e .connected; }
translator_status() { isthmus-translator status --json --control "$TMP/translator.sock"; }

# peer_start HOST USER [OPTION...]: enrols the user at first, then runs the daemon.
peer_start() {
	local host=$1 user=$2
	shift 2
	(umask 077 && mkdir -p "$TMP/$user")
	peer "$host" "$user" login "$(broker_address):$BROKER_PORT" <"$TMP/$user.line" >/dev/null
	peer_daemon "$host" "$user" "$@"
}

peer_daemon() { # HOST USER [OPTION...]
	local host=$1 user=$2
	shift 2
	spawn "$host" "$user.log" isthmus-peer daemon --dir "$TMP/$user" "$@"
	PEER_PID=$SPAWNED
	wait_for 10 peer_online "$host" "$user"
}

peer() { # HOST USER COMMAND...: as the user would
	local host=$1 user=$2
	shift 2
	in_ns "$host" isthmus-peer "$@" --dir "$TMP/$user"
}

peer_online() { peer "$1" "$2" status --json | jq -e '.broker.state == "connected"'; }

# pair_start HOST0 LINE0 HOST1 LINE1 COUNT [OPTION...]: sessions without peers (lib/pair.py). PAIRS gets its
# lines.
pair_start() {
	local count=$5 log=pair-$1-$2.log
	spawn - "$log" "$SELFTESTS/lib/pair.py" --broker "$(broker_address):$BROKER_PORT" \
		--subscriber "/run/netns/$NET-$1" "$TMP/$2.line" \
		--provider "/run/netns/$NET-$3" "$TMP/$4.line" --count "$count" "${@:6}"
	SPAWNED_PAIR=$SPAWNED
	wait_for 20 pair_told "$TMP/$log" "$count"
	has_lines "$TMP/$log" "$count" && grep -qE '^[0-9a-f]{16} ' "$TMP/$log" || return 1
	mapfile -t PAIRS <"$TMP/$log"
}

pair_told() { has_lines "$@" || ended "$SPAWNED_PAIR"; }
has_lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }
