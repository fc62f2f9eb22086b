# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What every house check needs. A check defines
#	faults		prints a line for each fault of the tree in the current directory
#	plant		makes a fault in an empty tree in the current directory
# and calls `house NAME`: the tree must have no fault, the planted one must be found.

set -euo pipefail
CHECK_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# check_files PATTERN...: the tree's files (git's, where there is git) whose paths match.
check_files() {
	if [ -e .git ]; then
		git -c safe.directory='*' ls-files -co --exclude-standard -- "$@" | while read -r file; do
			[ ! -f "$file" ] || echo "$file"
		done
	else
		local pattern
		for pattern; do find . -path './build*' -prune -o -type f -path "./$pattern" -printf '%P\n'; done
	fi | sort -u
}

house() {
	local name=$1 found planted control
	cd "$CHECK_ROOT"
	found=$(faults)
	if [ -z "$found" ]; then
		echo "ok $name"
	else
		echo "not ok $name # $(wc -l <<<"$found") faults"
		head -n 50 <<<"$found"
	fi
	planted=$(mktemp -d)
	cd "$planted"
	plant
	control=$(faults)
	if [ -n "$control" ]; then
		echo "ok $name: a planted fault is found"
	else
		echo "not ok $name: a planted fault is found # it was not"
	fi
	cd /
	rm -rf "$planted"
	[ -z "$found" ]
}
