/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Logging for agents: one line a message, to stderr (with journald's <N> prefix under systemd) or
 * syslog. */
#ifndef ISTHMUS_AGENTS_LOG_H
#define ISTHMUS_AGENTS_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* target: "stderr" or "syslog". Unknown words: -EINVAL, nothing changes. */
int log_open(const char *program, const char *target, const char *level);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
