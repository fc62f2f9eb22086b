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
 * selftests/lhp_ether_life.c - the Ethernet LHP's streams, semi-reliable messages, limits, and
 * ends: what waits for what, what a peer's silence or a smaller path does, what is kept and what is
 * not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "selftests/lib/lhp_ether_net.h"

#define SECOND_US 1000000ull
#define NOTED	  65536

/* ---- what the server was given */

static struct {
	uint32_t stream[NOTED], number[NOTED];
	size_t len[NOTED];
	unsigned int used;
	uint64_t bytes;
} noted;

static void note(struct net *net, int end, uint32_t stream, const uint8_t *bytes, size_t len)
{
	(void)net;
	if (end != NET_SERVER || noted.used == NOTED)
		return;
	noted.stream[noted.used] = stream;
	noted.number[noted.used] = len >= 4 ? get32(bytes) : 0;
	noted.len[noted.used++] = len;
	noted.bytes += len;
}

static struct net *standing(unsigned int mtu, unsigned int path)
{
	struct net *net = net_new(mtu, mtu + path);

	memset(&noted, 0, sizeof(noted));
	net->message = note;
	net->mtu = path;
	net_connect(net, &net->known);
	assert_true(net_run(net, 10 * SECOND_US, net_both_stand));
	net_run(net, SECOND_US, NULL); /* the path's MTU has been found */
	return net;
}

static int say(struct net *net, enum lhp_class class, uint32_t stream, uint32_t number, size_t len)
{
	static uint8_t bytes[LHP_MESSAGE_MAX];
	struct iovec parts[2] = { { bytes, 4 }, { bytes + 4, len - 4 } };
	struct lhp *lhp = &net->ether[NET_CLIENT]->lhp;

	put32(bytes, number);
	return lhp->ops->send(lhp, stream, class, parts, 2, len);
}

/* ---- streams */

/* Drops what the client sends until told otherwise. */
static unsigned int drop_next;

static bool drop_some(struct net *net, int to, const uint8_t *frame, size_t len)
{
	(void)net;
	(void)frame;
	(void)len;
	if (to != NET_SERVER || !drop_next)
		return true;
	drop_next--;
	return false;
}

static void no_stream_waits(void **state)
{
	struct net *net = standing(1500, 0);

	(void)state;
	net->pass = drop_some;
	drop_next = 1;
	assert_int_equal(say(net, LHP_RELIABLE, 1, 1, 100), 0);
	net_run(net, 1, NULL); /* it goes, and is lost */
	assert_int_equal(drop_next, 0);
	assert_int_equal(say(net, LHP_RELIABLE, 1, 2, 100), 0);
	assert_int_equal(say(net, LHP_RELIABLE, 2, 1, 100), 0);
	net_run(net, net->delay + 10, NULL);
	assert_int_equal(noted.used, 1); /* the other stream's, and not the second of this one */
	assert_int_equal(noted.stream[0], 2);
	net_run(net, SECOND_US, NULL);
	assert_int_equal(noted.used, 3);
	assert_int_equal(noted.stream[1], 1);
	assert_int_equal(noted.number[1], 1);
	assert_int_equal(noted.number[2], 2);
	net_free(net);
}

static void every_length(void **state)
{
	static const size_t lengths[] = { 4,	5,     1400,  1455,  1456, 1457,
					  2911, 65535, 65536, 65792, 1452, 1453 };
	struct net *net = standing(1500, 0);
	unsigned int count = sizeof(lengths) / sizeof(*lengths);
	struct iovec empty = { NULL, 0 };
	struct lhp *lhp = &net->ether[NET_CLIENT]->lhp;

	(void)state;
	assert_int_equal(LHP_MESSAGE_MAX, 65792);
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(say(net, LHP_RELIABLE, 3, i, lengths[i]), 0);
	assert_int_equal(lhp->ops->send(lhp, 3, LHP_RELIABLE, &empty, 1, 0), 0);
	net_run(net, SECOND_US, NULL);
	assert_int_equal(noted.used, count + 1);
	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(noted.number[i], i);
		assert_int_equal(noted.len[i], lengths[i]);
	}
	assert_int_equal(noted.len[count], 0);
	net_free(net);
}

static void forgotten(void **state)
{
	struct net *net = standing(1500, 0);

	(void)state;
	net->loss = 100;
	net->twice = 100;
	for (uint32_t id = 1; id <= 5000; id++) {
		for (int end = 0; end < NET_ENDS; end++) {
			struct lhp *lhp = &net->ether[end]->lhp;
			uint8_t bytes[4] = { 0 };

			assert_int_equal(net_send(net, end, id, bytes, sizeof(bytes)), 0);
			lhp->ops->forget(lhp, id);
			assert_int_equal(net_send(net, end, id, bytes, sizeof(bytes)), -ENOTCONN);
		}
		if (id % 100 == 0)
			net_run(net, SECOND_US / 10, NULL);
	}
	net_run(net, 10 * SECOND_US, NULL);
	assert_int_equal(noted.used, 5000);
	for (int end = 0; end < NET_ENDS; end++)
		assert_int_equal(net->ether[end]->receiver.streams_used, 0);
	net_free(net);
}

