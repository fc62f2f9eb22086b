// SPDX-License-Identifier: GPL-3.0-or-later
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "loader.h"
#include "netlink.h"

/* enum bpf_attach_type of kernels from 6.6; libbpf 1.1 does not know it yet and passes it on. */
#define TCX_INGRESS ((enum bpf_attach_type)46)
#define TCX_EGRESS  ((enum bpf_attach_type)47)

static int link_create(int program_fd, int target, enum bpf_attach_type type, uint32_t flags,
		       const char *pin)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
	int fd CLOSE_FD = bpf_link_create(program_fd, target, type, &options);

	if (fd < 0)
		return fd;
	return bpf_obj_pin(fd, pin) ? -errno : 0; /* closing an unpinned link detaches it */
}

int attach_xdp(int program_fd, uint32_t ifindex, bool generic, const char *pin)
{
	return link_create(program_fd, ifindex, BPF_XDP,
			   generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE, pin);
}

int attach_tcx(int program_fd, uint32_t ifindex, bool egress, const char *pin)
{
	return link_create(program_fd, ifindex, egress ? TCX_EGRESS : TCX_INGRESS, 0, pin);
}

int attach_cgroup(int program_fd, int cgroup_fd, uint32_t type, const char *pin)
{
	return link_create(program_fd, cgroup_fd, type, 0, pin);
}

int attach_netns(int program_fd, int netns_fd, uint32_t type, const char *pin)
{
	return link_create(program_fd, netns_fd, type, 0, pin);
}

int attach_link_update(const char *pin, int program_fd)
{
	int fd CLOSE_FD = bpf_obj_get(pin);

	if (fd < 0)
		return -errno;
	return bpf_link_update(fd, program_fd, NULL) ? -errno : 0;
}

int attach_link_remove(const char *pin)
{
	int fd CLOSE_FD = bpf_obj_get(pin);

	if (fd < 0)
		return -errno;
	/* The last reference detaches too, but later. -EINVAL etc.: the device is gone already. */
	bpf_link_detach(fd);
	return unlink(pin) ? -errno : 0;
}

static int link_info(const char *pin, struct bpf_link_info *info)
{
	uint32_t len = sizeof(*info);
	int fd CLOSE_FD = bpf_obj_get(pin);

	memset(info, 0, sizeof(*info));
	return fd < 0 || bpf_obj_get_info_by_fd(fd, info, &len) ? -errno : 0;
}

int attach_link_info(const char *pin, uint32_t *link_id, uint32_t *program_id)
{
	struct bpf_link_info info;
	int err = link_info(pin, &info);

	if (err)
		return err;
	*link_id = info.id;
	*program_id = info.prog_id;
	return 0;
}

int attach_netns_info(const char *pin, uint32_t *netns)
{
	struct bpf_link_info info;
	int err = link_info(pin, &info);

	if (!err)
		*netns = info.netns.netns_ino;
	return err;
}

int attach_cgroup_info(const char *pin, uint64_t *cgroup)
{
	struct bpf_link_info info;
	int err = link_info(pin, &info);

	if (!err)
		*cgroup = info.cgroup.cgroup_id;
	return err;
}

static enum bpf_tc_attach_point filter_point(bool egress)
{
	return egress ? BPF_TC_EGRESS : BPF_TC_INGRESS;
}

int attach_filter_add(int program_fd, uint32_t ifindex, bool egress, struct attach_filter *filter)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = filter_point(egress));
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program_fd);
	int made = bpf_tc_hook_create(&hook);
	int err;

	if (made && made != -EEXIST)
		return made;
	err = bpf_tc_attach(&hook, &options);
	if (err) {
		hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
		if (!made)
			bpf_tc_hook_destroy(&hook);
		return err;
	}
	*filter = (struct attach_filter){
		.ifindex = ifindex,
		.handle = options.handle,
		.priority = options.priority,
		.egress = egress,
		.made_qdisc = !made,
	};
	return 0;
}

