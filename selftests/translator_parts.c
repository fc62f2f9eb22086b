// SPDX-License-Identifier: GPL-3.0-or-later
/* Ports, rate limits, settings and the login line of the translator. */
/* link: agents/translator/ports.c agents/translator/limit.c agents/translator/login.c */
/* link: agents/translator/settings.c agents/lib/conf.c agents/lib/address.c agents/lib/auth.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../agents/lib/address.h"
#include "../agents/translator/limit.h"
#include "../agents/translator/translator.h"

#define S 1000000000ULL

static struct locals locals;
static struct isthmus_addr loopback, other, six;
static struct session *const someone = (struct session *)&locals; /* only its address is used */

static int setup(void **state)
{
	(void)state;
	memset(&locals, 0, sizeof(locals));
	assert_int_equal(address_parse("127.0.0.1", &loopback), 0);
	assert_int_equal(address_parse("127.0.0.2", &other), 0);
	assert_int_equal(address_parse("::1", &six), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	locals_free(&locals);
	return 0;
}

static void each_port_once(void **state)
{
	const struct splice_range range = { 19000, 19019, 0 };
	struct isthmus_addr addr = { { 0 } };
	bool seen[20] = { false };
	uint16_t port;

	(void)state;
	assert_int_equal(locals_add(&locals, &loopback, range, false), 0);
	assert_int_equal(locals_add(&locals, &loopback, range, false), -EEXIST);
	for (int i = 0; i < 20; i++) {
		memset(&addr, 0, sizeof(addr));
		assert_int_equal(port_take(&locals, 4, IPPROTO_TCP, someone, &addr, &port), 0);
		assert_true(address_equal(&addr, &loopback));
		assert_in_range(port, 19000, 19019);
		assert_false(seen[port - 19000]);
		seen[port - 19000] = true;
		assert_ptr_equal(locals_owner(&locals, &addr, IPPROTO_TCP, port), someone);
		assert_null(locals_owner(&locals, &addr, IPPROTO_UDP, port));
	}
	assert_int_equal(port_take(&locals, 4, IPPROTO_TCP, someone, &addr, &port), -ENOSPC);
	assert_int_equal(port_take(&locals, 4, IPPROTO_UDP, someone, &addr, &port), 0);
	port_release(&locals, &loopback, IPPROTO_TCP, 19007);
	assert_int_equal(port_take(&locals, 4, IPPROTO_TCP, someone, &addr, &port), 0);
	assert_int_equal(port, 19007);
}

/* Not the same port each time: an attacker must guess it. */
static void ports_are_random(void **state)
{
	const struct splice_range range = { 10000, 59999, 0 };
	unsigned int steps = 0;
	uint16_t last = 0, port;

	(void)state;
	assert_int_equal(locals_add(&locals, &loopback, range, false), 0);
	for (int i = 0; i < 50; i++) {
		struct isthmus_addr addr = { { 0 } };

		assert_int_equal(port_take(&locals, 4, IPPROTO_TCP, someone, &addr, &port), 0);
		steps += abs(port - last) > 100;
		last = port;
	}
	assert_true(steps > 40);
}

static void what_the_host_uses_is_passed_over(void **state)
{
	const struct splice_range range = { 19030, 19031, 0 };
	struct sockaddr_storage storage;
	socklen_t len = address_to_sockaddr(&loopback, htons(19030), &storage);
	struct isthmus_addr addr = loopback;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	uint16_t port;

	(void)state;
	assert_int_equal(locals_add(&locals, &loopback, range, false), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&storage, len), 0);
	assert_int_equal(port_claim(&locals, &loopback, IPPROTO_TCP, 19030, someone), -EEXIST);
	assert_int_equal(port_take(&locals, 4, IPPROTO_TCP, someone, &addr, &port), 0);
	assert_int_equal(port, 19031);
	assert_int_equal(port_take(&locals, 4, IPPROTO_TCP, someone, &addr, &port), -ENOSPC);
	close(fd);
	assert_int_equal(port_take(&locals, 4, IPPROTO_TCP, someone, &addr, &port), 0);
	assert_int_equal(port, 19030);
	assert_int_equal(port_claim(&locals, &loopback, IPPROTO_TCP, 19029, someone), -ERANGE);
}

static void families_and_draining(void **state)
{
	const struct splice_range range = { 19040, 19049, 0 };
	struct isthmus_addr addr = { { 0 } };
	uint16_t port;

	(void)state;
	assert_int_equal(locals_add(&locals, &loopback, range, true), 0);
	assert_int_equal(locals_add(&locals, &six, range, false), 0);
	assert_false(locals_have_family(&locals, 4));
	assert_true(locals_have_family(&locals, 6));
	assert_int_equal(port_take(&locals, 4, IPPROTO_TCP, someone, &addr, &port), -ENOSPC);
	assert_int_equal(port_take(&locals, 6, IPPROTO_TCP, someone, &addr, &port), 0);
	assert_true(address_equal(&addr, &six));
	assert_int_equal(locals_free_ports(&locals, IPPROTO_TCP), 9);
	assert_int_equal(port_restore(&locals, &loopback, IPPROTO_TCP, 19040, someone), 0);
}

