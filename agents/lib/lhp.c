// SPDX-License-Identifier: GPL-3.0-or-later
/* Which provider a place is of, and what all providers have in common. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lhp_internal.h"

static const struct lhp_provider *const providers[] = { &lhp_ether, &lhp_tls, &lhp_unix,
							&lhp_vsock };

/* NULL and one line in error; else *place is what comes after the colon. */
static const struct lhp_provider *provider_of(const char **place, char *error, size_t error_len)
{
	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++) {
		size_t len = providers[i] ? strlen(providers[i]->word) : 0;

		if (len && !strncmp(*place, providers[i]->word, len) && (*place)[len] == ':') {
			*place += len + 1;
			return providers[i];
		}
	}
	snprintf(error, error_len,
		 "'%.100s' is no place: ether:DEVICE/MAC, tls:ADDRESS:PORT, unix:PATH, "
		 "vsock:CID:PORT",
		 *place);
	return NULL;
}

struct lhp *lhp_connect(struct event_base *base, const char *place,
			const struct lhp_identity *identity, const struct lhp_handler *handler,
			void *arg, char *error, size_t error_len)
{
	const struct lhp_provider *provider = provider_of(&place, error, error_len);
	struct lhp *lhp;

	if (!provider)
		return NULL;
	if (!lhp_name_valid(identity->name, strnlen(identity->name, sizeof(identity->name)))) {
		snprintf(error, error_len, "a client's name is 1 to %d of a-z A-Z 0-9 _ -",
			 LHP_NAME_MAX);
		return NULL;
	}
	lhp = provider->connect(base, place, identity, error, error_len);
	if (lhp)
		lhp_set_handler(lhp, handler, arg);
	return lhp;
}

struct lhp_listener *lhp_listen(struct event_base *base, const char *place, lhp_find find,
				lhp_accepted accepted, void *arg, char *error, size_t error_len)
{
	const struct lhp_provider *provider = provider_of(&place, error, error_len);
	struct lhp_listener *listener;

	if (!provider)
		return NULL;
	listener = provider->listen(base, place, error, error_len);
	if (!listener)
		return NULL;
	listener->find = find;
	listener->accepted = accepted;
	listener->arg = arg;
	return listener;
}

void lhp_set_handler(struct lhp *lhp, const struct lhp_handler *handler, void *arg)
{
	lhp->handler = handler;
	lhp->arg = arg;
}

void lhp_listener_free(struct lhp_listener *listener)
{
	if (listener)
		listener->free(listener);
}

uint64_t lhp_listener_refused(const struct lhp_listener *listener)
{
	return listener->refused;
}

int lhp_send(struct lhp *lhp, uint32_t stream, enum lhp_class class, const struct iovec *parts,
	     int count)
{
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		if (parts[i].iov_len > LHP_MESSAGE_MAX - len)
			return -EMSGSIZE;
		len += parts[i].iov_len;
	}
	return lhp->ops->send(lhp, stream, class, parts, count, len);
}

bool lhp_room(const struct lhp *lhp)
{
	return lhp->ops->room(lhp);
}

size_t lhp_best(const struct lhp *lhp)
{
	return lhp->ops->best(lhp);
}

void lhp_forget(struct lhp *lhp, uint32_t stream)
{
	if (lhp->ops->forget)
		lhp->ops->forget(lhp, stream);
}

void lhp_free(struct lhp *lhp)
{
	if (lhp)
		lhp->ops->free(lhp);
}

const char *lhp_provider(const struct lhp *lhp)
{
	return lhp->ops->provider;
}

const char *lhp_name(const struct lhp *lhp)
{
	return lhp->name;
}

const char *lhp_peer(const struct lhp *lhp)
{
	return lhp->peer;
}

void lhp_count(const struct lhp *lhp, struct lhp_counts *counts)
{
	*counts = lhp->counts;
	counts->rtt_us = lhp->ops->rtt_us ? lhp->ops->rtt_us(lhp) : 0;
}
