// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * After a restart the table is made of splice_side and splice_join. Joined sessions go on and are
 * reported when they end. Of the others a side that was probed may still come; tokens are lost, so
 * what was not probed runs out.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "kernel.h"

/* Its address may have been taken out of the settings: it serves its sessions to the end. */
static int restore_local(struct translator *t, const struct isthmus_addr *addr)
{
	const struct splice_range none = { 1, 0 };
	int err = locals_add(&t->locals, addr, none, true);

	return err == -EEXIST ? 0 : err;
}

static int restore_side(const void *key_bytes, const void *value_bytes, void *arg)
{
	const struct splice_local_key *key = key_bytes;
	const struct splice_side *value = value_bytes;
	struct translator *t = arg;
	struct session *s = table_find(&t->table, value->rendezvous);
	struct side *side;
	int err;

	if (value->side > 1)
		return 0;
	if (!s)
		s = table_restore(t, value->rendezvous, value->expires_ns);
	if (!s)
		return -ENOMEM;
	side = &s->side[value->side];
	if (side->port) /* two sides of one number: not ours to guess, the sweep removes it */
		return 0;
	err = restore_local(t, &key->addr);
	if (!err)
		err = port_restore(&t->locals, &key->addr, key->proto, ntohs(key->port), s);
	if (err)
		return err;
	s->proto = key->proto;
	s->family = address_is_v4(&key->addr) ? 4 : 6;
	side->local = key->addr;
	side->port = ntohs(key->port);
	side->probed = value->known;
	side->remote = value->expected;
	if (!value->other.port) { /* pure, waiting for the other side's port */
		s->pure = true;
		s->side[!value->side].local = key->addr;
	}
	return 0;
}

struct restored {
	struct translator *translator;
	unsigned int joined, waiting;
};

/* Without its join a session cannot be joined; what legs it has, the sweep removes. */
static void restore_state(struct session *s, void *arg)
{
	struct restored *restored = arg;
	struct translator *t = restored->translator;
	struct splice_join join;

	if (bpf_map_lookup_elem(t->kernel->fd[MAP_JOIN], &s->id, &join)) {
		s->expires_ns = 0;
		rendezvous_arm(s);
		return;
	}
	if (join.state != SPLICE_SYN_RCVD) {
		rendezvous_arm(s);
		restored->waiting++;
		return;
	}
	s->state = SESSION_JOINED;
	s->joined_ns = join.joined_ns;
	t->table.joined++;
	restored->joined++;
}

struct lone_joins {
	struct translator *translator;
	__u64 id[1024];
	unsigned int count;
};

/* A join without sides: its maker was killed between the two writes. */
static int find_lone_join(const void *key, const void *value, void *arg)
{
	struct lone_joins *lone = arg;
	__u64 id;

	(void)value;
	memcpy(&id, key, sizeof(id));
	if (!table_find(&lone->translator->table, id) && lone->count < 1024)
		lone->id[lone->count++] = id;
	return 0;
}

static int remove_lone_joins(struct translator *t)
{
	struct lone_joins lone = { .translator = t };
	int err = kernel_map_each(t->kernel->fd[MAP_JOIN], sizeof(__u64),
				  sizeof(struct splice_join), find_lone_join, &lone);

	for (unsigned int i = 0; i < lone.count; i++)
		bpf_map_delete_elem(t->kernel->fd[MAP_JOIN], &lone.id[i]);
	return err;
}

int restore_sessions(struct translator *t, char *error, size_t error_len)
{
	struct restored restored = { .translator = t };
	int err = kernel_map_each(t->kernel->fd[MAP_SIDE], sizeof(struct splice_local_key),
				  sizeof(struct splice_side), restore_side, t);

	if (!err)
		err = remove_lone_joins(t);
	if (err) {
		snprintf(error, error_len, "cannot take up the sessions of the maps: %s",
			 strerror(-err));
		return err;
	}
	table_each(t, restore_state, &restored);
	if (restored.joined || restored.waiting)
		log_info("took up %u joined and %u waiting sessions", restored.joined,
			 restored.waiting);
	return 0;
}
