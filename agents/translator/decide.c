// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The states of figure 5.2 after IST_SYN_RCVD, and what ends each. The session's last packet
 * counts, whichever side sent it.
 *
 *   state        legs                      ends after silence of
 *   SYN_RCVD     one has not ACKED         half_open_ns
 *   ESTABLISHED  both have ACKED           tcp_idle_s (RFC 5382 REQ-5)
 *   CLOSE_WAIT   one FIN                   half_closed_s: the other direction may go on for long
 *   TIME_WAIT    both FINs                 time_wait_s; the session is over for its users before
 *   RESET        a RST, nothing after it   reset_s: a forged RST is disproved by later traffic
 *   (UDP)                                  udp_idle_s (RFC 4787 REQ-5)
 */
#include <netinet/in.h>

#include "decide.h"

#define SECOND 1000000000ULL

static uint64_t silence(uint64_t seen_ns, uint64_t now_ns)
{
	return now_ns > seen_ns ? now_ns - seen_ns : 0; /* another CPU's clock may be ahead */
}

static enum verdict after(uint64_t idle, uint64_t limit, enum verdict verdict)
{
	return idle > limit ? verdict : VERDICT_KEEP;
}

enum verdict decide_session(uint8_t proto, struct leg_view a, struct leg_view b, uint64_t now_ns,
			    const struct splice_conf *conf)
{
	uint64_t idle = silence(a.seen_ns > b.seen_ns ? a.seen_ns : b.seen_ns, now_ns);
	uint8_t any = a.flags | b.flags, both = a.flags & b.flags;

	if (proto != IPPROTO_TCP)
		return after(idle, conf->udp_idle_s * SECOND, VERDICT_IDLE);
	if (any & SPLICE_LEG_RST)
		return after(idle, conf->reset_s * SECOND, VERDICT_RESET);
	if (!(both & SPLICE_LEG_ACKED))
		return after(idle, conf->half_open_ns, VERDICT_HALF_OPEN);
	if (both & SPLICE_LEG_FIN) {
		if (idle > conf->time_wait_s * SECOND)
			return VERDICT_TIME_WAIT;
		return after(idle, DECIDE_FINISHED_NS, VERDICT_FINISHED);
	}
	if (any & SPLICE_LEG_FIN)
		return after(idle, conf->half_closed_s * SECOND, VERDICT_IDLE);
	return after(idle, conf->tcp_idle_s * SECOND, VERDICT_IDLE);
}

bool decide_may_end(uint8_t proto, struct leg_view leg, uint64_t now_ns,
		    const struct splice_conf *conf)
{
	/* The other leg as it would be in the worst case: as silent, and with any one fault. */
	static const uint8_t other[] = { SPLICE_LEG_ACKED, 0, SPLICE_LEG_ACKED | SPLICE_LEG_FIN,
					 SPLICE_LEG_ACKED | SPLICE_LEG_RST };

	for (unsigned int i = 0; i < sizeof(other); i++) {
		struct leg_view worst = { other[i], leg.seen_ns };

		if (decide_session(proto, leg, worst, now_ns, conf) != VERDICT_KEEP)
			return true;
	}
	return false;
}
