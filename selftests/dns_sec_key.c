// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dns/answer.c agents/dns/rrl.c agents/dns/wire.c agents/dns/zone.c */
/* link: agents/dns/sign.c agents/dns/sign_deny.c agents/dns/sign_wire.c */
/* link: agents/dns/key.c agents/dns/store.c agents/lib/address.c agents/lib/auth.c */
/* link: selftests/lib/dns_fixture.c selftests/lib/dns_verify.c selftests/lib/dns_signed.c */
/*
 * Keys: the example of RFC 6605, tags and DS computed again, the change from one key to the next,
 * what is in the database and what is no longer; and sets that are computed for one answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/dns_signed.h"

static struct zone *zone(void)
{
	return fixture->zones.item[0];
}

/* ---- the example */

static const char rfc_private[] = "GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=";
static const char rfc_public[] = "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+"
				 "e+MAnLr+Wi9xMWyQLc8NAA==";
static const char rfc_ds[] = "example.net. IN DS 55648 13 2 "
			     "B4C8C1FE2E7477127B27115656AD6256F424625BF5C1E2770CE6D6E37DF61D17";
static const char rfc_signature[] =
	"qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoL"
	"BLlUzGGus7ZwmwWep666VCw==";

static void unbase64(const char *text, uint8_t *to, size_t len)
{
	uint8_t bytes[128];

	assert_true(EVP_DecodeBlock(bytes, (const uint8_t *)text, strlen(text)) >= (int)len);
	memcpy(to, bytes, len);
}

/* PKCS #8 of the RFC's numbers. */
static size_t rfc_key(uint8_t der[STORE_KEY_MAX])
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	uint8_t number[32], point[65] = { 4 }, *at = der;
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params;
	BIGNUM *secret;
	int len;

	unbase64(rfc_private, number, 32);
	unbase64(rfc_public, point + 1, 64);
	secret = BN_bin2bn(number, 32, NULL);
	OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
	OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point));
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, secret);
	params = OSSL_PARAM_BLD_to_param(build);
	assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
	assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params), 1);
	len = i2d_PrivateKey(key, &at);
	assert_in_range(len, 32, STORE_KEY_MAX);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_free(secret);
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(context);
	return len;
}

/* RFC 6605, 6.1: DNSKEY, tag and DS as there; and the verification of the tests takes its RRSIG. */
static void test_example(void **state)
{
	struct sign *sign = sign_new((const uint8_t *)"\7example\3net");
	uint8_t der[STORE_KEY_MAX];
	size_t len = rfc_key(der);
	struct verify_record *record = message->record;
	const char *text;
	json_t *list;

	(void)state;
	assert_int_equal(sign_add_key(sign, der, len, fixture->now), 0);
	assert_int_equal(sign_zone(zone(), sign), 0);
	signed_take_keys();
	assert_int_equal(keys.tag[0], 55648);
	list = key_list(zone(), fixture->now);
	text = json_string_value(json_object_get(json_array_get(list, 0), "ds"));
	assert_string_equal(text, rfc_ds);
	text = json_string_value(json_object_get(json_array_get(list, 0), "dnskey"));
	assert_memory_equal(text, "example.net. 3600 IN DNSKEY 257 3 13 ", 37);
	assert_string_equal(text + 37, rfc_public);
	json_decref(list);

	memset(record, 0, 2 * sizeof(*record));
	message->count = 2;
	record[0] = (struct verify_record){ .type = ns_t_a, .ttl = 3600, .len = 4 };
	record[0].section = record[1].section = ns_s_an;
	record[0].owner_len = verify_name("www.example.net", record[0].owner);
	memcpy(record[0].data, "\xc0\x00\x02\x01", 4);
	record[1] = record[0];
	record[1].type = SIGN_TYPE_RRSIG;
	record[1].len = 18 + 13 + 64;
	memcpy(record[1].data,
	       "\0\1\x0d\3\0\0\x0e\x10\x4c\x88\xb1\x37\x4c\x63\xc7\x37\xd9\x60\7example\3net", 31);
	unbase64(rfc_signature, record[1].data + 31, 64);
	assert_null(verify_signature(message, &record[1], &keys, 0x4c700000));
	record[0].data[3] ^= 1; /* a control */
	assert_non_null(verify_signature(message, &record[1], &keys, 0x4c700000));
}

