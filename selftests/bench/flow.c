/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * flow - moves bytes or messages between two ends and says on one line of JSON how it went.
 *
 * Either end may connect or listen: two ends that both connect are what a splice joins. A TCP
 * sender ends with FIN and is finished when the receiver has closed too, so its time includes the
 * last byte's arrival. A UDP end says hello every 100 ms until it has heard the other end.
 *
 *   flow --listen --bind 192.0.2.1:7000 --role recv
 *   flow --connect 192.0.2.1:7000 --role send --seconds 2
 */
/* link: selftests/bench/lib/flow_options.c selftests/bench/lib/flow_report.c */
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "lib/flow.h"

#define PERIOD	  65521 /* of the pattern that is sent; a prime, so no lost segment hides */
#define HELLO_NS  (NS / 10)
#define RETRY_NS  (NS / 20)
#define QUIET_NS  NS /* a UDP receiver ends when nothing has come for this long after the end */
#define LOST_NS	  NS /* a UDP answer that has not come by then never will */
#define UDP_BURST 32
#define END_MARKS 3

struct flow_options opt = { .streams = 1, .seconds = 2, .timeout = 20, .role = RECV };
struct flow flow = { .listener = -1 };

static char pattern[BUFFER + PERIOD], scratch[BUFFER];

uint64_t flow_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static void make_pattern(void)
{
	uint32_t x = 2463534242u;

	for (int i = 0; i < PERIOD; i++) { /* xorshift32 */
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		pattern[i] = x;
	}
	for (int i = PERIOD; i < (int)sizeof(pattern); i++)
		pattern[i] = pattern[i - PERIOD];
}

/* ---- addresses and sockets */

/* The endpoint of stream number `index`: sin_port and sin6_port are at one place. */
static union endpoint endpoint_of(const union endpoint *base, unsigned int step, unsigned int index)
{
	union endpoint at = *base;

	if (at.v4.sin_port)
		at.v4.sin_port = htons(ntohs(at.v4.sin_port) + step * index);
	return at;
}

static socklen_t endpoint_len(const union endpoint *at)
{
	return at->any.sa_family == AF_INET ? sizeof(at->v4) : sizeof(at->v6);
}

