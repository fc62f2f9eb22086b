/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A byte stream between two connected TCP sockets, both ways, unchanged: FIN travels as FIN, RST
 * as RST, and at most one pipe (or one buffer) a direction is held between them.
 *
 * Bytes move by splice(2) through a pipe that a direction borrows only while something is in it,
 * so idle connections hold no pipe; without pipes (descriptors used up) they are copied.
 */
#ifndef ISTHMUS_PEER_RELAY_H
#define ISTHMUS_PEER_RELAY_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct relay;

/* error: 0 after both FINs, else a negative errno. The sockets are closed; free the relay here or
 * later. */
typedef void (*relay_done)(int error, void *arg);

/* Takes both descriptors (non-blocking), also on failure: NULL, both reset. done is not called from
 * inside. */
struct relay *relay_new(struct event_base *base, int a, int b, relay_done done, void *arg);
uint64_t relay_bytes_from_a(const struct relay *relay);
uint64_t relay_bytes_from_b(const struct relay *relay);
/* Resets both connections if they are not over. */
void relay_free(struct relay *relay);

/* Closes with RST instead of FIN. */
void relay_reset(int fd);
/* Copy instead of splice(2), for all relays made from now on; and the end of the cached pipes. */
void relay_set_copy(bool copy);
void relay_drop_pipes(void);

#endif
