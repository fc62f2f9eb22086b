/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Response rate limiting. Only answers that tell of nothing that exists (unknown names, refusals,
 * errors) are ever limited: whoever asks for what exists is served, whatever is sent in its name.
 */
#ifndef ISTHMUS_DNS_RRL_H
#define ISTHMUS_DNS_RRL_H

#include <stdint.h>
#include <sys/socket.h>

struct rrl;

enum rrl_verdict {
	RRL_PASS,
	RRL_SLIP, /* answer with TC: a genuine client asks again by TCP */
	RRL_DROP,
};

struct rrl *rrl_new(void);
void rrl_free(struct rrl *rrl);
/* rate: answers a second for each IPv4 /24 or IPv6 /56, 0 = no limit. slip: one of so many limited
 * answers is sent truncated, 0 = none. */
void rrl_set(struct rrl *rrl, unsigned int rate, unsigned int slip);
enum rrl_verdict rrl_check(struct rrl *rrl, const struct sockaddr *client, uint64_t now_ms);

#endif
