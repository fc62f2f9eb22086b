/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The datapath `onetime` in the loader: what its files share. */
#ifndef ISTHMUS_LOADER_ONETIME_H
#define ISTHMUS_LOADER_ONETIME_H

#include "../maps/onetime.h"
#include "../maps/pin.h"
#include "loader.h"
#include "put.h"

#define ONETIME_STEM	"onetime"
#define ONETIME_STAGING "onetime@new" /* '@' is in no stem's and no instance's name */

#define ONETIME_NS_PER_S 1000000000ULL

/* Numbers are 0 when not given. */
struct onetime_settings {
	struct common_settings common;
	struct option_devices dev;
	bool strict, lenient, clsact, replace; /* attach */
	uint32_t addresses, eas;
	const char *cgroup;  /* attach, client */
	unsigned int mode;   /* pool: 1 + enum onetime_mode */
	bool reset, for_eas; /* pool */
	bool force;	     /* pool */
	bool all;	     /* client */
	const char *user;    /* client, run */
};

int onetime_attach(const void *settings, const struct output *output);
int onetime_detach(const void *settings, const struct output *output);
int onetime_pool(const void *settings, const struct output *output);
int onetime_show(const void *settings, const struct output *output);
int onetime_addresses(const void *settings, const struct output *output);
int onetime_list(const void *settings, const struct output *output);
int onetime_sockstat(const void *settings, const struct output *output);
int onetime_stats(const void *settings, const struct output *output);
int onetime_client(const void *settings, const struct output *output);
int onetime_run(const void *settings, const struct output *output);
int onetime_status(const char *instance, const struct output *output);

/* ---- pinned state (onetime_pins.c) */

struct onetime_pins {
	int conf, pool, addr, listener, flow, udp, user, stats;
};

/*
 * Opens all maps of a directory (ONETIME_STEM or ONETIME_STAGING). -ENOENT: not attached; -EPROTO:
 * another ABI. On failure nothing is open.
 */
int onetime_pins_open(const char *instance, const char *directory, struct onetime_pins *pins);
void onetime_pins_close(struct onetime_pins *pins);
void onetime_pins_none(struct onetime_pins *pins);
int onetime_conf_read(const struct onetime_pins *pins, struct onetime_conf *conf);
int onetime_conf_write(const struct onetime_pins *pins, const struct onetime_conf *conf);
/* What stands on a device, and where. */
void onetime_put_of(const struct onetime_link *link, struct put *put);
void onetime_put_note(struct onetime_link *link, const struct put *put);
void onetime_put_place(const char *instance, const char *directory, const struct onetime_pins *pins,
		       const struct onetime_conf *conf, const struct onetime_link *link,
		       struct put_place *place);
/* Takes everything off and removes the directory. *stuck: devices that could not be cleared. */
int onetime_remove(const char *instance, const char *directory, unsigned int *stuck);
/* Is this the namespace of the attach? An exit code, with a message. */
int onetime_check_netns(const struct onetime_conf *conf);

/* Of CLOCK_MONOTONIC. */
uint64_t onetime_now_ns(void);

/* ---- pools (onetime_pool.c) */

struct onetime_pool_view {
	struct onetime_prefix prefix;
	struct onetime_pool pool;
};

/* Fills `view` with all pools (ONETIME_POOLS at most), and returns their number or -errno. */
int onetime_pools_read(const struct onetime_pins *pins, struct onetime_pool_view *view);
const char *onetime_mode_text(unsigned int mode);
/* Before the programs go: no address of a pool is local any more. 0 or -errno. */
int onetime_pools_end(const struct onetime_pins *pins, struct onetime_conf *conf);

/* ---- what makes a pool's addresses local (onetime_route.c); 0 or -errno */

int onetime_route_add(const struct onetime_prefix *prefix);
/* -ESRCH: there is none. */
int onetime_route_del(const struct onetime_prefix *prefix);
/* Of every pool in this namespace. */
int onetime_routes_end(void);
/* A device takes every multicast frame, or no longer does. */
int onetime_allmulti(uint32_t ifindex, bool on);
/* 1 if it does already. */
int onetime_allmulti_is_on(uint32_t ifindex);

/* May this prefix be a pool of the device? An exit code, with a message. (onetime_overlap.c) */
int onetime_overlap_check(const struct onetime_prefix *prefix, uint32_t ifindex);

/* ---- programs of clients (onetime_client.c) */

/* Calls `each` for every link of a client's program: its pin's name and path. 0 or -errno. */
typedef int (*onetime_client_each)(const char *name, const char *path, void *arg);
int onetime_client_links(const char *instance, onetime_client_each each, void *arg);

#endif
