// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Listeners. The sockmap keeps no socket open: one that its server closes is out of it at once. A
 * listener's end, by its socket or its process:
 *
 *   used ── socket or process ends ──► ending ── ONETIME_GRACE_S ──► swept ──► free
 *           out of the sockmap: its    no program   its addresses are deleted; free when
 *           addresses are refused      steps them   a whole pass found none that leads here
 */
#include <bpf/bpf.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "onetime.h"

uint32_t place_index(const struct onetime *o, const struct place *place)
{
	uint32_t index = 0;

	while (index < ONETIME_LISTENERS - 1 && o->place[index] != place)
		index++;
	return index;
}

int place_write(struct onetime *o, struct place *place)
{
	uint32_t index = place_index(o, place);

	return bpf_map_update_elem(o->map[MAP_LISTENER], &index, &place->record, BPF_ANY);
}

static bool sockmap_has(struct onetime *o, uint32_t index, uint64_t cookie)
{
	uint64_t there;

	return !bpf_map_lookup_elem(o->map[MAP_LISTEN], &index, &there) && there == cookie;
}

/* ---- the end */

void place_end(struct onetime *o, struct place *place)
{
	uint32_t index = place_index(o, place);

	if (place->ending)
		return;
	bpf_map_delete_elem(o->map[MAP_LISTEN], &index);
	place->ending = true;
	place->ending_ns = onetime_now_ns();
	place->record.name[0] = 0;
	place_write(o, place);
	if (place->ended)
		event_free(place->ended);
	place->ended = NULL;
	process_close(&place->process);
	o->counter.listeners_ended++;
	log_info("listener %u, %s[%u], has ended", index, place->record.command, place->record.pid);
}

void places_leave_pool(struct onetime *o, uint32_t number)
{
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++) {
		struct place *place = o->place[i];

		if (!place || place->record.pool != number)
			continue;
		place->record.pool = 0;
		place_write(o, place);
	}
}

static void forget(struct place *place)
{
	if (place->ended)
		event_free(place->ended);
	process_close(&place->process);
	free(place->prepared);
	free(place);
}

void place_free(struct onetime *o, struct place *place)
{
	static const struct onetime_listener none;
	uint32_t index = place_index(o, place);

	bpf_map_update_elem(o->map[MAP_LISTENER], &index, &none, BPF_ANY);
	o->place[index] = NULL;
	forget(place);
}

/* The maps keep them: without the agent they go on. */
void places_close(struct onetime *o)
{
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++)
		if (o->place[i])
			forget(o->place[i]);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct onetime *o = arg;

	(void)what;
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++)
		if (o->place[i] && o->place[i]->process.pidfd == fd) {
			place_end(o, o->place[i]);
			return;
		}
}

void places_check(struct onetime *o)
{
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++) {
		struct place *place = o->place[i];

		if (place && !place->ending && !sockmap_has(o, i, place->record.cookie))
			place_end(o, place);
	}
}

/* ---- the beginning */

static int watch(struct onetime *o, struct place *place)
{
	place->ended = event_new(o->base, place->process.pidfd, EV_READ, on_ended, o);
	return place->ended && !event_add(place->ended, NULL) ? 0 : -ENOMEM;
}

/* The place that was free for longest, so that a number means the same listener for long. */
static int find_free(const struct onetime *o)
{
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++) {
		uint32_t index = (o->place_next + i) % ONETIME_LISTENERS;

		if (!o->place[index])
			return (int)index;
	}
	return -ENOSPC;
}

static const char *explain(int err)
{
	switch (err) {
	case -EOPNOTSUPP:
		return "the kernel refuses this socket in a sockmap: only listening TCP (not "
		       "MPTCP) and bound UDP sockets can be used";
	case -EBUSY:
		return "a program of somebody else's has this socket";
	default:
		return strerror(-err);
	}
}

static int put_socket(struct onetime *o, uint32_t index, int fd)
{
	uint64_t value = (uint64_t)fd;

	return bpf_map_update_elem(o->map[MAP_LISTEN], &index, &value, BPF_ANY);
}

