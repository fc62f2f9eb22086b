#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every stem of the Makefile's DATAPATHS and every word of AGENTS has all its files.
. "${0%/*}/../lib/check.sh"

words() { sed -n "s/^$1 *:= *//p" Makefile; }

has() { # WHAT PATTERN...
	local what=$1
	shift
	[ -n "$(check_files "$@")" ] || echo "$what is missing: $*"
}

faults() {
	local stem agent
	for stem in $(words DATAPATHS); do
		[ "${#stem}" -le 9 ] || echo "stem $stem is longer than 9 letters"
		has "datapath $stem: program" "bpf/$stem.bpf.c"
		has "datapath $stem: contract of its maps" "maps/$stem.h"
		has "datapath $stem: loader" "loader/$stem.c"
		has "datapath $stem: packet table" "selftests/$stem*.c"
		has "datapath $stem: story" "selftests/$stem*.sh"
		has "datapath $stem: manual page" "docs/isthmus-$stem.8"
	done
	for agent in $(words AGENTS); do
		has "agent $agent: source" "agents/$agent/*.c" "agents/$agent.c"
		has "agent $agent: manual page" "docs/isthmus-$agent.[1-8]"
		has "agent $agent: systemd unit" "*isthmus-$agent.service" "*isthmus-$agent.service.in"
	done
	has "entry point of CI" .ci/run
	has "licence" LICENSE
}

plant() {
	printf 'DATAPATHS := nothing\n' >Makefile
	mkdir .ci
	touch .ci/run LICENSE
}

house "every datapath and agent has all its files"
