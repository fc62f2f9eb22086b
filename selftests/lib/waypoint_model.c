// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "selftests/lib/waypoint_model.h"

#define S 1000000000ull

#define each_pair(i, w)                                                                            \
	for (int i = 0; i < WMODEL_INITIATORS; i++)                                                \
		for (int w = 0; w < WMODEL_WAYPOINTS; w++)
#define each_conn(i, w)                                                                            \
	for (int i = 0; i < WMODEL_PORTS; i++)                                                     \
		for (int w = 0; w < WMODEL_PORTS; w++)

/* ---- entries */

/* Section 5.2, "Protocol Specific Timeouts"; the contract on what has carried nothing yet. */
static __u64 idle_time(const struct wmodel *model, const struct wmodel_entry *entry)
{
	int protocols = entry->icmp + entry->udp + entry->tcp + entry->other;

	if (entry->http)
		return model->http_ns;
	if (!protocols)
		return 0;
	if (protocols > 1 || entry->other)
		return model->mixed_ns;
	if (entry->icmp)
		return model->icmp_ns;
	if (entry->udp)
		return model->udp_ns;
	return entry->ended ? model->linger_ns : model->tcp_ns;
}

static __u64 entry_end(const struct wmodel *model, const struct wmodel_entry *entry)
{
	__u64 end = entry->seen + idle_time(model, entry);

	return end > entry->fresh ? end : entry->fresh;
}

bool wmodel_is_live(const struct wmodel *model, const struct wmodel_entry *entry, __u64 now)
{
	return entry->made && now < entry_end(model, entry);
}

int wmodel_open_conns(const struct wmodel_entry *entry)
{
	int open = 0;

	each_conn(i, w) open += entry->conn[i][w].open;
	return open;
}

static bool same(struct wmodel_responder a, struct wmodel_responder b)
{
	return a.peer == b.peer && a.host == b.host;
}

static int entries(const struct wmodel *model)
{
	int made = 0;

	each_pair(i, w) made += model->entry[i][w].made;
	return made;
}

static void make_entry(const struct wmodel *model, struct wmodel_entry *entry,
		       struct wmodel_responder to, __u64 now)
{
	*entry = (struct wmodel_entry){
		.made = true, .to = to, .seen = now, .fresh = now + model->fresh_ns, .hop = -1
	};
}

/* A packet of either direction. An error is about what it quotes: no protocol of the session's. */
static void carry(struct wmodel_entry *entry, const struct wmodel_packet *packet, __u64 now)
{
	entry->seen = now;
	entry->icmp |= packet->kind == WMODEL_ECHO;
	entry->udp |= packet->kind == WMODEL_UDP || packet->kind == WMODEL_LATER;
	entry->tcp |= packet->kind == WMODEL_TCP;
	entry->other |= packet->kind == WMODEL_OTHER;
	entry->http |= packet->kind == WMODEL_TCP && packet->waypoint_port == 1;
}

/* Where replies go straight, the responder's FIN is not seen. */
static void track(const struct wmodel *model, struct wmodel_entry *entry,
		  const struct wmodel_packet *packet, bool back, __u64 now)
{
	struct wmodel_conn *conn;

	if (packet->kind != WMODEL_TCP || packet->initiator_port < 0)
		return;
	conn = &entry->conn[packet->initiator_port][packet->waypoint_port];
	if (!back && packet->syn && !packet->ack) {
		*conn = (struct wmodel_conn){ .open = true, .seen = now };
		entry->ended = false;
	}
	if (!conn->open || !(packet->fin || packet->rst))
		return;
	conn->seen = now;
	conn->fin_out |= packet->fin && !back;
	conn->fin_in |= packet->fin && back;
	if (packet->rst ||
	    (conn->fin_out && (conn->fin_in || (!back && model->straight[entry->to.peer])))) {
		conn->open = false;
		entry->ended = !wmodel_open_conns(entry);
	}
}

/* ---- sources (6.2) */

static struct wmodel_source *source_of(struct wmodel *model, int initiator)
{
	model->source[initiator].made = true;
	return &model->source[initiator];
}

static void unsolicited(struct wmodel_source *source, __u64 now)
{
	if (source->bound && now < source->bound + WAYPOINT_EXEMPT_S * S)
		return;
	if (++source->unsolicited == WAYPOINT_SCANS) {
		source->unsolicited = 0;
		source->penalty = now + WAYPOINT_PENALTY_S * S;
	}
}

static bool may_bind(const struct wmodel_source *source, __u64 now)
{
	return now >= source->penalty || !source->bound ||
	       now >= source->bound + WAYPOINT_PENALTY_GAP_S * S;
}

