// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agents/lib/address.h"
#include "resoad_client.h"

/* ---- the server */

static void run(const char *command)
{
	if (system(command)) {
		fprintf(stderr, "failed: %s\n", command);
		abort();
	}
}

void rc_network(void)
{
	if (unshare(CLONE_NEWNET)) {
		perror("unshare");
		abort();
	}
	run("ip link set lo up && ip link add v0 type veth peer name v1 &&"
	    "sysctl -qw net.ipv6.conf.v0.accept_dad=0 &&"
	    "ip addr add " RC_LOCAL4 "/24 dev v0 && ip -6 addr add " RC_LOCAL6 "/64 dev v0 nodad &&"
	    "ip link set v0 up && ip link set v1 up &&"
	    "sysctl -qw net.ipv4.ip_local_port_range='40000 49999'");
}

static void write_sections(const char *path, const char *sections)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, sections, strlen(sections)) != (ssize_t)strlen(sections))
		abort();
	close(fd);
}

/* Its socket file is there before it listens. */
static void wait_for_listener(const char *folder)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s/lhp", folder);
	for (int i = 0; i < 500 && connect(fd, (struct sockaddr *)&name, sizeof(name)); i++)
		usleep(10000);
	close(fd);
}

void rc_server_start(struct rc_server *server, const char *sections, const char *const *options)
{
	const char *argv[32] = {
		"isthmus-resoad", "run", "--device", "v0", "--log-level", "error"
	};
	char program[256];
	int n = 6;

	strcpy(server->folder, "/tmp/resoad-XXXXXX");
	if (!mkdtemp(server->folder))
		abort();
	snprintf(server->place, sizeof(server->place), "unix:%s/lhp", server->folder);
	snprintf(server->clients, sizeof(server->clients), "%s/clients", server->folder);
	snprintf(server->control, sizeof(server->control), "%s/control", server->folder);
	write_sections(server->clients, sections);
	argv[n++] = "--listen";
	argv[n++] = server->place;
	argv[n++] = "--clients";
	argv[n++] = server->clients;
	argv[n++] = "--control";
	argv[n++] = server->control;
	while (options && *options)
		argv[n++] = *options++;
	snprintf(program, sizeof(program), "%s/isthmus-resoad",
		 getenv("B") ? getenv("B") : "build");
	server->pid = fork();
	if (!server->pid) {
		execv(program, (char **)argv);
		_exit(127);
	}
	wait_for_listener(server->folder);
}

void rc_server_rewrite(struct rc_server *server, const char *sections)
{
	write_sections(server->clients, sections);
	kill(server->pid, SIGHUP);
}

void rc_server_stop(struct rc_server *server, int signal)
{
	char command[128];
	int status;

	kill(server->pid, signal);
	waitpid(server->pid, &status, 0);
	snprintf(command, sizeof(command), "rm -r %s", server->folder);
	run(command);
	if (signal == SIGTERM && (!WIFEXITED(status) || WEXITSTATUS(status))) {
		fprintf(stderr, "the server's end: %d\n", status);
		abort();
	}
}

/* ---- the client */

static void on_opened(struct lhp *lhp, void *arg)
{
	struct rc *rc = arg;

	(void)lhp;
	rc->open = true;
}

static void on_message(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len,
		       void *arg)
{
	struct rc *rc = arg;
	struct rc_mail *mail = malloc(sizeof(*mail) + len + 1);

	(void)lhp;
	mail->next = NULL;
	mail->stream = stream;
	if (ep_parse(bytes, len, &mail->message)) {
		fprintf(stderr, "a message that is none, of %zu bytes\n", len);
		abort();
	}
	memcpy(mail->body, mail->message.body_len ? mail->message.body : "",
	       mail->message.body_len);
	mail->message.body = mail->body;
	if (rc->first)
		rc->last->next = mail;
	else
		rc->first = mail;
	rc->last = mail;
}

static void on_closed(struct lhp *lhp, const char *why, void *arg)
{
	struct rc *rc = arg;

	(void)lhp;
	(void)why;
	rc->lhp = NULL;
}

static const struct lhp_handler handler = { .opened = on_opened,
					    .message = on_message,
					    .closed = on_closed };

