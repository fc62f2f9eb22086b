// SPDX-License-Identifier: GPL-3.0-or-later
/* What an operator can see: the status socket and its command, and metrics. */
#include <errno.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../lib/address.h"
#include "../lib/metrics.h"
#include "../lib/msg.h"
#include "translator.h"

#define READERS_MAX 16
#define ANSWER_MS   5000

static struct msg_listener *listener;

/* ---- the daemon's end */

static unsigned int waiting(const struct translator *t)
{
	return t->table.sessions - t->table.joined - t->table.finished_count;
}

static json_t *describe_local(const struct local *local)
{
	char text[ADDRESS_TEXT_LEN];

	address_text(&local->addr, text);
	return json_pack("{s:s, s:i, s:i, s:i, s:i, s:b}", "address", text, "low", local->range.low,
			 "high", local->range.high, "tcp_used", (int)local->used[0], "udp_used",
			 (int)local->used[1], "draining", local->draining);
}

static json_t *describe_ended(const struct translator *t)
{
	json_t *ended = json_object();

	for (int why = 0; why < END_COUNT; why++)
		json_object_set_new(ended, end_text(why), json_integer(t->counters.ended[why]));
	return ended;
}

static json_t *describe_refused(const struct translator *t)
{
	json_t *refused = json_object();

	for (int reason = 0; reason < SPLICE_REASON_COUNT; reason++)
		if (t->counters.refused[reason])
			json_object_set_new(refused, reason_text(reason),
					    json_integer(t->counters.refused[reason]));
	return refused;
}

static json_t *describe_probes(const struct counters *counters)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "ok",
			 (json_int_t)counters->probes[PROBE_OK], "unknown",
			 (json_int_t)counters->probes[PROBE_UNKNOWN], "expired",
			 (json_int_t)counters->probes[PROBE_EXPIRED], "family",
			 (json_int_t)counters->probes[PROBE_FAMILY], "limited",
			 (json_int_t)counters->probes_limited, "malformed",
			 (json_int_t)counters->probes_malformed);
}

static json_t *describe(const struct translator *t)
{
	const struct counters *counters = &t->counters;
	json_t *locals = json_array();

	for (unsigned int i = 0; i < t->locals.count; i++)
		json_array_append_new(locals, describe_local(&t->locals.item[i]));
	return json_pack(
		"{s:s, s:s, s:s, s:b, s:I, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, "
		"s:I, s:o, s:o, s:o, s:o}",
		"engine", t->engine->name, "engine_why", t->engine_why, "broker",
		t->settings.broker ? t->settings.broker : "", "connected", control_connected(t),
		"uptime", (json_int_t)((now_ns() - t->started_ns) / NS_PER_S), "waiting",
		(int)waiting(t), "joined", (int)t->table.joined, "limit", (int)t->table.limit,
		"free", (int)rendezvous_free(t), "opened", (json_int_t)counters->opened,
		"joined_total", (json_int_t)counters->joined, "bytes_up",
		(json_int_t)counters->traffic.bytes[0], "bytes_down",
		(json_int_t)counters->traffic.bytes[1], "packets_up",
		(json_int_t)counters->traffic.packets[0], "packets_down",
		(json_int_t)counters->traffic.packets[1], "ended", describe_ended(t), "refused",
		describe_refused(t), "probes", describe_probes(counters), "addresses", locals);
}

static void on_request(struct msg_conn *conn, json_t *message, void *arg)
{
	const char *op;

	if (msg_get_string(message, "op", &op) && !strcmp(op, "status"))
		msg_reply(conn, message, describe(arg));
	else
		msg_reply_error(conn, message, "unknown-op", "only status is known here");
}

static void on_reader_closed(struct msg_conn *conn, const char *why, void *arg)
{
	(void)conn;
	(void)why;
	(void)arg;
}

static void on_reader(struct msg_conn *conn, void *arg)
{
	static const struct msg_handler handler = { NULL, on_request, on_reader_closed };

	msg_conn_set_handler(conn, &handler, arg);
}

