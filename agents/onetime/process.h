/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The sockets of a running, unmodified server that can take sessions (paper IV: das). They are
 * looked at through descriptors of our own, taken by pidfd_getfd(2): what /proc tells of sockets is
 * of one network namespace, what a descriptor tells is its own.
 */
#ifndef ISTHMUS_ONETIME_PROCESS_H
#define ISTHMUS_ONETIME_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../maps/common.h"

#define PROCESS_COMMAND_LEN 16 /* with NUL, as the kernel keeps it */

struct process {
	int pidfd;
	uint32_t pid;
	uint64_t started; /* clock ticks after boot: pids come again */
	char command[PROCESS_COMMAND_LEN];
};

/*
 * -ESRCH: no such process, or it has ended. -EINVAL: a thread of one. Its pidfd is readable when it
 * ends.
 */
int process_open(uint32_t pid, struct process *process);
/* Also of one that was not opened. */
void process_close(struct process *process);
bool process_has_ended(const struct process *process);

struct process_socket {
	int fd;		 /* ours */
	uint32_t number; /* the process' descriptor */
	int family;	 /* AF_INET, AF_INET6 */
	int proto;	 /* IPPROTO_TCP, IPPROTO_UDP; IPPROTO_MPTCP, which no sockmap takes */
	bool only6, reuse_port;
	struct isthmus_addr address;
	__be16 port;
	uint64_t cookie, inode, netns_cookie;
};

/* Which one is meant. */
struct process_want {
	uint16_t port;	       /* host order, 0 = any */
	int64_t number;	       /* descriptor in the process, -1 = any */
	bool v4;	       /* it is to get IPv4 packets, else IPv6 ones */
	uint64_t netns_cookie; /* of this network namespace */
};

#define PROCESS_WHY_LEN 512

/*
 * The one listening TCP socket, or bound and unconnected UDP socket, that is wanted; of a group
 * that shares a port (SO_REUSEPORT) the first: the kernel chooses among them. Its fd is the
 * caller's to close. Else a negative errno, and why in words, with the sockets that are there:
 * -ENOENT none, -ENOTUNIQ several, -EXDEV in another network namespace, -EAFNOSUPPORT not of this
 * family, -EPERM not permitted (seccomp, a security module, capabilities), -ESRCH.
 */
int process_socket(const struct process *process, const struct process_want *want,
		   struct process_socket *found, char why[PROCESS_WHY_LEN]);
/* The network namespace of a socket, or of the caller: fd -1. 0 = the kernel does not tell. */
uint64_t process_netns_cookie(int fd);

#endif
