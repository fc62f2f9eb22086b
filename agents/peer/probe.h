/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Showing this peer's address to a translator: UDP, four times, then TCP (docs/protocol.md). */
#ifndef ISTHMUS_PEER_PROBE_H
#define ISTHMUS_PEER_PROBE_H

#include <event2/event.h>

#include "announce.h"

struct probe;

/* error: 0, -EACCES (the translator does not know the token, or no longer), -EAFNOSUPPORT,
 * -ETIMEDOUT, or what the sockets said. Free the probe here or later. */
typedef void (*probe_done)(int error, void *arg);

/* NULL if no socket can be made. done is not called from inside. */
struct probe *probe_new(struct event_base *base, const struct announced *announced, probe_done done,
			void *arg);
void probe_free(struct probe *probe);

#endif
