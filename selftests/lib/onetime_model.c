// SPDX-License-Identifier: GPL-3.0-or-later
#include <netinet/in.h>

#include "selftests/lib/onetime_model.h"

/* ---- time */

/* UDP tells no end, so a session of it lasts as long as it is used; one of TCP until its end. */
static bool has_end(const struct omodel_address *address)
{
	switch (address->state) {
	case ONETIME_STATE_PENDING:
	case ONETIME_STATE_CLAIMED:
	case ONETIME_STATE_CLOSING:
		return true;
	case ONETIME_STATE_LIVE:
		return address->proto == IPPROTO_UDP;
	default:
		return false;
	}
}

enum onetime_state omodel_state(const struct omodel_address *address, __u64 now)
{
	if (!address->made)
		return ONETIME_STATE_FREE;
	if (has_end(address) && now >= address->until)
		return ONETIME_STATE_DEAD;
	return address->state;
}

/* ---- what comes */

/* II.A: one session, so whoever may begin it does so by its first packet; a SYN is TCP's. */
static enum onetime_reason first_packet(const struct omodel_address *address,
					const struct omodel_packet *packet)
{
	bool begins = packet->proto == IPPROTO_UDP ||
		      (packet->syn && !packet->ack && !packet->fin && !packet->rst);

	if (packet->kind == OMODEL_LATER)
		return ONETIME_FRAGMENT;
	if (packet->proto != address->proto)
		return ONETIME_WRONG_PORT;
	if (!begins)
		return ONETIME_NO_SYN;
	if (!address->only[packet->peer])
		return ONETIME_NOT_FOR;
	if (address->mode == ONETIME_AWARE && packet->port != address->port)
		return ONETIME_WRONG_PORT;
	if (!address->listening)
		return ONETIME_NO_LISTENER;
	return ONETIME_CLAIMED;
}

static void take(const struct omodel *model, struct omodel_address *address,
		 const struct omodel_packet *packet, struct omodel_outcome *outcome, __u64 now)
{
	bool udp = packet->proto == IPPROTO_UDP;

	address->state = udp ? ONETIME_STATE_LIVE : ONETIME_STATE_CLAIMED;
	address->since = now;
	address->until = now + (udp ? model->udp_ns : model->claim_ns);
	address->peer = packet->peer;
	/* UDP keeps the listener's, and its first packet comes there. */
	outcome->rewritten = udp && packet->port != address->port;
	if (!udp)
		address->port = packet->port;
	address->wire_port = packet->port;
	address->peer_port = address->wire_peer_port = packet->peer_port;
	outcome->port = address->port;
	outcome->peer_port = packet->peer_port;
	outcome->told = true;
	outcome->least = outcome->most = address->until;
}

static bool has_ports(const struct omodel_packet *packet, int port, int peer_port)
{
	return packet->port == port && packet->peer_port == peer_port;
}

/* Table I: whether a port tells sessions apart. An EA's own one is the client's. */
static enum onetime_reason whose(const struct omodel_address *address,
				 const struct omodel_packet *packet)
{
	bool later = packet->kind == OMODEL_LATER;
	bool client = address->mode == ONETIME_L2 || address->mode == ONETIME_AWARE;
	bool server = address->mode == ONETIME_AWARE, ea = address->use == ONETIME_EA;
	bool own = ea ? client : server, peers = ea ? server : client;

	if (packet->peer != address->peer || packet->proto != address->proto)
		return ONETIME_TAKEN;
	if (peers && !later && packet->peer_port != address->peer_port)
		return ONETIME_TAKEN;
	if (own && !later && packet->port != address->port)
		return ONETIME_WRONG_PORT;
	return ONETIME_SESSION;
}

/* Used in either direction. How often it is noted is the program's affair, to an eighth. */
static void keep(const struct omodel *model, const struct omodel_address *address,
		 struct omodel_outcome *outcome, __u64 now)
{
	if (omodel_state(address, now) != ONETIME_STATE_LIVE || address->proto != IPPROTO_UDP ||
	    address->until == ONETIME_UNTIL_CLOSE)
		return;
	outcome->least = now + model->udp_ns - model->udp_ns / 8;
	outcome->most = now + model->udp_ns;
}

