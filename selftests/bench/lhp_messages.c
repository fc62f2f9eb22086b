// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/lhp.c agents/lib/lhp_key.c agents/lib/conf.c agents/lib/lhp_ether.c */
/* link: agents/lib/lhp_ether_port.c agents/lib/lhp_ether_out.c agents/lib/lhp_ether_accept.c */
/* link: agents/lib/lhp_ether_connect.c agents/lib/lhp_ether_key.c */
/* link: agents/lib/lhp_ether_shake.c agents/lib/lhp_ether_frame.c */
/* link: agents/lib/lhp_ether_send.c agents/lib/lhp_ether_ack.c */
/* link: agents/lib/lhp_ether_receive.c agents/lib/lhp_ether_stream.c */
/* link: agents/lib/lhp_ether_semi.c agents/lib/lhp_ether_congestion.c */
/* link: agents/lib/lhp_stream.c agents/lib/lhp_stream_place.c agents/lib/lhp_stream_queue.c */
/* link: agents/lib/lhp_stream_tls.c agents/lib/address.c selftests/lib/lhp_messages.c */
/*
 * Many messages on many streams over a Last Hop Protocol, each compared by who gets it.
 *
 *	lhp_messages listen PLACE [KEY]		until it is ended
 *	lhp_messages send PLACE COUNT STREAMS [KEY]
 *
 * The sender prints `received N wrong N semi N twice N repeated N`, as the listener has told it; or
 * why the connection ended, with exit code 1. KEY is one digit. Every 10th message is sent
 * semi-reliably on stream 0x1000, too, which has no order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agents/lib/lhp.h"
#include "selftests/lib/lhp_messages.h"

#define STREAMS_MAX 1000
#define ASKS	    0xffff
#define SEMI	    0x1000
#define SEMI_MAX    1000000

struct answer {
	uint32_t received, wrong, semi, twice;
};

static struct {
	struct event_base *base;
	struct lhp_identity identity;
	uint32_t place[STREAMS_MAX + 1]; /* next message of each stream */
	uint32_t sent, count, streams;
	uint8_t seen[SEMI_MAX];
	struct answer told;
	bool done;
	uint8_t bytes[LHP_MESSAGE_MAX];
} work;

static void give_up(const char *why)
{
	fprintf(stderr, "lhp_messages: %s\n", why);
	exit(1);
}

static void ignore(struct lhp *lhp, void *arg)
{
	(void)lhp;
	(void)arg;
}

static void closed(struct lhp *lhp, const char *why, void *arg)
{
	(void)lhp;
	if (arg)
		give_up(why);
}

/* ---- listening */

static void take_semi(const uint8_t *bytes, size_t len)
{
	uint32_t number = 0;

	if (len == sizeof(number))
		memcpy(&number, bytes, len);
	if (len != sizeof(number) || number >= SEMI_MAX) {
		work.told.wrong++;
		return;
	}
	work.told.twice += work.seen[number]++;
	work.told.semi++;
}

static void take(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len, void *arg)
{
	struct iovec part = { &work.told, sizeof(work.told) };
	size_t want;

	(void)arg;
	if (stream == ASKS) {
		lhp_send(lhp, ASKS, LHP_RELIABLE, &part, 1);
	} else if (stream == SEMI) {
		take_semi(bytes, len);
	} else if (stream > STREAMS_MAX) {
		work.told.wrong++;
	} else {
		want = message_make(stream, work.place[stream]++, work.bytes);
		work.told.wrong += len != want || memcmp(bytes, work.bytes, len);
		work.told.received++;
	}
}

static void accepted(struct lhp *lhp, void *arg)
{
	static const struct lhp_handler handler = { ignore, take, ignore, closed };

	memset(&work.told, 0, sizeof(work.told));
	memset(work.place, 0, sizeof(work.place));
	memset(work.seen, 0, sizeof(work.seen));
	lhp_set_handler(lhp, &handler, arg);
}

static bool find(struct lhp_identity *who, void *arg)
{
	(void)arg;
	if (strcmp(who->name, work.identity.name))
		return false;
	*who = work.identity;
	return true;
}

/* ---- sending */

static void fill(struct lhp *lhp, void *arg)
{
	(void)arg;
	while (lhp_room(lhp) && work.sent < work.count) {
		uint32_t stream = 1 + work.sent * 2654435761u % work.streams;
		size_t len = message_make(stream, work.place[stream]++, work.bytes);
		struct iovec part = { work.bytes, len }, semi = { &work.sent, sizeof(work.sent) };

		if (lhp_send(lhp, stream, LHP_RELIABLE, &part, 1))
			give_up("send");
		if (work.sent % 10 == 0 && lhp_send(lhp, SEMI, LHP_SEMI, &semi, 1))
			give_up("send");
		work.sent++;
	}
}

static void answer(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len, void *arg)
{
	struct lhp_counts counts;
	struct answer told;

	(void)stream;
	(void)arg;
	if (len != sizeof(told))
		give_up("answer");
	memcpy(&told, bytes, sizeof(told));
	lhp_count(lhp, &counts);
	if (work.done || told.received < work.count)
		return;
	work.done = true; /* several answers may come with one look at the socket */
	printf("received %u wrong %u semi %u twice %u repeated %llu\n", told.received, told.wrong,
	       told.semi, told.twice, (unsigned long long)counts.repeated);
	event_base_loopbreak(work.base);
}

static void ask(evutil_socket_t fd, short what, void *arg)
{
	struct iovec part = { work.bytes, 1 };

	(void)fd;
	(void)what;
	if (work.sent == work.count)
		lhp_send(arg, ASKS, LHP_RELIABLE, &part, 1);
}

static struct lhp *start(const char *place)
{
	static const struct lhp_handler handler = { fill, answer, fill, closed };
	static const struct timeval often = { 0, 20000 };
	char error[256];
	struct lhp *lhp = lhp_connect(work.base, place, &work.identity, &handler, &work, error,
				      sizeof(error));

	if (!lhp)
		give_up(error);
	event_add(event_new(work.base, -1, EV_PERSIST, ask, lhp), &often);
	return lhp;
}

int main(int argc, char **argv)
{
	bool listens = argc > 2 && !strcmp(argv[1], "listen");
	int key = listens ? 3 : 5;
	char error[256];
	struct lhp *lhp = NULL;

	work.base = event_base_new();
	if (!work.base || argc < key)
		give_up("listen PLACE [KEY] | send PLACE COUNT STREAMS [KEY]");
	strcpy(work.identity.name, "tester");
	work.identity.key[0] = argc > key ? (uint8_t)argv[key][0] : '1';
	if (listens) {
		if (!lhp_listen(work.base, argv[2], find, accepted, NULL, error, sizeof(error)))
			give_up(error);
	} else {
		work.count = (uint32_t)atol(argv[3]);
		work.streams = (uint32_t)atol(argv[4]);
		if (!work.streams || work.streams > STREAMS_MAX)
			give_up("STREAMS");
		lhp = start(argv[2]);
	}
	event_base_dispatch(work.base);
	lhp_free(lhp);
	return 0;
}
