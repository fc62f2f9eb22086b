// SPDX-License-Identifier: GPL-3.0-or-later
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "broker.h"
#include "peer.h"

#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 30000

static bool is_pooled(const struct session *session, const struct subscription *subscription)
{
	return session->subscription == subscription && session->local_fd < 0 &&
	       session->state <= SESSION_READY;
}

/* Full while clients come; after a quiet while only what is always kept. */
static unsigned int pool_target(const struct subscription *subscription)
{
	const struct settings *settings = &subscription->peer->settings;
	uint64_t quiet = now_ms() - subscription->last_client_ms;
	bool busy = subscription->last_client_ms && quiet < settings->pool_idle_s * 1000ULL;

	return busy && settings->pool > settings->pool_keep ? settings->pool : settings->pool_keep;
}

static void fill_later(struct subscription *subscription, uint64_t ms)
{
	struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	evtimer_add(subscription->fill_timer, &wait);
}

void pool_fill(struct subscription *subscription)
{
	struct peer *peer = subscription->peer;
	uint64_t now = now_ms();
	unsigned int target = pool_target(subscription);
	struct session *session;

	if (subscription->proto != IPPROTO_TCP || peer->stopping || !broker_is_ready(peer->broker))
		return;
	TAILQ_FOREACH(session, &peer->sessions, link)
	if (target && is_pooled(session, subscription))
		target--;
	if (target && now < subscription->not_before_ms) {
		fill_later(subscription, subscription->not_before_ms - now);
		return;
	}
	while (target-- && session_subscribe(subscription, -1, 0))
		;
}

void pool_fill_all(struct peer *peer)
{
	struct subscription *subscription;

	TAILQ_FOREACH(subscription, &peer->subscriptions, link)
	pool_fill(subscription);
}

struct session *pool_take(struct subscription *subscription)
{
	struct session *session, *best = NULL;

	TAILQ_FOREACH(session, &subscription->peer->sessions, link)
	if (is_pooled(session, subscription) && (!best || session->state > best->state))
		best = session;
	return best;
}

void pool_failed(struct subscription *subscription)
{
	unsigned int ms = subscription->backoff_ms ? subscription->backoff_ms * 2 : BACKOFF_MIN_MS;

	subscription->backoff_ms = ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
	subscription->not_before_ms = now_ms() + subscription->backoff_ms;
	if (pool_target(subscription))
		fill_later(subscription, subscription->backoff_ms);
}

void pool_worked(struct subscription *subscription)
{
	subscription->backoff_ms = 0;
	subscription->not_before_ms = 0;
	subscription->error[0] = 0;
}
