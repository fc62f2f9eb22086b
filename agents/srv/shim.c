// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Preloaded by isthmus-srv-run: an unmodified program finds services on their real ports.
 *
 * getaddrinfo(host, service): if the host has SRV records for the service, the addresses of their
 * targets with their ports, in the records' order; otherwise what libc says. A well-known number
 * stands for its service ("80" for http) unless ISTHMUS_SRV_NUMERIC is 0.
 *
 * getaddrinfo(host, NULL) then connect(address, port): the host is remembered by this thread and
 * the port is exchanged at connect().
 *
 * The list given back is made of entries of libc's own getaddrinfo(), so that its freeaddrinfo()
 * frees it. Other functions, which libc calls for itself, are not seen: getaddrinfo_a(3).
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "srv.h"

#define EXPORT	       __attribute__((visibility("default")))
#define REMEMBERED_MAX 16 /* addresses of a thread */

typedef int (*getaddrinfo_type)(const char *, const char *, const struct addrinfo *,
				struct addrinfo **);
typedef int (*connect_type)(int, const struct sockaddr *, socklen_t);

struct remembered {
	struct sockaddr_storage address;
	char host[NI_MAXHOST];
};

static __thread struct remembered remembered[REMEMBERED_MAX];
static __thread unsigned int remembered_next;

/* Two threads may both look it up; they find the same. */
static getaddrinfo_type real_getaddrinfo(void)
{
	static getaddrinfo_type real;
	getaddrinfo_type found = __atomic_load_n(&real, __ATOMIC_RELAXED);

	if (!found) {
		found = (getaddrinfo_type)dlsym(RTLD_NEXT, "getaddrinfo");
		__atomic_store_n(&real, found, __ATOMIC_RELAXED);
	}
	return found;
}

static connect_type real_connect(void)
{
	static connect_type real;
	connect_type found = __atomic_load_n(&real, __ATOMIC_RELAXED);

	if (!found) {
		found = (connect_type)dlsym(RTLD_NEXT, "connect");
		__atomic_store_n(&real, found, __ATOMIC_RELAXED);
	}
	return found;
}

static bool numeric_is_on(void)
{
	const char *value = getenv("ISTHMUS_SRV_NUMERIC");

	return !value || strcmp(value, "0");
}

/* ---- names and addresses */

static bool is_address(const char *host)
{
	uint8_t bytes[sizeof(struct in6_addr)];

	return inet_aton(host, (struct in_addr *)bytes) || inet_pton(AF_INET6, host, bytes) == 1 ||
	       strchr(host, ':'); /* with a zone: fe80::1%eth0 */
}

static bool ends_in(const char *host, const char *end)
{
	size_t len = strlen(host), end_len = strlen(end);

	if (len && host[len - 1] == '.')
		len--;
	return len >= end_len && !strncasecmp(host + len - end_len, end, end_len);
}

/* Names that DNS is not asked for: RFC 6761, 6.3 and RFC 6762, 3. */
static bool may_have_records(const char *host)
{
	return host && host[0] && !is_address(host) && strcasecmp(host, "localhost") &&
	       !ends_in(host, ".localhost") && !ends_in(host, ".local");
}

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return a->sa_family == AF_INET6 &&
	       !memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		       &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr));
}

static struct remembered *find_remembered(const struct sockaddr *address)
{
	for (unsigned int i = 0; i < REMEMBERED_MAX; i++)
		if (remembered[i].host[0] &&
		    same_address(address, (struct sockaddr *)&remembered[i].address))
			return &remembered[i];
	return NULL;
}

/* The host that was asked for last owns an address: many hosts may share it. */
static void remember(const char *host, const struct addrinfo *list)
{
	for (; list; list = list->ai_next) {
		struct remembered *slot;

		if (list->ai_addrlen > sizeof(slot->address) || strlen(host) >= sizeof(slot->host))
			continue;
		slot = find_remembered(list->ai_addr);
		if (!slot)
			slot = &remembered[remembered_next++ % REMEMBERED_MAX];
		memcpy(&slot->address, list->ai_addr, list->ai_addrlen);
		strcpy(slot->host, host);
	}
}

/* These have their right ports already. */
static void forget(const struct addrinfo *list)
{
	for (; list; list = list->ai_next) {
		struct remembered *slot = find_remembered(list->ai_addr);

		if (slot)
			slot->host[0] = 0;
	}
}

/* ---- look-ups */

enum outcome { NO_RECORDS, FOUND, FAILED };

struct lookup {
	const struct addrinfo *hints;
	struct addrinfo *first, **last;
	int error; /* EAI_* of the last target that has no address */
};

static void append(struct lookup *lookup, struct addrinfo *list)
{
	*lookup->last = list;
	while (*lookup->last)
		lookup->last = &(*lookup->last)->ai_next;
}

static int ask_libc(struct lookup *lookup, const char *host, const char *service, int socktype)
{
	struct addrinfo hints = { .ai_flags = AI_V4MAPPED | AI_ADDRCONFIG };
	struct addrinfo *list;
	int rc;

	if (lookup->hints)
		hints = *lookup->hints;
	hints.ai_socktype = socktype;
	if (lookup->first) /* one canonical name is enough */
		hints.ai_flags &= ~AI_CANONNAME;
	rc = real_getaddrinfo()(host, service, &hints, &list);
	if (!rc)
		append(lookup, list);
	return rc;
}

