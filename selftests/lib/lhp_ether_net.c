// SPDX-License-Identifier: GPL-3.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lhp_ether_net.h"

static const uint8_t macs[NET_ENDS][ETHER_MAC_BYTES] = { { 2, 0, 0, 0, 0, 10 },
							 { 2, 0, 0, 0, 0, 11 } };

static struct net *the_net; /* ports have no room for whose they are */

uint64_t net_random(struct net *net)
{
	/* xorshift64*, as Vigna has it. */
	net->seed ^= net->seed >> 12;
	net->seed ^= net->seed << 25;
	net->seed ^= net->seed >> 27;
	return net->seed * 2685821657736338717ull;
}

static bool happens(struct net *net, unsigned int thousandths)
{
	return thousandths && net_random(net) % 1000 < thousandths;
}

/* ---- frames on their way: a heap by time, and by turn where that is the same */

static bool before(const struct net *net, size_t a, size_t b)
{
	const struct net_frame *first = net->heap[a], *second = net->heap[b];

	return first->at != second->at ? first->at < second->at : first->turn < second->turn;
}

static void swap(struct net *net, size_t a, size_t b)
{
	struct net_frame *frame = net->heap[a];

	net->heap[a] = net->heap[b];
	net->heap[b] = frame;
}

void net_put(struct net *net, int to, const uint8_t *bytes, size_t len, uint64_t at)
{
	struct net_frame *frame = malloc(sizeof(*frame));
	size_t i = net->heap_used++;

	if (net->heap_used > net->heap_size) {
		net->heap_size = net->heap_size ? net->heap_size * 2 : 1024;
		net->heap = realloc(net->heap, net->heap_size * sizeof(*net->heap));
	}
	assert_non_null(frame);
	assert_true(len <= sizeof(frame->bytes));
	frame->at = at;
	frame->turn = net->turn++;
	frame->to = to;
	frame->len = len;
	memcpy(frame->bytes, bytes, len);
	net->heap[i] = frame;
	for (; i && before(net, i, (i - 1) / 2); i = (i - 1) / 2)
		swap(net, i, (i - 1) / 2);
}

static struct net_frame *take(struct net *net)
{
	struct net_frame *first = net->heap[0];
	size_t i = 0, least;

	net->heap[0] = net->heap[--net->heap_used];
	for (;; i = least) {
		least = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
			if (child < net->heap_used && before(net, child, least))
				least = child;
		if (least == i)
			return first;
		swap(net, i, least);
	}
}

/* When a frame has passed the link, or 0 if its queue is full. */
static uint64_t link_time(struct net *net, int to, size_t len)
{
	if (!net->rate)
		return net->now;
	if (net->free_at[to] < net->now)
		net->free_at[to] = net->now;
	if ((net->free_at[to] - net->now) * net->rate / 1000000 > net->queue)
		return 0;
	net->free_at[to] += len * 1000000 / net->rate;
	return net->free_at[to];
}

static void on_transmit(struct ether_port *port, const uint8_t *frame, size_t len)
{
	struct net *net = the_net;
	int to = port == net->port[NET_CLIENT] ? NET_SERVER : NET_CLIENT;
	uint64_t at = link_time(net, to, len);

	net->sent[to]++;
	if ((net->pass && !net->pass(net, to, frame, len)) || happens(net, net->loss) || !at ||
	    (net->mtu && len > ETHER_L2 + net->mtu)) {
		net->dropped++;
		return;
	}
	at += net->delay;
	if (happens(net, net->late))
		at += net_random(net) % net->jitter;
	net_put(net, to, frame, len, at);
	if (happens(net, net->twice))
		net_put(net, to, frame, len, at + net_random(net) % (net->jitter + 1));
}

static uint64_t on_clock(struct ether_port *port)
{
	(void)port;
	return the_net->now;
}

/* ---- both ends' users */

static int end_of(struct net *net, struct lhp *lhp)
{
	return ((struct ether *)lhp)->port == net->port[NET_SERVER] ? NET_SERVER : NET_CLIENT;
}

static void opened(struct lhp *lhp, void *arg)
{
	struct net *net = arg;

	net->opened[end_of(net, lhp)]++;
}

static void message(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len, void *arg)
{
	struct net *net = arg;

	if (net->message)
		net->message(net, end_of(net, lhp), stream, bytes, len);
}

static void writable(struct lhp *lhp, void *arg)
{
	struct net *net = arg;

	if (net->writable)
		net->writable(net, end_of(net, lhp));
}

static void closed(struct lhp *lhp, const char *why, void *arg)
{
	struct net *net = arg;
	int end = end_of(net, lhp);

	net->closed[end]++;
	snprintf(net->why[end], sizeof(net->why[end]), "%s", why);
	if (net->ether[end] == (struct ether *)lhp)
		net->ether[end] = NULL;
}

