/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_AGENTS_PORTARP_CONTROL_H
#define ISTHMUS_AGENTS_PORTARP_CONTROL_H

#include "agent.h"

struct evbuffer;

int control_listen(struct agent *agent, char *error, size_t error_len);
void control_free(struct agent *agent);
void status_metrics(struct evbuffer *out, void *agent);

#endif
