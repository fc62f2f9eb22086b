/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * isthmus-resoad: the server. It has the addresses; clients' calls come as EP messages
 * (agents/lib/ep.h) and are made here, on sockets of its own.
 *
 *   registry.c  which clients there are, their keys, addresses, ports, limits (registry.h)
 *   client.c    one registered client: its rsockIDs, its end        limit.c  its bytes
 *   lease.c     addresses of 1-to-1 clients by DHCP
 *   export.c    addresses, routes and files that clients are told
 *   port.c      whose each port is                    listen.c  listeners, INCOMING
 *   knock.c     peers' SYNs that wait for the client
 *   tcp.c       a connection: connect, bytes, credit   fin.c     R10: the gate of a peer's FIN
 *   udp.c       datagrams, ICMP errors, groups         option.c  options, checked
 *   policy.c    which destinations and options a client may use
 */
#ifndef ISTHMUS_RESOAD_H
#define ISTHMUS_RESOAD_H

#include <event2/event.h>
#include <jansson.h>

#include "../../maps/resoa.h"
#include "../lib/ep.h"
#include "../lib/lhp.h"
#include "../lib/prefix.h"
#include "settings.h"

struct resoad;
struct client;
struct client_port;
struct lease;
struct tcp;
struct listener;
struct knock;

/* ---- registry.c: the file of clients; one section each */
#define REGISTRY_RULES	 32
#define REGISTRY_GRANTED 32

struct rule {
	bool allow;
	uint8_t proto; /* 0 = any */
	struct prefix to;
	uint16_t low, high; /* ports, host order */
};

struct client_conf {
	struct lhp_identity identity;
	struct isthmus_addr address[2]; /* IPv4 mapped, IPv6; all zero = the server's own */
	bool own[2];			/* 1-to-1: nobody else's; all its ports are the client's */
	bool alone;			/* 1-to-1: has no share of what others share */
	bool has_key;
	bool dhcp; /* 1-to-1, IPv4 address by DHCP for `mac` */
	uint8_t mac[6];
	uint16_t port_low, port_high;	    /* leased block, host order */
	uint16_t granted[REGISTRY_GRANTED]; /* single ports that only this client may bind */
	unsigned int granted_count;
	unsigned int sockets; /* at most, at one time */
	uint64_t rate;	      /* bytes/s, 0 = no limit */
	uint64_t bytes;	      /* in all until the daemon's end, 0 = no limit */
	bool any_port;	      /* may bind any free port */
	struct rule rules[REGISTRY_RULES];
	unsigned int rule_count; /* first match; none = allowed */
};

/* An address that the server's clients have in common; i: 0 IPv4, 1 IPv6. */
static inline bool client_shares(const struct client_conf *conf, int i)
{
	return !conf->own[i] && !conf->alone;
}

struct registry;
struct registry *registry_read(const char *path, const struct settings *settings, char *error,
			       size_t error_len);
void registry_free(struct registry *registry);
const struct client_conf *registry_find(const struct registry *registry, const char *name);
/* The n-th in the order of names, or NULL. */
const struct client_conf *registry_get(const struct registry *registry, unsigned int n);
/* Appends a section with a fresh key, which is copied to identity. -EEXIST, -EINVAL, as open(2). */
int registry_add(const char *path, struct lhp_identity *identity);

/* ---- client.c */
enum sock_kind { SOCK_NEW, SOCK_BOUND, SOCK_CONNECTING, SOCK_CONNECTED, SOCK_LISTENER, SOCK_UDP };

/* One rsockID. */
struct sock {
	uint32_t id;
	uint8_t kind; /* enum sock_kind */
	uint8_t family, proto;
	int fd; /* -1: none yet */
	uint64_t cookie;
	struct ep_name local, remote;
	struct client *client;
	struct event *event;
	void *state;   /* struct tcp, struct listener, struct udp: of its kind's file */
	void *options; /* option.c: those that came before the socket was made */
	bool has_port; /* port_take() was done for `local` */
	struct client_port *counted;
	struct sock *next, *by_cookie;
	/* fin.c: gates that are held, the oldest first. */
	uint64_t held_ns;
	struct sock *held_before, *held_after;
};

