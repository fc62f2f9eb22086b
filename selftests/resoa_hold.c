// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/resoa_fixture.c */
/*
 * selftests/resoa_hold.c - connects of A wait in their SYN. First packets one by one, then real
 * sockets of A, whose kept SYN the test sends again as the daemon would.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/resoa_fixture.h"

#define PORT  443
#define SHORT 150 /* ms in which nothing may happen */
#define LONG  2000
#define ISN   0x89abcdef

static struct rfix fx;
static int world[RESOA_SLOTS];

static int set_up(void **state)
{
	(void)state;
	if (rfix_open(&fx, "resoa_hold"))
		return -1;
	rfix_world(&fx);
	rfix_conf(&fx, rfix_netns_cookie(), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rfix_close(&fx);
	return 0;
}

static int clear(void **state)
{
	(void)state;
	rfix_clear(&fx);
	return 0;
}

/* ---- the table */

static const struct isthmus_addr a4 = PACKET_V4(198, 51, 100, 1), p4 = PACKET_V4(192, 0, 2, 7),
				 a6 = PACKET_V6(0, 1), p6 = PACKET_V6(7, 7);
#define OPTIONS "\2\4\5\xb4\4\2\10\12\1\2\3\4\0\0\0\0\1\3\3\7"

struct row {
	const char *name;
	struct packet_spec spec; /* addresses, ports and ISN are filled in */
	int reason;		 /* of IPv4 and of IPv6 */
	int only;		 /* 4, 6; 0: both */
};

static const struct row rows[] = {
	{ "SYN", { .flags = PACKET_SYN }, RESOA_SYN_HELD, 0 },
	{ "SYN with options",
	  { .flags = PACKET_SYN, .opt_len = 20, .opt = OPTIONS },
	  RESOA_SYN_HELD,
	  0 },
	{ "SYN that asks for ECN",
	  { .flags = PACKET_SYN | PACKET_ECE | PACKET_CWR },
	  RESOA_SYN_HELD,
	  0 },
	{ "SYN with data", { .flags = PACKET_SYN, .data_len = 60 }, RESOA_SYN_HELD, 0 },
	{ "SYN with IP options",
	  { .flags = PACKET_SYN, .ip_opt_len = 4, .ip_opt = "\x94\4\0\0" },
	  RESOA_SYN_HELD,
	  4 },
	{ "SYN behind hop-by-hop and destination options",
	  { .flags = PACKET_SYN, .exts = 2, .ext = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS } },
	  RESOA_SYN_HELD,
	  6 },
	{ "SYN in padding", { .flags = PACKET_SYN, .trailer = 6 }, RESOA_SYN_HELD, 0 },
	{ "SYN longer than what is kept",
	  { .flags = PACKET_SYN, .data_len = 160 },
	  RESOA_SYN_LOST,
	  0 },
	{ "SYN and ACK", { .flags = PACKET_SYN | PACKET_ACK }, RESOA_OTHER, 0 },
	{ "SYN and RST", { .flags = PACKET_SYN | PACKET_RST }, RESOA_OTHER, 0 },
	{ "SYN and FIN", { .flags = PACKET_SYN | PACKET_FIN }, RESOA_OTHER, 0 },
	{ "ACK with data", { .flags = PACKET_ACK, .data_len = 1000 }, RESOA_OTHER, 0 },
	{ "FIN", { .flags = PACKET_FIN | PACKET_ACK }, RESOA_OTHER, 0 },
	{ "RST", { .flags = PACKET_RST }, RESOA_OTHER, 0 },
	{ "no flag", { .flags = 0 }, RESOA_OTHER, 0 },
	{ "UDP", { .proto = IPPROTO_UDP, .data_len = 30 }, RESOA_OTHER, 0 },
	{ "ICMP", { .proto = IPPROTO_ICMP, .icmp_type = 8, .data_len = 30 }, RESOA_OTHER, 4 },
	{ "another EtherType", { .flags = PACKET_SYN, .ethertype = 0x88b5 }, RESOA_OTHER, 0 },
	{ "a later fragment", { .flags = PACKET_SYN, .frag = 0x2001 }, RESOA_OTHER, 4 },
	{ "a SYN's first fragment", { .flags = PACKET_SYN, .frag = 0x2000 }, RESOA_MALFORMED, 4 },
	{ "a SYN's first fragment",
	  { .flags = PACKET_SYN, .exts = 1, .ext = { IPPROTO_FRAGMENT }, .v6_frag = 1 },
	  RESOA_MALFORMED,
	  6 },
	{ "data offset of 4", { .flags = PACKET_SYN, .doff = 4 }, RESOA_MALFORMED, 0 },
	{ "data offset of 0", { .flags = PACKET_SYN, .doff = PACKET_ZERO }, RESOA_MALFORMED, 0 },
	{ "data offset behind the end", { .flags = PACKET_SYN, .doff = 6 }, RESOA_MALFORMED, 0 },
	{ "IP length behind the end", { .flags = PACKET_SYN, .tot_len = 61 }, RESOA_MALFORMED, 0 },
	{ "IP length of less than its header",
	  { .flags = PACKET_SYN, .tot_len = 19 },
	  RESOA_MALFORMED,
	  0 },
};

