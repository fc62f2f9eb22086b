// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Options of programs' sockets. An event tells of each that the server should know; most come
 * before connect() or bind(), when the server knows nothing of the socket, so they are kept by the
 * socket's cookie and sent when its rsockID begins. They stay kept: a socket may connect once more,
 * and a server that was started again knows nothing.
 *
 * Of each the last value counts, in the order of setting. Groups are kept as what is joined now.
 */
#include "option.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "udp.h"

#define CHAINS 4096

struct kept {
	uint64_t cookie;
	unsigned int count;
	struct option *option;
	struct kept *next;	/* of its chain */
	TAILQ_ENTRY(kept) line; /* the quietest first */
};

struct options {
	struct kept *chain[CHAINS];
	TAILQ_HEAD(, kept) line;
	unsigned int count;
};

/* ---- what is kept */

static struct kept **find_at(struct options *options, uint64_t cookie)
{
	struct kept **at = &options->chain[cookie % CHAINS];

	while (*at && (*at)->cookie != cookie)
		at = &(*at)->next;
	return at;
}

static void forget(struct options *options, uint64_t cookie)
{
	struct kept **at = find_at(options, cookie), *kept = *at;

	if (!kept)
		return;
	*at = kept->next;
	TAILQ_REMOVE(&options->line, kept, line);
	options->count--;
	free(kept->option);
	free(kept);
}

static struct kept *find_or_make(struct options *options, uint64_t cookie)
{
	struct kept *kept = *find_at(options, cookie);

	if (kept) {
		TAILQ_REMOVE(&options->line, kept, line);
		TAILQ_INSERT_TAIL(&options->line, kept, line);
		return kept;
	}
	if (options->count >= OPTION_SOCKETS)
		forget(options, TAILQ_FIRST(&options->line)->cookie);
	kept = calloc(1, sizeof(*kept));
	if (!kept)
		return NULL;
	kept->cookie = cookie;
	kept->next = options->chain[cookie % CHAINS];
	options->chain[cookie % CHAINS] = kept;
	TAILQ_INSERT_TAIL(&options->line, kept, line);
	options->count++;
	return kept;
}

static void take_out(struct kept *kept, unsigned int i)
{
	kept->count--;
	memmove(&kept->option[i], &kept->option[i + 1],
		(kept->count - i) * sizeof(kept->option[0]));
}

static void append(struct kept *kept, const struct option *option)
{
	struct option *more;

	if (kept->count >= OPTION_EACH)
		return;
	more = realloc(kept->option, (kept->count + 1) * sizeof(*more));
	if (!more)
		return;
	kept->option = more;
	more[kept->count++] = *option;
}

static void keep(struct options *options, uint64_t cookie, const struct option *option)
{
	struct kept *kept = find_or_make(options, cookie);
	unsigned int i;

	if (!kept)
		return;
	for (i = kept->count; i-- > 0;)
		if (group_replaces(option, &kept->option[i])) {
			take_out(kept, i);
			break;
		}
	if (!group_is_leave(option))
		append(kept, option);
}

void option_each(struct resoa *resoa, uint64_t cookie,
		 void (*each)(const struct option *option, void *arg), void *arg)
{
	const struct kept *kept =
		cookie && resoa->options ? *find_at(resoa->options, cookie) : NULL;
	unsigned int i;

	for (i = 0; kept && i < kept->count; i++)
		each(&kept->option[i], arg);
}

struct search {
	int level, name, value;
};

static void look(const struct option *option, void *arg)
{
	struct search *search = arg;

	if (option->level == search->level && option->name == search->name &&
	    option->len >= sizeof(search->value))
		memcpy(&search->value, option->value, sizeof(search->value));
}

int option_int(struct resoa *resoa, uint64_t cookie, int level, int name, int otherwise)
{
	struct search search = { level, name, otherwise };

	option_each(resoa, cookie, look, &search);
	return search.value;
}

void option_gone(struct resoa *resoa, uint64_t cookie)
{
	if (resoa->options)
		forget(resoa->options, cookie);
}

void option_close(struct resoa *resoa)
{
	struct options *options = resoa->options;

	if (!options)
		return;
	while (!TAILQ_EMPTY(&options->line))
		forget(options, TAILQ_FIRST(&options->line)->cookie);
	free(options);
	resoa->options = NULL;
}

/* ---- to the server */

static void send_one(const struct option *option, void *arg)
{
	const struct rsock *rsock = arg;
	struct ep_message message = { .type = EP_OPTION,
				      .level = option->level,
				      .option = option->name,
				      .body = option->value,
				      .body_len = option->len };

	if (!group_is_option(option->level, option->name))
		ep_send(rsock->resoa->lhp, rsock->id, &message);
}

void option_send(struct rsock *rsock)
{
	if (rsock->resoa->lhp)
		option_each(rsock->resoa, rsock->cookie, send_one, rsock);
}

static void send_now(struct rsock *rsock, const struct option *option)
{
	if (!rsock || !rsock->server_knows || !rsock->resoa->lhp)
		return;
	if (!group_tell(rsock, option))
		send_one(option, rsock);
}

/* What was accepted has its listener's cookie: only its names tell it apart. */
static bool is_of_connection(struct resoa *resoa, const struct resoa_event *event,
			     const struct option *option)
{
	struct rsock *rsock;

	if (event->proto != IPPROTO_TCP || !event->names.remote_port)
		return false;
	rsock = rsock_of_names(resoa, IPPROTO_TCP, &event->names);
	if (!rsock || rsock->kind != RSOCK_INCOMING)
		return false;
	send_now(rsock, option);
	return true;
}

static struct options *open_options(struct resoa *resoa)
{
	if (resoa->options)
		return resoa->options;
	resoa->options = calloc(1, sizeof(*resoa->options));
	if (resoa->options)
		TAILQ_INIT(&resoa->options->line);
	return resoa->options;
}

void option_event(struct resoa *resoa, const struct resoa_event *event)
{
	struct option option = { .level = event->level,
				 .name = event->name,
				 .len = (uint16_t)event->length };
	struct rsock *rsock;

	if (event->length > sizeof(option.value) || !event->cookie)
		return;
	memcpy(option.value, event->bytes, event->length);
	if (is_of_connection(resoa, event, &option) || !open_options(resoa))
		return;
	keep(resoa->options, event->cookie, &option);
	if (option.level == SOL_SOCKET && option.name == SO_REUSEADDR)
		bind_reuse(resoa, event->cookie,
			   option_int(resoa, event->cookie, SOL_SOCKET, SO_REUSEADDR, 0));
	rsock = rsock_of_cookie(resoa, event->cookie);
	send_now(rsock, &option);
	if (rsock && rsock->kind == RSOCK_UDP)
		send_now(udp_twin(rsock), &option);
}
