// SPDX-License-Identifier: GPL-3.0-or-later
/* Packets that wait for their owner; maps/portarp.h tells how no packet is lost or overtaken. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hold.h"

#define SETTLE_TRIES 64

void hold_send(struct agent *agent, const struct shared *shared, const uint8_t mac[6], bool own,
	       uint8_t *frame, size_t len)
{
	struct frame_turn turn = frame_turn(agent->role, own);

	if (frame_prepare(frame, len, turn, mac, shared->record.src_mac)) {
		agent->counter[COUNT_DROPPED]++;
		return;
	}
	if (agent->send(agent, shared->record.ifindex, frame, len))
		agent->counter[COUNT_SEND_FAILED]++;
	else
		agent->counter[COUNT_SENT]++;
}

/* ---- queues */

static struct waiting *waiting_of(struct agent *agent, uint32_t owner)
{
	struct place *place = &agent->table.place[owner];
	struct waiting *waiting = place->waiting;

	if (waiting)
		return waiting;
	waiting = calloc(1, sizeof(*waiting));
	if (!waiting)
		return NULL;
	waiting->owner = owner;
	TAILQ_INIT(&waiting->queue);
	TAILQ_INSERT_TAIL(&agent->waitings, waiting, link);
	place->waiting = waiting;
	agent_arm(agent);
	return waiting;
}

static void waiting_free(struct agent *agent, struct waiting *waiting)
{
	TAILQ_REMOVE(&agent->waitings, waiting, link);
	agent->table.place[waiting->owner].waiting = NULL;
	free(waiting);
}

static void held_remove(struct agent *agent, struct waiting *waiting, struct held *held)
{
	TAILQ_REMOVE(&waiting->queue, held, link);
	agent->held_bytes -= held->len;
	agent->held_packets--;
}

static struct held *held_add(struct agent *agent, struct waiting *waiting, const uint8_t *frame,
			     size_t len)
{
	struct held *held = NULL;

	if (len <= UINT16_MAX && agent->held_bytes + len <= HOLD_BYTES_MAX)
		held = calloc(1, sizeof(*held) + len);
	if (!held)
		return NULL;
	held->since_ms = waiting->came_ms = agent->clock_ms();
	held->len = len;
	memcpy(held->frame, frame, len);
	TAILQ_INSERT_TAIL(&waiting->queue, held, link);
	agent->held_bytes += len;
	agent->held_packets++;
	waiting->idle_ms = 0;
	return held;
}

static void ask(struct agent *agent, const struct shared *shared, uint32_t owner, uint16_t port)
{
	struct place *place = &agent->table.place[owner];
	uint64_t now = agent->clock_ms();

	if (place->asked_ms && now - place->asked_ms < HOLD_ASK_MS)
		return;
	place->asked_ms = now;
	agent_ask(agent, shared, table_port_of(&agent->table, owner, port), NULL);
}

/* ---- the answer */

static void send_all(struct agent *agent, const struct shared *shared, struct waiting *waiting)
{
	struct held *held;

	while ((held = TAILQ_FIRST(&waiting->queue))) {
		hold_send(agent, shared, waiting->mac, held->own, held->frame, held->len);
		waiting->sent += held->counted;
		held_remove(agent, waiting, held);
		free(held);
	}
}

/*
 * True if the owner is KNOWN, and `waiting` gone. A count that is too high may be that of a program
 * which is about to take it back, so a few tries; else more have come, and their events will.
 */
static bool settle(struct agent *agent, struct waiting *waiting)
{
	const struct shared *shared = agent->table.place[waiting->owner].shared;
	uint64_t *word = table_word(&agent->table, waiting->owner);

	send_all(agent, shared, waiting);
	for (int i = 0; i < SETTLE_TRIES; i++) {
		if (owner_settle(word, waiting->mac, waiting->flags, waiting->sent)) {
			waiting_free(agent, waiting);
			return true;
		}
	}
	return false;
}

