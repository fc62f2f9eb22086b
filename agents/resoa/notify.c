// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * System calls of programs under `run`, by seccomp user notification (seccomp_unotify(2)): bind(),
 * some of getsockopt() (value.c), and socket() of programs that stay in their own network (--dual,
 * or without privilege).
 *
 * The supervisor is here, in the event loop, and never waits: a notified thread sleeps in the
 * kernel until it is answered, this daemon goes on.
 *
 * bind(). What was read of the program's memory may have changed when the kernel reads it again
 * (CONTINUE). It does not matter: the cgroup's bind program decides, by resoa_port, on what the
 * kernel has read; all that is done here is to have the port asked for, so that it is in that map
 * in time. Whoever changes the address gets EADDRINUSE, unless that port is the client's, too.
 * io_uring's bind is seen by that program alone: it succeeds for granted ports only.
 *
 * socket(). A socket of A takes its place (SECCOMP_IOCTL_NOTIF_ADDFD): for TCP and UDP, and made
 * here, with our privileges, so never a raw one.
 *
 * When this daemon ends, its listeners do: notified calls fail with ENOSYS, as seccomp has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../lib/log.h"
#include "notify.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

#define WAITING_MAX 1024 /* of one listener; more wait in the kernel */
#define BATCH	    64	 /* before others have their turn */

struct notify {
	int fd;
	struct resoa *resoa;
	struct event *event;
	unsigned int waiting;
	bool over; /* no process has the filter any more, or this daemon ends; fd is -1 */
	struct notify *next;
};

/* A newer kernel's notification may be longer. */
union notification {
	struct seccomp_notif notif;
	uint8_t room[512];
};

union response {
	struct seccomp_notif_resp resp;
	uint8_t room[512];
};

/* A thread that is no more is not answered. */
static void respond(const struct notify *notify, uint64_t id, int error)
{
	union response response = { .resp = { .id = id } };

	if (notify->fd < 0)
		return;
	if (error == NOTIFY_GO_ON)
		response.resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else
		response.resp.error = -error;
	if (ioctl(notify->fd, SECCOMP_IOCTL_NOTIF_SEND, &response) && errno != ENOENT)
		log_warn("a notified call is not answered: %s", strerror(errno));
}

/* ---- answers that come later */

static void notify_free(struct notify *notify)
{
	event_free(notify->event);
	free(notify);
}

struct asked notify_later(struct notify *notify, uint64_t id)
{
	if (++notify->waiting == WAITING_MAX)
		event_del(notify->event);
	return (struct asked){ id, notify };
}

void notify_answer(const struct asked *asked, int error)
{
	struct notify *notify = asked->notify;

	respond(notify, asked->id, error);
	if (notify->waiting-- == WAITING_MAX && !notify->over)
		event_add(notify->event, NULL);
	if (notify->over && !notify->waiting)
		notify_free(notify);
}

struct resoa *notify_resoa(const struct notify *notify)
{
	return notify->resoa;
}

bool notify_is_valid(const struct asked *asked)
{
	return asked->notify->fd >= 0 &&
	       !ioctl(asked->notify->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &asked->id);
}

/* ---- the caller's address and socket */

/* Where pidfd_open(2) takes leaders only. Threads have one table of descriptors as a rule. */
static int leader_of(uint32_t tid)
{
	char path[64], line[128];
	int leader = -ESRCH;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%u/status", tid);
	file = fopen(path, "re");
	if (!file)
		return -ESRCH;
	while (fgets(line, sizeof(line), file) && sscanf(line, "Tgid: %d", &leader) != 1)
		;
	fclose(file);
	return leader;
}

static int open_pid(uint32_t tid)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD), leader;

	if (fd >= 0 || errno != EINVAL)
		return fd;
	leader = leader_of(tid);
	return leader < 0 ? leader : (int)syscall(SYS_pidfd_open, leader, 0);
}

/* Of another kind of file, even closing may block. */
static int take_socket(uint32_t tid, int number)
{
	char path[64], target[16];
	int pid, fd;

	snprintf(path, sizeof(path), "/proc/%u/fd/%d", tid, number);
	if (readlink(path, target, sizeof(target)) < 7 || memcmp(target, "socket:", 7))
		return -ENOTSOCK;
	pid = open_pid(tid);
	if (pid < 0)
		return -ESRCH;
	fd = (int)syscall(SYS_pidfd_getfd, pid, number, 0);
	close(pid);
	return fd < 0 ? -errno : fd;
}