static enum outcome ask_records(struct lookup *lookup, const char *host, const char *service,
				int socktype)
{
	const char *protocol = socktype == SOCK_STREAM ? "tcp" : "udp";
	struct srv_list *list;
	char name[64], port[8];
	bool found = false, any = false;
	int rc;

	if (!srv_service_name(service, protocol, numeric_is_on(), name, sizeof(name)))
		return NO_RECORDS;
	list = calloc(1, sizeof(*list)); /* some 30 kB: not on a thread's stack */
	if (list && srv_query(name, protocol, host, list))
		found = true;
	if (found && list->unavailable)
		lookup->error = EAI_NONAME;
	for (unsigned int i = 0; found && i < list->count; i++) {
		snprintf(port, sizeof(port), "%u", list->target[i].port);
		rc = ask_libc(lookup, list->target[i].host, port, socktype);
		if (rc)
			lookup->error = rc;
		any |= !rc;
	}
	free(list);
	return !found ? NO_RECORDS : any ? FOUND : FAILED;
}

/* By TCP and by UDP if the program leaves it open, as libc does. */
static enum outcome ask_both(struct lookup *lookup, const char *host, const char *service)
{
	enum outcome tcp = ask_records(lookup, host, service, SOCK_STREAM), udp;

	if (tcp == NO_RECORDS) { /* libc's TCP goes before UDP's records */
		struct lookup later = { .hints = lookup->hints, .last = &later.first };

		udp = ask_records(&later, host, service, SOCK_DGRAM);
		if (udp == FOUND)
			ask_libc(lookup, host, service, SOCK_STREAM);
		append(lookup, later.first);
		lookup->error = later.error;
		return udp;
	}
	udp = ask_records(lookup, host, service, SOCK_DGRAM);
	if (udp == NO_RECORDS && tcp == FOUND)
		ask_libc(lookup, host, service, SOCK_DGRAM);
	return tcp == FOUND || udp == FOUND ? FOUND : FAILED;
}

static enum outcome ask(struct lookup *lookup, const char *host, const char *service)
{
	int socktype = lookup->hints ? lookup->hints->ai_socktype : 0;
	int protocol = lookup->hints ? lookup->hints->ai_protocol : 0;

	if (!socktype && protocol == IPPROTO_TCP)
		socktype = SOCK_STREAM;
	if (!socktype && protocol == IPPROTO_UDP)
		socktype = SOCK_DGRAM;
	if (!socktype && !protocol)
		return ask_both(lookup, host, service);
	if (socktype != SOCK_STREAM && socktype != SOCK_DGRAM)
		return NO_RECORDS;
	return ask_records(lookup, host, service, socktype);
}

static bool has_numeric_host(const struct addrinfo *hints)
{
	return hints && (hints->ai_flags & (AI_NUMERICHOST | AI_PASSIVE));
}

EXPORT int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		       struct addrinfo **result)
{
	struct lookup lookup = { .hints = hints, .last = &lookup.first };
	enum outcome outcome;
	int saved = errno, rc;

	if (!may_have_records(host) || has_numeric_host(hints))
		return real_getaddrinfo()(host, service, hints, result);
	outcome = service ? ask(&lookup, host, service) : NO_RECORDS;
	errno = saved;
	if (outcome == FOUND) {
		forget(lookup.first);
		*result = lookup.first;
		return 0;
	}
	if (outcome == FAILED)
		return lookup.error;
	rc = real_getaddrinfo()(host, service, hints, result);
	if (!rc && !service)
		remember(host, *result);
	return rc;
}

/* ---- connect() */

static int type_of(int fd)
{
	socklen_t len = sizeof(int);
	int type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) ? -1 : type;
}

/* The address itself if a target has it, else the first of its family. */
static const struct addrinfo *choose(const struct addrinfo *list, const struct sockaddr *address)
{
	const struct addrinfo *first = NULL;

	for (; list; list = list->ai_next) {
		if (same_address(list->ai_addr, address))
			return list;
		if (!first && list->ai_family == address->sa_family)
			first = list;
	}
	return first;
}

static uint16_t port_of(const struct sockaddr *address)
{
	return ntohs(address->sa_family == AF_INET
			     ? ((const struct sockaddr_in *)address)->sin_port
			     : ((const struct sockaddr_in6 *)address)->sin6_port);
}

static enum outcome exchange(int fd, const struct sockaddr *address, const char *host,
			     struct sockaddr_storage *to)
{
	const struct addrinfo hints = { .ai_family = address->sa_family };
	struct lookup lookup = { .hints = &hints, .last = &lookup.first };
	const struct addrinfo *chosen;
	int type = type_of(fd);
	enum outcome outcome;
	char service[8];

	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return NO_RECORDS;
	snprintf(service, sizeof(service), "%u", port_of(address));
	outcome = ask_records(&lookup, host, service, type);
	chosen = outcome == FOUND ? choose(lookup.first, address) : NULL;
	if (chosen)
		memcpy(to, chosen->ai_addr, chosen->ai_addrlen);
	if (lookup.first)
		freeaddrinfo(lookup.first);
	return outcome == FOUND && !chosen ? FAILED : outcome;
}

EXPORT int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_storage to;
	const struct remembered *known;
	enum outcome outcome;
	int saved = errno;

	if (!address || (address->sa_family == AF_INET && len < sizeof(struct sockaddr_in)) ||
	    (address->sa_family == AF_INET6 && len < sizeof(struct sockaddr_in6)) ||
	    (address->sa_family != AF_INET && address->sa_family != AF_INET6))
		return real_connect()(fd, address, len);
	known = find_remembered(address);
	if (!known || !port_of(address))
		return real_connect()(fd, address, len);
	outcome = exchange(fd, address, known->host, &to);
	errno = saved;
	if (outcome == FOUND)
		return real_connect()(fd, (struct sockaddr *)&to, len);
	if (outcome == FAILED) {
		errno = ECONNREFUSED;
		return -1;
	}
	return real_connect()(fd, address, len);
}
