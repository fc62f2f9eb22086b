// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Another owner's sockops program, for resoa_beside.c: it asks for the states of each listener and
 * of each accepted connection, and looks whether that still stands when it is told of one. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* 0: states that it was told of; 1: of these, those after which it would be told no more */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} told SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *value = bpf_map_lookup_elem(&told, &which);

	if (value)
		__sync_fetch_and_add(value, 1);
}

SEC("sockops")
int beside(struct bpf_sock_ops *ops)
{
	__u32 flags = ops->bpf_sock_ops_cb_flags;

	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ops, flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		count(0);
		if (!(flags & BPF_SOCK_OPS_STATE_CB_FLAG))
			count(1);
		break;
	}
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
