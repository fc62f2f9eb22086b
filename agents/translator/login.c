// SPDX-License-Identifier: GPL-3.0-or-later
/* The line that `isthmus-broker translator add` prints. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "translator.h"

int login_parse(const char *line, char name[LOGIN_NAME_LEN], char *token, size_t token_len,
		char fingerprint[FINGERPRINT_CHARS])
{
	const char *part[4];
	size_t len[4];

	for (int i = 0; i < 4; i++) {
		part[i] = line;
		len[i] = strcspn(line, i < 3 ? ":" : ": \t\r\n");
		if (!len[i] || (i < 3 && !line[len[i]]))
			return -EINVAL;
		line += len[i] + (i < 3);
	}
	if (*line || len[0] != 8 || memcmp(part[0], "isthmus1", 8) || len[1] >= LOGIN_NAME_LEN ||
	    len[2] >= token_len || len[3] != FINGERPRINT_CHARS - 1)
		return -EINVAL;
	snprintf(name, LOGIN_NAME_LEN, "%.*s", (int)len[1], part[1]);
	snprintf(token, token_len, "%.*s", (int)len[2], part[2]);
	snprintf(fingerprint, FINGERPRINT_CHARS, "%.*s", (int)len[3], part[3]);
	return 0;
}
