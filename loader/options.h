/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Options of a verb: one table is what is parsed, what --help prints and what is completed. */
#ifndef ISTHMUS_LOADER_OPTIONS_H
#define ISTHMUS_LOADER_OPTIONS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../maps/common.h"

#define OPTION_LIST_MAX 64
#define OPTION_WORDS	3

struct option_devices {
	char item[OPTION_LIST_MAX][IFNAMSIZ];
	unsigned int count;
};

struct option_addresses {
	struct isthmus_addr item[OPTION_LIST_MAX];
	unsigned int count;
};

struct option_ports {
	uint16_t low, high; /* host order; 0 = not given */
};

/* Words that are no options, before, behind or between them. */
struct option_words {
	unsigned int room; /* how many there may be */
	bool is_command;   /* the first one and all behind it, or all behind `--`, are a command */
	unsigned int count;
	const char *item[OPTION_WORDS];
	char **command; /* NULL at its end */
};

enum option_type {
	OPTION_FLAG,	  /* bool */
	OPTION_NUMBER,	  /* uint32_t, 0 = not given */
	OPTION_CHOICE,	  /* unsigned int, 1 + index into choices, 0 = not given */
	OPTION_PORTS,	  /* struct option_ports */
	OPTION_DEVICES,	  /* struct option_devices */
	OPTION_ADDRESSES, /* struct option_addresses */
	OPTION_INSTANCE,  /* const char * */
	OPTION_TEXT,	  /* const char *, as it is */
};

struct option {
	const char *name;
	const char *argument; /* word for --help, NULL for a flag */
	const char *help;
	enum option_type type;
	unsigned int verbs;	    /* bits of the verbs that take it */
	size_t field;		    /* offsetof() into the settings */
	uint32_t min, max;	    /* OPTION_NUMBER */
	uint32_t preset;	    /* OPTION_NUMBER: told by --help */
	const char *const *choices; /* OPTION_CHOICE, NULL at the end */
};

/*
 * Fills `settings` from the words of one verb: 0, or -EINVAL with what is wrong in error. `words`:
 * where those go that are no options; NULL: the verb takes none.
 */
int options_parse(int argc, char **argv, const struct option *table, size_t count,
		  unsigned int verb, void *settings, struct option_words *words, char *error,
		  size_t error_len);
/* Decimal digits alone: 0, -EINVAL, or -ERANGE. */
int options_number(const char *text, uint32_t min, uint32_t max, uint32_t *number);
void options_help(const struct option *table, size_t count, unsigned int verb);

#endif
