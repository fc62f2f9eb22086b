/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of maps/portarp.h. Sizes are defaults; the loader sets them before it loads. */
#ifndef ISTHMUS_BPF_PORTARP_MAPS_H
#define ISTHMUS_BPF_PORTARP_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "maps/portarp.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct portarp_conf);
} portarp_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PORTARP_ADDRS);
	__type(key, __be32);
	__type(value, struct portarp_addr);
} portarp_addr SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORTARP_BLOCKS << 16);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u32);
} portarp_port SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORTARP_OWNERS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct portarp_owner);
} portarp_owner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PORTARP_OWNERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct portarp_sharer_key);
	__type(value, __u32);
} portarp_sharer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PORTARP_ADDRS);
	__type(key, __be32);
	__type(value, struct portarp_mine);
} portarp_mine SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PORTARP_FLOWS);
	__type(key, struct portarp_flow_key);
	__type(value, struct portarp_flow);
} portarp_flow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * PORTARP_IDENTS);
	__type(key, struct portarp_ident_key);
	__type(value, struct portarp_ident);
} portarp_ident SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PORTARP_FRAGS);
	__type(key, struct portarp_frag_key);
	__type(value, struct portarp_frag);
} portarp_frag SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORTARP_USE_WORDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} portarp_use SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PORTARP_REASON_COUNT);
	__type(key, __u32);
	__type(value, struct isthmus_count);
} portarp_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, PORTARP_EVENT_BYTES);
} portarp_event SEC(".maps");

/* Where an event is put together; not part of the contract. */
struct event_room {
	struct portarp_event event;
	__u8 frame[PORTARP_EVENT_FRAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event_room);
} portarp_room SEC(".maps");

#endif
