/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * lookup - what onetime's programs cost, by how many addresses there are: sk_lookup for a claimed
 * address, and the guard for a packet of a session.
 *
 *	lookup ONETIME_OBJECT EMPTY_OBJECT ADDRESSES ROUNDS
 *
 * Each run is of a random address; an empty program's time, measured in between, is taken off.
 * Prints for each round a line of JSON with nanoseconds: lookup_one, lookup_many, guard_one,
 * guard_many.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/onetime_numbers.h"
#include "maps/onetime.h"

#define RUNS  20000 /* of one figure in one round */
#define PORT  443
#define PEER  "2001:db8:c::1"
#define ONE   "2001:db8:1::" /* a /64 with one address, and one with many */
#define MANY  "2001:db8:2::"
#define NEVER (~0ULL >> 1)
#define BATCH 4096

static struct bpf_object *ours, *empty;
static struct isthmus_addr peer, one, many;
static uint64_t addresses;

static int map_fd(const char *name)
{
	return bpf_object__find_map_fd_by_name(ours, name);
}

static int program_fd(struct bpf_object *object, const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);

	return program ? bpf_program__fd(program) : -ENOENT;
}

static struct bpf_object *load(const char *path)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);

	return object && !bpf_object__load(object) ? object : NULL;
}

/* ---- tables */

static struct onetime_addr claimed(void)
{
	return (struct onetime_addr){
		.state = ONETIME_STATE_CLAIMED,
		.use = ONETIME_SSA,
		.mode = ONETIME_L1,
		.proto = IPPROTO_TCP,
		.peer = peer,
		.port = htons(PORT),
		.peer_port = htons(PORT),
		.wire_port = htons(PORT),
		.wire_peer_port = htons(PORT),
		.until_ns = NEVER,
	};
}

static int fill(const struct isthmus_addr *prefix, uint64_t count)
{
	static struct isthmus_addr keys[BATCH];
	static struct onetime_addr values[BATCH];
	struct onetime_prefix pool = { .bits = 64, .addr = *prefix };
	struct onetime_pool settings = { .mode = ONETIME_L1 };

	if (bpf_map_update_elem(map_fd("onetime_pool"), &pool, &settings, BPF_ANY))
		return -errno;
	for (uint64_t first = 0; first < count;) {
		uint32_t part = count - first < BATCH ? count - first : BATCH;

		for (uint32_t i = 0; i < part; i++) {
			keys[i] = numbered(prefix, first + i);
			values[i] = claimed();
		}
		if (bpf_map_update_batch(map_fd("onetime_addr"), keys, values, &part, NULL))
			return -errno;
		first += part;
	}
	return 0;
}

static int listener(void)
{
	struct sockaddr_in6 loopback = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	uint64_t fd = socket(AF_INET6, SOCK_STREAM, 0);
	uint32_t index = 0;

	if (bind(fd, (void *)&loopback, sizeof(loopback)) || listen(fd, 1) ||
	    bpf_map_update_elem(map_fd("onetime_listen"), &index, &fd, BPF_ANY))
		return -errno;
	return 0;
}

/* ---- runs */

/* Nanoseconds, or 0 if the program did not say `want`. */
static uint32_t run(int fd, struct bpf_test_run_opts *options, uint32_t want)
{
	if (bpf_prog_test_run_opts(fd, options) || options->retval != want) {
		fprintf(stderr, "lookup: a run failed: %s, returned %u\n", strerror(errno),
			options->retval);
		exit(1);
	}
	return options->duration;
}

static uint32_t run_lookup(int fd, const struct isthmus_addr *local)
{
	struct bpf_sk_lookup ctx = {
		.family = AF_INET6,
		.protocol = IPPROTO_TCP,
		.remote_port = htons(PORT),
		.local_port = PORT,
	};
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx),
		    .repeat = 1);

	memcpy(ctx.remote_ip6, peer.b, sizeof(ctx.remote_ip6));
	memcpy(ctx.local_ip6, local->b, sizeof(ctx.local_ip6));
	return run(fd, &options, SK_PASS);
}

static uint32_t run_guard(int fd, const struct isthmus_addr *local)
{
	struct {
		struct ethhdr eth;
		struct ipv6hdr ip;
		struct tcphdr tcp;
	} __attribute__((packed)) frame = {
		.eth.h_proto = htons(ETH_P_IPV6),
		.ip = { .version = 6,
			.payload_len = htons(sizeof(frame.tcp)),
			.nexthdr = IPPROTO_TCP,
			.hop_limit = 64 },
		.tcp = { .source = htons(PORT), .dest = htons(PORT), .doff = 5, .ack = 1 },
	};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = &frame, .data_size_in = sizeof(frame),
		    .repeat = 1);

	memcpy(&frame.ip.saddr, peer.b, sizeof(frame.ip.saddr));
	memcpy(&frame.ip.daddr, local->b, sizeof(frame.ip.daddr));
	return run(fd, &options, (uint32_t)-1); /* TC_ACT_UNSPEC: it passes */
}

typedef uint32_t (*runner)(int fd, const struct isthmus_addr *local);

/* The mean of a program's time beyond an empty one's. */
static double beyond(runner run_one, int fd, int empty_fd, const struct isthmus_addr *prefix,
		     uint64_t count)
{
	double sum = 0;

	for (int i = 0; i < RUNS; i++) {
		struct isthmus_addr local = numbered(prefix, (uint64_t)random() % count);

		sum += run_one(fd, &local);
		sum -= run_one(empty_fd, &local);
	}
	return sum / RUNS;
}

static void measure(void)
{
	int lookup = program_fd(ours, "onetime_lookup"), in = program_fd(ours, "onetime_in");
	int no_lookup = program_fd(empty, "empty_lookup"), no_in = program_fd(empty, "empty_in");

	printf("{\"lookup_one\":%.1f,", beyond(run_lookup, lookup, no_lookup, &one, 1));
	printf("\"lookup_many\":%.1f,", beyond(run_lookup, lookup, no_lookup, &many, addresses));
	printf("\"guard_one\":%.1f,", beyond(run_guard, in, no_in, &one, 1));
	printf("\"guard_many\":%.1f}\n", beyond(run_guard, in, no_in, &many, addresses));
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: lookup ONETIME_OBJECT EMPTY_OBJECT ADDRESSES ROUNDS\n");
		return 2;
	}
	addresses = strtoull(argv[3], NULL, 10);
	numbered_prefix(PEER, &peer);
	numbered_prefix(ONE, &one);
	numbered_prefix(MANY, &many);
	ours = load(argv[1]);
	empty = load(argv[2]);
	if (!ours || !empty || fill(&one, 1) || fill(&many, addresses) || listener()) {
		fprintf(stderr, "lookup: %s\n", strerror(errno));
		return 1;
	}
	for (int round = atoi(argv[4]); round > 0; round--)
		measure();
	return 0;
}
