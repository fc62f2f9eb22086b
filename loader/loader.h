/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What all parts of the loader share: exit codes, messages, the tables of nouns and verbs. */
#ifndef ISTHMUS_LOADER_H
#define ISTHMUS_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "../maps/common.h"
#include "options.h"
#include "output.h"

enum exit_code { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_NOT_LOADED };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define CLOSE_FD __attribute__((cleanup(close_fd)))

/* One line on standard error. complain() returns `code`, for `return complain(...)`. */
int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
void notice(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What -errno of an access to pinned state means to an operator. */
int complain_pins(int err, const char *instance, const char *stem);

/* The head of every datapath's settings. */
struct common_settings {
	const char *instance;
	struct option_words words; /* of a verb that takes any */
	bool json;
};

struct verb {
	const char *name;
	const char *help;
	unsigned int bit; /* this verb's bit in option.verbs */
	bool reads;	  /* prints a document */
	int (*run)(const void *settings, const struct output *output);
	const char *word; /* what is to be named after the verb, NULL: nothing */
};

/* A verb that the datapath's agent has: it gets the words as they are. */
struct agent_verb {
	const char *name;
	const char *help;
};

/* A datapath: the noun of `isthmus <noun> <verb>`. */
struct noun {
	const char *name;
	const char *help;
	const struct verb *verbs;
	size_t verb_count;
	const struct option *options;
	size_t option_count;
	void *settings; /* its head is struct common_settings */
	/* How many words a verb that takes any may be given (0: one), and whose are a command. */
	unsigned int words, command_verbs;
	const char *agent;
	const struct agent_verb *agent_verbs;
	size_t agent_verb_count;
	/* Writes one record of `isthmus status`; -errno if the pins cannot be read. */
	int (*status)(const char *instance, const struct output *output);
};

extern const struct noun splice_noun, portarp_noun, waypoint_noun, gateway_noun, onetime_noun,
	resoa_noun;

/* Becomes the agent's program, beside this one or in PATH: an exit code, with a message. */
int agent_become(const char *agent, char **words);

/* NULL if there is no such datapath. */
const struct noun *noun_find(const char *name);

#endif
