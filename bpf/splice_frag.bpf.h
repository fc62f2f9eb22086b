/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments. Only a datagram's first fragment has ports; they are remembered for the later ones by
 * (source, destination, protocol, identification), bounded and for splice_conf.frag_ns. A later
 * fragment whose first one is not known is left to the host: it may be its own.
 */
#ifndef ISTHMUS_BPF_SPLICE_FRAG_H
#define ISTHMUS_BPF_SPLICE_FRAG_H

/* Keeps a first fragment's ports if they are a session's, or gives a later one its first one's. */
static __noinline bool frag_find_ports(struct flow *flow, __be32 id, bool first, __u64 frag_ns,
				       __u64 now)
{
	struct splice_frag_key key = { .id = id };
	struct splice_frag *known, ports = {};

	key.remote = flow->remote;
	key.local = flow->local;
	key.proto = flow->proto;
	if (first) {
		ports.expires_ns = now + frag_ns;
		ports.remote_port = flow->remote_port;
		ports.local_port = flow->local_port;
		if (bpf_map_lookup_elem(&splice_leg, LEG_KEY(flow)))
			bpf_map_update_elem(&splice_frag, &key, &ports, BPF_ANY);
		return true;
	}
	known = bpf_map_lookup_elem(&splice_frag, &key);
	if (!known || now > known->expires_ns)
		return false;
	flow->remote_port = known->remote_port;
	flow->local_port = known->local_port;
	return true;
}

/* SPLICE_FORWARDED: the ports are known now. */
static __always_inline enum splice_reason frag_track(struct packet *p,
						     const struct splice_conf *conf, __u64 now)
{
	bool first = p->fragment == FRAGMENT_FIRST;

	if (frag_find_ports(&p->flow, p->fragment_id, first, conf->frag_ns, now))
		return SPLICE_FORWARDED;
	return bpf_map_lookup_elem(&splice_local, &p->flow.local) ? SPLICE_FRAGMENT : SPLICE_OTHER;
}

#endif
