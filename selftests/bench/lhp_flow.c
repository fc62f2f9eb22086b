// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/lhp.c agents/lib/lhp_key.c agents/lib/conf.c agents/lib/lhp_ether.c */
/* link: agents/lib/lhp_ether_port.c agents/lib/lhp_ether_out.c agents/lib/lhp_ether_accept.c */
/* link: agents/lib/lhp_ether_connect.c agents/lib/lhp_ether_key.c */
/* link: agents/lib/lhp_ether_shake.c agents/lib/lhp_ether_frame.c */
/* link: agents/lib/lhp_ether_send.c agents/lib/lhp_ether_ack.c */
/* link: agents/lib/lhp_ether_receive.c agents/lib/lhp_ether_stream.c */
/* link: agents/lib/lhp_ether_semi.c agents/lib/lhp_ether_congestion.c */
/* link: agents/lib/lhp_stream.c agents/lib/lhp_stream_place.c agents/lib/lhp_stream_queue.c */
/* link: agents/lib/lhp_stream_tls.c agents/lib/address.c */
/*
 * One flow of messages over a Last Hop Protocol, as fast as it goes.
 *
 *	lhp_flow listen PLACE			until it is ended
 *	lhp_flow send PLACE SECONDS [BYTES]	of a message; prints a line of JSON with what it
 *took, processors' seconds of sender and receiver, too
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <event2/event.h>

#include "agents/lib/lhp.h"

#define BULK  1
#define COUNT 2

struct answer {
	uint64_t total;
	double used;
};

static const struct lhp_identity identity = { .name = "bench", .key = { 1, 2, 3 } };

static struct {
	struct event_base *base;
	uint8_t bytes[LHP_MESSAGE_MAX];
	size_t len;
	double begun, end, seconds, used;
	uint64_t total;
	bool ending, told;
} flow;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Seconds that this process has used of a processor. */
static double used(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void give_up(const char *why)
{
	fprintf(stderr, "lhp_flow: %s\n", why);
	exit(1);
}

static void closed(struct lhp *lhp, const char *why, void *arg)
{
	(void)lhp;
	if (arg)
		give_up(why);
}

/* ---- listening */

static void count(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len, void *arg)
{
	struct answer answer = { flow.total, used() - flow.used };
	struct iovec part = { &answer, sizeof(answer) };

	(void)bytes;
	(void)arg;
	if (stream == BULK)
		flow.total += len;
	else
		lhp_send(lhp, COUNT, LHP_RELIABLE, &part, 1);
}

static void ignore(struct lhp *lhp, void *arg)
{
	(void)lhp;
	(void)arg;
}

static void accepted(struct lhp *lhp, void *arg)
{
	static const struct lhp_handler handler = { ignore, count, ignore, closed };

	flow.total = 0;
	flow.used = used();
	lhp_set_handler(lhp, &handler, arg);
}

static bool find(struct lhp_identity *who, void *arg)
{
	(void)arg;
	memcpy(who->key, identity.key, sizeof(who->key));
	return true;
}

/* ---- sending */

static void fill(struct lhp *lhp, void *arg)
{
	struct iovec part = { flow.bytes, flow.len };

	(void)arg;
	while (lhp_room(lhp) && !flow.ending) {
		if (lhp_send(lhp, BULK, LHP_RELIABLE, &part, 1))
			give_up("send");
		if (now() < flow.end)
			continue;
		flow.ending = true;
	}
}

static void opened(struct lhp *lhp, void *arg)
{
	if (!flow.len)
		flow.len = lhp_best(lhp);
	flow.begun = now();
	flow.end = flow.begun + flow.seconds;
	fill(lhp, arg);
}

static uint64_t asked;

static void answer(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len, void *arg)
{
	struct lhp_counts counts;
	struct answer told;
	double seconds;

	(void)stream;
	(void)arg;
	if (len != sizeof(told))
		give_up("answer");
	memcpy(&told, bytes, sizeof(told));
	lhp_count(lhp, &counts);
	if (flow.told || told.total < counts.bytes_sent - asked)
		return;
	flow.told = true;
	seconds = now() - flow.begun;
	printf("{\"mbit_s\":%.1f,\"seconds\":%.3f,\"cpu_s_per_gb\":[%.3f,%.3f],"
	       "\"repeated\":%llu,\"rtt_us\":%u}\n",
	       (double)told.total * 8e-6 / seconds, seconds, used() * 1e9 / (double)told.total,
	       told.used * 1e9 / (double)told.total, (unsigned long long)counts.repeated,
	       counts.rtt_us);
	fflush(stdout);
	event_base_loopbreak(flow.base);
}

/* Streams overtake each other: the question has to wait for the bytes. */
static void ask(evutil_socket_t fd, short what, void *arg)
{
	struct iovec part = { flow.bytes, 1 };

	(void)fd;
	(void)what;
	if (!flow.ending)
		return;
	asked++;
	lhp_send(arg, COUNT, LHP_RELIABLE, &part, 1);
}

static struct lhp *start(const char *place)
{
	static const struct lhp_handler handler = { opened, answer, fill, closed };
	static const struct timeval often = { 0, 2000 };
	char error[256];
	struct lhp *lhp =
		lhp_connect(flow.base, place, &identity, &handler, &flow, error, sizeof(error));

	if (!lhp)
		give_up(error);
	event_add(event_new(flow.base, -1, EV_PERSIST, ask, lhp), &often);
	return lhp;
}

int main(int argc, char **argv)
{
	char error[256];
	struct lhp *lhp = NULL;

	flow.base = event_base_new();
	if (argc < 3 || !flow.base)
		give_up("listen PLACE | send PLACE SECONDS [BYTES]");
	if (!strcmp(argv[1], "listen")) {
		if (!lhp_listen(flow.base, argv[2], find, accepted, NULL, error, sizeof(error)))
			give_up(error);
	} else {
		flow.seconds = argc > 3 ? atof(argv[3]) : 1;
		flow.len = argc > 4 ? (size_t)atol(argv[4]) : 0;
		if (flow.len > LHP_MESSAGE_MAX)
			give_up("BYTES");
		lhp = start(argv[2]);
	}
	event_base_dispatch(flow.base);
	lhp_free(lhp);
	return 0;
}
