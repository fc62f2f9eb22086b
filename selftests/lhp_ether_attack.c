// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/lhp_key.c agents/lib/conf.c agents/lib/lhp_ether.c */
/* link: agents/lib/lhp_ether_port.c agents/lib/lhp_ether_out.c agents/lib/lhp_ether_accept.c */
/* link: agents/lib/lhp_ether_connect.c agents/lib/lhp_ether_key.c */
/* link: agents/lib/lhp_ether_shake.c agents/lib/lhp_ether_frame.c */
/* link: agents/lib/lhp_ether_send.c agents/lib/lhp_ether_ack.c */
/* link: agents/lib/lhp_ether_receive.c agents/lib/lhp_ether_stream.c */
/* link: agents/lib/lhp_ether_semi.c agents/lib/lhp_ether_congestion.c */
/* link: selftests/lib/lhp_ether_net.c */
/*
 * selftests/lhp_ether_attack.c - frames that nobody genuine has sent, or not now: forged, changed,
 * cut, repeated in this connection or in the next ones; hellos without end; wrong keys. All are
 * counted and change nothing, and genuine messages arrive beside them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "selftests/lib/lhp_ether_net.h"

#define MESSAGES  200
#define RECORDED  4096
#define FLOOD	  100000
#define SECOND_US 1000000

/* ---- messages with their number in them; each must come once and in order */

static struct {
	unsigned int sent, received, wrong;
} told;

static void told_receive(struct net *net, int end, uint32_t stream, const uint8_t *bytes,
			 size_t len)
{
	unsigned int number = 0;

	(void)net;
	(void)stream;
	if (end == NET_SERVER && len == sizeof(number))
		memcpy(&number, bytes, len);
	told.wrong += end != NET_SERVER || len != sizeof(number) || number != told.received;
	told.received++;
}

static void tell(struct net *net)
{
	assert_int_equal(net_send(net, NET_CLIENT, 7, &told.sent, sizeof(told.sent)), 0);
	told.sent++;
}

static bool told_all(struct net *net)
{
	return told.received >= told.sent || net->closed[NET_CLIENT] || net->closed[NET_SERVER];
}

/* The control of every test here: genuine messages are served. */
static void assert_served(struct net *net)
{
	for (int i = 0; i < 10; i++)
		tell(net);
	assert_true(net_run(net, 10 * SECOND_US, told_all));
	assert_int_equal(told.received, told.sent);
	assert_int_equal(told.wrong, 0);
}

static struct net *standing(uint64_t seed)
{
	struct net *net = net_new(1500, seed);

	memset(&told, 0, sizeof(told));
	net->message = told_receive;
	net_connect(net, &net->known);
	assert_true(net_run(net, 10 * SECOND_US, net_both_stand));
	return net;
}

/* ---- what an attacker on the wire has seen */

static struct {
	uint8_t bytes[RECORDED][ETHER_L2 + 1500];
	size_t len[RECORDED];
	int to[RECORDED];
	unsigned int used;
} record;

static bool record_frame(struct net *net, int to, const uint8_t *frame, size_t len)
{
	(void)net;
	if (record.used < RECORDED && len <= sizeof(record.bytes[0])) {
		memcpy(record.bytes[record.used], frame, len);
		record.len[record.used] = len;
		record.to[record.used++] = to;
	}
	return true;
}

static void put(struct net *net, unsigned int i)
{
	net_put(net, record.to[i], record.bytes[i], record.len[i], net->now);
}

static uint64_t refused(struct net *net)
{
	const struct ether_refused *at = &net->port[NET_SERVER]->refused;

	return at->malformed + at->unknown + at->forged + at->replayed + at->late + at->handshakes;
}

/* ---- tests */

static void replayed_at_once(void **state)
{
	struct net *net = net_new(1500, 1);

	(void)state;
	memset(&told, 0, sizeof(told));
	record.used = 0;
	net->message = told_receive;
	net->pass = record_frame;
	net_connect(net, &net->known);
	assert_true(net_run(net, 10 * SECOND_US, net_both_stand));
	for (int i = 0; i < MESSAGES; i++) {
		tell(net);
		net_run(net, 1000, NULL);
	}
	net_run(net, SECOND_US, told_all);
	net->pass = NULL;
	assert_true(record.used > MESSAGES);
	for (unsigned int i = 0; i < record.used; i++)
		put(net, i);
	net_run(net, SECOND_US, NULL);
	assert_int_equal(told.received, MESSAGES);
	assert_true(net->port[NET_SERVER]->refused.replayed >= MESSAGES);
	assert_int_equal(net->accepted, 1);
	assert_served(net);
	net_free(net);
}

