// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The key of DNS cookies (RFC 9018): from a file, for servers that answer at one address, or random
 * and new each day. The one before stays valid, so that a change refuses nobody.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../lib/auth.h"
#include "../lib/conf.h"
#include "dns.h"

#define NEW_EACH_S (24 * 3600)

static void take(struct dns *dns, const uint8_t secret[WIRE_SECRET_LEN])
{
	if (!memcmp(dns->server.secret[0], secret, WIRE_SECRET_LEN))
		return;
	memcpy(dns->server.secret[1], dns->server.secret[0], WIRE_SECRET_LEN);
	memcpy(dns->server.secret[0], secret, WIRE_SECRET_LEN);
	if (!dns->secret_at) /* the first: zeros would be a key that everybody knows */
		memcpy(dns->server.secret[1], secret, WIRE_SECRET_LEN);
	dns->secret_at = dns_now();
}

static int read_hex(const char *text, uint8_t secret[WIRE_SECRET_LEN])
{
	int end = 0;

	if (strlen(text) != 2 * WIRE_SECRET_LEN ||
	    strspn(text, "0123456789abcdefABCDEF") != 2 * WIRE_SECRET_LEN)
		return -EINVAL;
	for (int i = 0; i < WIRE_SECRET_LEN; i++, text += end)
		if (sscanf(text, "%2hhx%n", &secret[i], &end) != 1)
			return -EINVAL;
	return 0;
}

int secret_load(struct dns *dns, char *error)
{
	const char *path = dns->settings.cookie_secret_file;
	char text[2 * WIRE_SECRET_LEN + 2] = "";
	uint8_t secret[WIRE_SECRET_LEN];
	int rc;

	if (!path && dns->secret_at)
		return 0;
	if (!path) {
		rc = auth_random(secret, sizeof(secret));
	} else {
		rc = conf_read_secret(path, text, sizeof(text));
		if (!rc || rc == -EMSGSIZE)
			rc = read_hex(text, secret);
	}
	if (!rc)
		take(dns, secret);
	else
		snprintf(error, ERROR_LEN, "cookie secret%s%s: %s", path ? " " : "",
			 path ? path : "",
			 rc == -EINVAL	? "not 32 hex digits"
			 : rc == -EPERM ? "its mode must be 0600"
					: strerror(-rc));
	explicit_bzero(text, sizeof(text));
	explicit_bzero(secret, sizeof(secret));
	return rc;
}

void secret_tick(struct dns *dns)
{
	uint8_t secret[WIRE_SECRET_LEN];

	if (dns->settings.cookie_secret_file || dns_now() - dns->secret_at < NEW_EACH_S ||
	    auth_random(secret, sizeof(secret)))
		return;
	take(dns, secret);
	explicit_bzero(secret, sizeof(secret));
}
