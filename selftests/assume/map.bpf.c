/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* map.c's programs: each claims a key, or adds under a lock. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "selftests/assume/map.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAP_KEYS);
	__type(key, __u32);
	__type(value, __u64);
} claims SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct map_locked);
} locked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps"); /* [0] claims won, [1] claims lost */

struct map_state state;

static __always_inline void count(__u32 which)
{
	__u64 *value = bpf_map_lookup_elem(&counts, &which);

	if (value)
		++*value;
}

/* Tries every key once: what of each is won on exactly one CPU. */
SEC("tc")
int map_claim(struct __sk_buff *skb)
{
	__u64 mine = bpf_get_smp_processor_id() + 1;

	for (__u32 key = 0; key < MAP_STEP; key++) {
		__u32 at = state.from + key;

		count(bpf_map_update_elem(&claims, &at, &mine, BPF_NOEXIST) ? 1 : 0);
	}
	return 0;
}

/* Two words that are equal whenever the lock is not held; a look without one sees them differ. */
SEC("tc")
int map_add(struct __sk_buff *skb)
{
	struct map_locked *value;
	__u32 key = 1;

	value = bpf_map_lookup_elem(&locked, &key);
	if (!value)
		return 0;
	for (int i = 0; i < 64; i++) {
		bpf_spin_lock(&value->lock);
		value->first++;
		value->second++;
		bpf_spin_unlock(&value->lock);
	}
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
