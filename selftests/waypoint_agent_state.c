// SPDX-License-Identifier: GPL-3.0-or-later
/* Bindings over restarts of the machine, and the SETUP socket (agents/waypoint/state.c, ask.c). */
/* link: agents/waypoint/bind.c agents/waypoint/state.c agents/waypoint/ask.c agents/lib/setup.c */
/* link: agents/lib/setup_send.c agents/lib/setup_receive.c agents/lib/address.c */
/* link: agents/lib/log.c agents/lib/map_sweep.c agents/lib/work.c maps/pin.c */
/* link: selftests/lib/tunnel_maps.c selftests/lib/waypoint_agent.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "../agents/lib/address.h"
#include "lib/waypoint_agent.h"

#define PORT 3482

/* ---- the database */

static void open_state(void)
{
	char error[ERROR_LEN] = "";

	if (state_open(w, error))
		fail_msg("%s", error);
}

static int64_t query(const char *text)
{
	sqlite3 *handle;
	sqlite3_stmt *row;
	int64_t value = -1;

	assert_int_equal(sqlite3_open(wagent_state, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, text, -1, &row, NULL), SQLITE_OK);
	if (sqlite3_step(row) == SQLITE_ROW)
		value = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	sqlite3_close(handle);
	return value;
}

static void forget(const char *initiator)
{
	struct waypoint_pair pair = { v4(initiator), v4(W1) };

	assert_int_equal(bpf_map_delete_elem(w->map[MAP_BIND], &pair), 0);
}

static int64_t wall_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void save_and_restore(void **state)
{
	uint64_t now = waypoint_now_ns();
	struct waypoint_bind live = { .peer = GATEWAY,
				      .host = 70000,
				      .carried = WAYPOINT_CARRIED_TCP | WAYPOINT_CARRIED_UDP,
				      .ended = 1,
				      .seen_ns = now - NS_PER_S,
				      .fresh_ns = now + 60 * NS_PER_S,
				      .conns = 3,
				      .ifindex = 2 };
	struct waypoint_bind over = { .peer = GATEWAY,
				      .host = 1,
				      .carried = WAYPOINT_CARRIED_ICMP,
				      .seen_ns = now - 2 * NS_PER_S,
				      .fresh_ns = now - NS_PER_S };
	struct waypoint_bind got;
	int64_t wall = wall_ms();

	(void)state;
	open_state();
	put_bind(ALICE, W1, &live);
	put_bind("192.0.2.1", W1, &over);
	put_bind("255.255.255.254", W1, &live);
	state_save(w);
	state_close(w);
	assert_int_equal(query("SELECT count(*) FROM binds"), 2);
	assert_int_equal(query("SELECT host FROM binds WHERE initiator = 0xc6336407"), 70000);
	assert_in_range(query("SELECT seen FROM binds WHERE initiator = 0xc6336407"),
			wall - 1000 - LATE_MS, wall - 1000 + LATE_MS);
	assert_in_range(query("SELECT fresh FROM binds WHERE initiator = 0xc6336407"),
			wall + 60000 - LATE_MS, wall + 60000 + LATE_MS);
	forget(ALICE);
	forget("192.0.2.1");
	live.host = 5;
	put_bind("255.255.255.254", W1, &live); /* what the map has is newer */
	open_state();
	state_restore(w);
	assert_int_equal(w->counters.restored, 1);
	assert_true(read_bind(ALICE, W1, &got));
	assert_int_equal(got.peer, GATEWAY);
	assert_int_equal(got.host, 70000);
	assert_int_equal(got.carried, live.carried);
	assert_int_equal(got.ended, 1);
	assert_int_equal(got.conns, 0); /* the connections' own map is lost */
	assert_int_equal(got.ifindex, 0);
	assert_in_range(got.seen_ns, live.seen_ns - LATE_MS * NS_PER_MS,
			live.seen_ns + LATE_MS * NS_PER_MS);
	assert_false(read_bind("192.0.2.1", W1, &got));
	assert_true(read_bind("255.255.255.254", W1, &got));
	assert_int_equal(got.host, 5);
}

