// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"

#define ENTRIES_MAX 256 /* values in one file or one command line */

/* Values are gathered and checked first and stored only when all are good. */
struct entry {
	const struct conf_option *option;
	char *value;
};

struct gathering {
	const struct conf_option *table;
	size_t table_count;
	struct entry entry[ENTRIES_MAX];
	size_t count;
	char *error;
	size_t error_len;
	bool failed;
	FILE *file;
	int line, failed_line, long_line; /* 0 = none */
};

static void fail(struct gathering *g, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void fail(struct gathering *g, const char *format, ...)
{
	va_list args;

	if (g->failed) /* the first one is the one to mend */
		return;
	g->failed = true;
	g->failed_line = g->line;
	va_start(args, format);
	vsnprintf(g->error, g->error_len, format, args);
	va_end(args);
}

static int parse_uint(const struct conf_option *option, const char *text, unsigned int *value)
{
	unsigned long parsed;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	parsed = strtoul(text, &end, 10);
	if (errno || *end || parsed < option->min || parsed > option->max)
		return -EINVAL;
	*value = parsed;
	return 0;
}

static int parse_bool(const char *text, bool *value)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i]))
			continue;
		*value = i & 1;
		return 0;
	}
	return -EINVAL;
}

/* Items of a list that `text` adds; empty ones do not count. */
static unsigned int list_items(const char *text)
{
	unsigned int count = 0;

	while (*text) {
		size_t len;

		text += strspn(text, ", \t");
		len = strcspn(text, ", \t");
		count += len > 0;
		text += len;
	}
	return count;
}

static unsigned int list_items_before(const struct gathering *g, const struct conf_option *option)
{
	unsigned int count = 0;

	for (size_t i = 0; i < g->count; i++)
		if (g->entry[i].option == option)
			count += list_items(g->entry[i].value);
	return count;
}

static int check_value(struct gathering *g, const struct conf_option *option, const char *value)
{
	unsigned int number;
	bool truth;

	switch (option->type) {
	case CONF_UINT:
		if (!parse_uint(option, value, &number))
			return 0;
		fail(g, "%s: '%s' is not a number from %u to %u", option->name, value, option->min,
		     option->max);
		return -EINVAL;
	case CONF_BOOL:
		if (!parse_bool(value, &truth))
			return 0;
		fail(g, "%s: '%s' is neither yes nor no", option->name, value);
		return -EINVAL;
	case CONF_LIST:
		if (list_items_before(g, option) + list_items(value) <= CONF_LIST_MAX)
			return 0;
		fail(g, "%s: more than %d items", option->name, CONF_LIST_MAX);
		return -EINVAL;
	case CONF_STRING:
		break;
	}
	return 0;
}

static int gather(struct gathering *g, const struct conf_option *option, const char *value)
{
	char *copy;

	if (check_value(g, option, value))
		return -EINVAL;
	if (g->count == ENTRIES_MAX) {
		fail(g, "more than %d values", ENTRIES_MAX);
		return -EINVAL;
	}
	copy = strdup(value);
	if (!copy) {
		fail(g, "out of memory");
		return -EINVAL;
	}
	g->entry[g->count].option = option;
	g->entry[g->count++].value = copy;
	return 0;
}

static void list_clear(struct conf_list *list)
{
	while (list->count)
		free(list->item[--list->count]);
}

static void list_add(struct conf_list *list, const char *text)
{
	while (*text && list->count < CONF_LIST_MAX) {
		size_t len;

		text += strspn(text, ", \t");
		len = strcspn(text, ", \t");
		if (len && (list->item[list->count] = strndup(text, len)))
			list->count++;
		text += len;
	}
}

static bool is_first(const struct gathering *g, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (g->entry[i].option == g->entry[index].option)
			return false;
	return true;
}