static const struct lhp_handler handler = { opened, message, writable, closed };

static bool find(struct lhp_identity *identity, void *arg)
{
	struct net *net = arg;

	if (strcmp(identity->name, net->known.name))
		return false;
	*identity = net->known;
	return true;
}

static void accepted(struct lhp *lhp, void *arg)
{
	struct net *net = arg;

	net->accepted++;
	net->ether[NET_SERVER] = (struct ether *)lhp;
	lhp->handler = &handler;
	lhp->arg = net;
}

/* ---- the net */

struct net *net_new(unsigned int mtu, uint64_t seed)
{
	struct net *net = calloc(1, sizeof(*net));

	assert_non_null(net);
	the_net = net;
	net->now = 1000000;
	net->seed = seed * 2654435761u + 1;
	net->delay = 50;
	net->jitter = 500;
	net->known = (struct lhp_identity){ .name = "alice", .key = { 1, 2, 3, 4 } };
	for (int end = 0; end < NET_ENDS; end++) {
		net->port[end] = ether_port_new(mtu);
		assert_non_null(net->port[end]);
		net->port[end]->clock = on_clock;
		net->port[end]->transmit = on_transmit;
		net->port[end]->ethertype = LHP_ETHERTYPE;
		memcpy(net->port[end]->mac, macs[end], ETHER_MAC_BYTES);
		ether_port_clock(net->port[end]);
	}
	assert_int_equal(ether_listener_init(&net->listener, net->port[NET_SERVER]), 0);
	net->listener.lhp.find = find;
	net->listener.lhp.accepted = accepted;
	net->listener.lhp.arg = net;
	return net;
}

void net_free(struct net *net)
{
	for (int end = 0; end < NET_ENDS; end++) {
		while (net->port[end]->all)
			net->port[end]->all->lhp.ops->free(&net->port[end]->all->lhp);
		net->port[end]->listener = NULL;
		ether_port_release(net->port[end]);
	}
	while (net->heap_used)
		free(net->heap[--net->heap_used]);
	free(net->heap);
	free(net);
}

struct ether *net_connect(struct net *net, const struct lhp_identity *identity)
{
	struct ether *ether = ether_new(net->port[NET_CLIENT], false);

	assert_non_null(ether);
	net->ether[NET_CLIENT] = ether;
	ether->lhp.handler = &handler;
	ether->lhp.arg = net;
	memcpy(ether->peer, macs[NET_SERVER], ETHER_MAC_BYTES);
	ether_name_peer(ether);
	assert_int_equal(ether_connect_start(ether, identity), 0);
	return ether;
}

static uint64_t next_time(struct net *net)
{
	uint64_t next = net->heap_used ? net->heap[0]->at : ETHER_NEVER;

	for (int end = 0; end < NET_ENDS; end++) {
		if (net->port[end]->turns)
			next = net->now;
		for (struct ether *ether = net->port[end]->all; ether; ether = ether->next_all)
			if (ether_due(ether) < next)
				next = ether_due(ether);
	}
	return next;
}

/* A few at a time, as a socket gives them. */
static void deliver(struct net *net)
{
	for (int i = 0; i < ETHER_BATCH && net->heap_used && net->heap[0]->at <= net->now; i++) {
		struct net_frame *frame = take(net);

		ether_port_take(net->port[frame->to], frame->bytes, frame->len);
		free(frame);
	}
}

static void step(struct net *net)
{
	for (int end = 0; end < NET_ENDS; end++)
		ether_port_clock(net->port[end]);
	deliver(net);
	for (int end = 0; end < NET_ENDS; end++) {
		for (struct ether *ether = net->port[end]->all; ether; ether = ether->next_all) {
			if (ether_due(ether) > net->now)
				continue;
			ether_timeout(ether);
			ether_later(ether);
		}
		ether_port_turns(net->port[end]);
	}
}

bool net_run(struct net *net, uint64_t us, bool (*done)(struct net *net))
{
	uint64_t end = net->now + us;

	while (!done || !done(net)) {
		uint64_t next = next_time(net);

		if (next > end) {
			net->now = end;
			return false;
		}
		if (next > net->now)
			net->now = next;
		step(net);
	}
	return true;
}

bool net_both_stand(struct net *net)
{
	return net->opened[NET_CLIENT] && net->opened[NET_SERVER];
}

int net_send(struct net *net, int end, uint32_t stream, const void *bytes, size_t len)
{
	struct iovec part = { (void *)bytes, len };
	struct lhp *lhp = &net->ether[end]->lhp;

	return lhp->ops->send(lhp, stream, LHP_RELIABLE, &part, 1, len);
}
