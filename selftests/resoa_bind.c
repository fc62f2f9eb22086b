// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/resoa_fixture.c */
/*
 * selftests/resoa_bind.c - bind(), listen() and setsockopt() of A: what is refused, and what the
 * daemon is told of the rest. The calls are real, made by this process in a cgroup of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/resoa_fixture.h"

#define PORT  8080
#define LINKS 7

static struct rfix fx;
static int links[LINKS], other; /* other: a namespace that is not A */

static void attach(void)
{
	const struct {
		struct bpf_program *program;
		enum bpf_attach_type type;
	} all[LINKS] = {
		{ fx.skel->progs.resoa_create, BPF_CGROUP_INET_SOCK_CREATE },
		{ fx.skel->progs.resoa_bind4, BPF_CGROUP_INET4_BIND },
		{ fx.skel->progs.resoa_bind6, BPF_CGROUP_INET6_BIND },
		{ fx.skel->progs.resoa_post_bind4, BPF_CGROUP_INET4_POST_BIND },
		{ fx.skel->progs.resoa_post_bind6, BPF_CGROUP_INET6_POST_BIND },
		{ fx.skel->progs.resoa_setsockopt, BPF_CGROUP_SETSOCKOPT },
		{ fx.skel->progs.resoa_sockops, BPF_CGROUP_SOCK_OPS },
	};

	for (int i = 0; i < LINKS; i++)
		links[i] = rfix_attach_cgroup(&fx, all[i].program, all[i].type);
}

static int set_up(void **state)
{
	(void)state;
	if (rfix_open(&fx, "resoa_bind"))
		return -1;
	if (!rfix_cgroup(&fx)) {
		fprintf(stderr, "there is no cgroup2\n");
		return -1;
	}
	other = assume_ns_new();
	assume_run("ip addr add " RFIX_A4 "/32 dev lo");
	assume_run("ip -6 addr add " RFIX_A6 "/128 dev lo nodad");
	assume_run("ip addr add " RFIX_B4 "/32 dev lo");
	assume_run("ip -6 addr add " RFIX_B6 "/128 dev lo nodad");
	attach();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < LINKS; i++)
		close(links[i]);
	close(other);
	rfix_close(&fx);
	return 0;
}

static void empty_ports(void)
{
	int fd = bpf_map__fd(fx.skel->maps.resoa_port);
	struct resoa_port_key key;

	while (!bpf_map_get_next_key(fd, NULL, &key))
		bpf_map_delete_elem(fd, &key);
}

static int clear(void **state)
{
	(void)state;
	empty_ports();
	rfix_conf(&fx, rfix_netns_cookie(), 0);
	rfix_clear(&fx);
	return 0;
}

/* ---- bind() */

enum { TCP = IPPROTO_TCP, UDP = IPPROTO_UDP };

struct row {
	const char *name;
	const char *address;
	int proto, port;
	struct resoa_port_key key; /* in the map, port in host order; 0 = none */
	__u32 value, open_binds;
	int reason;
};

