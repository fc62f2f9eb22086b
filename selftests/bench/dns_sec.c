// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * dns_sec [SECONDS] - answers a second of isthmus-dns's answer(), without sockets: what DNSSEC
 * costs where signatures are kept, and where they are made for the one answer.
 */
/* link: agents/dns/answer.c agents/dns/rrl.c agents/dns/wire.c agents/dns/zone.c */
/* link: agents/dns/sign.c agents/dns/sign_deny.c agents/dns/sign_wire.c */
/* link: agents/dns/key.c agents/dns/store.c agents/lib/address.c agents/lib/auth.c */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "agents/dns/answer.h"
#include "agents/dns/key.h"

#define EACH 64 /* answers between looks at the clock */

static const char zone[] = "@ 300 SOA ns1 admin 7 3600 600 86400 60\n@ 300 NS ns1\n"
			   "ns1 300 A 192.0.2.53\nweb 300 A 192.0.2.1\n"
			   "_http._tcp.web 300 SRV 0 0 80 web\n*.wild 300 A 192.0.2.99\n";

static struct zones zones;
static struct answer_server server = { .zones = &zones, .udp_size = 1232 };

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	fprintf(stderr, "dns_sec: %s\n", what);
	exit(1);
}

static void start(void)
{
	int fd = memfd_create("zone", 0);
	char path[32], error[512];
	struct store_key key;
	struct sign *sign;

	if (fd < 0 || write(fd, zone, strlen(zone)) != (ssize_t)strlen(zone))
		fail("no memory for the zone");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (zones_read(&zones, "example.net", path, error, sizeof(error)))
		fail(error);
	close(fd);
	sign = sign_new(zones.item[0]->name);
	if (!sign || key_generate(zones.item[0], time(NULL), &key) ||
	    sign_add_key(sign, key.bytes, key.len, key.created) || sign_zone(zones.item[0], sign))
		fail("no key");
	server.wire = wire_new();
	server.rrl = rrl_new();
	if (!server.wire || !server.rrl)
		fail("no memory");
}

/* RFC 1035, 4.1: one question; with DO if it wants signatures. */
static size_t make_question(const char *name, uint16_t type, bool dnssec_ok, uint8_t *bytes)
{
	static const uint8_t header[12] = { 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1 };
	uint8_t *at = bytes + sizeof(header);
	const uint8_t rest[] = { type >> 8, type, 0,   1, 0, 0,
				 41,	    4,	  208, 0, 0, dnssec_ok ? 0x80 : 0,
				 0,	    0,	  0 };

	memcpy(bytes, header, sizeof(header));
	if (wire_name_read(name, at))
		fail(name);
	at += wire_name_len(at);
	memcpy(at, rest, sizeof(rest));
	return at + sizeof(rest) - bytes;
}

static void measure(const char *what, const char *name, uint16_t type, bool dnssec_ok, double for_s)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { 0x0100007f } };
	const struct answer_client client = { .address = (struct sockaddr *)&address,
					      .now = time(NULL) };
	uint8_t question[512];
	size_t len = make_question(name, type, dnssec_ok, question), answered = 0;
	uint64_t made = server.counters.signatures.made, count = 0;
	double begin = cpu_seconds(), took;
	const uint8_t *bytes;

	do {
		for (int i = 0; i < EACH; i++, count++) {
			answered = answer(&server, &client, question, len, &bytes);
			if (!answered)
				fail("no answer");
		}
		took = cpu_seconds() - begin;
	} while (took < for_s);
	printf("%-28s %9.0f answers/s  %6.2f us  %4zu bytes  %4.2f signatures made\n", what,
	       count / took, took / count * 1e6, answered,
	       (double)(server.counters.signatures.made - made) / count);
}

int main(int argc, char **argv)
{
	double for_s = argc > 1 ? atof(argv[1]) : 1;

	start();
	measure("A", "web.example.net", ns_t_a, false, for_s);
	measure("A, signature kept", "web.example.net", ns_t_a, true, for_s);
	measure("SRV", "_http._tcp.web.example.net", ns_t_srv, false, for_s);
	measure("SRV and A, kept", "_http._tcp.web.example.net", ns_t_srv, true, for_s);
	measure("no such type", "web.example.net", ns_t_mx, false, for_s);
	measure("no such type, kept", "web.example.net", ns_t_mx, true, for_s);
	measure("wildcard", "a.wild.example.net", ns_t_a, false, for_s);
	measure("wildcard, made", "a.wild.example.net", ns_t_a, true, for_s);
	measure("no such name", "none.example.net", ns_t_a, false, for_s);
	measure("no such name, made", "none.example.net", ns_t_a, true, for_s);
	zones_free(&zones);
	rrl_free(server.rrl);
	wire_free(server.wire);
	return 0;
}