static int number_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, option, &value, &len) ? -1 : value;
}

static uint64_t cookie_of(int fd, int option)
{
	uint64_t value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) ? 0 : value;
}

int notify_socket(const struct notify *notify, uint32_t tid, int number)
{
	int fd = tid ? take_socket(tid, number) : -ESRCH;

	if (fd < 0 || cookie_of(fd, SO_NETNS_COOKIE) == notify->resoa->net.cookie[NET_A])
		return fd;
	close(fd);
	return -EXDEV;
}

/* False: the kernel will say what is wrong with it. */
static bool read_address(const struct seccomp_notif *notif, struct sockaddr_storage *address,
			 socklen_t *len)
{
	uint64_t size = notif->data.args[2];
	struct iovec to = { address, size };
	struct iovec from = { (void *)(uintptr_t)notif->data.args[1], size };

	if (size < sizeof(sa_family_t) || size > sizeof(*address))
		return false;
	*len = (socklen_t)size;
	memset(address, 0, sizeof(*address));
	return process_vm_readv((pid_t)notif->pid, &to, 1, &from, 1, 0) == (ssize_t)size;
}

struct want {
	struct ep_name name;
	uint64_t cookie;
	bool both;
};

/* bind() of an IPv4 socket takes AF_UNSPEC for AF_INET. */
static bool read_name(int fd, struct sockaddr_storage *address, socklen_t len, struct want *want)
{
	int domain = number_of(fd, SOL_SOCKET, SO_DOMAIN);
	int proto = number_of(fd, SOL_SOCKET, SO_PROTOCOL);

	if (domain == AF_INET && address->ss_family == AF_UNSPEC)
		address->ss_family = AF_INET;
	if (address->ss_family != domain || (proto != IPPROTO_TCP && proto != IPPROTO_UDP) ||
	    ep_from_sockaddr((struct sockaddr *)address, len, (uint8_t)proto, true, &want->name))
		return false;
	want->both = domain == AF_INET6 && !number_of(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	return true;
}

/* What the server is to be asked for; false: the kernel may go on. */
static bool read_bind(const struct notify *notify, const struct seccomp_notif *notif,
		      struct want *want)
{
	struct sockaddr_storage address;
	socklen_t len;
	bool asks;
	int fd;

	if (!notif->pid || !read_address(notif, &address, &len) ||
	    (address.ss_family != AF_INET && address.ss_family != AF_INET6 &&
	     address.ss_family != AF_UNSPEC))
		return false;
	fd = notify_socket(notify, notif->pid, (int)notif->data.args[0]);
	if (fd < 0)
		return false;
	want->cookie = cookie_of(fd, SO_COOKIE);
	asks = read_name(fd, &address, len, want) && want->name.port;
	close(fd);
	return asks;
}

/* ---- bind() */

static void on_bound(struct resoa *resoa, int error, void *arg)
{
	struct asked *asked = arg;

	(void)resoa;
	notify_answer(asked, error ? error : NOTIFY_GO_ON);
	free(asked);
}

static void on_bind(struct notify *notify, const struct seccomp_notif *notif)
{
	struct asked now = { notif->id, notify }, *asked;
	struct want want;

	if (!read_bind(notify, notif, &want)) {
		respond(notify, notif->id, NOTIFY_GO_ON);
		return;
	}
	if (!notify_is_valid(&now))
		return;
	asked = malloc(sizeof(*asked));
	if (!asked) {
		respond(notify, notif->id, ENOMEM);
		return;
	}
	*asked = notify_later(notify, notif->id);
	bind_ask(notify->resoa, want.cookie, &want.name, want.both, on_bound, asked);
}

/* ---- socket() */

#define TYPE_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

/* -errno: as the kernel would say where there are only TCP and UDP. */
static int make_socket(const struct resoa *resoa, int family, int type, int proto)
{
	int kind = type & ~TYPE_FLAGS;

	if (kind == SOCK_RAW)
		return -EPERM;
	if (kind != SOCK_STREAM && kind != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (proto && proto != (kind == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP))
		return -EPROTONOSUPPORT;
	return net_socket(&resoa->net, NET_A, family, kind | (type & SOCK_NONBLOCK) | SOCK_CLOEXEC,
			  proto);
}

/* The call returns the number that the descriptor has there. Before Linux 5.14 in two steps. */
static int give_socket(const struct notify *notify, uint64_t id, int fd, int type)
{
	struct seccomp_notif_addfd add = {
		.id = id,
		.flags = SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = (uint32_t)fd,
		.newfd_flags = type & SOCK_CLOEXEC ? O_CLOEXEC : 0,
	};
	union response response = { .resp = { .id = id } };
	int number = ioctl(notify->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

	if (number >= 0 || errno != EINVAL)
		return number >= 0 ? 0 : -errno;
	add.flags = 0;
	number = ioctl(notify->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
	if (number < 0)
		return -errno;
	response.resp.val = number;
	return ioctl(notify->fd, SECCOMP_IOCTL_NOTIF_SEND, &response) ? -errno : 0;
}

static void on_socket(struct notify *notify, const struct seccomp_notif *notif)
{
	int family = (int)notif->data.args[0], type = (int)notif->data.args[1];
	int fd, err;

	if (family != AF_INET && family != AF_INET6) {
		respond(notify, notif->id, NOTIFY_GO_ON);
		return;
	}
	fd = make_socket(notify->resoa, family, type, (int)notif->data.args[2]);
	err = fd < 0 ? fd : give_socket(notify, notif->id, fd, type);
	if (fd >= 0)
		close(fd);
	if (err)
		respond(notify, notif->id, -err);
}

/* ---- a listener */

/* Never blocks: the kernel counts what poll(2) has seen. False: there is none. */
static bool receive(struct notify *notify)
{
	union notification in;

	memset(&in, 0, sizeof(in));
	if (ioctl(notify->fd, SECCOMP_IOCTL_NOTIF_RECV, &in))
		return errno == ENOENT || errno == EINTR; /* it was killed meanwhile */
	switch (in.notif.data.nr) {
	case SYS_bind:
		on_bind(notify, &in.notif);
		break;
	case SYS_socket:
		on_socket(notify, &in.notif);
		break;
	case SYS_listen:
		if (!heard_listen(notify, &in.notif))
			respond(notify, in.notif.id, NOTIFY_GO_ON);
		break;
	case SYS_getsockopt:
		if (!value_asked(notify, &in.notif))
			respond(notify, in.notif.id, NOTIFY_GO_ON);
		break;
	default:
		respond(notify, in.notif.id, NOTIFY_GO_ON);
	}
	return true;
}

/* Those that wait for the server still name it. */
static void end(struct notify *notify)
{
	struct notify **at = &notify->resoa->notifies;

	while (*at != notify)
		at = &(*at)->next;
	*at = notify->next;
	event_del(notify->event);
	close(notify->fd);
	notify->fd = -1;
	notify->over = true;
	if (!notify->waiting)
		notify_free(notify);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	struct notify *notify = arg;

	(void)what;
	for (int i = 0; i < BATCH && notify->waiting < WAITING_MAX; i++) {
		if (poll(&poller, 1, 0) < 1 || !(poller.revents & POLLIN))
			break;
		if (!receive(notify))
			break;
	}
	if (!(poller.revents & POLLHUP) || poller.revents & POLLIN)
		return;
	end(notify);
}

/* What ioctl(2) does with another kind of file is unknown. */
static bool is_listener(int fd)
{
	static const char name[] = "anon_inode:seccomp notify";
	char path[64], target[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target)) == sizeof(name) - 1 &&
	       !memcmp(target, name, sizeof(name) - 1);
}

static bool fits(void)
{
	struct seccomp_notif_sizes sizes;

	return !syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) &&
	       sizes.seccomp_notif <= sizeof(union notification) &&
	       sizes.seccomp_notif_resp <= sizeof(union response);
}

int notify_add(struct resoa *resoa, int listener)
{
	struct notify *notify = is_listener(listener) && fits() ? calloc(1, sizeof(*notify)) : NULL;

	if (notify) {
		notify->fd = listener;
		notify->resoa = resoa;
		notify->event =
			event_new(resoa->base, listener, EV_READ | EV_PERSIST, on_readable, notify);
	}
	if (!notify || !notify->event || event_add(notify->event, NULL)) {
		if (notify && notify->event)
			event_free(notify->event);
		free(notify);
		close(listener);
		return -EINVAL;
	}
	notify->next = resoa->notifies;
	resoa->notifies = notify;
	return 0;
}

void notify_close(struct resoa *resoa)
{
	while (resoa->notifies)
		end(resoa->notifies);
	value_close();
	heard_close();
}
