// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: many bytes. See resoa_calls.h. */
#include <sys/wait.h>

#include "resoa_calls.h"

#define BIG 10000000

static uint8_t bytes[65536];

static long send_all(int fd, long count)
{
	long at = 0, part;

	while (at < count) {
		part = count - at > (long)sizeof(bytes) ? (long)sizeof(bytes) : count - at;
		bytes_make(bytes, at, part);
		part = send(fd, bytes, part, MSG_NOSIGNAL);
		if (part < 0) {
			did("send", part);
			break;
		}
		at += part;
	}
	return at;
}

static void read_all(int fd)
{
	uint64_t hash = BYTES_HASH;
	long total = 0, len;

	while ((len = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
		hash = bytes_hash(hash, bytes, len);
		total += len;
	}
	say("read %ld %016llx %s", total, (unsigned long long)hash,
	    len ? error_name(errno) : "end");
}

static void big_out(int family)
{
	int fd = tcp_open(family);

	peer_ask("eat");
	say("sent %ld", send_all(fd, BIG));
	shutdown(fd, SHUT_WR);
	say("peer eat: %s", peer_answer());
}

static void big_in(int family)
{
	int fd = tcp_open(family);

	peer_ask("duplex %d", BIG);
	shutdown(fd, SHUT_WR);
	read_all(fd);
	say("peer duplex: %s", peer_answer());
}

static void big_both(int family)
{
	int fd = tcp_open(family), pid;
	long sent;

	peer_ask("duplex %d", BIG);
	pid = fork();
	if (!pid) {
		read_all(fd);
		_exit(0);
	}
	sent = send_all(fd, BIG);
	shutdown(fd, SHUT_WR);
	waitpid(pid, NULL, 0);
	say("sent %ld", sent);
	say("peer duplex: %s", peer_answer());
}

static void big_accepted(int family)
{
	int listener, fd = tcp_accepted(family, &listener);

	peer_ask("duplex %d", BIG);
	shutdown(fd, SHUT_WR);
	read_all(fd);
	say("peer duplex: %s", peer_answer());
}

const struct calls_case calls_big[] = {
	{ "big_out", big_out, CALLS_BOTH },
	{ "big_in", big_in, CALLS_BOTH },
	{ "big_both", big_both, CALLS_BOTH },
	{ "big_accepted", big_accepted, CALLS_BOTH },
	{ 0 },
};
