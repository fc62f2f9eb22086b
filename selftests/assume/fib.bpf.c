/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fib.c's probe: one bpf_fib_lookup() with what userspace put into `state`. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "selftests/assume/fib.h"

struct fib_state state;

SEC("tc")
int fib_ask(struct __sk_buff *skb)
{
	struct bpf_fib_lookup fib = state.fib;

	state.result = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	state.fib = fib;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
