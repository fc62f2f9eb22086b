// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../maps/pin.h"
#include "address.h"
#include "options.h"

#define NUMBER_DIGITS 10

/* A message's place, so that each check is one line. */
struct error {
	char *text;
	size_t len;
};

#define REFUSE(error, ...) (snprintf((error)->text, (error)->len, __VA_ARGS__), -EINVAL)

int options_number(const char *text, uint32_t min, uint32_t max, uint32_t *number)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long long value;

	if (!digits || digits > NUMBER_DIGITS || text[digits])
		return -EINVAL;
	value = strtoull(text, NULL, 10);
	if (value < min || value > max)
		return -ERANGE;
	*number = value;
	return 0;
}

static int take_number(const struct option *option, const char *word, uint32_t *number,
		       struct error *error)
{
	if (options_number(word, option->min, option->max, number))
		return REFUSE(error, "--%s %s: a number from %u to %u is needed", option->name,
			      word, option->min, option->max);
	return 0;
}

static int take_choice(const struct option *option, const char *word, unsigned int *choice,
		       struct error *error)
{
	char all[128] = "";

	for (unsigned int i = 0; option->choices[i]; i++) {
		if (!strcmp(option->choices[i], word)) {
			*choice = i + 1;
			return 0;
		}
		strncat(all, i ? "|" : "", sizeof(all) - strlen(all) - 1);
		strncat(all, option->choices[i], sizeof(all) - strlen(all) - 1);
	}
	return REFUSE(error, "--%s %s: one of %s is needed", option->name, word, all);
}

static int take_ports(const char *word, struct option_ports *ports, struct error *error)
{
	const char *dash = strchr(word, '-');
	char first[NUMBER_DIGITS + 1] = "";
	uint32_t low, high;

	if (!dash || dash - word > NUMBER_DIGITS)
		return REFUSE(error, "--ports %s: LOW-HIGH is needed, as 1024-65535", word);
	memcpy(first, word, dash - word);
	if (options_number(first, 1, 65535, &low) || options_number(dash + 1, 1, 65535, &high))
		return REFUSE(error, "--ports %s: ports are numbers from 1 to 65535", word);
	if (low > high)
		return REFUSE(error, "--ports %s: the first port is above the last", word);
	*ports = (struct option_ports){ .low = low, .high = high };
	return 0;
}

static int take_device(const char *name, const char *word, struct option_devices *devices,
		       struct error *error)
{
	size_t len = strlen(word);

	if (!len || len >= IFNAMSIZ || strpbrk(word, "/: \t\n"))
		return REFUSE(error, "--%s %s: not the name of a network device", name, word);
	for (unsigned int i = 0; i < devices->count; i++)
		if (!strcmp(devices->item[i], word))
			return REFUSE(error, "--%s %s: given twice", name, word);
	if (devices->count == OPTION_LIST_MAX)
		return REFUSE(error, "--%s %s: at most %d devices", name, word, OPTION_LIST_MAX);
	memcpy(devices->item[devices->count++], word, len + 1);
	return 0;
}

static int take_address(const char *name, const char *word, struct option_addresses *addresses,
			struct error *error)
{
	struct isthmus_addr address;

	if (address_parse(word, &address))
		return REFUSE(error, "--%s %s: not a unicast IPv4 or IPv6 address", name, word);
	for (unsigned int i = 0; i < addresses->count; i++)
		if (!memcmp(&addresses->item[i], &address, sizeof(address)))
			return REFUSE(error, "--%s %s: given twice", name, word);
	if (addresses->count == OPTION_LIST_MAX)
		return REFUSE(error, "--%s %s: at most %d addresses", name, word, OPTION_LIST_MAX);
	addresses->item[addresses->count++] = address;
	return 0;
}

static int take_instance(const char *word, const char **instance, struct error *error)
{
	char path[512];

	if (!*word || pin_path(word, NULL, NULL, path, sizeof(path)))
		return REFUSE(error, "--instance %s: 1 to 32 of a-z A-Z 0-9 _ - are needed", word);
	*instance = word;
	return 0;
}

