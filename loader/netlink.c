// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "netlink.h"

#define MESSAGE_LEN 32768 /* the kernel's own limit of one part of a dump */
#define SEQUENCE    1

static int receive(struct mnl_socket *socket, char *buffer, mnl_cb_t each, void *arg)
{
	unsigned int port = mnl_socket_get_portid(socket);

	for (;;) {
		ssize_t len = mnl_socket_recvfrom(socket, buffer, MESSAGE_LEN);
		int more;

		if (len < 0)
			return -errno;
		more = mnl_cb_run(buffer, len, SEQUENCE, port, each, arg);
		if (more <= MNL_CB_STOP)
			return more == MNL_CB_STOP ? 0 : -errno;
	}
}

/* Sends a request and takes its answer. */
static int talk(struct nlmsghdr *header, char *buffer, mnl_cb_t each, void *arg)
{
	struct mnl_socket *socket = mnl_socket_open(NETLINK_ROUTE);
	int err = 0;

	if (!socket)
		return -errno;
	header->nlmsg_seq = SEQUENCE;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, header, header->nlmsg_len) < 0)
		err = -errno;
	if (!err)
		err = receive(socket, buffer, each, arg);
	mnl_socket_close(socket);
	return err;
}

int netlink_dump(uint16_t type, const void *extra, size_t extra_len, mnl_cb_t each, void *arg)
{
	char buffer[MESSAGE_LEN] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	memcpy(mnl_nlmsg_put_extra_header(header, extra_len), extra, extra_len);
	return talk(header, buffer, each, arg);
}

int netlink_change(struct nlmsghdr *header)
{
	char buffer[MESSAGE_LEN] __attribute__((aligned(NLMSG_ALIGNTO)));

	header->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	return talk(header, buffer, NULL, NULL);
}
