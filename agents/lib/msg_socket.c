// SPDX-License-Identifier: GPL-3.0-or-later
/* Connections are made here: clients and listeners, over TLS and Unix sockets. */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <openssl/x509v3.h>

#include "msg_internal.h"

#define ACCEPT_PAUSE_US 100000 /* after accept(2) failed: no descriptors, no memory */

struct msg_listener {
	struct evconnlistener *listener;
	struct event *resume;
	SSL_CTX *context; /* NULL: Unix socket */
	struct event_base *base;
	msg_accepted accepted;
	void *arg;
	unsigned int limit, count; /* connections */
	bool freed;
	char *path; /* of a Unix socket */
};

/* ---- clients */

static struct bufferevent *tls_bufferevent(struct event_base *base, int fd, SSL *ssl,
					   enum bufferevent_ssl_state state)
{
	struct bufferevent *bev = bufferevent_openssl_socket_new(
		base, fd, ssl, state, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);

	if (!bev)
		SSL_free(ssl);
	return bev;
}

static bool is_numeric(const char *host)
{
	unsigned char address[16];

	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static struct bufferevent *client_bufferevent(struct msg_conn *conn, const char *host,
					      const char *fingerprint, char *error,
					      size_t error_len)
{
	SSL_CTX *context = msg_client_context(conn, fingerprint, error, error_len);
	struct bufferevent *bev = NULL;
	SSL *ssl;

	if (!context)
		return NULL;
	ssl = SSL_new(context);
	SSL_CTX_free(context); /* ssl has its own reference */
	if (ssl && is_numeric(host)) {
		X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
	} else if (ssl) {
		SSL_set_tlsext_host_name(ssl, host);
		SSL_set1_host(ssl, host);
	}
	if (ssl)
		bev = tls_bufferevent(conn->base, -1, ssl, BUFFEREVENT_SSL_CONNECTING);
	if (!bev)
		msg_tls_error(error, error_len, "TLS");
	return bev;
}

/* A resolver that does not block the loop; it lives as long as the connection. */
static struct evdns_base *new_resolver(struct event_base *base)
{
	struct evdns_base *dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);

	if (dns) /* no file or no servers in it: then the name is told not to be found */
		evdns_base_resolv_conf_parse(dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	return dns;
}

static int start_tls_client(struct msg_conn *conn, const char *host, int port,
			    const char *fingerprint, char *error, size_t error_len)
{
	struct bufferevent *bev = client_bufferevent(conn, host, fingerprint, error, error_len);

	if (!bev)
		return -EIO;
	snprintf(conn->peer, sizeof(conn->peer), "%.255s:%d", host, port);
	msg_conn_start(conn, bev);
	if (!is_numeric(host))
		conn->dns = new_resolver(conn->base);
	if (bufferevent_socket_connect_hostname(bev, conn->dns, AF_UNSPEC, host, port)) {
		snprintf(error, error_len, "cannot connect to %s", conn->peer);
		return -EIO;
	}
	return 0;
}

struct msg_conn *msg_connect_tls(struct event_base *base, const char *host, const char *port,
				 const char *fingerprint, const struct msg_handler *handler,
				 void *arg, char *error, size_t error_len)
{
	unsigned long number = strtoul(port, NULL, 10);
	struct msg_conn *conn;

	if (number < 1 || number > 65535 || strspn(port, "0123456789") != strlen(port)) {
		snprintf(error, error_len, "'%s' is no port", port);
		return NULL;
	}
	conn = msg_conn_new(base, NULL);
	if (!conn) {
		snprintf(error, error_len, "out of memory");
		return NULL;
	}
	msg_conn_set_handler(conn, handler, arg);
	if (start_tls_client(conn, host, number, fingerprint, error, error_len)) {
		msg_conn_abandon(conn);
		return NULL;
	}
	return conn;
}

static int unix_address(const char *path, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	strcpy(address->sun_path, path);
	return 0;
}

/* A connected non-blocking socket or a negative errno. */
static int unix_connect(const char *path)
{
	struct sockaddr_un address;
	int fd, rc = unix_address(path, &address);

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int start_unix(struct msg_conn *conn, int fd)
{
	struct bufferevent *bev = bufferevent_socket_new(
		conn->base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);

	if (!bev) {
		close(fd);
		return -ENOMEM;
	}
	conn->address.ss_family = AF_UNIX;
	strcpy(conn->peer, "unix");
	msg_conn_start(conn, bev);
	return 0;
}

struct msg_conn *msg_connect_unix(struct event_base *base, const char *path,
				  const struct msg_handler *handler, void *arg)
{
	struct msg_conn *conn;
	int fd = unix_connect(path);

	/* A daemon that is gone is an error of the connection, not the end of its caller. */
	signal(SIGPIPE, SIG_IGN);
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	conn = msg_conn_new(base, NULL);
	if (!conn)
		close(fd);
	if (!conn)
		return NULL;
	msg_conn_set_handler(conn, handler, arg);
	if (start_unix(conn, fd)) {
		msg_conn_abandon(conn);
		return NULL;
	}
	/* From the loop, so that the caller has `conn` when `opened` is called. */
	bufferevent_trigger_event(conn->bev, BEV_EVENT_CONNECTED, BEV_TRIG_DEFER_CALLBACKS);
	return conn;
}

/* ---- listeners */

static int start_accepted(struct msg_conn *conn, int fd, const struct sockaddr *address)
{
	struct bufferevent *bev;
	SSL *ssl;

	if (!conn->listener->context)
		return start_unix(conn, fd);
	ssl = SSL_new(conn->listener->context);
	bev = ssl ? tls_bufferevent(conn->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING) : NULL;
	if (!bev) {
		close(fd);
		return -ENOMEM;
	}
	msg_conn_name_peer(conn, address);
	msg_conn_start(conn, bev);
	return 0;
}

static void on_accept(struct evconnlistener *evlistener, evutil_socket_t fd,
		      struct sockaddr *address, int len, void *arg)
{
	struct msg_listener *listener = arg;
	struct msg_conn *conn = NULL;

	(void)evlistener;
	(void)len;
	if (listener->count < listener->limit)
		conn = msg_conn_new(listener->base, listener);
	if (!conn) {
		close(fd);
		return;
	}
	if (start_accepted(conn, fd, address)) {
		msg_conn_abandon(conn);
		return;
	}
	listener->count++;
	listener->accepted(conn, listener->arg);
	if (!listener->context)
		msg_conn_opened(conn);
}

static void on_accept_error(struct evconnlistener *evlistener, void *arg)
{
	const struct timeval pause = { .tv_usec = ACCEPT_PAUSE_US };
	struct msg_listener *listener = arg;

	evconnlistener_disable(evlistener);
	event_add(listener->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct msg_listener *listener = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(listener->listener);
}

static void free_listener(struct msg_listener *listener)
{
	SSL_CTX_free(listener->context);
	free(listener->path);
	free(listener);
}

void msg_listener_left(struct msg_listener *listener)
{
	if (!--listener->count && listener->freed)
		free_listener(listener);
}

void msg_listener_free(struct msg_listener *listener)
{
	if (!listener)
		return;
	evconnlistener_free(listener->listener);
	event_free(listener->resume);
	if (listener->path)
		unlink(listener->path);
	listener->freed = true;
	if (!listener->count)
		free_listener(listener);
}

/* Takes fd and context; NULL if out of memory. */
static struct msg_listener *new_listener(struct event_base *base, int fd, SSL_CTX *context,
					 unsigned int limit, msg_accepted accepted, void *arg)
{
	const unsigned int flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;
	struct msg_listener *listener = calloc(1, sizeof(*listener));

	if (listener) {
		listener->base = base;
		listener->accepted = accepted;
		listener->arg = arg;
		listener->limit = limit;
		listener->resume = evtimer_new(base, on_resume, listener);
		listener->listener =
			evconnlistener_new(base, on_accept, listener, flags, SOMAXCONN, fd);
	}
	if (listener && listener->resume && listener->listener) {
		listener->context = context;
		evconnlistener_set_error_cb(listener->listener, on_accept_error);
		return listener;
	}
	if (listener && listener->listener)
		evconnlistener_free(listener->listener);
	else
		close(fd);
	if (listener && listener->resume)
		event_free(listener->resume);
	free(listener);
	SSL_CTX_free(context);
	return NULL;
}

static const char *remedy(int error)
{
	if (error == EADDRINUSE)
		return "; another program has it";
	if (error == EACCES)
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
	return error == EADDRNOTAVAIL ? "; this host has no such address" : "";
}

/* "" is every address: one IPv6 socket that takes IPv4 too, or IPv4 where there is no IPv6. */
static int bind_tcp(const char *address, const char *port, char *error, size_t error_len)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV };
	const char *host = address[0] ? address : "::";
	struct addrinfo *info;
	const int on = 1, off = 0;
	int fd, rc = getaddrinfo(host, port, &hints, &info);

	if (rc) {
		snprintf(error, error_len, "cannot listen on '%s' port '%s': %s", host, port,
			 gai_strerror(rc));
		return -EINVAL;
	}
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (info->ai_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, address[0] ? &on : &off,
				   sizeof(on));
	}
	if (fd < 0 || bind(fd, info->ai_addr, info->ai_addrlen)) {
		rc = -errno;
		snprintf(error, error_len, "cannot listen on %s port %s: %s%s", host, port,
			 strerror(-rc), remedy(-rc));
		if (fd >= 0)
			close(fd);
		fd = rc;
	}
	freeaddrinfo(info);
	return fd;
}

