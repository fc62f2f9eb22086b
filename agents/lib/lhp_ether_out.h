/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The frames that go out by a packet socket; of one loop, and safe beside a thread of its own. */
#ifndef ISTHMUS_AGENTS_LHP_ETHER_OUT_H
#define ISTHMUS_AGENTS_LHP_ETHER_OUT_H

#include <stddef.h>
#include <stdint.h>

#define ETHER_BATCH 64 /* frames with one system call */

struct ether_out;

/* `fd` does not block and outlives it. `frame_bytes`: the longest frame. NULL: no memory. */
struct ether_out *ether_out_new(int fd, size_t frame_bytes);
/* So many bytes of long frames, about, are in the queue of the device at a time. */
void ether_out_limit(struct ether_out *out, size_t bytes);
/* Sends what is left, or loses it where the kernel takes nothing for 0.1 s. */
void ether_out_free(struct ether_out *out);

/* Room for one frame; NULL: there is none, and room_fd gets readable when there is. */
uint8_t *ether_out_frame(struct ether_out *out);
void ether_out_commit(struct ether_out *out, size_t len); /* that frame, of `len` bytes */
unsigned int ether_out_kept(const struct ether_out *out); /* frames since the last flush */
/* What was committed may go. Does not wait for it, unless no thread can be had. */
void ether_out_flush(struct ether_out *out);

int ether_out_room_fd(const struct ether_out *out); /* an eventfd: to be read */
/* Frames that a queue had no place for, or a device that was down. */
uint64_t ether_out_dropped(const struct ether_out *out);

#endif