static struct place *make(const struct process *process, const struct process_socket *s,
			  const struct onetime_listener *record)
{
	struct place *place = calloc(1, sizeof(*place));

	if (!place)
		return NULL;
	place->record = *record;
	place->record.flags |= ONETIME_LISTENER_USED;
	place->record.pid = process->pid;
	place->record.started = process->started;
	memcpy(place->record.command, process->command, sizeof(place->record.command));
	place->record.cookie = s->cookie;
	place->record.inode = s->inode;
	place->record.port = s->port;
	place->record.proto = (uint8_t)s->proto;
	place->record.fd = s->number;
	place->process.pidfd = -1;
	return place;
}

struct place *place_new(struct onetime *o, struct process *process, const struct process_socket *s,
			const struct onetime_listener *record, struct ask_error *why)
{
	struct place *place = make(process, s, record);
	int err, index = find_free(o);

	if (!place || index < 0) {
		free(place);
		ask_refuse(why, "full", "%d listeners are the most", ONETIME_LISTENERS);
		return NULL;
	}
	o->place[index] = place;
	err = place_write(o, place);
	if (!err)
		err = put_socket(o, (uint32_t)index, s->fd);
	if (err) {
		place_free(o, place);
		ask_refuse(why, "failed", "pid %u fd %u: %s", process->pid, s->number,
			   explain(err));
		return NULL;
	}
	place->process = *process;
	process->pidfd = -1;
	if (watch(o, place))
		log_warn("listener %d: its process' end is not watched", index);
	o->place_next = (uint32_t)index + 1;
	o->counter.listeners++;
	return place;
}

int place_keep(struct place *place, const struct isthmus_addr *address)
{
	if (place->prepared_count == place->prepared_size) {
		uint32_t size = place->prepared_size ? 2 * place->prepared_size : 64;
		struct isthmus_addr *more = realloc(place->prepared, size * sizeof(*more));

		if (!more)
			return -ENOMEM;
		place->prepared = more;
		place->prepared_size = size;
	}
	place->prepared[place->prepared_count++] = *address;
	return 0;
}

/* ---- after a restart of the agent */

/* Its process may have ended meanwhile, and another have its pid. */
static int restore(struct onetime *o, uint32_t index, const struct onetime_listener *record)
{
	struct place *place = calloc(1, sizeof(*place));
	int err;

	if (!place)
		return -ENOMEM;
	o->place[index] = place;
	place->record = *record;
	place->process.pidfd = -1;
	err = process_open(record->pid, &place->process);
	if (err || place->process.started != record->started ||
	    !sockmap_has(o, index, record->cookie))
		place_end(o, place);
	else
		err = watch(o, place);
	return err == -ENOMEM ? err : 0;
}

int places_restore(struct onetime *o)
{
	struct onetime_listener record;
	int err = 0;

	for (uint32_t i = 0; i < ONETIME_LISTENERS && !err; i++)
		if (!bpf_map_lookup_elem(o->map[MAP_LISTENER], &i, &record) &&
		    record.flags & ONETIME_LISTENER_USED)
			err = restore(o, i, &record);
	return err;
}

/* ---- which */

struct place *place_by_cookie(struct onetime *o, uint64_t cookie)
{
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++)
		if (o->place[i] && !o->place[i]->ending && o->place[i]->record.cookie == cookie)
			return o->place[i];
	return NULL;
}

static bool is_number(const char *word)
{
	size_t i = 0;

	while (isdigit((unsigned char)word[i]))
		i++;
	return i && i < 11 && !word[i];
}

/* A number is a pid: names are none. */
struct place *place_named(struct onetime *o, const char *word, struct ask_error *why)
{
	uint32_t pid = is_number(word) ? (uint32_t)strtoul(word, NULL, 10) : 0;
	struct place *found = NULL;
	unsigned int count = 0;

	/* "" is no name, though that of listeners that have none */
	for (uint32_t i = 0; i < ONETIME_LISTENERS && word[0]; i++) {
		struct place *place = o->place[i];

		if (!place || place->ending ||
		    (pid ? place->record.pid != pid : strcmp(place->record.name, word) != 0))
			continue;
		found = place;
		count++;
	}
	if (count == 1)
		return found;
	if (count)
		ask_refuse(why, "several", "pid %u has %u listeners: give it by name", pid, count);
	else
		ask_refuse(why, "unknown",
			   "no listener has the %s %.40s; see isthmus-onetime status",
			   pid ? "pid" : "name", word);
	return NULL;
}
