// SPDX-License-Identifier: GPL-3.0-or-later
/* The file of clients: what it may say, and which line is wrong. */
/* link: agents/resoad/registry.c agents/resoad/registry_value.c agents/resoad/registry_add.c */
/* link: agents/resoad/settings.c agents/lib/lhp_key.c agents/lib/conf.c agents/lib/address.c */
/* link: agents/lib/prefix.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agents/lib/address.h"
#include "agents/resoad/resoad.h"

#define KEY "key = 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"

static const struct settings settings = {
	.port_low = 20000, .port_high = 22999, .block = 1000, .sockets = 77
};
static char path[64], error[512];

static int setup(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/resoad-registry-XXXXXX");
	fd = mkstemp(path);
	close(fd);
	error[0] = 0;
	return fd < 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

static struct registry *read_text(const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	fputs(text, file);
	fclose(file);
	chmod(path, mode);
	return registry_read(path, &settings, error, sizeof(error));
}

static struct registry *good(const char *text)
{
	struct registry *registry = read_text(text, 0600);

	if (!registry)
		print_error("%s\n", error);
	assert_non_null(registry);
	return registry;
}

static void bad(const char *text, int line, const char *why)
{
	char place[96];

	assert_null(read_text(text, 0600));
	snprintf(place, sizeof(place), "%s:%d: ", path, line);
	if (strncmp(error, place, strlen(place)) || !strstr(error, why))
		fail_msg("'%s', not line %d with '%s'", error, line, why);
}

static void test_presets(void **state)
{
	struct registry *registry = good("[client one]\n" KEY);
	const struct client_conf *conf = registry_find(registry, "one");

	(void)state;
	assert_non_null(conf);
	assert_string_equal(conf->identity.name, "one");
	assert_int_equal(conf->identity.key[1], 0x11);
	assert_int_equal(conf->identity.key[31], 0xff);
	assert_int_equal(conf->sockets, 77);
	assert_int_equal(conf->port_low, 20000);
	assert_int_equal(conf->port_high, 20999);
	assert_false(conf->own[0] || conf->own[1] || conf->any_port || conf->rule_count);
	assert_null(registry_find(registry, "On"));
	assert_null(registry_find(registry, "one1"));
	registry_free(registry);
}

static void test_everything(void **state)
{
	struct registry *registry =
		good("# clients\n[client a_B-9]\n" KEY "mode = mixed\naddress = 192.0.2.9\n"
		     "ports = 5000-5099\ngranted = 80, 443 8080\nsockets = 5\nrate = 10M\n"
		     "bytes = 3k\nany-port = yes\ndeny = tcp 10.0.0.0/8:1-1023\n"
		     "allow = udp [2001:db8::/32]:53\ndeny = any any\n");
	const struct client_conf *conf = registry_get(registry, 0);

	(void)state;
	assert_null(registry_get(registry, 1));
	assert_true(conf->own[0]);
	assert_false(conf->own[1]);
	assert_int_equal(conf->address[0].b[15], 9);
	assert_int_equal(conf->port_low, 5000);
	assert_int_equal(conf->port_high, 5099);
	assert_int_equal(conf->granted_count, 3);
	assert_int_equal(conf->granted[2], 8080);
	assert_int_equal(conf->sockets, 5);
	assert_int_equal(conf->rate, 10000000);
	assert_int_equal(conf->bytes, 3000);
	assert_true(conf->any_port);
	assert_int_equal(conf->rule_count, 3);
	assert_false(conf->rules[0].allow);
	assert_int_equal(conf->rules[0].proto, IPPROTO_TCP);
	assert_int_equal(conf->rules[0].to.bits, 96 + 8);
	assert_int_equal(conf->rules[0].low, 1);
	assert_int_equal(conf->rules[0].high, 1023);
	assert_true(conf->rules[1].allow);
	assert_int_equal(conf->rules[1].to.bits, 32);
	assert_int_equal(conf->rules[1].low, 53);
	assert_int_equal(conf->rules[2].proto, 0);
	assert_int_equal(conf->rules[2].to.bits, 0);
	assert_int_equal(conf->rules[2].high, 65535);
	registry_free(registry);
}

/* Blocks go by the file's order, not by names: a section at its end changes nobody's. */
static void test_blocks(void **state)
{
	struct registry *registry =
		good("[client z]\n" KEY "[client m]\n" KEY "ports = 40000-40999\n[client a]\n" KEY);

	(void)state;
	assert_int_equal(registry_find(registry, "z")->port_low, 20000);
	assert_int_equal(registry_find(registry, "m")->port_low, 40000);
	assert_int_equal(registry_find(registry, "a")->port_low, 21000);
	registry_free(registry);
	bad("[client a]\n" KEY "[client b]\n" KEY "[client c]\n" KEY "[client d]\n" KEY, 8,
	    "no block of 1000 ports");
}

