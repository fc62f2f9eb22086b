// SPDX-License-Identifier: GPL-3.0-or-later
/* What a peer believes: announcements, names, who may connect, and what is kept on disk. */
/* link: agents/peer/announce.c agents/peer/service.c agents/peer/store.c agents/lib/auth.c */
/* link: agents/lib/msg_json.c agents/lib/address.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../agents/peer/peer.h"
#include "../agents/peer/store.h"

/* service.c ends a service's sessions; there are none here. */
static unsigned int forgotten;

void session_forget_service(struct peer *peer, struct service *service)
{
	(void)peer, (void)service;
	forgotten++;
}

static const char announcement[] =
	"{\"session\":\"0123456789abcdef\",\"service\":\"web\",\"proto\":\"tcp\",\"role\":0,"
	"\"address\":\"203.0.113.9\",\"port\":40000,\"probe_port_udp\":3479,\"probe_port_tcp\":443,"
	"\"token\":\"AAECAwQFBgcICQoLDA0ODw\","
	"\"secret\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\",\"lifetime\":30,"
	"\"mode\":\"passive\"}";

static json_t *message(void)
{
	json_t *value = json_loads(announcement, 0, NULL);

	assert_non_null(value);
	return value;
}

static void announcement_is_read(void **state)
{
	struct announced a;
	json_t *value = message();
	const char *bad;

	(void)state;
	assert_int_equal(announce_read(value, &a, &bad), 0);
	assert_true(a.session == 0x0123456789abcdefULL);
	assert_int_equal(a.proto, IPPROTO_TCP);
	assert_int_equal(a.role, AUTH_ROLE_SUBSCRIBER);
	assert_int_equal(a.port, 40000);
	assert_int_equal(a.probe_port_udp, 3479);
	assert_int_equal(a.probe_port_tcp, 443);
	assert_int_equal(a.source_port, 0);
	assert_int_equal(a.lifetime_s, 30);
	assert_false(a.pure);
	assert_int_equal(a.address.b[12], 203);
	for (int i = 0; i < 32; i++)
		assert_int_equal(a.secret[i], i);
	for (int i = 0; i < 16; i++)
		assert_int_equal(a.token[i], i);
	json_decref(value);
}

