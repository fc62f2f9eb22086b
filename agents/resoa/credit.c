// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * How much the server may send (CREDIT), and when A's kernel has it all (DELIVERED).
 *
 * `number` is the right edge of the window that A's kernel offers: what it has acknowledged and
 * what it would take now. `read` is what the program has read (maps/resoa.h, READ). An event of a
 * read comes before the window update that follows it, so if the edge has not moved and the server
 * has nothing left, the window is looked at again a little later.
 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "tcp.h"

#define STEP_BYTES (16u << 10) /* a CREDIT for at least so many more, or if none are left */

static bool read_info(const struct tcp *tcp, struct tcp_info *info)
{
	socklen_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return !getsockopt(tcp->fd, IPPROTO_TCP, TCP_INFO, info, &len);
}

static uint64_t acknowledged(const struct tcp *tcp, const struct tcp_info *info)
{
	return info->tcpi_bytes_acked - tcp->base;
}

static void tell(struct tcp *tcp)
{
	const struct ep_message credit = {
		.type = EP_CREDIT,
		.number = tcp->edge,
		.read = tcp->read,
	};

	tcp->edge_told = tcp->edge;
	tcp->read_told = tcp->read;
	tcp_send(tcp, &credit);
}

void credit_start(struct tcp *tcp)
{
	struct tcp_info info;

	if (read_info(tcp, &info)) {
		tcp->base = info.tcpi_bytes_acked;
		tcp->edge = info.tcpi_snd_wnd;
	}
	tell(tcp);
}

void credit_mark(struct tcp *tcp)
{
	struct tcps *tcps = tcp->rsock->resoa->tcps;

	if (tcp->is_dirty)
		return;
	tcp->is_dirty = true;
	tcp->next_dirty = tcps->dirty;
	tcps->dirty = tcp;
	tcp_turn(tcps);
}

static bool is_due(const struct tcp *tcp)
{
	uint64_t left = tcp->edge_told - tcp->received;

	if (tcp->edge >= tcp->edge_told + STEP_BYTES)
		return true;
	if (tcp->edge > tcp->edge_told && left < STEP_BYTES)
		return true;
	return tcp->read >= tcp->read_told + RESOA_READ_STEP ||
	       (tcp->read > tcp->read_told && tcp->read == tcp->received);
}

void credit_update(struct tcp *tcp)
{
	struct tcp_info info;
	uint64_t edge;

	if (tcp->connecting || tcp->fin || tcp->reset || !read_info(tcp, &info))
		return;
	edge = acknowledged(tcp, &info) + info.tcpi_snd_wnd;
	if (edge > tcp->edge)
		tcp->edge = edge;
	if (is_due(tcp))
		tell(tcp);
	if (tcp->received >= tcp->edge_told)
		tcp_check(tcp);
	else
		tcp->check_ms = 0;
}

void credit_delivered(struct tcp *tcp)
{
	const struct ep_message delivered = { .type = EP_DELIVERED, .number = tcp->fin_at };
	struct tcp_info info;
	uint64_t bytes;

	if (!read_info(tcp, &info))
		return;
	bytes = acknowledged(tcp, &info);
	if (bytes >= tcp->fin_at && !tcp->delivered) {
		tcp->delivered = true;
		tcp_send(tcp, &delivered);
	}
	tcp->acknowledged = bytes > tcp->fin_at;
	if (tcp->acknowledged)
		tcp_finish(tcp);
	else
		tcp_check(tcp);
}
