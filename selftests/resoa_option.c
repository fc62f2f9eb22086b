// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/resoa/option.c agents/resoa/group.c agents/resoa/fragment.c */
/* link: agents/resoa/rsock.c agents/lib/datagram.c agents/lib/ep.c agents/lib/address.c */
/*
 * Options of programs' sockets at the client (agents/resoa/option.c), from events as the BPF
 * program tells them: kept before the server knows the socket, sent in order, of each the last;
 * groups as GROUP, by each of the kernel's calls for them; and fragments to groups (fragment.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../agents/resoa/udp.h"

#define COOKIE 4711

/* ---- what the server is told */

static struct {
	uint32_t stream;
	struct ep_message message;
	uint8_t body[RESOA_OPTION_BYTES];
} told[64];
static unsigned int count;

int lhp_send(struct lhp *lhp, uint32_t stream, enum lhp_class class, const struct iovec *parts,
	     int parts_count)
{
	static uint8_t bytes[64][EP_HEAD_MAX + RESOA_OPTION_BYTES];
	size_t len = 0;

	(void)lhp;
	assert_int_equal(class, LHP_RELIABLE);
	assert_true(count < 64);
	for (int i = 0; i < parts_count; i++) {
		assert_true(len + parts[i].iov_len <= sizeof(bytes[0]));
		memcpy(bytes[count] + len, parts[i].iov_base, parts[i].iov_len);
		len += parts[i].iov_len;
	}
	told[count].stream = stream;
	assert_int_equal(ep_parse(bytes[count], len, &told[count].message), 0);
	count++;
	return 0;
}

void lhp_forget(struct lhp *lhp, uint32_t stream)
{
	(void)lhp;
	(void)stream;
}

void tcp_end(struct rsock *rsock)
{
	(void)rsock;
}
void syn_free(struct rsock *rsock)
{
	(void)rsock;
}
void udp_end(struct rsock *rsock)
{
	(void)rsock;
}

static uint64_t reused;

void bind_reuse(struct resoa *resoa, uint64_t cookie, bool on)
{
	(void)resoa;
	reused = on ? cookie : 0;
}

static struct rsock *twins[2];

struct rsock *udp_twin(const struct rsock *rsock)
{
	return rsock == twins[0] ? twins[1] : rsock == twins[1] ? twins[0] : NULL;
}

void udp_forward(struct udp *udp, const struct datagram *datagram)
{
	(void)udp;
	(void)datagram;
}

bool udp_may_read(struct udp *udp)
{
	(void)udp;
	return true;
}

static uint64_t now_ms = 1000000;

uint64_t udp_now_ms(void)
{
	return now_ms;
}

int net_socket(const struct net *net, enum net_place place, int family, int type, int proto)
{
	(void)net;
	(void)place;
	(void)family;
	(void)type;
	(void)proto;
	return -1;
}

/* ---- set-up */

static struct resoa resoa;

static int set_up(void **state)
{
	(void)state;
	count = 0;
	twins[0] = twins[1] = NULL;
	resoa = (struct resoa){ .lhp = (void *)&told, .rsocks = rsocks_new() };
	return resoa.rsocks ? 0 : -1;
}

static void end_one(struct rsock *rsock, void *arg)
{
	(void)arg;
	rsock_end(rsock, -1);
}

static int tear_down(void **state)
{
	(void)state;
	rsock_each(&resoa, end_one, NULL);
	rsocks_free(resoa.rsocks);
	option_close(&resoa);
	assert_null(resoa.options);
	return 0;
}

static struct rsock *new_rsock(enum rsock_kind kind, uint8_t family, uint64_t cookie)
{
	struct rsock *rsock = rsock_new(&resoa, 0, kind);

	assert_non_null(rsock);
	rsock->family = family;
	rsock->proto = kind == RSOCK_UDP ? IPPROTO_UDP : IPPROTO_TCP;
	rsock_set_cookie(rsock, cookie);
	return rsock;
}

static void happens(uint64_t cookie, int level, int name, const void *value, size_t len)
{
	struct resoa_event event = { .type = RESOA_EVENT_OPTION,
				     .family = 4,
				     .proto = IPPROTO_TCP,
				     .cookie = cookie,
				     .level = level,
				     .name = name,
				     .length = (uint32_t)len };

	if (len <= sizeof(event.bytes))
		memcpy(event.bytes, value, len);
	option_event(&resoa, &event);
}

