// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/resoad/option.c */
/*
 * Options of clients at the server (agents/resoad/option.c), on real sockets, compared with what
 * getsockopt() says: which are done, with which values, and which must not be, before and after the
 * socket is made; and what may be asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../agents/resoad/resoad.h"

#define TCP6 1 /* which socket a row is for */
#define UDP4 2
#define UDP6 3

static struct ep_message sent;
static uint8_t sent_body[1024];

int ep_send(struct lhp *lhp, uint32_t rsock, const struct ep_message *message)
{
	(void)lhp;
	assert_int_equal(rsock, 5);
	assert_true(message->body_len <= sizeof(sent_body));
	sent = *message;
	memcpy(sent_body, message->body, message->body_len);
	return 0;
}

static struct client client;

static struct sock new_sock(int kind)
{
	return (struct sock){ .id = 5,
			      .fd = -1,
			      .family = kind == TCP6 || kind == UDP6 ? 6 : 4,
			      .proto = kind == UDP4 || kind == UDP6 ? IPPROTO_UDP : IPPROTO_TCP,
			      .client = &client };
}

static void open_sock(struct sock *sock)
{
	sock->fd = socket(sock->family == 6 ? AF_INET6 : AF_INET,
			  sock->proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, 0);
	assert_true(sock->fd >= 0);
	option_apply(sock);
}

static void close_sock(struct sock *sock)
{
	option_end(sock);
	assert_null(sock->options);
	close(sock->fd);
}

static void set(struct sock *sock, int level, int name, const void *value, size_t len)
{
	const struct ep_message message = {
		.type = EP_OPTION, .level = level, .option = name, .body = value, .body_len = len
	};

	option_message(sock, &message);
}

static int get(const struct sock *sock, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(sock->fd, level, name, &value, &len), 0);
	return value;
}

/* ---- which are done */

static const struct row {
	const char *name;
	int kind, level, option, value;
	int want; /* by getsockopt(); SAME: as of a new socket */
} rows[] = {
#define SAME -12345
	{ "keep-alive", 0, SOL_SOCKET, SO_KEEPALIVE, 1, 1 },
	{ "any number switches on", 0, SOL_SOCKET, SO_KEEPALIVE, 77, 1 },
	{ "reuse", 0, SOL_SOCKET, SO_REUSEADDR, 1, 1 },
	{ "reuse, UDP", UDP4, SOL_SOCKET, SO_REUSEADDR, 1, 1 },
	{ "priority", 0, SOL_SOCKET, SO_PRIORITY, 6, 6 },
	{ "priority of the privileged", 0, SOL_SOCKET, SO_PRIORITY, 7, SAME },
	{ "buffer (doubled by the kernel)", 0, SOL_SOCKET, SO_RCVBUF, 65536, 131072 },
	{ "buffer, too small", 0, SOL_SOCKET, SO_SNDBUF, 1, 8192 },
	{ "buffer, negative", 0, SOL_SOCKET, SO_RCVBUF, -1, 8192 },
	{ "buffer of UDP: the client's own", UDP4, SOL_SOCKET, SO_RCVBUF, 65536, SAME },
	{ "no delay", 0, IPPROTO_TCP, TCP_NODELAY, 1, 1 },
	{ "no delay, IPv6", TCP6, IPPROTO_TCP, TCP_NODELAY, 1, 1 },
	{ "cork", 0, IPPROTO_TCP, TCP_CORK, 1, 1 },
	{ "segment size", 0, IPPROTO_TCP, TCP_MAXSEG, 1000, 1000 },
	{ "segment size, too small", 0, IPPROTO_TCP, TCP_MAXSEG, 10, SAME },
	{ "idle time", 0, IPPROTO_TCP, TCP_KEEPIDLE, 30, 30 },
	{ "interval", 0, IPPROTO_TCP, TCP_KEEPINTVL, 7, 7 },
	{ "count", 0, IPPROTO_TCP, TCP_KEEPCNT, 3, 3 },
	{ "count 0", 0, IPPROTO_TCP, TCP_KEEPCNT, 0, SAME },
	{ "SYNs", 0, IPPROTO_TCP, TCP_SYNCNT, 2, 2 },
	{ "user time-out", 0, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000, 5000 },
	{ "user time-out, a week", 0, IPPROTO_TCP, TCP_USER_TIMEOUT, 604800000, SAME },
	{ "TOS", 0, IPPROTO_IP, IP_TOS, 0x28, 0x28 },
	{ "TTL", 0, IPPROTO_IP, IP_TTL, 9, 9 },
	{ "TTL, too much", 0, IPPROTO_IP, IP_TTL, 256, SAME },
	{ "TTL of UDP: each datagram says it", UDP4, IPPROTO_IP, IP_TTL, 9, SAME },
	{ "do not fragment", UDP4, IPPROTO_IP, IP_MTU_DISCOVER, 2, 2 },
	{ "do not fragment, IPv6", UDP6, IPPROTO_IPV6, IPV6_MTU_DISCOVER, 2, 2 },
	{ "loop", UDP4, IPPROTO_IP, IP_MULTICAST_LOOP, 0, 0 },
	{ "loop, IPv6", UDP6, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0, 0 },
	{ "traffic class", TCP6, IPPROTO_IPV6, IPV6_TCLASS, 0x20, 0x20 },
	{ "hops", TCP6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 5, 5 },
	/* Must not be. */
	{ "mark", 0, SOL_SOCKET, SO_MARK, 7, SAME },
	{ "port of others", 0, SOL_SOCKET, SO_REUSEPORT, 1, SAME },
	{ "busy poll", 0, SOL_SOCKET, SO_BUSY_POLL, 100, SAME },
	{ "transparent", 0, IPPROTO_IP, IP_TRANSPARENT, 1, SAME },
	{ "foreign address", 0, IPPROTO_IP, IP_FREEBIND, 1, SAME },
	{ "errors off", UDP4, IPPROTO_IP, IP_RECVERR, 1, SAME },
	{ "transparent, IPv6", TCP6, IPPROTO_IPV6, IPV6_TRANSPARENT, 1, SAME },
	{ "both families", TCP6, IPPROTO_IPV6, IPV6_V6ONLY, 1, SAME },
	{ "repair", 0, IPPROTO_TCP, TCP_REPAIR, 1, SAME },
	{ "unsent bytes", 0, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096, SAME },
	{ "window", 0, IPPROTO_TCP, TCP_WINDOW_CLAMP, 4096, SAME },
};

