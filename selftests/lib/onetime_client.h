/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/onetime_client.h - a client's host for the `onetime` programs: real sockets, a
 * namespace, a peer's namespace, a cgroup.
 *
 *	client (here)				     peer
 *	eth0 2001:db8:1::1, 192.0.2.1  <- veth ->  eth0 2001:db8:1::2, ::3, 192.0.2.2, .3
 *	pools 2001:db8:ea::/64,			   listens for TCP and UDP, both families, port 5000
 *	198.51.100.0/24 (AnyIP)
 *
 * The guard is at eth0, sk_lookup in the namespace, the rest at a cgroup that the test enters.
 * What the peer receives is captured: oclient_leaks() counts TCP and UDP packets of the client's
 * own addresses.
 */
#ifndef ISTHMUS_SELFTESTS_LIB_ONETIME_CLIENT_H
#define ISTHMUS_SELFTESTS_LIB_ONETIME_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "bpf/onetime.skel.h"
#include "maps/onetime.h"

#define OCLIENT_PORT  5000
#define OCLIENT_HOST6 "2001:db8:1::1"
#define OCLIENT_HOST4 "192.0.2.1"
#define OCLIENT_PEER6 "2001:db8:1::2"
#define OCLIENT_PEER7 "2001:db8:1::3" /* the same host's other address */
#define OCLIENT_PEER4 "192.0.2.2"
#define OCLIENT_PEER5 "192.0.2.3"

struct oclient {
	struct onetime_bpf *skel;
	struct onetime_conf conf;
	char cgroup[300], nested[340];
	int cgroup_fd, nested_fd;
	int ns, peer_ns;
	int capture;
	struct isthmus_addr asked; /* the peer's address that the last datagram was for */
	int tcp, udp;		   /* the peer's sockets */
	__u64 next[2];		   /* the next address of the IPv6 and the IPv4 pool */
	bool may_leak;		   /* this test's traffic does, by design */
};

extern struct oclient oc;

/* 0, or -1 where this machine has no cgroup2. */
int oclient_open(void);
void oclient_close(void);
void oclient_clear(void);

/* cmocka's: the client programs are at the cgroup; end fails where a strict test leaked. */
int oclient_set_up(void **state);
int oclient_tear_down(void **state);
int oclient_begin(void **state);
int oclient_end(void **state);
#define oclient_test(name) cmocka_unit_test_setup_teardown(name, oclient_begin, oclient_end)
void oclient_without_clients(void (*call)(void));
/* From here on the test is in lenient mode, and may leak. */
void oclient_lenient(void);

/* What `conf` says is what the programs see. */
void oclient_put_conf(void);
int oclient_attach(struct bpf_program *program, int cgroup_fd, enum bpf_attach_type type);
/* Attaches the four client programs, or those for users; detach closes them. */
void oclient_attach_clients(int cgroup_fd, bool by_user, int links[4]);
void oclient_detach(int links[4]);
void oclient_enter(const char *cgroup);

/* Prepares EAs. */
struct isthmus_addr oclient_ea(int family, __u64 number);
void oclient_prepare(int family, int count);
bool oclient_get(const struct isthmus_addr *addr, struct onetime_addr *value);
struct onetime_addr oclient_entry(const struct isthmus_addr *addr);
/* A state by now; DEAD if there is no entry. */
__u32 oclient_state(const struct isthmus_addr *addr);
__u32 oclient_states(__u32 state); /* how many addresses have it */
__u64 oclient_now(void);

#define END (-1)

/* Every EA_ counter, and what is not named is 0: oclient_counts(EA_BOUND, 1, END). */
void oclient_counts(int reason, ...);
__u64 oclient_count(enum onetime_reason reason);
int oclient_events(enum onetime_event_kind kind);
int oclient_leaks(void);

/* Sockets. A connect gives 0 or an errno. */
struct sockaddr_storage oclient_sockaddr(const char *address, uint16_t port, socklen_t *len);
int oclient_connect(int fd, const char *address, uint16_t port);
void oclient_bind(int fd, const char *address, uint16_t port);
int oclient_unconnect(int fd);
int oclient_sendto(int fd, const char *text, const char *address, uint16_t port);
/* A connected socket to the peer, or the test ends. */
int oclient_open_to(int type, const char *address);
struct isthmus_addr oclient_local(int fd);
#define assert_address(addr, wanted) assert_memory_equal(addr, wanted, sizeof(struct isthmus_addr))
bool oclient_is_ea(const struct isthmus_addr *addr);
struct isthmus_addr oclient_address(const char *text);
/* The peer's side. */
int oclient_accept(struct isthmus_addr *from);
void oclient_receive(const char *text, struct isthmus_addr *from, uint16_t *port);
/* From the address that was asked last. */
void oclient_answer(const char *text, const struct isthmus_addr *to, uint16_t port);
/* A datagram with a source of its own (IPV6_PKTINFO): 0 or an errno. */
int oclient_send_from(int fd, const char *text, const struct isthmus_addr *from,
		      const struct isthmus_addr *to, uint16_t port);
int oclient_peer_socket(int type, uint16_t port);
/* Waits up to a second, times $SLOW, until it is so. */
bool oclient_becomes(const struct isthmus_addr *addr, __u32 state);

#endif
