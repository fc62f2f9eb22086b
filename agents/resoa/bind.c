// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Whose ports are bound (ReSoA 4.3). A program's bind() to a fixed port waits until the server has
 * reserved that port (BIND); then the port is in resoa_port, and the kernel binds in A.
 *
 *	bind_ask ── BIND ──> RESULT ── resoa_port, done() ──> BOUND ──> the socket's end
 *	   waits                            granted (2 s)      bound       given back
 *
 * A hold is one name at the server, with its rsockID. A user is one socket of A that wants a name
 * or has it; a socket of IPv6 that takes IPv4 too has two. Without users a hold is given back: that
 * the kernel refused a bind after all (EADDRINUSE in A, EADDRNOTAVAIL) is told by nobody, so a user
 * that does not become BOUND in time counts no more.
 *
 * Not asked for: automatic ports, which are of the leased block, and loopback, which is A's. A
 *fixed port of the block is, for a program of the server may have it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "../lib/address.h"
#include "../lib/datagram.h"
#include "../lib/log.h"
#include "option.h"

#define BOUND_MS    2000 /* from a grant to BOUND */
#define SWEEP_MS    250
#define HOLD_CHAINS 1024
#define USER_CHAINS 4096
#define FILLED_MAX  4096 /* ports of the block that are written to resoa_port */

struct hold {
	struct ep_name name;
	struct rsock *rsock; /* BIND's; NULL: nothing is reserved at the server */
	bool local;	     /* needs no server */
	bool granted;
	bool reuse; /* SO_REUSEADDR */
	unsigned int users;
	struct hold *next;
};

struct user {
	uint64_t cookie;
	__be16 port;
	struct hold *hold[2];
	int error; /* of a hold that was refused */
	enum { WAITS, GRANTED, BOUND } state;
	uint64_t until_ms; /* GRANTED */
	bind_done done;	   /* WAITS; NULL: it is bound already */
	void *arg;
	struct user *next;
	TAILQ_ENTRY(user) line; /* of those that wait, or are granted */
};

TAILQ_HEAD(users, user);

struct binds {
	struct resoa *resoa;
	struct hold *hold[HOLD_CHAINS];
	struct user *user[USER_CHAINS];
	struct users waiting, granted;
	struct event *sweep;
	uint16_t low, high; /* the leased block, host order; 0: none */
	json_t *single;	    /* granted by REGISTERED: an array of ports */
};

static uint64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static bool in_block(const struct binds *binds, __be16 port)
{
	return binds->low && ntohs(port) >= binds->low && ntohs(port) <= binds->high;
}

static struct resoa_port_key port_key(const struct ep_name *name)
{
	return (struct resoa_port_key){ name->port, name->proto, name->family };
}

/* ---- resoa_port: what the cgroup's bind programs let pass. It counts. */

static void open_port(struct binds *binds, const struct ep_name *name, bool open)
{
	struct resoa_port_key key = port_key(name);
	int err = program_port(binds->resoa->program, &key, open);

	if (err)
		log_warn("port %d: %s", ntohs(name->port), strerror(-err));
}

static void fill_port(struct binds *binds, uint16_t port, bool open)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP }, families[] = { 4, 6 };

	for (int i = 0; i < 4; i++) {
		struct ep_name name = { .port = htons(port),
					.proto = protos[i / 2],
					.family = families[i % 2] };

		open_port(binds, &name, open);
	}
}

/* The block, unless it is so large that programs ask for each, and the single ports. */
static void fill_ports(struct binds *binds, bool open)
{
	const json_t *item;
	size_t i;

	for (unsigned int port = binds->low; port && port <= binds->high; port++)
		if (binds->high - binds->low < FILLED_MAX)
			fill_port(binds, (uint16_t)port, open);
	/* A whole host's are in when they are reserved: reserve.c. */
	json_array_foreach (binds->single, i, item)
		if (!binds->resoa->net.whole_host)
			fill_port(binds, (uint16_t)json_integer_value(item), open);
}

static void read_ports(struct binds *binds, const json_t *registered)
{
	const json_t *block = json_object_get(registered, "ports");

	fill_ports(binds, false);
	json_decref(binds->single);
	binds->low = (uint16_t)json_integer_value(json_array_get(block, 0));
	binds->high = (uint16_t)json_integer_value(json_array_get(block, 1));
	binds->single = json_incref(json_object_get(registered, "granted"));
	fill_ports(binds, true);
}

/* ---- holds */

