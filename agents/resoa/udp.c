// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Datagrams of A. All of them come to two sockets of W; each belongs to the rsock of its family and
 * source port, which is made by its first datagram (delayed creation, 4.3), or when a program binds
 * a port, so that it may wait for peers:
 *
 *   A: sendto ──> W: all[] ── DATAGRAM ──> server          A: bind ──> BOUND ── LISTEN ──> server
 *   A: recvfrom <── W: raw[] <── DATAGRAM ── server        A: its error queue <── ICMP <── ERROR
 *
 * Sockets of A that share a port share the rsock: who of them receives is decided in A.
 */
#include "udp.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"

#define BUFFER_BYTES (4 << 20)
#define SWEEP_S	     60 /* sockets whose end was not told */
#define DRAIN_MAX    4096
#define ORPHAN_MS    2000 /* for datagrams that come late */

uint64_t udp_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- ports */

static void names_of(uint8_t family, __be16 port, struct resoa_names *names)
{
	*names = (struct resoa_names){ .local_port = port };
	if (family == 4)
		names->local.b[10] = names->local.b[11] = 0xff;
}

static struct rsock *find_port(struct resoa *resoa, uint8_t family, __be16 port)
{
	struct resoa_names names;

	names_of(family, port, &names);
	return rsock_of_names(resoa, IPPROTO_UDP, &names);
}

static struct rsock *make_port(struct resoa *resoa, const struct ep_name *local, uint64_t cookie)
{
	struct rsock *rsock = rsock_new(resoa, 0, RSOCK_UDP);
	struct udp_port *port = calloc(1, sizeof(*port));
	struct resoa_names names;

	if (!rsock || !port) {
		free(port);
		if (rsock)
			rsock_end(rsock, -1);
		return NULL;
	}
	names_of(local->family, local->port, &names);
	port->local = *local;
	port->used_ms = udp_now_ms();
	port->registration = resoa->udp->registration;
	rsock->state = port;
	rsock->family = local->family;
	rsock->proto = IPPROTO_UDP;
	rsock_set_names(rsock, &names);
	if (cookie)
		rsock_set_cookie(rsock, cookie);
	return rsock;
}

void udp_end(struct rsock *rsock)
{
	free(rsock->state);
	rsock->state = NULL;
}

struct rsock *udp_twin(const struct rsock *rsock)
{
	struct rsock *twin =
		find_port(rsock->resoa, rsock->family == 6 ? 4 : 6, rsock->names.local_port);

	return twin && twin->cookie == rsock->cookie ? twin : NULL;
}

/* ---- to the server */

static bool is_link_local(const struct ep_name *name)
{
	return name->family == 6 && name->address.b[0] == 0xfe &&
	       (name->address.b[1] & 0xc0) == 0x80;
}

static int send_message(struct rsock *rsock, const struct ep_message *message)
{
	int rc = ep_send(rsock->resoa->lhp, rsock->id, message);

	if (!rc)
		rsock->server_knows = true;
	return rc;
}

static void tell_bound(struct rsock *rsock)
{
	const struct udp_port *port = rsock->state;
	struct ep_message message = { .type = EP_LISTEN, .name = port->local };

	if (!rsock->resoa->lhp)
		return;
	option_send(rsock);
	send_message(rsock, &message);
	group_send(rsock);
}

/* Its socket has sent, and ended before that was seen: nobody will tell of its end. */
static void note_orphan(struct udp *udp, struct udp_port *port)
{
	const struct timeval wait = { .tv_sec = ORPHAN_MS / 1000 };

	port->orphan = true;
	if (!event_pending(udp->orphans, EV_TIMEOUT, NULL))
		event_add(udp->orphans, &wait);
}

static struct rsock *first_seen(struct udp *udp, const struct datagram *datagram)
{
	uint64_t cookie = udp_diag_cookie(udp, &datagram->from, &datagram->to);
	struct rsock *rsock = make_port(udp->resoa, &datagram->from, cookie);

	if (rsock && !cookie)
		note_orphan(udp, rsock->state);
	return rsock;
}

/* Options go before the first datagram, for it may depend on them; groups are joined by a socket
 * that is there for certain. */
static void introduce(struct rsock *rsock)
{
	if (group_any(rsock))
		tell_bound(rsock);
	else
		option_send(rsock);
}