/* RFC 4509 by hand; RFC 7344: CDNSKEY is the DNSKEY, CDS the DS. */
static void test_key_sets(void **state)
{
	uint8_t text[13 + 68], digest[32];

	(void)state;
	memcpy(text, "\7example\3net", 13);
	memcpy(text + 13, keys.dnskey[0], 68);
	EVP_Digest(text, sizeof(text), digest, NULL, EVP_sha256(), NULL);
	ask("example.net", SIGN_TYPE_CDS);
	assert_int_equal(message->record[0].len, 4 + 32);
	assert_int_equal(ns_get16(message->record[0].data), keys.tag[0]);
	assert_memory_equal(message->record[0].data + 2, "\x0d\2", 2);
	assert_memory_equal(message->record[0].data + 4, digest, 32);
	ask("example.net", SIGN_TYPE_CDNSKEY);
	assert_int_equal(message->record[0].len, 68);
	assert_memory_equal(message->record[0].data, keys.dnskey[0], 68);
	assert_int_equal(message->record[0].ttl, SIGN_KEY_TTL);
}

/* The operator's own CDS stays: "delete the DS" (RFC 8078, 4) is one. */
static void test_own_cds(void **state)
{
	(void)state;
	dns_fixture_zone(fixture, "example.org",
			 "@ 60 SOA a b 1 2 3 4 5\n@ 60 NS a\n@ 60 CDS 0 0 0 00\n");
	{
		struct store_key key;
		struct sign *sign = sign_new(fixture->zones.item[1]->name);

		assert_int_equal(key_generate(fixture->zones.item[1], fixture->now, &key), 0);
		assert_int_equal(sign_add_key(sign, key.bytes, key.len, key.created), 0);
		assert_int_equal(sign_zone(fixture->zones.item[1], sign), 0);
	}
	ask("example.org", SIGN_TYPE_DNSKEY);
	verify_take_keys(message, &keys);
	ask("example.org", SIGN_TYPE_CDS);
	assert_int_equal(message->record[0].len, 5);
	assert_int_equal(verify_all(message, &keys, fixture->now), 1);
	assert_int_equal(sign_zone(fixture->zones.item[1], NULL), 0);
	ask("example.org", SIGN_TYPE_CDS);
	assert_int_equal(message->record[0].len, 5);
	ask("example.org", SIGN_TYPE_DNSKEY);
	assert_string_equal(fixture->reply.section[ns_s_an], "");
}

/* ---- from one key to the next */

static uint16_t signer_of(const char *name, uint16_t type)
{
	ask(name, type);
	verify_all(message, &keys, fixture->now);
	return ns_get16(verify_find(message, ns_s_an, SIGN_TYPE_RRSIG)->data + 16);
}

static void test_rollover(void **state)
{
	static const uint16_t types[] = { SIGN_TYPE_DNSKEY, SIGN_TYPE_CDS, SIGN_TYPE_CDNSKEY };
	uint16_t old = keys.tag[0], new;

	(void)state;
	assert_int_equal(signer_of("web.example.net", ns_t_a), old);
	fixture->now += 50000;
	signed_add_key(fixture->now);
	new = keys.tag[keys.tag[0] == old];
	for (int i = 0; i < 3; i++) { /* both tell of both */
		ask("example.net", types[i]);
		assert_int_equal(verify_all(message, &keys, fixture->now), 2);
		assert_int_equal(message->count, 2 + 2 + 1);
	}
	/* There are caches with the old keys alone. */
	assert_int_equal(signer_of("web.example.net", ns_t_a), old);
	fixture->now += SIGN_KEY_TTL - 1;
	assert_int_equal(signer_of("web.example.net", ns_t_a), old);
	assert_int_equal(signer_of("x.wild.example.net", ns_t_a), old);
	fixture->now++;
	assert_int_equal(signer_of("web.example.net", ns_t_a), new); /* nothing kept is left */
	assert_int_equal(signer_of("x.wild.example.net", ns_t_a), new);
	expect_made("web.example.net", ns_t_a, 0);
	ask("example.net", SIGN_TYPE_DNSKEY);
	assert_int_equal(verify_all(message, &keys, fixture->now), 2);
}