static const struct row rows[] = {
	{ "any port", RFIX_A4, TCP, 0, {}, 0, 0, RESOA_BIND_AUTO },
	{ "any port", RFIX_A6, TCP, 0, {}, 0, 0, RESOA_BIND_AUTO },
	{ "any port", RFIX_A4, UDP, 0, {}, 0, 0, RESOA_BIND_AUTO },
	{ "any port", RFIX_A6, UDP, 0, {}, 0, 0, RESOA_BIND_AUTO },
	{ "any port", "::ffff:" RFIX_A4, UDP, 0, {}, 0, 0, RESOA_BIND_AUTO },
	{ "no port", RFIX_A4, TCP, PORT, {}, 0, 0, RESOA_BIND_REFUSED },
	{ "no port", RFIX_A6, TCP, PORT, {}, 0, 0, RESOA_BIND_REFUSED },
	{ "no port", "0.0.0.0", UDP, PORT, {}, 0, 0, RESOA_BIND_REFUSED },
	{ "no port", "::", UDP, PORT, {}, 0, 0, RESOA_BIND_REFUSED },
	{ "granted", RFIX_A4, TCP, PORT, { PORT, TCP, 4 }, 1, 0, RESOA_BIND_GRANTED },
	{ "refused where others are open",
	  RFIX_A4,
	  TCP,
	  PORT,
	  { PORT, TCP, 4 },
	  0,
	  1,
	  RESOA_BIND_REFUSED },
	{ "another is", RFIX_A4, TCP, PORT, { PORT + 1, TCP, 4 }, 0, 1, RESOA_BIND_GRANTED },
	{ "granted", RFIX_A6, TCP, PORT, { PORT, TCP, 6 }, 1, 0, RESOA_BIND_GRANTED },
	{ "granted", "0.0.0.0", UDP, PORT, { PORT, UDP, 4 }, 2, 0, RESOA_BIND_GRANTED },
	{ "granted", "::", UDP, PORT, { PORT, UDP, 6 }, 2, 0, RESOA_BIND_GRANTED },
	{ "granted", "::", TCP, PORT, { PORT, TCP, 6 }, 1, 0, RESOA_BIND_GRANTED },
	{ "mapped is IPv4",
	  "::ffff:" RFIX_A4,
	  TCP,
	  PORT,
	  { PORT, TCP, 4 },
	  1,
	  0,
	  RESOA_BIND_GRANTED },
	{ "mapped is IPv4",
	  "::ffff:" RFIX_A4,
	  TCP,
	  PORT,
	  { PORT, TCP, 6 },
	  1,
	  0,
	  RESOA_BIND_REFUSED },
	{ "taken back", RFIX_A4, TCP, PORT, { PORT, TCP, 4 }, 0, 0, RESOA_BIND_REFUSED },
	{ "of the other protocol", RFIX_A4, TCP, PORT, { PORT, UDP, 4 }, 1, 0, RESOA_BIND_REFUSED },
	{ "of the other protocol", RFIX_A6, UDP, PORT, { PORT, TCP, 6 }, 1, 0, RESOA_BIND_REFUSED },
	{ "of the other family", RFIX_A4, TCP, PORT, { PORT, TCP, 6 }, 1, 0, RESOA_BIND_REFUSED },
	{ "of the other family", RFIX_A6, TCP, PORT, { PORT, TCP, 4 }, 1, 0, RESOA_BIND_REFUSED },
	{ "of another port", RFIX_A4, TCP, PORT, { PORT + 256, TCP, 4 }, 1, 0, RESOA_BIND_REFUSED },
	{ "open", RFIX_A4, TCP, PORT, {}, 0, 1, RESOA_BIND_GRANTED },
	{ "open", RFIX_A6, UDP, PORT, {}, 0, 1, RESOA_BIND_GRANTED },
};

static int make_socket(const char *address, int proto)
{
	struct sockaddr_in6 unused;

	rfix_sockaddr(address, 0, &unused);
	return must(socket(unused.sin6_family, proto == TCP ? SOCK_STREAM : SOCK_DGRAM, 0));
}

static int do_bind(int fd, const char *address, int port)
{
	struct sockaddr_in6 to;

	return bind(fd, (void *)&to, rfix_sockaddr(address, port, &to)) ? -errno : 0;
}

static int port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);

	must(getsockname(fd, (void *)&name, &len));
	return ntohs(name.sin6_port);
}

/* An event of a bind or listen of this process: everything that it does not say is 0. */
static bool event_is(const struct resoa_event *event, int type, int proto, int fd,
		     const char *address, __u64 number)
{
	struct resoa_event want = { .type = type,
				    .proto = proto,
				    .pid = getpid(),
				    .cookie = rfix_socket_cookie(fd),
				    .number = number };

	want.names = rfix_names(address, port_of(fd), NULL, 0);
	want.family = packet_addr_v4(&want.names.local) ? 4 : 6;
	/* The wildcard of IPv4 is mapped, too. */
	return event && !memcmp(event, &want, sizeof(want));
}

static void grant(const struct row *row)
{
	struct resoa_port_key key = row->key;

	if (!key.port)
		return;
	key.port = htons(key.port);
	must(bpf_map_update_elem(bpf_map__fd(fx.skel->maps.resoa_port), &key, &row->value,
				 BPF_ANY));
}

