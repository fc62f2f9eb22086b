// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/lhp_key.c agents/lib/conf.c agents/lib/lhp_ether_key.c */
/* link: agents/lib/lhp_ether_shake.c agents/lib/lhp_ether_frame.c */
/* link: agents/lib/lhp_ether_congestion.c */
/*
 * selftests/lhp_ether.c - the Ethernet LHP's handshake packets, keys and sealed packets, byte for
 * byte as docs/protocol.md has them; its frames; RTT and congestion window.
 *
 * The bytes were made in Python from hashlib's and hmac's SHA-256, RFC 7748's ladder written out
 * (checked by its section 5.2), and AESGCM and ChaCha20Poly1305 of pyca/cryptography.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agents/lib/lhp_ether.h"

#define CLIENT_ID 0xa1b2c3d4
#define SERVER_ID 0x01020304
#define TEXT	  "one last hop"

/* Key 00..1f, private keys of 11 and 22, nonces of 33 and 44, cookie of 55; name alice. */
static const char client_point[] =
	"7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13";
static const char server_point[] =
	"0faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20";
static const char common_point[] =
	"9e004098efc091d4ec2663b4e9f5cfd4d7064571690b4bea97ab146ab9f35056";
static const char open_bytes[] = "030100a800000000a1b2c3d401000000616c6963650000000000000000000000"
				 "0000000000000000000000000000000033333333333333333333333333333333"
				 "333333333333333333333333333333337b4e909bbe7ffe44c465a220037d608e"
				 "e35897d31ef972f07f74892cb0f73f1355555555555555555555555555555555"
				 "55555555555555555555555555555555041f8fe186eb0fb05ff94b46d158240e"
				 "710bde7e299ede2958c943c470f6fd75";
static const char answer_bytes[] =
	"04010064a1b2c3d4010203044444444444444444444444444444444444444444"
	"4444444444444444444444440faa684ed28867b97f4a6a2dee5df8ce974e76b7"
	"018e3f22a1c4cf2678570f20b38f801272a6d3620b8154695e1442df27af46af"
	"a858f64474cfdcec5255dd97";
static const char client_secret[] =
	"c19083337340c336d1dedd72ac703f3cdd3dffd3a72f3ada180a525c6ff47fc2";
static const char server_secret[] =
	"36b9df3129e1ba256fe0b644d4640e48832a3817f0d8cb038cd6edaaa573af49";
static const char packet_5[] = "050100240102030400000000000000050eeb0eeb26113048491dbcd6167e5213"
			       "1eb458e3bb191138932013b3";
static const char packet_next[] = "050100240102030400000000004000017ac18d007e74ad89247d3d7424182f2f"
				  "83ee23637cdbe7753f4ad239";
static const char packet_chacha[] =
	"0501002401020304000000000000000585f18b8a80268a5ac20c91e55f46489c"
	"c0525444c7cf2b1a0285d8e7";

static size_t bytes_of(const char *hex, uint8_t *bytes)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		bytes[i] = (uint8_t)byte;
	}
	return len;
}

static void assert_hex(const void *bytes, const char *hex)
{
	uint8_t want[512];
	size_t len = bytes_of(hex, want);

	assert_memory_equal(bytes, want, len);
}

static void client_key(uint8_t key[LHP_KEY_BYTES])
{
	for (int i = 0; i < LHP_KEY_BYTES; i++)
		key[i] = (uint8_t)i;
}

/* ---- handshake */

static void points(void **state)
{
	uint8_t private[ETHER_POINT], point[ETHER_POINT], common[ETHER_POINT];
	static const uint8_t zero[ETHER_POINT];

	(void)state;
	memset(private, 0x11, sizeof(private));
	bytes_of(server_point, point);
	assert_int_equal(ether_common(private, point, common), 0);
	assert_hex(common, common_point);
	memset(private, 0x22, sizeof(private));
	bytes_of(client_point, point);
	assert_int_equal(ether_common(private, point, common), 0);
	assert_hex(common, common_point);
	assert_int_equal(ether_common(private, zero, common), -EIO);
	assert_int_equal(ether_new_pair(private, point), 0);
}

