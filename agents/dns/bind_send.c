// SPDX-License-Identifier: GPL-3.0-or-later
/* Datagrams of held questions: SETUPs and their answers, and late answers to clients, in batches.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dns.h"

#define REPLIES 64

struct udp_late {
	struct listener *listener; /* of all of them */
	unsigned int count;
	struct mmsghdr message[REPLIES];
	struct iovec vector[REPLIES];
	struct hold_client client[REPLIES];
	uint8_t bytes[REPLIES][WIRE_UDP_MAX];
};

void bind_send(struct waypoint *waypoint)
{
	setup_send(waypoint->fd, NULL, 0, waypoint->queue, waypoint->queued);
	waypoint->queued = 0;
}

void udp_reply(struct dns *dns, const struct hold_client *client, const uint8_t *bytes, size_t len)
{
	struct udp_late *late = dns->late;
	unsigned int place;

	if (!late)
		late = dns->late = calloc(1, sizeof(*late));
	if (!late || len > WIRE_UDP_MAX)
		return;
	if (late->count == REPLIES || (late->count && late->listener != client->listener))
		udp_flush(dns);
	late->listener = client->listener;
	place = late->count++;
	late->client[place] = *client;
	memcpy(late->bytes[place], bytes, len);
	late->vector[place] = (struct iovec){ late->bytes[place], len };
}

static void fill(struct udp_late *late, unsigned int i)
{
	struct hold_client *client = &late->client[i];

	late->message[i].msg_hdr = (struct msghdr){
		.msg_name = &client->address,
		.msg_namelen = client->address.ss_family == AF_INET ? sizeof(struct sockaddr_in)
								    : sizeof(struct sockaddr_in6),
		.msg_iov = &late->vector[i],
		.msg_iovlen = 1,
		.msg_control = client->control,
		.msg_controllen = client->control_len,
	};
}

void udp_flush(struct dns *dns)
{
	struct udp_late *late = dns->late;

	if (!late || !late->count)
		return;
	for (unsigned int i = 0; i < late->count; i++)
		fill(late, i);
	for (unsigned int sent = 0; sent < late->count;) {
		int n = sendmmsg(late->listener->udp, late->message + sent, late->count - sent,
				 MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			dns->udp_errors++;
		sent += n > 0 ? (unsigned int)n : 1;
	}
	late->count = 0;
}