static struct packet_spec row_spec(const struct row *row, bool v4)
{
	struct packet_spec spec = row->spec;

	spec.src = v4 ? a4 : a6;
	spec.dst = v4 ? p4 : p6;
	spec.sport = 40000;
	spec.dport = PORT;
	spec.seq = ISN;
	return spec;
}

static bool run(const struct packet_spec *spec, int reason)
{
	struct rfix_result result;
	struct packet in;

	packet_build(spec, &in);
	rfix_run(&fx, fx.skel->progs.resoa_out, "e0", 0, &in, &result);
	if (result.reason != reason || result.verdict != rfix_verdict(reason)) {
		fprintf(stderr, "%s, verdict %d; should be %s, %d\n",
			rfix_reason_name(result.reason), result.verdict, rfix_reason_name(reason),
			rfix_verdict(reason));
		return false;
	}
	return rfix_same(&result.out, &in);
}

static struct resoa_syn spec_syn(const struct packet_spec *spec)
{
	struct resoa_syn syn = { .names = { .local = spec->src,
					    .remote = spec->dst,
					    .local_port = htons(spec->sport),
					    .remote_port = htons(spec->dport) },
				 .isn = htonl(spec->seq) };

	return syn;
}

static bool held_is(const struct packet_spec *spec, __u32 state, __u32 again)
{
	struct resoa_syn syn = spec_syn(spec);
	struct resoa_held held = {};

	return !bpf_map_lookup_elem(bpf_map__fd(fx.skel->maps.resoa_held), &syn, &held) &&
	       held.state == state && held.again == again;
}

static void say(const struct packet_spec *spec, __u32 state)
{
	struct resoa_syn syn = spec_syn(spec);
	struct resoa_held held = { .state = state };

	must(bpf_map_update_elem(bpf_map__fd(fx.skel->maps.resoa_held), &syn, &held, BPF_EXIST));
}

/* Every byte of an event: what has no meaning in this type is 0. */
static bool event_is_of(const struct resoa_event *event, const struct packet_spec *spec)
{
	struct resoa_event want = { .type = RESOA_EVENT_SYN,
				    .family = packet_addr_v4(&spec->src) ? 4 : 6,
				    .proto = IPPROTO_TCP,
				    .names = spec_syn(spec).names,
				    .isn = htonl(spec->seq) };
	struct packet frame;

	packet_build(spec, &frame);
	want.length = frame.len;
	memcpy(want.bytes, frame.b, frame.len);
	if (!event || !event->cookie)
		return false;
	want.cookie = event->cookie; /* of the run's own socket */
	return !memcmp(event, &want, sizeof(want));
}

static void run_held(struct packet_spec spec)
{
	assert_true(event_is_of(rfix_event(&fx, 0), &spec));
	assert_true(held_is(&spec, RESOA_WAITS, 0));
	assert_true(run(&spec, RESOA_SYN_AGAIN) && run(&spec, RESOA_SYN_AGAIN));
	assert_true(held_is(&spec, RESOA_WAITS, 2));
	say(&spec, RESOA_PASSES);
	assert_true(run(&spec, RESOA_SYN_PASSED));
	say(&spec, RESOA_IS_SILENT);
	assert_true(run(&spec, RESOA_SYN_SILENT));
	assert_null(rfix_event(&fx, 0));
	/* Another connect, though by the same names. */
	spec.seq++;
	assert_true(run(&spec, RESOA_SYN_HELD));
	assert_true(event_is_of(rfix_event(&fx, 0), &spec));
}

static void run_row(const struct row *row, bool v4)
{
	struct packet_spec spec = row_spec(row, v4);
	bool right = run(&spec, row->reason);

	if (!right)
		fprintf(stderr, "in row: %s, IPv%d\n", row->name, v4 ? 4 : 6);
	assert_true(right);
	if (row->reason == RESOA_SYN_HELD)
		run_held(spec);
	assert_null(rfix_event(&fx, 0));
	rfix_clear(&fx);
}

