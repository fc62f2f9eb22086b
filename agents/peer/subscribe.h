/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Subscriptions: local ports whose clients are joined to a service of another user. */
#ifndef ISTHMUS_PEER_SUBSCRIBE_H
#define ISTHMUS_PEER_SUBSCRIBE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "announce.h"

#define SUBSCRIPTIONS_MAX    256
#define SUBSCRIPTION_BINDS   2 /* 127.0.0.1 and ::1 */
#define SUBSCRIPTION_BUCKETS 256

struct event;
struct evconnlistener;
struct peer;
struct session;

LIST_HEAD(udp_bucket, udp_path);

struct subscription {
	TAILQ_ENTRY(subscription) link;
	struct peer *peer;
	char user[NAME_LEN], service[NAME_LEN];
	int proto;
	char bind[64]; /* "" = 127.0.0.1 and ::1 */
	uint16_t port;
	bool any_port; /* the kernel chose: at the next start another one is as good */
	struct evconnlistener *listener[SUBSCRIPTION_BINDS];
	int udp_fd[SUBSCRIPTION_BINDS];
	struct event *udp_event[SUBSCRIPTION_BINDS];
	/* The pool of splices made in advance. */
	struct event *fill_timer;
	struct event *open_timer; /* a local port that was taken at the start is tried again */
	uint64_t last_client_ms;
	uint64_t not_before_ms; /* after a failure: nothing is negotiated in advance until then */
	unsigned int backoff_ms;
	struct udp_bucket udp_client[SUBSCRIPTION_BUCKETS]; /* by source address */
	unsigned int udp_clients;
	char error[128]; /* what went wrong last, "" = nothing since */
};

TAILQ_HEAD(subscription_list, subscription);

struct subscription *subscription_find(struct peer *peer, const char *user, const char *service);
/* Makes it and opens its local port; port 0: the kernel's choice. A negative errno with the reason
 * in error. */
int subscription_add(struct peer *peer, const char *user, const char *service, int proto,
		     const char *bind, uint16_t port, bool any_port, char *error, size_t error_len,
		     struct subscription **added);
void subscription_remove(struct subscription *subscription);
json_t *subscription_json(const struct subscription *subscription); /* for the state file */
int subscription_load(struct peer *peer, const json_t *value, char *error, size_t error_len);

/* pool.c: splices made in advance, so that a client does not wait for the negotiation. */
void pool_fill(struct subscription *subscription);
void pool_fill_all(struct peer *peer);
struct session *pool_take(struct subscription *subscription); /* NULL if none is on its way */
void pool_failed(struct subscription *subscription);	      /* back off */
void pool_worked(struct subscription *subscription);

#endif