static void make_open(struct ether_open *open)
{
	memset(open, 0, sizeof(*open));
	open->client.id = CLIENT_ID;
	open->suite = ETHER_AES_128_GCM;
	strcpy(open->name, "alice");
	memset(open->client.nonce, 0x33, ETHER_NONCE);
	bytes_of(client_point, open->client.point);
	memset(open->cookie, 0x55, ETHER_HASH);
}

static void open_packet(void **state)
{
	uint8_t bytes[ETHER_OPEN_BYTES], key[LHP_KEY_BYTES];
	struct ether_open open, read;

	(void)state;
	client_key(key);
	make_open(&open);
	assert_int_equal(ether_write_open(&open, key, bytes), 0);
	assert_int_equal(strlen(open_bytes), 2 * sizeof(bytes));
	assert_hex(bytes, open_bytes);
	assert_int_equal(ether_read_open(bytes, sizeof(bytes), &read), 0);
	assert_memory_equal(&read, &open, sizeof(open));
	assert_int_equal(ether_check_open(bytes, key), 0);
	key[31] ^= 1;
	assert_int_equal(ether_check_open(bytes, key), -EBADMSG);
	key[31] ^= 1;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 1;
		assert_int_equal(ether_check_open(bytes, key), -EBADMSG);
		bytes[i] ^= 1;
	}
	assert_int_equal(ether_read_open(bytes, sizeof(bytes) - 1, &read), -EINVAL);
	bytes[16 + 5] = ' '; /* of the name */
	assert_int_equal(ether_read_open(bytes, sizeof(bytes), &read), -EINVAL);
}

static void make_both(struct ether_secrets *secrets, uint8_t answer[ETHER_ANSWER_BYTES])
{
	struct ether_half server = { .id = SERVER_ID };
	uint8_t open[ETHER_OPEN_BYTES], key[LHP_KEY_BYTES], common[ETHER_POINT];

	client_key(key);
	bytes_of(open_bytes, open);
	bytes_of(common_point, common);
	memset(server.nonce, 0x44, ETHER_NONCE);
	bytes_of(server_point, server.point);
	ether_begin_answer(&server, CLIENT_ID, answer);
	assert_int_equal(ether_make_secrets(key, common, open, answer, secrets), 0);
	assert_int_equal(ether_end_answer(secrets, answer), 0);
}

static void answer_packet(void **state)
{
	uint8_t answer[ETHER_ANSWER_BYTES];
	struct ether_secrets secrets;
	struct ether_half server;

	(void)state;
	make_both(&secrets, answer);
	assert_int_equal(strlen(answer_bytes), 2 * sizeof(answer));
	assert_hex(answer, answer_bytes);
	assert_hex(secrets.client, client_secret);
	assert_hex(secrets.server, server_secret);
	assert_int_equal(ether_check_answer(&secrets, answer), 0);
	assert_int_equal(ether_read_answer(answer, sizeof(answer), &server), 0);
	assert_int_equal(server.id, SERVER_ID);
	answer[40] ^= 4;
	assert_int_equal(ether_check_answer(&secrets, answer), -EBADMSG);
}

static void hello_packet(void **state)
{
	struct ether_hello hello = { .id = CLIENT_ID }, read;
	uint8_t bytes[ETHER_HELLO_BYTES], cookie[ETHER_HASH] = { 7 }, got[ETHER_HASH];
	uint8_t answer[ETHER_COOKIE_BYTES];

	(void)state;
	memset(hello.nonce, 0x33, ETHER_NONCE);
	ether_write_hello(&hello, bytes);
	assert_hex(bytes, "0101004800000000a1b2c3d400000000"
			  "3333333333333333333333333333333333333333333333333333333333333333");
	assert_int_equal(ether_read_hello(bytes, sizeof(bytes), &read), 0);
	assert_memory_equal(&read, &hello, sizeof(hello));
	ether_write_cookie(&hello, cookie, answer);
	assert_hex(answer, "02010040a1b2c3d4"
			   "3333333333333333333333333333333333333333333333333333333333333333"
			   "0700000000000000000000000000000000000000000000000000000000000000");
	assert_int_equal(ether_read_cookie(answer, sizeof(answer), &hello, got), 0);
	assert_memory_equal(got, cookie, sizeof(got));
	hello.nonce[3] ^= 1;
	assert_int_equal(ether_read_cookie(answer, sizeof(answer), &hello, got), -EBADMSG);
}