int status_listen(struct translator *t, char *error, size_t error_len)
{
	char path[256], copy[256];

	settings_control_path(&t->settings, path, sizeof(path));
	snprintf(copy, sizeof(copy), "%s", path);
	if (mkdir(dirname(copy), 0755) && errno != EEXIST) {
		int err = -errno;

		snprintf(error, error_len, "cannot make the folder of %s: %s", path,
			 strerror(-err));
		return err;
	}
	listener =
		msg_listen_unix(t->base, path, 0600, READERS_MAX, on_reader, t, error, error_len);
	return listener ? 0 : -EADDRINUSE;
}

void status_unlisten(void)
{
	if (listener)
		msg_listener_free(listener);
	listener = NULL;
}

/* ---- the command's end */

struct question {
	struct event_base *base;
	json_t *answer;
	bool closed; /* and freed */
};

static void on_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct question *question = arg;

	(void)conn;
	if (answer)
		question->answer = json_incref(answer);
	event_base_loopbreak(question->base);
}

static void on_connected(struct msg_conn *conn, void *arg)
{
	if (msg_request(conn, json_pack("{s:s}", "op", "status"), ANSWER_MS, on_answer, arg))
		event_base_loopbreak(((struct question *)arg)->base);
}

static void on_daemon_message(struct msg_conn *conn, json_t *message, void *arg)
{
	(void)conn;
	(void)message;
	(void)arg;
}

static void on_daemon_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct question *question = arg;

	(void)conn;
	(void)why;
	question->closed = true;
	event_base_loopbreak(question->base);
}

static long long number(const json_t *answer, const char *key)
{
	return json_integer_value(json_object_get(answer, key));
}

static const char *word(const json_t *answer, const char *key)
{
	const char *text = json_string_value(json_object_get(answer, key));

	return text ? text : "";
}

static void print_counts(const char *title, json_t *object)
{
	const char *key;
	json_t *value;

	printf("%-10s", title);
	json_object_foreach (object, key, value)
		if (json_integer_value(value))
			printf("  %s %lld", key, (long long)json_integer_value(value));
	printf("\n");
}

static void print_text(json_t *answer)
{
	json_t *local;
	size_t i;

	printf("engine      %s: %s\n", word(answer, "engine"), word(answer, "engine_why"));
	printf("broker      %s, %s\n", word(answer, "broker"),
	       json_is_true(json_object_get(answer, "connected")) ? "connected" : "not connected");
	printf("sessions    %lld joined, %lld waiting, %lld free, limit %lld\n",
	       number(answer, "joined"), number(answer, "waiting"), number(answer, "free"),
	       number(answer, "limit"));
	printf("since start %lld opened, %lld joined, up %lld s\n", number(answer, "opened"),
	       number(answer, "joined_total"), number(answer, "uptime"));
	printf("traffic     of ended sessions: up %lld bytes in %lld packets, down %lld in %lld\n",
	       number(answer, "bytes_up"), number(answer, "packets_up"),
	       number(answer, "bytes_down"), number(answer, "packets_down"));
	print_counts("ended", json_object_get(answer, "ended"));
	print_counts("refused", json_object_get(answer, "refused"));
	print_counts("probes", json_object_get(answer, "probes"));
	json_array_foreach (json_object_get(answer, "addresses"), i, local)
		printf("address     %s ports %lld-%lld, TCP %lld and UDP %lld in use%s\n",
		       word(local, "address"), number(local, "low"), number(local, "high"),
		       number(local, "tcp_used"), number(local, "udp_used"),
		       json_is_true(json_object_get(local, "draining")) ? ", draining" : "");
}

int status_command(const char *path, bool json)
{
	static const struct msg_handler handler = { on_connected, on_daemon_message,
						    on_daemon_closed };
	struct question question = { .base = event_base_new() };
	struct msg_conn *conn = NULL;

	if (question.base)
		conn = msg_connect_unix(question.base, path, &handler, &question);
	if (conn)
		event_base_dispatch(question.base);
	if (conn && !question.closed)
		msg_conn_free(conn);
	if (question.base)
		event_base_free(question.base);
	if (!question.answer) {
		fprintf(stderr,
			"isthmus-translator: no answer on %s: is a translator running, and may "
			"you open its socket?\n",
			path);
		return 3;
	}
	json_object_del(question.answer, "re");
	json_object_del(question.answer, "ok");
	if (json)
		json_dumpf(question.answer, stdout, JSON_INDENT(2));
	if (json)
		printf("\n");
	else
		print_text(question.answer);
	json_decref(question.answer);
	return 0;
}

