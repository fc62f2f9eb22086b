// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The kernel engine on real maps, without the datapath: the test plays the datapath's part by
 * writing joins and legs as bpf/splice_join.bpf.h does. No event comes, as if all were lost: the
 * sweep must find everything.
 */
/* link: agents/translator/kernel.c agents/translator/attached.c agents/translator/events.c */
/* link: agents/translator/sweep.c selftests/lib/translator_maps.c */
/* link: agents/translator/decide.c agents/translator/restore.c agents/translator/hops.c */
/* link: agents/lib/neighbour.c agents/lib/neighbour_watch.c agents/translator/rendezvous.c */
/* link: agents/translator/ports.c agents/translator/settings.c agents/lib/conf.c */
/* link: agents/lib/address.c agents/lib/auth.c agents/lib/log.c agents/lib/metrics.c maps/pin.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <event2/buffer.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../agents/lib/address.h"
#include "../agents/translator/kernel.h"
#include "lib/translator_maps.h"

#define RENDEZVOUS 8
#define LOW	   30000
#define HIGH	   30099

static char instance[24];
static struct isthmus_addr local_addr;
static struct translator *t;

static struct {
	unsigned int joined, ended, side_syn;
	uint64_t session;
	enum end_why why;
	struct traffic traffic;
	uint16_t port;
} told;

static void on_joined(struct translator *translator, const struct session *s)
{
	(void)translator;
	told.joined++;
	told.session = s->id;
}

static void on_ended(struct translator *translator, const struct session *s, enum end_why why,
		     const struct traffic *traffic)
{
	(void)translator;
	told.ended++;
	told.session = s->id;
	told.why = why;
	told.traffic = *traffic;
}

static void on_refused(struct translator *translator, const struct session *s, const char *reason)
{
	(void)translator;
	(void)s;
	(void)reason;
}

static void on_side_syn(struct translator *translator, const struct session *s, int side,
			uint16_t port)
{
	(void)translator;
	(void)s;
	(void)side;
	told.side_syn++;
	told.port = port;
}

static const struct notify notify = { on_joined, on_ended, on_refused, on_side_syn };

static void start_translator(void)
{
	char error[256] = "";

	t = calloc(1, sizeof(*t));
	assert_non_null(t);
	settings_default(&t->settings);
	t->settings.instance = strdup(instance);
	t->base = event_base_new();
	t->notify = &notify;
	assert_int_equal(table_init(t, 64), 0);
	if (kernel_start(t, error, sizeof(error)))
		fail_msg("%s", error);
}

/* As SIGKILL would: the maps stay as they are. */
static void end_translator(void)
{
	t->engine->stop(t);
	table_free(t);
	locals_free(&t->locals);
	settings_free(&t->settings);
	event_base_free(t->base);
	free(t);
}

static int setup(void **state)
{
	(void)state;
	memset(&told, 0, sizeof(told));
	snprintf(instance, sizeof(instance), "t%d", getpid());
	assert_int_equal(address_parse("127.0.0.1", &local_addr), 0);
	maps_pin(instance, &local_addr, LOW, HIGH, RENDEZVOUS);
	start_translator();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end_translator();
	maps_unpin(instance);
	return 0;
}

static int leg_count(void)
{
	int count = 0;

	for (__u32 i = 0; i < t->kernel->leg_count; i++)
		count += t->kernel->leg[i].state == SPLICE_LEG_LIVE;
	return count;
}

static int side_count(void)
{
	struct splice_local_key key, *at = NULL;
	int count = 0;

	while (!bpf_map_get_next_key(t->kernel->fd[MAP_SIDE], at, &key) && count < 99) {
		at = &key;
		count++;
	}
	return count;
}

static struct session *open_session(uint64_t id, uint8_t proto)
{
	struct open_request request = { .id = id, .proto = proto, .family = 4, .lifetime_s = 30 };
	struct session *s = NULL;