static void test_table(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (int v4 = 0; v4 < 2; v4++)
			if (!rows[i].only || rows[i].only == (v4 ? 4 : 6))
				run_row(&rows[i], v4);
}

/* A frame that ends within TCP's header. */
static void test_cut(void **unused)
{
	(void)unused;
	for (int v4 = 0; v4 < 2; v4++) {
		struct packet_spec spec = row_spec(&rows[0], v4);
		struct rfix_result result;
		struct packet in;

		packet_build(&spec, &in);
		for (int i = 0; i < 20; i++) {
			in.len--;
			rfix_run(&fx, fx.skel->progs.resoa_out, "e0", 0, &in, &result);
			assert_int_equal(result.reason, RESOA_MALFORMED);
		}
	}
}

/* Names that differ in one bit are another connect. */
static void test_names(void **unused)
{
	struct packet_spec spec = row_spec(&rows[0], false);

	(void)unused;
	assert_true(run(&spec, RESOA_SYN_HELD));
	for (int bit = 0; bit < 128; bit++) {
		struct packet_spec other = spec;

		other.dst.b[bit / 8] ^= 1 << bit % 8;
		assert_true(run(&other, RESOA_SYN_HELD));
		other = spec;
		other.src.b[bit / 8] ^= 1 << bit % 8;
		assert_true(run(&other, RESOA_SYN_HELD));
	}
	for (int bit = 0; bit < 16; bit++) {
		struct packet_spec other = spec;

		other.sport ^= 1 << bit;
		assert_true(run(&other, RESOA_SYN_HELD));
		other = spec;
		other.dport ^= 1 << bit;
		assert_true(run(&other, RESOA_SYN_HELD));
	}
	assert_true(rfix_counts(&fx, { RESOA_SYN_HELD, 1 + 2 * 128 + 2 * 16 }));
}

/* The daemon does not read: nothing waits that it does not know of. */
static void test_ring_full(void **unused)
{
	const int most = RESOA_EVENT_BYTES / sizeof(struct resoa_event) + 1;
	struct packet_spec spec = row_spec(&rows[0], true);
	struct rfix_result result;
	struct resoa_held held;
	struct resoa_syn syn;
	struct packet in;
	int fits = 0;

	(void)unused;
	for (; fits < most; fits++, spec.seq++) {
		packet_build(&spec, &in);
		rfix_run(&fx, fx.skel->progs.resoa_out, "e0", 0, &in, &result);
		if (result.reason != RESOA_SYN_HELD)
			break;
	}
	assert_int_equal(result.reason, RESOA_SYN_LOST);
	assert_int_equal(result.verdict, TC_ACT_STOLEN);
	assert_true(rfix_counts(&fx, { RESOA_SYN_HELD, fits }, { RESOA_SYN_LOST, 1 },
				{ RESOA_EVENT_LOST, 1 }));
	syn = spec_syn(&spec);
	assert_int_not_equal(
		bpf_map_lookup_elem(bpf_map__fd(fx.skel->maps.resoa_held), &syn, &held), 0);
	must(ring_buffer__consume(fx.ring));
	fx.events = 0;
	/* Its repetition tells. */
	assert_true(run(&spec, RESOA_SYN_HELD));
	assert_true(event_is_of(rfix_event(&fx, 0), &spec));
}

/* ---- real sockets */

static int world_socket(int slot)
{
	bool tcp = slot == RESOA_TCP4 || slot == RESOA_TCP6;
	bool v4 = slot == RESOA_TCP4 || slot == RESOA_UDP4;
	int type = (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK;
	int fd = must(socket(v4 ? AF_INET : AF_INET6, type, 0)), on = 1;
	struct sockaddr_in6 any;
	__u32 key = slot;
	__u64 value = fd;

	must(setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT,
			&on, sizeof(on)));
	if (!v4)
		must(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)));
	must(bind(fd, (void *)&any, rfix_sockaddr(v4 ? "0.0.0.0" : "::", 0, &any)));
	if (tcp)
		must(listen(fd, 16));
	must(bpf_map_update_elem(bpf_map__fd(fx.skel->maps.resoa_world), &key, &value, BPF_ANY));
	return fd;
}

