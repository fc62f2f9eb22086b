// SPDX-License-Identifier: GPL-3.0-or-later
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "selftests/lib/onetime_servers.h"

/* ---- sockets of servers */

void servers_need(int rc)
{
	if (rc < 0) {
		perror("a server of the test");
		_exit(1);
	}
}

int servers_socket(int family, int type, int proto)
{
	int fd = socket(family, type, proto);

	servers_need(fd);
	return fd;
}

void servers_set(int fd, int level, int name)
{
	int one = 1;

	servers_need(setsockopt(fd, level, name, &one, sizeof(one)));
}

uint16_t servers_bind(int fd, int family, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_storage got;
	socklen_t len = sizeof(got);

	servers_need(family == AF_INET6 ? bind(fd, (struct sockaddr *)&in6, sizeof(in6))
					: bind(fd, (struct sockaddr *)&in, sizeof(in)));
	servers_need(getsockname(fd, (struct sockaddr *)&got, &len));
	return ntohs(family == AF_INET6 ? ((struct sockaddr_in6 *)&got)->sin6_port
					: ((struct sockaddr_in *)&got)->sin_port);
}

int servers_tcp(int family, bool only6, uint16_t port)
{
	int fd = servers_socket(family, SOCK_STREAM, 0);

	if (only6)
		servers_set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	servers_bind(fd, family, port);
	servers_need(listen(fd, 8));
	return fd;
}

struct server servers_start(void (*begin)(void))
{
	int ready[2], stop[2];
	struct server server;
	char byte = 0;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(stop), 0);
	server.pid = fork();
	assert_true(server.pid >= 0);
	if (!server.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		servers_need(dup2(ready[1], 501));
		servers_need(dup2(stop[0], 500));
		close_range(3, 499, 0);
		close_range(502, ~0U, 0);
		begin();
		servers_need((int)write(501, &byte, 1));
		servers_need((int)read(500, &byte, 1));
		_exit(0);
	}
	close(ready[1]);
	close(stop[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	server.stop = stop[1];
	return server;
}

void servers_finish(struct server *server)
{
	int status;

	close(server->stop);
	assert_int_equal(waitpid(server->pid, &status, 0), server->pid);
	assert_int_equal(status, 0);
}

/* ---- asking */

char servers_why[PROCESS_WHY_LEN];

int servers_ask(pid_t pid, struct process_want want, struct process_socket *found)
{
	struct process process;
	int rc;

	want.netns_cookie = process_netns_cookie(-1);
	servers_why[0] = 0;
	rc = process_open((uint32_t)pid, &process);
	assert_int_equal(rc, 0);
	rc = process_socket(&process, &want, found, servers_why);
	if (!rc)
		close(found->fd);
	process_close(&process);
	return rc;
}

static void says(const char *part)
{
	if (!strstr(servers_why, part)) {
		print_error("'%s' is not in '%s'\n", part, servers_why);
		fail();
	}
}

void servers_finds(pid_t pid, struct process_want want, uint32_t number)
{
	struct process_socket found = { 0 };
	int rc = servers_ask(pid, want, &found);

	if (rc)
		print_error("%s\n", servers_why);
	assert_int_equal(rc, 0);
	assert_int_equal(found.number, number);
}

void servers_refuses(pid_t pid, struct process_want want, int err, const char *part)
{
	struct process_socket found = { .fd = -7, .number = 77 };

	assert_int_equal(servers_ask(pid, want, &found), err);
	assert_int_equal(found.fd, -7); /* untouched */
	assert_int_equal(found.number, 77);
	says(part);
}
