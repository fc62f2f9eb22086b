// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Which system calls of a program under `run` are notified (notify.c): bind(), listen(),
 * getsockopt() of what the server knows better, and for a program that stays in its own network
 * socket() of AF_INET and AF_INET6. Then, too, calls that would make such a socket unseen do not
 * exist: io_uring's, and those of a 32-bit program. A program in A has no need of that, for all its
 * sockets are A's.
 */
#include <endian.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "filter.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#if defined(__x86_64__)
#define ARCH	   AUDIT_ARCH_X86_64
#define ARCH_OTHER AUDIT_ARCH_I386
#define OTHER_A	   102			     /* i386: socketcall */
#define OTHER_B	   359			     /* socket */
#define NEVER	   (0x40000000 | SYS_socket) /* x32's, of the same architecture */
#elif defined(__aarch64__)
#define ARCH	   AUDIT_ARCH_AARCH64
#define ARCH_OTHER AUDIT_ARCH_ARM
#define OTHER_A	   102
#define OTHER_B	   281 /* arm: socket */
#define NEVER	   0xffffffff
#else
#error "which other system calls has this architecture?"
#endif

#define WORD(field)	   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define RETURN(action)	   BPF_STMT(BPF_RET | BPF_K, action)
#define ABSENT		   (SECCOMP_RET_ERRNO | ENOSYS)
/* The lower half of an argument. */
#define ARGUMENT(i)                                                                                \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS,                                                         \
		 offsetof(struct seccomp_data, args[i]) + (__BYTE_ORDER == __BIG_ENDIAN ? 4 : 0))

/* Each of these goes on behind itself if it does not apply. */
#define OTHER_ARCHITECTURE                                                                         \
	WORD(arch), IS(ARCH_OTHER, 0, 4), WORD(nr), IS(OTHER_A, 1, 0), IS(OTHER_B, 0, 1),          \
		RETURN(ABSENT)
#define OURS_ONLY WORD(arch), IS(ARCH, 1, 0), RETURN(SECCOMP_RET_ALLOW)
#define NAMED	  WORD(nr), IS(SYS_bind, 1, 0), IS(SYS_listen, 0, 1), RETURN(SECCOMP_RET_USER_NOTIF)
#define SOCKET                                                                                     \
	WORD(nr), IS(SYS_socket, 0, 4), ARGUMENT(0), IS(AF_INET, 1, 0), IS(AF_INET6, 0, 1),        \
		RETURN(SECCOMP_RET_USER_NOTIF)
#define UNSEEN WORD(nr), IS(SYS_io_uring_setup, 1, 0), IS(NEVER, 0, 1), RETURN(ABSENT)
#define OPTION(level, name)                                                                        \
	WORD(nr), IS(SYS_getsockopt, 0, 5), ARGUMENT(1), IS(level, 0, 3), ARGUMENT(2),             \
		IS(name, 0, 1), RETURN(SECCOMP_RET_USER_NOTIF)
#define OPTIONS                                                                                    \
	OPTION(IPPROTO_TCP, TCP_INFO), OPTION(IPPROTO_TCP, TCP_MAXSEG),                            \
		OPTION(IPPROTO_TCP, TCP_CONGESTION), OPTION(IPPROTO_IP, IP_MTU),                   \
		OPTION(IPPROTO_IPV6, IPV6_MTU)

static const struct sock_filter calls[] = { OURS_ONLY, NAMED, OPTIONS, RETURN(SECCOMP_RET_ALLOW) };
static const struct sock_filter sockets_too[] = {
	OTHER_ARCHITECTURE, OURS_ONLY, NAMED, SOCKET, UNSEEN, OPTIONS, RETURN(SECCOMP_RET_ALLOW),
};

static int install(const struct sock_fprog *program)
{
	/* A signal that comes while we are asked does not end the call: bind() knows no EINTR. */
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			  program);

	if (fd < 0 && errno == EINVAL) /* before Linux 5.19 */
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			     program);
	return fd < 0 ? -errno : (int)fd;
}

#define COUNT(filter) (unsigned short)(sizeof(filter) / sizeof((filter)[0]))

int filter_install(bool sockets)
{
	struct sock_fprog program = {
		.len = sockets ? COUNT(sockets_too) : COUNT(calls),
		.filter = (struct sock_filter *)(sockets ? sockets_too : calls),
	};
	int fd = install(&program);

	if (fd != -EACCES)
		return fd;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : install(&program);
}