static void happens_int(uint64_t cookie, int level, int name, int value)
{
	happens(cookie, level, name, &value, sizeof(value));
}

static void check_told(unsigned int i, const struct rsock *rsock, int level, int name, int value)
{
	int got;

	assert_true(i < count);
	assert_int_equal(told[i].stream, rsock->id);
	assert_int_equal(told[i].message.type, EP_OPTION);
	assert_int_equal(told[i].message.level, level);
	assert_int_equal(told[i].message.option, name);
	assert_int_equal(told[i].message.body_len, sizeof(got));
	memcpy(&got, told[i].message.body, sizeof(got));
	assert_int_equal(got, value);
}

/* ---- options */

static void test_kept(void **state)
{
	struct rsock *rsock;

	(void)state;
	happens_int(COOKIE, IPPROTO_TCP, TCP_NODELAY, 1);
	happens_int(COOKIE, SOL_SOCKET, SO_KEEPALIVE, 1);
	happens_int(COOKIE + 4096, IPPROTO_IP, IP_TTL, 9); /* another's, of the same chain */
	happens_int(COOKIE, IPPROTO_TCP, TCP_NODELAY, 0);
	happens_int(COOKIE, IPPROTO_TCP, TCP_MAXSEG, 1000);
	assert_int_equal(count, 0);
	rsock = new_rsock(RSOCK_SYN, 4, COOKIE);
	option_send(rsock);
	assert_int_equal(count, 3);
	check_told(0, rsock, SOL_SOCKET, SO_KEEPALIVE, 1);
	check_told(1, rsock, IPPROTO_TCP, TCP_NODELAY, 0);
	check_told(2, rsock, IPPROTO_TCP, TCP_MAXSEG, 1000);
	assert_int_equal(option_int(&resoa, COOKIE, IPPROTO_TCP, TCP_MAXSEG, 5), 1000);
	assert_int_equal(option_int(&resoa, COOKIE, IPPROTO_TCP, TCP_CORK, 5), 5);
	assert_int_equal(option_int(&resoa, 0, IPPROTO_TCP, TCP_CORK, 6), 6);
	assert_int_equal(reused, 0);
	happens_int(COOKIE, SOL_SOCKET, SO_REUSEADDR, 1);
	assert_int_equal(reused, COOKIE);
}

/* Not before the server knows it; then at once; and all once more for the next rsockID. */
static void test_known(void **state)
{
	struct rsock *rsock = new_rsock(RSOCK_SYN, 4, COOKIE);

	(void)state;
	happens_int(COOKIE, IPPROTO_TCP, TCP_NODELAY, 1);
	assert_int_equal(count, 0);
	rsock->server_knows = true;
	happens_int(COOKIE, IPPROTO_TCP, TCP_CORK, 1);
	assert_int_equal(count, 1);
	check_told(0, rsock, IPPROTO_TCP, TCP_CORK, 1);
	rsock_end(rsock, -1);
	rsock = new_rsock(RSOCK_SYN, 4, COOKIE);
	option_send(rsock);
	assert_int_equal(count, 3);
	check_told(1, rsock, IPPROTO_TCP, TCP_NODELAY, 1);
	check_told(2, rsock, IPPROTO_TCP, TCP_CORK, 1);
	option_gone(&resoa, COOKIE);
	option_send(rsock);
	assert_int_equal(count, 3);
}

/* An accepted socket has the cookie of its listener. */
static void test_accepted(void **state)
{
	struct resoa_names names = { .local_port = htons(80), .remote_port = htons(4000) };
	struct rsock *listener = new_rsock(RSOCK_LISTENER, 4, COOKIE);
	struct rsock *accepted = new_rsock(RSOCK_INCOMING, 4, 0);
	struct resoa_event event = { .type = RESOA_EVENT_OPTION,
				     .family = 4,
				     .proto = IPPROTO_TCP,
				     .cookie = COOKIE,
				     .names = names,
				     .level = IPPROTO_TCP,
				     .name = TCP_NODELAY,
				     .length = sizeof(int),
				     .bytes = { 1 } };

	(void)state;
	listener->server_knows = accepted->server_knows = true;
	rsock_set_names(accepted, &names);
	option_event(&resoa, &event);
	assert_int_equal(count, 1);
	check_told(0, accepted, IPPROTO_TCP, TCP_NODELAY, 1);
	option_send(listener);
	assert_int_equal(count, 1);
}

