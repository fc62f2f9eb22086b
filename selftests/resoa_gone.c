// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What ended in A ends at the server (agents/resoa/gone.c): each kind of socket once, and a lot of
 * them while nobody reads, so that the kernel's messages are lost. The namespace is real; the
 * tables of the core are counters.
 */
/* link: agents/resoa/rsock.c agents/lib/log.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define QUEUE_BYTES 4096
#include "../agents/resoa/gone.c"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

static struct resoa resoa;
static int gone_binds, gone_options, gone_syns, gone_udps, drained;
static uint64_t last_bind, bound[64];
static int bound_count;

/* ---- the core */

void bind_gone(struct resoa *r, uint64_t cookie)
{
	(void)r;
	gone_binds++;
	last_bind = cookie;
	for (int i = 0; i < bound_count; i++)
		if (bound[i] == cookie)
			bound[i] = bound[--bound_count];
}

void bind_each(struct resoa *r, void (*each)(uint64_t cookie, void *arg), void *arg)
{
	(void)r;
	for (int i = 0; i < bound_count; i++)
		each(bound[i], arg);
}

void option_gone(struct resoa *r, uint64_t cookie)
{
	(void)r, (void)cookie;
	gone_options++;
}

void syn_gone(struct rsock *rsock)
{
	gone_syns++;
	rsock_set_cookie(rsock, 0);
}

void udp_gone(struct rsock *rsock)
{
	gone_udps++;
	rsock_end(rsock, 0);
}

void program_drain(struct program *program)
{
	(void)program;
	drained++;
}

void udp_drain(struct resoa *r)
{
	(void)r;
}

int net_socket(const struct net *net, enum net_place place, int family, int type, int proto)
{
	int fd = socket(family, type, proto);

	(void)net;
	assert_int_equal(place, NET_A);
	return fd < 0 ? -errno : fd;
}

int ep_send(struct lhp *lhp, uint32_t rsock, const struct ep_message *message)
{
	(void)lhp, (void)rsock, (void)message;
	return 0;
}

void lhp_forget(struct lhp *lhp, uint32_t stream)
{
	(void)lhp, (void)stream;
}

void udp_end(struct rsock *rsock)
{
	(void)rsock;
}

void syn_free(struct rsock *rsock)
{
	(void)rsock;
}

void tcp_end(struct rsock *rsock)
{
	(void)rsock;
}

/* ---- sockets */

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len), 0);
	return cookie;
}

static int make(int family, int type, bool listens)
{
	struct sockaddr_in6 address = { .sin6_family = (sa_family_t)family };
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(address)),
			 0);
	if (listens)
		assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void know(int fd, enum rsock_kind kind)
{
	rsock_set_cookie(rsock_new(&resoa, 0, kind), cookie_of(fd));
}

static void turn(int ms)
{
	struct timeval wait = { .tv_usec = ms * 1000 };

	event_base_loopexit(resoa.base, &wait);
	event_base_dispatch(resoa.base);
}

static void wait_binds(int count)
{
	for (int i = 0; i < 300 && gone_binds < count; i++)
		turn(10);
}

static void clear(void)
{
	gone_binds = gone_options = gone_syns = gone_udps = drained = 0;
}

static const struct row {
	const char *name;
	int family, type;
	bool listens;
	enum rsock_kind kind;
} rows[] = {
	{ "listener", AF_INET, SOCK_STREAM, true, RSOCK_LISTENER },
	{ "listener, IPv6", AF_INET6, SOCK_STREAM, true, RSOCK_LISTENER },
	{ "bound", AF_INET, SOCK_STREAM, false, RSOCK_SYN },
	{ "bound, IPv6", AF_INET6, SOCK_STREAM, false, RSOCK_SYN },
	{ "UDP", AF_INET, SOCK_DGRAM, false, RSOCK_UDP },
	{ "UDP, IPv6", AF_INET6, SOCK_DGRAM, false, RSOCK_UDP },
};

