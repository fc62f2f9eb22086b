// SPDX-License-Identifier: GPL-3.0-or-later
/* The commands that ask the daemon: show, stats, status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/ask.h"
#include "resoa.h"

#define PROGRAM "isthmus-resoa"

static const char *word(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static long long number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* ---- show */

static void print_socket(const json_t *s)
{
	printf("%08llx %s %s", number(s, "rsock"), word(s, "proto"), word(s, "local"));
	if (word(s, "remote")[0])
		printf(" -> %s", word(s, "remote"));
	printf(": %s", word(s, "kind"));
	if (json_object_get(s, "state"))
		printf(" %s, %lld bytes sent, %lld received, credit %lld", word(s, "state"),
		       number(s, "sent"), number(s, "received"), number(s, "credit"));
	printf("; %s %s\n", word(s, "provider"), word(s, "server"));
}

static void print_lease(const json_t *lease)
{
	if (!lease)
		return;
	printf("lease of %s by %s", word(lease, "address"), word(lease, "server"));
	if (json_object_get(lease, "seconds"))
		printf(", %lld s left", number(lease, "seconds"));
	printf("\n");
}

static void print_show(const json_t *answer)
{
	const json_t *item;
	size_t i;

	print_lease(json_object_get(answer, "lease"));

	json_array_foreach (json_object_get(answer, "sockets"), i, item)
		print_socket(item);
}

/* An answer holds a part of them: asks for the rest behind its last. */
static json_t *whole_show(const struct settings *settings, int *status)
{
	json_t *all = NULL, *answer = NULL, *sockets = json_array(), *lease;
	long long after = 0;

	do {
		json_decref(answer);
		answer = ask_daemon(
			PROGRAM, settings->control,
			json_pack("{s:s, s:I}", "op", "show", "after", (json_int_t)after));
		*status = ask_check(PROGRAM, answer);
		if (*status != ASK_DONE)
			break;
		all = json_object_get(answer, "sockets");
		json_array_extend(sockets, all);
		after = number(json_array_get(all, json_array_size(all) - 1), "rsock");
	} while (json_is_true(json_object_get(answer, "more")) && json_array_size(all));
	lease = json_incref(json_object_get(answer, "lease"));
	json_decref(answer);
	return json_pack("{s:o, s:o*}", "sockets", sockets, "lease", lease);
}

/* ---- stats, status */

static void print_stats(const json_t *answer)
{
	const json_t *item, *lhp = json_object_get(answer, "lhp");
	const json_t *datagrams = json_object_get(answer, "datagrams");
	size_t i;

	json_array_foreach (json_object_get(answer, "reasons"), i, item)
		if (number(item, "packets"))
			printf("%-14s %12lld  %s\n", word(item, "reason"), number(item, "packets"),
			       word(item, "text"));
	printf("datagrams: %lld sent, %lld received, %lld errors, %lld dropped\n",
	       number(datagrams, "sent"), number(datagrams, "received"),
	       number(datagrams, "errors"), number(datagrams, "dropped"));
	if (json_is_object(lhp))
		printf("%s %s: %lld sent, %lld received, %lld repeated, %lld lost, %lld us round "
		       "trip\n",
		       word(lhp, "provider"), word(lhp, "server"), number(lhp, "sent"),
		       number(lhp, "received"), number(lhp, "repeated"), number(lhp, "lost"),
		       number(lhp, "rtt_us"));
}

static void print_status(const json_t *answer)
{
	const json_t *registered = json_object_get(answer, "registered"), *item;
	const json_t *ports = json_object_get(registered, "ports");
	const char *key;
	size_t i;

	if (!json_is_true(json_object_get(answer, "connected")))
		printf("%s: not connected\n", word(answer, "name"));
	else
		printf("%s: registered with %s %s\n", word(answer, "name"),
		       word(answer, "provider"), word(answer, "server"));
	json_array_foreach (json_object_get(registered, "addresses"), i, item)
		printf("  address %s/%lld\n", word(item, "address"), number(item, "prefix"));
	if (json_object_get(answer, "lease"))
		printf("  ");
	print_lease(json_object_get(answer, "lease"));
	if (json_array_size(ports) == 2)
		printf("  ports %lld to %lld\n",
		       (long long)json_integer_value(json_array_get(ports, 0)),
		       (long long)json_integer_value(json_array_get(ports, 1)));
	json_object_foreach ((json_t *)json_object_get(answer, "sockets"), key, item)
		printf("  %-8s %lld\n", key, (long long)json_integer_value(item));
}

static json_t *ask(const struct settings *settings, const char *op, int *status)
{
	json_t *answer;

	if (!strcmp(op, "show"))
		return whole_show(settings, status);
	answer = ask_daemon(PROGRAM, settings->control, json_pack("{s:s}", "op", op));
	*status = ask_check(PROGRAM, answer);
	return answer;
}

int resoa_ask(const struct settings *settings, int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*print)(const json_t *answer);
	} commands[] = {
		{ "show", print_show },
		{ "stats", print_stats },
		{ "status", print_status },
	};
	json_t *answer;
	int status;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (argc != 1 || strcmp(argv[0], commands[i].name))
			continue;
		answer = ask(settings, argv[0], &status);
		if (status == ASK_DONE && settings->json)
			ask_print(answer);
		else if (status == ASK_DONE)
			commands[i].print(answer);
		json_decref(answer);
		return status;
	}
	fprintf(stderr, PROGRAM ": one of daemon, run, shell, show, stats, status, help, version "
				"is needed; see --help\n");
	return ASK_USAGE;
}
