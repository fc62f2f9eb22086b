#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every file names its licence: what runs in the kernel and the maps GPL-2.0-only OR BSD-2-Clause, the rest
# GPL-3.0-or-later.
. "${0%/*}/../lib/check.sh"

# Text for people, the licences themselves, and inputs of fuzz targets have no such line.
exempt() {
	case $1 in
	*.md | LICENSE* | selftests/fuzz/*/* | .gitignore | .clang-format | *.json | *.pcap) ;;
	*) return 1 ;;
	esac
}

wanted() { # FILE: sets licence
	case $1 in
	bpf/* | maps/* | *.bpf.c | *.bpf.h | selftests/assume/*.h | selftests/bench/lib/sessions.h)
		licence="GPL-2.0-only OR BSD-2-Clause"
		;;
	*) licence="GPL-3.0-or-later" ;;
	esac
}

# One process for each licence, not two for each file.
named() { # LICENCE FILE...
	local want=$1
	shift
	awk -v want="SPDX-License-Identifier: $want" '
		function told() { if (name && !found) print name ": no line \047" want "\047" }
		FNR == 1 { told(); name = FILENAME; found = 0 }
		FNR <= 5 && (at = index($0, want)) && substr($0, at + length(want)) ~ /^( \*\/)?$/ { found = 1 }
		FNR == 5 { nextfile }
		END { told() }' "$@" /dev/null
}

faults() {
	local file licence
	declare -A files=()
	while read -r file; do
		if exempt "$file"; then continue; fi
		wanted "$file"
		files[$licence]+=$file$'\n'
		[ -s "$file" ] || echo "$file: empty"
	done < <(check_files '*')
	for licence in "${!files[@]}"; do
		mapfile -t list <<<"${files[$licence]%$'\n'}"
		named "$licence" "${list[@]}"
	done
}

plant() {
	mkdir bpf
	echo '/* SPDX-License-Identifier: GPL-3.0-or-later */' >bpf/wrong.c
}

house "every file names its licence"
