// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * exported - how long connect() takes, and a wire that takes a while.
 *
 *	exported serve ADDRESS PORT COUNT	keeps connections; ends after COUNT
 *	exported connects ADDRESS PORT COUNT	one after the other, each ended by RST
 *	exported delay DEV DEV MICROSECONDS	joins two devices; keeps each frame so long
 *
 * connects prints a line of JSON: microseconds, median and 99th percentile.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAMES 4096 /* on the wire at one time, in each direction */
#define FRAME  2048

static void die(const char *what)
{
	fprintf(stderr, "exported: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static struct sockaddr_in name_of(const char *address, const char *port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (inet_pton(AF_INET, address, &name.sin_addr) != 1) {
		errno = EINVAL;
		die(address);
	}
	return name;
}

static int open_to(const struct sockaddr_in *name)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (connect(fd, (const struct sockaddr *)name, sizeof(*name)))
		die("connect");
	return fd;
}

static void reset(int fd)
{
	const struct linger linger = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print(double *us, int count)
{
	qsort(us, count, sizeof(*us), compare);
	printf("{\"count\":%d,\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}\n", count, us[count / 2],
	       us[count * 99 / 100], us[count - 1]);
	fflush(stdout);
}

static double *times(int count)
{
	double *us = count > 0 ? calloc(count, sizeof(*us)) : NULL;

	if (!us)
		die("COUNT");
	return us;
}

/* ---- serve */

static void serve(const struct sockaddr_in *name, long count)
{
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (const struct sockaddr *)name, sizeof(*name)) || listen(fd, 4096))
		die("listen");
	while (count-- > 0) {
		int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		char byte;

		while (got >= 0 && recv(got, &byte, 1, 0) > 0)
			;
		close(got);
	}
}

/* ---- connects */

static void connects(const struct sockaddr_in *name, int count)
{
	double *us = times(count);

	for (int i = 0; i < count; i++) {
		double begin = now_us();
		int fd = open_to(name);

		us[i] = now_us() - begin;
		reset(fd);
		usleep(1000);
	}
	print(us, count);
}

/* ---- delay */

struct way {
	int from, to;
	unsigned int first, count;
	struct frame {
		double due;
		size_t len;
		unsigned char bytes[FRAME];
	} frames[FRAMES];
};

static int open_device(const char *device)
{
	struct sockaddr_ll name = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(ETH_P_ALL),
				    .sll_ifindex = (int)if_nametoindex(device) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	const int one = 1, bytes = 8 << 20; /* the queue is the device's, not the socket's */

	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		die(device);
	return fd;
}

static void take_in(struct way *way, double delay)
{
	while (way->count < FRAMES) {
		struct frame *frame = &way->frames[(way->first + way->count) % FRAMES];
		ssize_t n = recv(way->from, frame->bytes, FRAME, 0);

		if (n <= 0)
			return;
		frame->len = n;
		frame->due = now_us() + delay;
		way->count++;
	}
}

static void let_out(struct way *way)
{
	while (way->count && way->frames[way->first].due <= now_us()) {
		struct frame *frame = &way->frames[way->first];

		if (send(way->to, frame->bytes, frame->len, 0) < 0 && errno != ENOBUFS)
			die("send");
		way->first = (way->first + 1) % FRAMES;
		way->count--;
	}
}

static double next_due(const struct way *way, double due)
{
	double mine = way->count ? way->frames[way->first].due : due;

	return mine < due ? mine : due;
}

static void delay(const char *left, const char *right, double us)
{
	static struct way ways[2];

	prctl(PR_SET_TIMERSLACK, 1000);
	ways[0].from = ways[1].to = open_device(left);
	ways[1].from = ways[0].to = open_device(right);
	for (;;) {
		struct pollfd fds[2] = { { ways[0].from, POLLIN, 0 }, { ways[1].from, POLLIN, 0 } };
		double wait = next_due(&ways[1], next_due(&ways[0], now_us() + 1e6)) - now_us();
		struct timespec time = { 0, wait > 0 ? (long)(wait * 1e3) % 1000000000 : 0 };

		ppoll(fds, 2, &time, NULL);
		for (int i = 0; i < 2; i++) {
			take_in(&ways[i], us);
			let_out(&ways[i]);
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	struct sockaddr_in name;

	if (argc < 5) {
		fprintf(stderr, "usage: exported VERB ADDRESS PORT NUMBER...: see its source\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	if (!strcmp(argv[1], "delay")) {
		delay(argv[2], argv[3], atof(argv[4]));
		return 0;
	}
	name = name_of(argv[2], argv[3]);
	if (!strcmp(argv[1], "serve"))
		serve(&name, atol(argv[4]));
	else if (!strcmp(argv[1], "connects"))
		connects(&name, atoi(argv[4]));
	else
		return 2;
	return 0;
}