/* ---- the database */

static char path[64];

static struct store *open_store(void)
{
	char error[256] = "";
	struct store *store = store_open(path, error, sizeof(error));

	if (!store)
		fail_msg("%s", error);
	return store;
}

static void remove_files(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char file[80];

	for (int i = 0; i < 3; i++) {
		snprintf(file, sizeof(file), "%s%s", path, ends[i]);
		unlink(file);
	}
}

static int store_setup(void **state)
{
	int fd;

	strcpy(path, "/tmp/isthmus-dns-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	return signed_setup(state);
}

static int store_teardown(void **state)
{
	remove_files();
	return signed_teardown(state);
}

static bool copy_key(const struct store_key *key, void *arg)
{
	struct store_key *copy = arg;

	copy[copy->len ? 1 : 0] = *key;
	return true;
}

/* Are the bytes in the database, its log included? */
static bool on_disk(const uint8_t *bytes, size_t len)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	static uint8_t content[1 << 20];
	bool found = false;
	char file[80];

	for (int i = 0; i < 3; i++) {
		FILE *stream;
		size_t size;

		snprintf(file, sizeof(file), "%s%s", path, ends[i]);
		stream = fopen(file, "r");
		if (!stream)
			continue;
		size = fread(content, 1, sizeof(content), stream);
		fclose(stream);
		found |= memmem(content, size, bytes, len) != NULL;
	}
	return found;
}