/* One that is granted for all addresses will do for each. */
static struct hold *find_hold(struct binds *binds, const struct ep_name *name)
{
	for (struct hold *h = binds->hold[name->port % HOLD_CHAINS]; h; h = h->next) {
		struct resoa_port_key a = port_key(&h->name), b = port_key(name);

		if (!memcmp(&a, &b, sizeof(a)) &&
		    (address_equal(&h->name.address, &name->address) ||
		     (h->granted && !h->local && ep_name_is_any(&h->name))))
			return h;
	}
	return NULL;
}

/* Whether others may have the port, too. The first socket's word stands for all of its name. */
static void tell_reuse(const struct hold *hold)
{
	const int on = hold->reuse;
	const struct ep_message message = { .type = EP_OPTION,
					    .level = SOL_SOCKET,
					    .option = SO_REUSEADDR,
					    .body = &on,
					    .body_len = sizeof(on) };

	ep_send(hold->rsock->resoa->lhp, hold->rsock->id, &message);
}

/* 0: asked. */
static int ask_server(struct binds *binds, struct hold *hold)
{
	struct ep_message message = { .type = EP_BIND, .name = hold->name };
	struct resoa *resoa = binds->resoa;
	int err;

	if (!resoa->lhp)
		return ENETDOWN;
	hold->rsock = rsock_new(resoa, 0, RSOCK_BIND);
	if (!hold->rsock)
		return ENOBUFS;
	hold->rsock->family = hold->name.family;
	hold->rsock->proto = hold->name.proto;
	hold->rsock->state = hold;
	if (hold->reuse)
		tell_reuse(hold);
	err = ep_send(resoa->lhp, hold->rsock->id, &message);
	if (!err) {
		hold->rsock->server_knows = true;
		return 0;
	}
	rsock_end(hold->rsock, -1);
	hold->rsock = NULL;
	return -err;
}

static void free_hold(struct binds *binds, struct hold *hold)
{
	struct hold **at = &binds->hold[hold->name.port % HOLD_CHAINS];
	struct rsock *rsock = hold->rsock;

	while (*at != hold)
		at = &(*at)->next;
	*at = hold->next;
	if (hold->granted)
		open_port(binds, &hold->name, false);
	free(hold);
	if (rsock) {
		rsock->state = NULL;
		rsock_end(rsock, 0);
	}
}

/* Neither has the server reserved it, nor was it asked to. */
static bool is_idle(const struct hold *hold)
{
	return !hold->rsock && !hold->local;
}

static void drop_hold(struct binds *binds, struct hold *hold)
{
	if (hold && !--hold->users)
		free_hold(binds, hold);
}

static struct hold *new_hold(struct binds *binds, const struct ep_name *name)
{
	struct hold *hold = calloc(1, sizeof(*hold));

	if (!hold)
		return NULL;
	hold->name = *name;
	hold->next = binds->hold[name->port % HOLD_CHAINS];
	binds->hold[name->port % HOLD_CHAINS] = hold;
	hold->local = hold->granted = ep_name_is_loopback(name);
	if (hold->local)
		open_port(binds, name, true);
	return hold;
}

/* NULL: user->error says why. What is bound already is told as soon as there is a server. */
static struct hold *take_hold(struct binds *binds, const struct ep_name *name, struct user *user)
{
	struct hold *hold = find_hold(binds, name);
	int err = 0;

	if (!hold)
		hold = new_hold(binds, name);
	if (!hold) {
		user->error = ENOMEM;
		return NULL;
	}
	hold->users++;
	if (is_idle(hold)) {
		hold->reuse = option_int(binds->resoa, user->cookie, SOL_SOCKET, SO_REUSEADDR, 0);
		err = ask_server(binds, hold);
	}
	if (!err || !user->done)
		return hold;
	user->error = err;
	drop_hold(binds, hold);
	return NULL;
}

/* ---- users */

static struct user **user_chain(struct binds *binds, uint64_t cookie)
{
	return &binds->user[cookie % USER_CHAINS];
}

static struct user *find_user(struct binds *binds, uint64_t cookie)
{
	struct user *user = *user_chain(binds, cookie);

	while (user && user->cookie != cookie)
		user = user->next;
	return user;
}

static void leave_line(struct binds *binds, struct user *user)
{
	if (user->state == WAITS)
		TAILQ_REMOVE(&binds->waiting, user, line);
	else if (user->state == GRANTED)
		TAILQ_REMOVE(&binds->granted, user, line);
}

static void free_user(struct binds *binds, struct user *user)
{
	struct user **at = user_chain(binds, user->cookie);

	while (*at != user)
		at = &(*at)->next;
	*at = user->next;
	leave_line(binds, user);
	drop_hold(binds, user->hold[0]);
	drop_hold(binds, user->hold[1]);
	free(user);
}

