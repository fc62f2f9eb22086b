/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Prometheus text exposition over evhttp, on GET /metrics of one address. */
#ifndef ISTHMUS_AGENTS_METRICS_H
#define ISTHMUS_AGENTS_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct event_base;
struct evbuffer;
struct metrics;

/* Called for each scrape; writes lines with metrics_write(). */
typedef void (*metrics_collect)(struct evbuffer *out, void *arg);

/* address: "127.0.0.1:9400" or "[::1]:9400". NULL on failure with the reason in error. */
struct metrics *metrics_listen(struct event_base *base, const char *address,
			       metrics_collect collect, void *arg, char *error, size_t error_len);
void metrics_free(struct metrics *metrics);

/* type is "counter" or "gauge"; help and type are written once, before the first sample of a name:
 * pass help NULL for further samples of the same name. labels: `a="b",c="d"` or NULL. */
void metrics_write(struct evbuffer *out, const char *name, const char *type, const char *help,
		   const char *labels, uint64_t value);

#endif