/* Each member missing or wrong: named, and nothing is written. */
static void bad_announcements(void **state)
{
	static const struct {
		const char *key, *json, *bad;
	} rows[] = {
		{ "session", NULL, "session" },
		{ "session", "\"123\"", "session" },
		{ "session", "5", "session" },
		{ "address", "\"example\"", "address" },
		{ "proto", "\"sctp\"", "proto" },
		{ "proto", NULL, "proto" },
		{ "role", "2", "role" },
		{ "role", "\"0\"", "role" },
		{ "mode", "\"fast\"", "mode" },
		{ "port", "0", "port" },
		{ "port", "65536", "port" },
		{ "port", "-1", "port" },
		{ "probe_port_udp", "70000", "probe_port_udp" },
		{ "token", "\"AAEC\"", "token" },
		{ "token", "\"!\"", "token" },
		{ "secret", "\"AAEC\"", "secret" },
		{ "secret", NULL, "secret" },
		{ "lifetime", "0", "lifetime" },
		{ "lifetime", "99999", "lifetime" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct announced a, untouched;
		json_t *value = message();
		const char *bad = "";

		memset(&a, 0xa5, sizeof(a));
		untouched = a;
		if (rows[i].json)
			json_object_set_new(value, rows[i].key,
					    json_loads(rows[i].json, JSON_DECODE_ANY, NULL));
		else
			json_object_del(value, rows[i].key);
		assert_int_equal(announce_read(value, &a, &bad), -EINVAL);
		assert_string_equal(bad, rows[i].bad);
		assert_memory_equal(&a, &untouched, sizeof(a));
		json_decref(value);
	}
}

/* Only a provider may have to wait for its port, and only in a pure splice. */
static void pure_provider_waits_for_its_port(void **state)
{
	struct announced a;
	json_t *value = message();
	const char *bad;

	(void)state;
	json_object_set_new(value, "port", json_integer(0));
	json_object_set_new(value, "mode", json_string("pure"));
	assert_int_equal(announce_read(value, &a, &bad), -EINVAL);
	json_object_set_new(value, "role", json_integer(1));
	json_object_set_new(value, "source_port", json_integer(20001));
	assert_int_equal(announce_read(value, &a, &bad), 0);
	assert_true(a.pure);
	assert_int_equal(a.source_port, 20001);
	json_decref(value);
}

static void names(void **state)
{
	char user[NAME_LEN], service[NAME_LEN];

	(void)state;
	assert_true(name_valid("a") && name_valid("a.b_c-9"));
	assert_true(name_valid("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	assert_false(name_valid("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	assert_false(name_valid("") || name_valid("-a") || name_valid(".a") || name_valid("A") ||
		     name_valid("a/b") || name_valid("a b") || name_valid("\xc3\xa4"));
	assert_int_equal(reference_split("alice/web", user, service), 0);
	assert_string_equal(user, "alice");
	assert_string_equal(service, "web");
	assert_int_equal(reference_split("alice", user, service), -EINVAL);
	assert_int_equal(reference_split("/web", user, service), -EINVAL);
	assert_int_equal(reference_split("alice/", user, service), -EINVAL);
	assert_int_equal(reference_split("alice/web/x", user, service), -EINVAL);
	assert_string_equal(user, "alice");
}

static void peer_start(struct peer *peer)
{
	memset(peer, 0, sizeof(*peer));
	TAILQ_INIT(&peer->services);
}

static int add(struct peer *peer, const char *json)
{
	json_t *value = json_loads(json, 0, NULL);
	const char *bad = NULL;
	int error;

	assert_non_null(value);
	error = service_add(peer, value, &bad);
	assert_true(!error || (bad && *bad));
	json_decref(value);
	return error;
}

static void peer_end(struct peer *peer)
{
	while (!TAILQ_EMPTY(&peer->services))
		service_remove(peer, TAILQ_FIRST(&peer->services));
}

static void who_may_connect(void **state)
{
	struct peer peer;
	struct service *service;

	(void)state;
	peer_start(&peer);
	assert_int_equal(add(&peer,
			     "{\"service\":\"web\",\"proto\":\"tcp\",\"target\":\"[::1]:80\","
			     "\"limit\":2,\"allow\":[\"bob\",\"carol\"]}"),
			 0);
	service = service_find(&peer, "web");
	assert_non_null(service);
	assert_string_equal(service->host, "::1");
	assert_null(service_refusal(service, "bob"));
	assert_string_equal(service_refusal(service, "mallory"), "denied");
	assert_string_equal(service_refusal(service, "bo"), "denied");
	service->active = 1;
	assert_null(service_refusal(service, "carol"));
	service->active = 2;
	assert_string_equal(service_refusal(service, "carol"), "limit");
	assert_int_equal(add(&peer, "{\"service\":\"web\",\"proto\":\"tcp\",\"target\":\":80\"}"),
			 -EEXIST);
	assert_int_equal(add(&peer, "{\"service\":\"all\",\"proto\":\"udp\",\"target\":\":53\"}"),
			 0);
	assert_null(service_refusal(service_find(&peer, "all"), "mallory"));
	forgotten = 0;
	peer_end(&peer);
	assert_int_equal(forgotten, 2);
}

static void bad_services(void **state)
{
	static const char *const rows[] = {
		"{\"service\":\"Web\",\"proto\":\"tcp\",\"target\":\":80\"}",
		"{\"service\":\"web\",\"proto\":\"icmp\",\"target\":\":80\"}",
		"{\"service\":\"web\",\"proto\":\"tcp\",\"target\":\"host\"}",
		"{\"service\":\"web\",\"proto\":\"tcp\",\"target\":\"host:0\"}",
		"{\"service\":\"web\",\"proto\":\"tcp\",\"target\":\":80\",\"text\":\"a\\nb\"}",
		"{\"service\":\"web\",\"proto\":\"tcp\",\"target\":\":80\",\"allow\":\"bob\"}",
		"{\"service\":\"web\",\"proto\":\"tcp\",\"target\":\":80\",\"allow\":[\"B\"]}",
		"{\"service\":\"web\",\"proto\":\"tcp\",\"target\":\":80\",\"limit\":-1}",
		"{\"service\":\"web\",\"proto\":\"udp\",\"target\":\":80\",\"pure\":true}",
	};
	struct peer peer;

	(void)state;
	peer_start(&peer);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(add(&peer, rows[i]), -EINVAL);
	assert_true(TAILQ_EMPTY(&peer.services));
}

static void services_are_bounded(void **state)
{
	struct peer peer;
	char json[128];

	(void)state;
	peer_start(&peer);
	for (int i = 0; i <= SERVICES_MAX; i++) {
		snprintf(json, sizeof(json),
			 "{\"service\":\"s%d\",\"proto\":\"tcp\",\"target\":\":80\"}", i);
		assert_int_equal(add(&peer, json), i < SERVICES_MAX ? 0 : -ENOSPC);
	}
	peer_end(&peer);
}

static void a_failed_pure_splice_is_remembered(void **state)
{
	struct peer peer;
	struct service *service;
	char user[NAME_LEN];

	(void)state;
	peer_start(&peer);
	assert_int_equal(add(&peer, "{\"service\":\"web\",\"proto\":\"tcp\",\"target\":\":80\","
				    "\"pure\":true}"),
			 0);
	service = service_find(&peer, "web");
	assert_true(service_try_pure(service, "bob"));
	service_note_impure(service, "bob");
	assert_false(service_try_pure(service, "bob"));
	assert_true(service_try_pure(service, "carol"));
	for (int i = 0; i < 2 * SERVICE_IMPURE_MAX; i++) {
		snprintf(user, sizeof(user), "u%d", i);
		service_note_impure(service, user);
		assert_false(service_try_pure(service, user));
	}
	assert_int_equal(service->impure_count, SERVICE_IMPURE_MAX);
	peer_end(&peer);
}

/* What is saved is read again as the same service. */
static void a_service_survives_the_disk(void **state)
{
	struct peer peer;
	json_t *first, *second;
	const char *bad;

	(void)state;
	peer_start(&peer);
	assert_int_equal(add(&peer,
			     "{\"service\":\"web\",\"proto\":\"tcp\",\"target\":\"[fe80::1]:8\","
			     "\"text\":\"a \\\"text\\\"\",\"pure\":true,\"limit\":3,"
			     "\"allow\":[\"bob\"]}"),
			 0);
	first = service_json(service_find(&peer, "web"));
	peer_end(&peer);
	assert_int_equal(service_add(&peer, first, &bad), 0);
	second = service_json(service_find(&peer, "web"));
	assert_true(json_equal(first, second));
	json_decref(first);
	json_decref(second);
	peer_end(&peer);
}

static void identity_is_private(void **state)
{
	char dir[] = "/tmp/isthmus-peer-test-XXXXXX", path[STORE_PATH_LEN], file[STORE_FILE_LEN];
	struct identity in = { .host = "b", .port = "1", .user = "u", .secret = "s" }, out;
	struct stat st;
	int lock;

	(void)state;
	memset(in.fingerprint, 'a', MSG_FINGERPRINT_LEN - 1);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/deep/er", dir);
	assert_int_equal(store_make(path), 0);
	assert_int_equal(store_read_identity(path, &out), -ENOENT);
	umask(0);
	assert_int_equal(store_write_identity(path, &in), 0);
	store_file(path, "identity.json", file);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(store_read_identity(path, &out), 0);
	assert_memory_equal(&in, &out, sizeof(in));
	assert_int_equal(truncate(file, 10), 0);
	assert_int_equal(store_read_identity(path, &out), -EINVAL);
	lock = store_lock(path);
	assert_true(lock >= 0);
	assert_int_equal(store_lock(path), -EWOULDBLOCK);
	close(lock);
	unlink(file);
	store_file(path, "lock", file);
	unlink(file);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/deep", dir);
	rmdir(path);
	assert_int_equal(rmdir(dir), 0);
}

static void state_directory(void **state)
{
	char path[STORE_PATH_LEN], longer[200];

	(void)state;
	setenv("ISTHMUS_PEER_DIR", "/from/environment", 1);
	assert_int_equal(store_find("/given", path), 0);
	assert_string_equal(path, "/given");
	assert_int_equal(store_find(NULL, path), 0);
	assert_string_equal(path, "/from/environment");
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	assert_int_equal(store_find(longer, path), -ENAMETOOLONG);
	assert_string_equal(path, "/from/environment");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(announcement_is_read),
		cmocka_unit_test(bad_announcements),
		cmocka_unit_test(pure_provider_waits_for_its_port),
		cmocka_unit_test(names),
		cmocka_unit_test(who_may_connect),
		cmocka_unit_test(bad_services),
		cmocka_unit_test(services_are_bounded),
		cmocka_unit_test(a_failed_pure_splice_is_remembered),
		cmocka_unit_test(a_service_survives_the_disk),
		cmocka_unit_test(identity_is_private),
		cmocka_unit_test(state_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