void hold_answer(struct agent *agent, uint32_t owner, const uint8_t mac[6], uint16_t flags)
{
	struct place *place = &agent->table.place[owner];
	uint64_t *word = table_word(&agent->table, owner);
	struct waiting *waiting;

	if (!place->waiting && owner_settle(word, mac, flags, 0))
		return;
	waiting = waiting_of(agent, owner);
	if (!waiting)
		return;
	memcpy(waiting->mac, mac, 6);
	waiting->flags = flags;
	waiting->answered = true;
	settle(agent, waiting);
}

/* ---- packets */

/* The owner has become known, or has gone, since the event was made. */
static bool serve_at_once(struct agent *agent, const struct shared *shared, uint32_t owner,
			  bool own, const uint8_t *frame, size_t len)
{
	union owner_word now = owner_load(table_word(&agent->table, owner));
	uint8_t *copy;

	if (now.owner.wait & PORTARP_OWNER_NONE) {
		agent->counter[COUNT_DROPPED]++;
		return true;
	}
	if (!(now.owner.wait & PORTARP_OWNER_KNOWN))
		return false;
	copy = malloc(len);
	if (copy) {
		memcpy(copy, frame, len);
		hold_send(agent, shared, now.owner.mac, own, copy, len);
	}
	free(copy);
	return true;
}

/*
 * Queues a packet; `counted` if its owner's word counts it. False: the packet is done with, sent or
 * dropped.
 */
static bool queue_packet(struct agent *agent, const struct shared *shared, uint32_t owner,
			 const struct portarp_event *event, bool counted, const uint8_t *frame,
			 size_t len)
{
	struct waiting *waiting = agent->table.place[owner].waiting;
	struct held *held;

	if (!waiting &&
	    serve_at_once(agent, shared, owner, event->kind == PORTARP_EVENT_HELD_OWN, frame, len))
		return false;
	waiting = waiting_of(agent, owner);
	held = waiting ? held_add(agent, waiting, frame, len) : NULL;
	if (!held) {
		agent->counter[COUNT_DROPPED]++;
		return false;
	}
	held->counted = counted;
	held->port = ntohs(event->port);
	held->ifindex = event->ifindex;
	held->own = event->kind == PORTARP_EVENT_HELD_OWN;
	if (waiting->answered)
		settle(agent, waiting);
	else
		ask(agent, shared, owner, held->port);
	return true;
}

void hold_packet(struct agent *agent, const struct portarp_event *event, const uint8_t *frame,
		 size_t len)
{
	const struct shared *shared;
	uint32_t owner;

	if (event->owner >= agent->maps.owner.count)
		return;
	agent->counter[COUNT_HELD]++;
	shared = agent->table.place[event->owner].shared;
	if (!shared || shared->addr_be != event->addr) {
		agent->counter[COUNT_DROPPED]++;
		owner_subtract(table_word(&agent->table, event->owner), 1);
		return;
	}
	owner = table_owner_now(&agent->table, shared, event->owner, ntohs(event->port));
	if (!queue_packet(agent, shared, owner, event, owner == event->owner, frame, len) ||
	    owner != event->owner)
		owner_subtract(table_word(&agent->table, event->owner), 1);
}

void hold_fragment(struct agent *agent, uint32_t owner, uint32_t ifindex, bool own,
		   const uint8_t *frame, size_t len)
{
	struct waiting *waiting = waiting_of(agent, owner);
	struct held *held = waiting ? held_add(agent, waiting, frame, len) : NULL;

	if (!held) {
		agent->counter[COUNT_DROPPED]++;
		return;
	}
	held->ifindex = ifindex;
	held->own = own;
}

static void drop_queue(struct agent *agent, struct waiting *waiting, uint64_t before_ms,
		       enum agent_counter counter)
{
	struct held *held;
	unsigned int counted = 0;

	while ((held = TAILQ_FIRST(&waiting->queue)) && held->since_ms <= before_ms) {
		counted += held->counted;
		agent->counter[counter]++;
		held_remove(agent, waiting, held);
		free(held);
	}
	owner_subtract(table_word(&agent->table, waiting->owner), counted);
}