/* Times and numbers that cannot be are left out: the clock was set, or the file was edited. */
static void restore_refuses(void **state)
{
	static const char *const edits[] = {
		"UPDATE binds SET seen = 0, fresh = 0",
		"UPDATE binds SET seen = seen + 100000",
		"UPDATE binds SET fresh = fresh + 1000000",
		"UPDATE binds SET gateway = 4096",
		"UPDATE binds SET gateway = -1",
		"UPDATE binds SET seen = -9000000000000000000, fresh = -9000000000000000000",
	};
	uint64_t now = waypoint_now_ns();
	struct waypoint_bind bind = {
		.peer = GATEWAY, .carried = WAYPOINT_CARRIED_UDP, .seen_ns = now, .fresh_ns = now
	};

	(void)state;
	for (size_t i = 0; i < COUNT(edits); i++) {
		put_bind(ALICE, W1, &bind);
		open_state();
		state_save(w);
		state_close(w);
		forget(ALICE);
		assert_int_equal(query("SELECT count(*) FROM binds"), 1);
		query(edits[i]);
		open_state();
		state_restore(w);
		state_close(w);
		if (read_bind(ALICE, W1, &bind))
			fail_msg("restored after: %s", edits[i]);
	}
}

static void expect_error(const char *text)
{
	char error[ERROR_LEN] = "";

	assert_true(state_open(w, error) < 0);
	assert_non_null(strstr(error, wagent_state));
	if (!strstr(error, text))
		fail_msg("'%s' does not say '%s'", error, text);
	state_close(w);
}

static void database_is_wrong(void **state)
{
	FILE *file = fopen(wagent_state, "w");

	(void)state;
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		fputs("no database\n", file);
	fclose(file);
	expect_error("not a database");
	unlink(wagent_state);
	query("PRAGMA user_version = 2");
	expect_error("newer version");
	unlink(wagent_state);
	open_state();
	state_save(w); /* of no binding */
	state_close(w);
	assert_int_equal(query("SELECT count(*) FROM binds"), 0);
}

/* ---- the SETUP socket */

static const uint8_t key[SETUP_KEY_BYTES] = { 1, 2, 3 }, wrong_key[SETUP_KEY_BYTES] = { 3, 2, 1 };

static int open_asks(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	const struct timeval limit = { .tv_sec = 5 };
	char error[ERROR_LEN] = "";
	int client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(address_parse("127.0.0.1", &w->settings.setup_address), 0);
	w->settings.setup_port = PORT;
	if (asks_open(w, error))
		fail_msg("%s", error);
	assert_true(client >= 0);
	assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	return client;
}

static void send_bytes(int client, const uint8_t *bytes, size_t len)
{
	uint64_t before = w->counters.setups + w->counters.setups_bad;

	assert_int_equal(send(client, bytes, len, 0), len);
	for (int i = 0; i < 500 && w->counters.setups + w->counters.setups_bad == before; i++) {
		event_base_loop(w->base, EVLOOP_NONBLOCK);
		usleep(1000 * (i > 0));
	}
	assert_int_equal(w->counters.setups + w->counters.setups_bad, before + 1);
}

static void write_ask(const struct setup *ask, const uint8_t *with, uint8_t bytes[SETUP_BYTES])
{
	struct setup_key *made = setup_key_new(with);

	assert_non_null(made);
	assert_int_equal(setup_write(ask, made, bytes), 0);
	setup_key_free(made);
}

static void send_ask(int client, const struct setup *ask, const uint8_t *with)
{
	uint8_t bytes[SETUP_BYTES];

	write_ask(ask, with, bytes);
	send_bytes(client, bytes, sizeof(bytes));
}

/* The next answer, which must be to this one: of what came between, none was answered. */
static void expect_answer(int client, const struct setup *ask, uint8_t type, uint8_t *bytes)
{
	struct setup_key *made = setup_key_new(key);
	struct setup answer;

	assert_non_null(made);
	assert_int_equal(recv(client, bytes, SETUP_BYTES, 0), SETUP_BYTES);
	assert_int_equal(setup_read(bytes, SETUP_BYTES, made, &answer), 0);
	setup_key_free(made);
	assert_int_equal(answer.serial, ask->serial);
	assert_int_equal(answer.type, type);
	assert_int_equal(answer.waypoint, ask->waypoint);
	assert_int_equal(answer.host, ask->host);
}

