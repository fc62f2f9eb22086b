#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Functions of at most 80 lines, files of at most 600 (BPF programs 500).
. "${0%/*}/../lib/check.sh"

faults() {
	check_files '*.c' '*.h' '*.sh' | xargs -r awk '
		function whole() {
			limit = name ~ /^bpf\// ? 500 : 600
			if (name && last > limit) print name ": " last " lines, more than " limit
		}
		FNR == 1 { whole(); name = FILENAME; start = 0 }
		{ last = FNR }
		END { whole() }
		# In kernel style the braces of a function, and only they and those of types, stand in column 1.
		FILENAME !~ /\.[ch]$/ { next }
		/^{/ { start = FNR; of = previous }
		/^}/ && start { if (FNR - start - 1 > 80) print FILENAME ": " FNR - start - 1 " lines in " of; start = 0 }
		/^[a-zA-Z_]/ { previous = $0 }'
}

plant() {
	{
		printf 'int f(void)\n{\n'
		printf '	; /* %d */\n' {1..81}
		printf '}\n'
	} >long.c
}

house "functions and files are short"
