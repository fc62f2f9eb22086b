// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A whole host's programs are not under `run`: nobody waits in their bind() for the server. So the
 * TCP ports that the server's settings grant are reserved there at once (BIND), for as long as this
 * daemon runs:
 *
 *	ASKED ── RESULT 0 ──> GRANTED: in resoa_port ── a listener there ends ──> asked again
 *	  └───── RESULT error ──> REFUSED: bind() fails with EADDRINUSE ── RETRY_S ──> ASKED
 *
 * The socket that the server reserves it with becomes the first listener of that name, and ends
 * with it.
 *
 * Other ports may be bound as if there were no server, for the host has addresses of its own; UDP
 * ports, too, for what comes to a reserved one would be answered by nobody.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "resoa.h"

#define RETRY_S 5

enum reserve_state { ASKED, GRANTED, REFUSED };

struct reserve {
	struct ep_name name;
	struct rsock *rsock; /* of BIND; NULL: refused */
	enum reserve_state state;
	struct reserve *next;
};

struct reserves {
	struct resoa *resoa;
	struct reserve *first;
	struct event *retry;
};

static struct resoa_port_key key_of(const struct reserve *reserve)
{
	return (struct resoa_port_key){ reserve->name.port, reserve->name.proto,
					reserve->name.family };
}

static void set_state(struct resoa *resoa, struct reserve *reserve, enum reserve_state state)
{
	const struct resoa_port_key key = key_of(reserve);

	if (reserve->state == state)
		return;
	if (reserve->state == GRANTED)
		program_port(resoa->program, &key, false);
	if (reserve->state == REFUSED)
		program_refuse(resoa->program, &key, false);
	if (state == GRANTED)
		program_port(resoa->program, &key, true);
	if (state == REFUSED)
		program_refuse(resoa->program, &key, true);
	reserve->state = state;
}

/* At the server, without a word to programs here. */
static void give_back(struct reserve *reserve)
{
	struct rsock *rsock = reserve->rsock;

	if (!rsock)
		return;
	reserve->rsock = NULL;
	rsock->state = NULL;
	rsock_end(rsock, 0);
}

static void ask(struct resoa *resoa, struct reserve *reserve)
{
	const struct ep_message message = { .type = EP_BIND, .name = reserve->name };
	struct rsock *rsock = resoa->lhp ? rsock_new(resoa, 0, RSOCK_RESERVED) : NULL;

	if (!rsock)
		return;
	rsock->family = reserve->name.family;
	rsock->proto = IPPROTO_TCP;
	rsock->names.local_port = reserve->name.port;
	rsock->state = reserve;
	reserve->rsock = rsock;
	rsock->server_knows = !ep_send(resoa->lhp, rsock->id, &message);
}

static void retry_later(struct reserves *reserves)
{
	const struct timeval wait = { .tv_sec = RETRY_S };

	if (!evtimer_pending(reserves->retry, NULL))
		evtimer_add(reserves->retry, &wait);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct reserves *reserves = arg;

	(void)fd;
	(void)what;
	for (struct reserve *reserve = reserves->first; reserve; reserve = reserve->next)
		if (!reserve->rsock)
			ask(reserves->resoa, reserve);
}

void reserve_message(struct rsock *rsock, const struct ep_message *message)
{
	struct resoa *resoa = rsock->resoa;
	struct reserve *reserve = rsock->state;

	if (!reserve || (message->type != EP_RESULT && message->type != EP_RESET))
		return;
	if (message->type == EP_RESULT && !message->error) {
		set_state(resoa, reserve, GRANTED);
		return;
	}
	if (reserve->state != REFUSED)
		log_info("port %u is granted, but not free at the server: %s",
			 ntohs(reserve->name.port), strerror(message->error));
	give_back(reserve);
	set_state(resoa, reserve, REFUSED);
	retry_later(resoa->reserves);
}

void reserve_renew(struct resoa *resoa, const struct rsock *ended)
{
	struct reserve *reserve = resoa->reserves ? resoa->reserves->first : NULL;

	for (; reserve; reserve = reserve->next)
		if (reserve->name.port == ended->names.local_port && reserve->state == GRANTED) {
			give_back(reserve);
			ask(resoa, reserve);
		}
}

/* ---- which */

static bool has_family(const struct resoa *resoa, uint8_t family)
{
	const json_t *item;
	size_t i;

	json_array_foreach (json_object_get(resoa->registered, "addresses"), i, item) {
		const char *text = json_string_value(json_object_get(item, "address"));

		if (text && (strchr(text, ':') != NULL) == (family == 6))
			return true;
	}
	return false;
}

static void add(struct reserves *reserves, uint16_t port, uint8_t family)
{
	struct reserve *reserve = calloc(1, sizeof(*reserve));

	if (!reserve)
		return;
	reserve->name =
		(struct ep_name){ .port = htons(port), .proto = IPPROTO_TCP, .family = family };
	reserve->next = reserves->first;
	reserves->first = reserve;
	ask(reserves->resoa, reserve);
}

static void add_all(struct reserves *reserves)
{
	const struct resoa *resoa = reserves->resoa;
	const json_t *item;
	size_t i;

	json_array_foreach (json_object_get(resoa->registered, "granted"), i, item)
		for (uint8_t family = 4; family <= 6; family += 2)
			if (has_family(resoa, family))
				add(reserves, (uint16_t)json_integer_value(item), family);
}

static void drop_all(struct reserves *reserves)
{
	struct reserve *reserve;

	while ((reserve = reserves->first)) {
		reserves->first = reserve->next;
		give_back(reserve);
		set_state(reserves->resoa, reserve, ASKED);
		free(reserve);
	}
}

static struct reserves *reserves_new(struct resoa *resoa)
{
	struct reserves *reserves = calloc(1, sizeof(*reserves));

	if (!reserves)
		return NULL;
	reserves->resoa = resoa;
	reserves->retry = evtimer_new(resoa->base, on_retry, reserves);
	if (reserves->retry)
		return reserves;
	free(reserves);
	return NULL;
}

void reserve_registered(struct resoa *resoa)
{
	if (!resoa->net.whole_host)
		return;
	if (!resoa->reserves)
		resoa->reserves = reserves_new(resoa);
	if (!resoa->reserves)
		return;
	drop_all(resoa->reserves);
	add_all(resoa->reserves);
}

/* Without a server nobody can say what is free there. */
void reserve_lost(struct resoa *resoa)
{
	if (resoa->reserves)
		drop_all(resoa->reserves);
}

void reserve_close(struct resoa *resoa)
{
	if (!resoa->reserves)
		return;
	drop_all(resoa->reserves);
	event_free(resoa->reserves->retry);
	free(resoa->reserves);
	resoa->reserves = NULL;
}
