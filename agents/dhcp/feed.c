// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "../lib/msg.h"
#include "feed.h"

#define WINDOW	    32	 /* requests without an answer */
#define QUEUE	    4096 /* changes that wait; more, and all is told again */
#define ANSWER_MS   5000
#define RETRY_S	    1  /* connecting */
#define AGAIN_S	    10 /* all again, after a refusal */
#define REPLAY_MOST 512

/* A copy, because the lease may be another client's before it is delivered. */
struct op {
	bool release, has_range;
	uint32_t address;
	struct portset set;
	struct portarp_range range;
	uint8_t mac[DHCP_MAC];
	int64_t expires;
	unsigned int tries;
};

/* One that was sent and has no answer yet. */
struct flight {
	struct feed *feed;
	struct op op;
	bool used;
};

struct feed {
	struct event_base *base;
	struct server *server;
	struct msg_conn *conn;
	struct event *timer; /* every second: connects, asks for use, tells again */
	struct op queue[QUEUE];
	unsigned int head, count;
	struct flight flight[WINDOW];
	unsigned int flying;
	bool replaying, refused;
	uint32_t cursor; /* leases.all, while replaying */
	unsigned int seconds;
	int64_t skip; /* sets whose use is known of those that are asked for */
	bool warned;
	struct feed_counters counters;
};

static void pump(struct feed *feed);

static int64_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}

/* ---- messages */

static json_t *op_message(const struct op *op, int64_t now)
{
	char ip[16], mac[18];
	json_t *m = json_pack("{s:s, s:s, s:s}", "op", op->release ? "release" : "lease", "address",
			      pool_ip_text(op->address, ip), "mac", pool_mac_text(op->mac, mac));

	if (m && op->has_range) {
		json_object_set_new(m, "low", json_integer(op->range.low));
		json_object_set_new(m, "high", json_integer(op->range.high));
	} else if (m) {
		json_object_set_new(m, "a", json_integer(op->set.a));
		json_object_set_new(m, "k", json_integer(op->set.k));
		json_object_set_new(m, "psid", json_integer(op->set.psid));
	}
	if (m && !op->release)
		json_object_set_new(m, "seconds", json_integer(op->expires - now));
	return m;
}

static void mark_told(struct feed *feed, const struct op *op)
{
	struct lease *lease = leases_get(&feed->server->leases, op->address, &op->set);

	if (!lease || op->has_range || memcmp(lease->client.mac, op->mac, DHCP_MAC))
		return;
	if (op->release && lease->state > LEASE_BOUND)
		leases_told(&feed->server->leases, lease);
	else if (!op->release && lease->state == LEASE_BOUND)
		lease->told = true; /* bound ones are all told again after a restart */
}

static void push(struct feed *feed, const struct op *op)
{
	if (feed->count == QUEUE) {
		feed->counters.lost++;
		feed_replay(feed);
		return;
	}
	feed->queue[(feed->head + feed->count++) % QUEUE] = *op;
}

/* ---- what the gateway answers */

static bool entry_overlaps(const json_t *entry, const struct op *op)
{
	int64_t psid, low, high;

	if (!op->has_range)
		return msg_get_integer(entry, "psid", 0, 65535, &psid) && psid == op->set.psid;
	return msg_get_integer(entry, "low", 0, 65535, &low) &&
	       msg_get_integer(entry, "high", low, 65535, &high) && low <= op->range.high &&
	       high >= op->range.low;
}

/* Another MAC has what the database gives to this one: it is released, then ours told again. */
static void on_holders(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct flight *flight = arg;
	struct feed *feed = flight->feed;
	struct op op = flight->op, other = op;
	const char *text;
	json_t *entry;
	size_t i;

	(void)conn;
	flight->used = false;
	feed->flying--;
	json_array_foreach (json_object_get(answer, "sets"), i, entry) {
		if (!msg_get_string(entry, "mac", &text) || !pool_parse_mac(text, other.mac) ||
		    !entry_overlaps(entry, &op) || !memcmp(other.mac, op.mac, DHCP_MAC))
			continue;
		other.release = true;
		push(feed, &other);
	}
	if (op.expires > now_s() && op.tries++ < 3)
		push(feed, &op);
	pump(feed);
}

static void on_added(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct flight *flight = arg;
	struct feed *feed = flight->feed;

	(void)conn;
	(void)answer;
	flight->used = false;
	feed->flying--;
	if (flight->op.tries++ < 3)
		push(feed, &flight->op);
	pump(feed);
}

