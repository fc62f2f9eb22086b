// SPDX-License-Identifier: GPL-3.0-or-later
/* isthmus-dhcp: server and client of shared addresses (RFC 7618). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "serve.h"

enum { EXIT_DONE, EXIT_FAILED, EXIT_USAGE };

/* What a running daemon is asked; the options of all these commands. */
struct question {
	char *control, *client;
	bool json;
};

static const struct conf_option question_table[] = {
	{ "", "client", CONF_STRING, offsetof(struct question, client), 0, 0, "DEVICE",
	  "ask the client of this device; else the server is asked" },
	{ "", "control", CONF_STRING, offsetof(struct question, control), 0, 0, "PATH",
	  "ask on this socket" },
	{ "", "json", CONF_BOOL, offsetof(struct question, json), 0, 0, NULL,
	  "print JSON, all of it" },
};

#define QUESTION_COUNT (sizeof(question_table) / sizeof(question_table[0]))

static int print_help(void)
{
	printf("usage: " PROGRAM " server --device DEVICE --pools FILE [options]\n"
	       "       " PROGRAM " client --device DEVICE [options]\n"
	       "       " PROGRAM " status | renew | release [options]\n"
	       "       " PROGRAM " help | version\n"
	       "\n"
	       "DHCP for addresses that many hosts share (RFC 7618, option 159).\n"
	       "\n"
	       "commands:\n"
	       "  server   gives addresses and port sets\n"
	       "  client   gets them for a device of this host\n"
	       "  status   of the server, or of a client\n"
	       "  renew    a client renews its leases now\n"
	       "  release  a client gives its leases back and ends\n"
	       "\n" PROGRAM " COMMAND --help shows the command's options.\n");
	return EXIT_DONE;
}

static int print_options(const char *command, const struct conf_option *table, size_t count)
{
	printf("usage: " PROGRAM " %s [options]\n\n", command);
	if (table == question_table) {
		for (size_t i = 0; i < count; i++)
			printf("  --%s%s%s  %s\n", table[i].name, table[i].argument ? " " : "",
			       table[i].argument ? table[i].argument : "", table[i].help);
	} else {
		conf_help(table, count);
	}
	return EXIT_DONE;
}

static int fail(int status, const char *why)
{
	fprintf(stderr, PROGRAM ": %s\n", why);
	return status;
}

static int ask(int argc, char **argv)
{
	struct question question = { 0 };
	char error[512], path[256];
	int status, rest;

	rest = conf_arguments(argc, argv, question_table, QUESTION_COUNT, &question, error,
			      sizeof(error));
	if (rest >= 0 && rest < argc)
		snprintf(error, sizeof(error), "'%s' is not an option; see --help", argv[rest]);
	if (rest < argc) {
		status = fail(EXIT_USAGE, error);
	} else {
		control_path(question.control, question.client ? "client" : "server",
			     question.client, path, sizeof(path));
		status = control_ask(path, argv[0], question.json);
	}
	conf_free(question_table, QUESTION_COUNT, &question);
	return status;
}

static bool has_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--help"))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	bool help = has_help(argc, argv);

	if (!strcmp(command, "server"))
		return help ? print_options(command, server_table, server_count)
			    : serve_run(argc - 1, argv + 1);
	if (!strcmp(command, "client"))
		return help ? print_options(command, client_table, client_count)
			    : host_run(argc - 1, argv + 1);
	if (!strcmp(command, "status") || !strcmp(command, "renew") || !strcmp(command, "release"))
		return help ? print_options(command, question_table, QUESTION_COUNT)
			    : ask(argc - 1, argv + 1);
	if (!strcmp(command, "version") || !strcmp(command, "--version")) {
		printf(PROGRAM " " ISTHMUS_VERSION "\n");
		return EXIT_DONE;
	}
	if (!strcmp(command, "help") || help)
		return print_help();
	return fail(EXIT_USAGE,
		    "one of server, client, status, renew, release, help, version is needed; see "
		    "--help");
}
