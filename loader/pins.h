/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pinned state of any datapath: a table tells its maps. Functions return 0 or -errno unless they
 * say otherwise; on failure nothing is open.
 */
#ifndef ISTHMUS_LOADER_PINS_H
#define ISTHMUS_LOADER_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_object;

/* One map: the field of the datapath's struct of descriptors that it is opened into. */
struct pins_map {
	size_t field; /* offsetof() of an int */
	const char *name;
	size_t key_size, value_size;
};

/* -ENOENT: not attached; -EPROTO: maps are missing or of other sizes. */
int pins_open(const char *instance, const char *directory, const struct pins_map *table,
	      size_t count, void *fds);
void pins_close(const struct pins_map *table, size_t count, void *fds);

/* Makes a directory with all maps of an object but libbpf's own. */
int pins_make(const char *instance, const char *directory, struct bpf_object *object);
/* Makes an object that is not loaded yet use the pinned maps. */
int pins_reuse(const char *instance, const char *directory, struct bpf_object *object);

/* The pin of a device's link; hook is "xdp", "tc" or "out". */
int pins_link_path(const char *instance, const char *directory, const char *hook, uint32_t ifindex,
		   char *path, size_t len);
bool pins_exist(const char *instance, const char *directory);
/* The staging directory gets its final name. */
int pins_publish(const char *instance, const char *from, const char *to);
/* Detaches all links of a directory, unpins all maps, removes it. */
int pins_remove(const char *instance, const char *directory);
/* Removes the instance's directory, and the root, if nothing is left in them. */
void pins_remove_empty(const char *instance);
/* Is any program left that uses this map? Waits half a second for the kernel to free the last. */
bool pins_programs_left(int map_fd);

#endif
