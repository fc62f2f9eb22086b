#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What --help offers, what the manual pages describe, what completion offers and what the parser takes
# are the same. Needs no privileges.

set -euo pipefail
SELFTESTS=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$SELFTESTS")
: "${B:=$ROOT/build}"
PATH=$(realpath "$B"):$PATH
FAILED=0

ok() { echo "ok manual: $1"; }
not_ok() {
	echo "not ok manual: $1 # $2"
	FAILED=1
}
equal() { # NAME GOT WANT
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "$(diff <(echo "$2") <(echo "$3") | tr '\n' ' ')"; fi
}
some() { if [ -n "$2" ]; then ok "$1"; else not_ok "$1" "none"; fi; } # a control: an empty list equals an empty list

command -v mandoc >/dev/null || { echo "skip manual # no program mandoc"; exit 0; }

# ---- help's words

words() { sed -n 's/^  \([a-z-][a-z0-9-]*\).*/\1/p'; }
datapaths() { isthmus help | sed '/^commands:/,$d' | words; }
options() { isthmus "$@" --help | sed -n 's/^  --\([a-z0-9-]*\)\( [A-Z][A-Z-]*\)\{0,1\}  .*/\1\2/p' | sort; }

# ---- the pages' words

# verb_options PAGE VERB: `.It Fl -name` and `Ar ARGUMENT` of that subsection
verb_options() {
	awk -v verb="$2" '
		/^\.S[sh] / { inside = $1 == ".Ss" && $2 == verb }
		inside && /^\.It Fl -/ { line = substr($0, 9); sub(/ Ar /, " ", line); print line }' "$1" | sort
}
page_verbs() { sed -n '/^\.Sh VERBS/,/^\.Sh FILES/s/^\.Ss //p' "$1"; }
page_commands() { awk '/^\.It Cm / { print $3 }' "$1"; }

# ---- completion's words

# shellcheck source=../loader/isthmus.bash
. "$ROOT/loader/isthmus.bash"
completed() { # words of the command line; the last is being typed
	COMP_WORDS=(isthmus "$@")
	COMP_CWORD=$#
	COMPREPLY=()
	_isthmus
	printf '%s\n' "${COMPREPLY[@]}" | sort
}

# ---- the comparison

some "help names datapaths" "$(datapaths)"
equal "isthmus(8) has help's datapaths and commands" \
	"$(page_commands "$ROOT/docs/isthmus.8" | sort)" "$(isthmus help | words | sort)"
equal "isthmus(8) status: options" "$(awk '/^\.It Cm / { inside = $3 == "status" }
	inside && /^\.It Fl -/ { print substr($0, 9) }' "$ROOT/docs/isthmus.8")" "$(options status)"
equal "completion of the first word" "$(completed '')" "$(isthmus help | words | sort)"
for noun in $(datapaths); do
	page=$ROOT/docs/isthmus-$noun.8
	verbs=$(isthmus "$noun" --help | words)
	some "$noun has verbs" "$verbs"
	equal "isthmus-$noun(8) has its verbs" "$(page_verbs "$page")" "$verbs"
	equal "completion of $noun" "$(completed "$noun" '')" "$(sort <<<"$verbs")"
	for verb in $verbs; do
		# What the agent does has the agent's options.
		[[ $(isthmus "$noun" "$verb" --help) != "usage: isthmus-$noun"* ]] || continue
		some "$noun $verb has options" "$(options "$noun" "$verb")"
		equal "isthmus-$noun(8) $verb: options" "$(verb_options "$page" "$verb")" "$(options "$noun" "$verb")"
		equal "completion of $noun $verb" "$(completed "$noun" "$verb" --)" \
			"$({ options "$noun" "$verb" | sed 's/^/--/; s/ .*//'; echo --help; } | sort)"
		# A wrong value or an unknown instance is another message than an unknown option.
		for option in $(options "$noun" "$verb" | cut -d' ' -f1); do
			said=$(isthmus "$noun" "$verb" "--$option=" 2>&1 || true)
			case $said in
			*"no such option"*) not_ok "$noun $verb takes --$option" "$said" ;;
			*) ok "$noun $verb takes --$option" ;;
			esac
		done
	done
done
equal "completion of a mode" "$(completed splice attach --mode xdp)" "$(printf 'xdp\nxdp-generic')"
equal "completion of modes is the parser's" "$(completed splice attach --mode '' | paste -sd'|')" \
	"$(isthmus splice attach --mode '?' 2>&1 | sed 's/.*one of \([^ ]*\) is.*/\1/' | tr '|' '\n' | sort | paste -sd'|')"
equal "completion of a device" "$(completed splice attach --dev l | grep -x lo)" lo
for option in uplink lan; do
	equal "completion of $option" "$(completed portarp attach --$option l | grep -x lo)" lo
done
equal "completion of roles is the parser's" "$(completed portarp attach --role '' | paste -sd'|')" \
	"$(isthmus portarp attach --role '?' 2>&1 | sed 's/.*one of \([^ ]*\) is.*/\1/' | tr '|' '\n' | sort | paste -sd'|')"

# ---- the presets that the page tells

