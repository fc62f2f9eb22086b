/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_LOADER_NETLINK_H
#define ISTHMUS_LOADER_NETLINK_H

#include <libmnl/libmnl.h>

/*
 * Sends one rtnetlink dump request (`type` with this header behind it) and calls `each` for every
 * message of the answer: 0 or -errno.
 */
int netlink_dump(uint16_t type, const void *header, size_t header_len, mnl_cb_t each, void *arg);
/* Sends a request that changes something, and waits until it is done: 0 or the kernel's -errno. */
int netlink_change(struct nlmsghdr *request);

#endif
