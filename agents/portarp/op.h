/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ISTHMUS_AGENTS_PORTARP_OP_H
#define ISTHMUS_AGENTS_PORTARP_OP_H

#include "agent.h"

/* Reading members of a request; false with a text in `result`. */
bool op_address(const json_t *request, uint32_t *addr_be, struct op_result *result);
bool op_ports(const json_t *request, struct ports *ports, struct op_result *result);
bool op_mac(const json_t *request, const char *key, uint8_t mac[6], struct op_result *result);
/* The device named, or the only one of this side. */
bool op_device(struct agent *agent, const json_t *request, enum portarp_side side,
	       uint32_t *ifindex, struct op_result *result);
void op_fail(struct op_result *result, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* By a negative errno of table_give() and its like. */
void op_fail_errno(struct op_result *result, int err);

json_t *op_describe_grant(const struct agent *agent, const struct grant *grant);
void op_address_text(uint32_t addr_be, char text[16]);
void op_mac_text(const uint8_t mac[6], char text[18]);

/* upstream.c: cascade (paper III) */
void upstream_op(struct agent *agent, const json_t *request, struct op_result *result);
bool upstream_is_outside(const struct agent *agent, const struct shared *shared,
			 const struct ports *ports);

/* status.c */
json_t *status_describe(struct agent *agent);

#endif
