/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/gateway_fixture.h - the gateway programs on a bench.
 *
 *	waypoint=====uplink  programs  lan=====responders
 *
 * A process has a network namespace of its own. Programs run by BPF_PROG_TEST_RUN as if a packet
 * had come by a device. What is expected is laid out from scratch by selftests/lib/packet.h and
 * sealed by a SipHash of userspace.
 */
#ifndef ISTHMUS_SELFTESTS_GATEWAY_FIXTURE_H
#define ISTHMUS_SELFTESTS_GATEWAY_FIXTURE_H

#include <stdbool.h>

#include "maps/gateway.h"
#include "selftests/lib/packet.h"

#define GFIX_EVENTS 16

enum gfix_program { GFIX_UP_XDP, GFIX_UP_TC, GFIX_LAN_XDP, GFIX_LAN_TC, GFIX_PROGRAMS };

struct gfix {
	struct gateway_bpf *skel;
	int program[GFIX_PROGRAMS];
	__u32 up, lan; /* devices */
	int far;       /* the namespace that keeps their other ends */
	__u8 up_mac[6], lan_mac[6];
	struct isthmus_count seen[GATEWAY_REASON_COUNT];
	struct ring_buffer *ring;
	struct gateway_event event[GFIX_EVENTS];
	int events;
	__u64 sequence;			    /* of the next packet that a waypoint seals */
	__u32 gso_size, gso_segments, mark; /* of what tc is given */
};

struct gfix_result {
	int verdict;
	int reason; /* -1: not exactly one was counted, or not one packet of this length */
	bool told;  /* an error was sent besides */
	struct packet out;
};

int gfix_open(struct gfix *fx);
void gfix_close(struct gfix *fx);
/* Forgets flows, windows, sequences, events and counters, and sets configuration, hosts, peers. */
void gfix_clear(struct gfix *fx);

int gfix_map(const struct gfix *fx, const char *name);
void gfix_put(const struct gfix *fx, const char *map, const void *key, const void *value);
bool gfix_get(const struct gfix *fx, const char *map, const void *key, void *value);
int gfix_entries(const struct gfix *fx, const char *map);
void gfix_get_conf(const struct gfix *fx, struct gateway_conf *conf);
void gfix_set_conf(const struct gfix *fx, const struct gateway_conf *conf);

/* Responders; their numbers are indices of gateway_host. */
enum gfix_host {
	GFIX_PLAIN = 1,
	GFIX_MASKED,
	GFIX_AWARE,
	GFIX_PLAIN6,
	GFIX_MASKED6,
	GFIX_UNKNOWN, /* its MAC */
	GFIX_HOSTS
};
/* Waypoints; indices of gateway_peer. */
enum gfix_peer {
	GFIX_W1 = 1,   /* outer IPv4 */
	GFIX_STRAIGHT, /* the same, replies may go straight */
	GFIX_W6,       /* outer IPv6 */
	GFIX_DOWN,
	GFIX_HEADERS, /* tags cover headers only */
	GFIX_PEERS
};

#define GFIX_INITIATOR	PACKET_V4(198, 51, 100, 7)
#define GFIX_OTHER	PACKET_V4(198, 51, 100, 8)
#define GFIX_ROUTER	PACKET_V4(203, 0, 113, 99) /* on the initiator's way */
#define GFIX_WAYPOINT	PACKET_V4(192, 0, 2, 80)
#define GFIX_WAYPOINT2	PACKET_V4(192, 0, 2, 81)
#define GFIX_INSIDE	PACKET_V4(192, 168, 1, 1)
#define GFIX_HOP	PACKET_V4(192, 168, 1, 2) /* a router inside */
#define GFIX_INSIDE6	PACKET_V6(1, 1)
#define GFIX_HOP6	PACKET_V6(1, 2)
#define GFIX_INITIATOR6 PACKET_V6(7, 7)
#define GFIX_ROUTER6	PACKET_V6(9, 9)
#define GFIX_WAYPOINT6	PACKET_V6(8, 80)
#define GFIX_MTU	1500

struct isthmus_addr gfix_host_addr(int host);
void gfix_host_mac(int host, __u8 mac[6]);
/* An IPv4 address under the bench's prefix of RFC 6052. */
struct isthmus_addr gfix_embedded(struct isthmus_addr v4);
__u32 gfix_vni(int peer);

/* A packet that the waypoint `peer` sends for `host`: `inner` is a frame, its MACs are left out. */
void gfix_seal(struct gfix *fx, int peer, __u32 host, const struct packet *inner,
	       struct packet *frame);
/* What the gateway should have made of `inner`: a frame to the waypoint. */
void gfix_answer(const struct gfix *fx, int peer, __u32 host, __u64 sequence,
		 const struct packet *inner, struct packet *frame);

/* Runs one program on one packet. */
void gfix_run(struct gfix *fx, enum gfix_program program, const struct packet *in,
	      struct gfix_result *result);
/* Runs and compares reason, verdict and, if `want` is not NULL, every byte; prints what differs. */
bool gfix_becomes(struct gfix *fx, enum gfix_program program, const struct packet *in, int reason,
		  const struct packet *want);
/* The same of a packet that was dropped for `reason`, whose sender was told by what goes out. */
bool gfix_tells(struct gfix *fx, enum gfix_program program, const struct packet *in, int reason,
		const struct packet *want);
void gfix_count(const struct gfix *fx, __u32 reason, struct isthmus_count *sum);
int gfix_verdict(enum gfix_program program, int reason);
const char *gfix_reason_name(int reason);
bool gfix_same(const struct packet *got, const struct packet *want);
/* MACs of a frame to this machine or from it. */
void gfix_frame(struct packet *frame, const __u8 dst_mac[6], const __u8 src_mac[6]);

/* An ICMP message of the outer packet's family; `rest`: bytes 4 to 7, host order. */
struct gfix_icmp {
	struct isthmus_addr src, dst;
	__s16 ttl;
	__u8 type, code;
	__u32 rest;
	const void *data;
	size_t data_len;
};
void gfix_icmp_build(const struct gfix_icmp *icmp, struct packet *packet);

__u64 gfix_now(void);

/* Attaches both programs at tc, and at XDP (generic) too if `xdp`: then tc cuts. -errno. */
int gfix_attach(struct gfix *fx, bool xdp);
void gfix_detach(struct gfix *fx);

#endif