#define CLIENT_ENDED 1024 /* a power of 2 */

/* bind.c: TCP sockets of a client with this local port. shared: all have SO_REUSEPORT, and those
 * that come get it. */
struct client_port {
	uint32_t sockets : 31, shared : 1;
};

struct client {
	struct resoad *resoad;
	const struct client_conf *conf;
	struct lhp *lhp;
	bool registered;
	struct lease *lease; /* lease.c: since REGISTER, of one with `dhcp` */
	struct sock **table; /* by id, chained */
	unsigned int table_size, socks;
	uint32_t next_id; /* of connections that come: EP_OF_SERVER | next_id */
	/* What ended last, by the low bits of its id: messages that were on their way make no new
	 * one. */
	uint32_t ended[CLIENT_ENDED];
	uint64_t bytes_in, bytes_out, refused; /* for the client; of it */
	/* tcp.c: connections that have bytes for the client, and how many of them in this turn. */
	struct tcp *ready, *ready_last;
	struct listener *paused;   /* listen.c: until a socket ends */
	struct client_port *ports; /* by local port, as it is on the wire; NULL: none yet */
	struct knock *knocks;	   /* knock.c: SYNs that wait for it */
	unsigned int knock_count;
	uint32_t next_knock;
	size_t quantum;
	int64_t tokens; /* bytes that may go at once, with a rate */
	uint64_t filled_ns;
	struct event *refill, *over;
	bool spent;	    /* limit.c: its total is used up, and that is known */
	const char *ending; /* why it is ended as soon as that is safe */
	json_t *told;	    /* what REGISTERED and CHANGED have said */
	struct client *next;
};

void client_accepted(struct lhp *lhp, void *arg);	   /* lhp_accepted */
struct sock *sock_new(struct client *client, uint32_t id); /* NULL: at a limit; RESET was sent */
struct sock *sock_find(struct client *client, uint32_t id);
struct sock *sock_of_cookie(struct resoad *resoad, uint64_t cookie);
void sock_set_fd(struct sock *sock, int fd);
int sock_give_fd(struct sock *sock); /* it has none any more */
/* Forgets it and closes its socket. error: 0 CLOSE, else RESET is sent; -1: the client knows. */
void sock_end(struct sock *sock, int error);
void sock_result(struct sock *sock, int error); /* RESULT with the socket's local name */
/* Closes the connection, soon: may be called from anywhere. `why` stays. */
void client_end(struct client *client, const char *why);
/* The same at once: not by what the client itself has called. */
void client_refuse_now(struct client *client, const char *why);
/* What it waited for is there: REGISTERED. */
void client_register(struct client *client);
/* `all` that it knows now; it is sent `body` of it. */
void client_tell(struct client *client, uint8_t type, json_t *all, const json_t *body);
void client_reload(struct resoad *resoad, struct registry *fresh); /* takes it */
void client_free_all(struct resoad *resoad);
void client_each_sock(struct client *client, void (*each)(struct sock *sock, void *arg), void *arg);
/* A close() that follows tells the peer RST. */
void sock_abort(const struct sock *sock);

/* ---- limit.c */
uint64_t resoad_now_ns(void);
/* Token bucket and total: how many of `want` bytes may go now; a retry is arranged if fewer. */
size_t client_allowance(struct client *client, size_t want);
/* The same in two steps, where it is not known before how many there are. */
bool client_is_spent(const struct client *client); /* of its total nothing is left */
size_t client_may(struct client *client, size_t want);
void client_spend(struct client *client, size_t count);
void client_refilled(evutil_socket_t fd, short what, void *arg); /* client->refill */

/* ---- the rest: messages by type */
void tcp_connect(struct sock *sock, const struct ep_message *message);
void tcp_message(struct sock *sock,
		 const struct ep_message *message); /* DATA ... CLOSE, ACCEPTED */
