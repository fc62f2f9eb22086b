// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: the send and recv families on a connection. See resoa_calls.h. */
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "resoa_calls.h"

static char text[200];

static void data_echo(int family)
{
	int fd = tcp_open(family);

	DO(send(fd, "hello", 5, 0));
	peer_say("read");
	peer_say("send answer");
	DO_READ(recv(fd, text, 6, MSG_WAITALL), text);
	DO(write(fd, "written", 7));
	peer_say("read");
	peer_say("send to-read");
	ready(fd, POLLIN);
	DO_READ(read(fd, text, sizeof(text)), text);
	DO(send(fd, "", 0, 0));
	DO(recv(fd, text, 0, MSG_DONTWAIT));
}

/* Bytes that are sent before the other end has looked are there for it, in order. */
static void data_order(int family)
{
	int fd = tcp_open(family), i;

	for (i = 0; i < 10; i++)
		MUST(send(fd, &"0123456789"[i], 1, 0));
	shutdown(fd, SHUT_WR);
	peer_say("eat");
	for (i = 0; i < 10; i++)
		peer("send %c", "abcdefghij"[i]);
	DO_READ(recv(fd, text, 10, MSG_WAITALL), text);
}

static void data_peek(int family)
{
	int fd = tcp_open(family), there = 0;

	peer_say("send abcdef");
	wait_bytes(fd, 6);
	DO(ioctl(fd, FIONREAD, &there));
	say("FIONREAD %d", there);
	DO_READ(recv(fd, text, 3, MSG_PEEK), text);
	DO_READ(recv(fd, text, sizeof(text), MSG_PEEK), text);
	DO(ioctl(fd, FIONREAD, &there));
	say("FIONREAD %d", there);
	DO_READ(recv(fd, text, 2, 0), text);
	DO_READ(recv(fd, text, 2, MSG_TRUNC), "");
	DO(ioctl(fd, FIONREAD, &there));
	say("FIONREAD %d", there);
	DO_READ(recv(fd, text, sizeof(text), 0), text);
	set(fd, SOL_SOCKET, SO_PEEK_OFF, 1);
	peer_say("send ghijkl");
	wait_bytes(fd, 6);
	DO_READ(recv(fd, text, 2, MSG_PEEK), text);
	DO_READ(recv(fd, text, 2, MSG_PEEK), text);
}

