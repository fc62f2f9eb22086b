// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Parts of isthmus-portarp by themselves: the owner's word against a counter that races with it,
 * PE-ARP frames byte by byte, what is done to a frame that waited, and own ports.
 */
/* link: agents/portarp/arp.c agents/portarp/frame.c agents/portarp/owner.c agents/portarp/mine.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../agents/portarp/arp.h"
#include "../agents/portarp/frame.h"
#include "../agents/portarp/host.h"
#include "../agents/portarp/owner.h"

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 0x34 };

/* ---- the owner's word */

#define RACES	30000
#define PACKETS 12

/* A datapath of a few packets: it counts one as waiting, or finds the owner known. */
struct race {
	uint64_t word;
	pthread_barrier_t barrier;
	unsigned int handed; /* to the agent */
	bool answers;	     /* the agent is about to settle */
};

static void *datapath(void *arg)
{
	struct race *race = arg;

	for (int i = 0; i < RACES; i++) {
		pthread_barrier_wait(&race->barrier);
		for (int n = 0; n < PACKETS; n++) {
			while (n == i % PACKETS &&
			       !__atomic_load_n(&race->answers, __ATOMIC_ACQUIRE))
				sched_yield();
			union owner_word before = { .word = __atomic_fetch_add(&race->word,
									       PORTARP_OWNER_ONE,
									       __ATOMIC_ACQ_REL) };

			if (before.owner.wait & PORTARP_OWNER_KNOWN)
				owner_subtract(&race->word, 1);
			else
				__atomic_fetch_add(&race->handed, 1, __ATOMIC_ACQ_REL);
			sched_yield(); /* a busy machine lets the agent in between, too */
		}
		pthread_barrier_wait(&race->barrier);
	}
	return NULL;
}

/* What is handed over is sent; at the end nothing that was handed over is left, and nothing counts.
 */
static void a_counter_that_races(void **state)
{
	struct race race = { 0 };
	unsigned int in_between = 0;
	pthread_t thread;

	(void)state;
	pthread_barrier_init(&race.barrier, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, datapath, &race), 0);
	for (int i = 0; i < RACES; i++) {
		unsigned int sent = 0;

		race.word = 0;
		race.handed = 0;
		race.answers = false;
		pthread_barrier_wait(&race.barrier);
		/* The answer comes after so many packets, and the others in the meantime. */
		while (__atomic_load_n(&race.handed, __ATOMIC_ACQUIRE) < i % (unsigned int)PACKETS)
			sched_yield();
		sent = __atomic_load_n(&race.handed, __ATOMIC_ACQUIRE);
		__atomic_store_n(&race.answers, true, __ATOMIC_RELEASE);
		for (volatile int spin = i % 300; spin; spin--)
			;
		while (!owner_settle(&race.word, mac, 0, sent))
			sent = __atomic_load_n(&race.handed, __ATOMIC_ACQUIRE);
		pthread_barrier_wait(&race.barrier);
		assert_int_equal(race.handed, sent);
		assert_int_equal(owner_load(&race.word).owner.wait, PORTARP_OWNER_KNOWN);
		assert_memory_equal(owner_load(&race.word).owner.mac, mac, 6);
		in_between += sent > 0 && sent < PACKETS;
	}
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&race.barrier);
	assert_true(in_between > 0); /* else there was no race */
}

static void words(void **state)
{
	uint64_t word = 0;

	(void)state;
	word += 3 * PORTARP_OWNER_ONE;
	assert_false(owner_settle(&word, mac, 0, 2));
	assert_int_equal(owner_waiting(owner_load(&word)), 3);
	assert_true(owner_settle(&word, mac, PORTARP_OWNER_UP, 3));
	assert_int_equal(owner_load(&word).owner.wait, PORTARP_OWNER_KNOWN | PORTARP_OWNER_UP);
	word += PORTARP_OWNER_ONE; /* one that is about to be taken back */
	owner_mark(&word, PORTARP_OWNER_STALE, PORTARP_OWNER_UP);
	assert_int_equal(owner_load(&word).owner.wait,
			 PORTARP_OWNER_KNOWN | PORTARP_OWNER_STALE | 1);
	assert_memory_equal(owner_load(&word).owner.mac, mac, 6);
	owner_change(&word, NULL, PORTARP_OWNER_NONE);
	assert_int_equal(owner_load(&word).owner.wait, PORTARP_OWNER_NONE | 1);
	owner_subtract(&word, 1);
	assert_int_equal(owner_load(&word).owner.wait, PORTARP_OWNER_NONE);
	assert_false(owner_settle_lost(&word, mac, 0, 12345));
	assert_true(owner_settle_lost(&word, mac, 0, word));
}

