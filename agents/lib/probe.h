/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The probe: shows a translator, by a token, from which address a side of a rendezvous comes
 * (docs/protocol.md). One fixed-size message each way, in a UDP datagram or at the start of a TCP
 * connection; the answer is not longer than the question, so it amplifies nothing.
 */
#ifndef ISTHMUS_AGENTS_PROBE_H
#define ISTHMUS_AGENTS_PROBE_H

#include <stdint.h>
#include <stddef.h>

#include "../../maps/common.h"

#define PROBE_TOKEN_BYTES 16
#define PROBE_BYTES	  48

enum probe_status { PROBE_OK = 0, PROBE_UNKNOWN = 1, PROBE_EXPIRED = 2, PROBE_FAMILY = 3 };

struct probe_question {
	uint64_t session;
	uint8_t side; /* 0 = subscriber, 1 = provider */
	uint8_t token[PROBE_TOKEN_BYTES];
};

struct probe_answer {
	uint64_t session;
	uint8_t side;
	uint8_t status;		  /* enum probe_status */
	struct isthmus_addr seen; /* the address that was seen; the port is of no use */
};

void probe_write_question(const struct probe_question *question, uint8_t bytes[PROBE_BYTES]);
int probe_read_question(const uint8_t *bytes, size_t len,
			struct probe_question *question); /* 0 or -EINVAL */
void probe_write_answer(const struct probe_answer *answer, uint8_t bytes[PROBE_BYTES]);
int probe_read_answer(const uint8_t *bytes, size_t len,
		      struct probe_answer *answer); /* 0 or -EINVAL */

#endif
