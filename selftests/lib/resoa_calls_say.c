// SPDX-License-Identifier: GPL-3.0-or-later
/* What cases say, and what they have the peer do. See resoa_calls.h. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdarg.h>
#include <sys/un.h>

#include "resoa_calls.h"

extern const char *calls_now;

/* ---- saying */

static void say_list(const char *format, va_list args)
{
	printf("%s: ", calls_now);
	vprintf(format, args);
	putchar('\n');
	fflush(stdout);
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_list(format, args);
	va_end(args);
}

const char *error_name(int error)
{
	return error ? strerrorname_np(error) : "0";
}

long did(const char *text, long result)
{
	if (result < 0)
		say("%s = %s", text, error_name(errno));
	else
		say("%s = %ld", text, result);
	return result;
}

int made(const char *text, int fd)
{
	say("%s: %s", text, fd < 0 ? error_name(errno) : "made");
	return fd;
}

long must(const char *text, long result)
{
	if (result < 0) {
		did(text, result);
		exit(1);
	}
	return result;
}

long did_read(const char *text, long result, const void *bytes)
{
	if (result < 0)
		say("%s = %s", text, error_name(errno));
	else if (result <= 64)
		say("%s = %ld '%.*s'", text, result, (int)result, (const char *)bytes);
	else
		say("%s = %ld %016llx", text, result,
		    (unsigned long long)bytes_hash(BYTES_HASH, bytes, result));
	return result;
}

/* ---- names */

static struct {
	int port;
	const char *word;
} known[32];
static int known_count;

void know(int port, const char *word)
{
	known[known_count].port = port;
	known[known_count++].word = word;
}

static const char *port_word(int port)
{
	static char text[8];
	int i;

	for (i = known_count; i--;)
		if (known[i].port == port)
			return known[i].word;
	if (port < 1024 || (port >= OWN_PORT && port < OWN_PORT + 100)) {
		snprintf(text, sizeof(text), "%d", port);
		return text;
	}
	return "auto";
}

static const char *name_text(const struct sockaddr *name, socklen_t len)
{
	static char text[100];
	const struct sockaddr_in *in = (const void *)name;
	const struct sockaddr_in6 *in6 = (const void *)name;
	char address[INET6_ADDRSTRLEN];

	if (len < sizeof(sa_family_t))
		snprintf(text, sizeof(text), "none");
	else if (name->sa_family == AF_INET)
		snprintf(text, sizeof(text), "%s:%s (%d)",
			 inet_ntop(AF_INET, &in->sin_addr, address, sizeof(address)),
			 port_word(ntohs(in->sin_port)), (int)len);
	else if (name->sa_family == AF_INET6)
		snprintf(text, sizeof(text), "[%s]:%s (%d)",
			 inet_ntop(AF_INET6, &in6->sin6_addr, address, sizeof(address)),
			 port_word(ntohs(in6->sin6_port)), (int)len);
	else
		snprintf(text, sizeof(text), "family %d", name->sa_family);
	return text;
}

void say_name(const char *what, const struct sockaddr *name, socklen_t len)
{
	say("%s %s", what, name_text(name, len));
}

void say_local(int fd)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &len))
		did("getsockname", -1);
	else
		say_name("getsockname", (struct sockaddr *)&name, len);
}

void say_remote(int fd)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	if (getpeername(fd, (struct sockaddr *)&name, &len))
		did("getpeername", -1);
	else
		say_name("getpeername", (struct sockaddr *)&name, len);
}

int port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);

	MUST(getsockname(fd, (struct sockaddr *)&name, &len));
	return ntohs(name.sin6_port);
}

/* ---- the peer */

static FILE *peer_file(void)
{
	static FILE *file;
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd;

	if (file)
		return file;
	strncpy(name.sun_path, getenv("RESOA_PEER") ?: "", sizeof(name.sun_path) - 1);
	fd = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	MUST(connect(fd, (struct sockaddr *)&name, sizeof(name)));
	file = fdopen(fd, "r+");
	return file;
}

static void ask_list(const char *format, va_list args)
{
	char line[1000];

	vsnprintf(line, sizeof(line), format, args);
	dprintf(fileno(peer_file()), "%s\n", line);
}

const char *peer_answer(void)
{
	static char line[1100];

	if (!fgets(line, sizeof(line), peer_file()))
		strcpy(line, "no answer\n");
	line[strcspn(line, "\n")] = 0;
	return line;
}

void peer_ask(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	ask_list(format, args);
	va_end(args);
}

const char *peer(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	ask_list(format, args);
	va_end(args);
	return peer_answer();
}

/* "connected 40001" is said without the number. */
void peer_say(const char *format, ...)
{
	va_list args;
	const char *told;

	va_start(args, format);
	ask_list(format, args);
	va_end(args);
	told = peer_answer();
	say("peer %.*s: %s", (int)strcspn(format, " "), format,
	    strncmp(told, "connected", 9) ? told : "connected");
}

int peer_port(const char *format, ...)
{
	va_list args;
	int port;

	va_start(args, format);
	ask_list(format, args);
	va_end(args);
	port = atoi(peer_answer());
	if (!port) {
		say("peer %s: no port", format);
		exit(1);
	}
	know(port, "peer");
	return port;
}

void peer_accepts(int fd)
{
	char seen[100], own[100], address[INET6_ADDRSTRLEN] = "";
	struct sockaddr_storage name = { 0 };
	socklen_t len = sizeof(name);
	const void *bytes = &((struct sockaddr_in *)&name)->sin_addr;

	snprintf(seen, sizeof(seen), "%s", peer("accept"));
	getsockname(fd, (struct sockaddr *)&name, &len);
	if (name.ss_family == AF_INET6)
		bytes = &((struct sockaddr_in6 *)&name)->sin6_addr;
	inet_ntop(name.ss_family, bytes, address, sizeof(address));
	snprintf(own, sizeof(own), "%s %d", !strncmp(address, "::ffff:", 7) ? address + 7 : address,
		 port_of(fd));
	say("peer accept: %s", strcmp(seen, own) ? seen : "getsockname's name");
}