static void of_session(const struct omodel *model, struct omodel_address *address,
		       const struct omodel_packet *packet, struct omodel_outcome *outcome,
		       __u64 now)
{
	keep(model, address, outcome, now);
	if (packet->kind == OMODEL_LATER || address->mode == ONETIME_AWARE)
		return;
	outcome->rewritten = !has_ports(packet, address->port, address->peer_port);
	outcome->port = address->port;
	outcome->peer_port = address->peer_port;
	address->wire_port = packet->port;
	address->wire_peer_port = packet->peer_port;
}

static enum onetime_reason with_ports(const struct omodel *model, struct omodel_address *address,
				      const struct omodel_packet *packet,
				      struct omodel_outcome *outcome, __u64 now)
{
	enum onetime_state state = omodel_state(address, now);
	enum onetime_reason reason;

	switch (state) {
	case ONETIME_STATE_RESERVED:
		return ONETIME_NOT_OURS_YET;
	case ONETIME_STATE_PENDING:
		reason = first_packet(address, packet);
		if (reason == ONETIME_CLAIMED)
			take(model, address, packet, outcome, now);
		return reason;
	case ONETIME_STATE_TAKING:
		return ONETIME_TAKEN;
	case ONETIME_STATE_CLAIMED:
	case ONETIME_STATE_LIVE:
	case ONETIME_STATE_CLOSING:
		/* The peer's last FIN is served, a new session is not. */
		if (state == ONETIME_STATE_CLOSING && packet->kind == OMODEL_PORTS && packet->syn)
			return ONETIME_ENDED;
		reason = whose(address, packet);
		if (reason == ONETIME_SESSION)
			of_session(model, address, packet, outcome, now);
		return reason;
	default:
		return address->made && address->state == ONETIME_STATE_PENDING ? ONETIME_EXPIRED
										: ONETIME_FREE;
	}
}

/* An error passes that is about what the session may have sent: with the socket's ports, or with
 * those that were the last to come. */
static enum onetime_reason about(const struct omodel_address *address,
				 const struct omodel_packet *packet, struct omodel_outcome *outcome,
				 __u64 now)
{
	enum onetime_state state = omodel_state(address, now);

	if (packet->kind != OMODEL_ERROR)
		return ONETIME_ICMP_DROPPED;
	if (state != ONETIME_STATE_CLAIMED && state != ONETIME_STATE_LIVE &&
	    state != ONETIME_STATE_CLOSING)
		return ONETIME_ICMP_DROPPED;
	if (packet->peer != address->peer || packet->proto != address->proto)
		return ONETIME_ICMP_DROPPED;
	if (!has_ports(packet, address->port, address->peer_port) &&
	    !has_ports(packet, address->wire_port, address->wire_peer_port))
		return ONETIME_ICMP_DROPPED;
	if (address->mode != ONETIME_AWARE) {
		outcome->rewritten =
			packet->port != address->port || packet->peer_port != address->peer_port;
		outcome->port = address->port;
		outcome->peer_port = address->peer_port;
	}
	return ONETIME_ICMP;
}

/* Where a pool resets, it does so to all who might believe that nobody is here; but a socket of
 * what is over may still be there for its other end. */
static bool may_be_told(const struct omodel_address *address, const struct omodel_packet *packet,
			enum onetime_reason reason)
{
	if (reason == ONETIME_FREE && address->made && address->peer == packet->peer)
		return false;
	return reason == ONETIME_FREE || reason == ONETIME_NOT_OURS_YET ||
	       reason == ONETIME_TAKEN || reason == ONETIME_NOT_FOR || reason == ONETIME_NO_SYN ||
	       reason == ONETIME_NO_LISTENER || reason == ONETIME_WRONG_PORT ||
	       reason == ONETIME_EXPIRED;
}

static struct omodel_outcome as_it_is(const struct omodel_packet *packet)
{
	return (struct omodel_outcome){ .refused = OMODEL_NOBODY,
					.port = packet->port,
					.peer_port = packet->peer_port };
}

struct omodel_outcome omodel_in(struct omodel *model, const struct omodel_packet *packet, __u64 now)
{
	struct omodel_address *address = &model->address[packet->address];
	struct omodel_outcome outcome = as_it_is(packet);

