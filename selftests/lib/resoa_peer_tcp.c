// SPDX-License-Identifier: GPL-3.0-or-later
/* What resoa_peer does with connections. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resoa_calls_bytes.h"
#include "resoa_peer.h"

#define CONNS 64

static int listener = -1, conns[CONNS], conn_count, conn = -1;

static void conn_new(int fd)
{
	if (conn_count == CONNS)
		exit(1);
	conns[conn_count++] = conn = fd;
}

static void do_tcp(const char *args)
{
	int family = 4, backlog = 128;

	sscanf(args, "%d %d", &family, &backlog);
	listener = bound(family, SOCK_STREAM, 0);
	if (listener < 0 || listen(listener, backlog))
		answer_errno();
	else
		answer("%d", local_port(listener));
}

static void do_reserve(const char *args)
{
	int fd = bound(atoi(args), SOCK_STREAM, 0);

	if (fd < 0)
		answer_errno();
	else
		answer("%d", local_port(fd));
}

static void do_accept(const char *args)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int fd;

	(void)args;
	if (!comes(listener, POLLIN, WAIT_MS)) {
		answer("nothing");
		return;
	}
	fd = accept4(listener, (struct sockaddr *)&name, &len, SOCK_CLOEXEC);
	if (fd < 0) {
		answer_errno();
		return;
	}
	conn_new(fd);
	answer("%s", text_of(&name));
}

static void do_connect(const char *args)
{
	struct sockaddr_storage name;
	char address[64] = "";
	int port = 0, error = 0, fd;
	socklen_t len;

	sscanf(args, "%63s %d", address, &port);
	len = name_of(address, port, &name);
	fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	conn_new(fd);
	if (connect(fd, (struct sockaddr *)&name, len) && errno != EINPROGRESS) {
		answer_errno();
		return;
	}
	if (!comes(fd, POLLOUT, 700)) {
		answer("nothing");
		return;
	}
	len = sizeof(error);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	fcntl(fd, F_SETFL, 0);
	if (error)
		answer("%s", strerrorname_np(error));
	else
		answer("connected %d", local_port(fd));
}

static void do_use(const char *args)
{
	conn = conns[atoi(args) % CONNS];
	answer("ok");
}

static void do_send(const char *args)
{
	answer_result(send(conn, args, strlen(args), MSG_NOSIGNAL));
}

static long pour(int fd, long count)
{
	long at = 0, done;

	while (at < count) {
		long part = count - at > (long)sizeof(buffer) ? (long)sizeof(buffer) : count - at;

		bytes_make(buffer, at, part);
		done = send(fd, buffer, part, MSG_NOSIGNAL);
		if (done < 0)
			return done;
		at += done;
	}
	return at;
}

static void do_chars(const char *args)
{
	answer_result(pour(conn, atol(args)));
}

static void do_oob(const char *args)
{
	answer_result(send(conn, args, strlen(args), MSG_OOB | MSG_NOSIGNAL));
}

static void do_fin(const char *args)
{
	(void)args;
	answer_result(shutdown(conn, SHUT_WR));
}

static void do_rst(const char *args)
{
	struct linger linger = { .l_onoff = 1 };

	(void)args;
	setsockopt(conn, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	answer_result(close(conn));
}

static void do_close(const char *args)
{
	(void)args;
	answer_result(close(conn));
}

static void do_unlisten(const char *args)
{
	(void)args;
	answer_result(close(listener));
}

/* Segments come in no more, as if the peer was gone. */
static void do_mute(const char *args)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { .len = 1, .filter = &none };

	(void)args;
	answer_result(setsockopt(conn, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

/* Its address moves to nowhere: who sends there hears from a router that nobody is there. */
static void do_leave(const char *args)
{
	char line[256], address[64];

	if (sscanf(args, "%63s", address) != 1) {
		answer("no address");
		return;
	}
	snprintf(line, sizeof(line), "ip addr del %s/%d dev lo && ip route add unreachable %s",
		 address, strchr(address, ':') ? 128 : 32, address);
	answer_result(system(line) ? -1 : 0);
}

static void do_read(const char *args)
{
	long len;

	(void)args;
	if (!comes(conn, POLLIN, WAIT_MS)) {
		answer("nothing");
		return;
	}
	len = recv(conn, buffer, sizeof(buffer), 0);
	if (len < 0)
		answer_errno();
	else if (!len)
		answer("end");
	else
		answer_bytes("", buffer, len);
}

/* To the end: N bytes HASH, then end, or an error. */
static void eat(const char *before)
{
	uint64_t hash = BYTES_HASH;
	long len = 0, total = 0;
	const char *how = "end";

	for (;;) {
		if (!comes(conn, POLLIN, slowly(LONG_MS))) {
			how = "nothing more";
			break;
		}
		len = recv(conn, buffer, sizeof(buffer), 0);
		if (len <= 0)
			break;
		hash = bytes_hash(hash, buffer, len);
		total += len;
	}
	if (len < 0)
		how = strerrorname_np(errno);
	answer("%s%ld bytes %016llx %s", before, total, (unsigned long long)hash, how);
}

static void do_eat(const char *args)
{
	(void)args;
	eat("");
}

/* Sends so many bytes and its end while it reads to the other's. */
static void do_duplex(const char *args)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		alarm(slowly(LONG_MS / 1000));
		_exit(pour(conn, atol(args)) < 0 || shutdown(conn, SHUT_WR) ? 1 : 0);
	}
	eat("");
	waitpid(pid, &status, 0);
}