static void data_dontwait(int family)
{
	struct timeval time = { .tv_usec = 100000 };
	int fd = tcp_open(family);

	DO(recv(fd, text, 1, MSG_DONTWAIT));
	DO(recv(fd, text, 1, MSG_DONTWAIT | MSG_PEEK));
	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	DO(recv(fd, text, 1, 0));
	peer_say("send abc");
	ready(fd, POLLIN);
	DO_READ(recv(fd, text, 10, MSG_WAITALL), text); /* until the time is over */
	DO(ioctl(fd, FIONBIO, &(int){ 1 }));
	DO(recv(fd, text, 1, 0));
	say("O_NONBLOCK %d", !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	DO(ioctl(fd, FIONBIO, &(int){ 0 }));
	DO(recv(fd, text, 1, 0));
}

static void data_waitall(int family)
{
	int fd = tcp_open(family);

	peer_ask("send abc");
	peer_answer();
	peer_ask("send def");
	DO_READ(recv(fd, text, 6, MSG_WAITALL), text);
	peer_answer();
	peer_ask("send gh");
	peer_answer();
	peer_say("fin");
	DO_READ(recv(fd, text, 6, MSG_WAITALL), text);
	DO_READ(recv(fd, text, 6, MSG_WAITALL), text);
}

static void data_vectors(int family)
{
	char a[3], b[1], c[10];
	struct iovec out[] = { { "one", 3 }, { "", 0 }, { "three", 5 } };
	struct iovec in[] = { { a, 3 }, { b, 1 }, { c, 10 } };
	int fd = tcp_open(family);
	long len;

	DO(writev(fd, out, 3));
	peer_say("read");
	peer_say("send abcdefgh");
	wait_bytes(fd, 8);
	len = DO(readv(fd, in, 3));
	if (len == 8)
		say("'%.3s' '%.1s' '%.4s'", a, b, c);
	DO(writev(0x7fff, out, 3));
	out[0].iov_base = NULL;
	DO(writev(fd, out, 1));
}

static void data_message(int family)
{
	struct sockaddr_storage name;
	char space[100];
	struct iovec part = { "message", 7 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	int fd = tcp_open(family);

	DO(sendmsg(fd, &message, 0));
	peer_say("read");
	message.msg_name = &name;
	message.msg_namelen = make_name(foreign_of(family), 80, &name);
	DO(sendmsg(fd, &message, 0)); /* the name counts for nothing */
	peer_say("read");
	peer_say("send reply");
	wait_bytes(fd, 5);
	part.iov_base = text;
	message = (struct msghdr){ .msg_name = &name,
				   .msg_namelen = sizeof(name),
				   .msg_iov = &part,
				   .msg_iovlen = 1,
				   .msg_control = space,
				   .msg_controllen = sizeof(space) };
	DO_READ(recvmsg(fd, &message, 0), text);
	say("namelen %d control %d flags %x", (int)message.msg_namelen, (int)message.msg_controllen,
	    message.msg_flags);
	DO(sendto(fd, "x", 1, 0, (struct sockaddr *)&name,
		  make_name(foreign_of(family), 80, &name)));
}

static void data_messages(int family)
{
	struct iovec parts[] = { { "first", 5 }, { "second", 6 } };
	struct mmsghdr two[2] = { { .msg_hdr = { .msg_iov = parts, .msg_iovlen = 1 } },
				  { .msg_hdr = { .msg_iov = parts + 1, .msg_iovlen = 1 } } };
	int fd = tcp_open(family);

	DO(sendmmsg(fd, two, 2, 0));
	say("lengths %u %u", two[0].msg_len, two[1].msg_len);
	peer_say("fin");
	shutdown(fd, SHUT_WR);
	peer_say("eat");
	DO(recvmmsg(fd, two, 2, 0, NULL));
}

static void data_more(int family)
{
	int fd = tcp_open(family);

	DO(send(fd, "held", 4, MSG_MORE));
	DO(send(fd, "back", 4, 0));
	shutdown(fd, SHUT_WR);
	peer_say("eat");
	fd = tcp_open(family);
	set(fd, IPPROTO_TCP, TCP_CORK, 1);
	DO(send(fd, "in a", 4, 0));
	DO(send(fd, " cork", 5, 0));
	set(fd, IPPROTO_TCP, TCP_CORK, 0);
	shutdown(fd, SHUT_WR);
	peer_say("eat");
}

static void data_unconnected(int family)
{
	struct sockaddr_storage name;
	socklen_t len = make_name(peer_of(family), 80, &name);
	int fd = tcp(family);

	DO(send(fd, "x", 1, MSG_NOSIGNAL));
	DO(sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&name, len));
	DO(recv(fd, text, 1, 0));
	DO(shutdown(fd, SHUT_RDWR));
	ready_after(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	MUST(bind_to(fd, any_of(family), 0));
	DO(recv(fd, text, 1, 0));
}

static int made_file(void)
{
	FILE *file = tmpfile();
	uint8_t bytes[5000];

	bytes_make(bytes, 0, sizeof(bytes));
	fwrite(bytes, 1, sizeof(bytes), file);
	fflush(file);
	return fileno(file);
}

static void data_sendfile(int family)
{
	int fd = tcp_open(family), file = made_file();
	off_t at = 1000;

	DO(sendfile(fd, file, &at, 3000));
	say("offset %d", (int)at);
	shutdown(fd, SHUT_WR);
	peer_say("eat");
	DO(sendfile(file, fd, NULL, 10));
}

static void data_splice(int family)
{
	int fd = tcp_open(family), pipes[2], file = made_file();
	loff_t at = 0;

	MUST(pipe(pipes));
	DO(splice(file, &at, pipes[1], NULL, 5000, 0));
	DO(splice(pipes[0], NULL, fd, NULL, 5000, 0));
	shutdown(fd, SHUT_WR);
	peer_say("eat");
	peer_say("send spliced");
	wait_bytes(fd, 7);
	DO(splice(fd, NULL, pipes[1], NULL, 100, 0));
	DO_READ(read(pipes[0], text, sizeof(text)), text);
	peer_say("fin");
	DO(splice(fd, NULL, pipes[1], NULL, 100, 0));
}

static void data_zerocopy(int family)
{
	static uint8_t bytes[100000];
	int fd = tcp_open(family);

	bytes_make(bytes, 0, sizeof(bytes));
	DO(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &(int){ 1 }, sizeof(int)));
	peer_ask("eat");
	DO(send(fd, bytes, sizeof(bytes), MSG_ZEROCOPY));
	shutdown(fd, SHUT_WR);
	say("peer eat: %s", peer_answer());
	ready(fd, POLLERR);
	memset(bytes, 0, 8);
	DO(recvmsg(fd, &(struct msghdr){ 0 }, MSG_ERRQUEUE));
}

/* Until the other end's window and the buffers here are full; then all of it arrives. */
static void data_full(int family)
{
	static uint8_t bytes[10000];
	int fd = tcp_open(family), there = 0;
	long total = 0, sent;
	uint64_t hash = BYTES_HASH;
	char wanted[100];

	set(fd, SOL_SOCKET, SO_SNDBUF, 30000);
	do {
		bytes_make(bytes, total, sizeof(bytes));
		sent = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (sent < 0 && errno == EAGAIN) {
			struct pollfd one = { .fd = fd, .events = POLLOUT };

			if (poll(&one, 1, 700) == 0)
				break; /* it is full for good */
			continue;
		}
		hash = bytes_hash(hash, bytes, sent);
		total += sent;
	} while (total < 100000000);
	ready_after(fd, POLLOUT, 0);
	ioctl(fd, SIOCOUTQ, &there);
	say("SIOCOUTQ %s, all %s", there > 0 ? "more than 0" : "0",
	    total < 100000000 ? "stopped" : "taken");
	shutdown(fd, SHUT_WR);
	snprintf(wanted, sizeof(wanted), "%ld bytes %016llx end", total, (unsigned long long)hash);
	say("peer eat: %s", strcmp(peer("eat"), wanted) ? "other bytes" : "what was sent");
}

/* A reader that waits: nothing is lost. */
static void data_slow(int family)
{
	static uint8_t bytes[300000];
	int fd = tcp_open(family);

	peer_ask("chars 300000");
	nap(300);
	DO_READ(recv(fd, bytes, 100000, MSG_WAITALL), bytes);
	nap(100);
	DO_READ(recv(fd, bytes, 200000, MSG_WAITALL), bytes);
	say("peer chars: %s", peer_answer());
}

const struct calls_case calls_data[] = {
	{ "data_echo", data_echo, CALLS_BOTH },
	{ "data_order", data_order, CALLS_BOTH },
	{ "data_peek", data_peek, CALLS_BOTH },
	{ "data_dontwait", data_dontwait, CALLS_BOTH },
	{ "data_waitall", data_waitall, CALLS_BOTH },
	{ "data_vectors", data_vectors, CALLS_BOTH },
	{ "data_message", data_message, CALLS_BOTH },
	{ "data_messages", data_messages, CALLS_BOTH },
	{ "data_more", data_more, CALLS_BOTH },
	{ "data_unconnected", data_unconnected, CALLS_BOTH },
	{ "data_sendfile", data_sendfile, CALLS_BOTH },
	{ "data_splice", data_splice, CALLS_BOTH },
	{ "data_zerocopy", data_zerocopy, CALLS_BOTH },
	{ "data_full", data_full, CALLS_BOTH },
	{ "data_slow", data_slow, CALLS_BOTH },
	{ 0 },
};