/* Sends what mends a refusal; false if nothing does. The flight is used on. */
static bool mend(struct feed *feed, struct flight *flight, const char *error)
{
	const struct op *op = &flight->op;
	char ip[16];

	pool_ip_text(op->address, ip);
	if (!strcmp(error, "taken") && !op->release && op->tries < 3) {
		feed->counters.taken++;
		return !msg_request(feed->conn,
				    json_pack("{s:s, s:s}", "op", "usage", "address", ip),
				    ANSWER_MS, on_holders, flight);
	}
	if (!strcmp(error, "unknown-address") && !op->release && op->tries < 3 &&
	    feed->server->settings.add_addresses)
		return !msg_request(feed->conn,
				    json_pack("{s:s, s:s, s:i, s:i}", "op", "address-add",
					      "address", ip, "a", op->set.a, "k", op->set.k),
				    ANSWER_MS, on_added, flight);
	return false;
}

static void on_refused(struct feed *feed, const struct op *op, const json_t *answer,
		       const char *error)
{
	const char *text = "";
	char ip[16];

	/* What is unknown there needs no release. */
	if (op->release && (!strcmp(error, "unknown-address") || !strcmp(error, "taken"))) {
		mark_told(feed, op);
		return;
	}
	msg_get_string(answer, "text", &text);
	feed->counters.refused++;
	if (!feed->refused)
		log_warn("the gateway refuses %s: %s: %s; it will be told again",
			 pool_ip_text(op->address, ip), error, text);
	feed->refused = true;
}

static void on_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	struct flight *flight = arg;
	struct feed *feed = flight->feed;
	const char *error = "";
	bool good = false;

	(void)conn;
	if (!answer) { /* not delivered: all is told again with the next connection */
		flight->used = false;
		feed->flying--;
		feed->refused = true;
		return;
	}
	msg_get_bool(answer, "ok", &good);
	msg_get_string(answer, "error", &error);
	if (!good && mend(feed, flight, error))
		return;
	flight->used = false;
	feed->flying--;
	if (good) {
		*(flight->op.release ? &feed->counters.releases : &feed->counters.leases) += 1;
		mark_told(feed, &flight->op);
	} else {
		on_refused(feed, &flight->op, answer, error);
	}
	pump(feed);
}

static struct flight *free_flight(struct feed *feed)
{
	for (int i = 0; i < WINDOW; i++)
		if (!feed->flight[i].used)
			return &feed->flight[i];
	return NULL;
}

/* ---- what is told */

static const struct pool_host *host_of(const struct feed *feed, const struct lease *lease)
{
	const struct pool_host *host = pools_host(&feed->server->pools, lease->client.mac,
						  lease->client.id, lease->client.id_len);

	return host && host->ranges && (!host->address || host->address == lease->address) ? host
											   : NULL;
}

/* Ports beside the set go when the host has no lease of the address any more. */
static bool keeps_ranges(const struct feed *feed, const struct lease *lease, int64_t now)
{
	for (struct lease *l = leases_of_mac(&feed->server->leases, lease->client.mac); l;
	     l = l->next_mac)
		if (l != lease && l->address == lease->address && l->state == LEASE_BOUND &&
		    lease_active(l, now) && !memcmp(l->client.mac, lease->client.mac, DHCP_MAC))
			return true;
	return false;
}

static void tell(struct feed *feed, const struct lease *lease, bool release)
{
	const struct pool_host *host = host_of(feed, lease);
	struct op op = { .release = release, .address = lease->address, .set = lease->set };
	int64_t now = now_s();

	if (lease->pool->full)
		return;
	memcpy(op.mac, lease->client.mac, DHCP_MAC);
	/* The gateway keeps it as long as nobody else may have it. */
	op.expires = lease->expires + feed->server->leases.grace_s;
	push(feed, &op);
	if (!host || (release && keeps_ranges(feed, lease, now)))
		return;
	op.has_range = true;
	for (unsigned int i = 0; i < host->ranges; i++) {
		op.range = host->range[i];
		push(feed, &op);
	}
}

void feed_changed(struct feed *feed, enum server_change change, const struct lease *lease)
{
	tell(feed, lease, change == SERVER_FREED);
	pump(feed);
}

/* A part of the leases, as far as the queue has room. */
static void replay_some(struct feed *feed)
{
	const struct leases *leases = &feed->server->leases;
	unsigned int most = REPLAY_MOST;

	while (feed->cursor < leases->count && most-- && feed->count < QUEUE - 2 * DHCP_RANGES) {
		const struct lease *lease = leases->all[feed->cursor++];

		if (lease->state == LEASE_BOUND)
			tell(feed, lease, false);
		else if (lease->state > LEASE_BOUND && !lease->told)
			tell(feed, lease, true);
	}
	feed->replaying = feed->cursor < leases->count;
}

static bool send_one(struct feed *feed)
{
	struct flight *flight = free_flight(feed);
	struct op op;

	if (!flight || !feed->count)
		return false;
	op = feed->queue[feed->head];
	feed->head = (feed->head + 1) % QUEUE;
	feed->count--;
	if (!op.release && op.expires <= now_s())
		return true;
	*flight = (struct flight){ feed, op, true };
	feed->flying++;
	if (!msg_request(feed->conn, op_message(&op, now_s()), ANSWER_MS, on_answer, flight))
		return true;
	flight->used = false;
	feed->flying--;
	feed->refused = true;
	return false;
}

