/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps/resoa.h - the contract of the `resoa` datapath (ReSoA paper; sections are its own).
 *
 * The client's daemon has two network namespaces, joined by a veth pair. In A (`e0`) are the
 * programs, whose sockets are the kernel's own; it has the server's addresses. In W (`w0`) every
 * address is local, and the daemon's sockets there are the far ends of A's. So a call on a socket
 * of A is seen by these programs, told by an event, and asked of the server by the daemon.
 *
 *   map             key                 value            written by               full
 *   resoa_conf      0                   resoa_conf       daemon                   -
 *   resoa_held      resoa_syn           resoa_held       BPF makes, daemon says   LRU
 *   resoa_world     enum resoa_slot     a socket of W    daemon (sockmap)         -
 *   resoa_port      resoa_port_key      __u32 count      daemon, 0: refused       refused
 *   resoa_socket    a socket of A       resoa_socket     BPF (storage)            no events of it
 *   resoa_timeout   resoa_names         __u32 seen       daemon; BPF counts       reset instead
 *   resoa_fin       a socket, server    resoa_fin        daemon arms, opens; BPF  -
 *   resoa_stats     enum resoa_reason   isthmus_count    BPF, per CPU             -
 *   resoa_event     -                   resoa_event      BPF (ring buffer)        lost, counted
 *   resoa_knock     -, server           resoa_event      BPF (ring buffer)        let in unasked
 *   resoa_pace      0, server           resoa_pace       BPF                      -
 *
 * At e0 the program is a clsact filter: a program of TCX cannot take a packet.
 *
 * Nothing is pinned: all of it belongs to sockets that end with their daemon, which loads these
 * programs itself.
 *
 * One ring for all: events are in the order of the calls, so that the daemon, which drains it
 * before it forwards data, tells the server of a listen() before the bytes that name its port.
 *
 * Byte order: __be16 and addresses are wire order, everything else is the host's.
 */
#ifndef ISTHMUS_MAPS_RESOA_H
#define ISTHMUS_MAPS_RESOA_H

#include "common.h"

#define RESOA_ABI 1

#define RESOA_HELDS	   65536
#define RESOA_PORTS	   65536
#define RESOA_TIMEOUTS	   16384
#define RESOA_EVENT_BYTES  (1 << 22)
#define RESOA_PACE	   256 /* in each of these units: 3,800 a second */
#define RESOA_PACE_BITS	   26
#define RESOA_KNOCK_BYTES  (1 << 18) /* SYNs that wait for the daemon: some 800 */
#define RESOA_FRAME_BYTES  192	     /* a SYN with all its headers: 14 + 60 + 60, or 14 + 40 + 60 */
#define RESOA_OPTION_BYTES 168	     /* of an option, its beginning: a group_source_req's IPv6 */
#define RESOA_NAME_BYTES   16	     /* of a congestion control, with its 0: TCP_CA_NAME_MAX */
#define RESOA_READ_STEP	   32768     /* a READ event at least each so many bytes */
#define RESOA_FIN_MARK	   0x5250    /* skb->mark of what the daemon sends to itself */

/* X(name, verdict, text): as in the other datapaths. NONE: counted beside another. */
#define RESOA_REASONS(X)                                                                           \
	X(OTHER, PASS, "not for us")                                                               \
	X(SYN_HELD, TAKEN, "a connect: its SYN is kept until the server has connected")            \
	X(SYN_AGAIN, TAKEN, "the same SYN again, while the server connects")                       \
	X(SYN_PASSED, PASS, "a SYN whose connection the server has")                               \
	X(SYN_SILENT, TAKEN, "a SYN that nobody answers: the server's timed out")                  \
	X(SYN_LOST, TAKEN, "a SYN that the daemon could not be told of: it comes again")           \
	X(MALFORMED, DROP, "lengths or headers contradict each other")                             \
	X(STEERED, NONE, "given to the daemon's socket in W")                                      \
	X(UNSTEERED, NONE, "no socket of the daemon for it")                                       \
	X(BIND_AUTO, NONE, "bind to port 0: a port of the leased block")                           \
	X(BIND_GRANTED, NONE, "bind to a port that the server granted")                            \
	X(BIND_REFUSED, NONE, "bind to a port that it did not grant: EADDRINUSE")                  \
	X(BOUND, NONE, "sockets bound")                                                            \
	X(LISTEN, NONE, "listen")                                                                  \
	X(OPTION, NONE, "options told to the server")                                              \
	X(READ, NONE, "reads told to the server")                                                  \
	X(FIN_HELD, PASS, "a FIN taken away, and told")                                            \
	X(FIN_AGAIN, PASS, "a FIN taken away, told before")                                        \
	X(FIN_EARLY, PASS, "a FIN taken away and not told: its repetition is")                     \
	X(FIN_OPENED, PASS, "the daemon's own FIN: the client has all data")                       \
	X(FIN_PASSED, PASS, "a FIN at an open gate")                                               \
	X(FIN_SENT, SEND, "the daemon's FIN or SYN on its way to ourselves")                       \
	X(FIN_TIMEOUT, NONE, "gates opened by time, not by delivery")                              \
	X(KNOCK_HELD, DROP, "a peer's SYN, kept until the client was asked")                       \
	X(KNOCK_LET_IN, PASS, "a kept SYN that the daemon has sent again")                         \
	X(KNOCK_UNASKED, PASS, "a peer's SYN let in unasked: a flood, or nothing can be kept")     \
	X(EVENT_LOST, NONE, "events that the daemon was too slow to read")

