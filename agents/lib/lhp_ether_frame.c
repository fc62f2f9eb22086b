// SPDX-License-Identifier: GPL-3.0-or-later
/* Frames of the Ethernet LHP, byte by byte (docs/protocol.md). */
#include <errno.h>
#include <stdbool.h>

#include "lhp.h"
#include "lhp_ether_wire.h"

/* Bytes before the body, by type. */
static const uint8_t head_bytes[] = {
	[ETHER_PADDING] = 1,
	[ETHER_PING] = 1,
	[ETHER_ACK] = ETHER_ACK_BYTES,
	[ETHER_MESSAGE] = ETHER_MESSAGE_BYTES,
	[ETHER_SEMI] = ETHER_SEMI_BYTES,
	[ETHER_FORGET] = ETHER_FORGET_BYTES,
	[ETHER_CLOSE] = 2,
};

/* How long the body says that it is. */
static size_t body_len(const uint8_t *bytes, size_t len)
{
	switch (bytes[0]) {
	case ETHER_PADDING:
		return len - 1;
	case ETHER_ACK:
		return (size_t)bytes[1] * ETHER_RANGE_BYTES;
	case ETHER_MESSAGE:
	case ETHER_SEMI:
		return get16(bytes + 2);
	case ETHER_CLOSE:
		return bytes[1];
	default:
		return 0;
	}
}

/* Where part `index` begins: all are of one length but for the last. */
size_t ether_part_at(const struct ether_frame *frame, unsigned int index)
{
	size_t at = (size_t)index * ((frame->whole + frame->count - 1u) / frame->count);

	return at < frame->whole ? at : frame->whole;
}

static bool is_part(const struct ether_frame *frame)
{
	return frame->index < frame->count && frame->count <= ETHER_PARTS && frame->body_len &&
	       frame->body_len ==
		       ether_part_at(frame, frame->index + 1u) - ether_part_at(frame, frame->index);
}

static bool in_range(const struct ether_frame *frame)
{
	switch (frame->type) {
	case ETHER_ACK:
		return frame->body_len && frame->body_len <= ETHER_RANGES * ETHER_RANGE_BYTES;
	case ETHER_MESSAGE:
		return frame->flags & ETHER_PART ? frame->flags < 2 * ETHER_PART && is_part(frame)
						 : frame->flags < ETHER_PART;
	case ETHER_SEMI:
		return frame->index < frame->count && frame->body_len <= LHP_MESSAGE_MAX;
	case ETHER_CLOSE:
		return frame->body_len <= ETHER_WHY_MAX;
	default:
		return true;
	}
}

static void read_part(struct ether_frame *frame)
{
	if (frame->body_len < ETHER_PART_BYTES)
		return; /* no part: its count is 0 */
	frame->index = frame->body[0];
	frame->count = frame->body[1];
	frame->whole = get16(frame->body + 2);
	frame->body += ETHER_PART_BYTES;
	frame->body_len -= ETHER_PART_BYTES;
}

int ether_read_frame(const uint8_t *bytes, size_t len, struct ether_frame *frame)
{
	struct ether_frame read = { 0 };
	size_t head, used;

	if (!len || bytes[0] >= sizeof(head_bytes))
		return -EINVAL;
	head = head_bytes[bytes[0]];
	if (head > len)
		return -EINVAL;
	read.type = bytes[0];
	read.body = bytes + head;
	read.body_len = body_len(bytes, len);
	if (read.body_len > len - head)
		return -EINVAL;
	used = head + read.body_len;
	if (read.type == ETHER_ACK) {
		read.delay = get16(bytes + 2);
		read.largest = get64(bytes + 4);
		read.limit = get64(bytes + 12);
	} else if (head >= ETHER_MESSAGE_BYTES) {
		read.flags = bytes[1];
		read.stream = get32(bytes + 4);
		read.sequence = get32(bytes + 8);
	}
	if (read.type == ETHER_SEMI) {
		read.index = get16(bytes + 12);
		read.count = get16(bytes + 14);
	}
	if (read.type == ETHER_MESSAGE && read.flags & ETHER_PART)
		read_part(&read);
	if (!in_range(&read))
		return -EINVAL;
	*frame = read;
	return (int)used;
}

size_t ether_write_frame(const struct ether_frame *frame, uint8_t *bytes)
{
	size_t head = head_bytes[frame->type];

	memset(bytes, 0, head);
	bytes[0] = frame->type;
	switch (frame->type) {
	case ETHER_ACK:
		bytes[1] = (uint8_t)(frame->body_len / ETHER_RANGE_BYTES);
		put16(bytes + 2, (uint16_t)(frame->delay < 0xffff ? frame->delay : 0xffff));
		put64(bytes + 4, frame->largest);
		put64(bytes + 12, frame->limit);
		break;
	case ETHER_SEMI:
		put16(bytes + 12, frame->index);
		put16(bytes + 14, frame->count);
		/* fall through */
	case ETHER_MESSAGE:
	case ETHER_FORGET:
		bytes[1] = frame->flags;
		put16(bytes + 2, (uint16_t)frame->body_len);
		put32(bytes + 4, frame->stream);
		put32(bytes + 8, frame->sequence);
		break;
	case ETHER_CLOSE:
		bytes[1] = (uint8_t)frame->body_len;
		break;
	}
	return head;
}

/* A range is 16 bits of how many are missing above it, and 16 of how many more than one it has. */
int ether_read_range(const struct ether_frame *ack, unsigned int i, uint64_t *next, uint64_t *high,
		     uint64_t *low)
{
	const uint8_t *at = ack->body + (size_t)i * ETHER_RANGE_BYTES;
	uint64_t gap = get16(at), more = get16(at + 2);

	if (gap + more > *next)
		return -EINVAL;
	*high = *next - gap;
	*low = *high - more;
	*next = *low; /* the next one's gap counts from here, at least 1 */
	return 0;
}
