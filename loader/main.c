// SPDX-License-Identifier: GPL-3.0-or-later
/* isthmus <datapath> <verb>: which words there are, and what happens when one is wrong. */
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../maps/pin.h"
#include "loader.h"

static const struct noun *const nouns[] = { &splice_noun,  &portarp_noun, &waypoint_noun,
					    &gateway_noun, &onetime_noun, &resoa_noun };

static struct common_settings common;

#define COMMON_STATUS 1

static const struct option common_options[] = {
	{ "json", NULL, "print JSON", OPTION_FLAG, COMMON_STATUS,
	  offsetof(struct common_settings, json), 0, 0, 0, NULL },
};

/* Only for its help. */
static const struct verb status_verb = { "status",	"every attached datapath of every instance",
					 COMMON_STATUS, true,
					 NULL,		NULL };

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list arguments)
{
	fputs("isthmus: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

int complain(int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
	return code;
}

void notice(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
}

int complain_pins(int err, const char *instance, const char *stem)
{
	const char *named = instance && *instance ? instance : "default";

	switch (err) {
	case -ENOENT:
		return complain(
			EXIT_NOT_LOADED,
			"%s: not attached (instance %s); see `isthmus status`, or attach it "
			"with `isthmus %s attach`",
			stem, named, stem);
	case -EPERM:
	case -EACCES:
		return complain(
			EXIT_FAILED,
			"%s: no privileges for %s (or it belongs to another user); run this as "
			"root, or with CAP_BPF and CAP_NET_ADMIN",
			stem, ISTHMUS_PIN_ROOT);
	case -EPROTO:
		return complain(EXIT_FAILED,
				"%s: the pinned state (instance %s) is of another version; use the "
				"isthmus that attached it, or `isthmus %s detach` and attach again",
				stem, named, stem);
	case -ENOTSUP:
		return complain(
			EXIT_FAILED,
			"%s: no BPF file system above %s; `mount -t bpf bpf /sys/fs/bpf` (in a "
			"namespace: `nsenter --net=...` keeps it, `ip netns exec` hides it)",
			stem, ISTHMUS_PIN_ROOT);
	case -EBUSY:
		return complain(EXIT_FAILED,
				"%s: instance %s is locked by another isthmus; wait for it", stem,
				named);
	default:
		return complain(EXIT_FAILED, "%s: %s (instance %s): %s", stem, ISTHMUS_PIN_ROOT,
				named, strerror(-err));
	}
}

const struct noun *noun_find(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(nouns); i++)
		if (!strcmp(nouns[i]->name, name))
			return nouns[i];
	return NULL;
}

/* libbpf explains itself at length; an operator gets one line of ours unless this is asked for. */
__attribute__((format(printf, 2, 0))) static int libbpf_say(enum libbpf_print_level level,
							    const char *format, va_list arguments)
{
	if (!getenv("ISTHMUS_DEBUG"))
		return 0;
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, arguments);
}

static int print_help(void)
{
	puts("usage: isthmus <datapath> <verb> [options]\n"
	     "       isthmus status [--json] | version | help\n\n"
	     "datapaths (`isthmus <datapath> --help` tells their verbs):");
	for (size_t i = 0; i < COUNT_OF(nouns); i++)
		printf("  %-11s %s\n", nouns[i]->name, nouns[i]->help);
	puts("\ncommands:\n"
	     "  status      every attached datapath of every instance\n"
	     "  version     this program's version and the versions of its parts\n"
	     "  help        this text\n\n"
	     "exit status: 0 done, 1 failed, 2 wrong usage, 3 not attached");
	return EXIT_DONE;
}

static int print_noun_help(const struct noun *noun)
{
	printf("usage: isthmus %s <verb> [options]\n\n%s\n\n"
	       "verbs (`isthmus %s <verb> --help` tells their options):\n",
	       noun->name, noun->help, noun->name);
	for (size_t i = 0; i < noun->verb_count; i++)
		printf("  %-11s %s\n", noun->verbs[i].name, noun->verbs[i].help);
	for (size_t i = 0; i < noun->agent_verb_count; i++)
		printf("  %-11s %s\n", noun->agent_verbs[i].name, noun->agent_verbs[i].help);
	return EXIT_DONE;
}

static int print_verb_help(const char *before, const struct verb *verb,
			   const struct option *options, size_t count)
{
	printf("usage: isthmus %s%s%s%s%s [options]\n\n%s\n\noptions:\n", before,
	       *before ? " " : "", verb->name, verb->word ? " " : "", verb->word ? verb->word : "",
	       verb->help);
	options_help(options, count, verb->bit);
	return EXIT_DONE;
}

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return false;
}

static int finish(int code, const struct output *output, bool reading)
{
	if (!reading || code != EXIT_DONE)
		return code;
	return output->finish() ? complain(EXIT_FAILED, "standard output: cannot write") : code;
}

