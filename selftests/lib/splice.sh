# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034
#
# The splice datapath without agents, for stories about packets; after net.sh and net_homes.

FLOW=$B/selftests/bench/flow

# splice_attach MODE [OPTION...]: on relay, for its addresses and ports 20000-29999.
splice_attach() {
	local mode=$1
	shift
	if [[ $mode == xdp* ]]; then net_xdp_ready inet relay; fi
	in_ns relay isthmus splice attach --instance "$INSTANCE" --dev wan --address "$RELAY4" \
		--address "$RELAY6" --ports 20000-29999 --mode "$mode" "$@" >"$TMP/attach.log" 2>&1 ||
		{ cat "$TMP/attach.log" && false; }
}

splice_detach() { in_ns relay isthmus splice detach --instance "$INSTANCE"; }

# announce SESSION PORT0 PORT1 [PROTO [SECONDS [EXPECTED0 [EXPECTED1]]]]: host1 connects to PORT0, host2
# to PORT1.
announce() {
	echo "$1 ${4:-tcp} ${5:-30} $RELAY4 $2 ${6:-$NAT1_4} $RELAY4 $3 ${7:-$NAT2_4}" |
		"$SELFTESTS/lib/announce.py" "$INSTANCE"
}

announce6() { # SESSION PORT0 PORT1
	echo "$1 tcp 30 $RELAY6 $2 $NAT1_6 $RELAY6 $3 $NAT2_6" | "$SELFTESTS/lib/announce.py" "$INSTANCE"
}

# stat_of REASON: packets that were counted under it, as enum splice_reason names it.
stat_of() {
	in_ns relay isthmus splice stats --instance "$INSTANCE" --json |
		jq --arg reason "$1" '.reasons[] | select(.reason == $reason) | .packets'
}

# sessions_in STATE: how many sessions `isthmus splice list` shows in it.
sessions_in() {
	in_ns relay isthmus splice list --instance "$INSTANCE" --json |
		jq --arg state "$1" '[.sessions[] | select(.state == $state)] | length'
}

# meet NAME PORT0 PORT1 "HOST1'S WORDS" "HOST2'S WORDS": flow at both homes, both connect to relay.
meet() {
	local peer address=$RELAY4
	[ "${MEET_FAMILY:-4}" = 4 ] || address="[$RELAY6]"
	# shellcheck disable=SC2086
	spawn host2 "$1-2.json" "$FLOW" --connect "$address:$3" --timeout $((10 * SLOW)) $5
	peer=$SPAWNED
	# shellcheck disable=SC2086
	in_ns host1 "$FLOW" --connect "$address:$2" --timeout $((10 * SLOW)) $4 >"$TMP/$1-1.json" || return 1
	wait "$peer"
}

# The usual transfer, which must arrive whole: NAME PORT0 PORT1 [MORE WORDS FOR BOTH]
transfer() {
	meet "$1" "$2" "$3" "--role send --seconds 0 --bytes ${BYTES:-4000000} --verify ${4:-}" \
		"--role recv --verify --reply 100000 ${4:-}"
}

result() { jq -r "$2" "$TMP/$1.json"; } # NAME-1|NAME-2 EXPRESSION

# lose NS DEV FLAGS BYTES: the first BYTES of TCP packets with just these of SYN, ACK, FIN and RST get lost
# on arrival; lost NS: how many did.
lose() {
	in_ns "$1" nft -f - <<-NFT
		table inet loss {
			chain pre {
				type filter hook prerouting priority raw
				iifname "$2" tcp flags & (fin | syn | rst | ack) == $3 quota until $4 bytes counter drop
			}
		}
	NFT
}

lost() {
	in_ns "$1" nft -j list table inet loss | jq '[.. | .counter? | objects | .packets] | add'
	in_ns "$1" nft delete table inet loss
}

# count NS DEV MATCH: counts packets that arrive by DEV and match; counted NS: how many, from then on.
count() {
	in_ns "$1" nft -f - <<-NFT
		table inet watch {
			chain pre {
				type filter hook prerouting priority raw
				iifname "$2" $3 counter
			}
		}
	NFT
}

counted() {
	in_ns "$1" nft -j list table inet watch | jq '[.. | .counter? | objects | .packets] | add'
	in_ns "$1" nft delete table inet watch
}
