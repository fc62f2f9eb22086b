/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of maps/resoa.h. */
#ifndef ISTHMUS_BPF_RESOA_MAPS_H
#define ISTHMUS_BPF_RESOA_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/count.bpf.h"
#include "maps/resoa.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct resoa_conf);
} resoa_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, RESOA_HELDS);
	__type(key, struct resoa_syn);
	__type(value, struct resoa_held);
} resoa_held SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, RESOA_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} resoa_world SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RESOA_PORTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct resoa_port_key);
	__type(value, __u32);
} resoa_port SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct resoa_socket);
} resoa_socket SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct resoa_fin);
} resoa_fin SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RESOA_TIMEOUTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct resoa_names);
	__type(value, __u32);
} resoa_timeout SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RESOA_REASON_COUNT);
	__type(key, __u32);
	__type(value, struct isthmus_count);
} resoa_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RESOA_EVENT_BYTES);
} resoa_event SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RESOA_KNOCK_BYTES);
} resoa_knock SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct resoa_pace);
} resoa_pace SEC(".maps");

#endif
