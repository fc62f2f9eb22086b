// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Keys of the Ethernet LHP and the AEAD.
 *
 *	T      = SHA-256(OPEN, ANSWER without its MAC)
 *	root   = HKDF-Extract(salt T, key of the client | X25519)
 *	client, server, answer = HKDF-Expand(root, label)
 *
 * Each direction's secret makes key and IV of one epoch, and the secret of the next one. The epoch
 *is the packet number's upper bits, so both ends change keys without a word.
 */
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "lhp_ether_key.h"

#define LABEL "isthmus lhp ether 1 "

static int mac_of(const uint8_t key[ETHER_HASH], const void *bytes, size_t len,
		  uint8_t mac[ETHER_HASH])
{
	return HMAC(EVP_sha256(), key, ETHER_HASH, bytes, len, mac, NULL) ? 0 : -EIO;
}

/* RFC 5869 2.3, of one block. */
static int expand(const uint8_t secret[ETHER_HASH], const char *label, uint8_t *out, size_t len)
{
	uint8_t info[64], block[ETHER_HASH];
	size_t have = sizeof(LABEL) - 1, more = strlen(label);
	int err;

	memcpy(info, LABEL, have);
	memcpy(info + have, label, more);
	info[have + more] = 1;
	err = mac_of(secret, info, have + more + 1, block);
	if (!err)
		memcpy(out, block, len);
	OPENSSL_cleanse(block, sizeof(block));
	return err;
}

static int labelled_mac(const uint8_t key[ETHER_HASH], const char *label, const void *bytes,
			size_t len, uint8_t mac[ETHER_HASH])
{
	uint8_t of_label[ETHER_HASH];
	int err = expand(key, label, of_label, sizeof(of_label));

	if (!err)
		err = mac_of(of_label, bytes, len, mac);
	OPENSSL_cleanse(of_label, sizeof(of_label));
	return err;
}

int ether_open_mac(const uint8_t key[LHP_KEY_BYTES], const uint8_t *bytes, size_t len,
		   uint8_t mac[ETHER_HASH])
{
	return labelled_mac(key, "open", bytes, len, mac);
}

int ether_make_cookie(const uint8_t secret[ETHER_HASH], const uint8_t mac[ETHER_MAC_BYTES],
		      const struct ether_hello *hello, uint8_t cookie[ETHER_HASH])
{
	uint8_t of[ETHER_MAC_BYTES + sizeof(hello->id) + ETHER_NONCE];

	memcpy(of, mac, ETHER_MAC_BYTES);
	memcpy(of + ETHER_MAC_BYTES, &hello->id, sizeof(hello->id));
	memcpy(of + ETHER_MAC_BYTES + sizeof(hello->id), hello->nonce, ETHER_NONCE);
	return mac_of(secret, of, sizeof(of), cookie);
}

/* ---- X25519 */

int ether_new_pair(uint8_t private[ETHER_POINT], uint8_t point[ETHER_POINT])
{
	EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	size_t private_len = ETHER_POINT, point_len = ETHER_POINT;
	bool ok = pair && EVP_PKEY_get_raw_private_key(pair, private, &private_len) == 1 &&
		  EVP_PKEY_get_raw_public_key(pair, point, &point_len) == 1;

	EVP_PKEY_free(pair);
	return ok ? 0 : -EIO;
}

int ether_common(const uint8_t private[ETHER_POINT], const uint8_t point[ETHER_POINT],
		 uint8_t common[ETHER_POINT])
{
	EVP_PKEY *mine = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, ETHER_POINT);
	EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, point, ETHER_POINT);
	EVP_PKEY_CTX *context = mine ? EVP_PKEY_CTX_new(mine, NULL) : NULL;
	size_t len = ETHER_POINT;
	/* OpenSSL refuses a result of zeros, which a weak point would make (RFC 7748 6.1). */
	bool ok = context && theirs && EVP_PKEY_derive_init(context) == 1 &&
		  EVP_PKEY_derive_set_peer(context, theirs) == 1 &&
		  EVP_PKEY_derive(context, common, &len) == 1 && len == ETHER_POINT;

	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(theirs);
	EVP_PKEY_free(mine);
	return ok ? 0 : -EIO;
}