/* ---- semi-reliable messages */

static void semi_reliable(void **state)
{
	static uint8_t times[20000];
	unsigned int twice = 0, arrived = 0;
	struct net *net = standing(1500, 0);

	(void)state;
	memset(times, 0, sizeof(times));
	net->loss = 200;
	net->twice = 200;
	net->late = 200;
	for (uint32_t i = 0; i < sizeof(times); i++) {
		assert_int_equal(say(net, LHP_SEMI, i % 9, i, i % 50 ? 200 : 4000), 0);
		net_run(net, 1000, NULL);
	}
	net_run(net, SECOND_US, NULL);
	for (unsigned int i = 0; i < noted.used; i++)
		twice += times[noted.number[i]]++;
	for (unsigned int i = 0; i < sizeof(times); i++)
		arrived += times[i];
	assert_int_equal(twice, 0);
	/* Each is sent up to three times: 1 - 0.2^3. Those in parts have fewer chances. */
	assert_in_range(arrived, sizeof(times) * 97 / 100, sizeof(times));
	net_free(net);
}

/* A path that carries nothing: each is sent three times and no more, and then given up. */
static void semi_given_up(void **state)
{
	struct net *net = standing(1500, 0);
	uint64_t sent = net->sent[NET_SERVER];

	(void)state;
	net->pass = drop_some;
	drop_next = 1000;
	assert_int_equal(say(net, LHP_SEMI, 1, 1, 100), 0);
	net_run(net, 2 * SECOND_US, NULL);
	assert_true(net->sent[NET_SERVER] - sent >= 3);
	drop_next = 0;
	net_run(net, 2 * SECOND_US, NULL);
	assert_int_equal(noted.used, 0);
	assert_int_equal(net->ether[NET_CLIENT]->lhp.counts.lost, 1);
	assert_int_equal(say(net, LHP_SEMI, 1, 2, 100), 0);
	net_run(net, SECOND_US, NULL);
	assert_int_equal(noted.used, 1);
	net_free(net);
}

/* ---- limits */

static uint64_t most_ahead;

static bool hold_first(struct net *net, int to, const uint8_t *frame, size_t len)
{
	struct ether_receiver *receiver = &net->ether[NET_SERVER]->receiver;

	(void)frame;
	if (receiver->taken - receiver->given > most_ahead && receiver->taken > receiver->given)
		most_ahead = receiver->taken - receiver->given;
	/* One packet in a thousand is lost: of a long stream many wait behind it. */
	return to != NET_SERVER || len < 1000 || net_random(net) % 1000 > 0;
}

static unsigned int bulk_left;

static void bulk(struct net *net, int end)
{
	(void)end;
	while (bulk_left && !net->ether[NET_CLIENT]->sender.blocked) {
		assert_int_equal(say(net, LHP_RELIABLE, 1, 60000 - bulk_left, 32000), 0);
		bulk_left--;
	}
}

static bool bulk_done(struct net *net)
{
	(void)net;
	return !bulk_left && noted.used == 3000;
}

static void memory_of_a_receiver(void **state)
{
	struct net *net = standing(1500, 0);

	(void)state;
	most_ahead = 0;
	bulk_left = 3000;
	net->delay = 5000;
	net->pass = hold_first;
	net->writable = bulk;
	bulk(net, NET_CLIENT);
	assert_true(net_run(net, 600 * SECOND_US, bulk_done));
	assert_in_range(most_ahead, 100000, ETHER_WINDOW);
	for (unsigned int i = 0; i < noted.used; i++)
		assert_int_equal(noted.number[i], 57000 + i);
	net_free(net);
}

/* Who asks lhp_room() has 256 KiB in the queue; who does not is stopped at 8 MiB. */
static void room(void **state)
{
	struct net *net = standing(1500, 0);
	struct lhp *lhp = &net->ether[NET_CLIENT]->lhp;
	int err;

	(void)state;
	net->pass = drop_some;
	drop_next = 1000000;
	assert_true(lhp->ops->room(lhp));
	for (int i = 0; i < 8; i++)
		assert_int_equal(say(net, LHP_RELIABLE, 1, 0, 32000), 0);
	assert_true(lhp->ops->room(lhp));
	assert_int_equal(say(net, LHP_RELIABLE, 1, 0, 32000), 0);
	assert_false(lhp->ops->room(lhp));
	for (int i = 0; i < 1000; i++)
		if ((err = say(net, LHP_RELIABLE, 1, 0, 32000)))
			break;
	assert_int_equal(err, -ENOBUFS);
	assert_int_equal(net->closed[NET_CLIENT], 0); /* not from inside */
	net_run(net, 1, NULL);
	assert_int_equal(net->closed[NET_CLIENT], 1);
	net_free(net);
}

