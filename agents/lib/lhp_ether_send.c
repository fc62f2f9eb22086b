// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Sending on the Ethernet LHP. A message is copied once, into slots that are frames as they go on
 * the wire; a packet is sealed from its slots, and they wait with it until it is acknowledged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lhp_ether.h"

#define PARTS (ETHER_PER_PACKET + 3)

/* ---- slots and queues */

static size_t pool_bytes(const struct ether *ether, unsigned int pool)
{
	static const size_t small[ETHER_POOLS - 1] = { 128, 512 };

	return pool < ETHER_POOLS - 1 ? small[pool] : ether->port->mtu;
}

struct ether_slot *ether_slot_new(struct ether *ether, size_t len)
{
	struct ether_slot *slot;
	unsigned int pool = 0;

	while (pool < ETHER_POOLS - 1 && pool_bytes(ether, pool) < len)
		pool++;
	slot = ether->sender.spare[pool];
	if (slot) {
		ether->sender.spare[pool] = slot->next;
	} else {
		slot = malloc(sizeof(*slot) + pool_bytes(ether, pool));
		if (!slot)
			return NULL;
	}
	slot->next = NULL;
	slot->born = ether->port->now;
	slot->len = (uint16_t)len;
	slot->pool = (uint8_t)pool;
	slot->semi = slot->sends = 0;
	return slot;
}

void ether_slot_free(struct ether *ether, struct ether_slot *slot)
{
	slot->next = ether->sender.spare[slot->pool];
	ether->sender.spare[slot->pool] = slot;
}

void ether_queue_init(struct ether_queue *queue)
{
	queue->head = NULL;
	queue->tail = &queue->head;
	queue->bytes = 0;
}

void ether_queue_add(struct ether_queue *queue, struct ether_slot *slot)
{
	slot->next = NULL;
	*queue->tail = slot;
	queue->tail = &slot->next;
	queue->bytes += slot->len;
}

struct ether_slot *ether_queue_take(struct ether_queue *queue)
{
	struct ether_slot *slot = queue->head;

	if (!slot)
		return NULL;
	queue->head = slot->next;
	if (!queue->head)
		queue->tail = &queue->head;
	queue->bytes -= slot->len;
	slot->next = NULL;
	return slot;
}

static void queue_move(struct ether_queue *to, struct ether_queue *from)
{
	if (!from->head)
		return;
	*to->tail = from->head;
	to->tail = from->tail;
	to->bytes += from->bytes;
	ether_queue_init(from);
}

static void slots_free(struct ether_slot *slot)
{
	while (slot) {
		struct ether_slot *next = slot->next;

		free(slot);
		slot = next;
	}
}

int ether_sender_init(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;

	sender->ring = calloc(ETHER_IN_FLIGHT, sizeof(*sender->ring));
	sender->threshold = 3;
	sender->slack = 1;
	sender->loss_at = ETHER_NEVER;
	sender->limit = ETHER_WINDOW;
	sender->mtu = ether->port->mtu < ETHER_MTU_MIN ? ether->port->mtu : ETHER_MTU_MIN;
	sender->mtu_probe = ether->port->mtu > sender->mtu ? ether->port->mtu : 0;
	ether_queue_init(&sender->lost);
	ether_queue_init(&sender->semi);
	ether_queue_init(&sender->fresh);
	ether_window_init(&ether->window, sender->mtu);
	return sender->ring ? 0 : -ENOMEM;
}

void ether_sender_free(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;

	for (uint64_t number = sender->oldest; number < sender->next; number++)
		slots_free(sender->ring[number % ETHER_IN_FLIGHT].slots);
	slots_free(sender->lost.head);
	slots_free(sender->semi.head);
	slots_free(sender->fresh.head);
	for (int i = 0; i < ETHER_POOLS; i++)
		slots_free(sender->spare[i]);
	free(sender->ring);
}

/* ---- from messages to slots */

/* Where in the parts of a message the copying is. */
struct cursor {
	const struct iovec *part;
	size_t at;
};

static void copy(struct cursor *cursor, uint8_t *to, size_t len)
{
	while (len) {
		size_t left = cursor->part->iov_len - cursor->at;
		size_t take = left < len ? left : len;

		memcpy(to, (const uint8_t *)cursor->part->iov_base + cursor->at, take);
		to += take;
		len -= take;
		cursor->at += take;
		if (cursor->at == cursor->part->iov_len) {
			cursor->part++;
			cursor->at = 0;
		}
	}
}

size_t ether_payload(const struct ether *ether)
{
	return ether->sender.mtu - ETHER_CLEAR - ETHER_TAG - ETHER_SEMI_BYTES;
}

