// SPDX-License-Identifier: GPL-3.0-or-later
/* What commands ask for by the control socket: das, listen, unlisten, give, trace. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "../lib/msg.h"
#include "onetime.h"

#define DAS_TTL_S  86400
#define GIVE_TTL_S 600
#define TTL_MAX_S  31536000
#define BACKLOG	   128

/* ---- reading what was asked for */

/* False, and why. An absent member leaves the value. */
static bool read_number(const json_t *message, const char *key, int64_t low, int64_t high,
			int64_t *value, struct ask_error *why)
{
	if (!json_object_get(message, key) || msg_get_integer(message, key, low, high, value))
		return true;
	ask_refuse(why, "bad-request", "%s is not a number from %lld to %lld", key, (long long)low,
		   (long long)high);
	return false;
}

static bool read_mode(const json_t *message, const struct pool *pool, uint8_t *mode,
		      struct ask_error *why)
{
	const char *text;
	int value;

	*mode = pool->record.mode;
	if (!msg_get_string(message, "mode", &text))
		return true;
	value = settings_mode(text);
	if (value >= 0)
		*mode = (uint8_t)value;
	else
		ask_refuse(why, "bad-request", "mode %.20s is none of l0, l1, l2, aware", text);
	return value >= 0;
}

static bool read_device(const json_t *message, const char **name, uint32_t *ifindex,
			struct ask_error *why)
{
	*name = "";
	if (msg_get_string(message, "dev", name) && strlen(*name) < IF_NAMESIZE)
		*ifindex = if_nametoindex(*name);
	else
		*ifindex = 0;
	if (!*ifindex)
		ask_refuse(why, "no-device", "there is no device %.20s", *name);
	return *ifindex != 0;
}

/* An IPv4 address is of an IPv4 pool, and so are those who may use it. */
static bool read_give(const json_t *message, bool v4, uint64_t ttl_s, uint32_t most,
		      struct give *give, struct ask_error *why)
{
	int64_t ttl = (int64_t)ttl_s;
	const char *text;

	memset(give, 0, sizeof(*give));
	give->client = "";
	msg_get_string(message, "client", &give->client);
	if (strlen(give->client) >= COUNTER_CLIENT_LEN) {
		ask_refuse(why, "bad-request", "client is too long");
		return false;
	}
	if (!read_number(message, "ttl", 1, TTL_MAX_S, &ttl, why))
		return false;
	give->ttl_s = (uint64_t)ttl;
	if (!msg_get_string(message, "for", &text))
		return true;
	if (prefix_parse(text, &give->only) || address_is_v4(&give->only.address) != v4) {
		ask_refuse(why, "bad-request", "%.60s is no address or prefix of the pool's family",
			   text);
		return false;
	}
	prefix_mask(&give->only);
	give->whose = give->only;
	give->most = most;
	return true;
}

/* ---- a process and its socket */

static bool open_process(const json_t *message, struct process *process, struct ask_error *why)
{
	int64_t pid = 0;
	int err;

	process->pidfd = -1;
	if (!msg_get_integer(message, "pid", 1, 0x7fffffff, &pid)) {
		ask_refuse(why, "bad-request", "a pid is needed");
		return false;
	}
	err = process_open((uint32_t)pid, process);
	if (err)
		ask_refuse(why, "no-process", "pid %lld: %s", (long long)pid,
			   err == -ESRCH    ? "there is no such process"
			   : err == -EINVAL ? "that is a thread: the pid of its process is needed"
					    : strerror(-err));
	return !err;
}

static const char *socket_code(int err)
{
	switch (err) {
	case -ENOENT:
		return "no-socket";
	case -ENOTUNIQ:
		return "several";
	case -EXDEV:
		return "other-network";
	case -EAFNOSUPPORT:
		return "family";
	case -EPERM:
		return "not-permitted";
	case -ESRCH:
		return "no-process";
	default:
		return "failed";
	}
}

static int find_socket(struct onetime *o, const json_t *message, const struct process *process,
		       bool v4, struct process_socket *found, struct ask_error *why)
{
	struct process_want want = { .v4 = v4, .netns_cookie = o->conf.netns_cookie };
	char text[PROCESS_WHY_LEN] = "out of memory";
	int64_t port = 0, number = -1;
	int err;

	if (!read_number(message, "port", 1, 65535, &port, why) ||
	    !read_number(message, "fd", 0, 0x7fffffff, &number, why))
		return -EINVAL;
	want.port = (uint16_t)port;
	want.number = number;
	err = process_socket(process, &want, found, text);
	if (err)
		ask_refuse(why, socket_code(err), "%s[%u]: %s", process->command, process->pid,
			   text);
	return err;
}

/* ---- answers */

