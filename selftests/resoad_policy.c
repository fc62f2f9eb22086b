// SPDX-License-Identifier: GPL-3.0-or-later
/* Which destinations a client may use, and from which address. */
/* link: agents/resoad/policy.c agents/lib/address.c agents/lib/prefix.c agents/lib/ep.c */
/* link: agents/lib/lhp.c agents/lib/lhp_key.c agents/lib/lhp_stream.c agents/lib/log.c */
/* link: agents/lib/lhp_stream_queue.c agents/lib/lhp_stream_tls.c agents/lib/lhp_stream_place.c */
/* link: agents/lib/conf.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "agents/lib/address.h"
#include "agents/resoad/resoad.h"

static struct isthmus_addr own[2], resolver;

const struct isthmus_addr *export_address(const struct client *client, uint8_t family)
{
	(void)client;
	return &own[family == 6];
}

const struct isthmus_addr *export_resolver(const struct resoad *resoad)
{
	(void)resoad;
	return &resolver;
}

static struct ep_name name_of(const char *address, uint16_t port)
{
	struct ep_name name = { .port = htons(port), .proto = IPPROTO_TCP };

	address_parse(address, &name.address);
	name.family = address_is_v4(&name.address) ? 4 : 6;
	return name;
}

static struct rule rule_of(bool allow, uint8_t proto, const char *to, uint16_t low, uint16_t high)
{
	struct rule rule = { .allow = allow, .proto = proto, .low = low, .high = high };

	if (strcmp(to, "any"))
		assert_int_equal(prefix_parse(to, &rule.to), 0);
	return rule;
}

static void test_rules(void **state)
{
	static const struct {
		const char *address;
		uint16_t port;
		uint8_t proto;
		bool allowed;
	} rows[] = {
		{ "10.1.2.3", 443, IPPROTO_TCP, true },	 /* the first rule */
		{ "10.1.2.3", 444, IPPROTO_TCP, false }, /* the second */
		{ "10.1.2.3", 443, IPPROTO_UDP, false },
		{ "10.255.255.255", 1, IPPROTO_UDP, false },
		{ "11.0.0.0", 1, IPPROTO_TCP, true },	 /* none */
		{ "192.0.2.1", 25, IPPROTO_TCP, false }, /* the third, of any address */
		{ "192.0.2.1", 25, IPPROTO_UDP, true },
		{ "2001:db8::1", 25, IPPROTO_TCP, false },
		{ "2001:db8:5::1", 53, IPPROTO_UDP, false },
		{ "2001:db9:5::1", 53, IPPROTO_UDP, true },
		{ "2001:db8:5::1", 54, IPPROTO_UDP, true },
	};
	struct client_conf conf = { .rule_count = 4 };

	(void)state;
	conf.rules[0] = rule_of(true, IPPROTO_TCP, "10.1.0.0/16", 443, 443);
	conf.rules[1] = rule_of(false, 0, "10.0.0.0/8", 0, 65535);
	conf.rules[2] = rule_of(false, IPPROTO_TCP, "any", 25, 25);
	conf.rules[3] = rule_of(false, IPPROTO_UDP, "2001:db8::/32", 53, 53);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ep_name to = name_of(rows[i].address, rows[i].port);

		if (policy_allows(&conf, rows[i].proto, &to) != rows[i].allowed)
			fail_msg("%s port %u", rows[i].address, rows[i].port);
	}
}

/* No rule opens the server's own loopback. */
static void test_loopback(void **state)
{
	static const char *const places[] = {
		"127.0.0.1", "127.255.255.255",	 "0.0.0.0",	  "0.1.2.3", "::1",
		"::",	     "::ffff:127.0.0.1", "::ffff:0.0.0.0"
	};
	struct client_conf conf = { .rule_count = 1 };

	(void)state;
	conf.rules[0] = rule_of(true, 0, "any", 0, 65535);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct ep_name to = name_of(places[i], 80);

		if (policy_allows(&conf, IPPROTO_TCP, &to))
			fail_msg("%s", places[i]);
		to.family = 6; /* as a mapped address of an IPv6 socket */
		assert_false(policy_allows(&conf, IPPROTO_TCP, &to));
	}
}

static void test_resolver(void **state)
{
	struct ep_name dns = name_of("192.0.0.8", 53), web = name_of("192.0.0.8", 80), real, back;

	(void)state;
	memset(&resolver, 0, sizeof(resolver));
	policy_destination(NULL, &dns, &real);
	assert_true(ep_name_equal(&real, &dns));
	address_parse("127.0.0.53", &resolver);
	policy_destination(NULL, &dns, &real);
	back = name_of("127.0.0.53", 53);
	assert_true(ep_name_equal(&real, &back));
	policy_source(NULL, &real, &back);
	assert_true(ep_name_equal(&back, &dns));
	policy_destination(NULL, &web, &real);
	assert_true(ep_name_equal(&real, &web));
	address_parse("::1", &resolver);
	policy_destination(NULL, &dns, &real);
	assert_int_equal(real.family, 6);
	policy_source(NULL, &real, &back);
	assert_true(ep_name_equal(&back, &dns));
	real = name_of("127.0.0.1", 5353);
	policy_source(NULL, &real, &back);
	assert_true(ep_name_equal(&back, &real));
}

static void test_local(void **state)
{
	struct ep_name any4 = { .family = 4, .port = htons(80), .proto = IPPROTO_TCP };
	struct ep_name any6 = { .family = 6, .port = htons(80) }, none = { 0 }, local;
	struct ep_name ours = name_of("192.0.2.1", 80), foreign = name_of("192.0.2.2", 80);
	struct client client = { 0 };

	(void)state;
	memset(own, 0, sizeof(own));
	address_parse("192.0.2.1", &own[0]);
	assert_int_equal(policy_local(&client, &any4, &local), 0);
	assert_true(ep_name_equal(&local, &ours));
	assert_int_equal(policy_local(&client, &ours, &local), 0);
	assert_int_equal(policy_local(&client, &foreign, &local), -EADDRNOTAVAIL);
	assert_int_equal(policy_local(&client, &any6, &local), -EAFNOSUPPORT);
	assert_int_equal(policy_local(&client, &none, &local), -EAFNOSUPPORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_resolver),
		cmocka_unit_test(test_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
