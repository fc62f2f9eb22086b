/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the maps do not say, in a small SQLite file: ends of leases, own ports, saved settings. */
#ifndef ISTHMUS_AGENTS_PORTARP_STATE_H
#define ISTHMUS_AGENTS_PORTARP_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table.h"

struct state;

/* path NULL: in memory only. NULL on failure with the reason in error. */
struct state *state_open(const char *path, char *error, size_t error_len);
void state_close(struct state *state);

/* A NULL state keeps nothing. */
void state_put_grant(struct state *state, const struct grant *grant);
void state_delete_grant(struct state *state, const struct grant *grant);

struct state_grant {
	uint32_t addr_be;
	struct ports ports;
	uint8_t mac[6];
	int64_t since_s, ends_s;
};

/* Grants of one address (0: of all). */
void state_grants(struct state *state, uint32_t addr_be,
		  void (*each)(const struct state_grant *grant, void *arg), void *arg);

/* A host's own ports. */
struct state_own {
	uint32_t addr_be;
	struct ports ports;
	int64_t ends_s;
	uint32_t gateway_be; /* 0 = none */
	uint8_t prefix;	     /* 0 = none */
	char device[16];
};

void state_put_own(struct state *state, const struct state_own *own);
void state_delete_own(struct state *state, uint32_t addr_be, const struct ports *ports);
void state_owns(struct state *state, void (*each)(const struct state_own *own, void *arg),
		void *arg);

/* A value to put back later; the first one of a name stays. */
void state_save(struct state *state, const char *name, const char *value);
bool state_saved(struct state *state, const char *name, char *value, size_t len);
void state_forget(struct state *state, const char *name);

#endif