int rc_limit_ms(void)
{
	const char *slow = getenv("SLOW");
	int factor = slow ? atoi(slow) : 1;

	return 3000 * (factor > 1 && factor <= 100 ? factor : 1);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

/* One turn of the loop, at most `ms` long. */
static void turn(struct rc *rc, int ms)
{
	struct timeval limit = { ms / 1000, ms % 1000 * 1000 };

	event_base_loopexit(rc->base, &limit);
	event_base_loop(rc->base, EVLOOP_ONCE);
}

void rc_run(struct rc *rc, int ms)
{
	int64_t end = now_ms() + ms;

	while (now_ms() < end)
		turn(rc, 2);
}

static struct rc_mail *take(struct rc *rc, uint32_t stream, uint8_t type)
{
	struct rc_mail **at = &rc->first, *before = NULL, *mail;

	while ((mail = *at) && (mail->stream != stream || (type && mail->message.type != type))) {
		before = mail;
		at = &mail->next;
	}
	if (!mail)
		return NULL;
	*at = mail->next;
	if (rc->last == mail)
		rc->last = before;
	return mail;
}

const struct ep_message *rc_wait(struct rc *rc, uint32_t stream, uint8_t type, int ms)
{
	int64_t end = now_ms() + ms;
	struct rc_mail *mail;

	free(rc->taken);
	rc->taken = NULL;
	while (!(mail = take(rc, stream, type)) && now_ms() < end && rc->lhp)
		turn(rc, 2);
	rc->taken = mail;
	return mail ? &mail->message : NULL;
}

bool rc_open(struct rc *rc, const struct rc_server *server, const char *name)
{
	const struct ep_message hello = { .type = EP_REGISTER, .body = "{}", .body_len = 2 };
	struct lhp_identity identity = { 0 };
	const struct ep_message *answer;
	int64_t end = now_ms() + RC_MS;
	char error[256];

	memset(rc, 0, sizeof(*rc));
	strcpy(identity.name, name);
	memset(identity.key, name[0], sizeof(identity.key));
	rc->base = event_base_new();
	rc->lhp =
		lhp_connect(rc->base, server->place, &identity, &handler, rc, error, sizeof(error));
	while (rc->lhp && !rc->open && now_ms() < end)
		turn(rc, 2);
	if (!rc->lhp || !rc->open)
		return false;
	rc_send(rc, 0, &hello);
	answer = rc_wait(rc, 0, EP_REGISTERED, RC_MS);
	if (answer)
		snprintf(rc->registered, sizeof(rc->registered), "%.*s", (int)answer->body_len,
			 (const char *)answer->body);
	return answer;
}

void rc_close(struct rc *rc)
{
	struct rc_mail *mail;

	lhp_free(rc->lhp);
	while ((mail = rc->first)) {
		rc->first = mail->next;
		free(mail);
	}
	free(rc->taken);
	event_base_free(rc->base);
	memset(rc, 0, sizeof(*rc));
}

void rc_send(struct rc *rc, uint32_t stream, const struct ep_message *message)
{
	if (rc->lhp)
		ep_send(rc->lhp, stream, message);
}

struct ep_name rc_name(uint8_t proto, const char *address, uint16_t port)
{
	struct ep_name name = { .port = htons(port), .proto = proto };

	name.family = strchr(address, ':') ? 6 : 4;
	if (strcmp(address, "0.0.0.0") && strcmp(address, "::") &&
	    address_parse(address, &name.address))
		abort();
	return name;
}

/* ---- in few words */

static int result(struct rc *rc, uint32_t id)
{
	const struct ep_message *answer = rc_wait(rc, id, EP_RESULT, RC_MS);

	return answer ? answer->error : -1;
}

int rc_connect(struct rc *rc, uint32_t id, const char *local, uint16_t port, const char *remote,
	       uint16_t remote_port)
{
	rc_send(rc, id,
		&(struct ep_message){ .type = EP_CONNECT,
				      .name = rc_name(IPPROTO_TCP, local, port),
				      .other = rc_name(IPPROTO_TCP, remote, remote_port) });
	return result(rc, id);
}

int rc_listen(struct rc *rc, uint32_t id, const char *local, uint16_t port, int backlog)
{
	rc_send(rc, id,
		&(struct ep_message){ .type = EP_LISTEN,
				      .name = rc_name(IPPROTO_TCP, local, port),
				      .number = backlog });
	return result(rc, id);
}

int rc_bind(struct rc *rc, uint32_t id, uint8_t proto, const char *local, uint16_t port)
{
	rc_send(rc, id,
		&(struct ep_message){ .type = EP_BIND, .name = rc_name(proto, local, port) });
	return result(rc, id);
}

void rc_data(struct rc *rc, uint32_t id, const void *bytes, size_t len)
{
	rc_send(rc, id, &(struct ep_message){ .type = EP_DATA, .body = bytes, .body_len = len });
}

void rc_credit(struct rc *rc, uint32_t id, uint64_t number, uint64_t read)
{
	rc_send(rc, id, &(struct ep_message){ .type = EP_CREDIT, .number = number, .read = read });
}

void rc_say(struct rc *rc, uint32_t id, uint8_t type, uint64_t number)
{
	rc_send(rc, id, &(struct ep_message){ .type = type, .number = number });
}

size_t rc_read(struct rc *rc, uint32_t id, void *bytes, size_t len, int ms)
{
	const struct ep_message *message;
	size_t have = 0;

	while (have < len && (message = rc_wait(rc, id, EP_DATA, ms))) {
		memcpy((char *)bytes + have, message->body, message->body_len);
		have += message->body_len;
	}
	return have;
}

/* ---- the host's own sockets */

static socklen_t make_address(const char *address, uint16_t port, struct sockaddr_storage *to)
{
	struct isthmus_addr addr;

	if (address_parse(address, &addr))
		abort();
	return address_to_sockaddr(&addr, htons(port), to);
}

int rc_listener(const char *address, uint16_t port)
{
	struct sockaddr_storage at;
	socklen_t len = make_address(address, port, &at);
	int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&at, len) || listen(fd, 128)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int rc_accept(int listener, int ms)
{
	struct pollfd wait = { .fd = listener, .events = POLLIN };

	return poll(&wait, 1, ms) > 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
}

int rc_dial(const char *address, uint16_t port)
{
	struct sockaddr_storage to;
	socklen_t len = make_address(address, port, &to);
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&to, len)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

ssize_t rc_recv(struct rc *rc, int fd, void *bytes, size_t len, int flags, int ms)
{
	int64_t end = now_ms() + ms;
	ssize_t n;

	while ((n = recv(fd, bytes, len, flags | MSG_DONTWAIT)) < 0 && errno == EAGAIN &&
	       now_ms() < end)
		turn(rc, 2);
	return n < 0 ? -errno : n;
}

int rc_tcp_state(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? -1 : info.tcpi_state;
}