static void grant(struct binds *binds, struct user *user)
{
	const struct timeval wait = { .tv_usec = SWEEP_MS * 1000 };

	leave_line(binds, user);
	user->state = GRANTED;
	user->until_ms = now_ms() + BOUND_MS;
	TAILQ_INSERT_TAIL(&binds->granted, user, line);
	if (!event_pending(binds->sweep, EV_TIMEOUT, NULL))
		event_add(binds->sweep, &wait);
}

/* Tells who waits, if all of its holds are decided. */
static void settle(struct binds *binds, struct user *user)
{
	bind_done done = user->done;
	void *arg = user->arg;
	int error = user->error;

	for (int i = 0; i < 2 && !error; i++)
		if (user->hold[i] && !user->hold[i]->granted)
			return;
	if (error)
		free_user(binds, user);
	else
		grant(binds, user);
	done(binds->resoa, error, arg);
}

static void settle_users(struct binds *binds, const struct hold *hold, int error)
{
	struct user *user, *next;

	for (user = TAILQ_FIRST(&binds->waiting); user; user = next) {
		next = TAILQ_NEXT(user, line);
		if (user->hold[0] != hold && user->hold[1] != hold)
			continue;
		user->error = error;
		settle(binds, user);
	}
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval wait = { .tv_usec = SWEEP_MS * 1000 };
	struct binds *binds = arg;
	struct user *user;

	(void)fd, (void)what;
	/* In the order of their times, for all have the same. */
	while ((user = TAILQ_FIRST(&binds->granted)) && user->until_ms <= now_ms())
		free_user(binds, user);
	if (user)
		event_add(binds->sweep, &wait);
}

/* A socket binds once: what it wanted before, it did not get. But one that is BOUND stays. */
static struct user *new_user(struct binds *binds, uint64_t cookie, __be16 port)
{
	struct user *user = find_user(binds, cookie);

	if (user && user->state == GRANTED)
		free_user(binds, user);
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->cookie = cookie;
	user->port = port;
	user->next = *user_chain(binds, cookie);
	*user_chain(binds, cookie) = user;
	TAILQ_INSERT_TAIL(&binds->waiting, user, line);
	return user;
}

static void take_holds(struct binds *binds, struct user *user, const struct ep_name *name,
		       bool both)
{
	struct ep_name other = { .port = name->port, .proto = name->proto, .family = 4 };
	struct ep_name wanted = *name;

	/* As ep.h has it, mapped or not. A group's or a broadcast address is the kernel's to judge,
	 * only the port is the server's. */
	if (ep_name_is_any(name) ||
	    (!ep_name_is_loopback(name) && !server_is_own(binds->resoa, name)))
		memset(&wanted.address, 0, sizeof(wanted.address));
	user->hold[0] = take_hold(binds, &wanted, user);
	if (!user->hold[0] || !both || name->family != 6 || !ep_name_is_any(name))
		return;
	user->hold[1] = take_hold(binds, &other, user);
}

void bind_ask(struct resoa *resoa, uint64_t cookie, const struct ep_name *name, bool both,
	      bind_done done, void *arg)
{
	struct binds *binds = resoa->binds;
	struct user *user;

	program_drain(resoa->program); /* options that were set before */
	user = new_user(binds, cookie, name->port);
	if (!user) {
		done(resoa, ENOMEM, arg);
		return;
	}
	user->done = done;
	user->arg = arg;
	take_holds(binds, user, name, both);
	settle(binds, user);
}

void bind_reuse(struct resoa *resoa, uint64_t cookie, bool on)
{
	const struct user *user = find_user(resoa->binds, cookie);

	for (int i = 0; user && i < 2; i++) {
		if (!user->hold[i])
			continue;
		user->hold[i]->reuse = on;
		if (user->hold[i]->rsock && resoa->lhp)
			tell_reuse(user->hold[i]);
	}
}

/* ---- what comes back */

/* The server has ended the reservation: what is bound stays so, but nobody else may. */
static void lose_hold(struct binds *binds, struct hold *hold, int error)
{
	bool granted = hold->granted;

	hold->rsock->state = NULL;
	hold->rsock = NULL;
	hold->granted = false;
	if (granted)
		open_port(binds, &hold->name, false);
	hold->users++; /* its last user may leave while we look */
	settle_users(binds, hold, error);
	drop_hold(binds, hold);
}

void bind_message(struct rsock *rsock, const struct ep_message *message)
{
	struct binds *binds = rsock->resoa->binds;
	struct hold *hold = rsock->state;
	char text[ADDRESS_TEXT_LEN];

	if (!hold ||
	    (message->type != EP_RESULT && message->type != EP_RESET && message->type != EP_CLOSE))
		return;
	if (message->type == EP_RESULT && !message->error) {
		hold->granted = true;
		open_port(binds, &hold->name, true);
		settle_users(binds, hold, 0);
		return;
	}
	address_port_text(&hold->name.address, hold->name.port, text);
	log_debug("bind to %s: %s", text, strerror(message->error));
	lose_hold(binds, hold, message->error ? message->error : EADDRINUSE);
	rsock_end(rsock, message->type == EP_RESULT ? 0 : -1);
}