static void run_row(const struct row *row)
{
	int fd = make_socket(row->address, row->proto), err;
	bool refused = row->reason == RESOA_BIND_REFUSED;

	clear(NULL);
	rfix_conf(&fx, rfix_netns_cookie(), row->open_binds);
	grant(row);
	err = do_bind(fd, row->address, row->port);
	if (err != (refused ? -EADDRINUSE : 0))
		fprintf(stderr, "%s, %s: %d\n", row->name, row->address, err);
	assert_int_equal(err, refused ? -EADDRINUSE : 0);
	if (refused) {
		assert_int_equal(port_of(fd), 0);
		assert_true(rfix_counts(&fx, { RESOA_BIND_REFUSED, 1 }));
		assert_null(rfix_event(&fx, 0));
		/* It is as it was: any port is free for it. */
		assert_int_equal(do_bind(fd, row->address, 0), 0);
		rfix_event(&fx, 0);
	} else {
		assert_true(row->port ? port_of(fd) == row->port : port_of(fd) != 0);
		assert_true(rfix_counts(&fx, { row->reason, 1 }, { RESOA_BOUND, 1 }));
		assert_true(event_is(rfix_event(&fx, 0), RESOA_EVENT_BOUND, row->proto, fd,
				     row->address, 0));
	}
	assert_null(rfix_event(&fx, 0));
	close(fd);
}

static void test_bind(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		run_row(&rows[i]);
}

/* What the kernel refuses itself was granted, and is not told. */
static void test_kernel_refuses(void **unused)
{
	const struct row row = { .key = { PORT, TCP, 4 }, .value = 1 };
	int first = make_socket(RFIX_A4, TCP), second = make_socket(RFIX_A4, TCP);

	(void)unused;
	grant(&row);
	assert_int_equal(do_bind(first, RFIX_A4, PORT), 0);
	assert_int_equal(do_bind(second, RFIX_A4, PORT), -EADDRINUSE);
	assert_int_equal(do_bind(second, "192.0.2.1", PORT), -EADDRNOTAVAIL);
	assert_int_equal(do_bind(first, RFIX_A4, PORT), -EINVAL);
	assert_true(rfix_counts(&fx, { RESOA_BIND_GRANTED, 4 }, { RESOA_BOUND, 1 }));
	close(first);
	close(second);
}

static void bind_untold(int fd, const char *address, int port)
{
	assert_int_equal(do_bind(fd, address, port), 0);
	assert_true(rfix_counts(&fx, { RFIX_NONE, 0 }));
	assert_null(rfix_event(&fx, 0));
	close(fd);
}

/* Neither other namespaces, nor anything before the daemon has named A, nor raw sockets. */
static void test_not_ours(void **unused)
{
	(void)unused;
	assume_ns_enter(other);
	bind_untold(make_socket("127.0.0.1", TCP), "127.0.0.1", PORT);
	bind_untold(make_socket("::1", UDP), "::1", PORT);
	assume_ns_enter(fx.home);
	bind_untold(must(socket(AF_INET, SOCK_RAW, UDP)), RFIX_A4, PORT);
	bind_untold(must(socket(AF_INET6, SOCK_RAW, TCP)), RFIX_A6, 0);
	rfix_conf(&fx, 0, 0);
	bind_untold(make_socket(RFIX_A4, TCP), RFIX_A4, PORT);
}

/* ---- listen() */

static bool ends(const struct resoa_event *event, __u64 cookie)
{
	const struct resoa_event want = {
		.type = RESOA_EVENT_UNLISTEN, .proto = TCP, .pid = getpid(), .cookie = cookie
	};

	return event && !memcmp(event, &want, sizeof(want));
}

