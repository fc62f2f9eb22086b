/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * gen - sends UDP packets (of 64 bytes unless told) through several relays by turns, as fast as one
 * CPU can, and says on one line of JSON what a packet cost in each turn, by the count at the far
 * end.
 *
 * The kernel runs gen.bpf.c over pages of its own and sends them (BPF_F_TEST_XDP_LIVE_FRAMES). On
 * veth the whole way to the sink is then the work of this one CPU, so a packet's time is the sum of
 * what all its stations cost. Turns are short and many: what else the machine does hits all relays
 * alike, and medians leave it out.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sessions.h"

#define NS	  1000000000ULL
#define BATCH	  64 /* one NAPI poll's budget: no queue on the way overflows */
#define HEADERS	  42 /* Ethernet, IPv4, UDP */
#define FRAME	  64
#define FRAME_MAX 1514
#define CPUS	  1024
#define RELAYS	  16
#define ROUNDS	  100000
#define FIELD	  128
#define QUIET_US  200 /* the kernel may still be polling the last packets of a turn */

struct relay {
	char name[FIELD], netns[FIELD], device[FIELD], mac[FIELD], count[FIELD], what[FIELD];
	int netns_fd, program, count_fd;
	uint64_t sent, counted;
	double *ns; /* of each turn; 0 = nothing arrived */
};

static struct {
	const char *object;
	struct relay relays[RELAYS];
	unsigned int relay_count, cpu, rounds, packets, size;
} opt = { .rounds = 1, .packets = 1 << 16, .size = FRAME };

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

/* ---- relays */

static int read_settings(const struct relay *relay, struct gen_settings *settings)
{
	uint8_t *mac = (uint8_t *)settings->macs;
	const char *number = relay->what;

	settings->device = if_nametoindex(relay->device);
	settings->payload = opt.size - HEADERS;
	if (!strcmp(relay->what, "forward")) {
		settings->to = GEN_TO_PROVIDER;
		number = "1";
	} else if (!strncmp(relay->what, "sharers:", 8)) {
		settings->to = GEN_TO_SHARER;
		number += 8;
	}
	settings->sessions = strtoul(number, NULL, 10);
	if (!settings->device || !settings->sessions || settings->sessions > SESSIONS_MAX ||
	    sscanf(relay->mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5]) != ETH_ALEN)
		return -EINVAL;
	return 0;
}

/* Each relay has a program of its own, with its device and addresses as constants. */
static int load_program(const struct gen_settings *settings)
{
	struct bpf_object *object = bpf_object__open_file(opt.object, NULL);
	struct bpf_program *program =
		object ? bpf_object__find_program_by_name(object, "gen") : NULL;
	struct bpf_map *map = object ? bpf_object__find_map_by_name(object, ".rodata") : NULL;
	int error;

	if (!program || !map)
		return -ENOENT;
	error = bpf_map__set_initial_value(map, settings, sizeof(*settings));
	error = error ?: bpf_object__load(object);
	return error ?: bpf_program__fd(program);
}

static int enter(const struct relay *relay)
{
	return setns(relay->netns_fd, CLONE_NEWNET) ? -errno : 0;
}

static int open_relay(struct relay *relay)
{
	struct gen_settings settings = { 0 };
	int error;

	relay->netns_fd = open(relay->netns, O_RDONLY | O_CLOEXEC);
	relay->count_fd = bpf_obj_get(relay->count);
	relay->ns = calloc(opt.rounds, sizeof(*relay->ns));
	if (relay->netns_fd < 0 || relay->count_fd < 0 || !relay->ns)
		return -errno;
	error = enter(relay) ?: read_settings(relay, &settings);
	if (error)
		return error;
	relay->program = load_program(&settings);
	return relay->program < 0 ? relay->program : 0;
}

/* ---- turns */

static int take_turn(struct relay *relay, unsigned int round)
{
	uint8_t frame[FRAME_MAX] = { 0 };
	uint64_t before, after;
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = opt.size,
		    .repeat = opt.packets, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .batch_size = BATCH);
	int error = enter(relay) ?: read_count(relay->count_fd, &before);

	if (error)
		return error;
	error = bpf_prog_test_run_opts(relay->program, &run);
	usleep(QUIET_US);
	error = error ?: read_count(relay->count_fd, &after);
	if (error)
		return error;
	relay->sent += opt.packets;
	relay->counted += after - before;
	/* The kernel's own time, a packet: the call also waits for others to let go of pages. */
	if (after > before)
		relay->ns[round] = (double)run.duration * opt.packets / (after - before);
	return 0;
}

