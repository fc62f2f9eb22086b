// SPDX-License-Identifier: GPL-3.0-or-later
/* The proof before the first application byte: over TCP (proof.c) and in datagrams (frame.c). */
/* link: agents/peer/proof.c agents/peer/frame.c agents/lib/auth.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../agents/peer/frame.h"
#include "../agents/peer/proof.h"

#define SESSION 0x0123456789abcdefULL

static const uint8_t secret[AUTH_SECRET_BYTES] = "one session's secret, 32 bytes .";
static const uint8_t other_secret[AUTH_SECRET_BYTES] = "another session's secret, 32 b .";

struct pair {
	struct proof subscriber, provider;
};

static void start(struct pair *pair, const uint8_t *first, const uint8_t *second)
{
	assert_int_equal(proof_start(&pair->subscriber, first, SESSION, AUTH_ROLE_SUBSCRIBER), 0);
	assert_int_equal(proof_start(&pair->provider, second, SESSION, AUTH_ROLE_PROVIDER), 0);
}

/* Writes what is to be sent, then reads as a peer does: `step` bytes at a time, never more than is
 * wanted. */
static int exchange(struct proof *proof, int fd, size_t step)
{
	uint8_t bytes[PROOF_HELLO_BYTES];
	size_t len = proof->out_len - proof->out_sent;
	int result = 0;

	assert_int_equal(write(fd, proof->out + proof->out_sent, len), len);
	proof->out_sent = proof->out_len;
	while (!result) {
		size_t wanted = proof_wanted(proof);
		ssize_t n = recv(fd, bytes, wanted < step ? wanted : step, MSG_DONTWAIT);

		if (n <= 0)
			return 0;
		result = proof_take(proof, bytes, n);
		if (proof->out_sent < proof->out_len) {
			len = proof->out_len - proof->out_sent;
			assert_int_equal(write(fd, proof->out + proof->out_sent, len), len);
			proof->out_sent = proof->out_len;
		}
	}
	return result;
}

static void run_pair(const uint8_t *first, const uint8_t *second, size_t step, int expected)
{
	struct pair pair;
	int fd[2], a = 0, b = 0;

	start(&pair, first, second);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	for (int i = 0; i < 4; i++) {
		if (!a)
			a = exchange(&pair.subscriber, fd[0], step);
		if (!b)
			b = exchange(&pair.provider, fd[1], step);
	}
	assert_int_equal(a, expected);
	assert_int_equal(b, expected);
	close(fd[0]);
	close(fd[1]);
}

static void same_secret_is_accepted(void **state)
{
	(void)state;
	run_pair(secret, secret, PROOF_HELLO_BYTES, 1);
}

static void byte_by_byte_is_accepted(void **state)
{
	(void)state;
	run_pair(secret, secret, 1, 1);
}

static void wrong_secret_is_refused(void **state)
{
	(void)state;
	run_pair(secret, other_secret, PROOF_HELLO_BYTES, -EPROTO);
	run_pair(secret, other_secret, 1, -EPROTO);
}

static void one_flipped_bit_is_refused(void **state)
{
	(void)state;
	for (size_t byte = 0; byte < AUTH_PROOF_BYTES; byte++) {
		struct pair pair;
		uint8_t *proof;

		start(&pair, secret, secret);
		assert_int_equal(proof_take(&pair.provider, pair.subscriber.out, PROOF_HELLO_BYTES),
				 0);
		assert_int_equal(proof_take(&pair.subscriber, pair.provider.out, PROOF_HELLO_BYTES),
				 0);
		proof = pair.provider.out + PROOF_HELLO_BYTES;
		proof[byte] ^= 1 << byte % 8;
		assert_int_equal(proof_take(&pair.subscriber, proof, AUTH_PROOF_BYTES), -EPROTO);
		proof = pair.subscriber.out + PROOF_HELLO_BYTES;
		assert_int_equal(proof_take(&pair.provider, proof, AUTH_PROOF_BYTES), 1);
	}
}

/* Whoever sends our own bytes back has shown nothing. */
static void reflection_is_refused(void **state)
{
	struct proof proof;
	uint8_t hello[PROOF_HELLO_BYTES];

	(void)state;
	for (int role = 0; role < 2; role++) {
		assert_int_equal(proof_start(&proof, secret, SESSION, role), 0);
		assert_int_equal(proof_take(&proof, proof.out, PROOF_HELLO_BYTES), -EPROTO);
		/* With the role changed it is still our nonce. */
		assert_int_equal(proof_start(&proof, secret, SESSION, role), 0);
		memcpy(hello, proof.out, sizeof(hello));
		hello[4] = !role;
		assert_int_equal(proof_take(&proof, hello, sizeof(hello)), -EPROTO);
	}
}

