/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * DHCP messages on the wire: RFC 2131 and 2132, overload, long options (RFC 3396), shared addresses
 * (RFC 7618). Everything that reads bytes of a network is here and in frame.c.
 *
 * Addresses are in host byte order in these structs.
 */
#ifndef ISTHMUS_AGENTS_DHCP_WIRE_H
#define ISTHMUS_AGENTS_DHCP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../maps/portset.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP_BYTES_MAX	 1472 /* UDP payload in 1500 bytes */
#define DHCP_BYTES_MIN	 300  /* what BOOTP relays and clients expect at least */
#define DHCP_HEAD	 240  /* fixed part and magic cookie */
#define DHCP_PLAIN_MAX	 548  /* UDP payload that every client takes (RFC 2131, 2: 576 bytes) */
#define DHCP_MAC	 6
#define DHCP_RANGES	 8 /* single ports and ranges beside a set (DHCP_OPT_RANGES) */

enum { DHCP_BOOTREQUEST = 1, DHCP_BOOTREPLY };

enum dhcp_type {
	DHCP_DISCOVER = 1,
	DHCP_OFFER,
	DHCP_REQUEST,
	DHCP_DECLINE,
	DHCP_ACK,
	DHCP_NAK,
	DHCP_RELEASE,
	DHCP_INFORM,
	DHCP_TYPES,
};

enum dhcp_code {
	DHCP_OPT_PAD = 0,
	DHCP_OPT_MASK = 1,
	DHCP_OPT_ROUTER = 3,
	DHCP_OPT_DNS = 6,
	DHCP_OPT_HOST_NAME = 12,
	DHCP_OPT_DOMAIN = 15,
	DHCP_OPT_MTU = 26,
	DHCP_OPT_BROADCAST = 28,
	DHCP_OPT_REQUESTED = 50,
	DHCP_OPT_LEASE_TIME = 51,
	DHCP_OPT_OVERLOAD = 52,
	DHCP_OPT_TYPE = 53,
	DHCP_OPT_SERVER = 54,
	DHCP_OPT_PARAMETERS = 55,
	DHCP_OPT_MESSAGE = 56,
	DHCP_OPT_MAX_SIZE = 57,
	DHCP_OPT_T1 = 58,
	DHCP_OPT_T2 = 59,
	DHCP_OPT_CLIENT_ID = 61,
	DHCP_OPT_RELAY = 82,	   /* RFC 3046 */
	DHCP_OPT_SUBNET = 118,	   /* RFC 3011 */
	DHCP_OPT_PORTPARAMS = 159, /* RFC 7618, 9 */
	DHCP_OPT_RANGES =
		224, /* ours, of the private codes (RFC 3942): low and high, 16 bits each */
	DHCP_OPT_END = 255,
};

#define DHCP_FLAG_BROADCAST 0x8000

struct dhcp_head {
	uint8_t op, htype, hlen, hops;
	uint32_t xid; /* a number to compare, host order */
	uint16_t secs, flags;
	uint32_t ciaddr, yiaddr, siaddr, giaddr;
	uint8_t chaddr[16];
};

/* A message that was read. Parts of one option stand together in `value` (RFC 3396). */
struct dhcp_message {
	struct dhcp_head head;
	enum dhcp_type type;
	uint16_t at[256], len[256];
	uint8_t has[32]; /* a bit for each code */
	uint8_t value[DHCP_BYTES_MAX];
};

/*
 * 0, or -EBADMSG: too short, no magic cookie, an option that does not end inside its field, no or a
 * strange message type, hlen > 16; -EMSGSIZE. `message` is untouched on failure.
 */
int dhcp_read(const void *bytes, size_t len, struct dhcp_message *message);
bool dhcp_has(const struct dhcp_message *message, uint8_t code);
/* NULL if absent. */
const uint8_t *dhcp_get(const struct dhcp_message *message, uint8_t code, size_t *len);
/* Exactly 4 (2) bytes; false if absent or of another length. */
bool dhcp_get_u32(const struct dhcp_message *message, uint8_t code, uint32_t *value);
bool dhcp_get_u16(const struct dhcp_message *message, uint8_t code, uint16_t *value);
/* Is `code` in the parameter request list? */
bool dhcp_asks(const struct dhcp_message *message, uint8_t code);
/* Sub-option of option 82; NULL if absent or if they do not fit. */
const uint8_t *dhcp_relay_part(const struct dhcp_message *message, uint8_t code, size_t *len);

/*
 * Option 159. 0; -ENOENT without one; -EBADMSG: not 4 bytes, a > 15, a + k > 16, or bits right of
 * the PSID that are not 0 (a sender that does not justify to the left would get another set). A
 * PSID of k = 0 is ignored and read as 0.
 */
int dhcp_get_portset(const struct dhcp_message *message, struct portset *set);

/* ---- writing */

#define DHCP_PUT_MAX 48

/* Options in the order of dhcp_put(); their bytes stay the caller's until dhcp_write(). */
struct dhcp_writer {
	struct dhcp_head head;
	size_t limit; /* DHCP_PLAIN_MAX unless the other side takes more */
	unsigned int count;
	struct {
		const uint8_t *bytes;
		uint16_t len;
		uint8_t code;
	} option[DHCP_PUT_MAX];
	uint8_t small[256]; /* where the numbers below are */
	size_t small_len;
	bool failed;
};

void dhcp_start(struct dhcp_writer *writer, const struct dhcp_head *head, enum dhcp_type type);
void dhcp_put(struct dhcp_writer *writer, uint8_t code, const void *bytes, size_t len);
void dhcp_put_u32(struct dhcp_writer *writer, uint8_t code, uint32_t value);
void dhcp_put_u16(struct dhcp_writer *writer, uint8_t code, uint16_t value);
void dhcp_put_addresses(struct dhcp_writer *writer, uint8_t code, const uint32_t *address,
			unsigned int count);
void dhcp_put_portset(struct dhcp_writer *writer, const struct portset *set);
/*
 * The bytes written, at least DHCP_BYTES_MIN; -EMSGSIZE if the options do not fit, not even in the
 * fields `file` and `sname` (option 52).
 */
int dhcp_write(struct dhcp_writer *writer, uint8_t bytes[DHCP_BYTES_MAX]);

#endif
