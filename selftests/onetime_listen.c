// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_world.c */
/*
 * selftests/onetime_listen.c - who gets what comes to a pool: never a listener of any address;
 * TCP Fast Open, four processes at one port, a backlog that is full, MPTCP.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_world.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define GROUP	      4 /* processes */
#define EACH	      8 /* addresses of each */
#define GROUP_AT      10
#define FLOOD	      16
#define FLOOD_EACH_MS 15
#define FLOOD_MS      20000
#define FULL_AT	      5
#define UDP_PORT      5353

static bool supported;

static int set_up(void **state)
{
	(void)state;
	supported = !oworld_open();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	oworld_close();
	return 0;
}

static int clear(void **state)
{
	(void)state;
	if (supported)
		oworld_clear();
	return 0;
}

static void need_support(void)
{
	if (supported)
		return;
	print_message("no cgroup2 is mounted\n");
	skip();
}

static int connected(__u32 number, const struct isthmus_addr *to, __u16 port)
{
	int fd = oworld_client(number, SOCK_STREAM);

	assert_int_equal(oworld_connect(fd, to, port, assume_ms(1000)), 0);
	return fd;
}

/* ---- listeners of any address */

/* Addresses that a stranger may not reach, whatever they are to others. */
static struct isthmus_addr in_state(bool reset, __u32 number, __u32 state)
{
	struct isthmus_addr ssa = oworld_ssa(reset, number), peer = oworld_address(7, 99);
	struct onetime_addr record = oworld_pending(ONETIME_L0, 0);

	record.state = state;
	if (state >= ONETIME_STATE_CLAIMED) {
		record.peer = peer;
		record.port = record.wire_port = htons(OWORLD_PORT);
		record.peer_port = record.wire_peer_port = htons(40000);
	}
	if (number % 2) /* its time is over */
		record.until_ns = oworld_now();
	if (state != ONETIME_STATE_FREE)
		oworld_put(&ssa, &record);
	return ssa;
}

static void from_itself(const struct isthmus_addr *ssa)
{
	int fd = oworld_socket(IPPROTO_TCP);

	assert_int_equal(oworld_connect(fd, ssa, OWORLD_PORT, assume_ms(1000)), ECONNREFUSED);
	close(fd);
}

static void datagrams_to(const struct isthmus_addr *ssa)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(UDP_PORT) };
	int fds[] = { oworld_client(1, SOCK_DGRAM), oworld_socket(IPPROTO_UDP) };

	memcpy(&to.sin6_addr, ssa, 16);
	for (int i = 0; i < 2; i++) {
		sendto(fds[i], "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
		close(fds[i]);
	}
}

/* By the guarded device, by one that has no guard, from the host itself. */
static void is_not_reached(bool reset, __u32 number, __u32 state)
{
	struct isthmus_addr ssa = in_state(reset, number, state);
	struct oworld_hand hand = oworld_hand(number, &ssa);
	bool pending = oworld_state(&ssa) == ONETIME_STATE_PENDING;
	bool silent = !reset || oworld_state(&ssa) == ONETIME_STATE_CLOSING;
	struct oworld_seen seen;

	hand.dev = OWORLD_OPEN;
	oworld_send(&hand, PACKET_SYN, NULL);
	assert_true(oworld_sees(&hand, PACKET_RST | PACKET_ACK, &seen));
	from_itself(&ssa);
	hand.dev = OWORLD_GUARDED;
	if (pending)
		return;
	oworld_send(&hand, PACKET_SYN, NULL);
	if (silent)
		assert_true(oworld_hears_nothing(&hand));
	else
		assert_true(oworld_sees(&hand, PACKET_RST | PACKET_ACK, &seen));
	datagrams_to(&ssa);
}

static int any_datagrams(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(UDP_PORT) };
	int fd = oworld_socket(IPPROTO_UDP);

	must(bind(fd, (struct sockaddr *)&any, sizeof(any)));
	return fd;
}

static void test_any_address(void **state)
{
	struct isthmus_addr given = oworld_ssa(false, 1000), own = oworld_address(1, 1);
	int any, udp, fd;

	(void)state;
	need_support();
	any = oworld_listening(OWORLD_PORT, 16, true, false);
	udp = any_datagrams();
	for (int reset = 0; reset < 2; reset++)
		for (__u32 is = ONETIME_STATE_FREE; is <= ONETIME_STATE_CLOSING; is++)
			for (int over = 0; over < 2; over++)
				is_not_reached(reset, 2 * is + over + 2, is);
	assert_true(oworld_nobody(any));
	assert_true(oworld_nobody(udp));
	assert_true(oworld_nobody(ow.listener));
	oworld_counted(ONETIME_CLAIMED, 0);
	oworld_counted(ONETIME_LOOKED_UP, 0);
	/* Whom they are for reaches them: the host's own address, an address that was given out. */
	oworld_give(&given, ONETIME_L0);
	fd = connected(1, &given, OWORLD_PORT);
	assert_true(oworld_readable(ow.listener, assume_ms(1000)));
	assert_true(oworld_nobody(any));
	close(fd);
	assume_ns_enter(ow.clients);
	assume_run("ping -6 -c 1 -w 3 2001:db8:1::1");
	assume_ns_enter(ow.ns);
	fd = connected(1, &own, OWORLD_PORT);
	assert_true(oworld_readable(any, assume_ms(1000)));
	close(fd);
	datagrams_to(&own);
	assert_true(oworld_readable(udp, assume_ms(1000)));
	close(any);
	close(udp);
}

