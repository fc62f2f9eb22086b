/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * isthmus-resoa: the client's daemon. Programs run in a namespace A whose sockets are the kernel's
 * own; their far ends are this daemon's, in a namespace W where every address is local
 * (maps/resoa.h). What a program calls comes as an event, goes to the server as an EP message
 * (agents/lib/ep.h), and its answer is played back as the network would: a SYN-ACK, a RST, ICMP.
 *
 *   net.c      the namespaces, addresses and routes
 *   program.c  loads the BPF programs, drains the ring
 *   server.c   the LHP connection, registration
 *   rsock.c    the tables of sockets
 *   syn.c      connects that wait
 *   listen.c   listeners
 *   knock.c    whether a listener takes one more
 *   tcp.c      relays a connection's bytes: relay.c, credit.c; timeout.c
 *   udp.c      datagrams, groups, ICMP errors
 *   frame.c    RST and ICMP, byte by byte
 *   option.c   options that programs set
 *   gone.c     sockets that ended
 *   notify.c   system calls of programs under `run`, by the filter of filter.c
 *   bind.c     whose ports are bound
 *   reserve.c  ports that are the whole host's
 *   value.c    getsockopt() of what the server knows better
 *   heard.c    listen() until the server listens
 *   control.c  the control sockets, the server's files
 *   status.c   what show, stats and status tell
 *   run.c      run, shell: the program's side
 */
#ifndef ISTHMUS_RESOA_H
#define ISTHMUS_RESOA_H

#include <event2/event.h>
#include <jansson.h>

#include "../../maps/resoa.h"
#include "../lib/ep.h"
#include "../lib/lhp.h"
#include "settings.h"

struct resoa;
struct rsock;
struct udp;
struct options;
struct knocks;
struct reserves;

/* ---- net.c */
enum net_place { NET_HOME, NET_A, NET_W };

struct net {
	int ns[3];		/* descriptors of the namespaces, by enum net_place */
	uint64_t cookie[3];	/* of the namespaces */
	unsigned int e0, w0;	/* ifindex in A and in W */
	int packet_a, packet_w; /* AF_PACKET, to send frames on e0 and w0 */
	uint8_t mac[6];		/* of both ends */
	bool whole_host;
	char congestion[RESOA_NAME_BYTES]; /* default of A */
	struct mnl_socket *link[3];	   /* rtnetlink of A and W, by enum net_place */
	json_t *addresses, *routes;	   /* those that are set */
	char port_range[32];		   /* the host's own, under whole_host */
};

/* Makes A and W as the server has told (REGISTERED). 0, or a negative errno and a line in error. */
int net_open(struct net *net, const struct settings *settings, const json_t *registered,
	     char *error, size_t error_len);
int net_change(struct net *net, const json_t *changed);
void net_close(struct net *net);
/* The thread's namespace: the daemon is in W except where it says otherwise. */
int net_enter(const struct net *net, enum net_place place);
/* A socket made in a place; the thread stays where it is. -errno. */
int net_socket(const struct net *net, enum net_place place, int family, int type, int proto);

/* Sends a whole frame on the device of A or W. */
void net_frame(const struct net *net, enum net_place place, const uint8_t *frame, size_t len);

/* ---- program.c */
struct program;
struct program *program_load(struct resoa *resoa, char *error, size_t error_len);
void program_free(struct program *program);
int program_conf(struct program *program); /* what the server has told is different now */
/* Takes every event that is there: before data is forwarded, for events come before bytes. */
void program_drain(struct program *program);
int program_held(struct program *program, const struct resoa_syn *syn, enum resoa_held_state state);
void program_unheld(struct program *program, const struct resoa_syn *syn);
int program_world(struct program *program, enum resoa_slot slot, int fd);
/* Connections whose sockets of A are to end by their timers, which program_time_out() runs down. */
int program_timeout(struct program *program, const struct resoa_names *names, bool add);
void program_time_out(struct program *program);
/* How often that has found it. */
uint32_t program_timeout_seen(struct program *program, const struct resoa_names *names);
int program_port(struct program *program, const struct resoa_port_key *key, bool granted);
/* Nobody may bind it, not even where ports need no grant. */
void program_refuse(struct program *program, const struct resoa_port_key *key, bool refused);
void program_count(struct program *program, struct isthmus_count counts[RESOA_REASON_COUNT]);

