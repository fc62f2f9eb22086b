# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# How a demo tells what it does; after net.sh.

TELL_START=${EPOCHREALTIME/[.,]/}

tell() {
	local ms=$(((${EPOCHREALTIME/[.,]/} - TELL_START) / 1000))
	printf '[%3d.%d s] %s\n' $((ms / 1000)) $((ms / 100 % 10)) "$*"
}

title() { printf '\n%s\n' "$*"; }

# shown HOST cmd...: prints the command as it would be typed there, and what it answers. It is run by SHOWN_BY, in_ns if not set.
shown() {
	local host=$1 words
	shift
	words=$*
	words=${words//$TMP\/alice/\~alice}
	words=${words//$TMP\/bob/\~bob}
	words=${words//$TMP/\/etc\/isthmus}
	printf '            %s# %s\n' "$host" "$words"
	"${SHOWN_BY:-in_ns}" "$host" "$@" 2>&1 | cut -c1-200 | sed 's/^/              /'
}

fail() {
	echo "demo: $*" >&2
	exit 1
}
