/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Configuration: a table of options is filled from one INI file (inih), then from the command line.
 */
#ifndef ISTHMUS_AGENTS_CONF_H
#define ISTHMUS_AGENTS_CONF_H

#include <stddef.h>

enum conf_type { CONF_STRING, CONF_UINT, CONF_BOOL, CONF_LIST };

#define CONF_LIST_MAX 16

/* A list: the option may be given several times, or once with commas. */
struct conf_list {
	char *item[CONF_LIST_MAX];
	unsigned int count;
};

/*
 * One option. In a file it is `name = value` under [section]; on the command line `--name value`
 * (or `--name=value`; a CONF_BOOL is `--name` and takes no value). `field` is offsetof() into the
 * settings struct: char *, unsigned int, bool or struct conf_list. Strings belong to the struct: a
 * default is NULL or allocated.
 */
struct conf_option {
	const char *section, *name;
	enum conf_type type;
	size_t field;
	unsigned int min, max; /* CONF_UINT */
	const char *argument;  /* word for --help, NULL for CONF_BOOL */
	const char *help;
};

/*
 * Reads `path`. An unknown key, a bad value or a line that is no INI is an error: -EINVAL and
 * "file:line: what" in error. -ENOENT etc. if it cannot be read. Outputs untouched on failure.
 */
int conf_read(const char *path, const struct conf_option *table, size_t count, void *settings,
	      char *error, size_t error_len);

/*
 * Takes options from argv, which it permutes; returns the index of the first other word, or
 * -EINVAL with a message in error. `--config FILE` must have been read by conf_find_file() before.
 */
int conf_arguments(int argc, char **argv, const struct conf_option *table, size_t count,
		   void *settings, char *error, size_t error_len);
const char *conf_find_file(int argc, char **argv); /* the word after --config, or NULL */

/*
 * Both: the file that --config names, else `preset_file` if it is there and may be read (NULL: no
 * file then), and over it the command line. Returns the index of the first other word, or -EINVAL
 * with a message in error: settings may then hold what the file said, and are the caller's to free.
 */
int conf_load(const char *preset_file, int argc, char **argv, const struct conf_option *table,
	      size_t count, void *settings, char *error, size_t error_len);
/* The same without a preset file, of a program that takes options only: 0 or -EINVAL. */
int conf_load_options(int argc, char **argv, const struct conf_option *table, size_t count,
		      void *settings, char *error, size_t error_len);
/* -EINVAL, and says in error that memory ran out: for what is filled in after conf_load(). */
int conf_no_memory(char *error, size_t error_len);

void conf_help(const struct conf_option *table, size_t count);
/* Where an option was not given. 0 or -ENOMEM. The path: DIRECTORY/STEM[-INSTANCE].SUFFIX. */
int conf_default(char **field, const char *value);
int conf_default_path(char **field, const char *directory, const char *stem, const char *instance,
		      const char *suffix);
void conf_free(const struct conf_option *table, size_t count, void *settings);

/*
 * A secret from a file: its first line. Refused with -EPERM if others may read it (mode & 077),
 * -EMSGSIZE if longer than len - 1. "-" is standard input.
 */
int conf_read_secret(const char *path, char *secret, size_t len);

#endif
