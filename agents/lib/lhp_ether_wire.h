/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Frames inside an opened packet of the Ethernet LHP. */
#ifndef ISTHMUS_AGENTS_LHP_ETHER_WIRE_H
#define ISTHMUS_AGENTS_LHP_ETHER_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bytes.h"

#define ETHER_RANGES	    64 /* of one ACK */
#define ETHER_ACK_BYTES	    20 /* before its ranges */
#define ETHER_RANGE_BYTES   4
#define ETHER_MESSAGE_BYTES 12 /* before the bytes */
#define ETHER_PART_BYTES    4  /* more, of one that is a part */
#define ETHER_SEMI_BYTES    16
#define ETHER_FORGET_BYTES  12
#define ETHER_WHY_MAX	    80 /* of CLOSE */

enum ether_frame_type {
	ETHER_PADDING, /* all the rest */
	ETHER_PING,
	ETHER_ACK,
	ETHER_MESSAGE,
	ETHER_SEMI,
	ETHER_FORGET,
	ETHER_CLOSE,
};

#define ETHER_FIRST 1 /* flags of MESSAGE: a message begins, ends with this frame */
#define ETHER_LAST  2
#define ETHER_PART  4 /* of a frame that was made for a path of a greater MTU */
#define ETHER_PARTS 16

struct ether_frame {
	uint8_t type;  /* enum ether_frame_type */
	uint8_t flags; /* MESSAGE */
	uint32_t stream;
	uint32_t sequence;     /* MESSAGE: of the frame in its stream; SEMI: of the message; FORGET:
				  how many frames the stream had */
	uint16_t index, count; /* SEMI: which frame of how many; MESSAGE, PART: which part */
	uint16_t whole;	       /* MESSAGE, PART: bytes of all parts */
	const uint8_t *body;   /* MESSAGE, SEMI, CLOSE: text; ACK: ranges */
	size_t body_len;
	uint64_t largest; /* ACK: highest packet number */
	uint64_t limit;	  /* ACK: how much of MESSAGEs may be sent, since the beginning */
	uint32_t delay;	  /* ACK: microseconds since `largest` came */
};

/* The length of the frame that `bytes` begin with, or -EINVAL; `frame` is untouched on failure. */
int ether_read_frame(const uint8_t *bytes, size_t len, struct ether_frame *frame);
/* Where the bytes of part `index` are in the frame that it is a part of. */
size_t ether_part_at(const struct ether_frame *frame, unsigned int index);
/* Its bytes before the body: their length. */
size_t ether_write_frame(const struct ether_frame *frame, uint8_t *bytes);
/* The range `i` of an ACK, from `*next` downward: 0 or -EINVAL (below packet 0). */
int ether_read_range(const struct ether_frame *ack, unsigned int i, uint64_t *next, uint64_t *high,
		     uint64_t *low);

#endif
