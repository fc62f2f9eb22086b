// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Another owner's XDP program, for loader.sh. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int foreign(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
