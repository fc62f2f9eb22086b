// SPDX-License-Identifier: GPL-3.0-or-later
/* The daemon in one order: maps and files while it is root, fewer privileges, loop, end. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../maps/pin.h"
#include "../lib/daemon.h"
#include "../lib/log.h"
#include "onetime.h"

#define FAST_MS	     10 /* while connects use up what is prepared */
#define STATUS_TICKS 30 /* seconds */
#define PRUNE_TICKS  60
#define DAY_S	     86400

uint64_t onetime_now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct onetime *o = arg;
	struct timeval next = { .tv_usec = TICK_MS * 1000 };

	(void)fd;
	(void)what;
	events_take(o);
	give_prepare(o);
	server_tick(o);
	if (ea_fill(o))
		next.tv_usec = FAST_MS * 1000;
	event_add(o->tick, &next);
}

static void keep_journal(struct onetime *o, unsigned int ticks)
{
	static bool failing;
	int err = counter_flush(o->counters);

	if (err && !failing)
		log_error("%s: %s", o->settings.state, counters_error(o->counters));
	failing = err != 0;
	if (!(ticks % PRUNE_TICKS))
		counter_prune(o->counters, (int64_t)o->settings.journal_days * DAY_S);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	static unsigned int ticks;
	struct onetime *o = arg;
	char status[128];

	(void)fd;
	(void)what;
	pools_read(o);
	places_check(o);
	keep_journal(o, ++ticks);
	if (ticks % STATUS_TICKS)
		return;
	snprintf(status, sizeof(status), "%u pools, %u addresses given out, %u sessions",
		 o->pool_count, given_count(o), o->states[ONETIME_STATE_LIVE]);
	daemon_status(status);
}

static int lock_attached(struct onetime *o, char *error)
{
	int fd = pin_hold(o->settings.instance, "onetime");

	o->lock_fd = fd < 0 ? -1 : fd;
	if (fd >= 0 || fd == -ENOENT) /* not attached: maps_open() tells so */
		return 0;
	snprintf(error, ERROR_LEN, "the onetime datapath: %s",
		 fd == -EBUSY ? "another isthmus-onetime runs for it" : strerror(-fd));
	return fd;
}

/* Descriptors of other users' processes are taken by CAP_SYS_PTRACE, and found by
 * CAP_DAC_READ_SEARCH, for /proc/PID/fd is their owner's. */
static int drop(struct onetime *o, char *error)
{
	uint64_t keep = 1ULL << CAP_NET_ADMIN | 1ULL << CAP_BPF | 1ULL << CAP_SYS_PTRACE |
			1ULL << CAP_DAC_READ_SEARCH;
	int err = daemon_give_file(o->settings.state, o->settings.user);

	if (err)
		log_warn("%s: %s", o->settings.state, strerror(-err));
	err = daemon_drop_privileges(o->settings.user, keep);
	if (err)
		snprintf(error, ERROR_LEN, "cannot become user %s: %s",
			 o->settings.user ? o->settings.user : "root", strerror(-err));
	return err;
}

static int start_timers(struct onetime *o)
{
	const struct timeval second = { .tv_sec = 1 };

	o->tick = event_new(o->base, -1, 0, on_tick, o);
	o->second = event_new(o->base, -1, EV_PERSIST, on_second, o);
	if (!o->tick || !o->second || event_add(o->second, &second))
		return -ENOMEM;
	on_tick(-1, 0, o); /* the first addresses are ready before the daemon says so */
	return 0;
}

static int start(struct onetime *o, char *error)
{
	int err = status_listen(o, error); /* a second one ends here */

	if (!err)
		err = lock_attached(o, error);
	if (!err)
		err = maps_open(o, error);
	if (!err)
		err = pools_open(o, error);
	if (!err)
		err = server_read(o, error);
	if (!err)
		err = drop(o, error);
	if (err)
		return err;
	snprintf(error, ERROR_LEN, "out of memory");
	err = given_open(o);
	if (!err)
		err = ea_open(o);
	if (!err)
		err = places_restore(o);
	if (!err)
		err = sweep_start(o);
	if (!err)
		err = events_start(o);
	if (!err)
		err = server_start(o);
	return err ? err : start_timers(o);
}

static void stop(struct onetime *o)
{
	server_close(o);
	status_close(o);
	events_free(o);
	sweep_free(o);
	if (o->tick)
		event_free(o->tick);
	if (o->second)
		event_free(o->second);
	given_close(o);
	places_close(o);
	ea_close(o);
	pools_close(o);
	maps_close(o);
	if (o->lock_fd >= 0)
		close(o->lock_fd);
}

int onetime_run(const struct settings *settings)
{
	struct onetime *o = calloc(1, sizeof(*o));
	struct daemon_signals *signals = NULL;
	char error[ERROR_LEN] = "out of memory";
	int err;

	if (!o)
		return 1;
	memset(o->map, -1, sizeof(o->map));
	o->lock_fd = -1;
	o->settings = *settings;
	daemon_raise_file_limit();
	o->base = event_base_new();
	err = o->base ? settings_check(&o->settings, error, sizeof(error)) : -ENOMEM;
	if (!err)
		err = start(o, error);
	if (!err)
		signals = daemon_signals_new(o->base, NULL, o);
	if (signals) {
		log_info("%u pools", o->pool_count);
		daemon_ready("serving");
		event_base_dispatch(o->base);
		daemon_stopping();
	} else {
		log_error("%s", error);
	}
	stop(o);
	daemon_signals_free(signals);
	if (o->base)
		event_base_free(o->base);
	free(o);
	return signals ? 0 : 1;
}
