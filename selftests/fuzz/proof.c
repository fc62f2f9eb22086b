// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/peer/proof.c agents/lib/auth.c */
/*
 * What a stranger may send on a joined TCP connection before he has proved himself. The first byte
 * chooses our role, each following one how many bytes come next. He does not know the secret, so
 * being accepted is a failure.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../agents/peer/proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[AUTH_SECRET_BYTES] = "a secret that nobody else knows";
	struct proof proof;
	int result = 0;

	if (!size || proof_start(&proof, secret, 1, data[0] & 1))
		return 0;
	data++;
	size--;
	while (!result && size > 1) {
		size_t wanted = proof_wanted(&proof);
		size_t len = data[0] % (wanted + 2), have = size - 1;

		len = len < have ? len : have;
		result = proof_take(&proof, data + 1, len);
		if (result == 1 || (len > wanted && result >= 0) ||
		    proof.out_len > sizeof(proof.out))
			abort();
		data += 1 + len;
		size -= 1 + len;
	}
	return 0;
}
