// SPDX-License-Identifier: GPL-3.0-or-later
/* isthmus-srv-run PROGRAM...: starts it with isthmus-srv.so preloaded, and is the program then. */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM	 "isthmus-srv-run"
#define LIBRARY	 "isthmus-srv.so"
#define PATH_LEN 4096

enum { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_NOT_EXECUTABLE = 126, EXIT_NO_PROGRAM = 127 };

static void help(void)
{
	printf("usage: " PROGRAM " PROGRAM [ARGUMENT]...\n"
	       "       " PROGRAM " --help | --version\n"
	       "\n"
	       "Runs a program so that it finds services on the ports that DNS SRV records tell.\n"
	       "\n"
	       "With ISTHMUS_SRV_NUMERIC=0 in the environment only names of services are looked\n"
	       "up, not the numbers of well-known ports.\n");
}

/* Beside this program (as built), or in ../lib/isthmus (as installed). */
static int find_library(char library[PATH_LEN])
{
	static const char *const places[] = { "", "../lib/isthmus/" };
	char self[PATH_LEN];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *folder;

	if (len < 0)
		return -errno;
	self[len] = 0;
	folder = dirname(self);
	for (int i = 0; i < 2; i++) {
		if (snprintf(library, PATH_LEN, "%s/%s" LIBRARY, folder, places[i]) < PATH_LEN &&
		    !access(library, R_OK))
			return 0;
	}
	return -ENOENT;
}

static int preload(const char *library)
{
	const char *others = getenv("LD_PRELOAD");
	char value[2 * PATH_LEN];

	/* The loader separates by spaces and colons, and knows no quotes. */
	if (strpbrk(library, " :"))
		return -EINVAL;
	if (snprintf(value, sizeof(value), "%s%s%s", library, others && *others ? ":" : "",
		     others ? others : "") >= (int)sizeof(value))
		return -E2BIG;
	return setenv("LD_PRELOAD", value, 1) ? -errno : 0;
}

int main(int argc, char **argv)
{
	char library[PATH_LEN];
	int first = argc > 1 && !strcmp(argv[1], "--") ? 2 : 1, rc;

	if (argc > 1 && !strcmp(argv[1], "--help")) {
		help();
		return EXIT_DONE;
	}
	if (argc > 1 && !strcmp(argv[1], "--version")) {
		printf(PROGRAM " " ISTHMUS_VERSION "\n");
		return EXIT_DONE;
	}
	if (first >= argc || (first == 1 && argv[1][0] == '-')) {
		fprintf(stderr, PROGRAM ": a program is needed; see --help\n");
		return EXIT_USAGE;
	}
	rc = find_library(library);
	if (!rc)
		rc = preload(library);
	if (rc) {
		fprintf(stderr, PROGRAM ": " LIBRARY ": %s%s\n", strerror(-rc),
			rc == -EINVAL ? ": a space or colon in its path cannot be preloaded"
				      : "; is isthmus installed as a whole?");
		return EXIT_FAILED;
	}
	execvp(argv[first], argv + first);
	fprintf(stderr, PROGRAM ": %s: %s\n", argv[first], strerror(errno));
	return errno == ENOENT ? EXIT_NO_PROGRAM : EXIT_NOT_EXECUTABLE;
}