/* It listens no more, listens again, and is closed. */
static void run_unlisten(int fd, const char *address, int backlog)
{
	__u64 cookie = rfix_socket_cookie(fd);

	must(shutdown(fd, SHUT_RD));
	assert_true(ends(rfix_event(&fx, 0), cookie));
	must(listen(fd, backlog));
	assert_true(event_is(rfix_event(&fx, 0), RESOA_EVENT_LISTEN, TCP, fd, address, backlog));
	close(fd);
	assert_true(ends(rfix_event(&fx, 0), cookie));
	assert_null(rfix_event(&fx, 0));
}

static void run_listen(const char *address, bool bound, int backlog)
{
	int fd = make_socket(address, TCP);

	rfix_clear(&fx);
	if (bound) {
		assert_int_equal(do_bind(fd, address, 0), 0);
		assert_true(event_is(rfix_event(&fx, 0), RESOA_EVENT_BOUND, TCP, fd, address, 0));
	}
	must(listen(fd, backlog));
	assert_true(event_is(rfix_event(&fx, 0), RESOA_EVENT_LISTEN, TCP, fd, address, backlog));
	must(listen(fd, backlog + 1)); /* no new listener */
	assert_null(rfix_event(&fx, 0));
	run_unlisten(fd, address, backlog);
	assert_true(rfix_counts(&fx, { RESOA_BIND_AUTO, bound }, { RESOA_BOUND, bound },
				{ RESOA_LISTEN, 2 }));
}

static void test_listen(void **unused)
{
	int fd;

	(void)unused;
	run_listen(RFIX_A4, true, 7);
	run_listen(RFIX_A6, true, 1);
	run_listen("0.0.0.0", true, 0);
	run_listen("::", true, 128);
	run_listen("0.0.0.0", false, 3);
	run_listen("::", false, 4);
	rfix_clear(&fx);
	assume_ns_enter(other);
	fd = make_socket("127.0.0.1", TCP);
	must(listen(fd, 5));
	close(fd);
	assume_ns_enter(fx.home);
	assert_null(rfix_event(&fx, 0));
}

/* ---- setsockopt() */

struct option_row {
	int level, name;
	const void *value;
	socklen_t len;
	int err;
};

static const int one = 1, thirty = 30, large = 100000;
static const struct linger linger_0 = { .l_onoff = 1 };
static const struct ip_mreq no_group;

static const struct option_row told[] = {
	{ SOL_SOCKET, SO_KEEPALIVE, &one, 4, 0 },
	{ SOL_SOCKET, SO_REUSEADDR, &one, 4, 0 },
	{ SOL_SOCKET, SO_LINGER, &linger_0, sizeof(linger_0), 0 },
	{ SOL_SOCKET, SO_SNDBUF, &large, 4, 0 },
	{ SOL_SOCKET, SO_RCVBUF, &large, 4, 0 },
	{ TCP, TCP_NODELAY, &one, 4, 0 },
	{ TCP, TCP_KEEPIDLE, &thirty, 4, 0 },
	{ TCP, TCP_KEEPINTVL, &thirty, 4, 0 },
	{ TCP, TCP_KEEPCNT, &thirty, 4, 0 },
	{ TCP, TCP_USER_TIMEOUT, &thirty, 4, 0 },
	{ TCP, TCP_CONGESTION, "reno", 4, 0 },
	{ TCP, TCP_CORK, &one, 4, 0 },
	{ IPPROTO_IP, IP_TOS, &thirty, 4, 0 },
	{ IPPROTO_IP, IP_TTL, &thirty, 1, 0 }, /* one byte is enough for it */
	{ IPPROTO_IP, IP_ADD_MEMBERSHIP, &no_group, sizeof(no_group), EPROTO },
	{ TCP, TCP_NODELAY, &one, 2, EINVAL },
	{ TCP, TCP_NODELAY, &one, 0, EINVAL },
};

static const struct option_row untold[] = {
	{ SOL_SOCKET, SO_OOBINLINE, &one, 4, 0 },    { SOL_SOCKET, SO_MARK, &one, 4, 0 },
	{ SOL_SOCKET, SO_RCVLOWAT, &one, 4, 0 },     { SOL_SOCKET, SO_TIMESTAMP, &one, 4, 0 },
	{ SOL_SOCKET, SO_BINDTODEVICE, "lo", 3, 0 }, { TCP, TCP_FASTOPEN, &one, 4, 0 },
	{ 250, SO_KEEPALIVE, &one, 4, ENOPROTOOPT },
};

