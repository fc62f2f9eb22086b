/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/splice_fixture.h - the splice programs on a bench.
 *
 *	 far[0]=====link 0 (ifindex[0])  programs  link 1 (ifindex[1])=====far[1]
 *	 side 0's host                                        side 1's host
 *
 * A process has a network namespace of its own with two veth pairs. Programs run by
 * BPF_PROG_TEST_RUN as if packets had come by link 0 or 1; what they really send (the clone of a
 * SYNACK) is read at the far ends.
 */
#ifndef ISTHMUS_SELFTESTS_SPLICE_FIXTURE_H
#define ISTHMUS_SELFTESTS_SPLICE_FIXTURE_H

#include <stdbool.h>

#include "maps/splice.h"
#include "selftests/lib/packet.h"

#define FIXTURE_LOW    20000 /* owned ports of fixture_local */
#define FIXTURE_HIGH   20999
#define FIXTURE_RANGES 64
#define FIXTURE_LEGS   16384 /* size of splice_leg */

enum fixture_hook { FIXTURE_XDP, FIXTURE_TC, FIXTURE_HOOKS };

struct splice_end {
	struct isthmus_addr remote, local;
	__u16 remote_port, local_port; /* host order */
	__u8 link;
	struct splice_hop hop; /* towards remote */
};

struct splice_session {
	__u64 id;
	__u8 proto;
	bool pure;
	struct splice_end end[2];
};

struct splice_fixture {
	struct splice_bpf *skel;
	int program[FIXTURE_HOOKS];
	__u32 ifindex[2];
	__u8 mac[2][6];		/* of the links */
	__u8 host_mac[2][6];	/* of the hosts behind them */
	int far[2];		/* AF_PACKET sockets */
	struct splice_leg *leg; /* splice_leg, mapped */
	__u32 legs;		/* of them in use by ranges */
	struct fixture_range {
		struct isthmus_addr addr;
		struct splice_range ports;
	} range[FIXTURE_RANGES];
	int ranges;
	struct isthmus_count seen[SPLICE_REASON_COUNT];
	struct ring_buffer *ring;
	struct splice_event event; /* the last */
	int events;
	__u32 gso_size, gso_segments; /* of the packets that tc is given; 0 = none */
	bool attached;
	bool complete; /* tc is given CHECKSUM_COMPLETE, which must be right afterwards (6.15) */
};

struct splice_result {
	int verdict; /* as the hook calls it; -EBADMSG: CHECKSUM_COMPLETE is wrong afterwards */
	/* What was counted; reason is -1 if not exactly one was, or not one packet of this length.
	 */
	int reason;
	int events;
	struct splice_event event; /* the last of them */
	struct packet out;
};

extern const struct isthmus_addr fixture_local[2];     /* [0] IPv4, [1] IPv6 */
extern const struct isthmus_addr fixture_remote[2][2]; /* by side, then family */

struct splice_fixture_options {
	bool any_source; /* the check of the source is off: a control */
	bool no_tx;	 /* XDP sends by redirect also where a packet came from */
};

/* Opens, loads and fills conf, local and dev. `options` may be NULL. -errno. */
int splice_fixture_open(struct splice_fixture *fx, const struct splice_fixture_options *options);
void splice_fixture_close(struct splice_fixture *fx);

/* Forgets sessions, fragments, counters and what the far ends have received. */
void splice_fixture_clear(struct splice_fixture *fx);

/* A session between the bench's two hosts, hops as the routes and neighbours are. */
void splice_fixture_session(const struct splice_fixture *fx, bool v6, __u8 proto, bool pure,
			    struct splice_session *session);

/* A packet of this session from that side, as it arrives. */
void splice_fixture_spec(const struct splice_fixture *fx, const struct splice_session *session,
			 int from, struct packet_spec *spec);

/* Puts the rendezvous (both sides announced, nothing come yet). */
void splice_fixture_announce(struct splice_fixture *fx, const struct splice_session *session);
void splice_fixture_side(const struct splice_session *session, int side,
			 struct splice_local_key *key, struct splice_side *value);

/* Makes ports [low, high] of one more address the datapath's; at most FIXTURE_RANGES in all. */
void splice_fixture_own(struct splice_fixture *fx, const struct isthmus_addr *addr, __u16 low,
			__u16 high);

/* Puts both legs, as joined; ends both, as an agent does. */
void splice_fixture_legs(struct splice_fixture *fx, const struct splice_session *session);
void splice_fixture_end(struct splice_fixture *fx, const struct splice_session *session);

/* The leg of packets from this side, as a join would make it. */
void splice_fixture_leg(const struct splice_session *session, int from, struct splice_leg *leg);
void splice_fixture_put_leg(struct splice_fixture *fx, const struct splice_session *session,
			    int from, const struct splice_leg *leg);
/* Reads it; false if it is not live. */
bool splice_fixture_get_leg(struct splice_fixture *fx, const struct splice_session *session,
			    int from, struct splice_leg *leg);
/* Live ones in the whole table. */
int splice_fixture_live_legs(const struct splice_fixture *fx);

void splice_fixture_get_join(struct splice_fixture *fx, const struct splice_session *session,
			     struct splice_join *value);
void splice_fixture_set_join(struct splice_fixture *fx, const struct splice_session *session,
			     const struct splice_join *value);
void splice_fixture_put(const struct splice_fixture *fx, const char *map, const void *key,
			const void *value);
int splice_fixture_map(const struct splice_fixture *fx, const char *name);

void splice_fixture_get_conf(struct splice_fixture *fx, struct splice_conf *conf);
void splice_fixture_set_conf(struct splice_fixture *fx, const struct splice_conf *conf);

/* Runs one program on one packet that came by this link. */
void splice_fixture_run(struct splice_fixture *fx, enum fixture_hook hook, int link,
			const struct packet *in, struct splice_result *result);

/* The same without reading counters and events: result->reason and event are not set. */
void splice_fixture_run_uncounted(struct splice_fixture *fx, enum fixture_hook hook, int link,
				  const struct packet *in, struct splice_result *result);

/* All that was ever counted under a reason, on all CPUs. */
void splice_fixture_count(const struct splice_fixture *fx, __u32 reason, struct isthmus_count *sum);

/* The verdict that a reason has at a hook. */
int splice_fixture_verdict(enum fixture_hook hook, int reason, bool same_link);

/* Runs XDP and, if it says TO_TC, tc: how a packet fares where XDP is attached. */
void splice_fixture_run_both(struct splice_fixture *fx, int link, const struct packet *in,
			     struct splice_result *result);

/* Attaches tc, or generic XDP and tc, to both links; frames that the far ends send are then
 * handled. -errno. */
int splice_fixture_attach(struct splice_fixture *fx, enum fixture_hook hook);
void splice_fixture_detach(struct splice_fixture *fx);

/* Sends by, and next IP packet received at, a far end; false after 200 ms (times $SLOW) without
 * one. */
void splice_fixture_send(struct splice_fixture *fx, int link, const struct packet *packet);
bool splice_fixture_receive(struct splice_fixture *fx, int link, struct packet *packet);
/* Nothing more has come. */
bool splice_fixture_silent(struct splice_fixture *fx, int link);

__u64 splice_fixture_now(void);

/* How many times slower this machine is said to be ($SLOW, as vmtest sets it); 1 or more. */
__u32 splice_fixture_slow(void);

const char *splice_reason_name(int reason);

#endif
