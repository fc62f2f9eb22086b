// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The kernel engine. It writes announcements into the maps and deletes what has ended; no packet
 * ever waits for it, and if it is killed every session goes on.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "../lib/metrics.h"
#include "../../maps/pin.h"
#include "kernel.h"

#define BATCH 4096

struct splice_local_key kernel_local_key(const struct session *s, int side)
{
	struct splice_local_key key = { .addr = s->side[side].local,
					.port = htons(s->side[side].port),
					.proto = s->proto };

	return key;
}

struct splice_leg *kernel_session_leg(const struct translator *t, const struct session *s, int side)
{
	const struct local *local = locals_find(&t->locals, &s->side[side].local);
	uint16_t port = s->side[side].port;
	struct splice_leg *leg;

	if (!local || port < local->attached.low || port > local->attached.high)
		return NULL;
	leg = &t->kernel->leg[splice_leg_index(&local->attached, port, s->proto)];
	if (__atomic_load_n(&leg->state, __ATOMIC_ACQUIRE) != SPLICE_LEG_LIVE ||
	    leg->rendezvous != s->id)
		return NULL;
	return leg;
}

void kernel_read_conf(struct translator *t)
{
	struct splice_conf conf;
	__u32 zero = 0;

	if (!bpf_map_lookup_elem(t->kernel->fd[MAP_CONF], &zero, &conf))
		t->kernel->conf = conf;
}

int kernel_map_each(int fd, size_t key_size, size_t value_size,
		    int (*visit)(const void *key, const void *value, void *arg), void *arg)
{
	char *keys = calloc(BATCH, key_size), *values = calloc(BATCH, value_size);
	uint64_t position = 0;
	bool first = true;
	int err = keys && values ? 0 : -ENOMEM;

	while (!err) {
		__u32 count = BATCH;
		int batch = bpf_map_lookup_batch(fd, first ? NULL : &position, &position, keys,
						 values, &count, NULL);

		if (batch && batch != -ENOENT) {
			err = batch;
			break;
		}
		for (__u32 i = 0; i < count && !err; i++)
			err = visit(keys + i * key_size, values + i * value_size, arg);
		if (batch)
			break;
		first = false;
	}
	free(keys);
	free(values);
	return err;
}

static int write_side(struct translator *t, const struct session *s, int side, uint64_t flags)
{
	struct splice_local_key key = kernel_local_key(s, side);
	struct splice_side value = {
		.rendezvous = s->id,
		.expires_ns = s->expires_ns,
		.expected = s->side[side].remote,
		.side = side,
		.known = s->side[side].probed,
	};

	if (s->side[!side].port)
		value.other = kernel_local_key(s, !side);
	return bpf_map_update_elem(t->kernel->fd[MAP_SIDE], &key, &value, flags);
}

static void delete_side(struct translator *t, const struct session *s, int side)
{
	struct splice_local_key key = kernel_local_key(s, side);

	if (s->side[side].port)
		bpf_map_delete_elem(t->kernel->fd[MAP_SIDE], &key);
}

/* A full hash map answers E2BIG; nothing can be told apart beyond that. */
static int map_error(int err)
{
	return err == -E2BIG || err == -ENOMEM ? -ENOSPC : err;
}

static int kernel_open(struct translator *t, struct session *s)
{
	struct splice_join join = { .state = SPLICE_LISTEN };
	int err = bpf_map_update_elem(t->kernel->fd[MAP_JOIN], &s->id, &join, BPF_NOEXIST);

	if (err)
		return map_error(err);
	for (int side = 0; side < 2 && !err; side++)
		if (s->side[side].port)
			err = write_side(t, s, side, BPF_NOEXIST);
	if (!err)
		return 0;
	delete_side(t, s, 0);
	bpf_map_delete_elem(t->kernel->fd[MAP_JOIN], &s->id);
	return map_error(err);
}

static int read_join(const struct translator *t, const struct session *s, struct splice_join *join)
{
	return bpf_map_lookup_elem(t->kernel->fd[MAP_JOIN], &s->id, join);
}

static int kernel_admit(struct translator *t, struct session *s, int side)
{
	struct splice_join join;
	int err = read_join(t, s, &join);

	if (err)
		return err;
	/* Its SYN was admitted from the earlier address: the legs would be made of two hosts. */
	if (join.syn[side].seen_ns)
		return -EBUSY;
	if (!s->side[side].port) /* pure, and the port is not known yet: written by retarget */
		return 0;
	return write_side(t, s, side, BPF_EXIST);
}

static int kernel_retarget(struct translator *t, struct session *s, int side)
{
	int err = write_side(t, s, side, BPF_NOEXIST);

	if (!err)
		err = write_side(t, s, !side, BPF_EXIST);
	if (err)
		delete_side(t, s, side);
	return map_error(err);
}

static void kernel_check(struct translator *t, struct session *s)
{
	struct splice_join join;

	if (read_join(t, s, &join))
		return;
	if (join.state == SPLICE_SYN_RCVD) {
		s->joined_ns = join.joined_ns;
		rendezvous_joined(t, s);
		return;
	}
	for (int side = 0; side < 2; side++)
		if (join.syn[side].seen_ns)
			rendezvous_syn(t, s, side, ntohs(join.syn[side].remote_port));
}

