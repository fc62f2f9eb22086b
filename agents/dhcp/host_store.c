// SPDX-License-Identifier: GPL-3.0-or-later
/* The state file: JSON, replaced as a whole. Times in it are seconds of the calendar. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../lib/msg.h"
#include "host.h"

static json_t *hex(const uint8_t *bytes, size_t len)
{
	char text[2 * DHCP_DUID_LEN + 1] = "";

	for (size_t i = 0; i < len && i < DHCP_DUID_LEN; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	return json_string(text);
}

/* ---- writing */

static json_t *lease_json(unsigned int number, const struct dhcp_client_lease *lease, int64_t now)
{
	int64_t expires =
		lease->expires == DHCP_NEVER ? 0 : time(NULL) + (lease->expires - now) / 1000;
	char ip[4][16];
	json_t *ranges = json_array();
	json_t *object = json_pack("{s:i, s:s, s:s, s:s, s:s, s:b, s:o, s:I, s:I}", "number",
				   number, "address", pool_ip_text(lease->address, ip[0]), "mask",
				   pool_ip_text(lease->mask, ip[1]), "router",
				   pool_ip_text(lease->router, ip[2]), "server",
				   pool_ip_text(lease->server, ip[3]), "relayed", lease->relayed,
				   "server_mac", hex(lease->server_mac, DHCP_MAC), "seconds",
				   (json_int_t)lease->seconds, "expires", (json_int_t)expires);

	if (lease->shared) {
		json_object_set_new(object, "a", json_integer(lease->set.a));
		json_object_set_new(object, "k", json_integer(lease->set.k));
		json_object_set_new(object, "psid", json_integer(lease->set.psid));
	}
	for (unsigned int i = 0; i < lease->ranges; i++)
		json_array_append_new(ranges,
				      json_pack("[ii]", lease->range[i].low, lease->range[i].high));
	json_object_set_new(object, "ranges", ranges);
	return object;
}

static int write_file(const char *path, const char *text)
{
	size_t len = strlen(text);
	char temporary[300];
	int fd, err = 0;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len || fsync(fd))
		err = -EIO;
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(temporary, path))
		err = -errno;
	if (err)
		unlink(temporary);
	return err;
}

int host_save(const struct host *host)
{
	json_t *leases = json_array(), *all;
	int64_t now = host_now();
	char *text;
	int err;

	for (unsigned int i = 0; i < HOST_SETS; i++)
		if (host->set[i].has_lease)
			json_array_append_new(leases, lease_json(i, &host->set[i].lease, now));
	all = json_pack("{s:o, s:o}", "duid", hex(host->duid, host->duid_len), "leases", leases);
	text = all ? json_dumps(all, JSON_INDENT(1)) : NULL;
	json_decref(all);
	err = text ? write_file(host->state, text) : -ENOMEM;
	free(text);
	return err;
}

/* ---- reading */

static bool get_ip(const json_t *object, const char *key, uint32_t *ip)
{
	const char *text;

	return msg_get_string(object, key, &text) && pool_parse_ip(text, ip);
}

static void read_ranges(const json_t *object, struct dhcp_client_lease *lease)
{
	json_int_t low, high;
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(object, "ranges"), i, entry) {
		if (lease->ranges == DHCP_RANGES || json_unpack(entry, "[II]", &low, &high) ||
		    low < 1 || low > high || high > 65535)
			return;
		lease->range[lease->ranges].low = low;
		lease->range[lease->ranges++].high = high;
	}
}

static bool read_set(const json_t *object, struct dhcp_client_lease *lease)
{
	int64_t a, k, psid;

	lease->shared = json_object_get(object, "psid");
	if (!lease->shared)
		return true;
	if (!msg_get_integer(object, "a", 0, 15, &a) || !msg_get_integer(object, "k", 0, 16, &k) ||
	    !msg_get_integer(object, "psid", 0, 65535, &psid))
		return false;
	lease->set = (struct portset){ a, k, psid };
	return portset_valid(&lease->set);
}

/* The times are made anew: T1 and T2 were half and 7/8 of the lease, or are over. */
static void read_times(struct dhcp_client_lease *lease, int64_t seconds, int64_t expires)
{
	int64_t left = expires - time(NULL), now = host_now();

	lease->seconds = seconds;
	lease->t1 = lease->t2 = lease->expires = DHCP_NEVER;
	if (!expires)
		return;
	if (left > seconds)
		left = seconds;
	lease->expires = now + 1000 * left;
	lease->t2 = lease->expires - 1000 * seconds / 8;
	lease->t1 = lease->expires - 1000 * seconds / 2;
}

static bool read_lease(const json_t *object, int64_t *number, struct dhcp_client_lease *lease)
{
	int64_t seconds, expires;
	const char *text;

	memset(lease, 0, sizeof(*lease));
	if (!msg_get_integer(object, "number", 0, HOST_SETS - 1, number) ||
	    !get_ip(object, "address", &lease->address) || !get_ip(object, "mask", &lease->mask) ||
	    !get_ip(object, "router", &lease->router) ||
	    !get_ip(object, "server", &lease->server) ||
	    !msg_get_bool(object, "relayed", &lease->relayed) ||
	    !msg_get_string(object, "server_mac", &text) ||
	    !pool_parse_mac(text, lease->server_mac) ||
	    !msg_get_integer(object, "seconds", 1, UINT32_MAX, &seconds) ||
	    !msg_get_integer(object, "expires", 0, INT64_MAX / 2000, &expires) ||
	    !read_set(object, lease))
		return false;
	read_ranges(object, lease);
	read_times(lease, seconds, expires);
	return true;
}

int host_load(struct host *host, char *error, size_t error_len)
{
	json_error_t why;
	json_t *all = json_load_file(host->state, JSON_REJECT_DUPLICATES, &why), *entry;
	const char *duid = "";
	size_t i;
	int len;

	if (!all && access(host->state, F_OK))
		return -ENOENT;
	msg_get_string(all, "duid", &duid);
	len = pool_parse_hex(duid, host->duid, sizeof(host->duid));
	if (!all || len < 3) {
		snprintf(error, error_len, "%s: no state file of ours; move it away", host->state);
		json_decref(all);
		return -EINVAL;
	}
	host->duid_len = len;
	json_array_foreach (json_object_get(all, "leases"), i, entry) {
		struct dhcp_client_lease lease;
		int64_t number;

		if (!read_lease(entry, &number, &lease))
			continue;
		host->set[number].lease = lease;
		host->set[number].has_lease = true;
	}
	json_decref(all);
	return 0;
}
