/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/resoa_fixture.h - the resoa programs on a bench.
 *
 *	A: programs' sockets [e0] ──── [w0] W: the daemon's sockets
 *
 * A process has a network namespace of its own, A or the server. The programs run by
 * BPF_PROG_TEST_RUN or are attached; there is no daemon, so a test does what it would. What is
 * expected is laid out from scratch by selftests/lib/packet.h.
 */
#ifndef ISTHMUS_SELFTESTS_RESOA_FIXTURE_H
#define ISTHMUS_SELFTESTS_RESOA_FIXTURE_H

#include <bpf/libbpf.h>
#include <stdbool.h>

#include "bpf/resoa.skel.h"
#include "maps/resoa.h"
#include "selftests/lib/packet.h"

#define RFIX_EVENTS 256
#define RFIX_NONE   (-1)

/* Ends where things are: of A, which are the server's, and beyond W. */
#define RFIX_A4 "198.51.100.1"
#define RFIX_A6 "2001:db8::1"
#define RFIX_B4 "198.51.100.9" /* another of A's */
#define RFIX_B6 "2001:db8::9"
#define RFIX_P4 "192.0.2.7"
#define RFIX_P6 "2001:db8:7::7"

struct rfix {
	struct resoa_bpf *skel;
	struct ring_buffer *ring;
	struct resoa_event event[RFIX_EVENTS]; /* that rfix_event() has not taken */
	int first, events;
	struct isthmus_count seen[RESOA_REASON_COUNT];
	char cgroup[300]; /* "" = none */
	int cgroup_fd;
	int home, world; /* namespaces; world: after rfix_world() */
	__u8 mac[6];	 /* of e0 and w0 */
};

/* What is counted: packets of a reason. */
struct rfix_count {
	int reason;
	__u64 packets;
};

struct rfix_result {
	int verdict; /* TC_ACT_ */
	int reason;  /* RFIX_NONE: not exactly one counted this packet */
	__u32 mark;
	struct packet out;
};

int rfix_open(struct rfix *fx, const char *program);
void rfix_close(struct rfix *fx);
/* Forgets events, counters and held connects. */
void rfix_clear(struct rfix *fx);
void rfix_conf(struct rfix *fx, __u64 client, __u32 open_binds);
__u64 rfix_netns_cookie(void); /* of the current namespace */
__u64 rfix_socket_cookie(int fd);

/* Makes W and the pair e0 - w0, as the daemon does. */
void rfix_world(struct rfix *fx);
/* A cgroup of its own for this process; false: there is no cgroup2. */
bool rfix_cgroup(struct rfix *fx);
/* A clsact filter on `dev`, at BPF_TC_INGRESS or BPF_TC_EGRESS. */
void rfix_attach_tc(struct bpf_program *program, const char *dev, enum bpf_tc_attach_point point);
int rfix_attach_cgroup(struct rfix *fx, struct bpf_program *program, enum bpf_attach_type type);

/* The next event, or NULL if none comes within `ms`. */
const struct resoa_event *rfix_event(struct rfix *fx, int ms);
/* Since rfix_clear(). OTHER is not compared. `want` ends with a reason of RFIX_NONE. */
__u64 rfix_counted(struct rfix *fx, int reason);
bool rfix_counts_are(struct rfix *fx, const struct rfix_count *want);
#define rfix_counts(fx, ...)                                                                       \
	rfix_counts_are(fx, (const struct rfix_count[]){ __VA_ARGS__, { RFIX_NONE, 0 } })

/* Runs a tc program once on a packet that comes in by `dev`, or is to leave by it. */
void rfix_run(struct rfix *fx, struct bpf_program *program, const char *dev, __u32 mark,
	      const struct packet *in, struct rfix_result *result);
/* TC_ACT_ of a reason's verdict. */
int rfix_verdict(int reason);
const char *rfix_reason_name(int reason);
bool rfix_same(const struct packet *got, const struct packet *want);

/* ---- addresses */

struct isthmus_addr rfix_addr(const char *text);
/* As resoa_names has them; ports in host order. */
struct resoa_names rfix_names(const char *local, int local_port, const char *remote,
			      int remote_port);
bool rfix_names_are(const struct resoa_names *got, struct resoa_names want);
/* A socket address of the text's family; IPv4 for an IPv6 socket is written "::ffff:1.2.3.4". */
unsigned int rfix_sockaddr(const char *text, int port, void *address);

#endif
