// SPDX-License-Identifier: GPL-3.0-or-later
/* What acknowledgments tell of packets: that they have come, or were lost (RFC 9002 6). */
#include <errno.h>

#include "lhp_ether.h"

#define THRESHOLD_MAX 256 /* packets of reordering that are got used to */
#define SLACK_MAX     8
#define LATE	      256 /* numbers before the oldest in the air that are looked at again */
#define PTO_MAX	      8	  /* doublings */
#define COLLAPSE_PTOS 3	  /* RFC 9002 7.6.1 */
#define HOLE_LOST     10  /* packets greater than the least MTU, lost one after the other */
#define HOLE_US	      200000

static struct ether_sent *sent_of(struct ether *ether, uint64_t number)
{
	return &ether->sender.ring[number % ETHER_IN_FLIGHT];
}

static void free_slots(struct ether *ether, struct ether_sent *sent)
{
	while (sent->slots) {
		struct ether_slot *slot = sent->slots;

		sent->slots = slot->next;
		ether_slot_free(ether, slot);
	}
}

/* RFC 8899 5.2: a size that was seen to arrive is used from now on. */
static void probe_arrived(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;

	sender->mtu = sender->mtu_probe;
	sender->mtu_probe = 0;
	sender->mtu_in_air = false;
	ether->window.unit = sender->mtu;
}

/* Three times, for a frame may be lost by chance; then smaller ones. */
static void probe_lost(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;

	sender->mtu_in_air = false;
	if (++sender->mtu_tries < 3)
		return;
	sender->mtu_tries = 0;
	sender->mtu_probe = sender->mtu_probe > 1400 && sender->mtu < 1400 ? 1400 : 0;
}

/* RFC 8899 4.3: the path carries less than it did, or nothing for a while; the search begins anew.
 */
static void path_is_smaller(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;

	if (sender->mtu <= ETHER_MTU_MIN)
		return;
	sender->mtu = ETHER_MTU_MIN;
	sender->mtu_probe = ether->port->mtu;
	sender->mtu_tries = 0;
	sender->large_lost = 0;
	ether->window.unit = sender->mtu;
}

static void large_arrived(struct ether *ether)
{
	ether->sender.large_lost = 0;
	ether->sender.large_acked = ether->port->now;
}

static void large_was_lost(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;

	if (++sender->large_lost >= HOLE_LOST && ether->port->now - sender->large_acked > HOLE_US)
		path_is_smaller(ether);
}

static void land(struct ether *ether, struct ether_sent *sent)
{
	ether->sender.in_flight -= sent->bytes;
	ether->sender.eliciting--;
	if (sent->probe && sent->state == ETHER_IN_THE_AIR)
		ether->sender.mtu_in_air = false;
}

/* Was the window's answer to a loss none? If all that it was for came after all. */
static void was_late(struct ether *ether, struct ether_sent *sent, uint64_t number)
{
	struct ether_sender *sender = &ether->sender;
	uint64_t distance = sender->largest_acked > number ? sender->largest_acked - number : 0;

	sent->state = ETHER_SENT_NONE;
	sender->spurious++;
	if (distance > THRESHOLD_MAX)
		distance = THRESHOLD_MAX;
	if (distance > sender->threshold)
		sender->threshold = (unsigned int)distance;
	else if (sender->slack < SLACK_MAX)
		sender->slack++;
	if (sent->at <= ether->window.recovery && sender->episode && !--sender->episode)
		ether_window_undo(&ether->window);
}

static void acked(struct ether *ether, struct ether_sent *sent)
{
	struct ether_sender *sender = &ether->sender;
	/* In slow start half a window in the air is a window in use: RFC 7661 4.3. */
	double used = (double)sender->in_flight + 4.0 * sender->mtu;
	double want = ether->window.window < ether->window.threshold ? ether->window.window / 2
								     : ether->window.window;

	if (sent->probe)
		probe_arrived(ether);
	if (sent->bytes > ETHER_MTU_MIN)
		large_arrived(ether);
	land(ether, sent);
	free_slots(ether, sent);
	sent->state = ETHER_SENT_NONE;
	ether_window_acked(&ether->window, sent->bytes, sent->at, ether->port->now, &ether->rtt,
			   sender->full || used >= want);
}

/* The numbers of one range, downward. True if one of them was in the air. */
static bool acked_range(struct ether *ether, uint64_t high, uint64_t low, uint64_t *newest)
{
	bool any = false;

	for (uint64_t number = high + 1; number-- > low;) {
		struct ether_sent *sent = sent_of(ether, number);

		if (sent->state == ETHER_TAKEN_LOST)
			was_late(ether, sent, number);
		if (sent->state != ETHER_IN_THE_AIR)
			continue;
		if (!any && *newest == ETHER_NEVER)
			*newest = sent->at;
		any = true;
		acked(ether, sent);
	}
	return any;
}

