// SPDX-License-Identifier: GPL-3.0-or-later
/* selftests/lib/resoa_fin.c - sockets by TCP_REPAIR, their storage in resoa_fin. */
#include <netinet/in.h>
#include <netinet/tcp.h>
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