/* ---- sealed packets */

static void seal_one(uint8_t suite, uint64_t number, const char *want)
{
	struct ether_keys keys = { 0 }, theirs = { 0 };
	struct ether_head head = { ETHER_DATA, 8 + sizeof(TEXT) - 1 + ETHER_TAG, SERVER_ID };
	uint8_t packet[128], secret[ETHER_HASH];
	struct iovec parts[2] = { { (void *)TEXT, 5 }, { (void *)(TEXT + 5), sizeof(TEXT) - 6 } };
	size_t len = sizeof(TEXT) - 1 + ETHER_TAG;

	bytes_of(client_secret, secret);
	assert_int_equal(ether_keys_set(&keys, suite, true, secret), 0);
	assert_int_equal(ether_keys_set(&theirs, suite, false, secret), 0);
	ether_write_head(&head, packet);
	put64(packet + ETHER_HEAD, number);
	assert_int_equal(ether_seal(&keys, number, packet, parts, 2, packet + ETHER_CLEAR), 0);
	assert_int_equal(strlen(want) / 2, ETHER_CLEAR + len);
	assert_hex(packet, want);
	assert_int_equal(ether_unseal(&theirs, number, packet, packet + ETHER_CLEAR, len), 0);
	assert_memory_equal(packet + ETHER_CLEAR, TEXT, sizeof(TEXT) - 1);
	ether_keys_clear(&keys);
	ether_keys_clear(&theirs);
}

static void sealed(void **state)
{
	(void)state;
	seal_one(ETHER_AES_128_GCM, 5, packet_5);
	seal_one(ETHER_AES_128_GCM, (1 << ETHER_EPOCH_SHIFT) + 1, packet_next);
	seal_one(ETHER_CHACHA20_POLY1305, 5, packet_chacha);
}

static int seal_at(struct ether_keys *keys, uint64_t number, uint8_t *out)
{
	static const uint8_t clear[ETHER_CLEAR];
	struct iovec part = { (void *)TEXT, 4 };

	return ether_seal(keys, number, clear, &part, 1, out);
}

static int open_at(struct ether_keys *keys, uint64_t number, const uint8_t *sealed_bytes)
{
	static const uint8_t clear[ETHER_CLEAR];
	uint8_t copy[4 + ETHER_TAG];

	memcpy(copy, sealed_bytes, sizeof(copy));
	return ether_unseal(keys, number, clear, copy, sizeof(copy));
}

/* A packet of the epoch before opens late; a forged one of the next changes nothing. */
static void epochs(void **state)
{
	uint64_t turn = 1ull << ETHER_EPOCH_SHIFT;
	uint8_t secret[ETHER_HASH] = { 1 }, last[64], first[64], far[64], noise[64] = { 9 };
	struct ether_keys out = { 0 }, in = { 0 };

	(void)state;
	assert_int_equal(ether_keys_set(&out, ETHER_AES_128_GCM, true, secret), 0);
	assert_int_equal(ether_keys_set(&in, ETHER_AES_128_GCM, false, secret), 0);
	assert_int_equal(seal_at(&out, turn - 1, last), 0);
	assert_int_equal(seal_at(&out, turn, first), 0);
	assert_int_equal(seal_at(&out, 2 * turn, far), 0);
	assert_int_equal(open_at(&in, turn, noise), -EBADMSG);
	assert_int_equal(open_at(&in, 2 * turn, far), -EBADMSG); /* two at once */
	assert_int_equal(open_at(&in, turn, last), -EBADMSG);
	assert_int_equal(in.now.epoch, 0);
	assert_int_equal(open_at(&in, turn, first), 0);
	assert_int_equal(open_at(&in, turn - 1, last), 0);
	assert_int_equal(open_at(&in, 2 * turn, far), 0);
	assert_int_equal(open_at(&in, turn - 1, last), -EBADMSG); /* two epochs ago */
	assert_int_equal(open_at(&in, turn, first), 0);
	assert_int_equal(seal_at(&out, ETHER_NUMBER_END, far), -EOVERFLOW);
	ether_keys_clear(&out);
	ether_keys_clear(&in);
}

