// SPDX-License-Identifier: GPL-3.0-or-later
#include "relay.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_BYTES   (256 * 1024) /* asked for; an unprivileged user may get 64 KiB or less */
#define BUFFER_BYTES (64 * 1024)
#define PIPES_MAX    64 /* idle pipes kept */
#define ROUNDS	     16 /* then other connections have their turn */

/* Edge-triggered: an end is ready until a call says EAGAIN. */
struct end {
	int fd;
	struct event *event;
	bool readable, writable;
};

/* One direction: from end[i] to end[!i]. */
struct flow {
	int pipe[2]; /* borrowed while something is in it, else -1 */
	char *buffer;
	size_t held, offset;
	bool copy, eof, shut;
	uint64_t bytes;
};

struct relay {
	struct event_base *base;
	struct end end[2];
	struct flow flow[2];
	relay_done done;
	void *arg;
	bool over;
};

static struct {
	int fd[PIPES_MAX][2];
	unsigned int count;
	bool copy;
} pipes;

void relay_set_copy(bool copy)
{
	pipes.copy = copy;
}

void relay_drop_pipes(void)
{
	while (pipes.count) {
		pipes.count--;
		close(pipes.fd[pipes.count][0]);
		close(pipes.fd[pipes.count][1]);
	}
}

static int pipe_take(int fd[2])
{
	if (pipes.count) {
		pipes.count--;
		fd[0] = pipes.fd[pipes.count][0];
		fd[1] = pipes.fd[pipes.count][1];
		return 0;
	}
	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC))
		return -errno;
	fcntl(fd[1], F_SETPIPE_SZ, PIPE_BYTES);
	return 0;
}

static void pipe_give(int fd[2], bool empty)
{
	if (empty && pipes.count < PIPES_MAX) {
		pipes.fd[pipes.count][0] = fd[0];
		pipes.fd[pipes.count][1] = fd[1];
		pipes.count++;
	} else {
		close(fd[0]);
		close(fd[1]);
	}
	fd[0] = fd[1] = -1;
}

