// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/lhp_key.c agents/lib/conf.c agents/lib/lhp_ether.c */
/* link: agents/lib/lhp_ether_port.c agents/lib/lhp_ether_out.c agents/lib/lhp_ether_accept.c */
/* link: agents/lib/lhp_ether_connect.c agents/lib/lhp_ether_key.c */
/* link: agents/lib/lhp_ether_shake.c agents/lib/lhp_ether_frame.c */
/* link: agents/lib/lhp_ether_send.c agents/lib/lhp_ether_ack.c */
/* link: agents/lib/lhp_ether_receive.c agents/lib/lhp_ether_stream.c */
/* link: agents/lib/lhp_ether_semi.c agents/lib/lhp_ether_congestion.c */
/* link: selftests/lib/lhp_ether_net.c selftests/lib/lhp_messages.c */
/*
 * selftests/lhp_ether_loss.c - the Ethernet LHP over a network that loses, delays and doubles
 * frames (lib/lhp_ether_net.c): every message arrives once, whole and in the order of its stream.
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
#include "selftests/lib/lhp_messages.h"

#define STREAMS	 50
#define MESSAGES 100000

static struct {
	uint32_t sent[STREAMS], received[STREAMS];
	unsigned int sent_all, received_all, wrong;
	uint8_t bytes[LHP_MESSAGE_MAX];
} many;

static void many_receive(struct net *net, int end, uint32_t stream, const uint8_t *bytes,
			 size_t len)
{
	size_t want;

	(void)net;
	if (end != NET_SERVER || !stream || stream > STREAMS) {
		many.wrong++;
		return;
	}
	want = message_make(stream, many.received[stream - 1]++, many.bytes);
	many.wrong += len != want || memcmp(bytes, many.bytes, len);
	many.received_all++;
}

static void many_send(struct net *net, int end)
{
	(void)end;
	while (many.sent_all < MESSAGES && !net->ether[NET_CLIENT]->sender.blocked) {
		uint32_t stream = 1 + (uint32_t)(net_random(net) % STREAMS);
		size_t len = message_make(stream, many.sent[stream - 1]++, many.bytes);

		assert_int_equal(net_send(net, NET_CLIENT, stream, many.bytes, len), 0);
		many.sent_all++;
	}
}

static bool many_done(struct net *net)
{
	return many.received_all >= MESSAGES || net->closed[NET_CLIENT] || net->closed[NET_SERVER];
}

static void run_many(unsigned int loss, unsigned int late, unsigned int twice)
{
	struct net *net = net_new(1500, loss + 1);
	uint64_t begun;

	memset(&many, 0, sizeof(many));
	net->message = many_receive;
	net->writable = many_send;
	net_connect(net, &net->known);
	assert_true(net_run(net, 10000000, net_both_stand));
	net->loss = loss;
	net->late = late;
	net->twice = twice;
	begun = net->now;
	many_send(net, NET_CLIENT);
	assert_true(net_run(net, 1000000000ull, many_done));
	if (!net->ether[NET_CLIENT] || !net->ether[NET_SERVER])
		fail_msg("%s; %s", net->why[NET_CLIENT], net->why[NET_SERVER]);
	printf("loss %.1f %%: %.2f s, %llu frames, %llu repeated, %llu only late\n", loss / 10.0,
	       (double)(net->now - begun) / 1e6, (unsigned long long)net->sent[NET_SERVER],
	       (unsigned long long)net->ether[NET_CLIENT]->lhp.counts.repeated,
	       (unsigned long long)net->ether[NET_CLIENT]->sender.spurious);
	net_run(net, 2000000, NULL); /* nothing comes after that */
	assert_int_equal(many.received_all, MESSAGES);
	assert_int_equal(many.wrong, 0);
	assert_memory_equal(many.sent, many.received, sizeof(many.sent));
	if (loss)
		assert_true(net->ether[NET_CLIENT]->lhp.counts.repeated > 0);
	net_free(net);
}

static void lossless(void **state)
{
	(void)state;
	run_many(0, 0, 0);
}

static void loss_1(void **state)
{
	(void)state;
	run_many(10, 20, 10);
}

static void loss_5(void **state)
{
	(void)state;
	run_many(50, 20, 10);
}

static void loss_20(void **state)
{
	(void)state;
	run_many(200, 50, 50);
}

/* Nothing is lost, but one in five frames comes late: it is learned that this is no loss. */
static void only_late(void **state)
{
	(void)state;
	run_many(0, 200, 0);
}

/* ---- a full link */

#define SECONDS 20

static uint64_t bulk_bytes;

static void bulk_receive(struct net *net, int end, uint32_t stream, const uint8_t *bytes,
			 size_t len)
{
	(void)net;
	(void)end;
	(void)stream;
	(void)bytes;
	bulk_bytes += len;
}

static void bulk_send(struct net *net, int end)
{
	(void)end;
	while (!net->ether[NET_CLIENT]->sender.blocked)
		assert_int_equal(net_send(net, NET_CLIENT, 1, many.bytes, 32000), 0);
}

/* A link of so many bytes a second, behind so long a queue: how much of it is used, and how much is
 * sent in vain, in 1/1000. */
static void run_link(uint64_t rate, uint64_t queue, unsigned int loss, unsigned int *used,
		     unsigned int *vain)
{
	struct net *net = net_new(1500, rate + queue);
	uint64_t sent, dropped;

	net->message = bulk_receive;
	net->writable = bulk_send;
	net->rate = rate;
	net->queue = queue;
	net_connect(net, &net->known);
	assert_true(net_run(net, 10000000, net_both_stand));
	net->loss = loss;
	bulk_send(net, NET_CLIENT);
	net_run(net, 2000000, NULL);
	bulk_bytes = 0;
	sent = net->sent[NET_SERVER];
	dropped = net->dropped;
	net_run(net, SECONDS * 1000000ull, NULL);
	assert_int_equal(net->closed[NET_CLIENT] + net->closed[NET_SERVER], 0);
	*used = (unsigned int)(bulk_bytes * 1000 / SECONDS / rate);
	*vain = (unsigned int)((net->dropped - dropped) * 1000 / (net->sent[NET_SERVER] - sent));
	printf("%llu Mbit/s, queue %llu us, loss %.1f %%: used %u/1000, in vain %u/1000\n",
	       (unsigned long long)rate / 125000, (unsigned long long)(queue * 1000000 / rate),
	       loss / 10.0, *used, *vain);
	net_free(net);
}

/* The payload is 0.96 of what frames take. */
static void full_link(void **state)
{
	static const struct {
		uint64_t rate, queue;
		unsigned int loss, used, vain;
	} rows[] = {
		{ 12500000, 250000, 0, 930, 5 },   /* 100 Mbit/s, 20 ms */
		{ 12500000, 25000, 0, 900, 20 },   /* 2 ms */
		{ 125000000, 125000, 0, 900, 20 }, /* 1 Gbit/s, 1 ms */
		{ 12500000, 6000, 0, 700, 130 },   /* 4 packets: no RTT tells of that */
		{ 12500000, 250000, 50, 800, 90 }, /* and a bad wire */
	};
	unsigned int used, vain;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		run_link(rows[i].rate, rows[i].queue, rows[i].loss, &used, &vain);
		assert_in_range(used, rows[i].used, 1000);
		assert_in_range(vain, 0, rows[i].vain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lossless),  cmocka_unit_test(loss_1),
		cmocka_unit_test(loss_5),    cmocka_unit_test(loss_20),
		cmocka_unit_test(only_late), cmocka_unit_test(full_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
