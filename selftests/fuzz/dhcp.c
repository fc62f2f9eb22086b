// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/dhcp_wire.c agents/lib/dhcp_frame.c agents/lib/dhcp_client.c */
/* link: agents/lib/dhcp_client_send.c */
/* A frame or a message of a network: read, written back, and given to a client. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agents/lib/dhcp_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_send(struct dhcp_client *client, struct dhcp_frame_ends *ends, const uint8_t *bytes,
		    size_t len)
{
	struct dhcp_message message;

	(void)client;
	(void)ends;
	if (dhcp_read(bytes, len, &message)) /* we understand ourselves */
		abort();
}

static void no_bound(struct dhcp_client *client, bool renewed)
{
	if (client->lease.shared && (client->whole || !portset_valid(&client->lease.set)))
		abort();
	if (!renewed && client->lease.address & 1)
		dhcp_client_decline(client, 1000);
}

static void no_lost(struct dhcp_client *client, const char *why)
{
	(void)client;
	(void)why;
}

static uint32_t no_random(void)
{
	return 0x12345678;
}

/* All options of a message, written again, are the same when read. */
static void again(const struct dhcp_message *message)
{
	uint8_t bytes[DHCP_BYTES_MAX];
	struct dhcp_message second;
	struct dhcp_writer w;
	int len;

	dhcp_start(&w, &message->head, message->type);
	w.limit = DHCP_BYTES_MAX;
	for (int code = 1; code < 255; code++) {
		size_t value_len;
		const uint8_t *value = dhcp_get(message, code, &value_len);

		if (value && code != DHCP_OPT_TYPE && code != DHCP_OPT_OVERLOAD)
			dhcp_put(&w, code, value, value_len);
	}
	len = dhcp_write(&w, bytes);
	if (len < 0)
		return;
	if (dhcp_read(bytes, len, &second) ||
	    memcmp(&message->head, &second.head, sizeof(second.head)))
		abort();
	for (int code = 1; code < 255; code++) {
		if (code == DHCP_OPT_OVERLOAD)
			continue;
		if (dhcp_has(message, code) != dhcp_has(&second, code) ||
		    message->len[code] != second.len[code] ||
		    memcmp(message->value + message->at[code], second.value + second.at[code],
			   second.len[code]))
			abort();
	}
}

static void to_client(struct dhcp_message *message)
{
	static const struct dhcp_client_hooks hooks = { no_send, no_bound, no_lost, no_random };
	struct dhcp_client client = { .hooks = &hooks,
				      .select_ms = 10,
				      .size_hint = 8,
				      .proxy = message->head.hops & 1,
				      .whole = message->head.hops & 2 };
	uint8_t mac[DHCP_MAC] = { 2 };

	memcpy(client.mac, message->head.chaddr, DHCP_MAC);
	dhcp_client_make_id(&client, 1, mac, sizeof(mac));
	dhcp_client_start(&client, 0);
	message->head.xid = no_random();
	for (int64_t now = 0; now < 8000; now += 1000) {
		dhcp_client_timer(&client, now);
		dhcp_client_message(&client, message, mac, now);
		message->type = message->type == DHCP_OFFER ? DHCP_ACK : message->type;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dhcp_message message;
	struct dhcp_frame_ends ends;
	const uint8_t *bytes;
	struct portset set;
	size_t len;

	if (!dhcp_frame_read(data, size, size & 1, &ends, &bytes, &len))
		dhcp_read(bytes, len, &message);
	if (dhcp_read(data, size, &message))
		return 0;
	if (!dhcp_get_portset(&message, &set) && !portset_valid(&set))
		abort();
	for (int code = 0; code < 256; code++)
		dhcp_relay_part(&message, code, &len);
	again(&message);
	to_client(&message);
	return 0;
}
