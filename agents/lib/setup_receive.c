// SPDX-License-Identifier: GPL-3.0-or-later
/* Many SETUP datagrams with one system call; those that came as one packet are told apart here. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "setup.h"

#define PACKETS	      16
#define PACKET_BYTES  (SETUP_BYTES * (SETUP_INBOX / PACKETS))
#define CONTROL_BYTES CMSG_SPACE(sizeof(int))

struct setup_inbox {
	struct mmsghdr message[PACKETS];
	struct iovec vector[PACKETS];
	struct sockaddr_storage from[PACKETS];
	_Alignas(struct cmsghdr) uint8_t control[PACKETS][CONTROL_BYTES];
	uint8_t bytes[PACKETS][PACKET_BYTES];
	struct setup_mail mail[SETUP_INBOX];
};

struct setup_inbox *setup_inbox_new(int fd)
{
	int on = 1;

	setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)); /* without it they come one by one */
	return calloc(1, sizeof(struct setup_inbox));
}

void setup_inbox_free(struct setup_inbox *inbox)
{
	free(inbox);
}

static void prepare(struct setup_inbox *inbox)
{
	for (int i = 0; i < PACKETS; i++) {
		inbox->vector[i] = (struct iovec){ inbox->bytes[i], PACKET_BYTES };
		inbox->message[i].msg_hdr = (struct msghdr){ .msg_name = &inbox->from[i],
							     .msg_namelen = sizeof(inbox->from[i]),
							     .msg_iov = &inbox->vector[i],
							     .msg_iovlen = 1,
							     .msg_control = inbox->control[i],
							     .msg_controllen = CONTROL_BYTES };
	}
}

/* Bytes of each datagram of the packet, but perhaps the last. */
static size_t size_of_each(struct msghdr *header, size_t len)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
		int size;

		if (cmsg->cmsg_level != SOL_UDP || cmsg->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(cmsg), sizeof(size));
		return size > 0 ? (size_t)size : len;
	}
	return len;
}

static unsigned int split(struct setup_inbox *inbox, int packet, unsigned int count)
{
	struct msghdr *header = &inbox->message[packet].msg_hdr;
	size_t len = inbox->message[packet].msg_len, each = size_of_each(header, len);

	if (header->msg_flags & MSG_TRUNC)
		len = each = 0; /* longer than any that is ours */
	do {
		size_t now = each < len ? each : len;

		inbox->mail[count++] =
			(struct setup_mail){ inbox->bytes[packet] + inbox->message[packet].msg_len -
						     len,
					     now, &inbox->from[packet] };
		len -= now;
	} while (len && count < SETUP_INBOX);
	return count;
}

unsigned int setup_receive(struct setup_inbox *inbox, int fd, const struct setup_mail **mail)
{
	unsigned int count = 0;
	int packets;

	prepare(inbox);
	packets = recvmmsg(fd, inbox->message, PACKETS, MSG_DONTWAIT, NULL);
	for (int i = 0; i < packets && count < SETUP_INBOX; i++)
		count = split(inbox, i, count);
	*mail = inbox->mail;
	return count;
}