enum resoa_reason {
#define RESOA_REASON_ENUM(name, verdict, text) RESOA_##name,
	RESOA_REASONS(RESOA_REASON_ENUM)
#undef RESOA_REASON_ENUM
		RESOA_REASON_COUNT,
};

struct resoa_conf {
	__u32 abi;
	__u32 open_binds; /* 1: a port that is not in resoa_port may be bound, too */
	__u64 client;	  /* netns cookie of A */
	__u64 world;	  /* netns cookie of W */
	/* Default congestion controls: getsockopt() tells the server's where A has its own. */
	char congestion_a[RESOA_NAME_BYTES], congestion[RESOA_NAME_BYTES];
};

_Static_assert(sizeof(struct resoa_conf) == 56, "resoa_conf is an ABI");

/* A socket's two names as A sees them. IPv4 is mapped. */
struct resoa_names {
	struct isthmus_addr local, remote;
	__be16 local_port, remote_port;
};

_Static_assert(sizeof(struct resoa_names) == 36, "resoa_names is an ABI");

/* One connect. With its sequence number, for a repetition is no new connect. */
struct resoa_syn {
	struct resoa_names names;
	__be32 isn;
};

_Static_assert(sizeof(struct resoa_syn) == 40, "resoa_syn is an ABI");

enum resoa_held_state {
	RESOA_WAITS,	/* the server was asked */
	RESOA_PASSES,	/* it has connected: the kept SYN, sent again by the daemon, goes to W */
	RESOA_IS_SILENT /* its connect timed out: so does A's */
};

struct resoa_held {
	__u32 state; /* enum resoa_held_state */
	__u32 again; /* repetitions */
};

/* The daemon's sockets in W that are given all packets of A. */
enum resoa_slot { RESOA_TCP4, RESOA_TCP6, RESOA_UDP4, RESOA_UDP6, RESOA_SLOTS };

struct resoa_port_key {
	__be16 port;
	__u8 proto;  /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 family; /* 4 or 6 */
};

_Static_assert(sizeof(struct resoa_port_key) == 4, "resoa_port_key is an ABI");

/* Of a socket of A, from its creation; copied to what it accepts. */
struct resoa_socket {
	__u64 cookie; /* that of the socket that was created: an accepted one's is its listener's */
	__u64 read;   /* bytes that the program has read, as of the last READ event */
	__u64 chosen; /* 1: the program has set TCP_CONGESTION to what is A's default */
};

enum resoa_fin_state { RESOA_FIN_OFF, RESOA_FIN_ARMED, RESOA_FIN_HELD_BACK, RESOA_FIN_OPEN };

/*
 * R10 (4.3): of a TCP socket of the server, or of a listener for what it accepts. The daemon writes
 * ARMED before connect() or listen(), and OPEN when the client has all data. HELD_BACK is BPF's.
 */
struct resoa_fin {
	__u32 state;   /* enum resoa_fin_state */
	__u32 fin_seq; /* sequence number of the FIN */
	__u64 at;      /* how many bytes come before it, since the connection stands */
	__u32 window;  /* of the segment, as it stood there */
	__u32 again;   /* repetitions */
	__u32 ifindex; /* where it came in: the daemon's own goes there */
	__u32 asks;    /* of a listener: a peer's SYN is kept until the client was asked */
};

_Static_assert(sizeof(struct resoa_fin) == 32, "resoa_fin is an ABI");

/* How many SYNs have been kept lately; more than RESOA_PACE are let in unasked. */
struct resoa_pace {
	__u64 time; /* CLOCK_MONOTONIC, in units of 2^RESOA_PACE_BITS ns (67 ms) */
	__u32 count;
	__u32 pad;
};

_Static_assert(sizeof(struct resoa_pace) == 16, "resoa_pace is an ABI");

enum resoa_event_type {
	RESOA_EVENT_SYN = 1,  /* names, cookie, frame */
	RESOA_EVENT_BOUND,    /* names.local, cookie */
	RESOA_EVENT_LISTEN,   /* names.local, cookie, number = backlog */
	RESOA_EVENT_OPTION,   /* names (zero before connect), cookie, level, name, value */
	RESOA_EVENT_UNLISTEN, /* cookie: close(), or shutdown() of a listener */
	RESOA_EVENT_READ,     /* names, number = bytes read since the connection stands */
	RESOA_EVENT_FIN,   /* server: names (local is the server's), cookie, number = at. cookie 0:
			      not accepted, or nobody has asked for the cookie yet */
	RESOA_EVENT_KNOCK, /* server, resoa_knock: names, cookie of the listener, frame, number =
			      ifindex, level = where TCP begins in it, name = its length */
};

struct resoa_event {
	__u8 type;   /* enum resoa_event_type */
	__u8 family; /* 4 or 6 */
	__u8 proto;  /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 pad;
	__u32 pid; /* process whose call it is, 0 if none's */
	__u64 cookie;
	__u64 number;
	struct resoa_names names;
	__be32 isn;	   /* SYN */
	__s32 level, name; /* OPTION, KNOCK */
	__u32 length;	   /* of bytes */
	__u8 bytes[RESOA_FRAME_BYTES];
};

_Static_assert(sizeof(struct resoa_event) == 24 + 36 + 16 + RESOA_FRAME_BYTES + 4,
	       "resoa_event is an ABI");

#endif
