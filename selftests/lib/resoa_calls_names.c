// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: socket, bind, names. See resoa_calls.h. */
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/wait.h>

#include "resoa_calls.h"

static void socket_made(int family)
{
	int type = family == 6 ? AF_INET6 : AF_INET, fd;

	fd = MUST(socket(type, SOCK_STREAM, 0));
	SAY_OPTION(fd, SOL_SOCKET, SO_TYPE);
	SAY_OPTION(fd, SOL_SOCKET, SO_DOMAIN);
	SAY_OPTION(fd, SOL_SOCKET, SO_PROTOCOL);
	SAY_OPTION(fd, SOL_SOCKET, SO_ACCEPTCONN);
	SAY_OPTION(fd, SOL_SOCKET, SO_ERROR);
	say_local(fd);
	say_remote(fd);
	fd = MUST(socket(type, SOCK_DGRAM, 0));
	SAY_OPTION(fd, SOL_SOCKET, SO_TYPE);
	SAY_OPTION(fd, SOL_SOCKET, SO_PROTOCOL);
	say_local(fd);
	say_remote(fd);
	errno = 0;
	say("socket(type 77) %s", socket(type, 77, 0) < 0 ? error_name(errno) : "made");
	say("socket(STREAM, UDP) %s",
	    socket(type, SOCK_STREAM, IPPROTO_UDP) < 0 ? error_name(errno) : "made");
	say("socket(DGRAM, TCP) %s",
	    socket(type, SOCK_DGRAM, IPPROTO_TCP) < 0 ? error_name(errno) : "made");
}

static void bind_any(int family)
{
	int fd = tcp(family);

	DO(bind_to(fd, any_of(family), 0));
	say_local(fd);
	DO(bind_to(fd, any_of(family), 0)); /* twice */
	fd = udp(family);
	DO(bind_to(fd, any_of(family), 0));
	say_local(fd);
}

static void bind_own(int family)
{
	int fd = tcp(family);

	DO(bind_to(fd, own_of(family), 0));
	say_local(fd);
	fd = tcp(family);
	DO(bind_to(fd, own_of(family), OWN_PORT));
	say_local(fd);
	fd = udp(family);
	DO(bind_to(fd, own_of(family), OWN_PORT));
	say_local(fd);
	fd = udp(family);
	DO(bind_to(fd, loop_of(family), OWN_PORT + 1));
	say_local(fd);
}

static void bind_foreign(int family)
{
	DO(bind_to(tcp(family), foreign_of(family), 0));
	DO(bind_to(tcp(family), peer_of(family), OWN_PORT));
	DO(bind_to(udp(family), foreign_of(family), 0));
	DO(bind_to(tcp(family), foreign_of(10 - family), 0)); /* the other family's */
}

static void bind_wrong(int family)
{
	struct sockaddr_storage name;
	socklen_t len = make_name(any_of(family), 0, &name);
	int fd = tcp(family);

	DO(bind(fd, (struct sockaddr *)&name, len - 8));
	DO(bind(fd, NULL, len));
	name.ss_family = AF_UNIX;
	DO(bind(fd, (struct sockaddr *)&name, len));
	DO(bind_to(0x7fff, any_of(family), 0));
	say_local(fd);
}

static void bind_in_use(int family)
{
	int first = tcp(family), second = tcp(family), third = tcp(family);

	DO(bind_to(first, any_of(family), OWN_PORT));
	DO(bind_to(second, any_of(family), OWN_PORT));
	DO(bind_to(second, own_of(family), OWN_PORT));
	set(first, SOL_SOCKET, SO_REUSEADDR, 1);
	set(second, SOL_SOCKET, SO_REUSEADDR, 1);
	DO(bind_to(second, any_of(family), OWN_PORT));
	DO(listen(first, 1));
	set(third, SOL_SOCKET, SO_REUSEADDR, 1);
	DO(bind_to(third, any_of(family), OWN_PORT));
	DO(listen(second, 1));
	close(first);
	DO(listen(second, 1));
	close(second);
	DO(bind_to(third, any_of(family), OWN_PORT));
}

