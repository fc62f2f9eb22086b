// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * After a restart the table is made of splice_side and splice_leg. Joined sessions go on and are
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
	err = port_restore(&t->locals, &key->addr, key->proto, ntohs(key->port), s);
	if (err) /* no longer attached: what is left of the session vanishes */
		return err == -ERANGE ? 0 : err;
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

/* What a side's entry would tell, from its leg. */
static int restore_leg(struct translator *t, const struct local *local, uint16_t port,
		       uint8_t proto, const struct splice_leg *leg)
{
	struct session *s = table_find(&t->table, leg->rendezvous);
	struct side *side;
	int err;

	if (!s)
		s = table_restore(t, leg->rendezvous, 0);
	if (!s)
		return -ENOMEM;
	if (s->state != SESSION_JOINED) {
		s->state = SESSION_JOINED;
		s->joined_ns = now_ns();
		t->table.joined++;
	}
	side = &s->side[leg->flags & SPLICE_LEG_PROVIDER ? 1 : 0];
	if (side->port)
		return 0;
	err = port_restore(&t->locals, &local->addr, proto, port, s);
	if (err) /* another session's endpoint: the sweep ends the one without it */
		return err == -EEXIST ? 0 : err;
	s->proto = proto;
	s->family = address_is_v4(&local->addr) ? 4 : 6;
	side->local = local->addr;
	side->port = port;
	side->probed = true;
	side->remote = leg->remote;
	return 0;
}

static int restore_legs(struct translator *t, const struct local *local, uint8_t proto)
{
	for (unsigned int port = local->attached.low; port <= local->attached.high; port++) {
		__u32 index = splice_leg_index(&local->attached, port, proto);
		const struct splice_leg *leg = &t->kernel->leg[index];
		int err = 0;

		if (__atomic_load_n(&leg->state, __ATOMIC_ACQUIRE) == SPLICE_LEG_LIVE)
			err = restore_leg(t, local, port, proto, leg);
		if (err)
			return err;
	}
	return 0;
}

static int restore_all_legs(struct translator *t)
{
	int err = 0;

	for (unsigned int i = 0; i < t->locals.count && !err; i++) {
		err = restore_legs(t, &t->locals.item[i], IPPROTO_TCP);
		if (!err)
			err = restore_legs(t, &t->locals.item[i], IPPROTO_UDP);
	}
	return err;
}

struct restored {
	struct translator *translator;
	unsigned int waiting;
};

/* Without its join a session cannot be joined any more; one that is has ended and was told. */
static void restore_state(struct session *s, void *arg)
{
	struct restored *restored = arg;
	struct translator *t = restored->translator;
	struct splice_join join;
	bool has_join = !bpf_map_lookup_elem(t->kernel->fd[MAP_JOIN], &s->id, &join);

	if (s->state == SESSION_JOINED) {
		if (has_join)
			s->joined_ns = join.joined_ns;
		else
			table_finished(t, s);
		return;
	}
	if (!has_join)
		s->expires_ns = 0;
	rendezvous_arm(s); /* its check finds out whether it was just joined */
	restored->waiting++;
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
		err = restore_all_legs(t);
	if (!err)
		err = remove_lone_joins(t);
	if (err) {
		snprintf(error, error_len, "cannot take up the sessions of the maps: %s",
			 strerror(-err));
		return err;
	}
	table_each(t, restore_state, &restored);
	if (t->table.sessions)
		log_info("took up %u joined and %u waiting sessions, %u in TIME-WAIT",
			 t->table.joined, restored.waiting, t->table.finished_count);
	return 0;
}
