// SPDX-License-Identifier: GPL-3.0-or-later
/* The daemon in one order: datapath, maps and sockets while it is root, fewer privileges, loop,
 * end. */
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
#include "gateway.h"

#define KEEP_ALIVE_TICKS 10
#define FAST_MS		 50

/* Handshakes are repeated after a quarter of a second. */
static void on_fast(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end_tick(arg);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	static unsigned int ticks;
	struct gateway *g = arg;

	(void)fd;
	(void)what;
	tunnel_peers_tick(g->peers);
	if (!(++ticks % KEEP_ALIVE_TICKS))
		hosts_keep_alive(g);
}

static void on_reload(void *arg)
{
	struct gateway *g = arg;
	char error[ERROR_LEN] = "out of memory";

	if (hosts_read(g, error)) {
		log_error("%s; hosts stay as they are", error);
		return;
	}
	server_hosts(g);
	log_info("hosts read again; the rest needs a restart");
}

static int lock_attached(struct gateway *g, char *error)
{
	int fd = pin_hold(g->settings.instance, "gateway");

	g->lock_fd = fd < 0 ? -1 : fd;
	if (fd >= 0 || fd == -ENOENT) /* not attached: hosts_open() tells so */
		return 0;
	snprintf(error, ERROR_LEN, "the gateway datapath: %s",
		 fd == -EBUSY ? "another isthmus-gateway runs for it" : strerror(-fd));
	return fd;
}

static int drop(struct gateway *g, char *error)
{
	uint64_t keep = 1ULL << CAP_NET_ADMIN | 1ULL << CAP_BPF;
	int err;

	err = daemon_give_file(g->settings.state, g->settings.user);
	if (err)
		log_warn("%s: %s", g->settings.state, strerror(-err));
	err = daemon_drop_privileges(g->settings.user, keep);
	if (err)
		snprintf(error, ERROR_LEN, "cannot become user %s: %s",
			 g->settings.user ? g->settings.user : "root", strerror(-err));
	return err;
}

static int start(struct gateway *g, char *error)
{
	const struct timeval second = { .tv_sec = 1 }, fast = { .tv_usec = FAST_MS * 1000 };
	int err = status_listen(g, error); /* a second one ends here */

	if (!err)
		err = attach_if_wanted(g, error);
	if (!err)
		err = lock_attached(g, error);
	if (!err)
		err = hosts_open(g, error);
	if (!err)
		err = numbers_open(g, error);
	if (!err)
		err = end_start(g, error);
	if (!err)
		err = hosts_read(g, error);
	if (!err)
		err = drop(g, error);
	if (err)
		return err;
	g->tick = event_new(g->base, -1, EV_PERSIST, on_tick, g);
	g->fast = event_new(g->base, -1, EV_PERSIST, on_fast, g);
	if (!g->tick || !g->fast || event_add(g->tick, &second) || event_add(g->fast, &fast) ||
	    events_start(g) || sweep_start(g) || server_start(g))
		return -ENOMEM;
	return 0;
}

static void stop(struct gateway *g)
{
	member_free(g->member);
	events_free(g);
	sweep_free(g);
	if (g->tick)
		event_free(g->tick);
	if (g->fast)
		event_free(g->fast);
	status_close(g);
	tunnel_peers_free(g->peers);
	numbers_close(g);
	for (int i = 0; i < MAP_COUNT; i++)
		if (g->map[i] >= 0)
			close(g->map[i]);
	if (g->lock_fd >= 0)
		close(g->lock_fd);
}

static int read_credentials(struct gateway *g, char *error)
{
	const char *path = g->settings.credentials;
	int err = member_read(path, &g->credentials);

	if (err)
		snprintf(error, ERROR_LEN, "%s: %s", path,
			 err == -ENOENT	  ? "not joined yet: isthmus-gateway join"
			 : err == -EPERM  ? "others may read it: chmod 600"
			 : err == -EINVAL ? "not what `join` writes"
					  : strerror(-err));
	return err;
}

int gateway_run(const struct settings *settings)
{
	struct gateway *g = calloc(1, sizeof(*g));
	struct daemon_signals *signals = NULL;
	char error[ERROR_LEN] = "out of memory";
	int err;

	if (!g)
		return 1;
	memset(g->map, -1, sizeof(g->map));
	g->lock_fd = -1;
	g->settings = *settings;
	daemon_raise_file_limit();
	g->base = event_base_new();
	err = g->base ? 0 : -ENOMEM;
	if (!err)
		err = read_credentials(g, error);
	if (!err)
		err = start(g, error);
	if (!err)
		signals = daemon_signals_new(g->base, on_reload, g);
	if (signals) {
		log_info("gateway %s", g->credentials.name);
		daemon_ready("serving");
		event_base_dispatch(g->base);
		daemon_stopping();
	} else {
		log_error("%s", error);
	}
	stop(g);
	daemon_signals_free(signals);
	if (g->base)
		event_base_free(g->base);
	explicit_bzero(g, sizeof(*g));
	free(g);
	return signals ? 0 : 1;
}