/* One that is set again and again, many, many sockets: bounded, and the newest are there. */
static void test_bounds(void **state)
{
	struct rsock *rsock = new_rsock(RSOCK_SYN, 4, COOKIE);
	const uint8_t long_value[RESOA_FRAME_BYTES] = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		happens_int(COOKIE, IPPROTO_TCP, TCP_NODELAY, i);
	for (int i = 0; i < 1000; i++)
		happens_int(COOKIE, IPPROTO_TCP, 1000 + i, i);
	option_send(rsock);
	assert_int_equal(count, OPTION_EACH);
	for (unsigned int i = 0; i < OPTION_SOCKETS; i++)
		happens_int(100000 + i, IPPROTO_TCP, TCP_NODELAY, 1);
	assert_int_equal(option_int(&resoa, COOKIE, IPPROTO_TCP, TCP_NODELAY, -1), -1);
	assert_int_equal(option_int(&resoa, 100000, IPPROTO_TCP, TCP_NODELAY, -1), 1);
	happens(COOKIE, IPPROTO_TCP, TCP_NODELAY, long_value, sizeof(long_value));
	happens_int(0, IPPROTO_TCP, TCP_NODELAY, 1);
	assert_int_equal(option_int(&resoa, COOKIE, IPPROTO_TCP, TCP_NODELAY, -1), -1);
	assert_int_equal(option_int(&resoa, 100000, IPPROTO_TCP, TCP_NODELAY, -1), 1);
}

/* ---- groups */

struct call {
	int level, name;
	const char *group, *source;
	bool join;
	size_t len;
	uint8_t value[sizeof(struct group_source_req)];
};

static size_t put_address(void *to, const char *text)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		memcpy(to, &four, sizeof(four));
	else if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1)
		memcpy(to, &six, sizeof(six));
	else
		fail_msg("%s is no address", text);
	return sizeof(struct sockaddr_storage);
}

/* The kernel's structs, as programs fill them. */
static void fill(struct call *call)
{
	struct group_source_req *request = (void *)call->value;
	struct ip_mreq_source *source = (void *)call->value;

	switch (call->name) {
	case IP_ADD_MEMBERSHIP:
	case IP_DROP_MEMBERSHIP:
		call->len = sizeof(struct ip_mreqn);
		inet_pton(AF_INET, call->group, call->value);
		break;
	case IP_ADD_SOURCE_MEMBERSHIP:
	case IP_DROP_SOURCE_MEMBERSHIP:
		call->len = sizeof(*source);
		inet_pton(AF_INET, call->group, &source->imr_multiaddr);
		inet_pton(AF_INET, call->source, &source->imr_sourceaddr);
		break;
	case IPV6_JOIN_GROUP:
	case IPV6_LEAVE_GROUP:
		call->len = sizeof(struct ipv6_mreq);
		inet_pton(AF_INET6, call->group, call->value);
		break;
	default:
		put_address(&request->gsr_group, call->group);
		call->len = sizeof(struct group_req);
		if (call->source) {
			put_address(&request->gsr_source, call->source);
			/* What the event has of it. */
			call->len = RESOA_OPTION_BYTES;
		}
	}
}

static void check_address(const struct ep_name *name, const char *text)
{
	struct in6_addr six;
	struct in_addr four;

	if (!text) {
		assert_int_equal(name->family, 0);
	} else if (inet_pton(AF_INET, text, &four) == 1) {
		assert_int_equal(name->family, 4);
		assert_memory_equal(name->address.b + 12, &four, 4);
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &six), 1);
		assert_int_equal(name->family, 6);
		assert_memory_equal(name->address.b, &six, 16);
	}
	assert_int_equal(name->port, 0);
}

