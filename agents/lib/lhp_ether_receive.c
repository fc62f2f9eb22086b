// SPDX-License-Identifier: GPL-3.0-or-later
/* Receiving on the Ethernet LHP: each packet number once, frames by type, and what is acknowledged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lhp_ether.h"

#define WORDS	   (ETHER_SEEN_BITS / 64)
#define STRIDE_MAX 16	/* packets that one ACK is for, at most, where many come */
#define RATE_US	   1000 /* time over which they are counted */

int ether_receiver_init(struct ether *ether)
{
	struct ether_receiver *receiver = &ether->receiver;

	receiver->ack_at = ETHER_NEVER;
	receiver->stride = 2;
	receiver->streams_size = 64;
	receiver->streams = calloc(receiver->streams_size, sizeof(*receiver->streams));
	return receiver->streams ? 0 : -ENOMEM;
}

void ether_receiver_free(struct ether *ether)
{
	struct ether_receiver *receiver = &ether->receiver;

	ether_streams_free(ether);
	ether_semi_free(ether);
	while (receiver->spare) {
		struct ether_piece *piece = receiver->spare;

		receiver->spare = piece->next;
		free(piece);
	}
	free(receiver->spare_message);
}

/* ---- which numbers have come */

static uint64_t *word_of(struct ether_receiver *receiver, uint64_t number)
{
	return &receiver->seen[number / 64 % WORDS];
}

/* Came already, or so long ago that it cannot be told. */
static bool seen(struct ether_receiver *receiver, uint64_t number)
{
	if (number >= receiver->largest)
		return false;
	if (receiver->largest - number > ETHER_SEEN_BITS - 64)
		return true;
	return *word_of(receiver, number) >> number % 64 & 1;
}

static void mark(struct ether_receiver *receiver, uint64_t number)
{
	uint64_t word = receiver->largest ? (receiver->largest - 1) / 64 : 0;

	if (number >= receiver->largest) {
		if (number / 64 - word > WORDS)
			word = number / 64 - WORDS;
		while (word < number / 64)
			receiver->seen[++word % WORDS] = 0;
		receiver->largest = number + 1;
	}
	*word_of(receiver, number) |= 1ull << number % 64;
}

/* The lowest number from `from` downward, not below `floor`, up to which all have come, or none. */
static uint64_t run(struct ether_receiver *receiver, uint64_t from, uint64_t floor, bool come)
{
	for (;;) {
		uint64_t word = *word_of(receiver, from), top = ~0ull >> (63 - from % 64);
		uint64_t other = (come ? ~word : word) & top, first = from / 64 * 64;

		if (other)
			first += 64 - (uint64_t)__builtin_clzll(other);
		if (first <= floor)
			return floor;
		if (other)
			return first;
		from = first - 1;
	}
}

/* ---- acknowledgments */

static unsigned int make_ranges(struct ether_receiver *receiver, uint8_t *at)
{
	uint64_t high = receiver->largest - 1, next = high, low;
	uint64_t floor = high > ETHER_SEEN_BITS - 128 ? high - (ETHER_SEEN_BITS - 128) : 0;
	unsigned int count = 0;

	for (; count < ETHER_RANGES; count++) {
		low = run(receiver, high, floor, true);
		put16(at + count * ETHER_RANGE_BYTES, (uint16_t)(next - high));
		put16(at + count * ETHER_RANGE_BYTES + 2, (uint16_t)(high - low));
		next = low;
		if (low == floor)
			return count + 1;
		high = run(receiver, low - 1, floor, false);
		if (high == floor)
			return count + 1;
		high--;
	}
	return count;
}

size_t ether_make_ack(struct ether *ether, uint8_t *bytes, bool wanted)
{
	struct ether_receiver *receiver = &ether->receiver;
	struct ether_frame ack = { .type = ETHER_ACK };

	if (!receiver->pending ||
	    !(wanted || receiver->ack_now || receiver->ack_at <= ether->port->now))
		return 0;
	/* A full frame leaves no room for it: what is not due yet goes by itself, later. */
	if (wanted && !receiver->ack_now && receiver->ack_at > ether->port->now &&
	    ether->sender.fresh.bytes > ether->sender.mtu)
		return 0;
	ack.body_len = make_ranges(receiver, bytes + ETHER_ACK_BYTES) * ETHER_RANGE_BYTES;
	ack.largest = receiver->largest - 1;
	ack.limit = receiver->given + ETHER_WINDOW;
	ack.delay = (uint32_t)(ether->port->now - receiver->largest_at);
	receiver->pending = 0;
	receiver->ack_now = false;
	receiver->ack_at = ETHER_NEVER;
	return ether_write_frame(&ack, bytes) + ack.body_len;
}

