/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Between `isthmus-resoa run` and its daemon: a Unix socket of SOCK_SEQPACKET, whose path is that
 * of the control socket and ".run"; each question is one packet and so is its answer.
 *
 * ENTER: root only. The answer brings A's namespace (SCM_RIGHTS) and the folder with the server's
 * resolv.conf, hosts and nsswitch.conf. JOIN: the program stays where it is, and its sockets will
 * be A's; for all that may open the socket. LISTEN: after either, with the listener of seccomp(2)
 * (SCM_RIGHTS).
 */
#ifndef ISTHMUS_RESOA_CONTROL_H
#define ISTHMUS_RESOA_CONTROL_H

#include <stdint.h>

#define CONTROL_VERSION	 1
#define CONTROL_SUFFIX	 ".run"
#define CONTROL_FILES	 ".files"
#define CONTROL_PATH_LEN 256

enum control_op { CONTROL_ENTER = 1, CONTROL_JOIN, CONTROL_LISTEN };

struct control_ask {
	uint32_t version;
	uint32_t op; /* enum control_op */
};

struct control_answer {
	int32_t error;		      /* errno, 0 = done */
	char text[128];		      /* why not, one line */
	char files[CONTROL_PATH_LEN]; /* ENTER: a folder, "" = none */
};

/* One packet with at most one descriptor; fd -1: none. 0 or -errno. */
int control_send(int socket, const void *packet, size_t len, int fd);
/* -EPROTO: another length. *fd is -1 if none came, else the caller's. */
int control_receive(int socket, void *packet, size_t len, int *fd);

#endif
