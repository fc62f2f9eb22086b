/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps of maps/splice.h. Sizes are defaults; the loader sets them before it loads. splice_near
 * and splice_work are the programs' own and not part of the contract.
 */
#ifndef ISTHMUS_BPF_SPLICE_MAPS_H
#define ISTHMUS_BPF_SPLICE_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "maps/splice.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct splice_conf);
} splice_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SPLICE_LOCALS);
	__type(key, struct isthmus_addr);
	__type(value, struct splice_range);
} splice_local SEC(".maps");

/*
 * Local addresses that this CPU looked up, by their last byte, as of an epoch: comparing one costs
 * 13 ns less than the hash. --replace raises the epoch.
 */
struct splice_near {
	struct isthmus_addr addr;
	struct splice_range range;
	__u32 epoch; /* 0 = empty */
	__u32 pad;
	__u64 tick, now_ns; /* near_clock() */
};

#define SPLICE_NEARS 64

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SPLICE_NEARS);
	__type(key, __u32);
	__type(value, struct splice_near);
} splice_near SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * SPLICE_RENDEZVOUS);
	__type(key, struct splice_local_key);
	__type(value, struct splice_side);
} splice_side SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SPLICE_RENDEZVOUS);
	__type(key, __u64);
	__type(value, struct splice_join);
} splice_join SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* the loader: splice_range_legs() of every address */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct splice_leg);
} splice_leg SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SPLICE_FRAGS);
	__type(key, struct splice_frag_key);
	__type(value, struct splice_frag);
} splice_frag SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SPLICE_DEVS);
	__type(key, __u32);
	__type(value, struct splice_dev);
} splice_dev SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SPLICE_REASON_COUNT);
	__type(key, __u32);
	__type(value, struct isthmus_count);
} splice_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SPLICE_EVENT_BYTES);
} splice_event SEC(".maps");

#endif
