// SPDX-License-Identifier: GPL-3.0-or-later
/* The commands that ask the daemon, and how they print what it answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../lib/ask.h"
#include "onetime.h"

#define PROGRAM "isthmus-onetime"

static const char *word(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static long long number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* ---- questions */

static void set_text(json_t *message, const char *key, const char *text)
{
	if (text)
		json_object_set_new(message, key, json_string(text));
}

static void set_number(json_t *message, const char *key, unsigned int value, unsigned int none)
{
	if (value != none)
		json_object_set_new(message, key, json_integer(value));
}

static int set_pid(json_t *message, const char *text)
{
	char *end;
	unsigned long pid = strtoul(text, &end, 10);

	if (!text[0] || *end || !pid || pid > 0x7fffffff) {
		fprintf(stderr, PROGRAM ": '%s' is no pid\n", text);
		return -1;
	}
	json_object_set_new(message, "pid", json_integer((json_int_t)pid));
	return 0;
}

static void set_socket(json_t *message, const struct settings *s, const char *device)
{
	set_text(message, "dev", device);
	set_number(message, "port", s->port, 0);
	set_number(message, "fd", s->fd, SETTINGS_NO_FD);
	set_text(message, "mode", s->mode);
}

static void set_give(json_t *message, const struct settings *s)
{
	set_text(message, "for", s->for_prefix);
	set_number(message, "ttl", s->ttl_s, 0);
}

/* ---- answers */

static void print_das(const json_t *answer)
{
	printf("%s: a session with %s[%lld], %s port %lld", word(answer, "address"),
	       word(answer, "command"), number(answer, "pid"), word(answer, "proto"),
	       number(answer, "port"));
	if (number(answer, "ttl"))
		printf("; dead in %lld s if nobody has used it then", number(answer, "ttl"));
	printf("\n");
}

static void print_address(const json_t *answer)
{
	printf("%s\n", word(answer, "address"));
}

static void print_listen(const json_t *answer)
{
	printf("listener %lld: %s[%lld]%s%s %s\n", number(answer, "listener"),
	       word(answer, "command"), number(answer, "pid"), word(answer, "name")[0] ? " " : "",
	       word(answer, "name"), word(answer, "state"));
}

static void print_unlisten(const json_t *answer)
{
	printf("listener %lld: %s[%lld] is none any more\n", number(answer, "listener"),
	       word(answer, "command"), number(answer, "pid"));
}

static void print_trace(const json_t *answer)
{
	time_t time = number(answer, "time");
	char text[64] = "";
	struct tm tm;

	printf("%s: ", word(answer, "address"));
	if (json_object_get(answer, "counter"))
		printf("%s number %lld of the pool %s", word(answer, "method"),
		       number(answer, "counter"), word(answer, "pool"));
	else
		printf("set by das");
	if (time && gmtime_r(&time, &tm) && strftime(text, sizeof(text), "%FT%TZ", &tm))
		printf("; for %s%s%s, %s", word(answer, "name"),
		       word(answer, "client")[0] ? " to " : "", word(answer, "client"), text);
	printf("\n");
}

static void print_listener(const json_t *l)
{
	printf("listener %lld: %s[%lld] fd %lld %s port %lld, %s, %s%s%s: %s, %lld prepared, "
	       "%lld given out, %lld for many\n",
	       number(l, "listener"), word(l, "command"), number(l, "pid"), number(l, "fd"),
	       word(l, "proto"), number(l, "port"), word(l, "mode"), word(l, "addresses"),
	       word(l, "name")[0] ? ", " : "", word(l, "name"), word(l, "state"),
	       number(l, "prepared"), number(l, "pending"), number(l, "many"));
}