/* Below it nothing is looked at: it was all settled long ago. */
static uint64_t floor_of(const struct ether_sender *sender)
{
	if (!sender->lost_any || sender->lost_last + LATE < sender->oldest)
		return sender->oldest;
	return sender->oldest > LATE ? sender->oldest - LATE : 0;
}

static void advance(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;

	while (sender->oldest < sender->next &&
	       sent_of(ether, sender->oldest)->state != ETHER_IN_THE_AIR)
		sender->oldest++;
}

int ether_acked(struct ether *ether, const struct ether_frame *ack)
{
	struct ether_sender *sender = &ether->sender;
	unsigned int ranges = (unsigned int)(ack->body_len / ETHER_RANGE_BYTES);
	uint64_t next = ack->largest, high, low, floor = floor_of(sender), newest = ETHER_NEVER;
	bool any = false, first = false;

	if (ack->largest >= sender->next)
		return -EPROTO;
	if (ack->limit > sender->limit)
		sender->limit = ack->limit;
	for (unsigned int i = 0; i < ranges; i++) {
		if (ether_read_range(ack, i, &next, &high, &low))
			return -EPROTO;
		if (high < floor)
			break;
		first |= acked_range(ether, high, low > floor ? low : floor, &newest) && !i;
		any = any || newest != ETHER_NEVER;
	}
	/* RFC 9002 5.1: only the largest tells a time, and only the first time it is told. */
	if (first && ack->largest + 1 > sender->largest_acked)
		ether_rtt_sample(&ether->rtt, ether->port->now - newest, ack->delay);
	if (ack->largest + 1 > sender->largest_acked)
		sender->largest_acked = ack->largest + 1;
	if (any)
		sender->pto = 0;
	ether_detect_losses(ether);
	return 0;
}

/* Frames of a lost packet go again, semi-reliable ones a few times and while they are of use. */
static void again(struct ether *ether, struct ether_sent *sent)
{
	while (sent->slots) {
		struct ether_slot *slot = sent->slots;

		sent->slots = slot->next;
		if (slot->semi && (slot->sends >= ETHER_SEMI_SENDS ||
				   ether->port->now - slot->born > ETHER_SEMI_US)) {
			ether->lhp.counts.lost++;
			ether_slot_free(ether, slot);
			continue;
		}
		ether->lhp.counts.repeated++;
		ether_queue_add(&ether->sender.lost, slot);
	}
}

static void lost(struct ether *ether, struct ether_sent *sent, uint64_t number)
{
	struct ether_sender *sender = &ether->sender;

	land(ether, sent);
	sent->state = ETHER_TAKEN_LOST;
	sender->lost_any = true;
	sender->lost_last = number;
	again(ether, sent);
	if (sent->probe) {
		probe_lost(ether);
		return;
	}
	if (sent->bytes > ETHER_MTU_MIN)
		large_was_lost(ether);
	if (ether_window_lost(&ether->window, sent->at, ether->port->now, &ether->rtt))
		sender->episode = 0;
	sender->episode++;
}

void ether_detect_losses(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;
	uint64_t wait = ether_rtt_loss(&ether->rtt, sender->slack), now = ether->port->now;

	sender->loss_at = ETHER_NEVER;
	for (uint64_t number = sender->oldest; number + 1 < sender->largest_acked; number++) {
		struct ether_sent *sent = sent_of(ether, number);

		if (sent->state != ETHER_IN_THE_AIR)
			continue;
		if (sender->largest_acked - 1 - number >= sender->threshold ||
		    sent->at + wait <= now)
			lost(ether, sent, number);
		else if (sent->at + wait < sender->loss_at)
			sender->loss_at = sent->at + wait;
	}
	advance(ether);
}

uint64_t ether_ack_due(const struct ether *ether)
{
	const struct ether_sender *sender = &ether->sender;
	unsigned int doublings = sender->pto < PTO_MAX ? sender->pto : PTO_MAX;

	if (sender->loss_at != ETHER_NEVER)
		return sender->loss_at;
	if (!sender->eliciting)
		return ETHER_NEVER;
	return sender->last_eliciting + (ether_rtt_pto(&ether->rtt) << doublings);
}

/* RFC 9002 6.2: no answer, so the oldest goes once more; it is not taken as lost for that. */
void ether_pto(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;
	uint64_t number = sender->oldest;

	if (++sender->pto == COLLAPSE_PTOS) {
		ether_window_collapse(&ether->window);
		path_is_smaller(ether);
	}
	for (int i = 0; i < 2 && number < sender->next; number++) {
		struct ether_sent *sent = sent_of(ether, number);

		if (sent->state != ETHER_IN_THE_AIR)
			continue;
		i++;
		if (sent->slots)
			again(ether, sent);
	}
	if (!sender->lost.head)
		sender->ping = true;
	sender->probes = 2;
}