static void check_row(const struct row *row, bool before)
{
	struct sock fresh = new_sock(row->kind), sock = new_sock(row->kind);
	int want, got;

	open_sock(&fresh);
	want = row->want == SAME ? get(&fresh, row->level, row->option) : row->want;
	if (!before)
		open_sock(&sock);
	set(&sock, row->level, row->option, &row->value, sizeof(row->value));
	if (before)
		open_sock(&sock);
	got = get(&sock, row->level, row->option);
	if (got != want)
		fail_msg("%s%s: %d, not %d", row->name, before ? ", before" : "", got, want);
	close_sock(&fresh);
	close_sock(&sock);
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check_row(&rows[i], false);
		check_row(&rows[i], true);
	}
}

static void test_linger(void **state)
{
	const struct linger linger = { 1, 0 };
	struct linger got = { 5, 5 };
	struct sock sock = new_sock(0);
	socklen_t len = sizeof(got);

	(void)state;
	open_sock(&sock);
	set(&sock, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	assert_int_equal(getsockopt(sock.fd, SOL_SOCKET, SO_LINGER, &got, &len), 0);
	assert_int_equal(got.l_onoff, 0);
	close_sock(&sock);
}

/* Above the clamp, and by the daemon's privileges. */
static void test_buffers(void **state)
{
	const int bytes = 1 << 28;
	struct sock sock = new_sock(0);
	int before;

	(void)state;
	open_sock(&sock);
	before = get(&sock, SOL_SOCKET, SO_RCVBUF);
	set(&sock, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	assert_int_equal(get(&sock, SOL_SOCKET, SO_RCVBUF), before);
	set(&sock, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	assert_in_range(get(&sock, SOL_SOCKET, SO_RCVBUF), 4096, 8 << 20);
	close_sock(&sock);
}

static void test_device(void **state)
{
	char got[16] = "x";
	struct sock sock = new_sock(0);
	socklen_t len = sizeof(got);

	(void)state;
	open_sock(&sock);
	set(&sock, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
	assert_int_equal(getsockopt(sock.fd, SOL_SOCKET, SO_BINDTODEVICE, got, &len), 0);
	assert_int_equal(len, 0);
	close_sock(&sock);
}

/* One byte is a value of IP's options only; none is none. */
static void test_short(void **state)
{
	const uint8_t byte = 0x10;
	struct sock sock = new_sock(0);

	(void)state;
	open_sock(&sock);
	set(&sock, IPPROTO_IP, IP_TOS, &byte, 1);
	assert_int_equal(get(&sock, IPPROTO_IP, IP_TOS), 0x10);
	set(&sock, SOL_SOCKET, SO_KEEPALIVE, &byte, 1);
	assert_int_equal(get(&sock, SOL_SOCKET, SO_KEEPALIVE), 0);
	set(&sock, IPPROTO_IP, IP_TOS, NULL, 0);
	assert_int_equal(get(&sock, IPPROTO_IP, IP_TOS), 0x10);
	close_sock(&sock);
}

static void check_congestion(struct sock *sock, const char *value, size_t len, const char *want)
{
	char got[16] = "";
	socklen_t got_len = sizeof(got);

	set(sock, IPPROTO_TCP, TCP_CONGESTION, value, len);
	assert_int_equal(getsockopt(sock->fd, IPPROTO_TCP, TCP_CONGESTION, got, &got_len), 0);
	assert_string_equal(got, want);
}

static void test_congestion(void **state)
{
	char first[16] = "";
	struct sock sock = new_sock(0);
	socklen_t len = sizeof(first);

	(void)state;
	open_sock(&sock);
	check_congestion(&sock, "reno", 4, "reno");
	assert_int_equal(getsockopt(sock.fd, IPPROTO_TCP, TCP_CONGESTION, first, &len), 0);
	check_congestion(&sock, "no-such", 7, "reno");
	check_congestion(&sock, "0123456789abcdefgh", 18, "reno");
	check_congestion(&sock, "", 0, "reno");
	check_congestion(&sock, "reno\0x", 6, "reno");
	close_sock(&sock);
}

/* Of each the last, in the order of setting; as many as there is room for. */
static void test_kept(void **state)
{
	const int values[] = { 10, 20, 30 };
	struct sock sock = new_sock(0);

	(void)state;
	for (int i = 0; i < 3; i++)
		for (int turn = 0; turn < 40; turn++)
			set(&sock, IPPROTO_TCP, TCP_KEEPIDLE, &values[i], sizeof(int));
	set(&sock, IPPROTO_TCP, TCP_KEEPCNT, &values[0], sizeof(int));
	open_sock(&sock);
	assert_int_equal(get(&sock, IPPROTO_TCP, TCP_KEEPIDLE), 30);
	assert_int_equal(get(&sock, IPPROTO_TCP, TCP_KEEPCNT), 10);
	close_sock(&sock);
}

static void test_v6only(void **state)
{
	const int on = 1, off = 0;
	struct sock sock = new_sock(TCP6);

	(void)state;
	assert_false(option_v6only(&sock));
	set(&sock, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	assert_true(option_v6only(&sock));
	open_sock(&sock);
	assert_true(option_v6only(&sock));
	set(&sock, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_false(option_v6only(&sock));
	close_sock(&sock);
}

/* ---- asked */

static void ask(struct sock *sock, int level, int name, uint64_t room)
{
	const struct ep_message message = {
		.type = EP_ASK, .level = level, .option = name, .number = room
	};

	sent = (struct ep_message){ 0 };
	option_message(sock, &message);
	assert_int_equal(sent.type, EP_VALUE);
	assert_int_equal(sent.level, level);
	assert_int_equal(sent.option, name);
}

static void test_ask(void **state)
{
	struct sock sock = new_sock(0);
	int number;

	(void)state;
	ask(&sock, IPPROTO_TCP, TCP_MAXSEG, 4);
	assert_int_equal(sent.error, ENOTCONN);
	open_sock(&sock);
	number = 900;
	set(&sock, IPPROTO_TCP, TCP_MAXSEG, &number, sizeof(number));
	ask(&sock, IPPROTO_TCP, TCP_MAXSEG, 4);
	assert_int_equal(sent.error, 0);
	assert_int_equal(sent.body_len, 4);
	memcpy(&number, sent_body, 4);
	assert_int_equal(number, 900);
	ask(&sock, IPPROTO_TCP, TCP_INFO, UINT64_MAX);
	assert_int_equal(sent.error, 0);
	assert_true(sent.body_len > 100);
	assert_int_equal(sent_body[0], TCP_CLOSE);
	ask(&sock, SOL_SOCKET, SO_ERROR, 4);
	assert_int_equal(sent.error, ENOPROTOOPT);
	assert_int_equal(sent.body_len, 0);
	ask(&sock, SOL_SOCKET, SO_PEERCRED, 12);
	assert_int_equal(sent.error, ENOPROTOOPT);
	ask(&sock, IPPROTO_IP, IP_MTU, 4);
	assert_int_equal(sent.error, ENOTCONN);
	close_sock(&sock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),	   cmocka_unit_test(test_linger),
		cmocka_unit_test(test_device),	   cmocka_unit_test(test_short),
		cmocka_unit_test(test_congestion), cmocka_unit_test(test_kept),
		cmocka_unit_test(test_v6only),	   cmocka_unit_test(test_ask),
		cmocka_unit_test(test_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
