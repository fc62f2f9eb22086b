#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Shell scripts parse, are executable unless they are a library, and shellcheck, where it is installed, is content.
. "${0%/*}/../lib/check.sh"

scripts() {
	check_files '*' | while read -r file; do
		case $file in
		*.sh) echo "$file" ;;
		*) [[ $(head -c 100 "$file" | tr -d '\0') != '#!/bin/'?(ba)sh* ]] || echo "$file" ;;
		esac
	done
}

faults() {
	scripts | while read -r file; do
		bash -n "$file" 2>&1 || true
		if [[ $(head -n 1 "$file") == '#!'* ]] && [ ! -x "$file" ]; then
			echo "$file: not executable"
		fi
	done
	command -v shellcheck >/dev/null || return 0
	# Sourced files are checked by themselves (SC1091).
	scripts | xargs -r -d '\n' -n 4 -P "$(nproc)" shellcheck -S warning -e SC1091,SC2034,SC2100,SC2154 -f gcc || true
}

plant() { printf '#!/bin/bash\nif true; then\n' >wrong.sh; }

house "shell scripts parse"
