// SPDX-License-Identifier: GPL-3.0-or-later
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "loader.h"
#include "stats.h"
#include "walk.h"

static int read_reason(int fd, uint32_t reason, struct isthmus_count *each, int cpus,
		       struct isthmus_count *sum)
{
	*sum = (struct isthmus_count){};
	if (bpf_map_lookup_elem(fd, &reason, each))
		return -errno;
	for (int i = 0; i < cpus; i++) {
		sum->packets += each[i].packets;
		sum->bytes += each[i].bytes;
	}
	return 0;
}

static void print_reason(const struct output *output, const struct stats_reason *reason,
			 const struct isthmus_count *sum)
{
	output->record_start();
	output->text("reason", reason->name);
	output->text("verdict", reason->verdict);
	output->number("packets", sum->packets);
	output->number("bytes", sum->bytes);
	output->text("meaning", reason->text);
	output->record_end();
}

int stats_print(const struct output *output, const char *stem, const char *instance, int map_fd,
		const struct stats_reason *reasons, size_t count)
{
	int cpus = libbpf_num_possible_cpus();
	struct isthmus_count *each, sum;
	int err = 0;

	if (cpus < 0)
		return cpus;
	each = calloc(cpus, sizeof(*each));
	if (!each)
		return -ENOMEM;
	output->start();
	output->text("datapath", stem);
	output->text("instance", instance);
	output->list_start("reasons");
	for (uint32_t i = 0; i < count && !err; i++) {
		err = read_reason(map_fd, i, each, cpus, &sum);
		print_reason(output, &reasons[i], &sum);
	}
	output->list_end();
	free(each);
	return err;
}

void stats_print_table(const struct output *output, const char *name, uint64_t entries,
		       uint32_t capacity)
{
	output->record_start();
	output->text("table", name);
	output->number("entries", entries);
	output->number("capacity", capacity);
	output->record_end();
}

int stats_print_fill(const struct output *output, const char *name, int map_fd)
{
	uint64_t entries;
	uint32_t capacity;
	int err = walk_count(map_fd, &entries);

	if (!err)
		err = walk_capacity(map_fd, &capacity);
	if (!err)
		stats_print_table(output, name, entries, capacity);
	return err;
}
