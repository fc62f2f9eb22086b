// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/lhp.c agents/lib/lhp_key.c agents/lib/lhp_stream.c */
/* link: agents/lib/lhp_stream_queue.c agents/lib/lhp_stream_tls.c agents/lib/lhp_stream_place.c */
/* link: agents/lib/conf.c agents/lib/address.c */
/*
 * Messages of a peer that has proved its key, as TLS hands them out: in pieces, whose length is the
 * first byte's. A second parser, which sees all bytes at once, says what must come of them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "agents/lib/lhp_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *expected; /* where the next message begins in the input */
static size_t messages;

static uint32_t number(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

static void on_message(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len,
		       void *arg)
{
	(void)lhp;
	(void)arg;
	if (number(expected) != len || number(expected + 4) != stream ||
	    memcmp(expected + 8, bytes, len))
		abort();
	expected += 8 + len;
	messages++;
}

static const struct lhp_handler handler = { .message = on_message };

static size_t count_messages(const uint8_t *data, size_t size, bool *too_long)
{
	size_t count = 0;

	*too_long = false;
	while (size >= 8) {
		size_t len = number(data);

		*too_long = len > LHP_MESSAGE_MAX;
		if (*too_long || size - 8 < len)
			break;
		data += 8 + len;
		size -= 8 + len;
		count++;
	}
	return count;
}

static struct stream *open_stream(void)
{
	static struct event_base *base;
	struct stream *stream;
	int pair[2];

	if (!base)
		base = event_base_new();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		abort();
	close(pair[1]);
	stream = stream_new(base, &stream_unix_ops, pair[0]);
	if (!stream)
		abort();
	stream->in = malloc(STREAM_IN);
	stream->state = STREAM_OPEN;
	lhp_set_handler(&stream->lhp, &handler, NULL);
	return stream;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stream *stream; /* one for all inputs */
	size_t piece = size ? data[0] + 1 : 1, wanted;
	bool too_long;

	if (!size)
		return 0;
	if (!stream)
		stream = open_stream();
	expected = ++data;
	messages = 0;
	size--;
	wanted = count_messages(data, size, &too_long);
	while (size && stream->state == STREAM_OPEN) {
		size_t len = size < piece ? size : piece;

		if (STREAM_IN - stream->in_end < len)
			abort();
		memcpy(stream->in + stream->in_end, data, len);
		stream_took(stream, len);
		data += len;
		size -= len;
	}
	if (messages != wanted || too_long != (stream->state == STREAM_ENDING))
		abort();
	stream->in_start = stream->in_end = 0;
	stream->state = STREAM_OPEN;
	return 0;
}
