// SPDX-License-Identifier: GPL-3.0-or-later
/* What `isthmus splice attach` has left for us: pinned maps, addresses, ports. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../../maps/pin.h"
#include "kernel.h"

static const struct {
	const char *name;
	size_t key_size, value_size;
} kernel_maps[MAP_COUNT] = {
	[MAP_CONF] = { "splice_conf", sizeof(__u32), sizeof(struct splice_conf) },
	[MAP_LOCAL] = { "splice_local", sizeof(struct isthmus_addr), sizeof(struct splice_range) },
	[MAP_SIDE] = { "splice_side", sizeof(struct splice_local_key), sizeof(struct splice_side) },
	[MAP_JOIN] = { "splice_join", sizeof(__u64), sizeof(struct splice_join) },
	[MAP_LEG] = { "splice_leg", sizeof(__u32), sizeof(struct splice_leg) },
	[MAP_STATS] = { "splice_stats", sizeof(__u32), sizeof(struct isthmus_count) },
	[MAP_EVENT] = { "splice_event", 0, 0 },
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
		return -EIO;
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

static unsigned int max_entries(int fd)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.max_entries;
}

/* Legs are read and freed by plain memory access: no call for each, no copy that grows old. */
static int map_legs(struct kernel *kernel, char *error, size_t error_len)
{
	size_t page = sysconf(_SC_PAGESIZE), bytes;
	void *memory;

	kernel->leg_count = max_entries(kernel->fd[MAP_LEG]);
	bytes = (kernel->leg_count * sizeof(struct splice_leg) + page - 1) / page * page;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, kernel->fd[MAP_LEG], 0);
	if (memory == MAP_FAILED) {
		snprintf(error, error_len, "cannot map splice_leg: %s", strerror(errno));
		return -EIO;
	}
	kernel->leg = memory;
	kernel->leg_bytes = bytes;
	return 0;
}

struct adding {
	struct translator *translator;
	char *error;
	size_t error_len;
};

/* True and the range within what is attached, if the address is configured. */
static bool is_configured(const struct settings *settings, const struct isthmus_addr *addr,
			  struct splice_range *range)
{
	bool configured = !settings->address.count;

	for (unsigned int i = 0; i < settings->address.count; i++) {
		struct isthmus_addr item;

		configured |= !address_parse(settings->address.item[i], &item) &&
			      address_equal(&item, addr);
	}
	if (configured && settings->ports)
		settings_ports(settings->ports, range); /* was checked with the settings */
	return configured;
}

/* An address that is attached but not configured only keeps the sessions that it has. */
static int add_local(const void *key, const void *value, void *arg)
{
	const struct adding *adding = arg;
	struct translator *t = adding->translator;
	struct splice_range attached, range;
	struct local *local;
	bool configured;
	int err;

	memcpy(&attached, value, sizeof(attached));
	range = attached;
	configured = is_configured(&t->settings, key, &range);
	if (range.low < attached.low || range.high > attached.high) {
		char text[ADDRESS_TEXT_LEN];

		address_text(key, text);
		snprintf(adding->error, adding->error_len,
			 "ports %u-%u of %s are not attached, only %u-%u", range.low, range.high,
			 text, attached.low, attached.high);
		return -ERANGE;
	}
	if ((__u64)attached.first + splice_range_legs(&attached) > t->kernel->leg_count) {
		snprintf(adding->error, adding->error_len,
			 "splice_local and splice_leg contradict each other: attach again");
		return -EPROTO;
	}
	err = locals_add(&t->locals, key, range, !configured);
	local = err ? NULL : locals_find(&t->locals, key);
	if (local)
		local->attached = attached;
	return err;
}

static int check_configured(struct translator *t, char *error, size_t error_len)
{
	for (unsigned int i = 0; i < t->settings.address.count; i++) {
		const char *text = t->settings.address.item[i];
		struct isthmus_addr addr;

		if (address_parse(text, &addr)) {
			snprintf(error, error_len, "address '%s' is not an IPv4 or IPv6 address",
				 text);
			return -EINVAL;
		}
		if (!locals_find(&t->locals, &addr)) {
			snprintf(error, error_len,
				 "address %s is not attached: run `isthmus splice attach` with it",
				 text);
			return -EADDRNOTAVAIL;
		}
	}
	if (t->locals.count)
		return 0;
	snprintf(error, error_len,
		 "splice is attached without addresses: attach again with --address");
	return -EADDRNOTAVAIL;
}

int attached_open(struct translator *t, char *error, size_t error_len)
{
	struct adding adding = { t, error, error_len };
	int err = open_maps(t, error, error_len);

	if (!err)
		err = check_conf(t, error, error_len);
	if (!err)
		err = map_legs(t->kernel, error, error_len);
	if (!err)
		err = kernel_map_each(t->kernel->fd[MAP_LOCAL], sizeof(struct isthmus_addr),
				      sizeof(struct splice_range), add_local, &adding);
	if (!err)
		err = check_configured(t, error, error_len);
	if (!err)
		t->kernel->rendezvous_max = max_entries(t->kernel->fd[MAP_JOIN]);
	return err;
}

void attached_close(struct kernel *kernel)
{
	if (kernel->leg)
		munmap(kernel->leg, kernel->leg_bytes);
	for (int i = 0; i < MAP_COUNT; i++)
		if (kernel->fd[i] >= 0)
			close(kernel->fd[i]);
}
