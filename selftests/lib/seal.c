// SPDX-License-Identifier: GPL-3.0-or-later
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "selftests/lib/seal.h"

#define ETH_LEN	    14
#define HEADER_LEN  32 /* Geneve and its option */
#define COVERED_LEN 24
#define FEW_LEN	    64 /* of the inner packet, where tags cover headers only */

static void tag(const struct seal *seal, const __u8 *header, const __u8 *inner, size_t len,
		__u8 *out)
{
	size_t tag_len = SEAL_TAG_BYTES, done = 0;
	OSSL_PARAM params[] = { OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &tag_len),
				OSSL_PARAM_construct_end() };
	__u8 all[COVERED_LEN + PACKET_MAX];

	if (seal->headers_only && len > FEW_LEN)
		len = FEW_LEN;
	memcpy(all, header, COVERED_LEN);
	memcpy(all + COVERED_LEN, inner, len);
	if (!EVP_Q_mac(NULL, "SIPHASH", NULL, NULL, params, seal->key, sizeof(seal->key), all,
		       COVERED_LEN + len, out, SEAL_TAG_BYTES, &done) ||
	    done != SEAL_TAG_BYTES)
		abort();
}

/* DSCP and ECN go along (RFC 6040). */
static __u8 inner_tos(const struct packet *inner)
{
	const __u8 *ip = inner->b + ETH_LEN;

	return ip[0] >> 4 == 6 ? packet_get16(ip) >> 4 & 0xff : ip[1];
}

void seal_packet(const struct seal *seal, const struct packet *inner, struct packet *frame)
{
	size_t len = inner->len - ETH_LEN;
	struct packet_spec spec = { .src = seal->src,
				    .dst = seal->dst,
				    .proto = 17,
				    .tos = inner_tos(inner),
				    .sport = seal->sport,
				    .dport = seal->dport,
				    .frag = 0x4000,
				    .check = PACKET_CHECK_NONE,
				    .data_len = HEADER_LEN + len };
	__u8 *at;

	packet_build(&spec, frame);
	if (!packet_addr_v4(&seal->src))
		packet_put32(frame->b + ETH_LEN, 6u << 28 | inner_tos(inner) << 20);
	at = frame->b + seal_geneve_at(frame);
	memset(at, 0, HEADER_LEN);
	at[0] = 6;
	at[1] = 0x40;
	memcpy(at + 2, inner->b + 12, 2);
	packet_put32(at + 4, seal->vni << 8);
	packet_put16(at + 8, 0xff49);
	at[10] = 0x81;
	at[11] = 5;
	packet_put32(at + 12, seal->sequence >> 32);
	packet_put32(at + 16, seal->sequence & 0xffffffff);
	packet_put32(at + 20, seal->host);
	memcpy(at + HEADER_LEN, inner->b + ETH_LEN, len);
	tag(seal, at, at + HEADER_LEN, len, at + COVERED_LEN);
}

size_t seal_geneve_at(const struct packet *frame)
{
	return ETH_LEN + (frame->b[12] == 0x08 ? 20 : 40) + 8;
}

size_t seal_inner_at(const struct packet *frame)
{
	return seal_geneve_at(frame) + HEADER_LEN;
}

__u64 seal_sequence(const struct packet *frame)
{
	const __u8 *at = frame->b + seal_geneve_at(frame);

	return (__u64)packet_get32(at + 12) << 32 | packet_get32(at + 16);
}
