// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/probe.c */
/* A datagram to or from a translator's probe port: what is read is written back byte for byte. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agents/lib/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct probe_question question;
	struct probe_answer answer;
	uint8_t bytes[PROBE_BYTES];

	if (!probe_read_question(data, size, &question)) {
		probe_write_question(&question, bytes);
		if (memcmp(bytes, data, 13) || memcmp(bytes + 16, data + 16, PROBE_TOKEN_BYTES))
			abort();
	}
	if (!probe_read_answer(data, size, &answer)) {
		probe_write_answer(&answer, bytes);
		if (memcmp(bytes, data, 14) || memcmp(bytes + 16, data + 16, sizeof(answer.seen)))
			abort();
	}
	return 0;
}
