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

/* NULL if no socket can be made. done is not called from inside. by_tcp: UDP was in vain before. */
struct probe *probe_new(struct event_base *base, const struct announced *announced, bool by_tcp,
			probe_done done, void *arg);
/* After success: it was TCP that led to it. */
bool probe_was_tcp(const struct probe *probe);
void probe_free(struct probe *probe);

#endif