/* One frame of a message; the first that is not there ends it. */
static struct ether_slot *make_slot(struct ether *ether, struct ether_frame *frame,
				    struct cursor *cursor)
{
	size_t head = frame->type == ETHER_SEMI ? ETHER_SEMI_BYTES : ETHER_MESSAGE_BYTES;
	struct ether_slot *slot = ether_slot_new(ether, head + frame->body_len);

	if (!slot)
		return NULL;
	ether_write_frame(frame, slot->bytes);
	copy(cursor, slot->bytes + head, frame->body_len);
	slot->semi = frame->type == ETHER_SEMI;
	return slot;
}

static void drop(struct ether *ether, struct ether_queue *queue)
{
	struct ether_slot *slot;

	while ((slot = ether_queue_take(queue)))
		ether_slot_free(ether, slot);
}

/* All slots of a message, or none. */
static int make_slots(struct ether *ether, struct ether_frame *frame, const struct iovec *parts,
		      size_t len, struct ether_queue *made)
{
	struct cursor cursor = { parts, 0 };
	size_t most = ether_payload(ether);
	unsigned int count = len ? (unsigned int)((len + most - 1) / most) : 1;

	ether_queue_init(made);
	frame->count = (uint16_t)count;
	for (unsigned int i = 0; i < count; i++) {
		struct ether_slot *slot;

		frame->index = (uint16_t)i;
		frame->body_len = len < most ? len : most;
		if (frame->type == ETHER_MESSAGE)
			frame->flags = (i ? 0 : ETHER_FIRST) | (i + 1 == count ? ETHER_LAST : 0);
		slot = make_slot(ether, frame, &cursor);
		if (!slot) {
			drop(ether, made);
			return -ENOMEM;
		}
		ether_queue_add(made, slot);
		len -= frame->body_len;
		frame->sequence += frame->type == ETHER_MESSAGE;
	}
	return 0;
}

int ether_send_message(struct ether *ether, uint32_t stream_id, const struct iovec *parts,
		       int count, size_t len)
{
	struct ether_stream *stream = ether_stream_get(ether, stream_id);
	struct ether_sender *sender = &ether->sender;
	struct ether_queue made;
	struct ether_frame frame = { .type = ETHER_MESSAGE, .stream = stream_id };
	int err;

	(void)count;
	if (!stream || stream->forgotten)
		return -ENOTCONN;
	if (sender->fresh.bytes + len > LHP_QUEUE_MAX)
		return -ENOBUFS;
	frame.sequence = stream->send_next;
	err = make_slots(ether, &frame, parts, len, &made);
	if (err)
		return err;
	stream->send_next = frame.sequence;
	queue_move(&sender->fresh, &made);
	if (sender->fresh.bytes >= LHP_ROOM)
		sender->blocked = true;
	return 0;
}

int ether_send_semi(struct ether *ether, uint32_t stream, const struct iovec *parts, int count,
		    size_t len)
{
	struct ether_sender *sender = &ether->sender;
	struct ether_queue made;
	struct ether_frame frame = { .type = ETHER_SEMI,
				     .stream = stream,
				     .sequence = sender->semi_next };

	(void)count;
	if (sender->semi.bytes + len > ETHER_SEMI_QUEUE) {
		ether->lhp.counts.lost++;
		return 0;
	}
	if (make_slots(ether, &frame, parts, len, &made))
		return -ENOMEM;
	sender->semi_next++;
	queue_move(&sender->semi, &made);
	return 0;
}

int ether_send_forget(struct ether *ether, uint32_t stream, uint32_t final)
{
	struct ether_frame frame = { .type = ETHER_FORGET, .stream = stream, .sequence = final };
	struct ether_slot *slot = ether_slot_new(ether, ETHER_FORGET_BYTES);

	if (!slot)
		return -ENOMEM;
	ether_write_frame(&frame, slot->bytes);
	ether_queue_add(&ether->sender.fresh, slot);
	return 0;
}

/* ---- from slots to packets */

struct packet {
	struct iovec parts[PARTS];
	int count;
	size_t len, room;
	struct ether_slot *slots, **tail;
	bool eliciting, probe;
	uint8_t ack[ETHER_ACK_BYTES + ETHER_RANGES * ETHER_RANGE_BYTES], ping[1];
	uint8_t padding[ETHER_MTU_MAX];
};

static void add_part(struct packet *packet, void *bytes, size_t len)
{
	packet->parts[packet->count++] = (struct iovec){ bytes, len };
	packet->len += len;
	packet->room -= len;
}

