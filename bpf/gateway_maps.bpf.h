/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of maps/gateway.h. Sizes are defaults; the loader sets them before it loads. */
#ifndef ISTHMUS_BPF_GATEWAY_MAPS_H
#define ISTHMUS_BPF_GATEWAY_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "maps/gateway.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gateway_conf);
} gateway_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GATEWAY_HOSTS);
	__type(key, __u32);
	__type(value, struct gateway_host);
} gateway_host SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GATEWAY_FLOWS);
	__type(key, struct gateway_flow_key);
	__type(value, struct gateway_flow);
} gateway_flow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GATEWAY_PAIRS);
	__type(key, struct gateway_pair_key);
	__type(value, struct gateway_flow);
} gateway_pair SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GATEWAY_FLOWS);
	__type(key, struct gateway_mask_key);
	__type(value, __be16);
} gateway_mask SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, GATEWAY_FRAGS);
	__type(key, struct gateway_frag_key);
	__type(value, struct gateway_flow);
} gateway_frag SEC(".maps");

/* ICMP errors to an address (a hash of it): the second in the top half, how many in it below. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, GATEWAY_FRAGS);
	__type(key, __u32);
	__type(value, __u64);
} gateway_source SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TUNNEL_PEERS);
	__type(key, __u32);
	__type(value, struct tunnel_peer);
} gateway_peer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * TUNNEL_PEERS);
	__type(key, __u32);
	__type(value, struct tunnel_key);
} gateway_key SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16 * TUNNEL_PEERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tunnel_window_key);
	__type(value, struct tunnel_window);
} gateway_window SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TUNNEL_PEERS);
	__type(key, __u32);
	__type(value, __u64);
} gateway_seq SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GATEWAY_REASON_COUNT);
	__type(key, __u32);
	__type(value, struct isthmus_count);
} gateway_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, GATEWAY_EVENT_BYTES);
} gateway_event SEC(".maps");

#endif