int attach_filter_update(int program_fd, const struct attach_filter *filter)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = filter->ifindex,
		    .attach_point = filter_point(filter->egress));
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program_fd, .flags = BPF_TC_F_REPLACE,
		    .handle = filter->handle, .priority = filter->priority);

	return bpf_tc_attach(&hook, &options);
}

int attach_filter_info(const struct attach_filter *filter, uint32_t *program_id)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = filter->ifindex,
		    .attach_point = filter_point(filter->egress));
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = filter->handle, .priority = filter->priority);
	int err = bpf_tc_query(&hook, &options);

	if (err)
		return err;
	*program_id = options.prog_id;
	return 0;
}

/* Numbers are used again after others' changes; the map that a program uses cannot be mistaken. */
static bool program_uses_map(uint32_t program_id, uint32_t map_id)
{
	uint32_t ids[64] = {};
	struct bpf_prog_info info = { .nr_map_ids = COUNT_OF(ids), .map_ids = (uintptr_t)ids };
	uint32_t len = sizeof(info);
	int fd CLOSE_FD = bpf_prog_get_fd_by_id(program_id);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return false;
	for (uint32_t i = 0; i < info.nr_map_ids && i < COUNT_OF(ids); i++)
		if (ids[i] == map_id)
			return true;
	return false;
}

int attach_map_used(uint32_t map_id)
{
	uint32_t id = 0;

	while (!bpf_prog_get_next_id(id, &id))
		if (program_uses_map(id, map_id))
			return 1;
	return errno == ENOENT ? 0 : -errno;
}

static int filter_count(const struct nlmsghdr *header, void *data)
{
	if (header->nlmsg_type == RTM_NEWTFILTER)
		++*(unsigned int *)data;
	return MNL_CB_OK;
}

/* Filters at ingress and egress of the device's clsact, whoever's: their number or -errno. */
static int filters_left(uint32_t ifindex)
{
	static const uint32_t minor[] = { TC_H_MIN_INGRESS, TC_H_MIN_EGRESS };
	unsigned int count = 0;

	for (size_t i = 0; i < COUNT_OF(minor); i++) {
		const struct tcmsg chain = {
			.tcm_family = AF_UNSPEC,
			.tcm_ifindex = ifindex,
			.tcm_parent = TC_H_MAKE(TC_H_CLSACT, minor[i]),
		};
		int err = netlink_dump(RTM_GETTFILTER, &chain, sizeof(chain), filter_count, &count);

		if (err)
			return err;
	}
	return count;
}

int attach_filter_remove(const struct attach_filter *filter, uint32_t map_id)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = filter->ifindex,
		    .attach_point = filter_point(filter->egress));
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = filter->handle, .priority = filter->priority);
	uint32_t program_id;
	int err = attach_filter_info(filter, &program_id);

	if (err)
		return err;
	if (!program_uses_map(program_id, map_id))
		return -ENOENT;
	err = bpf_tc_detach(&hook, &options);
	if (err || !filter->made_qdisc || filters_left(filter->ifindex))
		return err;
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	return bpf_tc_hook_destroy(&hook);
}

int attach_xdp_occupant(uint32_t ifindex, uint32_t *program_id, char name[16])
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	int fd CLOSE_FD = -1;
	int err = bpf_xdp_query(ifindex, 0, &query);
	uint32_t id;

	if (err)
		return err;
	id = query.prog_id	 ? query.prog_id
	     : query.drv_prog_id ? query.drv_prog_id
				 : query.skb_prog_id;
	if (!id)
		return -ENOENT;
	fd = bpf_prog_get_fd_by_id(id);
	if (fd >= 0)
		bpf_obj_get_info_by_fd(fd, &info, &len);
	*program_id = id;
	snprintf(name, 16, "%.15s", info.name);
	return 0;
}
