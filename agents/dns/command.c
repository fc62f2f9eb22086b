// SPDX-License-Identifier: GPL-3.0-or-later
/* Commands that ask the running server by its control socket. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../lib/address.h"
#include "../lib/ask.h"
#include "dns.h"

#define PROGRAM "isthmus-dns"

/* ---- messages of the command line */

static void set_text(json_t *message, const char *key, const char *text)
{
	if (text)
		json_object_set_new(message, key, json_string(text));
}

static const char *type_of(const struct settings *settings)
{
	struct isthmus_addr address;

	if (settings->type || !settings->address || address_parse(settings->address, &address))
		return settings->type;
	return address_is_v4(&address) ? "A" : "AAAA";
}

/* What chooses records: the name and the options that were given. */
static json_t *match_message(const char *op, const char *name, const struct settings *settings)
{
	json_t *message = json_pack("{s:s}", "op", op);

	set_text(message, "name", name);
	set_text(message, "type", type_of(settings));
	set_text(message, "target", settings->target);
	set_text(message, "address", settings->address);
	set_text(message, "owner", settings->owner);
	if (settings->port)
		json_object_set_new(message, "port", json_integer(settings->port));
	return message;
}

static json_t *publish_message(const char *name, const struct settings *settings)
{
	json_t *message = match_message("publish", name, settings);
	const char *type = type_of(settings);

	if (!type || !strcmp(type, "SRV")) {
		json_object_set_new(message, "port", json_integer(settings->port));
		json_object_set_new(message, "priority", json_integer(settings->priority));
		json_object_set_new(message, "weight", json_integer(settings->weight));
	}
	json_object_set_new(message, "ttl", json_integer(settings->ttl));
	json_object_set_new(message, "seconds", json_integer(settings->seconds));
	return message;
}

static int change(const char *path, json_t *message)
{
	json_t *answer = ask_daemon(PROGRAM, path, message);
	int status = ask_check(PROGRAM, answer);

	json_decref(answer);
	return status;
}

/* ---- list and status */

static long long number(const json_t *record, const char *key)
{
	return json_integer_value(json_object_get(record, key));
}

static const char *word(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));

	return text ? text : "";
}

static void print_record(const json_t *record)
{
	if (!strcmp(word(record, "type"), "SRV"))
		printf("%s %lld SRV %lld %lld %lld %s", word(record, "name"), number(record, "ttl"),
		       number(record, "priority"), number(record, "weight"), number(record, "port"),
		       word(record, "target"));
	else
		printf("%s %lld %s %s", word(record, "name"), number(record, "ttl"),
		       word(record, "type"), word(record, "address"));
	if (word(record, "owner")[0])
		printf(" owner %s", word(record, "owner"));
	if (json_object_get(record, "seconds"))
		printf(" for %lld s", number(record, "seconds"));
	printf("\n");
}

/* Page after page. */
static int list(const char *name, const struct settings *settings)
{
	json_t *all = json_pack("{s:[]}", "records"), *records = json_object_get(all, "records");
	json_t *answer, *after = NULL;
	int status;

	do {
		json_t *message = match_message("list", name, settings);

		if (after)
			json_object_set_new(message, "after", after);
		answer = ask_daemon(PROGRAM, settings->control, message);
		status = ask_check(PROGRAM, answer);
		after = json_incref(json_object_get(answer, "after"));
		json_array_extend(records, json_object_get(answer, "records"));
		json_decref(answer);
	} while (!status && after);
	if (!status && settings->json)
		ask_print(all);
	for (size_t i = 0; !status && !settings->json && i < json_array_size(records); i++)
		print_record(json_array_get(records, i));
	json_decref(all);
	return status;
}

/* Lines as in a zone file: who reads them as one has the keys. */
static void print_keys(const json_t *keys)
{
	const json_t *key;
	char created[32] = "";
	size_t i;

	json_array_foreach (keys, i, key) {
		time_t time = number(key, "created");
		struct tm tm;

		if (gmtime_r(&time, &tm))
			strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
		printf("; key %lld, created %s%s\n%s\n%s\n", number(key, "tag"), created,
		       json_is_true(json_object_get(key, "signs")) ? ", signs" : "",
		       word(key, "ds"), word(key, "dnskey"));
	}
}

