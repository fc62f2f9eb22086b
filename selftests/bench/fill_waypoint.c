/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fill_waypoint - puts waypoint_xdp on a device and leaves it there, with one binding: the
 * generator's first session (lib/sessions.h) is sealed for a gateway behind another device.
 *
 *	fill_waypoint OBJECT DEV OUT OUT_MAC GATEWAY_MAC MTU
 *
 * The initiator is 10.128.0.2, the waypoint address 10.1.0.1; outer packets go from 10.2.0.1 to
 * 10.2.0.2. The binding never ends.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sessions.h"
#include "maps/waypoint.h"

#define NEVER_NS (~0ull >> 2)
#define GATEWAY	 1
#define HOST	 1

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

static int fill_binding(void)
{
	struct waypoint_pair pair = { .initiator = htonl(SESSIONS_SUBSCRIBER),
				      .waypoint = htonl(SESSIONS_RELAY_A) };
	struct waypoint_bind bind = { .peer = GATEWAY, .host = HOST, .fresh_ns = NEVER_NS };
	struct waypoint_conf conf = { .common = { .abi = WAYPOINT_ABI,
						  .port = htons(TUNNEL_PORT) } };
	struct waypoint_addr addr = { .number = 0 };
	uint32_t zero = 0;

	return put("waypoint_conf", &zero, &conf) ?:
		       put("waypoint_addr", &pair.waypoint, &addr) ?:
		       put("waypoint_bind", &pair, &bind);
}

static int fill(char **argv)
{
	struct bpf_program *program;
	int ifindex = if_nametoindex(argv[2]);

	object = bpf_object__open_file(argv[1], NULL);
	program = object ? bpf_object__find_program_by_name(object, "waypoint_xdp") : NULL;
	if (!program || !ifindex)
		return -ENOENT;
	return bpf_object__load(object) ?:
		       fill_gateway(argv) ?:
		       fill_binding() ?:
		       bpf_xdp_attach(ifindex, bpf_program__fd(program), XDP_FLAGS_DRV_MODE, NULL);
}

int main(int argc, char **argv)
{
	int error;

	if (argc != 7) {
		fprintf(stderr, "usage: fill_waypoint OBJECT DEV OUT OUT_MAC GATEWAY_MAC MTU\n");
		return 2;
	}
	error = fill(argv);
	if (error)
		fprintf(stderr, "fill_waypoint: %s on %s: %s\n", argv[1], argv[2],
			strerror(-error));
	return error ? 1 : 0;
}
