// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus onetime run COMMAND`: a cgroup of its own with the programs of clients, and the command
 * in it. Processes that it leaves behind stay in the cgroup until they end; who comes next (`run`,
 * `client show`) removes it then.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "onetime_client.h"
#include "onetime_clients.h"
#include "pins.h"

#define NOT_EXECUTABLE 126 /* as shells have it */
#define NOT_FOUND      127
#define BY_SIGNAL      128

struct command {
	const struct onetime_settings *wanted;
	const char *instance;
	const struct passwd *user;
	char path[600];
	int cgroup;
	uint32_t number;
	sigset_t signals; /* before we blocked some */
};

/* ---- the child */

static int join(const struct command *command)
{
	int fd CLOSE_FD = openat(command->cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, "0", 1) != 1 ? -errno : 0;
}

static int become_user(const struct passwd *user)
{
	if (!user)
		return 0;
	return initgroups(user->pw_name, user->pw_gid) || setgid(user->pw_gid) ||
			       setuid(user->pw_uid)
		       ? -errno
		       : 0;
}

__attribute__((noreturn)) static void child(const struct command *command)
{
	char **words = command->wanted->common.words.command;
	int err = join(command);

	if (err)
		_exit(complain(NOT_EXECUTABLE, "onetime run: %s: no process can be put into it: %s",
			       command->path, strerror(-err)));
	err = become_user(command->user);
	if (err)
		_exit(complain(NOT_EXECUTABLE, "onetime run: --user %s: %s", command->wanted->user,
			       strerror(-err)));
	sigprocmask(SIG_SETMASK, &command->signals, NULL);
	execvp(words[0], words);
	_exit(complain(errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE, "onetime run: %s: %s",
		       words[0], strerror(errno)));
}

/* ---- the parent */

/* What a terminal sends goes to the child as well; what a process sends came to us alone. */
static bool is_for_child(const siginfo_t *info)
{
	return info->si_signo != SIGCHLD && info->si_code != SI_KERNEL;
}

static int wait_for(pid_t pid, const sigset_t *set)
{
	int status;

	for (;;) {
		siginfo_t info;

		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFSIGNALED(status) ? BY_SIGNAL + WTERMSIG(status)
						   : WEXITSTATUS(status);
		if (sigwaitinfo(set, &info) > 0 && is_for_child(&info))
			kill(pid, info.si_signo);
	}
}

static int run_child(struct command *command)
{
	static const int forwarded[] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
					 SIGUSR1, SIGUSR2, SIGCHLD, SIGWINCH };
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	for (size_t i = 0; i < COUNT_OF(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid = fork();
	if (pid < 0)
		return complain(EXIT_FAILED, "onetime run: no process can be made: %s",
				strerror(errno));
	if (!pid)
		child(command);
	return wait_for(pid, &set);
}

/* ---- the cgroup */

static int complain_cgroup(const struct command *command, int err)
{
	return complain(EXIT_FAILED,
			"onetime run: %s: %s; make cgroups writable here, or use `isthmus onetime "
			"client add`",
			command->path, strerror(-err));
}

/* Of one that was killed before its programs were there, which else tell where it is. */
static void remove_stale(const char *parent)
{
	DIR *directory = opendir(parent);
	struct dirent *entry;
	int pid;

	while (directory && (entry = readdir(directory)))
		if (sscanf(entry->d_name, ONETIME_RUN_CGROUP "%d", &pid) == 1 && kill(pid, 0) &&
		    errno == ESRCH)
			unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR); /* if empty */
	if (directory)
		closedir(directory);
}

static int make_cgroup(struct command *command)
{
	char own[512];
	uint64_t id;
	int err = cgroup_own(own);

	if (err)
		return complain(EXIT_FAILED,
				"onetime run: no cgroup2 is mounted; `mount -t cgroup2 cgroup2 "
				"DIR`");
	snprintf(command->path, sizeof(command->path), "%s/" ONETIME_RUN_CGROUP "%d", own,
		 getpid());
	remove_stale(own);
	rmdir(command->path); /* with our own number */
	if (mkdir(command->path, 0755))
		return complain_cgroup(command, -errno);
	command->cgroup = open(command->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = command->cgroup < 0 ? -errno : cgroup_id(command->cgroup, &id);
	command->number = id;
	if (!err)
		err = onetime_client_put(command->instance, 0, command->cgroup, command->number);
	if (err)
		rmdir(command->path);
	return err ? complain_cgroup(command, err) : EXIT_DONE;
}

/* Without the lock: a link is removed by its own name. */
static void remove_cgroup(const struct command *command)
{
	if (!rmdir(command->path))
		onetime_client_take(command->instance, 0, command->number);
	else
		notice("onetime run: processes of it still run, in %s; it goes with the next `run` "
		       "or `isthmus onetime client show` after their end",
		       command->path);
}

/* ---- the verb */

static int prepare_opened(struct command *command, const struct onetime_pins *pins)
{
	struct onetime_conf conf;
	int code, err = onetime_conf_read(pins, &conf);

	if (err)
		return complain_pins(err, command->instance, ONETIME_STEM);
	onetime_clients_sweep(command->instance);
	code = onetime_check_netns(&conf);
	if (code == EXIT_DONE)
		code = onetime_clients_allow(pins, &conf);
	return code == EXIT_DONE ? make_cgroup(command) : code;
}

static int prepare(struct command *command)
{
	struct onetime_pins pins;
	int lock CLOSE_FD = -1;
	int code = onetime_clients_open(command->instance, &lock, &pins);

	if (code != EXIT_DONE)
		return code;
	code = prepare_opened(command, &pins);
	onetime_pins_close(&pins);
	return code;
}

int onetime_run(const void *settings, const struct output *output)
{
	struct command command = { .wanted = settings, .cgroup = -1 };
	const char *user = command.wanted->user;
	int code;

	(void)output;
	command.instance = command.wanted->common.instance;
	if (user) {
		command.user = getpwnam(user);
		if (!command.user)
			return complain(EXIT_FAILED,
					"onetime run: --user %s: no such user; `getent passwd` "
					"lists them",
					user);
	}
	sigprocmask(SIG_SETMASK, NULL, &command.signals);
	code = prepare(&command);
	if (code != EXIT_DONE)
		return code;
	code = run_child(&command);
	remove_cgroup(&command);
	close_fd(&command.cgroup);
	return code;
}
