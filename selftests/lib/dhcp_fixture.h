/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A server without sockets, and clients that say one message each. */
#ifndef ISTHMUS_SELFTESTS_DHCP_FIXTURE_H
#define ISTHMUS_SELFTESTS_DHCP_FIXTURE_H

#include "agents/dhcp/server.h"

#define FIXTURE_ID 0x0a000001 /* 10.0.0.1 */
#define FULL	   (-1)	      /* psid of a full address */
#define NO_SET	   (-2)	      /* no option 159 */
#define NEVER_SEEN (-3)

struct fixture {
	struct server server;
	char dir[64], pools[96], database[96];
	int64_t now;
	/* what changed() was told last, and how often */
	enum server_change change;
	unsigned int changes;
};

/* What a client says; 0 is "not in the message" but for psid (NO_SET). */
struct say {
	enum dhcp_type type;
	unsigned int client, mac; /* mac 0: the client's number */
	bool asks;		  /* 159 in the parameter request list */
	int psid;		  /* NO_SET, or of a set with a and k */
	uint8_t a, k;
	uint32_t ciaddr, requested, server, giaddr;
	const char *circuit;
	uint16_t flags;
};

struct heard {
	enum dhcp_type type; /* 0 = nothing */
	uint32_t address;
	int psid; /* FULL */
	struct portset set;
	struct server_reply reply;
	struct dhcp_message message;
	int refusal; /* the one counted, or -1 */
};

void fixture_open(struct fixture *fixture, const char *pools);
/* As after a crash: nothing is written that was not before. */
void fixture_restart(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
void fixture_mac(unsigned int number, uint8_t mac[DHCP_MAC]);
/* DISCOVER and REQUEST; client as in struct say, relay 0 = on the link. */
void fixture_take(struct fixture *fixture, unsigned int client, unsigned int mac, uint32_t relay,
		  const char *circuit, struct heard *heard);
void fixture_say(struct fixture *fixture, const struct say *say, struct heard *heard);

#endif
