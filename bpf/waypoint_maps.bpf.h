/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of maps/waypoint.h. Sizes are defaults; the loader sets them before it loads. */
#ifndef ISTHMUS_BPF_WAYPOINT_MAPS_H
#define ISTHMUS_BPF_WAYPOINT_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "maps/waypoint.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct waypoint_conf);
} waypoint_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WAYPOINT_ADDRS);
	__type(key, __be32);
	__type(value, struct waypoint_addr);
} waypoint_addr SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WAYPOINT_ADDRS *WAYPOINT_WAITS);
	__type(key, __u32);
	__type(value, struct waypoint_wait);
} waypoint_wait SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WAYPOINT_BINDS);
	__type(key, struct waypoint_pair);
	__type(value, struct waypoint_bind);
} waypoint_bind SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WAYPOINT_REJECTS);
	__type(key, struct waypoint_pair);
	__type(value, struct waypoint_reject);
} waypoint_reject SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WAYPOINT_CONNS);
	__type(key, struct waypoint_conn_key);
	__type(value, struct waypoint_conn);
} waypoint_conn SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WAYPOINT_SOURCES);
	__type(key, __be32);
	__type(value, struct waypoint_source);
} waypoint_source SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WAYPOINT_HOSTS6);
	__type(key, struct isthmus_addr);
	__type(value, struct waypoint_host6);
} waypoint_host6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TUNNEL_PEERS);
	__type(key, __u32);
	__type(value, struct tunnel_peer);
} waypoint_peer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * TUNNEL_PEERS);
	__type(key, __u32);
	__type(value, struct tunnel_key);
} waypoint_key SEC(".maps");

/* Not preallocated: a peer has as many as CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16 * TUNNEL_PEERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tunnel_window_key);
	__type(value, struct tunnel_window);
} waypoint_window SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TUNNEL_PEERS);
	__type(key, __u32);
	__type(value, __u64);
} waypoint_seq SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WAYPOINT_REASON_COUNT);
	__type(key, __u32);
	__type(value, struct isthmus_count);
} waypoint_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, WAYPOINT_EVENT_BYTES);
} waypoint_event SEC(".maps");

#endif
