/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a host's service really is: its SRV records (RFC 2782). Thread safe, does not log. */
#ifndef ISTHMUS_SRV_SRV_H
#define ISTHMUS_SRV_SRV_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#define SRV_TARGETS_MAX 32

struct srv_target {
	uint16_t priority, weight, port;
	char host[NI_MAXHOST];
};

struct srv_list {
	struct srv_target target[SRV_TARGETS_MAX];
	unsigned int count;
	bool unavailable; /* the host says that it has no such service: the target is "." */
};

/* Asks the system's resolvers for _service._protocol.host; false: no SRV records. */
bool srv_query(const char *service, const char *protocol, const char *host, struct srv_list *list);
/* The records of an answer; -EBADMSG if it is malformed. */
int srv_parse(const uint8_t *message, int len, struct srv_list *list);
/* In the order in which they are to be tried; random: numbers that nobody can foresee. */
void srv_order(struct srv_list *list, uint32_t (*random)(void));
uint32_t srv_random(void);

/* "http" for "http", "www" or, with `numeric`, "80". False if it has no name that SRV knows. */
bool srv_service_name(const char *service, const char *protocol, bool numeric, char *name,
		      size_t len);

#endif
