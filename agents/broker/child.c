// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A translator on the broker's host (feature B12). It needs privileges that the broker gives up, so
 * a small process is forked before that; it only starts the translator, again if it ends, and
 * stops it when the broker's end of a pipe is closed, by whatever cause.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/log.h"
#include "broker.h"

#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 60000
#define STABLE_MS      60000 /* what has run so long starts again at once */
#define STOP_MS	       5000

struct child {
	pid_t supervisor;
	int pipe; /* 'g' go, 'h' hang-up; closed: stop */
};

struct supervisor {
	const char *program, *file;
	int pipe, signals;
	pid_t translator; /* 0 = not running */
	bool going;
	uint64_t started_ms, next_ms;
	unsigned int backoff_ms;
};

static void exec_translator(const struct supervisor *s)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execl(s->program, s->program, "run", "--config", s->file, (char *)NULL);
	log_error("%s: %s", s->program, strerror(errno));
	_exit(127);
}

static void start_translator(struct supervisor *s)
{
	pid_t pid = fork();

	if (!pid)
		exec_translator(s);
	s->started_ms = limit_now_ms();
	if (pid > 0)
		s->translator = pid;
	else
		s->next_ms = s->started_ms + s->backoff_ms;
}

static void reap_translator(struct supervisor *s)
{
	uint64_t now_ms = limit_now_ms();
	int status;

	if (!s->translator || waitpid(s->translator, &status, WNOHANG) != s->translator)
		return;
	s->translator = 0;
	if (now_ms - s->started_ms > STABLE_MS)
		s->backoff_ms = BACKOFF_MIN_MS;
	log_warn("isthmus-translator ended (%s %d), starting it again in %u ms",
		 WIFSIGNALED(status) ? "signal" : "exit code",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), s->backoff_ms);
	s->next_ms = now_ms + s->backoff_ms;
	s->backoff_ms = s->backoff_ms * 2 < BACKOFF_MAX_MS ? s->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void stop_translator(struct supervisor *s)
{
	uint64_t end_ms = limit_now_ms() + STOP_MS;

	if (!s->translator)
		return;
	kill(s->translator, SIGTERM);
	while (waitpid(s->translator, NULL, WNOHANG) == 0) {
		if (limit_now_ms() > end_ms)
			kill(s->translator, SIGKILL);
		poll(NULL, 0, 20);
	}
}

/* false: the broker is gone. */
static bool take_orders(struct supervisor *s)
{
	char order;

	if (read(s->pipe, &order, 1) != 1)
		return false;
	if (order == 'g')
		s->going = true;
	else if (order == 'h' && s->translator)
		kill(s->translator, SIGHUP);
	return true;
}

static int wait_ms(const struct supervisor *s)
{
	uint64_t now_ms = limit_now_ms();

	if (!s->going || s->translator)
		return -1;
	return s->next_ms > now_ms ? (int)(s->next_ms - now_ms) : 0;
}

static void supervise(struct supervisor *s)
{
	struct signalfd_siginfo info;

	for (;;) {
		struct pollfd fds[2] = { { .fd = s->pipe, .events = POLLIN },
					 { .fd = s->signals, .events = POLLIN } };

		poll(fds, 2, wait_ms(s));
		if (fds[0].revents && !take_orders(s))
			break;
		if (fds[1].revents && read(s->signals, &info, sizeof(info)) > 0)
			reap_translator(s);
		if (wait_ms(s) == 0)
			start_translator(s);
	}
	stop_translator(s);
}

static void run_supervisor(int pipe_fd, const char *program, const char *file)
{
	struct supervisor s = {
		.program = program, .file = file, .pipe = pipe_fd, .backoff_ms = BACKOFF_MIN_MS
	};
	sigset_t set;

	/* The terminal's and a manager's signals reach the broker too, whose end is ours. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	unsetenv("NOTIFY_SOCKET");
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signals < 0)
		_exit(1);
	supervise(&s);
	_exit(0);
}

/* isthmus-translator is installed beside this program. */
static int find_program(char *path, size_t len)
{
	ssize_t n = readlink("/proc/self/exe", path, len - 1);
	char *slash;

	if (n < 0)
		return -errno;
	path[n] = 0;
	slash = strrchr(path, '/');
	if (!slash || slash + sizeof("/isthmus-translator") > path + len)
		return -ENAMETOOLONG;
	strcpy(slash, "/isthmus-translator");
	return 0;
}

struct child *child_new(const char *file)
{
	struct child *child = calloc(1, sizeof(*child));
	char program[4096];
	int fds[2];

	if (!child || find_program(program, sizeof(program)) || pipe2(fds, O_CLOEXEC)) {
		free(child);
		return NULL;
	}
	child->pipe = fds[1];
	child->supervisor = fork();
	if (!child->supervisor) {
		close(fds[1]);
		run_supervisor(fds[0], program, file);
	}
	close(fds[0]);
	if (child->supervisor > 0)
		return child;
	close(fds[1]);
	free(child);
	return NULL;
}

static void order(struct child *child, char letter)
{
	if (child && write(child->pipe, &letter, 1) != 1)
		log_error("the process that runs isthmus-translator is gone; restart the broker");
}

void child_go(struct child *child)
{
	order(child, 'g');
}

void child_reload(struct child *child)
{
	order(child, 'h');
}

void child_free(struct child *child)
{
	if (!child)
		return;
	close(child->pipe);
	waitpid(child->supervisor, NULL, 0);
	free(child);
}