	assert_int_equal(rendezvous_open(t, &request, &s), 0);
	return s;
}

static void probe_sides(struct session *s, struct isthmus_addr remote[2])
{
	for (int side = 0; side < 2; side++) {
		struct probe_question question = { .session = s->id, .side = side };
		char text[32];

		snprintf(text, sizeof(text), "198.51.100.%d", 10 + side);
		assert_int_equal(address_parse(text, &remote[side]), 0);
		memcpy(question.token, s->side[side].token, PROBE_TOKEN_BYTES);
		assert_int_equal(rendezvous_probe(t, &question, &remote[side]), PROBE_OK);
	}
}

static struct splice_side read_side(const struct session *s, int side)
{
	struct splice_local_key key = kernel_local_key(s, side);
	struct splice_side value;

	assert_int_equal(bpf_map_lookup_elem(t->kernel->fd[MAP_SIDE], &key, &value), 0);
	return value;
}

static void expect_address(const struct session *s, int side, const struct isthmus_addr *addr)
{
	struct splice_side value = read_side(s, side);

	assert_int_equal(value.known, 1);
	assert_memory_equal(&value.expected, addr, sizeof(*addr));
}

static struct splice_leg *leg_at(const struct session *s, int side)
{
	const struct splice_range range = { LOW, HIGH, 0 };

	return &t->kernel->leg[splice_leg_index(&range, s->side[side].port, s->proto)];
}

/* One leg, last seen quiet_s ago. */
static void write_leg(const struct session *s, int side, uint8_t flags, uint64_t quiet_s)
{
	const struct side *own = &s->side[side], *other = &s->side[!side];
	struct splice_leg leg = { .remote = own->remote,
				  .remote_port = htons(5000 + side),
				  .new_src = other->local,
				  .new_dst = other->remote,
				  .new_sport = htons(other->port),
				  .new_dport = htons(5000 + !side),
				  .state = SPLICE_LEG_LIVE,
				  .flags = flags | (side ? SPLICE_LEG_PROVIDER : 0),
				  .rendezvous = s->id,
				  .seen_ns = now_ns() - quiet_s * NS_PER_S,
				  .packets = 3 + side,
				  .bytes = 1000 + side };

	*leg_at(s, side) = leg;
}

/* What the datapath does at the second SYN. */
static void join_sides(const struct session *s, uint8_t flags, uint64_t quiet_s)
{
	struct splice_join join = { .state = SPLICE_SYN_RCVD, .joined_ns = now_ns() };

	for (int side = 0; side < 2; side++) {
		join.syn[side].seen_ns = now_ns();
		join.syn[side].remote_port = htons(5000 + side);
		write_leg(s, side, flags, quiet_s);
	}
	assert_int_equal(bpf_map_update_elem(t->kernel->fd[MAP_JOIN], &s->id, &join, BPF_EXIST), 0);
}

static struct session *joined_session(uint64_t id, uint8_t flags, uint64_t quiet_s)
{
	struct session *s = open_session(id, IPPROTO_TCP);
	struct isthmus_addr remote[2];

	probe_sides(s, remote);
	join_sides(s, flags, quiet_s);
	return s;
}

/* ---- tests */

static void open_probe_close(void **state)
{
	struct session *s = open_session(7, IPPROTO_TCP);
	struct isthmus_addr remote[2];
	struct splice_local_key other;
	struct splice_side side;
	struct splice_join join;

	(void)state;
	for (int i = 0; i < 2; i++) {
		side = read_side(s, i);
		other = kernel_local_key(s, !i);
		assert_int_equal(side.rendezvous, 7);
		assert_int_equal(side.side, i);
		assert_int_equal(side.known, 0); /* nobody is admitted yet */
		assert_memory_equal(&side.other, &other, sizeof(other));
		assert_true(side.expires_ns > now_ns() + 29 * NS_PER_S);
		assert_in_range(s->side[i].port, LOW, HIGH);
	}
	assert_int_not_equal(s->side[0].port, s->side[1].port);
	probe_sides(s, remote);
	for (int i = 0; i < 2; i++) {
		side = read_side(s, i);
		assert_int_equal(side.known, 1);
		assert_memory_equal(&side.expected, &remote[i], sizeof(remote[i]));
	}
	rendezvous_end(t, s, END_CLOSED);
	assert_int_equal(told.why, END_CLOSED);
	assert_int_equal(side_count(), 0);
	assert_int_equal(bpf_map_lookup_elem(t->kernel->fd[MAP_JOIN], &(__u64){ 7 }, &join),
			 -ENOENT);
	assert_int_equal(locals_free_ports(&t->locals, IPPROTO_TCP), HIGH - LOW + 1);
}