/* ---- secrets */

int ether_make_secrets(const uint8_t key[LHP_KEY_BYTES], const uint8_t common[ETHER_POINT],
		       const uint8_t open[ETHER_OPEN_BYTES],
		       const uint8_t answer[ETHER_ANSWER_BYTES], struct ether_secrets *secrets)
{
	uint8_t text[ETHER_OPEN_BYTES + ETHER_ANSWER_BYTES - ETHER_HASH], transcript[ETHER_HASH];
	uint8_t both[LHP_KEY_BYTES + ETHER_POINT], root[ETHER_HASH];
	struct ether_secrets made;
	int err;

	memcpy(text, open, ETHER_OPEN_BYTES);
	memcpy(text + ETHER_OPEN_BYTES, answer, ETHER_ANSWER_BYTES - ETHER_HASH);
	SHA256(text, sizeof(text), transcript);
	memcpy(both, key, LHP_KEY_BYTES);
	memcpy(both + LHP_KEY_BYTES, common, ETHER_POINT);
	err = mac_of(transcript, both, sizeof(both), root);
	if (!err)
		err = expand(root, "client", made.client, ETHER_HASH);
	if (!err)
		err = expand(root, "server", made.server, ETHER_HASH);
	if (!err)
		err = expand(root, "answer", made.answer, ETHER_HASH);
	if (!err)
		*secrets = made;
	OPENSSL_cleanse(both, sizeof(both));
	OPENSSL_cleanse(root, sizeof(root));
	OPENSSL_cleanse(&made, sizeof(made));
	return err;
}

int ether_end_answer(const struct ether_secrets *secrets, uint8_t bytes[ETHER_ANSWER_BYTES])
{
	size_t len = ETHER_ANSWER_BYTES - ETHER_HASH;

	return mac_of(secrets->answer, bytes, len, bytes + len);
}

int ether_check_answer(const struct ether_secrets *secrets, const uint8_t bytes[ETHER_ANSWER_BYTES])
{
	size_t len = ETHER_ANSWER_BYTES - ETHER_HASH;
	uint8_t mac[ETHER_HASH];

	if (mac_of(secrets->answer, bytes, len, mac))
		return -EIO;
	return CRYPTO_memcmp(mac, bytes + len, ETHER_HASH) ? -EBADMSG : 0;
}

/* ---- AEAD */

static const EVP_CIPHER *cipher_of(uint8_t suite)
{
	return suite == ETHER_CHACHA20_POLY1305 ? EVP_chacha20_poly1305() : EVP_aes_128_gcm();
}

static void epoch_clear(struct ether_epoch *epoch)
{
	EVP_CIPHER_CTX_free(epoch->context);
	OPENSSL_cleanse(epoch, sizeof(*epoch));
}

static int epoch_set(struct ether_epoch *epoch, const struct ether_keys *keys,
		     const uint8_t secret[ETHER_HASH], uint64_t number)
{
	struct ether_epoch made = { .epoch = number, .context = EVP_CIPHER_CTX_new() };
	uint8_t key[ETHER_HASH];
	bool ok;

	memcpy(made.secret, secret, ETHER_HASH);
	ok = made.context && !expand(secret, "key", key, sizeof(key)) &&
	     !expand(secret, "iv", made.iv, sizeof(made.iv)) &&
	     EVP_CipherInit_ex(made.context, cipher_of(keys->suite), NULL, key, NULL, keys->seals);
	OPENSSL_cleanse(key, sizeof(key));
	if (ok) {
		*epoch = made;
		return 0;
	}
	epoch_clear(&made);
	return -EIO;
}

/* The epoch that follows. */
static int epoch_next(const struct ether_keys *keys, struct ether_epoch *next)
{
	uint8_t secret[ETHER_HASH];
	int err = expand(keys->now.secret, "next", secret, sizeof(secret));

	if (!err)
		err = epoch_set(next, keys, secret, keys->now.epoch + 1);
	OPENSSL_cleanse(secret, sizeof(secret));
	return err;
}

static void turn(struct ether_keys *keys, const struct ether_epoch *next)
{
	epoch_clear(&keys->before);
	if (keys->seals)
		epoch_clear(&keys->now);
	else
		keys->before = keys->now;
	keys->now = *next;
}

