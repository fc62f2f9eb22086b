/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A client's daemon of which each message is said by the test; and a server: the program in a
 * network namespace that this process has made for itself, with 192.0.2.1 and 2001:db8:1::1 on
 * `v0`.
 */
#ifndef ISTHMUS_SELFTESTS_RESOAD_CLIENT_H
#define ISTHMUS_SELFTESTS_RESOAD_CLIENT_H

#include <event2/event.h>
#include <sys/types.h>

#include "agents/lib/ep.h"
#include "agents/lib/lhp.h"

#define RC_LOCAL4 "192.0.2.1"
#define RC_LOCAL6 "2001:db8:1::1"
#define RC_MS	  rc_limit_ms()

/* How long anything may take, at most; longer on a slow machine ($SLOW). */
int rc_limit_ms(void);

struct rc_mail {
	struct rc_mail *next;
	uint32_t stream;
	struct ep_message message;
	uint8_t body[];
};

struct rc {
	struct event_base *base;
	struct lhp *lhp; /* NULL: it is over */
	bool open;
	struct rc_mail *first, *last, *taken;
	char registered[65536]; /* JSON */
};

struct rc_server {
	pid_t pid;
	char folder[64], place[96], clients[96], control[96];
};

/* `sections`: of the file of clients. */
void rc_server_start(struct rc_server *server, const char *sections, const char *const *options);
void rc_server_rewrite(struct rc_server *server, const char *sections); /* and SIGHUP */
void rc_server_stop(struct rc_server *server, int signal);
void rc_network(void);

/* The key of a client is its first letter, 32 times. False: not registered. */
bool rc_open(struct rc *rc, const struct rc_server *server, const char *name);
void rc_close(struct rc *rc);
void rc_send(struct rc *rc, uint32_t stream, const struct ep_message *message);
/* The oldest of that type on that stream, until the next call; NULL after `ms`. Type 0: any. */
const struct ep_message *rc_wait(struct rc *rc, uint32_t stream, uint8_t type, int ms);
void rc_run(struct rc *rc, int ms); /* the loop */
struct ep_name rc_name(uint8_t proto, const char *address, uint16_t port);

/* ---- in few words */
int rc_connect(struct rc *rc, uint32_t id, const char *local, uint16_t port, const char *remote,
	       uint16_t remote_port); /* RESULT's error */
int rc_listen(struct rc *rc, uint32_t id, const char *local, uint16_t port, int backlog);
int rc_bind(struct rc *rc, uint32_t id, uint8_t proto, const char *local, uint16_t port);
void rc_data(struct rc *rc, uint32_t id, const void *bytes, size_t len);
void rc_credit(struct rc *rc, uint32_t id, uint64_t number, uint64_t read);
void rc_say(struct rc *rc, uint32_t id, uint8_t type, uint64_t number); /* FIN, CLOSE, ... */
/* Bytes of DATA as they come, until there are `len` or none for `ms`: how many, and they may be a
 * message more. */
size_t rc_read(struct rc *rc, uint32_t id, void *bytes, size_t len, int ms);

/* ---- the host's own sockets */
int rc_listener(const char *address, uint16_t port); /* a descriptor, or -errno */
int rc_accept(int listener, int ms);
int rc_dial(const char *address, uint16_t port);
/* recv(2) while the loop runs: bytes, 0 at the end, -errno, -EAGAIN after `ms`. */
ssize_t rc_recv(struct rc *rc, int fd, void *bytes, size_t len, int flags, int ms);
int rc_tcp_state(int fd);

#endif