void ether_ack_turn(struct ether *ether)
{
	struct ether_receiver *receiver = &ether->receiver;

	if (!receiver->pending)
		return;
	if (receiver->pending >= receiver->stride)
		receiver->ack_now = true;
	else if (receiver->ack_at == ETHER_NEVER)
		receiver->ack_at = ether->port->now + ETHER_ACK_DELAY_US;
}

/* RFC 9000 13.2: at once where one is missing; else for every second, or fewer where many come. */
static void note_eliciting(struct ether *ether, bool in_order)
{
	struct ether_receiver *receiver = &ether->receiver;
	uint64_t now = ether->port->now, passed = now - receiver->rate_from;

	receiver->pending++;
	receiver->rate_count++;
	if (!in_order)
		receiver->ack_now = true;
	if (passed < RATE_US)
		return;
	receiver->stride = (unsigned int)(receiver->rate_count * RATE_US / passed / STRIDE_MAX);
	if (receiver->stride < 2)
		receiver->stride = 2;
	if (receiver->stride > STRIDE_MAX)
		receiver->stride = STRIDE_MAX;
	receiver->rate_from = now;
	receiver->rate_count = 0;
}

/* ---- packets */

static int take_close(struct ether *ether, const struct ether_frame *frame)
{
	char why[ETHER_WHY_MAX + 1] = "";

	for (size_t i = 0; i < frame->body_len; i++)
		why[i] = frame->body[i] >= ' ' && frame->body[i] < 127 ? (char)frame->body[i] : '?';
	ether->over_there = true;
	ether_fail(ether, "closed by the other end%s%s", *why ? ": " : "", why);
	return 0;
}

static int take_frame(struct ether *ether, const struct ether_frame *frame, bool *eliciting)
{
	*eliciting |= frame->type != ETHER_ACK && frame->type != ETHER_PADDING &&
		      frame->type != ETHER_CLOSE;
	switch (frame->type) {
	case ETHER_ACK:
		return ether_acked(ether, frame);
	case ETHER_MESSAGE:
		return ether_stream_frame(ether, frame);
	case ETHER_SEMI:
		return ether_semi_frame(ether, frame);
	case ETHER_FORGET:
		return ether_stream_final(ether, frame);
	case ETHER_CLOSE:
		return take_close(ether, frame);
	default:
		return 0;
	}
}

static int take_frames(struct ether *ether, const uint8_t *bytes, size_t len, bool *eliciting)
{
	while (len && ether->state != ETHER_OVER) {
		struct ether_frame frame;
		int used = ether_read_frame(bytes, len, &frame);
		int err = used < 0 ? used : take_frame(ether, &frame, eliciting);

		if (err)
			return err;
		bytes += used;
		len -= (size_t)used;
	}
	return 0;
}

/* A packet that its peer has sealed, and that has not come before. */
static void take_packet(struct ether *ether, uint64_t number, const uint8_t *bytes, size_t len)
{
	struct ether_receiver *receiver = &ether->receiver;
	bool in_order = number == receiver->largest, eliciting = false;
	int err;

	ether->heard = ether->port->now;
	ether->hint = 0;
	if (ether->state != ETHER_STANDS)
		ether_stands(ether);
	err = take_frames(ether, bytes, len, &eliciting);
	if (ether->state == ETHER_OVER)
		return;
	if (err == -ENOBUFS || err == -ENOMEM) {
		ether->port->refused.beyond++;
		ether->lhp.counts.refused++;
		return;
	}
	if (err) {
		ether_fail(ether, "the other end sent what it must not");
		return;
	}
	if (number >= receiver->largest)
		receiver->largest_at = ether->port->now;
	mark(receiver, number);
	if (eliciting)
		note_eliciting(ether, in_order);
}

void ether_receive(struct ether *ether, uint8_t *bytes, const struct ether_head *head)
{
	struct ether_port *port = ether->port;
	uint64_t number = get64(bytes + ETHER_HEAD);
	size_t len = head->length - 8u;

	if (ether->state == ETHER_OVER || ether->state == ETHER_ASKING || !ether->in.now.context) {
		port->refused.late++;
		return;
	}
	if (seen(&ether->receiver, number)) {
		port->refused.replayed++;
		ether->lhp.counts.refused++;
		return;
	}
	if (ether_unseal(&ether->in, number, bytes, bytes + ETHER_CLEAR, len)) {
		port->refused.forged++;
		ether->lhp.counts.refused++;
		return;
	}
	take_packet(ether, number, bytes + ETHER_CLEAR, len - ETHER_TAG);
	ether_later(ether);
}