static void repeated(void **state)
{
	struct setup ask = ask_of(SETUP_DELAYED, "0.0.0.0", 0, GATEWAY, 1);
	uint8_t first[SETUP_BYTES], again[SETUP_BYTES];
	struct waypoint_wait wait;
	int client = open_asks();

	(void)state;
	asks_key(w, key);
	send_ask(client, &ask, key);
	expect_answer(client, &ask, SETUP_ACCEPT, first);
	wait = read_wait(W1, 0);
	/* Not even after the wait is over, when asking anew would begin another. */
	w->address[0].wait[0].until_ns = waypoint_now_ns();
	for (int i = 0; i < 3; i++) {
		send_ask(client, &ask, key);
		expect_answer(client, &ask, SETUP_ACCEPT, again);
		assert_memory_equal(first, again, SETUP_BYTES);
	}
	assert_int_equal(w->counters.setups, 4);
	assert_int_equal(w->counters.repeated, 3);
	assert_int_equal(w->counters.accepted, 1);
	assert_int_equal(read_wait(W1, 0).until_ns, wait.until_ns);
	assert_int_equal(read_wait(W1, 1).until_ns, 0);
	close(client);
}

static void wrong_datagrams(void **state)
{
	struct setup ask = ask_of(SETUP_KNOWN, ALICE, 32, GATEWAY, 1), answer = ask, good;
	uint8_t bytes[SETUP_BYTES + 8] = { 0 };
	struct waypoint_bind bind;
	int client = open_asks();

	(void)state;
	send_ask(client, &ask, key); /* before the name server has given a key */
	asks_key(w, key);
	send_ask(client, &ask, wrong_key);
	write_ask(&ask, key, bytes);
	send_bytes(client, bytes, SETUP_BYTES - 1);
	send_bytes(client, bytes, SETUP_BYTES + 1);
	send_bytes(client, bytes, sizeof(bytes));
	send_bytes(client, bytes, 0);
	for (size_t i = 0; i < SETUP_BYTES; i++) {
		bytes[i] ^= 1;
		send_bytes(client, bytes, SETUP_BYTES);
		bytes[i] ^= 1;
	}
	answer.type = SETUP_ACCEPT;
	send_ask(client, &answer, key);
	ask.serial = 0;
	send_ask(client, &ask, key);
	asks_key(w, NULL); /* the name server is lost */
	send_bytes(client, bytes, SETUP_BYTES);
	assert_false(read_bind(ALICE, W1, &bind));
	assert_int_equal(w->counters.setups_bad, 6 + SETUP_BYTES + 3);
	assert_int_equal(w->counters.setups, 0);
	asks_key(w, key);
	good = ask_of(SETUP_KNOWN, ALICE, 32, STRANGER, 1);
	send_ask(client, &good, key);
	expect_answer(client, &good, SETUP_REJECT, bytes);
	assert_int_equal(w->counters.rejected, 1);
	good = ask_of(SETUP_KNOWN, ALICE, 32, GATEWAY, 1);
	send_ask(client, &good, key);
	expect_answer(client, &good, SETUP_ACCEPT, bytes);
	assert_true(read_bind(ALICE, W1, &bind));
	close(client);
}

#define AGENT_TEST(name) cmocka_unit_test_setup_teardown(name, wagent_set_up, wagent_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AGENT_TEST(save_and_restore),  AGENT_TEST(restore_refuses),
		AGENT_TEST(database_is_wrong), AGENT_TEST(repeated),
		AGENT_TEST(wrong_datagrams),
	};

	if (unshare(CLONE_NEWNET) || system("ip link set lo up")) /* nobody else's ports */
		return 1;
	return cmocka_run_group_tests_name("waypoint_agent_state", tests, NULL, NULL);
}
