// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The server as a program: a peer's SYN waits for the client's word. Packet by packet it is in
 * resoa_knock.c.
 *
 *	test as client alice, bob ── Unix LHP ── isthmus-resoad [v0] ──── [v1] peer, 192.0.2.9
 */
/* link: selftests/lib/resoad_client.c selftests/lib/resoad_pair.c agents/lib/ep.c */
/* link: agents/lib/lhp.c agents/lib/lhp_key.c */
/* link: agents/lib/lhp_stream.c agents/lib/lhp_stream_queue.c agents/lib/lhp_stream_tls.c */
/* link: agents/lib/lhp_stream_place.c */
/* link: agents/lib/address.c agents/lib/conf.c agents/lib/log.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agents/lib/address.h"
#include "lib/resoad_pair.h"

#define PEER4	"192.0.2.9"
#define PEER6	"2001:db8:1::9"
#define SHORT	150 /* ms in which nothing may happen */
#define WAITING 128 /* SYNs of one client */

static int home, away;

/* ---- the peer */

static void run(const char *command)
{
	if (system(command))
		abort();
}

static void make_peer(void)
{
	char command[128];

	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0 || unshare(CLONE_NEWNET))
		abort();
	away = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (away < 0 || setns(home, CLONE_NEWNET))
		abort();
	snprintf(command, sizeof(command), "ip link set v1 netns /proc/%d/fd/%d", getpid(), away);
	run(command);
	setns(away, CLONE_NEWNET);
	run("sysctl -qw net.ipv6.conf.v1.accept_dad=0 && ip addr add " PEER4 "/24 dev v1 &&"
	    "ip -6 addr add " PEER6 "/64 dev v1 nodad && ip link set v1 up");
	setns(home, CLONE_NEWNET);
}

static int group_start(void **state)
{
	int err = pair_group_start(state);

	make_peer();
	return err;
}

/* A connect that has begun. */
static int dial(const char *address, uint16_t port)
{
	struct ep_name name = rc_name(IPPROTO_TCP, address, port);
	struct sockaddr_storage to;
	socklen_t len = ep_to_sockaddr(&name, &to);
	int fd;

	setns(away, CLONE_NEWNET);
	fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setns(home, CLONE_NEWNET);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, len), -1);
	assert_int_equal(errno, EINPROGRESS);
	return fd;
}

/* What connect() says: an errno, or EINPROGRESS after `ms`. */
static int outcome(struct rc *rc, int fd, int ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int error = EINPROGRESS;

	for (int i = 0; i <= ms / 5; i++) {
		if (rc->lhp)
			rc_run(rc, 1);
		if (poll(&poll_fd, 1, 4) > 0)
			return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) ? errno : error;
	}
	return error;
}

/* ---- the client */

static void admit(struct rc *rc, uint32_t listener, uint32_t id, int error)
{
	rc_send(rc, listener, &(struct ep_message){ .type = EP_ADMIT, .id = id, .error = error });
}

/* KNOCK of that peer, and no other name: its id. */
static uint32_t knocked(struct rc *rc, uint32_t listener, uint16_t port, int fd)
{
	const struct ep_message *message = rc_wait(rc, listener, EP_KNOCK, RC_MS);
	struct sockaddr_storage peer_name;
	socklen_t len = sizeof(peer_name);
	struct ep_name own, other;

	assert_non_null(message);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&peer_name, &len), 0);
	assert_int_equal(
		ep_from_sockaddr((struct sockaddr *)&peer_name, len, IPPROTO_TCP, true, &other), 0);
	own = rc_name(IPPROTO_TCP, other.family == 4 ? RC_LOCAL4 : RC_LOCAL6, port);
	assert_true(ep_name_equal(&message->name, &own));
	assert_true(ep_name_equal(&message->other, &other));
	return message->id;
}

static uint32_t listening(struct rc *rc, const char *address, uint16_t port)
{
	uint32_t listener = next++;

	assert_int_equal(rc_listen(rc, listener, address, port, 5), 0);
	return listener;
}

/* ---- tests */

static void run_admitted(const char *any, const char *own, uint16_t port)
{
	uint32_t listener = listening(&alice, any, port), id;
	int fd = dial(own, port);

	id = knocked(&alice, listener, port, fd);
	assert_int_equal(outcome(&alice, fd, SHORT), EINPROGRESS);
	assert_null(rc_wait(&alice, listener, 0, 0));
	admit(&alice, listener, id + 1, 0); /* none that waits */
	assert_int_equal(outcome(&alice, fd, SHORT), EINPROGRESS);
	admit(&alice, listener, id, 0);
	assert_int_equal(outcome(&alice, fd, RC_MS), 0);
	assert_non_null(rc_wait(&alice, listener, EP_INCOMING, RC_MS));
	admit(&alice, listener, id, 0); /* once more */
	assert_null(rc_wait(&alice, listener, 0, SHORT));
	close(fd);
}