static bool option_is(const struct resoa_event *event, const struct option_row *row, __u64 cookie,
		      const struct resoa_names *names, int family)
{
	struct resoa_event want = { .type = RESOA_EVENT_OPTION,
				    .family = family,
				    .proto = TCP,
				    .pid = getpid(),
				    .cookie = cookie,
				    .level = row->level,
				    .name = row->name };

	if (names)
		want.names = *names;
	want.length = row->len < RESOA_OPTION_BYTES ? row->len : RESOA_OPTION_BYTES;
	memcpy(want.bytes, row->value, want.length);
	return event && !memcmp(event, &want, sizeof(want));
}

static void set_option(int fd, const struct option_row *row)
{
	int result = setsockopt(fd, row->level, row->name, row->value, row->len);

	if (result != (row->err ? -1 : 0))
		fprintf(stderr, "level %d, option %d: %s\n", row->level, row->name,
			strerror(errno));
	assert_int_equal(result, row->err ? -1 : 0);
	if (result)
		assert_int_equal(errno, row->err);
}

static void test_option(void **unused)
{
	int fd = make_socket(RFIX_A4, TCP), value = 0;
	const size_t count = sizeof(told) / sizeof(*told);
	__u64 cookie = rfix_socket_cookie(fd);
	socklen_t len = sizeof(value);

	(void)unused;
	for (size_t i = 0; i < count; i++) {
		set_option(fd, &told[i]);
		assert_true(option_is(rfix_event(&fx, 0), &told[i], cookie, NULL, 4));
	}
	for (size_t i = 0; i < sizeof(untold) / sizeof(*untold); i++)
		set_option(fd, &untold[i]);
	assert_null(rfix_event(&fx, 0));
	assert_true(rfix_counts(&fx, { RESOA_OPTION, count }));
	/* The kernel's own is as ever. */
	must(getsockopt(fd, TCP, TCP_USER_TIMEOUT, &value, &len));
	assert_int_equal(value, 30);
	close(fd);
}

/* Longer than what is told, and longer than what the kernel shows to a program. */
static void run_long(const char *address, size_t len)
{
	static char bytes[8192];
	struct option_row row = { TCP, TCP_CONGESTION, bytes, len, 0 };
	int fd = make_socket(address, TCP), family = strchr(address, ':') ? 6 : 4;
	socklen_t got = sizeof(bytes);

	memset(bytes, 0, sizeof(bytes));
	strcpy(bytes, "reno");
	memset(bytes + 16, 0x5a, sizeof(bytes) - 16);
	set_option(fd, &row);
	assert_true(option_is(rfix_event(&fx, 0), &row, rfix_socket_cookie(fd), NULL, family));
	must(getsockopt(fd, TCP, TCP_CONGESTION, bytes, &got));
	assert_string_equal(bytes, "reno");
	close(fd);
}

static void test_long_option(void **unused)
{
	(void)unused;
	run_long(RFIX_A4, RESOA_OPTION_BYTES);
	run_long(RFIX_A6, RESOA_OPTION_BYTES + 1);
	run_long(RFIX_A4, 4096);
	run_long(RFIX_A4, 4097);
	run_long(RFIX_A6, 8192);
}

static void skip_events(void)
{
	while (rfix_event(&fx, 0))
		;
}

/* Connected sockets are told by their names; an accepted one has its listener's cookie. */
static void run_connected(const char *own, const char *socket_address, const char *from,
			  const char *socket_from, int family)
{
	int listener = make_socket(socket_address, TCP), fd = make_socket(socket_address, TCP);
	const struct option_row *row = &told[0];
	struct resoa_names names;
	struct sockaddr_in6 to;
	int accepted;

	assert_int_equal(do_bind(listener, socket_address, 0), 0);
	must(listen(listener, 1));
	assert_int_equal(do_bind(fd, socket_from, 0), 0);
	must(connect(fd, (void *)&to, rfix_sockaddr(socket_address, port_of(listener), &to)));
	accepted = must(accept(listener, NULL, NULL));
	skip_events();
	set_option(fd, row);
	names = rfix_names(from, port_of(fd), own, port_of(listener));
	assert_true(option_is(rfix_event(&fx, 0), row, rfix_socket_cookie(fd), &names, family));
	set_option(accepted, row);
	names = rfix_names(own, port_of(listener), from, port_of(fd));
	assert_true(
		option_is(rfix_event(&fx, 0), row, rfix_socket_cookie(listener), &names, family));
	close(accepted);
	close(fd);
	close(listener);
}

