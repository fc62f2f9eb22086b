// SPDX-License-Identifier: GPL-3.0-or-later
#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "daemon.h"

struct daemon_signals {
	struct event_base *base;
	struct event *terminate, *interrupt, *hangup;
	void (*reload)(void *arg);
	void *arg;
};

static void on_end(evutil_socket_t number, short what, void *arg)
{
	struct daemon_signals *signals = arg;

	(void)number;
	(void)what;
	event_base_loopexit(signals->base, NULL);
}

static void on_hangup(evutil_socket_t number, short what, void *arg)
{
	struct daemon_signals *signals = arg;

	(void)number;
	(void)what;
	if (signals->reload)
		signals->reload(signals->arg);
}

struct daemon_signals *daemon_signals_new(struct event_base *base, void (*reload)(void *arg),
					  void *arg)
{
	struct daemon_signals *signals = calloc(1, sizeof(*signals));

	if (!signals)
		return NULL;
	signals->base = base;
	signals->reload = reload;
	signals->arg = arg;
	signals->terminate = evsignal_new(base, SIGTERM, on_end, signals);
	signals->interrupt = evsignal_new(base, SIGINT, on_end, signals);
	signals->hangup = evsignal_new(base, SIGHUP, on_hangup, signals);
	if (!signals->terminate || !signals->interrupt || !signals->hangup ||
	    event_add(signals->terminate, NULL) || event_add(signals->interrupt, NULL) ||
	    event_add(signals->hangup, NULL)) {
		daemon_signals_free(signals);
		return NULL;
	}
	signal(SIGPIPE, SIG_IGN);
	return signals;
}

void daemon_signals_free(struct daemon_signals *signals)
{
	if (!signals)
		return;
	if (signals->terminate)
		event_free(signals->terminate);
	if (signals->interrupt)
		event_free(signals->interrupt);
	if (signals->hangup)
		event_free(signals->hangup);
	free(signals);
}

void daemon_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void daemon_status(const char *status)
{
	sd_notifyf(0, "STATUS=%s", status);
}

void daemon_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

/* An update cannot fail for a capability that the kernel knows; an unknown one is skipped. */
static void choose_capabilities(uint64_t keep)
{
	capng_clear(CAPNG_SELECT_BOTH);
	for (unsigned int i = 0; i < 64; i++)
		if (keep & 1ULL << i)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, i);
}

static int change_user(const char *user)
{
	struct passwd *entry;

	errno = 0;
	entry = getpwnam(user);
	if (!entry)
		return errno ? -errno : -ENOENT;
	/* capng_change_id() keeps what choose_capabilities() chose across setresuid(2). */
	if (capng_change_id(entry->pw_uid, entry->pw_gid,
			    CAPNG_INIT_SUPP_GRP | CAPNG_CLEAR_BOUNDING))
		return -EPERM;
	return 0;
}

int daemon_drop_privileges(const char *user, uint64_t keep)
{
	int rc = 0;

	if (geteuid() == 0) {
		choose_capabilities(keep);
		if (user && strcmp(user, "root"))
			rc = change_user(user);
		else if (capng_apply(CAPNG_SELECT_BOTH))
			rc = -EPERM;
	}
	if (!rc && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		rc = -errno;
	return rc;
}

int daemon_give_file(const char *path, const char *user)
{
	static const char *const beside[] = { "", "-wal", "-shm" };
	const struct passwd *entry = user ? getpwnam(user) : NULL;
	char name[4200];
	int err = 0;

	for (int i = 0; i < 3 && entry; i++) {
		snprintf(name, sizeof(name), "%s%s", path, beside[i]);
		if (lchown(name, entry->pw_uid, entry->pw_gid) && errno != ENOENT)
			err = -errno;
	}
	return err;
}

void daemon_raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}
