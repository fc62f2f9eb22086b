/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An agent of isthmus-portarp on real maps, with a clock and a wire that belong to the test. */
#ifndef ISTHMUS_SELFTESTS_PORTARP_AGENT_H
#define ISTHMUS_SELFTESTS_PORTARP_AGENT_H

#include "../../agents/portarp/agent.h"

#define LAN_IF	  7
#define UP_IF	  8
#define SENT_MAX  256
#define FRAME_MAX 2048

struct sent {
	uint32_t ifindex;
	size_t len;
	uint8_t frame[FRAME_MAX];
};

struct fixture {
	struct agent agent;
	char instance[24];
	struct sent sent[SENT_MAX];
	unsigned int sents;
	uint32_t lan_ifindex;
	bool has_rt;
	uint64_t now_ms;
	int64_t now_s;
	/* Called before each frame is sent, as if a program ran in between; may be NULL. */
	void (*racing)(struct fixture *fixture);
};

extern struct fixture *fixture;

extern const uint8_t our_mac[6];

/* Fails the test. */
void fixture_open(enum portarp_role role);
/* With a LAN device of this network namespace, and rtnetlink. */
void fixture_open_on(enum portarp_role role, uint32_t lan_ifindex);
void fixture_reopen(void); /* the agent is started anew on the same maps */
void fixture_close(void);
void fixture_pass(unsigned int ms); /* time, tick by tick */

/* What bpf/portarp_owner.bpf.h does for a packet to `port` of 192.0.2.1: true if it was handed over
 * in an event, false if it was sent or dropped at once. `mark` is in the payload. */
bool fixture_packet(uint32_t owner, uint16_t port, uint8_t mark);
/* A later fragment whose first one was not seen; and the event when it is. */
void fixture_fragment(const struct portarp_frag_key *key, uint8_t mark);
void fixture_first_known(const struct portarp_frag_key *key, uint32_t owner);
/* A PE-ARP reply. */
void fixture_claim(const struct arp_message *claim);

/* Frames sent that are PE-ARP questions, or IPv4. */
unsigned int fixture_questions(void);
unsigned int fixture_packets(void);
const struct sent *fixture_ip(unsigned int n); /* the n-th IPv4 frame */
uint8_t fixture_mark(const struct sent *sent);

/* An operation, as JSON with ' for "; NULL or the error's code. */
const char *fixture_op(const char *request);

#endif
