// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/conf.c agents/lib/log.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agents/lib/conf.h"
#include "agents/lib/log.h"

struct settings {
	char *name;
	unsigned int number;
	bool flag;
	struct conf_list list;
};

static const struct conf_option table[] = {
	{ "main", "name", CONF_STRING, offsetof(struct settings, name), 0, 0, "NAME", "a name" },
	{ "main", "number", CONF_UINT, offsetof(struct settings, number), 5, 10, "N", "a number" },
	{ "main", "flag", CONF_BOOL, offsetof(struct settings, flag), 0, 0, NULL, "a flag" },
	{ "other", "list", CONF_LIST, offsetof(struct settings, list), 0, 0, "A,B", "a list" },
};

#define COUNT (sizeof(table) / sizeof(table[0]))

static char path[64], error[256];
static struct settings settings;

static int setup(void **state)
{
	(void)state;
	strcpy(path, "/tmp/conf-test-XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	memset(&settings, 0, sizeof(settings));
	settings.number = 7;
	error[0] = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	conf_free(table, COUNT, &settings);
	unlink(path);
	return 0;
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int read_text(const char *text)
{
	write_file(text);
	return conf_read(path, table, COUNT, &settings, error, sizeof(error));
}

static void test_file(void **state)
{
	(void)state;
	assert_int_equal(read_text("# a comment\n[main]\nname = a name ; remark\nnumber=10\n"
				   "flag = yes\n\n[other]\nlist = a, b\nlist = c\n"),
			 0);
	assert_string_equal(settings.name, "a name");
	assert_int_equal(settings.number, 10);
	assert_true(settings.flag);
	assert_int_equal(settings.list.count, 3);
	assert_string_equal(settings.list.item[0], "a");
	assert_string_equal(settings.list.item[2], "c");
	assert_int_equal(read_text("[main]\nflag = off\n"), 0); /* the others stay */
	assert_false(settings.flag);
	assert_int_equal(settings.list.count, 3);
}

static void test_file_errors(void **state)
{
	static const struct {
		const char *text, *error; /* after "path:" */
	} rows[] = {
		{ "[main]\nnothing = 1\n",
		  "2: unknown key 'nothing' in section [main]; see --help" },
		{ "name = x\n", "1: unknown key 'name' in section []; see --help" },
		{ "[main]\n\nnumber = 11\n", "3: number: '11' is not a number from 5 to 10" },
		{ "[main]\nnumber = 4\n", "2: number: '4' is not a number from 5 to 10" },
		{ "[main]\nnumber = -6\n", "2: number: '-6' is not a number from 5 to 10" },
		{ "[main]\nnumber = 4294967303\n",
		  "2: number: '4294967303' is not a number from 5 to 10" },
		{ "[main]\nnumber = 6x\n", "2: number: '6x' is not a number from 5 to 10" },
		{ "[main]\nflag = maybe\n", "2: flag: 'maybe' is neither yes nor no" },
		{ "[main]\nname = x\nrubbish\n", "3: neither [section] nor name = value" },
		{ "[main\nname = x\n", "1: neither [section] nor name = value" },
		{ "[other]\nlist = 1 2 3 4 5 6 7 8\nlist = 1,2,3,4,5,6,7,8,9\n",
		  "3: list: more than 16 items" },
	};
	char expected[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(read_text(rows[i].text), -EINVAL);
		snprintf(expected, sizeof(expected), "%s:%s", path, rows[i].error);
		assert_string_equal(error, expected);
		assert_null(settings.name); /* untouched */
		assert_int_equal(settings.number, 7);
		assert_int_equal(settings.list.count, 0);
	}
}

static void test_long_line(void **state)
{
	char text[600] = "[main]\nname = ";

	(void)state;
	memset(text + strlen(text), 'x', 150);
	strcat(text, "\n");
	assert_int_equal(read_text(text), 0); /* the control */
	assert_int_equal(strlen(settings.name), 150);
	memset(text + strlen(text) - 1, 'y', 200);
	strcat(text, "\n");
	assert_int_equal(read_text(text), -EINVAL);
	assert_non_null(strstr(error, ":2: neither [section] nor name = value of at most"));
	assert_int_equal(strlen(settings.name), 150);
}

static void test_no_file(void **state)
{
	(void)state;
	assert_int_equal(
		conf_read("/nonexistent/file", table, COUNT, &settings, error, sizeof(error)),
		-ENOENT);
	assert_non_null(strstr(error, "/nonexistent/file: No such file"));
}

static int take(int argc, char **argv)
{
	return conf_arguments(argc, argv, table, COUNT, &settings, error, sizeof(error));
}

static void test_arguments(void **state)
{
	char *argv[] = { "program", "run", "--name=n", "word", "--flag",
			 "--list",  "x,y", "--config", "file", NULL };
	int first;

	(void)state;
	assert_int_equal(read_text("[other]\nlist = from,the,file\n"), 0);
	assert_string_equal(conf_find_file(9, argv), "file");
	first = take(9, argv);
	assert_int_equal(first, 7);
	assert_string_equal(argv[first], "run");
	assert_string_equal(argv[first + 1], "word");
	assert_string_equal(settings.name, "n");
	assert_true(settings.flag);
	assert_int_equal(settings.list.count, 2); /* the command line replaces the file's */
	assert_string_equal(settings.list.item[1], "y");
	assert_int_equal(settings.number, 7);
	char *again[] = { "program", "--config=other", "--", "--name", NULL };

	assert_string_equal(conf_find_file(4, again), "other");
	assert_int_equal(take(4, again), 3); /* after -- everything is a word */
}

static void test_argument_errors(void **state)
{
	char *unknown[] = { "program", "--name", "n", "--bogus", NULL };
	char *missing[] = { "program", "--name", NULL };
	char *bad[] = { "program", "--name", "n", "--number", "3", NULL };
	char *value[] = { "program", "--flag=no", NULL };
	char *none[] = { "program", "run", NULL };

	(void)state;
	assert_int_equal(take(4, unknown), -EINVAL);
	assert_string_equal(error, "unknown option '--bogus'; see --help");
	assert_int_equal(take(2, missing), -EINVAL);
	assert_string_equal(error, "--name needs a value");
	assert_int_equal(take(5, bad), -EINVAL);
	assert_string_equal(error, "number: '3' is not a number from 5 to 10");
	assert_int_equal(take(2, value), -EINVAL);
	assert_string_equal(error, "--flag takes no value");
	assert_null(settings.name);
	assert_null(conf_find_file(2, none));
}

/* `path` is the preset file; none can be given by --config but what argv says. */
static int load(int argc, char **argv)
{
	return conf_load(path, argc, argv, table, COUNT, &settings, error, sizeof(error));
}

static void test_load_preset(void **state)
{
	char *words[] = { "program", "--number", "9", "run", NULL };
	char *bad[] = { "program", "--number", "11", NULL };

	(void)state;
	write_file("[main]\nname = preset\nnumber = 8\n");
	assert_int_equal(load(4, words), 3);
	assert_string_equal(settings.name, "preset");
	assert_int_equal(settings.number, 9); /* the command line is over the file */
	assert_int_equal(load(3, bad), -EINVAL);
	assert_string_equal(error, "number: '11' is not a number from 5 to 10");
	write_file("[main]\nnumber = 4\n");
	assert_int_equal(load(4, words), -EINVAL);
	assert_non_null(strstr(error, ":2: number: '4' is not a number from 5 to 10"));
}

/* A default stays where the preset file is not there; nor is there a word of complaint. */
static void test_load_no_preset(void **state)
{
	char *words[] = { "program", "--name", "n", "run", NULL };

	(void)state;
	unlink(path);
	assert_int_equal(load(4, words), 3);
	assert_string_equal(settings.name, "n");
	assert_int_equal(settings.number, 7);
	assert_int_equal(conf_load(NULL, 4, words, table, COUNT, &settings, error, sizeof(error)),
			 3);
	assert_string_equal(error, "");
}

/* Root reads all: somebody else looks, with root's number saved for the way back. */
static void test_load_unreadable(void **state)
{
	char *none[] = { "program", NULL };
	bool root = !getuid();
	int without, named;
	char *config[] = { "program", "--config", path, NULL };

	(void)state;
	write_file("[main]\nnumber = 8\n");
	chmod(path, 0);
	assert_false(root && setresuid(65534, 65534, 0));
	without = load(1, none);
	named = load(3, config);
	assert_false(root && setresuid(0, 0, 0));
	assert_int_equal(without, 1); /* as if it were not there */
	assert_int_equal(settings.number, 7);
	assert_int_equal(named, -EINVAL); /* but what is asked for must be read */
	assert_non_null(strstr(error, ": Permission denied"));
	chmod(path, 0600);
	assert_int_equal(load(1, none), 1); /* the control */
	assert_int_equal(settings.number, 8);
}

static void test_load_config(void **state)
{
	char *missing[] = { "program", "--config", "/nonexistent/file", NULL };
	char *config[] = { "program", "--config", path, "--name=n", NULL };

	(void)state;
	write_file("[main]\nname = preset\nnumber = 8\n");
	assert_int_equal(load(3, missing), -EINVAL); /* the preset file is no second choice */
	assert_string_equal(error, "/nonexistent/file: No such file or directory");
	assert_null(settings.name);
	assert_int_equal(settings.number, 7);
	assert_int_equal(conf_load("/nonexistent/preset", 4, config, table, COUNT, &settings, error,
				   sizeof(error)),
			 4);
	assert_string_equal(settings.name, "n");
	assert_int_equal(settings.number, 8);
}

/* --config comes before the preset file. */
static void test_load_order(void **state)
{
	char other[] = "/tmp/conf-test-XXXXXX";
	char *config[] = { "program", "--config", other, NULL };
	int fd = mkstemp(other), first;

	(void)state;
	assert_true(fd >= 0);
	write_file("[main]\nname = preset\nnumber = 8\n");
	assert_int_equal(write(fd, "[main]\nnumber = 6\n", 18), 18);
	close(fd);
	first = load(3, config);
	unlink(other);
	assert_int_equal(first, 3);
	assert_int_equal(settings.number, 6);
	assert_null(settings.name);
}

static void test_load_options(void **state)
{
	char *word[] = { "program", "--number", "9", "run", NULL };

	(void)state;
	assert_int_equal(conf_load_options(4, word, table, COUNT, &settings, error, sizeof(error)),
			 -EINVAL);
	assert_string_equal(error, "'run' is not an option; see --help");
	assert_int_equal(conf_load_options(3, word, table, COUNT, &settings, error, sizeof(error)),
			 0);
	assert_int_equal(settings.number, 9);
}

static void test_secret(void **state)
{
	char secret[16] = "unchanged";

	(void)state;
	write_file("hush\r\nmore\n");
	chmod(path, 0640);
	assert_int_equal(conf_read_secret(path, secret, sizeof(secret)), -EPERM);
	chmod(path, 0600);
	write_file("much longer than it may be\n");
	assert_int_equal(conf_read_secret(path, secret, sizeof(secret)), -EMSGSIZE);
	assert_string_equal(secret, "unchanged");
	write_file("hush\r\nmore\n");
	assert_int_equal(conf_read_secret(path, secret, sizeof(secret)), 0);
	assert_string_equal(secret, "hush");
	assert_int_equal(conf_read_secret("/nonexistent", secret, sizeof(secret)), -ENOENT);
	write_file("fifteen letters"); /* without a newline, and just fits */
	assert_int_equal(conf_read_secret(path, secret, sizeof(secret)), 0);
	assert_string_equal(secret, "fifteen letters");
}

/* What a network sends cannot make a second line or reach the terminal's escapes. */
static void test_log(void **state)
{
	char text[256] = { 0 };
	int saved = dup(STDERR_FILENO), fd = open(path, O_RDWR | O_TRUNC);

	(void)state;
	unsetenv("JOURNAL_STREAM");
	assert_int_equal(log_open("prog", "nowhere", "info"), -EINVAL);
	assert_int_equal(log_open("prog", "stderr", "loud"), -EINVAL);
	assert_int_equal(log_open("prog", "stderr", "warn"), 0);
	dup2(fd, STDERR_FILENO);
	log_info("not at this level");
	log_warn("one\nprog: error: two\x1b[31m");
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	close(fd);
	assert_string_equal(text, "prog: warn: one?prog: error: two?[31m\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(file),
		TEST(file_errors),
		TEST(long_line),
		TEST(no_file),
		TEST(arguments),
		TEST(argument_errors),
		TEST(load_preset),
		TEST(load_no_preset),
		TEST(load_unreadable),
		TEST(load_config),
		TEST(load_order),
		TEST(load_options),
		TEST(secret),
		TEST(log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