/* The map holds 8: the ninth is refused, and one that ends makes room. */
static void full_map(void **state)
{
	struct open_request request = { 99, IPPROTO_TCP, 4, false, 30, 0, 0 };
	struct session *s = NULL, *none = NULL;

	(void)state;
	for (int i = 0; i < RENDEZVOUS; i++)
		s = open_session(i + 1, IPPROTO_TCP);
	assert_int_equal(rendezvous_open(t, &request, &none), -ENOSPC);
	assert_null(none);
	assert_int_equal(side_count(), 2 * RENDEZVOUS);
	assert_int_equal(rendezvous_free(t), 0);
	rendezvous_end(t, s, END_CLOSED);
	assert_int_equal(rendezvous_open(t, &request, &none), 0);
}

static void sweep_finds_joins(void **state)
{
	(void)state;
	joined_session(5, SPLICE_LEG_ACKED, 1);
	sweep_run(t);
	assert_int_equal(told.joined, 1);
	assert_int_equal(told.session, 5);
	sweep_run(t);
	assert_int_equal(told.joined, 1);
	assert_int_equal(told.ended, 0);
	assert_int_equal(leg_count(), 2);
	assert_null(table_find(&t->table, 5)->timer);
}

static void expect_end(uint8_t flags, uint64_t quiet_s, enum end_why why, int legs_left)
{
	memset(&told, 0, sizeof(told));
	joined_session(6, flags, quiet_s);
	sweep_run(t);
	assert_int_equal(told.ended, 1);
	assert_int_equal(told.why, why);
	assert_int_equal(told.traffic.bytes[0], 1000);
	assert_int_equal(told.traffic.bytes[1], 1001);
	assert_int_equal(told.traffic.packets[0], 3);
	assert_int_equal(told.traffic.packets[1], 4);
	assert_int_equal(leg_count(), legs_left);
	assert_int_equal(side_count(), 0);
	assert_int_equal(t->table.sessions, 0);
}

static void sweep_ends_sessions(void **state)
{
	(void)state;
	expect_end(SPLICE_LEG_ACKED, 8, END_IDLE, 0);
	expect_end(0, 4, END_HALF_OPEN, 0);
	expect_end(SPLICE_LEG_ACKED | SPLICE_LEG_RST, 3, END_RESET, 0);
	expect_end(SPLICE_LEG_ACKED | SPLICE_LEG_FIN, 6, END_DONE, 0);
	assert_int_equal(t->counters.orphans, 0);
}

/*
 * Both FINs: reported and withdrawn at once, while the legs serve repeated FINs. Until TIME-WAIT is
 * over the endpoints are nobody else's, over a restart too.
 */
