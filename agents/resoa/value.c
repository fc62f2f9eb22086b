// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * getsockopt() of what only the server's socket knows: TCP_INFO, TCP_MAXSEG, TCP_CONGESTION and the
 * path's MTU. A socket of A would tell of the pair of devices. The server is asked (ASK, VALUE),
 * and the answer is written where the program wanted it; without one in time, or where there is no
 * connection, the kernel tells what it knows.
 *
 * tcpi_state stays that of A: it is what the program's own calls have made of it, for a peer's end
 * comes to A after the data.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../lib/address.h"
#include "notify.h"

#define ANSWER_MS 1000
#define TICK_MS	  100
#define VALUE_MAX 512

struct question {
	struct asked asked;
	uint32_t rsock, tid;
	int level, option, fd; /* the socket */
	uint64_t value, len;   /* in the caller's memory */
	socklen_t room;
	uint64_t until_ms;
	TAILQ_ENTRY(question) line;
};

/* In the order of their times. All daemons of a process would share them; there is one. */
static TAILQ_HEAD(, question) questions = TAILQ_HEAD_INITIALIZER(questions);
static struct event *ticks;

static uint64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void finish(struct question *question, int error)
{
	struct asked asked = question->asked;

	TAILQ_REMOVE(&questions, question, line);
	close(question->fd);
	free(question);
	if (TAILQ_EMPTY(&questions)) {
		event_free(ticks);
		ticks = NULL;
	}
	notify_answer(&asked, error);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct question *question;

	(void)fd, (void)what, (void)arg;
	while ((question = TAILQ_FIRST(&questions)) && question->until_ms <= now_ms())
		finish(question, NOTIFY_GO_ON);
}

static int start_ticks(struct resoa *resoa)
{
	const struct timeval tick = { .tv_usec = TICK_MS * 1000 };

	if (ticks)
		return 0;
	ticks = event_new(resoa->base, -1, EV_PERSIST, on_tick, NULL);
	return ticks && !event_add(ticks, &tick) ? 0 : -ENOMEM;
}

/* ---- which connection */

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) ? 0 : cookie;
}

/* One that was accepted is known by its names. */
static struct rsock *by_names(struct resoa *resoa, int fd)
{
	struct sockaddr_storage local, remote;
	socklen_t local_len = sizeof(local), remote_len = sizeof(remote);
	struct resoa_names names = { 0 };

	if (getsockname(fd, (struct sockaddr *)&local, &local_len) ||
	    getpeername(fd, (struct sockaddr *)&remote, &remote_len) ||
	    address_from_sockaddr((struct sockaddr *)&local, &names.local, &names.local_port) ||
	    address_from_sockaddr((struct sockaddr *)&remote, &names.remote, &names.remote_port))
		return NULL;
	return rsock_of_names(resoa, IPPROTO_TCP, &names);
}

static struct rsock *find_rsock(struct resoa *resoa, int fd)
{
	struct rsock *rsock = rsock_of_cookie(resoa, cookie_of(fd));

	if (!rsock)
		rsock = by_names(resoa, fd);
	return rsock && (rsock->kind == RSOCK_CONNECT || rsock->kind == RSOCK_INCOMING) ? rsock
											: NULL;
}

/* ---- the question */

static int read_room(const struct seccomp_notif *notif, socklen_t *room)
{
	struct iovec to = { room, sizeof(*room) };
	struct iovec from = { (void *)(uintptr_t)notif->data.args[4], sizeof(*room) };

	if (process_vm_readv((pid_t)notif->pid, &to, 1, &from, 1, 0) != sizeof(*room) ||
	    (int)*room <= 0)
		return -EFAULT;
	if (*room > VALUE_MAX)
		*room = VALUE_MAX;
	return 0;
}

static int send_question(struct resoa *resoa, const struct question *question)
{
	struct ep_message message = {
		.type = EP_ASK,
		.level = question->level,
		.option = question->option,
		.number = question->room,
	};

	return resoa->lhp ? ep_send(resoa->lhp, question->rsock, &message) : -ENOTCONN;
}

static bool ask(struct notify *notify, const struct seccomp_notif *notif, struct rsock *rsock,
		int fd)
{
	struct question *question = calloc(1, sizeof(*question));

	if (!question || read_room(notif, &question->room) || start_ticks(notify_resoa(notify))) {
		free(question);
		return false;
	}
	question->fd = fd;
	question->rsock = rsock->id;
	question->tid = notif->pid;
	question->level = (int)notif->data.args[1];
	question->option = (int)notif->data.args[2];
	question->value = notif->data.args[3];
	question->len = notif->data.args[4];
	question->until_ms = now_ms() + ANSWER_MS;
	question->asked = notify_later(notify, notif->id);
	TAILQ_INSERT_TAIL(&questions, question, line);
	if (send_question(rsock->resoa, question))
		finish(question, NOTIFY_GO_ON);
	return true;
}

bool value_asked(struct notify *notify, const struct seccomp_notif *notif)
{
	struct resoa *resoa = notify_resoa(notify);
	int fd = notify_socket(notify, notif->pid, (int)notif->data.args[0]);
	struct rsock *rsock;

	/* What was set before is told before it is asked for. */
	program_drain(resoa->program);
	rsock = fd < 0 ? NULL : find_rsock(resoa, fd);
	if (rsock && ask(notify, notif, rsock, fd))
		return true;
	if (fd >= 0)
		close(fd);
	return false;
}

/* ---- the answer */

static void keep_state(int fd, uint8_t *value, size_t len)
{
	struct tcp_info own;
	socklen_t own_len = sizeof(own);

	if (len > offsetof(struct tcp_info, tcpi_state) &&
	    !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &own, &own_len))
		value[offsetof(struct tcp_info, tcpi_state)] = own.tcpi_state;
}

static int write_value(const struct question *question, uint8_t *value, size_t len)
{
	socklen_t told = (socklen_t)len;
	struct iovec from[] = { { value, len }, { &told, sizeof(told) } };
	struct iovec to[] = { { (void *)(uintptr_t)question->value, len },
			      { (void *)(uintptr_t)question->len, sizeof(told) } };

	return process_vm_writev((pid_t)question->tid, from, 2, to, 2, 0) ==
			       (ssize_t)(len + sizeof(told))
		       ? 0
		       : EFAULT;
}

static void take(struct question *question, const struct ep_message *message)
{
	size_t len = message->body_len < question->room ? message->body_len : question->room;
	uint8_t value[VALUE_MAX];
	int error = NOTIFY_GO_ON;

	if (!message->error && len && notify_is_valid(&question->asked)) {
		memcpy(value, message->body, len);
		if (question->level == IPPROTO_TCP && question->option == TCP_INFO)
			keep_state(question->fd, value, len);
		error = write_value(question, value, len);
	}
	finish(question, error);
}

/* Answers come in the order of the questions. */
void value_message(struct rsock *rsock, const struct ep_message *message)
{
	struct question *question;

	TAILQ_FOREACH(question, &questions, line)
	if (question->rsock == rsock->id && question->level == message->level &&
	    question->option == message->option) {
		take(question, message);
		return;
	}
}

void value_close(void)
{
	struct question *question;

	while ((question = TAILQ_FIRST(&questions)))
		finish(question, NOTIFY_GO_ON);
}