/* ---- metrics */

static void metric_sessions(const struct translator *t, struct evbuffer *out)
{
	metrics_write(out, "isthmus_translator_sessions", "gauge", "Sessions by state.",
		      "state=\"waiting\"", waiting(t));
	metrics_write(out, "isthmus_translator_sessions", "gauge", NULL, "state=\"joined\"",
		      t->table.joined);
	metrics_write(out, "isthmus_translator_sessions", "gauge", NULL, "state=\"time-wait\"",
		      t->table.finished_count);
	metrics_write(out, "isthmus_translator_sessions_free", "gauge",
		      "Sessions that could be opened now.", NULL, rendezvous_free(t));
	metrics_write(out, "isthmus_translator_opened_total", "counter", "Rendezvous opened.", NULL,
		      t->counters.opened);
	metrics_write(out, "isthmus_translator_open_refused_total", "counter",
		      "Rendezvous that could not be opened.", NULL, t->counters.open_refused);
	metrics_write(out, "isthmus_translator_joined_total", "counter", "Sessions joined.", NULL,
		      t->counters.joined);
}

static void metric_ends(const struct translator *t, struct evbuffer *out)
{
	static const char *const way[] = { "direction=\"up\"", "direction=\"down\"" };
	char label[64];

	for (int why = 0; why < END_COUNT; why++) {
		snprintf(label, sizeof(label), "why=\"%s\"", end_text(why));
		metrics_write(out, "isthmus_translator_ended_total", "counter",
			      why ? NULL : "Sessions ended.", label, t->counters.ended[why]);
	}
	for (int reason = 0, told = 0; reason < SPLICE_REASON_COUNT; reason++) {
		if (!t->counters.refused[reason])
			continue;
		snprintf(label, sizeof(label), "reason=\"%s\"", reason_text(reason));
		metrics_write(out, "isthmus_translator_refused_total", "counter",
			      told++ ? NULL : "Packets or connections refused at a rendezvous.",
			      label, t->counters.refused[reason]);
	}
	for (int side = 0; side < 2; side++)
		metrics_write(out, "isthmus_translator_bytes_total", "counter",
			      side ? NULL : "Bytes of ended sessions.", way[side],
			      t->counters.traffic.bytes[side]);
	for (int side = 0; side < 2; side++)
		metrics_write(out, "isthmus_translator_packets_total", "counter",
			      side ? NULL : "Packets of ended sessions.", way[side],
			      t->counters.traffic.packets[side]);
}

static void metric_probes(const struct counters *counters, struct evbuffer *out)
{
	static const char *const result[] = { "result=\"ok\"", "result=\"unknown\"",
					      "result=\"expired\"", "result=\"family\"" };

	for (int i = 0; i < 4; i++)
		metrics_write(out, "isthmus_translator_probes_total", "counter",
			      i ? NULL : "Probes by result.", result[i], counters->probes[i]);
	metrics_write(out, "isthmus_translator_probes_total", "counter", NULL, "result=\"limited\"",
		      counters->probes_limited);
	metrics_write(out, "isthmus_translator_probes_total", "counter", NULL,
		      "result=\"malformed\"", counters->probes_malformed);
}

void status_metrics(struct evbuffer *out, void *arg)
{
	const struct translator *t = arg;
	char label[64];

	snprintf(label, sizeof(label), "engine=\"%s\"", t->engine->name);
	metrics_write(out, "isthmus_translator_engine", "gauge", "The engine that moves packets.",
		      label, 1);
	metrics_write(out, "isthmus_translator_broker_connected", "gauge",
		      "1 while the broker is served.", NULL, control_connected(t));
	metric_sessions(t, out);
	metric_ends(t, out);
	metric_probes(&t->counters, out);
	metrics_write(out, "isthmus_translator_notices_lost_total", "counter",
		      "Notices that the broker never got.", NULL, t->counters.notices_lost);
	t->engine->metrics(t, out);
}
