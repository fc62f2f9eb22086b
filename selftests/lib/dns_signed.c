// SPDX-License-Identifier: GPL-3.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "dns_signed.h"

const char signed_zone[] =
	"@ 300 SOA Ns1 admin 7 3600 600 86400 60\n@ 3600 NS ns1\n@ 300 MX 10 MAIL\n"
	"ns1 300 A 192.0.2.53\nmail 300 A 192.0.2.25\n"
	"web 300 A 192.0.2.1\nweb 300 A 192.0.2.3\nweb 300 A 192.0.2.2\n"
	"web 300 AAAA 2001:db8::1\nWeb 300 TXT \"Mixed Case\" \"b\"\nweb 300 TXT \"Mixed Case\"\n"
	"web 300 CAA 0 issue \"ca.example\"\nweb 300 TYPE65280 \\# 2 abcd\n"
	"_http._tcp.web 300 SRV 1 2 8080 WEB\n_http._tcp.web 300 SRV 1 2 8080 Mail\n"
	"*.wild 300 A 192.0.2.99\n*.wild 300 TXT \"wild\"\n"
	"alias 300 CNAME Web\nchain 300 CNAME alias\nlost 300 CNAME nowhere\n"
	"walias 300 CNAME a.wild\n"
	"child 300 NS ns.child\nchild 300 NS ns1\nns.child 300 A 192.0.2.77\n"
	"safe 300 NS ns1\nsafe 300 DS 4711 13 2 "
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

struct dns_fixture *fixture;
struct verify_message *message;
struct verify_keys keys;

const struct dns_reply *ask_flags(const char *name, uint16_t type, uint8_t flags)
{
	struct dns_question question;

	dns_ask(&question, name, type);
	dns_add_edns(&question, 1232, 0, false);
	question.bytes[question.opt - 2] = flags;
	dns_send(fixture, &question);
	message->count = 0;
	if (fixture->reply.len)
		verify_read(&fixture->reply, message);
	return &fixture->reply;
}

const struct dns_reply *ask(const char *name, uint16_t type)
{
	return ask_flags(name, type, 0x80);
}

void signed_take_keys(void)
{
	ask("example.net", SIGN_TYPE_DNSKEY);
	verify_take_keys(message, &keys);
}

void signed_add_key(int64_t created)
{
	struct zone *zone = fixture->zones.item[0];
	static struct store_key made[SIGN_KEYS_MAX];
	unsigned int count = zone->sign ? sign_key_count(zone->sign) : 0;
	struct sign *sign = sign_new(zone->name);

	assert_non_null(sign);
	assert_int_equal(key_generate(zone, created, &made[count]), 0);
	for (unsigned int i = 0; i <= count; i++)
		assert_int_equal(sign_add_key(sign, made[i].bytes, made[i].len, made[i].created),
				 0);
	assert_int_equal(sign_zone(zone, sign), 0);
	signed_take_keys();
	assert_int_equal(keys.count, count + 1);
}

int signed_setup(void **state)
{
	(void)state;
	fixture = calloc(1, sizeof(*fixture));
	message = calloc(1, sizeof(*message));
	dns_fixture_open(fixture, signed_zone);
	signed_add_key(fixture->now);
	return 0;
}

int signed_teardown(void **state)
{
	(void)state;
	dns_fixture_close(fixture);
	free(fixture);
	free(message);
	return 0;
}

uint64_t made(void)
{
	return fixture->server.counters.signatures.made;
}

/* ---- what is published */

static bool removing;
static int64_t expiry;

static const char *on_record(const struct wire_record *record, void *arg)
{
	(void)arg;
	if (removing)
		zones_remove(&fixture->zones, record);
	else
		assert_int_equal(zones_add(&fixture->zones, record, expiry), 0);
	return NULL;
}

void change(const char *line, bool remove, int64_t expires)
{
	removing = remove;
	expiry = expires;
	assert_null(wire_read_record(line, on_record, NULL));
}

/* ---- answers */

void expect_made(const char *name, uint16_t type, unsigned int count)
{
	uint64_t before = made();

	ask(name, type);
	verify_all(message, &keys, fixture->now);
	if (made() - before != count)
		fail_msg("%s: %u made", name, (unsigned int)(made() - before));
}

void check_nsec(ns_sect section, const char *text, const char *hex)
{
	const struct verify_record *nsec = verify_find(message, section, SIGN_TYPE_NSEC);
	uint8_t name[256], types[64];
	size_t len = 0;

	if (!nsec)
		fail_msg("%s: no NSEC", text);
	assert_int_equal(nsec->owner_len, verify_name(text, name));
	assert_memory_equal(nsec->owner, name, nsec->owner_len);
	assert_int_equal(nsec->ttl, 60); /* the SOA's minimum: RFC 9077 */
	for (; *hex; hex += 2)
		assert_int_equal(sscanf(hex, "%2hhx", &types[len++]), 1);
	assert_int_equal(nsec->len, 2 + nsec->owner_len + len);
	assert_memory_equal(nsec->data, "\1\0", 2);
	assert_memory_equal(nsec->data + 2, name, nsec->owner_len);
	if (memcmp(nsec->data + 2 + nsec->owner_len, types, len))
		fail_msg("%s: other types", text);
}
