// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/onetime_life.h"

#define MS     1000000ull
#define SIX    16 /* addresses below are of IPv6 */
#define DATA   24
#define QUOTED 48 /* of a packet that an error is about */

struct olife life;

static const struct isthmus_addr peers[2][OMODEL_PEERS] = {
	{ OFIX_ALICE6, OFIX_BOB6, PACKET_V6(7, 0x101), PACKET_V6(8, 1) },
	{ OFIX_ALICE4, OFIX_BOB4, PACKET_V4(198, 51, 100, 9), PACKET_V4(198, 18, 0, 1) },
};
static const __u16 our_ports[] = { 80, 443, OFIX_TCP_PORT, OFIX_UDP_PORT };
static const __u16 their_ports[] = { 40000, 40001, 22 };

unsigned int olife_below(unsigned int limit)
{
	return rand_r(&life.random) % limit;
}

/* ---- telling */

void olife_trace(int at, const char *format, ...)
{
	struct olife_side *side = &life.side[at];
	char *line = side->trace[side->traced++ % OLIFE_TRACE];
	int used = snprintf(line, OLIFE_LINE, "step %d: ", life.step);
	va_list args;

	va_start(args, format);
	vsnprintf(line + used, OLIFE_LINE - used, format, args);
	va_end(args);
}

void olife_hold(bool good, int at, const char *what)
{
	const struct olife_side *side = &life.side[at];
	int from = side->traced > OLIFE_TRACE ? side->traced - OLIFE_TRACE : 0;

	if (good)
		return;
	fprintf(stderr, "address %d (%s, mode %d, proto %d)\n", at,
		life.model.address[at].reset ? "RESET" : "silent", life.model.address[at].mode,
		life.model.address[at].proto);
	for (int i = from; i < side->traced; i++)
		fprintf(stderr, "  %s\n", side->trace[i % OLIFE_TRACE]);
	fail_msg("ONETIME_SEED=%u, step %d, address %d: %s", life.seed, life.step, at, what);
}

void olife_trace_packet(int at, const char *way, const struct omodel_packet *packet)
{
	static const char *const kinds[] = { "", "later fragment ", "echo ", "error about ",
					     "other " };

	olife_trace(at, "%s %s%s%s%s%s%s peer %d:%d, port %d", way, kinds[packet->kind],
		    packet->proto == IPPROTO_UDP ? "UDP" : "TCP", packet->syn ? " SYN" : "",
		    packet->ack ? " ACK" : "", packet->fin ? " FIN" : "", packet->rst ? " RST" : "",
		    packet->peer, packet->peer_port, packet->port);
}

/* ---- entries */

bool olife_is_v4(int at)
{
	return at >= SIX;
}

const struct isthmus_addr *olife_peer(int at, int peer)
{
	return &peers[olife_is_v4(at)][peer];
}

/* As the model has it. */
struct onetime_addr olife_record(int at)
{
	const struct omodel_address *address = &life.model.address[at];
	struct onetime_addr record = life.side[at].record;

	record.state = address->state;
	record.port = htons(address->port);
	record.peer_port = htons(address->peer_port);
	record.wire_port = htons(address->wire_port);
	record.wire_peer_port = htons(address->wire_peer_port);
	if (address->peer != OMODEL_NOBODY)
		record.peer = *olife_peer(at, address->peer);
	record.since_ns = address->since;
	record.until_ns = address->until;
	return record;
}

void olife_write(int at)
{
	life.side[at].record = olife_record(at);
	ofix_addr_put(&life.fx, &life.side[at].key, &life.side[at].record);
}

