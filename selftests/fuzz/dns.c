// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dns/answer.c agents/dns/rrl.c agents/dns/wire.c agents/dns/zone.c */
/* link: agents/dns/sign.c agents/dns/sign_deny.c agents/dns/sign_wire.c */
/* link: agents/dns/key.c agents/dns/store.c agents/lib/address.c agents/lib/auth.c */
/*
 * Any bytes as a question, by UDP and by TCP: no answer, or one that has the question's id, is no
 * longer than it may be, and can be parsed by libc. What is held is completed with each thing that
 * a waypoint can make of it, and then not held again. One of two zones is signed: with DO each of
 * its answers has signatures or is truncated.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agents/dns/answer.h"
#include "agents/dns/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char zone[] = "@ 300 SOA ns1 admin 7 3600 600 86400 60\n@ 300 NS ns1\n@ MX 10 web\n"
			   "ns1 300 A 192.0.2.53\nweb 300 A 192.0.2.1\nweb 300 TXT \"a text\"\n"
			   "_http._tcp.web 300 SRV 1 2 8080 web\n"
			   "*.wild 300 A 192.0.2.99\nalias 300 CNAME web\none 300 CNAME two\n"
			   "two 300 CNAME one\nchild 300 NS ns.child\nns.child 300 A 192.0.2.77\n"
			   "alias2 300 CNAME host\nhost 300 TXT \"a text\"\n";

static struct zones zones;
static struct answer_server server = { .zones = &zones, .udp_size = 1232 };

static void add_bound(const char *text)
{
	static const uint8_t data[ZONE_BOUND_LEN] = { 0, 0, 0, 1, 0, 0, 0, 2 };
	uint8_t name[WIRE_NAME_MAX];
	const struct wire_record record = {
		.owner = name, .type = ZONE_BOUND, .data = data, .len = sizeof(data)
	};

	if (wire_name_read(text, name) || zones_add(&zones, &record, 0))
		abort();
}

static void sign_it(struct zone *signed_zone)
{
	struct sign *sign = sign_new(signed_zone->name);
	struct store_key key;

	if (!sign || key_generate(signed_zone, 1600000000, &key) ||
	    sign_add_key(sign, key.bytes, key.len, key.created) || sign_zone(signed_zone, sign))
		abort();
}

static void start(void)
{
	int fd = memfd_create("zone", 0);
	char path[32], error[512];

	if (fd < 0 || write(fd, zone, strlen(zone)) != (ssize_t)strlen(zone))
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (zones_read(&zones, "example.net", path, error, sizeof(error)) ||
	    lseek(fd, 0, SEEK_SET) ||
	    zones_read(&zones, "signed.example", path, error, sizeof(error)))
		abort();
	close(fd);
	add_bound("host.example.net.");
	add_bound("host.signed.example.");
	server.wire = wire_new();
	server.rrl = rrl_new();
	rrl_set(server.rrl, 10, 2);
	if (!server.wire || !server.rrl)
		abort();
	sign_it(zones.item[1]);
}

static bool wants_signed(void)
{
	const struct wire_query *query = wire_query(server.wire);
	const struct zone *found = query->has_question ? zones_find(&zones, query->name) : NULL;

	return query->dnssec_ok && found && found->sign;
}

static void check(const uint8_t *question, const uint8_t *bytes, size_t len, size_t most)
{
	unsigned int signatures = 0;
	ns_msg message;
	ns_rr record;

	if (len > most || memcmp(bytes, question, 2) || !(bytes[2] & 0x80) ||
	    ns_initparse(bytes, len, &message))
		abort();
	for (ns_sect section = ns_s_qd; section < ns_s_max; section++) {
		for (int i = 0; i < ns_msg_count(message, section); i++) {
			if (ns_parserr(&message, section, i, &record))
				abort();
			signatures += ns_rr_type(record) == SIGN_TYPE_RRSIG;
		}
	}
	if (wants_signed() && !signatures && !(bytes[2] & 2) &&
	    ns_msg_count(message, ns_s_an) + ns_msg_count(message, ns_s_ns))
		abort();
}

/* The second time a question is asked, with what a waypoint has given. */
static void complete(struct answer_client *client, const uint8_t *data, size_t size, size_t most)
{
	static const enum answer_result results[] = { ANSWER_NOERROR, ANSWER_NODATA,
						      ANSWER_SERVFAIL, ANSWER_SLIPPED };
	const uint8_t *bytes;

	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		const struct answer_binding binding = { .result = results[i],
							.address = { 192, 0, 2, 200 },
							.scope = data[0] % 33 };
		size_t len;

		client->binding = &binding;
		len = answer(&server, client, data, size, &bytes);
		client->binding = NULL;
		if (!len || server.held.is)
			abort();
		check(data, bytes, len, most);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t now_ms = 1000;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { 0x0100007f } };
	struct answer_client client = { .address = (struct sockaddr *)&address, .now = 1700000000 };
	const uint8_t *bytes;
	size_t len;

	if (!server.wire)
		start();
	for (int tcp = 0; tcp < 2; tcp++) {
		client.tcp = tcp;
		client.now_ms = now_ms += 40;
		len = answer(&server, &client, data, size, &bytes);
		if (len)
			check(data, bytes, len, tcp ? WIRE_TCP_MAX : 1232);
		else if (server.held.is)
			complete(&client, data, size, tcp ? WIRE_TCP_MAX : 1232);
	}
	return 0;
}
