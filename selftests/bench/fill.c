/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fill - puts established UDP sessions (lib/sessions.h) into the pinned table of an attached
 * splice.
 *
 *   fill INSTANCE N DEV_A MAC_A DEV_B MAC_B
 *
 * Subscribers live behind MAC_A on DEV_A, providers behind MAC_B on DEV_B. The splice must have all
 * the relay's addresses that N sessions take, with all their ports.
 */
/* link: maps/pin.c */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "lib/sessions.h"
#include "maps/pin.h"
#include "maps/splice.h"

#define NS    1000000000ULL
#define BATCH 1000 /* legs of one system call; divides SESSIONS_ADDRESS */

static const char *instance;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static int open_map(const char *name, size_t key_size, size_t value_size)
{
	int fd = pin_open_map(instance, "splice", name, key_size, value_size);

	if (fd < 0)
		fprintf(stderr, "fill: %s: %s\n", name, strerror(-fd));
	return fd;
}

static struct isthmus_addr mapped(uint32_t host_order)
{
	struct isthmus_addr address = { .b = { [10] = 0xff, [11] = 0xff } };
	uint32_t wire = htonl(host_order);

	memcpy(address.b + 12, &wire, sizeof(wire));
	return address;
}

/* RFC 1624's sum of ~old + new, folded, in memory order. */
static uint16_t delta(const void *old, const void *new, size_t bytes)
{
	uint32_t sum = 0;
	uint16_t word;

	for (size_t i = 0; i < bytes; i += 2) {
		memcpy(&word, (const char *)old + i, 2);
		sum += (uint16_t)~word;
		memcpy(&word, (const char *)new + i, 2);
		sum += word;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static int read_hop(const char *device, const char *mac, struct splice_hop *hop)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), error;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	error = ioctl(fd, SIOCGIFHWADDR, &request);
	close(fd);
	*hop = (struct splice_hop){ .ifindex = if_nametoindex(device) };
	memcpy(hop->src_mac, request.ifr_hwaddr.sa_data, 6);
	if (error ||
	    sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &hop->dst_mac[0], &hop->dst_mac[1],
		   &hop->dst_mac[2], &hop->dst_mac[3], &hop->dst_mac[4], &hop->dst_mac[5]) != 6)
		return -EINVAL;
	return 0;
}

static int read_range(int fd, uint32_t local, struct splice_range *range)
{
	struct isthmus_addr address = mapped(local);

	if (bpf_map_lookup_elem(fd, &address, range))
		return -errno;
	if (range->low > SESSIONS_PORT || range->high < SESSIONS_PORT + SESSIONS_ADDRESS - 1)
		return -ERANGE;
	return 0;
}

/* The leg of session i that starts at side `from` (0 subscriber, 1 provider). */
static void make_leg(uint32_t i, int from, const struct splice_hop hops[2],
		     const struct splice_conf *conf, struct splice_leg *leg)
{
	const struct isthmus_addr remote[2] = { mapped(SESSIONS_SUBSCRIBER + i),
						mapped(SESSIONS_PROVIDER + i) };
	const struct isthmus_addr local[2] = { mapped(SESSIONS_RELAY_A + i / SESSIONS_ADDRESS),
					       mapped(SESSIONS_RELAY_B + i / SESSIONS_ADDRESS) };
	const struct isthmus_addr old[2] = { remote[from], local[from] };
	const uint16_t remote_port = htons(session_remote_port(i));
	const uint16_t local_port = htons(session_local_port(i));

	*leg = (struct splice_leg){
		.remote = remote[from],
		.new_src = local[!from],
		.new_dst = remote[!from],
		.remote_port = remote_port,
		.new_sport = local_port,
		.new_dport = remote_port,
		.state = SPLICE_LEG_LIVE,
		.flags = SPLICE_LEG_ACKED | SPLICE_LEG_ROUTED | (from ? SPLICE_LEG_PROVIDER : 0),
		.epoch = conf->epoch,
		.hop = hops[!from],
		.rendezvous = i + 1,
		.seen_ns = now(),
	};
	/* Sessions were made at any time, so their next hops fall due at any time. */
	leg->checked_ns =
		leg->seen_ns - conf->recheck_ns / SESSIONS_MAX * (i * 7919ull % SESSIONS_MAX);
	leg->addr_delta = delta(old, &leg->new_src, sizeof(old));
	/* Source and destination port change places with the other side's, which are the same. */
	leg->port_delta = delta((uint16_t[]){ remote_port, local_port }, &leg->new_sport, 4);
}

struct tables {
	int leg, local;
	struct splice_hop hops[2];
	struct splice_conf conf;
};

/* Sessions first to last - 1, all of one pair of relay addresses, from one side. */
static int fill_legs(const struct tables *tables, uint32_t first, uint32_t last, int from)
{
	static uint32_t keys[BATCH];
	static struct splice_leg legs[BATCH];
	uint32_t relay = from ? SESSIONS_RELAY_B : SESSIONS_RELAY_A, n = last - first;
	struct splice_range range;
	int error = read_range(tables->local, relay + first / SESSIONS_ADDRESS, &range);

	if (error)
		return error;
	for (uint32_t i = first; i < last; i++) {
		keys[i - first] = splice_leg_index(&range, session_local_port(i), IPPROTO_UDP);
		make_leg(i, from, tables->hops, &tables->conf, &legs[i - first]);
	}
	return bpf_map_update_batch(tables->leg, keys, legs, &n, NULL) ? -errno : 0;
}

static int open_tables(char **argv, struct tables *tables)
{
	uint32_t zero = 0;
	int conf = open_map("splice_conf", sizeof(zero), sizeof(tables->conf));

	tables->leg = open_map("splice_leg", sizeof(zero), sizeof(struct splice_leg));
	tables->local =
		open_map("splice_local", sizeof(struct isthmus_addr), sizeof(struct splice_range));
	if (conf < 0 || tables->leg < 0 || tables->local < 0)
		return -ENOENT;
	if (bpf_map_lookup_elem(conf, &zero, &tables->conf))
		return -errno;
	return read_hop(argv[0], argv[1], &tables->hops[0])
		       ?: read_hop(argv[2], argv[3], &tables->hops[1]);
}

int main(int argc, char **argv)
{
	uint32_t sessions = argc == 7 ? strtoul(argv[2], NULL, 10) : 0;
	struct tables tables;
	int error;

	if (!sessions || sessions > SESSIONS_MAX) {
		fprintf(stderr, "usage: fill INSTANCE N DEV_A MAC_A DEV_B MAC_B\n");
		return 2;
	}
	instance = argv[1];
	error = open_tables(argv + 3, &tables);
	for (uint32_t i = 0; i < sessions && !error; i += BATCH) {
		uint32_t last = i + BATCH < sessions ? i + BATCH : sessions;

		error = fill_legs(&tables, i, last, 0) ?: fill_legs(&tables, i, last, 1);
	}
	if (error)
		fprintf(stderr, "fill: %s: %s\n", instance, strerror(-error));
	return !!error;
}
