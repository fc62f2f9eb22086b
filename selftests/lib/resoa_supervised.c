// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agents/resoa/control.h"
#include "agents/resoa/filter.h"
#include "agents/resoa/option.h"
#include "resoa_supervised.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define TEST_S 20

struct resoa resoa;
struct lhp *const notify_server = (struct lhp *)&resoa; /* not NULL: registered */
int notify_asked, notify_closed, notify_late_us;
int notify_granted[65536][2][2];
int notify_other_ns;

/* ---- the core, as little as there must be */

struct answer {
	uint32_t rsock;
	struct ep_message message;
};

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct answer *answer = arg;
	struct rsock *rsock = rsock_of_id(&resoa, answer->rsock);

	(void)fd, (void)what;
	if (rsock && answer->message.type == EP_VALUE)
		value_message(rsock, &answer->message);
	else if (rsock)
		bind_message(rsock, &answer->message);
	free(answer);
}

static void server_bind(uint32_t rsock, const struct ep_message *message)
{
	struct timeval when = { .tv_usec = notify_late_us };
	struct answer *answer = calloc(1, sizeof(*answer));

	notify_asked++;
	answer->rsock = rsock;
	answer->message.type = EP_RESULT;
	answer->message.name = message->name;
	switch (ntohs(message->name.port)) {
	case PORT_TAKEN:
		answer->message.error = EADDRINUSE;
		break;
	case PORT_DENIED:
		answer->message.error = EACCES;
		break;
	case PORT_LATE:
		when.tv_usec = 50000;
		break;
	case PORT_TAKEN4:
		answer->message.error = message->name.family == 4 ? EADDRINUSE : 0;
		break;
	case PORT_SILENT:
		free(answer);
		return;
	}
	event_base_once(resoa.base, -1, EV_TIMEOUT, on_answer, answer, &when);
}

/* TCP_INFO has a state and a round trip that no socket here has, and is short; nothing else is
 * known, and TCP_MAXSEG is not even answered. */
static void server_tell(uint32_t rsock, const struct ep_message *message)
{
	static struct tcp_info info = { .tcpi_state = TCP_CLOSING, .tcpi_rtt = NOTIFY_RTT };
	const struct timeval soon = { .tv_usec = 1000 };
	struct answer *answer;

	notify_asked++;
	if (message->option == TCP_MAXSEG)
		return;
	answer = calloc(1, sizeof(*answer));
	answer->rsock = rsock;
	answer->message = (struct ep_message){ .type = EP_VALUE,
					       .level = message->level,
					       .option = message->option };
	if (message->option == TCP_INFO) {
		answer->message.body = &info;
		answer->message.body_len = NOTIFY_INFO_LEN;
	} else {
		answer->message.error = ENOPROTOOPT;
	}
	event_base_once(resoa.base, -1, EV_TIMEOUT, on_answer, answer, &soon);
}

bool server_is_own(const struct resoa *asked, const struct ep_name *name)
{
	(void)asked, (void)name; /* it has told no addresses */
	return true;
}

int option_int(struct resoa *asked, uint64_t cookie, int level, int name, int otherwise)
{
	(void)asked, (void)cookie, (void)level, (void)name; /* no options either */
	return otherwise;
}

void program_drain(struct program *program)
{
	(void)program; /* no events here */
}

int lhp_send(struct lhp *lhp, uint32_t stream, enum lhp_class class, const struct iovec *parts,
	     int count)
{
	struct ep_message message;

	assert_ptr_equal(lhp, notify_server);
	assert_int_equal(class, LHP_RELIABLE);
	assert_true(count >= 1);
	assert_int_equal(ep_parse(parts[0].iov_base, parts[0].iov_len, &message), 0);
	if (message.type == EP_BIND)
		server_bind(stream, &message);
	else if (message.type == EP_ASK)
		server_tell(stream, &message);
	else if (message.type == EP_CLOSE)
		notify_closed++;
	else
		fail();
	return 0;
}

void lhp_forget(struct lhp *lhp, uint32_t stream)
{
	(void)lhp, (void)stream;
}

void udp_end(struct rsock *rsock)
{
	(void)rsock;
}

void syn_free(struct rsock *rsock)
{
	(void)rsock;
}

void tcp_end(struct rsock *rsock)
{
	(void)rsock;
}

int program_port(struct program *program, const struct resoa_port_key *key, bool is)
{
	int *count = &notify_granted[ntohs(key->port)][key->proto == IPPROTO_UDP][key->family == 6];

	(void)program;
	*count += is ? 1 : -1;
	assert_true(*count >= 0);
	return 0;
}

