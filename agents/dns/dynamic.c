// SPDX-License-Identifier: GPL-3.0-or-later
/* Dynamic records: each is in the store and, while one of our zones has its name, answered. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "dns.h"

#define GATHER_MAX 64

static bool same_data(const struct record *a, const struct record *b)
{
	return a->priority == b->priority && a->weight == b->weight;
}

int dynamic_publish(struct dns *dns, const struct record *record)
{
	struct record old;
	int known = store_find(dns->store, record, &old), rc;

	if (known && known != -ENOENT)
		return known;
	if (!known && old.owner[0] && strcmp(old.owner, record->owner) &&
	    (!old.expires || old.expires > dns_now()))
		return -EACCES;
	if (known && dns->record_count >= dns->settings.records)
		return -ENOSPC;
	rc = record_serve(record, &dns->zones);
	if (rc)
		return rc;
	rc = store_put(dns->store, record);
	if (rc) { /* as it was */
		record_unserve(record, &dns->zones);
		if (!known)
			record_serve(&old, &dns->zones);
		return rc;
	}
	if (!known && !same_data(&old, record))
		record_unserve(&old, &dns->zones);
	dns->record_count += known != 0;
	dns->published++;
	return 0;
}

/* ---- the end of records */

struct gathering {
	struct record *record;
	unsigned int count;
};

static bool gather(const struct record *record, int64_t id, void *arg)
{
	struct gathering *gathering = arg;

	(void)id;
	gathering->record[gathering->count++] = *record;
	return gathering->count < GATHER_MAX;
}

/* Some at a time, for the store does not change while it is read. */
static int remove_some(struct dns *dns, const struct store_match *match, struct record *memory)
{
	struct gathering gathering = { .record = memory };
	int rc = store_each(dns->store, match, gather, &gathering);

	for (unsigned int i = 0; i < gathering.count && !rc; i++) {
		rc = store_delete(dns->store, &memory[i]);
		if (rc)
			return rc;
		record_unserve(&memory[i], &dns->zones);
		dns->record_count--;
	}
	return rc ? rc : (int)gathering.count;
}

static int remove_all(struct dns *dns, const struct store_match *match)
{
	struct record *memory = calloc(GATHER_MAX, sizeof(*memory));
	int total = 0, rc = memory ? GATHER_MAX : -ENOMEM;

	while (rc == GATHER_MAX) {
		rc = remove_some(dns, match, memory);
		total += rc > 0 ? rc : 0;
	}
	free(memory);
	return rc < 0 ? rc : total;
}

int dynamic_withdraw(struct dns *dns, const struct store_match *match)
{
	int rc = remove_all(dns, match);

	dns->withdrawn += rc > 0 ? rc : 0;
	return rc;
}

void dynamic_expire(struct dns *dns)
{
	const struct store_match match = { .expires_before = dns_now() };
	int rc = remove_all(dns, &match);

	if (rc < 0)
		log_error("%s: expired records cannot be removed: %s", dns->settings.database,
			  store_error(dns->store));
	else
		dns->expired += rc;
}

/* ---- start and reload */

static bool load_one(const struct record *record, int64_t id, void *arg)
{
	struct dns *dns = arg;
	int rc;

	(void)id;
	if (record->expires && record->expires <= dns_now())
		return true; /* goes with the next tick */
	rc = record_serve(record, &dns->zones);
	if (rc) {
		dns->unserved++;
		log_warn("%.200s %s: kept, but not served: %s", record->name, record->type,
			 rc == -ENOENT	 ? "it is in none of the zones"
			 : rc == -EPERM	 ? "it is delegated to other servers"
			 : rc == -EEXIST ? "a CNAME is in its place"
					 : strerror(-rc));
	}
	return true;
}

int dynamic_load(struct dns *dns, char *error)
{
	const struct store_match all = { "", "", "", "", -1, 0, 0 };
	int rc;

	dns->unserved = 0;
	rc = store_each(dns->store, &all, load_one, dns);
	if (!rc)
		rc = store_count(dns->store, &dns->record_count);
	if (rc)
		snprintf(error, ERROR_LEN, "%s: %s", dns->settings.database,
			 store_error(dns->store));
	return rc;
}