	switch (packet->kind) {
	case OMODEL_OTHER:
		outcome.reason = ONETIME_PROTOCOL;
		return outcome;
	case OMODEL_ECHO:
	case OMODEL_ERROR:
		outcome.reason = about(address, packet, &outcome, now);
		return outcome;
	default:
		outcome.reason = with_ports(model, address, packet, &outcome, now);
	}
	if (address->reset && may_be_told(address, packet, outcome.reason)) {
		outcome.refused = outcome.reason;
		outcome.reason = ONETIME_REFUSED_RST;
	}
	return outcome;
}

/* ---- what goes */

static bool is_sockets(const struct omodel_address *address, const struct omodel_packet *packet)
{
	if (packet->peer != address->peer || packet->proto != address->proto)
		return false;
	if (packet->kind == OMODEL_LATER)
		return true;
	return packet->peer_port == address->peer_port && packet->port == address->port;
}

/* A client's connected socket sends to somebody else. */
static bool is_aside(const struct omodel_address *address, const struct omodel_packet *packet)
{
	return address->use == ONETIME_EA && address->state == ONETIME_STATE_LIVE &&
	       address->proto == IPPROTO_UDP && packet->proto == IPPROTO_UDP &&
	       (packet->kind == OMODEL_LATER || !address->port || address->port == packet->port);
}

/* A session's socket has its own ports; who looks for them has those that it last wrote. What has
 * other ports is the kernel's reset to one who was refused, or leaves not. */
struct omodel_outcome omodel_out(struct omodel *model, const struct omodel_packet *packet,
				 __u64 now)
{
	const struct omodel_address *address = &model->address[packet->address];
	struct omodel_outcome outcome = as_it_is(packet);
	bool ported = packet->kind == OMODEL_PORTS || packet->kind == OMODEL_LATER;

	outcome.reason = ONETIME_OTHER;
	if (!ported)
		return outcome;
	if (!address->made || !is_sockets(address, packet)) {
		if ((!packet->rst || packet->kind == OMODEL_LATER) &&
		    !(address->made && is_aside(address, packet)))
			outcome.reason = ONETIME_NOT_GIVEN;
		return outcome;
	}
	outcome.reason = ONETIME_SENT;
	keep(model, address, &outcome, now);
	if (packet->kind == OMODEL_LATER || address->mode == ONETIME_AWARE)
		return outcome;
	outcome.port = address->wire_port;
	outcome.peer_port = address->wire_peer_port;
	outcome.rewritten = !has_ports(packet, outcome.port, outcome.peer_port);
	return outcome;
}

/* ---- sockets */

enum omodel_found omodel_lookup(const struct omodel *model, const struct omodel_packet *packet,
				__u64 now)
{
	const struct omodel_address *address = &model->address[packet->address];
	enum onetime_state state = omodel_state(address, now);

	if (state != ONETIME_STATE_CLAIMED && state != ONETIME_STATE_LIVE)
		return OMODEL_REFUSED;
	/* The socket's tuple and no other: the device's guard has set the ports. */
	if (packet->proto != address->proto || packet->peer != address->peer ||
	    packet->peer_port != address->peer_port || packet->port != address->port)
		return OMODEL_REFUSED;
	if (address->use == ONETIME_EA)
		return packet->proto == IPPROTO_UDP ? OMODEL_KERNEL : OMODEL_REFUSED;
	return address->listening ? OMODEL_LISTENER : OMODEL_REFUSED;
}

void omodel_live(struct omodel *model, int at, __u64 now)
{
	struct omodel_address *address = &model->address[at];

	if (omodel_state(address, now) != ONETIME_STATE_CLAIMED)
		return;
	address->state = ONETIME_STATE_LIVE;
	address->since = now;
}

void omodel_closed(struct omodel *model, int at, __u64 now)
{
	struct omodel_address *address = &model->address[at];

	if (omodel_state(address, now) != ONETIME_STATE_LIVE)
		return;
	address->state = ONETIME_STATE_CLOSING;
	address->since = now;
	address->until = now + (address->proto == IPPROTO_TCP ? model->linger_ns : 0);
}
