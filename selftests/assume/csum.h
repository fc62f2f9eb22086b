/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What csum.c and its program tell each other. */
#ifndef ISTHMUS_ASSUME_CSUM_H
#define ISTHMUS_ASSUME_CSUM_H

#include <linux/types.h>

struct csum_way {
	__be32 new_src, new_dst;
	__be16 new_sport, new_dport; /* 0 = stays */
	__u32 out;		     /* ifindex */
	__u8 dst_mac[6], src_mac[6];
};

struct csum_state {
	struct csum_way way[2]; /* from the client, from the server */
	__u32 server_dev;	/* ifindex that the second way's packets come in by */
	__u32 failed;
	__u64 packets, gso;
};

#endif
