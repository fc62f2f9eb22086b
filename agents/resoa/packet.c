// SPDX-License-Identifier: GPL-3.0-or-later
/* Packets of control.h with a descriptor. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"

union rights {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

int control_send(int socket, const void *packet, size_t len, int fd)
{
	union rights rights = { .head = { .cmsg_len = CMSG_LEN(sizeof(fd)),
					  .cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS } };
	struct iovec part = { (void *)packet, len };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd >= 0) {
		memcpy(CMSG_DATA(&rights.head), &fd, sizeof(fd));
		message.msg_control = &rights;
		message.msg_controllen = sizeof(rights);
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -errno;
}

/* Room for one descriptor to the byte: with CMSG_SPACE a second one would fit into the padding. The
 * kernel closes what does not fit. */
int control_receive(int socket, void *packet, size_t len, int *fd)
{
	union rights rights;
	struct iovec part = { packet, len };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &rights,
				  .msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = got < 0 ? NULL : CMSG_FIRSTHDR(&message);

	*fd = -1;
	if (got < 0)
		return -errno;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(head), sizeof(int));
	if (got == (ssize_t)len && !(message.msg_flags & MSG_TRUNC))
		return 0;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return got ? -EPROTO : -ECONNRESET;
}