static void add_traffic(const struct translator *t, const struct session *s,
			struct traffic *traffic)
{
	for (int side = 0; side < 2; side++) {
		const struct splice_leg *leg = kernel_session_leg(t, s, side);

		traffic->packets[side] = leg ? __atomic_load_n(&leg->packets, __ATOMIC_RELAXED) : 0;
		traffic->bytes[side] = leg ? __atomic_load_n(&leg->bytes, __ATOMIC_RELAXED) : 0;
	}
}

/*
 * Sides first, so that nobody new is admitted; then the legs; then the join, without which no leg
 * can be made. A CPU that found side and join before their end can still make legs: the sweep frees
 * what belongs to no session.
 */
static void kernel_close(struct translator *t, struct session *s, enum end_why why,
			 struct traffic *traffic)
{
	(void)why;
	delete_side(t, s, 0);
	delete_side(t, s, 1);
	add_traffic(t, s, traffic);
	for (int side = 0; side < 2; side++) {
		struct splice_leg *leg = kernel_session_leg(t, s, side);

		if (leg)
			__atomic_store_n(&leg->state, SPLICE_LEG_FREE, __ATOMIC_RELEASE);
	}
	bpf_map_delete_elem(t->kernel->fd[MAP_JOIN], &s->id);
}

/* Legs stay for TIME-WAIT: they hold all that a restarted agent needs. */
static void kernel_finish(struct translator *t, struct session *s, struct traffic *traffic)
{
	delete_side(t, s, 0);
	delete_side(t, s, 1);
	bpf_map_delete_elem(t->kernel->fd[MAP_JOIN], &s->id);
	add_traffic(t, s, traffic);
}

static unsigned int kernel_free_sessions(const struct translator *t)
{
	unsigned int used = t->table.sessions - t->table.finished_count;

	return t->kernel->rendezvous_max > used ? t->kernel->rendezvous_max - used : 0;
}

static void metrics_reason(const struct translator *t, struct evbuffer *out, __u32 reason,
			   struct isthmus_count *counts, int cpus)
{
	uint64_t packets = 0;
	char label[64];

	if (bpf_map_lookup_elem(t->kernel->fd[MAP_STATS], &reason, counts))
		return;
	for (int i = 0; i < cpus; i++)
		packets += counts[i].packets;
	snprintf(label, sizeof(label), "reason=\"%s\"", reason_text(reason));
	metrics_write(out, "isthmus_splice_packets_total", "counter",
		      reason ? NULL : "Packets that the datapath has seen, by what became of them.",
		      label, packets);
}

static void kernel_metrics(const struct translator *t, struct evbuffer *out)
{
	int cpus = libbpf_num_possible_cpus();
	struct isthmus_count *counts = cpus > 0 ? calloc(cpus, sizeof(*counts)) : NULL;

	for (__u32 reason = 0; counts && reason < SPLICE_REASON_COUNT; reason++)
		metrics_reason(t, out, reason, counts, cpus);
	free(counts);
	metrics_write(out, "isthmus_translator_orphan_legs_total", "counter",
		      "Legs freed because their session was not known.", NULL, t->counters.orphans);
	metrics_write(out, "isthmus_translator_epochs_total", "counter",
		      "Times that all legs were told to look up their next hop again.", NULL,
		      t->counters.epochs);
	metrics_write(out, "isthmus_translator_neighbours_used_total", "counter",
		      "Neighbour entries in use that the kernel was asked to keep alive.", NULL,
		      t->counters.neighbours_used);
}

static void kernel_stop(struct translator *t)
{
	struct kernel *kernel = t->kernel;

	if (!kernel)
		return;
	hops_free(kernel->hops);
	sweep_free(kernel->sweep);
	events_free(kernel->events);
	attached_close(kernel);
	free(kernel);
	t->kernel = NULL;
}

static const struct engine kernel_engine = {
	.name = "kernel",
	.pure = true,
	.open = kernel_open,
	.admit = kernel_admit,
	.retarget = kernel_retarget,
	.check = kernel_check,
	.close = kernel_close,
	.finish = kernel_finish,
	.free_sessions = kernel_free_sessions,
	.metrics = kernel_metrics,
	.stop = kernel_stop,
};

int kernel_start(struct translator *t, char *error, size_t error_len)
{
	int err;

	snprintf(error, error_len, "out of memory");
	t->kernel = calloc(1, sizeof(*t->kernel));
	if (!t->kernel)
		return -ENOMEM;
	memset(t->kernel->fd, -1, sizeof(t->kernel->fd));
	t->engine = &kernel_engine;
	err = attached_open(t, error, error_len);
	if (!err)
		err = restore_sessions(t, error, error_len);
	if (!err)
		err = events_start(t, error, error_len);
	if (!err)
		err = hops_start(t, error, error_len);
	if (!err)
		err = sweep_start(t);
	if (err) {
		kernel_stop(t);
		t->engine = NULL;
	}
	return err;
}
