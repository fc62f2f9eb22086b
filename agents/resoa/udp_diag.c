// SPDX-License-Identifier: GPL-3.0-or-later
/* Which sockets of A there are, as sock_diag(7) tells: a datagram does not say whose it is. */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "udp.h"

#define ANSWER_BYTES 32768
#define ANSWERS_MAX  65536 /* of one dump, read in one go */

struct request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 diag;
};

static void fill(struct request *request, uint8_t family, uint16_t flags)
{
	*request = (struct request){
		.header = { .nlmsg_len = sizeof(*request),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | flags },
		.diag = { .sdiag_family = family == 6 ? AF_INET6 : AF_INET,
			  .sdiag_protocol = IPPROTO_UDP,
			  .idiag_states = ~0u },
	};
}

static void put_address(__be32 to[4], const struct ep_name *name)
{
	if (name->family == 6)
		memcpy(to, name->address.b, 16);
	else
		memcpy(to, name->address.b + 12, 4);
}

/* Answers that nobody waited for, as of a request that failed. */
static void flush(int fd)
{
	uint8_t bytes[64];
	int i;

	for (i = 0; i < 64 && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC) >= 0; i++)
		;
}

/* The one that would receive what `peer` sends to `local`: for UDP, source and destination of the
 * request are those of such a datagram. */
uint64_t udp_diag_cookie(struct udp *udp, const struct ep_name *local, const struct ep_name *peer)
{
	uint8_t bytes[1024] __attribute__((aligned(8)));
	const struct nlmsghdr *answer = (void *)bytes;
	const struct inet_diag_msg *socket = NLMSG_DATA(answer);
	struct request request;
	ssize_t len;

	flush(udp->diag);
	fill(&request, local->family, 0);
	request.diag.id.idiag_sport = peer->port;
	request.diag.id.idiag_dport = local->port;
	put_address(request.diag.id.idiag_src, peer);
	put_address(request.diag.id.idiag_dst, local);
	request.diag.id.idiag_if = udp->resoa->net.e0;
	request.diag.id.idiag_cookie[0] = request.diag.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (send(udp->diag, &request, sizeof(request), MSG_DONTWAIT) < 0)
		return 0;
	/* The kernel has answered when send() returns. */
	len = recv(udp->diag, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (len < (ssize_t)NLMSG_LENGTH(sizeof(*socket)) ||
	    answer->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return 0;
	return socket->id.idiag_cookie[0] | (uint64_t)socket->id.idiag_cookie[1] << 32;
}

/* 1: it was the last. */
static int note_ports(const uint8_t *bytes, size_t len, uint8_t *ports)
{
	const struct nlmsghdr *answer = (const void *)bytes;
	const struct inet_diag_msg *socket;
	uint16_t port;

	for (; NLMSG_OK(answer, len); answer = NLMSG_NEXT(answer, len)) {
		if (answer->nlmsg_type == NLMSG_DONE)
			return 1;
		if (answer->nlmsg_type == NLMSG_ERROR ||
		    answer->nlmsg_len < NLMSG_LENGTH(sizeof(*socket)))
			return -EIO;
		socket = NLMSG_DATA(answer);
		port = ntohs(socket->id.idiag_sport);
		ports[port / 8] |= (uint8_t)(1 << port % 8);
	}
	return 0;
}

static int dump(int fd, uint8_t family, uint8_t *ports)
{
	static uint8_t bytes[ANSWER_BYTES] __attribute__((aligned(8)));
	struct request request;
	int i, rc = 0;
	ssize_t len;

	flush(fd);
	fill(&request, family, NLM_F_DUMP);
	if (send(fd, &request, sizeof(request), MSG_DONTWAIT) < 0)
		return -errno;
	for (i = 0; i < ANSWERS_MAX && !rc; i++) {
		len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		rc = len < 0 ? -errno : note_ports(bytes, (size_t)len, ports);
	}
	return rc < 0 ? rc : 0;
}

int udp_diag_ports(struct udp *udp, uint8_t ports[65536 / 8])
{
	int rc = dump(udp->diag, 4, ports);

	return rc ? rc : dump(udp->diag, 6, ports);
}
