/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The two ends of a tunnel in the loader: `waypoint` and `gateway` are attached, replaced, detached
 * and shown by the same code; a struct tunnel_kind tells what differs.
 */
#ifndef ISTHMUS_LOADER_TUNNEL_H
#define ISTHMUS_LOADER_TUNNEL_H

#include "../maps/pin.h"
#include "../maps/tunnel.h"
#include "loader.h"
#include "pins.h"
#include "put.h"
#include "stats.h"

#define TUNNEL_PINS 16

/* Descriptors of a kind's maps, in the order of its table; the first three are everyone's. */
struct tunnel_pins {
	int conf, stats, peer;
	int more[TUNNEL_PINS - 3];
};

/* The head of both nouns' settings; numbers are 0 when not given. */
struct tunnel_settings {
	struct common_settings common;
	struct option_devices dev, lan; /* dev: --dev of a waypoint, --uplink of a gateway */
	unsigned int mode;		/* enum choose_mode */
	uint32_t port;
	bool clsact, replace, trust_offloads;
};

struct tunnel_kind {
	const char *stem, *staging;
	uint32_t abi;
	const char *dev_option; /* "dev" or "uplink" */
	bool has_lan;
	const struct pins_map *pins;
	size_t pin_count;
	size_t conf_size;
	const struct stats_reason *reasons;
	size_t reason_count;
	const char *remedy; /* against a lack of memory */
	const void *(*elf)(size_t *len);
	/* The kind's own part of its configuration, whose head is filled: an exit code. */
	int (*fill)(void *conf, const void *settings);
	void (*resize)(struct bpf_object *object, const void *settings);
	/* An option that --replace does not take, or NULL. */
	const char *(*changed)(const void *settings);
	/* More members of `show` and of its line in `status`. */
	void (*show)(const struct output *output, const void *conf, const struct tunnel_pins *pins);
};

/* ---- tunnel_pins.c: 0 or -errno */

int tunnel_pins_open(const struct tunnel_kind *kind, const char *instance, const char *directory,
		     struct tunnel_pins *pins);
void tunnel_pins_close(const struct tunnel_kind *kind, struct tunnel_pins *pins);
/* `conf` has kind->conf_size bytes. */
int tunnel_conf_read(const struct tunnel_pins *pins, void *conf);
int tunnel_conf_write(const struct tunnel_pins *pins, const void *conf);
void tunnel_put_of(const struct tunnel_link *link, struct put *put);
void tunnel_put_note(struct tunnel_link *link, const struct put *put);
void tunnel_put_place(const char *instance, const char *directory, const struct tunnel_pins *pins,
		      const struct tunnel_conf *conf, const struct tunnel_link *link,
		      struct put_place *place);
int tunnel_remove(const struct tunnel_kind *kind, const char *instance, const char *directory,
		  unsigned int *stuck);

/* ---- the verbs that do not differ: exit codes */

int tunnel_attach(const struct tunnel_kind *kind, const struct tunnel_settings *settings);
int tunnel_show(const struct tunnel_kind *kind, const struct tunnel_settings *settings,
		const struct output *output);
int tunnel_stats(const struct tunnel_kind *kind, const struct tunnel_settings *settings,
		 const struct output *output);
/* A map's entries as one list: `each` prints a record. */
int tunnel_list(const struct tunnel_kind *kind, const struct tunnel_settings *settings,
		const struct output *output, const char *name, size_t pin,
		void (*each)(const void *key, const void *value, void *arg));
int tunnel_status(const struct tunnel_kind *kind, const char *instance,
		  const struct output *output);

/* Seconds since a time of CLOCK_MONOTONIC, or until it (rounded up: 0 is over); 0 if it is on the
 * other side. */
uint64_t tunnel_since(__u64 ns);
uint64_t tunnel_until(__u64 ns);

#endif
