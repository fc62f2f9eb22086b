// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/peer/frame.c agents/lib/auth.c */
/*
 * Datagrams on a joined UDP path: the first byte chooses our role and whether the other side has
 * proved itself; then datagrams, each with a length byte before it. Without the secret nobody gets
 * from one to the other, and no data is delivered before.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../../agents/peer/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[AUTH_SECRET_BYTES] = "a secret that nobody else knows";
	struct frame_proof proof;
	uint8_t answer[FRAME_PROOF_BYTES];
	bool trusted;

	if (!size || frame_start(&proof, secret, 1, data[0] & 1))
		return 0;
	trusted = proof.proved = proof.greeted = data[0] & 2;
	data++;
	size--;
	while (size) {
		size_t have = size - 1, len = data[0] < have ? data[0] : have;
		enum frame_verdict verdict = frame_take(&proof, data + 1, len);

		if (!trusted && (proof.proved || verdict == FRAME_NOW_PROVED ||
				 verdict == FRAME_DELIVER || verdict == FRAME_OTHER_IS_OVER))
			abort();
		if (verdict == FRAME_DELIVER && !len)
			abort();
		frame_write_proof(&proof, answer);
		data += 1 + len;
		size -= 1 + len;
	}
	return 0;
}
