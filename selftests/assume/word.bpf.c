/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* word.c's programs: they change one word that user space changes too, and hand over bytes. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "selftests/assume/word.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 512);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} words SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 512);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u32);
} halves SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct word_event);
} room SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ring SEC(".maps");

struct word_state state;

/* Adds and exchanges; what each fetched is checked by the sum of all. */
SEC("tc")
int word_add(struct __sk_buff *skb)
{
	__u32 key = 1, sum = 2;
	__u64 *word = bpf_map_lookup_elem(&words, &key);
	__u64 *took = bpf_map_lookup_elem(&words, &sum);

	if (!word || !took)
		return 0;
	for (int i = 0; i < WORD_STEP; i++) {
		__sync_fetch_and_add(word, 1);
		if (i % 8 == 7)
			__sync_fetch_and_add(took, __sync_lock_test_and_set(word, 0));
	}
	return 0;
}

SEC("tc")
int word_hand_over(struct __sk_buff *skb)
{
	__u32 zero = 0, length = state.length;
	struct word_event *event = bpf_map_lookup_elem(&room, &zero);

	if (!event || length < 14)
		return 1;
	/* Two checks, each as it stands: 6.1 follows no other form. */
	asm volatile("" : "+r"(length));
	if (length > WORD_FRAME)
		return 1;
	event->length = length;
	if (bpf_skb_load_bytes(skb, 0, event->frame, length))
		return 2;
	return bpf_ringbuf_output(&ring, event, sizeof(*event) - WORD_FRAME + length, 0) ? 3 : 0;
}

SEC("tc")
int word_half(struct __sk_buff *skb)
{
	__u32 key = 3, *half = bpf_map_lookup_elem(&halves, &key);

	if (half)
		*half = 77;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