static void time_wait_outlives_the_session(void **state)
{
	struct session copy;

	(void)state;
	copy = *joined_session(8, SPLICE_LEG_ACKED | SPLICE_LEG_FIN, 3);
	sweep_run(t);
	sweep_run(t);
	assert_int_equal(told.ended, 1);
	assert_int_equal(told.why, END_DONE);
	assert_int_equal(told.traffic.bytes[1], 1001);
	assert_int_equal(leg_count(), 2);
	assert_int_equal(side_count(), 0);
	assert_int_equal(port_claim(&t->locals, &local_addr, IPPROTO_TCP, copy.side[0].port, NULL),
			 -EEXIST);
	assert_int_equal(rendezvous_free(t), RENDEZVOUS);
	end_translator();
	start_translator();
	assert_int_equal(port_claim(&t->locals, &local_addr, IPPROTO_TCP, copy.side[1].port, NULL),
			 -EEXIST);
	assert_int_equal(rendezvous_free(t), RENDEZVOUS);
	sweep_run(t);
	assert_int_equal(leg_count(), 2);
	for (int side = 0; side < 2; side++)
		write_leg(&copy, side, SPLICE_LEG_ACKED | SPLICE_LEG_FIN, 6);
	sweep_run(t);
	assert_int_equal(leg_count(), 0);
	assert_int_equal(t->table.sessions, 0);
	assert_int_equal(told.ended, 1); /* not by the second agent again */
	assert_int_equal(locals_free_ports(&t->locals, IPPROTO_TCP), HIGH - LOW + 1);
	assert_int_equal(t->counters.orphans, 0);
}

/* All endpoints in TIME-WAIT: the oldest make room; none is taken from a live session. */
static void time_wait_gives_way(void **state)
{
	struct session *s;

	(void)state;
	joined_session(1000, SPLICE_LEG_ACKED, 1);
	for (int i = 1; i < (HIGH - LOW + 1) / 2; i++) {
		joined_session(1000 + i, SPLICE_LEG_ACKED | SPLICE_LEG_FIN, 3);
		sweep_run(t);
	}
	assert_int_equal(locals_free_ports(&t->locals, IPPROTO_TCP), 0);
	assert_int_equal(t->table.finished_count, (HIGH - LOW + 1) / 2 - 1);
	s = open_session(1, IPPROTO_TCP);
	assert_int_not_equal(s->side[0].port, s->side[1].port);
	assert_null(table_find(&t->table, 1001));
	assert_non_null(table_find(&t->table, 1000));
	assert_non_null(table_find(&t->table, 1002));
	assert_int_equal(t->counters.reclaimed, 1);
	assert_int_equal(leg_count(), HIGH - LOW + 1 - 2);
}

/* Legs whose session is gone are freed; those of a live session stay. */
static void orphans(void **state)
{
	struct session copy = *joined_session(1, SPLICE_LEG_ACKED, 1);

	(void)state;
	joined_session(2, SPLICE_LEG_ACKED, 1);
	sweep_run(t);
	rendezvous_end(t, table_find(&t->table, 1), END_CLOSED);
	assert_int_equal(leg_count(), 2);
	write_leg(&copy, 0, SPLICE_LEG_ACKED, 0); /* by a CPU that was late */
	write_leg(&copy, 1, SPLICE_LEG_ACKED, 0);
	sweep_run(t);
	assert_int_equal(leg_count(), 2);
	assert_int_equal(t->counters.orphans, 2);
	assert_int_equal(leg_at(table_find(&t->table, 2), 0)->state, SPLICE_LEG_LIVE);
}

static void vanished(void **state)
{
	struct session *s = joined_session(3, SPLICE_LEG_ACKED, 1);

	(void)state;
	sweep_run(t);
	assert_int_equal(told.joined, 1);
	leg_at(s, 1)->state = SPLICE_LEG_FREE;
	sweep_run(t);
	assert_int_equal(told.ended, 0); /* may be on its way */
	s->joined_ns -= 2 * NS_PER_S;
	sweep_run(t);
	assert_int_equal(told.ended, 1);
	assert_int_equal(told.why, END_VANISHED);
	assert_int_equal(side_count(), 0);
	assert_int_equal(leg_count(), 0);
}