/* ---- paths of other MTUs */

static void smaller_path(void **state)
{
	static const unsigned int paths[][3] = { { 1500, 0, 1500 },    { 1500, 1200, 1200 },
						 { 1500, 1450, 1400 }, { 9000, 0, 9000 },
						 { 9000, 1500, 1400 }, { 1200, 0, 1200 } };

	(void)state;
	for (unsigned int i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct net *net = standing(paths[i][0], paths[i][1]);

		net_run(net, 5 * SECOND_US, NULL);
		assert_int_equal(net->ether[NET_CLIENT]->sender.mtu, paths[i][2]);
		assert_int_equal(net->ether[NET_SERVER]->sender.mtu, paths[i][2]);
		assert_int_equal(say(net, LHP_RELIABLE, 1, 5, 65536), 0);
		net_run(net, SECOND_US, NULL);
		assert_int_equal(noted.used, 1);
		assert_int_equal(noted.len[0], 65536);
		net_free(net);
	}
}

#define LONG_BYTES 60000
#define LONG_COUNT 40

static uint8_t byte_at(uint32_t number, size_t at)
{
	return (uint8_t)(number * 7 + at * 31 + (at >> 8));
}

static void fill(uint8_t *bytes, uint32_t number, size_t len)
{
	put32(bytes, number);
	for (size_t i = 4; i < len; i++)
		bytes[i] = byte_at(number, i);
}

/* Each stream's messages in order, byte by byte. */
static void note_long(struct net *net, int end, uint32_t stream, const uint8_t *bytes, size_t len)
{
	(void)net;
	assert_int_equal(end, NET_SERVER);
	assert_int_equal(get32(bytes), noted.number[stream]++);
	for (size_t i = 4; i < len; i++)
		assert_int_equal(bytes[i], byte_at(get32(bytes), i));
	noted.used++;
}

static bool all_came(struct net *net)
{
	(void)net;
	return noted.used == 2 * LONG_COUNT;
}

static void say_filled(struct net *net, uint32_t stream, uint32_t number, size_t len)
{
	static uint8_t bytes[LONG_BYTES];
	struct iovec part = { bytes, len };
	struct lhp *lhp = &net->ether[NET_CLIENT]->lhp;

	fill(bytes, number, len);
	assert_int_equal(lhp->ops->send(lhp, stream, LHP_RELIABLE, &part, 1, len), 0);
}

static void shrink_path(unsigned int mtu, unsigned int to, unsigned int found, unsigned int loss)
{
	struct net *net = standing(mtu, 0);

	assert_int_equal(net->ether[NET_CLIENT]->sender.mtu, mtu);
	net->message = note_long;
	net->loss = loss;
	for (uint32_t i = 0; i < LONG_COUNT; i++) {
		say_filled(net, 1, i, LONG_BYTES);
		say_filled(net, 2, i, 1 + 4 + i);
		if (i == LONG_COUNT / 2)
			net->mtu = to; /* with packets in the air, lost ones, and new ones */
		net_run(net, 200, NULL);
	}
	assert_true(net_run(net, 30 * SECOND_US, all_came));
	net->loss = 0;
	net_run(net, 5 * SECOND_US, NULL);
	assert_int_equal(net->ether[NET_CLIENT]->sender.mtu, found);
	assert_int_equal(net->closed[NET_CLIENT] + net->closed[NET_SERVER], 0);
	net_free(net);
}

static void path_shrinks(void **state)
{
	(void)state;
	shrink_path(1500, 1300, ETHER_MTU_MIN, 0);
	shrink_path(1500, 1400, 1400, 0);
	shrink_path(9000, 1500, 1400, 0);
	shrink_path(9000, 1250, ETHER_MTU_MIN, 50);
}

/* Frames of stream 1 straight to the server, which has not seen the packets that they were in. */
static int give(struct net *net, uint32_t sequence, int index, const uint8_t *bytes)
{
	struct ether_frame frame = { .type = ETHER_MESSAGE,
				     .flags = ETHER_FIRST | ETHER_LAST,
				     .stream = 1,
				     .sequence = sequence,
				     .whole = 1000,
				     .count = 3,
				     .body = bytes,
				     .body_len = 1000 };

	if (index >= 0) {
		frame.flags |= ETHER_PART;
		frame.index = (uint16_t)index;
		frame.body += ether_part_at(&frame, (unsigned int)index);
		frame.body_len = ether_part_at(&frame, (unsigned int)index + 1) -
				 ether_part_at(&frame, (unsigned int)index);
	}
	return ether_stream_frame(net->ether[NET_SERVER], &frame);
}

