// SPDX-License-Identifier: GPL-3.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dns_fixture.h"

/* ---- questions */

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static void put_name(struct dns_question *question, const char *name)
{
	while (*name) {
		size_t len = strcspn(name, ".");

		question->bytes[question->len++] = len;
		memcpy(question->bytes + question->len, name, len);
		question->len += len;
		name += len + (name[len] == '.');
	}
	question->bytes[question->len++] = 0;
}

void dns_ask_class(struct dns_question *question, const char *name, uint16_t type, uint16_t class)
{
	memset(question, 0, sizeof(*question));
	put16(question->bytes, 0x1234);
	question->bytes[2] = 0x01; /* RD */
	question->bytes[5] = 1;
	question->len = 12;
	put_name(question, name);
	put16(question->bytes + question->len, type);
	put16(question->bytes + question->len + 2, class);
	question->len += 4;
}

void dns_ask(struct dns_question *question, const char *name, uint16_t type)
{
	dns_ask_class(question, name, type, ns_c_in);
}

void dns_add_edns(struct dns_question *question, uint16_t size, uint8_t version, bool dnssec_ok)
{
	uint8_t *opt = question->bytes + question->len;

	memset(opt, 0, 11);
	put16(opt + 1, ns_t_opt);
	put16(opt + 3, size);
	opt[6] = version;
	opt[7] = dnssec_ok ? 0x80 : 0;
	question->bytes[11]++;
	question->opt = question->len + 9;
	question->len += 11;
}

void dns_add_option(struct dns_question *question, uint16_t code, const void *data, uint16_t len)
{
	uint8_t *at = question->bytes + question->len, *opt = question->bytes + question->opt;

	put16(at, code);
	put16(at + 2, len);
	memcpy(at + 4, data, len);
	question->len += 4 + len;
	put16(opt, (opt[0] << 8 | opt[1]) + 4 + len);
}

/* ---- answers */

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lines in order. */
static void sort_lines(char *text)
{
	char *lines[2048], *copy = strdup(text);
	size_t count = 0;

	for (char *line = strtok(copy, "\n"); line && count < 2048; line = strtok(NULL, "\n"))
		lines[count++] = line;
	qsort(lines, count, sizeof(*lines), compare_lines);
	text[0] = 0;
	for (size_t i = 0; i < count; i++)
		sprintf(text + strlen(text), "%s%s", i ? "\n" : "", lines[i]);
	free(copy);
}

/* A name inside of data, at `at`; returns what comes after it. */
static const uint8_t *print_name(ns_msg *message, const uint8_t *at, char *to)
{
	char name[NS_MAXDNAME];
	int len = ns_name_uncompress(ns_msg_base(*message), ns_msg_end(*message), at, name,
				     sizeof(name));

	assert_true(len > 0);
	sprintf(to, " %s", name);
	return at + len;
}

static const char *type_text(uint16_t type, char text[16])
{
	static const struct {
		uint16_t type;
		const char *text;
	} known[] = { { ns_t_a, "A" },	       { ns_t_aaaa, "AAAA" }, { ns_t_ns, "NS" },
		      { ns_t_cname, "CNAME" }, { ns_t_ptr, "PTR" },   { ns_t_mx, "MX" },
		      { ns_t_srv, "SRV" },     { ns_t_soa, "SOA" },   { ns_t_txt, "TXT" } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].type == type)
			return known[i].text;
	sprintf(text, "TYPE%u", type);
	return text;
}

static void print_data(ns_msg *message, const ns_rr *record, char *to)
{
	const uint8_t *data = ns_rr_rdata(*record), *end = data + ns_rr_rdlen(*record);
	char text[INET6_ADDRSTRLEN];
	int numbers = ns_rr_type(*record) == ns_t_mx ? 1 : ns_rr_type(*record) == ns_t_srv ? 3 : 0;

	switch (ns_rr_type(*record)) {
	case ns_t_a:
	case ns_t_aaaa:
		assert_int_equal(end - data, ns_rr_type(*record) == ns_t_a ? 4 : 16);
		sprintf(to, " %s",
			inet_ntop(end - data == 4 ? AF_INET : AF_INET6, data, text, sizeof(text)));
		return;
	case ns_t_soa:
		data = print_name(message, data, to);
		data = print_name(message, data, to + strlen(to));
		for (; data < end; data += 4)
			sprintf(to + strlen(to), " %lu", ns_get32(data));
		break;
	case ns_t_mx:
	case ns_t_srv:
	case ns_t_ns:
	case ns_t_cname:
	case ns_t_ptr:
		for (; numbers; numbers--, data += 2)
			to += sprintf(to, " %u", ns_get16(data));
		data = print_name(message, data, to);
		break;
	case ns_t_txt:
		for (; data < end; data += 1 + data[0])
			to += sprintf(to, " \"%.*s\"", data[0], data + 1);
		break;
	default:
		for (*to++ = ' '; data < end; data++)
			to += sprintf(to, "%02x", *data);
	}
	assert_ptr_equal(data, end);
}

static void print_record(ns_msg *message, const ns_rr *record, char *to)
{
	char type[16];

	assert_int_equal(ns_rr_class(*record), ns_c_in);
	to += sprintf(to, "%s %u %s", ns_rr_name(*record), ns_rr_ttl(*record),
		      type_text(ns_rr_type(*record), type));
	print_data(message, record, to);
}

