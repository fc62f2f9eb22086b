// SPDX-License-Identifier: GPL-3.0-or-later
/* What show, stats and status are answered with. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../lib/address.h"
#include "../lib/metrics.h"
#include "../lib/msg.h"
#include "resoa.h"
#include "status.h"

#define SHOWN_MAX 120 /* sockets in one answer: a message has its limit */

static const char *const kinds[] = {
	[RSOCK_SYN] = "connecting",    [RSOCK_CONNECT] = "connect", [RSOCK_INCOMING] = "incoming",
	[RSOCK_LISTENER] = "listen",   [RSOCK_UDP] = "udp",	    [RSOCK_BIND] = "bind",
	[RSOCK_RESERVED] = "reserved",
};

/* ---- show: which path each socket takes */

struct shown {
	uint32_t after; /* only those with a greater rsockID */
	struct rsock **at;
	size_t count, room;
};

static void collect(struct rsock *rsock, void *arg)
{
	struct shown *shown = arg;
	struct rsock **more;

	if (rsock->id <= shown->after)
		return;
	if (shown->count == shown->room) {
		more = realloc(shown->at, (shown->room * 2 + 64) * sizeof(struct rsock *));
		if (!more)
			return;
		shown->at = more;
		shown->room = shown->room * 2 + 64;
	}
	shown->at[shown->count++] = rsock;
}

static int by_id(const void *a, const void *b)
{
	const struct rsock *const *left = a, *const *right = b;

	return (*left)->id < (*right)->id ? -1 : (*left)->id > (*right)->id;
}

static void put_connection(json_t *object, const struct rsock *rsock)
{
	struct tcp_figures figures = { .state = "" };

	tcp_figures(rsock, &figures);
	json_object_set_new(object, "state", json_string(figures.state ? figures.state : ""));
	json_object_set_new(object, "sent", json_integer((json_int_t)figures.sent));
	json_object_set_new(object, "received", json_integer((json_int_t)figures.received));
	json_object_set_new(object, "credit", json_integer((json_int_t)figures.credit));
}

static json_t *rsock_json(const struct resoa *resoa, const struct rsock *rsock)
{
	char local[ADDRESS_TEXT_LEN], remote[ADDRESS_TEXT_LEN];
	json_t *object;

	address_port_text(&rsock->names.local, rsock->names.local_port, local);
	address_port_text(&rsock->names.remote, rsock->names.remote_port, remote);
	object =
		json_pack("{s:I, s:s, s:s, s:i, s:s, s:s, s:s}", "rsock", (json_int_t)rsock->id,
			  "kind", kinds[rsock->kind], "proto",
			  rsock->proto == IPPROTO_UDP ? "udp" : "tcp", "family", (int)rsock->family,
			  "local", local, "server", resoa->lhp ? lhp_peer(resoa->lhp) : "",
			  "provider", resoa->lhp ? lhp_provider(resoa->lhp) : "");
	if (rsock->names.remote_port)
		json_object_set_new(object, "remote", json_string(remote));
	if (rsock->kind == RSOCK_SYN || rsock->kind == RSOCK_CONNECT ||
	    rsock->kind == RSOCK_INCOMING)
		put_connection(object, rsock);
	return object;
}

/* Of the address that the server has by DHCP; NULL: it has none so. */
static json_t *lease_json(const struct resoa *resoa)
{
	json_t *told = resoa->lhp ? json_object_get(resoa->registered, "lease") : NULL, *lease;
	json_int_t until = json_integer_value(json_object_get(told, "until"));

	if (!told)
		return NULL;
	lease = json_copy(told);
	if (until)
		json_object_set_new(lease, "seconds", json_integer(until - time(NULL)));
	return lease;
}

static json_t *show(struct resoa *resoa, const json_t *message)
{
	struct shown shown = { 0 };
	json_t *array = json_array();
	int64_t after = 0;

	msg_get_integer(message, "after", 0, UINT32_MAX, &after);
	shown.after = (uint32_t)after;
	rsock_each(resoa, collect, &shown);
	if (shown.at)
		qsort(shown.at, shown.count, sizeof(struct rsock *), by_id);
	for (size_t i = 0; i < shown.count && i < SHOWN_MAX; i++)
		json_array_append_new(array, rsock_json(resoa, shown.at[i]));
	free(shown.at);
	return json_pack("{s:o, s:b, s:o*}", "sockets", array, "more",
			 (int)(shown.count > SHOWN_MAX), "lease", lease_json(resoa));
}

/* ---- stats: the programs' counters, by reason, and the connection's */

static const struct {
	const char *name, *text;
} reasons[] = {
#define ROW(name, verdict, text) { #name, text },
	RESOA_REASONS(ROW)
#undef ROW
};

static json_t *reasons_json(const struct resoa *resoa)
{
	struct isthmus_count counts[RESOA_REASON_COUNT] = { 0 };
	json_t *array = json_array();

	if (resoa->program)
		program_count(resoa->program, counts);
	for (int i = 0; i < RESOA_REASON_COUNT; i++)
		json_array_append_new(array, json_pack("{s:s, s:s, s:I, s:I}", "reason",
						       reasons[i].name, "text", reasons[i].text,
						       "packets", (json_int_t)counts[i].packets,
						       "bytes", (json_int_t)counts[i].bytes));
	return array;
}