/* ---- rsock.c: one socket that the server has, too */
/* RSOCK_SYN becomes RSOCK_CONNECT when the connection stands. */
enum rsock_kind {
	RSOCK_SYN,
	RSOCK_CONNECT,
	RSOCK_INCOMING,
	RSOCK_LISTENER,
	RSOCK_UDP,
	RSOCK_BIND,
	RSOCK_RESERVED,
	RSOCK_KINDS
};

struct rsock {
	uint32_t id;
	uint8_t kind;	/* enum rsock_kind */
	uint8_t family; /* 4, 6 */
	uint8_t proto;
	bool server_knows; /* a message of this rsockID was sent or came: CLOSE is due */
	uint32_t backlog;  /* of a listener */
	uint64_t cookie;   /* of the program's socket, 0: not known */
	struct resoa_names names;
	struct resoa *resoa;
	void *state; /* struct tcp, struct syn, struct udp: of its kind's file */
	struct rsock *by_id, *by_names, *by_cookie; /* chains of the tables */
};

struct rsocks;
struct rsocks *rsocks_new(void);
void rsocks_free(struct rsocks *rsocks);
/* id 0: a new one of the client's. NULL without memory or at the limit. */
struct rsock *rsock_new(struct resoa *resoa, uint32_t id, enum rsock_kind kind);
void rsock_set_names(struct rsock *rsock, const struct resoa_names *names);
void rsock_set_cookie(struct rsock *rsock, uint64_t cookie);
struct rsock *rsock_of_id(struct resoa *resoa, uint32_t id);
struct rsock *rsock_of_names(struct resoa *resoa, uint8_t proto, const struct resoa_names *names);
struct rsock *rsock_of_cookie(struct resoa *resoa, uint64_t cookie);
/* Forgets it here; tells the server: error 0 = CLOSE, else RESET; -1: the server knows. */
void rsock_end(struct rsock *rsock, int error);
/* The server that knew it is gone: nothing is told, and its rsockID is another. */
void rsock_lost(struct rsock *rsock);
/* each() may end the rsock that it is given, and no other; it makes none. */
void rsock_each(struct resoa *resoa, void (*each)(struct rsock *rsock, void *arg), void *arg);

/* ---- frame.c: what the network would say about a packet of A; bytes are whole frames */
size_t frame_rst(const uint8_t *syn, size_t len, uint8_t *out);
size_t frame_icmp(const uint8_t *packet, size_t len, uint8_t type, uint8_t code, uint32_t info,
		  uint8_t *out);
/* The ICMP error of which the kernel makes this errno; of one that none has, EHOSTUNREACH. */
size_t frame_error(const uint8_t *packet, size_t len, int error, uint8_t *out);
bool frame_has_icmp(int error);
/* A segment of A without data, and a datagram of A, as ICMP quotes them. */
size_t frame_segment(const struct net *net, uint8_t family, const struct resoa_names *names,
		     uint32_t sequence, uint8_t *out);
size_t frame_datagram(const struct net *net, const struct ep_name *from, const struct ep_name *to,
		      const void *payload, size_t len, uint8_t *out);
/* Makes a SYN's checksum, which the kernel had left to the device. */
void frame_checksum(uint8_t *frame, size_t len);
#define FRAME_MAX 1514

