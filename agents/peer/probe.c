// SPDX-License-Identifier: GPL-3.0-or-later
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/address.h"

#define UDP_TRIES 4
#define TCP_MS	  8000

/*
 *   UDP --answer--> done
 *    | four times no answer, or refused
 *   TCP_CONNECT --writable--> TCP_ANSWER --48 bytes--> done
 */
enum probe_state { PROBE_UDP, PROBE_TCP_CONNECT, PROBE_TCP_ANSWER };

struct probe {
	enum probe_state state;
	struct event_base *base;
	struct announced announced;
	int fd;
	struct event *io, *timer;
	unsigned int tries;
	uint8_t answer[PROBE_BYTES];
	size_t have;
	probe_done done;
	void *arg;
};

/* Milliseconds to wait after each of the four questions. */
static const unsigned int udp_wait_ms[UDP_TRIES] = { 200, 400, 800, 800 };

static void probe_ready(evutil_socket_t fd, short what, void *arg);

static void arm(struct probe *probe, unsigned int ms)
{
	struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	evtimer_add(probe->timer, &wait);
}

static void probe_close(struct probe *probe)
{
	if (probe->io)
		event_free(probe->io);
	probe->io = NULL;
	if (probe->fd >= 0)
		close(probe->fd);
	probe->fd = -1;
}

static int probe_open(struct probe *probe, int type, uint16_t port, short what)
{
	struct sockaddr_storage storage;
	socklen_t len = address_to_sockaddr(&probe->announced.address, htons(port), &storage);

	probe_close(probe);
	probe->fd = socket(storage.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (probe->fd < 0)
		return -errno;
	if (connect(probe->fd, (struct sockaddr *)&storage, len) && errno != EINPROGRESS)
		return -errno;
	probe->io = event_new(probe->base, probe->fd, what | EV_PERSIST, probe_ready, probe);
	return probe->io && !event_add(probe->io, NULL) ? 0 : -ENOMEM;
}

static void question(const struct probe *probe, uint8_t bytes[PROBE_BYTES])
{
	struct probe_question q = { .session = probe->announced.session,
				    .side = probe->announced.role };

	memcpy(q.token, probe->announced.token, sizeof(q.token));
	probe_write_question(&q, bytes);
}

static void finish(struct probe *probe, int error)
{
	probe_close(probe);
	evtimer_del(probe->timer);
	probe->done(error, probe->arg);
}

static int start_tcp(struct probe *probe)
{
	int error;

	if (!probe->announced.probe_port_tcp)
		return -ETIMEDOUT;
	probe->state = PROBE_TCP_CONNECT;
	error = probe_open(probe, SOCK_STREAM, probe->announced.probe_port_tcp, EV_WRITE);
	if (!error)
		arm(probe, TCP_MS);
	return error;
}

static void use_tcp(struct probe *probe)
{
	int error = start_tcp(probe);

	if (error)
		finish(probe, error);
}

static void send_udp(struct probe *probe)
{
	uint8_t bytes[PROBE_BYTES];

	question(probe, bytes);
	send(probe->fd, bytes, sizeof(bytes), MSG_NOSIGNAL); /* a lost one is repeated */
	arm(probe, udp_wait_ms[probe->tries++]);
}

static void probe_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct probe *probe = arg;

	(void)fd, (void)what;
	if (probe->state != PROBE_UDP)
		finish(probe, -ETIMEDOUT);
	else if (probe->tries < UDP_TRIES)
		send_udp(probe);
	else
		use_tcp(probe);
}

/* 1: not an answer to our question. */
static int answer_status(const struct probe *probe, const uint8_t *bytes, size_t len)
{
	struct probe_answer answer;

	if (probe_read_answer(bytes, len, &answer) || answer.session != probe->announced.session ||
	    answer.side != probe->announced.role)
		return 1;
	switch (answer.status) {
	case PROBE_OK:
		return 0;
	case PROBE_FAMILY:
		return -EAFNOSUPPORT;
	}
	return -EACCES;
}

static void read_udp(struct probe *probe)
{
	uint8_t bytes[PROBE_BYTES + 1];
	ssize_t n = recv(probe->fd, bytes, sizeof(bytes), 0);
	int status;

	if (n < 0) {
		/* Refused by ICMP: UDP leads nowhere here. */
		if (errno != EAGAIN && errno != EINTR)
			use_tcp(probe);
		return;
	}
	status = answer_status(probe, bytes, n);
	if (status <= 0)
		finish(probe, status);
}

static void write_tcp(struct probe *probe)
{
	uint8_t bytes[PROBE_BYTES];
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	question(probe, bytes);
	if (!error && send(probe->fd, bytes, sizeof(bytes), MSG_NOSIGNAL) != sizeof(bytes))
		error = EPIPE;
	if (error) {
		finish(probe, -error);
		return;
	}
	probe->state = PROBE_TCP_ANSWER;
	event_del(probe->io);
	event_assign(probe->io, probe->base, probe->fd, EV_READ | EV_PERSIST, probe_ready, probe);
	event_add(probe->io, NULL);
}

static void read_tcp(struct probe *probe)
{
	ssize_t n = recv(probe->fd, probe->answer + probe->have, PROBE_BYTES - probe->have, 0);
	int status;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		finish(probe, n ? -errno : -ECONNRESET);
		return;
	}
	probe->have += n;
	if (probe->have < PROBE_BYTES)
		return;
	status = answer_status(probe, probe->answer, PROBE_BYTES);
	finish(probe, status > 0 ? -EPROTO : status);
}

static void probe_ready(evutil_socket_t fd, short what, void *arg)
{
	struct probe *probe = arg;

	(void)fd, (void)what;
	switch (probe->state) {
	case PROBE_UDP:
		read_udp(probe);
		break;
	case PROBE_TCP_CONNECT:
		write_tcp(probe);
		break;
	case PROBE_TCP_ANSWER:
		read_tcp(probe);
		break;
	}
}

static int probe_start(struct probe *probe, bool by_tcp)
{
	uint16_t port = probe->announced.probe_port_udp;

	if (!port || (by_tcp && probe->announced.probe_port_tcp) ||
	    probe_open(probe, SOCK_DGRAM, port, EV_READ))
		return start_tcp(probe);
	send_udp(probe);
	return 0;
}

bool probe_was_tcp(const struct probe *probe)
{
	return probe->state != PROBE_UDP;
}

struct probe *probe_new(struct event_base *base, const struct announced *announced, bool by_tcp,
			probe_done done, void *arg)
{
	struct probe *probe = calloc(1, sizeof(*probe));

	if (!probe)
		return NULL;
	probe->base = base;
	probe->announced = *announced;
	probe->fd = -1;
	probe->done = done;
	probe->arg = arg;
	probe->timer = evtimer_new(base, probe_timeout, probe);
	if (!probe->timer || probe_start(probe, by_tcp)) {
		probe_free(probe);
		return NULL;
	}
	return probe;
}

void probe_free(struct probe *probe)
{
	if (!probe)
		return;
	probe_close(probe);
	if (probe->timer)
		event_free(probe->timer);
	explicit_bzero(&probe->announced, sizeof(probe->announced));
	free(probe);
}
