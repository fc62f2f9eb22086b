/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each agent's main() needs: signals, readiness, and less privilege. */
#ifndef ISTHMUS_AGENTS_DAEMON_H
#define ISTHMUS_AGENTS_DAEMON_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct daemon_signals;

/* SIGTERM and SIGINT end the loop, SIGHUP calls reload (may be NULL), SIGPIPE is ignored. */
struct daemon_signals *daemon_signals_new(struct event_base *base, void (*reload)(void *arg),
					  void *arg);
void daemon_signals_free(struct daemon_signals *signals);

/* sd_notify(3); nothing without systemd. status: one line shown by systemctl status. */
void daemon_ready(const char *status);
void daemon_status(const char *status);
void daemon_stopping(void);

/*
 * Becomes `user` (and its groups) and keeps only the capabilities in `keep` (bit numbers of
 * linux/capability.h, as 1ULL << CAP_NET_ADMIN), also no_new_privs. Not root: only no_new_privs, 0.
 * user NULL or "root": only capabilities are dropped. -ENOENT for an unknown user.
 */
int daemon_drop_privileges(const char *user, uint64_t keep);

/* Before that: a file that root has made and that is written again later, with what SQLite keeps
 * beside it. user NULL: nothing. What cannot be given is logged by the caller: a negative errno. */
int daemon_give_file(const char *path, const char *user);

/* Raises RLIMIT_NOFILE's soft limit to its hard limit. */
void daemon_raise_file_limit(void);

#endif
