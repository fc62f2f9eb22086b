/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Two ends of an Ethernet LHP and the network between them, all in one process and on a clock of
 * its own: what is lost, late or twice comes from a seed, so a run can be had again.
 */
#ifndef ISTHMUS_SELFTESTS_LHP_ETHER_NET_H
#define ISTHMUS_SELFTESTS_LHP_ETHER_NET_H

#include "agents/lib/lhp_ether.h"

enum { NET_CLIENT, NET_SERVER, NET_ENDS };

struct net_frame {
	uint64_t at, turn;
	int to;
	size_t len;
	uint8_t bytes[ETHER_L2 + ETHER_MTU_MAX];
};

struct net {
	struct ether_port *port[NET_ENDS];
	struct ether_listener listener;
	struct ether *ether[NET_ENDS]; /* of the newest connection; NULL: none, or closed */
	uint64_t now, seed;
	/* In 1/1000 of frames; DELAY and jitter in microseconds. */
	unsigned int loss, twice, late;
	uint64_t delay, jitter;
	unsigned int mtu;	    /* of the path: longer frames vanish; 0: of the ends */
	uint64_t rate, queue;	    /* bytes/s; bytes that wait for it; 0: no limit */
	uint64_t free_at[NET_ENDS]; /* when the link to it has sent what it has */
	struct net_frame **heap;
	size_t heap_used, heap_size;
	uint64_t turn;
	uint64_t sent[NET_ENDS], dropped;
	/* Sees each frame that is sent to an end: false drops it. */
	bool (*pass)(struct net *net, int to, const uint8_t *frame, size_t len);
	/* What the server knows, and what it has not. */
	struct lhp_identity known;
	unsigned int accepted, opened[NET_ENDS], closed[NET_ENDS];
	char why[NET_ENDS][128];
	void (*message)(struct net *net, int end, uint32_t stream, const uint8_t *bytes,
			size_t len);
	void (*writable)(struct net *net, int end);
};

struct net *net_new(unsigned int mtu, uint64_t seed);
void net_free(struct net *net);
struct ether *net_connect(struct net *net, const struct lhp_identity *identity);
/* Until `done` says so, or for `us`. True if it said so. */
bool net_run(struct net *net, uint64_t us, bool (*done)(struct net *net));
bool net_both_stand(struct net *net);
uint64_t net_random(struct net *net);
/* A frame, as if it had been sent to this end. */
void net_put(struct net *net, int to, const uint8_t *frame, size_t len, uint64_t at);
int net_send(struct net *net, int end, uint32_t stream, const void *bytes, size_t len);

#endif