static int key_command(int argc, char **argv, const struct settings *settings)
{
	char op[16], *end = NULL;
	json_t *answer, *message;
	int status;

	snprintf(op, sizeof(op), "key-%s", argv[0]);
	message = json_pack("{s:s, s:s}", "op", op, "zone", argv[1]);
	if (argc == 3)
		json_object_set_new(message, "tag", json_integer(strtol(argv[2], &end, 10)));
	if (end && (*end || end == argv[2])) {
		json_decref(message);
		fprintf(stderr, PROGRAM ": a key's tag is a number; see key show %s\n", argv[1]);
		return ASK_USAGE;
	}
	answer = ask_daemon(PROGRAM, settings->control, message);
	status = ask_check(PROGRAM, answer);
	if (!status && settings->json)
		ask_print(answer);
	else if (!status)
		print_keys(json_object_get(answer, "keys"));
	json_decref(answer);
	return status;
}

static bool is_key_command(int argc, char **argv)
{
	if (argc < 2)
		return false;
	return (argc == 2 && (!strcmp(argv[0], "add") || !strcmp(argv[0], "show"))) ||
	       (argc <= 3 && !strcmp(argv[0], "del"));
}

static int show_status(const struct settings *settings)
{
	json_t *answer = ask_daemon(PROGRAM, settings->control, json_pack("{s:s}", "op", "status"));
	int status = ask_check(PROGRAM, answer);

	if (!status && settings->json)
		ask_print(answer);
	else if (!status)
		stats_text(answer);
	json_decref(answer);
	return status;
}

static int check_zones(const struct settings *settings)
{
	char error[ERROR_LEN];
	struct zones zones;

	if (dns_read_zones(settings, &zones, error)) {
		fprintf(stderr, PROGRAM ": %s\n", error);
		return ASK_FAILED;
	}
	for (unsigned int i = 0; i < zones.count; i++)
		printf("%s: %u records\n", settings->zone.item[i], zones.item[i]->records);
	zones_free(&zones);
	return ASK_DONE;
}

/* Page after page; returns the last id, or 0 at the end. */
static long long print_members(const json_t *answer, const char *kind)
{
	const json_t *member;
	long long last = 0;
	size_t i;

	json_array_foreach (json_object_get(answer, "members"), i, member) {
		last = number(member, "id");
		if (!strcmp(word(member, "kind"), kind))
			printf("%s%s\n", word(member, "name"),
			       json_is_true(json_object_get(member, "enrolled"))
				       ? ""
				       : " (not joined yet)");
	}
	return json_is_true(json_object_get(answer, "more")) ? last : 0;
}

static int list_members(const char *kind, const struct settings *settings)
{
	long long after = 0;
	json_t *answer;
	int status;

	do {
		answer = ask_daemon(
			PROGRAM, settings->control,
			json_pack("{s:s, s:I}", "op", "member-list", "after", (json_int_t)after));
		status = ask_check(PROGRAM, answer);
		after = status ? 0 : print_members(answer, kind);
		json_decref(answer);
	} while (after);
	return status;
}

/* `gateway`, `waypoint` and `onetime`: who may log in. */
static int members(const char *kind, int argc, char **argv, const struct settings *settings)
{
	const char *verb = argc ? argv[0] : "";
	json_t *answer;
	int status;

	if (!strcmp(verb, "list") && argc == 1)
		return list_members(kind, settings);
	if ((strcmp(verb, "add") && strcmp(verb, "del")) || argc != 2) {
		fprintf(stderr, PROGRAM ": expected %s add NAME, del NAME or list\n", kind);
		return ASK_USAGE;
	}
	answer = ask_daemon(PROGRAM, settings->control,
			    json_pack("{s:s+, s:s, s:s}", "op", "member-", verb, "kind", kind,
				      "name", argv[1]));
	status = ask_check(PROGRAM, answer);
	if (!status && json_object_get(answer, "line"))
		printf("%s\n", word(answer, "line"));
	json_decref(answer);
	return status;
}

int command_run(const char *command, int argc, char **argv, const struct settings *settings)
{
	const char *name = argc ? argv[0] : NULL;

	if (!strcmp(command, "publish") && argc == 1)
		return change(settings->control, publish_message(name, settings));
	if (!strcmp(command, "withdraw") && argc <= 1 && (name || settings->owner))
		return change(settings->control, match_message("withdraw", name, settings));
	if (!strcmp(command, "list") && argc <= 1)
		return list(name, settings);
	if (!strcmp(command, "key") && is_key_command(argc, argv))
		return key_command(argc, argv, settings);
	if (!strcmp(command, "status") && !argc)
		return show_status(settings);
	if (!strcmp(command, "check") && !argc)
		return check_zones(settings);
	if (!strcmp(command, "gateway") || !strcmp(command, "waypoint") ||
	    !strcmp(command, "onetime"))
		return members(command, argc, argv, settings);
	fprintf(stderr,
		PROGRAM ": expected publish NAME, withdraw NAME, list [NAME], key add, "
			"gateway, waypoint or onetime add NAME, status or check; see --help\n");
	return ASK_USAGE;
}
