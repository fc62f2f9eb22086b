/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the answers to notified system calls share: notify.c, value.c, heard.c. */
#ifndef ISTHMUS_RESOA_NOTIFY_H
#define ISTHMUS_RESOA_NOTIFY_H

#include <linux/seccomp.h>

#include "resoa.h"

struct notify;

/* One that is answered later. notify_answer() takes it: error 0 is the call's success, and
 * NOTIFY_GO_ON that the kernel does it. */
#define NOTIFY_GO_ON (-1)

struct asked {
	uint64_t id;
	struct notify *notify;
};

struct asked notify_later(struct notify *notify, uint64_t id);
void notify_answer(const struct asked *asked, int error);
struct resoa *notify_resoa(const struct notify *notify);
/* Does the caller still wait? Only then was it its pid that was looked at. */
bool notify_is_valid(const struct asked *asked);
/* The caller's descriptor, if it is a socket of A, or -errno. */
int notify_socket(const struct notify *notify, uint32_t tid, int number);
/* getsockopt() of what the server knows better: true if it was asked. */
bool value_asked(struct notify *notify, const struct seccomp_notif *notif);
void value_close(void);
/* listen() until the server listens: true if it is waited for. */
bool heard_listen(struct notify *notify, const struct seccomp_notif *notif);
void heard_close(void);

#endif
