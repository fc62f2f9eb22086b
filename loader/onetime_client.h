/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Programs of clients: which there are, where they wait, and where they are attached. */
#ifndef ISTHMUS_LOADER_ONETIME_CLIENT_H
#define ISTHMUS_LOADER_ONETIME_CLIENT_H

#include <stdint.h>

/* Those of `client add --all` and --cgroup, then those of --user, in the same order. */
#define ONETIME_CLIENT_HALF	4
#define ONETIME_CLIENT_PROGRAMS (2 * ONETIME_CLIENT_HALF)

extern const struct onetime_client_program {
	const char *name;
	const char *pin;
	uint32_t type; /* enum bpf_attach_type */
} onetime_client_programs[ONETIME_CLIENT_PROGRAMS];

/* Where program i is pinned: 0 or -errno. */
int onetime_client_program_path(const char *instance, const char *directory, unsigned int i,
				char path[512]);
/* The program of a pinned link, by its pin's name; -1: none of a client. */
int onetime_client_program_of(const char *name);

/*
 * Puts programs `first` to `first` + ONETIME_CLIENT_HALF on a cgroup: 0 or -errno, and then none.
 * `number` is in the names of the pins.
 */
int onetime_client_put(const char *instance, unsigned int first, int cgroup, uint32_t number);
/* -ENOENT: there is none. */
int onetime_client_take(const char *instance, unsigned int first, uint32_t number);

#endif