static json_t *address_json(struct onetime *o, const struct place *place,
			    const struct isthmus_addr *address, uint8_t mode, uint64_t ttl_s)
{
	char text[ADDRESS_TEXT_LEN];
	json_t *answer;

	address_text(address, text);
	answer = json_pack("{s:s, s:i, s:s, s:i, s:s, s:s, s:i}", "address", text, "listener",
			   (int)place_index(o, place), "command", place->record.command, "pid",
			   (int)place->record.pid, "proto",
			   place->record.proto == IPPROTO_UDP ? "udp" : "tcp", "mode",
			   settings_mode_name(mode), "port", (int)ntohs(place->record.port));
	if (ttl_s)
		json_object_set_new(answer, "ttl", json_integer((json_int_t)ttl_s));
	if (place->record.name[0])
		json_object_set_new(answer, "name", json_string(place->record.name));
	return answer;
}

/* ---- das (III.A, IV) */

/* The listener that this socket has already, or a new one that takes only what das sets. */
static struct place *das_place(struct onetime *o, const json_t *message, const struct pool *pool,
			       uint8_t mode, struct ask_error *why)
{
	struct onetime_listener record = {
		.flags = ONETIME_LISTENER_DAS,
		.mode = mode,
		.pool = pool->record.number,
	};
	struct process_socket found;
	struct process process;
	struct place *place = NULL;

	if (open_process(message, &process, why) &&
	    !find_socket(o, message, &process, pool->record.flags & ONETIME_POOL_V4, &found, why)) {
		place = place_by_cookie(o, found.cookie);
		if (!place)
			place = place_new(o, &process, &found, &record, why);
		close(found.fd);
	}
	process_close(&process);
	return place;
}

static json_t *das(struct onetime *o, const json_t *message, struct ask_error *why)
{
	struct isthmus_addr address;
	const char *device, *text;
	struct place *place;
	struct give give;
	struct pool *pool;
	uint32_t ifindex;
	uint8_t mode;
	bool many = false;

	pools_read(o); /* one may have been added just now */
	msg_get_bool(message, "many", &many);
	if (!read_device(message, &device, &ifindex, why))
		return NULL;
	if (!msg_get_string(message, "address", &text) || address_parse(text, &address))
		return ask_refuse(why, "bad-request", "an address is needed");
	if (give_check(o, ifindex, device, &address, &pool, why) ||
	    !read_mode(message, pool, &mode, why) ||
	    !read_give(message, address_is_v4(&address), DAS_TTL_S, o->settings.pending_client,
		       &give, why))
		return NULL;
	if (many && give.only.bits)
		return ask_refuse(why, "bad-request", "--many is for everybody: without --for");
	place = das_place(o, message, pool, mode, why);
	if (!place || give_this(o, place, pool, &give, many, mode, &address, why))
		return NULL;
	return address_json(o, place, &address, mode, many ? 0 : give.ttl_s);
}

/* ---- listen */

static bool read_name(struct onetime *o, const json_t *message, struct onetime_listener *record,
		      struct ask_error *why)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const char *name;

	if (!msg_get_string(message, "name", &name))
		return true;
	if (!name[0] || strlen(name) >= ONETIME_NAME || name[strspn(name, letters)] ||
	    !name[strspn(name, "0123456789")]) {
		ask_refuse(why, "bad-request",
			   "a name has 1 to %d letters, digits, dots, hyphens or underscores, and "
			   "not digits alone",
			   ONETIME_NAME - 1);
		return false;
	}
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++)
		if (o->place[i] && !o->place[i]->ending &&
		    !strcmp(o->place[i]->record.name, name)) {
			ask_refuse(why, "name-taken", "listener %u, %s[%u], has this name", i,
				   o->place[i]->record.command, o->place[i]->record.pid);
			return false;
		}
	snprintf(record->name, sizeof(record->name), "%s", name);
	return true;
}

static bool read_listener(struct onetime *o, const json_t *message, struct onetime_listener *record,
			  struct ask_error *why)
{
	int64_t backlog = BACKLOG;
	bool das_required = false;

	memset(record, 0, sizeof(*record));
	msg_get_bool(message, "das_required", &das_required);
	if (!read_number(message, "auto", 1, 65536, &backlog, why) ||
	    !read_name(o, message, record, why))
		return false;
	if (das_required && json_object_get(message, "auto")) {
		ask_refuse(why, "bad-request", "either --auto or --das-required");
		return false;
	}
	record->flags = das_required ? ONETIME_LISTENER_DAS : ONETIME_LISTENER_AUTO_SET;
	record->backlog = das_required ? 0 : (uint32_t)backlog;
	return true;
}

/* The pool of the device that the socket can serve: IPv6 if it can serve both. */
static struct pool *listen_pool(struct onetime *o, const json_t *message,
				const struct process *process, struct process_socket *found,
				struct ask_error *why)
{
	const char *device;
	struct pool *pool;
	uint32_t ifindex;
	int err = -EAFNOSUPPORT;

	if (!read_device(message, &device, &ifindex, why))
		return NULL;
	ask_refuse(why, "no-pool", "there is no pool on %s; see isthmus onetime show", device);
	for (int v4 = 0; v4 < 2; v4++) {
		pool = pool_on(o, ifindex, v4);
		if (pool)
			err = find_socket(o, message, process, v4, found, why);
		if (!err)
			return pool;
		if (err != -EAFNOSUPPORT)
			return NULL;
	}
	return NULL;
}