static int run_verb(const struct noun *noun, const struct verb *verb, int argc, char **argv)
{
	struct common_settings *settings = noun->settings;
	const struct output *output;
	char error[256];

	settings->words = (struct option_words){
		.room = verb->word ? noun->words ?: 1 : 0,
		.is_command = noun->command_verbs & verb->bit,
	};
	/* A command's words are its own. */
	if (asks_for_help(settings->words.is_command && argc ? 1 : argc, argv))
		return print_verb_help(noun->name, verb, noun->options, noun->option_count);
	if (options_parse(argc, argv, noun->options, noun->option_count, verb->bit, noun->settings,
			  &settings->words, error, sizeof(error)))
		return complain(EXIT_USAGE, "%s %s: %s; see `isthmus %s %s --help`", noun->name,
				verb->name, error, noun->name, verb->name);
	if (verb->word && !settings->words.count)
		return complain(EXIT_USAGE, "%s %s: %s is needed; see `isthmus %s %s --help`",
				noun->name, verb->name, verb->word, noun->name, verb->name);
	if (settings->instance && noun_find(settings->instance))
		return complain(EXIT_USAGE,
				"%s %s: --instance %s: the name of a datapath cannot be an "
				"instance; choose another",
				noun->name, verb->name, settings->instance);
	output = settings->json ? &output_json : &output_text;
	return finish(verb->run(settings, output), output, verb->reads);
}

static int run_noun(const struct noun *noun, int argc, char **argv)
{
	if (!argc)
		return complain(EXIT_USAGE, "%s: a verb is needed; see `isthmus %s --help`",
				noun->name, noun->name);
	for (size_t i = 0; i < noun->verb_count; i++)
		if (!strcmp(noun->verbs[i].name, argv[0]))
			return run_verb(noun, &noun->verbs[i], argc - 1, argv + 1);
	for (size_t i = 0; i < noun->agent_verb_count; i++)
		if (!strcmp(noun->agent_verbs[i].name, argv[0]))
			return agent_become(noun->agent, argv);
	if (asks_for_help(argc, argv) || !strcmp(argv[0], "help"))
		return print_noun_help(noun);
	return complain(EXIT_USAGE, "%s: no verb %s; see `isthmus %s --help`", noun->name, argv[0],
			noun->name);
}

static int status_one(const struct noun *noun, const char *instance, const struct output *output)
{
	int err = noun->status(instance, output);

	return err && err != -ENOENT ? complain_pins(err, instance, noun->name) : EXIT_DONE;
}

/* Records of one datapath together. An instance that cannot be read does not hide the others. */
static int status_noun(DIR *root, const struct noun *noun, const struct output *output)
{
	int code = status_one(noun, NULL, output);
	struct dirent *entry;

	rewinddir(root);
	while ((entry = readdir(root))) {
		if (entry->d_name[0] == '.' || strchr(entry->d_name, '@') ||
		    noun_find(entry->d_name))
			continue;
		if (status_one(noun, entry->d_name, output) != EXIT_DONE)
			code = EXIT_FAILED;
	}
	return code;
}

static int status(const struct output *output)
{
	DIR *root = opendir(ISTHMUS_PIN_ROOT);
	int code = EXIT_DONE, written;

	if (!root && errno != ENOENT)
		return complain_pins(-errno, NULL, "status");
	output->start();
	output->text("version", ISTHMUS_VERSION);
	output->list_start("datapaths");
	for (size_t i = 0; root && i < COUNT_OF(nouns); i++)
		if (status_noun(root, nouns[i], output) != EXIT_DONE)
			code = EXIT_FAILED;
	output->list_end();
	if (root)
		closedir(root);
	written = finish(EXIT_DONE, output, true);
	return written ? written : code;
}

static int run_status(int argc, char **argv)
{
	char error[256];

	if (asks_for_help(argc, argv))
		return print_verb_help("", &status_verb, common_options, COUNT_OF(common_options));
	if (options_parse(argc, argv, common_options, COUNT_OF(common_options), COMMON_STATUS,
			  &common, NULL, error, sizeof(error)))
		return complain(EXIT_USAGE, "status: %s; see `isthmus status --help`", error);
	return status(common.json ? &output_json : &output_text);
}

static int run_version(int argc, char **argv)
{
	if (argc)
		return complain(EXIT_USAGE, "version: %s: no word is needed here", argv[0]);
	printf("isthmus %s\nlibbpf %s\n", ISTHMUS_VERSION, libbpf_version_string());
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	const struct noun *noun;

	libbpf_set_print(libbpf_say);
	if (argc < 2)
		return complain(EXIT_USAGE, "a command is needed; see `isthmus help`");
	noun = noun_find(argv[1]);
	if (noun)
		return run_noun(noun, argc - 2, argv + 2);
	if (!strcmp(argv[1], "status"))
		return run_status(argc - 2, argv + 2);
	if (!strcmp(argv[1], "version") || !strcmp(argv[1], "--version"))
		return run_version(argc - 2, argv + 2);
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return print_help();
	return complain(EXIT_USAGE, "%s: no such datapath or command; see `isthmus help`", argv[1]);
}