void udp_forward(struct udp *udp, const struct datagram *datagram)
{
	struct resoa *resoa = udp->resoa;
	struct rsock *rsock = find_port(resoa, datagram->from.family, datagram->from.port);
	struct ep_message message = { .type = EP_DATAGRAM,
				      .name = datagram->from,
				      .other = datagram->to,
				      .ttl = datagram->ttl,
				      .tos = datagram->tos,
				      .body = datagram->bytes,
				      .body_len = datagram->len };
	struct udp_port *port;

	if (!resoa->lhp || datagram->to.family != datagram->from.family) {
		udp->dropped++;
		return;
	}
	/* A's link-local address is none of the server's. */
	if (is_link_local(&datagram->from))
		message.name.address = (struct isthmus_addr){ 0 };
	if (!rsock)
		rsock = first_seen(udp, datagram);
	if (rsock && !rsock->server_knows)
		introduce(rsock);
	if (!rsock || send_message(rsock, &message)) {
		udp->dropped++;
		return;
	}
	port = rsock->state;
	port->local.address = datagram->from.address;
	port->peer = datagram->to;
	port->used_ms = udp_now_ms();
	udp->sent++;
}

static void pause_all(struct udp *udp, bool pause)
{
	unsigned int i;

	udp->paused = pause;
	for (i = 0; i < sizeof(udp->event) / sizeof(udp->event[0]); i++)
		if (udp->event[i] && pause)
			event_del(udp->event[i]);
		else if (udp->event[i])
			event_add(udp->event[i], NULL);
}

bool udp_may_read(struct udp *udp)
{
	if (udp->resoa->lhp && !lhp_room(udp->resoa->lhp)) {
		pause_all(udp, true);
		return false;
	}
	program_drain(udp->resoa->program);
	return true;
}

/* False: there is no more, or no room for it. */
static bool take_one(struct udp *udp, int fd)
{
	struct datagram datagram;

	if (!udp_may_read(udp) || datagram_receive(fd, &datagram))
		return false;
	/* An interface of W's is none of the server's. */
	datagram.from.scope = datagram.to.scope = 0;
	udp_forward(udp, &datagram);
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	for (int i = 0; i < DATAGRAM_TURN && take_one(arg, fd); i++)
		;
}

void udp_drain(struct resoa *resoa)
{
	struct udp *udp = resoa->udp;
	unsigned int i, count;

	for (i = 0; udp && i < 2; i++)
		for (count = 0; count < DRAIN_MAX && take_one(udp, udp->all[i]); count++)
			;
}

void udp_writable(struct resoa *resoa)
{
	if (resoa->udp && resoa->udp->paused)
		pause_all(resoa->udp, false);
}

/* ---- a program has bound a port */

static void bound(struct resoa *resoa, const struct ep_name *local, uint64_t cookie)
{
	struct rsock *rsock = find_port(resoa, local->family, local->port);
	struct udp_port *port;

	if (!rsock)
		rsock = make_port(resoa, local, cookie);
	if (!rsock)
		return;
	if (rsock->cookie != cookie)
		rsock_set_cookie(rsock, cookie);
	port = rsock->state;
	port->local = *local;
	port->bound = true;
	port->orphan = false;
	tell_bound(rsock);
}

void udp_event_bound(struct resoa *resoa, const struct resoa_event *event)
{
	struct ep_name local = { .address = event->names.local,
				 .port = event->names.local_port,
				 .family = event->family,
				 .proto = IPPROTO_UDP };

	if (event->proto != IPPROTO_UDP || !local.port || !resoa->udp ||
	    ep_name_is_loopback(&local))
		return;
	if (local.family == 6 && address_is_v4(&local.address))
		local.family = 4;
	/* At a group's or a broadcast address: the kernel of A chooses what it takes. */
	if (!ep_name_is_any(&local) && !server_is_own(resoa, &local)) {
		memset(&local.address, 0, sizeof(local.address));
		bound(resoa, &local, event->cookie);
		return;
	}
	bound(resoa, &local, event->cookie);
	if (local.family != 6 || !ep_name_is_any(&local) ||
	    option_int(resoa, event->cookie, IPPROTO_IPV6, IPV6_V6ONLY, 0))
		return;
	local.family = 4;
	bound(resoa, &local, event->cookie);
}