static void read_options(struct dns_reply *reply, const uint8_t *data, size_t len)
{
	char *to = reply->options;

	while (len >= 4) {
		uint16_t code = ns_get16(data), size = ns_get16(data + 2);

		assert_true(size <= len - 4u);
		to += sprintf(to, "%s%u:", to > reply->options ? " " : "", code);
		for (uint16_t i = 0; i < size; i++)
			to += sprintf(to, "%02x", data[4 + i]);
		data += 4 + size;
		len -= 4 + size;
	}
	assert_int_equal(len, 0);
}

static void read_opt(struct dns_reply *reply, const ns_rr *record)
{
	assert_false(reply->has_opt);
	assert_string_equal(ns_rr_name(*record), ".");
	reply->has_opt = true;
	reply->udp_size = ns_rr_class(*record);
	reply->rcode |= (ns_rr_ttl(*record) >> 24) << 4;
	reply->version = ns_rr_ttl(*record) >> 16;
	reply->dnssec_ok = ns_rr_ttl(*record) & 0x8000;
	read_options(reply, ns_rr_rdata(*record), ns_rr_rdlen(*record));
}

static void read_section(struct dns_reply *reply, ns_msg *message, ns_sect section)
{
	char *to = reply->section[section];

	for (int i = 0; i < ns_msg_count(*message, section); i++) {
		ns_rr record;

		assert_int_equal(ns_parserr(message, section, i, &record), 0);
		if (ns_rr_type(record) == ns_t_opt) {
			read_opt(reply, &record);
			continue;
		}
		assert_true(strlen(to) < DNS_TEXT - 2 * NS_MAXDNAME);
		if (to[0])
			strcat(to, "\n");
		print_record(message, &record, to + strlen(to));
	}
	sort_lines(to);
}

void dns_read_reply(struct dns_reply *reply)
{
	ns_msg message;
	ns_rr record;

	assert_int_equal(ns_initparse(reply->bytes, reply->len, &message), 0);
	reply->id = ns_msg_id(message);
	reply->qr = ns_msg_getflag(message, ns_f_qr);
	reply->aa = ns_msg_getflag(message, ns_f_aa);
	reply->tc = ns_msg_getflag(message, ns_f_tc);
	reply->rd = ns_msg_getflag(message, ns_f_rd);
	reply->ra = ns_msg_getflag(message, ns_f_ra);
	reply->ad = ns_msg_getflag(message, ns_f_ad);
	reply->rcode = ns_msg_getflag(message, ns_f_rcode);
	if (ns_msg_count(message, ns_s_qd)) {
		assert_int_equal(ns_parserr(&message, ns_s_qd, 0, &record), 0);
		strcpy(reply->question, ns_rr_name(record));
	}
	for (ns_sect section = ns_s_an; section < ns_s_max; section++)
		read_section(reply, &message, section);
}

/* ---- the server */

void dns_fixture_zone(struct dns_fixture *fixture, const char *name, const char *text)
{
	int fd = memfd_create("zone", 0);
	char path[64], error[512] = "";

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (zones_read(&fixture->zones, name, path, error, sizeof(error)))
		fail_msg("%s", error);
	close(fd);
}

void dns_fixture_client(struct dns_fixture *fixture, const char *address)
{
	struct sockaddr_in *v4 = (void *)&fixture->client;
	struct sockaddr_in6 *v6 = (void *)&fixture->client;

	memset(&fixture->client, 0, sizeof(fixture->client));
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(4242);
	} else {
		assert_int_equal(inet_pton(AF_INET6, address, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(4242);
	}
}

void dns_fixture_open(struct dns_fixture *fixture, const char *zone)
{
	memset(fixture, 0, sizeof(*fixture));
	fixture->server.zones = &fixture->zones;
	fixture->server.rrl = rrl_new();
	fixture->server.wire = wire_new();
	fixture->server.udp_size = 1232;
	fixture->now = 1700000000;
	fixture->now_ms = 5000;
	assert_non_null(fixture->server.rrl);
	assert_non_null(fixture->server.wire);
	dns_fixture_client(fixture, "198.51.100.7");
	if (zone)
		dns_fixture_zone(fixture, "example.net", zone);
}

void dns_fixture_close(struct dns_fixture *fixture)
{
	zones_free(&fixture->zones);
	rrl_free(fixture->server.rrl);
	wire_free(fixture->server.wire);
}

struct dns_reply *dns_send_bytes(struct dns_fixture *fixture, const void *bytes, size_t len)
{
	const struct answer_client client = { .address = (struct sockaddr *)&fixture->client,
					      .tcp = fixture->tcp,
					      .now = fixture->now,
					      .now_ms = fixture->now_ms };
	struct dns_reply *reply = &fixture->reply;
	const uint8_t *answered;

	memset(reply, 0, sizeof(*reply));
	reply->len = answer(&fixture->server, &client, bytes, len, &answered);
	if (!reply->len)
		return reply;
	assert_true(reply->len <= sizeof(reply->bytes));
	memcpy(reply->bytes, answered, reply->len);
	dns_read_reply(reply);
	assert_true(reply->qr);
	assert_false(reply->ra);
	assert_false(reply->ad);
	return reply;
}

struct dns_reply *dns_send(struct dns_fixture *fixture, const struct dns_question *question)
{
	return dns_send_bytes(fixture, question->bytes, question->len);
}
