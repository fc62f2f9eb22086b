// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/conf.h"
#include "../lib/msg.h"
#include "agent.h"
#include "cli.h"

#define ABSENT	  UINT_MAX
#define ASK_MS	  10000
#define WORDS_MAX 32

enum { CLI_DONE, CLI_REFUSED, CLI_USAGE, CLI_NO_DAEMON };

struct words {
	char *control, *instance, *ports, *mac, *device, *echo, *echo_mac, *gateway, *gateway_mac;
	unsigned int offset, length, psid, seconds, prefix;
	bool is_open, json;
};

#define FIELD(name) offsetof(struct words, name)

static const struct conf_option table[] = {
	{ "ports", "offset", CONF_UINT, FIELD(offset), 0, 15, "BITS",
	  "PSID offset `a` of the address' sets (RFC 7597)" },
	{ "ports", "length", CONF_UINT, FIELD(length), 0, 16, "BITS",
	  "PSID length `k` of the address' sets" },
	{ "ports", "psid", CONF_UINT, FIELD(psid), 0, 65535, "NUMBER", "which set" },
	{ "ports", "ports", CONF_STRING, FIELD(ports), 0, 0, "LOW-HIGH",
	  "a range, or a single port, instead of a set" },
	{ "lease", "mac", CONF_STRING, FIELD(mac), 0, 0, "MAC", "whose ports" },
	{ "lease", "seconds", CONF_UINT, FIELD(seconds), 0, UINT_MAX - 1, "COUNT",
	  "how long; 0, if not given: for ever" },
	{ "address-add", "device", CONF_STRING, FIELD(device), 0, 0, "DEV",
	  "the LAN (upstream: the uplink), if portarp is attached to several" },
	{ "address-add", "open", CONF_BOOL, FIELD(is_open), 0, 0, NULL,
	  "sets are learned from claims; else only given ones are believed" },
	{ "address-add", "echo", CONF_STRING, FIELD(echo), 0, 0, "POLICY",
	  "echo requests without an owner: drop, local or owner" },
	{ "address-add", "echo-mac", CONF_STRING, FIELD(echo_mac), 0, 0, "MAC",
	  "who gets them, with --echo owner" },
	{ "use", "gateway", CONF_STRING, FIELD(gateway), 0, 0, "ADDRESS",
	  "default route, with the shared address as source" },
	{ "use", "prefix", CONF_UINT, FIELD(prefix), 0, 32, "BITS",
	  "the address' prefix that is on the link" },
	{ "upstream", "gateway-mac", CONF_STRING, FIELD(gateway_mac), 0, 0, "MAC",
	  "the gateway above, on the uplink" },
	{ "all", "control", CONF_STRING, FIELD(control), 0, 0, "PATH", "the daemon's socket" },
	{ "all", "instance", CONF_STRING, FIELD(instance), 0, 0, "NAME",
	  "instance given to `isthmus portarp attach`" },
	{ "all", "json", CONF_BOOL, FIELD(json), 0, 0, NULL, "print the answer as JSON" },
};

#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

static const struct {
	const char *name;
	int least, most; /* words beside options */
} commands[] = {
	{ "address-add", 1, 1 }, { "address-del", 1, 1 }, { "lease", 1, 1 }, { "release", 1, 1 },
	{ "forget", 1, 1 },	 { "usage", 0, 1 },	  { "use", 1, 1 },   { "unuse", 1, 1 },
	{ "upstream", 1, 1 },	 { "status", 0, 0 },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static int command_of(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(commands[i].name, name))
			return i;
	return -1;
}

bool cli_knows(const char *command)
{
	return command_of(command) >= 0;
}

void cli_help(void)
{
	conf_help(table, TABLE_COUNT);
}

/* ---- words to a request */

static void put_number(json_t *request, const char *key, unsigned int value)
{
	if (value != ABSENT)
		json_object_set_new(request, key, json_integer(value));
}

static void put_text(json_t *request, const char *key, const char *value)
{
	if (value)
		json_object_set_new(request, key, json_string(value));
}

/* "80" or "5000-5099" */
static int put_range(json_t *request, const char *text)
{
	unsigned int low, high;
	int end = 0;

	if (sscanf(text, "%5u-%5u%n", &low, &high, &end) != 2 || text[end]) {
		end = 0;
		if (sscanf(text, "%5u%n", &low, &end) != 1 || text[end])
			return -EINVAL;
		high = low;
	}
	if (low > high || high > 65535)
		return -EINVAL;
	put_number(request, "low", low);
	put_number(request, "high", high);
	return 0;
}

static json_t *build(const char *command, const char *address, const struct words *words,
		     char *error, size_t error_len)
{
	json_t *request = json_pack("{s:s}", "op", command);

	put_text(request, "address", address);
	put_number(request, "a", words->offset);
	put_number(request, "k", words->length);
	put_number(request, "psid", words->psid);
	put_number(request, "seconds", words->seconds);
	put_number(request, "prefix", words->prefix);
	put_text(request, "mac", words->mac);
	put_text(request, "device", words->device);
	put_text(request, "echo", words->echo);
	put_text(request, "echo_mac", words->echo_mac);
	put_text(request, "gateway", words->gateway);
	put_text(request, "gateway_mac", words->gateway_mac);
	if (words->is_open)
		json_object_set_new(request, "open", json_true());
	if (!words->ports || !put_range(request, words->ports))
		return request;
	snprintf(error, error_len, "ports: '%.32s' is neither PORT nor LOW-HIGH", words->ports);
	json_decref(request);
	return NULL;
}

