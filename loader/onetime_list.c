// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus onetime list`, `addresses` and `sockstat`: what `netstat` and `sockstat` tell (IV). */
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "address.h"
#include "onetime.h"
#include "walk.h"

static const char *const state_words[] = {
	[ONETIME_STATE_FREE] = "FREE",	     [ONETIME_STATE_RESERVED] = "UNCERTAIN",
	[ONETIME_STATE_PENDING] = "PENDING", [ONETIME_STATE_TAKING] = "CLAIMED",
	[ONETIME_STATE_CLAIMED] = "CLAIMED", [ONETIME_STATE_LIVE] = "LIVE",
	[ONETIME_STATE_CLOSING] = "CLOSING", [ONETIME_STATE_DEAD] = "DEAD",
};

static const char *state_text(uint32_t state)
{
	return state < COUNT_OF(state_words) ? state_words[state] : "unknown";
}

static const char *use_text(unsigned int use)
{
	static const char *const text[] = {
		[ONETIME_SSA] = "ssa",
		[ONETIME_EA] = "ea",
		[ONETIME_MANY] = "many",
	};

	return use && use < COUNT_OF(text) ? text[use] : "unknown";
}

static const char *proto_text(const struct isthmus_addr *address, unsigned int proto)
{
	bool v4 = address && address_is_v4(address);

	switch (proto) {
	case IPPROTO_TCP:
		return !address ? "tcp" : v4 ? "tcp4" : "tcp6";
	case IPPROTO_UDP:
		return !address ? "udp" : v4 ? "udp4" : "udp6";
	default:
		return NULL;
	}
}

struct list {
	const struct output *output;
	uint64_t now_ns;
};

static void print_age(const struct list *list, const struct onetime_addr *addr)
{
	bool known = addr->since_ns && addr->since_ns <= list->now_ns;

	list->output->seconds("age",
			      known ? (int64_t)((list->now_ns - addr->since_ns) / ONETIME_NS_PER_S)
				    : OUTPUT_UNKNOWN);
}

/* Until an address' state ends by itself. */
static void print_left(const struct list *list, const struct onetime_addr *addr, uint32_t state)
{
	bool udp = state == ONETIME_STATE_LIVE && addr->proto == IPPROTO_UDP;
	bool ends = state == ONETIME_STATE_PENDING || state == ONETIME_STATE_CLAIMED ||
		    state == ONETIME_STATE_CLOSING || (udp && addr->use != ONETIME_MANY);

	if (addr->until_ns == ONETIME_UNTIL_CLOSE || addr->until_ns < list->now_ns)
		ends = false;
	list->output->seconds("left",
			      ends ? (int64_t)((addr->until_ns - list->now_ns) / ONETIME_NS_PER_S)
				   : OUTPUT_UNKNOWN);
}

static void print_listener(const struct list *list, const struct onetime_addr *addr)
{
	char number[12];

	snprintf(number, sizeof(number), "%u", addr->listener);
	list->output->text("listener", addr->use == ONETIME_EA ? NULL : number);
}

/* ---- list */

static bool is_session(const struct onetime_addr *addr, uint32_t state)
{
	return addr->use != ONETIME_MANY && state >= ONETIME_STATE_CLAIMED &&
	       state < ONETIME_STATE_DEAD;
}

static void session_each(const void *key, const void *value, void *arg)
{
	const struct onetime_addr *addr = value;
	const struct list *list = arg;
	const struct output *output = list->output;
	uint32_t state = onetime_state_at(addr, list->now_ns);

	if (!is_session(addr, state))
		return;
	output->record_start();
	output->text("proto", proto_text(key, addr->proto));
	output->endpoint("local", key, addr->port);
	output->endpoint("foreign", &addr->peer, addr->peer_port);
	output->text("state", state_text(state));
	output->text("use", use_text(addr->use));
	output->text("mode", onetime_mode_text(addr->mode));
	print_age(list, addr);
	print_left(list, addr, state);
	print_listener(list, addr);
	output->record_end();
}

/* Those of addresses that many sessions use: when they end is the kernel's matter. */
static void flow_each(const void *key, const void *value, void *arg)
{
	const struct onetime_flow_key *at = key;
	const struct onetime_flow *flow = value;
	const struct list *list = arg;
	const struct output *output = list->output;

	output->record_start();
	output->text("proto", proto_text(&at->addr, at->proto));
	output->endpoint("local", &at->addr, flow->port);
	output->endpoint("foreign", &at->peer, at->peer_port);
	output->text("state", "SHARED");
	output->text("use", use_text(ONETIME_MANY));
	output->text("mode", NULL);
	output->seconds("age", OUTPUT_UNKNOWN);
	output->seconds("left", OUTPUT_UNKNOWN);
	output->text("listener", NULL);
	output->record_end();
}

/* ---- addresses */

static void address_each(const void *key, const void *value, void *arg)
{
	const struct onetime_addr *addr = value;
	const struct list *list = arg;
	const struct output *output = list->output;
	uint32_t state = onetime_state_at(addr, list->now_ns);

	output->record_start();
	output->address("address", key);
	output->text("state", state_text(state));
	output->text("use", use_text(addr->use));
	output->text("mode", onetime_mode_text(addr->mode));
	output->number("pool", addr->pool);
	print_age(list, addr);
	print_left(list, addr, state);
	print_listener(list, addr);
	output->number("serial", addr->serial);
	output->record_end();
}

/* ---- sockstat */

