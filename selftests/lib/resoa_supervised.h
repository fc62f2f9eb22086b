/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What tests of agents/resoa/notify.c share: a server that is a table of ports, a core that is as
 * little as there must be, and children that have the filter. The supervisor is the test's process.
 */
#ifndef ISTHMUS_SELFTESTS_RESOA_SUPERVISED_H
#define ISTHMUS_SELFTESTS_RESOA_SUPERVISED_H

#include <sys/types.h>

#include "agents/resoa/resoa.h"

/* What the server says of a port. */
#define PORT_GRANTED	2080	 /* and all that are not below */
#define PORT_TAKEN	2081	 /* EADDRINUSE */
#define PORT_DENIED	2082	 /* EACCES */
#define PORT_SILENT	2083	 /* no answer */
#define PORT_LATE	2084	 /* after 50 ms */
#define PORT_TAKEN4	2085	 /* EADDRINUSE for IPv4 */
#define NOTIFY_RTT	12345678 /* us, of the server's TCP_INFO */
#define NOTIFY_INFO_LEN 100	 /* bytes of it */
#define LEASE_LOW	4000
#define LEASE_HIGH	4099

#define TEST_S 20

extern struct resoa resoa;
extern struct lhp *const notify_server;
extern int notify_asked, notify_closed; /* BINDs and CLOSEs that the server had */
extern int notify_late_us;		/* of each answer */
extern int notify_granted[65536][2][2]; /* port, UDP, IPv6 */
extern int notify_other_ns;		/* where sockets of --dual are made */

int notify_setup(void **state);
int notify_teardown(void **state);

struct notify_child {
	pid_t pid;
	int fd; /* to it */
};

/* `sockets`: also socket() is notified. Its exit status is what body returns. */
struct notify_child notify_begin(bool sockets, int (*body)(int fd));
int notify_wait_child(struct notify_child *child);
int notify_run(bool sockets, int (*body)(int fd));
void notify_turn(int ms);
/* Until what was granted and not BOUND is given back. */
void notify_wait_closed(int count);

/* What children call: 0 or the errno. */
int notify_try_bind(int fd, const char *address, int port);
int notify_bind_new(int type, const char *address, int port, bool only6);
uint64_t notify_cookie_of(int fd, int option);

#endif
