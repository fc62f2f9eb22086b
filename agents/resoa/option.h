/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Options that programs have set, kept by their sockets' cookies. */
#ifndef ISTHMUS_RESOA_OPTION_H
#define ISTHMUS_RESOA_OPTION_H

#include "resoa.h"

#define OPTION_SOCKETS 16384 /* then the socket that was quiet for longest is forgotten */
#define OPTION_EACH    48    /* of one socket: options, and groups that it is in */

struct option {
	int32_t level, name;
	uint16_t len;
	uint8_t value[RESOA_OPTION_BYTES];
};

/* In the order in which they were set last. */
void option_each(struct resoa *resoa, uint64_t cookie,
		 void (*each)(const struct option *option, void *arg), void *arg);
/* The last value, if it is an int; `otherwise` if it was not set. */
int option_int(struct resoa *resoa, uint64_t cookie, int level, int name, int otherwise);

#endif
