/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * gen - sends 64-byte UDP packets from a device as fast as one CPU can, and says on one line of
 * JSON how many the far end counted.
 *
 * The kernel runs gen.bpf.c over pages of its own and sends them (BPF_F_TEST_XDP_LIVE_FRAMES). On
 * veth the whole way to the sink is then the work of this one CPU, so a packet's time is the sum of
 * what all its stations cost.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/sessions.h"

#define NS    1000000000ULL
#define CHUNK (1 << 17) /* packets of one system call */
#define BATCH 64	/* one NAPI poll's budget: no queue on the way overflows */
#define FRAME 64
#define CPUS  1024

struct options {
	struct gen_settings settings;
	const char *object, *count;
	unsigned int cpu;
	double seconds;
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static int read_count(int fd, uint64_t *sum)
{
	uint64_t values[CPUS];
	uint32_t zero = 0;

	if (libbpf_num_possible_cpus() > CPUS || bpf_map_lookup_elem(fd, &zero, values))
		return -errno;
	*sum = 0;
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		*sum += values[i];
	return 0;
}

static int open_generator(const struct options *opt)
{
	struct bpf_object *object = bpf_object__open_file(opt->object, NULL);
	struct bpf_program *program =
		object ? bpf_object__find_program_by_name(object, "gen") : NULL;
	struct bpf_map *map = object ? bpf_object__find_map_by_name(object, ".rodata") : NULL;
	int error;

	if (!program || !map)
		return -ENOENT;
	error = bpf_map__set_initial_value(map, &opt->settings, sizeof(opt->settings));
	error = error ?: bpf_object__load(object);
	return error ?: bpf_program__fd(program);
}

/* For `seconds`; adds up what was sent and how long the calls took. */
static int generate(int program, double seconds, uint64_t *sent, uint64_t *ns)
{
	uint8_t frame[FRAME] = { 0 };
	uint64_t start = now(), end = start + (uint64_t)(seconds * NS);

	*sent = 0;
	do {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame),
			    .repeat = CHUNK, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
			    .batch_size = BATCH);
		int error = bpf_prog_test_run_opts(program, &run);

		if (error)
			return error;
		*sent += CHUNK;
	} while (now() < end);
	*ns = now() - start;
	return 0;
}

static int measure(const struct options *opt)
{
	int program = open_generator(opt), count = bpf_obj_get(opt->count), error;
	uint64_t sent, ns, before, after;
	cpu_set_t cpus;

	if (program < 0 || count < 0) {
		fprintf(stderr, "gen: %s: %s\n", program < 0 ? opt->object : opt->count,
			strerror(program < 0 ? -program : errno));
		return 1;
	}
	CPU_ZERO(&cpus);
	CPU_SET(opt->cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus)) {
		perror("gen: CPU");
		return 1;
	}
	error = read_count(count, &before);
	error = error ?: generate(program, opt->seconds, &sent, &ns);
	usleep(20000); /* the kernel may still be polling the last of them */
	error = error ?: read_count(count, &after);
	if (error) {
		fprintf(stderr, "gen: %s\n", strerror(-error));
		return 1;
	}
	printf("{\"sessions\":%u,\"sent\":%ju,\"counted\":%ju,\"seconds\":%.6f,\"pps\":%.0f,"
	       "\"ns\":%.3f}\n",
	       opt->settings.sessions, (uintmax_t)sent, (uintmax_t)(after - before), ns / 1e9,
	       (after - before) * 1e9 / ns, after > before ? (double)ns / (after - before) : 0);
	return after == before;
}

static void usage(void)
{
	fputs("usage: gen --dev DEV --to MAC --object gen.bpf.o --count MAP [options]\n"
	      "  --count MAP     pinned map of sink.bpf.o\n"
	      "  --sessions N    a random one for each packet (1)\n"
	      "  --to-provider   to the far host itself, to be forwarded\n"
	      "  --seconds S     (1)\n"
	      "  --cpu N         (0)\n",
	      stderr);
}

static const struct option longs[] = {
	{ "dev", 1, NULL, 'd' },     { "to", 1, NULL, 't' },	   { "object", 1, NULL, 'o' },
	{ "count", 1, NULL, 'c' },   { "sessions", 1, NULL, 'n' }, { "to-provider", 0, NULL, 'p' },
	{ "seconds", 1, NULL, 's' }, { "cpu", 1, NULL, 'C' },	   { NULL, 0, NULL, 0 },
};

static bool take_mac(uint8_t mac[ETH_ALEN])
{
	return sscanf(optarg, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		      &mac[4], &mac[5]) == ETH_ALEN;
}

static bool take_option(struct options *opt, int c)
{
	switch (c) {
	case 'd':
		opt->settings.device = if_nametoindex(optarg);
		return opt->settings.device;
	case 't':
		return take_mac((uint8_t *)opt->settings.macs);
	case 'o':
		opt->object = optarg;
		return true;
	case 'c':
		opt->count = optarg;
		return true;
	case 'n':
		opt->settings.sessions = strtoul(optarg, NULL, 10);
		return opt->settings.sessions && opt->settings.sessions <= SESSIONS_MAX;
	case 'p':
		opt->settings.to_provider = 1;
		return true;
	case 's':
		opt->seconds = strtod(optarg, NULL);
		return opt->seconds > 0;
	case 'C':
		opt->cpu = strtoul(optarg, NULL, 10);
		return opt->cpu < CPU_SETSIZE;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	struct options opt = { .settings.sessions = 1, .seconds = 1 };
	bool good = true;
	int c;

	while (good && (c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		good = take_option(&opt, c);
	if (!good || optind != argc || !opt.settings.device || !opt.object || !opt.count) {
		usage();
		return 2;
	}
	return measure(&opt);
}
