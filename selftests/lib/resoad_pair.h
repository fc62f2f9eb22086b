/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A server with two clients, alice and bob, and a peer's listener at port 7000 of every address. */
#ifndef ISTHMUS_SELFTESTS_RESOAD_PAIR_H
#define ISTHMUS_SELFTESTS_RESOAD_PAIR_H

#include "resoad_client.h"

#define KEY(letter)                                                                                \
	"key = " letter letter letter letter letter letter letter letter letter letter letter      \
		letter letter letter letter letter letter letter letter letter letter letter       \
			letter letter letter letter letter letter letter letter letter letter "\n"
#define KEY_ALICE KEY("61")
#define KEY_BOB	  KEY("62")

extern struct rc_server server;
extern struct rc alice, bob;
extern int peer;      /* the listener */
extern uint32_t next; /* rsockID that was not used yet */

/* Of each test; of all in a file. */
int pair_start(void **state);
int pair_end(void **state);
int pair_group_start(void **state);
/* A connection of alice's from `port`, and its peer's end. */
uint32_t pair_connected(uint16_t port, int *fd);

#endif
