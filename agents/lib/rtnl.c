// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "rtnl.h"

#define BUFFER_BYTES 32768

struct mnl_socket *rtnl_open(unsigned int wait_s)
{
	struct mnl_socket *rtnl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct timeval limit = { wait_s, 0 };

	if (!rtnl)
		return NULL;
	if (mnl_socket_bind(rtnl, 0, MNL_SOCKET_AUTOPID)) {
		mnl_socket_close(rtnl);
		return NULL;
	}
	setsockopt(mnl_socket_get_fd(rtnl), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return rtnl;
}

struct nlmsghdr *rtnl_begin(void *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	return message;
}

int rtnl_ask(struct mnl_socket *rtnl, struct nlmsghdr *message, mnl_cb_t callback, void *arg)
{
	static unsigned int sequence;
	char buffer[BUFFER_BYTES];
	int verdict;

	while (recv(mnl_socket_get_fd(rtnl), buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
	message->nlmsg_seq = ++sequence;
	if (mnl_socket_sendto(rtnl, message, message->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t len = mnl_socket_recvfrom(rtnl, buffer, sizeof(buffer));

		if (len < 0)
			return -errno;
		verdict = mnl_cb_run(buffer, len, sequence, mnl_socket_get_portid(rtnl), callback,
				     arg);
	} while (verdict > MNL_CB_STOP);
	return verdict < 0 ? -errno : 0;
}