/* What a provider sent in one run of a session is worth nothing in the next one. */
static void replay_is_refused(void **state)
{
	struct pair first, second;
	const uint8_t *old;

	(void)state;
	start(&first, secret, secret);
	assert_int_equal(proof_take(&first.provider, first.subscriber.out, PROOF_HELLO_BYTES), 0);
	old = first.provider.out;
	assert_int_equal(proof_take(&first.subscriber, old, PROOF_HELLO_BYTES), 0);
	assert_int_equal(proof_take(&first.subscriber, old + PROOF_HELLO_BYTES, AUTH_PROOF_BYTES),
			 1);
	start(&second, secret, secret);
	assert_int_equal(proof_take(&second.subscriber, old, PROOF_HELLO_BYTES), 0);
	assert_int_equal(proof_take(&second.subscriber, old + PROOF_HELLO_BYTES, AUTH_PROOF_BYTES),
			 -EPROTO);
}

static void other_session_is_refused(void **state)
{
	struct proof ours, theirs;

	(void)state;
	assert_int_equal(proof_start(&ours, secret, SESSION, AUTH_ROLE_SUBSCRIBER), 0);
	assert_int_equal(proof_start(&theirs, secret, SESSION + 1, AUTH_ROLE_PROVIDER), 0);
	assert_int_equal(proof_take(&theirs, ours.out, PROOF_HELLO_BYTES), 0);
	assert_int_equal(proof_take(&ours, theirs.out, PROOF_HELLO_BYTES), 0);
	assert_int_equal(proof_take(&ours, theirs.out + PROOF_HELLO_BYTES, AUTH_PROOF_BYTES),
			 -EPROTO);
}

static void damaged_hello_is_refused(void **state)
{
	(void)state;
	for (size_t byte = 0; byte < 8; byte++) {
		struct pair pair;

		start(&pair, secret, secret);
		pair.provider.out[byte] ^= 0x40;
		assert_int_equal(proof_take(&pair.subscriber, pair.provider.out, PROOF_HELLO_BYTES),
				 -EPROTO);
		assert_int_equal(pair.subscriber.out_len, PROOF_HELLO_BYTES);
	}
}

/* Nothing is sent for half a hello, and nothing beyond what is wanted is taken. */
static void truncated_and_oversized(void **state)
{
	struct pair pair;
	uint8_t bytes[PROOF_HELLO_BYTES + 1] = { 0 };

	(void)state;
	start(&pair, secret, secret);
	assert_int_equal(proof_wanted(&pair.subscriber), PROOF_HELLO_BYTES);
	assert_int_equal(proof_take(&pair.subscriber, pair.provider.out, PROOF_HELLO_BYTES - 1), 0);
	assert_int_equal(proof_wanted(&pair.subscriber), 1);
	assert_int_equal(pair.subscriber.out_len, PROOF_HELLO_BYTES);
	assert_int_equal(proof_take(&pair.subscriber, bytes, 2), -EMSGSIZE);
	start(&pair, secret, secret);
	assert_int_equal(proof_take(&pair.subscriber, bytes, sizeof(bytes)), -EMSGSIZE);
	/* After success nothing is wanted. */
	run_pair(secret, secret, 7, 1);
}

/* ---- datagrams */

static void frame_pair(struct frame_proof *a, struct frame_proof *b, const uint8_t *second)
{
	assert_int_equal(frame_start(a, secret, SESSION, AUTH_ROLE_SUBSCRIBER), 0);
	assert_int_equal(frame_start(b, second, SESSION, AUTH_ROLE_PROVIDER), 0);
}

static enum frame_verdict hello_to(const struct frame_proof *from, struct frame_proof *to)
{
	uint8_t bytes[FRAME_HELLO_BYTES];

	frame_write_hello(from, bytes);
	return frame_take(to, bytes, sizeof(bytes));
}

static enum frame_verdict proof_to(const struct frame_proof *from, struct frame_proof *to)
{
	uint8_t bytes[FRAME_PROOF_BYTES];

	assert_int_equal(frame_write_proof(from, bytes), 0);
	return frame_take(to, bytes, sizeof(bytes));
}

