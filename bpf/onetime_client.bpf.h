/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The client's side (paper II.A): each connect, and each destination of an unconnected UDP socket,
 * gets an EA, which ends with its socket.
 *
 * What is covered: TCP (MPTCP, too) and UDP to unicast addresses beyond the link. Not covered, and
 * left alone: raw and ICMP sockets (ping), UDP-Lite, others, UDP from a port that is no automatic
 * one (a server's, or a resolver's that chooses its ports itself), IPv4 while no IPv4 pool is for
 * clients. An IPv4-mapped destination is IPv4. What a program bound itself, be it `::` and port 0
 * alone, cannot be bound again (bpf_bind says EINVAL): strict refuses it. dig does so.
 *
 * One socket, several destinations:
 *  - After a connect that failed or was undone (AF_UNSPEC) the next gets another EA, but for a
 *    destination that is the same, and where the EA has sent nothing: getaddrinfo(3) asks so for
 *    the source of each address (RFC 6724), and spends one EA on all of them.
 *  - UDP connected anew without AF_UNSPEC has a port, so its address is fixed: the EA stays and
 *    changes its peer (EA_KEPT). Both peers see one EA, and neither sees the host's address.
 *  - A socket once bound to an IPv6 EA is IPv6 alone (the kernel sets IPV6_V6ONLY): IPv4 by the
 *    same socket fails with the kernel's EAFNOSUPPORT or ENETUNREACH, as on any such socket.
 *
 * A connected UDP socket's EA has no time limit, since its close is told (release). TCP's ends with
 * the CLOSE callback of sockops: close() leaves a connection that still sends. Release ends what
 * has none yet: a SYN may never have been sent, and nobody be told (no route,
 * TCP_FASTOPEN_CONNECT).
 */
#ifndef ISTHMUS_BPF_ONETIME_CLIENT_H
#define ISTHMUS_BPF_ONETIME_CLIENT_H

#include <linux/in.h>
#include <linux/in6.h>

#include "onetime_state.bpf.h"

#define CLIENT_ALLOW  1
#define CLIENT_REFUSE 0			   /* EPERM */
#define CLIENT_QUIET  ONETIME_REASON_COUNT /* nothing to count */
#define CLIENT_TRIES  8 /* addresses that the agent took back since it queued them */

/* Who connects whereto. */
struct client {
	const struct onetime_conf *conf;
	__u64 now_ns, cookie;
	struct isthmus_addr local; /* the socket's or the datagram's; zero = none yet */
	struct isthmus_addr peer;
	__u16 port; /* the socket's, 0 = none yet */
	__be16 peer_port;
	__u8 proto;
	bool connected;
	bool v4; /* peer is, by whatever family of socket */
};

/* ---- addresses */

static __always_inline bool client_none(const struct isthmus_addr *addr)
{
	const __u32 *word = (const __u32 *)addr->b;

	return !(word[0] | word[1] | word[2] | word[3]);
}

static __always_inline bool client_is_v4(const struct isthmus_addr *addr)
{
	const __u32 *word = (const __u32 *)addr->b;

	return !(word[0] | word[1] | (word[2] ^ bpf_htonl(0xffff)));
}

/* Unicast beyond the link: not ::/96, fe80::/10, ff00::/8; 0/8, 127/8, 169.254/16, 224/3. */
static __always_inline bool client_beyond(const struct isthmus_addr *addr)
{
	const __u32 *word = (const __u32 *)addr->b;
	__u32 first = bpf_ntohl(word[0]), last = bpf_ntohl(word[3]);

	if (client_is_v4(addr))
		return last >> 24 && last >> 24 != 127 && last >> 16 != 0xa9fe && last >> 29 != 7;
	return word[0] | word[1] | word[2] && first >> 22 != 0xfe80 >> 6 && first >> 24 != 0xff;
}

