/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/resoa_calls.h - the comparison program's: a case calls the socket interface and
 * says what it saw; the same program says the same on the local stack and through a resoa server,
 * byte by byte. So nothing that is said may hang on time, on an automatic port's number, or on a
 * buffer's fill level.
 */
#ifndef ISTHMUS_SELFTESTS_RESOA_CALLS_H
#define ISTHMUS_SELFTESTS_RESOA_CALLS_H

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resoa_calls_bytes.h"

enum calls_families { CALLS_BOTH, CALLS_4, CALLS_6 };

struct calls_case {
	const char *name;
	void (*run)(int family); /* 4 or 6 */
	enum calls_families families;
};

/* One for each file of cases; a case without name is the last. */
extern const struct calls_case calls_names[], calls_connect[], calls_listen[], calls_data[],
	calls_urgent[], calls_end[], calls_reset[], calls_option[], calls_ready[], calls_process[],
	calls_big[], calls_udp[], calls_udp_more[], calls_udp_error[], calls_group[];

/* ---- the network, as selftests/resoa_calls.sh makes it; by family */
const char *peer_of(int family);    /* the peer, on the server's link */
const char *own_of(int family);	    /* the server's, so the program's too */
const char *far_of(int family);	    /* an address of the peer, not on the link */
const char *leaves_of(int family);  /* likewise, until the peer takes it away */
const char *silent_of(int family);  /* nobody there answers: the peer drops */
const char *refuses_of(int family); /* the peer says: host unreachable */
const char *filters_of(int family); /* the peer says: prohibited */
const char *absent_of(int family);  /* on the link, nobody has it */
const char *noroute_of(int family); /* the server has no route */
const char *foreign_of(int family); /* somebody's */
const char *any_of(int family);
const char *loop_of(int family);
#define CLOSED_PORT 9	 /* nobody listens there */
#define TAKEN_PORT  4499 /* another program of the server listens there */
#define OWN_PORT    4401 /* and those after it: for cases to bind */

/* ---- what is said */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A call's text, and its result or error: returns the result. */
long did(const char *text, long result);
#define DO(call) did(#call, call)
const char *error_name(int error); /* 0, ECONNREFUSED, ... */
/* The same of a call that makes a descriptor, whose number is not said. */
int made(const char *text, int fd);
#define MADE(call) made(#call, call)
/* Fails the case: what it stands on is not there. */
long must(const char *text, long result);
#define MUST(call) must(#call, call)
/* Reads: the result and the bytes (long ones as a hash). */
long did_read(const char *text, long result, const void *bytes);
#define DO_READ(call, bytes) did_read(#call, call, bytes)

/* ---- names */
/* A port that is said by a word from now on; others that are not fixed are "auto". */
void know(int port, const char *word);
void say_name(const char *what, const struct sockaddr *name, socklen_t len);
void say_local(int fd);	 /* getsockname */
void say_remote(int fd); /* getpeername */
int port_of(int fd);
socklen_t make_name(const char *address, int port, struct sockaddr_storage *name);
int connect_to(int fd, const char *address, int port);
int bind_to(int fd, const char *address, int port);
long send_to(int fd, const char *address, int port, const char *text);
/* recvfrom() with who it was from. */
long say_from(int fd);

/* ---- the peer (resoa_peer.c) */
const char *peer(const char *format, ...) __attribute__((format(printf, 1, 2))); /* its answer */
void peer_ask(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *peer_answer(void);
/* Says the command's first word and the answer. */
void peer_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says whether the peer has accepted one from fd's own names. */
void peer_accepts(int fd);
int peer_port(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- sockets */
int tcp(int family);
int udp(int family);
/* A TCP connection that the peer has accepted. */
int tcp_open(int family);
int tcp_open_to(int family, const char *address);
/* One that the peer made to a listener here; both ends quiet. */
int tcp_accepted(int family, int *listener);
int tcp_listener(int family, int backlog);
/* Waits 2 s at most, and says what poll() says; ready_quiet() waits only. */
void ready(int fd, short events);
bool ready_quiet(int fd, short events);
void ready_after(int fd, short events, int wait_ms);
void say_error(int fd);		    /* SO_ERROR */
void say_state(int fd, int state);  /* waits until TCP_INFO says so */
void wait_bytes(int fd, int bytes); /* until FIONREAD says so many */
void wait_acknowledged(int fd);	    /* until SIOCOUTQ is 0 */
long dissolve(int fd);		    /* connect to AF_UNSPEC */
void set(int fd, int level, int name, int value);
void say_option(const char *text, int fd, int level, int name);
#define SAY_OPTION(fd, level, name) say_option(#level " " #name, fd, level, name)
/* Sets it, and says what the call and a look say. */
void set_option(const char *text, int fd, int level, int name, int value);
#define SET_OPTION(fd, level, name, value) set_option(#level " " #name, fd, level, name, value)
void nap(int milliseconds);
/* close() of a connection, and a bind to port 0, return before the server has heard of them, by one
 * way of the LHP. The peer is told by another way, and would be too early. */
void settle(void);

#endif
