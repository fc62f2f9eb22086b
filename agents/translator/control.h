/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_TRANSLATOR_CONTROL_H
#define ISTHMUS_TRANSLATOR_CONTROL_H

#include <jansson.h>

#include "translator.h"

struct msg_conn;

/* request.c: what the broker asks for. */
void control_request(struct translator *t, struct msg_conn *conn, const json_t *message);

#endif
