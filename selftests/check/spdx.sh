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

faults() {
	local file want
	check_files '*' | while read -r file; do
		if exempt "$file"; then continue; fi
		case $file in
		bpf/* | maps/* | *.bpf.c | *.bpf.h | selftests/assume/*.h | selftests/bench/lib/sessions.h) want='GPL-2.0-only OR BSD-2-Clause' ;;
		*) want='GPL-3.0-or-later' ;;
		esac
		head -n 5 "$file" | grep -qE "SPDX-License-Identifier: $want( \*/)?\$" ||
			echo "$file: no line 'SPDX-License-Identifier: $want'"
	done
}

plant() {
	mkdir bpf
	echo '/* SPDX-License-Identifier: GPL-3.0-or-later */' >bpf/wrong.c
}

house "every file names its licence"
