// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: one socket in several descriptors, processes and threads. See resoa_calls.h. */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/wait.h>

#include "resoa_calls.h"

static char text[200];

static void dup_close(int family)
{
	int fd = tcp_open(family), two = MUST(dup(fd)),
	    three = MUST(fcntl(fd, F_DUPFD_CLOEXEC, 100));

	DO(send(two, "by dup", 6, 0));
	peer_say("read");
	close(fd);
	close(three);
	say_state(two, TCP_ESTABLISHED);
	peer_say("send still");
	DO_READ(recv(two, text, 5, MSG_WAITALL), text);
	set(two, IPPROTO_TCP, TCP_NODELAY, 1);
	close(two);
	peer_say("eat");
}

static void dup_over(int family)
{
	int fd = tcp_open(family), pipes[2];

	MUST(pipe(pipes));
	MUST(dup2(pipes[0], fd)); /* closes the socket */
	peer_say("eat");
	DO(send(fd, "x", 1, 0));
}

static void child(void (*run)(int fd), int fd)
{
	int status = 0, pid = fork();

	if (!pid) {
		run(fd);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	say("child %d", status);
}

static void child_sends(int fd)
{
	DO(send(fd, "child", 5, 0));
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	close(fd);
}

static void fork_shared(int family)
{
	int fd = tcp_open(family);

	child(child_sends, fd);
	peer_say("read");
	SAY_OPTION(fd, IPPROTO_TCP, TCP_NODELAY);
	say_state(fd, TCP_ESTABLISHED);
	DO(send(fd, "parent", 6, 0));
	peer_say("read");
	close(fd);
	peer_say("eat");
}

static void child_accepts(int fd)
{
	int accepted = MADE(accept(fd, NULL, NULL));

	DO(send(accepted, "from a child", 12, 0));
}

static void fork_accept(int family)
{
	int listener = tcp_listener(family, 5);

	peer_say("connect %s %d", own_of(family), port_of(listener));
	child(child_accepts, listener);
	peer_say("eat");
	peer_say("connect %s %d", own_of(family), port_of(listener));
	child(child_accepts, listener);
	peer_say("eat");
}

static void child_execs(int fd)
{
	char number[12];

	fcntl(fd, F_SETFD, 0);
	snprintf(number, sizeof(number), "%d", fd);
	execl("/proc/self/exe", "resoa_calls", "--inherited", number, NULL);
}

static void exec_inherited(int family)
{
	int fd = tcp_open(family);

	peer_say("send inside");
	child(child_execs, fd);
	peer_say("read");
	close(fd);
	peer_say("eat");
}

/* A descriptor as a message on a Unix socket. */
static long pass(int by, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} u = { .head = { .cmsg_level = SOL_SOCKET,
			  .cmsg_type = SCM_RIGHTS,
			  .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec part = { "x", 1 };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &u,
				  .msg_controllen = sizeof(u.space) };

	memcpy(CMSG_DATA(&u.head), &fd, sizeof(fd));
	return sendmsg(by, &message, 0);
}

static int passed(int by)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} u;
	char byte;
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &u,
				  .msg_controllen = sizeof(u.space) };
	int fd = -1;

	if (recvmsg(by, &message, 0) == 1 && CMSG_FIRSTHDR(&message))
		memcpy(&fd, CMSG_DATA(&u.head), sizeof(fd));
	return fd;
}

static void child_is_passed(int by)
{
	int fd = passed(by);

	say_remote(fd);
	DO(send(fd, "passed", 6, 0));
	DO_READ(recv(fd, text, 4, MSG_WAITALL), text);
}

static void passing(int family)
{
	int pair[2], fd;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	fd = tcp_open(family);
	DO(pass(pair[0], fd));
	close(fd);
	peer_say("send back");
	child(child_is_passed, pair[1]);
	peer_say("read");
	close(pair[0]);
	close(pair[1]);
	peer_say("eat");
}

/* One that is made in a child, and connects in the parent. */
static void passing_unconnected(int family)
{
	int pair[2], fd, port = peer_port("tcp %d", family);

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	if (!fork()) {
		pass(pair[1], tcp(family));
		_exit(0);
	}
	fd = passed(pair[0]);
	DO(connect_to(fd, peer_of(family), port));
	peer_accepts(fd);
}

/* ---- threads */

#define THREADS	   4
#define THREAD_SUM 50000

struct share {
	int fd;
	char letter;
	long counts[THREADS];
};

static void *writer(void *arg)
{
	struct share *share = arg;
	char bytes[1000];
	int i;

	memset(bytes, share->letter, sizeof(bytes));
	for (i = 0; i < THREAD_SUM / (int)sizeof(bytes); i++)
		if (send(share->fd, bytes, sizeof(bytes), 0) != sizeof(bytes))
			return "a thread cannot send";
	return NULL;
}

static void *reader(void *arg)
{
	struct share *share = arg;
	char bytes[3000];
	long len, i;

	while ((len = recv(share->fd, bytes, sizeof(bytes), 0)) > 0)
		for (i = 0; i < len; i++)
			share->counts[(bytes[i] - 'a') % THREADS]++;
	return len ? "a thread cannot read" : NULL;
}

static void threads(int family)
{
	int fd = tcp_open(family), i, j;
	pthread_t writers[THREADS], readers[THREADS];
	struct share shares[THREADS] = { 0 };
	long sum[THREADS] = { 0 };
	void *fault;

	peer_say("echo");
	for (i = 0; i < THREADS; i++) {
		shares[i].fd = fd;
		shares[i].letter = 'a' + i;
		pthread_create(&writers[i], NULL, writer, &shares[i]);
		pthread_create(&readers[i], NULL, reader, &shares[i]);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(writers[i], &fault);
		say("writer: %s", (char *)fault ?: "ok");
	}
	shutdown(fd, SHUT_WR);
	for (i = 0; i < THREADS; i++) {
		pthread_join(readers[i], &fault);
		say("reader: %s", (char *)fault ?: "ok");
		for (j = 0; j < THREADS; j++)
			sum[j] += shares[i].counts[j];
	}
	for (i = 0; i < THREADS; i++)
		say("%c: %ld", 'a' + i, sum[i]);
}

static void *closer(void *arg)
{
	nap(200);
	shutdown(*(int *)arg, SHUT_RDWR);
	return NULL;
}

/* shutdown() in another thread ends a recv() and an accept() that wait. */
static void thread_shutdown(int family)
{
	int fd = tcp_open(family), listener = tcp_listener(family, 5);
	pthread_t thread;

	pthread_create(&thread, NULL, closer, &fd);
	DO(recv(fd, text, 1, 0));
	pthread_join(thread, NULL);
	peer_say("eat");
	pthread_create(&thread, NULL, closer, &listener);
	MADE(accept(listener, NULL, NULL));
	pthread_join(thread, NULL);
}

const struct calls_case calls_process[] = {
	{ "dup_close", dup_close, CALLS_BOTH },
	{ "dup_over", dup_over, CALLS_BOTH },
	{ "fork_shared", fork_shared, CALLS_BOTH },
	{ "fork_accept", fork_accept, CALLS_BOTH },
	{ "exec_inherited", exec_inherited, CALLS_BOTH },
	{ "passing", passing, CALLS_BOTH },
	{ "passing_unconnected", passing_unconnected, CALLS_BOTH },
	{ "threads", threads, CALLS_BOTH },
	{ "thread_shutdown", thread_shutdown, CALLS_BOTH },
	{ 0 },
};
