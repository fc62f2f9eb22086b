// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/probe.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agents/lib/probe.h"

/* docs/protocol.md, "Probe", byte for byte. */
static const uint8_t question_bytes[PROBE_BYTES] = {
	'I', 'S', 'Q', '1', 1,	 2,   3,   4,	5,   6,	  7,   8,   1,	 0,   0,   0,
	'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p',
};

static const uint8_t answer_bytes[PROBE_BYTES] = {
	'I', 'S', 'A', '1', 1, 2, 3, 4, 5, 6, 7,   8,	0,   2, 0, 0,
	0,   0,	  0,   0,   0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1,
};

static void test_question(void **state)
{
	struct probe_question question = { .session = 0x0102030405060708, .side = 1 }, read;
	uint8_t bytes[PROBE_BYTES];

	(void)state;
	memcpy(question.token, "abcdefghijklmnop", PROBE_TOKEN_BYTES);
	memset(bytes, 0xff, sizeof(bytes));
	probe_write_question(&question, bytes);
	assert_memory_equal(bytes, question_bytes, PROBE_BYTES);
	assert_int_equal(probe_read_question(bytes, PROBE_BYTES, &read), 0);
	assert_int_equal(read.session, question.session);
	assert_int_equal(read.side, 1);
	assert_memory_equal(read.token, question.token, PROBE_TOKEN_BYTES);
}

static void test_answer(void **state)
{
	struct probe_answer answer = { .session = 0x0102030405060708, .status = PROBE_EXPIRED },
			    read;
	uint8_t bytes[PROBE_BYTES];

	(void)state;
	memcpy(answer.seen.b, answer_bytes + 16, 16);
	memset(bytes, 0xff, sizeof(bytes));
	probe_write_answer(&answer, bytes);
	assert_memory_equal(bytes, answer_bytes, PROBE_BYTES);
	assert_int_equal(probe_read_answer(bytes, PROBE_BYTES, &read), 0);
	assert_int_equal(read.status, PROBE_EXPIRED);
	assert_int_equal(read.side, 0);
	assert_memory_equal(&read.seen, &answer.seen, sizeof(read.seen));
}

/* One byte wrong at a time: magic, side, status; and every other length. */
static void test_refused(void **state)
{
	struct probe_question question = { .session = 42 };
	struct probe_answer answer = { .session = 42 };
	uint8_t bytes[PROBE_BYTES + 1] = { 0 };

	(void)state;
	for (size_t len = 0; len <= PROBE_BYTES + 1; len++) {
		memcpy(bytes, question_bytes, PROBE_BYTES);
		assert_int_equal(probe_read_question(bytes, len, &question),
				 len == PROBE_BYTES ? 0 : -EINVAL);
		memcpy(bytes, answer_bytes, PROBE_BYTES);
		assert_int_equal(probe_read_answer(bytes, len, &answer),
				 len == PROBE_BYTES ? 0 : -EINVAL);
	}
	question.session = answer.session = 42;
	for (int at = 0; at < 4; at++) {
		memcpy(bytes, question_bytes, PROBE_BYTES);
		bytes[at] ^= 1;
		assert_int_equal(probe_read_question(bytes, PROBE_BYTES, &question), -EINVAL);
		memcpy(bytes, answer_bytes, PROBE_BYTES);
		bytes[at] ^= 1;
		assert_int_equal(probe_read_answer(bytes, PROBE_BYTES, &answer), -EINVAL);
	}
	memcpy(bytes, question_bytes, PROBE_BYTES);
	bytes[12] = 2;
	assert_int_equal(probe_read_question(bytes, PROBE_BYTES, &question), -EINVAL);
	memcpy(bytes, answer_bytes, PROBE_BYTES);
	bytes[13] = PROBE_FAMILY + 1;
	assert_int_equal(probe_read_answer(bytes, PROBE_BYTES, &answer), -EINVAL);
	assert_int_equal(question.session, 42); /* untouched */
	assert_int_equal(answer.session, 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_question),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
