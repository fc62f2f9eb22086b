// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Listeners of programs: the server is told of each and of its end, and tells of who comes.
 *
 *	listen() ── LISTEN ──> RESULT ── KNOCK, ADMIT (knock.c); INCOMING (tcp.c) ──> close(): CLOSE
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "resoa.h"

/* ---- what the program does */

static void tell_listen(struct rsock *rsock)
{
	const struct ep_message listen = {
		.type = EP_LISTEN,
		.name = { rsock->names.local, rsock->names.local_port, rsock->family, IPPROTO_TCP,
			  0 },
		.number = rsock->backlog,
	};

	if (!rsock->resoa->lhp)
		return;
	option_send(rsock);
	if (!ep_send(rsock->resoa->lhp, rsock->id, &listen))
		rsock->server_knows = true;
}

/* Loopback is A's own: no peer of the server comes to it. */
static bool is_on_loopback(const struct resoa_event *event)
{
	static const struct isthmus_addr one = { .b = { [15] = 1 } };
	const struct isthmus_addr *local = &event->names.local;

	return event->family == 4 ? local->b[12] == 127 : !memcmp(local, &one, sizeof(one));
}

/* listen() may be called again, to change the backlog. */
void listen_event(struct resoa *resoa, const struct resoa_event *event)
{
	struct rsock *rsock = rsock_of_cookie(resoa, event->cookie);

	if (is_on_loopback(event))
		return;
	if (rsock && rsock->kind != RSOCK_LISTENER)
		rsock_set_cookie(rsock, 0);
	if (!rsock || rsock->kind != RSOCK_LISTENER) {
		rsock = rsock_new(resoa, 0, RSOCK_LISTENER);
		if (!rsock)
			return;
		rsock->family = event->family;
		rsock->proto = IPPROTO_TCP;
		rsock_set_names(rsock, &event->names);
		rsock_set_cookie(rsock, event->cookie);
	}
	rsock->backlog = (uint32_t)event->number;
	tell_listen(rsock);
}

static void end_listener(struct rsock *listener)
{
	const struct rsock ended = *listener;

	rsock_end(listener, 0);
	reserve_renew(ended.resoa, &ended);
}

void listen_event_end(struct resoa *resoa, const struct resoa_event *event)
{
	struct rsock *rsock = rsock_of_cookie(resoa, event->cookie);

	if (rsock && rsock->kind == RSOCK_LISTENER)
		end_listener(rsock);
}

/* ---- what the server says */

static void tell_again(struct rsock *rsock, void *arg)
{
	(void)arg;
	if (rsock->kind == RSOCK_LISTENER && !rsock->server_knows)
		tell_listen(rsock);
}

void listen_registered(struct resoa *resoa)
{
	rsock_each(resoa, tell_again, NULL);
}

/* The host's own services listen at all of its addresses: only those of the server's are missing.
 */
static bool is_of_others_too(const struct rsock *listener)
{
	static const struct isthmus_addr none, any4 = { .b = { [10] = 0xff, [11] = 0xff } };
	const struct isthmus_addr *local = &listener->names.local;

	return listener->resoa->net.whole_host &&
	       (address_equal(local, &none) || address_equal(local, &any4));
}

void listen_message(struct rsock *rsock, const struct ep_message *message)
{
	if (message->type == EP_INCOMING) {
		tcp_incoming(rsock, message);
		return;
	}
	if (message->type == EP_KNOCK) {
		knock_message(rsock, message);
		return;
	}
	if (message->type == EP_RESULT)
		heard_result(rsock, message->error);
	if (message->type == EP_RESULT && message->error) {
		log_info("port %u: the server cannot listen: %s", ntohs(rsock->names.local_port),
			 strerror(message->error));
		if (!is_of_others_too(rsock))
			knock_destroy(rsock);
		end_listener(rsock);
	} else if (message->type == EP_RESET) {
		rsock_end(rsock, -1);
	}
}
