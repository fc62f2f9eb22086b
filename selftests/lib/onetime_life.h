/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/onetime_life.h - the random life of some addresses, in the programs' maps
 * (onetime_fixture.h) and in the model (onetime_model.h) alike: what an agent does with them, what
 * their sockets do, the passing of time; and the packets that come for them.
 *
 * Of each address it is written down what happened since it was made; a test that fails prints it.
 */
#ifndef ISTHMUS_SELFTESTS_LIB_ONETIME_LIFE_H
#define ISTHMUS_SELFTESTS_LIB_ONETIME_LIFE_H

#include "selftests/lib/onetime_fixture.h"
#include "selftests/lib/onetime_model.h"

#define OLIFE_TRACE 64
#define OLIFE_LINE  160

/* What the model has not. */
struct olife_side {
	struct isthmus_addr key;
	struct onetime_addr record; /* as the map should have it */
	char trace[OLIFE_TRACE][OLIFE_LINE];
	int traced;
};

struct olife {
	struct ofix fx;
	struct omodel model;
	struct olife_side side[OMODEL_ADDRESSES];
	unsigned int seed, random;
	int step;
	__u64 now; /* of the step */
};

extern struct olife life;

/* Free addresses of silent and of resetting pools, of both families. */
void olife_begin(unsigned int seed);
unsigned int olife_below(unsigned int limit);

void olife_trace(int at, const char *format, ...) __attribute__((format(printf, 2, 3)));
void olife_trace_packet(int at, const char *way, const struct omodel_packet *packet);
/* Or the test ends, with what happened to the address. */
void olife_hold(bool good, int at, const char *what);

/* The entry as the model has it; written into the map. */
struct onetime_addr olife_record(int at);
void olife_write(int at);

/* Each does one thing that may be done to the address just now, or none. */
void olife_agent(int at);
void olife_sockets(int at);
void olife_time(int at);

bool olife_is_v4(int at);
const struct isthmus_addr *olife_peer(int at, int peer);
/* A packet for the address, or from it. */
struct omodel_packet olife_packet(int at, bool out);
/* Its frame, with the ports of an outcome. */
void olife_frame(const struct omodel_packet *packet, const struct omodel_outcome *as, bool out,
		 struct packet *frame);

#endif
