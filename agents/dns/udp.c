// SPDX-License-Identifier: GPL-3.0-or-later
/* Questions by UDP: many with one system call, and so their answers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dns.h"

#define BATCH	    64
#define BATCHES	    8 /* before others have their turn */
#define CONTROL_LEN (CMSG_SPACE(sizeof(struct in6_pktinfo)))
#define CACHE_LINE  64 /* buffers 4096 bytes apart would all share one set of the cache's lines */

struct udp_batch {
	struct mmsghdr in[BATCH], out[BATCH];
	struct iovec in_vector[BATCH], out_vector[BATCH];
	struct sockaddr_storage client[BATCH];
	_Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_LEN];
	uint8_t question[BATCH][WIRE_QUERY_MAX + CACHE_LINE];
	uint8_t answer[BATCH][WIRE_UDP_MAX + CACHE_LINE];
};

/* What has come into the first `count` headers is forgotten: they can take others. */
static void prepare(struct udp_batch *batch, int count)
{
	for (int i = 0; i < count; i++) {
		batch->in_vector[i] = (struct iovec){ batch->question[i], WIRE_QUERY_MAX };
		batch->in[i].msg_hdr = (struct msghdr){ .msg_name = &batch->client[i],
							.msg_namelen = sizeof(batch->client[i]),
							.msg_iov = &batch->in_vector[i],
							.msg_iovlen = 1,
							.msg_control = batch->control[i],
							.msg_controllen = CONTROL_LEN };
	}
}

struct udp_batch *udp_batch_new(void)
{
	struct udp_batch *batch = calloc(1, sizeof(*batch));

	if (batch)
		prepare(batch, BATCH);
	return batch;
}

/*
 * What came with the packet says from where the answer is to be sent. The interface is left to
 * the routes, unless the address means nothing without it.
 */
static void turn_control(struct msghdr *header)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);

	for (; cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
		if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo *info = (void *)CMSG_DATA(cmsg);

			info->ipi_ifindex = 0;
		} else if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo *info = (void *)CMSG_DATA(cmsg);

			if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
				info->ipi6_ifindex = 0;
		}
	}
}

static bool has_port(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET ? ((const struct sockaddr_in *)address)->sin_port
					     : ((const struct sockaddr_in6 *)address)->sin6_port;
}

/* Set aside: the answer comes when a waypoint has accepted it (hold.c). */
static void hold(struct listener *listener, struct udp_batch *batch, int from)
{
	struct msghdr *header = &batch->in[from].msg_hdr;
	struct hold_client client = { .address = batch->client[from], .listener = listener };

	turn_control(header);
	if (header->msg_controllen > sizeof(client.control))
		return;
	memcpy(client.control, header->msg_control, header->msg_controllen);
	client.control_len = header->msg_controllen;
	hold_question(listener->dns, &client, batch->question[from], batch->in[from].msg_len);
}

/* Returns whether there is something to send. */
static bool answer_one(struct listener *listener, struct udp_batch *batch, int from, int to,
		       int64_t now, uint64_t now_ms)
{
	struct dns *dns = listener->dns;
	const struct answer_client client = { .address = (struct sockaddr *)&batch->client[from],
					      .now = now,
					      .now_ms = now_ms };
	struct msghdr *header = &batch->in[from].msg_hdr;
	const uint8_t *bytes;
	size_t len;

	/* Port 0 cannot be answered; a longer packet than any question was cut off. */
	if ((header->msg_flags & MSG_TRUNC) || !has_port(&batch->client[from])) {
		dns->server.counters.results[ANSWER_DROPPED]++;
		return false;
	}
	len = answer(&dns->server, &client, batch->question[from], batch->in[from].msg_len, &bytes);
	if (!len && dns->server.held.is)
		hold(listener, batch, from);
	if (!len || len > WIRE_UDP_MAX)
		return false;
	memcpy(batch->answer[to], bytes, len);
	batch->out_vector[to] = (struct iovec){ batch->answer[to], len };
	turn_control(header);
	batch->out[to].msg_hdr = *header;
	batch->out[to].msg_hdr.msg_iov = &batch->out_vector[to];
	return true;
}

/* What cannot be sent at once is lost, as on the way: the client asks again. */
static void send_all(struct dns *dns, int fd, struct udp_batch *batch, int count)
{
	for (int sent = 0; sent < count;) {
		int n = sendmmsg(fd, batch->out + sent, count - sent, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			dns->udp_errors++;
			n = 1;
		}
		sent += n;
	}
}

void udp_ready(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;
	struct dns *dns = listener->dns;
	struct udp_batch *batch = dns->batch;
	int64_t now = dns_now();
	uint64_t now_ms = dns_now_ms();

	(void)what;
	for (int round = 0; round < BATCHES; round++) {
		int count, answers = 0;

		count = recvmmsg(fd, batch->in, BATCH, MSG_DONTWAIT, NULL);
		if (count <= 0)
			return;
		for (int i = 0; i < count; i++)
			answers += answer_one(listener, batch, i, answers, now, now_ms);
		send_all(dns, fd, batch, answers);
		if (dns->bindings)
			hold_flush(dns);
		prepare(batch, count);
		if (count < BATCH)
			return;
	}
}
