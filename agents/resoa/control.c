// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The daemon's two control sockets: commands' (lib/ask.h, root's alone), and that of `run`
 * (control.h), which the group of the settings may use, too. And the server's files, by which
 * programs resolve names as the server does.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../lib/ask.h"
#include "../lib/log.h"
#include "../lib/metrics.h"
#include "control.h"
#include "resoa.h"
#include "status.h"

#define RUNS_MAX  64 /* that are being started at one time */
#define RUN_S	  10 /* for a start */
#define LINE_LEN  4096
#define FILE_MODE 0644

struct run {
	struct control *control;
	int fd;
	bool told; /* what LISTEN needs */
	struct event *event;
	struct run *next;
};

struct control {
	struct resoa *resoa;
	struct ask_server ask;
	struct metrics *metrics;
	int fd;
	struct event *event;
	struct run *runs;
	unsigned int count;
	char path[CONTROL_PATH_LEN], files[CONTROL_PATH_LEN];
};

/* ---- the server's files */

/* In place: programs that run have it mounted. */
static int write_file(const struct control *control, const char *name, const char *text, size_t len)
{
	char path[CONTROL_PATH_LEN + 32];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", control->files, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, FILE_MODE) || pwrite(fd, text, len, 0) != (ssize_t)len ||
	    ftruncate(fd, (off_t)len))
		err = -errno;
	close(fd);
	return err;
}

static bool is_hosts(const char *line)
{
	return !strncmp(line + strspn(line, " \t"), "hosts:", 6);
}

static void copy_lines(FILE *out, FILE *in, bool hosts)
{
	char line[LINE_LEN];

	while (fgets(line, sizeof(line), in))
		if (is_hosts(line) == hosts)
			fputs(line, out);
}

/* Users, groups and the rest are of this host; only how hosts are found is the server's. */
static int write_nsswitch(const struct control *control, const char *server)
{
	FILE *own = fopen("/etc/nsswitch.conf", "re");
	FILE *theirs = fmemopen((void *)server, strlen(server), "r");
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int err = -ENOMEM;

	if (out && own)
		copy_lines(out, own, false);
	if (out && theirs)
		copy_lines(out, theirs, true);
	if (out && !fclose(out))
		err = write_file(control, "nsswitch.conf", text, len);
	free(text);
	if (own)
		fclose(own);
	if (theirs)
		fclose(theirs);
	return err;
}

static int write_known(const struct control *control, const char *name, const char *text)
{
	if (!strcmp(name, "nsswitch.conf"))
		return *text ? write_nsswitch(control, text) : 0;
	if (strcmp(name, "resolv.conf") && strcmp(name, "hosts"))
		return 0;
	return write_file(control, name, text, strlen(text));
}

void control_registered(struct resoa *resoa)
{
	struct control *control = resoa->control;
	json_t *value;
	const char *name;
	int err;

	if (!control)
		return;
	json_object_foreach (json_object_get(resoa->registered, "files"), name, value) {
		if (!json_is_string(value))
			continue;
		err = write_known(control, name, json_string_value(value));
		if (err)
			log_warn("%s/%.32s: %s", control->files, name, strerror(-err));
	}
}

static void remove_files(const struct control *control)
{
	static const char *const names[] = { "resolv.conf", "hosts", "nsswitch.conf" };
	char path[CONTROL_PATH_LEN + 32];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", control->files, names[i]);
		unlink(path);
	}
}

/* ---- what `run` asks */

static void run_free(struct run *run)
{
	struct run **at = &run->control->runs;

	while (*at != run)
		at = &(*at)->next;
	*at = run->next;
	run->control->count--;
	event_free(run->event);
	close(run->fd);
	free(run);
}

static void answer(struct run *run, int error, const char *text, const char *files, int fd)
{
	struct control_answer packet = { .error = error };

	snprintf(packet.text, sizeof(packet.text), "%s", text);
	snprintf(packet.files, sizeof(packet.files), "%s", files);
	control_send(run->fd, &packet, sizeof(packet), fd);
}

/* The namespace is root's: in it any port could be scanned for by raw sockets, or devices changed.
 */
static bool is_root(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) && !peer.uid;
}

static void begin(struct run *run, uint32_t op)
{
	struct resoa *resoa = run->control->resoa;

	if (op != CONTROL_ENTER && op != CONTROL_JOIN) {
		answer(run, EPROTO, "an unknown question", "", -1);
	} else if (op == CONTROL_ENTER && !is_root(run->fd)) {
		answer(run, EPERM, "only root enters the network; --dual is for all", "", -1);
	} else if (!resoa->registered) {
		answer(run, ENETDOWN, "not registered with a server yet", "", -1);
	} else {
		run->told = true;
		control_registered(resoa);
		answer(run, 0, "", run->control->files,
		       op == CONTROL_ENTER ? resoa->net.ns[NET_A] : -1);
	}
}