/* A bind to an IPv6 address leaves 127.0.0.6 in the IPv4 one, so IPv6 is looked at first. */
static __always_inline void client_local(struct bpf_sock *sk, struct isthmus_addr *local)
{
	__be32 v4 = ctx_word(struct bpf_sock, sk, src_ip4);

	if (ctx_word(struct bpf_sock, sk, family) == ONETIME_AF_INET6) {
		ctx_address(struct bpf_sock, sk, src_ip6, local);
		if (!client_none(local) && (!client_is_v4(local) || local->b[12]))
			return;
	}
	__builtin_memset(local, 0, sizeof(*local));
	if (v4)
		address_map_v4(local, v4);
}

/* ---- what is asked */

/* False: not in this namespace, or refused already by another program. */
static __always_inline bool client_read(struct bpf_sock_addr *ctx, int family, struct client *c)
{
	struct bpf_sock *sk = ctx->sk;

	c->conf = conf_get();
	if (!c->conf || !sk || bpf_get_netns_cookie(ctx) != c->conf->netns_cookie ||
	    bpf_get_retval() < 0)
		return false;
	if (family == ONETIME_AF_INET)
		address_map_v4(&c->peer, ctx_word(struct bpf_sock_addr, ctx, user_ip4));
	else
		ctx_address(struct bpf_sock_addr, ctx, user_ip6, &c->peer);
	c->v4 = client_is_v4(&c->peer);
	c->peer_port = ctx_word(struct bpf_sock_addr, ctx, user_port);
	c->port = ctx_word(struct bpf_sock, sk, src_port);
	c->connected = ctx_word(struct bpf_sock, sk, state) == BPF_TCP_ESTABLISHED;
	c->proto = ctx_word(struct bpf_sock_addr, ctx, protocol);
	c->cookie = bpf_get_socket_cookie(ctx);
	c->now_ns = bpf_ktime_get_coarse_ns();
	return true;
}

/* IPv6 sockets' datagrams to IPv4 come by sendmsg4. */
static __always_inline void client_read_source(struct bpf_sock_addr *ctx, int family,
					       struct client *c)
{
	__be32 v4;

	if (family == ONETIME_AF_INET6) {
		ctx_address(struct bpf_sock_addr, ctx, msg_src_ip6, &c->local);
		return;
	}
	v4 = ctx_word(struct bpf_sock_addr, ctx, msg_src_ip4);
	if (v4)
		address_map_v4(&c->local, v4);
}

static __always_inline bool client_is_user(void)
{
	__u32 uid = bpf_get_current_uid_gid();

	return bpf_map_lookup_elem(&onetime_user, &uid);
}

/* Why it is left alone, or EA_BOUND. */
static __always_inline enum onetime_reason client_covers(const struct client *c)
{
	if ((c->proto != IPPROTO_TCP && c->proto != IPPROTO_UDP) || !client_beyond(&c->peer))
		return ONETIME_EA_OUTSIDE;
	if (c->v4 && !c->conf->client4)
		return ONETIME_EA_NO_POOL;
	return ONETIME_EA_BOUND;
}

/* ---- EAs */

static __always_inline void client_tell_empty(const struct client *c)
{
	struct onetime_event event = {
		.time_ns = c->now_ns,
		.kind = ONETIME_EVENT_EMPTY,
		.peer = c->peer,
	};

	event_send(&event);
}

/* The next prepared one, in TAKING. */
static __always_inline struct onetime_addr *client_pop(const struct client *c,
						       struct isthmus_addr *ea)
{
	struct onetime_addr *addr;

	for (int i = 0; i < CLIENT_TRIES; i++) {
		if (c->v4 ? bpf_map_pop_elem(&onetime_ea4, ea) : bpf_map_pop_elem(&onetime_ea6, ea))
			break;
		addr = bpf_map_lookup_elem(&onetime_addr, ea);
		if (addr && addr->use == ONETIME_EA &&
		    state_step(addr, ONETIME_STATE_RESERVED, ONETIME_STATE_TAKING))
			return addr;
	}
	client_tell_empty(c);
	return NULL;
}