static json_t *listen_json(struct onetime *o, const struct place *place)
{
	return json_pack("{s:i, s:s, s:i, s:s, s:s}", "listener", (int)place_index(o, place),
			 "command", place->record.command, "pid", (int)place->record.pid, "name",
			 place->record.name, "state", status_of(place));
}

static json_t *listen_on(struct onetime *o, const json_t *message, const struct pool *pool,
			 struct onetime_listener *record, struct process *process,
			 const struct process_socket *found, struct ask_error *why)
{
	struct place *place;

	if (!read_mode(message, pool, &record->mode, why))
		return NULL;
	record->pool = pool->record.number;
	if (place_by_cookie(o, found->cookie))
		return ask_refuse(why, "exists",
				  "%s[%u] fd %u is a listener already; see listen "
				  "--del",
				  process->command, process->pid, found->number);
	place = place_new(o, process, found, record, why);
	if (!place)
		return NULL;
	give_prepare(o);
	return listen_json(o, place);
}

static json_t *listen_command(struct onetime *o, const json_t *message, struct ask_error *why)
{
	struct onetime_listener record;
	struct process_socket found;
	struct process process;
	json_t *answer = NULL;
	struct pool *pool;

	pools_read(o);
	if (!read_listener(o, message, &record, why) || !open_process(message, &process, why))
		return NULL;
	pool = listen_pool(o, message, &process, &found, why);
	if (pool) {
		answer = listen_on(o, message, pool, &record, &process, &found, why);
		close(found.fd);
	}
	process_close(&process);
	return answer;
}

static json_t *unlisten(struct onetime *o, const json_t *message, struct ask_error *why)
{
	struct place *place;
	const char *word = "";
	json_t *answer;

	msg_get_string(message, "listener", &word);
	place = place_named(o, word, why);
	if (!place)
		return NULL;
	answer = listen_json(o, place);
	place_end(o, place);
	return answer;
}

/* ---- give */

static json_t *give_command(struct onetime *o, const json_t *message, struct ask_error *why)
{
	struct isthmus_addr address;
	const struct pool *pool;
	struct place *place;
	struct give give;
	const char *word = "";

	msg_get_string(message, "listener", &word);
	place = place_named(o, word, why);
	if (!place)
		return NULL;
	pool = pool_by_number(o, place->record.pool);
	if (!read_give(message, pool && pool->record.flags & ONETIME_POOL_V4, GIVE_TTL_S,
		       o->settings.pending_client, &give, why) ||
	    give_address(o, place, &give, &address, why))
		return NULL;
	return address_json(o, place, &address, place->record.mode, give.ttl_s);
}

/* ---- trace (O10) */

static json_t *trace_json(const struct isthmus_addr *address, const struct counter_trace *trace)
{
	char text[ADDRESS_TEXT_LEN];
	json_t *answer;

	address_text(address, text);
	answer = json_pack("{s:s}", "address", text);
	if (trace->chosen) {
		json_object_set_new(answer, "method", json_string("das"));
	} else {
		address_text(&trace->pool.prefix, text);
		json_object_set_new(answer, "method",
				    json_string(settings_method_name(trace->method)));
		json_object_set_new(answer, "pool", json_string(text));
		json_object_set_new(answer, "counter", json_integer((json_int_t)trace->counter));
	}
	if (trace->noted) {
		json_object_set_new(answer, "name", json_string(trace->name));
		json_object_set_new(answer, "client", json_string(trace->client));
		json_object_set_new(answer, "time", json_integer(trace->time));
	}
	return answer;
}

static json_t *trace(struct onetime *o, const json_t *message, struct ask_error *why)
{
	struct isthmus_addr address;
	struct counter_trace found;
	const char *text = "";
	int err;

	if (!msg_get_string(message, "address", &text) || address_parse(text, &address))
		return ask_refuse(why, "bad-request", "an address is needed");
	err = counter_trace(o->counters, &address, &found);
	if (err)
		return ask_refuse(why, err == -ENOENT ? "unknown" : "failed", "%.60s: %s", text,
				  err == -ENOENT ? "was never given out"
				  : err == -EIO	 ? counters_error(o->counters)
						 : strerror(-err));
	return trace_json(&address, &found);
}

json_t *control_command(const char *op, const json_t *message, struct ask_error *why, void *arg)
{
	static const struct {
		const char *op;
		json_t *(*run)(struct onetime *o, const json_t *message, struct ask_error *why);
	} commands[] = {
		{ "das", das },		  { "listen", listen_command }, { "unlisten", unlisten },
		{ "give", give_command }, { "trace", trace },
	};

	events_take(arg); /* what was used since the last tick makes room */
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(op, commands[i].op))
			return commands[i].run(arg, message, why);
	return ask_refuse(why, "unknown-op",
			  "status, das, listen, unlisten, give and trace are "
			  "known here");
}
