// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Streams of the Ethernet LHP. Frames of a stream are numbered one by one; those that come too
 * early wait in a ring of their stream, and stop no other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lhp_ether.h"

#define RING_FIRST  16
#define ENDED_FIRST 1024
#define ENDED_MAX   (1u << 20)
#define SPARES	    512 /* pieces kept for the next loss */

/* ---- pieces: frames that wait, each in a buffer of a whole packet or of its own small size */

static struct ether_piece *piece_alloc(struct ether *ether, size_t len, uint8_t flags)
{
	struct ether_receiver *receiver = &ether->receiver;
	struct ether_piece *piece = receiver->spare;
	bool whole = len > 256;

	if (whole && piece) {
		receiver->spare = piece->next;
		receiver->spares--;
	} else {
		piece = malloc(sizeof(*piece) + (whole ? ether->port->mtu : len));
		if (!piece)
			return NULL;
	}
	piece->next = NULL;
	piece->len = (uint16_t)len;
	piece->flags = flags;
	piece->parts = 0;
	piece->count = 0;
	return piece;
}

struct ether_piece *ether_piece_new(struct ether *ether, const struct ether_frame *frame)
{
	struct ether_piece *piece = piece_alloc(ether, frame->body_len, frame->flags);

	if (piece)
		memcpy(piece->bytes, frame->body, frame->body_len);
	return piece;
}

void ether_piece_free(struct ether *ether, struct ether_piece *piece)
{
	struct ether_receiver *receiver = &ether->receiver;

	if (piece->len <= 256 || receiver->spares >= SPARES) {
		free(piece);
		return;
	}
	piece->next = receiver->spare;
	receiver->spare = piece;
	receiver->spares++;
}

/* ---- ids of streams that have ended */

static unsigned int hash(uint32_t id, unsigned int size)
{
	return (id * 2654435761u) >> 7 & (size - 1);
}

static bool ended_has(const struct ether_ended *ended, int which, uint32_t id)
{
	unsigned int size = ended->size[which];

	if (!size)
		return false;
	for (unsigned int at = hash(id, size); ended->ids[which][at]; at = (at + 1) & (size - 1))
		if (ended->ids[which][at] == id)
			return true;
	return false;
}

static void ended_turn(struct ether_ended *ended, uint64_t now)
{
	if (now - ended->turned < ETHER_FORGOTTEN_US && ended->used[0] < ENDED_MAX)
		return;
	free(ended->ids[1]);
	ended->ids[1] = ended->ids[0];
	ended->size[1] = ended->size[0];
	ended->used[1] = ended->used[0];
	ended->ids[0] = NULL;
	ended->size[0] = ended->used[0] = 0;
	ended->turned = now;
}

static void ended_put(struct ether_ended *ended, uint32_t id)
{
	unsigned int at = hash(id, ended->size[0]);

	while (ended->ids[0][at])
		at = (at + 1) & (ended->size[0] - 1);
	ended->ids[0][at] = id;
	ended->used[0]++;
}

static bool ended_grow(struct ether_ended *ended)
{
	unsigned int old_size = ended->size[0], size = old_size ? old_size * 2 : ENDED_FIRST;
	uint32_t *old = ended->ids[0], *ids = calloc(size, sizeof(*ids));

	if (!ids)
		return false;
	ended->ids[0] = ids;
	ended->size[0] = size;
	ended->used[0] = 0;
	for (unsigned int i = 0; i < old_size; i++)
		if (old[i])
			ended_put(ended, old[i]);
	free(old);
	return true;
}

/* Without memory a late copy would not be known as one: it would wait for what never comes. */
static void ended_add(struct ether *ether, uint32_t id)
{
	struct ether_ended *ended = &ether->receiver.ended;

	ended_turn(ended, ether->port->now);
	if (!id || (ended->used[0] * 2 >= ended->size[0] && !ended_grow(ended)))
		return;
	ended_put(ended, id);
}

/* ---- the table */

static struct ether_stream **place_of(struct ether_receiver *receiver, uint32_t id)
{
	struct ether_stream **at = &receiver->streams[hash(id, receiver->streams_size)];

	while (*at && (*at)->id != id)
		at = &(*at)->chain;
	return at;
}

static void grow(struct ether_receiver *receiver)
{
	unsigned int old_size = receiver->streams_size;
	struct ether_stream **old = receiver->streams;
	struct ether_stream **streams = calloc(old_size * 2, sizeof(*streams));

	if (!streams)
		return; /* chains get longer */
	receiver->streams = streams;
	receiver->streams_size = old_size * 2;
	for (unsigned int i = 0; i < old_size; i++) {
		while (old[i]) {
			struct ether_stream *stream = old[i];

			old[i] = stream->chain;
			stream->chain = NULL;
			*place_of(receiver, stream->id) = stream;
		}
	}
	free(old);
}