static void store(struct gathering *g, size_t index, void *settings)
{
	const struct conf_option *option = g->entry[index].option;
	char *field = (char *)settings + option->field;

	switch (option->type) {
	case CONF_STRING:
		free(*(char **)field);
		*(char **)field = g->entry[index].value;
		g->entry[index].value = NULL;
		break;
	case CONF_UINT:
		parse_uint(option, g->entry[index].value, (unsigned int *)field);
		break;
	case CONF_BOOL:
		parse_bool(g->entry[index].value, (bool *)field);
		break;
	case CONF_LIST: /* the command line replaces the file's list */
		if (is_first(g, index))
			list_clear((struct conf_list *)field);
		list_add((struct conf_list *)field, g->entry[index].value);
		break;
	}
}

static int finish(struct gathering *g, void *settings)
{
	if (!g->failed)
		for (size_t i = 0; i < g->count; i++)
			store(g, i, settings);
	for (size_t i = 0; i < g->count; i++)
		free(g->entry[i].value);
	return g->failed ? -EINVAL : 0;
}

static int take_key(void *arg, const char *section, const char *name, const char *value)
{
	struct gathering *g = arg;

	for (size_t i = 0; i < g->table_count; i++)
		if (!strcmp(g->table[i].section, section) && !strcmp(g->table[i].name, name))
			return !gather(g, &g->table[i], value ? value : "");
	fail(g, "unknown key '%s' in section [%s]; see --help", name, section);
	return 0;
}

/* inih would silently split a line that is too long for it. */
static char *read_ini_line(char *text, int size, void *arg)
{
	struct gathering *g = arg;
	char *line = fgets(text, size, g->file);

	g->line++;
	if (line && !strchr(line, '\n') && !feof(g->file)) {
		if (!g->long_line)
			g->long_line = g->line;
		memcpy(text, "]", 2); /* no INI, so that its number is told */
	}
	return line;
}

/* inih tells the first bad line; why is ours to say where our handler refused that line. */
static const char *explain(const struct gathering *g, int line)
{
	if (line == g->long_line)
		return "neither [section] nor name = value of at most 197 bytes";
	if (line == g->failed_line)
		return g->error;
	return "neither [section] nor name = value";
}

int conf_read(const char *path, const struct conf_option *table, size_t count, void *settings,
	      char *error, size_t error_len)
{
	struct gathering g = { .table = table, .table_count = count };
	char what[256];
	int line, rc;

	g.error = what;
	g.error_len = sizeof(what);
	g.file = fopen(path, "re");
	if (!g.file) {
		rc = -errno;
		snprintf(error, error_len, "%s: %s", path, strerror(-rc));
		return rc;
	}
	line = ini_parse_stream(read_ini_line, &g, take_key, &g);
	if (!line && ferror(g.file)) {
		fail(&g, "cannot be read: %s", strerror(errno));
		line = g.failed_line;
	}
	fclose(g.file);
	g.failed = g.failed || line;
	rc = finish(&g, settings);
	if (rc)
		snprintf(error, error_len, "%s:%d: %s", path, line, explain(&g, line));
	return rc;
}

const char *conf_find_file(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--config"))
			return i + 1 < argc ? argv[i + 1] : NULL;
		if (!strncmp(argv[i], "--config=", 9))
			return argv[i] + 9;
	}
	return NULL;
}

int conf_no_memory(char *error, size_t error_len)
{
	snprintf(error, error_len, "out of memory");
	return -EINVAL;
}

/* The table as getopt_long(3) wants it; val is the index into the table plus one. */
static struct option *long_options(const struct conf_option *table, size_t count)
{
	struct option *options = calloc(count + 2, sizeof(*options));

	if (!options)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		options[i].name = table[i].name;
		options[i].has_arg = table[i].type == CONF_BOOL ? no_argument : required_argument;
		options[i].val = i + 1;
	}
	options[count].name = "config";
	options[count].has_arg = required_argument;
	options[count].val = count + 1;
	return options;
}