static void world_open(void)
{
	static struct bpf_link *link;

	if (link)
		return;
	rfix_attach_tc(fx.skel->progs.resoa_out, "e0", BPF_TC_EGRESS);
	assume_ns_enter(fx.world);
	link = bpf_program__attach_netns(fx.skel->progs.resoa_lookup, fx.world);
	must(link ? 0 : -1);
	for (int slot = 0; slot < RESOA_SLOTS; slot++)
		world[slot] = world_socket(slot);
	assume_ns_enter(fx.home);
}

static int connecting(const char *to)
{
	struct sockaddr_in6 address;
	socklen_t len = rfix_sockaddr(to, PORT, &address);
	int fd = must(socket(address.sin6_family, SOCK_STREAM | SOCK_NONBLOCK, 0));

	assert_int_equal(connect(fd, (void *)&address, len), -1);
	assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static bool ready(int fd, short events, int ms)
{
	struct pollfd waits = { .fd = fd, .events = events };

	return must(poll(&waits, 1, assume_ms(ms))) > 0;
}

/* Nothing comes for a moment, which is no longer where the machine is slow: SYNs are repeated. */
static bool stays_quiet(int fd, short events)
{
	struct pollfd waits = { .fd = fd, .events = events };

	return must(poll(&waits, 1, SHORT)) == 0;
}

/* Counted at least once: on a slow machine a SYN may be repeated before its answer is there. */
static struct rfix_count some(int reason)
{
	struct rfix_count count = { reason, rfix_counted(&fx, reason) };

	assert_in_range(count.packets, 1, 3);
	return count;
}

static struct rfix_count any(int reason)
{
	return (struct rfix_count){ reason, rfix_counted(&fx, reason) };
}

static int local_port(int fd)
{
	struct sockaddr_in6 address;
	socklen_t len = sizeof(address);

	must(getsockname(fd, (void *)&address, &len));
	return ntohs(address.sin6_port);
}

/* The kept SYN again, with the checksum that was left to the device. */
static void inject(const struct resoa_event *event)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)if_nametoindex("e0") };
	int fd = must(socket(AF_PACKET, SOCK_RAW, 0));
	struct packet frame = { .len = event->length };
	struct packet_view view;

	memcpy(frame.b, event->bytes, event->length);
	assert_true(packet_parse(&frame, &view));
	packet_set_l4_check(&frame, &view, packet_l4_check(&frame, &view));
	assert_true(packet_checks_good(&frame));
	must(sendto(fd, frame.b, frame.len, 0, (void *)&to, sizeof(to)));
	close(fd);
}

static void held_state(const struct resoa_event *event, __u32 state)
{
	struct resoa_syn syn = { .names = event->names, .isn = event->isn };
	struct resoa_held held = { .state = state };

	must(bpf_map_update_elem(bpf_map__fd(fx.skel->maps.resoa_held), &syn, &held, BPF_EXIST));
}

static bool name_is(const struct sockaddr_in6 *name, const char *text, int port)
{
	struct sockaddr_in6 want;
	socklen_t len = rfix_sockaddr(text, port, &want);

	if (name->sin6_family != want.sin6_family || name->sin6_port != want.sin6_port)
		return false;
	if (len == sizeof(struct sockaddr_in))
		return ((struct sockaddr_in *)name)->sin_addr.s_addr ==
		       ((struct sockaddr_in *)&want)->sin_addr.s_addr;
	return !memcmp(&name->sin6_addr, &want.sin6_addr, 16);
}

static void accept_in_world(int slot, const char *own, const char *peer, int peer_port)
{
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);
	int fd;

	assert_true(ready(world[slot], POLLIN, LONG));
	fd = must(accept(world[slot], (void *)&name, &len));
	assert_true(name_is(&name, peer, peer_port));
	len = sizeof(name);
	must(getsockname(fd, (void *)&name, &len));
	assert_true(name_is(&name, own, PORT));
	close(fd);
}

static void run_connect(const char *own, const char *to, int slot)
{
	int fd = connecting(to), error = -1, port = local_port(fd);
	const struct resoa_event *event = rfix_event(&fx, LONG);
	socklen_t len = sizeof(error);

	assert_non_null(event);
	assert_int_equal(event->type, RESOA_EVENT_SYN);
	assert_true(event->cookie == rfix_socket_cookie(fd));
	assert_int_equal(event->pid, 0);
	assert_true(rfix_names_are(&event->names, rfix_names(own, port, to, PORT)));
	assert_true(stays_quiet(fd, POLLOUT));
	assert_true(rfix_counts(&fx, { RESOA_SYN_HELD, 1 }, any(RESOA_SYN_AGAIN)));
	held_state(event, RESOA_PASSES);
	inject(event);
	assert_true(ready(fd, POLLOUT, LONG));
	must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	assert_int_equal(error, 0);
	accept_in_world(slot, to, own, port);
	assert_true(rfix_counts(&fx, { RESOA_SYN_HELD, 1 }, any(RESOA_SYN_AGAIN),
				some(RESOA_SYN_PASSED), some(RESOA_STEERED)));
	close(fd);
}