/* A bit of each of its bytes, one at a time; and each length shorter than it is. */
static void changed(void **state)
{
	struct net *net = standing(2);
	uint8_t frame[sizeof(record.bytes[0])];
	uint64_t before, put_in = 0;
	unsigned int of;

	(void)state;
	record.used = 0;
	net->pass = record_frame;
	tell(net);
	assert_true(net_run(net, SECOND_US, told_all));
	net->pass = NULL;
	for (of = 0; of < record.used && record.to[of] != NET_SERVER;)
		of++;
	assert_true(of < record.used);
	before = refused(net);
	for (size_t at = ETHER_L2; at < record.len[of]; at++, put_in++) {
		memcpy(frame, record.bytes[of], record.len[of]);
		frame[at] ^= (uint8_t)(1 << at % 8);
		net_put(net, NET_SERVER, frame, record.len[of], net->now);
	}
	for (size_t len = 0; len < record.len[of]; len++, put_in++)
		net_put(net, NET_SERVER, record.bytes[of], len, net->now);
	net_run(net, SECOND_US, NULL);
	assert_int_equal(refused(net) - before, put_in);
	assert_int_equal(told.received, 1);
	assert_served(net);
	net_free(net);
}

/* Right ids and numbers to come, but no key; and whole frames of noise. */
static void forged(void **state)
{
	struct net *net = standing(3);
	struct ether *server = net->ether[NET_SERVER];
	uint64_t before = net->port[NET_SERVER]->refused.forged;
	uint8_t frame[200];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		struct ether_head head = { ETHER_DATA, sizeof(frame) - ETHER_L2 - ETHER_HEAD,
					   server->id };

		for (size_t at = 0; at < sizeof(frame); at++)
			frame[at] = (uint8_t)net_random(net);
		ether_write_head(&head, frame + ETHER_L2);
		put64(frame + ETHER_L2 + ETHER_HEAD, server->receiver.largest + (uint64_t)i);
		net_put(net, NET_SERVER, frame, sizeof(frame), net->now);
	}
	net_run(net, 1000, NULL);
	assert_int_equal(net->port[NET_SERVER]->refused.forged - before, 5000);
	for (int i = 0; i < 5000; i++) {
		for (size_t at = ETHER_L2; at < sizeof(frame); at++)
			frame[at] = (uint8_t)net_random(net);
		net_put(net, i & 1, frame, sizeof(frame), net->now);
	}
	net_run(net, 1000, NULL);
	assert_served(net);
	net_free(net);
}

/* Two restarts of both ends, and all that was seen of the ones before put in again. */
static void replayed_later(void **state)
{
	struct net *net = standing(4);

	(void)state;
	record.used = 0;
	net->pass = record_frame;
	assert_served(net);
	for (unsigned int restart = 2; restart <= 3; restart++) {
		unsigned int used = record.used, had = told.received;

		for (int end = 0; end < NET_ENDS; end++) {
			struct lhp *lhp = &net->ether[end]->lhp;

			net->ether[end] = NULL;
			net->port[end]->all->lhp.ops->free(lhp);
		}
		ether_listener_init(&net->listener, net->port[NET_SERVER]);
		net->opened[NET_CLIENT] = net->opened[NET_SERVER] = 0;
		net_connect(net, &net->known);
		assert_true(net_run(net, 10 * SECOND_US, net_both_stand));
		assert_int_equal(net->accepted, restart);
		for (unsigned int i = 0; i < used; i++)
			put(net, i);
		net_run(net, 2 * SECOND_US, NULL);
		assert_int_equal(told.received, had);
		assert_int_equal(net->accepted, restart);
		assert_served(net);
	}
	net_free(net);
}

/* An OPEN that is repeated while its cookie is good does not end the connection that it made, nor
 * one that the client has made since. */
static void replayed_open(void **state)
{
	struct net *net = net_new(1500, 5);

	(void)state;
	memset(&told, 0, sizeof(told));
	record.used = 0;
	net->message = told_receive;
	net->pass = record_frame;
	net_connect(net, &net->known);
	assert_true(net_run(net, 10 * SECOND_US, net_both_stand));
	net->pass = NULL;
	for (int round = 0; round < 200; round++)
		for (unsigned int i = 0; i < record.used; i++)
			put(net, i);
	net_run(net, SECOND_US, NULL);
	assert_int_equal(net->accepted, 1);
	assert_served(net);
	net->opened[NET_SERVER] = net->opened[NET_CLIENT] = 0;
	net_connect(net, &net->known); /* anew: the old one's end is the proof's doing */
	assert_true(net_run(net, 10 * SECOND_US, net_both_stand));
	assert_int_equal(net->accepted, 2);
	assert_int_equal(net->closed[NET_SERVER], 1);
	assert_string_equal(net->why[NET_SERVER], "the client has connected anew");
	net->closed[NET_SERVER] = net->closed[NET_CLIENT] = 0;
	for (int round = 0; round < 200; round++)
		for (unsigned int i = 0; i < record.used; i++)
			put(net, i);
	net_run(net, 12 * SECOND_US, NULL);
	assert_int_equal(net->accepted, 2);
	assert_int_equal(net->port[NET_SERVER]->count, 1);
	assert_int_equal(net->listener.opening, 0);
	assert_served(net);
	net_free(net);
}