/* ---- what events and messages go to; each returns without blocking */
void syn_event(struct resoa *resoa, const struct resoa_event *event);
void syn_message(struct rsock *rsock, const struct ep_message *message); /* RESULT of CONNECT */
int syn_listen(struct resoa *resoa); /* the two listening sockets of W */
void syn_close(struct resoa *resoa);
void syn_lost(struct rsock *rsock); /* the server is gone: its SYN comes again */
/* A transparent TCP socket of W, not yet bound, with what its far end in A must not see set. */
int syn_socket(struct resoa *resoa, uint8_t family);
void syn_free(struct rsock *rsock); /* by rsock_end() */
void tcp_event_read(struct resoa *resoa, const struct resoa_event *event);
void listen_event(struct resoa *resoa, const struct resoa_event *event);
void listen_event_end(struct resoa *resoa, const struct resoa_event *event);
void listen_message(struct rsock *listener, const struct ep_message *message);
/* A server has registered us, again perhaps: what listens in A is told to it. */
void listen_registered(struct resoa *resoa);
void tcp_message(struct rsock *rsock, const struct ep_message *message);
void tcp_incoming(struct rsock *listener, const struct ep_message *message);
/* The far end of a program's connection: fd is a connected socket of W. */
int tcp_start(struct rsock *rsock, int fd);
/* How many connections of this listener's wait for room in its queue. */
unsigned int tcp_connecting(struct resoa *resoa, uint32_t listener);
void tcp_writable(struct resoa *resoa); /* the LHP has room again */
void tcp_end(struct rsock *rsock);	/* by rsock_end(): A sees a RST if it still talks */
void tcp_close(struct resoa *resoa);
void tcp_lost(struct resoa *resoa); /* the server is gone, and all connections with it */
int udp_open(struct resoa *resoa);
void udp_event_bound(struct resoa *resoa, const struct resoa_event *event);
void udp_message(struct rsock *rsock, const struct ep_message *message);
void udp_writable(struct resoa *resoa); /* the LHP has room again */
void udp_end(struct rsock *rsock);	/* by rsock_end() */
/* The program's socket has ended; another may have its port already. */
void udp_gone(struct rsock *rsock);
/* Forwards what A has sent until now. */
void udp_drain(struct resoa *resoa);
json_t *udp_counts(const struct resoa *resoa); /* of datagrams and ICMP errors */
void udp_close(struct resoa *resoa);
void udp_registered(struct resoa *resoa); /* a server knows nothing of what was bound before */
void option_event(struct resoa *resoa, const struct resoa_event *event);
/* Options that were set before the rsockID was known to the server: sends them, in order. */
void option_send(struct rsock *rsock);
void option_gone(struct resoa *resoa, uint64_t cookie); /* the program's socket has ended */
void option_close(struct resoa *resoa);
/* SKNLGRP_INET*_DESTROY of A, after net_open(). What ended with its program's socket: binds, UDP,
 * listeners; for a connect it calls syn_gone(). */
int gone_open(struct resoa *resoa);
void gone_close(struct resoa *resoa);
/* The program's socket ended: while it connects, the server's attempt ends. Nothing once the
 * connection stands, for then its end in W tells. */
void syn_gone(struct rsock *rsock);
/* At the daemon's start; no ports are granted yet. */
int bind_open(struct resoa *resoa);
void bind_close(struct resoa *resoa);
/* After REGISTERED: ports that need no asking; what is bound already is reserved again. */
void bind_registered(struct resoa *resoa);
/* The LHP connection is over: who waits gets ENETDOWN. */
void bind_lost(struct resoa *resoa);
/* BIND of a program's socket: done() with 0 or an errno, maybe from inside. `both`: an IPv6 socket
 * that takes IPv4, too. */
typedef void (*bind_done)(struct resoa *resoa, int error, void *arg);
void bind_ask(struct resoa *resoa, uint64_t cookie, const struct ep_name *name, bool both,
	      bind_done done, void *arg);