/* The port is learnt at egress: 0 says that nothing has been sent. */
static __always_inline void client_fill(const struct client *c, struct onetime_addr *addr,
					__u64 until_ns)
{
	addr->peer = c->peer;
	addr->peer_port = addr->wire_peer_port = c->peer_port;
	addr->port = addr->wire_port = 0;
	addr->proto = c->proto;
	addr->cookie = c->cookie;
	addr->since_ns = c->now_ns;
	addr->until_ns = until_ns;
}

/* So that the socket's end ends it. */
static __always_inline void client_own(struct onetime_socket *socket, const struct isthmus_addr *ea)
{
	__u32 at = __sync_fetch_and_add(&socket->next, 1) % ONETIME_SOCKET_EAS;

	socket->ea[at] = *ea;
}

static __always_inline long client_bind(struct bpf_sock_addr *ctx, int family,
					const struct isthmus_addr *ea)
{
	struct sockaddr_in6 sin6 = { .sin6_family = ONETIME_AF_INET6 };
	struct sockaddr_in sin = { .sin_family = ONETIME_AF_INET };

	if (family == ONETIME_AF_INET) {
		sin.sin_addr.s_addr = ((const __u32 *)ea->b)[3];
		return bpf_bind(ctx, (struct sockaddr *)&sin, sizeof(sin));
	}
	__builtin_memcpy(&sin6.sin6_addr, ea, sizeof(*ea));
	return bpf_bind(ctx, (struct sockaddr *)&sin6, sizeof(sin6));
}

static __always_inline enum onetime_reason client_new(struct bpf_sock_addr *ctx, int family,
						      const struct client *c,
						      struct onetime_socket *socket)
{
	struct onetime_addr *addr;
	struct isthmus_addr ea;

	addr = client_pop(c, &ea);
	if (!addr)
		return ONETIME_EA_EMPTY_REFUSED;
	client_fill(c, addr, ONETIME_UNTIL_CLOSE);
	if (client_bind(ctx, family, &ea)) {
		addr->until_ns = c->now_ns;
		state_taken(addr, ONETIME_STATE_DEAD);
		return ONETIME_EA_FAILED_REFUSED;
	}
	socket->bound = ea;
	client_own(socket, &ea);
	state_taken(addr, ONETIME_STATE_LIVE);
	return ONETIME_EA_BOUND;
}

/* ---- connect */

static __always_inline bool client_same(const struct client *c, const struct onetime_addr *addr)
{
	return address_equal(&addr->peer, &c->peer) && addr->peer_port == c->peer_port;
}

/* The socket's EA may serve this destination, too; its peer is changed if it is another one. */
static __always_inline bool client_keep(const struct client *c, struct onetime_addr *addr)
{
	if (!addr || addr->cookie != c->cookie || client_is_v4(&c->local) != c->v4 ||
	    onetime_state_at(addr, c->now_ns) != ONETIME_STATE_LIVE)
		return false;
	if (client_same(c, addr) && (c->proto == IPPROTO_UDP || !addr->port))
		return true;
	if (addr->port && !c->port)
		return false;
	if (!state_step(addr, ONETIME_STATE_LIVE, ONETIME_STATE_TAKING))
		return false;
	client_fill(c, addr, ONETIME_UNTIL_CLOSE);
	state_taken(addr, ONETIME_STATE_LIVE);
	return true;
}

/* The socket's address is one that we bound. */
static __always_inline bool client_is_ours(const struct client *c,
					   const struct onetime_socket *socket)
{
	return !client_none(&c->local) && address_equal(&c->local, &socket->bound);
}