/* Odd rounds go through the relays backwards. */
static int measure(void)
{
	for (unsigned int round = 0; round < opt.rounds; round++)
		for (unsigned int i = 0; i < opt.relay_count; i++) {
			unsigned int at = round % 2 ? opt.relay_count - 1 - i : i;
			int error = take_turn(&opt.relays[at], round);

			if (error)
				return error;
		}
	return 0;
}

static int report(void)
{
	int status = 0;

	printf("{\"packets\":%u,\"relays\":[", opt.packets);
	for (unsigned int i = 0; i < opt.relay_count; i++) {
		struct relay *relay = &opt.relays[i];

		printf("%s{\"name\":\"%s\",\"sent\":%ju,\"counted\":%ju,\"ns\":[", i ? "," : "",
		       relay->name, (uintmax_t)relay->sent, (uintmax_t)relay->counted);
		for (unsigned int round = 0; round < opt.rounds; round++) {
			printf("%s%.2f", round ? "," : "", relay->ns[round]);
			if (!(relay->ns[round] > 0))
				status = 1;
		}
		printf("]}");
		free(relay->ns);
	}
	printf("]}\n");
	if (status)
		fprintf(stderr, "gen: nothing arrived in some turn\n");
	return status;
}

/* ---- the command line */

static void usage(void)
{
	fputs("usage: gen --object gen.bpf.o --relay NAME,NETNS,DEV,MAC,MAP,WHAT... [options]\n"
	      "  NETNS, DEV   namespace file and device to send from\n"
	      "  MAC          destination\n"
	      "  MAP          pinned map of sink.bpf.o, where packets end\n"
	      "  WHAT         number of sessions, one at random for each packet; or `forward`:\n"
	      "               one flow to the far host itself; or `sharers:N`, a port of one of N\n"
	      "  --packets N  of one turn (65536)\n"
	      "  --rounds N   turns of each relay (1)\n"
	      "  --size N     bytes of a frame, 42 to 1514 (64)\n"
	      "  --cpu N      (0)\n",
	      stderr);
}

static bool take_relay(void)
{
	struct relay *relay = &opt.relays[opt.relay_count];

	if (opt.relay_count == RELAYS)
		return false;
	opt.relay_count++;
	return sscanf(optarg, "%127[^,],%127[^,],%127[^,],%127[^,],%127[^,],%127[^,]", relay->name,
		      relay->netns, relay->device, relay->mac, relay->count, relay->what) == 6;
}

static bool take_option(int c)
{
	switch (c) {
	case 'o':
		opt.object = optarg;
		return true;
	case 'y':
		return take_relay();
	case 'p':
		opt.packets = strtoul(optarg, NULL, 10);
		return opt.packets;
	case 'r':
		opt.rounds = strtoul(optarg, NULL, 10);
		return opt.rounds && opt.rounds <= ROUNDS;
	case 's':
		opt.size = strtoul(optarg, NULL, 10);
		return opt.size >= HEADERS && opt.size <= FRAME_MAX;
	case 'c':
		opt.cpu = strtoul(optarg, NULL, 10);
		return opt.cpu < CPU_SETSIZE;
	default:
		return false;
	}
}

static const struct option longs[] = {
	{ "object", 1, NULL, 'o' }, { "relay", 1, NULL, 'y' }, { "packets", 1, NULL, 'p' },
	{ "rounds", 1, NULL, 'r' }, { "cpu", 1, NULL, 'c' },   { "size", 1, NULL, 's' },
	{ NULL, 0, NULL, 0 },
};

static int run(void)
{
	cpu_set_t cpus;
	int error = 0;

	CPU_ZERO(&cpus);
	CPU_SET(opt.cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		return -errno;
	for (unsigned int i = 0; i < opt.relay_count && !error; i++) {
		error = open_relay(&opt.relays[i]);
		if (error)
			fprintf(stderr, "gen: relay %s cannot be reached\n", opt.relays[i].name);
	}
	return error ?: measure();
}

int main(int argc, char **argv)
{
	bool good = true;
	int c, error;

	while (good && (c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		good = take_option(c);
	if (!good || optind != argc || !opt.relay_count || !opt.object) {
		usage();
		return 2;
	}
	error = run();
	if (error) {
		fprintf(stderr, "gen: %s\n", strerror(-error));
		return 1;
	}
	return report();
}
