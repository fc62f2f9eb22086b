// SPDX-License-Identifier: GPL-3.0-or-later
/* Who a client is: its name, and the file that has its key. */
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include "conf.h"
#include "lhp_internal.h"

#define HEX_DIGITS (2 * LHP_KEY_BYTES)

bool lhp_name_valid(const char *name, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-";

	if (!len || len > LHP_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!name[i] || !strchr(letters, name[i]))
			return false;
	return true;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_key(const char *text, uint8_t key[LHP_KEY_BYTES])
{
	if (strlen(text) != HEX_DIGITS)
		return -EINVAL;
	for (int i = 0; i < LHP_KEY_BYTES; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		key[i] = high << 4 | low;
	}
	return 0;
}

static int parse_line(const char *line, struct lhp_identity *identity)
{
	size_t len = strcspn(line, ":");
	struct lhp_identity read = { 0 };
	int rc;

	if (line[len] != ':' || !lhp_name_valid(line, len))
		return -EINVAL;
	memcpy(read.name, line, len);
	rc = parse_key(line + len + 1, read.key);
	if (!rc)
		*identity = read;
	OPENSSL_cleanse(&read, sizeof(read));
	return rc;
}

int lhp_read_identity(const char *path, struct lhp_identity *identity)
{
	char line[LHP_NAME_MAX + 1 + HEX_DIGITS + 1];
	int rc = conf_read_secret(path, line, sizeof(line));

	if (!rc)
		rc = parse_line(line, identity);
	OPENSSL_cleanse(line, sizeof(line));
	return rc == -EMSGSIZE ? -EINVAL : rc;
}