/* ---- TCP Fast Open (RFC 7413) */

static int fast_open(__u32 number, const struct isthmus_addr *ssa)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(OWORLD_PORT) };
	int fd = oworld_client(number, SOCK_STREAM);

	memcpy(&to.sin6_addr, ssa, 16);
	assert_int_equal(sendto(fd, "early", 5, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)),
			 5);
	return fd;
}

/* The data is there with the SYN, and the session is that of the SYN's sender. */
static void test_fast_open(void **state)
{
	struct isthmus_addr ssa = oworld_ssa(false, 1), first = oworld_address(7, 1);
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int fds[2], fd;
	char got[8];

	(void)state;
	need_support();
	/* Of the server: on, for all listeners, without cookies (ip-sysctl, tcp_fastopen). */
	oworld_sysctl("net.ipv4.tcp_fastopen", 0x602);
	assume_ns_enter(ow.clients);
	oworld_sysctl("net.ipv4.tcp_fastopen", 0x5);
	assume_ns_enter(ow.ns);
	oworld_clear(); /* a listener of now */
	oworld_give(&ssa, ONETIME_L1);
	fds[0] = fast_open(1, &ssa);
	fds[1] = fast_open(2, &ssa);
	fd = oworld_accept(ow.listener, &ssa, OWORLD_PORT, &first, 0);
	must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	assert_true(info.tcpi_options & TCPI_OPT_SYN_DATA);
	assert_int_equal(read(fd, got, sizeof(got)), 5);
	assert_memory_equal(got, "early", 5);
	assert_int_equal(oworld_state(&ssa), ONETIME_STATE_LIVE);
	assert_true(oworld_nobody(ow.listener));
	oworld_counted(ONETIME_CLAIMED, 1);
	oworld_counted(ONETIME_LIVE, 1);
	assert_true(oworld_count(ONETIME_TAKEN) >= 1);
	close(fds[1]);
	close(fds[0]);
	close(fd);
	assert_true(oworld_becomes(&ssa, ONETIME_STATE_CLOSING));
}

/* ---- four processes that share a port */

static void serve(int at)
{
	char mine = 'a' + at;

	for (;;) {
		int fd = accept(ow.listener, NULL, NULL);

		if (fd < 0 || write(fd, &mine, 1) != 1)
			_exit(1);
		close(fd);
	}
}