static void frames_prove(void **state)
{
	const uint8_t data[] = { FRAME_DATA, 'x' }, empty[] = { FRAME_DATA };
	const uint8_t alive[] = { FRAME_KEEPALIVE }, bye[] = { FRAME_BYE };
	struct frame_proof a, b;

	(void)state;
	frame_pair(&a, &b, secret);
	assert_int_equal(frame_take(&a, data, sizeof(data)), FRAME_IGNORE);
	assert_int_equal(frame_take(&a, bye, sizeof(bye)), FRAME_IGNORE);
	assert_int_equal(hello_to(&a, &b), FRAME_GREET);
	assert_int_equal(hello_to(&a, &b), FRAME_IGNORE);
	assert_int_equal(hello_to(&b, &a), FRAME_GREET);
	assert_int_equal(proof_to(&a, &b), FRAME_NOW_PROVED);
	assert_int_equal(frame_take(&a, data, sizeof(data)), FRAME_IGNORE);
	/* b's proof was lost: a says hello again, b repeats it. */
	assert_int_equal(hello_to(&a, &b), FRAME_SEND_PROOF);
	assert_int_equal(proof_to(&b, &a), FRAME_NOW_PROVED);
	assert_int_equal(proof_to(&b, &a), FRAME_IGNORE);
	assert_int_equal(frame_take(&a, data, sizeof(data)), FRAME_DELIVER);
	assert_int_equal(frame_take(&a, empty, sizeof(empty)), FRAME_DELIVER);
	assert_int_equal(frame_take(&a, alive, sizeof(alive)), FRAME_ALIVE);
	assert_int_equal(frame_take(&a, bye, sizeof(bye)), FRAME_OTHER_IS_OVER);
}

static void frames_refuse(void **state)
{
	struct frame_proof a, b;
	uint8_t bytes[FRAME_HELLO_BYTES];

	(void)state;
	frame_pair(&a, &b, other_secret);
	assert_int_equal(hello_to(&a, &b), FRAME_GREET);
	assert_int_equal(hello_to(&b, &a), FRAME_GREET);
	assert_int_equal(proof_to(&b, &a), FRAME_WRONG);
	assert_false(a.proved);
	frame_pair(&a, &b, secret);
	assert_int_equal(hello_to(&a, &a), FRAME_WRONG);
	frame_write_hello(&a, bytes);
	bytes[1] = AUTH_ROLE_PROVIDER; /* our nonce in the other's name */
	assert_int_equal(frame_take(&a, bytes, sizeof(bytes)), FRAME_WRONG);
	assert_int_equal(frame_write_proof(&a, bytes), -EAGAIN);
	frame_write_hello(&b, bytes);
	bytes[1] = AUTH_ROLE_SUBSCRIBER; /* another subscriber */
	assert_int_equal(frame_take(&a, bytes, sizeof(bytes)), FRAME_WRONG);
}

static void frames_of_wrong_length(void **state)
{
	uint8_t bytes[FRAME_HELLO_BYTES + 1] = { 0 };
	struct frame_proof a, b;

	(void)state;
	for (int type = 1; type < 256; type++) {
		frame_pair(&a, &b, secret);
		for (size_t len = 0; len <= sizeof(bytes); len++) {
			memset(bytes, 0, sizeof(bytes));
			bytes[0] = type;
			if (type == FRAME_HELLO && len == FRAME_HELLO_BYTES)
				continue;
			assert_int_equal(frame_take(&a, bytes, len), FRAME_IGNORE);
		}
		assert_false(a.greeted || a.proved);
	}
	frame_write_hello(&b, bytes);
	assert_int_equal(frame_take(&a, bytes, FRAME_HELLO_BYTES - 1), FRAME_IGNORE);
	assert_int_equal(frame_take(&a, bytes, FRAME_HELLO_BYTES + 1), FRAME_IGNORE);
	assert_int_equal(frame_take(&a, bytes, FRAME_HELLO_BYTES), FRAME_GREET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_secret_is_accepted),
		cmocka_unit_test(byte_by_byte_is_accepted),
		cmocka_unit_test(wrong_secret_is_refused),
		cmocka_unit_test(one_flipped_bit_is_refused),
		cmocka_unit_test(reflection_is_refused),
		cmocka_unit_test(replay_is_refused),
		cmocka_unit_test(other_session_is_refused),
		cmocka_unit_test(damaged_hello_is_refused),
		cmocka_unit_test(truncated_and_oversized),
		cmocka_unit_test(frames_prove),
		cmocka_unit_test(frames_refuse),
		cmocka_unit_test(frames_of_wrong_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
