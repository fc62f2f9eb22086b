// SPDX-License-Identifier: GPL-3.0-or-later
/* Places of the stream providers: TCP, Unix and vsock sockets, and who listens on them. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include <event2/event.h>
#include <event2/listener.h>

#include "address.h"
#include "lhp_stream.h"

/* A peer that is silent is asked after 10 s and given up after 20 s without answer. */
#define ALIVE_IDLE_S	10
#define ALIVE_EVERY_S	3
#define ALIVE_TIMES	3
#define ALIVE_MS	20000
#define ACCEPT_PAUSE_US 100000 /* after accept(2) failed: no descriptors, no memory */
#define UNIX_MODE	0600

struct place {
	struct sockaddr_storage address;
	socklen_t len;
	unsigned int mode; /* of a Unix socket's file */
};

struct kind {
	const struct lhp_ops *ops;
	/* false and one line in error */
	bool (*parse)(const char *text, bool listens, struct place *place, char *error,
		      size_t error_len);
	/* A bound socket that does not listen yet, or -errno. */
	int (*bind)(const struct place *place);
};

struct stream_listener {
	struct lhp_listener listener; /* first */
	const struct kind *kind;
	struct event_base *base;
	struct evconnlistener *acceptor;
	struct event *resume;
	TAILQ_HEAD(, stream) unfinished; /* the oldest first */
	unsigned int count;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* ---- TCP */

static bool parse_tcp(const char *text, bool listens, struct place *place, char *error,
		      size_t error_len)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	struct addrinfo *info;
	char host[64], port[8];
	uint16_t number;

	if (!address_split(text, host, sizeof(host), &number) && (host[0] || listens)) {
		snprintf(port, sizeof(port), "%u", number);
		if (!getaddrinfo(host[0] ? host : "::", port, &hints, &info)) {
			memcpy(&place->address, info->ai_addr, info->ai_addrlen);
			place->len = info->ai_addrlen;
			freeaddrinfo(info);
			return true;
		}
	}
	snprintf(error, error_len, "'tls:%.100s' is no tls:ADDRESS:PORT", text);
	return false;
}

/* An IPv6 socket for every address takes IPv4, too. */
static int bind_tcp(const struct place *place)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&place->address;
	const int family = place->address.ss_family, on = 1;
	const int only6 = family == AF_INET6 && !IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6));
	if (!bind(fd, (const struct sockaddr *)&place->address, place->len))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static void set_tcp_options(int fd)
{
	static const struct {
		int level, option, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		/* Short messages wait in the kernel behind so much bulk, at most. */
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, 128 << 10 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, ALIVE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, ALIVE_EVERY_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, ALIVE_TIMES },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, ALIVE_MS },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(fd, options[i].level, options[i].option, &options[i].value, sizeof(int));
}

/* ---- Unix */

static bool parse_unix(const char *text, bool listens, struct place *place, char *error,
		       size_t error_len)
{
	struct sockaddr_un *address = (struct sockaddr_un *)&place->address;
	const char *hash = listens ? strrchr(text, '#') : NULL;
	size_t len = hash ? (size_t)(hash - text) : strlen(text);
	char *end = NULL;

	place->mode = UNIX_MODE;
	if (hash)
		place->mode = strtoul(hash + 1, &end, 8);
	if (!len || len >= sizeof(address->sun_path) || place->mode > 0777 ||
	    (hash && (*end || end == hash + 1))) {
		snprintf(error, error_len, "'unix:%.100s' is no unix:PATH%s", text,
			 listens ? " or unix:PATH#MODE" : "");
		return false;
	}
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, text, len);
	address->sun_path[len] = 0;
	place->len = sizeof(*address);
	return true;
}

/* 0: somebody listens there; or -errno. */
static int try_unix(const struct place *place)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&place->address, place->len))
		rc = -errno;
	close(fd);
	return rc == -EAGAIN ? 0 : rc;
}

/* A file that is no socket refuses connections, too. */
static bool is_socket(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISSOCK(st.st_mode);
}

