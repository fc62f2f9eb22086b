// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Round trip times (RFC 9002 5) and the congestion window: CUBIC (RFC 9438) with its Reno-friendly
 * region, in bytes.
 */
#include <math.h>

#include "lhp_ether.h"

#define BETA	       0.7  /* RFC 9438 4.6 */
#define SCALE	       0.4  /* C, segments/s^3 */
#define ALPHA	       0.53 /* 3 * (1 - BETA) / (1 + BETA): what makes W_est as fair as Reno */
#define FIRST_UNITS    10   /* RFC 6928 */
#define LEAST_UNITS    2
#define GRAIN_US       1000 /* of timers: RFC 9002 6.1.2 */
#define QUEUE_LEAST_US 300
#define QUEUE_MOST_US  1000
#define SLOW_LEAST_US  4000 /* RFC 9406 4.3: MIN_RTT_THRESH, MAX_RTT_THRESH */
#define SLOW_MOST_US   16000
#define LOST_MOST      0.1 /* part of packets whose loss may have other causes than a full queue */
#define LOST_OVER      128 /* packets that it is taken of */

void ether_rtt_sample(struct ether_rtt *rtt, uint64_t sample, uint64_t ack_delay)
{
	uint64_t off;

	if (!sample)
		sample = 1;
	rtt->latest = sample;
	rtt->recent[rtt->recent_at++ % ETHER_RECENT] = sample;
	if (!rtt->smoothed) {
		rtt->least = rtt->smoothed = sample;
		rtt->variation = sample / 2;
		return;
	}
	if (sample < rtt->least)
		rtt->least = sample;
	if (sample >= rtt->least + ack_delay)
		sample -= ack_delay;
	off = rtt->smoothed > sample ? rtt->smoothed - sample : sample - rtt->smoothed;
	rtt->variation = (3 * rtt->variation + off) / 4;
	rtt->smoothed = (7 * rtt->smoothed + sample) / 8;
	if (!rtt->smoothed)
		rtt->smoothed = 1;
}

/* Whether the last ones are longer than the least by a part of it, but at least and at most so many
 * us. The shortest of them, for one alone may have waited for a process to run. */
static bool is_longer(const struct ether_rtt *rtt, unsigned int part, uint64_t least, uint64_t most)
{
	uint64_t shortest = UINT64_MAX, more = rtt->least / part;

	for (int i = 0; i < ETHER_RECENT; i++)
		if (rtt->recent[i] < shortest)
			shortest = rtt->recent[i];
	if (more < least)
		more = least;
	if (more > most)
		more = most;
	return shortest > rtt->least + more;
}

bool ether_rtt_queue(const struct ether_rtt *rtt)
{
	return rtt->recent_at < ETHER_RECENT || is_longer(rtt, 4, QUEUE_LEAST_US, QUEUE_MOST_US);
}

uint64_t ether_rtt_pto(const struct ether_rtt *rtt)
{
	uint64_t variation = 4 * rtt->variation;

	if (!rtt->smoothed)
		return 100000;
	return rtt->smoothed + (variation > GRAIN_US ? variation : GRAIN_US) + ETHER_ACK_DELAY_US;
}

uint64_t ether_rtt_loss(const struct ether_rtt *rtt, unsigned int slack)
{
	uint64_t most = rtt->latest > rtt->smoothed ? rtt->latest : rtt->smoothed;
	uint64_t wait = most + most * slack / 8;

	return wait > GRAIN_US ? wait : GRAIN_US;
}

void ether_window_init(struct ether_window *window, uint32_t unit)
{
	*window = (struct ether_window){ .unit = unit,
					 .window = (double)FIRST_UNITS * unit,
					 .threshold = INFINITY };
}

/* By Newton's method: once for each loss, so no library of mathematics is needed for it. */
static double cube_root(double of)
{
	double root = of > 1 ? of : 1;

	for (int i = 0; i < 60; i++)
		root -= (root - of / (root * root)) / 3;
	return root;
}

