// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "log.h"

#define LINE_LEN 1024

static const struct {
	const char *name;
	int priority; /* of syslog(3); journald takes the same numbers */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARN] = { "warn", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

static char program_name[32] = "isthmus";
static enum log_level threshold = LOG_LEVEL_INFO;
static bool to_syslog, to_journal;

/* systemd names the journal's stream by device and inode (systemd.exec(5), JOURNAL_STREAM). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}

int log_open(const char *program, const char *target, const char *level)
{
	bool wants_syslog = !strcmp(target, "syslog");
	size_t i;

	if (!wants_syslog && strcmp(target, "stderr"))
		return -EINVAL;
	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (!strcmp(level, levels[i].name))
			break;
	if (i == sizeof(levels) / sizeof(levels[0]))
		return -EINVAL;
	snprintf(program_name, sizeof(program_name), "%s", program);
	threshold = i;
	to_syslog = wants_syslog;
	to_journal = !wants_syslog && stderr_is_journal();
	if (to_syslog)
		openlog(program_name, LOG_PID, LOG_DAEMON);
	return 0;
}

/* What came from a network may stand in a message: it must not forge a second line. */
static void make_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void log_line(enum log_level level, const char *format, ...)
{
	char text[LINE_LEN];
	va_list args;

	if (level > threshold)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	make_one_line(text);
	if (to_syslog)
		syslog(levels[level].priority, "%s", text);
	else if (to_journal)
		fprintf(stderr, "<%d>%s\n", levels[level].priority, text);
	else
		fprintf(stderr, "%s: %s%s%s\n", program_name,
			level == LOG_LEVEL_INFO ? "" : levels[level].name,
			level == LOG_LEVEL_INFO ? "" : ": ", text);
}