static void test_connect(void **unused)
{
	(void)unused;
	world_open();
	rfix_clear(&fx);
	run_connect(RFIX_A4, RFIX_P4, RESOA_TCP4);
	rfix_clear(&fx);
	run_connect(RFIX_A6, RFIX_P6, RESOA_TCP6);
}

/* The kernel repeats the SYN after a second; TCP believed that it was sent. */
static void test_repeated(void **unused)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int fd;

	(void)unused;
	world_open();
	rfix_clear(&fx);
	fd = connecting(RFIX_P4);
	must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	assert_int_equal(info.tcpi_state, TCP_SYN_SENT);
	assert_int_equal(info.tcpi_ca_state, 0); /* not "congestion window reduced" */
	assert_non_null(rfix_event(&fx, LONG));
	for (int ms = 0; !rfix_counted(&fx, RESOA_SYN_AGAIN) && ms < assume_ms(LONG); ms += SHORT)
		assert_true(stays_quiet(fd, POLLOUT));
	assert_null(rfix_event(&fx, 0));
	assert_true(rfix_counts(&fx, { RESOA_SYN_HELD, 1 }, some(RESOA_SYN_AGAIN)));
	close(fd);
}

static void test_silent(void **unused)
{
	const struct resoa_event *event;
	int fd, ms = 1000, error = 0;
	socklen_t len = sizeof(error);

	(void)unused;
	world_open();
	rfix_clear(&fx);
	fd = connecting(RFIX_P6);
	must(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)));
	event = rfix_event(&fx, LONG);
	assert_non_null(event);
	held_state(event, RESOA_IS_SILENT);
	assert_true(ready(fd, POLLOUT, 5000));
	must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	assert_int_equal(error, ETIMEDOUT);
	assert_int_equal(rfix_counted(&fx, RESOA_SYN_HELD), 1);
	assert_in_range(rfix_counted(&fx, RESOA_SYN_SILENT), 1, 3);
	close(fd);
}

/* Datagrams are not held. */
static void run_datagram(const char *own, const char *to, int slot)
{
	struct sockaddr_in6 address, from;
	socklen_t len = rfix_sockaddr(to, PORT, &address), from_len = sizeof(from);
	int fd = must(socket(address.sin6_family, SOCK_DGRAM, 0));
	char got[8];

	must(sendto(fd, "hello", 5, 0, (void *)&address, len));
	assert_true(ready(world[slot], POLLIN, LONG));
	assert_int_equal(recvfrom(world[slot], got, sizeof(got), 0, (void *)&from, &from_len), 5);
	assert_memory_equal(got, "hello", 5);
	assert_true(name_is(&from, own, local_port(fd)));
	assert_true(rfix_counts(&fx, { RESOA_STEERED, 1 }));
	close(fd);
}

static void test_datagram(void **unused)
{
	(void)unused;
	world_open();
	rfix_clear(&fx);
	run_datagram(RFIX_A4, RFIX_P4, RESOA_UDP4);
	rfix_clear(&fx);
	run_datagram(RFIX_A6, RFIX_P6, RESOA_UDP6);
}

/* No daemon any more: nobody takes what passes. */
static void test_no_socket(void **unused)
{
	const struct resoa_event *event;
	__u32 slot = RESOA_TCP4;
	int fd;

	(void)unused;
	world_open();
	rfix_clear(&fx);
	must(bpf_map_delete_elem(bpf_map__fd(fx.skel->maps.resoa_world), &slot));
	fd = connecting(RFIX_P4);
	event = rfix_event(&fx, LONG);
	assert_non_null(event);
	held_state(event, RESOA_PASSES);
	inject(event);
	assert_true(stays_quiet(world[slot], POLLIN));
	assert_true(rfix_counts(&fx, { RESOA_SYN_HELD, 1 }, any(RESOA_SYN_AGAIN),
				some(RESOA_SYN_PASSED), some(RESOA_UNSTEERED)));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_table, clear),
		cmocka_unit_test_setup(test_cut, clear),
		cmocka_unit_test_setup(test_names, clear),
		cmocka_unit_test_setup(test_ring_full, clear),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_datagram),
		cmocka_unit_test(test_no_socket),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