struct msg_listener *msg_listen_tls(struct event_base *base, const char *address, const char *port,
				    const char *cert_file, const char *key_file, unsigned int limit,
				    msg_accepted accepted, void *arg, char *error, size_t error_len)
{
	struct msg_listener *listener;
	SSL_CTX *context;
	int fd;

	fd = bind_tcp(address, port, error, error_len);
	if (fd < 0 && !address[0] && fd != -EADDRINUSE && fd != -EACCES)
		fd = bind_tcp("0.0.0.0", port, error, error_len);
	if (fd < 0)
		return NULL;
	context = msg_server_context(cert_file, key_file, error, error_len);
	if (!context) {
		close(fd);
		return NULL;
	}
	listener = new_listener(base, fd, context, limit, accepted, arg);
	if (!listener)
		snprintf(error, error_len, "out of memory");
	return listener;
}

/* A socket file that nobody listens on was left by a killed daemon. */
static int bind_unix(const char *path, unsigned int mode)
{
	struct sockaddr_un address;
	int fd, rc = unix_connect(path);

	if (rc >= 0) {
		close(rc);
		return -EADDRINUSE;
	}
	if (rc == -ECONNREFUSED)
		unlink(path);
	rc = unix_address(path, &address);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The mode is set before listen(2): nobody can connect earlier. */
	if (!bind(fd, (struct sockaddr *)&address, sizeof(address)) && !chmod(path, mode))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

struct msg_listener *msg_listen_unix(struct event_base *base, const char *path, unsigned int mode,
				     unsigned int limit, msg_accepted accepted, void *arg,
				     char *error, size_t error_len)
{
	struct msg_listener *listener = NULL;
	int fd = bind_unix(path, mode);

	if (fd < 0) {
		snprintf(error, error_len, "%s: %s", path, strerror(-fd));
		return NULL;
	}
	listener = new_listener(base, fd, NULL, limit, accepted, arg);
	if (listener)
		listener->path = strdup(path);
	else
		snprintf(error, error_len, "out of memory");
	return listener;
}
