/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_AGENTS_PORTARP_LAN_H
#define ISTHMUS_AGENTS_PORTARP_LAN_H

struct event;
struct mnl_socket;

struct lan {
	struct mnl_socket *rt;	    /* questions and changes */
	struct mnl_socket *monitor; /* links */
	struct event *readable;
};

/* What the kernel has as a shared address' MAC: locally administered, never on the wire. */
extern const uint8_t lan_nobody[6];

#endif