static void begin_epoch(struct ether_window *window, uint64_t now)
{
	window->epoch = now;
	window->estimate = window->window;
	if (window->window < window->before) {
		window->k = cube_root((window->before - window->window) / window->unit / SCALE);
	} else {
		window->k = 0;
		window->before = window->window;
	}
}

/* RFC 9438 4.2: the window at a time of this epoch. */
static double cubic(const struct ether_window *window, double seconds)
{
	double t = seconds - window->k;

	return window->before + SCALE * t * t * t * window->unit;
}

static void avoid_congestion(struct ether_window *window, uint32_t bytes, uint64_t now,
			     const struct ether_rtt *rtt)
{
	double seconds, target, most = window->window * 1.5;

	if (!window->epoch)
		begin_epoch(window, now);
	seconds = (double)(now - window->epoch) / 1e6;
	/* 4.3 lets it go at Reno's own pace once it is where it was before the loss. Linux does
	 * not, and it is what one shares links with. */
	window->estimate += ALPHA * window->unit * bytes / window->window;
	if (cubic(window, seconds) < window->estimate) {
		if (window->estimate > window->window)
			window->window = window->estimate;
		return;
	}
	target = cubic(window, seconds + (double)rtt->smoothed / 1e6);
	if (target > most)
		target = most;
	if (target > window->window)
		window->window += (target - window->window) * bytes / window->window;
}

void ether_window_acked(struct ether_window *window, uint32_t bytes, uint64_t sent, uint64_t now,
			const struct ether_rtt *rtt, bool full)
{
	window->lost_part -= window->lost_part / LOST_OVER;
	/* What went before the answer to a loss says nothing of the smaller window; and a window
	 * that is not used shows nothing (RFC 7661). */
	if (sent <= window->recovery || !full)
		return;
	if (window->window < window->threshold) {
		window->window += bytes;
		/* RFC 9406: where a queue grows, slow start has done its work. */
		if (rtt->recent_at >= ETHER_RECENT &&
		    is_longer(rtt, 8, SLOW_LEAST_US, SLOW_MOST_US))
			window->threshold = window->window;
		return;
	}
	avoid_congestion(window, bytes, now, rtt);
}

static void shrink(struct ether_window *window, double to)
{
	double least = (double)LEAST_UNITS * window->unit;

	window->window = to > least ? to : least;
	window->epoch = 0;
}

/*
 * A queue that overflows is full before it does, and the RTT shows it. Where it does not, as on a
 * wire that damages frames, a smaller window would help nobody; but one packet in ten is too many
 * for that to be believed.
 */
bool ether_window_lost(struct ether_window *window, uint64_t sent, uint64_t now,
		       const struct ether_rtt *rtt)
{
	window->lost_part += (1 - window->lost_part) / LOST_OVER;
	if (sent <= window->recovery)
		return false;
	if (!ether_rtt_queue(rtt) && window->lost_part < LOST_MOST)
		return false;
	window->recovery = now;
	window->saved[0] = window->window;
	window->saved[1] = window->threshold;
	window->saved[2] = window->before;
	window->saved[3] = (double)window->epoch;
	/* 4.7: who had less than last time leaves room for others sooner. */
	window->before =
		window->window < window->before ? window->window * (1 + BETA) / 2 : window->window;
	shrink(window, window->window * BETA);
	window->threshold = window->window;
	return true;
}

/* 4.9.2: the packets had only been late. */
void ether_window_undo(struct ether_window *window)
{
	if (window->saved[0] <= window->window)
		return;
	window->window = window->saved[0];
	window->threshold = window->saved[1];
	window->before = window->saved[2];
	window->epoch = (uint64_t)window->saved[3];
}

void ether_window_collapse(struct ether_window *window)
{
	if (window->window / 2 < window->threshold)
		window->threshold = window->window / 2;
	shrink(window, 0);
}

/* RFC 5681 4.1: after a pause nothing is known of the path; slow start finds it again. */
void ether_window_idle(struct ether_window *window)
{
	double first = (double)FIRST_UNITS * window->unit;

	if (window->window <= first)
		return;
	if (window->window * 0.75 > window->threshold || isinf(window->threshold))
		window->threshold = window->window * 0.75;
	shrink(window, first);
}