static void bind_reuseport(int family)
{
	int first = tcp(family), second = tcp(family), third = tcp(family);

	set(first, SOL_SOCKET, SO_REUSEPORT, 1);
	set(second, SOL_SOCKET, SO_REUSEPORT, 1);
	DO(bind_to(first, any_of(family), OWN_PORT + 2));
	DO(bind_to(second, any_of(family), OWN_PORT + 2));
	DO(bind_to(third, any_of(family), OWN_PORT + 2));
	DO(listen(first, 1));
	DO(listen(second, 1));
}

/* A program of the server itself has it. */
static void bind_taken(int family)
{
	int fd = tcp(family);

	DO(bind_to(fd, any_of(family), TAKEN_PORT));
	DO(bind_to(fd, own_of(family), TAKEN_PORT));
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	DO(bind_to(fd, any_of(family), TAKEN_PORT));
	DO(bind_to(fd, any_of(family), OWN_PORT + 3));
	say_local(fd);
}

static void bind_released(int family)
{
	int round, fd;

	for (round = 0; round < 3; round++) {
		fd = tcp(family);
		DO(bind_to(fd, any_of(family), OWN_PORT + 4));
		DO(listen(fd, 1));
		close(fd);
	}
	fd = udp(family);
	DO(bind_to(fd, any_of(family), OWN_PORT + 4));
	close(fd);
	fd = udp(family);
	DO(bind_to(fd, any_of(family), OWN_PORT + 4));
}

static void bind_privileged(int family)
{
	int fd = tcp(family);

	DO(bind_to(fd, any_of(family), 81));
	say_local(fd);
	MUST(setgid(65534));
	MUST(setuid(65534));
	DO(bind_to(tcp(family), any_of(family), 82));
	DO(bind_to(udp(family), any_of(family), 82));
	DO(bind_to(tcp(family), any_of(family), OWN_PORT + 5));
}

static void bind_after_connect(int family)
{
	int fd = tcp_open(family);

	DO(bind_to(fd, any_of(family), 0));
	DO(bind_to(fd, own_of(family), OWN_PORT));
	say_local(fd);
	say_remote(fd);
}

static void bind_connect(int family)
{
	int fd = tcp(family), port = peer_port("tcp %d", family);

	DO(bind_to(fd, own_of(family), OWN_PORT + 6));
	DO(connect_to(fd, peer_of(family), port));
	say_local(fd);
	say_remote(fd);
	peer_accepts(fd);
	fd = tcp(family);
	DO(bind_to(fd, any_of(family), OWN_PORT + 7));
	DO(connect_to(fd, peer_of(family), port));
	say_local(fd);
	peer_accepts(fd);
	if (family == 6)
		return; /* it would wait for an answer that finds no way back */
	fd = tcp(family);
	DO(bind_to(fd, loop_of(family), 0));
	DO(connect_to(fd, peer_of(family), port));
}

/* One local port, two peers; then the same peer again. */
static void bind_shared_port(int family)
{
	int first = tcp(family), second = tcp(family), third = tcp(family);
	int one = peer_port("tcp %d", family), two = peer_port("tcp %d", family);

	set(first, SOL_SOCKET, SO_REUSEADDR, 1);
	set(second, SOL_SOCKET, SO_REUSEADDR, 1);
	set(third, SOL_SOCKET, SO_REUSEADDR, 1);
	DO(bind_to(first, own_of(family), OWN_PORT + 8));
	DO(bind_to(second, own_of(family), OWN_PORT + 8));
	DO(bind_to(third, own_of(family), OWN_PORT + 8));
	DO(connect_to(first, peer_of(family), one));
	DO(connect_to(second, peer_of(family), two));
	DO(connect_to(third, peer_of(family), two));
}

static void bind_no_port(int family)
{
	int fd = tcp(family), port = peer_port("tcp %d", family);

	set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	DO(bind_to(fd, own_of(family), 0));
	say_local(fd);
	DO(connect_to(fd, peer_of(family), port));
	say_local(fd);
	peer_accepts(fd);
}

