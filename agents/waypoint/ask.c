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
	bool has_key;
	uint8_t key[SETUP_KEY_BYTES];
	struct mmsghdr in[BATCH], out[BATCH];
	struct iovec in_vector[BATCH], out_vector[BATCH];
	struct sockaddr_storage from[BATCH];
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

	if (asks->in[from].msg_hdr.msg_flags & MSG_TRUNC || !asks->has_key ||
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

/* What cannot be sent is lost as on the way: the question comes again. */
static void send_all(struct asks *asks, int count)
{
	for (int sent = 0; sent < count;) {
		int n = sendmmsg(asks->socket, asks->out + sent, (unsigned int)(count - sent),
				 MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		sent += n > 0 ? n : 1;
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct waypoint *w = arg;
	struct asks *asks = w->asks;

	(void)what;
	for (int round = 0; round < BATCHES; round++) {
		int count, answers = 0;

		prepare(asks);
		count = recvmmsg(fd, asks->in, BATCH, MSG_DONTWAIT, NULL);
		if (count <= 0)
			return;
		for (int i = 0; i < count; i++) {
			if (!answer_one(w, i, asks->answer[answers]))
				continue;
			asks->out_vector[answers] =
				(struct iovec){ asks->answer[answers], SETUP_BYTES };
			asks->out[answers].msg_hdr = asks->in[i].msg_hdr;
			asks->out[answers].msg_hdr.msg_iov = &asks->out_vector[answers];
			answers++;
		}
		send_all(asks, answers);
		if (count < BATCH)
			return;
	}
}

void asks_key(struct waypoint *w, const uint8_t *key)
{
	struct asks *asks = w->asks;

	asks->has_key = key != NULL;
	explicit_bzero(asks->key, sizeof(asks->key));
	memset(asks->remembered, 0, sizeof(asks->remembered));
	if (key)
		memcpy(asks->key, key, sizeof(asks->key));
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
	explicit_bzero(w->asks->key, sizeof(w->asks->key));
	free(w->asks);
	w->asks = NULL;
}
