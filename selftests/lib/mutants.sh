# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# Breaks BPF programs on purpose, one way after another, in a copy with a build directory of its own, and tells
# which packet table notices. A mutant that none notices is a hole in the tables.
#
#	. "${0%/*}/mutants.sh"
#	mutants_begin "TABLE..." [WORD...]	only mutants whose name holds one of the words
#	mutant NAME FILE SED TABLE...		the tables are tried in order until one fails
#	mutants_end				false if one was not caught

set -uo pipefail

TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
COPY=$(mktemp -d /tmp/isthmus-mutants-XXXXXX)
trap 'rm -rf "$COPY"' EXIT
SURVIVED=0 CAUGHT=0 MUTATED=

# Takes the last mutation back; what does not include that file is not compiled again.
fresh() {
	[ -z "$MUTATED" ] || cp "$COPY/whole/$MUTATED" "$COPY/$MUTATED"
	MUTATED=
}

# Names of the tables that fail, or nothing.
run_tables() { # TABLE...
	local table
	for table in "$@"; do
		if ! make -s -C "$COPY" "build/selftests/$table" >"$COPY/log" 2>&1; then
			echo "$table (does not compile)"
			return
		fi
		if ! timeout 120 "$COPY/build/selftests/$table" >"$COPY/log" 2>&1; then
			if grep -q 'the bench cannot be set up' "$COPY/log"; then
				echo "$table (does not load)"
			else
				echo "$table: $(sed -n 's/^\[  FAILED  \] //p' "$COPY/log" | head -1)"
			fi
			return
		fi
	done
}

wanted() { # NAME
	local word
	[ "${#WORDS[@]}" != 0 ] || return 0
	for word in "${WORDS[@]}"; do
		[[ $1 != *"$word"* ]] || return 0
	done
	return 1
}

# The sed program must change the file; the tables are tried in order until one fails.
mutant() { # NAME FILE SED TABLE...
	local name=$1 file=$2 program=$3 by
	shift 3
	wanted "$name" || return 0
	fresh
	MUTATED=$file
	sed -i "$program" "$COPY/$file"
	if cmp -s "$COPY/whole/$file" "$COPY/$file"; then
		printf 'STALE     %-44s %s has changed\n' "$name" "$file"
		SURVIVED=$((SURVIVED + 1))
		return
	fi
	by=$(run_tables "$@")
	case $by in
	'')
		printf 'SURVIVED  %s\n' "$name"
		SURVIVED=$((SURVIVED + 1))
		;;
	*"does not"*)
		printf 'INVALID   %-44s %s\n' "$name" "$by"
		SURVIVED=$((SURVIVED + 1))
		;;
	*)
		printf 'caught    %-44s %s\n' "$name" "$by"
		CAUGHT=$((CAUGHT + 1))
		;;
	esac
}

# The unbroken copy must pass.
mutants_begin() { # TABLES [WORD...]
	local tables broken
	read -ra tables <<<"$1"
	shift
	WORDS=("$@")
	tar -C "$TREE" --exclude=./build --exclude=./build-san --exclude=./.git -cf - . | tar -C "$COPY" -xf -
	mkdir "$COPY/whole"
	cp -r "$COPY/bpf" "$COPY/maps" "$COPY/whole" # others may go on writing the tree
	broken=$(run_tables "${tables[@]}")
	if [ -n "$broken" ]; then
		echo "the tables fail without any mutant: $broken"
		tail -30 "$COPY/log"
		exit 1
	fi
}

mutants_end() {
	echo "$CAUGHT caught, $SURVIVED not"
	[ "$SURVIVED" = 0 ]
}