int conf_arguments(int argc, char **argv, const struct conf_option *table, size_t count,
		   void *settings, char *error, size_t error_len)
{
	struct gathering g = { .table = table, .table_count = count };
	struct option *options = long_options(table, count);
	int index, rc;

	if (!options)
		return conf_no_memory(error, error_len);
	g.error = error;
	g.error_len = error_len;
	optind = 0; /* start anew: a program may call this more than once */
	while ((index = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (index == '?' && optopt > 0 && (size_t)optopt <= count)
			fail(&g, "--%s takes no value", table[optopt - 1].name);
		else if (index == '?')
			fail(&g, "unknown option '%s'; see --help", argv[optind - 1]);
		else if (index == ':')
			fail(&g, "%s needs a value", argv[optind - 1]);
		else if ((size_t)index <= count)
			gather(&g, &table[index - 1],
			       table[index - 1].type == CONF_BOOL ? "yes" : optarg);
	}
	free(options);
	rc = finish(&g, settings);
	return rc ? rc : optind;
}

int conf_load(const char *preset_file, int argc, char **argv, const struct conf_option *table,
	      size_t count, void *settings, char *error, size_t error_len)
{
	const char *file = conf_find_file(argc, argv);

	if (!file && preset_file && !access(preset_file, R_OK))
		file = preset_file;
	if (file && conf_read(file, table, count, settings, error, error_len))
		return -EINVAL;
	return conf_arguments(argc, argv, table, count, settings, error, error_len);
}

int conf_load_options(int argc, char **argv, const struct conf_option *table, size_t count,
		      void *settings, char *error, size_t error_len)
{
	int first = conf_load(NULL, argc, argv, table, count, settings, error, error_len);

	if (first < 0)
		return first;
	if (first < argc) {
		snprintf(error, error_len, "'%s' is not an option; see --help", argv[first]);
		return -EINVAL;
	}
	return 0;
}

void conf_help(const struct conf_option *table, size_t count)
{
	printf("  %-28s %s\n", "--config FILE", "settings as name = value under [section]");
	for (size_t i = 0; i < count; i++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", table[i].name,
			 table[i].argument ? " " : "", table[i].argument ? table[i].argument : "");
		printf("  %-28s %s  [%s]\n", left, table[i].help, table[i].section);
	}
}

int conf_default(char **field, const char *value)
{
	if (!*field)
		*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

int conf_default_path(char **field, const char *directory, const char *stem, const char *instance,
		      const char *suffix)
{
	bool named = instance && instance[0];
	char path[256];

	snprintf(path, sizeof(path), "%s/%s%s%s.%s", directory, stem, named ? "-" : "",
		 named ? instance : "", suffix);
	return conf_default(field, path);
}

void conf_free(const struct conf_option *table, size_t count, void *settings)
{
	for (size_t i = 0; i < count; i++) {
		char *field = (char *)settings + table[i].field;

		if (table[i].type == CONF_STRING) {
			free(*(char **)field);
			*(char **)field = NULL;
		} else if (table[i].type == CONF_LIST) {
			list_clear((struct conf_list *)field);
		}
	}
}

static ssize_t read_some(int fd, char *bytes, size_t len)
{
	size_t have = 0;

	while (have < len && !memchr(bytes, '\n', have)) {
		ssize_t n = read(fd, bytes + have, len - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		have += n;
	}
	return have;
}

int conf_read_secret(const char *path, char *secret, size_t len)
{
	bool standard_input = !strcmp(path, "-");
	int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	char text[1024];
	ssize_t have;
	size_t line;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (!standard_input && (fstat(fd, &st) || (st.st_mode & 077)))
		have = -EPERM;
	else
		have = read_some(fd, text, sizeof(text));
	if (!standard_input)
		close(fd);
	if (have < 0)
		return have;
	for (line = 0; line < (size_t)have && !strchr("\r\n", text[line]); line++)
		;
	if (line >= len) {
		explicit_bzero(text, sizeof(text));
		return -EMSGSIZE;
	}
	memcpy(secret, text, line);
	secret[line] = 0;
	explicit_bzero(text, sizeof(text));
	return 0;
}
