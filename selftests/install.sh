#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# `make install` and `make uninstall` into an empty directory: what is there, and that nothing of it stays.

set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
: "${B:=$ROOT/build}"
B=$(realpath "$B")
TO=$(mktemp -d /tmp/isthmus-install-XXXXXX)
trap 'rm -rf "$TO"' EXIT
FAILED=0

check() { # NAME cmd...
	local name=$1
	shift
	if "$@" >"$TO.log" 2>&1; then
		echo "ok install: $name"
	else
		echo "not ok install: $name # $*: $(tail -n 3 "$TO.log" | tr '\n' ' ')"
		FAILED=1
	fi
	rm -f "$TO.log"
}
# Only the rules: what is built is what is tested, and this must not build it again at the same time.
run_make() { make -s --no-print-directory -C "$ROOT" B="$B" -o build "$@"; }
none() { [ -z "$(find "$TO" "$@")" ]; }

check "install" run_make install DESTDIR="$TO" PREFIX=/opt/isthmus
check "the command runs" "$TO/opt/isthmus/bin/isthmus" version
for program in "$B"/isthmus "$B"/isthmus-*; do
	if [ -x "$program" ] && [ -f "$program" ]; then
		check "program ${program##*/}" cmp "$program" "$TO/opt/isthmus/bin/${program##*/}"
	fi
done
check "library isthmus-srv.so" cmp "$B/isthmus-srv.so" "$TO/opt/isthmus/lib/isthmus/isthmus-srv.so"
check "isthmus-srv-run finds its library" "$TO/opt/isthmus/bin/isthmus-srv-run" true
for page in "$ROOT"/docs/*.8; do
	check "page ${page##*/}" cmp "$page" "$TO/opt/isthmus/share/man/man8/${page##*/}"
done
check "completion" cmp "$ROOT/loader/isthmus.bash" "$TO/opt/isthmus/share/bash-completion/completions/isthmus"
for unit in "$ROOT"/agents/*/*.service; do
	[ -e "$unit" ] || continue
	installed=$TO/opt/isthmus/lib/systemd/system/${unit##*/}
	[ "${unit##*/}" != isthmus-peer.service ] || installed=${installed/system\/isthmus-peer/user\/isthmus-peer}
	check "unit ${unit##*/}" test -s "$installed"
	for command in $(sed -n 's/^Exec[A-Za-z]*=[-+!@]*\([^ ]*isthmus[^ ]*\).*/\1/p' "$installed"); do
		check "unit ${unit##*/} starts what is installed" test -x "$TO$command"
	done
done
for example in "$ROOT"/agents/*/*.conf; do
	check "example ${example##*/}" cmp "$example" "$TO/opt/isthmus/share/doc/isthmus/examples/${example##*/}"
done
check "nothing is writable for others" none -type f -perm /022
check "uninstall" run_make uninstall DESTDIR="$TO" PREFIX=/opt/isthmus
check "no file stays" none ! -type d
check "no directory of ours stays" none -mindepth 3 -iname '*isthmus*'
check "uninstall again" run_make uninstall DESTDIR="$TO" PREFIX=/opt/isthmus
[ "$FAILED" = 0 ]