static void test_connected(void **unused)
{
	(void)unused;
	run_connected(RFIX_A4, RFIX_A4, RFIX_B4, RFIX_B4, 4);
	run_connected(RFIX_A6, RFIX_A6, RFIX_B6, RFIX_B6, 6);
	run_connected(RFIX_A4, "::ffff:" RFIX_A4, RFIX_B4, "::ffff:" RFIX_B4, 4);
}

/* Sockets of elsewhere, and those that were made before A was named. */
static void test_option_not_ours(void **unused)
{
	int fd;

	(void)unused;
	assume_ns_enter(other);
	fd = make_socket("127.0.0.1", TCP);
	assume_ns_enter(fx.home);
	set_option(fd, &told[0]);
	close(fd);
	rfix_conf(&fx, 0, 0);
	fd = make_socket(RFIX_A4, TCP);
	clear(NULL);
	set_option(fd, &told[0]);
	close(fd);
	assert_true(rfix_counts(&fx, { RFIX_NONE, 0 }));
	assert_null(rfix_event(&fx, 0));
}

/* ---- the ring is in the order of the calls */

static void test_order(void **unused)
{
	int fd = make_socket(RFIX_A4, TCP);

	(void)unused;
	set_option(fd, &told[1]);
	assert_int_equal(do_bind(fd, RFIX_A4, 0), 0);
	set_option(fd, &told[5]);
	must(listen(fd, 2));
	set_option(fd, &told[0]);
	assert_int_equal(rfix_event(&fx, 0)->name, SO_REUSEADDR);
	assert_int_equal(rfix_event(&fx, 0)->type, RESOA_EVENT_BOUND);
	assert_int_equal(rfix_event(&fx, 0)->name, TCP_NODELAY);
	assert_int_equal(rfix_event(&fx, 0)->type, RESOA_EVENT_LISTEN);
	assert_int_equal(rfix_event(&fx, 0)->name, SO_KEEPALIVE);
	assert_null(rfix_event(&fx, 0));
	close(fd);
}

/* The daemon does not read: calls succeed as ever, and what is lost is counted. */
static void test_ring_full(void **unused)
{
	const int most = RESOA_EVENT_BYTES / sizeof(struct resoa_event) + 1;
	int fd = make_socket(RFIX_A4, TCP);
	int fits;

	(void)unused;
	for (int i = 0; i < most && !rfix_counted(&fx, RESOA_EVENT_LOST); i++)
		set_option(fd, &told[0]);
	fits = rfix_counted(&fx, RESOA_OPTION);
	assert_int_equal(do_bind(fd, RFIX_A4, 0), 0);
	must(listen(fd, 1));
	assert_true(rfix_counts(&fx, { RESOA_OPTION, fits }, { RESOA_EVENT_LOST, 3 },
				{ RESOA_BIND_AUTO, 1 }, { RESOA_BOUND, 1 }, { RESOA_LISTEN, 1 }));
	must(ring_buffer__consume(fx.ring));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_bind, clear),
		cmocka_unit_test_setup(test_kernel_refuses, clear),
		cmocka_unit_test_setup(test_not_ours, clear),
		cmocka_unit_test_setup(test_listen, clear),
		cmocka_unit_test_setup(test_option, clear),
		cmocka_unit_test_setup(test_long_option, clear),
		cmocka_unit_test_setup(test_connected, clear),
		cmocka_unit_test_setup(test_option_not_ours, clear),
		cmocka_unit_test_setup(test_order, clear),
		cmocka_unit_test_setup(test_ring_full, clear),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
