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

#define BATCH	      64
#define BATCHES	      8	    /* before others have their turn */
#define REMEMBERED    32768 /* a power of two; more than come in the 3 s of repetitions */
#define RECEIVE_BYTES (4 << 20)

struct asks {
	int socket;
	struct event *readable;
	struct setup_key *key; /* NULL: not logged in */
	struct mmsghdr in[BATCH];
	struct iovec in_vector[BATCH];
	struct sockaddr_storage from[BATCH], to[BATCH]; /* of questions, and of answers */
	uint8_t question[BATCH][SETUP_BYTES], answer[BATCH][SETUP_BYTES];
	struct {
		uint64_t serial; /* 0 = none */
		uint8_t answer[SETUP_BYTES];
	} remembered[REMEMBERED];
};

static void prepare(struct asks *asks)
{
	for (int i = 0; i < BATCH; i++) {
		asks->in_vector[i] = (struct iovec){ asks->question[i], SETUP_BYTES };
		asks->in[i].msg_hdr = (struct msghdr){ .msg_name = &asks->from[i],
						       .msg_namelen = sizeof(asks->from[i]),
						       .msg_iov = &asks->in_vector[i],
						       .msg_iovlen = 1 };
	}
}

/* Returns whether there is an answer to send. */
static bool answer_one(struct waypoint *w, int from, uint8_t bytes[SETUP_BYTES])
{
	struct asks *asks = w->asks;
	struct setup ask, answer;
	unsigned int place;

	if (asks->in[from].msg_hdr.msg_flags & MSG_TRUNC || !asks->key ||
	    setup_read(asks->question[from], asks->in[from].msg_len, asks->key, &ask) ||
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
	for (int round = 0; round < BATCHES; round++) {
		unsigned int answers = 0;
		int count;

		prepare(asks);
		count = recvmmsg(fd, asks->in, BATCH, MSG_DONTWAIT, NULL);
		if (count <= 0)
			return;
		for (int i = 0; i < count; i++) {
			if (!answer_one(w, i, asks->answer[answers]))
				continue;
			asks->to[answers++] = asks->from[i];
		}
		send_all(asks, answers);
		if (count < BATCH)
			return;
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
	setup_key_free(w->asks->key);
	free(w->asks);
	w->asks = NULL;
}
