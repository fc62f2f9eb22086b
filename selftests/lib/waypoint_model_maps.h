/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/waypoint_model_maps.h - the programs' maps beside the model: the same parties, time
 * that passes for both, records compared.
 */
#ifndef ISTHMUS_SELFTESTS_WAYPOINT_MODEL_MAPS_H
#define ISTHMUS_SELFTESTS_WAYPOINT_MODEL_MAPS_H

#include "selftests/lib/waypoint_fixture.h"
#include "selftests/lib/waypoint_model.h"

#define WMAPS_TABLE 64	/* entries of the bench's tables */
#define WMAPS_DATA  120 /* bytes that a packet carries */

/* Ports of the model's connections. */
#define WMAPS_PORT(number)	    (40000 + (number))
#define WMAPS_WAYPOINT_PORT(number) ((number) ? 80 : 22)

extern const struct isthmus_addr wmaps_initiator[WMODEL_INITIATORS];
extern const struct isthmus_addr wmaps_waypoint[WMODEL_WAYPOINTS];

struct wmaps {
	struct wfix *fx;
	struct wmodel *model;
	__u64 slack; /* ns: what happened now may be later than the model put it by so much */
	int wrong;   /* records that were not as they should be; each was told on stderr */
};

/* Empties maps and model. `room` bindings fit; times are those of the contract or shorter. */
void wmaps_clear(struct wmaps *maps, int room, const unsigned int shorter[8]);
/* Makes all records of both older. */
void wmaps_age(struct wmaps *maps, __u64 by);

struct waypoint_pair wmaps_pair(int initiator, int waypoint);
/* What the model says of a packet; `back`: from responder to initiator. */
struct packet_spec wmaps_spec(const struct wmodel_packet *packet, bool back);
/* Source of the frames that an initiator's router number `hop` sends. */
void wmaps_hop(const struct wmaps *maps, int hop, __u8 mac[6]);
/* Writes a wait or an entry of the model as an agent does. */
void wmaps_put_wait(const struct wmaps *maps, int waypoint, int place);
void wmaps_put_entry(const struct wmaps *maps, int initiator, int waypoint);
/* Removes what the model has no more. */
void wmaps_sweep(const struct wmaps *maps);

/* Compare; times that the model put within `slack` become the model's. */
void wmaps_check_pair(struct wmaps *maps, int initiator, int waypoint);
void wmaps_check_source(struct wmaps *maps, int initiator);
void wmaps_check_waits(struct wmaps *maps, int waypoint);
void wmaps_check_all(struct wmaps *maps);

#endif
