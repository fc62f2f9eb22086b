/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/onetime_world.h - a server's host for the `onetime` programs: real listening
 * sockets in the kernel of a namespace, clients in another; no loader, no agent.
 *
 *	server (here)					clients
 *	eth0 2001:db8:1::1  <- veth, guard ->		eth0 2001:db8:1::2
 *	eth1 2001:db8:2::1  <- veth, no guard ->	eth1 2001:db8:2::2
 *	pools 2001:db8:100::/64, silent, and		real sockets 2001:db8:7::/64 (AnyIP)
 *	2001:db8:101::/64, which resets			by hand 2001:db8:8::/64, nobody's there
 *
 * The guard is at eth0, sk_lookup in the namespace, sockops at a control group that the test
 * enters. Segments made by hand are sent and seen at the clients' ends of the devices.
 */
#ifndef ISTHMUS_SELFTESTS_LIB_ONETIME_WORLD_H
#define ISTHMUS_SELFTESTS_LIB_ONETIME_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/onetime.skel.h"
#include "maps/onetime.h"
#include "selftests/lib/packet.h"

#define OWORLD_S	1000000000ull
#define OWORLD_PORT	80   /* that clients use, but in ONETIME_AWARE */
#define OWORLD_LISTENER 5000 /* the listener's own */
#define OWORLD_QUIET_MS 20   /* so long nothing came: nothing comes */

enum oworld_dev { OWORLD_GUARDED, OWORLD_OPEN, OWORLD_DEVS };

struct oworld {
	struct onetime_bpf *skel;
	struct onetime_conf conf;
	char cgroup[300];
	int cgroup_fd, links[4];
	int ns, clients; /* namespaces */
	int packets[OWORLD_DEVS];
	__u8 mac[OWORLD_DEVS][2][6]; /* ours, the clients' */
	int listener;		     /* the socket at place 0 of onetime_listen */
	__u64 begun[ONETIME_REASON_COUNT];
};

extern struct oworld ow;

/* 0, or -1 where this machine has no cgroup2. */
int oworld_open(void);
void oworld_close(void);
/* No addresses, a new listener, the contract's times, counters from 0. */
void oworld_clear(void);
void oworld_put_conf(void);
void oworld_sysctl(const char *name, int value); /* of the server's namespace */

/* ---- addresses */

struct isthmus_addr oworld_ssa(bool reset, __u32 number);
struct isthmus_addr oworld_address(__u16 site, __u32 number);
struct onetime_addr oworld_pending(enum onetime_mode mode, __u32 listener);
void oworld_put(const struct isthmus_addr *address, const struct onetime_addr *record);
void oworld_give(const struct isthmus_addr *address, enum onetime_mode mode);
struct onetime_addr oworld_get(const struct isthmus_addr *address); /* zeroed: no entry */
__u32 oworld_state(const struct isthmus_addr *address);
/* Waits up to a second, times $SLOW. */
bool oworld_becomes(const struct isthmus_addr *address, __u32 state);
__u64 oworld_now(void);

/* Since oworld_clear(); the test ends if it is another number. */
__u64 oworld_count(enum onetime_reason reason);
void oworld_counted(enum onetime_reason reason, __u64 times);

/* ---- sockets */

int oworld_socket(int protocol); /* of the server, not bound */
int oworld_listening(__u16 port, int backlog, bool any, bool group);
/* False: the kernel would not have it; errno. */
bool oworld_listener_put(__u32 index, int fd, __u16 port, __u8 proto);
/* An accepted socket whose ends are these, or the test ends; nobody: false after OWORLD_QUIET_MS.
 */
int oworld_accept(int listener, const struct isthmus_addr *local, __u16 port,
		  const struct isthmus_addr *peer, __u16 peer_port);
bool oworld_nobody(int listener);
/* A client's, bound to 2001:db8:7::number. */
int oworld_client(__u32 number, int type);
/* 0, or an errno; ETIMEDOUT after `ms`. */
int oworld_connect(int fd, const struct isthmus_addr *to, __u16 port, int ms);
bool oworld_readable(int fd, int ms);

/* ---- a TCP client by hand */

struct oworld_hand {
	struct isthmus_addr me, ssa;
	__u16 port, ssa_port;
	__u32 seq, ack; /* of the next segment */
	enum oworld_dev dev;
};

struct oworld_seen {
	__u16 flags, port, ssa_port;
	__u32 seq, ack;
	size_t data;
};

struct oworld_hand oworld_hand(__u32 number, const struct isthmus_addr *ssa);
void oworld_send(const struct oworld_hand *hand, __u16 flags, const char *data);
void oworld_frame(const struct oworld_hand *hand, __u16 flags, const char *data,
		  struct packet *frame);
/* The next segment from the SSA to this client; false: none came for `ms`. */
bool oworld_receive(const struct oworld_hand *hand, struct oworld_seen *seen, int ms);
/* One with exactly these flags, others are passed over. */
bool oworld_sees(const struct oworld_hand *hand, __u16 flags, struct oworld_seen *seen);
bool oworld_hears_nothing(const struct oworld_hand *hand);
/* Three-way handshake, and the accepted socket, or the test ends. */
int oworld_establish(struct oworld_hand *hand);
/* Forgets what was seen. */
void oworld_flush(void);

#endif
