// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * SETUP datagrams of the name server: read, and answered, many with one system call. One that comes
 * again is answered as before, and nothing is done twice.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/address.h"
#include "waypoint.h"

#define ROUNDS	      4	    /* before others have their turn */
#define REMEMBERED    32768 /* a power of two; more than come in the 3 s of repetitions */
#define RECEIVE_BYTES (4 << 20)

struct asks {
	int socket;
	struct event *readable;
	struct setup_key *key; /* NULL: not logged in */
	struct setup_inbox *inbox;
	struct sockaddr_storage to[SETUP_INBOX]; /* of the answers */
	uint8_t answer[SETUP_INBOX][SETUP_BYTES];
	struct {
		uint64_t serial; /* 0 = none */
		uint8_t answer[SETUP_BYTES];
	} remembered[REMEMBERED];
};

/* Returns whether there is an answer to send. */
static bool answer_one(struct waypoint *w, const struct setup_mail *mail,
		       uint8_t bytes[SETUP_BYTES])
{
	struct asks *asks = w->asks;
	struct setup ask, answer;
	unsigned int place;

	if (!asks->key || setup_read(mail->bytes, mail->len, asks->key, &ask) ||
	    ask.type != SETUP_ASK || !ask.serial) {
		w->counters.setups_bad++;
		return false;
	}
	w->counters.setups++;
	place = ask.serial & (REMEMBERED - 1);
	if (asks->remembered[place].serial == ask.serial) {
		w->counters.repeated++;
		memcpy(bytes, asks->remembered[place].answer, SETUP_BYTES);
		return true;
	}
	answer = ask;
	bind_ask(w, &ask, &answer);
	answer.type == SETUP_ACCEPT ? w->counters.accepted++ : w->counters.rejected++;
	if (setup_write(&answer, asks->key, bytes))
		return false;
	asks->remembered[place].serial = ask.serial;
	memcpy(asks->remembered[place].answer, bytes, SETUP_BYTES);
	return true;
}

static bool is_same(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	return !memcmp(a, b,
		       a->ss_family == AF_INET ? sizeof(struct sockaddr_in)
					       : sizeof(struct sockaddr_in6));
}

/* All of them come from one name server, as a rule. */
static void send_all(struct asks *asks, unsigned int count)
{
	for (unsigned int first = 0, next; first < count; first = next) {
		const struct sockaddr_storage *to = &asks->to[first];

		for (next = first + 1; next < count && is_same(to, &asks->to[next]);)
			next++;
		setup_send(asks->socket, (const struct sockaddr *)to,
			   to->ss_family == AF_INET ? sizeof(struct sockaddr_in)
						    : sizeof(struct sockaddr_in6),
			   asks->answer + first, next - first);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct waypoint *w = arg;
	struct asks *asks = w->asks;

	(void)what;
	for (int round = 0; round < ROUNDS; round++) {
		const struct setup_mail *mail;
		unsigned int answers = 0, count = setup_receive(asks->inbox, fd, &mail);

		if (!count)
			return;
		events_take(w); /* reject times that have begun meanwhile */
		for (unsigned int i = 0; i < count; i++) {
			if (!answer_one(w, &mail[i], asks->answer[answers]))
				continue;
			asks->to[answers++] = *mail[i].from;
		}
		send_all(asks, answers);
	}
}

void asks_key(struct waypoint *w, const uint8_t *key)
{
	struct asks *asks = w->asks;

	setup_key_free(asks->key);
	asks->key = key ? setup_key_new(key) : NULL;
	memset(asks->remembered, 0, sizeof(asks->remembered));
}

int asks_open(struct waypoint *w, char *error)
{
	struct sockaddr_storage storage;
	socklen_t len = address_to_sockaddr(&w->settings.setup_address,
					    htons(w->settings.setup_port), &storage);
	int bytes = RECEIVE_BYTES;
	struct asks *asks = calloc(1, sizeof(*asks));

	if (!asks)
		return -ENOMEM;
	w->asks = asks;
	asks->socket = socket(storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (asks->socket < 0 || bind(asks->socket, (struct sockaddr *)&storage, len)) {
		int err = -errno;

		snprintf(error, ERROR_LEN, "cannot take SETUPs at port %u: %s",
			 w->settings.setup_port, strerror(-err));
		return err;
	}
	setsockopt(asks->socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	asks->inbox = setup_inbox_new(asks->socket);
	if (!asks->inbox)
		return -ENOMEM;
	asks->readable = event_new(w->base, asks->socket, EV_READ | EV_PERSIST, on_readable, w);
	return asks->readable && !event_add(asks->readable, NULL) ? 0 : -ENOMEM;
}

void asks_close(struct waypoint *w)
{
	if (!w->asks)
		return;
	if (w->asks->readable)
		event_free(w->asks->readable);
	if (w->asks->socket >= 0)
		close(w->asks->socket);
	setup_inbox_free(w->asks->inbox);
	setup_key_free(w->asks->key);
	free(w->asks);
	w->asks = NULL;
}