static void bind_both_families(int family)
{
	int six = tcp(6), four = tcp(4);

	(void)family;
	DO(bind_to(six, "::", OWN_PORT + 9));
	DO(bind_to(four, "0.0.0.0", OWN_PORT + 9));
	close(six);
	DO(bind_to(four, "0.0.0.0", OWN_PORT + 9));
	six = tcp(6);
	DO(bind_to(six, "::", OWN_PORT + 9));
	set(six, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	DO(bind_to(six, "::", OWN_PORT + 9));
	SAY_OPTION(six, IPPROTO_IPV6, IPV6_V6ONLY);
	SET_OPTION(six, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	six = tcp(6);
	DO(bind_to(six, "::ffff:198.51.100.1", OWN_PORT + 10));
	say_local(six);
}

static void bind_groups(int family)
{
	DO(bind_to(tcp(family), family == 6 ? "ff02::1" : "224.0.0.1", OWN_PORT + 11));
	DO(bind_to(udp(family), family == 6 ? "ff02::1" : "224.0.0.1", OWN_PORT + 11));
	if (family == 4)
		DO(bind_to(tcp(4), "255.255.255.255", OWN_PORT + 11));
	if (family == 4)
		DO(bind_to(udp(4), "198.51.100.255", OWN_PORT + 11));
}

static void bind_device(int family)
{
	int fd = tcp(family), port = peer_port("tcp %d", family);

	DO(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "e0", 3));
	DO(connect_to(fd, peer_of(family), port));
	peer_accepts(fd);
	fd = tcp(family);
	DO(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nothing", 8));
	DO(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	DO(connect_to(fd, loop_of(family), CLOSED_PORT));
}

/* ---- names of hosts: the server's files, its name server */

static void resolve(const char *name, int family)
{
	struct addrinfo hints = { .ai_family = family == 6 ? AF_INET6 : AF_INET,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int error = getaddrinfo(name, "http", &hints, &found);

	if (error)
		say("getaddrinfo(%s) %s", name, gai_strerror(error));
	else
		say_name(name, found->ai_addr, found->ai_addrlen);
	if (found)
		freeaddrinfo(found);
}

static void resolves(int family)
{
	struct sockaddr_storage name;
	socklen_t len = make_name(peer_of(family), 80, &name);
	char host[100] = "";
	int error;

	resolve("localhost", family);
	resolve("only-the-server-knows", family);
	resolve("by-dns.example.net", family);
	resolve("not-there.example.net", family);
	error = getnameinfo((struct sockaddr *)&name, len, host, sizeof(host), NULL, 0,
			    NI_NAMEREQD);
	say("getnameinfo %s", error ? gai_strerror(error) : host);
}

const struct calls_case calls_names[] = {
	{ "socket", socket_made, CALLS_BOTH },
	{ "bind_any", bind_any, CALLS_BOTH },
	{ "bind_own", bind_own, CALLS_BOTH },
	{ "bind_foreign", bind_foreign, CALLS_BOTH },
	{ "bind_wrong", bind_wrong, CALLS_BOTH },
	{ "bind_in_use", bind_in_use, CALLS_BOTH },
	{ "bind_reuseport", bind_reuseport, CALLS_BOTH },
	{ "bind_taken", bind_taken, CALLS_BOTH },
	{ "bind_released", bind_released, CALLS_BOTH },
	{ "bind_privileged", bind_privileged, CALLS_BOTH },
	{ "bind_after_connect", bind_after_connect, CALLS_BOTH },
	{ "bind_connect", bind_connect, CALLS_BOTH },
	{ "bind_shared_port", bind_shared_port, CALLS_BOTH },
	{ "bind_no_port", bind_no_port, CALLS_BOTH },
	{ "bind_both_families", bind_both_families, CALLS_6 },
	{ "bind_groups", bind_groups, CALLS_BOTH },
	{ "bind_device", bind_device, CALLS_BOTH },
	{ "resolve", resolves, CALLS_BOTH },
	{ 0 },
};