static void listen_to(struct run *run, int fd)
{
	if (fd < 0 || !run->told) {
		answer(run, EPROTO, "a listener without its beginning", "", -1);
		if (fd >= 0)
			close(fd);
		return;
	}
	if (notify_add(run->control->resoa, fd))
		answer(run, EINVAL, "that is no listener of seccomp(2)", "", -1);
	else
		answer(run, 0, "", "", -1);
}

static void on_question(evutil_socket_t number, short what, void *arg)
{
	struct run *run = arg;
	struct control_ask ask;
	int fd = -1, err;

	(void)number;
	err = what & EV_TIMEOUT ? -ETIMEDOUT : control_receive(run->fd, &ask, sizeof(ask), &fd);
	if (err) {
		run_free(run);
		return;
	}
	if (ask.version != CONTROL_VERSION)
		answer(run, EPROTO, "the daemon is of another version", "", -1);
	else if (ask.op == CONTROL_LISTEN)
		listen_to(run, fd);
	else
		begin(run, ask.op);
	if (ask.op != CONTROL_LISTEN && fd >= 0)
		close(fd);
}

static void on_connection(evutil_socket_t listener, short what, void *arg)
{
	const struct timeval wait = { .tv_sec = RUN_S };
	struct control *control = arg;
	struct run *run;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	run = control->count < RUNS_MAX ? calloc(1, sizeof(*run)) : NULL;
	if (run)
		run->event =
			event_new(control->resoa->base, fd, EV_READ | EV_PERSIST, on_question, run);
	if (!run || !run->event || event_add(run->event, &wait)) {
		if (run && run->event)
			event_free(run->event);
		free(run);
		close(fd);
		return;
	}
	run->fd = fd;
	run->control = control;
	run->next = control->runs;
	control->runs = run;
	control->count++;
}

/* ---- the socket of `run` */

static int give_group(const char *path, const char *name, char *error, size_t error_len)
{
	const struct group *group = getgrnam(name);

	if (group && !chown(path, (uid_t)-1, group->gr_gid) && !chmod(path, 0660))
		return 0;
	snprintf(error, error_len, "%s cannot be given to group %s: %s", path, name,
		 group ? strerror(errno) : "there is none");
	return -EINVAL;
}

/* ask_listen() has seen that no other daemon has the path. */
static int listen_run(struct control *control, char *error, size_t error_len)
{
	const char *group = control->resoa->settings->group;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int err = 0;

	if (strlen(control->path) >= sizeof(address.sun_path)) {
		snprintf(error, error_len, "%s: the path is too long", control->path);
		return -ENAMETOOLONG;
	}
	strcpy(address.sun_path, control->path);
	control->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(control->path);
	mask = umask(0177);
	if (control->fd < 0 || bind(control->fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(control->fd, RUNS_MAX))
		err = -errno;
	umask(mask);
	if (err)
		snprintf(error, error_len, "%s: %s", control->path, strerror(-err));
	else if (group)
		err = give_group(control->path, group, error, error_len);
	return err;
}

static int watch(struct control *control)
{
	control->event = event_new(control->resoa->base, control->fd, EV_READ | EV_PERSIST,
				   on_connection, control);
	return control->event && !event_add(control->event, NULL) ? 0 : -ENOMEM;
}

int control_open(struct resoa *resoa, char *error, size_t error_len)
{
	const char *path = resoa->settings->control;
	struct control *control = calloc(1, sizeof(*control));
	int err;

	snprintf(error, error_len, "out of memory");
	if (!control)
		return -ENOMEM;
	resoa->control = control;
	control->resoa = resoa;
	control->fd = -1;
	control->ask = (struct ask_server){ .status = status_json,
					    .command = status_command,
					    .arg = resoa };
	snprintf(control->path, sizeof(control->path), "%s" CONTROL_SUFFIX, path);
	snprintf(control->files, sizeof(control->files), "%s" CONTROL_FILES, path);
	err = ask_listen(&control->ask, resoa->base, path, error, error_len);
	if (!err)
		err = listen_run(control, error, error_len);
	if (!err)
		err = watch(control);
	if (!err && mkdir(control->files, 0755) && errno != EEXIST) {
		err = -errno;
		snprintf(error, error_len, "%s: %s", control->files, strerror(-err));
	}
	if (!err && resoa->settings->metrics) {
		control->metrics = metrics_listen(resoa->base, resoa->settings->metrics,
						  status_collect, resoa, error, error_len);
		err = control->metrics ? 0 : -EINVAL;
	}
	if (err)
		control_close(resoa);
	return err;
}

void control_close(struct resoa *resoa)
{
	struct control *control = resoa->control;

	if (!control)
		return;
	while (control->runs)
		run_free(control->runs);
	if (control->event)
		event_free(control->event);
	if (control->fd >= 0) {
		close(control->fd);
		unlink(control->path);
		remove_files(control);
		rmdir(control->files);
	}
	metrics_free(control->metrics);
	ask_close(&control->ask);
	free(control);
	resoa->control = NULL;
}
