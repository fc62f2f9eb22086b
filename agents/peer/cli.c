// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/msg.h"
#include "announce.h"
#include "control.h"

#define ASK_MS 30000

enum exit_status { CLI_DONE, CLI_FAILED, CLI_USAGE };

/* ---- the daemon's socket */

struct asking {
	struct event_base *base;
	const struct cli *cli;
	json_t *request, *answer;
	bool opened;
};

static void asked(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct asking *asking = arg;

	asking->answer = json_incref(answer);
	msg_conn_close(conn, "answered");
}

static void ask_opened(struct msg_conn *conn, void *arg)
{
	struct asking *asking = arg;

	asking->opened = true;
	if (msg_request(conn, json_incref(asking->request), ASK_MS, asked, asking))
		msg_conn_close(conn, "not sent");
}

static void ask_message(struct msg_conn *conn, json_t *message, void *arg)
{
	(void)conn, (void)message, (void)arg;
}

static void ask_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct asking *asking = arg;

	(void)conn, (void)why;
	event_base_loopbreak(asking->base);
}

static const struct msg_handler ask_handler = { ask_opened, ask_message, ask_closed };

static json_t *ask_result(struct asking *asking, bool quiet)
{
	const char *text = "it did not answer";
	bool ok = false;

	if (!asking->opened) {
		if (!quiet)
			fprintf(stderr,
				"isthmus-peer: %s/" CONTROL_SOCKET
				": no daemon there: start isthmus-peer daemon, or say --dir DIR\n",
				asking->cli->path);
		return NULL;
	}
	if (asking->answer) {
		msg_get_bool(asking->answer, "ok", &ok);
		msg_get_string(asking->answer, "text", &text);
	}
	if (ok)
		return asking->answer;
	if (!quiet)
		fprintf(stderr, "isthmus-peer: %s%s%s: %s\n", asking->cli->name,
			asking->cli->argc ? " " : "", asking->cli->argc ? asking->cli->argv[0] : "",
			text);
	json_decref(asking->answer);
	return NULL;
}

json_t *cli_ask(const struct cli *cli, json_t *request, bool quiet)
{
	struct asking asking = { .cli = cli, .request = request };
	char path[STORE_FILE_LEN];
	json_t *answer;

	store_file(cli->path, CONTROL_SOCKET, path);
	asking.base = event_base_new();
	if (asking.base && msg_connect_unix(asking.base, path, &ask_handler, &asking))
		event_base_dispatch(asking.base);
	answer = ask_result(&asking, quiet);
	json_decref(request);
	if (asking.base)
		event_base_free(asking.base);
	return answer;
}

/* ---- commands */

static int usage(const char *text, const char *what)
{
	fprintf(stderr, "isthmus-peer: %s: '%s': see isthmus-peer help\n", text, what);
	return CLI_USAGE;
}

static int provide_run(struct cli *cli)
{
	json_t *allow = json_array(), *answer;
	json_t *request =
		json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:o}", "op", "provide", "service",
			  cli->argv[0], "target", cli->argv[1], "proto", cli->udp ? "udp" : "tcp",
			  "pure", cli->pure, "limit", (int)cli->limit, "allow", allow);
	bool published = false;

	for (unsigned int i = 0; i < cli->allow.count; i++)
		json_array_append_new(allow, json_string(cli->allow.item[i]));
	if (cli->text)
		json_object_set_new(request, "text", json_string(cli->text));
	answer = cli_ask(cli, request, false);
	if (!answer)
		return CLI_FAILED;
	msg_get_bool(answer, "published", &published);
	printf("%s is provided%s\n", cli->argv[0],
	       published ? "" : "; it is published when the broker is there");
	json_decref(answer);
	return CLI_DONE;
}

static int unprovide_run(struct cli *cli)
{
	json_t *answer = cli_ask(
		cli, json_pack("{s:s, s:s}", "op", "unprovide", "service", cli->argv[0]), false);

	json_decref(answer);
	return answer ? CLI_DONE : CLI_FAILED;
}