static json_t *read_words(int argc, char **argv, struct words *words, char *error, size_t error_len)
{
	int command = command_of(argv[0]), first;

	*words = (struct words){ .offset = ABSENT,
				 .length = ABSENT,
				 .psid = ABSENT,
				 .seconds = ABSENT,
				 .prefix = ABSENT };
	if (command < 0) {
		snprintf(error, error_len, "'%.32s' is no command; see --help", argv[0]);
		return NULL;
	}
	first = conf_arguments(argc, argv, table, TABLE_COUNT, words, error, error_len);
	if (first < 0)
		return NULL;
	if (argc - first < commands[command].least || argc - first > commands[command].most) {
		snprintf(error, error_len, "%s takes %s; see --help", argv[0],
			 commands[command].most ? "one ADDRESS" : "options only");
		return NULL;
	}
	return build(argv[0], first < argc ? argv[first] : NULL, words, error, error_len);
}

json_t *cli_request_of_line(char *line, char *error, size_t error_len)
{
	char *argv[WORDS_MAX + 1], *word, *rest = line;
	struct words words = { 0 };
	json_t *request;
	int argc = 0;

	line[strcspn(line, "#\n")] = 0;
	while (argc < WORDS_MAX && (word = strtok_r(rest, " \t\r", &rest)))
		argv[argc++] = word;
	argv[argc] = NULL;
	error[0] = 0;
	if (!argc)
		return NULL;
	request = read_words(argc, argv, &words, error, error_len);
	conf_free(table, TABLE_COUNT, &words);
	return request;
}

/* ---- the daemon's socket */

struct asking {
	struct event_base *base;
	json_t *request, *answer;
	bool opened, closed;
};

static void on_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct asking *asking = arg;

	(void)conn;
	if (answer)
		asking->answer = json_incref(answer);
	event_base_loopbreak(asking->base);
}

static void on_opened(struct msg_conn *conn, void *arg)
{
	struct asking *asking = arg;

	asking->opened = true;
	if (msg_request(conn, json_incref(asking->request), ASK_MS, on_answer, asking))
		event_base_loopbreak(asking->base);
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	(void)conn;
	(void)message;
	(void)arg;
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct asking *asking = arg;

	(void)conn;
	(void)why;
	asking->closed = true;
	event_base_loopbreak(asking->base);
}

static json_t *ask(const char *path, json_t *request)
{
	static const struct msg_handler handler = { on_opened, on_message, on_closed };
	struct asking asking = { .base = event_base_new(), .request = request };
	struct msg_conn *conn = NULL;

	if (asking.base)
		conn = msg_connect_unix(asking.base, path, &handler, &asking);
	if (conn)
		event_base_dispatch(asking.base);
	if (conn && !asking.closed)
		msg_conn_free(conn);
	if (asking.base)
		event_base_free(asking.base);
	return asking.answer;
}

static void print_answer(const char *command, json_t *answer, bool json)
{
	json_object_del(answer, "re");
	json_object_del(answer, "ok");
	if (json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		printf("\n");
	} else if (!strcmp(command, "usage")) {
		cli_print_usage(answer);
	} else if (!strcmp(command, "status")) {
		cli_print_status(answer);
	}
}

/* `usage` comes in parts, each an answer of its own. */
static void gather_rest(const char *path, json_t *request, json_t *answer)
{
	json_t *sets = json_object_get(answer, "sets");

	while (sets && json_integer_value(json_object_get(answer, "more")) > 0) {
		json_t *part;

		json_object_set_new(request, "skip", json_integer(json_array_size(sets)));
		part = ask(path, request);
		if (!part || json_array_extend(sets, json_object_get(part, "sets")) ||
		    !json_array_size(json_object_get(part, "sets"))) {
			json_decref(part);
			return;
		}
		json_object_set(answer, "more", json_object_get(part, "more"));
		json_decref(part);
	}
}

static int tell(const char *command, const char *path, json_t *request, bool json)
{
	json_t *answer = ask(path, request);
	const char *text = "refused";
	bool ok = false;

	if (!answer) {
		fprintf(stderr,
			"isthmus-portarp: no answer on %s: is `isthmus-portarp run` running, and "
			"may "
			"you open its socket?\n",
			path);
		return CLI_NO_DAEMON;
	}
	msg_get_bool(answer, "ok", &ok);
	msg_get_string(answer, "text", &text);
	if (ok) {
		gather_rest(path, request, answer);
		print_answer(command, answer, json);
	} else {
		fprintf(stderr, "isthmus-portarp: %s: %s\n", command, text);
	}
	json_decref(answer);
	return ok ? CLI_DONE : CLI_REFUSED;
}

int cli_main(int argc, char **argv)
{
	struct settings settings = { 0 };
	char error[300] = "", path[256];
	struct words words = { 0 };
	json_t *request = read_words(argc, argv, &words, error, sizeof(error));
	int status = CLI_USAGE;

	if (request) {
		settings.control = words.control;
		settings.instance = words.instance;
		settings_control_path(&settings, path, sizeof(path));
		status = tell(argv[0], path, request, words.json);
		json_decref(request);
	} else {
		fprintf(stderr, "isthmus-portarp: %s\n", error);
	}
	conf_free(table, TABLE_COUNT, &words);
	return status;
}
