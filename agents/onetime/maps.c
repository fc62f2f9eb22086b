// SPDX-License-Identifier: GPL-3.0-or-later
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../maps/pin.h"
#include "onetime.h"

static const struct {
	const char *name;
	size_t key_size, value_size;
} known[MAP_COUNT] = {
	[MAP_CONF] = { "onetime_conf", 4, sizeof(struct onetime_conf) },
	[MAP_POOL] = { "onetime_pool", sizeof(struct onetime_prefix), sizeof(struct onetime_pool) },
	[MAP_ADDR] = { "onetime_addr", sizeof(struct isthmus_addr), sizeof(struct onetime_addr) },
	[MAP_LISTENER] = { "onetime_listener", 4, sizeof(struct onetime_listener) },
	[MAP_LISTEN] = { "onetime_listen", 4, 8 },
	[MAP_EA6] = { "onetime_ea6", 0, sizeof(struct isthmus_addr) },
	[MAP_EA4] = { "onetime_ea4", 0, sizeof(struct isthmus_addr) },
	[MAP_EVENT] = { "onetime_event", 0, 0 },
};

static int open_pins(struct onetime *o, char *error)
{
	for (int i = 0; i < MAP_COUNT; i++) {
		int fd = pin_open_map(o->settings.instance, "onetime", known[i].name,
				      known[i].key_size, known[i].value_size);

		if (fd >= 0) {
			o->map[i] = fd;
			continue;
		}
		if (fd == -ENOENT)
			snprintf(error, ERROR_LEN, "%s is not pinned: run `isthmus onetime attach`",
				 known[i].name);
		else
			snprintf(error, ERROR_LEN, "cannot open the pinned map %s: %s%s",
				 known[i].name, strerror(-fd),
				 fd == -EPERM ? "; start as root" : "");
		return fd;
	}
	return 0;
}

/* Listeners are taken from where the pools are: a socket elsewhere gets none of their packets. */
static int check_conf(struct onetime *o, char *error)
{
	__u32 zero = 0;
	int err = bpf_map_lookup_elem(o->map[MAP_CONF], &zero, &o->conf);

	if (!err && o->conf.abi != ONETIME_ABI)
		err = -EPROTO;
	if (err) {
		snprintf(error, ERROR_LEN, "onetime_conf: %s",
			 err == -EPROTO ? "of another version of isthmus" : strerror(-err));
		return err;
	}
	if (o->conf.netns_cookie == process_netns_cookie(-1))
		return 0;
	snprintf(error, ERROR_LEN,
		 "the datapath is attached in another network namespace: start the agent there");
	return -EXDEV;
}

int maps_open(struct onetime *o, char *error)
{
	int err = open_pins(o, error);

	return err ? err : check_conf(o, error);
}

void maps_close(struct onetime *o)
{
	for (int i = 0; i < MAP_COUNT; i++)
		if (o->map[i] >= 0)
			close(o->map[i]);
}
