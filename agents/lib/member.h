/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A waypoint or a gateway as a member of a name server (docs/protocol.md, "To isthmus-dns"): the
 * one-time line becomes credentials in a file, and a connection is kept with them, made again with
 * back-off when it is lost.
 */
#ifndef ISTHMUS_AGENTS_MEMBER_H
#define ISTHMUS_AGENTS_MEMBER_H

#include <stdbool.h>

#include "msg.h"

#define MEMBER_PORT	"3481"
#define MEMBER_NAME_LEN 256 /* a domain name as text, or any word */
#define MEMBER_SECRET	128

struct member_credentials {
	char host[256], port[6];
	char name[MEMBER_NAME_LEN];
	char secret[MEMBER_SECRET]; /* a token before it was enrolled */
	char fingerprint[MSG_FINGERPRINT_LEN];
};

/*
 * "isthmus2:NAME:TOKEN:FINGERPRINT:HOST:PORT", as `isthmus-dns gateway add` and `waypoint add`
 * print it; an IPv6 HOST is in brackets. 0 or -EINVAL.
 */
int member_parse(const char *line, struct member_credentials *credentials);
/* The token of `line` becomes a secret in the file `path`, mode 0600. 0, or -1 with the reason. */
int member_join(const char *line, const char *path, char *error, size_t error_len);
/* `join [LINE]` of an agent, "-" or NULL: from standard input. Its exit status. */
int member_join_command(const char *program, const char *line, const char *path);
/* 0, -ENOENT (not joined yet), -EPERM (others may read it), -EINVAL (no such file's content). */
int member_read(const char *path, struct member_credentials *credentials);

struct member;

struct member_handler {
	/* The members of the login besides op, name, secret and version. */
	json_t *(*login)(void *arg);
	void (*logged_in)(const json_t *answer, void *arg);
	void (*message)(json_t *message, void *arg); /* notices */
	void (*lost)(void *arg);		     /* what came by the connection is over */
};

/* op: "waypoint" or "gateway". NULL without memory. */
struct member *member_new(struct event_base *base, const char *op,
			  const struct member_credentials *credentials,
			  const struct member_handler *handler, void *arg);
void member_free(struct member *member);
bool member_is_logged_in(const struct member *member);
/* Takes `message`; what cannot be sent now is dropped: a login tells all. */
void member_tell(struct member *member, json_t *message);

#endif