int tcp_start(struct sock *sock);		    /* fd is connected: bytes flow within credit */
void tcp_writable(struct client *client);
void tcp_end(struct sock *sock);
/* Both ends have said FIN, and nothing is on its way: it may be closed in order. */
bool tcp_is_done(const struct sock *sock);
/* A connection that a listener accepted; it is told to the client, and waits for ACCEPTED. */
int tcp_incoming(struct sock *sock);
int tcp_open(struct resoad *resoad);
void tcp_close(struct resoad *resoad);
void listen_message(struct sock *sock, const struct ep_message *message);
void listen_end(struct sock *sock);
int listen_second_fd(const struct sock *sock); /* of IPv4, of a listener at `::`; or -1 */
void listen_room(struct client *client);       /* a socket has ended: one more may be accepted */
/* The listener of one of whose sockets this is the cookie. */
struct sock *listen_of_cookie(struct resoad *resoad, uint64_t cookie);
/* Tells the client of all that have come until now. False: one more may not wait here. */
bool listen_accept(struct sock *sock);
/* DATAGRAM, GROUP, and LISTEN of UDP (its name's proto). */
void udp_message(struct sock *sock, const struct ep_message *message);
void udp_end(struct sock *sock);
void udp_writable(struct client *client);
void option_message(struct sock *sock, const struct ep_message *message); /* OPTION, ASK */
/* Those that were told before the socket was made are applied by sock_set_fd(). */
void option_apply(struct sock *sock);
bool option_v6only(const struct sock *sock); /* the program has set IPV6_V6ONLY */
void option_end(struct sock *sock);	     /* by sock_end() */
bool policy_allows(const struct client_conf *conf, uint8_t proto, const struct ep_name *to);
/* Where it really goes: 192.0.0.8, port 53, is the name server on the server's own loopback. */
void policy_destination(const struct resoad *resoad, const struct ep_name *to,
			struct ep_name *real);
/* How the client names what is really there: the other way round, for sources of answers. */
void policy_source(const struct resoad *resoad, const struct ep_name *real, struct ep_name *name);
/* The address that a socket of the client is bound to: `wanted`, or its own of that family if
 * that is any. 0, -EADDRNOTAVAIL, -EAFNOSUPPORT: it has none of that family. */
int policy_local(const struct client *client, const struct ep_name *wanted, struct ep_name *local);

/* ---- port.c: exclusive between clients */
struct ports *ports_new(void);
void ports_free(struct ports *ports);
/* `name` as of policy_local(). 0 or -EADDRINUSE, -EACCES; as often as it is released. */
int port_take(struct client *client, const struct ep_name *name);
/* Of its block, or of an address of its own: no other client can have it. */
bool port_is_leased(const struct client *client, const struct ep_name *name);
void port_release(struct client *client, const struct ep_name *name);
unsigned int port_count(const struct client *client, const struct ep_name *name);
struct sock *port_bound(const struct client *client, const struct ep_name *name);
void port_set_bound(struct client *client, const struct ep_name *name, struct sock *sock);
void port_release_all(struct client *client);
/* The socket that BIND made for this name, for the first CONNECT or LISTEN of it: -1 or the
 * caller's. */
int bind_socket(struct client *client, const struct ep_name *name);
/* bind() of a TCP socket. Others of the client may have the name, too: its own kernel has let them
 * share it; nobody else's may. */
int bind_fd(struct client *client, int fd, const struct ep_name *name);
void bind_end(struct sock *sock);
void bind_count(struct sock *sock); /* it has a descriptor and a local name */
void bind_uncount(struct sock *sock);
void bind_message(struct sock *sock, const struct ep_message *message);

