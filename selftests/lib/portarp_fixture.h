/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/portarp_fixture.h - the portarp programs on a bench.
 *
 *	up_far=====uplink  programs  lan=====lan_far
 *	router                       sharers
 *
 * A process has a network namespace of its own. Programs run by BPF_PROG_TEST_RUN as if a packet
 * had come by, or left by, a device; or they are attached, and the far ends send and receive.
 */
#ifndef ISTHMUS_SELFTESTS_PORTARP_FIXTURE_H
#define ISTHMUS_SELFTESTS_PORTARP_FIXTURE_H

#include <stdbool.h>

#include "maps/portarp.h"
#include "selftests/lib/packet.h"

#define PFIX_OWNERS (1 << 17)
#define PFIX_BLOCKS 3
#define PFIX_EVENTS 256 /* kept of one run */

enum pfix_program { PFIX_UP_XDP, PFIX_UP_TC, PFIX_LAN_XDP, PFIX_LAN_TC, PFIX_OUT, PFIX_PROGRAMS };

struct pfix_event {
	struct portarp_event event;
	struct packet frame;
};

struct pfix {
	struct portarp_bpf *skel;
	int program[PFIX_PROGRAMS];
	__u32 up, lan; /* devices */
	__u8 up_mac[6], lan_mac[6];
	int up_far, lan_far; /* packet sockets */
	struct portarp_owner *owner;
	struct {
		__u32 owner, pad; /* an array's values are 8 bytes apart */
	} * port;		  /* portarp_port */
	__u64 *use;
	struct isthmus_count seen[PORTARP_REASON_COUNT];
	struct ring_buffer *ring;
	struct pfix_event event[PFIX_EVENTS]; /* since the last pfix_events_clear() */
	int events;
	__u32 gso_size, gso_segments; /* of what tc is given */
};

struct pfix_result {
	int verdict; /* as the hook calls it */
	int reason;  /* -1: not exactly one was counted, or not one packet of this length */
	int events;  /* of this run, in fx->event */
	struct packet out;
};

/* Loads for this role, fills portarp_conf with both devices. -errno. */
int pfix_open(struct pfix *fx, enum portarp_role role);
void pfix_close(struct pfix *fx);
/* Forgets owners, addresses, flows, fragments, identifiers, events and counters. */
void pfix_clear(struct pfix *fx);

int pfix_map(const struct pfix *fx, const char *name);
void pfix_put(struct pfix *fx, const char *map, const void *key, const void *value);
/* False: no such entry. */
bool pfix_get(const struct pfix *fx, const char *map, const void *key, void *value);
int pfix_entries(const struct pfix *fx, const char *map);
void pfix_get_conf(struct pfix *fx, struct portarp_conf *conf);
void pfix_set_conf(struct pfix *fx, const struct portarp_conf *conf);

/* An address on `lan`: record with a, k and its place; the caller changes and puts it again. */
void pfix_address(struct pfix *fx, __be32 addr, __u8 a, __u8 k, __u32 first, __u32 block,
		  struct portarp_addr *record);
/* The MAC that sharer `n` has, and an owner's record. */
void pfix_mac(int n, __u8 mac[6]);
void pfix_owner(struct pfix *fx, __u32 index, int n, __u16 flags);
void pfix_sharer(struct pfix *fx, __be32 addr, int n, __u32 index);

/*
 * What the gateway's tables use: ONE has a = 6, k = 8 (RFC 7597, appendix A: PSID 0x34 has
 * 1232-1235, 2256-2259 ...), and PSID n is sharer n's. TWO has a = 0, k = 4, PSID n is sharer
 * 0x1000 + n, and two single ports.
 */
#define PFIX_ONE       htonl(0xcb007101) /* 203.0.113.1 */
#define PFIX_TWO       htonl(0xcb007102)
#define PFIX_PEER      htonl(0xc000020a) /* 192.0.2.10 */
#define PFIX_ONE_ADDR  PACKET_V4(203, 0, 113, 1)
#define PFIX_TWO_ADDR  PACKET_V4(203, 0, 113, 2)
#define PFIX_PEER_ADDR PACKET_V4(192, 0, 2, 10)
#define PFIX_TWO_FIRST 256  /* owner */
#define PFIX_WEB       300  /* owner of port 80 of TWO, sharer 0x2000 */
#define PFIX_UP	       301  /* of port 90, beyond the uplink, 0x3000 */
#define PFIX_NOBODY    0x35 /* of ONE: not given to anyone; 1236-1239 ... */
#define PFIX_STALE     0x36 /* 1240-1243 */
#define PFIX_ASKED     0x37 /* not known yet; 1244-1247 */
void pfix_fill_gateway(struct pfix *fx, struct portarp_addr *one, struct portarp_addr *two);

/* Runs one program on one packet. */
void pfix_run(struct pfix *fx, enum pfix_program program, const struct packet *in,
	      struct pfix_result *result);
/* The same without counters and events. */
int pfix_run_uncounted(struct pfix *fx, enum pfix_program program, const struct packet *in,
		       struct packet *out);
void pfix_events_clear(struct pfix *fx);
/* Reads what is in the ring into fx->event; how many there are. */
int pfix_events_read(struct pfix *fx);
void pfix_count(const struct pfix *fx, __u32 reason, struct isthmus_count *sum);

/* The verdict that a reason has at the program's hook. */
int pfix_verdict(enum pfix_program program, int reason);
const char *pfix_reason_name(int reason);

/* What a router makes of an untagged IPv4 packet: MACs, TTL one less, checksum from scratch. */
void pfix_forwarded(const struct packet *in, const __u8 *src_mac, const __u8 *dst_mac,
		    struct packet *out);
bool pfix_same(const struct packet *got, const struct packet *want);

/* A frame of ARP; trailer_bytes of the PE-ARP trailer are there, then zeros up to 60. */
struct pfix_arp {
	__u8 dst_mac[6], src_mac[6];
	__u16 hardware, protocol, op; /* 0 = as it should be: 1, 0x0800; op: 1 */
	__u8 hardware_len, protocol_len;
	__u8 sender_mac[6], target_mac[6];
	__u8 sender[4], target[4];
	__u16 magic;	     /* 0 = right, with op 24 or 25 */
	__u8 version, flags; /* version 0 = 1 */
	__u16 port;
	__u8 a, k;
	__u16 psid, low, high, lifetime; /* psid as on the wire */
	int trailer_bytes;		 /* 0 = all 16 */
	size_t len;			 /* 0 = 60 */
};
void pfix_arp_build(const struct pfix_arp *arp, struct packet *packet);

__u64 pfix_now(void);

/* Attaches both ingress programs at XDP (generic) or tc, and the egress program at tc. -errno. */
int pfix_attach(struct pfix *fx, bool xdp);
void pfix_detach(struct pfix *fx);

#endif
