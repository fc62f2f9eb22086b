/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/waypoint_fixture.h - the waypoint programs on a bench.
 *
 *	initiators, gateways=====net  programs
 *
 * A process has a network namespace of its own. Programs run by BPF_PROG_TEST_RUN as if a packet
 * had come by `net`; what they send besides (fragments) is read at the far end. What is expected is
 * laid out from scratch by selftests/lib/packet.h and sealed by selftests/lib/seal.h.
 *
 * For a property test: wfix_wait() enters waits, wfix_run() says what was counted, wfix_get() reads
 * maps. The kernel's clock cannot be set: write times relative to wfix_now().
 */
#ifndef ISTHMUS_SELFTESTS_WAYPOINT_FIXTURE_H
#define ISTHMUS_SELFTESTS_WAYPOINT_FIXTURE_H

#include <stdbool.h>

#include "maps/waypoint.h"
#include "selftests/lib/packet.h"

#define WFIX_EVENTS 64
#define WFIX_S	    1000000000ull

enum wfix_hook { WFIX_XDP, WFIX_TC, WFIX_HOOKS };

struct wfix {
	struct waypoint_bpf *skel;
	int program[WFIX_HOOKS];
	__u32 net;
	int far;	/* the namespace that keeps the other end */
	int far_socket; /* AF_PACKET there */
	__u8 mac[6];
	struct isthmus_count seen[WAYPOINT_REASON_COUNT];
	struct ring_buffer *ring;
	struct waypoint_event event[WFIX_EVENTS];
	int events;
	__u64 sequence; /* of the next packet that a gateway seals */
	__u32 gso_size, gso_segments;
};

struct wfix_result {
	int verdict;
	int reason; /* -1: not exactly one was counted, or not one packet of this length */
	__u64 told, unreachable, limited; /* errors beside it */
	struct packet out;
};

/* Gateways: indices of waypoint_peer. */
enum wfix_peer {
	WFIX_G1 = 1,
	WFIX_G2,
	WFIX_G6,
	WFIX_STRAIGHT,
	WFIX_DOWN,
	WFIX_HEADERS,
	WFIX_PEERS
};

#define WFIX_W1	   PACKET_V4(192, 0, 2, 80) /* waypoint addresses, numbers 0 and 1 */
#define WFIX_W2	   PACKET_V4(192, 0, 2, 81)
#define WFIX_W6	   PACKET_V6(8, 80) /* G1's host 7, for IPv6 initiators */
#define WFIX_ALICE PACKET_V4(198, 51, 100, 7)
#define WFIX_BOB   PACKET_V4(198, 51, 100, 8)
#define WFIX_CAROL PACKET_V4(203, 0, 113, 9)
#define WFIX_SIX   PACKET_V6(7, 7)
#define WFIX_MTU   1500 /* of the outer path */
#define WFIX_ROOM  1440 /* what it leaves for an inner packet */

extern const struct isthmus_addr wfix_w1, wfix_w2, wfix_w6, wfix_alice, wfix_bob, wfix_carol,
	wfix_six;

int wfix_open(struct wfix *fx);
void wfix_close(struct wfix *fx);
/* Forgets bindings, waits, windows, sequences and counters; sets configuration, addresses, peers.
 */
void wfix_clear(struct wfix *fx);

int wfix_map(const struct wfix *fx, const char *name);
void wfix_put(const struct wfix *fx, const char *map, const void *key, const void *value);
bool wfix_get(const struct wfix *fx, const char *map, const void *key, void *value);
int wfix_entries(const struct wfix *fx, const char *map);
__u64 wfix_now(void); /* the clock that the programs read, ns */

struct waypoint_pair wfix_pair(const struct isthmus_addr *initiator,
			       const struct isthmus_addr *waypoint);
/* Enters a wait state of address `number`, in place `place`, for `ms`; prefix as "a.b.c.d", bits.
 */
void wfix_wait(const struct wfix *fx, __u32 number, __u32 place, const struct isthmus_addr *prefix,
	       int bits, __u32 peer, __u32 host, int ms);
/* Makes a binding as the agent does for a known initiator. */
void wfix_bind(const struct wfix *fx, const struct isthmus_addr *initiator,
	       const struct isthmus_addr *waypoint, __u32 peer, __u32 host);

/* A frame from the initiators' router to this machine, or between initiator and waypoint. */
void wfix_frame(const struct wfix *fx, const struct packet_spec *spec, struct packet *frame);
void wfix_macs(const struct wfix *fx, bool in, struct packet *frame);
/* What sealing makes of an inner frame (TTL as it should be inside), for `peer`. */
void wfix_sealed(const struct wfix *fx, int peer, __u32 host, __u64 sequence,
		 const struct packet *inner, struct packet *frame);
/* A tunnel packet of the gateway `peer`. */
void wfix_from_gateway(struct wfix *fx, int peer, __u32 host, const struct packet *inner,
		       struct packet *frame);
__u32 wfix_vni(int peer); /* under which `peer` sends */

void wfix_run(struct wfix *fx, enum wfix_hook hook, const struct packet *in,
	      struct wfix_result *result);
/* Runs and compares reason, verdict and, if `want` is not NULL, every byte; prints what differs. */
bool wfix_becomes(struct wfix *fx, enum wfix_hook hook, const struct packet *in, int reason,
		  const struct packet *want);
/* The same of a packet that was dropped, whose sender was told by what goes out. */
bool wfix_tells(struct wfix *fx, enum wfix_hook hook, const struct packet *in, int reason,
		const struct packet *want);
/* A row's packet: 100 bytes from port 40000 to 22 (an echo request for ICMP). */
struct packet_spec wfix_spec(const struct isthmus_addr *from, const struct isthmus_addr *to,
			     __u8 proto, __u16 flags);
/* What the tunnel carries of it: one hop less, and no padding. */
void wfix_aged(const struct wfix *fx, struct packet_spec spec, struct packet *packet);
/* It must be sealed for (peer, host), to the byte, and be counted as `reason`. */
bool wfix_seals(struct wfix *fx, enum wfix_hook hook, struct packet_spec spec, int reason, int peer,
		__u32 host);
bool wfix_spec_becomes(struct wfix *fx, enum wfix_hook hook, struct packet_spec spec, int reason);
bool wfix_spec_tells(struct wfix *fx, enum wfix_hook hook, struct packet_spec spec, int reason);

#define wfix_each_hook(hook) for (enum wfix_hook hook = WFIX_XDP; hook < WFIX_HOOKS; hook++)

const char *wfix_reason_name(int reason);
bool wfix_same(const struct packet *got, const struct packet *want);

#endif
