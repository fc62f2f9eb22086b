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

int netlink_dump(uint16_t type, const void *extra, size_t extra_len, mnl_cb_t each, void *arg)
{
	char buffer[MESSAGE_LEN] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct mnl_socket *socket = mnl_socket_open(NETLINK_ROUTE);
	int err = 0;

	if (!socket)
		return -errno;
	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	header->nlmsg_seq = SEQUENCE;
	memcpy(mnl_nlmsg_put_extra_header(header, extra_len), extra, extra_len);
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, header, header->nlmsg_len) < 0)
		err = -errno;
	if (!err)
		err = receive(socket, buffer, each, arg);
	mnl_socket_close(socket);
	return err;
}
