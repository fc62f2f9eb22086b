// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Frames on their way out: a ring that the loop writes and from which up to ETHER_BATCH go by one
 * system call. On a device without a queue, and on the way to a host of this machine, that call is
 * where the frame's whole way is worked off; so where many are ready a second thread makes it,
 * begun when it is first needed, and the loop goes on. Where few are, or on one processor, the loop
 * makes it itself: waking the thread would take longer. It is also the thread that waits for a
 * kernel that takes no more.
 *
 * Who holds `busy` sends, and nobody else. The loop takes it only while the thread does not have
 * it; the thread, having let go of it, looks once more at what has become ready.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lhp_ether_out.h"

#define FRAMES	 256 /* at most; a power of two */
#define HANDOVER 24  /* ready frames that are worth waking the thread */
#define WAIT_MS	 100

struct ether_out {
	size_t frame_bytes;
	int fd;
	uint8_t *bytes;
	struct mmsghdr messages[FRAMES];
	struct iovec parts[FRAMES];
	unsigned int written;		  /* frames, ever: by the loop */
	_Atomic unsigned int ready, gone; /* of them: may go; have gone */
	_Atomic bool busy, waits, stop;
	_Atomic uint64_t dropped;
	int room_fd; /* readable: there is room again, after a frame was refused */
	sem_t wake;
	pthread_t thread;
	bool threaded, refused; /* has a thread; can have none */
	bool one_processor;
};

/* A frame of 1514 bytes is counted as 2304, and SO_SNDBUF is twice what one asks for. */
void ether_out_limit(struct ether_out *out, size_t bytes)
{
	int asked = (int)(bytes * 3 / 4);

	if (setsockopt(out->fd, SOL_SOCKET, SO_SNDBUFFORCE, &asked, sizeof(asked)))
		setsockopt(out->fd, SOL_SOCKET, SO_SNDBUF, &asked, sizeof(asked));
}

struct ether_out *ether_out_new(int fd, size_t frame_bytes)
{
	struct ether_out *out = calloc(1, sizeof(*out));
	cpu_set_t processors;

	if (!out)
		return NULL;
	out->fd = fd;
	out->frame_bytes = frame_bytes;
	out->one_processor = !sched_getaffinity(0, sizeof(processors), &processors) &&
			     CPU_COUNT(&processors) < 2;
	out->bytes = calloc(FRAMES, frame_bytes);
	out->room_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!out->bytes || out->room_fd < 0 || sem_init(&out->wake, 0, 0)) {
		if (out->room_fd >= 0)
			close(out->room_fd);
		free(out->bytes);
		free(out);
		return NULL;
	}
	for (unsigned int i = 0; i < FRAMES; i++) {
		out->parts[i].iov_base = out->bytes + i * frame_bytes;
		out->messages[i].msg_hdr.msg_iov = &out->parts[i];
		out->messages[i].msg_hdr.msg_iovlen = 1;
	}
	return out;
}

/* ---- sending, by who holds `busy` */

static bool own(struct ether_out *out)
{
	bool free = false;

	return atomic_compare_exchange_strong(&out->busy, &free, true);
}

/* The loop is told at half, so that it has something to write when it comes. */
static void advance(struct ether_out *out, unsigned int count)
{
	unsigned int gone = atomic_load(&out->gone) + count;

	atomic_store(&out->gone, gone);
	if (atomic_load(&out->ready) - gone <= FRAMES / 2 && atomic_exchange(&out->waits, false))
		eventfd_write(out->room_fd, 1);
}

static void drop(struct ether_out *out, unsigned int count)
{
	atomic_fetch_add(&out->dropped, count);
	advance(out, count);
}

/* Some of the `count` frames from `gone` on. False: the kernel takes none now. sendmmsg() does not
 * tell why it stopped before the end; the next call, which begins there, does. A frame that a full
 * queue or a device that is down does not take is lost, as on the way. */
