/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addresses as people write them, as sockets want them and as the maps keep them. */
#ifndef ISTHMUS_AGENTS_ADDRESS_H
#define ISTHMUS_AGENTS_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../../maps/common.h"

#define ADDRESS_TEXT_LEN 64 /* "[address]:port" and NUL */

/* "192.0.2.1", "2001:db8::1" or "[2001:db8::1]": 0 or -EINVAL. */
int address_parse(const char *text, struct isthmus_addr *address);
/* "HOST:PORT", "[v6]:PORT" or ":PORT" split; numeric port 1..65535 checked. host is "" if absent.
 */
int address_split(const char *text, char *host, size_t host_len, uint16_t *port);
bool address_is_v4(const struct isthmus_addr *address);
bool address_equal(const struct isthmus_addr *a, const struct isthmus_addr *b);
void address_text(const struct isthmus_addr *address,
		  char text[ADDRESS_TEXT_LEN]); /* without port */
void address_port_text(const struct isthmus_addr *address, uint16_t port_be,
		       char text[ADDRESS_TEXT_LEN]); /* with port */

/* port_be: network byte order. Returns the length of the sockaddr. */
socklen_t address_to_sockaddr(const struct isthmus_addr *address, uint16_t port_be,
			      struct sockaddr_storage *storage);
int address_from_sockaddr(const struct sockaddr *sockaddr, struct isthmus_addr *address,
			  uint16_t *port_be);

#endif