/* Killed with one joined, one waiting, one half-made, one half-ended and a join without sides. */
static void restart(void **state)
{
	struct splice_local_key half = { .addr = local_addr,
					 .port = htons(LOW + 1),
					 .proto = IPPROTO_TCP };
	struct splice_side side = { .rendezvous = 77, .expires_ns = now_ns() };
	struct splice_local_key ending;
	struct splice_join join = { 0 };
	uint16_t port[2];
	struct session *s;
	__u64 id = 78;

	(void)state;
	bpf_map_update_elem(t->kernel->fd[MAP_SIDE], &half, &side, 0);
	port_restore(&t->locals, &local_addr, IPPROTO_TCP, LOW + 1, (struct session *)&side);
	s = joined_session(0xdddd, SPLICE_LEG_ACKED, 1);
	ending = kernel_local_key(s, 0);
	assert_int_equal(bpf_map_delete_elem(t->kernel->fd[MAP_SIDE], &ending), 0);
	s = joined_session(0xaaaa, SPLICE_LEG_ACKED, 1);
	port[0] = s->side[0].port;
	port[1] = s->side[1].port;
	open_session(0xbbbb, IPPROTO_UDP);
	assert_int_equal(bpf_map_update_elem(t->kernel->fd[MAP_JOIN], &id, &join, 0), 0);
	end_translator();
	start_translator();
	assert_int_equal(bpf_map_lookup_elem(t->kernel->fd[MAP_JOIN], &id, &join), -ENOENT);
	s = table_find(&t->table, 0xaaaa);
	assert_non_null(s);
	assert_int_equal(s->state, SESSION_JOINED);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(s->side[i].port, port[i]);
		assert_int_equal(port_claim(&t->locals, &local_addr, IPPROTO_TCP, port[i], s),
				 -EEXIST);
	}
	s = table_find(&t->table, 0xbbbb);
	assert_non_null(s);
	assert_int_equal(s->state, SESSION_WAITING);
	assert_int_equal(s->proto, IPPROTO_UDP);
	s = table_find(&t->table, 0xdddd);
	assert_non_null(s);
	assert_int_equal(s->state, SESSION_JOINED);
	assert_int_equal(s->side[0].port, ntohs(ending.port));
	sweep_run(t);
	assert_int_equal(leg_count(), 4);
	assert_int_equal(told.ended, 0);
	for (int i = 0; i < 50 && table_find(&t->table, 77); i++) {
		usleep(10000);
		event_base_loop(t->base, EVLOOP_NONBLOCK);
	}
	assert_null(table_find(&t->table, 77));
	assert_int_equal(t->table.sessions, 3);
	s = table_find(&t->table, 0xaaaa);
	write_leg(s, 0, SPLICE_LEG_ACKED | SPLICE_LEG_RST, 8);
	write_leg(s, 1, SPLICE_LEG_ACKED, 8);
	told.ended = 0;
	sweep_run(t);
	assert_int_equal(told.ended, 1);
	assert_int_equal(told.session, 0xaaaa);
	assert_int_equal(told.why, END_RESET);
	assert_int_equal(told.traffic.bytes[1], 1001);
	assert_int_equal(leg_count(), 2);
}

