/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A broker as a process of its own in a folder of its own, and who talks to it. */
#ifndef ISTHMUS_BROKER_FIXTURE_H
#define ISTHMUS_BROKER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <sys/types.h>

#include "agents/lib/msg.h"

#define PARTIES_MAX 32
#define NOTICES_MAX 64

struct broker_fixture;

/*
 * A peer or a translator. Offers and opens are answered at once, as the fields say; every request
 * and notice is kept until party_notice() takes it.
 */
struct party {
	struct broker_fixture *fixture;
	struct msg_conn *conn;
	unsigned int opened_conn, closed;
	json_t *answer; /* of the last request; NULL if there was none */
	bool answered;
	json_t *notices[NOTICES_MAX];
	unsigned int notice_count, notice_taken;
	char secret[64];
	const char *refuse; /* error of an answer to offer or open */
	const char *only_family;
	unsigned int source_port; /* pure */
	bool vanish;		  /* closes instead of answering */
	bool silent;		  /* does not answer */
	unsigned int opened;	  /* sessions */
};

struct broker_fixture {
	struct event_base *base;
	char dir[64], database[96], program[4096], port[8], metrics[32];
	char fingerprint[MSG_FINGERPRINT_LEN];
	pid_t broker;
	struct party party[PARTIES_MAX];
	unsigned int party_count;
};

void broker_setup(struct broker_fixture *f);
void broker_start(struct broker_fixture *f, const char *options); /* NULL: none */
void broker_stop(struct broker_fixture *f);
void broker_teardown(struct broker_fixture *f);
void broker_copy_program(struct broker_fixture *f); /* into the folder; it is run from there */
/* Runs isthmus-broker with these words; returns its exit code, standard output in out. */
int broker_command(struct broker_fixture *f, const char *words, char *out, size_t out_len);
/* The token that `KIND add NAME` prints. */
void broker_invite(struct broker_fixture *f, const char *kind, const char *name, char token[64]);
int64_t broker_metric(struct broker_fixture *f, const char *sample); /* -1: not there */

struct party *party_try(struct broker_fixture *f); /* opened_conn or closed is set */
struct party *party_connect(struct broker_fixture *f);
void party_request(struct party *party, json_t *message); /* waits for the answer */
void party_ok(struct party *party, json_t *message);	  /* which must be ok */
void party_error(struct party *party, json_t *message, const char *code);
void party_send(struct party *party, json_t *message);
void party_answer(struct party *party, json_t *message); /* an offer or open kept back */
void party_until(struct party *party, unsigned int ms);
json_t *party_notice(struct party *party, const char *op); /* waits; borrowed */
bool party_wait_closed(struct party *party);
bool party_wait_closed_s(struct party *party, double limit_s);
double fixture_seconds(void);

#endif