/* The whole frame may come late, before, between or after its parts; each part may come twice. */
static void parts_and_whole(void **state)
{
	static const int orders[][6] = { { 0, 1, 2, -1, 9 },
					 { 2, 0, -1, 2, 1, 9 },
					 { -1, 0, 1, 2, 9 },
					 { 1, -1, 1, 0, 2, 9 },
					 { 2, 2, 1, 1, 0, 9 } };

	(void)state;
	for (uint32_t behind = 0; behind < 2; behind++) {
		struct net *net = standing(1500, 0);
		struct ether_receiver *receiver = &net->ether[NET_SERVER]->receiver;
		uint8_t bytes[2][1000];

		net->message = note_long;
		for (uint32_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
			fill(bytes[0], i * (1 + behind), 1000);
			fill(bytes[1], i * (1 + behind) + 1, 1000);
			for (int k = 0; orders[i][k] != 9; k++)
				assert_int_equal(give(net, i * (1 + behind) + behind, orders[i][k],
						      bytes[behind]),
						 0);
			if (behind) /* all of it has waited for this one */
				assert_int_equal(give(net, 2 * i, -1, bytes[0]), 0);
			assert_int_equal(noted.used, (i + 1) * (1 + behind));
			assert_int_equal(receiver->taken, receiver->given);
		}
		assert_int_equal(give(net, 100, 1, bytes[0]), 0);
		assert_int_equal(ether_stream_frame(net->ether[NET_SERVER],
						    &(struct ether_frame){ .type = ETHER_MESSAGE,
									   .flags = ETHER_PART,
									   .stream = 1,
									   .sequence = 100,
									   .whole = 1001,
									   .count = 3,
									   .body = bytes[0],
									   .body_len = 334 }),
				 -EPROTO);
		net_free(net);
	}
}

/* ---- ends */

static void peer_is_killed(void **state)
{
	struct net *net = standing(1500, 0);

	(void)state;
	assert_int_equal(say(net, LHP_RELIABLE, 1, 1, 100), 0);
	net_run(net, 60 * SECOND_US, NULL); /* silence alone is no end: both ask */
	assert_int_equal(net->closed[NET_CLIENT] + net->closed[NET_SERVER], 0);
	net->pass = drop_some;
	drop_next = 1000000;
	net_run(net, 14 * SECOND_US, NULL);
	assert_int_equal(net->closed[NET_SERVER], 0);
	net_run(net, 6 * SECOND_US, NULL);
	assert_int_equal(net->closed[NET_SERVER], 1);
	assert_string_equal(net->why[NET_SERVER], "/02:00:00:00:00:0a is silent");
	net_free(net);
}

static void user_ends(void **state)
{
	struct net *net = standing(1500, 0);
	struct lhp *lhp = &net->ether[NET_CLIENT]->lhp;

	(void)state;
	lhp->ops->free(lhp);
	net->ether[NET_CLIENT] = NULL;
	net_run(net, SECOND_US, NULL);
	assert_int_equal(net->closed[NET_CLIENT], 0);
	assert_int_equal(net->closed[NET_SERVER], 1);
	assert_string_equal(net->why[NET_SERVER], "closed by the other end: its user has ended");
	assert_int_equal(net->port[NET_SERVER]->count, 0);
	net_free(net);
}

/* The server was started anew: its client need not wait for 20 s of silence. */
static void server_forgot(void **state)
{
	struct net *net = standing(1500, 0);
	struct lhp *lhp = &net->ether[NET_SERVER]->lhp;

	(void)state;
	net->pass = drop_some;
	((struct ether *)lhp)->over_there = true; /* it cannot tell */
	lhp->ops->free(lhp);
	net->ether[NET_SERVER] = NULL;
	drop_next = 0;
	assert_int_equal(say(net, LHP_RELIABLE, 1, 1, 100), 0);
	net_run(net, 2 * SECOND_US, NULL);
	assert_int_equal(net->closed[NET_CLIENT], 1);
	assert_string_equal(net->why[NET_CLIENT],
			    "/02:00:00:00:00:0b does not know this connection any more");
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_stream_waits),
		cmocka_unit_test(every_length),
		cmocka_unit_test(forgotten),
		cmocka_unit_test(semi_reliable),
		cmocka_unit_test(semi_given_up),
		cmocka_unit_test(memory_of_a_receiver),
		cmocka_unit_test(room),
		cmocka_unit_test(smaller_path),
		cmocka_unit_test(path_shrinks),
		cmocka_unit_test(parts_and_whole),
		cmocka_unit_test(peer_is_killed),
		cmocka_unit_test(user_ends),
		cmocka_unit_test(server_forgot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
