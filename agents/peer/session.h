/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One session: a splice from its negotiation to its end. Figure 3.3 of the thesis, with the proof.
 *
 *   subscriber                                    provider
 *   NEGOTIATE  the broker is asked                OFFERED    accepted, the announcement is awaited
 *       | splice                                      | splice
 *   PROBE      the translator learns our address  PROBE
 *       |                                             |         WAIT_PORT (pure): P2 is awaited
 *   CONNECT    SYN out, the other's is awaited    CONNECT  <----'
 *       | SYNACK                                      | SYNACK
 *   PROVE      both show that they have the       PROVE
 *       |      session's secret                       |
 *   READY      in the pool                        READY      G is awaited
 *       | a client                                    | G
 *   GO         G sent, answer awaited             GO         connecting to the server
 *       | G                                           | connected, G sent
 *   RELAY      bytes both ways                    RELAY
 *       '---> done                                    '---> done
 *
 * UDP has no READY and GO: after PROVE comes RELAY. A subscriber's session that fails before GO was
 * answered gives its client to a new one (SESSION_TRIES at most): nothing was read from the client.
 */
#ifndef ISTHMUS_PEER_SESSION_H
#define ISTHMUS_PEER_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "announce.h"
#include "proof.h"

#define SESSION_TRIES	      3
#define SESSION_PROVE_MS      10000 /* unauthenticated bytes are listened to for this long */
#define SESSION_CONNECT_MIN_S 15
#define SESSION_PURE_MS	      3000  /* then the pair goes on as passive */
#define SESSION_WAIT_MS	      15000 /* for the broker: an answer, an announcement, a way back */
#define SESSION_SERVER_MS     10000
#define SESSION_GO_ACK_MS     3000   /* a pooled splice whose path is dead does not acknowledge G */
#define SESSION_GO_MS	      15000  /* longer than the provider tries its server */
#define SESSION_READY_MS      180000 /* provider: longer than any pool keeps a splice */

struct event;
struct peer;
struct probe;
struct relay;
struct server;
struct service;
struct subscription;
struct udp_path;

enum session_state {
	SESSION_NEGOTIATE,
	SESSION_OFFERED,
	SESSION_PROBE,
	SESSION_WAIT_PORT,
	SESSION_CONNECT,
	SESSION_PROVE,
	SESSION_READY,
	SESSION_GO,
	SESSION_RELAY,
};

/* docs/protocol.md, `ended` */
enum session_why {
	SESSION_DONE,
	SESSION_UNAUTHENTICATED,
	SESSION_TIMEOUT,
	SESSION_REFUSED,
};

struct session {
	TAILQ_ENTRY(session) link;
	struct peer *peer;
	enum session_state state;
	int role;  /* AUTH_ROLE_ */
	int proto; /* IPPROTO_ */
	uint64_t id;
	bool announced; /* `announcement` is valid and the broker wants to hear of the end */
	struct announced announcement;
	char user[NAME_LEN]; /* the other side's */
	char service[NAME_LEN];
	struct subscription *subscription; /* subscriber; NULL after unsubscribe */
	struct service *provided;	   /* provider; NULL after unprovide */
	bool active;			   /* counted in provided->active */
	bool go_heard;			   /* subscriber: G was acknowledged */
	unsigned int tries;
	unsigned int backoff_ms;
	uint64_t made_ms, ready_ms, deadline_ms;
	struct event *timer;
	struct negotiation *negotiation;
	struct probe *probe;
	/* TCP */
	int splice_fd;
	int local_fd; /* subscriber's client or provider's server; -1 = none yet */
	struct event *io;
	struct proof proof;
	struct server *server; /* being connected to */
	struct relay *relay;
	/* UDP */
	struct udp_path *udp;
};

TAILQ_HEAD(session_list, session);

/* Subscriber. local_fd: a client, taken over in any case, or -1 (pool). */
struct session *session_subscribe(struct subscription *subscription, int local_fd,
				  unsigned int tries);
/* Provider: the broker's offer. Answers it. */
void session_offer(struct peer *peer, const json_t *offer, json_t **answer, const char **refusal);
void session_splice(struct peer *peer, const json_t *message);	  /* notice `splice` */
void session_pure_port(struct peer *peer, const json_t *message); /* notice `pure-port` */
void session_closed(struct peer *peer, const json_t *message);	  /* notice `closed` */
void session_broker_ready(struct peer *peer);
void session_forget_service(struct peer *peer, struct service *service);
void session_forget_subscription(struct peer *peer, struct subscription *subscription);
void session_end_all(struct peer *peer);

void session_set_timer(struct session *session, unsigned int ms);
/* The end of what has worked. Frees the session. */
void session_end(struct session *session, enum session_why why);
/* The end of what has not, told in the log; a client goes on with a new session if `again`. */
void session_fail(struct session *session, enum session_why why, bool again, const char *format,
		  ...) __attribute__((format(printf, 4, 5)));
void session_go(struct session *session); /* READY: a client is there */
uint64_t session_bytes_in(const struct session *session);
uint64_t session_bytes_out(const struct session *session);
const char *session_state_text(enum session_state state);
json_t *session_json(const struct session *session);

/* tcp.c */
int tcp_reserve_port(uint16_t *port); /* pure: a bound socket, or a negative errno */
void tcp_connect(struct session *session);
void tcp_go(struct session *session);
/* GO, time is over: more is given once, if the other side has our G. */
bool tcp_still_going(struct session *session);
void tcp_release(struct session *session, enum session_why why);

#endif