static pid_t start(int at)
{
	int ready[2];
	pid_t child;
	char byte;

	must(pipe(ready));
	child = must(fork());
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ow.listener = oworld_listening(OWORLD_LISTENER + 1, 64, false, true);
		must(oworld_listener_put(GROUP_AT + at, ow.listener, OWORLD_LISTENER + 1,
					 IPPROTO_TCP)
			     ? 0
			     : -1);
		must(write(ready[1], "", 1));
		serve(at);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

static struct isthmus_addr given_to(int at, __u32 number)
{
	struct isthmus_addr ssa = oworld_ssa(false, number);
	struct onetime_addr record = oworld_pending(ONETIME_L0, GROUP_AT + at);

	oworld_put(&ssa, &record);
	return ssa;
}

/* Who set the address gets it, whatever the kernel would choose. */
static void is_served_by(int at, __u32 number)
{
	struct isthmus_addr ssa = given_to(at, number);
	int fd = connected(number, &ssa, OWORLD_PORT);
	char who = 0;

	assert_true(oworld_readable(fd, assume_ms(1000)));
	assert_int_equal(read(fd, &who, 1), 1);
	assert_int_equal(who, 'a' + at);
	close(fd);
}

static void test_group(void **state)
{
	pid_t children[GROUP];
	struct isthmus_addr lost;
	__u32 number = 0;
	int fd;

	(void)state;
	need_support();
	for (int i = 0; i < GROUP; i++)
		children[i] = start(i);
	for (int each = 0; each < EACH; each++)
		for (int i = 0; i < GROUP; i++)
			is_served_by(i, ++number);
	oworld_counted(ONETIME_LIVE, GROUP * EACH);
	/* The addresses of one that dies are nobody's, those of the others as before. */
	must(kill(children[1], SIGKILL));
	must(waitpid(children[1], NULL, 0));
	lost = given_to(1, ++number);
	fd = oworld_client(number, SOCK_STREAM);
	assert_int_equal(oworld_connect(fd, &lost, OWORLD_PORT, OWORLD_QUIET_MS), ETIMEDOUT);
	close(fd);
	assert_true(oworld_count(ONETIME_NO_LISTENER) >= 1);
	assert_int_equal(oworld_state(&lost), ONETIME_STATE_PENDING);
	for (int i = 0; i < GROUP; i++) {
		if (i != 1)
			is_served_by(i, ++number);
	}
	oworld_counted(ONETIME_LIVE, GROUP * EACH + GROUP - 1);
	oworld_counted(ONETIME_LOOKUP_REFUSED, 0);
	for (int i = 0; i < GROUP; i++) {
		if (i == 1)
			continue;
		must(kill(children[i], SIGKILL));
		must(waitpid(children[i], NULL, 0));
	}
}

/* ---- a full backlog */

/* What the kernel drops is sent again, and the address is still its client's. */
static void test_backlog(void **state)
{
	__u64 end = assume_now_ms() + assume_ms(FLOOD_MS);
	int listener, fds[FLOOD], accepted[FLOOD], seen = 0;
	struct isthmus_addr local;
	struct oworld_hand stranger;

	(void)state;
	need_support();
	/* With a cookie, the ACK that finds it full is lost for good: whatever the address. */
	oworld_sysctl("net.ipv4.tcp_syncookies", 0);
	listener = oworld_listening(OWORLD_LISTENER + 2, 1, false, false);
	assert_true(oworld_listener_put(FULL_AT, listener, OWORLD_LISTENER + 2, IPPROTO_TCP));
	for (int i = 0; i < FLOOD; i++) {
		struct isthmus_addr ssa = oworld_ssa(false, i);
		struct onetime_addr record = oworld_pending(ONETIME_L1, FULL_AT);

		oworld_put(&ssa, &record);
		fds[i] = oworld_client(i, SOCK_STREAM);
		oworld_connect(fds[i], &ssa, OWORLD_PORT, FLOOD_EACH_MS);
	}
	for (int i = 0; i < FLOOD; i++) {
		struct isthmus_addr ssa = oworld_ssa(false, i);

		assert_true(oworld_state(&ssa) >= ONETIME_STATE_CLAIMED);
		stranger = oworld_hand(i, &ssa);
		oworld_send(&stranger, PACKET_SYN, NULL);
	}
	oworld_counted(ONETIME_TAKEN, FLOOD);
	while (seen < FLOOD && assume_now_ms() < end) {
		struct sockaddr_in6 ours, theirs;
		socklen_t len = sizeof(theirs);

		if (!oworld_readable(listener, 100))
			continue;
		accepted[seen] = must(accept(listener, (struct sockaddr *)&theirs, &len));
		must(getsockname(accepted[seen++], (struct sockaddr *)&ours, &len));
		/* Client n has address n. */
		local = oworld_ssa(false, theirs.sin6_addr.s6_addr[15]);
		assert_memory_equal(&ours.sin6_addr, &local, 16);
		assert_int_equal(theirs.sin6_addr.s6_addr[5], 7);
		assert_int_equal(oworld_state(&local), ONETIME_STATE_LIVE);
	}
	assert_int_equal(seen, FLOOD);
	assert_true(oworld_count(ONETIME_SESSION) > FLOOD); /* SYNs again */
	oworld_counted(ONETIME_CLAIMED, FLOOD);
	oworld_counted(ONETIME_LIVE, FLOOD);
	assert_true(oworld_nobody(listener));
	for (int i = 0; i < FLOOD; i++) {
		close(fds[i]);
		close(accepted[i]);
	}
	close(listener);
}

/* ---- MPTCP */

/* The kernel takes no such listener for sk_lookup: whoever sets an address there is told. */
static void test_mptcp(void **state)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(7000) };
	int fd;

	(void)state;
	need_support();
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
	if (fd < 0) {
		print_message("this kernel has no MPTCP\n");
		skip();
	}
	must(bind(fd, (struct sockaddr *)&at, sizeof(at)));
	must(listen(fd, 16));
	assert_false(oworld_listener_put(20, fd, 7000, IPPROTO_TCP));
	assert_int_equal(errno, EOPNOTSUPP);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_any_address, clear),
		cmocka_unit_test_setup(test_fast_open, clear),
		cmocka_unit_test_setup(test_group, clear),
		cmocka_unit_test_setup(test_backlog, clear),
		cmocka_unit_test_setup(test_mptcp, clear),
	};

	return cmocka_run_group_tests_name("onetime_listen", tests, set_up, tear_down);
}
