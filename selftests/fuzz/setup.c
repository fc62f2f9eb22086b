// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/setup.c */
/* A SETUP datagram, as it is and signed: what is read is written back byte for byte. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/hmac.h>

#include "agents/lib/setup.h"

#define MAC_AT	  56
#define MAC_BYTES 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key_bytes[SETUP_KEY_BYTES];
	static struct setup_key *key;
	uint8_t bytes[SETUP_BYTES], again[SETUP_BYTES], mac[32];
	struct setup setup;

	if (!key && !(key = setup_key_new(key_bytes)))
		abort();
	setup_read(data, size, key, &setup);
	if (size != SETUP_BYTES)
		return 0;
	memcpy(bytes, data, SETUP_BYTES);
	if (!HMAC(EVP_sha256(), key_bytes, sizeof(key_bytes), bytes, MAC_AT, mac, NULL))
		abort();
	memcpy(bytes + MAC_AT, mac, MAC_BYTES);
	if (setup_read(bytes, SETUP_BYTES, key, &setup))
		return 0;
	if (setup_write(&setup, key, again) || memcmp(again, bytes, SETUP_BYTES))
		abort();
	return 0;
}
