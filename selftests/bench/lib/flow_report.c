/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One line of JSON about what flow did. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "flow.h"

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void report_rtt(void)
{
	double sum = 0;

	qsort(flow.samples, flow.sample_count, sizeof(*flow.samples), by_value);
	for (size_t i = 0; i < flow.sample_count; i++)
		sum += flow.samples[i];
#define AT(share) (flow.samples[(size_t)((flow.sample_count - 1) * (share))] / 1e3)
	printf(",\"rtt_us\":{\"count\":%zu,\"min\":%.2f,\"mean\":%.2f,\"p50\":%.2f,\"p90\":%.2f,"
	       "\"p99\":%.2f,\"max\":%.2f}",
	       flow.sample_count, AT(0), sum / flow.sample_count / 1e3, AT(.5), AT(.9), AT(.99),
	       AT(1));
#undef AT
}

/* A receiver's time is from its first byte to its last; any other end's from its start. */
static double report_streams(struct stream *sum)
{
	uint64_t first = UINT64_MAX, last = 0;

	for (unsigned int i = 0; i < opt.streams; i++) {
		struct stream *s = &flow.streams[i];

		sum->sent += s->sent;
		sum->received += s->received;
		sum->mismatches += s->mismatches;
		sum->messages += s->messages;
		sum->lost += s->lost;
		if (opt.udp && opt.role == RECV && s->seen > s->messages)
			sum->lost += s->seen - s->messages;
		if (s->first_ns && s->first_ns < first)
			first = s->first_ns;
		if (s->last_ns > last)
			last = s->last_ns;
		free(s->echo);
	}
	if (opt.role == RECV)
		return last > first ? (last - first) / 1e9 : 0;
	return flow.start_ns ? (flow_now() - flow.start_ns) / 1e9 : 0;
}

int flow_report(void)
{
	unsigned int finished = 0, opened = 0, resets = 0;
	struct stream sum = { 0 };
	double seconds = report_streams(&sum);
	uint64_t moved = opt.role == RECV ? sum.received : sum.sent;
	struct rusage use;

	for (unsigned int i = 0; i < opt.streams; i++) {
		finished += flow.streams[i].state == FINISHED;
		opened += flow.streams[i].state == OPEN;
		resets += flow.streams[i].reset;
	}
	getrusage(RUSAGE_SELF, &use);
	printf("{\"role\":\"%s\",\"proto\":\"%s\",\"streams\":%u,\"finished\":%u,\"unfinished\":%u,"
	       "\"failed\":%u,\"resets\":%u,\"seconds\":%.6f,\"sent\":%ju,\"received\":%ju,"
	       "\"mismatches\":%ju,\"messages\":%ju,\"lost\":%ju,\"mbit_s\":%.3f,\"cpu_s\":%.3f",
	       flow_roles[opt.role], opt.udp ? "udp" : "tcp", opt.streams, finished, opened,
	       opt.streams - finished - opened, resets, seconds, (uintmax_t)sum.sent,
	       (uintmax_t)sum.received, (uintmax_t)sum.mismatches, (uintmax_t)sum.messages,
	       (uintmax_t)sum.lost, seconds > 0 ? moved * 8 / seconds / 1e6 : 0,
	       use.ru_utime.tv_sec + use.ru_stime.tv_sec +
		       (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
	if (flow.sample_count)
		report_rtt();
	if (flow.last_error)
		printf(",\"error\":\"%s\"", strerror(flow.last_error));
	printf("}\n");
	return finished == opt.streams && !sum.mismatches ? 0 : 1;
}
