// SPDX-License-Identifier: GPL-3.0-or-later
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "probe.h"

/* Offsets of docs/protocol.md, "Probe". */
#define AT_SESSION 4
#define AT_SIDE	   12
#define AT_STATUS  13
#define AT_VALUE   16 /* the token, or the address that was seen */

_Static_assert(AT_VALUE + PROBE_TOKEN_BYTES <= PROBE_BYTES, "a token fits");
_Static_assert(PROBE_TOKEN_BYTES == sizeof(struct isthmus_addr), "both are 16 bytes");

static void write_head(uint8_t *bytes, const char magic[4], uint64_t session, uint8_t side)
{
	uint64_t wire = htobe64(session);

	memset(bytes, 0, PROBE_BYTES);
	memcpy(bytes, magic, 4);
	memcpy(bytes + AT_SESSION, &wire, sizeof(wire));
	bytes[AT_SIDE] = side;
}

static int read_head(const uint8_t *bytes, size_t len, const char magic[4], uint64_t *session)
{
	uint64_t wire;

	if (len != PROBE_BYTES || memcmp(bytes, magic, 4) || bytes[AT_SIDE] > 1)
		return -EINVAL;
	memcpy(&wire, bytes + AT_SESSION, sizeof(wire));
	*session = be64toh(wire);
	return 0;
}

void probe_write_question(const struct probe_question *question, uint8_t bytes[PROBE_BYTES])
{
	write_head(bytes, "ISQ1", question->session, question->side);
	memcpy(bytes + AT_VALUE, question->token, PROBE_TOKEN_BYTES);
}

int probe_read_question(const uint8_t *bytes, size_t len, struct probe_question *question)
{
	uint64_t session;

	if (read_head(bytes, len, "ISQ1", &session))
		return -EINVAL;
	question->session = session;
	question->side = bytes[AT_SIDE];
	memcpy(question->token, bytes + AT_VALUE, PROBE_TOKEN_BYTES);
	return 0;
}

void probe_write_answer(const struct probe_answer *answer, uint8_t bytes[PROBE_BYTES])
{
	write_head(bytes, "ISA1", answer->session, answer->side);
	bytes[AT_STATUS] = answer->status;
	memcpy(bytes + AT_VALUE, answer->seen.b, sizeof(answer->seen.b));
}

int probe_read_answer(const uint8_t *bytes, size_t len, struct probe_answer *answer)
{
	uint64_t session;

	if (read_head(bytes, len, "ISA1", &session) || bytes[AT_STATUS] > PROBE_FAMILY)
		return -EINVAL;
	answer->session = session;
	answer->side = bytes[AT_SIDE];
	answer->status = bytes[AT_STATUS];
	memcpy(answer->seen.b, bytes + AT_VALUE, sizeof(answer->seen.b));
	return 0;
}
