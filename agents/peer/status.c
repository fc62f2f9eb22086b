// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "../lib/msg.h"
#include "cli.h"

/* All pages of one list; NULL after a message. */
static json_t *read_items(const struct cli *cli, const char *what)
{
	json_t *all = json_array();
	bool more = true;

	while (more) {
		json_t *answer = cli_ask(cli,
					 json_pack("{s:s, s:s, s:i}", "op", "items", "what", what,
						   "offset", (int)json_array_size(all)),
					 false);

		if (!answer) {
			json_decref(all);
			return NULL;
		}
		more = false;
		msg_get_bool(answer, "more", &more);
		json_array_extend(all, json_object_get(answer, "items"));
		json_decref(answer);
	}
	return all;
}

static const char *word(const json_t *item, const char *key)
{
	const char *text = "";

	msg_get_string(item, key, &text);
	return text;
}

static long long number(const json_t *item, const char *key)
{
	int64_t value = 0;

	msg_get_integer(item, key, 0, INT64_MAX, &value);
	return value;
}

static void print_broker(const json_t *broker)
{
	if (!*word(broker, "host")) {
		printf("broker   %s\n", word(broker, "error"));
		return;
	}
	printf(strchr(word(broker, "host"), ':') ? "broker   [%s]:%s as %s: %s"
						 : "broker   %s:%s as %s: %s",
	       word(broker, "host"), word(broker, "port"), word(broker, "user"),
	       word(broker, "state"));
	if (*word(broker, "error"))
		printf(" (%s)", word(broker, "error"));
	else if (number(broker, "connected_s"))
		printf(" for %lld s", number(broker, "connected_s"));
	printf("\n");
}

static void print_service(const json_t *item)
{
	printf("provides %s at %s %s, %lld clients", word(item, "service"), word(item, "target"),
	       word(item, "proto"), number(item, "clients"));
	if (number(item, "limit"))
		printf(" of %lld", number(item, "limit"));
	if (json_is_true(json_object_get(item, "pure")))
		printf(", pure");
	if (number(item, "allow"))
		printf(", %lld users", number(item, "allow"));
	printf("%s%s\n", *word(item, "error") ? ": " : "", word(item, "error"));
}

static void print_subscription(const json_t *item)
{
	const char *bind = word(item, "bind");

	printf("uses     %s/%s at %s port %lld %s, %lld clients, %lld ready", word(item, "user"),
	       word(item, "service"), *bind ? bind : "localhost", number(item, "port"),
	       word(item, "proto"), number(item, "clients"), number(item, "ready"));
	printf("%s%s\n", *word(item, "error") ? ": " : "", word(item, "error"));
}

static void print_session(const json_t *item)
{
	bool provider = !strcmp(word(item, "role"), "provider");

	printf("session  %s %s %s %s %s %s", word(item, "session"), word(item, "service"),
	       provider ? "for" : "of", word(item, "user"), word(item, "proto"),
	       word(item, "state"));
	if (*word(item, "translator"))
		printf(" via %s %s", word(item, "translator"), word(item, "mode"));
	printf(", in %lld out %lld bytes, %lld s\n", number(item, "bytes_in"),
	       number(item, "bytes_out"), number(item, "age_s"));
}

static void print_text(const json_t *status)
{
	const json_t *item;
	size_t i;

	print_broker(json_object_get(status, "broker"));
	json_array_foreach (json_object_get(status, "services"), i, item)
		print_service(item);
	json_array_foreach (json_object_get(status, "subscriptions"), i, item)
		print_subscription(item);
	json_array_foreach (json_object_get(status, "sessions"), i, item)
		print_session(item);
}

int status_run(struct cli *cli)
{
	static const char *const lists[] = { "services", "subscriptions", "sessions" };
	json_t *status = cli_ask(cli, json_pack("{s:s}", "op", "status"), false);

	if (!status)
		return 1;
	json_object_del(status, "re");
	json_object_del(status, "ok");
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		json_t *items = read_items(cli, lists[i]);

		if (!items) {
			json_decref(status);
			return 1;
		}
		json_object_set_new(status, lists[i], items);
	}
	if (cli->json) {
		json_dumpf(status, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_text(status);
	}
	json_decref(status);
	return 0;
}
