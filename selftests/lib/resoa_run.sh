# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What stories of `isthmus-resoa run` share; after net.sh and resoa.sh. P is resoa_run.py.

P=$SELFTESTS/lib/resoa_run.py
NOBODY=(setpriv --reuid=65534 --regid=65534 --clear-groups)
run_of() { isthmus-resoa run --control "$TMP/$1.sock" "${@:2}"; } # NAME [OPTION...] -- cmd...
status_of() { # cmd...: its exit status
	local status=0
	"$@" >"$TMP/out.log" 2>&1 </dev/null || status=$?
	echo $status
}
said() { run_of "$1" -- python3 "$P" "${@:2}"; }
hold() { # NAME LOG bind...: a program that binds; its pid is SPAWNED
	# The pid is the program's: run becomes it.
	spawn - "$2" isthmus-resoa run --control "$TMP/$1.sock" -- python3 "$P" bind "${@:3}" hold
	wait_for 60 log_has "$2" .
}
is_free() { [[ $(said "$1" bind tcp 0.0.0.0 "$2") == bound* ]]; }


# run_clients NAME...: their keys, with which they may bind any port that is nobody's. c3 is for nobody, too.
run_clients() {
	local name
	spawn peer echo.log python3 "$P" echo 7000
	wait_for 60 listening peer t 7000
	for name; do
		(umask 077 && isthmus-resoad client add "$name" --clients "$TMP/resoad.clients" >"$TMP/$name.key")
	done
	sed -i 's/^\[client.*/&\nany-port = yes/' "$TMP/resoad.clients"
	kill -HUP "$RESOA_SERVER"
	for name; do
		if [ "$name" = c3 ]; then resoa_client c3 --group nogroup; else resoa_client "$name"; fi
	done
}
