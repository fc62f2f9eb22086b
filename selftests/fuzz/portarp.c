// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/portarp/arp.c agents/portarp/frame.c agents/lib/conf.c */
/* PE-ARP replies, and frames that waited: refused and untouched, or within their bounds. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agents/portarp/arp.h"
#include "agents/portarp/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_arp(const uint8_t *data, size_t size)
{
	struct arp_message message = { .port = 1 }, again;
	uint8_t frame[ARP_FRAME_BYTES];

	if (arp_parse(data, size, htons(PORTARP_OP_REPLY), &message)) {
		if (message.port != 1 || message.flags)
			abort();
		return;
	}
	if (message.from[0] & 1 || message.low > message.high)
		abort();
	if (message.flags & PORTARP_ARP_SET && !portset_valid(&message.set))
		abort();
	arp_build(&message, htons(PORTARP_OP_REPLY), frame);
	if (arp_parse(frame, sizeof(frame), htons(PORTARP_OP_REPLY), &again) ||
	    memcmp(&message, &again, sizeof(again)))
		abort();
}

static void check_frame(const uint8_t *data, size_t size, struct frame_turn turn)
{
	static const uint8_t mac[6] = { 2, 1, 2, 3, 4, 5 };
	uint8_t *frame = malloc(size ? size : 1);

	if (!frame)
		abort();
	memcpy(frame, data, size);
	if (!frame_prepare(frame, size, turn, mac, mac)) {
		if (memcmp(frame, mac, 6) || frame[22] != data[22] - turn.ttl)
			abort();
	} else if (memcmp(frame, data, size)) {
		abort();
	}
	free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_arp(data, size);
	check_frame(data, size, frame_turn(PORTARP_GATEWAY, 0));
	check_frame(data, size, frame_turn(PORTARP_BRIDGE, 0));
	return 0;
}
