#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Who may include whom. bpf/, loader/ and agents/ meet in maps/ only; an agent sees its own folder and
# agents/lib/; bpf/lib/, maps/common.h and maps/tunnel.h know no stem; a stem never includes another stem's header.
. "${0%/*}/../lib/check.sh"

# REPLY: a path without `.` and `..`.
normal() { # PATH
	local part IFS=/ parts=()
	for part in $1; do
		case $part in
		'' | .) ;;
		..) unset 'parts[-1]' ;;
		*) parts+=("$part") ;;
		esac
	done
	REPLY=${parts[*]}
}

# REPLY: the path, from the root, of what FILE includes as NAME: beside the file first, as the compiler does.
resolve() { # FILE NAME
	normal "${1%/*}/$2"
	[ -e "$REPLY" ] || normal "$2"
}

# REPLY: whose house rules a file has.
room() { # PATH
	case $1 in
	bpf/lib/*) REPLY=bpf/lib ;;
	agents/*/*)
		REPLY=${1#agents/}
		REPLY=agents/${REPLY%%/*}
		;;
	*) REPLY=${1%%/*} ;;
	esac
}

allowed() { # ROOM INCLUDED
	case $1:$2 in
	selftests:* | vmtest:*) ;;
	agents/resoa:bpf/resoa.skel.h | agents/resoad:bpf/resoa.skel.h) ;;
	*:*.skel.h) [ "$1" = loader ] ;;
	maps:maps/* | bpf/lib:maps/common.h | bpf/lib:maps/tunnel.h | bpf/lib:bpf/lib/*) ;;
	bpf:maps/* | bpf:bpf/* | loader:maps/* | loader:loader/*) ;;
	agents/lib:agents/lib/* | agents/*:maps/* | agents/*:agents/lib/*) ;;
	agents/*:"$1"/*) ;;
	*) return 1 ;;
	esac
}

# REPLY: the stem that a path belongs to, or nothing.
stem_of() { # PATH
	local base=${1##*/} stem
	REPLY=
	case $1 in
	bpf/lib/* | agents/* | selftests/*) return ;;
	esac
	for stem in $STEMS; do
		case $base in
		"$stem".* | "$stem"[_-]*) REPLY=$stem ;;
		esac
	done
}

# FILE NAME of every include by quotes; selftests/ may include all.
includes() {
	check_files '*.c' '*.h' | { grep -v '^selftests/' || true; } | xargs -r grep -HE '^[[:space:]]*#[[:space:]]*include "' |
		sed 's/^\([^:]*\):.*include "\([^"]*\)".*/\1 \2/'
}

faults() {
	local file name included from
	STEMS=$(sed -n 's/^DATAPATHS := //p' Makefile 2>/dev/null || true)
	includes | while read -r file name; do
		resolve "$file" "$name" && included=$REPLY
		room "$file"
		allowed "$REPLY" "$included" || echo "$file may not include $included"
		stem_of "$file" && from=$REPLY
		stem_of "$included"
		if [ -n "$from" ] && [ -n "$REPLY" ] && [ "$from" != "$REPLY" ]; then
			echo "$file: stem $from includes $included of stem $REPLY"
		fi
	done
}

plant() {
	mkdir -p agents/one agents/two
	echo '#include "../two/two.h"' >agents/one/one.c
	echo '/* */' >agents/two/two.h
}

house "only what is allowed is included"