int ether_keys_set(struct ether_keys *keys, uint8_t suite, bool seals,
		   const uint8_t secret[ETHER_HASH])
{
	ether_keys_clear(keys);
	keys->suite = suite;
	keys->seals = seals;
	return epoch_set(&keys->now, keys, secret, 0);
}

void ether_keys_clear(struct ether_keys *keys)
{
	epoch_clear(&keys->now);
	epoch_clear(&keys->before);
}

/* RFC 8446 5.3: the number, in the IV's last bytes. */
static void nonce_of(const struct ether_epoch *epoch, uint64_t number, uint8_t nonce[12])
{
	uint64_t wire = __builtin_bswap64(number);
	uint8_t bytes[8];

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	wire = number;
#endif
	memcpy(bytes, &wire, sizeof(bytes));
	memcpy(nonce, epoch->iv, 12);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] ^= bytes[i];
}

int ether_seal(struct ether_keys *keys, uint64_t number, const uint8_t clear[ETHER_CLEAR],
	       const struct iovec *parts, int count, uint8_t *out)
{
	struct ether_epoch next;
	EVP_CIPHER_CTX *context;
	uint8_t nonce[12];
	int len;

	if (number >= ETHER_NUMBER_END)
		return -EOVERFLOW;
	if (number >> ETHER_EPOCH_SHIFT != keys->now.epoch) {
		if (epoch_next(keys, &next))
			return -EIO;
		turn(keys, &next);
	}
	context = keys->now.context;
	nonce_of(&keys->now, number, nonce);
	if (!EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) ||
	    !EVP_EncryptUpdate(context, NULL, &len, clear, ETHER_CLEAR))
		return -EIO;
	for (int i = 0; i < count; i++) {
		if (!EVP_EncryptUpdate(context, out, &len, parts[i].iov_base,
				       (int)parts[i].iov_len))
			return -EIO;
		out += len;
	}
	if (!EVP_EncryptFinal_ex(context, out, &len) ||
	    !EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, ETHER_TAG, out))
		return -EIO;
	return 0;
}

static int unseal(struct ether_epoch *epoch, uint64_t number, const uint8_t clear[ETHER_CLEAR],
		  uint8_t *bytes, size_t len)
{
	EVP_CIPHER_CTX *context = epoch->context;
	uint8_t nonce[12];
	int done;

	nonce_of(epoch, number, nonce);
	if (!EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) ||
	    !EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, ETHER_TAG,
				 bytes + len - ETHER_TAG) ||
	    !EVP_DecryptUpdate(context, NULL, &done, clear, ETHER_CLEAR) ||
	    !EVP_DecryptUpdate(context, bytes, &done, bytes, (int)(len - ETHER_TAG)) ||
	    EVP_DecryptFinal_ex(context, bytes + done, &done) <= 0)
		return -EBADMSG;
	return 0;
}

/* The next epoch begins with the first packet that its key opens, and with no other. */
static int unseal_next(struct ether_keys *keys, uint64_t number, const uint8_t clear[ETHER_CLEAR],
		       uint8_t *bytes, size_t len)
{
	struct ether_epoch next;

	if (epoch_next(keys, &next))
		return -EBADMSG;
	if (unseal(&next, number, clear, bytes, len)) {
		epoch_clear(&next);
		return -EBADMSG;
	}
	turn(keys, &next);
	return 0;
}

int ether_unseal(struct ether_keys *keys, uint64_t number, const uint8_t clear[ETHER_CLEAR],
		 uint8_t *bytes, size_t len)
{
	uint64_t epoch = number >> ETHER_EPOCH_SHIFT;

	if (len < ETHER_TAG || number >= ETHER_NUMBER_END)
		return -EBADMSG;
	if (epoch == keys->now.epoch)
		return unseal(&keys->now, number, clear, bytes, len);
	if (epoch == keys->now.epoch + 1)
		return unseal_next(keys, number, clear, bytes, len);
	if (keys->before.context && epoch == keys->before.epoch)
		return unseal(&keys->before, number, clear, bytes, len);
	return -EBADMSG;
}
