// SPDX-License-Identifier: GPL-3.0-or-later
/* The broker's requests: open, pure-open, close (docs/protocol.md). */
#include <errno.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "../lib/log.h"
#include "../lib/msg.h"
#include "control.h"

static bool read_word(const json_t *message, const char *key, const char *first, const char *second,
		      bool *is_second)
{
	const char *word;

	if (!msg_get_string(message, key, &word) || (strcmp(word, first) && strcmp(word, second)))
		return false;
	*is_second = !strcmp(word, second);
	return true;
}

static bool read_open(const json_t *message, struct open_request *request)
{
	int64_t lifetime, port = 0, side = 0;
	bool udp, six, pure = false;

	if (!msg_get_id(message, "session", &request->id) ||
	    !read_word(message, "proto", "tcp", "udp", &udp) ||
	    !read_word(message, "family", "4", "6", &six) ||
	    !msg_get_integer(message, "lifetime", 1, LIFETIME_MAX_S, &lifetime))
		return false;
	if (json_object_get(message, "mode") &&
	    !read_word(message, "mode", "passive", "pure", &pure))
		return false;
	if (json_object_get(message, "source_port") &&
	    (!msg_get_integer(message, "source_port", 1, 65535, &port) ||
	     !msg_get_integer(message, "source_side", 0, 1, &side)))
		return false;
	request->proto = udp ? IPPROTO_UDP : IPPROTO_TCP;
	request->family = six ? 6 : 4;
	request->pure = pure;
	request->lifetime_s = lifetime;
	request->source_port = port;
	request->source_side = side;
	return true;
}

static json_t *describe_side(const struct side *side)
{
	char address[ADDRESS_TEXT_LEN], token[AUTH_TOKEN_LEN];
	json_t *object;

	address_text(&side->local, address);
	auth_base64(side->token, PROBE_TOKEN_BYTES, token, sizeof(token));
	object = json_pack("{s:s, s:i, s:s}", "address", address, "port", side->port, "token",
			   token);
	explicit_bzero(token, sizeof(token));
	return object;
}

static void refuse(struct translator *t, struct msg_conn *conn, const json_t *message, int err)
{
	t->counters.open_refused++;
	switch (err) {
	case -EEXIST:
		msg_reply_error(conn, message, "exists", "the session exists already");
		break;
	case -ENOSPC:
		msg_reply_error(conn, message, "full",
				"%u of %u sessions, no port or map entry free", t->table.sessions,
				t->table.limit);
		break;
	case -EAFNOSUPPORT:
		msg_reply_error(conn, message, "unsupported", "no address of this family");
		break;
	default:
		log_error("cannot open a rendezvous: %s", strerror(-err));
		msg_reply_error(conn, message, "internal", "%s", strerror(-err));
	}
}

static void on_open(struct translator *t, struct msg_conn *conn, const json_t *message)
{
	struct open_request request;
	struct session *s;
	int err;

	if (!read_open(message, &request)) {
		msg_reply_error(conn, message, "bad-message",
				"open: a member is missing or out of range");
		return;
	}
	err = rendezvous_open(t, &request, &s);
	if (err) {
		refuse(t, conn, message, err);
		return;
	}
	msg_reply(conn, message,
		  json_pack("{s:[o,o], s:i, s:i, s:s}", "sides", describe_side(&s->side[0]),
			    describe_side(&s->side[1]), "probe_port_udp",
			    (int)t->settings.probe_port_udp, "probe_port_tcp",
			    (int)t->settings.probe_port_tcp, "mode", s->pure ? "pure" : "passive"));
}

static struct session *find_session(struct translator *t, struct msg_conn *conn,
				    const json_t *message)
{
	struct session *s;
	uint64_t id;

	if (!msg_get_id(message, "session", &id)) {
		msg_reply_error(conn, message, "bad-message", "no session");
		return NULL;
	}
	s = table_find(&t->table, id);
	if (!s)
		msg_reply_error(conn, message, "not-found", "no such session");
	return s;
}

/* An error that carries the port at which the session goes on as passive. */
static void reply_other_port(struct msg_conn *conn, const json_t *message, uint16_t port)
{
	json_t *id = json_object_get(message, "id");

	if (id)
		msg_send(conn, json_pack("{s:O, s:b, s:s, s:s, s:i}", "re", id, "ok", 0, "error",
					 "exists", "text", "the port is taken", "port", port));
}

static void on_pure_open(struct translator *t, struct msg_conn *conn, const json_t *message)
{
	struct session *s = find_session(t, conn, message);
	int64_t side, port;
	int err;

	if (!s)
		return;
	if (!msg_get_integer(message, "side", 0, 1, &side) ||
	    !msg_get_integer(message, "port", 1, 65535, &port)) {
		msg_reply_error(conn, message, "bad-message", "pure-open: no side or port");
		return;
	}
	err = rendezvous_pure_open(t, s, side, port);
	if (!err)
		msg_reply(conn, message, json_pack("{s:i}", "port", s->side[side].port));
	else if (err == -EEXIST)
		reply_other_port(conn, message, s->side[side].port);
	else if (err == -EINVAL)
		msg_reply_error(conn, message, "bad-message", "this side waits for no port");
	else
		refuse(t, conn, message, err);
}

static void on_close(struct translator *t, struct msg_conn *conn, const json_t *message)
{
	struct session *s = find_session(t, conn, message);

	if (!s)
		return;
	msg_reply(conn, message, NULL);
	rendezvous_end(t, s, END_CLOSED);
}

void control_request(struct translator *t, struct msg_conn *conn, const json_t *message)
{
	static const struct {
		const char *op;
		void (*handle)(struct translator *t, struct msg_conn *conn, const json_t *message);
	} ops[] = { { "open", on_open }, { "pure-open", on_pure_open }, { "close", on_close } };
	const char *op;

	if (!msg_get_string(message, "op", &op)) {
		msg_reply_error(conn, message, "bad-message", "no op");
		return;
	}
	for (unsigned int i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(op, ops[i].op))
			continue;
		ops[i].handle(t, conn, message);
		return;
	}
	if (json_object_get(message, "id"))
		msg_reply_error(conn, message, "unknown-op", "%s", op);
}
