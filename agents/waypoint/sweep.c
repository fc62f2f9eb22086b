// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Bindings, reject times and connections that are over make room. The datapath goes by its clock
 * and not by this: what is late here is over all the same.
 */
#include <bpf/bpf.h>
#include <errno.h>

#include <linux/bpf.h>

#include "waypoint.h"

#define STEP_MS		100
#define PARTS_A_STEP	4
#define REST_STEPS	10		/* after a whole map: a few entries cost as much as many */
#define CONN_UNKNOWN_NS (60 * NS_PER_S) /* a connection whose binding is gone */

static bool bind_is_over(const void *key, const void *value, void *arg)
{
	struct waypoint *w = arg;
	const struct waypoint_bind *bind = value;
	bool over = waypoint_bind_ends(bind, &w->conf) < waypoint_now_ns();

	(void)key;
	w->binds_counted += !over;
	w->counters.ended += over;
	return over;
}

static bool reject_is_over(const void *key, const void *value, void *arg)
{
	struct waypoint *w = arg;
	const struct waypoint_reject *reject = value;
	bool over = reject->until_ns < waypoint_now_ns();

	(void)key;
	w->rejects_counted += !over;
	return over;
}

/* One that never ends by FIN or RST ends with its binding. */
static bool conn_is_over(const void *key, const void *value, void *arg)
{
	struct waypoint *w = arg;
	const struct waypoint_conn_key *conn_key = key;
	const struct waypoint_conn *conn = value;
	struct waypoint_bind bind;
	int err;

	if (conn->seen_ns + CONN_UNKNOWN_NS > waypoint_now_ns())
		return false;
	err = bpf_map_lookup_elem(w->map[MAP_BIND], &conn_key->pair, &bind);
	return err ? err == -ENOENT : conn->number != bind.number;
}

/* True: the whole map has been seen. */
static bool step(struct map_sweep *sweep, unsigned int *rest)
{
	if (*rest) {
		--*rest;
		return false;
	}
	if (map_sweep_step(sweep) != 1)
		return false;
	*rest = REST_STEPS;
	return true;
}

/* Those that begin while the map is gone through are counted by their events, too. */
static void step_rejects(struct waypoint *w)
{
	if (!w->rest_reject && !w->rejects_counted)
		w->rejects_before = w->counters.violated;
	if (!step(w->sweep_reject, &w->rest_reject))
		return;
	w->rejects = w->rejects_counted + (uint32_t)(w->counters.violated - w->rejects_before);
	w->rejects_counted = 0;
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
	struct waypoint *w = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < PARTS_A_STEP && !w->rest_bind; i++) {
		if (map_sweep_step(w->sweep_bind) == 1) {
			w->binds = w->binds_counted;
			w->binds_counted = 0;
			w->rest_bind = REST_STEPS;
		}
	}
	w->rest_bind -= w->rest_bind > 0;
	step_rejects(w);
	step(w->sweep_conn, &w->rest_conn);
}

int sweep_start(struct waypoint *w)
{
	const struct timeval often = { .tv_usec = STEP_MS * 1000 };

	w->rejects = 1; /* until the map was seen */
	w->sweep_bind = map_sweep_new(w->map[MAP_BIND], sizeof(struct waypoint_pair),
				      sizeof(struct waypoint_bind), bind_is_over, w);
	w->sweep_reject = map_sweep_new(w->map[MAP_REJECT], sizeof(struct waypoint_pair),
					sizeof(struct waypoint_reject), reject_is_over, w);
	w->sweep_conn = map_sweep_new(w->map[MAP_CONN], sizeof(struct waypoint_conn_key),
				      sizeof(struct waypoint_conn), conn_is_over, w);
	w->sweep = event_new(w->base, -1, EV_PERSIST, on_step, w);
	if (!w->sweep_bind || !w->sweep_reject || !w->sweep_conn || !w->sweep ||
	    event_add(w->sweep, &often))
		return -ENOMEM;
	return 0;
}

void sweep_free(struct waypoint *w)
{
	if (w->sweep)
		event_free(w->sweep);
	map_sweep_free(w->sweep_bind);
	map_sweep_free(w->sweep_reject);
	map_sweep_free(w->sweep_conn);
}
