/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of maps/onetime.h. Sizes are defaults; the loader sets them before it loads. */
#ifndef ISTHMUS_BPF_ONETIME_MAPS_H
#define ISTHMUS_BPF_ONETIME_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "maps/onetime.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct onetime_conf);
} onetime_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, ONETIME_POOLS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct onetime_prefix);
	__type(value, struct onetime_pool);
} onetime_pool SEC(".maps");

/* Memory is taken as addresses are made: a full table of presets would be 130 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ONETIME_ADDRS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct isthmus_addr);
	__type(value, struct onetime_addr);
} onetime_addr SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ONETIME_LISTENERS);
	__type(key, __u32);
	__type(value, struct onetime_listener);
} onetime_listener SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, ONETIME_LISTENERS);
	__type(key, __u32);
	__type(value, __u64);
} onetime_listen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, ONETIME_EAS);
	__type(value, struct isthmus_addr);
} onetime_ea6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, ONETIME_EAS);
	__type(value, struct isthmus_addr);
} onetime_ea4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ONETIME_UDPS);
	__type(key, struct onetime_udp_key);
	__type(value, struct onetime_udp);
} onetime_udp SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct onetime_socket);
} onetime_socket SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ONETIME_FLOWS);
	__type(key, struct onetime_flow_key);
	__type(value, struct onetime_flow);
} onetime_flow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ONETIME_USERS);
	__type(key, __u32);
	__type(value, __u32);
} onetime_user SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ONETIME_REASON_COUNT);
	__type(key, __u32);
	__type(value, struct isthmus_count);
} onetime_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ONETIME_LINKS);
	__type(key, __u32);
	__type(value, struct onetime_told);
} onetime_told SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, ONETIME_EVENT_BYTES);
} onetime_event SEC(".maps");

#endif
