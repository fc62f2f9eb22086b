/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The seccomp filter of programs under `run`. */
#ifndef ISTHMUS_RESOA_FILTER_H
#define ISTHMUS_RESOA_FILTER_H

#include <stdbool.h>

/* Of this process and all that come from it. `sockets`: socket() is notified too, and what would
 * get around it is refused. The listener, close-on-exec, or a negative errno. Without CAP_SYS_ADMIN
 * set-user-ID programs have no effect from then on. */
int filter_install(bool sockets);

#endif
