/* SPDX-License-Identifier: GPL-3.0-or-later */
/* selftests/lib/resoa_fin.h - the server's sockets of R10's tests, and what is kept with them. */
#ifndef ISTHMUS_SELFTESTS_RESOA_FIN_H
#define ISTHMUS_SELFTESTS_RESOA_FIN_H

#include "selftests/lib/resoa_fixture.h"

#define RFIN_OWN    80
#define RFIN_PEER   40000
#define RFIN_RCV    0xffffff00u /* next of the peer's: crosses 2^32 */
#define RFIN_SND    0x7fffffffu /* next of ours */
#define RFIN_WINDOW 65535

/* How a connection is written: IPv4, IPv6, IPv4 by an IPv6 socket. */
struct rfin_kind {
	const char *own, *peer, *socket_own, *socket_peer;
	int family;
};

extern const struct rfin_kind rfin_kinds[3];
#define rfin_each_kind(kind)                                                                       \
	for (const struct rfin_kind *kind = rfin_kinds; kind < rfin_kinds + 3; kind++)

/* The fixture, and a device that swallows what the kernel says to the peer: its descriptor, or -1.
 */
int rfin_open(struct rfix *fx, const char *name);

void rfin_set(int fd, int level, int name, int value);
int rfin_bound(const struct rfin_kind *kind);
/* A connection that the kernel believes to stand, with these numbers and windows. */
int rfin_established(const struct rfin_kind *kind);
/* It is not to say goodbye to anybody. */
void rfin_forget(int fd);

void rfin_put(struct rfix *fx, int fd, const struct resoa_fin *fin);
void rfin_state(struct rfix *fx, int fd, __u32 state);
struct resoa_fin rfin_get(struct rfix *fx, int fd);
bool rfin_is(struct rfix *fx, int fd, const struct resoa_fin *want);
/* The peer repeats its FIN: after 200 ms, or more on a slow machine. */
bool rfin_again_comes(struct rfix *fx, int fd, int ms);

int rfin_port_of(int fd); /* its own */
int rfin_tcp_state(int fd);
bool rfin_state_comes(int fd, int state, int ms);
/* Bytes that are there now, 0 for end-of-file, or -errno. */
int rfin_take(int fd, void *bytes, size_t len);
bool rfin_ready(int fd, int ms); /* to be read */
/* Sends a frame by a device as the daemon does. skip: bytes before IP that the device has not. */
void rfin_send_marked(unsigned int ifindex, const struct packet *frame, size_t skip);

#endif