static void pump(struct feed *feed)
{
	if (!feed->conn || !msg_conn_is_open(feed->conn))
		return;
	if (feed->replaying && feed->count < WINDOW)
		replay_some(feed);
	while (send_one(feed))
		;
}

void feed_replay(struct feed *feed)
{
	feed->replaying = true;
	feed->cursor = 0;
}

/* ---- use */

static void take_use(struct feed *feed, const json_t *entry)
{
	int64_t a, k, psid, tcp = 0, udp = 0;
	struct lease *lease;
	struct portset set;
	const char *text;
	uint32_t address;

	if (!msg_get_string(entry, "address", &text) || !pool_parse_ip(text, &address) ||
	    !msg_get_integer(entry, "a", 0, 15, &a) || !msg_get_integer(entry, "k", 0, 16, &k) ||
	    !msg_get_integer(entry, "psid", 0, 65535, &psid) ||
	    !msg_get_integer(entry, "used_tcp", 0, 65536, &tcp) ||
	    !msg_get_integer(entry, "used_udp", 0, 65536, &udp))
		return;
	set = (struct portset){ a, k, psid };
	lease = portset_valid(&set) ? leases_get(&feed->server->leases, address, &set) : NULL;
	if (!lease)
		return;
	lease->used = tcp > udp ? tcp : udp;
	lease->used_known = true;
}

static void ask_use(struct feed *feed, int64_t skip);

/* An answer holds the first sets from where we want them and how many more there are. */
static void on_usage(struct msg_conn *conn, json_t *answer, void *arg)
{
	const json_t *sets = json_object_get(answer, "sets");
	struct feed *feed = arg;
	json_t *entry;
	int64_t more;
	size_t i;

	(void)conn;
	json_array_foreach (sets, i, entry)
		take_use(feed, entry);
	feed->skip += json_array_size(sets);
	if (json_array_size(sets) && msg_get_integer(answer, "more", 1, INT64_MAX, &more))
		ask_use(feed, feed->skip);
}

static void ask_use(struct feed *feed, int64_t skip)
{
	feed->skip = skip;
	if (feed->conn)
		msg_request(feed->conn,
			    json_pack("{s:s, s:I}", "op", "usage", "skip", (json_int_t)skip),
			    ANSWER_MS, on_usage, feed);
}

/* ---- the connection */

static void on_opened(struct msg_conn *conn, void *arg)
{
	struct feed *feed = arg;

	(void)conn;
	feed->counters.connects++;
	feed->warned = false;
	log_info("gateway connected: all leases are told");
	feed_replay(feed);
	pump(feed);
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	(void)conn;
	(void)message;
	(void)arg;
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct feed *feed = arg;

	(void)conn;
	feed->conn = NULL;
	log_warn("gateway left: %s; leases are told when it is back", why);
}

static void connect_gateway(struct feed *feed)
{
	static const struct msg_handler handler = { on_opened, on_message, on_closed };
	const char *path = feed->server->settings.portarp;

	feed->conn = msg_connect_unix(feed->base, path, &handler, feed);
	if (!feed->conn && !feed->warned)
		log_warn("no gateway on %s: %s; leases are told when it is there", path,
			 strerror(errno));
	feed->warned = true;
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct feed *feed = arg;
	unsigned int interval = feed->server->settings.usage_interval;

	(void)fd;
	(void)what;
	feed->seconds++;
	if (!feed->conn && feed->seconds % RETRY_S == 0)
		connect_gateway(feed);
	if (!feed->conn || !msg_conn_is_open(feed->conn))
		return;
	if (interval && feed->seconds % interval == 0)
		ask_use(feed, 0);
	if (feed->refused && feed->seconds % AGAIN_S == 0) {
		feed->refused = false;
		feed_replay(feed);
	}
	pump(feed);
}

struct feed *feed_new(struct event_base *base, struct server *server)
{
	const struct timeval second = { .tv_sec = 1 };
	struct feed *feed = calloc(1, sizeof(*feed));

	if (!feed)
		return NULL;
	feed->base = base;
	feed->server = server;
	feed->timer = event_new(base, -1, EV_PERSIST, on_second, feed);
	if (!feed->timer || event_add(feed->timer, &second)) {
		feed_free(feed);
		return NULL;
	}
	connect_gateway(feed);
	return feed;
}

void feed_free(struct feed *feed)
{
	if (!feed)
		return;
	if (feed->conn)
		msg_conn_free(feed->conn);
	if (feed->timer)
		event_free(feed->timer);
	free(feed);
}

bool feed_connected(const struct feed *feed)
{
	return feed && feed->conn && msg_conn_is_open(feed->conn);
}

unsigned int feed_waiting(const struct feed *feed)
{
	return feed ? feed->count + feed->flying : 0;
}

const struct feed_counters *feed_counters(const struct feed *feed)
{
	return &feed->counters;
}