static bool send_some(struct ether_out *out, unsigned int gone, unsigned int count)
{
	unsigned int at = gone % FRAMES;
	int sent;

	if (count > FRAMES - at)
		count = FRAMES - at;
	if (count > ETHER_BATCH)
		count = ETHER_BATCH;
	sent = sendmmsg(out->fd, out->messages + at, count, MSG_DONTWAIT);
	if (sent > 0)
		advance(out, (unsigned int)sent);
	else if (errno == EAGAIN)
		return false;
	else if (errno != EINTR)
		drop(out, 1);
	return true;
}

/* All that is ready. False: the kernel takes no more now. */
static bool send_ready(struct ether_out *out)
{
	unsigned int gone, ready;

	while ((gone = atomic_load(&out->gone)) != (ready = atomic_load(&out->ready)))
		if (!send_some(out, gone, ready - gone))
			return false;
	return true;
}

/* Likewise, with patience; what a kernel does not take in the end is lost. */
static void send_waiting(struct ether_out *out)
{
	struct pollfd room = { .fd = out->fd, .events = POLLOUT };

	while (!send_ready(out)) {
		bool stop = atomic_load(&out->stop);

		if (poll(&room, 1, WAIT_MS) <= 0 && (stop || out->refused))
			drop(out, atomic_load(&out->ready) - atomic_load(&out->gone));
	}
}

/* ---- the thread */

static void *run(void *arg)
{
	struct ether_out *out = arg;

	for (;;) {
		while (sem_wait(&out->wake))
			;
		if (atomic_load(&out->busy)) {
			do {
				send_waiting(out);
				atomic_store(&out->busy, false);
			} while (atomic_load(&out->ready) != atomic_load(&out->gone) && own(out));
		}
		if (atomic_load(&out->stop))
			return NULL;
	}
}

/* Begun late, so that it has only the rights that the daemon kept; signals are the loop's. */
static bool has_thread(struct ether_out *out)
{
	sigset_t all, before;

	if (out->threaded || out->refused)
		return out->threaded;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	out->threaded = !pthread_create(&out->thread, NULL, run, out);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	out->refused = !out->threaded;
	return out->threaded;
}

/* ---- the loop's side */

uint8_t *ether_out_frame(struct ether_out *out)
{
	if (out->written - atomic_load(&out->gone) == FRAMES) {
		/* Said first, then looked at again: the thread does it the other way round. */
		atomic_store(&out->waits, true);
		if (out->written - atomic_load(&out->gone) == FRAMES)
			return NULL;
		atomic_store(&out->waits, false);
	}
	return out->bytes + out->written % FRAMES * out->frame_bytes;
}

void ether_out_commit(struct ether_out *out, size_t len)
{
	out->parts[out->written++ % FRAMES].iov_len = len;
}

unsigned int ether_out_kept(const struct ether_out *out)
{
	return out->written - atomic_load(&out->ready);
}

void ether_out_flush(struct ether_out *out)
{
	bool many;

	atomic_store(&out->ready, out->written);
	if (out->written == atomic_load(&out->gone) || !own(out))
		return; /* nothing, or the thread sees it */
	many = !out->one_processor && out->written - atomic_load(&out->gone) >= HANDOVER;
	if (!many && send_ready(out)) {
		atomic_store(&out->busy, false);
	} else if (has_thread(out)) {
		sem_post(&out->wake);
	} else {
		send_waiting(out);
		atomic_store(&out->busy, false);
	}
}

int ether_out_room_fd(const struct ether_out *out)
{
	return out->room_fd;
}

uint64_t ether_out_dropped(const struct ether_out *out)
{
	return atomic_load(&out->dropped);
}

void ether_out_free(struct ether_out *out)
{
	if (!out)
		return;
	ether_out_flush(out);
	if (out->threaded) {
		atomic_store(&out->stop, true);
		sem_post(&out->wake);
		pthread_join(out->thread, NULL);
	}
	sem_destroy(&out->wake);
	close(out->room_fd);
	free(out->bytes);
	free(out);
}
