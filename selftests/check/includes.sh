#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Who may include whom. bpf/, loader/ and agents/ meet in maps/ only; an agent sees its own folder and
# agents/lib/; bpf/lib/, maps/common.h and maps/tunnel.h know no stem; a stem never includes another stem's header.
. "${0%/*}/../lib/check.sh"

# Path, from the root, of what FILE includes as NAME: beside the file first, as the compiler does.
resolve() { # FILE NAME
	local beside
	beside=$(realpath -sm --relative-to=. "$(dirname "$1")/$2")
	if [ -e "$beside" ]; then echo "$beside"; else realpath -sm --relative-to=. "$2"; fi
}

room() { # PATH
	case $1 in
	bpf/lib/*) echo bpf/lib ;;
	agents/*/*) cut -d/ -f1-2 <<<"$1" ;;
	*) echo "${1%%/*}" ;;
	esac
}

allowed() { # ROOM INCLUDED
	case $1:$2 in
	selftests:* | vmtest:*) ;;
	*:*.skel.h) [ "$1" = loader ] ;;
	maps:maps/* | bpf/lib:maps/common.h | bpf/lib:maps/tunnel.h | bpf/lib:bpf/lib/*) ;;
	bpf:maps/* | bpf:bpf/* | loader:maps/* | loader:loader/*) ;;
	agents/lib:agents/lib/* | agents/*:maps/* | agents/*:agents/lib/*) ;;
	agents/*:"$1"/*) ;;
	*) return 1 ;;
	esac
}

# The stem that a path belongs to, or nothing.
stem_of() { # PATH
	local base=${1##*/} stem
	case $1 in
	bpf/lib/* | agents/* | selftests/*) return ;;
	esac
	for stem in $STEMS; do
		case $base in
		"$stem".* | "$stem"[_-]*) echo "$stem" ;;
		esac
	done
}

faults() {
	local file name included from of
	STEMS=$(sed -n 's/^DATAPATHS := //p' Makefile 2>/dev/null || true)
	# selftests/ may include all.
	check_files '*.c' '*.h' | grep -v '^selftests/' | while read -r file; do
		sed -n 's/^[[:space:]]*#[[:space:]]*include "\([^"]*\)".*/\1/p' "$file" | while read -r name; do
			included=$(resolve "$file" "$name")
			allowed "$(room "$file")" "$included" || echo "$file may not include $included"
			from=$(stem_of "$file") of=$(stem_of "$included")
			if [ -n "$from" ] && [ -n "$of" ] && [ "$from" != "$of" ]; then
				echo "$file: stem $from includes $included of stem $of"
			fi
		done
	done
}

plant() {
	mkdir -p agents/one agents/two
	echo '#include "../two/two.h"' >agents/one/one.c
	echo '/* */' >agents/two/two.h
}

house "only what is allowed is included"
