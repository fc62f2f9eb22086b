/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Services that this peer provides, and whom it lets in. */
#ifndef ISTHMUS_PEER_SERVICE_H
#define ISTHMUS_PEER_SERVICE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "announce.h"

#define SERVICES_MAX	   256
#define SERVICE_ALLOW_MAX  64
#define SERVICE_IMPURE_MAX 64

struct peer;

struct service {
	TAILQ_ENTRY(service) link;
	char name[NAME_LEN];
	char text[TEXT_LEN];
	int proto;
	char host[256], port[6]; /* the server: on this host or on its LAN */
	bool pure;
	unsigned int limit; /* sessions with a client at once; 0 = no limit of its own */
	char allow[SERVICE_ALLOW_MAX][NAME_LEN];
	unsigned int allow_count; /* 0 = every user */
	unsigned int active;	  /* sessions with a client now */
	/* Users with whom a pure splice was not completed: their next ones are passive. */
	char impure[SERVICE_IMPURE_MAX][NAME_LEN];
	unsigned int impure_count;
	char error[128]; /* what the broker said to publish; "" = published */
};

TAILQ_HEAD(service_list, service);

struct service *service_find(struct peer *peer, const char *name);
/* From a `provide` command or the state file: {service, proto, target, text?, pure?, limit?,
 * allow?}. -EINVAL with what is wrong, -EEXIST, -ENOSPC. */
int service_add(struct peer *peer, const json_t *message, const char **bad);
void service_remove(struct peer *peer, struct service *service);
json_t *service_json(const struct service *service); /* what service_add() reads */

/* NULL: `user` may have a session now. Else the broker's error code: "denied" or "limit". */
const char *service_refusal(const struct service *service, const char *user);
void service_note_impure(struct service *service, const char *user);
bool service_try_pure(const struct service *service, const char *user);

#endif
