// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The whole program with its kernel engine, as nobody: privileges, maps after they are dropped,
 * SIGKILL, SIGHUP. The datapath is not attached; what it would read is looked at.
 */
/* link: selftests/lib/translator_stub.c selftests/lib/translator_maps.c agents/lib/auth.c */
/* link: agents/lib/probe.c agents/lib/msg.c agents/lib/msg_json.c agents/lib/msg_socket.c */
/* link: agents/lib/msg_tls.c agents/lib/address.c maps/pin.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../agents/lib/address.h"
#include "../maps/pin.h"
#include "lib/translator_maps.h"
#include "lib/translator_stub.h"

#define LOW	   22000
#define HIGH	   22999
#define RENDEZVOUS 100

static struct stub stub;
static char instance[24], config[96];
static const char *arguments[] = { "--config", config, "--instance", instance, NULL };
static int side_map;

static void write_config(int sessions)
{
	FILE *file;

	snprintf(config, sizeof(config), "/tmp/isthmus-%s.conf", instance);
	file = fopen(config, "w");
	assert_non_null(file);
	fprintf(file,
		"[translator]\nengine = kernel\nuser = nobody\nlog-level = error\n"
		"ports = %d-%d\nsessions = %d\n",
		LOW, HIGH, sessions);
	fclose(file);
}

static int start(void **state)
{
	struct isthmus_addr addr;

	(void)state;
	snprintf(instance, sizeof(instance), "r%d", getpid());
	assert_int_equal(address_parse("127.0.0.1", &addr), 0);
	maps_pin(instance, &addr, LOW, HIGH, RENDEZVOUS);
	side_map = pin_open_map(instance, "splice", "splice_side", sizeof(struct splice_local_key),
				sizeof(struct splice_side));
	assert_true(side_map >= 0);
	write_config(50);
	stub_start(&stub, arguments);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	stub_stop(&stub);
	close(side_map);
	maps_unpin(instance);
	unlink(config);
	return 0;
}

/* The side's record at the endpoint that the broker was told. */
static int read_side(const struct stub_side *side, struct splice_side *value)
{
	struct splice_local_key key = { .port = side->address.sin_port, .proto = IPPROTO_TCP };
	uint16_t port;

	assert_int_equal(
		address_from_sockaddr((const struct sockaddr *)&side->address, &key.addr, &port),
		0);
	return bpf_map_lookup_elem(side_map, &key, value);
}

static unsigned long long proc_status(const char *key, int base)
{
	unsigned long long value = ~0ULL;
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", stub.pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			value = strtoull(line + strlen(key), NULL, base);
	fclose(file);
	return value;
}

static void little_privilege_is_kept(void **state)
{
	const struct passwd *nobody = getpwnam("nobody");

	(void)state;
	assert_non_null(nobody);
	assert_int_equal(proc_status("Uid:", 10), nobody->pw_uid);
	assert_int_equal(proc_status("CapEff:", 16), 1ULL << CAP_NET_ADMIN);
	assert_int_equal(proc_status("CapPrm:", 16), 1ULL << CAP_NET_ADMIN);
	assert_int_equal(proc_status("NoNewPrivs:", 10), 1);
}

static void maps_are_written_without_privilege(void **state)
{
	struct stub_side side[2] = { 0 };
	struct splice_side value;

	(void)state;
	stub_open(&stub, 0x11, "tcp", 30, side);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(read_side(&side[i], &value), 0);
		assert_int_equal(value.rendezvous, 0x11);
		assert_int_equal(value.known, 0);
		assert_int_equal(stub_probe(&stub, 0x11, i, side[i].token, SOCK_DGRAM, 4 + i), 0);
		assert_int_equal(read_side(&side[i], &value), 0);
		assert_int_equal(value.known, 1);
		assert_int_equal(value.expected.b[15], 4 + i);
	}
	json_decref(stub_ask(&stub,
			     json_pack("{s:s, s:o}", "op", "close", "session", msg_json_id(0x11))));
	assert_int_equal(read_side(&side[0], &value), -ENOENT);
	json_decref(stub_notice(&stub, "ended", 0x11, STUB_WAIT_MS));
}