static bool prefix_holds(const struct isthmus_addr *prefix, int bits, const struct isthmus_addr *a)
{
	for (int i = 0; i < bits; i++)
		if ((prefix->b[i / 8] ^ a->b[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

static void only_some(int at, struct onetime_addr *record)
{
	record->only_bits = olife_below(2)    ? 0
			    : olife_is_v4(at) ? 96 + 20 + olife_below(13)
					      : 30 + olife_below(99);
	record->only = *olife_peer(at, olife_below(OMODEL_PEERS));
	for (int i = 0; i < OMODEL_PEERS; i++)
		life.model.address[at].only[i] =
			prefix_holds(&record->only, record->only_bits, olife_peer(at, i));
}

static void make_ssa(int at, struct omodel_address *address, struct onetime_addr *record)
{
	bool udp = address->proto == IPPROTO_UDP;

	address->state = olife_below(4) ? ONETIME_STATE_PENDING : ONETIME_STATE_RESERVED;
	address->port = udp ? OFIX_UDP_PORT : OFIX_TCP_PORT;
	address->listening = olife_below(8);
	record->listener = !address->listening ? OFIX_NOBODY : udp ? OFIX_UDP : OFIX_TCP;
	only_some(at, record);
}

static void make_ea(struct omodel_address *address, struct onetime_addr *record)
{
	address->state = olife_below(4) ? ONETIME_STATE_LIVE : ONETIME_STATE_RESERVED;
	record->cookie = 1 + olife_below(1000);
	if (address->state == ONETIME_STATE_RESERVED)
		return;
	address->peer = olife_below(OMODEL_PEERS);
	address->port = address->wire_port = 32768 + olife_below(28000);
	address->peer_port = address->wire_peer_port = our_ports[olife_below(4)];
	address->until = life.now + olife_below(ONETIME_UDP_S) * OFIX_S;
	if (olife_below(2))
		address->until = ONETIME_UNTIL_CLOSE;
}

static void agent_makes(int at)
{
	struct omodel_address *address = &life.model.address[at];
	struct olife_side *side = &life.side[at];

	*address = (struct omodel_address){ .made = true,
					    .reset = address->reset,
					    .use = olife_below(5) ? ONETIME_SSA : ONETIME_EA,
					    .mode = olife_below(4),
					    .proto = olife_below(3) ? IPPROTO_TCP : IPPROTO_UDP,
					    .peer = OMODEL_NOBODY,
					    .since = life.now,
					    .until = life.now + (1 + olife_below(300)) * OFIX_S };
	memset(&side->record, 0, sizeof(side->record));
	side->record.use = address->use;
	side->record.mode = address->mode;
	side->record.proto = address->proto;
	side->record.pool = 1 + at / 8;
	side->record.serial = life.step + 1;
	side->traced = 0;
	if (address->use == ONETIME_SSA)
		make_ssa(at, address, &side->record);
	else
		make_ea(address, &side->record);
	olife_trace(at, "made: use %d state %d listener %u only /%d ttl %llu s", address->use,
		    address->state, side->record.listener, side->record.only_bits,
		    (address->until - life.now) / OFIX_S);
	olife_write(at);
}

void olife_agent(int at)
{
	struct omodel_address *address = &life.model.address[at];

	switch (omodel_state(address, life.now)) {
	case ONETIME_STATE_FREE:
		agent_makes(at);
		return;
	case ONETIME_STATE_RESERVED:
		if (address->use == ONETIME_EA)
			return;
		olife_trace(at, "given out");
		address->state = ONETIME_STATE_PENDING;
		address->since = life.now;
		address->until = life.now + (1 + olife_below(300)) * OFIX_S;
		olife_write(at);
		return;
	case ONETIME_STATE_DEAD:
		if (olife_below(3))
			return; /* it does so a while later */
		olife_trace(at, "removed");
		address->made = false;
		must(bpf_map_delete_elem(ofix_map(&life.fx, "onetime_addr"), &life.side[at].key));
		return;
	default:
		return;
	}
}

/* ---- sockets: what sockops would write */

void olife_sockets(int at)
{
	struct omodel_address *address = &life.model.address[at];
	enum onetime_state state = omodel_state(address, life.now);

	if (address->proto == IPPROTO_TCP && state == ONETIME_STATE_CLAIMED && olife_below(3)) {
		omodel_live(&life.model, at, life.now);
		olife_trace(at, "established");
	} else if (state == ONETIME_STATE_LIVE && !olife_below(4) &&
		   (address->proto == IPPROTO_TCP || address->use == ONETIME_EA)) {
		omodel_closed(&life.model, at, life.now);
		olife_trace(at, "closed");
	} else {
		return;
	}
	olife_write(at);
}

/* ---- time */

static __u64 earlier(__u64 time, __u64 by)
{
	return time > by ? time - by : !!time;
}

static void pass(__u64 by)
{
	for (int i = 0; i < OMODEL_ADDRESSES; i++) {
		struct omodel_address *address = &life.model.address[i];

		if (!address->made)
			continue;
		address->since = earlier(address->since, by);
		if (address->until != ONETIME_UNTIL_CLOSE)
			address->until = earlier(address->until, by);
		olife_trace(i, "%llu ms pass", by / MS);
		olife_write(i);
	}
}

void olife_time(int at)
{
	__u64 until = life.model.address[at].until;

	if (until == ONETIME_UNTIL_CLOSE)
		until = 0;
	switch (olife_below(4)) {
	case 0:
		pass(olife_below(2000) * MS);
		break;
	case 1:
		pass(olife_below(60) * OFIX_S);
		break;
	case 2: /* to its very end */
		if (until > life.now)
			pass(until - life.now);
		break;
	default: /* just before */
		if (until > life.now + 30 * MS)
			pass(until - life.now - 30 * MS);
	}
}

/* ---- packets */

static void any_flags(struct omodel_packet *packet)
{
	switch (olife_below(8)) {
	case 0 ... 2:
		packet->syn = true;
		break;
	case 3:
		packet->syn = packet->ack = true;
		break;
	case 4:
		packet->fin = packet->ack = true;
		break;
	case 5:
		packet->rst = true;
		packet->ack = olife_below(2);
		break;
	case 6:
		packet->syn = true;
		packet->fin = olife_below(2);
		packet->rst = !packet->fin;
		break;
	default:
		packet->ack = true;
	}
}

/* Rather one of the session, or one that may begin it; what differs is one thing or two. */
struct omodel_packet olife_packet(int at, bool out)
{
	static const enum omodel_kind kinds[] = { OMODEL_LATER, OMODEL_ECHO, OMODEL_ERROR,
						  OMODEL_OTHER };
	const struct omodel_address *address = &life.model.address[at];
	bool session = address->peer != OMODEL_NOBODY, wire = !out && olife_below(2);
	struct omodel_packet packet = {
		.kind = olife_below(5) ? OMODEL_PORTS : kinds[olife_below(4)],
		.proto = address->proto,
		.address = at,
		.peer = session ? address->peer : (int)olife_below(OMODEL_PEERS),
		.port = wire ? address->wire_port : address->port,
		.peer_port = wire ? address->wire_peer_port : address->peer_port
	};

	if (!packet.proto || !olife_below(10))
		packet.proto = olife_below(2) ? IPPROTO_TCP : IPPROTO_UDP;
	if (!olife_below(4))
		packet.peer = olife_below(OMODEL_PEERS);
	if (!packet.port || !olife_below(4))
		packet.port = our_ports[olife_below(4)];
	if (!session || !olife_below(4))
		packet.peer_port = their_ports[olife_below(3)];
	if (packet.proto == IPPROTO_TCP)
		any_flags(&packet);
	return packet;
}

static __u16 flags_of(const struct omodel_packet *packet)
{
	return (packet->syn ? PACKET_SYN : 0) | (packet->ack ? PACKET_ACK : 0) |
	       (packet->fin ? PACKET_FIN : 0) | (packet->rst ? PACKET_RST : 0);
}

static struct packet_spec spec_of(const struct omodel_packet *packet, bool out)
{
	const struct isthmus_addr *ours = &life.side[packet->address].key;
	const struct isthmus_addr *theirs = olife_peer(packet->address, packet->peer);
	bool v4 = olife_is_v4(packet->address);
	struct packet_spec spec = { .src = out ? *ours : *theirs,
				    .dst = out ? *theirs : *ours,
				    .sport = out ? packet->port : packet->peer_port,
				    .dport = out ? packet->peer_port : packet->port,
				    .proto = packet->proto,
				    .flags = flags_of(packet),
				    .data_len = DATA };

	if (packet->kind == OMODEL_OTHER) {
		spec.proto = IPPROTO_SCTP;
	} else if (packet->kind == OMODEL_LATER && v4) {
		spec.frag = 0x2000 | 100;
	} else if (packet->kind == OMODEL_LATER) {
		spec.exts = 1;
		spec.ext[0] = IPPROTO_FRAGMENT;
		spec.v6_frag = 800 | 1;
	}
	return spec;
}

/* An ICMP message with what it says about the packet; of an error the quoted one's ports are
 * `as`'s. Its own checksum is from scratch, the quoted one is as it was sent. */
static void icmp_frame(const struct omodel_packet *packet, const struct omodel_outcome *as,
		       struct packet *frame)
{
	bool v4 = olife_is_v4(packet->address), error = packet->kind == OMODEL_ERROR;
	struct packet_spec about = spec_of(packet, true), spec = spec_of(packet, false);
	static struct packet quoted;
	__u8 message[8 + QUOTED + 20] = { error ? (v4 ? 3 : 1) : v4 ? 8 : 128, error ? 1 : 0 };
	size_t l3 = v4 ? 20 : 40, l4 = 14 + l3, len = l3 + 8;

	packet_build(&about, &quoted);
	packet_put16(quoted.b + l4, as->port);
	packet_put16(quoted.b + l4 + 2, as->peer_port);
	memcpy(message + 8, quoted.b + 14, len);
	spec.proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	spec.icmp_type = message[0];
	spec.icmp_code = message[1];
	spec.data = v4 ? message + 8 : message;
	spec.data_len = v4 ? len : len + 8;
	ofix_frame(&life.fx, OFIX_IN, &spec, frame);
	if (!v4)
		packet_put16(frame->b + l4 + 2, ofix_icmp6_check(frame, 14, l4, frame->len));
}

void olife_frame(const struct omodel_packet *packet, const struct omodel_outcome *as, bool out,
		 struct packet *frame)
{
	struct omodel_packet other = *packet;
	struct packet_spec spec;

	if (packet->kind == OMODEL_ECHO || packet->kind == OMODEL_ERROR) {
		icmp_frame(packet, as, frame);
		return;
	}
	if (packet->kind == OMODEL_PORTS) {
		other.port = as->port;
		other.peer_port = as->peer_port;
	}
	spec = spec_of(&other, out);
	ofix_frame(&life.fx, out ? OFIX_OUT : OFIX_IN, &spec, frame);
}

/* ---- beginning */

void olife_begin(unsigned int seed)
{
	static const struct isthmus_addr first[] = { OFIX_SSA6(1), OFIX_RST6(1), OFIX_SSA4(1),
						     OFIX_RST4(1) };

	ofix_clear(&life.fx);
	memset(&life.model, 0, sizeof(life.model));
	memset(life.side, 0, sizeof(life.side));
	life.model.claim_ns = ONETIME_CLAIM_S * OFIX_S;
	life.model.linger_ns = ONETIME_LINGER_S * OFIX_S;
	life.model.udp_ns = ONETIME_UDP_S * OFIX_S;
	for (int i = 0; i < OMODEL_ADDRESSES; i++) {
		life.side[i].key = first[i / 8];
		life.side[i].key.b[15] += i % 8;
		life.model.address[i].reset = i / 8 % 2;
		life.model.address[i].peer = OMODEL_NOBODY;
	}
	life.seed = life.random = seed;
}
