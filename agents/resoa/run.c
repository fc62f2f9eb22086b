// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus-resoa run -- PROGRAM`, and `shell`: the program becomes this process, in A's network,
 * with the server's files over those of /etc, and with its bind() told to the daemon. Its user,
 * folder, environment and descriptors are the caller's.
 *
 * With --dual, or without privilege, it stays in its own network; its sockets are A's (notify.c).
 *
 * It may be installed set-user-ID root: then root's daemon is believed alone, and what was root's
 * is given up before the program begins.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../lib/ask.h"
#include "control.h"
#include "filter.h"
#include "resoa.h"

#define PROGRAM	       "isthmus-resoa"
#define NOT_EXECUTABLE 126 /* as shells have it */
#define NOT_FOUND      127
#define WAIT_S	       10

static int fail(int status, const char *what, const char *why)
{
	fprintf(stderr, PROGRAM ": %s: %s\n", what, why);
	return status;
}

static bool is_privileged(void)
{
	return geteuid() == 0;
}

/* ---- the daemon */

/* Whoever starts a set-user-ID program chooses its arguments, but nobody can be root's daemon. */
static bool is_believed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (!is_privileged() || getuid() == 0)
		return true;
	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) && peer.uid == 0;
}

static int connect_daemon(const char *control)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval wait = { .tv_sec = WAIT_S };
	int fd, err;

	if (strlen(control) + sizeof(CONTROL_SUFFIX) > sizeof(address.sun_path))
		return -ENAMETOOLONG;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s" CONTROL_SUFFIX, control);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	err = connect(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	if (!err && !is_believed(fd))
		err = -EPERM;
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* An exit status; `fd` is sent along, *got comes back. */
static int ask(int daemon, uint32_t op, int fd, struct control_answer *answer, int *got)
{
	struct control_ask question = { CONTROL_VERSION, op };
	int err = control_send(daemon, &question, sizeof(question), fd);

	if (!err)
		err = control_receive(daemon, answer, sizeof(*answer), got);
	if (err)
		return fail(ASK_NOT_RUNNING, "the daemon does not answer", strerror(-err));
	answer->text[sizeof(answer->text) - 1] = 0;
	answer->files[sizeof(answer->files) - 1] = 0;
	return answer->error ? fail(ASK_FAILED, "the daemon refuses", answer->text) : ASK_DONE;
}

/* ---- A's network, and the server's files */

static int cover(const char *from, const char *over)
{
	if (mount(from, over, NULL, MS_BIND, NULL))
		return -errno;
	return mount(NULL, over, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) ? -errno : 0;
}

/* Services of this host that would answer before the server's files are read: where their socket
 * was is none now. */
static void cover_services(void)
{
	static const char *const sockets[] = { "/run/nscd/socket",
					       "/run/systemd/resolve/io.systemd.Resolve" };

	for (int i = 0; i < 2; i++)
		if (!access(sockets[i], F_OK))
			mount("/dev/null", sockets[i], NULL, MS_BIND, NULL);
}

/* Without them the program runs as well, and finds names as this host does. */
static void cover_files(const char *folder)
{
	static const char *const names[] = { "resolv.conf", "hosts", "nsswitch.conf" };
	char from[CONTROL_PATH_LEN + 32], over[64];
	int err;

	for (int i = 0; i < 3; i++) {
		snprintf(from, sizeof(from), "%s/%s", folder, names[i]);
		snprintf(over, sizeof(over), "/etc/%s", names[i]);
		if (access(from, R_OK))
			continue;
		err = cover(from, over);
		if (err)
			fail(0, over, strerror(-err));
	}
	cover_services();
}

/* Mounts of the host come in later, too, but none of ours goes out. */
static int own_mounts(void)
{
	return unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_SLAVE, NULL) ? -errno : 0;
}

/* In a shell of ours, whose supervisor is this one's, too. */
static bool is_there(int net)
{
	struct stat theirs, ours;

	return !fstat(net, &theirs) && !stat("/proc/thread-self/ns/net", &ours) &&
	       theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

static int enter(int daemon, bool *there)
{
	struct control_answer answer;
	int net = -1, err, status = ask(daemon, CONTROL_ENTER, -1, &answer, &net);

	if (status)
		return status;
	*there = net >= 0 && is_there(net);
	if (net < 0 || setns(net, CLONE_NEWNET))
		return fail(ASK_FAILED, "the daemon's network", strerror(net < 0 ? EPROTO : errno));
	close(net);
	err = answer.files[0] ? own_mounts() : 0;
	if (err)
		fail(0, "names are found as this host does: mount", strerror(-err));
	else if (answer.files[0])
		cover_files(answer.files);
	return ASK_DONE;
}

static int join(int daemon)
{
	struct control_answer answer;
	int fd = -1;

	return ask(daemon, CONTROL_JOIN, -1, &answer, &fd);
}

static int tell_calls(int daemon, bool sockets, bool there)
{
	struct control_answer answer;
	int fd = -1, listener = filter_install(sockets), status;

	if (listener == -EBUSY && there)
		return ASK_DONE;
	if (listener == -EBUSY)
		return fail(ASK_FAILED, "seccomp", "another supervisor has this process");
	if (listener < 0)
		return fail(ASK_FAILED, "seccomp", strerror(-listener));
	status = ask(daemon, CONTROL_LISTEN, listener, &answer, &fd);
	close(listener);
	return status;
}

/* ---- whose privileges */

static uid_t saved_uid;

void run_lower(void)
{
	saved_uid = geteuid();
	if (saved_uid != getuid() && seteuid(getuid()))
		exit(fail(ASK_FAILED, "becoming the caller", strerror(errno)));
}

void run_raise(void)
{
	if (saved_uid != getuid() && seteuid(saved_uid))
		exit(fail(ASK_FAILED, "becoming root again", strerror(errno)));
}

int run_as_caller(void)
{
	gid_t gid = getgid();
	uid_t uid = getuid();

	return setresgid(gid, gid, gid) || setresuid(uid, uid, uid) ? -errno : 0;
}

/* ---- the program */

static int start(char **words)
{
	int err = run_as_caller();

	if (err)
		return fail(ASK_FAILED, "becoming the caller", strerror(-err));
	execvp(words[0], words);
	return fail(errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE, words[0], strerror(errno));
}

static int run(const struct settings *settings, char **words)
{
	bool sockets = settings->dual || !is_privileged(), there = false;
	int daemon = connect_daemon(settings->control), status;

	if (daemon < 0) {
		fprintf(stderr,
			PROGRAM ": no daemon on %s" CONTROL_SUFFIX ": %s: does it run, and may you "
				"open its socket?\n",
			settings->control, strerror(-daemon));
		return ASK_NOT_RUNNING;
	}
	status = sockets ? join(daemon) : enter(daemon, &there);
	if (!status)
		status = tell_calls(daemon, sockets, there);
	close(daemon);
	return status ? status : start(words);
}

int resoa_run(const struct settings *settings, char **words)
{
	char *shell[] = { getenv("SHELL"), NULL };

	if (!shell[0] || !shell[0][0])
		shell[0] = "/bin/sh";
	if (!strcmp(words[0], "shell") && words[1])
		return fail(ASK_USAGE, "shell", "takes no words: run -- PROGRAM does");
	if (!strcmp(words[0], "run") && !words[1])
		return fail(ASK_USAGE, "run", "which program? run -- PROGRAM [ARGUMENT]...");
	return run(settings, strcmp(words[0], "shell") ? words + 1 : shell);
}