/* The peer's checksum is left to its device, and made by it. */
static void test_admitted(void **state)
{
	(void)state;
	run_admitted("0.0.0.0", RC_LOCAL4, 20100);
	run_admitted("::", RC_LOCAL6, 20101);
	run_admitted("::", RC_LOCAL4, 20102);
	setns(away, CLONE_NEWNET);
	run("ethtool -K v1 tx off >/dev/null");
	setns(home, CLONE_NEWNET);
	run_admitted("0.0.0.0", RC_LOCAL4, 20103);
	run_admitted("::", RC_LOCAL6, 20104);
}

/* Its repetition, a second later, knocks again. */
static void test_full(void **state)
{
	uint32_t listener = listening(&alice, "0.0.0.0", 20110);
	int fd = dial(RC_LOCAL4, 20110);

	(void)state;
	admit(&alice, listener, knocked(&alice, listener, 20110, fd), EAGAIN);
	admit(&alice, listener, knocked(&alice, listener, 20110, fd), 0);
	assert_int_equal(outcome(&alice, fd, RC_MS), 0);
	close(fd);
}

/* While the client thinks, repetitions are the same SYN. */
static void test_repeated(void **state)
{
	uint32_t listener = listening(&alice, "0.0.0.0", 20111), id;
	int fd = dial(RC_LOCAL4, 20111);

	(void)state;
	id = knocked(&alice, listener, 20111, fd);
	assert_null(rc_wait(&alice, listener, 0, 1300));
	admit(&alice, listener, id, 0);
	assert_int_equal(outcome(&alice, fd, RC_MS), 0);
	close(fd);
}

/* A listener that is no more: as if there had never been one. */
static void test_gone(void **state)
{
	uint32_t listener = listening(&alice, "::", 20120);
	int four = dial(RC_LOCAL4, 20120), six;

	(void)state;
	knocked(&alice, listener, 20120, four);
	six = dial(RC_LOCAL6, 20120);
	knocked(&alice, listener, 20120, six);
	rc_say(&alice, listener, EP_CLOSE, 0);
	assert_int_equal(outcome(&alice, four, RC_MS), ECONNREFUSED);
	assert_int_equal(outcome(&alice, six, RC_MS), ECONNREFUSED);
	close(four);
	close(six);
}

static void test_client_gone(void **state)
{
	uint32_t listener = listening(&bob, "0.0.0.0", 21120);
	int fd = dial(RC_LOCAL4, 21120);

	(void)state;
	knocked(&bob, listener, 21120, fd);
	lhp_free(bob.lhp);
	bob.lhp = NULL;
	assert_int_equal(outcome(&bob, fd, RC_MS), ECONNREFUSED);
	close(fd);
}

/* Connections that stand are told before a knock, so that the client counts them: here one by lo,
 * where nobody is asked, while the server looks away. */
static void test_order(void **state)
{
	uint32_t listener = listening(&alice, "0.0.0.0", 20130);
	const struct ep_message *message;
	int by_lo, fd;

	(void)state;
	for (int i = 0; i < 5; i++) {
		kill(server.pid, SIGSTOP);
		fd = dial(RC_LOCAL4, 20130);
		by_lo = rc_dial(RC_LOCAL4, 20130);
		kill(server.pid, SIGCONT);
		assert_true(by_lo >= 0);
		message = rc_wait(&alice, listener, 0, RC_MS);
		assert_non_null(message);
		assert_int_equal(message->type, EP_INCOMING);
		admit(&alice, listener, knocked(&alice, listener, 20130, fd), EAGAIN);
		close(fd);
		close(by_lo);
	}
}

/* One that does not answer holds up nobody else, and of its own peers so many. */
static void test_slow(void **state)
{
	uint32_t slow = listening(&alice, "0.0.0.0", 20140);
	uint32_t quick = listening(&bob, "0.0.0.0", 21140);
	int fd[WAITING + 1], other;

	(void)state;
	for (int i = 0; i < WAITING; i++) {
		fd[i] = dial(RC_LOCAL4, 20140);
		knocked(&alice, slow, 20140, fd[i]);
	}
	fd[WAITING] = dial(RC_LOCAL4, 20140);
	assert_int_equal(outcome(&alice, fd[WAITING], RC_MS), 0);
	assert_int_equal(outcome(&alice, fd[0], 0), EINPROGRESS);
	other = dial(RC_LOCAL4, 21140);
	admit(&bob, quick, knocked(&bob, quick, 21140, other), 0);
	assert_int_equal(outcome(&bob, other, RC_MS), 0);
	close(other);
	for (int i = 0; i <= WAITING; i++)
		close(fd[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_admitted, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_full, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_repeated, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_gone, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_client_gone, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_order, pair_start, pair_end),
		cmocka_unit_test_setup_teardown(test_slow, pair_start, pair_end),
	};

	return cmocka_run_group_tests(tests, group_start, NULL);
}
