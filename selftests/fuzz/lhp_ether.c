// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/lhp_key.c agents/lib/conf.c agents/lib/lhp_ether.c */
/* link: agents/lib/lhp_ether_port.c agents/lib/lhp_ether_out.c agents/lib/lhp_ether_accept.c */
/* link: agents/lib/lhp_ether_connect.c agents/lib/lhp_ether_key.c */
/* link: agents/lib/lhp_ether_shake.c agents/lib/lhp_ether_frame.c */
/* link: agents/lib/lhp_ether_send.c agents/lib/lhp_ether_ack.c */
/* link: agents/lib/lhp_ether_receive.c agents/lib/lhp_ether_stream.c */
/* link: agents/lib/lhp_ether_semi.c agents/lib/lhp_ether_congestion.c */
/*
 * The Ethernet LHP: even first byte: frames as anybody can send them, to a listener; odd: what is
 * in packets of one who has the keys, each a length and its bytes. Frames that are read are written
 * back byte for byte.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agents/lib/lhp_ether.h"

#define PACKETS 40 /* of one input: each takes its AEAD's time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct lhp_identity known = { .name = "a", .key = { 1 } };
static uint64_t now;

static uint64_t on_clock(struct ether_port *port)
{
	(void)port;
	return now;
}

static void on_transmit(struct ether_port *port, const uint8_t *frame, size_t len)
{
	(void)port;
	(void)frame;
	(void)len;
}

static bool find(struct lhp_identity *identity, void *arg)
{
	(void)arg;
	if (strcmp(identity->name, known.name))
		return false;
	*identity = known;
	return true;
}

static void nothing(struct lhp *lhp, void *arg)
{
	(void)lhp;
	(void)arg;
}

static void message(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len, void *arg)
{
	uint8_t sum = 0;
	struct iovec part = { (void *)bytes, len };

	(void)arg;
	for (size_t i = 0; i < len; i++)
		sum ^= bytes[i];
	if (len > LHP_MESSAGE_MAX)
		abort();
	if ((stream & 1) + (sum == 77))
		lhp->ops->send(lhp, stream, LHP_RELIABLE, &part, 1, len);
	if (stream & 2)
		lhp->ops->forget(lhp, stream);
	if (len == 13)
		lhp->ops->free(lhp);
}

static bool is_closed;

static void closed(struct lhp *lhp, const char *why, void *arg)
{
	(void)lhp;
	(void)arg;
	is_closed = *why != '\0';
}

static const struct lhp_handler handler = { nothing, message, nothing, closed };

static void accepted(struct lhp *lhp, void *arg)
{
	lhp->handler = &handler;
	lhp->arg = arg;
}

/* What is read of a frame is all there is of it. */
static void check_frames(const uint8_t *bytes, size_t len)
{
	while (len) {
		struct ether_frame frame;
		uint8_t head[64];
		int used = ether_read_frame(bytes, len, &frame);
		size_t head_len;

		if (used < 0 || frame.type == ETHER_PADDING)
			return;
		head_len = ether_write_frame(&frame, head);
		if (head_len + frame.body_len != (size_t)used || used > (int)len ||
		    (frame.type == ETHER_ACK && memcmp(head, bytes, head_len)))
			abort();
		bytes += used;
		len -= (size_t)used;
	}
}

/* One that stands: `mine` seals as its peer would. */
static struct ether *standing(struct ether_port *port, struct ether_keys *mine)
{
	static const uint8_t secret[ETHER_HASH] = { 5 };
	struct ether *ether = ether_new(port, false);

	if (!ether || ether_keys_set(mine, ETHER_AES_128_GCM, true, secret) ||
	    ether_keys_set(&ether->in, ETHER_AES_128_GCM, false, secret) ||
	    ether_keys_set(&ether->out, ETHER_AES_128_GCM, true, secret))
		abort();
	ether->lhp.handler = &handler;
	ether->state = ETHER_PROVING;
	return ether;
}

static void put_sealed(struct ether_port *port, struct ether_keys *keys, uint32_t id,
		       uint64_t number, const uint8_t *bytes, size_t len)
{
	struct ether_head head = { ETHER_DATA, (uint16_t)(8 + len + ETHER_TAG), id };
	struct iovec part = { (void *)bytes, len };
	uint8_t frame[ETHER_L2 + ETHER_MTU_MAX] = { 0 };

	ether_write_head(&head, frame + ETHER_L2);
	put64(frame + ETHER_L2 + ETHER_HEAD, number);
	if (ether_seal(keys, number, frame + ETHER_L2, &part, 1, frame + ETHER_L2 + ETHER_CLEAR))
		abort();
	ether_port_take(port, frame, ETHER_L2 + ETHER_CLEAR + len + ETHER_TAG);
}

static void turn(struct ether_port *port)
{
	now += 700;
	ether_port_clock(port);
	for (struct ether *ether = port->all; ether; ether = ether->next_all) {
		if (ether_due(ether) > now)
			continue;
		ether_timeout(ether);
		ether_later(ether);
	}
	ether_port_turns(port);
}

static void packets(struct ether_port *port, const uint8_t *data, size_t size)
{
	struct ether_keys keys = { 0 };
	struct ether *ether = standing(port, &keys);
	uint32_t id = ether->id;
	uint64_t number = 0;

	for (int i = 0; i < PACKETS && size >= 2 && port->count; i++) {
		size_t len = data[0] | (size_t)(data[1] & 3) << 8, jump = data[1] >> 2;

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		check_frames(data, len);
		put_sealed(port, &keys, id, number, data, len);
		number += jump < 32 ? 1 : jump;
		turn(port);
		data += len;
		size -= len;
	}
	ether_keys_clear(&keys);
}

static void frames(struct ether_port *port, const uint8_t *data, size_t size)
{
	for (int i = 0; i < PACKETS && size >= 2; i++) {
		size_t len = data[0] | (size_t)(data[1] & 3) << 8;
		uint8_t frame[2048] = { 0 };

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		memcpy(frame + ETHER_L2, data, len);
		ether_port_take(port, frame, ETHER_L2 + len);
		turn(port);
		data += len;
		size -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ether_listener listener = { .lhp = { .find = find, .accepted = accepted } };
	struct ether_port *port;

	if (!size)
		return 0;
	port = ether_port_new(1500);
	if (!port)
		abort();
	now = 1000000;
	port->clock = on_clock;
	port->transmit = on_transmit;
	ether_port_clock(port);
	if (ether_listener_init(&listener, port))
		abort();
	if (data[0] & 1)
		packets(port, data + 1, size - 1);
	else
		frames(port, data + 1, size - 1);
	while (port->all)
		port->all->lhp.ops->free(&port->all->lhp);
	ether_port_release(port);
	return 0;
}
