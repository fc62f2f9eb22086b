/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/onetime_fixture.h - the onetime programs on a bench.
 *
 *	clients=====net  programs  listeners (real sockets on loopback)
 *
 * A process has a network namespace of its own. The tc programs run by BPF_PROG_TEST_RUN as if a
 * packet had come by `net`, or were to leave by it. What is expected is laid out from scratch by
 * selftests/lib/packet.h.
 *
 * The kernel's clock cannot be set: write times relative to ofix_now().
 */
#ifndef ISTHMUS_SELFTESTS_ONETIME_FIXTURE_H
#define ISTHMUS_SELFTESTS_ONETIME_FIXTURE_H

#include <stdbool.h>

#include "maps/onetime.h"
#include "selftests/lib/packet.h"

#define OFIX_EVENTS    64
#define OFIX_LISTENERS 8
#define OFIX_S	       1000000000ull
#define OFIX_ALONE     (-1) /* no reason is counted beside the packet's own */

enum ofix_hook { OFIX_IN, OFIX_OUT, OFIX_HOOKS };

struct ofix {
	struct onetime_bpf *skel;
	int program[OFIX_HOOKS];
	__u32 net;
	int far; /* the namespace that keeps the other end */
	__u8 mac[6];
	struct isthmus_count seen[ONETIME_REASON_COUNT];
	struct ring_buffer *ring;
	struct onetime_event event[OFIX_EVENTS]; /* of the last run */
	int events;
	int listening[OFIX_LISTENERS]; /* sockets; 0 = none */
	__u32 gso_size, gso_segments;  /* of the packets that run */
};

struct ofix_result {
	int verdict;			    /* TC_ACT_ */
	int reason;			    /* -1: not exactly one counted this packet's bytes */
	__u64 beside[ONETIME_REASON_COUNT]; /* counted without bytes */
	struct packet out;
};

/* Pools that ofix_clear() makes, numbers 1 to 4: silent ones, and ones that answer by RST. */
#define OFIX_POOL6     PACKET_V6(0x100, 0)     /* /64 */
#define OFIX_POOL4     PACKET_V4(192, 0, 2, 0) /* /24 */
#define OFIX_RST_POOL6 PACKET_V6(0x101, 0)
#define OFIX_RST_POOL4 PACKET_V4(203, 0, 113, 0)
#define OFIX_SSA6(n)   PACKET_V6(0x100, n)
#define OFIX_SSA4(n)   PACKET_V4(192, 0, 2, n)
#define OFIX_RST6(n)   PACKET_V6(0x101, n)
#define OFIX_RST4(n)   PACKET_V4(203, 0, 113, n)
/* Those outside. */
#define OFIX_ALICE6 PACKET_V6(7, 1)
#define OFIX_BOB6   PACKET_V6(7, 2)
#define OFIX_ALICE4 PACKET_V4(198, 51, 100, 7)
#define OFIX_BOB4   PACKET_V4(198, 51, 100, 8)

/* Listeners that ofix_clear() makes, of both families. */
#define OFIX_TCP      1
#define OFIX_UDP      2
#define OFIX_NOBODY   5 /* no socket is there */
#define OFIX_TCP_PORT 8080
#define OFIX_UDP_PORT 5353

int ofix_open(struct ofix *fx);
void ofix_close(struct ofix *fx);
/* Forgets addresses, flows, events and counters; sets configuration, pools, listeners. */
void ofix_clear(struct ofix *fx);

int ofix_map(const struct ofix *fx, const char *name);
void ofix_put(const struct ofix *fx, const char *map, const void *key, const void *value);
bool ofix_get(const struct ofix *fx, const char *map, const void *key, void *value);
int ofix_entries(const struct ofix *fx, const char *map);
__u64 ofix_now(void); /* the clock that the programs read, ns */

void ofix_pool(const struct ofix *fx, const struct isthmus_addr *prefix, int bits, __u32 number,
	       __u8 mode, __u8 flags);
/* A listening socket of any address, in the sockmap at `index`; port in host order. */
void ofix_listener(struct ofix *fx, __u32 index, __u8 proto, __u16 port, __u8 mode);

/* A record that is right for its use and state: SSA and MANY of the listener of `proto`, good for
 * a minute; without peer and ports (MANY, and SSA before its first packet: the listener's). */
struct onetime_addr ofix_record(__u8 use, __u32 state, __u8 mode, __u8 proto);
/* The same, with a session between `peer`:peer_port and :port, host order. */
struct onetime_addr ofix_session(__u8 use, __u32 state, __u8 mode, __u8 proto,
				 const struct isthmus_addr *peer, __u16 peer_port, __u16 port);
void ofix_addr_put(const struct ofix *fx, const struct isthmus_addr *address,
		   const struct onetime_addr *record);
/* Zeroed if there is none. */
struct onetime_addr ofix_addr(const struct ofix *fx, const struct isthmus_addr *address);

/* A frame from the link to this machine (IN) or the other way (OUT). */
void ofix_frame(const struct ofix *fx, enum ofix_hook hook, const struct packet_spec *spec,
		struct packet *frame);
/* What ICMPv6's checksum should be, from scratch; host order. The message goes from byte `l4` of
 * the frame to `end`; the IPv6 header is at `l3`. */
__u16 ofix_icmp6_check(const struct packet *frame, size_t l3, size_t l4, size_t end);

/* Runs once, reads counters and events. */
void ofix_run(struct ofix *fx, enum ofix_hook hook, const struct packet *in,
	      struct ofix_result *result);
/* Runs and compares: reason, its verdict, the one reason that is counted beside it (or OFIX_ALONE),
 * and every byte (`want` NULL: as it came). Prints what differs. */
bool ofix_becomes(struct ofix *fx, enum ofix_hook hook, const struct packet *in, int reason,
		  int beside, const struct packet *want);
bool ofix_spec_becomes(struct ofix *fx, enum ofix_hook hook, struct packet_spec spec, int reason,
		       int beside);

/* ---- rows */

enum { OFIX_PEER = 40000, OFIX_OWN = 80, OFIX_SILENT = 0, OFIX_RESET = 1 };

/* An address of each pool (silent, reset) and family, and two outside. */
extern const struct isthmus_addr ofix_ssa[2][2], ofix_alice[2], ofix_bob[2];
extern const __u8 ofix_protos[2]; /* TCP, UDP */

#define ofix_each_family(v4)  for (int v4 = 0; v4 < 2; v4++)
#define ofix_each_pool(reset) for (int reset = OFIX_SILENT; reset <= OFIX_RESET; reset++)
#define ofix_each_proto(udp)  for (int udp = 0; udp < 2; udp++)
#define ofix_each_mode(mode)  for (int mode = ONETIME_L0; mode <= ONETIME_AWARE; mode++)

/* A row's packet: 20 bytes from port OFIX_PEER to OFIX_OWN. */
struct packet_spec ofix_spec(const struct isthmus_addr *from, const struct isthmus_addr *to,
			     __u8 proto, __u16 flags);
/* At ingress it gets this reason, and comes through as it is; the test fails if not. */
void ofix_passes(struct ofix *fx, struct packet_spec spec, int reason);
/* The same of one that is refused, by the kernel's RST if `reset` says so. Nothing changes. */
void ofix_refuses(struct ofix *fx, int reset, struct packet_spec spec, int reason);

const char *ofix_reason_name(int reason);
bool ofix_same(const struct packet *got, const struct packet *want);

#endif