static void print_status(const json_t *status)
{
	const json_t *value, *item;
	const char *key;
	size_t i;

	json_array_foreach (json_object_get(status, "pools"), i, item)
		printf("pool %s: %s%s%s\n", word(item, "prefix"), word(item, "method"),
		       is_true(item, "client") ? ", for connects" : "",
		       !is_true(item, "usable")	 ? ", cannot be used"
		       : !is_true(item, "ready") ? ", not ready"
						 : "");
	json_array_foreach (json_object_get(status, "listeners"), i, item)
		print_listener(item);
	if (number(status, "listeners_count") > (long long)i)
		printf("%lld listeners in all\n", number(status, "listeners_count"));
	item = json_object_get(status, "name_server");
	if (json_is_object(item))
		printf("name server: %s, %sconnected\n", word(item, "name"),
		       is_true(item, "connected") ? "" : "not ");
	printf("%lld addresses given out and not used yet; prepared for connects: %lld IPv6, %lld "
	       "IPv4\n",
	       number(status, "pending"), number(status, "eas6"), number(status, "eas4"));
	json_object_foreach (json_object_get(status, "states"), key, value)
		if (json_integer_value(value))
			printf("  %-15s %lld\n", key, (long long)json_integer_value(value));
	json_object_foreach (json_object_get(status, "counters"), key, value)
		if (json_integer_value(value))
			printf("  %-15s %lld\n", key, (long long)json_integer_value(value));
}

static int ask(const struct settings *settings, json_t *message,
	       void (*print)(const json_t *answer))
{
	json_t *answer = ask_daemon(PROGRAM, settings->control, message);
	int status = ask_check(PROGRAM, answer);

	if (status == ASK_DONE && settings->json)
		ask_print(answer);
	else if (status == ASK_DONE)
		print(answer);
	json_decref(answer);
	return status;
}

/* ---- commands: arguments are what follows the word */

static int das(char **argv, const struct settings *s)
{
	json_t *message =
		json_pack("{s:s, s:s, s:b}", "op", "das", "address", argv[2], "many", (int)s->many);

	if (set_pid(message, argv[0])) {
		json_decref(message);
		return ASK_USAGE;
	}
	set_socket(message, s, argv[1]);
	set_give(message, s);
	return ask(s, message, print_das);
}

static int listen_to(char **argv, const struct settings *s)
{
	json_t *message =
		json_pack("{s:s, s:b}", "op", "listen", "das_required", (int)s->das_required);

	if (set_pid(message, argv[0])) {
		json_decref(message);
		return ASK_USAGE;
	}
	set_socket(message, s, argv[1]);
	set_number(message, "auto", s->auto_set, 0);
	set_text(message, "name", s->name);
	return ask(s, message, print_listen);
}

static int unlisten(char **argv, const struct settings *s)
{
	return ask(s, json_pack("{s:s, s:s}", "op", "unlisten", "listener", argv[0]),
		   print_unlisten);
}

static int give(char **argv, const struct settings *s)
{
	json_t *message = json_pack("{s:s, s:s}", "op", "give", "listener", argv[0]);

	set_give(message, s);
	return ask(s, message, print_address);
}

static int trace(char **argv, const struct settings *s)
{
	return ask(s, json_pack("{s:s, s:s}", "op", "trace", "address", argv[0]), print_trace);
}

static int status(char **argv, const struct settings *s)
{
	(void)argv;
	return ask(s, json_pack("{s:s}", "op", "status"), print_status);
}

int command_ask(int argc, char **argv, const struct settings *settings)
{
	static const struct {
		const char *name, *arguments;
		int count;
		bool del;
		int (*run)(char **argv, const struct settings *settings);
	} commands[] = {
		{ "das", "PID IFACE ADDRESS", 3, false, das },
		{ "listen", "PID IFACE, or --del PID|NAME", 2, false, listen_to },
		{ "listen", "--del PID|NAME", 1, true, unlisten },
		{ "give", "PID|NAME", 1, false, give },
		{ "trace", "ADDRESS", 1, false, trace },
		{ "status", "no argument", 0, false, status },
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!argc || strcmp(argv[0], commands[i].name) || settings->del != commands[i].del)
			continue;
		if (argc - 1 == commands[i].count)
			return commands[i].run(argv + 1, settings);
		fprintf(stderr, PROGRAM ": %s takes %s; see --help\n", argv[0],
			commands[i].arguments);
		return ASK_USAGE;
	}
	fprintf(stderr,
		PROGRAM ": one of run, join, das, listen, give, trace, status, help, version is "
			"needed; see --help\n");
	return ASK_USAGE;
}
