#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# clang-format with the tree's .clang-format has nothing to change.
. "${0%/*}/../lib/check.sh"

faults() {
	check_files '*.c' '*.h' | xargs -r -d '\n' -n 32 -P "$(nproc)" \
		clang-format --style="file:$CHECK_ROOT/.clang-format" --dry-run 2>&1 |
		sed -n 's/^\([^:]*\):.*\[-Wclang-format-violations\]$/\1: clang-format -i \1/p' | sort -u
}

plant() { echo 'int  a ;' >wrong.c; }

# Releases of clang-format differ in details of what they make of one style.
version=$(clang-format --version | sed 's/.*version \([0-9]*\).*/\1/')
if [ "$version" = 14 ]; then
	house "C is formatted"
else
	echo "skip C is formatted # clang-format is release $version, the style is kept with 14"
fi
