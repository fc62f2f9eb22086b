/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How far a program of A has read (4.3): the server may take so many bytes from its own socket, and
 * its TCP window opens as if the program read there. The tracepoint is the whole host's: it is left
 * at once but for sockets of A.
 */
#ifndef ISTHMUS_BPF_RESOA_READ_H
#define ISTHMUS_BPF_RESOA_READ_H

#include "resoa_kernel.bpf.h"
#include "resoa_tell.bpf.h"

static __always_inline void read_address(struct isthmus_addr *address, const struct in6_addr *v6)
{
	__u32 *word = (__u32 *)address->b;

	word[0] = v6->s6_addr32[0];
	word[1] = v6->s6_addr32[1];
	word[2] = v6->s6_addr32[2];
	word[3] = v6->s6_addr32[3];
}

/* An IPv6 socket that talks to an IPv4 peer has both, mapped. */
static __always_inline void read_names(const struct sock_common *common, struct resoa_names *names)
{
	if (common->skc_family == RESOA_AF_INET6) {
		read_address(&names->local, &common->skc_v6_rcv_saddr);
		read_address(&names->remote, &common->skc_v6_daddr);
	} else {
		address_map_v4(&names->local, common->skc_rcv_saddr);
		address_map_v4(&names->remote, common->skc_daddr);
	}
	names->local_port = bpf_htons(common->skc_num);
	names->remote_port = common->skc_dport;
}

/* True: the event is under way, so the next tells what comes after it. */
static __always_inline bool read_send(const struct sock_common *common, __u64 cookie, __u64 read)
{
	struct resoa_event *event = event_begin(RESOA_EVENT_READ);

	if (!event)
		return false;
	read_names(common, &event->names);
	event->family = address_family(&event->names.local);
	event->proto = IPPROTO_TCP;
	event->cookie = cookie;
	event->number = read;
	event->pid = current_pid();
	event_send(event);
	note(RESOA_READ);
	return true;
}

/*
 * Bytes that were read, and whether that is all there is. A FIN is one in bytes_received and in
 * rcv_nxt, and in copied_seq, too, once end-of-file was spliced; it is no byte.
 */
static __always_inline bool read_position(const struct tcp_sock *tcp, __u64 *read)
{
	__u64 all = tcp->bytes_received;

	*read = all - (__u32)(tcp->rcv_nxt - tcp->copied_seq);
	if (sock_has_flag(tcp_base(tcp), KERNEL_SOCK_DONE))
		all--;
	if (*read > all)
		*read = all;
	return *read == all;
}

/* Sockets that the kernel made itself (subflows) come here without storage. */
static __always_inline void read_tell(struct sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	static const struct resoa_socket none;
	struct resoa_socket *socket;
	bool empty;
	__u64 read;

	if (!tcp || !is_client(sk->__sk_common.skc_net.net->net_cookie))
		return;
	socket = bpf_sk_storage_get(&resoa_socket, sk, (void *)&none, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket)
		return;
	empty = read_position(tcp, &read);
	if (read <= socket->read || (!empty && read - socket->read < RESOA_READ_STEP))
		return;
	if (read_send(&sk->__sk_common, socket->cookie, read))
		socket->read = read;
}

#endif
