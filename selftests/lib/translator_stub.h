/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A broker that serves one translator, for tests of the whole program. */
#ifndef ISTHMUS_SELFTESTS_TRANSLATOR_STUB_H
#define ISTHMUS_SELFTESTS_TRANSLATOR_STUB_H

#include <event2/event.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../agents/lib/msg.h"
#include "../../agents/lib/probe.h"

#define STUB_WAIT_MS 5000
#define STUB_SECRET  "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

struct stub {
	struct event_base *base;
	struct msg_listener *listener;
	struct msg_conn *conn;
	json_t *login;	 /* the translator's login, as it came */
	json_t *notices; /* array, oldest first */
	json_t *answer;
	bool answered;
	unsigned int logins;
	char dir[64], control[96], port[6];
	uint16_t probe_port;
	pid_t pid;
};

/* Starts the broker and `isthmus-translator run` with these further arguments (NULL at the end). */
void stub_start(struct stub *stub, const char *const *arguments);
void stub_spawn(struct stub *stub, const char *const *arguments); /* the translator alone, again */
int stub_end_translator(struct stub *stub, int signal);		  /* its wait status */
void stub_stop(struct stub *stub);

/* A request and its answer; fails the test without one. The message's reference is taken. */
json_t *stub_ask(struct stub *stub, json_t *message);
/* The first notice of this op and session, taken out of the list; NULL after timeout_ms. */
json_t *stub_notice(struct stub *stub, const char *op, uint64_t session, int timeout_ms);
void stub_wait_login(struct stub *stub, unsigned int logins);

struct stub_side {
	struct sockaddr_in address;
	uint8_t token[PROBE_TOKEN_BYTES];
};

/* Opens a rendezvous of 127.0.0.1; fails the test if it is refused. */
void stub_open(struct stub *stub, uint64_t session, const char *proto, int lifetime,
	       struct stub_side side[2]);
/* A probe from 127.0.0.`last`; returns its status, -1 without an answer. */
int stub_probe(struct stub *stub, uint64_t session, int side, const uint8_t *token, int type,
	       int last);
/* A socket bound to 127.0.0.`last`, connected to the side; -1 if the connection is refused. */
int stub_connect(const struct stub_side *side, int type, int last);
/* Reads exactly len bytes or fails the test; len 0: expects the end. */
void stub_expect(int fd, const void *bytes, size_t len);

#endif