for noun in $(datapaths); do
	[[ $(isthmus "$noun" attach --help 2>/dev/null) == "usage: isthmus $noun attach"* ]] || continue # it has none
	presets=$(isthmus "$noun" attach --help | sed -n 's/^  --[a-z0-9-]* .*(\([0-9-]*\))$/\1/p')
	some "$noun has presets" "$presets"
	for preset in $presets; do
		grep -q -- "$preset if not given" "$ROOT/docs/isthmus-$noun.8" &&
			ok "isthmus-$noun(8) tells the preset $preset" ||
			not_ok "isthmus-$noun(8) tells the preset $preset" "not found"
	done
done

# ---- agents whose page is held against their help

agent_options() { "$@" --help | sed -n 's/^  --\([a-z0-9-]*\)\( [A-Z0-9][][A-Z0-9:=/|-]*\)\{0,1\}  .*/\1\2/p' | sort; }
agent_page_options() { sed -n '/^\.Sh OPTIONS/,/^\.Sh [^O]/s/^\.It Fl -//p' "$1" | sed 's/ Ar / /' | sort; }
agent_commands() { "$@" --help | sed -n '/^usage:/,/^$/s/^[u ].*  *isthmus-[a-z]* //p' | tr '|' '\n' | awk '{ print $1 }' | sort -u; }
agent_page() { # AGENT
	local agent=$1 page=$ROOT/docs/$1.8 preset
	some "$agent has options" "$(agent_options "$agent")"
	equal "$agent(8): options" "$(agent_page_options "$page")" "$(agent_options "$agent")"
	equal "$agent(8): commands" "$(sed -n '/^\.Sh COMMANDS/,/^\.Sh OPTIONS/s/^\.It Cm //p' "$page" | sort)" \
		"$(agent_commands "$agent")"
	for preset in $("$agent" --help | sed -n 's/.*default \([0-9][0-9]*\) *\[.*/\1/p'); do
		grep -q -- "[; ]$preset if not$\|[; ]$preset if not given\|[; ]$preset, which is never, if not given" "$page" &&
			ok "$agent(8) tells the preset $preset" || not_ok "$agent(8) tells the preset $preset" "not found"
	done
}
agent_page isthmus-dns
agent_page isthmus-resoad
equal "isthmus-srv-run(8): its environment" "$(sed -n 's/^\.It Ev \(ISTHMUS.*\)/\1/p' "$ROOT/docs/isthmus-srv-run.8")" \
	"$(isthmus-srv-run --help | grep -o 'ISTHMUS_[A-Z_]*')"

# The page of the datapath is the agent's as well: its sections have other names.
agent_beside() { # AGENT
	local agent=$1 page=$ROOT/docs/$1.8 preset
	some "$agent has options" "$(agent_options "$agent")"
	equal "$agent(8): options of the agent" \
		"$(sed -n '/^\.Sh AGENT OPTIONS/,/^\.Sh [^A]/s/^\.It Fl -//p' "$page" | sed 's/ Ar / /' | sort -u)" \
		"$(agent_options "$agent" | uniq)"
	equal "$agent(8): commands of the agent" \
		"$({ sed -n '/^\.Sh AGENT$/,/^\.Sh AGENT OPTIONS/s/^\.It Cm //p' "$page"; printf 'help\nversion\n'; } | sort)" \
		"$(agent_commands "$agent")"
	for preset in $("$agent" --help | sed -n 's/.*default \([0-9][0-9]*\) *\[.*/\1/p'); do
		sed -n '/^\.Sh AGENT OPTIONS/,/^\.Sh [^A]/p' "$page" | # to its end, which grep -q would not read
			grep -- "\(^\|[; ]\)$preset if not given\|[; ]$preset, if not given" | cat >/dev/null &&
			ok "$agent(8) tells the preset $preset" || not_ok "$agent(8) tells the preset $preset" "not found"
	done
}
for agent in portarp waypoint gateway onetime resoa; do agent_beside isthmus-$agent; done

page=$ROOT/docs/isthmus-dhcp.8
equal "isthmus-dhcp(8): commands" "$(sed -n '/^\.Sh COMMANDS/,/^\.Sh OPTIONS/s/^\.It Cm //p' "$page" | sort)" \
	"$({ isthmus-dhcp help | words; printf 'help\nversion\n'; } | sort)"
for command in server client status renew release; do
	some "isthmus-dhcp $command has options" "$(agent_options isthmus-dhcp $command)"
	equal "isthmus-dhcp(8) $command: options" "$(verb_options "$page" "${command/#re*/status}")" \
		"$(agent_options isthmus-dhcp $command)"
	for preset in $(isthmus-dhcp $command --help | sed -n 's/.*default \([0-9][0-9]*\).*/\1/p'); do
		grep -q -- "[; ]$preset\(,.*,\)\{0,1\} if not given" "$page" && ok "isthmus-dhcp(8) tells the preset $preset" ||
			not_ok "isthmus-dhcp(8) tells the preset $preset" "not found"
	done
done

for page in "$ROOT"/docs/*.8; do
	complaints=$(mandoc -T lint -W warning "$page" 2>&1) || true
	equal "mandoc: ${page##*/}" "$complaints" ""
done
[ "$FAILED" = 0 ]