/* ---- PE-ARP */

/* Written out by hand from maps/portarp.h: set 52 of a 6, k 8, and range 5000-5099, 90 s. */
static const uint8_t reply_bytes[ARP_FRAME_BYTES] = {
	0x02, 0,    0,	  0, 1,	   1,	 0x02, 0,  0,	 0, 0,	  0x34, 0x08, 0x06, /* Ethernet */
	0,    1,    0x08, 0, 6,	   4,	 0,    25,				    /* ARP */
	0x02, 0,    0,	  0, 0,	   0x34, 0,    0,  0,	 0,			    /* sender */
	0x02, 0,    0,	  0, 1,	   1,	 192,  0,  2,	 1,			    /* target */
	0x50, 0x45, 1,	  3, 0x13, 0x89, 6,    8,  0x34, 0, 0x13, 0x88, 0x13, 0xeb,
	0,    90, /* trailer */
};

static void frames_byte_by_byte(void **state)
{
	struct arp_message message = { .from = { 2, 0, 0, 0, 0, 0x34 },
				       .to = { 2, 0, 0, 0, 1, 1 },
				       .addr_be = inet_addr("192.0.2.1"),
				       .port = 5001,
				       .flags = PORTARP_ARP_SET | PORTARP_ARP_RANGE,
				       .set = { 6, 8, 52 },
				       .low = 5000,
				       .high = 5099,
				       .lifetime_s = 90 };
	struct arp_message read;
	uint8_t frame[ARP_FRAME_BYTES];

	(void)state;
	arp_build(&message, htons(25), frame);
	assert_memory_equal(frame, reply_bytes, sizeof(frame));
	assert_int_equal(arp_parse(reply_bytes, 58, htons(25), &read), 0);
	assert_memory_equal(read.from, message.from, 6);
	assert_int_equal(read.set.psid, 52);
	assert_int_equal(read.low, 5000);
	assert_int_equal(read.high, 5099);
	assert_int_equal(read.port, 5001);
	assert_int_equal(read.lifetime_s, 90);
	memset(&message, 0, sizeof(message));
	memcpy(message.from, mac, 6);
	arp_build(&message, htons(24), frame);
	assert_memory_equal(frame, "\xff\xff\xff\xff\xff\xff", 6); /* to everyone */
	assert_memory_equal(frame + 32, "\0\0\0\0\0\0", 6);
}

static void contradictions_are_refused(void **state)
{
	static const struct {
		const char *what;
		unsigned int at;
		uint8_t value;
	} rows[] = {
		{ "another Ethernet type", 13, 0 },
		{ "another hardware", 15, 6 },
		{ "another protocol", 17, 1 },
		{ "MACs of another length", 18, 8 },
		{ "addresses of another", 19, 16 },
		{ "another operation", 21, 24 },
		{ "an Ethernet sender", 11, 0x35 },
		{ "a sender's address", 31, 1 },
		{ "another magic", 42, 0x51 },
		{ "a version to come", 44, 2 },
		{ "neither set nor range", 45, 0 },
		{ "a of 16", 48, 16 },
		{ "a + k of 17", 49, 11 },
		{ "low above high", 52, 0x14 },
		{ "a port outside the range", 46, 9 },
	};
	struct arp_message before = { .port = 7 }, read = before;
	uint8_t frame[ARP_FRAME_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(frame, reply_bytes, sizeof(frame));
		frame[rows[i].at] = rows[i].value;
		if (arp_parse(frame, sizeof(frame), htons(25), &read) != -EINVAL)
			fail_msg("%s is taken", rows[i].what);
		assert_memory_equal(&read, &before, sizeof(read));
	}
	assert_int_equal(arp_parse(reply_bytes, 57, htons(25), &read), -EINVAL);
	memcpy(frame, reply_bytes, sizeof(frame));
	frame[6] = frame[22] = 0x03; /* a group's MAC, twice the same */
	assert_int_equal(arp_parse(frame, sizeof(frame), htons(25), &read), -EINVAL);
	assert_int_equal(arp_parse(reply_bytes, sizeof(frame), htons(25), &read), 0);
}

