// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/resoa_peer_tcp.c selftests/lib/resoa_peer_udp.c */
/*
 * selftests/lib/resoa_peer.c - the other end of resoa_calls. It does what it is told, when it is
 * told: one line there and one back over a Unix socket, which no network namespace hides.
 *
 *	resoa_peer PATH
 *
 * Each control connection is a session, a process of its own; what it made ends with it.
 *
 *   tcp FAMILY [BACKLOG]    listens on some port: PORT
 *   reserve FAMILY          a port where nobody listens: PORT
 *   accept                  a connection, from now on the one that is meant: ADDRESS PORT
 *   connect ADDRESS PORT    likewise: connected PORT, or an error
 *   use N                   the connection made as number N
 *   send TEXT, chars N, oob C, fin, rst, close, mute, leave ADDRESS
 *   read, eat, marks, duplex N, echo, info, pktoptions, mss, state
 *   udp FAMILY [PORT]       a socket: PORT
 *   from                    the next datagram: ADDRESS PORT TO ttl=T tos=O: TEXT
 *   back TEXT, size N, to ADDRESS PORT TEXT, ttl N, tos N, broadcast, join GROUP
 *
 * "nothing" is the answer when nothing has come for WAIT_MS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "resoa_calls_bytes.h"
#include "resoa_peer.h"

int control = -1;
uint8_t buffer[70000];

/* ---- answers */

void answer(const char *format, ...)
{
	char line[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	if (write(control, line, len) != len)
		exit(1);
}

void answer_errno(void)
{
	answer("%s", strerrorname_np(errno));
}

void answer_result(long result)
{
	if (result < 0)
		answer_errno();
	else
		answer("ok");
}

bool comes(int fd, short events, int wait_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	return poll(&poll_fd, 1, wait_ms) == 1;
}

socklen_t name_of(const char *address, int port, struct sockaddr_storage *name)
{
	struct sockaddr_in *in = (void *)name;
	struct sockaddr_in6 *in6 = (void *)name;

	memset(name, 0, sizeof(*name));
	if (strchr(address, ':')) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		inet_pton(AF_INET6, address, &in6->sin6_addr);
		if (in6->sin6_addr.s6_addr[0] == 0xff || in6->sin6_addr.s6_addr[0] == 0xfe)
			in6->sin6_scope_id = if_nametoindex("e0");
		return sizeof(*in6);
	}
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	inet_pton(AF_INET, address, &in->sin_addr);
	return sizeof(*in);
}

int port_of(const struct sockaddr_storage *name)
{
	return ntohs(((const struct sockaddr_in6 *)name)->sin6_port);
}

/* ADDRESS PORT */
const char *text_of(const struct sockaddr_storage *name)
{
	static char text[INET6_ADDRSTRLEN + 8];
	const void *address = &((const struct sockaddr_in *)name)->sin_addr;

	if (name->ss_family == AF_INET6)
		address = &((const struct sockaddr_in6 *)name)->sin6_addr;
	inet_ntop(name->ss_family, address, text, INET6_ADDRSTRLEN);
	sprintf(text + strlen(text), " %d", port_of(name));
	return text;
}

int local_port(int fd)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	return getsockname(fd, (struct sockaddr *)&name, &len) ? -1 : port_of(&name);
}

int bound(int family, int type, int port)
{
	int fd = socket(family == 6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
	struct sockaddr_storage name;
	socklen_t len = name_of(family == 6 ? "::" : "0.0.0.0", port, &name);

	if (family == 6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int));
	if (type == SOCK_STREAM || port)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&name, len)) {
		close(fd);
		return -1;
	}
	return fd;
}

void answer_bytes(const char *before, const uint8_t *bytes, long len)
{
	if (len <= 64)
		answer("%s'%.*s'", before, (int)len, bytes);
	else
		answer("%s%ld bytes %016llx", before, len,
		       (unsigned long long)bytes_hash(BYTES_HASH, bytes, len));
}

/* ---- sessions */

static bool try(const struct peer_command *commands, const char *word, const char *args)
{
	for (; commands->name; commands++) {
		if (!strcmp(word, commands->name)) {
			commands->run(args);
			return true;
		}
	}
	return false;
}

static void command(char *line)
{
	char *args = strchr(line, ' ');

	if (args)
		*args++ = 0;
	if (!try(peer_tcp, line, args ?: "") && !try(peer_udp, line, args ?: ""))
		answer("no command %s", line);
}

static void session(void)
{
	char line[1024];
	FILE *in = fdopen(dup(control), "r");

	signal(SIGCHLD, SIG_DFL);
	alarm(slowly(60));
	while (in && fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = 0;
		command(line);
	}
	exit(0);
}

int main(int argc, char **argv)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(name.sun_path))
		return 2;
	strcpy(name.sun_path, argv[1]);
	signal(SIGCHLD, SIG_IGN);
	unlink(argv[1]);
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)) || listen(fd, 16))
		return 1;
	for (;;) {
		control = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (control < 0)
			return 1;
		if (!fork()) {
			close(fd);
			session();
		}
		close(control);
	}
}
