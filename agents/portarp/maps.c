// SPDX-License-Identifier: GPL-3.0-or-later
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../maps/pin.h"
#include "maps.h"

#define KEY_MAX	  32
#define VALUE_MAX 512

static const struct {
	const char *name;
	size_t key_size, value_size;
} known[MAP_COUNT] = {
	[MAP_CONF] = { "portarp_conf", 4, sizeof(struct portarp_conf) },
	[MAP_ADDR] = { "portarp_addr", 4, sizeof(struct portarp_addr) },
	[MAP_PORT] = { "portarp_port", 4, 4 },
	[MAP_OWNER] = { "portarp_owner", 4, sizeof(struct portarp_owner) },
	[MAP_SHARER] = { "portarp_sharer", sizeof(struct portarp_sharer_key), 4 },
	[MAP_MINE] = { "portarp_mine", 4, sizeof(struct portarp_mine) },
	[MAP_FLOW] = { "portarp_flow", sizeof(struct portarp_flow_key),
		       sizeof(struct portarp_flow) },
	[MAP_IDENT] = { "portarp_ident", sizeof(struct portarp_ident_key),
			sizeof(struct portarp_ident) },
	[MAP_FRAG] = { "portarp_frag", sizeof(struct portarp_frag_key),
		       sizeof(struct portarp_frag) },
	[MAP_USE] = { "portarp_use", 4, 8 },
	[MAP_STATS] = { "portarp_stats", 4, sizeof(struct isthmus_count) },
	[MAP_EVENT] = { "portarp_event", 0, 0 },
};

static int open_pins(struct maps *maps, const char *instance, char *error, size_t error_len)
{
	for (int i = 0; i < MAP_COUNT; i++) {
		int fd = pin_open_map(instance, "portarp", known[i].name, known[i].key_size,
				      known[i].value_size);

		if (fd >= 0) {
			maps->fd[i] = fd;
			continue;
		}
		if (fd == -ENOENT)
			snprintf(error, error_len, "%s is not pinned: run `isthmus portarp attach`",
				 known[i].name);
		else
			snprintf(error, error_len, "cannot open the pinned map %s: %s%s",
				 known[i].name, strerror(-fd),
				 fd == -EPERM ? "; start as root" : "");
		return fd;
	}
	return 0;
}

static int check_conf(struct maps *maps, char *error, size_t error_len)
{
	const struct portarp_conf *conf = &maps->conf;
	struct stat ns;

	if (maps_read_conf(maps)) {
		snprintf(error, error_len, "cannot read portarp_conf");
		return -EIO;
	}
	if (conf->abi != PORTARP_ABI || conf->role < PORTARP_GATEWAY || conf->role > PORTARP_HOST ||
	    conf->links > PORTARP_LINKS) {
		snprintf(error, error_len,
			 "portarp_conf has ABI %u, this program %u: attach again with --replace",
			 conf->abi, PORTARP_ABI);
		return -EPROTO;
	}
	if (conf->netns && !stat("/proc/self/ns/net", &ns) && conf->netns != ns.st_ino) {
		snprintf(error, error_len,
			 "portarp is attached in another network namespace (%llu, this is %llu)",
			 (unsigned long long)conf->netns, (unsigned long long)ns.st_ino);
		return -EXDEV;
	}
	return 0;
}

static int map_memory(int fd, const char *name, struct map_array *array, char *error,
		      size_t error_len)
{
	struct bpf_map_info info = { 0 };
	size_t page = sysconf(_SC_PAGESIZE);
	__u32 len = sizeof(info);
	void *memory;

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	array->count = info.max_entries;
	array->bytes = ((size_t)array->count * 8 + page - 1) / page * page;
	memory = mmap(NULL, array->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		int err = -errno;

		snprintf(error, error_len, "cannot map %s: %s", name, strerror(-err));
		return err;
	}
	array->word = memory;
	return 0;
}

int maps_open(struct maps *maps, const char *instance, char *error, size_t error_len)
{
	int err;

	memset(maps, 0, sizeof(*maps));
	memset(maps->fd, -1, sizeof(maps->fd));
	err = open_pins(maps, instance, error, error_len);
	if (!err)
		err = check_conf(maps, error, error_len);
	if (!err)
		err = map_memory(maps->fd[MAP_OWNER], "portarp_owner", &maps->owner, error,
				 error_len);
	if (!err)
		err = map_memory(maps->fd[MAP_PORT], "portarp_port", &maps->port, error, error_len);
	if (!err)
		err = map_memory(maps->fd[MAP_USE], "portarp_use", &maps->use, error, error_len);
	if (err)
		maps_close(maps);
	return err;
}

static void unmap(struct map_array *array)
{
	if (array->word)
		munmap(array->word, array->bytes);
	array->word = NULL;
}

void maps_close(struct maps *maps)
{
	unmap(&maps->owner);
	unmap(&maps->port);
	unmap(&maps->use);
	for (int i = 0; i < MAP_COUNT; i++)
		if (maps->fd[i] >= 0)
			close(maps->fd[i]);
	memset(maps->fd, -1, sizeof(maps->fd));
}

int maps_read_conf(struct maps *maps)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(maps->fd[MAP_CONF], &zero, &maps->conf);
}

int maps_write_conf(struct maps *maps)
{
	__u32 zero = 0;

	return bpf_map_update_elem(maps->fd[MAP_CONF], &zero, &maps->conf, BPF_ANY);
}

int map_put(const struct maps *maps, enum map_name name, const void *key, const void *value)
{
	return bpf_map_update_elem(maps->fd[name], key, value, BPF_ANY);
}

int map_delete(const struct maps *maps, enum map_name name, const void *key)
{
	return bpf_map_delete_elem(maps->fd[name], key);
}

int map_get(const struct maps *maps, enum map_name name, const void *key, void *value)
{
	return bpf_map_lookup_elem(maps->fd[name], key, value);
}

/* First the record, then the epoch: who reads the new epoch finds the new record. */
static int address_changed(struct maps *maps)
{
	maps->conf.epoch++;
	return maps_write_conf(maps);
}

int maps_put_address(struct maps *maps, __be32 address, const struct portarp_addr *record)
{
	int err = map_put(maps, MAP_ADDR, &address, record);

	return err ? err : address_changed(maps);
}

int maps_delete_address(struct maps *maps, __be32 address)
{
	int err = map_delete(maps, MAP_ADDR, &address);

	return err ? err : address_changed(maps);
}

/* The next key is found before the visit, which may delete this one. */
void map_each(const struct maps *maps, enum map_name name, unsigned int limit,
	      void (*visit)(const void *key, const void *value, void *arg), void *arg)
{
	uint8_t key[2][KEY_MAX], value[VALUE_MAX];
	int fd = maps->fd[name], now = 0;
	int err = bpf_map_get_next_key(fd, NULL, key[now]);

	while (!err && limit--) {
		err = bpf_map_get_next_key(fd, key[now], key[!now]);
		if (!bpf_map_lookup_elem(fd, key[now], value))
			visit(key[now], value, arg);
		now = !now;
	}
}