/* ---- frames that waited */

static void who_decrements(void **state)
{
	static const struct {
		enum portarp_role role;
		bool own, ttl;
	} rows[] = {
		{ PORTARP_GATEWAY, false, true }, { PORTARP_GATEWAY, true, false },
		{ PORTARP_BRIDGE, false, false }, { PORTARP_BRIDGE, true, false },
		{ PORTARP_HOST, true, false },	  { PORTARP_HOST, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct frame_turn turn = frame_turn(rows[i].role, rows[i].own);

		assert_int_equal(turn.ttl, rows[i].ttl);
	}
}

/* 198.51.100.9:4242 -> 192.0.2.1:5001, UDP, four bytes; the sums were computed by hand. */
static const uint8_t packet[] = {
	2, 0,	 0,    0,    1,	   1,	 2,    0,    0,	   0,	 2,   2,   8,	0,   0x45, 0,
	0, 0x20, 0x12, 0x34, 0x40, 0,	 0x40, 0x11, 0x37, 0x87, 198, 51,  100, 9,   192,  0,
	2, 1,	 0x10, 0x92, 0x13, 0x89, 0,    0x0c, 0,	   0,	 'a', 'b', 'c', 'd',
};

static uint16_t header_sum(const uint8_t *frame)
{
	return frame_sum(frame + 14, 20, 0);
}

static uint16_t udp_sum(const uint8_t *frame)
{
	uint32_t pseudo = frame_sum(frame + 26, 8, 17 + 12);

	return frame_sum(frame + 34, 12, pseudo);
}

static void ttl_and_its_checksum(void **state)
{
	static const uint8_t ours[6] = { 2, 0, 0, 0, 9, 9 };
	uint8_t frame[sizeof(packet)], whole[sizeof(packet)];

	(void)state;
	for (int ttl = 2; ttl < 256; ttl++) {
		uint16_t check;

		memcpy(frame, packet, sizeof(frame));
		frame[22] = ttl;
		frame[24] = frame[25] = 0;
		check = ~header_sum(frame);
		frame[24] = check >> 8;
		frame[25] = check;
		assert_int_equal(header_sum(frame), 0xffff);
		memcpy(whole, frame, sizeof(frame));
		assert_int_equal(frame_prepare(frame, sizeof(frame),
					       frame_turn(PORTARP_GATEWAY, false), mac, ours),
				 0);
		assert_int_equal(frame[22], ttl - 1);
		assert_int_equal(header_sum(frame), 0xffff);
		assert_memory_equal(frame, mac, 6);
		assert_memory_equal(frame + 6, ours, 6);
		assert_memory_equal(frame + 26, whole + 26, sizeof(frame) - 26);
	}
	frame[22] = 1;
	assert_int_equal(
		frame_prepare(frame, sizeof(frame), frame_turn(PORTARP_GATEWAY, false), mac, ours),
		-ETIME);
	memcpy(frame, packet, sizeof(frame));
	assert_int_equal(
		frame_prepare(frame, sizeof(frame), frame_turn(PORTARP_BRIDGE, false), mac, ours),
		0);
	assert_memory_equal(frame + 6, ours, 6);
	assert_memory_equal(frame + 12, packet + 12, sizeof(frame) - 12);
	assert_int_equal(frame_prepare(frame, sizeof(frame) - 1, frame_turn(PORTARP_BRIDGE, false),
				       mac, ours),
			 -EINVAL);
}

static void unfinished_checksums(void **state)
{
	uint16_t pseudo = frame_sum(packet + 26, 8, 17 + 12);
	uint8_t frame[sizeof(packet)];

	(void)state;
	memcpy(frame, packet, sizeof(frame)); /* none: stays none */
	assert_int_equal(
		frame_prepare(frame, sizeof(frame), frame_turn(PORTARP_HOST, true), mac, mac), 0);
	assert_int_equal(frame[40] << 8 | frame[41], 0);
	frame[40] = pseudo >> 8;
	frame[41] = pseudo;
	assert_int_equal(
		frame_prepare(frame, sizeof(frame), frame_turn(PORTARP_HOST, true), mac, mac), 0);
	assert_int_equal(udp_sum(frame), 0xffff);
	frame[41] ^= 1; /* a wrong one is not ours to mend */
	assert_int_equal(
		frame_prepare(frame, sizeof(frame), frame_turn(PORTARP_HOST, true), mac, mac), 0);
	assert_int_not_equal(udp_sum(frame), 0xffff);
}

/* ---- own ports */

static void own_parts(void **state)
{
	struct own_part many[PORTARP_SETS + 1];
	struct own_part part[3] = { { .ports = { .set = { 0, 4, 2 } }, .ends_s = 1090 },
				    { .ports = { .set = { 0, 4, 5 } }, .ends_s = 1030 },
				    { .ports = { .range = true, .low = 80, .high = 80 } } };
	struct portarp_mine mine = { .ifindex = 3 }, before;

	(void)state;
	assert_int_equal(mine_build(part, 2, 1000, 5000, &mine), 0);
	assert_int_equal(mine.ifindex, 3);
	assert_int_equal(mine.set.psid, 2);
	assert_int_equal(mine.sets, 2);
	assert_int_equal(portarp_mine_set(&mine, 1).psid, 5);
	assert_int_equal(mine.ranges, 0);
	assert_int_equal(mine.lifetime_s, 30);
	assert_int_equal(mine.expires_ns, 5000 + 90000000000ULL);
	assert_int_equal(mine_build(part, 3, 1000, 5000, &mine), 0);
	assert_int_equal(mine.expires_ns, 0);
	assert_true(mine_has_port(&mine, 80) && mine_has_port(&mine, 8192));
	assert_false(mine_has_port(&mine, 81) || mine_has_port(&mine, 12288));
	before = mine;
	part[1].ports.set = (struct portset){ 6, 4, 5 };
	assert_int_equal(mine_build(part, 2, 1000, 5000, &mine), -EINVAL);
	assert_memory_equal(&mine, &before, sizeof(mine));
	for (int i = 0; i <= PORTARP_SETS; i++)
		many[i] = (struct own_part){ .ports = { .set = { 6, 4, i } } };
	assert_int_equal(mine_build(many, PORTARP_SETS + 1, 1000, 5000, &mine), -ENOSPC);
	assert_memory_equal(&mine, &before, sizeof(mine));
	assert_int_equal(mine_build(many, PORTARP_SETS, 1000, 5000, &mine), 0);
	assert_true(mine_has_port(&mine, 1024 + 7 * 64) && mine_has_port(&mine, 1024 + 63));
	assert_false(mine_has_port(&mine, 1024 + 8 * 64) || mine_has_port(&mine, 7 * 64));
}

static void automatic_ports(void **state)
{
	bool *has = calloc(65536, sizeof(*has));
	char range[16] = "", reserved[65536] = "";

	(void)state;
	assert_non_null(has);
	assert_int_equal(mine_automatic(has, 1024, "", range, reserved, sizeof(reserved)), -ENOENT);
	has[80] = true;
	assert_int_equal(mine_automatic(has, 1024, "", range, reserved, sizeof(reserved)), -ENOENT);
	has[5000] = true;
	assert_int_equal(mine_automatic(has, 1024, "", range, reserved, sizeof(reserved)), 0);
	assert_string_equal(range, "5000 5000");
	assert_string_equal(reserved, "");
	has[5003] = has[65535] = true;
	assert_int_equal(
		mine_automatic(has, 1024, "4000-4001,5003", range, reserved, sizeof(reserved)), 0);
	assert_string_equal(range, "5000 65535");
	assert_string_equal(reserved, "4000-4001,5001-65534");
	assert_int_equal(mine_automatic(has, 1024, "", range, reserved, 8), -ENOSPC);
	assert_int_equal(mine_automatic(has, 80, "", range, reserved, sizeof(reserved)), 0);
	assert_string_equal(range, "80 65535");
	free(has);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(a_counter_that_races),
		cmocka_unit_test(frames_byte_by_byte),
		cmocka_unit_test(contradictions_are_refused),
		cmocka_unit_test(who_decrements),
		cmocka_unit_test(ttl_and_its_checksum),
		cmocka_unit_test(unfinished_checksums),
		cmocka_unit_test(own_parts),
		cmocka_unit_test(automatic_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
