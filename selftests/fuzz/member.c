// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/member_join.c agents/lib/conf.c agents/lib/address.c */
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/msg_tls.c agents/lib/msg_socket.c */
/* The one-time line of a name server: what is taken is written again and read as the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/lib/member.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool is)
{
	if (!is)
		abort();
}

static void check(const char *line)
{
	struct member_credentials read = { 0 }, again = { 0 };
	char whole[1024];
	bool v6;

	if (member_parse(line, &read))
		return;
	need(read.host[0] && read.name[0] && read.secret[0]);
	need(strlen(read.fingerprint) == MSG_FINGERPRINT_LEN - 1);
	need(atoi(read.port) > 0 && atoi(read.port) < 65536);
	v6 = strchr(read.host, ':') != NULL;
	need(snprintf(whole, sizeof(whole), "isthmus2:%s:%s:%s:%s%s%s:%s\n", read.name, read.secret,
		      read.fingerprint, v6 ? "[" : "", read.host, v6 ? "]" : "",
		      read.port) < (int)sizeof(whole));
	need(!member_parse(whole, &again) && !memcmp(&read, &again, sizeof(read)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char fingerprint[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char *line = strndup((const char *)data, size), *mark, *longer;

	if (!line)
		return 0;
	check(line);
	mark = strchr(line, '~'); /* the start and the fingerprint are hard to find */
	if (mark) {
		*mark = 0;
		if (asprintf(&longer, "isthmus2:%s:%s:%s", line, fingerprint, mark + 1) > 0) {
			check(longer);
			free(longer);
		}
	}
	free(line);
	return 0;
}