struct ether_stream *ether_stream_get(struct ether *ether, uint32_t id)
{
	struct ether_receiver *receiver = &ether->receiver;
	struct ether_stream *stream = *place_of(receiver, id);

	if (stream || ended_has(&receiver->ended, 0, id) || ended_has(&receiver->ended, 1, id))
		return stream;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return NULL;
	if (receiver->streams_used >= receiver->streams_size)
		grow(receiver);
	stream->id = id;
	*place_of(receiver, id) = stream;
	receiver->streams_used++;
	return stream;
}

static void message_end(struct ether *ether, struct ether_stream *stream)
{
	if (stream->message_size >= LHP_MESSAGE_MAX && !ether->receiver.spare_message)
		ether->receiver.spare_message = stream->message;
	else
		free(stream->message);
	stream->message = NULL;
	stream->message_len = stream->message_size = 0;
	stream->in_message = false;
}

static void stream_free(struct ether *ether, struct ether_stream *stream)
{
	for (uint32_t i = 0; i < stream->ring_size; i++)
		if (stream->ring[i])
			ether_piece_free(ether, stream->ring[i]);
	free(stream->ring);
	free(stream->message);
	free(stream);
}

void ether_stream_check(struct ether *ether, struct ether_stream *stream)
{
	struct ether_receiver *receiver = &ether->receiver;

	if (!stream->forgotten || !stream->has_final || stream->receive_next != stream->final ||
	    stream->delivering)
		return;
	*place_of(receiver, stream->id) = stream->chain;
	receiver->streams_used--;
	ended_add(ether, stream->id);
	stream_free(ether, stream);
}

void ether_streams_free(struct ether *ether)
{
	struct ether_receiver *receiver = &ether->receiver;

	for (unsigned int i = 0; receiver->streams && i < receiver->streams_size; i++) {
		while (receiver->streams[i]) {
			struct ether_stream *stream = receiver->streams[i];

			receiver->streams[i] = stream->chain;
			stream_free(ether, stream);
		}
	}
	free(receiver->streams);
	free(receiver->ended.ids[0]);
	free(receiver->ended.ids[1]);
}

/* ---- from frames to messages */

static uint64_t cost(size_t len)
{
	return len + ETHER_FRAME_COST;
}

static bool make_room(struct ether *ether, struct ether_stream *stream, size_t more)
{
	size_t want = stream->message_len + more, size = want < 4096 ? 4096 : 16384;
	uint8_t *larger;

	if (want <= stream->message_size)
		return true;
	if (want > 16384)
		size = LHP_MESSAGE_MAX;
	if (size == LHP_MESSAGE_MAX && ether->receiver.spare_message) {
		larger = ether->receiver.spare_message;
		ether->receiver.spare_message = NULL;
		if (stream->message_len)
			memcpy(larger, stream->message, stream->message_len);
		free(stream->message);
	} else {
		larger = realloc(stream->message, size);
		if (!larger)
			return false;
	}
	stream->message = larger;
	stream->message_size = size;
	return true;
}

static int append(struct ether *ether, struct ether_stream *stream, uint8_t flags,
		  const uint8_t *bytes, size_t len)
{
	if (stream->message_len + len > LHP_MESSAGE_MAX)
		return -EPROTO;
	if (!make_room(ether, stream, len))
		return -ENOMEM;
	if (len)
		memcpy(stream->message + stream->message_len, bytes, len);
	stream->message_len += len;
	stream->message_cost += cost(len);
	if (!(flags & ETHER_LAST))
		return 0;
	ether->receiver.given += stream->message_cost;
	stream->message_cost = 0;
	ether_message(ether, stream->id, stream->message, stream->message_len);
	message_end(ether, stream);
	return 0;
}

/* The next frame in order. */
static int next_frame(struct ether *ether, struct ether_stream *stream, uint8_t flags,
		      const uint8_t *bytes, size_t len)
{
	if (!(flags & ETHER_FIRST) == !stream->in_message)
		return -EPROTO;
	if (flags == (ETHER_FIRST | ETHER_LAST)) {
		ether->receiver.given += cost(len);
		stream->receive_next++;
		ether_message(ether, stream->id, bytes, len);
		return 0;
	}
	stream->in_message = true;
	/* Without memory the frame is as if it had not come. */
	if (stream->message_len + len <= LHP_MESSAGE_MAX && !make_room(ether, stream, len))
		return -ENOMEM;
	stream->receive_next++;
	return append(ether, stream, flags, bytes, len);
}

static int drain(struct ether *ether, struct ether_stream *stream)
{
	int err = 0;

	while (!err && stream->ahead && ether->state != ETHER_OVER) {
		struct ether_piece **at =
			&stream->ring[stream->receive_next & (stream->ring_size - 1)];
		struct ether_piece *piece = *at;

		if (!piece || piece->parts)
			return 0;
		err = next_frame(ether, stream, piece->flags, piece->bytes, piece->len);
		if (err == -ENOMEM)
			ether_fail(ether, "no memory for a message");
		*at = NULL;
		stream->ahead--;
		ether_piece_free(ether, piece);
	}
	if (!stream->ahead) {
		free(stream->ring);
		stream->ring = NULL;
		stream->ring_size = 0;
	}
	return err;
}

