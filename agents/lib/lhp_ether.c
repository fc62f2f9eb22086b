// SPDX-License-Identifier: GPL-3.0-or-later
/* The provider "ether": places, the life of a connection from its making to closed(), and its
 * times. */
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/crypto.h>

#include "lhp_ether.h"

#define ROUNDS 4 /* of writable() and sending, in one turn */

static const struct lhp_ops ops;

static struct ether *of(struct lhp *lhp)
{
	return (struct ether *)lhp;
}

/* ---- making and ending */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ether *ether = arg;
	struct ether_port *port = ether->port;
	uint64_t times;

	(void)what;
	if (read(fd, &times, sizeof(times)) != sizeof(times))
		return;
	port->users++;
	ether_port_clock(port);
	ether->armed = ETHER_NEVER;
	ether_timeout(ether);
	ether_later(ether);
	ether_port_turns(port);
	ether_port_release(port);
}

static int make_timer(struct ether *ether)
{
	struct event_base *base = ether->port->base;

	ether->armed = ETHER_NEVER;
	if (!base)
		return 0; /* a test has its own clock */
	ether->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (ether->timer_fd < 0)
		return -errno;
	ether->timer = event_new(base, ether->timer_fd, EV_READ | EV_PERSIST, on_timer, ether);
	return ether->timer && !event_add(ether->timer, NULL) ? 0 : -ENOMEM;
}

static void destroy(struct ether *ether)
{
	struct ether_port *port = ether->port;

	for (struct ether **at = &port->turns; ether->in_turn && *at; at = &(*at)->next_turn) {
		if (*at == ether) {
			*at = ether->next_turn;
			break;
		}
	}
	if (ether->counted && port->listener)
		port->listener->opening--;
	ether_port_remove(port, ether);
	if (ether->timer)
		event_free(ether->timer);
	if (ether->timer_fd >= 0)
		close(ether->timer_fd);
	ether_sender_free(ether);
	ether_receiver_free(ether);
	ether_keys_clear(&ether->out);
	ether_keys_clear(&ether->in);
	OPENSSL_cleanse(&ether->identity, sizeof(ether->identity));
	OPENSSL_cleanse(ether->private, sizeof(ether->private));
	free(ether);
	ether_port_release(port);
}

struct ether *ether_new(struct ether_port *port, bool server)
{
	struct ether *ether = calloc(1, sizeof(*ether));

	if (!ether)
		return NULL;
	ether->lhp.ops = &ops;
	ether->port = port;
	ether->server = server;
	ether->timer_fd = -1;
	ether->repeat_at = ETHER_NEVER;
	ether->begun = ether->heard = port->now;
	port->users++;
	if (ether_port_add(port, ether) || ether_sender_init(ether) || ether_receiver_init(ether) ||
	    make_timer(ether)) {
		destroy(ether);
		return NULL;
	}
	return ether;
}

