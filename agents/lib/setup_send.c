// SPDX-License-Identifier: GPL-3.0-or-later
/* Many SETUP datagrams with one system call, and if the way can, as one packet through the stack.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#include "setup.h"

#define AT_ONCE 64 /* what all kernels that we run on take as one */

/* The kernel cuts it. EIO, EINVAL: it cannot, or the device's checksums are none of its own. */
static int send_as_one(int fd, const struct sockaddr *to, socklen_t to_len,
		       uint8_t (*bytes)[SETUP_BYTES], unsigned int count)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = { 0 };
	struct iovec vector = { bytes, (size_t)count * SETUP_BYTES };
	struct msghdr header = { .msg_name = (void *)to,
				 .msg_namelen = to_len,
				 .msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
	uint16_t size = SETUP_BYTES;

	cmsg->cmsg_level = SOL_UDP;
	cmsg->cmsg_type = UDP_SEGMENT;
	cmsg->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(cmsg), &size, sizeof(size));
	return sendmsg(fd, &header, MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void send_each(int fd, const struct sockaddr *to, socklen_t to_len,
		      uint8_t (*bytes)[SETUP_BYTES], unsigned int count)
{
	struct mmsghdr message[AT_ONCE] = { 0 };
	struct iovec vector[AT_ONCE];

	for (unsigned int i = 0; i < count; i++) {
		vector[i] = (struct iovec){ bytes[i], SETUP_BYTES };
		message[i].msg_hdr = (struct msghdr){ .msg_name = (void *)to,
						      .msg_namelen = to_len,
						      .msg_iov = &vector[i],
						      .msg_iovlen = 1 };
	}
	for (unsigned int sent = 0; sent < count;) {
		int n = sendmmsg(fd, message + sent, count - sent, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		sent += n > 0 ? (unsigned int)n : 1;
	}
}

void setup_send(int fd, const struct sockaddr *to, socklen_t to_len, uint8_t (*bytes)[SETUP_BYTES],
		unsigned int count)
{
	while (count) {
		unsigned int now = count < AT_ONCE ? count : AT_ONCE;

		if (now == 1 || send_as_one(fd, to, to_len, bytes, now))
			send_each(fd, to, to_len, bytes, now);
		bytes += now;
		count -= now;
	}
}
