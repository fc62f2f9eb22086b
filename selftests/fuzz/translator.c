// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/translator/request.c agents/translator/rendezvous.c agents/translator/ports.c */
/* link: agents/translator/login.c agents/lib/msg_json.c agents/lib/address.c agents/lib/auth.c */
/*
 * What a broker may send to a translator, one JSON message a line, against an engine that does
 * nothing; the first line also as a login line. The books must stay right: no port without its
 * session, never more sessions than allowed.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../agents/lib/log.h"
#include "../../agents/lib/msg.h"
#include "../../agents/translator/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 6

/* ---- what the requests' code calls, without a connection */

void log_line(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}

int msg_send(struct msg_conn *conn, json_t *message)
{
	(void)conn;
	json_decref(message);
	return 0;
}

int msg_reply(struct msg_conn *conn, const json_t *request, json_t *body)
{
	(void)request;
	return msg_send(conn, body);
}

int msg_reply_error(struct msg_conn *conn, const json_t *request, const char *code,
		    const char *format, ...)
{
	(void)conn;
	(void)request;
	(void)format;
	if (!strcmp(code, "internal"))
		abort();
	return 0;
}

static int engine_open(struct translator *t, struct session *s)
{
	(void)t;
	(void)s;
	return 0;
}

static int engine_side(struct translator *t, struct session *s, int side)
{
	(void)t;
	if (!s->side[side].port)
		abort();
	return 0;
}

static void engine_check(struct translator *t, struct session *s)
{
	(void)t;
	(void)s;
}

static void engine_close(struct translator *t, struct session *s, enum end_why why,
			 struct traffic *traffic)
{
	(void)t;
	(void)s;
	(void)why;
	(void)traffic;
}

static void on_ended(struct translator *t, const struct session *s, enum end_why why,
		     const struct traffic *traffic)
{
	(void)t;
	(void)s;
	(void)why;
	(void)traffic;
}

static const struct engine engine = { .name = "fuzz",
				      .pure = true,
				      .open = engine_open,
				      .admit = engine_side,
				      .retarget = engine_side,
				      .check = engine_check,
				      .close = engine_close };
static const struct notify notify = { .ended = on_ended };

/* ---- the books */

static void count_ports(struct session *s, void *arg)
{
	unsigned int *ports = arg;

	for (int side = 0; side < 2; side++) {
		uint16_t port = s->side[side].port;

		if (!port)
			continue;
		++*ports;
		if (locals_owner(&s->translator->locals, &s->side[side].local, s->proto, port) != s)
			abort();
	}
}

static void check_books(struct translator *t)
{
	unsigned int ports = 0, used = 0;

	table_each(t, count_ports, &ports);
	for (unsigned int i = 0; i < t->locals.count; i++)
		used += t->locals.item[i].used[0] + t->locals.item[i].used[1];
	if (ports != used || t->table.sessions > LIMIT)
		abort();
}

static void start(struct translator *t)
{
	struct isthmus_addr addr = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1 } };
	struct splice_range range = { 19100, 19109, 0 };

	t->base = event_base_new();
	t->engine = &engine;
	t->notify = &notify;
	if (!t->base || table_init(t, LIMIT) || locals_add(&t->locals, &addr, range, false))
		abort();
}

static void take_line(struct translator *t, const char *line, size_t len)
{
	const char *why;
	json_t *message = msg_parse(line, len, &why);

	if (!message)
		return;
	control_request(t, NULL, message);
	json_decref(message);
	check_books(t);
}

static void end_one(struct session *s, void *arg)
{
	rendezvous_end(arg, s, END_CLOSED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[LOGIN_NAME_LEN], token[64], fingerprint[FINGERPRINT_CHARS];
	char *text = malloc(size + 1), *line = text;
	static struct translator t;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	login_parse(text, name, token, sizeof(token), fingerprint);
	if (!t.base)
		start(&t);
	while (line) {
		char *end = strchr(line, '\n');

		take_line(&t, line, end ? (size_t)(end - line) : strlen(line));
		line = end ? end + 1 : NULL;
	}
	table_each(&t, end_one, &t);
	check_books(&t);
	free(text);
	return 0;
}
