/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addresses as an operator writes and reads them. */
#ifndef ISTHMUS_LOADER_ADDRESS_H
#define ISTHMUS_LOADER_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "../maps/common.h"

#define ADDRESS_TEXT 64 /* "[address]:port" and NUL */

/* A unicast address of either family: 0 or -EINVAL. */
int address_parse(const char *text, struct isthmus_addr *address);
bool address_is_v4(const struct isthmus_addr *address);
void address_text(const struct isthmus_addr *address, char text[ADDRESS_TEXT]);
/* port_be: network byte order. */
void endpoint_text(const struct isthmus_addr *address, uint16_t port_be, char text[ADDRESS_TEXT]);

#endif