/* By reserve.c, however many sockets there are. */
static bool is_reserved(const struct binds *binds, const struct ep_name *name)
{
	const json_t *item;
	size_t i;

	json_array_foreach (binds->single, i, item)
		if (binds->resoa->net.whole_host && json_integer_value(item) == ntohs(name->port))
			return name->proto == IPPROTO_TCP;
	return false;
}

/* Without asking: a port that REGISTERED granted, or (io_uring) one that another socket has. */
static void bound_unasked(struct binds *binds, const struct resoa_event *event)
{
	struct ep_name name = { .address = event->names.local,
				.port = event->names.local_port,
				.family = event->family,
				.proto = event->proto };
	struct user *user;

	if (!name.port || in_block(binds, name.port) || is_reserved(binds, &name))
		return;
	user = new_user(binds, event->cookie, name.port);
	if (!user)
		return;
	leave_line(binds, user);
	user->state = BOUND;
	take_holds(binds, user, &name, false);
}

void bind_event(struct resoa *resoa, const struct resoa_event *event)
{
	struct binds *binds = resoa->binds;
	struct user *user = find_user(binds, event->cookie);

	if (!user) {
		bound_unasked(binds, event);
	} else if (user->port == event->names.local_port && user->state == GRANTED) {
		leave_line(binds, user);
		user->state = BOUND;
	}
}

/* A notification that waits is answered in its own time, or it finds no socket. */
void bind_gone(struct resoa *resoa, uint64_t cookie)
{
	struct user *user = find_user(resoa->binds, cookie);

	if (user && user->state != WAITS)
		free_user(resoa->binds, user);
}

void bind_each(struct resoa *resoa, void (*each)(uint64_t cookie, void *arg), void *arg)
{
	const struct binds *binds = resoa->binds;

	for (int i = 0; i < USER_CHAINS; i++)
		for (const struct user *user = binds->user[i]; user; user = user->next)
			if (user->state == BOUND)
				each(user->cookie, arg);
}

void bind_registered(struct resoa *resoa)
{
	struct binds *binds = resoa->binds;

	read_ports(binds, resoa->registered);
	for (int i = 0; i < HOLD_CHAINS; i++)
		for (struct hold *hold = binds->hold[i]; hold; hold = hold->next)
			if (is_idle(hold) && ask_server(binds, hold))
				log_warn("port %d is not reserved again", ntohs(hold->name.port));
}

void bind_lost(struct resoa *resoa)
{
	struct binds *binds = resoa->binds;
	struct hold *hold;

	for (int i = 0; i < HOLD_CHAINS; i++)
		do {
			for (hold = binds->hold[i]; hold && !hold->rsock; hold = hold->next)
				;
			/* Others of the chain may go with its users. */
			if (hold) {
				struct rsock *rsock = hold->rsock;

				lose_hold(binds, hold, ENETDOWN);
				rsock_end(rsock, -1);
			}
		} while (hold);
}

/* ---- the table */

int bind_open(struct resoa *resoa)
{
	struct binds *binds = calloc(1, sizeof(*binds));

	if (!binds)
		return -ENOMEM;
	binds->resoa = resoa;
	TAILQ_INIT(&binds->waiting);
	TAILQ_INIT(&binds->granted);
	binds->sweep = evtimer_new(resoa->base, on_sweep, binds);
	if (!binds->sweep) {
		free(binds);
		return -ENOMEM;
	}
	resoa->binds = binds;
	return 0;
}

/* The daemon ends, and what is at the server with its connection. */
void bind_close(struct resoa *resoa)
{
	struct binds *binds = resoa->binds;
	struct user *waiting;

	if (!binds)
		return;
	while ((waiting = TAILQ_FIRST(&binds->waiting))) {
		waiting->error = ENETDOWN;
		settle(binds, waiting);
	}
	for (int i = 0; i < USER_CHAINS; i++)
		for (struct user *user = binds->user[i], *next; user; user = next) {
			next = user->next;
			free(user);
		}
	for (int i = 0; i < HOLD_CHAINS; i++)
		for (struct hold *hold = binds->hold[i], *next; hold; hold = next) {
			next = hold->next;
			free(hold);
		}
	event_free(binds->sweep);
	json_decref(binds->single);
	free(binds);
	resoa->binds = NULL;
}