/* A socket file that nobody listens on was left by a killed daemon. */
static int bind_unix(const struct place *place)
{
	const char *path = ((const struct sockaddr_un *)&place->address)->sun_path;
	int fd, rc = try_unix(place);

	if (!rc)
		return -EADDRINUSE;
	if (rc == -ECONNREFUSED && is_socket(path))
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The mode is set before listen(2): nobody can connect earlier. */
	if (!bind(fd, (const struct sockaddr *)&place->address, place->len) &&
	    !chmod(path, place->mode))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* ---- vsock */

static bool parse_number(const char **text, char end, unsigned int *number)
{
	unsigned long value;
	char *stop;

	if (**text < '0' || **text > '9')
		return false;
	value = strtoul(*text, &stop, 10);
	if (*stop != end || value >= VMADDR_CID_ANY)
		return false;
	*text = stop + (end != 0);
	*number = value;
	return true;
}

static bool parse_vsock(const char *text, bool listens, struct place *place, char *error,
			size_t error_len)
{
	struct sockaddr_vm *address = (struct sockaddr_vm *)&place->address;
	const char *at = text;

	address->svm_family = AF_VSOCK;
	address->svm_cid = VMADDR_CID_ANY;
	place->len = sizeof(*address);
	if (listens && at[0] == ':')
		at++;
	else if (!parse_number(&at, ':', &address->svm_cid))
		at = "";
	if (parse_number(&at, 0, &address->svm_port))
		return true;
	snprintf(error, error_len, "'vsock:%.100s' is no vsock:CID:PORT", text);
	return false;
}

static int bind_vsock(const struct place *place)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	if (fd < 0)
		return -errno;
	if (!bind(fd, (const struct sockaddr *)&place->address, place->len))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* ---- connections */

static const struct kind kind_tls = { &stream_tls_ops, parse_tcp, bind_tcp };
static const struct kind kind_unix = { &stream_unix_ops, parse_unix, bind_unix };
static const struct kind kind_vsock = { &stream_vsock_ops, parse_vsock, bind_vsock };

static void name_peer(struct stream *stream, const struct sockaddr *address)
{
	const struct sockaddr_vm *vm = (const struct sockaddr_vm *)address;
	char text[ADDRESS_TEXT_LEN] = "unix";
	struct isthmus_addr numeric;
	uint16_t port;

	if (address->sa_family == AF_VSOCK)
		snprintf(text, sizeof(text), "vsock %u:%u", vm->svm_cid, vm->svm_port);
	else if (!address_from_sockaddr(address, &numeric, &port))
		address_port_text(&numeric, port, text);
	snprintf(stream->lhp.peer, sizeof(stream->lhp.peer), "%s", text);
}

/* A socket whose connect(2) has begun; *waits: and is not done. Or -errno. */
static int begin_connect(const struct place *place, bool *waits)
{
	int fd = socket(place->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (place->address.ss_family != AF_UNIX && place->address.ss_family != AF_VSOCK)
		set_tcp_options(fd);
	if (connect(fd, (const struct sockaddr *)&place->address, place->len))
		rc = -errno;
	*waits = rc == -EINPROGRESS;
	if (!rc || *waits)
		return fd;
	close(fd);
	return rc;
}

static struct lhp *connect_kind(struct event_base *base, const struct kind *kind, const char *text,
				const struct lhp_identity *identity, char *error, size_t error_len)
{
	struct place place = { 0 };
	struct stream *stream;
	bool waits;
	int fd;

	if (!kind->parse(text, false, &place, error, error_len))
		return NULL;
	fd = begin_connect(&place, &waits);
	if (fd < 0) {
		snprintf(error, error_len, "%s:%.100s: %s", kind->ops->provider, text,
			 strerror(-fd));
		return NULL;
	}
	stream = stream_new(base, kind->ops, fd);
	if (stream) {
		stream->identity = *identity;
		memcpy(stream->lhp.name, identity->name, sizeof(stream->lhp.name));
		name_peer(stream, (struct sockaddr *)&place.address);
		if (!stream_start(stream, waits))
			return &stream->lhp;
		stream_free(stream);
	}
	snprintf(error, error_len, "out of memory");
	return NULL;
}

/* ---- listeners */

void stream_left(struct stream *stream, bool proved)
{
	struct stream_listener *listener = stream->listener;

	TAILQ_REMOVE(&listener->unfinished, stream, link);
	listener->count--;
	if (!proved)
		listener->listener.refused++;
	stream->listener = NULL;
}

/*
 * Of too many unfinished handshakes the oldest goes: a flood must be faster than a round trip to
 * keep a genuine client out.
 */
static void on_accept(struct evconnlistener *acceptor, evutil_socket_t fd, struct sockaddr *address,
		      int len, void *arg)
{
	struct stream_listener *listener = arg;
	struct stream *stream;

	(void)acceptor;
	(void)len;
	if (listener->count >= LHP_HANDSHAKES)
		stream_free(TAILQ_FIRST(&listener->unfinished));
	stream = stream_new(listener->base, listener->kind->ops, fd);
	if (!stream)
		return;
	if (address->sa_family == AF_INET || address->sa_family == AF_INET6)
		set_tcp_options(fd);
	name_peer(stream, address);
	stream->listener = listener;
	TAILQ_INSERT_TAIL(&listener->unfinished, stream, link);
	listener->count++;
	if (stream_start(stream, false))
		stream_free(stream);
}

static void on_accept_error(struct evconnlistener *acceptor, void *arg)
{
	const struct timeval pause = { .tv_usec = ACCEPT_PAUSE_US };
	struct stream_listener *listener = arg;

	evconnlistener_disable(acceptor);
	event_add(listener->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct stream_listener *listener = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(listener->acceptor);
}

static void free_listener(struct lhp_listener *lhp)
{
	struct stream_listener *listener = (struct stream_listener *)lhp;

	while (!TAILQ_EMPTY(&listener->unfinished))
		stream_free(TAILQ_FIRST(&listener->unfinished));
	if (listener->acceptor)
		evconnlistener_free(listener->acceptor);
	if (listener->resume)
		event_free(listener->resume);
	if (listener->path[0])
		unlink(listener->path);
	free(listener);
}

/* Takes fd. */
static struct stream_listener *new_listener(struct event_base *base, const struct kind *kind,
					    int fd)
{
	const unsigned int flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;
	struct stream_listener *listener = calloc(1, sizeof(*listener));

	if (!listener) {
		close(fd);
		return NULL;
	}
	TAILQ_INIT(&listener->unfinished);
	listener->listener.free = free_listener;
	listener->kind = kind;
	listener->base = base;
	listener->resume = evtimer_new(base, on_resume, listener);
	listener->acceptor = evconnlistener_new(base, on_accept, listener, flags, SOMAXCONN, fd);
	if (listener->resume && listener->acceptor) {
		evconnlistener_set_error_cb(listener->acceptor, on_accept_error);
		return listener;
	}
	if (!listener->acceptor)
		close(fd);
	free_listener(&listener->listener);
	return NULL;
}

/* "" is every address: IPv4 alone where there is no IPv6. */
static int bind_place(const struct kind *kind, const char *text, struct place *place)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&place->address;
	int fd = kind->bind(place);

	if (fd != -EAFNOSUPPORT || kind != &kind_tls || text[0] != ':')
		return fd;
	in->sin_family = AF_INET; /* the port is at the same place */
	in->sin_addr.s_addr = htonl(INADDR_ANY);
	place->len = sizeof(*in);
	return kind->bind(place);
}

static struct lhp_listener *listen_kind(struct event_base *base, const struct kind *kind,
					const char *text, char *error, size_t error_len)
{
	struct stream_listener *listener;
	struct place place = { 0 };
	int fd;

	if (!kind->parse(text, true, &place, error, error_len))
		return NULL;
	fd = bind_place(kind, text, &place);
	if (fd < 0) {
		snprintf(error, error_len, "%s:%.100s: %s", kind->ops->provider, text,
			 strerror(-fd));
		return NULL;
	}
	listener = new_listener(base, kind, fd);
	if (!listener) {
		snprintf(error, error_len, "out of memory");
		return NULL;
	}
	if (place.address.ss_family == AF_UNIX)
		strcpy(listener->path, ((struct sockaddr_un *)&place.address)->sun_path);
	return &listener->listener;
}

/* ---- the providers */

#define PROVIDER(kind_name)                                                                        \
	static struct lhp *connect_##kind_name(struct event_base *base, const char *place,         \
					       const struct lhp_identity *identity, char *error,   \
					       size_t error_len)                                   \
	{                                                                                          \
		return connect_kind(base, &kind_##kind_name, place, identity, error, error_len);   \
	}                                                                                          \
	static struct lhp_listener *listen_##kind_name(struct event_base *base, const char *place, \
						       char *error, size_t error_len)              \
	{                                                                                          \
		return listen_kind(base, &kind_##kind_name, place, error, error_len);              \
	}                                                                                          \
	const struct lhp_provider lhp_##kind_name = { #kind_name, connect_##kind_name,             \
						      listen_##kind_name }

PROVIDER(tls);
PROVIDER(unix);
PROVIDER(vsock);
