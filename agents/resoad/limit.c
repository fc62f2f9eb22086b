// SPDX-License-Identifier: GPL-3.0-or-later
/* A client's bytes: a second, by a token bucket, and in all. */
#include <errno.h>
#include <time.h>

#include "../lib/log.h"
#include "resoad.h"

#define REFILL_MS 10
#define NS_PER_S  1000000000ull
#define BURST_MIN 131072 /* bytes: a message of the longest kind always fits */

uint64_t resoad_now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* ---- in all */

bool client_is_spent(const struct client *client)
{
	return client->conf->bytes && client->bytes_in + client->bytes_out >= client->conf->bytes;
}

static void end_connection(struct sock *sock, void *arg)
{
	(void)arg;
	if (sock->kind == SOCK_CONNECTING || sock->kind == SOCK_CONNECTED ||
	    (sock->kind == SOCK_NEW && sock->fd >= 0))
		sock_end(sock, EACCES);
}

/* They would stand still for ever. Listeners stay, for there may be a larger total one day. */
static void end_connections(struct client *client)
{
	log_warn("client %s: its %llu bytes are used up: its connections end",
		 client->conf->identity.name, (unsigned long long)client->conf->bytes);
	client_each_sock(client, end_connection, NULL);
}

/* Not from here: who asks works on one of them. */
static void spend_all(struct client *client)
{
	const struct timeval now = { 0 };

	if (client->spent)
		return;
	client->spent = true;
	evtimer_add(client->refill, &now);
}

/* ---- a second */

void client_refilled(evutil_socket_t fd, short what, void *arg)
{
	struct client *client = arg;

	(void)fd;
	(void)what;
	while (client->paused && client->lhp)
		listen_room(client);
	if (client_is_spent(client)) {
		end_connections(client);
		return;
	}
	tcp_writable(client);
	udp_writable(client);
}

static void fill(struct client *client)
{
	uint64_t now = resoad_now_ns(), passed = now - client->filled_ns;
	int64_t burst = client->conf->rate / 10 > BURST_MIN ? client->conf->rate / 10 : BURST_MIN;

	if (passed > NS_PER_S)
		passed = NS_PER_S;
	client->filled_ns = now;
	client->tokens += (int64_t)(passed / 1000 * client->conf->rate / 1000000);
	if (client->tokens > burst)
		client->tokens = burst;
}

size_t client_may(struct client *client, size_t want)
{
	const struct timeval soon = { .tv_usec = REFILL_MS * 1000 };
	uint64_t used = client->bytes_in + client->bytes_out;
	size_t may = want;

	if (client_is_spent(client)) {
		spend_all(client);
		return 0;
	}
	client->spent = false;
	if (client->conf->bytes && client->conf->bytes - used < may)
		may = client->conf->bytes - used;
	if (!client->conf->rate)
		return may;
	fill(client);
	if (client->tokens < (int64_t)may) {
		may = client->tokens > 0 ? client->tokens : 0;
		if (!evtimer_pending(client->refill, NULL))
			evtimer_add(client->refill, &soon);
	}
	return may;
}

void client_spend(struct client *client, size_t count)
{
	client->tokens -= client->conf->rate ? (int64_t)count : 0;
}

size_t client_allowance(struct client *client, size_t want)
{
	size_t may = client_may(client, want);

	client_spend(client, may);
	return may;
}