/* What a frame takes of the peer's memory until it is delivered. */
static size_t cost(const struct ether_slot *slot)
{
	return slot->bytes[0] == ETHER_MESSAGE ? slot->len - ETHER_MESSAGE_BYTES + ETHER_FRAME_COST
					       : 0;
}

/* The queue whose turn it is: what was lost, what is soon too old, what is new and allowed. */
static struct ether_queue *next_queue(struct ether_sender *sender)
{
	if (sender->lost.head)
		return &sender->lost;
	if (sender->semi.head)
		return &sender->semi;
	if (sender->fresh.head && sender->spent + cost(sender->fresh.head) <= sender->limit)
		return &sender->fresh;
	return NULL;
}

static size_t packet_room(unsigned int mtu)
{
	return mtu - ETHER_CLEAR - ETHER_TAG;
}

static struct ether_slot *make_part(struct ether *ether, const struct ether_slot *of,
				    const struct ether_frame *frame, unsigned int index)
{
	size_t from = ether_part_at(frame, index), len = ether_part_at(frame, index + 1) - from;
	const size_t head = ETHER_MESSAGE_BYTES;
	struct ether_slot *slot = ether_slot_new(ether, head + ETHER_PART_BYTES + len);

	if (!slot)
		return NULL;
	memcpy(slot->bytes, of->bytes, head);
	slot->bytes[1] |= ETHER_PART;
	put16(slot->bytes + 2, (uint16_t)(ETHER_PART_BYTES + len));
	slot->bytes[head] = (uint8_t)index;
	slot->bytes[head + 1] = (uint8_t)frame->count;
	put16(slot->bytes + head + 2, frame->whole);
	memcpy(slot->bytes + head + ETHER_PART_BYTES, of->bytes + head + from, len);
	return slot;
}

/* The first of a queue was made when the path carried more: it goes in parts that every path
 * carries. They are before what was lost. */
static bool split_first(struct ether *ether, struct ether_queue *queue)
{
	const size_t most = packet_room(ETHER_MTU_MIN) - ETHER_MESSAGE_BYTES - ETHER_PART_BYTES;
	struct ether_slot *slot = queue->head, *part;
	struct ether_frame frame = { .whole = (uint16_t)(slot->len - ETHER_MESSAGE_BYTES) };
	struct ether_sender *sender = &ether->sender;
	struct ether_queue made;

	ether_queue_init(&made);
	frame.count = (uint16_t)((frame.whole + most - 1) / most);
	for (unsigned int i = 0; !slot->semi && i < frame.count; i++) {
		part = make_part(ether, slot, &frame, i);
		if (!part) {
			drop(ether, &made);
			return false;
		}
		ether_queue_add(&made, part);
	}
	if (slot->semi)
		ether->lhp.counts.lost++;
	ether_queue_take(queue);
	if (queue == &sender->fresh)
		sender->spent += cost(slot);
	ether_slot_free(ether, slot);
	queue_move(&made, &sender->lost);
	queue_move(&sender->lost, &made);
	return true;
}

static void add_slots(struct ether *ether, struct packet *packet)
{
	struct ether_sender *sender = &ether->sender;
	struct ether_queue *queue;

	for (int i = 0; i < ETHER_PER_PACKET && (queue = next_queue(sender)); i++) {
		struct ether_slot *slot = queue->head;

		if (slot->len > packet_room(ether->sender.mtu)) {
			if (!split_first(ether, queue))
				return;
			continue;
		}
		if (slot->len > packet->room)
			return;
		ether_queue_take(queue);
		if (queue == &sender->fresh)
			sender->spent += cost(slot);
		slot->sends++;
		add_part(packet, slot->bytes, slot->len);
		*packet->tail = slot;
		packet->tail = &slot->next;
		packet->eliciting = true;
	}
}

static void add_ping(struct packet *packet)
{
	packet->ping[0] = ETHER_PING;
	add_part(packet, packet->ping, 1);
	packet->eliciting = true;
}

static void note(struct ether *ether, const struct packet *packet, size_t bytes)
{
	struct ether_sender *sender = &ether->sender;
	struct ether_sent *sent = &sender->ring[sender->next % ETHER_IN_FLIGHT];

	*sent = (struct ether_sent){ .at = ether->port->now, .bytes = (uint16_t)bytes };
	sender->next++;
	if (!packet->eliciting)
		return;
	sent->state = ETHER_IN_THE_AIR;
	sent->slots = packet->slots;
	sent->probe = packet->probe;
	sender->in_flight += bytes;
	sender->eliciting++;
	sender->last_eliciting = ether->port->now;
}

