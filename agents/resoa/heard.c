// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * listen() of programs under `run` returns when the server listens, or says why it does not. The
 * supervisor makes the call itself, on the same socket, so that its event is in the ring; the
 * program's call ends with the RESULT of LISTEN. Without an answer in time it succeeds, as it does
 * for programs that no supervisor has.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "notify.h"

#define ANSWER_S 2

struct heard {
	struct asked asked;
	uint32_t rsock;
	int fd; /* the socket */
	struct event *timer;
	LIST_ENTRY(heard) line;
};

static LIST_HEAD(, heard) line = LIST_HEAD_INITIALIZER(line);

/* The program's call ends; a socket that the server has no listener for is none here. */
static void finish(struct heard *heard, int error)
{
	if (error)
		shutdown(heard->fd, SHUT_RD);
	LIST_REMOVE(heard, line);
	event_free(heard->timer);
	close(heard->fd);
	notify_answer(&heard->asked, error);
	free(heard);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg, 0);
}

static int number_of(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) ? -1 : value;
}

static bool is_tcp(int fd)
{
	int domain = number_of(fd, SO_DOMAIN);

	return (domain == AF_INET || domain == AF_INET6) &&
	       number_of(fd, SO_PROTOCOL) == IPPROTO_TCP;
}

/* The listener that the server is being told of; NULL: none, as on loopback. */
static struct rsock *find_listener(struct resoa *resoa, int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	struct rsock *rsock;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len))
		return NULL;
	rsock = rsock_of_cookie(resoa, cookie);
	return rsock && rsock->kind == RSOCK_LISTENER && resoa->lhp ? rsock : NULL;
}

static bool wait_for(struct notify *notify, uint64_t id, struct rsock *rsock, int fd)
{
	const struct timeval limit = { .tv_sec = ANSWER_S };
	struct heard *heard = calloc(1, sizeof(*heard));

	if (!heard)
		return false;
	heard->timer = evtimer_new(rsock->resoa->base, on_time, heard);
	if (!heard->timer || evtimer_add(heard->timer, &limit)) {
		if (heard->timer)
			event_free(heard->timer);
		free(heard);
		return false;
	}
	heard->fd = fd;
	heard->rsock = rsock->id;
	heard->asked = notify_later(notify, id);
	LIST_INSERT_HEAD(&line, heard, line);
	return true;
}

bool heard_listen(struct notify *notify, const struct seccomp_notif *notif)
{
	struct resoa *resoa = notify_resoa(notify);
	struct asked now = { notif->id, notify };
	int fd = notify_socket(notify, notif->pid, (int)notif->data.args[0]);
	struct rsock *rsock;

	if (fd < 0)
		return false;
	/* Another backlog is no news for the server, and what fails here fails in the program. */
	if (is_tcp(fd) && number_of(fd, SO_ACCEPTCONN) == 0 && notify_is_valid(&now) &&
	    !listen(fd, (int)notif->data.args[1])) {
		program_drain(resoa->program);
		rsock = find_listener(resoa, fd);
		if (rsock && wait_for(notify, notif->id, rsock, fd))
			return true;
	}
	close(fd);
	return false; /* the kernel does it, maybe once more */
}

void heard_result(const struct rsock *rsock, int error)
{
	struct heard *heard;

	LIST_FOREACH(heard, &line, line)
	if (heard->rsock == rsock->id) {
		finish(heard, error);
		return;
	}
}

void heard_close(void)
{
	while (!LIST_EMPTY(&line))
		finish(LIST_FIRST(&line), 0);
}
