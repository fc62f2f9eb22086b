// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A peer knocks at a listener (KNOCK): A's kernel is asked, by sock_diag(7), for the socket that
 * would get its SYN, and how many connections wait there to be accepted. It is the program's own
 * queue that counts, with the backlog that it has now; connections on their way to it are in it.
 *
 * A listener that has ended is not asked for: the server has heard CLOSE before this answer.
 *
 * One that the server cannot have after all is ended in A, too, for its listen() has succeeded: the
 * program's poll() and accept() tell.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "resoa.h"

struct knocks {
	int fd; /* NETLINK_SOCK_DIAG in A */
	uint32_t number;
};

struct request {
	struct nlmsghdr head;
	struct inet_diag_req_v2 diag;
};

static struct knocks *knocks_of(struct resoa *resoa)
{
	struct knocks *knocks = resoa->knocks ?: calloc(1, sizeof(*knocks));

	if (!knocks || resoa->knocks)
		return knocks;
	knocks->fd = net_socket(&resoa->net, NET_A, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
				NETLINK_SOCK_DIAG);
	if (knocks->fd < 0) {
		free(knocks);
		return NULL;
	}
	resoa->knocks = knocks;
	return knocks;
}

void knock_close(struct resoa *resoa)
{
	if (!resoa->knocks)
		return;
	close(resoa->knocks->fd);
	free(resoa->knocks);
	resoa->knocks = NULL;
}

static void put_address(__be32 *out, const struct ep_name *name)
{
	if (name->family == 4)
		memcpy(out, name->address.b + 12, 4);
	else
		memcpy(out, &name->address, 16);
}

/* The socket for a packet from `other` to `name` that comes in by e0. */
static void write_request(struct request *request, const struct resoa *resoa,
			  const struct ep_name *name, const struct ep_name *other)
{
	struct inet_diag_sockid *id = &request->diag.id;

	*request = (struct request){
		.head = { .nlmsg_len = sizeof(*request),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST,
			  .nlmsg_seq = ++resoa->knocks->number },
		.diag = { .sdiag_family = name->family == 4 ? AF_INET : AF_INET6,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = ~0u,
			  .id = { .idiag_sport = name->port,
				  .idiag_dport = other->port,
				  .idiag_if = resoa->net.e0,
				  .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } }
	};
	put_address(id->idiag_src, name);
	put_address(id->idiag_dst, other);
}

/* The kernel answers within send(). An errno of its own is one of the socket's: ENOENT. */
static int ask(struct resoa *resoa, const struct ep_message *message, struct inet_diag_msg *diag)
{
	struct knocks *knocks = knocks_of(resoa);
	char bytes[4096] __attribute__((aligned(8)));
	const struct nlmsghdr *head = (void *)bytes;
	struct request request;
	ssize_t len;

	if (!knocks)
		return -ENOMEM;
	write_request(&request, resoa, &message->name, &message->other);
	if (send(knocks->fd, &request, sizeof(request), 0) != sizeof(request))
		return -errno;
	do {
		len = recv(knocks->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	} while (len >= (ssize_t)sizeof(*head) && head->nlmsg_seq != knocks->number);
	if (len < (ssize_t)mnl_nlmsg_size(sizeof(*diag)) || head->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return -ENOENT;
	memcpy(diag, mnl_nlmsg_get_payload(head), sizeof(*diag));
	return 0;
}

/* rqueue and wqueue of a listener: how many wait there, and its backlog. If there is none it is for
 * the connection to find out. */
static bool is_full(struct resoa *resoa, uint32_t listener, const struct ep_message *message)
{
	unsigned int coming = tcp_connecting(resoa, listener);
	struct inet_diag_msg diag;
	int err = ask(resoa, message, &diag);

	if (err && err != -ENOENT)
		log_warn("a listener's queue is not known: %s", strerror(-err));
	return !err && diag.idiag_state == TCP_LISTEN &&
	       diag.idiag_rqueue + coming > diag.idiag_wqueue;
}

void knock_message(struct rsock *listener, const struct ep_message *message)
{
	struct resoa *resoa = listener->resoa;
	struct ep_message admit = { .type = EP_ADMIT, .id = message->id };
	uint32_t id = listener->id;

	/* What the program did until now; then perhaps there is no listener. */
	program_drain(resoa->program);
	if (!rsock_of_id(resoa, id) || !resoa->lhp)
		return;
	if (is_full(resoa, id, message))
		admit.error = EAGAIN;
	ep_send(resoa->lhp, id, &admit);
}

/* SOCK_DESTROY, of this listener and no other of its name. Where the kernel cannot do it (before
 * Linux 4.5, or configured so) the program waits for peers that do not come. */
void knock_destroy(const struct rsock *listener)
{
	const struct resoa_names *names = &listener->names;
	const struct ep_name name = { names->local, names->local_port, listener->family,
				      IPPROTO_TCP, 0 };
	const struct ep_name other = { .family = listener->family };
	struct knocks *knocks = knocks_of(listener->resoa);
	struct request request;

	if (!knocks)
		return;
	write_request(&request, listener->resoa, &name, &other);
	request.head.nlmsg_type = SOCK_DESTROY;
	request.diag.id.idiag_cookie[0] = (uint32_t)listener->cookie;
	request.diag.id.idiag_cookie[1] = (uint32_t)(listener->cookie >> 32);
	if (send(knocks->fd, &request, sizeof(request), 0) != sizeof(request))
		log_debug("a listener is not ended: %s", strerror(errno));
}
