#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Functions of at most 80 lines, files of at most 600 (BPF programs 500).
. "${0%/*}/../lib/check.sh"

faults() {
	local file lines limit
	check_files '*.c' '*.h' '*.sh' | while read -r file; do
		lines=$(wc -l <"$file")
		limit=600
		case $file in bpf/*) limit=500 ;; esac
		[ "$lines" -le "$limit" ] || echo "$file: $lines lines, more than $limit"
	done
	# In kernel style a function's braces, and only they and those of types, stand in column 1.
	check_files '*.c' '*.h' | while read -r file; do
		awk -v file="$file" '
		/^{/ { start = NR; name = previous }
		/^}/ && start { if (NR - start - 1 > 80) print file ": " NR - start - 1 " lines in " name; start = 0 }
		/^[a-zA-Z_]/ { previous = $0 }' "$file"
	done
}

plant() {
	{
		printf 'int f(void)\n{\n'
		printf '	; /* %d */\n' {1..81}
		printf '}\n'
	} >long.c
}

house "functions and files are short"
