/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the control socket's commands are answered with (lib/ask.h). arg: struct resoa. */
#ifndef ISTHMUS_RESOA_STATUS_H
#define ISTHMUS_RESOA_STATUS_H

#include <jansson.h>

#include "../lib/ask.h"

json_t *status_json(void *arg);
struct evbuffer;
void status_collect(struct evbuffer *out, void *arg); /* metrics */
json_t *status_command(const char *op, const json_t *message, struct ask_error *why, void *arg);

#endif
