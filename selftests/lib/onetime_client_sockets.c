// SPDX-License-Identifier: GPL-3.0-or-later
/* Sockets of both sides, and what the tests of them share. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_client.h"

/* ---- a test's beginning and end */

static int clients[4];

int oclient_set_up(void **state)
{
	(void)state;
	if (!oclient_open())
		oclient_attach_clients(oc.cgroup_fd, false, clients);
	return 0;
}

int oclient_tear_down(void **state)
{
	(void)state;
	if (oc.skel)
		oclient_detach(clients);
	oclient_close();
	return 0;
}

void oclient_without_clients(void (*call)(void))
{
	oclient_detach(clients);
	call();
	oclient_attach_clients(oc.cgroup_fd, false, clients);
}

int oclient_begin(void **state)
{
	(void)state;
	if (!oc.skel) {
		printf("no cgroup2 file system is mounted\n");
		skip();
	}
	oclient_clear();
	return 0;
}

int oclient_end(void **state)
{
	int leaks = oc.skel ? oclient_leaks() : 0;

	(void)state;
	if (leaks && !oc.may_leak)
		print_error("%d packets with the host's own address\n", leaks);
	return leaks && !oc.may_leak;
}

void oclient_lenient(void)
{
	oc.conf.strict = 0;
	oc.may_leak = true;
	oclient_put_conf();
}

struct onetime_addr oclient_entry(const struct isthmus_addr *addr)
{
	struct onetime_addr value;

	assert_true(oclient_get(addr, &value));
	return value;
}

void oclient_bind(int fd, const char *address, uint16_t port)
{
	socklen_t len;
	struct sockaddr_storage name = oclient_sockaddr(address, port, &len);

	must(bind(fd, (struct sockaddr *)&name, len));
}

/* ---- what the peer received */

static bool is_own(const __u8 *packet, size_t len)
{
	static const __u8 own6[16] = { 0x20, 1, 0x0d, 0xb8, 0, 1, [15] = 1 };
	static const __u8 own4[4] = { 192, 0, 2, 1 };
	const __u8 *ip = packet + ETH_HLEN;

	if (len >= ETH_HLEN + 40 && ip[0] >> 4 == 6)
		return (ip[6] == IPPROTO_TCP || ip[6] == IPPROTO_UDP ||
			ip[6] == IPPROTO_FRAGMENT) &&
		       !memcmp(ip + 8, own6, 16);
	if (len >= ETH_HLEN + 20 && ip[0] >> 4 == 4 && packet[12] == 8 && !packet[13])
		return (ip[9] == IPPROTO_TCP || ip[9] == IPPROTO_UDP) && !memcmp(ip + 12, own4, 4);
	return false;
}

int oclient_leaks(void)
{
	__u8 packet[2048];
	int leaks = 0;
	ssize_t len;

	while ((len = recv(oc.capture, packet, sizeof(packet), MSG_DONTWAIT)) >= 0)
		leaks += is_own(packet, len);
	return leaks;
}

/* ---- sockets */

struct isthmus_addr oclient_address(const char *text)
{
	struct isthmus_addr addr = { .b = { [10] = 0xff, [11] = 0xff } };

	if (inet_pton(AF_INET, text, addr.b + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, addr.b), 1);
	return addr;
}

struct sockaddr_storage oclient_sockaddr(const char *address, uint16_t port, socklen_t *len)
{
	struct sockaddr_storage storage = {};
	struct sockaddr_in6 *v6 = (void *)&storage;
	struct sockaddr_in *v4 = (void *)&storage;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*len = sizeof(*v4);
		return storage;
	}
	memset(&storage, 0, sizeof(storage));
	assert_int_equal(inet_pton(AF_INET6, address, &v6->sin6_addr), 1);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	if (v6->sin6_addr.s6_addr[0] == 0xfe || v6->sin6_addr.s6_addr[0] == 0xff)
		v6->sin6_scope_id = if_nametoindex("eth0");
	*len = sizeof(*v6);
	return storage;
}

int oclient_connect(int fd, const char *address, uint16_t port)
{
	socklen_t len;
	struct sockaddr_storage to = oclient_sockaddr(address, port, &len);

	return connect(fd, (struct sockaddr *)&to, len) ? errno : 0;
}