static void test_each(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		int fd = make(row->family, row->type, row->listens);
		uint64_t cookie = cookie_of(fd);

		print_message("%s\n", row->name);
		clear();
		know(fd, row->kind);
		turn(20);
		assert_int_equal(gone_binds, 0);
		close(fd);
		wait_binds(1);
		assert_int_equal(gone_binds, 1);
		assert_int_equal(last_bind, cookie);
		assert_int_equal(gone_options, 1);
		assert_int_equal(gone_udps, row->kind == RSOCK_UDP);
		assert_int_equal(gone_syns, row->kind == RSOCK_SYN);
		assert_true(drained >= 1);
		assert_null(rsock_of_cookie(&resoa, cookie));
	}
}

/* An IPv6 listener that takes IPv4 is two at the server. */
static void test_two(void **state)
{
	int fd = make(AF_INET6, SOCK_STREAM, true);
	uint64_t cookie = cookie_of(fd);

	(void)state;
	clear();
	know(fd, RSOCK_LISTENER);
	know(fd, RSOCK_LISTENER);
	close(fd);
	wait_binds(1);
	assert_null(rsock_of_cookie(&resoa, cookie));
}

#define MANY 400

/* Connections are not ended here, whatever is told: their end in W says how. */
static void test_connection(void **state)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	int listener = make(AF_INET, SOCK_STREAM, true), fd = socket(AF_INET, SOCK_STREAM, 0);
	uint64_t cookie = cookie_of(fd);

	(void)state;
	clear();
	know(fd, RSOCK_CONNECT);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
	turn(10);
	assert_non_null(rsock_of_cookie(&resoa, cookie));
	rsock_end(rsock_of_cookie(&resoa, cookie), -1);
	close(fd);
	close(listener);
	turn(50);
}

/* The queue holds a few; those that live are still known, those that ended are not, but for bound
 * ones of a kernel that does not list them. */
static void test_lost(void **state)
{
	int fd[MANY], kept[6];
	uint64_t cookie[MANY], lost = resoa.gone->lost;

	(void)state;
	clear();
	for (int i = 0; i < 6; i++) {
		kept[i] = make(rows[i].family, rows[i].type, rows[i].listens);
		if (rows[i].kind != RSOCK_SYN)
			know(kept[i], rows[i].kind);
	}
	bound[bound_count++] = cookie_of(kept[2]); /* bound, and no more */
	for (int i = 0; i < MANY; i++) {
		fd[i] = make(rows[i % 6].family, rows[i % 6].type, rows[i % 6].listens);
		cookie[i] = cookie_of(fd[i]);
		if (i % 6 == 2 && bound_count < 60)
			bound[bound_count++] = cookie[i];
		else
			know(fd[i], rows[i % 6].kind);
	}
	for (int i = 0; i < MANY; i++)
		close(fd[i]);
	usleep(200000); /* the kernel tells by a work queue */
	for (int i = 0; i < 300 && (resoa.gone->lost == lost || bound_count > 1); i++)
		turn(10);
	turn(100);
	assert_true(resoa.gone->lost > lost);
	for (int i = 0; i < MANY; i++)
		assert_null(rsock_of_cookie(&resoa, cookie[i]));
	assert_true(bound_count == 1 || !lists_bound());
	assert_int_equal(bound[0], cookie_of(kept[2]));
	for (int i = 0; i < 6; i++) {
		if (rows[i].kind != RSOCK_SYN)
			assert_non_null(rsock_of_cookie(&resoa, cookie_of(kept[i])));
		close(kept[i]);
	}
	turn(50);
}

/* ---- a namespace */

static int setup(void **state)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd;

	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* whose end nobody tells */
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
	resoa.base = event_base_new();
	resoa.rsocks = rsocks_new();
	return gone_open(&resoa);
}

static int teardown(void **state)
{
	(void)state;
	gone_close(&resoa);
	rsocks_free(resoa.rsocks);
	event_base_free(resoa.base);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_two),
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_lost),
	};

	if (geteuid()) {
		printf("skip resoa_gone # network namespaces need root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
