// SPDX-License-Identifier: GPL-3.0-or-later
/* Pinned state of a tunnel's end: opening it, and taking it away. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel.h"

int tunnel_conf_read(const struct tunnel_pins *pins, void *conf)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(pins->conf, &key, conf) ? -errno : 0;
}

int tunnel_conf_write(const struct tunnel_pins *pins, const void *conf)
{
	__u32 key = 0;

	return bpf_map_update_elem(pins->conf, &key, conf, BPF_EXIST) ? -errno : 0;
}

void tunnel_pins_close(const struct tunnel_kind *kind, struct tunnel_pins *pins)
{
	pins_close(kind->pins, kind->pin_count, pins);
}

static int check_abi(const struct tunnel_kind *kind, const struct tunnel_pins *pins)
{
	struct tunnel_conf *conf = malloc(kind->conf_size);
	int err = conf ? tunnel_conf_read(pins, conf) : -ENOMEM;

	if (!err && conf->abi != kind->abi)
		err = -EPROTO;
	free(conf);
	return err;
}

int tunnel_pins_open(const struct tunnel_kind *kind, const char *instance, const char *directory,
		     struct tunnel_pins *pins)
{
	struct tunnel_pins opened;
	int err = pins_open(instance, directory, kind->pins, kind->pin_count, &opened);

	if (err)
		return err;
	err = check_abi(kind, &opened);
	if (err)
		tunnel_pins_close(kind, &opened);
	else
		*pins = opened;
	return err;
}

void tunnel_put_of(const struct tunnel_link *link, struct put *put)
{
	*put = (struct put){
		.hook = link->hook,
		.tc = link->tc_link,
		.in = { .handle = link->tc_handle, .priority = link->tc_prio },
	};
}

void tunnel_put_note(struct tunnel_link *link, const struct put *put)
{
	link->hook = put->hook;
	link->tc_link = put->tc;
	link->tc_handle = put->in.handle;
	link->tc_prio = put->in.priority;
}

void tunnel_put_place(const char *instance, const char *directory, const struct tunnel_pins *pins,
		      const struct tunnel_conf *conf, const struct tunnel_link *link,
		      struct put_place *place)
{
	*place = (struct put_place){
		.instance = instance,
		.directory = directory,
		.ifindex = link->ifindex,
		.map_fd = pins->stats, /* every program counts */
		.netns = conf->netns,
	};
}

static int remove_link(const char *instance, const char *directory, const struct tunnel_pins *pins,
		       struct tunnel_conf *conf, struct tunnel_link *link)
{
	const struct put none = {};
	struct put_place place;
	struct put put;
	int err;

	tunnel_put_place(instance, directory, pins, conf, link, &place);
	tunnel_put_of(link, &put);
	err = put_off(&place, &put);
	if (err)
		return err;
	tunnel_put_note(link, &none);
	return tunnel_conf_write(pins, conf);
}

static void remove_links(const struct tunnel_kind *kind, const char *instance,
			 const char *directory, const struct tunnel_pins *pins, unsigned int *stuck)
{
	struct tunnel_conf *conf = malloc(kind->conf_size);

	for (unsigned int i = 0; conf && !tunnel_conf_read(pins, conf) && i < TUNNEL_LINKS; i++)
		if (conf->link[i].ifindex &&
		    remove_link(instance, directory, pins, conf, &conf->link[i]))
			++*stuck;
	free(conf);
}

int tunnel_remove(const struct tunnel_kind *kind, const char *instance, const char *directory,
		  unsigned int *stuck)
{
	struct tunnel_pins pins;

	*stuck = 0;
	/* A directory that a killed attach left may lack maps: its links are removed all the same.
	 */
	if (!tunnel_pins_open(kind, instance, directory, &pins)) {
		remove_links(kind, instance, directory, &pins, stuck);
		/* A filter in a namespace that has ended went with its device. */
		if (*stuck && !pins_programs_left(pins.stats))
			*stuck = 0;
		tunnel_pins_close(kind, &pins);
	}
	return *stuck ? 0 : pins_remove(instance, directory);
}
