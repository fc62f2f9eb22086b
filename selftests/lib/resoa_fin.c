// SPDX-License-Identifier: GPL-3.0-or-later
/* selftests/lib/resoa_fin.c - sockets by TCP_REPAIR, their storage in resoa_fin. */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/resoa_fin.h"

const struct rfin_kind rfin_kinds[3] = {
	{ RFIX_A4, RFIX_P4, RFIX_A4, RFIX_P4, 4 },
	{ RFIX_A6, RFIX_P6, RFIX_A6, RFIX_P6, 6 },
	{ RFIX_A4, RFIX_P4, "::ffff:" RFIX_A4, "::ffff:" RFIX_P4, 4 },
};

int rfin_open(struct rfix *fx, const char *name)
{
	int device;

	if (rfix_open(fx, name))
		return -1;
	device = assume_tun("e0");
	assume_run("ip addr add " RFIX_A4 "/32 dev e0 && ip route add default dev e0");
	assume_run("ip -6 addr add " RFIX_A6 "/128 dev e0 nodad && ip -6 route add default dev e0");
	return device;
}

void rfin_set(int fd, int level, int name, int value)
{
	must(setsockopt(fd, level, name, &value, sizeof(value)));
}

int rfin_bound(const struct rfin_kind *kind)
{
	struct sockaddr_in6 own;
	socklen_t len = rfix_sockaddr(kind->socket_own, RFIN_OWN, &own);
	int fd = must(socket(own.sin6_family, SOCK_STREAM, 0));

	rfin_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	must(bind(fd, (void *)&own, len));
	return fd;
}

int rfin_established(const struct rfin_kind *kind)
{
	const struct tcp_repair_window window = { .snd_wnd = RFIN_WINDOW,
						  .max_window = RFIN_WINDOW,
						  .rcv_wnd = RFIN_WINDOW,
						  .rcv_wup = RFIN_RCV };
	int fd = rfin_bound(kind);
	struct sockaddr_in6 peer;
	socklen_t len = rfix_sockaddr(kind->socket_peer, RFIN_PEER, &peer);

	rfin_set(fd, IPPROTO_TCP, TCP_REPAIR, 1);
	rfin_set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
	rfin_set(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, RFIN_SND);
	rfin_set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE);
	rfin_set(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, (int)RFIN_RCV);
	must(connect(fd, (void *)&peer, len));
	must(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof(window)));
	rfin_set(fd, IPPROTO_TCP, TCP_REPAIR, -1 /* no probe of the window */);
	return fd;
}

void rfin_forget(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

void rfin_put(struct rfix *fx, int fd, const struct resoa_fin *fin)
{
	must(bpf_map_update_elem(bpf_map__fd(fx->skel->maps.resoa_fin), &fd, fin, BPF_ANY));
}

void rfin_state(struct rfix *fx, int fd, __u32 state)
{
	const struct resoa_fin fin = { .state = state };

	rfin_put(fx, fd, &fin);
}

struct resoa_fin rfin_get(struct rfix *fx, int fd)
{
	struct resoa_fin fin = {};

	must(bpf_map_lookup_elem(bpf_map__fd(fx->skel->maps.resoa_fin), &fd, &fin));
	return fin;
}

bool rfin_is(struct rfix *fx, int fd, const struct resoa_fin *want)
{
	struct resoa_fin got = rfin_get(fx, fd);

	if (!memcmp(&got, want, sizeof(got)))
		return true;
	fprintf(stderr, "state %u, seq %x, at %llu, window %u, again %u, ifindex %u\n", got.state,
		got.fin_seq, got.at, got.window, got.again, got.ifindex);
	return false;
}

bool rfin_again_comes(struct rfix *fx, int fd, int ms)
{
	__u64 end = assume_now_ms() + assume_ms(ms);

	while (!rfin_get(fx, fd).again && assume_now_ms() < end)
		usleep(10000);
	return rfin_get(fx, fd).again;
}

/* ---- connections */

int rfin_port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);

	must(getsockname(fd, (void *)&name, &len));
	return ntohs(name.sin6_port);
}

int rfin_tcp_state(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info.tcpi_state;
}

bool rfin_state_comes(int fd, int state, int ms)
{
	__u64 end = assume_now_ms() + assume_ms(ms);

	while (rfin_tcp_state(fd) != state && assume_now_ms() < end)
		usleep(1000);
	return rfin_tcp_state(fd) == state;
}

int rfin_take(int fd, void *bytes, size_t len)
{
	ssize_t got = recv(fd, bytes, len, MSG_DONTWAIT);

	return got < 0 ? -errno : (int)got;
}

bool rfin_ready(int fd, int ms)
{
	struct pollfd waits = { .fd = fd, .events = POLLIN };

	return must(poll(&waits, 1, assume_ms(ms))) > 0;
}

void rfin_send_marked(unsigned int ifindex, const struct packet *frame, size_t skip)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)ifindex,
				  .sll_protocol = ((const struct ethhdr *)frame->b)->h_proto };
	int fd = must(socket(AF_PACKET, SOCK_RAW, 0));

	rfin_set(fd, SOL_SOCKET, SO_MARK, RESOA_FIN_MARK);
	must(sendto(fd, frame->b + skip, frame->len - skip, 0, (void *)&to, sizeof(to)));
	close(fd);
}
