// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/onetime_world.c */
/*
 * selftests/onetime_end.c - the end of a session at a real server: whoever closes first, resets,
 * dies or is gone. The peer's last FIN and its repetitions are answered, the address takes no new
 * session, and nothing passes after that. And forged packets of a session, in each mode. After each
 * the same client is served at its next address.
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

#define CLIENT	1
#define GONE_MS 300

static bool supported;
static __u32 last_number;

static int set_up(void **state)
{
	(void)state;
	supported = !oworld_open();
	if (supported)
		/* A repeated FIN is answered each time. */
		oworld_sysctl("net.ipv4.tcp_invalid_ratelimit", 0);
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

/* ---- a session */

static struct oworld_hand begin(enum onetime_mode mode, __u32 client, int *fd)
{
	struct isthmus_addr ssa = oworld_ssa(false, ++last_number);
	struct oworld_hand hand = oworld_hand(client, &ssa);

	oworld_give(&ssa, mode);
	*fd = oworld_establish(&hand);
	assert_int_equal(oworld_state(&ssa), ONETIME_STATE_LIVE);
	return hand;
}

static void say(struct oworld_hand *hand, const char *text)
{
	oworld_send(hand, PACKET_ACK | PACKET_PSH, text);
	hand->seq += strlen(text);
}

static void hear(int fd, const char *text)
{
	char got[64] = {};

	assert_true(oworld_readable(fd, assume_ms(1000)));
	assert_int_equal(read(fd, got, sizeof(got) - 1), strlen(text));
	assert_string_equal(got, text);
}

/* The server's FIN comes, and is not yet acknowledged. */
static void takes_fin(struct oworld_hand *hand)
{
	struct oworld_seen seen;

	assert_true(oworld_sees(hand, PACKET_FIN | PACKET_ACK, &seen));
	assert_int_equal(seen.seq, hand->ack);
	hand->ack++;
}

/* Ours is acknowledged: at first, and each time that it comes again because that was lost. */
static void fin_is_answered(struct oworld_hand *hand, int times)
{
	struct oworld_seen seen;

	for (int i = 0; i < times; i++) {
		oworld_flush();
		oworld_send(hand, PACKET_FIN | PACKET_ACK, NULL);
		assert_true(oworld_sees(hand, PACKET_ACK, &seen));
		assert_int_equal(seen.ack, hand->seq + 1);
	}
	hand->seq++;
}

/* ---- what is over */

static void refused(const struct oworld_hand *hand, __u16 flags, const char *data,
		    enum onetime_reason reason)
{
	__u64 before = oworld_count(reason);

	oworld_send(hand, flags, data);
	assert_true(oworld_hears_nothing(hand));
	oworld_counted(reason, before + 1);
}

static void let_time_pass(const struct isthmus_addr *ssa)
{
	struct onetime_addr record = oworld_get(ssa);

	assert_true(record.until_ns - record.since_ns == ow.conf.linger_ns);
	record.until_ns = oworld_now();
	oworld_put(ssa, &record);
	assert_int_equal(oworld_state(ssa), ONETIME_STATE_DEAD);
}

/*
 * CLOSING, then DEAD. TIME-WAIT takes a SYN whose sequence number is beyond the last one, so the
 * guard lets none come that far; nor does sk_lookup, where there is no guard.
 */
static void is_over(const struct oworld_hand *hand)
{
	struct oworld_hand again = *hand;
	int fd;

	assert_true(oworld_becomes(&hand->ssa, ONETIME_STATE_CLOSING));
	oworld_flush();
	again.seq += 1000000;
	refused(&again, PACKET_SYN, NULL, ONETIME_ENDED);
	again.dev = OWORLD_OPEN;
	oworld_send(&again, PACKET_SYN, NULL);
	assert_true(oworld_nobody(ow.listener));
	again.dev = OWORLD_GUARDED;
	oworld_flush();
	let_time_pass(&hand->ssa);
	refused(&again, PACKET_SYN, NULL, ONETIME_FREE);
	refused(hand, PACKET_ACK, "late", ONETIME_FREE);
	refused(hand, PACKET_FIN | PACKET_ACK, NULL, ONETIME_FREE);
	assert_true(oworld_nobody(ow.listener));
	assert_int_equal(oworld_state(&hand->ssa), ONETIME_STATE_DEAD);
	oworld_counted(ONETIME_CLOSED, 1);
	/* And the same client with its next address. */
	again = begin(ONETIME_L0, CLIENT, &fd);
	say(&again, "next");
	hear(fd, "next");
	close(fd);
	oworld_counted(ONETIME_CLAIMED, 2);
	oworld_counted(ONETIME_LIVE, 2);
	oworld_counted(ONETIME_ENDED, 1);
	oworld_counted(ONETIME_FREE, 3);
	oworld_counted(ONETIME_TAKEN, 0);
}

