/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Questions made and answers read without the server's library: bytes are written here, answers
 * are taken apart by libc's resolver (ns_initparse, ns_parserr).
 */
#ifndef ISTHMUS_TEST_DNS_FIXTURE_H
#define ISTHMUS_TEST_DNS_FIXTURE_H

#include <arpa/nameser.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "agents/dns/answer.h"

#define DNS_TEXT 65536

struct dns_question {
	uint8_t bytes[WIRE_QUERY_MAX];
	size_t len;
	size_t opt; /* where the OPT's length is, 0 = no OPT */
};

/* Name as text; its letters stay as they are. */
void dns_ask(struct dns_question *question, const char *name, uint16_t type);
void dns_ask_class(struct dns_question *question, const char *name, uint16_t type, uint16_t class);
void dns_add_edns(struct dns_question *question, uint16_t size, uint8_t version, bool dnssec_ok);
void dns_add_option(struct dns_question *question, uint16_t code, const void *data, uint16_t len);

struct dns_reply {
	size_t len; /* 0 = no answer */
	uint8_t bytes[WIRE_TCP_MAX];
	unsigned int rcode; /* with the OPT's upper bits */
	bool aa, tc, ra, rd, ad, qr;
	uint16_t id;
	char question[NS_MAXDNAME]; /* its name */
	/* Sorted lines "web.example.net 300 A 192.0.2.1"; names without final dot. */
	char section[ns_s_max][DNS_TEXT];
	bool has_opt, dnssec_ok;
	uint16_t udp_size;
	uint8_t version;
	char options[512]; /* "10:2464... 8:0001..." */
};

void dns_read_reply(struct dns_reply *reply); /* of bytes and len; fails the test if malformed */

struct dns_fixture {
	struct answer_server server;
	struct zones zones;
	struct sockaddr_storage client;
	int64_t now;
	uint64_t now_ms;
	bool tcp;
	struct dns_reply reply;
};

/* A server with `zone`'s text as example.net; rate 0. NULL text: no zone. */
void dns_fixture_open(struct dns_fixture *fixture, const char *zone);
void dns_fixture_zone(struct dns_fixture *fixture, const char *name, const char *text);
void dns_fixture_close(struct dns_fixture *fixture);
void dns_fixture_client(struct dns_fixture *fixture, const char *address);
/* Sends it; the answer, taken apart, is in fixture->reply. */
struct dns_reply *dns_send(struct dns_fixture *fixture, const struct dns_question *question);
struct dns_reply *dns_send_bytes(struct dns_fixture *fixture, const void *bytes, size_t len);

#endif