struct sockets {
	struct list list;
	uint64_t now_ns;
	struct {
		struct onetime_listener listener;
		bool used;
		uint64_t prepared, pending, sessions;
	} of[ONETIME_LISTENERS];
};

static void count_each(const void *key, const void *value, void *arg)
{
	const struct onetime_addr *addr = value;
	struct sockets *sockets = arg;
	uint32_t state = onetime_state_at(addr, sockets->list.now_ns);

	(void)key;
	if (addr->use == ONETIME_EA || addr->listener >= ONETIME_LISTENERS)
		return;
	sockets->of[addr->listener].prepared += state == ONETIME_STATE_RESERVED;
	sockets->of[addr->listener].pending +=
		state == ONETIME_STATE_PENDING || addr->use == ONETIME_MANY;
	sockets->of[addr->listener].sessions += is_session(addr, state);
}

/* Whose process it is: NULL if it has ended. */
static const char *user_of(uint32_t pid, char text[32])
{
	const struct passwd *user;
	struct stat process;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%u", pid);
	if (stat(path, &process))
		return NULL;
	user = getpwuid(process.st_uid);
	if (user)
		snprintf(text, 32, "%.31s", user->pw_name);
	else
		snprintf(text, 32, "%u", process.st_uid);
	return text;
}

/* LISTEN0: it listens, but has no address that anybody could come to (III.B). Those that AUTO_SET
 * has prepared are some. */
static void print_socket(const struct output *output, const struct sockets *sockets, uint32_t i)
{
	const struct onetime_listener *listener = &sockets->of[i].listener;
	char user[32], local[16], command[17] = "", name[ONETIME_NAME + 1] = "";

	memcpy(command, listener->command, sizeof(listener->command));
	memcpy(name, listener->name, sizeof(listener->name));
	snprintf(local, sizeof(local), "*:%u", ntohs(listener->port));
	output->record_start();
	output->text("user", user_of(listener->pid, user));
	output->text("command", command);
	output->number("pid", listener->pid);
	output->number("fd", listener->fd);
	output->text("proto", proto_text(NULL, listener->proto));
	output->text("local", local);
	output->text("foreign", "*:*");
	output->text("state",
		     sockets->of[i].prepared || sockets->of[i].pending ? "LISTEN" : "LISTEN0");
	output->number("listener", i);
	output->text("mode", onetime_mode_text(listener->mode));
	output->number("pool", listener->pool);
	output->number("pending", sockets->of[i].pending);
	output->number("sessions", sockets->of[i].sessions);
	output->boolean("auto_set", listener->flags & ONETIME_LISTENER_AUTO_SET);
	output->boolean("das", listener->flags & ONETIME_LISTENER_DAS);
	output->number("backlog", listener->backlog);
	output->text("name", *name ? name : NULL);
	output->record_end();
}

static int sockets_read(const struct onetime_pins *pins, struct sockets *sockets)
{
	for (uint32_t i = 0; i < ONETIME_LISTENERS; i++) {
		if (bpf_map_lookup_elem(pins->listener, &i, &sockets->of[i].listener))
			return -errno;
		sockets->of[i].used = sockets->of[i].listener.flags & ONETIME_LISTENER_USED;
	}
	return walk_map(pins->addr, count_each, sockets);
}

static int sockstat(const struct output *output, const struct onetime_pins *pins)
{
	struct sockets *sockets = calloc(1, sizeof(*sockets));
	int err;

	if (!sockets)
		return -ENOMEM;
	sockets->list.now_ns = onetime_now_ns();
	err = sockets_read(pins, sockets);
	output->list_start("sockets");
	for (uint32_t i = 0; i < ONETIME_LISTENERS && !err; i++)
		if (sockets->of[i].used)
			print_socket(output, sockets, i);
	output->list_end();
	free(sockets);
	return err;
}

/* ---- the verbs */

static int sessions(const struct output *output, const struct onetime_pins *pins)
{
	struct list list = { .output = output, .now_ns = onetime_now_ns() };
	int err;

	output->list_start("sessions");
	err = walk_map(pins->addr, session_each, &list);
	if (!err)
		err = walk_map(pins->flow, flow_each, &list);
	output->list_end();
	return err;
}

static int addresses(const struct output *output, const struct onetime_pins *pins)
{
	struct list list = { .output = output, .now_ns = onetime_now_ns() };
	int err;

	output->list_start("addresses");
	err = walk_map(pins->addr, address_each, &list);
	output->list_end();
	return err;
}

/* A document of one list. */
static int read_out(const struct onetime_settings *wanted, const struct output *output,
		    int (*list)(const struct output *output, const struct onetime_pins *pins))
{
	const char *instance = wanted->common.instance;
	struct onetime_pins pins;
	int err = onetime_pins_open(instance, ONETIME_STEM, &pins);

	if (err)
		return complain_pins(err, instance, ONETIME_STEM);
	output->start();
	output->text("datapath", ONETIME_STEM);
	output->text("instance", instance);
	err = list(output, &pins);
	onetime_pins_close(&pins);
	return err ? complain_pins(err, instance, ONETIME_STEM) : EXIT_DONE;
}

int onetime_list(const void *settings, const struct output *output)
{
	return read_out(settings, output, sessions);
}

int onetime_addresses(const void *settings, const struct output *output)
{
	return read_out(settings, output, addresses);
}

int onetime_sockstat(const void *settings, const struct output *output)
{
	return read_out(settings, output, sockstat);
}