/* Gives the packet its number and seals it into the frame. */
static void seal(struct ether *ether, struct packet *packet, uint8_t *frame)
{
	size_t sealed = packet->len + ETHER_TAG;
	struct ether_head head = { ETHER_DATA, (uint16_t)(8 + sealed), ether->peer_id };
	int err;

	ether_write_head(&head, frame);
	put64(frame + ETHER_HEAD, ether->sender.next);
	err = ether_seal(&ether->out, ether->sender.next, frame, packet->parts, packet->count,
			 frame + ETHER_CLEAR);
	note(ether, packet, ETHER_CLEAR + sealed);
	if (err)
		ether_fail(ether, "a packet could not be sealed");
	else
		ether_port_commit(ether->port, ETHER_CLEAR + sealed);
}

static void packet_init(struct packet *packet, unsigned int mtu)
{
	packet->count = 0;
	packet->len = 0;
	packet->room = packet_room(mtu);
	packet->slots = NULL;
	packet->tail = &packet->slots;
	packet->eliciting = packet->probe = false;
}

/* Numbers are looked up by their lower bits, and some are kept to find that they were only late. */
static bool has_number(const struct ether_sender *sender)
{
	return sender->next - sender->oldest < ETHER_IN_FLIGHT - 512;
}

/* May a packet go that asks for an acknowledgment? RFC 9002 7. */
static bool may_send(const struct ether *ether)
{
	const struct ether_sender *sender = &ether->sender;

	return sender->probes || sender->in_flight + sender->mtu <= ether->window.window;
}

/* RFC 8899: a packet of the size that the device has, for which nothing else is at stake. */
static bool send_mtu_probe(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;
	struct packet packet;
	uint8_t *frame;

	if (!sender->mtu_probe || sender->mtu_in_air || ether->state != ETHER_STANDS)
		return false;
	frame = ether_port_frame(ether->port, ether->peer);
	if (!frame)
		return false;
	packet_init(&packet, sender->mtu_probe);
	add_ping(&packet);
	memset(packet.padding, ETHER_PADDING, packet.room);
	add_part(&packet, packet.padding, packet.room);
	packet.probe = true;
	sender->mtu_in_air = true;
	seal(ether, &packet, frame);
	return true;
}

static bool send_packet(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;
	bool may = may_send(ether);
	struct packet packet;
	uint8_t *frame;
	size_t len;

	packet_init(&packet, sender->mtu);
	len = ether_make_ack(ether, packet.ack, may && (sender->ping || next_queue(sender)));
	if (len)
		add_part(&packet, packet.ack, len);
	if (may && sender->ping)
		add_ping(&packet);
	frame = !len && !packet.count && !(may && next_queue(sender))
			? NULL
			: ether_port_frame(ether->port, ether->peer);
	if (!frame)
		return false;
	if (may)
		add_slots(ether, &packet);
	if (packet.eliciting) {
		sender->ping = false;
		if (sender->probes)
			sender->probes--;
	}
	seal(ether, &packet, frame);
	return true;
}

/* After a pause the window is begun anew: RFC 9002 7.8, RFC 5681 4.1. */
static void after_pause(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;
	uint64_t pause = ether->port->now - sender->last_eliciting;

	if (!sender->eliciting && sender->last_eliciting && next_queue(sender) &&
	    pause > ether_rtt_pto(&ether->rtt) && pause > 200000)
		ether_window_idle(&ether->window);
}

void ether_send_packets(struct ether *ether)
{
	/* Packets of ACKs alone are never in the air: who only receives would run out of numbers.
	 */
	if (!ether->sender.eliciting)
		ether->sender.oldest = ether->sender.next;
	after_pause(ether);
	while (ether->state != ETHER_OVER && has_number(&ether->sender) && send_packet(ether))
		;
	ether->sender.full = next_queue(&ether->sender) && !may_send(ether);
	if (has_number(&ether->sender))
		send_mtu_probe(ether);
	ether_port_flush(ether->port);
}

/* Not repeated: who does not get it finds out by silence. */
void ether_send_close(struct ether *ether, const char *why)
{
	uint8_t bytes[2 + ETHER_WHY_MAX];
	struct ether_frame close = { .type = ETHER_CLOSE, .body_len = strnlen(why, ETHER_WHY_MAX) };
	size_t head = ether_write_frame(&close, bytes);

	memcpy(bytes + head, why, close.body_len);
	for (int i = 0; i < 2 && has_number(&ether->sender); i++) {
		uint8_t *frame = ether_port_frame(ether->port, ether->peer);
		struct packet packet;

		if (!frame)
			break;
		packet_init(&packet, ether->sender.mtu);
		add_part(&packet, bytes, head + close.body_len);
		seal(ether, &packet, frame);
	}
	ether_port_flush(ether->port);
}