static int open_socket(unsigned int index)
{
	int family = opt.listen ? opt.bind.any.sa_family : opt.remote.any.sa_family, on = 1;
	union endpoint at = endpoint_of(&opt.bind, opt.bind_step, index);
	int fd = socket(family, (opt.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!opt.udp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (opt.bound && bind(fd, &at.any, endpoint_len(&at))) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

static void watch(struct stream *s, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = s };

	if (epoll_ctl(flow.poller, EPOLL_CTL_MOD, s->fd, &e))
		epoll_ctl(flow.poller, EPOLL_CTL_ADD, s->fd, &e);
}

/* ---- a stream's life */

/* Nobody sends before all streams are open (or have failed): the clock starts for all at once. */
static void flow_start_if_ready(void)
{
	if (flow.start_ns)
		return;
	for (unsigned int i = 0; i < opt.streams; i++)
		if (flow.streams[i].state == WAITING || flow.streams[i].state == CONNECTING)
			return;
	flow.start_ns = flow_now();
	for (unsigned int i = 0; i < opt.streams && opt.role == SEND; i++)
		if (flow.streams[i].state == OPEN)
			watch(&flow.streams[i], EPOLLIN | EPOLLOUT);
}

static void stream_end(struct stream *s, enum state state)
{
	struct linger abort = { .l_onoff = 1 };

	if (s->fd >= 0) {
		if (opt.reset && !opt.udp)
			setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
		close(s->fd);
		s->fd = -1;
	}
	s->state = state;
	flow.pending--;
	flow_start_if_ready();
}

static void stream_error(struct stream *s, int error)
{
	flow.last_error = error;
	s->reset |= error == ECONNRESET;
	stream_end(s, FAILED);
}

static void stream_opened(struct stream *s)
{
	s->state = OPEN;
	s->due_ns = 0;
	flow.last_error = 0;
	watch(s, EPOLLIN);
	flow_start_if_ready();
}

static void stream_connect(struct stream *s)
{
	union endpoint to = endpoint_of(&opt.remote, opt.port_step, s->index);

	s->fd = open_socket(s->index);
	if (s->fd < 0) {
		stream_error(s, -s->fd);
		return;
	}
	s->state = CONNECTING;
	s->due_ns = 0;
	if (connect(s->fd, &to.any, endpoint_len(&to)) && errno != EINPROGRESS) {
		stream_error(s, errno);
		return;
	}
	watch(s, opt.udp ? EPOLLIN : EPOLLOUT);
}

/* The other end may not listen yet, or the relay may not be ready: try again until the time-out. */
static void stream_retry(struct stream *s)
{
	close(s->fd);
	s->fd = -1;
	s->state = WAITING;
	s->due_ns = flow_now() + RETRY_NS;
}

static void stream_connected(struct stream *s)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	flow.last_error = error ?: flow.last_error;
	if (error == ECONNREFUSED || error == ENETUNREACH || error == EHOSTUNREACH)
		stream_retry(s);
	else if (error)
		stream_error(s, error);
	else
		stream_opened(s);
}

static void accept_streams(void)
{
	for (unsigned int i = 0; i < opt.streams; i++) {
		if (flow.streams[i].state != WAITING)
			continue;
		flow.streams[i].fd = accept4(flow.listener, NULL, NULL, SOCK_NONBLOCK);
		if (flow.streams[i].fd < 0)
			return;
		stream_opened(&flow.streams[i]);
	}
}

static bool time_is_up(void)
{
	return opt.seconds > 0 && flow.start_ns &&
	       flow_now() >= flow.start_ns + (uint64_t)(opt.seconds * NS);
}

/* Has a sender or pinger done what it was told? --bytes and --count count for each stream. */
static bool task_done(const struct stream *s)
{
	return (opt.bytes && s->sent >= opt.bytes) || (opt.count && s->messages >= opt.count) ||
	       time_is_up();
}

static bool rate_allows(const struct stream *s)
{
	return !(opt.rate > 0) || s->messages < (flow_now() - flow.start_ns) / 1e9 * opt.rate;
}

static void arrived(struct stream *s, size_t len)
{
	s->last_ns = flow_now();
	s->first_ns = s->first_ns ?: s->last_ns;
	if (opt.verify && !opt.udp && opt.role <= RECV &&
	    memcmp(scratch, pattern + s->received % PERIOD, len))
		for (size_t i = 0; i < len; i++)
			s->mismatches += scratch[i] != pattern[(s->received + i) % PERIOD];
	s->received += len;
}

static void sample(uint64_t ns)
{
	if (!flow.samples)
		flow.samples = calloc(SAMPLES, sizeof(*flow.samples));
	if (flow.samples && flow.sample_count < SAMPLES)
		flow.samples[flow.sample_count++] = ns > UINT32_MAX ? UINT32_MAX : ns;
}

/* ---- TCP */

static void tcp_shut(struct stream *s)
{
	if (!s->shut && !opt.reset)
		shutdown(s->fd, SHUT_WR);
	s->shut = true;
	if (s->eof || opt.reset)
		stream_end(s, FINISHED);
	else
		watch(s, EPOLLIN);
}

/* A sender's bytes, or a receiver's reply after the other side's FIN (half-close). */
static void tcp_write(struct stream *s)
{
	uint64_t limit = opt.role == RECV ? opt.reply : opt.bytes;
	size_t len = opt.size ?: BUFFER;
	ssize_t n;

	if (opt.role == RECV ? s->sent >= limit : task_done(s)) {
		tcp_shut(s);
		return;
	}
	if (!rate_allows(s)) {
		watch(s, EPOLLIN); /* tick() comes back to it */
		return;
	}
	if (limit && limit - s->sent < len)
		len = limit - s->sent;
	n = send(s->fd, pattern + s->sent % PERIOD, len, MSG_NOSIGNAL);
	if (n > 0) {
		s->sent += n;
		s->messages++;
	} else if (errno != EAGAIN) {
		stream_error(s, errno);
	}
}

static void tcp_echo(struct stream *s)
{
	ssize_t n = send(s->fd, s->echo + s->echo_at, s->echo_len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN) {
		stream_error(s, errno);
		return;
	}
	if (n > 0) {
		s->sent += n;
		s->echo_at += n;
		s->echo_len -= n;
	}
	watch(s, s->echo_len ? EPOLLOUT : EPOLLIN);
}

static void tcp_ping(struct stream *s)
{
	if (task_done(s)) {
		tcp_shut(s);
		return;
	}
	s->got = 0;
	s->ping_ns = flow_now();
	if (send(s->fd, pattern, opt.size, MSG_NOSIGNAL) != (ssize_t)opt.size)
		stream_error(s, errno ?: EMSGSIZE);
	else
		s->sent += opt.size;
}

static void ping_answered(struct stream *s)
{
	uint64_t t = flow_now();

	sample(t - s->ping_ns);
	s->messages++;
	s->ping_ns = 0;
	if (opt.rate > 0)
		s->due_ns = t + NS / opt.rate;
	else if (!opt.udp)
		tcp_ping(s);
}

static void tcp_eof(struct stream *s)
{
	s->eof = true;
	if (opt.role == RECV && opt.reply)
		watch(s, EPOLLOUT);
	else if (opt.role == SEND && !s->shut)
		stream_error(s, EPIPE); /* the receiver went before the sender was done */
	else
		tcp_shut(s);
}

static void tcp_read(struct stream *s)
{
	ssize_t n = recv(s->fd, scratch, sizeof(scratch), 0);

	if (n < 0) {
		if (errno != EAGAIN)
			stream_error(s, errno);
		return;
	}
	if (!n) {
		tcp_eof(s);
		return;
	}
	arrived(s, n);
	if (opt.role == ECHO) {
		s->echo = s->echo ?: malloc(BUFFER);
		if (!s->echo) {
			stream_error(s, ENOMEM);
			return;
		}
		memcpy(s->echo, scratch, n);
		s->echo_at = 0;
		s->echo_len = n;
		tcp_echo(s);
	} else if (opt.role == PING && s->ping_ns) {
		s->got += n;
		if (s->got >= opt.size)
			ping_answered(s);
	}
}

/* ---- UDP: a type byte (Hello, hello's answer, Data, End), a 64-bit number, filler */

static ssize_t udp_send(struct stream *s, char type, uint64_t number, size_t len)
{
	char packet[65536];

	memcpy(packet, pattern, len);
	packet[0] = type;
	memcpy(packet + 1, &number, sizeof(number));
	return send(s->fd, packet, len, 0);
}

static void udp_end(struct stream *s)
{
	for (int i = 0; i < END_MARKS; i++)
		udp_send(s, 'E', s->messages, UDP_HEADER);
	stream_end(s, FINISHED);
}

static void udp_write(struct stream *s)
{
	for (int i = 0; i < UDP_BURST; i++) {
		if (task_done(s)) {
			udp_end(s);
			return;
		}
		if (!rate_allows(s)) {
			watch(s, EPOLLIN);
			return;
		}
		if (udp_send(s, 'D', s->messages, opt.size) < 0)
			return; /* the queue is full, or an ICMP error: the next one shows */
		s->messages++;
		s->sent += opt.size;
	}
}

static void udp_ping(struct stream *s)
{
	if (task_done(s)) {
		udp_end(s);
		return;
	}
	s->ping_ns = flow_now();
	udp_send(s, 'D', s->messages + s->lost, opt.size);
	s->sent += opt.size;
}

static void udp_data(struct stream *s, uint64_t number, size_t len)
{
	arrived(s, len);
	if (opt.role == RECV) {
		s->messages++;
		if (number >= s->seen)
			s->seen = number + 1;
	} else if (opt.role == ECHO) {
		s->messages++;
		if (udp_send(s, 'D', number, len) > 0)
			s->sent += len;
	} else if (opt.role == PING && s->ping_ns && number == s->messages + s->lost) {
		ping_answered(s);
		if (!(opt.rate > 0))
			udp_ping(s);
	}
}

static void udp_read(struct stream *s)
{
	union endpoint from;
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(s->fd, scratch, sizeof(scratch), 0, &from.any, &from_len);
	uint64_t number;

	if (n < UDP_HEADER)
		return; /* also ECONNREFUSED: the other end is not there yet */
	memcpy(&number, scratch + 1, sizeof(number));
	if (s->state != OPEN) {
		if (opt.listen)
			connect(s->fd, &from.any, from_len);
		stream_opened(s);
	}
	if (scratch[0] == 'H') {
		udp_send(s, 'h', 0, UDP_HEADER);
	} else if (scratch[0] == 'D') {
		udp_data(s, number, n);
	} else if (scratch[0] == 'E') {
		if (number > s->seen)
			s->seen = number;
		stream_end(s, FINISHED);
	}
}

/* ---- the loop */

static void on_event(struct stream *s, uint32_t events)
{
	if (s->state == CONNECTING && !opt.udp) {
		stream_connected(s);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		if (opt.udp)
			udp_read(s);
		else
			tcp_read(s);
	}
	if (s->state != OPEN || !(events & EPOLLOUT) || !flow.start_ns)
		return;
	if (opt.role == ECHO)
		tcp_echo(s);
	else if (opt.udp)
		udp_write(s);
	else
		tcp_write(s);
}

static void tick_open(struct stream *s, uint64_t t)
{
	if (opt.role == SEND && !s->shut && opt.rate > 0 && flow.start_ns) {
		watch(s, EPOLLIN | EPOLLOUT);
	} else if (opt.role == PING && !s->shut && flow.start_ns) {
		if (opt.udp && s->ping_ns && t > s->ping_ns + LOST_NS) {
			s->ping_ns = 0;
			s->lost++;
		}
		if (!s->ping_ns && t >= s->due_ns)
			opt.udp ? udp_ping(s) : tcp_ping(s);
	} else if (opt.udp && opt.role != SEND && time_is_up() && t > s->last_ns + QUIET_NS) {
		stream_end(s, FINISHED); /* all of the sender's end marks were lost */
	}
}

static void tick(uint64_t t)
{
	for (unsigned int i = 0; i < opt.streams; i++) {
		struct stream *s = &flow.streams[i];

		if (s->state == OPEN) {
			tick_open(s, t);
		} else if (s->state == WAITING && !opt.listen && t >= s->due_ns) {
			stream_connect(s);
		} else if (s->state == CONNECTING && opt.udp && !opt.listen && t >= s->due_ns) {
			udp_send(s, 'H', 0, UDP_HEADER);
			s->due_ns = t + HELLO_NS;
		}
	}
}

static int start(void)
{
	struct epoll_event e = { .events = EPOLLIN };

	flow.poller = epoll_create1(0);
	flow.pending = opt.streams;
	for (unsigned int i = 0; i < opt.streams; i++)
		flow.streams[i] = (struct stream){ .fd = -1, .index = i };
	if (!opt.listen)
		return 0;
	for (unsigned int i = 0; i < (opt.udp ? opt.streams : 1); i++) {
		int fd = open_socket(i);

		if (fd < 0)
			return fd;
		if (!opt.udp) {
			flow.listener = fd;
			epoll_ctl(flow.poller, EPOLL_CTL_ADD, fd, &e);
			return listen(fd, STREAMS) ? -errno : 0;
		}
		flow.streams[i].fd = fd;
		flow.streams[i].state = CONNECTING;
		watch(&flow.streams[i], EPOLLIN);
	}
	return 0;
}

static void run(void)
{
	uint64_t deadline = flow_now() + (uint64_t)((opt.seconds + opt.timeout) * NS),
		 last_tick = 0, t;
	/* A tick walks all streams, so it is rare where nothing is timed by it. */
	uint64_t every = opt.rate > 0 || opt.role == PING ? NS / 1000 : NS / 50;
	struct epoll_event events[64];

	while (flow.pending && (t = flow_now()) < deadline) {
		int n;

		if (t >= last_tick + every) {
			tick(t);
			last_tick = t;
		}
		n = epoll_wait(flow.poller, events, 64, every / 1000000);
		for (int i = 0; i < n; i++) {
			struct stream *s = events[i].data.ptr;

			if (!s)
				accept_streams();
			else if (s->fd >= 0)
				on_event(s, events[i].events);
		}
	}
}

int main(int argc, char **argv)
{
	int error;

	if (flow_take_options(argc, argv)) {
		flow_usage();
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	make_pattern();
	error = start();
	if (error) {
		fprintf(stderr, "flow: cannot listen: %s\n", strerror(-error));
		return 1;
	}
	run();
	return flow_report();
}
