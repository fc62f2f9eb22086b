/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fill_waypoint - puts waypoint_xdp on a device and leaves it there, with so many bindings at one
 * address: the generator's sessions (lib/sessions.h) are sealed for a gateway behind another
 * device.
 *
 *	fill_waypoint OBJECT DEV OUT OUT_MAC GATEWAY_MAC MTU SESSIONS
 *
 * Initiators are 10.128.0.2 and on, the waypoint address 10.1.0.1; outer packets go from 10.2.0.1
 * to 10.2.0.2. The program makes the bindings, as it does for whoever comes while the address
 * waits; they never end. Prints how many there are.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/sessions.h"
#include "maps/waypoint.h"

#define NEVER_NS (~0ull >> 2)
#define GATEWAY	 1
#define HOST	 1
#define CPUS	 1024

static struct bpf_object *object;

static int put(const char *map, const void *key, const void *value)
{
	int fd = bpf_object__find_map_fd_by_name(object, map);

	return fd < 0 ? fd : bpf_map_update_elem(fd, key, value, BPF_ANY);
}

static struct isthmus_addr mapped(uint32_t host_order)
{
	struct isthmus_addr address = { .b = { [10] = 0xff, [11] = 0xff } };
	uint32_t wire = htonl(host_order);

	memcpy(address.b + 12, &wire, sizeof(wire));
	return address;
}

static int read_mac(const char *text, uint8_t mac[6])
{
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		      &mac[4], &mac[5]) == 6
		       ? 0
		       : -EINVAL;
}

static int fill_gateway(char **argv)
{
	struct tunnel_peer peer = { .key = { 0x0123456789abcdef, 0xfedcba9876543210 },
				    .local = mapped(SESSIONS_RELAY_B),
				    .remote = mapped(SESSIONS_RELAY_B + 1),
				    .local_port = htons(TUNNEL_PORT),
				    .remote_port = htons(TUNNEL_PORT),
				    .vni = 1,
				    .ifindex = if_nametoindex(argv[3]),
				    .mtu = atoi(argv[6]),
				    .flags = TUNNEL_UP };
	uint32_t index = GATEWAY;

	if (!peer.ifindex)
		return -ENODEV;
	return read_mac(argv[4], peer.src_mac)
		       ?: read_mac(argv[5], peer.dst_mac) ?: put("waypoint_peer", &index, &peer);
}

/* The address waits until then, for anybody. */
static int fill_wait(uint64_t until_ns)
{
	struct waypoint_addr addr = { .waits_until_ns = until_ns };
	struct waypoint_wait wait = { .until_ns = until_ns, .peer = GATEWAY, .host = HOST };
	uint32_t zero = 0, waypoint = htonl(SESSIONS_RELAY_A);

	return put("waypoint_wait", &zero, &wait) ?: put("waypoint_addr", &waypoint, &addr);
}

static int fill_conf(void)
{
	struct waypoint_conf conf = { .common = { .abi = WAYPOINT_ABI, .port = htons(TUNNEL_PORT) },
				      .fresh_ns = NEVER_NS };
	uint32_t zero = 0;

	return put("waypoint_conf", &zero, &conf);
}

/* ---- bindings */

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	uint8_t data[18];
} __attribute__((packed));

/* The checksum of a header whose address alone changes is not looked at here. */
static int first_packet(int program, struct frame *frame, struct xdp_md *ctx, uint32_t initiator)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(*frame),
		    .ctx_in = ctx, .ctx_size_in = sizeof(*ctx), .repeat = 1);
	int error;

	frame->ip.saddr = htonl(initiator);
	error = bpf_prog_test_run_opts(program, &run);
	return error ?: run.retval == XDP_REDIRECT ? 0 : -EPROTO;
}

static int read_bound(uint64_t *bound)
{
	int fd = bpf_object__find_map_fd_by_name(object, "waypoint_stats");
	uint32_t reason = WAYPOINT_BOUND;
	struct isthmus_count each[CPUS];

	if (libbpf_num_possible_cpus() > CPUS || bpf_map_lookup_elem(fd, &reason, each))
		return -ENOENT;
	*bound = 0;
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		*bound += each[i].packets;
	return 0;
}

static int fill_bindings(int program, uint32_t ifindex, const uint8_t mac[6], uint32_t sessions)
{
	struct xdp_md ctx = { .data_end = sizeof(struct frame), .ingress_ifindex = ifindex };
	struct frame frame = { .eth.h_proto = htons(ETH_P_IP),
			       .ip = { .version = 4,
				       .ihl = 5,
				       .ttl = 64,
				       .protocol = IPPROTO_UDP,
				       .tot_len = htons(sizeof(frame) - sizeof(frame.eth)),
				       .daddr = htonl(SESSIONS_RELAY_A) },
			       .udp.len = htons(sizeof(frame.udp) + sizeof(frame.data)) };
	uint64_t bound = 0;
	int error = fill_wait(NEVER_NS);

	memcpy(frame.eth.h_dest, mac, 6); /* from the generator, whose own address is zeros */
	for (uint32_t i = 0; i < sessions && !error; i++)
		error = first_packet(program, &frame, &ctx, SESSIONS_SUBSCRIBER + i);
	error = error ?: fill_wait(0) ?: read_bound(&bound);
	if (error)
		return error;
	printf("%ju\n", (uintmax_t)bound);
	return bound == sessions ? 0 : -ENOSPC;
}

static int own_mac(const char *device, uint8_t mac[6])
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	error = ioctl(fd, SIOCGIFHWADDR, &request) ? -errno : 0;
	close(fd);
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	return error;
}

/* As the loader does. */
static void resize(uint32_t sessions)
{
	struct bpf_map *bind = bpf_object__find_map_by_name(object, "waypoint_bind");
	struct bpf_map *source = bpf_object__find_map_by_name(object, "waypoint_source");

	bpf_map__set_max_entries(bind, sessions);
	if (sessions / 2 > WAYPOINT_SOURCES)
		bpf_map__set_max_entries(source, sessions / 2);
}

static int fill(char **argv, uint32_t sessions)
{
	struct bpf_program *program;
	int ifindex = if_nametoindex(argv[2]), error;
	uint8_t mac[6];

	object = bpf_object__open_file(argv[1], NULL);
	program = object ? bpf_object__find_program_by_name(object, "waypoint_xdp") : NULL;
	if (!program || !ifindex)
		return -ENOENT;
	resize(sessions);
	error = bpf_object__load(object) ?: fill_gateway(argv) ?: fill_conf() ?: own_mac(argv[2], mac);
	error = error ?: fill_bindings(bpf_program__fd(program), ifindex, mac, sessions);
	return error ?: bpf_xdp_attach(ifindex, bpf_program__fd(program), XDP_FLAGS_DRV_MODE, NULL);
}

int main(int argc, char **argv)
{
	uint32_t sessions = argc == 8 ? strtoul(argv[7], NULL, 10) : 0;
	int error;

	if (!sessions || sessions > SESSIONS_MAX) {
		fprintf(stderr,
			"usage: fill_waypoint OBJECT DEV OUT OUT_MAC GATEWAY_MAC MTU SESSIONS\n");
		return 2;
	}
	error = fill(argv, sessions);
	if (error)
		fprintf(stderr, "fill_waypoint: %s on %s: %s\n", argv[1], argv[2],
			strerror(-error));
	return error ? 1 : 0;
}
