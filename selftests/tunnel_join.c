// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/member_join.c agents/lib/conf.c agents/lib/address.c */
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/msg_tls.c agents/lib/msg_socket.c */
/* selftests/tunnel_join.c - the line by which a waypoint or gateway joins, and its file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agents/lib/member.h"

#define HEX   "0123456789abcdef"
#define PRINT HEX HEX HEX HEX

struct row {
	const char *what, *line;
	const char *name, *secret, *host, *port; /* NULL = refused */
};

static const struct row rows[] = {
	{ "as it is printed", "isthmus2:gw1:tok-en_1:" PRINT ":ns.example:3481\n", "gw1",
	  "tok-en_1", "ns.example", "3481" },
	{ "an address", "isthmus2:gw1:t:" PRINT ":192.0.2.1:1", "gw1", "t", "192.0.2.1", "1" },
	{ "IPv6 in brackets", "isthmus2:a.b:t:" PRINT ":[2001:db8::1]:65535 \t\r\n", "a.b", "t",
	  "2001:db8::1", "65535" },
	{ "IPv6 without", "isthmus2:gw1:t:" PRINT ":2001:db8::1:3481", NULL, NULL, NULL, NULL },
	{ "a bracket too many", "isthmus2:gw1:t:" PRINT ":[[a]:3481", NULL, NULL, NULL, NULL },
	{ "no port", "isthmus2:gw1:t:" PRINT ":ns.example", NULL, NULL, NULL, NULL },
	{ "port 0", "isthmus2:gw1:t:" PRINT ":ns.example:0", NULL, NULL, NULL, NULL },
	{ "port 65536", "isthmus2:gw1:t:" PRINT ":ns.example:65536", NULL, NULL, NULL, NULL },
	{ "no host", "isthmus2:gw1:t:" PRINT "::3481", NULL, NULL, NULL, NULL },
	{ "no name", "isthmus2::t:" PRINT ":ns.example:3481", NULL, NULL, NULL, NULL },
	{ "no token", "isthmus2:gw1::" PRINT ":ns.example:3481", NULL, NULL, NULL, NULL },
	{ "a short fingerprint", "isthmus2:gw1:t:" HEX HEX HEX ":ns:3481", NULL, NULL, NULL, NULL },
	{ "a long one", "isthmus2:gw1:t:" PRINT "0:ns:3481", NULL, NULL, NULL, NULL },
	{ "capitals", "isthmus2:gw1:t:" HEX HEX HEX "0123456789ABCDEF:ns:3481", NULL, NULL, NULL,
	  NULL },
	{ "a broker's line", "isthmus1:gw1:t:" PRINT ":ns:3481", NULL, NULL, NULL, NULL },
	{ "something before", " isthmus2:gw1:t:" PRINT ":ns:3481", NULL, NULL, NULL, NULL },
	{ "something behind", "isthmus2:gw1:t:" PRINT ":ns:3481 x", NULL, NULL, NULL, NULL },
	{ "two lines", "isthmus2:gw1:t:" PRINT ":ns:3481\nx", NULL, NULL, NULL, NULL },
	{ "a space in it", "isthmus2:gw 1:t:" PRINT ":ns:3481", NULL, NULL, NULL, NULL },
	{ "nothing", "", NULL, NULL, NULL, NULL },
};

static void check(const struct row *row)
{
	struct member_credentials read = { 0 }, untouched = { 0 };
	int err = member_parse(row->line, &read);

	if (!row->name) {
		if (err != -EINVAL || memcmp(&read, &untouched, sizeof(read)))
			fail_msg("%s: %d", row->what, err);
		return;
	}
	if (err || strcmp(read.name, row->name) || strcmp(read.secret, row->secret) ||
	    strcmp(read.host, row->host) || strcmp(read.port, row->port) ||
	    strcmp(read.fingerprint, PRINT))
		fail_msg("%s: %d", row->what, err);
}

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		check(&rows[i]);
}

/* Each part may be as long as its place, less the NUL, and no longer. */
static int parse_long(int name, int secret, int host, char *line, size_t len)
{
	struct member_credentials read;

	assert_true(snprintf(line, len, "isthmus2:%0*d:%0*d:" PRINT ":%0*d:65535", name, 1, secret,
			     2, host, 3) < (int)len);
	return member_parse(line, &read);
}

static void test_longest(void **state)
{
	char line[2048], path[] = "/tmp/isthmus-join-XXXXXX";
	struct member_credentials read;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(parse_long(256, 127, 255, line, sizeof(line)), -EINVAL);
	assert_int_equal(parse_long(255, 128, 255, line, sizeof(line)), -EINVAL);
	assert_int_equal(parse_long(255, 127, 256, line, sizeof(line)), -EINVAL);
	assert_int_equal(parse_long(255, 127, 1000, line, sizeof(line)), -EINVAL);
	assert_int_equal(parse_long(255, 127, 255, line, sizeof(line)), 0);
	/* Its token would be used up before the file could not be read. */
	assert_int_equal(write(fd, line, strlen(line)), strlen(line));
	assert_int_equal(member_read(path, &read), 0);
	assert_int_equal(strlen(read.name), 255);
	assert_int_equal(strlen(read.secret), 127);
	assert_int_equal(strlen(read.host), 255);
	assert_int_equal(fchmod(fd, 0640), 0);
	assert_int_equal(member_read(path, &read), -EPERM);
	close(fd);
	unlink(path);
	assert_int_equal(member_read(path, &read), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
