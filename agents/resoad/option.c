// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Options of clients' sockets. Only those of the table below, each with its values: a client must
 * not get by an option what it could not get by a call, as another's address or an interface.
 *
 * Not in it, though clients tell of them: what every datagram says itself (UDP's TTL and TOS),
 * groups (GROUP), what the client's own kernel does (SO_LINGER with a time, sources that are
 * blocked, who shares a port), and what this daemon needs as it is (IP_RECVERR, V6ONLY, LOWAT).
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../lib/ep.h"
#include "resoad.h"

#define BUFFER_MIN   4096
#define BUFFER_MAX   (4 << 20)
#define KEPT_MAX     32
#define NAME_MAX_LEN 16 /* TCP_CA_NAME_MAX */
#define ANSWER_MAX   512

enum kind { SWITCH, NUMBER, BUFFER, NAME };
enum protos { TCP = 1, UDP = 2, BOTH = 3 };

static const struct allowed {
	int level, name;
	uint8_t kind;	/* enum kind */
	uint8_t protos; /* enum protos */
	int low, high;	/* NUMBER; outside: not done */
} table[] = {
	{ SOL_SOCKET, SO_KEEPALIVE, SWITCH, TCP, 0, 0 },
	{ SOL_SOCKET, SO_REUSEADDR, SWITCH, BOTH, 0, 0 },
	{ SOL_SOCKET, SO_SNDBUF, BUFFER, TCP, 0, 0 },
	{ SOL_SOCKET, SO_RCVBUF, BUFFER, TCP, 0, 0 },
	{ SOL_SOCKET, SO_PRIORITY, NUMBER, BOTH, 0, 6 }, /* above: CAP_NET_ADMIN */
	{ IPPROTO_TCP, TCP_NODELAY, SWITCH, TCP, 0, 0 },
	{ IPPROTO_TCP, TCP_CORK, SWITCH, TCP, 0, 0 },
	{ IPPROTO_TCP, TCP_QUICKACK, SWITCH, TCP, 0, 0 },
	{ IPPROTO_TCP, TCP_MAXSEG, NUMBER, TCP, 88, 32767 },
	{ IPPROTO_TCP, TCP_KEEPIDLE, NUMBER, TCP, 1, 32767 },
	{ IPPROTO_TCP, TCP_KEEPINTVL, NUMBER, TCP, 1, 32767 },
	{ IPPROTO_TCP, TCP_KEEPCNT, NUMBER, TCP, 1, 127 },
	{ IPPROTO_TCP, TCP_SYNCNT, NUMBER, TCP, 1, 127 },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT, NUMBER, TCP, 0, 3600 },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, NUMBER, TCP, 0, 86400000 },
	{ IPPROTO_TCP, TCP_CONGESTION, NAME, TCP, 0, 0 },
	{ IPPROTO_IP, IP_TOS, NUMBER, TCP, 0, 255 },
	{ IPPROTO_IP, IP_TTL, NUMBER, TCP, -1, 255 },
	{ IPPROTO_IP, IP_MTU_DISCOVER, NUMBER, BOTH, 0, 5 },
	{ IPPROTO_IP, IP_MULTICAST_LOOP, SWITCH, UDP, 0, 0 },
	{ IPPROTO_IPV6, IPV6_TCLASS, NUMBER, TCP, -1, 255 },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, NUMBER, TCP, -1, 255 },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, NUMBER, BOTH, 0, 5 },
	{ IPPROTO_IPV6, IPV6_DONTFRAG, SWITCH, UDP, 0, 0 },
	{ IPPROTO_IPV6, IPV6_MULTICAST_LOOP, SWITCH, UDP, 0, 0 },
};

/* What may be asked for. SO_ERROR never: asking takes it away from who waits for it. */
static const struct {
	int level, name;
} asked[] = {
	{ IPPROTO_TCP, TCP_INFO },	 { IPPROTO_TCP, TCP_MAXSEG },
	{ IPPROTO_TCP, TCP_CONGESTION }, { IPPROTO_TCP, TCP_USER_TIMEOUT },
	{ IPPROTO_IP, IP_MTU },		 { IPPROTO_IPV6, IPV6_MTU },
};

struct value {
	const struct allowed *allowed;
	uint8_t len;
	uint8_t bytes[NAME_MAX_LEN];
};

/* Of a socket that is not made yet; `v6only` stays. */
struct kept {
	bool v6only;
	unsigned int count;
	struct value value[KEPT_MAX];
};

/* ---- which */

static const struct allowed *find(int level, int name)
{
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].level == level && table[i].name == name)
			return &table[i];
	return NULL;
}

/* As the kernel reads it: IP's options are taken from one byte, too. */
static bool read_number(const struct allowed *allowed, const struct ep_message *message,
			int *number)
{
	if (message->body_len >= sizeof(*number)) {
		memcpy(number, message->body, sizeof(*number));
		return true;
	}
	if (allowed->level != IPPROTO_IP || message->body_len < 1)
		return false;
	*number = *(const uint8_t *)message->body;
	return true;
}