static struct call calls[] = {
	{ IPPROTO_IP, IP_ADD_MEMBERSHIP, "239.1.2.3", NULL, true, 0, { 0 } },
	{ IPPROTO_IP, IP_DROP_MEMBERSHIP, "239.1.2.3", NULL, false, 0, { 0 } },
	{ IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, "232.1.1.1", "192.0.2.9", true, 0, { 0 } },
	{ IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, "232.1.1.1", "192.0.2.9", false, 0, { 0 } },
	{ IPPROTO_IP, MCAST_JOIN_GROUP, "239.1.2.4", NULL, true, 0, { 0 } },
	{ IPPROTO_IP, MCAST_LEAVE_GROUP, "239.1.2.4", NULL, false, 0, { 0 } },
	{ IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, "232.1.1.2", "192.0.2.8", true, 0, { 0 } },
	{ IPPROTO_IP, MCAST_LEAVE_SOURCE_GROUP, "232.1.1.2", "192.0.2.8", false, 0, { 0 } },
	{ IPPROTO_IPV6, IPV6_JOIN_GROUP, "ff0e::1:3", NULL, true, 0, { 0 } },
	{ IPPROTO_IPV6, IPV6_LEAVE_GROUP, "ff0e::1:3", NULL, false, 0, { 0 } },
	{ IPPROTO_IPV6, MCAST_JOIN_GROUP, "ff0e::1:4", NULL, true, 0, { 0 } },
	{ IPPROTO_IPV6, MCAST_LEAVE_GROUP, "ff0e::1:4", NULL, false, 0, { 0 } },
	{ IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, "ff3e::1", "2001:db8::9", true, 0, { 0 } },
	{ IPPROTO_IPV6, MCAST_LEAVE_SOURCE_GROUP, "ff3e::1", "2001:db8::9", false, 0, { 0 } },
};

/* Of a socket that the server knows; nothing of it is told as OPTION, nor to the other family. */
static void test_groups(void **state)
{
	struct rsock *four = new_rsock(RSOCK_UDP, 4, COOKIE);
	struct rsock *six = new_rsock(RSOCK_UDP, 6, COOKIE + 1);
	bool v6;

	(void)state;
	four->server_knows = six->server_knows = true;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct call *call = &calls[i];
		const struct ep_message *message = &told[0].message;

		v6 = call->level == IPPROTO_IPV6;
		fill(call);
		count = 0;
		happens(COOKIE, call->level, call->name, call->value, call->len);
		assert_int_equal(count, !v6);
		happens(COOKIE + 1, call->level, call->name, call->value, call->len);
		assert_int_equal(count, 1);
		assert_int_equal(told[0].stream, v6 ? six->id : four->id);
		assert_int_equal(message->type, EP_GROUP);
		assert_int_equal(message->number, call->join);
		assert_int_equal(message->id, 0);
		check_address(&message->name, call->group);
		check_address(&message->other, call->source);
	}
	/* All is left that was joined. */
	count = 0;
	group_send(four);
	group_send(six);
	option_send(four);
	assert_int_equal(count, 0);
	assert_false(group_any(four));
}

/* Values that are too short, of every length, are no group, and harm nothing. */
static void test_short_groups(void **state)
{
	struct rsock *rsock = new_rsock(RSOCK_UDP, 4, COOKIE);

	(void)state;
	rsock->server_knows = true;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (size_t len = 0; len < 8; len++) {
			fill(&calls[i]);
			happens(COOKIE, calls[i].level, calls[i].name, calls[i].value, len);
		}
	assert_int_equal(count, 0);
}

/* Joined before it is bound: both families' sockets are told, each its own. */
static void test_groups_kept(void **state)
{
	struct rsock *four, *six;

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		fill(&calls[i]);
		if (calls[i].join)
			happens(COOKIE, calls[i].level, calls[i].name, calls[i].value,
				calls[i].len);
	}
	/* Once more the same: once. */
	happens(COOKIE, calls[0].level, calls[0].name, calls[0].value, calls[0].len);
	assert_int_equal(count, 0);
	six = new_rsock(RSOCK_UDP, 6, COOKIE);
	four = new_rsock(RSOCK_UDP, 4, COOKIE);
	twins[0] = four;
	twins[1] = six;
	assert_true(group_any(four));
	option_send(four);
	assert_int_equal(count, 0);
	group_send(four);
	assert_int_equal(count, 4);
	check_address(&told[3].message.name, "239.1.2.3");
	group_send(six);
	assert_int_equal(count, 7);
	check_address(&told[4].message.name, "ff0e::1:3");
	/* Left by another of the calls than it was joined by. */
	four->server_knows = six->server_knows = true;
	count = 0;
	calls[5].group = "239.1.2.3";
	fill(&calls[5]);
	happens(COOKIE, calls[5].level, calls[5].name, calls[5].value, calls[5].len);
	assert_int_equal(count, 1);
	assert_int_equal(told[0].message.number, 0);
	count = 0;
	group_send(four);
	assert_int_equal(count, 3);
	calls[5].group = "239.1.2.4";
}