/* The sender is told, but not too often. */
static void tell(struct wmodel *model, const struct wmodel_packet *packet,
		 struct wmodel_outcome *outcome, __u64 now)
{
	struct wmodel_source *source;
	__u32 most;

	if (packet->kind == WMODEL_LATER || packet->kind == WMODEL_ERROR)
		return;
	source = source_of(model, packet->initiator);
	most = now < source->penalty ? WAYPOINT_ERRORS_FEW : WAYPOINT_ERRORS_A_S;
	if (now >= source->second + S) {
		source->second = now;
		source->errors = 0;
	}
	outcome->limited = source->errors >= most;
	outcome->told = !outcome->limited;
	source->errors += outcome->told;
}

/* ---- figure 6 */

static struct wmodel_wait *find_wait(struct wmodel *model, const struct wmodel_packet *packet,
				     __u64 now)
{
	for (int i = 0; i < WAYPOINT_WAITS; i++) {
		struct wmodel_wait *wait = &model->wait[packet->waypoint][i];
		__u32 address = model->address[packet->initiator];

		if (wait->made && now < wait->until && (address & wait->mask) == wait->prefix)
			return wait;
	}
	return NULL;
}

static void bind_in(struct wmodel *model, const struct wmodel_packet *packet,
		    struct wmodel_wait *wait, struct wmodel_outcome *outcome, __u64 now)
{
	struct wmodel_entry *entry = &model->entry[packet->initiator][packet->waypoint];
	struct wmodel_source *source = source_of(model, packet->initiator);

	if (!may_bind(source, now)) {
		outcome->reason = WAYPOINT_PENALISED;
		return;
	}
	entry->made = false;
	if (entries(model) >= model->room) {
		outcome->reason = WAYPOINT_BIND_FULL;
		return;
	}
	make_entry(model, entry, wait->to, now);
	source->bound = now;
	source->unsolicited = 0;
	wait->bound++;
	outcome->bound = wait;
	outcome->reason = WAYPOINT_BOUND;
}

/* Whatever is not BOUND or SEALED then is discarded. */
static void new_connection(struct wmodel *model, const struct wmodel_packet *packet,
			   struct wmodel_outcome *outcome, __u64 now)
{
	struct wmodel_reject *reject = &model->reject[packet->initiator][packet->waypoint];
	struct wmodel_entry *entry = &model->entry[packet->initiator][packet->waypoint];
	struct wmodel_wait *wait = find_wait(model, packet, now);
	bool live = wmodel_is_live(model, entry, now);

	if (reject->made && reject->from <= now && now < reject->until) {
		outcome->reason = WAYPOINT_REFUSED;
	} else if (live && wait && !same(entry->to, wait->to)) {
		outcome->reason = WAYPOINT_VIOLATED;
		outcome->violated = wait;
		*reject =
			(struct wmodel_reject){ true, wait->until, wait->until + model->reject_ns };
	} else if (live) {
		outcome->reason = WAYPOINT_SEALED;
	} else if (wait) {
		bind_in(model, packet, wait, outcome, now);
	} else {
		unsolicited(source_of(model, packet->initiator), now);
		outcome->reason = WAYPOINT_UNSOLICITED;
	}
}

/* A TCP SYN or any packet that is not TCP. */
bool wmodel_is_new(const struct wmodel_packet *packet)
{
	if (packet->kind == WMODEL_LATER || packet->kind == WMODEL_ERROR)
		return false;
	return packet->kind != WMODEL_TCP || (packet->syn && !packet->ack);
}

static void into_tunnel(struct wmodel *model, const struct wmodel_packet *packet,
			struct wmodel_outcome *outcome, __u64 now)
{
	struct wmodel_entry *entry = &model->entry[packet->initiator][packet->waypoint];

	/* Anybody on the way may send an error: it is nothing of the initiator's. */
	if (packet->kind != WMODEL_ERROR) {
		carry(entry, packet, now);
		track(model, entry, packet, false, now);
		entry->hop = packet->hop;
	}
	outcome->to = entry->to;
	if (packet->last_hop) {
		outcome->reason = WAYPOINT_TTL;
		tell(model, packet, outcome, now);
	} else if (!model->up[entry->to.peer]) {
		outcome->reason = WAYPOINT_NO_PEER;
	}
}

struct wmodel_outcome wmodel_out(struct wmodel *model, const struct wmodel_packet *packet,
				 __u64 now)
{
	const struct wmodel_entry *entry = &model->entry[packet->initiator][packet->waypoint];
	struct wmodel_outcome outcome = { .reason = WAYPOINT_SEALED };

	if (wmodel_is_new(packet))
		new_connection(model, packet, &outcome, now);
	else if (!wmodel_is_live(model, entry, now))
		outcome.reason = WAYPOINT_UNBOUND;
	if (outcome.reason == WAYPOINT_SEALED || outcome.reason == WAYPOINT_BOUND)
		into_tunnel(model, packet, &outcome, now);
	else if (outcome.reason == WAYPOINT_REFUSED || outcome.reason == WAYPOINT_VIOLATED)
		tell(model, packet, &outcome, now);
	return outcome;
}

