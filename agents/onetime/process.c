// SPDX-License-Identifier: GPL-3.0-or-later
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../lib/address.h"
#include "process.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define SOCKETS_MAX 64 /* that serve, of one process */

/* ---- a process */

bool process_has_ended(const struct process *process)
{
	struct pollfd poller = { .fd = process->pidfd, .events = POLLIN };

	return poll(&poller, 1, 0) == 1;
}

/* A process names itself, and its name goes to logs, terminals and JSON: printable ASCII. */
static void set_command(struct process *process, const char *name)
{
	snprintf(process->command, sizeof(process->command), "%s", name);
	for (char *c = process->command; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

/* "PID (COMMAND) S ...": a command may hold parentheses and spaces. S is field 3, the start 22. */
static int read_stat(struct process *process)
{
	char path[64], text[1024], *name, *rest;
	ssize_t len;
	int fd, field;

	snprintf(path, sizeof(path), "/proc/%u/stat", process->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return -ESRCH;
	text[len] = 0;
	name = strchr(text, '(');
	rest = strrchr(text, ')');
	if (!name || !rest)
		return -ESRCH;
	*rest++ = 0;
	set_command(process, name + 1);
	for (field = 3; field < 22 && rest; field++)
		rest = strchr(rest + 1, ' ');
	if (!rest)
		return -ESRCH;
	process->started = strtoull(rest, NULL, 10);
	return 0;
}

int process_open(uint32_t pid, struct process *process)
{
	struct process fresh = { .pid = pid };
	int err;

	fresh.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fresh.pidfd < 0)
		return errno == EINVAL || errno == ENOENT ? -EINVAL : -errno;
	err = read_stat(&fresh);
	/* Was it this one's, and not that of a later process with the same pid? */
	if (!err && process_has_ended(&fresh))
		err = -ESRCH;
	if (err) {
		close(fresh.pidfd);
		return err;
	}
	*process = fresh;
	return 0;
}

void process_close(struct process *process)
{
	if (process->pidfd >= 0)
		close(process->pidfd);
	process->pidfd = -1;
}

/* ---- one of its sockets */

static int option(int fd, int level, int name, void *value, socklen_t len)
{
	return getsockopt(fd, level, name, value, &len) ? -errno : 0;
}

static int flag(int fd, int level, int name)
{
	int value = 0;

	return option(fd, level, name, &value, sizeof(value)) ? 0 : value;
}

uint64_t process_netns_cookie(int fd)
{
	int own = fd < 0 ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
	uint64_t cookie = 0;

	option(fd < 0 ? own : fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, sizeof(cookie));
	if (own >= 0)
		close(own);
	return cookie;
}

/* A listening TCP socket, or a bound UDP one that is not connected. */
static bool serves(int fd, struct process_socket *s)
{
	struct sockaddr_storage local = { 0 }, peer;
	socklen_t len = sizeof(local), peer_len = sizeof(peer);

	s->family = flag(fd, SOL_SOCKET, SO_DOMAIN);
	s->proto = flag(fd, SOL_SOCKET, SO_PROTOCOL);
	if ((s->family != AF_INET && s->family != AF_INET6) ||
	    getsockname(fd, (struct sockaddr *)&local, &len) ||
	    address_from_sockaddr((struct sockaddr *)&local, &s->address, &s->port) || !s->port)
		return false;
	switch (flag(fd, SOL_SOCKET, SO_TYPE)) {
	case SOCK_STREAM: /* MPTCP too, which the sockmap refuses: better told than not found */
		return flag(fd, SOL_SOCKET, SO_ACCEPTCONN);
	case SOCK_DGRAM:
		return s->proto == IPPROTO_UDP &&
		       getpeername(fd, (struct sockaddr *)&peer, &peer_len);
	default:
		return false;
	}
}

/* 1: it serves, and s->fd is to be closed. 0, -EPERM, -EMFILE, ... */
static int take(const struct process *process, uint32_t number, struct process_socket *s)
{
	struct stat st;
	int fd = (int)syscall(SYS_pidfd_getfd, process->pidfd, number, 0);

	if (fd < 0)
		return errno == EBADF ? 0 : -errno;
	memset(s, 0, sizeof(*s));
	if (!serves(fd, s) || fstat(fd, &st)) {
		close(fd);
		return 0;
	}
	s->fd = fd;
	s->number = number;
	s->inode = st.st_ino;
	s->only6 = s->family == AF_INET6 && flag(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	s->reuse_port = flag(fd, SOL_SOCKET, SO_REUSEPORT);
	s->netns_cookie = process_netns_cookie(fd);
	option(fd, SOL_SOCKET, SO_COOKIE, &s->cookie, sizeof(s->cookie));
	return 1;
}

/* ---- all of them */

struct sockets {
	struct process_socket at[SOCKETS_MAX];
	unsigned int count;
	bool more;
};

static void sockets_close(struct sockets *sockets)
{
	for (unsigned int i = 0; i < sockets->count; i++)
		close(sockets->at[i].fd);
	sockets->count = 0;
}

/* The same socket by another descriptor is one. */
static int add(const struct process *process, uint32_t number, struct sockets *sockets)
{
	struct process_socket one;
	int rc = take(process, number, &one);

	if (rc <= 0)
		return rc;
	for (unsigned int i = 0; i < sockets->count; i++)
		if (sockets->at[i].cookie == one.cookie) {
			close(one.fd);
			return 0;
		}
	if (sockets->count == SOCKETS_MAX) {
		sockets->more = true;
		close(one.fd);
	} else {
		sockets->at[sockets->count++] = one;
	}
	return 0;
}

static bool is_socket(DIR *folder, const char *name)
{
	char target[16];

	return readlinkat(dirfd(folder), name, target, sizeof(target)) > 7 &&
	       !memcmp(target, "socket:", 7);
}

static int by_number(const void *a, const void *b)
{
	const struct process_socket *left = a, *right = b;

	return left->number < right->number ? -1 : left->number > right->number;
}

static int find_all(const struct process *process, struct sockets *sockets)
{
	const struct dirent *entry;
	char path[64];
	DIR *folder;
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%u/fd", process->pid);
	folder = opendir(path);
	if (!folder)
		return errno == EACCES ? -EPERM : errno == ENOENT ? -ESRCH : -errno;
	while (!err && (entry = readdir(folder)))
		if (entry->d_name[0] != '.' && is_socket(folder, entry->d_name))
			err = add(process, (uint32_t)strtoul(entry->d_name, NULL, 10), sockets);
	closedir(folder);
	qsort(sockets->at, sockets->count, sizeof(sockets->at[0]), by_number);
	return err;
}

/* ---- the one that is wanted */

static bool fits(const struct process_socket *s, bool v4)
{
	return v4 ? s->family == AF_INET || !s->only6 : s->family == AF_INET6;
}

static void name_sockets(const struct sockets *sockets, char *text, size_t len)
{
	size_t at = 0;

	text[0] = 0;
	for (unsigned int i = 0; i < sockets->count && at + 100 < len; i++) {
		const struct process_socket *s = &sockets->at[i];
		char address[ADDRESS_TEXT_LEN];

		address_port_text(&s->address, s->port, address);
		at += (size_t)snprintf(text + at, len - at, "%sfd %u %s %s", i ? ", " : "",
				       s->number,
				       s->proto == IPPROTO_TCP	 ? "tcp"
				       : s->proto == IPPROTO_UDP ? "udp"
								 : "mptcp",
				       address);
	}
}

/* Keeps those for which `keep` is true, if any is; else says no and keeps all. */
static bool narrow(struct sockets *sockets,
		   bool (*keep)(const struct process_socket *s, const struct process_want *want),
		   const struct process_want *want)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < sockets->count; i++)
		kept += keep(&sockets->at[i], want);
	if (!kept)
		return false;
	kept = 0;
	for (unsigned int i = 0; i < sockets->count; i++) {
		if (keep(&sockets->at[i], want))
			sockets->at[kept++] = sockets->at[i];
		else
			close(sockets->at[i].fd);
	}
	sockets->count = kept;
	return true;
}

static bool is_here(const struct process_socket *s, const struct process_want *want)
{
	return s->netns_cookie == want->netns_cookie;
}

static bool is_number(const struct process_socket *s, const struct process_want *want)
{
	return want->number < 0 || s->number == want->number;
}

static bool is_port(const struct process_socket *s, const struct process_want *want)
{
	return !want->port || s->port == htons(want->port);
}

static bool is_family(const struct process_socket *s, const struct process_want *want)
{
	return fits(s, want->v4);
}

/* Sockets of one SO_REUSEPORT group are one to those that connect. */
static bool one_group(const struct sockets *sockets)
{
	const struct process_socket *first = &sockets->at[0];

	for (unsigned int i = 1; i < sockets->count; i++) {
		const struct process_socket *s = &sockets->at[i];

		if (!first->reuse_port || !s->reuse_port || s->port != first->port ||
		    s->proto != first->proto || s->family != first->family ||
		    !address_equal(&s->address, &first->address))
			return false;
	}
	return true;
}

static int choose(struct sockets *sockets, const struct process_want *want, const char **what)
{
	*what = "it has no listening TCP socket and no bound UDP socket that is not connected";
	if (!sockets->count)
		return -ENOENT;
	*what = "its sockets are in another network namespace than the pool";
	if (!narrow(sockets, is_here, want))
		return -EXDEV;
	*what = "none of its listening sockets is that one; there are";
	if (!narrow(sockets, is_number, want) || !narrow(sockets, is_port, want))
		return -ENOENT;
	*what = want->v4 ? "an IPv4 address needs a socket of IPv4, or of IPv6 without IPV6_V6ONLY"
			 : "an IPv6 address needs a socket of IPv6";
	if (!narrow(sockets, is_family, want))
		return -EAFNOSUPPORT;
	*what = "it has several listening sockets: --port or --fd says which of";
	return one_group(sockets) ? 0 : -ENOTUNIQ;
}

static const char *explain(int err)
{
	switch (err) {
	case -EPERM:
		return "its descriptors may not be taken: CAP_SYS_PTRACE is missing, or a security "
		       "module (kernel.yama.ptrace_scope) or seccomp forbids pidfd_getfd";
	case -ESRCH:
		return "it has ended";
	default:
		return strerror(-err);
	}
}

/* With --fd only that one is looked at. */
static int find(const struct process *process, const struct process_want *want,
		struct sockets *sockets)
{
	int err = want->number < 0 ? 0 : add(process, (uint32_t)want->number, sockets);

	return err || sockets->count ? err : find_all(process, sockets);
}

int process_socket(const struct process *process, const struct process_want *want,
		   struct process_socket *found, char why[PROCESS_WHY_LEN])
{
	struct sockets *sockets = calloc(1, sizeof(*sockets));
	char there[PROCESS_WHY_LEN / 2];
	const char *what;
	int err;

	if (!sockets)
		return -ENOMEM;
	err = find(process, want, sockets);
	what = explain(err);
	if (!err)
		err = choose(sockets, want, &what);
	if (!err && process_has_ended(process)) {
		err = -ESRCH;
		what = explain(err);
	}
	if (!err) {
		*found = sockets->at[0];
		sockets->at[0] = sockets->at[--sockets->count];
	} else {
		name_sockets(sockets, there, sizeof(there));
		snprintf(why, PROCESS_WHY_LEN, "%s%s%s", what, there[0] ? ": " : "", there);
	}
	sockets_close(sockets);
	free(sockets);
	return err;
}
