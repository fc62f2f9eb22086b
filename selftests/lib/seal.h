/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/seal.h - tunnel packets (maps/tunnel.h) laid out in userspace, their tags
 * by OpenSSL's SipHash. Nothing here shares code with bpf/.
 */
#ifndef ISTHMUS_SELFTESTS_SEAL_H
#define ISTHMUS_SELFTESTS_SEAL_H

#include <stdbool.h>

#include "selftests/lib/packet.h"

struct seal {
	__u8 key[16];
	struct isthmus_addr src, dst; /* outer */
	__u16 sport, dport;
	__u32 vni, host;
	__u64 sequence; /* CPU in the top 16 bits */
	bool headers_only;
};

#define SEAL_TAG_BYTES 8

/* `inner` and `frame` are frames; both MACs of `frame` stay zero. */
void seal_packet(const struct seal *seal, const struct packet *inner, struct packet *frame);
/* Where the tunnel's parts begin in a frame: Geneve's header, and the inner packet. */
size_t seal_geneve_at(const struct packet *frame);
size_t seal_inner_at(const struct packet *frame);
__u64 seal_sequence(const struct packet *frame);

#endif