void hold_drop(struct agent *agent, uint32_t owner)
{
	struct waiting *waiting = agent->table.place[owner].waiting;

	if (!waiting)
		return;
	drop_queue(agent, waiting, UINT64_MAX, COUNT_DROPPED);
	owner_subtract(table_word(&agent->table, owner), waiting->sent);
	waiting_free(agent, waiting);
}

void hold_transfer(struct agent *agent, uint32_t from, uint32_t to, uint16_t low, uint16_t high)
{
	struct waiting *source = agent->table.place[from].waiting;
	struct waiting *target = source ? waiting_of(agent, to) : NULL;
	unsigned int counted = 0;
	struct helds moved;
	struct held *held, *next;

	if (!target)
		return;
	TAILQ_INIT(&moved);
	for (held = TAILQ_FIRST(&source->queue); held; held = next) {
		next = TAILQ_NEXT(held, link);
		if (held->port < low || held->port > high)
			continue;
		TAILQ_REMOVE(&source->queue, held, link);
		counted += held->counted;
		held->counted = false;
		TAILQ_INSERT_TAIL(&moved, held, link);
	}
	/* They came before whatever waits for the new owner already. */
	TAILQ_CONCAT(&moved, &target->queue, link);
	TAILQ_CONCAT(&target->queue, &moved, link);
	owner_subtract(table_word(&agent->table, from), counted);
	if (TAILQ_EMPTY(&source->queue) && !source->answered && !source->sent)
		waiting_free(agent, source);
}

/* ---- time */

/*
 * Nothing is held, yet the word counts some: their events were lost, or an agent before this one
 * had them. They are given up when the word has not changed.
 */
static void give_up_lost(struct agent *agent, struct waiting *waiting, uint64_t now_ms,
			 uint64_t after_ms)
{
	uint64_t *word = table_word(&agent->table, waiting->owner);
	union owner_word now = owner_load(word);
	unsigned int lost = owner_waiting(now) - waiting->sent;

	if (!waiting->idle_ms) {
		waiting->idle_ms = now_ms;
		return;
	}
	if (now_ms - waiting->idle_ms < after_ms)
		return;
	if (waiting->answered) {
		if (!owner_settle_lost(word, waiting->mac, waiting->flags, now.word))
			return;
	} else {
		owner_subtract(word, owner_waiting(now));
	}
	agent->counter[COUNT_LOST] += lost;
	waiting_free(agent, waiting);
}

static void tick_one(struct agent *agent, struct waiting *waiting, uint64_t now_ms)
{
	const struct shared *shared = agent->table.place[waiting->owner].shared;
	uint64_t *word = table_word(&agent->table, waiting->owner);
	const struct held *held;

	if (waiting->answered) {
		if (!settle(agent, waiting))
			give_up_lost(agent, waiting, now_ms, HOLD_LOST_MS);
		return;
	}
	if (now_ms >= HOLD_MS)
		drop_queue(agent, waiting, now_ms - HOLD_MS, COUNT_UNANSWERED);
	held = TAILQ_FIRST(&waiting->queue);
	if (held && shared)
		ask(agent, shared, waiting->owner, held->port);
	else if (!owner_waiting(owner_load(word)))
		waiting_free(agent, waiting);
	else
		give_up_lost(agent, waiting, now_ms, HOLD_MS);
}

bool hold_tick(struct agent *agent)
{
	uint64_t now_ms = agent->clock_ms();
	struct waiting *waiting, *next;

	for (waiting = TAILQ_FIRST(&agent->waitings); waiting; waiting = next) {
		next = TAILQ_NEXT(waiting, link);
		tick_one(agent, waiting, now_ms);
	}
	return !TAILQ_EMPTY(&agent->waitings);
}

void hold_watch(struct agent *agent, uint32_t owner)
{
	if (owner_waiting(owner_load(table_word(&agent->table, owner))))
		waiting_of(agent, owner);
}

void hold_free(struct agent *agent)
{
	struct waiting *waiting;

	while ((waiting = TAILQ_FIRST(&agent->waitings))) {
		struct held *held;

		while ((held = TAILQ_FIRST(&waiting->queue))) {
			held_remove(agent, waiting, held);
			free(held);
		}
		waiting_free(agent, waiting);
	}
}
