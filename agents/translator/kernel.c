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

static const struct {
	const char *name;
	size_t key_size, value_size;
} kernel_maps[MAP_COUNT] = {
	[MAP_CONF] = { "splice_conf", sizeof(__u32), sizeof(struct splice_conf) },
	[MAP_LOCAL] = { "splice_local", sizeof(struct isthmus_addr), sizeof(struct splice_range) },
	[MAP_SIDE] = { "splice_side", sizeof(struct splice_local_key), sizeof(struct splice_side) },
	[MAP_JOIN] = { "splice_join", sizeof(__u64), sizeof(struct splice_join) },
	[MAP_LEG] = { "splice_leg", sizeof(struct splice_leg_key), sizeof(struct splice_leg) },
	[MAP_STATS] = { "splice_stats", sizeof(__u32), sizeof(struct isthmus_count) },
	[MAP_EVENT] = { "splice_event", 0, 0 },
};

struct splice_local_key kernel_local_key(const struct session *s, int side)
{
	struct splice_local_key key = { .addr = s->side[side].local,
					.port = htons(s->side[side].port),
					.proto = s->proto };

	return key;
}

struct splice_leg_key kernel_leg_key(const struct session *s, int side, __be16 remote_port)
{
	struct splice_leg_key key = { .remote = s->side[side].remote,
				      .local = s->side[side].local,
				      .remote_port = remote_port,
				      .local_port = htons(s->side[side].port),
				      .proto = s->proto };

	return key;
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

/*
 * Sides first, so that nobody new is admitted; then the join, read and deleted in one call so that
 * it tells of the last SYN; then the legs that it names. A CPU that found the side before its end
 * can still make legs: the sweep finds a pair that nobody owns. The legs of a finished session stay
 * for TIME-WAIT.
 */
static void kernel_close(struct translator *t, struct session *s, enum end_why why,
			 struct traffic *traffic)
{
	struct splice_join join;
	bool joined;

	delete_side(t, s, 0);
	delete_side(t, s, 1);
	joined = !bpf_map_lookup_and_delete_elem(t->kernel->fd[MAP_JOIN], &s->id, &join);
	for (int side = 0; joined && side < 2; side++) {
		struct splice_leg_key key = kernel_leg_key(s, side, join.syn[side].remote_port);
		struct splice_leg leg;

		if (bpf_map_lookup_elem(t->kernel->fd[MAP_LEG], &key, &leg))
			continue;
		traffic->packets[side] = leg.packets;
		traffic->bytes[side] = leg.bytes;
		if (why != END_DONE)
			bpf_map_delete_elem(t->kernel->fd[MAP_LEG], &key);
	}
}

static unsigned int kernel_free_sessions(const struct translator *t)
{
	unsigned int legs = t->kernel->legs_seen;
	unsigned int by_legs = t->kernel->legs_max > legs ? (t->kernel->legs_max - legs) / 2 : 0;
	unsigned int by_joins = t->kernel->rendezvous_max > t->table.sessions
					? t->kernel->rendezvous_max - t->table.sessions
					: 0;

	return by_legs < by_joins ? by_legs : by_joins;
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
		      "Legs removed because nothing belonged to them.", NULL, t->counters.orphans);
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
	for (int i = 0; i < MAP_COUNT; i++)
		if (kernel->fd[i] >= 0)
			close(kernel->fd[i]);
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
	.free_sessions = kernel_free_sessions,
	.metrics = kernel_metrics,
	.stop = kernel_stop,
};

static int open_maps(struct translator *t, char *error, size_t error_len)
{
	for (int i = 0; i < MAP_COUNT; i++) {
		int fd = pin_open_map(t->settings.instance, "splice", kernel_maps[i].name,
				      kernel_maps[i].key_size, kernel_maps[i].value_size);

		if (fd >= 0) {
			t->kernel->fd[i] = fd;
			continue;
		}
		if (fd == -ENOENT)
			snprintf(error, error_len, "%s is not pinned: run `isthmus splice attach`",
				 kernel_maps[i].name);
		else
			snprintf(error, error_len, "cannot open the pinned map %s: %s%s",
				 kernel_maps[i].name, strerror(-fd),
				 fd == -EPERM ? "; start as root" : "");
		return fd;
	}
	return 0;
}