static void test_one_to_one(void **state)
{
	struct registry *registry = good(
		"[client a]\n" KEY "mode = 1-to-1\naddress = 192.0.2.9\naddress = 2001:db8::9\n"
		"[client b]\n" KEY "mode = 1-to-1\naddress = dhcp\nmac = 02:00:00:00:00:0b\n");
	const struct client_conf *b = registry_find(registry, "b");

	(void)state;
	assert_true(registry_find(registry, "a")->own[0] && registry_find(registry, "a")->own[1]);
	assert_true(b->dhcp && b->own[0] && !b->own[1]);
	assert_false(client_shares(b, 0) || client_shares(b, 1));
	assert_int_equal(b->mac[5], 11);
	registry_free(registry);
	/* Each has IPv4 alone: there is no IPv6 of which they could use one port. */
	registry_free(good("[client a]\n" KEY "mode = 1-to-1\naddress = 192.0.2.9\n[client b]\n" KEY
			   "mode = 1-to-1\naddress = 192.0.2.10\n"));
	bad("[client a]\n" KEY "mode = mixed\naddress = 192.0.2.9\nports = 1-9\n[client b]\n" KEY
	    "mode = mixed\naddress = 192.0.2.10\nports = 1-9\n",
	    7, "ports that overlap");
	bad("[client a]\n" KEY
	    "mode = 1-to-1\naddress = dhcp\nmac = 02:00:00:00:00:0b\n[client b]\n" KEY
	    "mode = 1-to-1\naddress = dhcp\nmac = 02:00:00:00:00:0b\n",
	    7, "one mac");
	bad("[client a]\n" KEY "mode = 1-to-1\n", 2, "has no address");
	bad("[client a]\n" KEY "mode = 1-to-1\naddress = dhcp\n", 2, "needs a mac");
	bad("[client a]\n" KEY "address = dhcp\nmac = 02:00:00:00:00:0b\n", 2, "dhcp is for");
	bad("[client a]\n" KEY "mode = 1-to-1\naddress = 192.0.2.9\n[client b]\n" KEY
	    "address = 192.0.2.9\n",
	    6, "not shared");
}