static void test_store(void **state)
{
	struct store_key stored[2] = { { .len = 0 } };
	struct store *store = open_store();
	uint16_t first, second, other;
	struct stat stat_of;

	(void)state;
	assert_int_equal(key_load_zone(store, zone()), 0); /* it has none: no longer signed */
	assert_null(zone()->sign);
	ask("web.example.net", ns_t_a);
	assert_null(verify_find(message, ns_s_an, SIGN_TYPE_RRSIG));
	ask("example.net", SIGN_TYPE_CDNSKEY);
	assert_null(verify_find(message, ns_s_an, SIGN_TYPE_CDNSKEY));
	assert_int_equal(key_add(store, zone(), fixture->now, &first), 0);
	assert_int_equal(key_add(store, zone(), fixture->now + 1, &second), 0);
	signed_take_keys();
	assert_int_equal(keys.count, 2);
	assert_int_equal(sign_key_tag(zone()->sign, 0), first);
	assert_int_equal(stat(path, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 0777, 0600);
	assert_int_equal(store_key_each(store, "example.net.", copy_key, stored), 0);
	assert_int_equal(stored[0].tag, first);
	assert_true(on_disk(stored[0].bytes, stored[0].len));
	assert_int_equal(store_key_put(store, &stored[0]), -EEXIST);
	store_close(store);

	store = open_store();
	assert_int_equal(sign_zone(zone(), NULL), 0);
	assert_int_equal(key_load_zone(store, zone()), 0);
	assert_int_equal(signer_of("web.example.net", ns_t_a), first);
	assert_int_equal(key_delete(store, zone(), first + 1), -ENOENT);
	assert_int_equal(key_delete(store, zone(), first), 0);
	signed_take_keys();
	assert_int_equal(keys.count, 1);
	assert_int_equal(signer_of("web.example.net", ns_t_a), second);
	assert_false(on_disk(stored[0].bytes + 36, 32)); /* the secret number */
	assert_true(on_disk(stored[1].bytes + 36, 32));
	for (unsigned int i = 1; i < SIGN_KEYS_MAX; i++)
		assert_int_equal(key_add(store, zone(), fixture->now, &other), 0);
	assert_int_equal(key_add(store, zone(), fixture->now, &other), -ENOSPC);
	store_close(store);
}

static void run_sql(const char *text)
{
	sqlite3 *handle;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(handle);
}

/* The database of a release without keys is taken over; one of a later release is not. */
static void test_schema(void **state)
{
	char error[256];
	unsigned int count = 0;
	struct store *store;
	uint16_t tag;

	(void)state;
	run_sql("CREATE TABLE records (id INTEGER PRIMARY KEY, name TEXT NOT NULL,"
		" type TEXT NOT NULL, target TEXT NOT NULL, port INTEGER NOT NULL,"
		" priority INTEGER NOT NULL, weight INTEGER NOT NULL, ttl INTEGER NOT NULL,"
		" expires INTEGER NOT NULL, owner TEXT NOT NULL,"
		" UNIQUE (name, type, target, port)) STRICT;"
		"INSERT INTO records VALUES (1, 'a.', 'A', '192.0.2.1', 0, 0, 0, 60, 0, '');"
		"PRAGMA user_version = 1;");
	store = open_store();
	assert_int_equal(store_count(store, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(key_add(store, zone(), fixture->now, &tag), 0);
	store_close(store);
	run_sql("UPDATE keys SET private = x'3000'"); /* no key: nothing is served unsigned */
	store = open_store();
	assert_int_equal(key_load(store, &fixture->zones, error, sizeof(error)), -EINVAL);
	assert_string_equal(error, "keys of example.net.: Invalid argument");
	assert_non_null(zone()->sign);
	store_close(store);
	run_sql("PRAGMA user_version = 99");
	assert_null(store_open(path, error, sizeof(error)));
}

/* ---- sets for one answer */

static void begin(const char *name, uint16_t type)
{
	struct dns_question question;

	dns_ask(&question, name, type);
	dns_add_edns(&question, 1232, 0, true);
	assert_int_equal(wire_parse(fixture->server.wire, question.bytes, question.len),
			 WIRE_QUERY);
	assert_int_equal(wire_begin(fixture->server.wire, 1232, 1232), 0);
}

static void end(void)
{
	const uint8_t *bytes;

	fixture->reply.len = wire_end(fixture->server.wire, &bytes);
	memcpy(fixture->reply.bytes, bytes, fixture->reply.len);
	verify_read(&fixture->reply, message);
}

/* As a client's own addresses will be: signed for it, with TTL 0, and nothing stays. */
static void test_once(void **state)
{
	const struct signing signing = { fixture->server.wire, zone()->sign,
					 &fixture->server.counters.signatures, fixture->now };
	static const uint8_t name[] = "\6Client\7example\3net";

	(void)state;
	for (uint8_t i = 1; i < 200; i++) {
		const uint8_t address[4] = { 192, 0, 2, i }, other[4] = { 192, 0, 2, 0 };
		uint64_t before = made();
		struct wire_set *set;

		begin("CLIENT.example.net", ns_t_a);
		set = wire_set_once(fixture->server.wire, ns_t_a);
		assert_int_equal(wire_set_once_add(fixture->server.wire, set, address, 4), 0);
		assert_int_equal(wire_set_once_add(fixture->server.wire, set, other, 4), 0);
		assert_int_equal(sign_put_once(&signing, ns_s_an, name, set, 0, false), 0);
		end();
		assert_int_equal(made(), before + 1);
		assert_int_equal(verify_all(message, &keys, fixture->now), 1);
		assert_int_equal(message->count, 2 + 1 + 1);
		assert_memory_equal(message->record[0].data, "\xc0\0\2", 3);
		assert_int_equal(message->record[0].ttl, 0);
	}
}

/* Types that no set has are in the NSEC all the same, else caches would deny them (RFC 8198). */
static void test_also(void **state)
{
	const struct signing signing = { fixture->server.wire, zone()->sign,
					 &fixture->server.counters.signatures, fixture->now };
	static const uint16_t also[] = { ns_t_aaaa, ns_t_a };
	const struct zone_node *node =
		zone_exact(zone(), (const uint8_t *)"\4_tcp\3web\7example\3net");
	const struct sign_denial denial = { .owner = wire_query(fixture->server.wire)->name,
					    .node = node,
					    .also = also,
					    .also_count = 2 };

	(void)state;
	begin("_tcp.web.example.net", ns_t_mx);
	assert_int_equal(sign_put_nsec(&signing, ns_s_ns, zone(), &denial, true), 0);
	end();
	assert_int_equal(verify_all(message, &keys, fixture->now), 1);
	check_nsec(ns_s_ns, "_tcp.web.example.net", "0006400000080003");
	ask("_tcp.web.example.net", ns_t_mx); /* nothing of it was kept */
	check_nsec(ns_s_ns, "_tcp.web.example.net", "0006000000000003");
}

/* ---- names whose addresses a waypoint gives */

static void ask_bound(uint16_t type, const struct answer_binding *binding)
{
	const struct answer_client client = { .address = (struct sockaddr *)&fixture->client,
					      .binding = binding,
					      .now = fixture->now };
	struct dns_question question;
	const uint8_t *bytes;

	dns_ask(&question, "Host.example.net", type);
	dns_add_edns(&question, 1232, 0, true);
	fixture->reply.len =
		answer(&fixture->server, &client, question.bytes, question.len, &bytes);
	message->count = 0;
	if (!fixture->reply.len)
		return;
	memcpy(fixture->reply.bytes, bytes, fixture->reply.len);
	verify_read(&fixture->reply, message);
}

static void test_bound(void **state)
{
	const struct wire_record bound = { .owner = (const uint8_t *)"\4host\7example\3net",
					   .type = ZONE_BOUND,
					   .ttl = 0,
					   .data = (const uint8_t *)"\0\0\0\1\0\0\0\2",
					   .len = ZONE_BOUND_LEN };
	const struct answer_binding given = { .result = ANSWER_NOERROR,
					      .address = { 198, 51, 100, 9 } };
	const struct answer_binding none = { .result = ANSWER_NODATA };

	(void)state;
	assert_int_equal(zones_add(&fixture->zones, &bound, 0), 0);
	ask_bound(ns_t_a, NULL);
	assert_int_equal(fixture->reply.len, 0); /* it is held */
	ask_bound(ns_t_a, &given);
	assert_int_equal(verify_all(message, &keys, fixture->now), 1);
	assert_memory_equal(message->record[0].data, given.address, 4);
	assert_int_equal(message->record[0].ttl, 0);
	ask_bound(ns_t_aaaa, &none); /* now: the other one is not denied with it */
	assert_int_equal(verify_all(message, &keys, fixture->now), 2);
	check_nsec(ns_s_ns, "host.example.net", "0006400000000003");
	for (int times = 0; times < 2; times++) { /* what is kept denies neither */
		ask_bound(ns_t_mx, NULL);
		assert_int_equal(verify_all(message, &keys, fixture->now), 2);
		check_nsec(ns_s_ns, "host.example.net", "0006400000080003");
	}
	ask_bound(ZONE_BOUND, NULL); /* nobody is told */
	assert_null(verify_find(message, ns_s_an, ZONE_BOUND));
	check_nsec(ns_s_ns, "host.example.net", "0006400000080003");
	ask_bound(SIGN_TYPE_RRSIG, NULL);
	assert_int_equal(verify_all(message, &keys, fixture->now), 2);
}

#define TEST(name)	 cmocka_unit_test_setup_teardown(name, signed_setup, signed_teardown)
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_example),  TEST(test_key_sets),    TEST(test_own_cds),
		TEST(test_rollover), STORE_TEST(test_store), STORE_TEST(test_schema),
		TEST(test_once),     TEST(test_also),	     TEST(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