static void flood(void **state)
{
	struct net *net = net_new(1500, 6);
	uint8_t frame[ETHER_L2 + ETHER_HELLO_BYTES] = { 2, 0, 0, 0, 0, 11 };
	unsigned int got = 0;

	(void)state;
	memset(&told, 0, sizeof(told));
	net->message = told_receive;
	for (unsigned int i = 0; i < FLOOD; i++) {
		struct ether_hello hello = { .id = (uint32_t)net_random(net) | 1 };

		for (int at = 0; at < ETHER_MAC_BYTES; at++)
			frame[6 + at] = (uint8_t)net_random(net);
		ether_write_hello(&hello, frame + ETHER_L2);
		net_put(net, NET_SERVER, frame, sizeof(frame), net->now + i * 10);
		if (i == FLOOD / 2)
			net_connect(net, &net->known);
		if (i % 1000 == 999)
			net_run(net, 10000, NULL);
		got += net->port[NET_SERVER]->count > 1;
	}
	net_run(net, SECOND_US, NULL);
	assert_int_equal(got, 0); /* no hello has made anything that is kept */
	assert_int_equal(net->port[NET_SERVER]->count, 1);
	assert_true(net_both_stand(net));
	assert_served(net);
	net_free(net);
}

static unsigned int server_said;

static bool count_server(struct net *net, int to, const uint8_t *frame, size_t len)
{
	(void)net;
	(void)len;
	server_said += to == NET_CLIENT && frame[ETHER_L2] != ETHER_COOKIE;
	return true;
}

static void nobody(void **state)
{
	struct lhp_identity wrong[] = { { .name = "alice", .key = { 9 } },
					{ .name = "mallory", .key = { 1, 2, 3, 4 } } };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct net *net = net_new(1500, 7);

		server_said = 0;
		net->pass = count_server;
		net_connect(net, &wrong[i]);
		net_run(net, 9 * SECOND_US, NULL);
		assert_int_equal(net->opened[NET_CLIENT] + net->accepted, 0);
		assert_int_equal(server_said, 0);
		assert_int_equal(net->port[NET_SERVER]->count, 0);
		assert_true(net->listener.lhp.refused > 3);
		net_run(net, 2 * SECOND_US, NULL);
		assert_int_equal(net->closed[NET_CLIENT], 1);
		assert_string_equal(net->why[NET_CLIENT], "no answer from /02:00:00:00:00:0b");
		net_connect(net, &net->known);
		assert_true(net_run(net, SECOND_US, net_both_stand));
		net_free(net);
	}
}

/* One that answers without the key: the client does not take it for its server. */
static bool bend_answer(struct net *net, int to, const uint8_t *frame, size_t len)
{
	uint8_t bent[ETHER_L2 + ETHER_ANSWER_BYTES];

	if (to != NET_CLIENT || frame[ETHER_L2] != ETHER_ANSWER)
		return true;
	memcpy(bent, frame, len);
	bent[ETHER_L2 + ETHER_HEAD + 4 + net_random(net) % 96] ^= 1;
	net_put(net, to, bent, len, net->now + 1);
	return false;
}

static void false_server(void **state)
{
	struct net *net = net_new(1500, 8);

	(void)state;
	net->pass = bend_answer;
	net_connect(net, &net->known);
	net_run(net, 9 * SECOND_US, NULL);
	assert_int_equal(net->opened[NET_CLIENT] + net->accepted, 0);
	assert_true(net->port[NET_CLIENT]->refused.handshakes > 3);
	net_free(net);
}

/* Anybody can say that the server does not know a connection: it is asked, and answers. */
static void false_hint(void **state)
{
	struct net *net = standing(9);
	uint8_t frame[ETHER_L2 + ETHER_GONE_BYTES];
	struct ether_head head = { ETHER_GONE, 0, net->ether[NET_CLIENT]->peer_id };

	(void)state;
	memcpy(frame, net->port[NET_CLIENT]->mac, ETHER_MAC_BYTES);
	memcpy(frame + ETHER_MAC_BYTES, net->port[NET_SERVER]->mac, ETHER_MAC_BYTES);
	ether_write_head(&head, frame + ETHER_L2);
	for (int i = 0; i < 50; i++) {
		net_put(net, NET_CLIENT, frame, sizeof(frame), net->now);
		net_run(net, SECOND_US / 10, NULL);
	}
	assert_int_equal(net->closed[NET_CLIENT], 0);
	assert_served(net);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replayed_at_once), cmocka_unit_test(changed),
		cmocka_unit_test(forged),	    cmocka_unit_test(replayed_later),
		cmocka_unit_test(replayed_open),    cmocka_unit_test(flood),
		cmocka_unit_test(nobody),	    cmocka_unit_test(false_server),
		cmocka_unit_test(false_hint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