/* Killed between two rendezvous: what was open stays open, its token is lost, its ports are kept.
 */
static void killed_and_started_again(void **state)
{
	struct stub_side side[2] = { 0 }, next[2];
	struct splice_side value;
	json_t *notice;

	(void)state;
	stub_open(&stub, 0x21, "tcp", 4, side);
	stub_end_translator(&stub, SIGKILL);
	assert_int_equal(read_side(&side[0], &value), 0);
	stub_spawn(&stub, arguments);
	assert_int_equal(stub_probe(&stub, 0x21, 0, side[0].token, SOCK_DGRAM, 4), PROBE_UNKNOWN);
	for (uint64_t id = 0x30; id < 0x30 + 40; id++) {
		memset(next, 0, sizeof(next));
		stub_open(&stub, id, "tcp", 1, next);
		for (int i = 0; i < 4; i++)
			assert_int_not_equal(next[i / 2].address.sin_port,
					     side[i % 2].address.sin_port);
	}
	notice = stub_notice(&stub, "ended", 0x21, 2 * STUB_WAIT_MS);
	assert_non_null(notice);
	assert_string_equal(json_string_value(json_object_get(notice, "why")), "expired");
	json_decref(notice);
	for (uint64_t id = 0x30; id < 0x30 + 40; id++)
		json_decref(stub_notice(&stub, "ended", id, STUB_WAIT_MS));
	assert_int_equal(read_side(&side[0], &value), -ENOENT);
}

static bool is_refused(uint64_t id, const char *code)
{
	json_t *answer = stub_ask(&stub, json_pack("{s:s, s:o, s:s, s:s, s:i}", "op", "open",
						   "session", msg_json_id(id), "proto", "tcp",
						   "family", "4", "lifetime", 1));
	const char *error = "";
	bool refused;

	msg_get_string(answer, "error", &error);
	refused = !strcmp(error, code);
	json_decref(answer);
	return refused;
}

/* As many as are served at once connect and say nothing: a side is still probed by TCP. */
static void silent_callers_give_way(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(stub.probe_port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct stub_side side[2] = { 0 };
	int fd[1100];

	(void)state;
	stub_open(&stub, 0x31, "tcp", 10, side);
	for (int i = 0; i < 1100; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_true(fd[i] >= 0);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&to, sizeof(to)), 0);
	}
	assert_int_equal(stub_probe(&stub, 0x31, 0, side[0].token, SOCK_STREAM, 4), 0);
	for (int i = 0; i < 1100; i++)
		close(fd[i]);
}

static void reload_changes_the_limit(void **state)
{
	uint64_t id = 0x80;
	bool refused = false;

	(void)state;
	assert_false(is_refused(id++, "full"));
	write_config(3);
	kill(stub.pid, SIGHUP);
	for (int i = 0; i < 20 && !refused; i++) {
		usleep(50000);
		refused = is_refused(id++, "full");
	}
	assert_true(refused);
}

static void a_second_one_is_refused(void **state)
{
	char command[512], line[256] = "";
	FILE *pipe;

	(void)state;
	snprintf(command, sizeof(command),
		 "%s/isthmus-translator run --config %s --instance %s --control %s 2>&1",
		 getenv("B") ? getenv("B") : "build", config, instance, stub.control);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_non_null(fgets(line, sizeof(line), pipe));
	assert_int_not_equal(pclose(pipe), 0);
	assert_non_null(strstr(line, stub.control));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(little_privilege_is_kept),
		cmocka_unit_test(maps_are_written_without_privilege),
		cmocka_unit_test(killed_and_started_again),
		cmocka_unit_test(silent_callers_give_way),
		cmocka_unit_test(reload_changes_the_limit),
		cmocka_unit_test(a_second_one_is_refused),
	};

	return cmocka_run_group_tests_name("translator_run", tests, start, stop);
}
