// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "srv.h"

#define LETTERS		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define SRV_FIXED_BYTES 6 /* priority, weight, port */

uint32_t srv_random(void)
{
	uint32_t value;

	if (getrandom(&value, sizeof(value), GRND_NONBLOCK) == sizeof(value))
		return value;
	return (uint32_t)clock() * 2654435761U;
}

static void swap(struct srv_target *a, struct srv_target *b)
{
	struct srv_target kept = *a;

	*a = *b;
	*b = kept;
}

static bool goes_before(const struct srv_target *a, const struct srv_target *b)
{
	return a->priority < b->priority || (a->priority == b->priority && !a->weight && b->weight);
}

/* Those of weight 0 stand first, so that they have a small chance (RFC 2782, page 3). */
static void sort(struct srv_list *list)
{
	for (unsigned int i = 1; i < list->count; i++)
		for (unsigned int j = i; j && goes_before(&list->target[j], &list->target[j - 1]);
		     j--)
			swap(&list->target[j], &list->target[j - 1]);
}

void srv_order(struct srv_list *list, uint32_t (*random)(void))
{
	sort(list);
	for (unsigned int i = 0; i + 1 < list->count; i++) {
		struct srv_target *target = list->target;
		unsigned int last = i, pick = i;
		uint32_t sum = 0, run, chosen;

		for (; last < list->count && target[last].priority == target[i].priority; last++)
			sum += target[last].weight;
		chosen = random() % (sum + 1);
		for (run = target[pick].weight; run < chosen && pick + 1 < last;)
			run += target[++pick].weight;
		for (; pick > i; pick--) /* the others keep their order */
			swap(&target[pick], &target[pick - 1]);
	}
}

static int take_record(ns_msg message, const ns_rr *record, struct srv_list *list)
{
	const uint8_t *data = ns_rr_rdata(*record);
	struct srv_target *target = &list->target[list->count];

	if (ns_rr_type(*record) != ns_t_srv || ns_rr_class(*record) != ns_c_in ||
	    list->count == SRV_TARGETS_MAX)
		return 0;
	if (ns_rr_rdlen(*record) <= SRV_FIXED_BYTES ||
	    ns_name_uncompress(ns_msg_base(message), ns_msg_end(message), data + SRV_FIXED_BYTES,
			       target->host, sizeof(target->host)) < 0)
		return -EBADMSG;
	target->priority = ns_get16(data);
	target->weight = ns_get16(data + 2);
	target->port = ns_get16(data + 4);
	if (!target->host[0] || !strcmp(target->host, "."))
		list->unavailable = true;
	else
		list->count++;
	return 0;
}

int srv_parse(const uint8_t *bytes, int len, struct srv_list *list)
{
	ns_msg message;
	ns_rr record;
	int rc = 0;

	list->count = 0;
	list->unavailable = false;
	if (ns_initparse(bytes, len, &message))
		return -EBADMSG;
	for (int i = 0; i < ns_msg_count(message, ns_s_an) && !rc; i++) {
		if (ns_parserr(&message, ns_s_an, i, &record))
			rc = -EBADMSG;
		else
			rc = take_record(message, &record, list);
	}
	if (rc)
		list->count = 0;
	if (list->count)
		list->unavailable = false;
	return rc;
}

bool srv_query(const char *service, const char *protocol, const char *host, struct srv_list *list)
{
	struct __res_state state = { 0 };
	char name[NS_MAXDNAME];
	uint8_t *answer;
	bool found = false;
	int len;

	if (snprintf(name, sizeof(name), "_%s._%s.%s", service, protocol, host) >=
	    (int)sizeof(name))
		return false;
	answer = malloc(NS_MAXMSG);
	if (!answer || res_ninit(&state)) {
		free(answer);
		return false;
	}
	len = res_nsearch(&state, name, ns_c_in, ns_t_srv, answer, NS_MAXMSG);
	if (len > 0 && len <= NS_MAXMSG && !srv_parse(answer, len, list))
		found = list->count || list->unavailable;
	if (found)
		srv_order(list, srv_random);
	res_nclose(&state);
	free(answer);
	return found;
}

static bool is_number(const char *text, unsigned int *port)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || value > 65535)
		return false;
	*port = value;
	return true;
}

bool srv_service_name(const char *service, const char *protocol, bool numeric, char *name,
		      size_t len)
{
	struct servent entry, *found = NULL;
	char buffer[2048];
	unsigned int port;

	if (is_number(service, &port)) {
		if (!numeric ||
		    getservbyport_r(htons(port), protocol, &entry, buffer, sizeof(buffer), &found))
			found = NULL;
		if (!found)
			return false;
	} else if (getservbyname_r(service, protocol, &entry, buffer, sizeof(buffer), &found)) {
		found = NULL;
	}
	/* A name that the system does not know may still have SRV records. */
	if (found)
		service = found->s_name;
	/* At least one letter (RFC 6335, 5.1), so no number that is no port. */
	if (!service[strcspn(service, LETTERS)] || service[strspn(service, LETTERS "0123456789-_")])
		return false;
	return snprintf(name, len, "%s", service) < (int)len;
}
