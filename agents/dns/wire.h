/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * DNS as bytes, by libknot and libzscanner: wire.c and sign_wire.c are the only files of the server
 * that include them, for their interfaces change from release to release. Numbers of types, classes
 * and rcodes are those of <arpa/nameser.h>.
 *
 * A name is in wire format, uncompressed, at most WIRE_NAME_MAX bytes with its final zero.
 */
#ifndef ISTHMUS_DNS_WIRE_H
#define ISTHMUS_DNS_WIRE_H

#include <arpa/nameser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define WIRE_NAME_MAX	 255
#define WIRE_NAME_TEXT	 1005 /* the longest name as text (\DDD for each byte) and NUL */
#define WIRE_LABELS_MAX	 127
#define WIRE_QUERY_MAX	 4096 /* no question is longer */
#define WIRE_UDP_MIN	 512
#define WIRE_UDP_MAX	 4096
#define WIRE_TCP_MAX	 65535
#define WIRE_SECRET_LEN	 16
#define WIRE_ADDRESS_LEN 16

/* ---- names */

/* "web.example.net", with or without final dot, `\.` and `\DDD` understood. 0 or -EINVAL. */
int wire_name_read(const char *text, uint8_t name[WIRE_NAME_MAX]);
void wire_name_text(const uint8_t *name, char text[WIRE_NAME_TEXT]); /* with its final dot */
void wire_name_lower(const uint8_t *name, uint8_t lower[WIRE_NAME_MAX]);
size_t wire_name_len(const uint8_t *name);
/* label[0] is the leftmost: its length and then its bytes. Returns how many, without the root. */
unsigned int wire_name_labels(const uint8_t *name, const uint8_t *label[WIRE_LABELS_MAX]);
bool wire_name_equal(const uint8_t *a, const uint8_t *b); /* RFC 4343: case does not matter */
/* How many labels `name` has below `above`; -1 if it is not below or equal. */
int wire_name_below(const uint8_t *name, const uint8_t *above);

/* ---- records */

struct wire_record {
	const uint8_t *owner;
	uint16_t type;
	uint32_t ttl;
	const uint8_t *data;
	uint16_t len;
};

/* NULL, or why the record cannot be taken. */
typedef const char *(*wire_each)(const struct wire_record *record, void *arg);

/* Each record of a zone file (RFC 1035, 5). "file:line: why" in error and -EINVAL, or -ENOENT... */
int wire_read_zone(const char *path, const char *origin, wire_each each, void *arg, char *error,
		   size_t error_len);
/* One line of a zone file. NULL or why not. */
const char *wire_read_record(const char *line, wire_each each, void *arg);

/* The data of all records of one name and type: sorted, each once. */
struct wire_set;

struct wire_set *wire_set_new(uint16_t type);
struct wire_set *wire_set_copy(const struct wire_set *set);
void wire_set_free(struct wire_set *set);
int wire_set_add(struct wire_set *set, const uint8_t *data, uint16_t len); /* 0 or -ENOMEM */
uint16_t wire_set_type(const struct wire_set *set);
unsigned int wire_set_count(const struct wire_set *set);
size_t wire_set_size(const struct wire_set *set); /* bytes of data */
/* The name in the data of an NS, CNAME, PTR, MX or SRV; NULL for other types. */
const uint8_t *wire_set_target(const struct wire_set *set, unsigned int index);
/* The bytes of one record. */
const uint8_t *wire_set_at(const struct wire_set *set, unsigned int index, uint16_t *len);
uint32_t wire_soa_minimum(const struct wire_set *soa);
uint32_t wire_soa_serial(const struct wire_set *soa);

/* ---- messages, one at a time; memory is bounded and used again for the next one */

struct wire;

enum wire_verdict {
	WIRE_DROP,	/* no answer: too short to have a header, or an answer itself */
	WIRE_MALFORMED, /* FORMERR */
	WIRE_OPCODE,	/* not a QUERY: NOTIMP */
	WIRE_QUERY,
};

struct wire_subnet {	 /* RFC 7871 */
	uint16_t family; /* 1 = IPv4, 2 = IPv6, 0 = the query has none */
	uint8_t source_len;
	uint8_t address[WIRE_ADDRESS_LEN];
};

struct wire_query {
	uint8_t name[WIRE_NAME_MAX]; /* in lower case; only with has_question */
	bool has_question;
	uint16_t type, class;
	bool has_edns, dnssec_ok, has_tsig;
	bool compact_ok; /* RFC 9824, 5.1; only with dnssec_ok */
	uint8_t edns_version;
	uint16_t udp_size; /* that the sender can take: 512 without EDNS, and never less */
	struct wire_subnet subnet;
};

enum wire_cookie { /* RFC 7873 */
		   WIRE_COOKIE_NONE,
		   WIRE_COOKIE_CLIENT, /* the client's alone */
		   WIRE_COOKIE_BAD,    /* with a server cookie that is wrong or old */
		   WIRE_COOKIE_VALID,  /* the client gets what is sent to its address */
};

struct wire *wire_new(void);
void wire_free(struct wire *wire);

enum wire_verdict wire_parse(struct wire *wire, const uint8_t *bytes, size_t len);
const struct wire_query *wire_query(const struct wire *wire);
bool wire_has_cookie(const struct wire *wire);

/*
 * Checks the query's cookie against the current and the previous secret and prepares the one to
 * answer with (RFC 9018: an hour old is valid, half an hour old is replaced). now: seconds.
 */
enum wire_cookie wire_check_cookie(struct wire *wire, const uint8_t secret[2][WIRE_SECRET_LEN],
				   const struct sockaddr *client, uint32_t now);

/* Of the query's subnet, for how many bits the answer is: RFC 7871, 7.2.1. Before wire_begin(). */
void wire_set_scope(struct wire *wire, uint8_t bits);
/* Begins the answer: header and question, with room for the OPT. size: the most it may have;
 * udp_size is told to the client. 0 or -ENOBUFS. */
int wire_begin(struct wire *wire, size_t size, uint16_t udp_size);
void wire_set_rcode(struct wire *wire, unsigned int rcode); /* above 15: needs EDNS */
void wire_set_authoritative(struct wire *wire);
/*
 * Sections in order only: answer, authority, additional. 0, -EEXIST if it is there already, or
 * -ENOSPC: the set is left out, and unless `optional` TC is set (RFC 2181, 9).
 */
int wire_put(struct wire *wire, ns_sect section, const uint8_t *owner, const struct wire_set *set,
	     uint32_t ttl, bool optional);
/*
 * Sets that are made for one answer: empty, to be filled by wire_set_once_add(), and gone with the
 * next wire_parse(). (One that is freed before wire_end() could be taken for another: wire_put()
 * knows sets by where their data are.) NULL and -ENOMEM if the message's memory is used up.
 */
struct wire_set *wire_set_once(struct wire *wire, uint16_t type);
int wire_set_once_add(struct wire *wire, struct wire_set *set, const uint8_t *data, uint16_t len);
int wire_clear(struct wire *wire);     /* only the question remains; 0 or -ENOBUFS */
void wire_truncate(struct wire *wire); /* only the question remains, TC is set */
bool wire_is_truncated(const struct wire *wire);
/* Adds the OPT. The bytes are valid until the next wire_parse(). 0 = nothing can be sent. */
size_t wire_end(struct wire *wire, const uint8_t **bytes);

#endif
