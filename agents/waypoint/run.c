// SPDX-License-Identifier: GPL-3.0-or-later
/* The daemon in one order: maps and sockets while it is root, fewer privileges, loop, end. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../maps/pin.h"
#include "../lib/daemon.h"
#include "../lib/log.h"
#include "waypoint.h"

#define SAVE_TICKS 30
#define LOAD_TICKS 5
#define HOPS_TICKS 10

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	static unsigned int ticks;
	struct waypoint *w = arg;
	char status[128];

	(void)fd;
	(void)what;
	end_tick(w);
	if (!(++ticks % LOAD_TICKS))
		server_load(w);
	if (!(ticks % HOPS_TICKS))
		events_keep_hops(w);
	if (ticks % SAVE_TICKS)
		return;
	state_save_later(w);
	snprintf(status, sizeof(status), "%u addresses, %u bindings", w->address_count, w->binds);
	daemon_status(status);
}

static int lock_attached(struct waypoint *w, char *error)
{
	int fd = pin_hold(w->settings.instance, "waypoint");

	w->lock_fd = fd < 0 ? -1 : fd;
	if (fd >= 0 || fd == -ENOENT) /* not attached: bind_open() tells so */
		return 0;
	snprintf(error, ERROR_LEN, "the waypoint datapath: %s",
		 fd == -EBUSY ? "another isthmus-waypoint runs for it" : strerror(-fd));
	return fd;
}

static int drop(struct waypoint *w, char *error)
{
	uint64_t keep = 1ULL << CAP_NET_ADMIN | 1ULL << CAP_BPF;
	int err;

	err = daemon_give_file(w->settings.state, w->settings.user);
	if (err)
		log_warn("%s: %s", w->settings.state, strerror(-err));
	err = daemon_drop_privileges(w->settings.user, keep);
	if (err)
		snprintf(error, ERROR_LEN, "cannot become user %s: %s",
			 w->settings.user ? w->settings.user : "root", strerror(-err));
	return err;
}

static int start(struct waypoint *w, char *error)
{
	const struct timeval second = { .tv_sec = 1 };
	int err = status_listen(w, error); /* a second one ends here */

	if (!err)
		err = lock_attached(w, error);
	if (!err)
		err = bind_open(w, error);
	if (!err)
		err = end_start(w, error);
	if (!err)
		err = state_open(w, error);
	if (!err)
		err = asks_open(w, error);
	if (!err)
		err = drop(w, error);
	if (err)
		return err;
	state_restore(w);
	w->tick = event_new(w->base, -1, EV_PERSIST, on_tick, w);
	if (!w->tick || event_add(w->tick, &second) || events_start(w) || sweep_start(w) ||
	    server_start(w))
		return -ENOMEM;
	return 0;
}

static void stop(struct waypoint *w)
{
	member_free(w->member);
	state_save(w);
	state_close(w);
	asks_close(w);
	events_free(w);
	sweep_free(w);
	if (w->tick)
		event_free(w->tick);
	status_close(w);
	tunnel_peers_free(w->peers);
	for (int i = 0; i < MAP_COUNT; i++)
		if (w->map[i] >= 0)
			close(w->map[i]);
	if (w->lock_fd >= 0)
		close(w->lock_fd);
}

static int read_credentials(struct waypoint *w, char *error)
{
	const char *path = w->settings.credentials;
	int err = member_read(path, &w->credentials);

	if (err)
		snprintf(error, ERROR_LEN, "%s: %s", path,
			 err == -ENOENT	  ? "not joined yet: isthmus-waypoint join"
			 : err == -EPERM  ? "others may read it: chmod 600"
			 : err == -EINVAL ? "not what `join` writes"
					  : strerror(-err));
	return err;
}

int waypoint_run(const struct settings *settings)
{
	struct waypoint *w = calloc(1, sizeof(*w));
	struct daemon_signals *signals = NULL;
	char error[ERROR_LEN] = "out of memory";
	int err;

	if (!w)
		return 1;
	memset(w->map, -1, sizeof(w->map));
	w->lock_fd = -1;
	w->settings = *settings;
	daemon_raise_file_limit();
	w->base = event_base_new();
	err = w->base ? settings_check(&w->settings, error, sizeof(error)) : -ENOMEM;
	if (!err)
		err = read_credentials(w, error);
	if (!err)
		err = start(w, error);
	if (!err)
		signals = daemon_signals_new(w->base, NULL, w);
	if (signals) {
		log_info("%u waypoint addresses", w->address_count);
		daemon_ready("serving");
		event_base_dispatch(w->base);
		daemon_stopping();
	} else {
		log_error("%s", error);
	}
	stop(w);
	daemon_signals_free(signals);
	if (w->base)
		event_base_free(w->base);
	explicit_bzero(w, sizeof(*w));
	free(w);
	return signals ? 0 : 1;
}