int net_socket(const struct net *net, enum net_place place, int family, int type, int proto)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), fd;

	(void)net;
	assert_int_equal(place, NET_A);
	assert_int_equal(setns(notify_other_ns, CLONE_NEWNET), 0);
	fd = socket(family, type, proto);
	if (fd < 0)
		fd = -errno;
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	return fd;
}

/* ---- a child with the filter */

uint64_t notify_cookie_of(int fd, int option)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, option, &cookie, &len);
	return cookie;
}

__attribute__((noreturn)) static void run_child(int fd, bool sockets, int (*body)(int fd))
{
	int listener = filter_install(sockets);
	char go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(TEST_S);
	if (listener < 0 || control_send(fd, "", 1, listener) || read(fd, &go, 1) != 1)
		_exit(99);
	close(listener);
	_exit(body(fd));
}

struct notify_child notify_begin(bool sockets, int (*body)(int fd))
{
	struct notify_child child;
	int pair[2], listener;
	char byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	child.pid = fork();
	if (!child.pid) {
		close(pair[0]);
		run_child(pair[1], sockets, body);
	}
	close(pair[1]);
	child.fd = pair[0];
	assert_int_equal(control_receive(child.fd, &byte, 1, &listener), 0);
	assert_true(listener >= 0);
	assert_int_equal(notify_add(&resoa, listener), 0);
	assert_int_equal(write(child.fd, "g", 1), 1);
	return child;
}

void notify_turn(int ms)
{
	struct timeval wait = { .tv_usec = ms * 1000 };

	event_base_loopexit(resoa.base, &wait);
	event_base_dispatch(resoa.base);
}

int notify_wait_child(struct notify_child *child)
{
	int status = 0;

	for (int i = 0; i < TEST_S * 500 && waitpid(child->pid, &status, WNOHANG) == 0; i++)
		notify_turn(2);
	close(child->fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

int notify_run(bool sockets, int (*body)(int fd))
{
	struct notify_child child = notify_begin(sockets, body);

	return notify_wait_child(&child);
}

void notify_wait_closed(int count)
{
	for (int i = 0; i < 400 && notify_closed < count; i++)
		notify_turn(10);
	assert_int_equal(notify_closed, count);
}

/* ---- what children call: 0 or the errno */

int notify_try_bind(int fd, const char *address, int port)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };

	if (strchr(address, ':')) {
		inet_pton(AF_INET6, address, &a6.sin6_addr);
		return bind(fd, (struct sockaddr *)&a6, sizeof(a6)) ? errno : 0;
	}
	inet_pton(AF_INET, address, &a4.sin_addr);
	return bind(fd, (struct sockaddr *)&a4, sizeof(a4)) ? errno : 0;
}

int notify_bind_new(int type, const char *address, int port, bool only6)
{
	int family = strchr(address, ':') ? AF_INET6 : AF_INET, one = only6;
	int fd = socket(family, type, 0), error;

	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	error = notify_try_bind(fd, address, port);
	close(fd);
	return error;
}

/* ---- a namespace */

static void address4(const char *text)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq request = { .ifr_name = "lo" };
	struct sockaddr_in address = { .sin_family = AF_INET };

	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	strcpy(request.ifr_name, "lo:1");
	inet_pton(AF_INET, text, &address.sin_addr);
	memcpy(&request.ifr_addr, &address, sizeof(address));
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &request), 0);
	close(fd);
}

static void address6(const char *text)
{
	struct {
		struct in6_addr address;
		uint32_t prefix;
		int ifindex;
	} request = { .prefix = 128, .ifindex = (int)if_nametoindex("lo") };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	inet_pton(AF_INET6, text, &request.address);
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &request), 0);
	close(fd);
}

static int open_ns(void)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

int notify_setup(void **state)
{
	int fd;

	(void)state;
	notify_other_ns = open_ns();
	open_ns();
	address4("192.0.2.1");
	address6("2001:db8::1");
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	resoa.net.cookie[NET_A] = notify_cookie_of(fd, SO_NETNS_COOKIE);
	close(fd);
	resoa.base = event_base_new();
	resoa.rsocks = rsocks_new();
	resoa.lhp = notify_server;
	resoa.registered =
		json_pack("{s:[i,i], s:[i]}", "ports", LEASE_LOW, LEASE_HIGH, "granted", 3000);
	assert_int_equal(bind_open(&resoa), 0);
	bind_registered(&resoa);
	return 0;
}

int notify_teardown(void **state)
{
	(void)state;
	bind_close(&resoa);
	notify_close(&resoa);
	rsocks_free(resoa.rsocks);
	json_decref(resoa.registered);
	event_base_free(resoa.base);
	return 0;
}
