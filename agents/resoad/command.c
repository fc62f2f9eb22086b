// SPDX-License-Identifier: GPL-3.0-or-later
/* The commands: one writes the file of clients, the others ask the daemon. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../lib/ask.h"
#include "resoad.h"

#define PROGRAM "isthmus-resoad"

static const char *word(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static long long number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static long long item(const json_t *object, const char *key, size_t i)
{
	return json_integer_value(json_array_get(json_object_get(object, key), i));
}

/* ---- answers */

static void print_socket(const json_t *s)
{
	printf("%s %llx %s %s %s%s%s", word(s, "client"), number(s, "id"), word(s, "proto"),
	       word(s, "state"), word(s, "local"), word(s, "remote")[0] ? " -> " : "",
	       word(s, "remote"));
	printf(", by %s", word(s, "path"));
	if (json_object_get(s, "gate"))
		printf(", gate %s, in %lld, read %lld, credit %lld, out %lld", word(s, "gate"),
		       number(s, "in"), number(s, "taken"), number(s, "credit"), number(s, "out"));
	printf("\n");
}

static void print_show(const json_t *answer)
{
	const json_t *socket;
	size_t i;

	json_array_foreach (json_object_get(answer, "sockets"), i, socket)
		print_socket(socket);
	if (number(answer, "sockets_count") > (long long)i)
		printf("%lld sockets in all\n", number(answer, "sockets_count"));
}

static void print_lease(const json_t *lease)
{
	if (!json_object_get(lease, "address"))
		printf("no address yet, %s", word(lease, "state"));
	else if (!number(lease, "seconds"))
		printf("%s of %s, for ever", word(lease, "address"), word(lease, "server"));
	else
		printf("%s of %s, %lld s left, %s", word(lease, "address"), word(lease, "server"),
		       number(lease, "seconds"), word(lease, "state"));
}

static void print_clients(const json_t *answer)
{
	const json_t *c;
	size_t i;

	json_array_foreach (json_object_get(answer, "clients"), i, c) {
		printf("%s: %s, ports %lld-%lld, ", word(c, "name"), word(c, "mode"),
		       item(c, "ports", 0), item(c, "ports", 1));
		if (json_object_get(c, "lease")) {
			print_lease(json_object_get(c, "lease"));
			printf(", ");
		}
		if (json_is_true(json_object_get(c, "registered")))
			printf("by %s from %s, %lld of %lld sockets, %lld bytes in, %lld out%s\n",
			       word(c, "path"), word(c, "from"), number(c, "sockets"),
			       number(c, "limit"), number(c, "bytes_in"), number(c, "bytes_out"),
			       json_is_true(json_object_get(c, "used_up")) ? ", used up" : "");
		else
			printf("not registered\n");
	}
}

static void print_stats(const json_t *answer)
{
	const json_t *count;
	const char *reason;

	json_object_foreach (json_object_get(answer, "reasons"), reason, count)
		printf("%-13s %lld packets, %lld bytes\n", reason, number(count, "packets"),
		       number(count, "bytes"));
}

static void print_status(const json_t *status)
{
	const json_t *place, *lease;
	size_t i;

	json_array_foreach (json_object_get(status, "listen"), i, place)
		printf("listening at %s\n", json_string_value(place));
	printf("%lld clients registered, %lld sockets; ports %lld-%lld are leased\n",
	       number(status, "registered"), number(status, "sockets"),
	       item(status, "port_range", 0), item(status, "port_range", 1));
	json_array_foreach (json_object_get(status, "leases"), i, lease) {
		printf("%s leases ", word(lease, "client"));
		print_lease(lease);
		printf("\n");
	}
}

static int ask(const struct settings *settings, const char *op, void (*print)(const json_t *answer))
{
	json_t *answer = ask_daemon(PROGRAM, settings->control, json_pack("{s:s}", "op", op));
	int status = ask_check(PROGRAM, answer);

	if (status == ASK_DONE && settings->json)
		ask_print(answer);
	else if (status == ASK_DONE)
		print(answer);
	json_decref(answer);
	return status;
}

/* ---- client add */

static void print_nothing(const json_t *answer)
{
	(void)answer;
}

static int client_add(const struct settings *settings, const char *name)
{
	struct lhp_identity identity = { 0 };
	int err;

	if (strlen(name) > LHP_NAME_MAX)
		err = -EINVAL;
	else
		err = registry_add(settings->clients,
				   strcpy(identity.name, name) ? &identity : NULL);
	if (err) {
		fprintf(stderr, PROGRAM ": %s: %s\n",
			err == -EINVAL || err == -EEXIST ? name : settings->clients,
			err == -EINVAL	 ? "not a name, of letters, digits, _ and -, at most 32"
			: err == -EEXIST ? "is a client already"
			: err == -EPERM	 ? "others may read it; chmod 600"
					 : strerror(-err));
		return ASK_FAILED;
	}
	printf("%s:", name);
	for (int i = 0; i < LHP_KEY_BYTES; i++)
		printf("%02x", identity.key[i]);
	printf("\n");
	explicit_bzero(&identity, sizeof(identity));
	return access(settings->control, F_OK) ? ASK_DONE : ask(settings, "reload", print_nothing);
}

int command_run(const struct settings *settings, int argc, char **argv)
{
	static const struct {
		const char *name, *op;
		void (*print)(const json_t *answer);
	} questions[] = { { "show", "show", print_show },
			  { "stats", "stats", print_stats },
			  { "status", "status", print_status } };

	if (argc == 3 && !strcmp(argv[0], "client") && !strcmp(argv[1], "add"))
		return client_add(settings, argv[2]);
	if (argc == 2 && !strcmp(argv[0], "client") && !strcmp(argv[1], "list"))
		return ask(settings, "clients", print_clients);
	for (size_t i = 0; argc == 1 && i < sizeof(questions) / sizeof(questions[0]); i++)
		if (!strcmp(argv[0], questions[i].name))
			return ask(settings, questions[i].op, questions[i].print);
	fprintf(stderr, PROGRAM ": one of run, client add NAME, client list, show, stats, status, "
				"help, version is needed; see --help\n");
	return ASK_USAGE;
}