void bind_reuse(struct resoa *resoa, uint64_t cookie, bool on);	       /* SO_REUSEADDR was set */
void bind_event(struct resoa *resoa, const struct resoa_event *event); /* BOUND */
void bind_gone(struct resoa *resoa, uint64_t cookie);
/* Sockets that are bound; `each` may not change that. */
void bind_each(struct resoa *resoa, void (*each)(uint64_t cookie, void *arg), void *arg);
void bind_message(struct rsock *rsock, const struct ep_message *message);
/* KNOCK: may a peer connect? A's kernel is asked. */
void knock_message(struct rsock *listener, const struct ep_message *message);
void knock_destroy(const struct rsock *listener); /* the server has none: its program is told */
void knock_close(struct resoa *resoa);
/* After REGISTERED and CHANGED: reserves what the server's settings grant. */
void reserve_registered(struct resoa *resoa);
void reserve_message(struct rsock *rsock, const struct ep_message *message);
/* This listener has ended at the server. */
void reserve_renew(struct resoa *resoa, const struct rsock *ended);
void reserve_lost(struct resoa *resoa);
void reserve_close(struct resoa *resoa);
struct notify;
/* `listener`: of seccomp(2), SECCOMP_FILTER_FLAG_NEW_LISTENER; taken. */
int notify_add(struct resoa *resoa, int listener);
void value_message(struct rsock *rsock, const struct ep_message *message); /* VALUE */
void heard_result(const struct rsock *rsock, int error); /* RESULT of LISTEN: an errno */
void notify_close(struct resoa *resoa);
/* The control socket (show, stats, status) and, beside it with ".run" at its name's end, that of
 * run and shell. At the daemon's start: who asks before REGISTERED is told so. */
int control_open(struct resoa *resoa, char *error, size_t error_len);
void control_close(struct resoa *resoa);
void control_registered(struct resoa *resoa); /* REGISTERED, CHANGED: the server's files */

/* What `show` tells of a connection. */
struct tcp_figures {
	const char *state;
	uint64_t sent, received; /* bytes of the program, and for it */
	uint64_t credit;	 /* bytes that the server may send beyond those */
};
void tcp_figures(const struct rsock *rsock, struct tcp_figures *figures);

/* ---- server.c: the LHP connection, for ever tried again */
int server_open(struct resoa *resoa, char *error, size_t error_len);
void server_close(struct resoa *resoa);
/* Whether a call may wait for a server: it is long since there was one = no. */
bool server_hopes(const struct resoa *resoa);
/* An address of the server's, as it has told; true if it has not yet. */
bool server_is_own(const struct resoa *resoa, const struct ep_name *name);
/* daemon.c: A, W and all that needs them, at the first registration. */
int daemon_registered(struct resoa *resoa, char *error, size_t error_len);

/* The daemon. */
struct resoa {
	struct event_base *base;
	const struct settings *settings;
	struct lhp_identity identity;
	struct net net;
	struct program *program;
	struct lhp *lhp; /* NULL: not registered */
	json_t *registered;
	struct rsocks *rsocks;
	struct udp *udp;	 /* of udp_open() */
	struct options *options; /* of the first event; NULL before */
	struct binds *binds;
	struct reserves *reserves; /* NULL: not a whole host */
	struct knocks *knocks;	   /* of the first KNOCK; NULL before */
	struct notify *notifies;
	struct gone *gone;
	struct control *control;
	struct server *server;
	struct syns *syns;
	struct tcps *tcps;
	struct timeouts *timeouts;
	uint32_t ping_us;    /* a PING and its PONG, both daemons included; 0: none yet */
	uint64_t refused[8]; /* why calls failed here: see status.c */
};

/* Installed set-user-ID root, files that the caller names are opened as the caller, who also is
 * who does all that is not `run` or `shell`. */
void run_lower(void);
void run_raise(void);
int run_as_caller(void);					       /* for ever */
int resoa_daemon(const struct settings *settings);		       /* main loop: an exit code */
int resoa_run(const struct settings *settings, char **words);	       /* run, shell */
int resoa_ask(const struct settings *settings, int argc, char **argv); /* show, stats, status */

#endif