static void reset_by(int fd)
{
	static const struct linger now = { .l_onoff = 1 };

	must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	close(fd);
}

/* ---- ways to end */

static void test_server_first(void **state)
{
	struct oworld_hand hand;
	int fd;

	(void)state;
	need_support();
	hand = begin(ONETIME_L1, CLIENT, &fd);
	close(fd);
	takes_fin(&hand);
	assert_int_equal(oworld_state(&hand.ssa), ONETIME_STATE_LIVE);
	oworld_send(&hand, PACKET_ACK, NULL);
	/* FIN-WAIT-2: the socket has closed, the peer may still end. */
	assert_true(oworld_becomes(&hand.ssa, ONETIME_STATE_CLOSING));
	fin_is_answered(&hand, 3);
	is_over(&hand);
}

/* The last FIN acknowledges nothing: each end has sent its own before the other's came. */
static void test_both_at_once(void **state)
{
	struct oworld_hand hand;
	int fd;

	(void)state;
	need_support();
	hand = begin(ONETIME_L2, CLIENT, &fd);
	close(fd);
	takes_fin(&hand);
	hand.ack--;
	fin_is_answered(&hand, 1);
	hand.ack++;
	oworld_send(&hand, PACKET_ACK, NULL);
	assert_true(oworld_becomes(&hand.ssa, ONETIME_STATE_CLOSING));
	hand.seq--;
	fin_is_answered(&hand, 3);
	is_over(&hand);
}

static void test_client_first(void **state)
{
	struct oworld_hand hand;
	int fd;

	(void)state;
	need_support();
	hand = begin(ONETIME_AWARE, CLIENT, &fd);
	fin_is_answered(&hand, 2);
	hear(fd, "");
	assert_int_equal(oworld_state(&hand.ssa), ONETIME_STATE_LIVE);
	close(fd);
	takes_fin(&hand);
	assert_int_equal(oworld_state(&hand.ssa), ONETIME_STATE_LIVE);
	oworld_send(&hand, PACKET_ACK, NULL);
	is_over(&hand);
}

/* What is in flight when the server has shut down its side, and long after. */
static void test_half_closed(void **state)
{
	struct oworld_hand hand;
	int fd;

	(void)state;
	need_support();
	hand = begin(ONETIME_L0, CLIENT, &fd);
	must(shutdown(fd, SHUT_WR));
	say(&hand, "in flight");
	takes_fin(&hand);
	say(&hand, "and after");
	assert_true(oworld_readable(fd, assume_ms(1000)));
	usleep(OWORLD_QUIET_MS * 1000);
	hear(fd, "in flightand after");
	assert_int_equal(oworld_state(&hand.ssa), ONETIME_STATE_LIVE);
	fin_is_answered(&hand, 2);
	hear(fd, "");
	close(fd);
	is_over(&hand);
}

