/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Programs on devices, whatever their datapath: XDP and TCX by pinned links, clsact filters before
 * TCX (6.6). All return 0 or -errno.
 */
#ifndef ISTHMUS_LOADER_ATTACH_H
#define ISTHMUS_LOADER_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

/* A filter of ours. The kernel chooses priority and handle. */
struct attach_filter {
	uint32_t ifindex;
	uint32_t handle;
	uint16_t priority;
	bool egress;
	bool made_qdisc; /* the device had no clsact before */
};

/* The link is pinned at `pin`; with an error nothing stays. */
int attach_xdp(int program_fd, uint32_t ifindex, bool generic, const char *pin);
/* -EINVAL or -EOPNOTSUPP: the kernel has no TCX. */
int attach_tcx(int program_fd, uint32_t ifindex, bool egress, const char *pin);
/* A cgroup's program (BPF_CGROUP_INET4_BIND, ...). */
int attach_cgroup(int program_fd, int cgroup_fd, uint32_t type, const char *pin);
/* A network namespace's (BPF_SK_LOOKUP). */
int attach_netns(int program_fd, int netns_fd, uint32_t type, const char *pin);
/* The pinned link's program becomes this one, between two packets. */
int attach_link_update(const char *pin, int program_fd);
/* Detaches at once and unpins. -ENOENT: there is none. */
int attach_link_remove(const char *pin);
/* What a pinned link is: its id and program's id. */
int attach_link_info(const char *pin, uint32_t *link_id, uint32_t *program_id);
/* Whose it is: a namespace's inode, a cgroup's id. 0: that has ended. */
int attach_netns_info(const char *pin, uint32_t *netns);
int attach_cgroup_info(const char *pin, uint64_t *cgroup);

int attach_filter_add(int program_fd, uint32_t ifindex, bool egress, struct attach_filter *filter);
int attach_filter_update(int program_fd, const struct attach_filter *filter);
int attach_filter_info(const struct attach_filter *filter, uint32_t *program_id);
/*
 * Removes the filter if its program uses map `map_id`, then the qdisc if we made it and nobody
 * else has a filter there. -ENOENT: gone, or somebody else's by now.
 */
int attach_filter_remove(const struct attach_filter *filter, uint32_t map_id);

/* Is there a program anywhere that uses this map? 0, 1 or -errno. */
int attach_map_used(uint32_t map_id);

/* Name of the XDP program that a device runs: -ENOENT if none. */
int attach_xdp_occupant(uint32_t ifindex, uint32_t *program_id, char name[16]);

#endif
