// SPDX-License-Identifier: GPL-3.0-or-later
/* What an operator can see: status and metrics. */
#include <stdio.h>

#include "../lib/metrics.h"
#include "dns.h"

static const char *const cookie_text[] = {
	[WIRE_COOKIE_NONE] = "none",
	[WIRE_COOKIE_CLIENT] = "client",
	[WIRE_COOKIE_BAD] = "bad",
	[WIRE_COOKIE_VALID] = "valid",
};

struct number {
	const char *name, *help;
	uint64_t value;
};

#define NUMBERS 16

static void collect(const struct dns *dns, struct number number[NUMBERS])
{
	const struct answer_counters *counters = &dns->server.counters;
	const struct number all[NUMBERS] = {
		{ "questions_udp", "Questions by UDP.", counters->udp },
		{ "questions_tcp", "Questions by TCP.", counters->tcp },
		{ "truncated", "Answers that did not fit.", counters->truncated },
		{ "transfers", "Zone transfers asked for, and refused.", counters->transfers },
		{ "tcp_refused", "TCP connections above the limits.", dns->tcp_refused },
		{ "tcp_timeouts", "TCP connections ended as idle.", dns->tcp_timeouts },
		{ "tcp_malformed", "TCP connections ended for their content.", dns->tcp_malformed },
		{ "udp_errors", "Answers that could not be sent.", dns->udp_errors },
		{ "published", "Records published, renewals included.", dns->published },
		{ "withdrawn", "Records withdrawn.", dns->withdrawn },
		{ "expired", "Records that expired.", dns->expired },
		{ "signatures", "Signatures made.", counters->signatures.made },
		{ "signatures_failed", "Sets that could not be signed.",
		  counters->signatures.failed },
		/* gauges */
		{ "records", "Dynamic records.", dns->record_count },
		{ "records_unserved", "Of these, in none of the zones.", dns->unserved },
		{ "tcp_connections", "TCP connections.", dns->connection_count },
	};

	for (int i = 0; i < NUMBERS; i++)
		number[i] = all[i];
}

static json_t *describe_zone(const struct zone *zone)
{
	char name[WIRE_NAME_TEXT];
	const struct zone_set *soa = zone_set_of(zone->apex, ns_t_soa);

	wire_name_text(zone->name, name);
	return json_pack("{s:s, s:I, s:i, s:i}", "name", name, "serial",
			 (json_int_t)wire_soa_serial(soa->data), "records", (int)zone->records,
			 "names", (int)zone->node_count);
}

json_t *stats_json(struct dns *dns)
{
	json_t *status = json_object(), *answers = json_object(), *cookies = json_object();
	json_t *zones = json_array();
	struct number number[NUMBERS];

	collect(dns, number);
	for (int i = 0; i < NUMBERS; i++)
		json_object_set_new(status, number[i].name, json_integer(number[i].value));
	for (int i = 0; i < ANSWER_RESULT_COUNT; i++)
		json_object_set_new(answers, answer_result_text(i),
				    json_integer(dns->server.counters.results[i]));
	for (int i = 0; i < 4; i++)
		json_object_set_new(cookies, cookie_text[i],
				    json_integer(dns->server.counters.cookies[i]));
	for (unsigned int i = 0; i < dns->zones.count; i++)
		json_array_append_new(zones, describe_zone(dns->zones.item[i]));
	json_object_set_new(status, "uptime", json_integer(dns_now() - dns->started));
	json_object_set_new(status, "answers", answers);
	json_object_set_new(status, "cookies", cookies);
	json_object_set_new(status, "zones", zones);
	if (dns->members)
		json_object_set_new(status, "members", members_status(dns));
	return status;
}

static void members_text(json_t *members)
{
	const char *key;
	json_t *value;
	size_t i;

	json_array_foreach (json_object_get(members, "gateways"), i, value)
		printf("%-18s %s %s, %lld hosts, %lld tunnels\n", "gateway",
		       json_string_value(json_object_get(value, "name")),
		       json_is_true(json_object_get(value, "connected")) ? "connected"
									 : "not connected",
		       json_integer_value(json_object_get(value, "hosts")),
		       json_integer_value(json_object_get(value, "tunnels")));
	json_array_foreach (json_object_get(members, "waypoints"), i, value)
		printf("%-18s %s, %lld addresses\n", "waypoint",
		       json_string_value(json_object_get(value, "name")),
		       json_integer_value(json_object_get(value, "addresses")));
	json_array_foreach (json_object_get(members, "onetime"), i, value)
		printf("%-18s %s %s, %lld services\n", "onetime",
		       json_string_value(json_object_get(value, "name")),
		       json_is_true(json_object_get(value, "connected")) ? "connected"
									 : "not connected",
		       json_integer_value(json_object_get(value, "services")));
	json_object_foreach (json_object_get(members, "bindings"), key, value)
		if (json_is_integer(value))
			printf("bindings_%-9s %lld\n", key, json_integer_value(value));
	json_object_foreach (json_object_get(members, "gives"), key, value)
		printf("onetime_%-10s %lld\n", key, json_integer_value(value));
}

void stats_text(json_t *status)
{
	const char *key, *word;
	json_t *value, *count;
	size_t i;

	json_array_foreach (json_object_get(status, "zones"), i, value)
		printf("%-18s %s serial %lld, %lld records, %lld names\n", "zone",
		       json_string_value(json_object_get(value, "name")),
		       json_integer_value(json_object_get(value, "serial")),
		       json_integer_value(json_object_get(value, "records")),
		       json_integer_value(json_object_get(value, "names")));
	members_text(json_object_get(status, "members"));
	json_object_del(status, "members");
	json_object_foreach (status, key, value) {
		if (json_is_integer(value))
			printf("%-18s %lld\n", key, json_integer_value(value));
		json_object_foreach (value, word, count)
			printf("%-18s %lld\n", word, json_integer_value(count));
	}
}

void stats_collect(struct evbuffer *out, void *arg)
{
	const struct dns *dns = arg;
	struct number number[NUMBERS];
	char name[64], label[64];

	collect(dns, number);
	for (int i = 0; i < NUMBERS; i++) {
		bool gauge = i >= NUMBERS - 3;

		snprintf(name, sizeof(name), "isthmus_dns_%s%s", number[i].name,
			 gauge ? "" : "_total");
		metrics_write(out, name, gauge ? "gauge" : "counter", number[i].help, NULL,
			      number[i].value);
	}
	for (int i = 0; i < ANSWER_RESULT_COUNT; i++) {
		snprintf(label, sizeof(label), "result=\"%s\"", answer_result_text(i));
		metrics_write(out, "isthmus_dns_answers_total", "counter",
			      i ? NULL : "Questions by what became of them.", label,
			      dns->server.counters.results[i]);
	}
	for (int i = 0; i < 4; i++) {
		snprintf(label, sizeof(label), "cookie=\"%s\"", cookie_text[i]);
		metrics_write(out, "isthmus_dns_cookies_total", "counter",
			      i ? NULL : "Questions by their cookie.", label,
			      dns->server.counters.cookies[i]);
	}
	give_metrics(out, dns);
}
