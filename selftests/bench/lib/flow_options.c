/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command line of flow. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"

const char *const flow_roles[] = { "send", "recv", "echo", "ping" };

static int parse_endpoint(const char *text, union endpoint *out)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	bool bracket = len > 2 && text[0] == '[' && text[len - 1] == ']';
	unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 65536;

	if (!len || len >= sizeof(host) || port > 65535)
		return -EINVAL;
	memcpy(host, text + bracket, len - 2 * bracket);
	host[len - 2 * bracket] = 0;
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(port);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) != 1)
		return -EINVAL;
	out->v6.sin6_family = AF_INET6;
	out->v6.sin6_port = htons(port);
	return 0;
}

static void usage(FILE *out)
{
	fputs("usage: flow (--connect ADDRESS:PORT | --listen) [--bind ADDRESS:PORT] [options]\n"
	      "  --role send|recv|echo|ping   (recv)\n"
	      "  --udp                        datagrams instead of a TCP stream\n"
	      "  --seconds N                  how long to send or ping; 0 = by bytes or count (2)\n"
	      "  --bytes N, --count N         end a stream after N bytes, N messages\n"
	      "  --size N                     of a message (TCP send 262144, ping and UDP 64)\n"
	      "  --rate N                     messages a second for each stream, 0 = all it can\n"
	      "  --streams N                  parallel connections, at most 4096 (1)\n"
	      "  --port-step N, --bind-step N added to the port for each further stream (0)\n"
	      "  --reply N                    recv sends N bytes after the other side's FIN\n"
	      "  --verify                     compare what comes with what send or --reply sent "
	      "(TCP)\n"
	      "  --reset                      end by RST\n"
	      "  --timeout N                  seconds beyond --seconds before it gives up (20)\n",
	      out);
}

void flow_usage(void)
{
	usage(stderr);
}

static const struct option longs[] = {
	{ "connect", 1, NULL, 'c' },   { "listen", 0, NULL, 'l' },  { "bind", 1, NULL, 'b' },
	{ "role", 1, NULL, 'r' },      { "udp", 0, NULL, 'u' },	    { "seconds", 1, NULL, 's' },
	{ "bytes", 1, NULL, 'B' },     { "count", 1, NULL, 'C' },   { "size", 1, NULL, 'z' },
	{ "rate", 1, NULL, 'R' },      { "streams", 1, NULL, 'n' }, { "port-step", 1, NULL, 'p' },
	{ "bind-step", 1, NULL, 'P' }, { "reply", 1, NULL, 'y' },   { "verify", 0, NULL, 'v' },
	{ "reset", 0, NULL, 'x' },     { "timeout", 1, NULL, 't' }, { "help", 0, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int take_role(const char *name)
{
	for (size_t i = 0; i < sizeof(flow_roles) / sizeof(flow_roles[0]); i++)
		if (!strcmp(name, flow_roles[i])) {
			opt.role = i;
			return 0;
		}
	return -EINVAL;
}

static int take_flag(int c)
{
	switch (c) {
	case 'l':
		opt.listen = true;
		return 0;
	case 'u':
		opt.udp = true;
		return 0;
	case 'v':
		opt.verify = true;
		return 0;
	case 'x':
		opt.reset = true;
		return 0;
	case 'b':
		opt.bound = true;
		return parse_endpoint(optarg, &opt.bind);
	case 'c':
		return parse_endpoint(optarg, &opt.remote);
	case 'r':
		return take_role(optarg);
	default:
		return -EINVAL;
	}
}

static int take_number(int c, double value)
{
	if (value < 0)
		return -EINVAL;
	switch (c) {
	case 's':
		opt.seconds = value;
		return 0;
	case 'B':
		opt.bytes = value;
		return 0;
	case 'C':
		opt.count = value;
		return 0;
	case 'z':
		opt.size = value;
		return 0;
	case 'R':
		opt.rate = value;
		return 0;
	case 'n':
		opt.streams = value;
		return 0;
	case 'p':
		opt.port_step = value;
		return 0;
	case 'P':
		opt.bind_step = value;
		return 0;
	case 'y':
		opt.reply = value;
		return 0;
	case 't':
		opt.timeout = value;
		return 0;
	default:
		return -EINVAL;
	}
}

int flow_take_options(int argc, char **argv)
{
	int c, error = 0;

	while (!error && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		char *end = NULL;
		double value;

		if (c == 'h') {
			usage(stdout);
			exit(0);
		}
		if (!strchr("sBCzRnpPyt", c)) {
			error = take_flag(c);
			continue;
		}
		value = strtod(optarg, &end);
		error = *end || end == optarg ? -EINVAL : take_number(c, value);
	}
	if (!opt.size && (opt.udp || opt.role == PING))
		opt.size = 64;
	if (error || optind != argc || !opt.streams || opt.streams > STREAMS ||
	    opt.listen == !!opt.remote.any.sa_family || (opt.listen && !opt.bound) ||
	    opt.size > (opt.udp ? 65000 : BUFFER) || (opt.udp && opt.size < UDP_HEADER))
		return -EINVAL;
	return 0;
}