static int check_conf(struct translator *t, char *error, size_t error_len)
{
	struct splice_conf *conf = &t->kernel->conf;
	struct stat ns;
	__u32 zero = 0;
	int err = bpf_map_lookup_elem(t->kernel->fd[MAP_CONF], &zero, conf);

	if (err) {
		snprintf(error, error_len, "cannot read splice_conf: %s", strerror(-err));
		return err;
	}
	if (conf->abi != SPLICE_ABI) {
		snprintf(error, error_len,
			 "splice_conf has ABI %u, this program %u: attach again with --replace",
			 conf->abi, SPLICE_ABI);
		return -EPROTO;
	}
	if (conf->netns && !stat("/proc/self/ns/net", &ns) && conf->netns != ns.st_ino) {
		snprintf(error, error_len,
			 "splice is attached in another network namespace (%llu, this is %llu)",
			 (unsigned long long)conf->netns, (unsigned long long)ns.st_ino);
		return -EXDEV;
	}
	return 0;
}

static int add_pinned_local(const void *key, const void *value, void *arg)
{
	int err = locals_add(arg, key, *(const struct splice_range *)value, false);

	return err == -EEXIST ? 0 : err;
}

/* One configured address, within what is attached. */
static int add_configured_local(struct translator *t, const char *text, char *error,
				size_t error_len)
{
	struct splice_range attached, range;
	struct isthmus_addr addr;

	if (address_parse(text, &addr)) {
		snprintf(error, error_len, "address '%s' is not an IPv4 or IPv6 address", text);
		return -EINVAL;
	}
	if (bpf_map_lookup_elem(t->kernel->fd[MAP_LOCAL], &addr, &attached)) {
		snprintf(error, error_len,
			 "address %s is not attached: run `isthmus splice attach` with it", text);
		return -EADDRNOTAVAIL;
	}
	range = attached;
	if (t->settings.ports && settings_ports(t->settings.ports, &range))
		return -EINVAL; /* was checked with the settings */
	if (range.low < attached.low || range.high > attached.high) {
		snprintf(error, error_len, "ports %u-%u of %s are not attached, only %u-%u",
			 range.low, range.high, text, attached.low, attached.high);
		return -ERANGE;
	}
	return locals_add(&t->locals, &addr, range, false);
}

static int add_locals(struct translator *t, char *error, size_t error_len)
{
	int err = 0;

	if (!t->settings.address.count)
		err = kernel_map_each(t->kernel->fd[MAP_LOCAL], sizeof(struct isthmus_addr),
				      sizeof(struct splice_range), add_pinned_local, &t->locals);
	for (unsigned int i = 0; i < t->settings.address.count && !err; i++)
		err = add_configured_local(t, t->settings.address.item[i], error, error_len);
	if (!err && !t->locals.count) {
		snprintf(error, error_len,
			 "splice is attached without addresses: attach again with --address");
		err = -EADDRNOTAVAIL;
	}
	return err;
}

static unsigned int max_entries(int fd)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.max_entries;
}

int kernel_start(struct translator *t, char *error, size_t error_len)
{
	int err;

	t->kernel = calloc(1, sizeof(*t->kernel));
	if (!t->kernel)
		return -ENOMEM;
	memset(t->kernel->fd, -1, sizeof(t->kernel->fd));
	snprintf(error, error_len, "out of memory");
	err = open_maps(t, error, error_len);
	if (!err)
		err = check_conf(t, error, error_len);
	if (!err)
		err = add_locals(t, error, error_len);
	if (!err) {
		t->engine = &kernel_engine;
		t->kernel->rendezvous_max = max_entries(t->kernel->fd[MAP_JOIN]);
		t->kernel->legs_max = max_entries(t->kernel->fd[MAP_LEG]);
		err = restore_sessions(t, error, error_len);
	}
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
