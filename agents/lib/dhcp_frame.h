/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Ethernet, IPv4 and UDP headers around a DHCP message. A shared address cannot be resolved by ARP
 * and a client that has no address yet cannot be reached by the kernel's, so both sides write their
 * own.
 */
#ifndef ISTHMUS_AGENTS_DHCP_FRAME_H
#define ISTHMUS_AGENTS_DHCP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dhcp_wire.h"

#define DHCP_FRAME_HEAD (14 + 20 + 8)
#define DHCP_FRAME_MAX	(DHCP_FRAME_HEAD + DHCP_BYTES_MAX)
#define DHCP_ANY_IP	0xffffffffu /* 255.255.255.255 */

struct dhcp_frame_ends {
	uint8_t src_mac[DHCP_MAC], dst_mac[DHCP_MAC];
	uint32_t src, dst; /* host order */
	uint16_t sport, dport;
};

/* Bytes of the frame; -EMSGSIZE. */
int dhcp_frame_write(const struct dhcp_frame_ends *ends, const void *message, size_t len,
		     uint8_t frame[DHCP_FRAME_MAX]);
/*
 * The DHCP message in a frame. summed: the UDP checksum is to be verified (it is not finished in a
 * frame that has not left this machine). -EBADMSG for what is no whole unfragmented UDP datagram or
 * has a wrong checksum. Outputs untouched on failure.
 */
int dhcp_frame_read(const void *frame, size_t len, bool summed, struct dhcp_frame_ends *ends,
		    const uint8_t **message, size_t *message_len);

#endif
