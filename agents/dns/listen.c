// SPDX-License-Identifier: GPL-3.0-or-later
/* Sockets that questions come to: one for UDP and one for TCP at each address. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/address.h"
#include "dns.h"

#define TCP_BACKLOG   256
#define RECEIVE_BYTES (4 << 20) /* so that a burst waits rather than is lost */

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

static bool is_any(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ((const struct sockaddr_in *)address)->sin_addr.s_addr == INADDR_ANY;
	return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* Answers leave from the address that was asked: it is told with each packet where it can be any.
 */
static int prepare(int fd, const struct sockaddr_storage *address, int type)
{
	int family = address->ss_family, rc = 0;

	if (family == AF_INET6)
		rc = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (type == SOCK_STREAM)
		return rc ? rc : set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_option(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES); /* as far as the system allows */
	if (!rc && family == AF_INET6 && is_any(address))
		rc = set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (!rc && family == AF_INET && is_any(address))
		rc = set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
	/* Never by a path MTU that somebody pretends: answers fit, or are fragmented on the way. */
	if (!rc && family == AF_INET)
		rc = set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
	if (!rc && family == AF_INET6)
		rc = set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
	return rc;
}

static int open_socket(const struct sockaddr_storage *address, socklen_t len, int type)
{
	int fd = socket(address->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return -errno;
	rc = prepare(fd, address, type);
	if (!rc && bind(fd, (const struct sockaddr *)address, len))
		rc = -errno;
	if (!rc && type == SOCK_STREAM && listen(fd, TCP_BACKLOG))
		rc = -errno;
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

static int watch(struct listener *listener)
{
	struct event_base *base = listener->dns->base;

	listener->udp_event =
		event_new(base, listener->udp, EV_READ | EV_PERSIST, udp_ready, listener);
	listener->tcp_event =
		event_new(base, listener->tcp, EV_READ | EV_PERSIST, tcp_ready, listener);
	if (!listener->udp_event || !listener->tcp_event || event_add(listener->udp_event, NULL) ||
	    event_add(listener->tcp_event, NULL))
		return -ENOMEM;
	return 0;
}

static int listen_at(struct dns *dns, const struct isthmus_addr *address, uint16_t port)
{
	struct listener *listener = &dns->listeners[dns->listener_count];
	struct sockaddr_storage storage;
	socklen_t len = address_to_sockaddr(address, htons(port), &storage);

	listener->dns = dns;
	listener->tcp = -1;
	listener->udp = open_socket(&storage, len, SOCK_DGRAM);
	if (listener->udp < 0)
		return listener->udp;
	dns->listener_count++; /* listen_close() frees it */
	listener->tcp = open_socket(&storage, len, SOCK_STREAM);
	if (listener->tcp < 0)
		return listener->tcp;
	return watch(listener);
}

int listen_on(struct dns *dns, const char *where, char *error)
{
	static const char *const any[] = { "0.0.0.0", "::" };
	struct isthmus_addr address;
	char host[ADDRESS_TEXT_LEN];
	uint16_t port;
	int rc = 0;

	if (address_split(where, host, sizeof(host), &port) ||
	    (host[0] && address_parse(host, &address))) {
		snprintf(error, ERROR_LEN, "listen '%.100s' is not [ADDRESS]:PORT", where);
		return -EINVAL;
	}
	for (int i = 0; i < (host[0] ? 1 : 2) && !rc; i++) {
		if (!host[0])
			address_parse(any[i], &address);
		rc = dns->listener_count == LISTENERS_MAX ? -ENOSPC
							  : listen_at(dns, &address, port);
		if (rc == -EAFNOSUPPORT && !host[0]) /* a system without IPv6 */
			rc = 0;
	}
	if (rc)
		snprintf(error, ERROR_LEN, "cannot listen on '%.100s': %s%s", where, strerror(-rc),
			 rc == -EADDRINUSE ? "; does another server (or systemd-resolved) use it?"
			 : rc == -EACCES   ? "; be root or choose a port above 1023"
					   : "");
	return rc;
}

void listen_close(struct dns *dns)
{
	for (unsigned int i = 0; i < dns->listener_count; i++) {
		struct listener *listener = &dns->listeners[i];

		if (listener->udp_event)
			event_free(listener->udp_event);
		if (listener->tcp_event)
			event_free(listener->tcp_event);
		close(listener->udp);
		if (listener->tcp >= 0)
			close(listener->tcp);
	}
	dns->listener_count = 0;
}