void ether_name_peer(struct ether *ether)
{
	const uint8_t *mac = ether->peer;

	snprintf(ether->lhp.peer, sizeof(ether->lhp.peer), "%s/%02x:%02x:%02x:%02x:%02x:%02x",
		 ether->port->device, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

void ether_fail(struct ether *ether, const char *format, ...)
{
	va_list words;

	if (ether->state == ETHER_OVER)
		return;
	va_start(words, format);
	vsnprintf(ether->why, sizeof(ether->why), format, words);
	va_end(words);
	if (!ether->over_there && ether->out.now.context)
		ether_send_close(ether, ether->why);
	ether->state = ETHER_OVER;
	ether_later(ether);
}

void ether_end(struct ether *ether)
{
	const struct lhp_handler *handler = ether->lhp.handler;

	/* A server's connection that was not proved is nobody's yet. */
	if (handler && !ether->freed && (ether->accepted || !ether->server)) {
		ether->busy++;
		handler->closed(&ether->lhp, ether->why, ether->lhp.arg);
		ether->busy--;
	}
	destroy(ether);
}

static void ops_free(struct lhp *lhp)
{
	struct ether *ether = of(lhp);

	ether->freed = true;
	ether_port_clock(ether->port);
	ether_fail(ether, "its user has ended");
	if (!ether->busy)
		destroy(ether);
}

void ether_stands(struct ether *ether)
{
	ether->state = ETHER_STANDS;
	ether->repeat_at = ETHER_NEVER;
	if (ether->counted && ether->port->listener)
		ether->port->listener->opening--;
	ether->counted = false;
	if (ether->server)
		ether_accept_proved(ether);
	if (ether->state == ETHER_OVER || !ether->lhp.handler)
		return;
	ether->busy++;
	ether->lhp.handler->opened(&ether->lhp, ether->lhp.arg);
	ether->busy--;
}

void ether_message(struct ether *ether, uint32_t stream, const uint8_t *bytes, size_t len)
{
	if (ether->state == ETHER_OVER || !ether->lhp.handler)
		return;
	ether->lhp.counts.received++;
	ether->lhp.counts.bytes_received += len;
	ether->busy++;
	ether->lhp.handler->message(&ether->lhp, stream, bytes, len, ether->lhp.arg);
	ether->busy--;
}

/* ---- times */

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t ether_due(const struct ether *ether)
{
	uint64_t due = ether->receiver.ack_at;

	due = sooner(due, ether->repeat_at);
	if (ether->state != ETHER_STANDS)
		due = sooner(due, ether->begun + LHP_HANDSHAKE_S * 1000000ull);
	due = sooner(due, ether_ack_due(ether));
	if (ether->state != ETHER_STANDS)
		return due;
	if (ether->hint)
		due = sooner(due, ether->hint + ETHER_GONE_US);
	if (!ether->sender.eliciting)
		due = sooner(due, ether->heard + ETHER_PING_US);
	return sooner(due, ether->heard + ETHER_DEAD_US);
}

/* Whether the other end is given up. */
static bool dead(struct ether *ether)
{
	uint64_t now = ether->port->now;

	if (ether->state != ETHER_STANDS) {
		if (now < ether->begun + LHP_HANDSHAKE_S * 1000000ull)
			return false;
		ether_fail(ether, "no answer from %s", ether->lhp.peer);
	} else if (now >= ether->heard + ETHER_DEAD_US) {
		ether_fail(ether, "%s is silent", ether->lhp.peer);
	} else if (ether->hint && now >= ether->hint + ETHER_GONE_US) {
		ether_fail(ether, "%s does not know this connection any more", ether->lhp.peer);
	} else {
		return false;
	}
	return true;
}

void ether_timeout(struct ether *ether)
{
	uint64_t now = ether->port->now;

	if (ether->state == ETHER_OVER || dead(ether))
		return;
	if (now >= ether->repeat_at)
		ether_repeat(ether);
	if (now >= ether->sender.loss_at)
		ether_detect_losses(ether);
	else if (now >= ether_ack_due(ether))
		ether_pto(ether);
	if (ether->state == ETHER_STANDS && !ether->sender.eliciting &&
	    now >= ether->heard + ETHER_PING_US)
		ether->sender.ping = true;
}

/* A timer that fires too early is set anew then; so it need not be moved with every packet. */
static void arm(struct ether *ether)
{
	uint64_t due = ether_due(ether);
	struct itimerspec at = { .it_value = { (time_t)(due / 1000000),
					       (long)(due % 1000000 * 1000) } };

	/* A socket that is full has an event of its own, which gives everybody a turn. */
	if (due >= ether->armed || ether->port->full)
		return;
	ether->armed = due;
	if (ether->timer_fd >= 0)
		timerfd_settime(ether->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* ---- turns */

/* True if its user was told that there is room again. */
static bool tell_writable(struct ether *ether)
{
	struct ether_sender *sender = &ether->sender;

	if (!sender->blocked || sender->fresh.bytes >= LHP_ROOM / 2 || !ether->lhp.handler)
		return false;
	sender->blocked = false;
	ether->busy++;
	ether->lhp.handler->writable(&ether->lhp, ether->lhp.arg);
	ether->busy--;
	return true;
}

void ether_turn(struct ether *ether)
{
	if (ether->state == ETHER_OVER) {
		ether_end(ether);
		return;
	}
	if (ether->state >= ETHER_PROVING) {
		ether_ack_turn(ether);
		for (int i = 0; i < ROUNDS; i++) {
			ether_send_packets(ether);
			if (!tell_writable(ether))
				break;
		}
	}
	if (ether->state == ETHER_OVER)
		ether_later(ether);
	else
		arm(ether);
}

/* ---- what lhp.c calls */

static int ops_send(struct lhp *lhp, uint32_t stream, enum lhp_class class,
		    const struct iovec *parts, int count, size_t len)
{
	struct ether *ether = of(lhp);
	int err;

	if (ether->state != ETHER_STANDS)
		return -ENOTCONN;
	err = class == LHP_SEMI ? ether_send_semi(ether, stream, parts, count, len)
				: ether_send_message(ether, stream, parts, count, len);
	if (err == -ENOBUFS)
		ether_fail(ether, "%s takes nothing any more", lhp->peer);
	if (err)
		return err;
	lhp->counts.sent++;
	lhp->counts.bytes_sent += len;
	ether_later(ether);
	return 0;
}

static bool ops_room(const struct lhp *lhp)
{
	const struct ether *ether = (const struct ether *)lhp;

	return ether->state == ETHER_STANDS && !ether->sender.blocked;
}

/* Some full packets, and no small one behind them. */
static size_t ops_best(const struct lhp *lhp)
{
	size_t one = ether_payload((const struct ether *)lhp);

	return one * (32768 / one);
}

static void ops_forget(struct lhp *lhp, uint32_t id)
{
	struct ether *ether = of(lhp);
	struct ether_stream *stream;

	if (ether->state != ETHER_STANDS)
		return;
	stream = ether_stream_get(ether, id);
	if (!stream || stream->forgotten || ether_send_forget(ether, id, stream->send_next))
		return;
	stream->forgotten = true;
	ether_stream_check(ether, stream);
	ether_later(ether);
}

static uint32_t ops_rtt(const struct lhp *lhp)
{
	return (uint32_t)((const struct ether *)lhp)->rtt.smoothed;
}

static const struct lhp_ops ops = {
	.provider = "ether",
	.send = ops_send,
	.room = ops_room,
	.best = ops_best,
	.forget = ops_forget,
	.free = ops_free,
	.rtt_us = ops_rtt,
};

/* ---- places: DEVICE[/MAC][#ETHERTYPE] */

struct place {
	char device[IFNAMSIZ];
	uint8_t mac[ETHER_MAC_BYTES];
	uint16_t ethertype;
	bool has_mac;
};

static bool read_mac(const char *text, size_t len, uint8_t mac[ETHER_MAC_BYTES])
{
	char copy[18], *end;

	if (len != sizeof(copy) - 1)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	for (int i = 0; i < ETHER_MAC_BYTES; i++) {
		unsigned long byte = strtoul(copy + 3 * i, &end, 16);

		if (end != copy + 3 * i + 2 || byte > 255 || *end != (i < 5 ? ':' : '\0'))
			return false;
		mac[i] = (uint8_t)byte;
	}
	return !(mac[0] & 1); /* a station's, not a group's */
}

/* IEEE 802 has two EtherTypes for local experiments. */
static bool read_ethertype(const char *text, uint16_t *ethertype)
{
	char *end;
	unsigned long type = strtoul(text, &end, 0);

	if (!*text || *end || (type != LHP_ETHERTYPE && type != LHP_ETHERTYPE + 1))
		return false;
	*ethertype = (uint16_t)type;
	return true;
}

static const char *read_place(const char *text, struct place *place)
{
	size_t whole = strcspn(text, "#"), device = strcspn(text, "/#");

	memset(place, 0, sizeof(*place));
	place->ethertype = LHP_ETHERTYPE;
	if (!device || device >= sizeof(place->device))
		return "the device's name is too long or missing";
	memcpy(place->device, text, device);
	place->has_mac = text[device] == '/';
	if (place->has_mac && !read_mac(text + device + 1, whole - device - 1, place->mac))
		return "no MAC address of a station behind the slash";
	if (text[whole] && !read_ethertype(text + whole + 1, &place->ethertype))
		return "the EtherType must be 0x88b5 or 0x88b6";
	return NULL;
}

static struct lhp *ether_connect(struct event_base *base, const char *text,
				 const struct lhp_identity *identity, char *error, size_t error_len)
{
	struct place place;
	const char *wrong = read_place(text, &place);
	struct ether_port *port;
	struct ether *ether;

	if (!wrong && !place.has_mac)
		wrong = "the server's MAC address is missing: ether:DEVICE/MAC";
	if (wrong) {
		snprintf(error, error_len, "ether:%s: %s", text, wrong);
		return NULL;
	}
	port = ether_port_open(base, place.device, place.ethertype, error, error_len);
	if (!port)
		return NULL;
	ether = ether_new(port, false);
	ether_port_release(port);
	if (!ether) {
		snprintf(error, error_len, "ether:%s: no memory", text);
		return NULL;
	}
	memcpy(ether->peer, place.mac, ETHER_MAC_BYTES);
	memcpy(ether->lhp.name, identity->name, sizeof(ether->lhp.name));
	ether_name_peer(ether);
	if (ether_port_filter(port, ether->id) || ether_connect_start(ether, identity)) {
		snprintf(error, error_len, "ether:%s: the handshake cannot begin", text);
		destroy(ether);
		return NULL;
	}
	ether_later(ether);
	return &ether->lhp;
}

static void listener_free(struct lhp_listener *lhp)
{
	struct ether_listener *listener = (struct ether_listener *)lhp;
	struct ether_port *port = listener->port;

	port->listener = NULL;
	ether_port_release(port);
	OPENSSL_cleanse(listener->secret, sizeof(listener->secret));
	free(listener);
}

static struct lhp_listener *ether_listen(struct event_base *base, const char *text, char *error,
					 size_t error_len)
{
	struct ether_listener *listener = calloc(1, sizeof(*listener));
	struct place place;
	const char *wrong = read_place(text, &place);
	struct ether_port *port = NULL;

	if (!wrong && place.has_mac)
		wrong = "a listener has no MAC address but the device's: ether:DEVICE";
	if (wrong || !listener)
		snprintf(error, error_len, "ether:%s: %s", text, wrong ? wrong : "no memory");
	else
		port = ether_port_open(base, place.device, place.ethertype, error, error_len);
	if (port && !ether_listener_init(listener, port)) {
		listener->lhp.free = listener_free;
		return &listener->lhp;
	}
	if (port)
		ether_port_release(port);
	free(listener);
	return NULL;
}

const struct lhp_provider lhp_ether = {
	.word = "ether",
	.connect = ether_connect,
	.listen = ether_listen,
};