static void burst_then_rate(void **state)
{
	struct limit *limit = limit_new(64, 10, 5);
	unsigned int passed = 0;

	(void)state;
	assert_non_null(limit);
	for (int i = 0; i < 5; i++)
		assert_true(limit_take(limit, &loopback, 100 * S));
	assert_false(limit_take(limit, &loopback, 100 * S));
	assert_true(limit_take(limit, &loopback, 100 * S + S / 10));
	assert_false(limit_take(limit, &loopback, 100 * S + S / 10));
	for (int i = 0; i < 10000; i++) /* ten seconds of a flood */
		passed += limit_take(limit, &loopback, 200 * S + i * (S / 1000));
	assert_in_range(passed, 100, 106);
	limit_free(limit);
}

static void neighbours_do_not_share(void **state)
{
	struct limit *limit = limit_new(65536, 1, 1);
	struct isthmus_addr a, b, c;

	(void)state;
	assert_true(limit_take(limit, &loopback, S));
	assert_true(limit_take(limit, &other, S));
	assert_false(limit_take(limit, &other, S));
	assert_int_equal(address_parse("2001:db8::1", &a), 0);
	assert_int_equal(address_parse("2001:db8::ffff:2", &b), 0);
	assert_int_equal(address_parse("2001:db8:0:1::1", &c), 0);
	assert_true(limit_take(limit, &a, S));
	assert_false(limit_take(limit, &b, S)); /* one /64 is one host */
	assert_true(limit_take(limit, &c, S));
	limit_free(limit);
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void login_lines(void **state)
{
	static const char *const bad[] = {
		"",
		"isthmus1",
		"isthmus1:::",
		"isthmus2:n:t:" HEX,
		"isthmus1:n:t:" HEX "0",
		"isthmus1:n:t:0123",
		"isthmus1:n::" HEX,
		"isthmus1:n:t:" HEX ":more",
		"isthmus1:n:t:" HEX " more",
		"isthmus1:a-name-that-is-longer-than-32-bytes:t:" HEX,
		"isthmus1:n:a-token-that-is-too-long-for-where-it-goes-to:" HEX,
	};
	char name[LOGIN_NAME_LEN] = "untouched", token[44] = "untouched";
	char fingerprint[FINGERPRINT_CHARS] = "untouched";

	(void)state;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (login_parse(bad[i], name, token, sizeof(token), fingerprint) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_string_equal(name, "untouched");
	}
	assert_int_equal(
		login_parse("isthmus1:ist:secret:" HEX, name, token, sizeof(token), fingerprint),
		0);
	assert_string_equal(name, "ist");
	assert_string_equal(token, "secret");
	assert_string_equal(fingerprint, HEX);
}

static void port_ranges(void **state)
{
	static const char *const bad[] = { "",	      "1",    "1-",  "0-5",	     "6-5",
					   "1-65536", "1-2x", "a-b", "99999999999-5" };
	struct splice_range range = { 7, 8, 0 };

	(void)state;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(settings_ports(bad[i], &range), -EINVAL);
	assert_int_equal(range.low, 7);
	assert_int_equal(settings_ports("1-65535", &range), 0);
	assert_int_equal(range.low, 1);
	assert_int_equal(range.high, 65535);
}

static void control_paths(void **state)
{
	struct settings settings = { 0 };
	char path[64];

	(void)state;
	assert_string_equal(settings_control_path(&settings, path, sizeof(path)),
			    "/run/isthmus/translator.sock");
	settings.instance = "two";
	assert_string_equal(settings_control_path(&settings, path, sizeof(path)),
			    "/run/isthmus/translator-two.sock");
	settings.control = "/tmp/x";
	assert_string_equal(settings_control_path(&settings, path, sizeof(path)), "/tmp/x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_port_once, setup, teardown),
		cmocka_unit_test_setup_teardown(ports_are_random, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_host_uses_is_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(families_and_draining, setup, teardown),
		cmocka_unit_test_setup_teardown(burst_then_rate, setup, teardown),
		cmocka_unit_test_setup_teardown(neighbours_do_not_share, setup, teardown),
		cmocka_unit_test(login_lines),
		cmocka_unit_test(port_ranges),
		cmocka_unit_test(control_paths),
	};

	return cmocka_run_group_tests_name("translator_parts", tests, NULL, NULL);
}