static int take(const struct option *option, const char *word, void *settings, struct error *error)
{
	void *field = (char *)settings + option->field;

	switch (option->type) {
	case OPTION_FLAG:
		*(bool *)field = true;
		return 0;
	case OPTION_NUMBER:
		return take_number(option, word, field, error);
	case OPTION_CHOICE:
		return take_choice(option, word, field, error);
	case OPTION_PORTS:
		return take_ports(word, field, error);
	case OPTION_DEVICES:
		return take_device(option->name, word, field, error);
	case OPTION_ADDRESSES:
		return take_address(option->name, word, field, error);
	case OPTION_INSTANCE:
		return take_instance(word, field, error);
	case OPTION_TEXT:
		*(const char **)field = word;
		return 0;
	}
	return -EINVAL;
}

static const struct option *option_find(const struct option *table, size_t count, unsigned int verb,
					const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if ((table[i].verbs & verb) && strlen(table[i].name) == len &&
		    !memcmp(table[i].name, name, len))
			return &table[i];
	return NULL;
}

/* `--name value`, `--name=value`, or `--name` of a flag; *at is left on the last word taken. */
static int parse_one(int argc, char **argv, int *at, const struct option *table, size_t count,
		     unsigned int verb, void *settings, struct error *error)
{
	const char *word = argv[*at];
	size_t len = strcspn(word, "=");
	const char *value = word[len] ? word + len + 1 : NULL;
	const struct option *option;

	option = option_find(table, count, verb, word + 2, len - 2);
	if (!option)
		return REFUSE(error, "%s: no such option here", word);
	if (option->type == OPTION_FLAG)
		return value ? REFUSE(error, "--%s: takes no value", option->name)
			     : take(option, NULL, settings, error);
	if (!value && *at + 1 < argc)
		value = argv[++*at];
	if (!value)
		return REFUSE(error, "--%s: %s is needed", option->name, option->argument);
	return take(option, value, settings, error);
}

static int take_word(const char *text, struct option_words *words, struct error *error)
{
	if (!words || !words->room)
		return REFUSE(error, "%s: an option is needed here, as --help", text);
	if (words->count == words->room && words->room == 1)
		return REFUSE(error, "%s: one word is enough, and %s is there", text,
			      words->item[0]);
	if (words->count == words->room)
		return REFUSE(error, "%s: %u words are enough", text, words->room);
	words->item[words->count++] = text;
	return 0;
}

/* Is this the first word of a command? `--` before it is not. */
static bool takes_command(char **argv, int at, struct option_words *words)
{
	bool dashes = !strcmp(argv[at], "--");

	if (!words || !words->is_command || (!dashes && !strncmp(argv[at], "--", 2)))
		return false;
	words->command = argv + at + dashes;
	words->item[0] = words->command[0];
	words->count = !!words->command[0];
	return true;
}

int options_parse(int argc, char **argv, const struct option *table, size_t count,
		  unsigned int verb, void *settings, struct option_words *words, char *error_text,
		  size_t error_len)
{
	struct error error = { .text = error_text, .len = error_len };

	for (int at = 0; at < argc; at++) {
		int err;

		if (takes_command(argv, at, words))
			return 0;
		err = strncmp(argv[at], "--", 2)
			      ? take_word(argv[at], words, &error)
			      : parse_one(argc, argv, &at, table, count, verb, settings, &error);
		if (err)
			return err;
	}
	return 0;
}

void options_help(const struct option *table, size_t count, unsigned int verb)
{
	for (size_t i = 0; i < count; i++) {
		char left[64];

		if (!(table[i].verbs & verb))
			continue;
		snprintf(left, sizeof(left), "--%s%s%s", table[i].name,
			 table[i].argument ? " " : "", table[i].argument ? table[i].argument : "");
		printf("  %-26s %s", left, table[i].help);
		if (table[i].preset)
			printf(" (%u)", table[i].preset);
		putchar('\n');
	}
}