/* Thesis figure 4.7: A connects to B's source port, B then to A's. */
static void pure(void **state)
{
	struct open_request request = { .id = 4,
					.proto = IPPROTO_TCP,
					.family = 4,
					.pure = true,
					.lifetime_s = 30,
					.source_port = LOW + 5,
					.source_side = 1 };
	struct splice_join join = { .state = SPLICE_SYN_LOOKUP };
	struct isthmus_addr remote[2];
	struct session *s;

	(void)state;
	assert_int_equal(rendezvous_open(t, &request, &s), 0);
	assert_true(s->pure);
	assert_int_equal(s->side[0].port, LOW + 5);
	assert_int_equal(s->side[1].port, 0);
	assert_int_equal(side_count(), 1);
	probe_sides(s, remote);
	join.syn[0].seen_ns = now_ns();
	join.syn[0].remote_port = htons(LOW + 9);
	assert_int_equal(bpf_map_update_elem(t->kernel->fd[MAP_JOIN], &s->id, &join, 0), 0);
	t->engine->check(t, s);
	assert_int_equal(told.side_syn, 1);
	assert_int_equal(told.port, LOW + 9);
	assert_int_equal(rendezvous_pure_open(t, s, 1, LOW + 9), 0);
	assert_int_equal(ntohs(read_side(s, 0).other.port), LOW + 9);
	assert_int_equal(ntohs(read_side(s, 1).other.port), LOW + 5);
	assert_int_equal(read_side(s, 1).known, 1);
	expect_address(s, 1, &remote[1]);
	rendezvous_end(t, s, END_CLOSED);
	assert_int_equal(side_count(), 0);
	/* The port is another session's, or outside: passive, at another one. */
	request.source_port = HIGH + 7;
	assert_int_equal(rendezvous_open(t, &request, &s), 0);
	assert_false(s->pure);
	rendezvous_end(t, s, END_CLOSED);
	request.source_port = LOW + 5;
	assert_int_equal(rendezvous_open(t, &request, &s), 0);
	assert_int_equal(rendezvous_pure_open(t, s, 1, LOW + 5), -EEXIST);
	assert_false(s->pure);
	assert_in_range(s->side[1].port, LOW, HIGH);
	assert_int_not_equal(s->side[1].port, LOW + 5);
	assert_int_equal(ntohs(read_side(s, 0).other.port), s->side[1].port);
}

/* A second address for a side: before its SYN yes, after it no. */
static void address_changes(void **state)
{
	struct session *s = open_session(9, IPPROTO_TCP);
	struct probe_question question = { .session = 9, .side = 0 };
	struct splice_join join = { .state = SPLICE_SYN_LOOKUP };
	struct isthmus_addr remote[2], other, six;

	(void)state;
	probe_sides(s, remote);
	memcpy(question.token, s->side[0].token, PROBE_TOKEN_BYTES);
	assert_int_equal(address_parse("192.0.2.9", &other), 0);
	assert_int_equal(address_parse("2001:db8::9", &six), 0);
	assert_int_equal(rendezvous_probe(t, &question, &six), PROBE_FAMILY);
	assert_int_equal(rendezvous_probe(t, &question, &other), PROBE_OK);
	expect_address(s, 0, &other);
	join.syn[0].seen_ns = now_ns();
	assert_int_equal(bpf_map_update_elem(t->kernel->fd[MAP_JOIN], &s->id, &join, 0), 0);
	assert_int_equal(rendezvous_probe(t, &question, &remote[0]), PROBE_EXPIRED);
	expect_address(s, 0, &other);
	assert_int_equal(rendezvous_probe(t, &question, &other), PROBE_OK);
}

static void metrics_name_each_reason(void **state)
{
	struct evbuffer *out = evbuffer_new();
	const char *text;

	(void)state;
	t->engine->metrics(t, out);
	evbuffer_add(out, "", 1); /* ends the text */
	text = (const char *)evbuffer_pullup(out, -1);
	assert_non_null(strstr(text, "reason=\"wrong-source\""));
	assert_non_null(strstr(text, "reason=\"event-lost\""));
	evbuffer_free(out);
}

#define KERNEL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		KERNEL_TEST(open_probe_close),
		KERNEL_TEST(full_map),
		KERNEL_TEST(sweep_finds_joins),
		KERNEL_TEST(sweep_ends_sessions),
		KERNEL_TEST(time_wait_outlives_the_session),
		KERNEL_TEST(time_wait_gives_way),
		KERNEL_TEST(orphans),
		KERNEL_TEST(vanished),
		KERNEL_TEST(restart),
		KERNEL_TEST(pure),
		KERNEL_TEST(address_changes),
		KERNEL_TEST(metrics_name_each_reason),
	};

	if (unshare(CLONE_NEWNET)) /* nobody else's ports */
		return 1;
	return cmocka_run_group_tests_name("translator_kernel", tests, NULL, NULL);
}