/* ---- fin.c */
struct fin;
struct fin *fin_load(struct resoad *resoad, char *error, size_t error_len);
void fin_free(struct fin *fin);
int fin_arm(struct fin *fin, int fd, bool listens); /* a listener, or before connect() */
/* A frame that comes in by that device, as if a peer had sent it. */
void fin_send(const struct fin *fin, unsigned int ifindex, const void *frame, size_t len);
int fin_knocks(const struct fin *fin); /* resoa_knock */
/* The client has all bytes: the peer's FIN is let in. */
void fin_open(struct fin *fin, struct sock *sock);
void fin_accepted(struct fin *fin, struct sock *sock);
const char *fin_state(const struct fin *fin, const struct sock *sock);
bool fin_needs_admin(const struct fin *fin);  /* to take its programs from the devices */
void fin_forget(struct sock *sock);	      /* by sock_end(), before its descriptor is closed */
void tcp_fin(struct sock *sock, uint64_t at); /* the peer has ended after so many bytes */
void fin_count(struct fin *fin, struct isthmus_count counts[RESOA_REASON_COUNT]);

/* ---- lease.c: the IPv4 addresses of clients with `dhcp` */
/* Before privileges are dropped. Nothing is opened where no client has it and dhcp-device is not
 * set: then no file with one can be read later, says lease_check(). */
int lease_open(struct resoad *resoad, char *error, size_t error_len);
int lease_check(const struct resoad *resoad, const struct registry *fresh, char *error,
		size_t error_len);
void lease_close(struct resoad *resoad);
/* 0: it has its address. -EAGAIN: client_register() or client_end() is called later. */
int lease_take(struct client *client);
void lease_drop(struct client *client);				   /* it is gone, and its sockets */
const struct isthmus_addr *lease_get(const struct client *client); /* all zero: none */
/* Is it a lease's? The server's own programs and other clients do not use it. */
bool lease_has(const struct resoad *resoad, const struct isthmus_addr *address);
json_t *lease_told(const struct client *client); /* for REGISTERED; NULL: none */
json_t *lease_json(const struct resoad *resoad, const struct client_conf *conf); /* for people */
unsigned int lease_count(const struct resoad *resoad);

/* ---- knock.c */
struct knocks;
int knock_open(struct resoad *resoad); /* after fin_load() */
void knock_close(struct resoad *resoad);
void knock_message(struct sock *sock, const struct ep_message *message); /* ADMIT */
/* The listener's sockets are closed: its peers are refused. */
void knock_refuse(struct client *client, uint32_t listener);

/* ---- export.c */
json_t *export_registered(struct resoad *resoad, struct client *client); /* REGISTERED's body */
int export_watch(struct resoad *resoad); /* CHANGED when routes or addresses do */
void export_tell(struct resoad *resoad); /* CHANGED, to those for whom something has */
void export_close(struct resoad *resoad);
/* The client's address of a family, 4 or 6: its own, or the server's. All zero: none. */
const struct isthmus_addr *export_address(const struct client *client, uint8_t family);
/* The name server on the server's loopback that clients know as 192.0.0.8. */
const struct isthmus_addr *export_resolver(const struct resoad *resoad);

#define RESOAD_COOKIES 16384 /* a power of 2 */

struct ports;
struct exports;
struct leases;
struct status;

struct resoad {
	struct event_base *base;
	const struct settings *settings;
	struct registry *registry;
	struct client *clients;
	struct fin *fin; /* NULL: no R10, for the programs could not be loaded */
	struct ports *ports;
	struct exports *exports;
	struct leases *leases;	  /* NULL: no address is leased here */
	struct knocks *knocks;	  /* NULL: SYNs do not wait */
	struct listener *doubles; /* listen.c: those with two sockets */
	struct event *turn;	  /* tcp.c */
	struct lhp_listener *listener[CONF_LIST_MAX];
	struct status *status;
	struct sock *by_cookie[RESOAD_COOKIES];
};

int resoad_run(const struct settings *settings); /* an exit code */

/* ---- status.c: the control socket; command.c: who asks it */
int status_listen(struct resoad *resoad, char *error, size_t error_len);
void status_close(struct resoad *resoad);
void tcp_figures(const struct sock *sock, json_t *object); /* tcp.c */
int command_run(const struct settings *settings, int argc, char **argv);
/* Reads the file of clients anew; 0, or a line in error and nothing has changed. */
int resoad_reload(struct resoad *resoad, char *error, size_t error_len);

#endif
