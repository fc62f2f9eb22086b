// SPDX-License-Identifier: GPL-3.0-or-later
/* Frames on their way out (agents/lib/lhp_ether_out.c), through a socket pair that takes a few at a
 * time. */
/* link: agents/lib/lhp_ether_out.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agents/lib/lhp_ether_out.h"

#define FRAME 1514
#define MANY  200000
#define LEAST 14

static size_t length_of(uint32_t number)
{
	return LEAST + number * 31u % (FRAME - LEAST);
}

static void write_frame(uint8_t *frame, uint32_t number)
{
	memset(frame, (int)(number & 0xff), length_of(number));
	memcpy(frame, &number, sizeof(number));
}

/* The other end: reads until `expect` frames have come, or none has for 5 s. */
struct reader {
	int fd;
	uint32_t expect, next, lost;
	bool wrong;
	pthread_t thread;
};

static bool is_right(const uint8_t *frame, ssize_t len, uint32_t number)
{
	if (len != (ssize_t)length_of(number))
		return false;
	for (size_t i = sizeof(number); i < (size_t)len; i++)
		if (frame[i] != (number & 0xff))
			return false;
	return true;
}

static void *read_frames(void *arg)
{
	struct reader *reader = arg;
	struct pollfd ready = { .fd = reader->fd, .events = POLLIN };
	uint8_t frame[FRAME + 1];

	while (reader->next < reader->expect && poll(&ready, 1, 5000) > 0) {
		ssize_t len = recv(reader->fd, frame, sizeof(frame), MSG_DONTWAIT);
		uint32_t number;

		if (len < (ssize_t)sizeof(number))
			continue;
		memcpy(&number, frame, sizeof(number));
		if (number < reader->next || !is_right(frame, len, number))
			reader->wrong = true;
		reader->lost += number - reader->next;
		reader->next = number + 1;
	}
	return NULL;
}

static void open_pair(int fds[2])
{
	const int bytes = 65536;

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

static void wait_for_room(const struct ether_out *out)
{
	struct pollfd room = { .fd = ether_out_room_fd(out), .events = POLLIN };
	eventfd_t count;

	assert_int_equal(poll(&room, 1, 5000), 1);
	assert_int_equal(eventfd_read(room.fd, &count), 0);
}

/* `burst` frames between flushes. */
static void send_frames(struct ether_out *out, uint32_t count, uint32_t burst)
{
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *frame;

		while (!(frame = ether_out_frame(out))) {
			ether_out_flush(out);
			wait_for_room(out);
		}
		write_frame(frame, i);
		ether_out_commit(out, length_of(i));
		if (i % burst == burst - 1)
			ether_out_flush(out);
	}
	ether_out_flush(out);
}

static void through(uint32_t count, uint32_t burst)
{
	struct reader reader = { .expect = count };
	struct ether_out *out;
	int fds[2];

	open_pair(fds);
	reader.fd = fds[1];
	out = ether_out_new(fds[0], FRAME);
	assert_non_null(out);
	assert_int_equal(pthread_create(&reader.thread, NULL, read_frames, &reader), 0);
	send_frames(out, count, burst);
	pthread_join(reader.thread, NULL);
	assert_false(reader.wrong);
	assert_int_equal(reader.next, count);
	assert_int_equal(reader.lost, ether_out_dropped(out));
	assert_int_equal(reader.lost, 0);
	ether_out_free(out);
	close(fds[0]);
	close(fds[1]);
}

static void frames_one_by_one(void **state)
{
	(void)state;
	through(20000, 1);
}

static void frames_in_bursts(void **state)
{
	(void)state;
	through(MANY, 64);
	through(20000, 23);
	through(20000, 24);
	through(20000, 1000);
}

static void frames_left_are_sent_at_the_end(void **state)
{
	uint8_t frame[FRAME + 1];
	struct ether_out *out;
	int fds[2], come = 0;

	(void)state;
	open_pair(fds);
	out = ether_out_new(fds[0], FRAME);
	assert_non_null(out);
	for (uint32_t i = 0; i < 5; i++) {
		write_frame(ether_out_frame(out), i);
		ether_out_commit(out, length_of(i));
	}
	assert_int_equal(ether_out_kept(out), 5);
	assert_int_equal(recv(fds[1], frame, sizeof(frame), 0), -1);
	ether_out_free(out);
	while (recv(fds[1], frame, sizeof(frame), 0) > 0)
		come++;
	assert_int_equal(come, 5);
	close(fds[0]);
	close(fds[1]);
}

/* Nobody reads: the ring fills up, says so, and its end does not wait for ever. */
static void end_where_nothing_is_taken(void **state)
{
	struct timespec before, after;
	struct ether_out *out;
	uint8_t *frame;
	uint32_t i = 0;
	int fds[2];

	(void)state;
	open_pair(fds);
	out = ether_out_new(fds[0], FRAME);
	assert_non_null(out);
	while ((frame = ether_out_frame(out)) && i < 5000) {
		write_frame(frame, i);
		ether_out_commit(out, length_of(i++));
		ether_out_flush(out);
	}
	assert_null(frame);
	assert_int_equal(ether_out_dropped(out), 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	ether_out_free(out);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(after.tv_sec - before.tv_sec < 5);
	close(fds[0]);
	close(fds[1]);
}

/* The peer is gone: each frame is lost and counted, none stops those behind it. */
static void frames_without_a_device_are_counted(void **state)
{
	struct ether_out *out;
	int fds[2];

	(void)state;
	open_pair(fds);
	close(fds[1]);
	out = ether_out_new(fds[0], FRAME);
	assert_non_null(out);
	for (uint32_t i = 0; i < 20; i++) {
		write_frame(ether_out_frame(out), i);
		ether_out_commit(out, length_of(i));
	}
	ether_out_flush(out);
	assert_int_equal(ether_out_dropped(out), 20);
	ether_out_free(out);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_one_by_one),
		cmocka_unit_test(frames_in_bursts),
		cmocka_unit_test(frames_left_are_sent_at_the_end),
		cmocka_unit_test(end_where_nothing_is_taken),
		cmocka_unit_test(frames_without_a_device_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
