// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/address.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "agents/lib/address.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text, *again; /* NULL: refused */
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "2001:db8::1", "2001:db8::1" },
		{ "[2001:db8:0:0::1]", "2001:db8::1" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "::", "::" },
		{ "[192.0.2.1]", NULL },
		{ "[2001:db8::1", NULL },
		{ "2001:db8::1]", NULL },
		{ "192.0.2.256", NULL },
		{ "192.0.2", NULL },
		{ "host", NULL },
		{ "", NULL },
		{ "[]", NULL },
		{ "2001:db8:0000:0000:0000:0000:0000:0000:0001", NULL },
		{ "2001:db8::1%eth0", NULL },
	};
	struct isthmus_addr address, before;
	char text[ADDRESS_TEXT_LEN];

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		address = before;
		if (!rows[i].again) {
			assert_int_equal(address_parse(rows[i].text, &address), -EINVAL);
			assert_true(address_equal(&address, &before)); /* untouched */
			continue;
		}
		assert_int_equal(address_parse(rows[i].text, &address), 0);
		address_text(&address, text);
		assert_string_equal(text, rows[i].again);
	}
}

static void test_split(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port; /* 0: refused */
	} rows[] = {
		{ "host:80", "host", 80 },
		{ "192.0.2.1:65535", "192.0.2.1", 65535 },
		{ "[2001:db8::1]:443", "2001:db8::1", 443 },
		{ ":1", "", 1 },
		{ "host", NULL, 0 },
		{ "host:", NULL, 0 },
		{ "host:0", NULL, 0 },
		{ "host:65536", NULL, 0 },
		{ "host:99999999999999999999", NULL, 0 },
		{ "host:-1", NULL, 0 },
		{ "host: 1", NULL, 0 },
		{ "host:80x", NULL, 0 },
		{ "2001:db8::1:443", NULL, 0 },
		{ "[2001:db8::1:443", NULL, 0 },
		{ "[]:443", NULL, 0 },
		{ "sixteen-letters!:80", NULL, 0 }, /* does not fit */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char host[16] = "unchanged";
		uint16_t port = 7;
		int rc = address_split(rows[i].text, host, sizeof(host), &port);

		assert_int_equal(rc, rows[i].port ? 0 : -EINVAL);
		assert_int_equal(port, rows[i].port ? rows[i].port : 7);
		assert_string_equal(host, rows[i].port ? rows[i].host : "unchanged");
	}
}

static void test_sockaddr_and_back(void **state)
{
	static const char *const texts[] = { "192.0.2.1", "2001:db8::1" };
	static const socklen_t lengths[] = { sizeof(struct sockaddr_in),
					     sizeof(struct sockaddr_in6) };
	struct isthmus_addr address, again;
	struct sockaddr_storage storage;
	uint16_t port;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(address_parse(texts[i], &address), 0);
		assert_int_equal(address_to_sockaddr(&address, htons(443), &storage), lengths[i]);
		assert_int_equal(address_from_sockaddr((struct sockaddr *)&storage, &again, &port),
				 0);
		assert_true(address_equal(&address, &again));
		assert_int_equal(port, htons(443));
		assert_int_equal(address_is_v4(&address), i == 0);
	}
	storage.ss_family = AF_UNIX;
	assert_int_equal(address_from_sockaddr((struct sockaddr *)&storage, &again, &port),
			 -EAFNOSUPPORT);
}

static void test_text_with_port(void **state)
{
	struct isthmus_addr address;
	char text[ADDRESS_TEXT_LEN];

	(void)state;
	address_parse("192.0.2.1", &address);
	address_port_text(&address, htons(80), text);
	assert_string_equal(text, "192.0.2.1:80");
	memset(&address, 0xff, sizeof(address)); /* the longest */
	address_port_text(&address, htons(65535), text);
	assert_string_equal(text, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_sockaddr_and_back),
		cmocka_unit_test(test_text_with_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
