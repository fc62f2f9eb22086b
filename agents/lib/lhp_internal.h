/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What lhp.c and the providers share; nobody else includes it. */
#ifndef ISTHMUS_AGENTS_LHP_INTERNAL_H
#define ISTHMUS_AGENTS_LHP_INTERNAL_H

#include "lhp.h"

#define LHP_PEER_MAX	96
#define LHP_ROOM	(256 << 10) /* bytes queued, from which on lhp_room() is false */
#define LHP_QUEUE_MAX	(8 << 20)   /* bytes queued, from which on a peer is given up */
#define LHP_HANDSHAKE_S 10	    /* from the first packet until `opened` */
#define LHP_HANDSHAKES	64	    /* unfinished ones of a listener */

/* What a provider does with its connections. lhp.c has checked arguments. */
struct lhp_ops {
	const char *provider;
	/* `len` is the sum of the parts', at most LHP_MESSAGE_MAX. */
	int (*send)(struct lhp *lhp, uint32_t stream, enum lhp_class class,
		    const struct iovec *parts, int count, size_t len);
	bool (*room)(const struct lhp *lhp);
	size_t (*best)(const struct lhp *lhp);
	void (*forget)(struct lhp *lhp, uint32_t stream); /* NULL: nothing to forget */
	void (*free)(struct lhp *lhp);			  /* may come from inside a callback */
	uint32_t (*rtt_us)(const struct lhp *lhp);	  /* NULL: not known */
};

/* First member of a provider's own struct. */
struct lhp {
	const struct lhp_ops *ops;
	const struct lhp_handler *handler; /* NULL until the listener's user has set it */
	void *arg;
	char name[LHP_NAME_MAX + 1];
	char peer[LHP_PEER_MAX];
	struct lhp_counts counts; /* without rtt_us */
};

/* First member of a provider's own struct. */
struct lhp_listener {
	void (*free)(struct lhp_listener *listener);
	lhp_find find;
	lhp_accepted accepted;
	void *arg;
	uint64_t refused; /* handshakes that failed: wrong key, unknown name, garbage, too slow */
};

/* A word before the colon of a place. `place` is what comes after it. */
struct lhp_provider {
	const char *word;
	struct lhp *(*connect)(struct event_base *base, const char *place,
			       const struct lhp_identity *identity, char *error, size_t error_len);
	struct lhp_listener *(*listen)(struct event_base *base, const char *place, char *error,
				       size_t error_len);
};

extern const struct lhp_provider lhp_tls, lhp_unix, lhp_vsock;
extern const struct lhp_provider lhp_ether __attribute__((weak)); /* tests may link without */

/* Whether it is a name as in lhp.h: 1 to LHP_NAME_MAX letters, digits, _ and -. */
bool lhp_name_valid(const char *name, size_t len);

#endif
