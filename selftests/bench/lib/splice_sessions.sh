# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# New sessions a second through the real agents: the demo's homes, broker, translator and peers. A client opens
# many connections at once to its peer's local port and pings once through each; every one is negotiated, probed,
# joined and proved. Nothing is made in advance (--pool 0).

# shellcheck source=selftests/lib/splice.sh
. "$SELFTESTS/lib/splice.sh"
# shellcheck source=selftests/lib/agents.sh
. "$SELFTESTS/lib/agents.sh"

CONNECTIONS=400

sessions_set_up() {
	net_homes
	splice_attach auto
	broker_start
	broker_user alice bob
	translator_start kernel --log-level warn
	peer_start host2 bob --pool 0
	peer_start host1 alice --pool 0
	peer host2 bob provide echo 127.0.0.1:9000 >/dev/null
	peer host1 alice subscribe bob/echo 8000 >/dev/null
	wait_for 5 listening host1 t 8000
}

# Waiting for the listener is not counted; the client's start is.
sessions_sample() { # ROUND
	local begin us
	spawn host2 server.json "$FLOW" --listen --bind 127.0.0.1:9000 --role echo --streams $CONNECTIONS \
		--seconds 0 --timeout 30
	wait_for 5 listening host2 t 9000
	begin=${EPOCHREALTIME/[.,]/}
	in_ns host1 "$FLOW" --connect 127.0.0.1:8000 --role ping --count 1 --streams $CONNECTIONS \
		--seconds 0 --timeout 30 >"$TMP/client.json"
	us=$((${EPOCHREALTIME/[.,]/} - begin))
	wait "$SPAWNED"
	sample sessions "$1" "$(calculate "$CONNECTIONS * 1000000 / $us")" "$(cat "$TMP/client.json")"
}

# What was made, by the kernel's own count: fewer than connections, and something was counted twice.
sessions_joined() { stat_of JOINED; }