void relay_reset(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void flow_release(struct flow *flow)
{
	if (flow->pipe[0] >= 0)
		pipe_give(flow->pipe, !flow->held);
	free(flow->buffer);
	flow->buffer = NULL;
}

/* Closes the sockets: with RST on error, so that the other end learns of it. */
static void relay_close(struct relay *relay, int error)
{
	for (int i = 0; i < 2; i++) {
		struct end *end = &relay->end[i];

		if (end->event)
			event_free(end->event);
		end->event = NULL;
		if (end->fd < 0)
			continue;
		if (error)
			relay_reset(end->fd);
		else
			close(end->fd);
		end->fd = -1;
		flow_release(&relay->flow[i]);
	}
	relay->over = true;
}

static bool flow_place(struct flow *flow)
{
	if (!flow->copy && flow->pipe[0] < 0 && pipe_take(flow->pipe))
		flow->copy = true;
	if (flow->copy && !flow->buffer)
		flow->buffer = malloc(BUFFER_BYTES);
	return !flow->copy || flow->buffer;
}

/* Bytes moved from the socket, 0 for none, or a negative errno. */
static ssize_t flow_fill(struct relay *relay, int i)
{
	struct flow *flow = &relay->flow[i];
	struct end *in = &relay->end[i];
	ssize_t n;

	if (!flow_place(flow))
		return -ENOMEM;
	if (flow->copy && flow->held)
		return 0;
	do {
		if (flow->copy)
			n = recv(in->fd, flow->buffer, BUFFER_BYTES, 0);
		else
			n = splice(in->fd, NULL, flow->pipe[1], NULL, PIPE_BYTES,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		flow->held += n;
		return n;
	}
	if (!n) {
		flow->eof = true;
		return 0;
	}
	if (errno == EAGAIN) {
		/* With bytes in the pipe it may also mean that the pipe is full. */
		if (!flow->held)
			in->readable = false;
		return 0;
	}
	if (errno == EINVAL && !flow->copy && !flow->held) {
		pipe_give(flow->pipe, true);
		flow->copy = true;
		return flow_fill(relay, i);
	}
	return -errno;
}

static ssize_t flow_drain(struct relay *relay, int i)
{
	struct flow *flow = &relay->flow[i];
	struct end *out = &relay->end[!i];
	ssize_t n;

	do {
		if (flow->copy)
			n = send(out->fd, flow->buffer + flow->offset, flow->held, MSG_NOSIGNAL);
		else
			n = splice(flow->pipe[0], NULL, out->fd, NULL, flow->held,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno != EAGAIN)
			return -errno;
		out->writable = false;
		return 0;
	}
	flow->held -= n;
	flow->offset = flow->held ? flow->offset + n : 0;
	flow->bytes += n;
	return n;
}

static int flow_finish(struct relay *relay, int i)
{
	struct flow *flow = &relay->flow[i];

	if (!flow->held)
		flow_release(flow);
	if (!flow->eof || flow->held || flow->shut)
		return 0;
	if (shutdown(relay->end[!i].fd, SHUT_WR))
		return -errno;
	flow->shut = true;
	return 0;
}

static int flow_run(struct relay *relay, int i)
{
	struct flow *flow = &relay->flow[i];
	int round;

	for (round = 0; round < ROUNDS; round++) {
		ssize_t in = 0, out = 0;

		if (!flow->eof && relay->end[i].readable)
			in = flow_fill(relay, i);
		if (in < 0)
			return in;
		if (flow->held && relay->end[!i].writable)
			out = flow_drain(relay, i);
		if (out < 0)
			return out;
		if (!in && !out)
			break;
	}
	if (round == ROUNDS)
		event_active(relay->end[i].event, EV_READ, 0);
	return flow_finish(relay, i);
}

/* An end that is not being read (its other is slow, or it has sent FIN) may still be reset. */
static int end_error(const struct relay *relay, int i)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (!relay->flow[i].eof && !relay->end[i].readable)
		return 0;
	getsockopt(relay->end[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return -error;
}

static void end_ready(evutil_socket_t fd, short what, void *arg)
{
	struct relay *relay = arg;
	int i = relay->end[1].fd == fd;
	int error;

	if (what & EV_READ)
		relay->end[i].readable = true;
	if (what & EV_WRITE)
		relay->end[i].writable = true;
	error = flow_run(relay, i);
	if (!error)
		error = flow_run(relay, !i);
	if (!error)
		error = end_error(relay, i);
	if (!error && !(relay->flow[0].shut && relay->flow[1].shut))
		return;
	relay_close(relay, error);
	relay->done(error, relay->arg);
}

struct relay *relay_new(struct event_base *base, int a, int b, relay_done done, void *arg)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int fd[2] = { a, b };

	if (!relay) {
		relay_reset(a);
		relay_reset(b);
		return NULL;
	}
	relay->base = base;
	relay->done = done;
	relay->arg = arg;
	for (int i = 0; i < 2; i++) {
		relay->end[i].fd = fd[i];
		relay->flow[i].pipe[0] = relay->flow[i].pipe[1] = -1;
		relay->flow[i].copy = pipes.copy;
		relay->end[i].event = event_new(
			base, fd[i], EV_READ | EV_WRITE | EV_ET | EV_PERSIST, end_ready, relay);
	}
	if (!relay->end[0].event || !relay->end[1].event || event_add(relay->end[0].event, NULL) ||
	    event_add(relay->end[1].event, NULL)) {
		relay_free(relay);
		return NULL;
	}
	return relay;
}

uint64_t relay_bytes_from_a(const struct relay *relay)
{
	return relay->flow[0].bytes;
}

uint64_t relay_bytes_from_b(const struct relay *relay)
{
	return relay->flow[1].bytes;
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	if (!relay->over)
		relay_close(relay, -ECONNABORTED);
	free(relay);
}
