#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# clang-format with the tree's .clang-format has nothing to change.
. "${0%/*}/../lib/check.sh"

faults() {
	check_files '*.c' '*.h' | while read -r file; do
		clang-format --style="file:$CHECK_ROOT/.clang-format" "$file" | cmp -s - "$file" ||
			echo "$file: clang-format -i $file"
	done
}

plant() { echo 'int  a ;' >wrong.c; }

# Releases of clang-format differ in details of what they make of one style.
version=$(clang-format --version | sed 's/.*version \([0-9]*\).*/\1/')
if [ "$version" = 14 ]; then
	house "C is formatted"
else
	echo "skip C is formatted # clang-format is release $version, the style is kept with 14"
fi
