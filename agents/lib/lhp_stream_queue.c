// SPDX-License-Identifier: GPL-3.0-or-later
/* What waits to be sent: plain bytes in pieces, each of which becomes one TLS record. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "lhp_stream.h"

#define SPARES                                                                                     \
	16 /* pieces that are kept for the next messages: as many as a room of 256 KiB has         \
	    */

void queue_init(struct stream_queue *queue)
{
	memset(queue, 0, sizeof(*queue));
	TAILQ_INIT(&queue->waiting);
	TAILQ_INIT(&queue->spare);
}

static void free_pieces(struct stream_pieces *pieces)
{
	struct stream_piece *piece;

	while ((piece = TAILQ_FIRST(pieces))) {
		TAILQ_REMOVE(pieces, piece, link);
		OPENSSL_cleanse(piece->bytes, piece->end);
		free(piece);
	}
}

void queue_wipe(struct stream_queue *queue)
{
	free_pieces(&queue->waiting);
	free_pieces(&queue->spare);
	queue_init(queue);
}

static bool add_spare(struct stream_queue *queue)
{
	struct stream_piece *piece = malloc(sizeof(*piece));

	if (!piece)
		return false;
	piece->start = piece->end = 0;
	TAILQ_INSERT_HEAD(&queue->spare, piece, link);
	queue->spares++;
	return true;
}

/* So many pieces that `len` bytes more find room: then nothing can fail half-way. */
static bool make_room(struct stream_queue *queue, size_t len)
{
	struct stream_piece *last = TAILQ_LAST(&queue->waiting, stream_pieces);
	size_t room = last ? STREAM_RECORD - last->end : 0;

	room += (size_t)queue->spares * STREAM_RECORD;
	for (; room < len; room += STREAM_RECORD)
		if (!add_spare(queue))
			return false;
	return true;
}

static struct stream_piece *use_spare(struct stream_queue *queue)
{
	struct stream_piece *piece = TAILQ_FIRST(&queue->spare);

	TAILQ_REMOVE(&queue->spare, piece, link);
	queue->spares--;
	piece->start = piece->end = 0;
	TAILQ_INSERT_TAIL(&queue->waiting, piece, link);
	return piece;
}

static void add_bytes(struct stream_queue *queue, const uint8_t *bytes, size_t len)
{
	struct stream_piece *piece = TAILQ_LAST(&queue->waiting, stream_pieces);

	while (len) {
		size_t take;

		if (!piece || piece->end == STREAM_RECORD)
			piece = use_spare(queue);
		take = STREAM_RECORD - piece->end < len ? STREAM_RECORD - piece->end : len;
		memcpy(piece->bytes + piece->end, bytes, take);
		piece->end += take;
		queue->len += take;
		bytes += take;
		len -= take;
	}
}

int queue_add(struct stream_queue *queue, const uint8_t head[STREAM_HEAD],
	      const struct iovec *parts, int count)
{
	size_t len = STREAM_HEAD;

	for (int i = 0; i < count; i++)
		len += parts[i].iov_len;
	if (!make_room(queue, len))
		return -ENOMEM;
	add_bytes(queue, head, STREAM_HEAD);
	for (int i = 0; i < count; i++)
		add_bytes(queue, parts[i].iov_base, parts[i].iov_len);
	return 0;
}

struct stream_piece *queue_first(struct stream_queue *queue)
{
	return TAILQ_FIRST(&queue->waiting);
}

void queue_taken(struct stream_queue *queue, size_t len)
{
	struct stream_piece *piece = TAILQ_FIRST(&queue->waiting);

	piece->start += len;
	queue->len -= len;
	if (piece->start < piece->end)
		return;
	TAILQ_REMOVE(&queue->waiting, piece, link);
	if (queue->spares < SPARES) {
		TAILQ_INSERT_HEAD(&queue->spare, piece, link);
		queue->spares++;
		return;
	}
	OPENSSL_cleanse(piece->bytes, piece->end);
	free(piece);
}
