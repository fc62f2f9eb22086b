/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * connect - TCP connections, one after the other: what a session costs beside its bytes.
 *
 *	connect --serve PORT COUNT
 *	connect --to ADDRESS PORT COUNT
 *	connect --to PREFIX PORT COUNT FIRST [--make INSTANCE LISTENER PORT]
 *	connect --numbers PREFIX FIRST COUNT
 *
 * The client sends a byte, awaits one, closes first. With FIRST each connection goes to another
 * address: numbers FIRST and on (lib/onetime_numbers.h). The server ends after COUNT connections,
 * or by SIGTERM, and tells how many there were and how many came to an address that had been used
 * before. Both print a line of JSON. --numbers prints addresses.
 *
 * --make: each address is given to the listener in the datapath INSTANCE when it is to be used, and
 * taken away after it, so that it is the table's only one.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "lib/onetime_numbers.h"
#include "maps/pin.h"

/* link: maps/pin.c */

#define SLOTS (1 << 21) /* of addresses seen: a power of two, far more than connections */

static volatile sig_atomic_t stopping;

static void on_signal(int signal)
{
	(void)signal;
	stopping = 1;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* ---- server */

static struct isthmus_addr *slots;

/* True: it had been seen. Open addressing; an empty slot is all zeros, which no address here is. */
static bool seen(const struct isthmus_addr *address)
{
	static const struct isthmus_addr empty;
	uint64_t at;

	memcpy(&at, address->b + 8, sizeof(at));
	for (at = at * 0x9e3779b97f4a7c15ULL >> 43;; at = (at + 1) % SLOTS) {
		if (!memcmp(&slots[at], &empty, sizeof(empty))) {
			slots[at] = *address;
			return false;
		}
		if (!memcmp(&slots[at], address, sizeof(*address)))
			return true;
	}
}

static int listener(uint16_t port)
{
	const struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const void *)&any, sizeof(any)) || listen(fd, 4096)) {
		perror("connect: listen");
		exit(1);
	}
	return fd;
}

/* One session: a byte there and back, then the client's end. */
static bool serve_one(int fd)
{
	char byte;
	bool good = read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1;

	while (read(fd, &byte, 1) > 0)
		;
	close(fd);
	return good;
}

static int serve(uint16_t port, uint64_t count)
{
	uint64_t accepted = 0, twice = 0, good = 0;
	int fd = listener(port);

	slots = malloc(SLOTS * sizeof(*slots));
	if (slots) /* not calloc: its pages would be made while time is taken */
		memset(slots, 0, SLOTS * sizeof(*slots));
	while (slots && accepted < count && !stopping) {
		struct sockaddr_in6 local;
		struct isthmus_addr address;
		socklen_t len = sizeof(local);
		int one = accept(fd, NULL, NULL);

		if (one < 0)
			continue;
		accepted++;
		if (!getsockname(one, (void *)&local, &len)) {
			memcpy(address.b, &local.sin6_addr, sizeof(address.b));
			twice += seen(&address);
		}
		good += serve_one(one);
	}
	printf("{\"accepted\":%llu,\"served\":%llu,\"twice\":%llu}\n", (unsigned long long)accepted,
	       (unsigned long long)good, (unsigned long long)twice);
	return 0;
}

/* ---- client */

static bool session(const struct isthmus_addr *address, uint16_t port)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const struct timeval limit = { .tv_sec = 5 };
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	char byte = 'x';
	bool good;

	memcpy(&to.sin6_addr, address->b, sizeof(to.sin6_addr));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	good = !connect(fd, (void *)&to, sizeof(to)) && write(fd, &byte, 1) == 1 &&
	       read(fd, &byte, 1) == 1;
	close(fd);
	return good;
}

/* Where addresses are made; fd -1: they are there. */
struct making {
	int fd;
	struct onetime_addr value;
};

static bool session_made(const struct making *making, const struct isthmus_addr *address,
			 uint16_t port)
{
	bool good;

	if (making->fd < 0)
		return session(address, port);
	good = !bpf_map_update_elem(making->fd, address, &making->value, BPF_ANY) &&
	       session(address, port);
	bpf_map_delete_elem(making->fd, address);
	return good;
}

static int client(const char *text, uint16_t port, uint64_t count, const char *first,
		  const struct making *making)
{
	struct isthmus_addr prefix, address;
	uint64_t good = 0;
	double begin = now();

	if (numbered_prefix(text, &prefix))
		return 2;
	address = prefix;
	for (uint64_t i = 0; i < count && !stopping; i++) {
		if (first)
			address = numbered(&prefix, strtoull(first, NULL, 10) + i);
		good += session_made(making, &address, port);
	}
	printf("{\"asked\":%llu,\"served\":%llu,\"seconds\":%.6f}\n", (unsigned long long)count,
	       (unsigned long long)good, now() - begin);
	return 0;
}

static int print(const char *text, uint64_t first, uint64_t count)
{
	struct isthmus_addr prefix, address;
	char word[INET6_ADDRSTRLEN];

	if (numbered_prefix(text, &prefix))
		return 2;
	for (uint64_t i = 0; i < count; i++) {
		address = numbered(&prefix, first + i);
		puts(inet_ntop(AF_INET6, address.b, word, sizeof(word)));
	}
	return 0;
}

/* argv: INSTANCE LISTENER PORT */
static struct making make_in(char **argv)
{
	return (struct making){
		.fd = pin_open_map(argv[0], "onetime", "onetime_addr", sizeof(struct isthmus_addr),
				   sizeof(struct onetime_addr)),
		.value = numbered_pending(strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10)),
	};
}

int main(int argc, char **argv)
{
	const struct sigaction end = { .sa_handler = on_signal };
	const char *what = argc > 1 ? argv[1] : "";
	struct making making = { .fd = -1 };
	bool makes = argc == 10 && !strcmp(argv[6], "--make");

	sigaction(SIGTERM, &end, NULL);
	if (makes)
		making = make_in(&argv[7]);
	if (makes && making.fd < 0) {
		fprintf(stderr, "connect: %s: %s\n", argv[7], strerror(-making.fd));
		return 1;
	}
	if (argc == 4 && !strcmp(what, "--serve"))
		return serve(atoi(argv[2]), strtoull(argv[3], NULL, 10));
	if (argc == 5 && !strcmp(what, "--numbers"))
		return print(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	if ((argc == 5 || argc == 6 || makes) && !strcmp(what, "--to"))
		return client(argv[2], atoi(argv[3]), strtoull(argv[4], NULL, 10),
			      argc > 5 ? argv[5] : NULL, &making);
	fprintf(stderr,
		"usage: connect --serve PORT COUNT | --to ADDRESS PORT COUNT\n"
		"       connect --to PREFIX PORT COUNT FIRST [--make INSTANCE LISTENER PORT]\n"
		"       connect --numbers PREFIX FIRST COUNT\n");
	return 2;
}
