/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments. Only a datagram's first fragment has ports; they are remembered for the later ones by
 * (source, destination, protocol, identification), bounded and for splice_conf.frag_ns. A later
 * fragment whose first one is not known is left to the host: it may be its own.
 */
#ifndef ISTHMUS_BPF_SPLICE_FRAG_H
#define ISTHMUS_BPF_SPLICE_FRAG_H

static __always_inline void frag_key(const struct flow *flow, __be32 id,
				     struct splice_frag_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->remote = flow->remote;
	key->local = flow->local;
	key->id = id;
	key->proto = flow->proto;
}

/* Of a session's first fragment. */
static __noinline void frag_keep_ports(const struct flow *flow, __be32 id, __u64 expires_ns)
{
	struct splice_frag ports = { .expires_ns = expires_ns };
	struct splice_frag_key key;

	frag_key(flow, id, &key);
	ports.remote_port = flow->remote_port;
	ports.local_port = flow->local_port;
	bpf_map_update_elem(&splice_frag, &key, &ports, BPF_ANY);
}

/* Of a later one. SPLICE_FORWARDED: its flow is known now. */
static __noinline enum splice_reason frag_find_ports(struct flow *flow, __be32 id, __u64 now)
{
	struct splice_frag_key key;
	struct splice_frag *known;

	frag_key(flow, id, &key);
	known = bpf_map_lookup_elem(&splice_frag, &key);
	if (!known || now > known->expires_ns)
		return bpf_map_lookup_elem(&splice_local, &flow->local) ? SPLICE_FRAGMENT
									: SPLICE_OTHER;
	flow->remote_port = known->remote_port;
	flow->local_port = known->local_port;
	return SPLICE_FORWARDED;
}

static __always_inline enum splice_reason frag_track(struct packet *p, __u64 now)
{
	struct flow *flow = flow_in_memory(p);
	enum splice_reason reason;

	if (!flow)
		return SPLICE_OTHER;
	reason = frag_find_ports(flow, p->fragment_id, now);
	p->flow.remote_port = flow->remote_port;
	p->flow.local_port = flow->local_port;
	return reason;
}

static __always_inline void frag_keep(const struct packet *p, __u64 expires_ns)
{
	const struct flow *flow = flow_in_memory(p);

	if (flow)
		frag_keep_ports(flow, p->fragment_id, expires_ns);
}

#endif
