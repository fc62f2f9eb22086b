/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A validator of its own: canonical form by hand (RFC 4034, 6), ECDSA by OpenSSL's verification. It
 * shares neither code nor library calls with what signs.
 */
#ifndef ISTHMUS_TEST_DNS_VERIFY_H
#define ISTHMUS_TEST_DNS_VERIFY_H

#include <arpa/nameser.h>
#include <stdbool.h>
#include <stdint.h>

#include "dns_fixture.h"

#define VERIFY_RECORDS_MAX 256
#define VERIFY_KEYS_MAX	   8

struct verify_record {
	ns_sect section;
	uint8_t owner[256]; /* wire format, lower case */
	size_t owner_len;
	uint16_t type;
	uint32_t ttl;
	uint8_t data[4096]; /* canonical: names whole and in lower case */
	size_t len;
};

struct verify_message {
	unsigned int count;
	struct verify_record record[VERIFY_RECORDS_MAX];
};

struct verify_keys {
	unsigned int count;
	uint16_t tag[VERIFY_KEYS_MAX];
	uint8_t dnskey[VERIFY_KEYS_MAX][68];
};

/* Fails the test if the reply is malformed. */
void verify_read(const struct dns_reply *reply, struct verify_message *message);
/* Name as text to wire format in lower case; its length. */
size_t verify_name(const char *text, uint8_t name[256]);
uint16_t verify_tag(const uint8_t *dnskey, size_t len); /* RFC 4034, B */
/* The DNSKEYs of a message, whose tags are computed. */
void verify_take_keys(const struct verify_message *message, struct verify_keys *keys);

/* Does the RRSIG `signature` hold for its set in the message, at that time? NULL, or why not. */
const char *verify_signature(const struct verify_message *message,
			     const struct verify_record *signature, const struct verify_keys *keys,
			     int64_t now);
/*
 * All RRSIGs of the message hold, and each set of the answer and the authority has one (NS may have
 * none: those of a delegation). Returns how many RRSIGs there are, in all sections.
 */
unsigned int verify_all(const struct verify_message *message, const struct verify_keys *keys,
			int64_t now);
/* The record of that type in a section, or NULL. */
const struct verify_record *verify_find(const struct verify_message *message, ns_sect section,
					uint16_t type);

#endif