/* What has only sent is told again with its next datagram. A walk may come twice to one whose
 * number has changed. */
static void tell_again(struct rsock *rsock, void *arg)
{
	struct udp_port *port = rsock->state;
	struct udp *udp = arg;

	if (rsock->kind != RSOCK_UDP || !port || port->registration == udp->registration)
		return;
	port->registration = udp->registration;
	rsock_lost(rsock);
	if (port->bound)
		tell_bound(rsock);
}

void udp_registered(struct resoa *resoa)
{
	if (!resoa->udp)
		return;
	resoa->udp->registration++;
	rsock_each(resoa, tell_again, resoa->udp);
	udp_writable(resoa);
}

/* ---- from the server */

static void deliver(struct rsock *rsock, const struct ep_message *message)
{
	struct udp *udp = rsock->resoa->udp;
	struct udp_port *port = rsock->state;
	struct datagram datagram = { .from = message->other,
				     .to = message->name,
				     .ttl = message->ttl,
				     .tos = message->tos,
				     .bytes = message->body,
				     .len = message->body_len };

	port->used_ms = udp_now_ms();
	datagram.to.port = port->local.port;
	if (message->body_len > DATAGRAM_MAX || message->name.family != rsock->family ||
	    message->other.family != rsock->family || udp_wire_send(udp, &datagram))
		udp->dropped++;
	else
		udp->received++;
}

static void deliver_error(struct rsock *rsock, const struct ep_message *message)
{
	struct udp *udp = rsock->resoa->udp;
	const struct udp_port *port = rsock->state;
	struct datagram datagram = { .from = message->name, .to = message->other };
	struct isthmus_addr by;

	if (message->body_len < sizeof(by) || message->name.family != rsock->family ||
	    message->other.family != rsock->family) {
		udp->dropped++;
		return;
	}
	memcpy(&by, message->body, sizeof(by));
	datagram.from.port = port->local.port;
	datagram.bytes = (const uint8_t *)message->body + sizeof(by);
	datagram.len = message->body_len - sizeof(by);
	udp->errors++;
	if (udp_wire_error(udp, &datagram, message, &by))
		udp->dropped++;
}

void udp_message(struct rsock *rsock, const struct ep_message *message)
{
	char text[ADDRESS_TEXT_LEN];

	switch (message->type) {
	case EP_DATAGRAM:
		deliver(rsock, message);
		break;
	case EP_ERROR:
		deliver_error(rsock, message);
		break;
	case EP_RESET:
	case EP_CLOSE:
		address_port_text(&rsock->names.local, rsock->names.local_port, text);
		log_debug("UDP %s: the server ended it: %s", text, strerror(message->error));
		rsock_end(rsock, -1);
		break;
	}
}

/* ---- what ended untold */

struct sweep {
	uint8_t ports[65536 / 8];
	uint64_t now_ms;
};

static void sweep_one(struct rsock *rsock, void *arg)
{
	const struct sweep *sweep = arg;
	const struct udp_port *port = rsock->state;
	const uint16_t number = ntohs(rsock->names.local_port);

	if (rsock->kind == RSOCK_UDP && port && sweep->now_ms - port->used_ms > ORPHAN_MS &&
	    !(sweep->ports[number / 8] & 1 << number % 8))
		rsock_end(rsock, 0);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	static struct sweep sweep;
	struct udp *udp = arg;

	(void)fd;
	(void)what;
	memset(&sweep, 0, sizeof(sweep));
	if (udp_diag_ports(udp, sweep.ports))
		return;
	sweep.now_ms = udp_now_ms();
	rsock_each(udp->resoa, sweep_one, &sweep);
}

void udp_gone(struct rsock *rsock)
{
	const struct udp_port *port = rsock->state;
	uint64_t other = udp_diag_cookie(rsock->resoa->udp, &port->local, &port->peer);

	if (other && other != rsock->cookie)
		rsock_set_cookie(rsock, other);
	else
		rsock_end(rsock, 0);
}

struct orphans {
	uint64_t now_ms;
	bool more;
};

