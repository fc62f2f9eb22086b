/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One question of rtnetlink(7) at a time, and its answer. */
#ifndef ISTHMUS_AGENTS_RTNL_H
#define ISTHMUS_AGENTS_RTNL_H

#include <libmnl/libmnl.h>
#include <stdint.h>

/* In the thread's network namespace; answers are waited for so long. NULL: errno says why. */
struct mnl_socket *rtnl_open(unsigned int wait_s);
/* A request that is acknowledged; `buffer` is the caller's, zeroed. */
struct nlmsghdr *rtnl_begin(void *buffer, uint16_t type, uint16_t flags);
/* Sends and reads to the end of the answer; what a question before left unread is thrown away. 0 or
 * a negative errno. callback (may be NULL) is called for each message of the answer. */
int rtnl_ask(struct mnl_socket *rtnl, struct nlmsghdr *message, mnl_cb_t callback, void *arg);

#endif