/* ---- fragments */

static struct datagram of_peer(uint8_t last)
{
	struct datagram datagram = { .from = { .family = 6 }, .to = { .family = 6 } };

	datagram.from.address.b[15] = last;
	datagram.to.address.b[0] = 0xff;
	return datagram;
}

static const uint8_t *give(uint8_t who, uint32_t id, size_t at, bool more, const uint8_t *bytes,
			   size_t *len)
{
	static uint8_t packet[70000];
	const struct datagram datagram = of_peer(who);
	const struct ip6_frag header = { .ip6f_nxt = IPPROTO_UDP,
					 .ip6f_offlg = htons((uint16_t)(at | more)),
					 .ip6f_ident = id };

	memcpy(packet, &header, sizeof(header));
	memcpy(packet + sizeof(header), bytes, *len);
	*len += sizeof(header);
	return fragment_take(&datagram, packet, len);
}

static void check_whole(const uint8_t *got, size_t len, const uint8_t *want, size_t want_len)
{
	assert_non_null(got);
	assert_int_equal(len, want_len);
	assert_memory_equal(got, want, want_len);
}

static void test_fragments(void **state)
{
	uint8_t bytes[4000];
	const uint8_t *got;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	/* Two senders' at the same time. */
	for (uint8_t who = 1; who <= 2; who++)
		for (size_t at = 0; at < 2400; at += 1200) {
			len = 1200;
			assert_null(give(who, 9, at, true, bytes + at, &len));
		}
	for (uint8_t who = 1; who <= 2; who++) {
		len = 1600;
		got = give(who, 9, 2400, false, bytes + 2400, &len);
		check_whole(got, len, bytes, 4000);
	}
	/* It is over: its end again is nothing. */
	len = 1600;
	assert_null(give(1, 9, 2400, false, bytes + 2400, &len));
	/* One is missing; one twice. */
	len = 1200;
	assert_null(give(1, 10, 0, true, bytes, &len));
	len = 1600;
	assert_null(give(1, 10, 2400, false, bytes + 2400, &len));
	for (int i = 0; i < 2; i++) {
		len = 1200;
		assert_null(give(1, 11, 0, true, bytes, &len));
	}
	len = 1200;
	got = give(1, 11, 1200, false, bytes + 1200, &len);
	check_whole(got, len, bytes, 2400);
	/* In one piece (RFC 6946). */
	len = 100;
	got = give(1, 12, 0, false, bytes, &len);
	check_whole(got, len, bytes, 100);
}

static void test_long_fragments(void **state)
{
	uint8_t *bytes = calloc(1, 70000);
	const uint8_t *got;
	size_t len = 40000;

	(void)state;
	assert_non_null(bytes);
	assert_null(give(1, 20, 0, true, bytes, &len));
	len = 30000;
	assert_null(give(1, 20, 40000, false, bytes, &len));
	len = 0;
	assert_null(give(1, 21, 0, true, bytes, &len));
	/* More senders than there is room for: the oldest is given up. */
	for (uint8_t who = 1; who <= 5; who++) {
		len = 8;
		now_ms++;
		assert_null(give(who, 30, 0, true, bytes, &len));
	}
	len = 8;
	assert_null(give(1, 30, 8, false, bytes, &len));
	for (uint8_t who = 2; who <= 5; who++) {
		len = 8;
		got = give(who, 30, 8, false, bytes, &len);
		check_whole(got, len, bytes, 16);
	}
	free(bytes);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(test_kept, set_up, tear_down),
	cmocka_unit_test_setup_teardown(test_known, set_up, tear_down),
	cmocka_unit_test_setup_teardown(test_accepted, set_up, tear_down),
	cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
	cmocka_unit_test_setup_teardown(test_groups, set_up, tear_down),
	cmocka_unit_test_setup_teardown(test_short_groups, set_up, tear_down),
	cmocka_unit_test_setup_teardown(test_groups_kept, set_up, tear_down),
	cmocka_unit_test(test_fragments),
	cmocka_unit_test(test_long_fragments),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
