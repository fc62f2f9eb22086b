/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the broker announces of a session to a peer, and the names in messages and commands. */
#ifndef ISTHMUS_PEER_ANNOUNCE_H
#define ISTHMUS_PEER_ANNOUNCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "../lib/auth.h"
#include "../lib/probe.h"
#include "../../maps/common.h"

#define NAME_LEN      33 /* 32 and NUL */
#define TEXT_LEN      256
#define REFERENCE_LEN (2 * NAME_LEN) /* "user/service" and NUL */

struct announced {
	uint64_t session;
	int proto; /* IPPROTO_TCP or IPPROTO_UDP */
	int role;  /* AUTH_ROLE_ */
	bool pure;
	struct isthmus_addr address;
	uint16_t port; /* of the translator, host order; 0 = pure, not known yet */
	uint16_t probe_port_udp, probe_port_tcp; /* host order; 0 = none */
	uint16_t source_port;			 /* host order; 0 = any */
	uint8_t token[PROBE_TOKEN_BYTES];
	uint8_t secret[AUTH_SECRET_BYTES];
	unsigned int lifetime_s;
};

/* Reads the members of `splice`. -EINVAL with the name of the bad member, nothing is written then.
 */
int announce_read(const json_t *message, struct announced *announced, const char **bad);

/* 1 to 32 of a-z 0-9 . _ -, not starting with - or . */
bool name_valid(const char *name);
/* "user/service" split into two valid names, or -EINVAL. */
int reference_split(const char *text, char user[NAME_LEN], char service[NAME_LEN]);
/* "tcp" or "udp": IPPROTO_, or -EINVAL. */
int proto_parse(const char *text);
const char *proto_text(int proto);

#endif