static void test_wrong_lines(void **state)
{
	static const struct {
		const char *line, *why;
	} rows[] = {
		{ "nonsense = 1", "unknown key 'nonsense'" },
		{ "Mode = n-to-1", "unknown key 'Mode'" },
		{ "mode = n-to-2", "none of" },
		{ "address = 192.0.2", "address" },
		{ "mac = 02:00:00:00:00", "mac" },
		{ "mac = 03:00:00:00:00:01", "one station" },
		{ "ports = 0-10", "LOW-HIGH" },
		{ "ports = 10-9", "LOW-HIGH" },
		{ "ports = 10-65536", "LOW-HIGH" },
		{ "ports = 10-20x", "LOW-HIGH" },
		{ "granted = 80, 0", "no port" },
		{ "granted = 80; 81", "no port" },
		{ "granted = 99999", "no port" },
		{ "sockets = 0", "sockets" },
		{ "sockets = -1", "sockets" },
		{ "rate = 1T", "rate" },
		{ "rate = 999", "rate" },
		{ "bytes = 99999999999999999999", "bytes" },
		{ "bytes = 18446744073709552k", "bytes" },
		{ "any-port = maybe", "neither" },
		{ "deny = tcp", "NETWORK" },
		{ "deny = icmp any", "NETWORK" },
		{ "deny = tcp 10.0.0.0/33", "NETWORK" },
		{ "deny = tcp 10.0.0.0/8:0", "NETWORK" },
		{ "deny = tcp 10.0.0.0/8:5-4", "NETWORK" },
		{ "deny = tcp [2001:db8::/32:53", "NETWORK" },
		{ "deny = tcp [2001:db8::/32]53", "NETWORK" },
		{ "deny = tcp 10.0.0.0/8 10.1.0.0/16", "NETWORK" },
		{ "key = 00", "hexadecimal" },
		{ "key-file = /nonexistent/key", "No such file" },
		{ "no equals sign", "neither [section]" },
		{ "[client ]", "letters" },
		{ "[clients x]", "letters" },
		{ "[client a b]\nsockets = 1", "letters" },
		{ "[client 0123456789012345678901234567890123]\nsockets = 1", "letters" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool section = rows[i].line[0] == '[';

		snprintf(text, sizeof(text), "[client a]\n" KEY "%s\n%s", rows[i].line,
			 section && !strchr(rows[i].line, '\n') ? "sockets = 1\n" : "");
		bad(text, section ? 4 : 3, rows[i].why);
	}
}

static void test_too_much(void **state)
{
	char text[16384];
	int n;

	(void)state;
	n = snprintf(text, sizeof(text), "[client a]\n" KEY);
	for (int i = 0; i < REGISTRY_RULES + 1; i++)
		n += snprintf(text + n, sizeof(text) - n, "deny = tcp any:%d\n", i + 1);
	bad(text, 3 + REGISTRY_RULES, "more than 32 rules");
	n = snprintf(text, sizeof(text), "[client a]\n" KEY);
	for (int i = 0; i < REGISTRY_GRANTED + 1; i++)
		n += snprintf(text + n, sizeof(text) - n, "granted = %d\n", i + 1);
	bad(text, 3 + REGISTRY_GRANTED, "more than 32 ports");
	snprintf(text, sizeof(text), "[client a]\n" KEY "deny = tcp %0300d\n", 1);
	bad(text, 3, "longer than");
	bad("[client a]\n" KEY "[client b]\n" KEY "[client a]\nsockets = 1\n", 6, "second section");
	bad("[client a]\nsockets = 1\n", 2, "neither key nor key-file");
}

/* Two that share an address share no port. */
static void test_overlaps(void **state)
{
	(void)state;
	bad("[client a]\n" KEY "ports = 100-200\n[client b]\n" KEY "ports = 200-300\n", 5,
	    "ports that overlap");
	bad("[client a]\n" KEY "granted = 80\n[client b]\n" KEY "granted = 80\n", 5,
	    "port 80 is of");
	bad("[client a]\n" KEY "granted = 21500\n[client b]\n" KEY, 5, "port 21500 is of");
	registry_free(good("[client a]\n" KEY "ports = 100-200\nmode = 1-to-1\n"
			   "address = 192.0.2.9\naddress = 2001:db8::9\n[client b]\n" KEY
			   "ports = 200-300\n"));
}

static void test_keys_are_private(void **state)
{
	char text[256], key[80];
	FILE *file;

	(void)state;
	assert_null(read_text("[client a]\n" KEY, 0644));
	assert_non_null(strstr(error, "chmod 600"));
	snprintf(key, sizeof(key), "%s.key", path);
	file = fopen(key, "w");
	fprintf(file, "a:%064d\n", 7);
	fclose(file);
	snprintf(text, sizeof(text), "[client a]\nkey-file = %s\n", key);
	chmod(key, 0644);
	assert_null(read_text(text, 0644));
	assert_non_null(strstr(error, "chmod 600"));
	chmod(key, 0600);
	registry_free(read_text(text, 0644));
	snprintf(text, sizeof(text), "[client b]\nkey-file = %s\n", key);
	bad(text, 2, "is of client 'a'");
	unlink(key);
}

static void test_add(void **state)
{
	struct lhp_identity a = { .name = "new" }, b = { .name = "other" },
			    bad_name = { .name = "x y" };
	struct registry *registry;

	(void)state;
	assert_int_equal(registry_add(path, &bad_name), -EINVAL);
	assert_int_equal(registry_add(path, &a), 0);
	assert_int_equal(registry_add(path, &b), 0);
	assert_memory_not_equal(a.key, b.key, LHP_KEY_BYTES);
	assert_int_equal(registry_add(path, &a), -EEXIST);
	registry = registry_read(path, &settings, error, sizeof(error));
	assert_non_null(registry);
	assert_memory_equal(registry_find(registry, "new")->identity.key, a.key, LHP_KEY_BYTES);
	registry_free(registry);
	chmod(path, 0644);
	assert_int_equal(registry_add(path, &(struct lhp_identity){ .name = "third" }), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_presets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_to_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_much, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overlaps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_are_private, setup, teardown),
		cmocka_unit_test_setup_teardown(test_add, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