static void end_orphan(struct rsock *rsock, void *arg)
{
	const struct udp_port *port = rsock->state;
	struct orphans *orphans = arg;

	if (rsock->kind != RSOCK_UDP || !port || !port->orphan)
		return;
	if (orphans->now_ms - port->used_ms < ORPHAN_MS)
		orphans->more = true;
	else
		rsock_end(rsock, 0);
}

static void on_orphans(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval wait = { .tv_sec = ORPHAN_MS / 1000 };
	struct orphans orphans = { .now_ms = udp_now_ms() };
	struct udp *udp = arg;

	(void)fd;
	(void)what;
	rsock_each(udp->resoa, end_orphan, &orphans);
	if (orphans.more)
		event_add(udp->orphans, &wait);
}

json_t *udp_counts(const struct resoa *resoa)
{
	static const struct udp none;
	const struct udp *udp = resoa->udp ? resoa->udp : &none;

	return json_pack("{s:I, s:I, s:I, s:I}", "sent", (json_int_t)udp->sent, "received",
			 (json_int_t)udp->received, "errors", (json_int_t)udp->errors, "dropped",
			 (json_int_t)udp->dropped);
}

/* ---- open, close */

static int open_all(struct udp *udp, uint8_t family)
{
	const int bytes = BUFFER_BYTES;
	struct ep_name name = { .family = family };
	struct sockaddr_storage address;
	socklen_t len = ep_to_sockaddr(&name, &address);
	int rc, fd = net_socket(&udp->resoa->net, NET_W, family == 6 ? AF_INET6 : AF_INET,
				SOCK_DGRAM, IPPROTO_UDP);

	if (fd < 0)
		return fd;
	udp->all[UDP_INDEX(family)] = fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	rc = datagram_prepare(fd, family, true);
	if (!rc && bind(fd, (struct sockaddr *)&address, len))
		rc = -errno;
	if (!rc)
		rc = program_world(udp->resoa->program, family == 6 ? RESOA_UDP6 : RESOA_UDP4, fd);
	if (rc)
		return rc;
	udp->event[UDP_INDEX(family)] =
		event_new(udp->resoa->base, fd, EV_READ | EV_PERSIST, on_readable, udp);
	return udp->event[UDP_INDEX(family)] ? 0 : -ENOMEM;
}

static int open_sweep(struct udp *udp)
{
	const struct timeval every = { .tv_sec = SWEEP_S };

	udp->diag = net_socket(&udp->resoa->net, NET_A, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	if (udp->diag < 0)
		return udp->diag;
	udp->sweep = event_new(udp->resoa->base, -1, EV_PERSIST, on_sweep, udp);
	udp->orphans = evtimer_new(udp->resoa->base, on_orphans, udp);
	return udp->sweep && udp->orphans && !event_add(udp->sweep, &every) ? 0 : -ENOMEM;
}

int udp_open(struct resoa *resoa)
{
	struct udp *udp = calloc(1, sizeof(*udp));
	int rc;

	if (!udp)
		return -ENOMEM;
	memset(udp->all, -1, sizeof(udp->all));
	memset(udp->many, -1, sizeof(udp->many));
	memset(udp->raw, -1, sizeof(udp->raw));
	memset(udp->icmp, -1, sizeof(udp->icmp));
	udp->diag = -1;
	udp->resoa = resoa;
	resoa->udp = udp;
	rc = open_all(udp, 4);
	if (!rc)
		rc = open_all(udp, 6);
	if (!rc)
		rc = udp_wire_open(udp);
	if (!rc)
		rc = open_sweep(udp);
	if (!rc)
		rc = group_open(udp);
	if (rc)
		udp_close(resoa);
	else
		pause_all(udp, false);
	return rc;
}

void udp_close(struct resoa *resoa)
{
	struct udp *udp = resoa->udp;
	unsigned int i;

	if (!udp)
		return;
	for (i = 0; i < sizeof(udp->event) / sizeof(udp->event[0]); i++)
		if (udp->event[i])
			event_free(udp->event[i]);
	if (udp->sweep)
		event_free(udp->sweep);
	if (udp->orphans)
		event_free(udp->orphans);
	for (i = 0; i < 2; i++)
		if (udp->all[i] >= 0)
			close(udp->all[i]);
	if (udp->diag >= 0)
		close(udp->diag);
	udp_wire_close(udp);
	group_close(udp);
	free(udp);
	resoa->udp = NULL;
}