static __always_inline enum onetime_reason client_assign(struct bpf_sock_addr *ctx, int family,
							 const struct client *c)
{
	struct onetime_socket *socket =
		bpf_sk_storage_get(&onetime_socket, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	struct onetime_addr *addr;

	if (!socket)
		return ONETIME_EA_FAILED_REFUSED;
	if (client_is_ours(c, socket)) {
		addr = bpf_map_lookup_elem(&onetime_addr, &c->local);
		if (client_keep(c, addr))
			return ONETIME_EA_KEPT;
		if (c->port)
			return ONETIME_EA_FAILED_REFUSED;
		if (addr && addr->cookie == c->cookie)
			state_close(addr, c->conf, c->now_ns);
	} else if (c->port || !client_none(&c->local)) {
		return ONETIME_EA_BOUND_REFUSED;
	}
	return client_new(ctx, family, c, socket);
}

/* Each REFUSED is followed by the PASSED of lenient mode. */
static __always_inline int client_verdict(const struct client *c, enum onetime_reason reason)
{
	bool failed = reason == ONETIME_EA_EMPTY_REFUSED || reason == ONETIME_EA_BOUND_REFUSED ||
		      reason == ONETIME_EA_FAILED_REFUSED;

	if (reason != CLIENT_QUIET)
		note(failed && !c->conf->strict ? reason + 1 : reason);
	return failed && c->conf->strict ? CLIENT_REFUSE : CLIENT_ALLOW;
}

/* family: AF_INET or AF_INET6, a constant. by_user: only of users in onetime_user. */
static __always_inline int client_connect(struct bpf_sock_addr *ctx, int family, bool by_user)
{
	enum onetime_reason reason;
	struct client c = {};

	if (!client_read(ctx, family, &c) || (by_user && !client_is_user()))
		return CLIENT_ALLOW;
	client_local(ctx->sk, &c.local);
	reason = client_covers(&c);
	if (reason == ONETIME_EA_BOUND)
		reason = client_assign(ctx, family, &c);
	return client_verdict(&c, reason);
}

/* ---- sendmsg: UDP with a destination of its own */

static __always_inline void client_set_source(struct bpf_sock_addr *ctx, int family,
					      const struct isthmus_addr *from)
{
	const __u32 *word = (const __u32 *)from->b;

	if (family == ONETIME_AF_INET) {
		ctx->msg_src_ip4 = word[3];
		return;
	}
	ctx->msg_src_ip6[0] = word[0];
	ctx->msg_src_ip6[1] = word[1];
	ctx->msg_src_ip6[2] = word[2];
	ctx->msg_src_ip6[3] = word[3];
}

/* Of a session with this peer, or of many. */
static __always_inline bool client_is_session(const struct client *c,
					      const struct onetime_addr *addr)
{
	return addr && onetime_state_at(addr, c->now_ns) == ONETIME_STATE_LIVE &&
	       (addr->use == ONETIME_MANY || client_same(c, addr));
}

/* The address that the socket has towards this peer, by which it sends: its use, 0 = none. */
static __always_inline __u8 client_known(struct bpf_sock_addr *ctx, int family,
					 const struct client *c)
{
	struct onetime_udp_key key = { .cookie = c->cookie,
				       .peer = c->peer,
				       .peer_port = c->peer_port };
	struct onetime_addr *addr = bpf_map_lookup_elem(&onetime_addr, &c->local);
	struct onetime_udp *udp;

	/* The program says one itself (IPV6_PKTINFO), and may. */
	if (client_is_session(c, addr) && addr->use != ONETIME_EA)
		return addr->use;
	udp = bpf_map_lookup_elem(&onetime_udp, &key);
	if (!udp)
		return 0;
	addr = bpf_map_lookup_elem(&onetime_addr, &udp->addr);
	if (!client_is_session(c, addr) || (addr->use == ONETIME_EA && addr->cookie != c->cookie))
		return 0;
	client_set_source(ctx, family, &udp->addr);
	return addr->use;
}

static __always_inline enum onetime_reason client_new_source(struct bpf_sock_addr *ctx, int family,
							     const struct client *c,
							     struct onetime_socket *socket)
{
	struct onetime_udp_key key = { .cookie = c->cookie,
				       .peer = c->peer,
				       .peer_port = c->peer_port };
	struct onetime_addr *addr;
	struct isthmus_addr ea;

	addr = client_pop(c, &ea);
	if (!addr)
		return ONETIME_EA_EMPTY_REFUSED;
	client_fill(c, addr, c->now_ns + c->conf->udp_ns);
	if (bpf_map_update_elem(&onetime_udp, &key, &ea, BPF_ANY)) {
		addr->until_ns = c->now_ns;
		state_taken(addr, ONETIME_STATE_DEAD);
		return ONETIME_EA_FAILED_REFUSED;
	}
	client_own(socket, &ea);
	state_taken(addr, ONETIME_STATE_LIVE);
	client_set_source(ctx, family, &ea);
	return ONETIME_EA_SENT;
}

/* A socket that was connected once sends by its EA for ever: by another it would get no answer. */
static __always_inline enum onetime_reason client_source(struct bpf_sock_addr *ctx, int family,
							 const struct client *c)
{
	struct onetime_socket *socket =
		bpf_sk_storage_get(&onetime_socket, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	struct onetime_addr *addr;
	bool same;

	if (!socket)
		return ONETIME_EA_FAILED_REFUSED;
	if (client_none(&c->local))
		return client_new_source(ctx, family, c, socket);
	if (!client_is_ours(c, socket))
		return ONETIME_EA_BOUND_REFUSED;
	/* Each datagram of an IPv6 socket that is connected to IPv4 comes here, too. */
	if (c->connected)
		return CLIENT_QUIET;
	addr = bpf_map_lookup_elem(&onetime_addr, &c->local);
	same = addr && client_same(c, addr);
	if (!client_keep(c, addr))
		return ONETIME_EA_FAILED_REFUSED;
	return same ? CLIENT_QUIET : ONETIME_EA_KEPT;
}

static __always_inline int client_sendmsg(struct bpf_sock_addr *ctx, int family, bool by_user)
{
	enum onetime_reason reason;
	struct client c = {};

	if (!client_read(ctx, family, &c) || (by_user && !client_is_user()))
		return CLIENT_ALLOW;
	client_read_source(ctx, family, &c);
	if (client_known(ctx, family, &c))
		return CLIENT_ALLOW;
	reason = client_covers(&c);
	if (reason == ONETIME_EA_BOUND && (c.port < c.conf->port_low || c.port > c.conf->port_high))
		reason = ONETIME_EA_SERVER;
	if (reason == ONETIME_EA_BOUND)
		reason = client_source(ctx, family, &c);
	return client_verdict(&c, reason);
}

/* Of listeners alone, whether or not there are clients. */
static __always_inline int client_reply(struct bpf_sock_addr *ctx, int family)
{
	struct client c = {};
	__u8 use;

	if (!client_read(ctx, family, &c))
		return CLIENT_ALLOW;
	client_read_source(ctx, family, &c);
	use = client_known(ctx, family, &c);
	if (use && use != ONETIME_EA)
		note(ONETIME_EA_REPLY);
	return CLIENT_ALLOW;
}

/* ---- the end */

static __always_inline int client_release(struct bpf_sock *sk)
{
	struct onetime_socket *socket = bpf_sk_storage_get(&onetime_socket, sk, NULL, 0);
	const struct onetime_conf *conf = conf_get();
	__u64 cookie = bpf_get_socket_cookie(sk);
	__u32 state = sk->state;
	struct onetime_addr *addr;

	if (!socket || !conf ||
	    (sk->protocol == IPPROTO_TCP && state != BPF_TCP_CLOSE && state != BPF_TCP_SYN_SENT))
		return CLIENT_ALLOW;
	for (int i = 0; i < ONETIME_SOCKET_EAS; i++) {
		addr = bpf_map_lookup_elem(&onetime_addr, &socket->ea[i]);
		if (addr && addr->use == ONETIME_EA && addr->cookie == cookie)
			state_close(addr, conf, bpf_ktime_get_coarse_ns());
	}
	return CLIENT_ALLOW;
}

#endif