static bool ring_reaches(struct ether_stream *stream, uint32_t offset)
{
	uint32_t size = stream->ring_size ? stream->ring_size : RING_FIRST;
	struct ether_piece **ring;

	while (size <= offset)
		size *= 2;
	if (size == stream->ring_size)
		return true;
	ring = calloc(size, sizeof(*ring));
	if (!ring)
		return false;
	for (uint32_t i = 0; i < stream->ring_size; i++) {
		uint32_t sequence = stream->receive_next + i;

		ring[sequence & (size - 1)] = stream->ring[sequence & (stream->ring_size - 1)];
	}
	free(stream->ring);
	stream->ring = ring;
	stream->ring_size = size;
	return true;
}

/* Into the place of the frame that it is a part of. */
static int keep_part(struct ether *ether, struct ether_stream *stream,
		     const struct ether_frame *frame, struct ether_piece **at)
{
	struct ether_piece *piece = *at;

	if (!piece) {
		if (frame->whole > ether->port->mtu)
			return -EPROTO;
		piece = *at = piece_alloc(ether, frame->whole, frame->flags & ~ETHER_PART);
		if (!piece)
			return -ENOBUFS;
		piece->count = (uint8_t)frame->count;
		piece->parts = (uint16_t)((1u << frame->count) - 1);
		stream->ahead++;
		ether->receiver.taken += cost(frame->whole);
	}
	if (!piece->count)
		return 0; /* it had come whole */
	if (piece->count != frame->count || piece->len != frame->whole)
		return -EPROTO;
	memcpy(piece->bytes + ether_part_at(frame, frame->index), frame->body, frame->body_len);
	piece->parts &= (uint16_t) ~(1u << frame->index);
	return 0;
}

/* A frame that others must come before, or its other parts. */
static int keep(struct ether *ether, struct ether_stream *stream, const struct ether_frame *frame)
{
	uint32_t offset = frame->sequence - stream->receive_next;
	struct ether_piece **at;

	if (offset >= ETHER_AHEAD_MAX || !ring_reaches(stream, offset))
		return -ENOBUFS;
	at = &stream->ring[frame->sequence & (stream->ring_size - 1)];
	if (frame->flags & ETHER_PART)
		return keep_part(ether, stream, frame, at);
	if (*at)
		return 0;
	*at = ether_piece_new(ether, frame);
	if (!*at)
		return -ENOBUFS;
	stream->ahead++;
	ether->receiver.taken += cost(frame->body_len);
	return 0;
}

/* Parts of it have come: the others will, so a late copy of the whole is not needed. */
static bool in_parts(const struct ether_stream *stream)
{
	return stream->ring && stream->ring[stream->receive_next & (stream->ring_size - 1)];
}

/* The next one, in order and whole. */
static int take_next(struct ether *ether, struct ether_stream *stream,
		     const struct ether_frame *frame)
{
	int err = next_frame(ether, stream, frame->flags, frame->body, frame->body_len);

	if (!err)
		ether->receiver.taken += cost(frame->body_len);
	return err;
}

int ether_stream_frame(struct ether *ether, const struct ether_frame *frame)
{
	struct ether_receiver *receiver = &ether->receiver;
	struct ether_stream *stream = ether_stream_get(ether, frame->stream);
	bool is_part = frame->flags & ETHER_PART;
	int32_t offset;
	int err;

	if (!stream)
		return 0; /* it has ended: a late copy */
	offset = (int32_t)(frame->sequence - stream->receive_next);
	if (offset < 0)
		return 0;
	if (stream->has_final && (int32_t)(frame->sequence - stream->final) >= 0)
		return -EPROTO;
	if (receiver->taken + cost(is_part ? frame->whole : frame->body_len) >
	    receiver->given + ETHER_WINDOW)
		return -ENOBUFS;
	if (offset)
		return keep(ether, stream, frame);
	if (!is_part && in_parts(stream))
		return 0;
	stream->delivering = true;
	err = is_part ? keep(ether, stream, frame) : take_next(ether, stream, frame);
	if (!err)
		err = drain(ether, stream);
	stream->delivering = false;
	if (ether->state != ETHER_OVER)
		ether_stream_check(ether, stream);
	return err;
}

int ether_stream_final(struct ether *ether, const struct ether_frame *frame)
{
	struct ether_stream *stream = ether_stream_get(ether, frame->stream);

	if (!stream)
		return 0;
	if ((stream->has_final && stream->final != frame->sequence) ||
	    (int32_t)(frame->sequence - stream->receive_next) < 0)
		return -EPROTO;
	stream->has_final = true;
	stream->final = frame->sequence;
	ether_stream_check(ether, stream);
	return 0;
}