static void do_inline(const char *args)
{
	(void)args;
	answer_result(setsockopt(conn, SOL_SOCKET, SO_OOBINLINE, &(int){ 1 }, sizeof(int)));
}

/* All that comes until it is quiet, after `inline`; a | stands before a byte that is urgent. */
static void do_marks(const char *args)
{
	char text[200];
	int len = 0, mark = 0, marked = -1;
	long got = -1;

	(void)args;
	while (len < 100 && comes(conn, POLLIN, len ? QUIET_MS : WAIT_MS)) {
		ioctl(conn, SIOCATMARK, &mark);
		if (mark && marked != len) {
			text[len++] = '|';
			marked = len;
		}
		got = recv(conn, text + len, 64, 0);
		if (got <= 0)
			break;
		len += got;
	}
	answer("'%.*s'%s", len, text, got ? got < 0 ? " error" : "" : " end");
}

/* Sends back what comes, until the end, on its own. */
static void do_echo(const char *args)
{
	long len;

	(void)args;
	if (!fork()) {
		close(control);
		while ((len = recv(conn, buffer, sizeof(buffer), 0)) > 0)
			if (send(conn, buffer, len, MSG_NOSIGNAL) != len)
				break;
		_exit(0);
	}
	close(conn);
	answer("ok");
}

static void do_state(const char *args)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int tries;

	for (tries = 0; tries < 200; tries++) {
		len = sizeof(info);
		getsockopt(conn, IPPROTO_TCP, TCP_INFO, &info, &len);
		if (info.tcpi_state == atoi(args))
			break;
		usleep(10000);
	}
	answer("%d", info.tcpi_state);
}

static void do_mss(const char *args)
{
	int mss = 0;
	socklen_t len = sizeof(mss);

	(void)args;
	getsockopt(conn, IPPROTO_TCP, TCP_MAXSEG, &mss, &len);
	answer("%d", mss);
}

/* TTL and TOS that the handshake had. */
static void do_pktoptions(const char *args)
{
	bool six = atoi(args) == 6;
	int ttl = -1, tos = -1;
	uint8_t space[256];
	socklen_t len = sizeof(space);
	struct msghdr message = { .msg_control = space };
	struct cmsghdr *c;

	setsockopt(conn, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_RECVHOPLIMIT : IP_RECVTTL,
		   &(int){ 1 }, sizeof(int));
	setsockopt(conn, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_RECVTCLASS : IP_RECVTOS,
		   &(int){ 1 }, sizeof(int));
	if (getsockopt(conn, six ? IPPROTO_IPV6 : IPPROTO_IP,
		       six ? IPV6_2292PKTOPTIONS : IP_PKTOPTIONS, space, &len)) {
		answer_errno();
		return;
	}
	message.msg_controllen = len;
	for (c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_type == (six ? IPV6_HOPLIMIT : IP_TTL))
			memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
		if (c->cmsg_type == (six ? IPV6_TCLASS : IP_TOS))
			tos = *CMSG_DATA(c);
	}
	answer("ttl=%d tos=%d", ttl, tos);
}

const struct peer_command peer_tcp[] = {
	{ "tcp", do_tcp },
	{ "reserve", do_reserve },
	{ "accept", do_accept },
	{ "connect", do_connect },
	{ "use", do_use },
	{ "send", do_send },
	{ "chars", do_chars },
	{ "oob", do_oob },
	{ "fin", do_fin },
	{ "rst", do_rst },
	{ "close", do_close },
	{ "unlisten", do_unlisten },
	{ "mute", do_mute },
	{ "leave", do_leave },
	{ "read", do_read },
	{ "eat", do_eat },
	{ "duplex", do_duplex },
	{ "inline", do_inline },
	{ "marks", do_marks },
	{ "echo", do_echo },
	{ "state", do_state },
	{ "mss", do_mss },
	{ "pktoptions", do_pktoptions },
	{ 0 },
};