int oclient_unconnect(int fd)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	return connect(fd, &none, sizeof(none)) ? errno : 0;
}

int oclient_sendto(int fd, const char *text, const char *address, uint16_t port)
{
	socklen_t len;
	struct sockaddr_storage to = oclient_sockaddr(address, port, &len);

	return sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, len) < 0 ? errno : 0;
}

int oclient_open_to(int type, const char *address)
{
	int fd = must(socket(strchr(address, ':') ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0));

	assert_int_equal(oclient_connect(fd, address, OCLIENT_PORT), 0);
	return fd;
}

static struct isthmus_addr address_of(const struct sockaddr_storage *from, uint16_t *port)
{
	struct isthmus_addr addr = { .b = { [10] = 0xff, [11] = 0xff } };

	if (port)
		*port = ntohs(((const struct sockaddr_in *)from)->sin_port);
	if (from->ss_family == AF_INET)
		memcpy(addr.b + 12, &((const struct sockaddr_in *)from)->sin_addr, 4);
	else
		memcpy(addr.b, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
	return addr;
}

struct isthmus_addr oclient_local(int fd)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	must(getsockname(fd, (struct sockaddr *)&name, &len));
	return address_of(&name, NULL);
}

bool oclient_is_ea(const struct isthmus_addr *addr)
{
	struct isthmus_addr pool4 = oclient_ea(AF_INET, 0), pool6 = oclient_ea(AF_INET6, 0);

	return !memcmp(addr, &pool4, 15) || !memcmp(addr, &pool6, 8);
}

static bool readable(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, assume_ms(1000)) == 1;
}

int oclient_accept(struct isthmus_addr *from)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int fd;

	assert_true(readable(oc.tcp));
	fd = must(accept4(oc.tcp, (struct sockaddr *)&name, &len, SOCK_CLOEXEC));
	*from = address_of(&name, NULL);
	return fd;
}

void oclient_receive(const char *text, struct isthmus_addr *from, uint16_t *port)
{
	char got[100] = {}, control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {};
	struct sockaddr_storage name;
	struct iovec data = { .iov_base = got, .iov_len = sizeof(got) - 1 };
	struct msghdr msg = { .msg_name = &name,
			      .msg_namelen = sizeof(name),
			      .msg_iov = &data,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };

	assert_true(readable(oc.udp));
	must(recvmsg(oc.udp, &msg, 0));
	assert_string_equal(got, text);
	assert_non_null(CMSG_FIRSTHDR(&msg));
	memcpy(&oc.asked, CMSG_DATA(CMSG_FIRSTHDR(&msg)), 16);
	*from = address_of(&name, port);
}

int oclient_send_from(int fd, const char *text, const struct isthmus_addr *from,
		      const struct isthmus_addr *to, uint16_t port)
{
	char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {};
	struct sockaddr_in6 name = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct iovec data = { .iov_base = (void *)text, .iov_len = strlen(text) };
	struct msghdr msg = { .msg_name = &name,
			      .msg_namelen = sizeof(name),
			      .msg_iov = &data,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	memcpy(&name.sin6_addr, to, 16);
	cmsg->cmsg_level = IPPROTO_IPV6;
	cmsg->cmsg_type = IPV6_PKTINFO;
	cmsg->cmsg_len = CMSG_LEN(sizeof(struct in6_pktinfo));
	memcpy(CMSG_DATA(cmsg), from, 16);
	return sendmsg(fd, &msg, 0) < 0 ? errno : 0;
}

void oclient_answer(const char *text, const struct isthmus_addr *to, uint16_t port)
{
	assert_int_equal(oclient_send_from(oc.udp, text, &oc.asked, to, port), 0);
}

int oclient_peer_socket(int type, uint16_t port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd, on = 1;

	assume_ns_enter(oc.peer_ns);
	fd = must(socket(AF_INET6, type | SOCK_CLOEXEC, 0));
	must(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)));
	must(bind(fd, (struct sockaddr *)&any, sizeof(any)));
	if (type == SOCK_STREAM)
		must(listen(fd, 1024));
	assume_ns_enter(oc.ns);
	return fd;
}
