/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One worker thread for what is too slow for an event loop (scrypt). Bounded queue. */
#ifndef ISTHMUS_AGENTS_WORK_H
#define ISTHMUS_AGENTS_WORK_H

struct event_base;
struct work;

struct work *work_new(struct event_base *base, unsigned int queue_max);
void work_free(struct work *work); /* waits for the running job; those queued are dropped, `done`
				      not called */

/* run() in the thread, then done() in the loop's. -EAGAIN if the queue is full. */
int work_submit(struct work *work, void (*run)(void *arg), void (*done)(void *arg), void *arg);

#endif