static json_t *lhp_json(const struct resoa *resoa)
{
	struct lhp_counts counts;

	if (!resoa->lhp)
		return json_null();
	lhp_count(resoa->lhp, &counts);
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "provider",
			 lhp_provider(resoa->lhp), "server", lhp_peer(resoa->lhp), "sent",
			 (json_int_t)counts.sent, "received", (json_int_t)counts.received,
			 "repeated", (json_int_t)counts.repeated, "lost", (json_int_t)counts.lost,
			 "refused", (json_int_t)counts.refused, "bytes_sent",
			 (json_int_t)counts.bytes_sent, "bytes_received",
			 (json_int_t)counts.bytes_received, "rtt_us", (json_int_t)counts.rtt_us,
			 "ping_us", (json_int_t)resoa->ping_us);
}

static json_t *stats(const struct resoa *resoa)
{
	return json_pack("{s:o, s:o, s:o}", "reasons", reasons_json(resoa), "datagrams",
			 udp_counts(resoa), "lhp", lhp_json(resoa));
}

/* ---- status */

static void count_kind(struct rsock *rsock, void *arg)
{
	int *count = arg;

	count[rsock->kind]++;
}

static json_t *sockets_json(struct resoa *resoa)
{
	int count[RSOCK_KINDS] = { 0 };
	json_t *object = json_object();

	if (resoa->rsocks)
		rsock_each(resoa, count_kind, count);
	for (int i = 0; i < RSOCK_KINDS; i++)
		json_object_set_new(object, kinds[i], json_integer(count[i]));
	return object;
}

/* What the server has told, without its files. */
json_t *status_json(void *arg)
{
	struct resoa *resoa = arg;
	json_t *registered = resoa->registered ? json_copy(resoa->registered) : json_object();

	json_object_del(registered, "files");
	return json_pack("{s:s, s:b, s:s, s:s, s:o, s:o, s:o*}", "name", resoa->identity.name,
			 "connected", (int)(resoa->lhp != NULL), "provider",
			 resoa->lhp ? lhp_provider(resoa->lhp) : "", "server",
			 resoa->lhp ? lhp_peer(resoa->lhp) : "", "registered", registered,
			 "sockets", sockets_json(resoa), "lease", lease_json(resoa));
}

json_t *status_command(const char *op, const json_t *message, struct ask_error *why, void *arg)
{
	struct resoa *resoa = arg;

	if (!strcmp(op, "stats"))
		return stats(resoa);
	if (strcmp(op, "show"))
		return ask_refuse(why, "unknown-op", "show, stats and status are known here");
	if (!resoa->rsocks)
		return json_pack("{s:[], s:b}", "sockets", "more", 0);
	return show(resoa, message);
}

/* ---- metrics */

static void write_reasons(struct evbuffer *out, const struct resoa *resoa)
{
	struct isthmus_count counts[RESOA_REASON_COUNT] = { 0 };
	char label[64];

	if (resoa->program)
		program_count(resoa->program, counts);
	for (int i = 0; i < RESOA_REASON_COUNT; i++) {
		snprintf(label, sizeof(label), "reason=\"%s\"", reasons[i].name);
		metrics_write(out, "isthmus_resoa_packets_total", "counter",
			      i ? NULL : "Packets and calls, by what became of them", label,
			      counts[i].packets);
	}
}

static void write_lhp(struct evbuffer *out, const struct resoa *resoa)
{
	struct lhp_counts counts = { 0 };

	if (resoa->lhp)
		lhp_count(resoa->lhp, &counts);
	metrics_write(out, "isthmus_resoa_connected", "gauge", "A server has registered us", NULL,
		      resoa->lhp != NULL);
	metrics_write(out, "isthmus_resoa_lhp_messages_total", "counter",
		      "Messages of this connection to the server", "direction=\"sent\"",
		      counts.sent);
	metrics_write(out, "isthmus_resoa_lhp_messages_total", "counter", NULL,
		      "direction=\"received\"", counts.received);
	metrics_write(out, "isthmus_resoa_lhp_repeated_total", "counter", "Of them sent again",
		      NULL, counts.repeated);
}

void status_collect(struct evbuffer *out, void *arg)
{
	struct resoa *resoa = arg;
	int count[RSOCK_KINDS] = { 0 };
	char label[64];

	if (resoa->rsocks)
		rsock_each(resoa, count_kind, count);
	for (int i = 0; i < RSOCK_KINDS; i++) {
		snprintf(label, sizeof(label), "kind=\"%s\"", kinds[i]);
		metrics_write(out, "isthmus_resoa_sockets", "gauge",
			      i ? NULL : "Sockets that the server has, too", label,
			      (uint64_t)count[i]);
	}
	write_lhp(out, resoa);
	write_reasons(out, resoa);
}
