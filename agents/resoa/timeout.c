// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A connection that ended at the server because nobody answered: a program is to see ETIMEDOUT, or
 * what ICMP had said before, and there is no packet for that. So A's own kernel comes to it:
 *
 *   W     takes in nothing of this connection any more
 *   A     hears of the ICMP error again, if the server's errno was of one
 *   A     its timers run down (bpf/resoa_timeout.bpf.h), again and again until it has ended: at
 *         first it probes, then it gives up. That takes a second, if it has heard of W just now.
 *
 * One that has not ended after LIMIT_MS is reset.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>

#include "tcp.h"

#define TICK_MS	    20 /* then twice as long each time: all sockets of A are gone through */
#define TICK_MAX_MS 320
#define LIMIT_MS    3000
#define DRAINS_MAX  64

struct timeouts {
	struct resoa *resoa;
	struct event *tick;
	unsigned int tick_ms;
	TAILQ_HEAD(, tcp) line; /* the oldest first */
};

static uint64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

bool timeout_is(int error)
{
	return error == ETIMEDOUT || frame_has_icmp(error);
}

/* ---- the end of W's */

static int silence(int fd)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog filter = { .len = 1, .filter = &none };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) ? -errno : 0;
}

/* A program that waits for room sends again, and is not answered. */
static void open_window(int fd)
{
	for (int i = 0; i < DRAINS_MAX; i++)
		if (recv(fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT) <= 0)
			return;
}

/* What A sends next. Only a socket in repair tells. */
static int read_sequence(int fd, uint32_t *sequence)
{
	const int on = TCP_REPAIR_ON, off = TCP_REPAIR_OFF_NO_WP, queue = TCP_RECV_QUEUE;
	socklen_t len = sizeof(*sequence);
	int err = 0;

	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)))
		return -errno;
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) ||
	    getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, sequence, &len))
		err = -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));
	return err;
}

/* An established socket keeps it for the time when it gives up. */
static void send_icmp(const struct tcp *tcp)
{
	const struct net *net = &tcp->rsock->resoa->net;
	uint8_t segment[FRAME_MAX], icmp[FRAME_MAX];
	uint32_t sequence;
	size_t len;

	if (read_sequence(tcp->fd, &sequence))
		return;
	len = frame_segment(net, tcp->rsock->family, &tcp->rsock->names, sequence, segment);
	len = frame_error(segment, len, tcp->reset, icmp);
	net_frame(net, NET_W, icmp, len);
}

/* ---- A's */

static void end(struct tcp *tcp)
{
	rsock_end(tcp->rsock, -1);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct timeouts *timeouts = arg;
	const struct timeval tick = { .tv_usec = timeouts->tick_ms * 1000 };
	struct tcp *tcp, *next;
	uint64_t now = now_ms();
	uint32_t seen;

	(void)fd;
	(void)what;
	program_time_out(timeouts->resoa->program);
	for (tcp = TAILQ_FIRST(&timeouts->line); tcp; tcp = next) {
		next = TAILQ_NEXT(tcp, timeouts);
		seen = program_timeout_seen(timeouts->resoa->program, &tcp->rsock->names);
		if (seen == tcp->timeout_seen || now - tcp->timeout_ms >= LIMIT_MS)
			end(tcp);
		else
			tcp->timeout_seen = seen;
	}
	if (TAILQ_EMPTY(&timeouts->line))
		return;
	evtimer_add(timeouts->tick, &tick);
	if (timeouts->tick_ms < TICK_MAX_MS)
		timeouts->tick_ms *= 2;
}

static struct timeouts *timeouts_of(struct resoa *resoa)
{
	struct timeouts *timeouts = resoa->timeouts;

	if (timeouts)
		return timeouts;
	timeouts = calloc(1, sizeof(*timeouts));
	if (!timeouts)
		return NULL;
	timeouts->resoa = resoa;
	TAILQ_INIT(&timeouts->line);
	timeouts->tick = evtimer_new(resoa->base, on_tick, timeouts);
	if (!timeouts->tick) {
		free(timeouts);
		return NULL;
	}
	resoa->timeouts = timeouts;
	return timeouts;
}

/* At once, if none is to come; else no sooner than TICK_MS, however many come. */
static void start_ticks(struct timeouts *timeouts)
{
	const struct timeval now = { 0 }, soon = { .tv_usec = TICK_MS * 1000 };

	if (!evtimer_pending(timeouts->tick, NULL))
		evtimer_add(timeouts->tick, &now);
	else if (timeouts->tick_ms != TICK_MS)
		evtimer_add(timeouts->tick, &soon);
	timeouts->tick_ms = TICK_MS;
}

bool timeout_begin(struct tcp *tcp)
{
	struct resoa *resoa = tcp->rsock->resoa;
	struct timeouts *timeouts = timeouts_of(resoa);

	if (!timeouts || silence(tcp->fd) ||
	    program_timeout(resoa->program, &tcp->rsock->names, true))
		return false;
	if (tcp->reset != ETIMEDOUT)
		send_icmp(tcp);
	open_window(tcp->fd);
	tcp->is_timing_out = true;
	tcp->timeout_ms = now_ms();
	tcp->timeout_seen = 0;
	TAILQ_INSERT_TAIL(&timeouts->line, tcp, timeouts);
	start_ticks(timeouts);
	return true;
}

void timeout_end(struct tcp *tcp)
{
	struct resoa *resoa = tcp->rsock->resoa;

	if (!tcp->is_timing_out)
		return;
	tcp->is_timing_out = false;
	TAILQ_REMOVE(&resoa->timeouts->line, tcp, timeouts);
	program_timeout(resoa->program, &tcp->rsock->names, false);
}

void timeout_close(struct resoa *resoa)
{
	if (!resoa->timeouts)
		return;
	event_free(resoa->timeouts->tick);
	free(resoa->timeouts);
	resoa->timeouts = NULL;
}
