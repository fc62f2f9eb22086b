/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A device's packet socket: DHCP frames of one port in, frames with headers of our own out. It
 * needs no address on the device, and what leaves by it passes no tc program (PACKET_QDISC_BYPASS).
 */
#ifndef ISTHMUS_AGENTS_DHCP_LINK_H
#define ISTHMUS_AGENTS_DHCP_LINK_H

#include <net/if.h>

#include "dhcp_frame.h"

struct dhcp_link {
	char name[IF_NAMESIZE];
	int fd;	 /* packet socket, non-blocking */
	int udp; /* UDP socket on the port, or -1; see dhcp_link_open_udp() */
	int ifindex;
	uint16_t port; /* that we have: 67 or 68 */
	uint8_t mac[DHCP_MAC];
	uint32_t address; /* first IPv4 address, 0 = none; host order */
};

int dhcp_link_open(const char *name, uint16_t port, struct dhcp_link *link, char *error,
		   size_t error_len);
/*
 * A UDP socket on the port of this device. It sends to relays, and it is why the kernel does not
 * answer unicast requests with "port unreachable"; it reads nothing.
 */
int dhcp_link_open_udp(struct dhcp_link *link, char *error, size_t error_len);
/* Frames to another station's MAC are read, too, or no more. 0 or a negative errno. */
int dhcp_link_listen_for(const struct dhcp_link *link, const uint8_t mac[DHCP_MAC], bool listen);
void dhcp_link_close(struct dhcp_link *link);

/*
 * The next message: its length; -EAGAIN if there is none, -EBADMSG for a frame that is none.
 * `message` points into `frame`.
 */
int dhcp_link_receive(const struct dhcp_link *link, uint8_t frame[DHCP_FRAME_MAX],
		      struct dhcp_frame_ends *ends, const uint8_t **message);
/* Sets src_mac and sport of `ends`. */
int dhcp_link_send(const struct dhcp_link *link, struct dhcp_frame_ends *ends, const void *message,
		   size_t len);
int dhcp_link_send_udp(const struct dhcp_link *link, uint32_t to, uint16_t port,
		       const void *message, size_t len);

#endif
