#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# CPython's own tests of sockets, with the server's own address for their loopback: in the server's
# network, and as a client without an address. Test by test, both must end in the same way.
#
#   client c1 ── LHP ── isthmus-resoad   server 192.0.2.1
#   the tests: 2.                        the tests: 1.

. "${0%/*}/lib/net.sh"
need python3
python3 -c 'import test.test_socket' 2>/dev/null || {
	skip "$STORY" "python3 has no package of its tests"
	exit 0
}
. "$SELFTESTS/lib/resoa.sh"

resoa_up
resoa_client c1

T=test_socket
TESTS="$T.BasicTCPTest $T.NonBlockingTCPTests $T.SendmsgTCPTest $T.RecvmsgTCPTest $T.BufferIOTest
	$T.RecvmsgIntoTCPTest $T.InterruptedRecvTimeoutTest $T.CreateServerFunctionalTest
	$T.BasicUDPTest $T.SendmsgUDPTest $T.RecvmsgUDPTest $T.RecvmsgIntoUDPTest $T.UDPTimeoutTest $T.FileObjectClassTestCase
	test_telnetlib.ReadTests test_smtplib.SMTPSimTests"

# shellcheck disable=SC2086 # TESTS is a list
{
	in_ns server timeout 90 python3 "$SELFTESTS/lib/resoa_suites.py" $SERVER4 $TESTS >"$TMP/local" 2>"$TMP/local.log" || true
	resoa_in c1 timeout 90 python3 "$SELFTESTS/lib/resoa_suites.py" $SERVER4 $TESTS >"$TMP/remote" 2>"$TMP/remote.log" || true
}

at_least "CPython's tests have run at the server, and passed" "$(grep -c ' ok$' "$TMP/local")" 110
check "as a client: the same tests end in the same way" diff "$TMP/local" "$TMP/remote"

resoa_in c1 timeout 30 python3 "$SELFTESTS/lib/resoa_suites.py" 127.0.0.1 $T.BasicTCPTest >"$TMP/loopback" 2>&1 || true
at_least "a client's own loopback" "$(grep -c ' ok$' "$TMP/loopback")" 8
refuse "of listeners there the server hears nothing" log_has c1.log 'cannot listen'