static void print_service(const json_t *service)
{
	const char *user = "", *name = "", *proto = "", *text = "";
	char reference[REFERENCE_LEN];
	bool online = false;

	msg_get_string(service, "user", &user);
	msg_get_string(service, "service", &name);
	msg_get_string(service, "proto", &proto);
	msg_get_string(service, "text", &text);
	msg_get_bool(service, "online", &online);
	snprintf(reference, sizeof(reference), "%.32s/%.32s", user, name);
	printf("%-32s %-4s %-8s %s\n", reference, proto, online ? "online" : "offline", text);
}

static int services_run(struct cli *cli)
{
	json_t *answer = cli_ask(
		cli,
		json_pack("{s:s, s:s}", "op", "services", "match", cli->argc ? cli->argv[0] : ""),
		false);
	const json_t *services = json_object_get(answer, "services"), *service;
	size_t i;

	if (!answer)
		return CLI_FAILED;
	if (cli->json) {
		json_dumpf(services, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		json_array_foreach (services, i, service)
			print_service(service);
	}
	json_decref(answer);
	return CLI_DONE;
}

/* "user/service" of the first word into a request; NULL after a message. */
static json_t *reference_request(const struct cli *cli, const char *op)
{
	char user[NAME_LEN], service[NAME_LEN];

	if (reference_split(cli->argv[0], user, service)) {
		usage("not USER/NAME", cli->argv[0]);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:s}", "op", op, "user", user, "service", service);
}

static int subscribe_run(struct cli *cli)
{
	json_t *request = reference_request(cli, "subscribe"), *answer;
	const char *proto = "";
	int64_t port = 0;
	char *end = "";
	long wanted = cli->argc > 1 ? strtol(cli->argv[1], &end, 10) : 0;

	if (!request)
		return CLI_USAGE;
	if (*end || wanted < 0 || wanted > 65535) {
		json_decref(request);
		return usage("not a port", cli->argv[1]);
	}
	json_object_set_new(request, "port", json_integer(wanted));
	if (cli->bind)
		json_object_set_new(request, "bind", json_string(cli->bind));
	if (cli->udp || cli->tcp)
		json_object_set_new(request, "proto", json_string(cli->udp ? "udp" : "tcp"));
	answer = cli_ask(cli, request, false);
	if (!answer)
		return CLI_FAILED;
	msg_get_integer(answer, "port", 0, 65535, &port);
	msg_get_string(answer, "proto", &proto);
	if (cli->json) {
		json_dumpf(answer, stdout, 0);
		putchar('\n');
	} else {
		printf("%s is at %s port %d (%s)\n", cli->argv[0],
		       cli->bind ? cli->bind : "localhost", (int)port, proto);
	}
	json_decref(answer);
	return CLI_DONE;
}

static int unsubscribe_run(struct cli *cli)
{
	json_t *request = reference_request(cli, "unsubscribe"), *answer;

	if (!request)
		return CLI_USAGE;
	answer = cli_ask(cli, request, false);
	json_decref(answer);
	return answer ? CLI_DONE : CLI_FAILED;
}

static const struct conf_option options[] = {
	{ "", "dir", CONF_STRING, offsetof(struct cli, dir), 0, 0, "DIR", "state directory" },
	{ "", "json", CONF_BOOL, offsetof(struct cli, json), 0, 0, NULL, "print JSON" },
	{ "", "udp", CONF_BOOL, offsetof(struct cli, udp), 0, 0, NULL, "the service is UDP" },
	{ "", "tcp", CONF_BOOL, offsetof(struct cli, tcp), 0, 0, NULL,
	  "the service is TCP (default: the broker is asked)" },
	{ "", "pure", CONF_BOOL, offsetof(struct cli, pure), 0, 0, NULL,
	  "try a pure splice: ports stay, too" },
	{ "", "text", CONF_STRING, offsetof(struct cli, text), 0, 0, "TEXT",
	  "what others read about it" },
	{ "", "limit", CONF_UINT, offsetof(struct cli, limit), 0, 1000000, "N", "clients at once" },
	{ "", "allow", CONF_LIST, offsetof(struct cli, allow), 0, 0, "USER,...",
	  "only these users (default: all)" },
	{ "", "bind", CONF_STRING, offsetof(struct cli, bind), 0, 0, "ADDRESS",
	  "local address (default: 127.0.0.1 and ::1)" },
	{ "", "token-file", CONF_STRING, offsetof(struct cli, token_file), 0, 0, "FILE",
	  "where the enrolment line is (default: -, standard input)" },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

static const struct command {
	const char *name, *words, *help;
	const char *options; /* " name name " */
	int least, most;     /* words */
	int (*run)(struct cli *cli);
} commands[] = {
	{ "login", "BROKER[:PORT]", "enrol with the line that isthmus-broker user add printed",
	  " dir token-file ", 1, 1, login_run },
	{ "provide", "NAME HOST:PORT", "publish a service of this host or its LAN",
	  " dir udp pure text limit allow ", 2, 2, provide_run },
	{ "unprovide", "NAME", "withdraw it", " dir ", 1, 1, unprovide_run },
	{ "services", "[MATCH]", "list what others and this user publish", " dir json ", 0, 1,
	  services_run },
	{ "subscribe", "USER/NAME [LOCALPORT]", "bring a service to a local port",
	  " dir json udp tcp bind ", 1, 2, subscribe_run },
	{ "unsubscribe", "USER/NAME", "close that port and its connections", " dir ", 1, 1,
	  unsubscribe_run },
	{ "status", "", "show broker, services, subscriptions and sessions", " dir json ", 0, 0,
	  status_run },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static bool takes(const struct command *command, const struct conf_option *option)
{
	char word[32];

	snprintf(word, sizeof(word), " %s ", option->name);
	return strstr(command->options, word);
}

static size_t table_for(const struct command *command, struct conf_option table[OPTIONS])
{
	size_t count = 0;

	for (size_t i = 0; i < OPTIONS; i++)
		if (takes(command, &options[i]))
			table[count++] = options[i];
	return count;
}

void cli_help(void)
{
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-11s %-22s %s\n", commands[i].name, commands[i].words, commands[i].help);
	printf("\nOptions of commands:\n");
	for (size_t i = 0; i < OPTIONS; i++) {
		char left[48];

		snprintf(left, sizeof(left), "--%s %s", options[i].name,
			 options[i].argument ? options[i].argument : "");
		printf("  %-20s %s (", left, options[i].help);
		for (size_t k = 0, n = 0; k < COMMANDS; k++)
			if (takes(&commands[k], &options[i]))
				printf("%s%s", n++ ? ", " : "", commands[k].name);
		printf(")\n");
	}
}

static int command_run(const struct command *command, struct cli *cli)
{
	int error;

	if (cli->argc < command->least || cli->argc > command->most) {
		fprintf(stderr, "isthmus-peer: usage: isthmus-peer %s %s: see isthmus-peer help\n",
			command->name, command->words);
		return CLI_USAGE;
	}
	if (cli->udp && (cli->tcp || cli->pure))
		return usage("--udp contradicts", cli->tcp ? "--tcp" : "--pure");
	error = store_find(cli->dir, cli->path);
	if (!error)
		return command->run(cli);
	fprintf(stderr, "isthmus-peer: state directory: %s: say --dir DIR\n", strerror(-error));
	return CLI_FAILED;
}

int cli_main(const char *name, int argc, char **argv)
{
	struct conf_option table[OPTIONS];
	const struct command *command = NULL;
	struct cli cli = { 0 };
	char error[256];
	size_t count;
	int index, status;

	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			command = &commands[i];
	if (!command)
		return usage("no such command", name);
	count = table_for(command, table);
	index = conf_arguments(argc, argv, table, count, &cli, error, sizeof(error));
	if (index < 0) {
		fprintf(stderr, "isthmus-peer: %s: %s\n", name, error);
		return CLI_USAGE;
	}
	cli.name = name;
	cli.argc = argc - index;
	cli.argv = argv + index;
	status = command_run(command, &cli);
	conf_free(table, count, &cli);
	return status;
}