/* ---- frames */

static void assert_same(const struct ether_frame *a, const struct ether_frame *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->stream, b->stream);
	assert_int_equal(a->sequence, b->sequence);
	assert_int_equal(a->index, b->index);
	assert_int_equal(a->count, b->count);
	assert_int_equal(a->body_len, b->body_len);
	assert_int_equal(a->largest, b->largest);
	assert_int_equal(a->limit, b->limit);
	assert_int_equal(a->delay, b->delay);
}

static void frames(void **state)
{
	static const struct {
		struct ether_frame frame;
		const char *head;
	} rows[] = {
		{ { .type = ETHER_PING }, "01" },
		{ { .type = ETHER_ACK,
		    .body_len = 8,
		    .delay = 0x0102,
		    .largest = 0x1122334455667788,
		    .limit = 0xa0b0c0d0e0f0 },
		  "0202010211223344556677880000a0b0c0d0e0f0" },
		{ { .type = ETHER_MESSAGE,
		    .flags = ETHER_LAST,
		    .body_len = 0x123,
		    .stream = 0x80000001,
		    .sequence = 7 },
		  "030201238000000100000007" },
		{ { .type = ETHER_SEMI,
		    .body_len = 2,
		    .stream = 1,
		    .sequence = 9,
		    .index = 3,
		    .count = 4 },
		  "0400000200000001000000090003"
		  "0004" },
		{ { .type = ETHER_FORGET, .stream = 0xfedcba98, .sequence = 0x11223344 },
		  "05000000fedcba9811223344" },
		{ { .type = ETHER_CLOSE, .body_len = 3 }, "0603" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t bytes[512] = { 0 };
		struct ether_frame read;
		size_t len = ether_write_frame(&rows[i].frame, bytes);

		assert_int_equal(len, strlen(rows[i].head) / 2);
		assert_hex(bytes, rows[i].head);
		len += rows[i].frame.body_len;
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(ether_read_frame(bytes, cut, &read), -EINVAL);
		assert_int_equal(ether_read_frame(bytes, len + 5, &read), len);
		assert_ptr_equal(read.body, bytes + strlen(rows[i].head) / 2);
		assert_same(&read, &rows[i].frame);
	}
}

static void bad_frames(void **state)
{
	static const char *const rows[] = {
		"07",					    /* unknown */
		"0200000000000000000000000000000000000000", /* an ACK of nothing */
		"030800000000000100000000",		    /* unknown flag */
		"030400000000000100000000",		    /* a part without its head */
		"03040005000000010000000000020004",	    /* half of 4, and of 1 byte */
		"03040006000000010000000002020004",	    /* part 2 of 2 */
		"03040005000000010000000000110011",	    /* one of 17 */
		"03040004000000010000000000010000",	    /* all of nothing */
		"04000000000000010000000000030003",	    /* part 3 of 3 */
		"03040004000000010000000000000004",	    /* one of none */
		"0651",					    /* a reason that is too long */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t bytes[512] = { 0 };
		struct ether_frame read;

		bytes_of(rows[i], bytes);
		assert_int_equal(ether_read_frame(bytes, sizeof(bytes), &read), -EINVAL);
	}
}

static void parts(void **state)
{
	/* 3 bytes, the second half of 7: 4 and 3. */
	static const uint8_t bytes[] = { 3, 5, 0, 7, 0, 0, 0,	1,   0,	 0,
					 0, 9, 1, 2, 0, 7, 'a', 'b', 'c' };
	struct ether_frame read;

	(void)state;
	for (size_t cut = 0; cut < sizeof(bytes); cut++)
		assert_int_equal(ether_read_frame(bytes, cut, &read), -EINVAL);
	assert_int_equal(ether_read_frame(bytes, sizeof(bytes), &read), sizeof(bytes));
	assert_int_equal(read.flags, ETHER_FIRST | ETHER_PART);
	assert_int_equal(read.sequence, 9);
	assert_int_equal(read.index, 1);
	assert_int_equal(read.count, 2);
	assert_int_equal(read.whole, 7);
	assert_ptr_equal(read.body, bytes + 16);
	assert_int_equal(read.body_len, 3);
	assert_int_equal(ether_part_at(&read, 1), 4);
	assert_int_equal(ether_part_at(&read, 2), 7);
	read.whole = 8;
	assert_int_equal(ether_part_at(&read, 1), 4);
}

static void ranges(void **state)
{
	/* 100 to 98, 95, 90 to 0; then one below zero. */
	static const uint8_t body[] = { 0, 0, 0, 2, 0, 3, 0, 0, 0, 5, 0, 90, 0, 1, 0, 0 };
	struct ether_frame ack = { .type = ETHER_ACK, .body = body, .body_len = sizeof(body) };
	uint64_t next = 100, high, low;

	(void)state;
	assert_int_equal(ether_read_range(&ack, 0, &next, &high, &low), 0);
	assert_true(high == 100 && low == 98);
	assert_int_equal(ether_read_range(&ack, 1, &next, &high, &low), 0);
	assert_true(high == 95 && low == 95);
	assert_int_equal(ether_read_range(&ack, 2, &next, &high, &low), 0);
	assert_true(high == 90 && low == 0);
	assert_int_equal(ether_read_range(&ack, 3, &next, &high, &low), -EINVAL);
}

/* ---- congestion */

#define UNIT 1000

/* Of a path whose queue is full: nothing says otherwise yet. */
static const struct ether_rtt full;

static bool near(double value, double want, double part)
{
	return fabs(value - want) <= want * part;
}

static void slow_start(void **state)
{
	struct ether_rtt rtt = { .latest = 100, .smoothed = 100, .least = 100 };
	struct ether_window window;

	(void)state;
	ether_window_init(&window, UNIT);
	assert_true(window.window == 10 * UNIT);
	for (int i = 0; i < 10; i++)
		ether_window_acked(&window, UNIT, 1000, 1100, &rtt, true);
	assert_true(window.window == 20 * UNIT);
	ether_window_acked(&window, UNIT, 1000, 1100, &rtt, false); /* it was not in use */
	assert_true(window.window == 20 * UNIT);
	assert_true(ether_window_lost(&window, 1000, 1100, &full));
	assert_true(near(window.window, 14 * UNIT, 0.0001));
	assert_true(window.threshold == window.window);
	/* One answer for all that had gone before it. */
	assert_false(ether_window_lost(&window, 1050, 1200, &full));
	assert_true(near(window.window, 14 * UNIT, 0.0001));
	ether_window_undo(&window);
	assert_true(window.window == 20 * UNIT);
	for (int i = 0; i < 100; i++)
		ether_window_lost(&window, 2000 + 10 * (uint64_t)i, 2005 + 10 * (uint64_t)i, &full);
	assert_true(window.window == 2 * UNIT);
}

/* Acknowledges a window each RTT, for so long. */
static void grow(struct ether_window *window, struct ether_rtt *rtt, uint64_t *now, double seconds)
{
	uint64_t end = *now + (uint64_t)(seconds * 1e6);
	double acked = 0;

	for (; *now < end; *now += 1000) {
		acked += window->window * 1000 / (double)rtt->smoothed;
		for (; acked >= UNIT; acked -= UNIT)
			ether_window_acked(window, UNIT, *now - 500, *now, rtt, true);
	}
}

/* RFC 9438 4.2: W(t) = C (t - K)^3 + W_max; with W_max 1000, K = (1000 * 0.3 / 0.4)^(1/3) = 9.0856.
 */
static void cubic_region(void **state)
{
	struct ether_rtt rtt = { .latest = 200000, .smoothed = 200000, .least = 200000 };
	struct ether_window window;
	uint64_t now = 1000000;

	(void)state;
	ether_window_init(&window, UNIT);
	window.window = 1000 * UNIT;
	ether_window_lost(&window, now - 1, now, &full);
	now += 1000;
	grow(&window, &rtt, &now, 2);
	assert_true(near(window.window, (1000 - 0.4 * 355.7) * UNIT, 0.02));
	grow(&window, &rtt, &now, 7);
	assert_true(near(window.window, 1000 * UNIT, 0.01));
	grow(&window, &rtt, &now, 6);
	assert_true(near(window.window, (1000 + 0.4 * 207) * UNIT, 0.02));
}

/* 4.3: where RTTs are short it grows as AIMD with 0.53 per RTT until it is where it was, then by 1.
 */
static void reno_region(void **state)
{
	struct ether_rtt rtt = { .latest = 2000, .smoothed = 2000, .least = 2000 };
	struct ether_window window;
	uint64_t now = 1000000;

	(void)state;
	ether_window_init(&window, UNIT);
	window.window = 100 * UNIT;
	ether_window_lost(&window, now - 1, now, &full);
	now += 1000;
	grow(&window, &rtt, &now, 0.1);
	assert_true(near(window.window, (70 + 0.53 * 50) * UNIT, 0.02));
	grow(&window, &rtt, &now, 0.1);
	assert_true(near(window.window, (70 + 0.53 * 100) * UNIT, 0.03));
}

/* 5 % lost without a queue change nothing, with one they do; nor are 20 % believed to be chance. */
static void chance(void **state)
{
	struct ether_rtt rtt = { 0 };
	struct ether_window window;
	double before;

	(void)state;
	for (int i = 0; i < ETHER_RECENT; i++) {
		assert_true(ether_rtt_queue(&rtt)); /* too few samples */
		ether_rtt_sample(&rtt, 100 + 40 * (uint64_t)i, 0);
	}
	assert_false(ether_rtt_queue(&rtt));
	ether_window_init(&window, UNIT);
	for (uint64_t i = 1; i < 2000; i++) {
		if (i % 20)
			ether_window_acked(&window, UNIT, i, i, &rtt, false);
		else
			assert_false(ether_window_lost(&window, i, i, &rtt));
	}
	before = window.window;
	for (uint64_t i = 2000; i < 4000; i++) {
		if (i % 5)
			ether_window_acked(&window, UNIT, i, i, &rtt, false);
		else
			ether_window_lost(&window, i, i, &rtt);
	}
	assert_true(window.window < before / 2);
	for (int i = 0; i < ETHER_RECENT; i++)
		ether_rtt_sample(&rtt, 450, 0);
	assert_true(ether_rtt_queue(&rtt));
	ether_window_init(&window, UNIT);
	assert_true(ether_window_lost(&window, 1, 2, &rtt));
}

static void round_trips(void **state)
{
	struct ether_rtt rtt = { 0 };

	(void)state;
	ether_rtt_sample(&rtt, 1000, 0); /* RFC 9002 5.3 */
	assert_true(rtt.smoothed == 1000 && rtt.variation == 500 && rtt.least == 1000);
	ether_rtt_sample(&rtt, 3000, 500);
	assert_true(rtt.least == 1000 && rtt.variation == (3 * 500 + 1500) / 4);
	assert_int_equal(rtt.smoothed, (7 * 1000 + 2500) / 8);
	assert_int_equal(ether_rtt_pto(&rtt), rtt.smoothed + 4 * rtt.variation + 1000);
	assert_int_equal(ether_rtt_loss(&rtt, 1), 3000 + 3000 / 8);
	rtt = (struct ether_rtt){ 0 };
	ether_rtt_sample(&rtt, 50, 0);
	assert_int_equal(ether_rtt_loss(&rtt, 1), 1000); /* of timers: no finer */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(points),	 cmocka_unit_test(open_packet),
		cmocka_unit_test(answer_packet), cmocka_unit_test(hello_packet),
		cmocka_unit_test(sealed),	 cmocka_unit_test(epochs),
		cmocka_unit_test(frames),	 cmocka_unit_test(bad_frames),
		cmocka_unit_test(parts),	 cmocka_unit_test(ranges),
		cmocka_unit_test(slow_start),	 cmocka_unit_test(cubic_region),
		cmocka_unit_test(reno_region),	 cmocka_unit_test(round_trips),
		cmocka_unit_test(chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
