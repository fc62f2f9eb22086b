/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A zone with everything that is signed in another way than the rest, and a key for it. */
#ifndef ISTHMUS_TEST_DNS_SIGNED_H
#define ISTHMUS_TEST_DNS_SIGNED_H

#include "agents/dns/key.h"
#include "dns_verify.h"

extern struct dns_fixture *fixture;
extern struct verify_message *message; /* the last answer */
extern struct verify_keys keys;	       /* of example.net */

extern const char signed_zone[];

int signed_setup(void **state);
int signed_teardown(void **state);
void signed_add_key(int64_t created);
void signed_take_keys(void);

/* flags: the first byte of EDNS flags, 0x80 is DO, 0x40 CO. ask() is with DO. */
const struct dns_reply *ask_flags(const char *name, uint16_t type, uint8_t flags);
const struct dns_reply *ask(const char *name, uint16_t type);
uint64_t made(void); /* signatures */
/* Asks: so many signatures are made, and all hold. */
void expect_made(const char *name, uint16_t type, unsigned int count);
/* A line of a zone file comes or goes, as what is published does. */
void change(const char *line, bool remove, int64_t expires);
/* The NSEC of `name` in the last answer: next is \000.name; types: bytes in hex. */
void check_nsec(ns_sect section, const char *name, const char *types);

#endif
