// SPDX-License-Identifier: GPL-3.0-or-later
/* Semi-reliable messages: in any order, each at most once; parts wait a little for each other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lhp_ether.h"

#define PARTS_MAX 128

static void entry_free(struct ether *ether, struct ether_semi *entry)
{
	for (unsigned int i = 0; entry->pieces && i < entry->count; i++)
		if (entry->pieces[i])
			ether_piece_free(ether, entry->pieces[i]);
	free(entry->pieces);
	memset(entry, 0, sizeof(*entry));
}

void ether_semi_free(struct ether *ether)
{
	for (int i = 0; i < ETHER_SEMI_KEPT; i++)
		entry_free(ether, &ether->receiver.semi[i]);
}

static uint64_t *word_of(struct ether_receiver *receiver, uint32_t id)
{
	return &receiver->semi_seen[id / 64 % (ETHER_SEMI_SEEN / 64)];
}

/* Delivered already, or so old that it cannot be told. */
static bool seen(struct ether_receiver *receiver, uint32_t id)
{
	int32_t ahead = (int32_t)(id - receiver->semi_largest);

	if (!receiver->semi_any || ahead > 0)
		return false;
	if (ahead <= -(ETHER_SEMI_SEEN - 64))
		return true;
	return *word_of(receiver, id) >> id % 64 & 1;
}

static void mark(struct ether_receiver *receiver, uint32_t id)
{
	uint32_t word = receiver->semi_any ? receiver->semi_largest / 64 : id / 64;

	if (!receiver->semi_any || (int32_t)(id - receiver->semi_largest) > 0) {
		if (receiver->semi_any && id - receiver->semi_largest >= ETHER_SEMI_SEEN)
			memset(receiver->semi_seen, 0, sizeof(receiver->semi_seen));
		else
			while (word != id / 64) {
				word = (word + 1) % (1u << 26);
				*word_of(receiver, word * 64) = 0;
			}
		receiver->semi_largest = id;
		receiver->semi_any = true;
	}
	*word_of(receiver, id) |= 1ull << id % 64;
}

/* That of this message, or a free one, or the oldest one, which is given up. */
static struct ether_semi *entry_of(struct ether *ether, uint32_t id)
{
	struct ether_semi *entries = ether->receiver.semi, *best = entries;

	for (int i = 0; i < ETHER_SEMI_KEPT; i++) {
		struct ether_semi *entry = &entries[i];

		if (entry->pieces && entry->id == id)
			return entry;
		if (best->pieces && (!entry->pieces || entry->born < best->born))
			best = entry;
	}
	if (best->pieces)
		entry_free(ether, best);
	return best;
}

static int entry_begin(struct ether *ether, struct ether_semi *entry,
		       const struct ether_frame *frame)
{
	entry->pieces = calloc(frame->count, sizeof(*entry->pieces));
	if (!entry->pieces)
		return -ENOBUFS;
	entry->id = frame->sequence;
	entry->stream = frame->stream;
	entry->count = frame->count;
	entry->born = ether->port->now;
	return 0;
}

static void deliver(struct ether *ether, struct ether_semi *entry)
{
	uint8_t *message = ether->receiver.spare_message;
	uint32_t stream = entry->stream;
	size_t len = 0;

	ether->receiver.spare_message = NULL;
	if (!message)
		message = malloc(LHP_MESSAGE_MAX);
	mark(&ether->receiver, entry->id);
	for (unsigned int i = 0; message && i < entry->count; i++) {
		const struct ether_piece *piece = entry->pieces[i];

		if (len + piece->len > LHP_MESSAGE_MAX)
			break;
		memcpy(message + len, piece->bytes, piece->len);
		len += piece->len;
	}
	entry_free(ether, entry);
	if (message)
		ether_message(ether, stream, message, len);
	if (!ether->receiver.spare_message)
		ether->receiver.spare_message = message;
	else
		free(message);
}

int ether_semi_frame(struct ether *ether, const struct ether_frame *frame)
{
	struct ether_semi *entry;
	int err;

	if (frame->count > PARTS_MAX)
		return -EPROTO;
	if (seen(&ether->receiver, frame->sequence))
		return 0;
	if (frame->count == 1) {
		mark(&ether->receiver, frame->sequence);
		ether_message(ether, frame->stream, frame->body, frame->body_len);
		return 0;
	}
	entry = entry_of(ether, frame->sequence);
	err = entry->pieces ? 0 : entry_begin(ether, entry, frame);
	if (err)
		return err;
	if (entry->count != frame->count || entry->stream != frame->stream)
		return -EPROTO;
	if (entry->pieces[frame->index])
		return 0;
	entry->pieces[frame->index] = ether_piece_new(ether, frame);
	if (!entry->pieces[frame->index])
		return -ENOBUFS;
	if (++entry->have == entry->count)
		deliver(ether, entry);
	return 0;
}