static void test_client_resets(void **state)
{
	struct oworld_hand hand;
	char byte;
	int fd;

	(void)state;
	need_support();
	hand = begin(ONETIME_L0, CLIENT, &fd);
	oworld_send(&hand, PACKET_RST, NULL);
	assert_true(oworld_readable(fd, assume_ms(1000)));
	assert_int_equal(read(fd, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	is_over(&hand);
	close(fd);
}

static void test_server_resets(void **state)
{
	struct oworld_hand hand;
	struct oworld_seen seen;
	int fd;

	(void)state;
	need_support();
	hand = begin(ONETIME_L0, CLIENT, &fd);
	reset_by(fd);
	assert_true(oworld_sees(&hand, PACKET_RST | PACKET_ACK, &seen));
	assert_int_equal(seen.seq, hand.ack);
	is_over(&hand);
}

static void test_server_killed(void **state)
{
	struct oworld_hand hand;
	pid_t child;
	int fd;

	(void)state;
	need_support();
	hand = begin(ONETIME_L0, CLIENT, &fd);
	child = must(fork());
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	close(fd);
	say(&hand, "to the child");
	assert_int_equal(oworld_state(&hand.ssa), ONETIME_STATE_LIVE);
	must(kill(child, SIGKILL));
	must(waitpid(child, NULL, 0));
	/* It had not read. */
	assert_true(oworld_becomes(&hand.ssa, ONETIME_STATE_CLOSING));
	is_over(&hand);
}

static void test_client_gone(void **state)
{
	unsigned int timeout = assume_ms(GONE_MS);
	struct oworld_hand hand;
	char byte;
	int fd;

	(void)state;
	need_support();
	hand = begin(ONETIME_L0, CLIENT, &fd);
	must(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout)));
	must(write(fd, "nobody hears", 12));
	for (int i = 0; i < 8 && !oworld_becomes(&hand.ssa, ONETIME_STATE_CLOSING); i++)
		;
	assert_int_equal(read(fd, &byte, 1), -1);
	assert_int_equal(errno, ETIMEDOUT);
	is_over(&hand);
	close(fd);
}

/* ---- forged packets */

/* Data, FIN and reset, with the session's sequence numbers and with others. */
static int forge(const struct oworld_hand *as)
{
	struct oworld_hand hand = *as;

	for (int i = 0; i < 2; i++) {
		oworld_send(&hand, PACKET_ACK | PACKET_PSH, "forged");
		oworld_send(&hand, PACKET_FIN | PACKET_ACK, NULL);
		oworld_send(&hand, PACKET_RST, NULL);
		hand.seq += 1 << 30;
	}
	return 6;
}

static void forged_in(enum onetime_mode mode)
{
	struct oworld_hand hand, other, as;
	int fd, other_fd, taken = 0, port = 0, ours = mode >= ONETIME_L2;

	oworld_clear();
	hand = begin(mode, 1, &fd);
	other = begin(mode, 2, &other_fd);
	as = hand;
	as.me = oworld_address(8, 3);
	taken += forge(&as);
	as.me = other.me;
	taken += forge(&as);
	oworld_counted(ONETIME_TAKEN, taken);
	assert_true(oworld_nobody(fd));
	/* From the client's address: its ports are looked at in L2 and aware, ours in aware. What
	 * passes is the session's to the kernel, so its sequence number is looked at. */
	as = hand;
	as.port++;
	as.seq += 1 << 30;
	oworld_send(&as, PACKET_RST, NULL);
	oworld_counted(ONETIME_TAKEN, taken + ours);
	as = hand;
	as.ssa_port++;
	as.seq += 1 << 30;
	oworld_send(&as, PACKET_RST, NULL);
	port += mode == ONETIME_AWARE;
	oworld_counted(ONETIME_WRONG_PORT, port);
	as.port++;
	oworld_send(&as, PACKET_SYN, NULL);
	oworld_counted(ONETIME_TAKEN, taken + 2 * ours);
	say(&hand, "one");
	say(&other, "two");
	hear(fd, "one");
	hear(other_fd, "two");
	assert_true(oworld_nobody(fd));
	assert_true(oworld_nobody(other_fd));
	assert_true(oworld_nobody(ow.listener));
	assert_int_equal(oworld_state(&hand.ssa), ONETIME_STATE_LIVE);
	assert_int_equal(oworld_state(&other.ssa), ONETIME_STATE_LIVE);
	oworld_counted(ONETIME_CLAIMED, 2);
	reset_by(fd);
	reset_by(other_fd);
}

static void test_forged(void **state)
{
	(void)state;
	need_support();
	for (int mode = ONETIME_L0; mode <= ONETIME_AWARE; mode++)
		forged_in(mode);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_server_first, clear),
		cmocka_unit_test_setup(test_both_at_once, clear),
		cmocka_unit_test_setup(test_client_first, clear),
		cmocka_unit_test_setup(test_half_closed, clear),
		cmocka_unit_test_setup(test_client_resets, clear),
		cmocka_unit_test_setup(test_server_resets, clear),
		cmocka_unit_test_setup(test_server_killed, clear),
		cmocka_unit_test_setup(test_client_gone, clear),
		cmocka_unit_test_setup(test_forged, clear),
	};

	return cmocka_run_group_tests_name("onetime_end", tests, set_up, tear_down);
}