struct wmodel_outcome wmodel_back(struct wmodel *model, const struct wmodel_packet *packet,
				  __u64 now)
{
	struct wmodel_entry *entry = &model->entry[packet->initiator][packet->waypoint];
	struct wmodel_outcome outcome = { .reason = WAYPOINT_FOREIGN };

	if (!wmodel_is_live(model, entry, now) || !same(entry->to, packet->from))
		return outcome;
	outcome.reason = WAYPOINT_NO_HOP;
	if (entry->hop < 0)
		return outcome;
	outcome.reason = WAYPOINT_OPENED;
	carry(entry, packet, now);
	track(model, entry, packet, true, now);
	return outcome;
}

/* ---- the agent */

/*
 * While it waits it does not accept another SETUP; here, none for an initiator that is waited for.
 * Which of the free places is taken should not matter.
 */
int wmodel_enter(struct wmodel *model, int waypoint, const struct wmodel_wait *wait, __u64 now)
{
	struct wmodel_wait *waits = model->wait[waypoint];
	int place = -1;

	for (int i = 0; i < WAYPOINT_WAITS; i++) {
		int any = (wait->serial + i) % WAYPOINT_WAITS;

		if (!waits[any].made || now >= waits[any].until)
			place = any;
		else if (!((wait->prefix ^ waits[any].prefix) & wait->mask & waits[any].mask))
			return -1;
	}
	if (place >= 0)
		waits[place] = *wait;
	return place;
}

bool wmodel_know(struct wmodel *model, int initiator, int waypoint, struct wmodel_responder to,
		 __u64 now)
{
	struct wmodel_entry *entry = &model->entry[initiator][waypoint];

	if (wmodel_is_live(model, entry, now)) {
		if (!same(entry->to, to))
			return false;
		entry->fresh = now + model->fresh_ns;
		return true;
	}
	if (!entry->made && entries(model) >= model->room)
		return false;
	make_entry(model, entry, to, now);
	return true;
}

void wmodel_sweep(struct wmodel *model, __u64 now)
{
	each_pair(i, w)
	{
		if (!wmodel_is_live(model, &model->entry[i][w], now))
			model->entry[i][w].made = false;
		if (model->reject[i][w].until <= now)
			model->reject[i][w].made = false;
	}
}

/* ---- time */

static void sooner(__u64 *next, __u64 now, __u64 time)
{
	if (time > now && time < *next)
		*next = time;
}

__u64 wmodel_next(const struct wmodel *model, __u64 now)
{
	__u64 next = ~0ull;

	each_pair(i, w)
	{
		if (model->entry[i][w].made)
			sooner(&next, now, entry_end(model, &model->entry[i][w]));
		sooner(&next, now, model->reject[i][w].from);
		sooner(&next, now, model->reject[i][w].until);
	}
	for (int w = 0; w < WMODEL_WAYPOINTS; w++)
		for (int i = 0; i < WAYPOINT_WAITS; i++)
			sooner(&next, now, model->wait[w][i].until);
	for (int i = 0; i < WMODEL_INITIATORS; i++) {
		const struct wmodel_source *source = &model->source[i];

		sooner(&next, now, source->second + S);
		sooner(&next, now, source->penalty);
		sooner(&next, now, source->bound + WAYPOINT_EXEMPT_S * S);
		sooner(&next, now, source->bound + WAYPOINT_PENALTY_GAP_S * S);
	}
	return next;
}

__u64 wmodel_earlier(__u64 time, __u64 by)
{
	return time > by ? time - by : !!time;
}

static void shift(__u64 *time, __u64 by)
{
	*time = wmodel_earlier(*time, by);
}

void wmodel_shift(struct wmodel *model, __u64 by)
{
	each_pair(i, w)
	{
		struct wmodel_entry *entry = &model->entry[i][w];

		shift(&entry->seen, by);
		shift(&entry->fresh, by);
		each_conn(a, b) shift(&entry->conn[a][b].seen, by);
		shift(&model->reject[i][w].from, by);
		shift(&model->reject[i][w].until, by);
	}
	for (int w = 0; w < WMODEL_WAYPOINTS; w++)
		for (int i = 0; i < WAYPOINT_WAITS; i++)
			shift(&model->wait[w][i].until, by);
	for (int i = 0; i < WMODEL_INITIATORS; i++) {
		shift(&model->source[i].bound, by);
		shift(&model->source[i].second, by);
		shift(&model->source[i].penalty, by);
	}
}
