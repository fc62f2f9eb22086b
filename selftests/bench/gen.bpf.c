/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The packet generator's program (gen.c): each run makes one UDP packet of a random session or to a
 * random sharer and sends it. Pages come back from where they were sent with whatever became of
 * them, so every byte of the headers is written each time.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "selftests/bench/lib/sessions.h"

const volatile struct gen_settings settings;

#define HEADERS (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr))

struct addresses {
	__u32 source, destination; /* host order */
	__u16 source_port, destination_port;
};

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

static __always_inline __u32 words(__u32 address)
{
	return (address >> 16) + (address & 0xffff);
}

static __always_inline void choose(struct addresses *a)
{
	__u32 i = ((__u64)bpf_get_prandom_u32() * settings.sessions) >> 32;

	a->source = SESSIONS_SUBSCRIBER + i;
	a->source_port = session_remote_port(i);
	a->destination = SESSIONS_RELAY_A + i / SESSIONS_ADDRESS;
	a->destination_port = session_local_port(i);
	if (settings.to == GEN_TO_PROVIDER) {
		a->destination = SESSIONS_PROVIDER + i;
		a->destination_port = session_remote_port(i);
	} else if (settings.to == GEN_TO_SHARER) {
		/* One source: it is not what a sharer is found by, and a NAT has one flow. */
		a->source = SESSIONS_SUBSCRIBER;
		a->source_port = session_remote_port(0);
		a->destination = SHARERS_ADDRESS + i / SHARERS_EACH;
		a->destination_port = sharer_port(i, i * 7 % SHARERS_RANGES, i % 4);
	}
}

/* Word by word: a memcpy from a constant would be taken for the zeros that it starts as. */
static __always_inline void write_macs(__u32 *to)
{
	for (int i = 0; i < 3; i++)
		to[i] = settings.macs[i];
}

static __always_inline void write_ip(struct iphdr *ip, const struct addresses *a)
{
	const __u32 bytes = sizeof(*ip) + sizeof(struct udphdr) + settings.payload;

	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = bpf_htons(bytes);
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = 64;
	ip->protocol = IPPROTO_UDP;
	ip->saddr = bpf_htonl(a->source);
	ip->daddr = bpf_htonl(a->destination);
	ip->check = bpf_htons(fold(0x4500 + bytes + 0x4000 + 0x4000 + IPPROTO_UDP +
				   words(a->source) + words(a->destination)));
}

static __always_inline void write_udp(struct udphdr *udp, const struct addresses *a)
{
	const __u32 len = sizeof(*udp) + settings.payload;

	udp->source = bpf_htons(a->source_port);
	udp->dest = bpf_htons(a->destination_port);
	udp->len = bpf_htons(len);
	/* Pseudo-header, header; the payload is zeros. */
	udp->check = bpf_htons(fold(words(a->source) + words(a->destination) + IPPROTO_UDP + len +
				    a->source_port + a->destination_port + len));
}

SEC("xdp")
int gen(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct addresses a;

	if ((void *)eth + HEADERS > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	choose(&a);
	write_macs((__u32 *)eth);
	eth->h_proto = bpf_htons(ETH_P_IP);
	write_ip(ip, &a);
	write_udp(udp, &a);
	return bpf_redirect(settings.device, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