static bool set_number(struct value *value, const struct ep_message *message)
{
	const struct allowed *allowed = value->allowed;
	int number;

	if (!read_number(allowed, message, &number))
		return false;
	if (allowed->kind == SWITCH)
		number = !!number;
	else if (allowed->kind == BUFFER)
		number = number < BUFFER_MIN   ? BUFFER_MIN
			 : number > BUFFER_MAX ? BUFFER_MAX
					       : number;
	else if (number < allowed->low || number > allowed->high)
		return false;
	value->len = sizeof(number);
	memcpy(value->bytes, &number, sizeof(number));
	return true;
}

/* What everybody of this host may have: the daemon's own rights would have others loaded. */
static bool is_congestion_control(const char *name)
{
	char line[256], *word, *rest = line;
	bool found = false;
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_allowed_congestion_control", "re");

	if (!file)
		return false;
	if (fgets(line, sizeof(line), file))
		while (!found && (word = strsep(&rest, " \n")))
			found = !strcmp(word, name);
	fclose(file);
	return found;
}

static bool set_name(struct value *value, const struct ep_message *message)
{
	char name[NAME_MAX_LEN] = "";

	if (!message->body_len || message->body_len > sizeof(name))
		return false;
	memcpy(name, message->body, message->body_len);
	if (!memchr(name, '\0', sizeof(name)) || !name[0] || !is_congestion_control(name))
		return false;
	value->len = (uint8_t)strlen(name);
	memcpy(value->bytes, name, sizeof(value->bytes));
	return true;
}

static bool read_value(const struct ep_message *message, struct value *value)
{
	value->allowed = find(message->level, message->option);
	if (!value->allowed)
		return false;
	return value->allowed->kind == NAME ? set_name(value, message) : set_number(value, message);
}

/* ---- set */

static void apply(const struct sock *sock, const struct value *value)
{
	const struct allowed *allowed = value->allowed;
	const uint8_t proto = sock->proto == IPPROTO_UDP ? UDP : TCP;

	/* What the kernel refuses it has refused the program before. */
	if (allowed->protos & proto)
		setsockopt(sock->fd, allowed->level, allowed->name, value->bytes, value->len);
}

static struct kept *kept_of(struct sock *sock)
{
	if (!sock->options)
		sock->options = calloc(1, sizeof(struct kept));
	return sock->options;
}

static void keep(struct sock *sock, const struct value *value)
{
	struct kept *kept = kept_of(sock);
	unsigned int i;

	for (i = 0; kept && i < kept->count; i++)
		if (kept->value[i].allowed == value->allowed) {
			memmove(&kept->value[i], &kept->value[i + 1],
				(kept->count - i - 1) * sizeof(kept->value[0]));
			kept->count--;
		}
	if (kept && kept->count < KEPT_MAX)
		kept->value[kept->count++] = *value;
}

void option_apply(struct sock *sock)
{
	struct kept *kept = sock->options;
	unsigned int i;

	if (!kept)
		return;
	for (i = 0; i < kept->count; i++)
		apply(sock, &kept->value[i]);
	kept->count = 0;
	if (!kept->v6only)
		option_end(sock);
}

/* Here each family has its own socket: what the program said decides whether there are two. */
static void keep_v6only(struct sock *sock, const struct ep_message *message)
{
	struct kept *kept = kept_of(sock);
	int on;

	if (!kept || message->body_len < sizeof(on))
		return;
	memcpy(&on, message->body, sizeof(on));
	kept->v6only = on;
}

bool option_v6only(const struct sock *sock)
{
	const struct kept *kept = sock->options;

	return kept && kept->v6only;
}

void option_end(struct sock *sock)
{
	free(sock->options);
	sock->options = NULL;
}

/* ---- asked */

static bool may_ask(int level, int name)
{
	size_t i;

	for (i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		if (asked[i].level == level && asked[i].name == name)
			return true;
	return false;
}

static void answer(struct sock *sock, const struct ep_message *message)
{
	uint8_t bytes[ANSWER_MAX];
	socklen_t len = message->number < sizeof(bytes) ? (socklen_t)message->number
							: (socklen_t)sizeof(bytes);
	struct ep_message value = {
		.type = EP_VALUE, .level = message->level, .option = message->option, .body = bytes
	};

	if (!may_ask(message->level, message->option))
		value.error = ENOPROTOOPT;
	else if (sock->fd < 0)
		value.error = ENOTCONN;
	else if (getsockopt(sock->fd, message->level, message->option, bytes, &len))
		value.error = errno;
	else
		value.body_len = len;
	ep_send(sock->client->lhp, sock->id, &value);
}

void option_message(struct sock *sock, const struct ep_message *message)
{
	struct value value = { 0 };

	if (message->type == EP_ASK)
		answer(sock, message);
	else if (message->level == IPPROTO_IPV6 && message->option == IPV6_V6ONLY)
		keep_v6only(sock, message);
	else if (message->type != EP_OPTION || !read_value(message, &value))
		return;
	else if (sock->fd < 0)
		keep(sock, &value);
	else
		apply(sock, &value);
}
