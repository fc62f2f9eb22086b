// SPDX-License-Identifier: GPL-3.0-or-later
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "address.h"
#include "metrics.h"

#define REQUEST_HEADERS_MAX 8192
#define REQUEST_TIMEOUT_S   10

struct metrics {
	struct evhttp *http;
	metrics_collect collect;
	void *arg;
};

static void answer_scrape(struct evhttp_request *request, void *arg)
{
	struct metrics *metrics = arg;
	struct evbuffer *out = evbuffer_new();

	if (!out) {
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}
	metrics->collect(out, metrics->arg);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
			  "text/plain; version=0.0.4; charset=utf-8");
	evhttp_send_reply(request, HTTP_OK, "OK", out);
	evbuffer_free(out);
}

static void answer_other(struct evhttp_request *request, void *arg)
{
	(void)arg;
	evhttp_send_error(request, HTTP_NOTFOUND, NULL);
}

struct metrics *metrics_listen(struct event_base *base, const char *address,
			       metrics_collect collect, void *arg, char *error, size_t error_len)
{
	char host[ADDRESS_TEXT_LEN];
	struct metrics *metrics;
	uint16_t port;

	if (address_split(address, host, sizeof(host), &port) || !host[0]) {
		snprintf(error, error_len, "metrics address '%s' is not ADDRESS:PORT", address);
		return NULL;
	}
	metrics = calloc(1, sizeof(*metrics));
	if (metrics)
		metrics->http = evhttp_new(base);
	if (!metrics || !metrics->http) {
		snprintf(error, error_len, "out of memory");
		free(metrics);
		return NULL;
	}
	metrics->collect = collect;
	metrics->arg = arg;
	evhttp_set_allowed_methods(metrics->http, EVHTTP_REQ_GET);
	evhttp_set_max_headers_size(metrics->http, REQUEST_HEADERS_MAX);
	evhttp_set_max_body_size(metrics->http, 0);
	evhttp_set_timeout(metrics->http, REQUEST_TIMEOUT_S);
	evhttp_set_cb(metrics->http, "/metrics", answer_scrape, metrics);
	evhttp_set_gencb(metrics->http, answer_other, NULL);
	if (evhttp_bind_socket(metrics->http, host, port)) {
		snprintf(error, error_len, "cannot listen on %s for metrics: %s; is it in use?",
			 address, evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
		metrics_free(metrics);
		return NULL;
	}
	return metrics;
}

void metrics_free(struct metrics *metrics)
{
	if (!metrics)
		return;
	evhttp_free(metrics->http);
	free(metrics);
}

void metrics_write(struct evbuffer *out, const char *name, const char *type, const char *help,
		   const char *labels, uint64_t value)
{
	if (help)
		evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
	if (labels)
		evbuffer_add_printf(out, "%s{%s} %" PRIu64 "\n", name, labels, value);
	else
		evbuffer_add_printf(out, "%s %" PRIu64 "\n", name, value);
}
