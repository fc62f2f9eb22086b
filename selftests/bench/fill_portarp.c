/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fill_portarp - puts sharers (lib/sessions.h) into the pinned tables of an attached portarp
 * gateway.
 *
 *   fill_portarp INSTANCE N LAN_DEVICE MAC
 *
 * All live behind MAC on LAN_DEVICE.
 */
/* link: maps/pin.c */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/sessions.h"
#include "maps/pin.h"
#include "maps/portarp.h"

#define BATCH 4096

static const char *instance;

static int open_map(const char *name, size_t key_size, size_t value_size)
{
	int fd = pin_open_map(instance, "portarp", name, key_size, value_size);

	if (fd < 0)
		fprintf(stderr, "fill_portarp: %s: %s\n", name, strerror(-fd));
	return fd;
}

static int read_device(const char *device, struct portarp_addr *addr)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), error;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	error = ioctl(fd, SIOCGIFHWADDR, &request) ? -errno : 0;
	memcpy(addr->src_mac, request.ifr_hwaddr.sa_data, 6);
	if (!error)
		error = ioctl(fd, SIOCGIFMTU, &request) ? -errno : 0;
	addr->mtu = request.ifr_mtu;
	addr->ifindex = if_nametoindex(device);
	close(fd);
	return error;
}

/* Address by address: the places of its sharers follow each other. */
static int fill_addresses(uint32_t sharers, struct portarp_addr addr)
{
	int fd = open_map("portarp_addr", sizeof(__be32), sizeof(addr));

	if (fd < 0)
		return fd;
	addr.a = SHARERS_OFFSET;
	addr.k = SHARERS_LENGTH;
	for (uint32_t i = 0; i < sharers; i += SHARERS_EACH) {
		__be32 key = htonl(SHARERS_ADDRESS + i / SHARERS_EACH);

		addr.first = i;
		if (bpf_map_update_elem(fd, &key, &addr, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int fill_owners(uint32_t sharers, const struct portarp_owner *owner)
{
	static struct portarp_owner owners[BATCH];
	static uint32_t keys[BATCH];
	int fd = open_map("portarp_owner", sizeof(uint32_t), sizeof(*owner));

	if (fd < 0)
		return fd;
	for (uint32_t i = 0; i < sharers; i += BATCH) {
		uint32_t n = sharers - i < BATCH ? sharers - i : BATCH;

		for (uint32_t j = 0; j < n; j++) {
			keys[j] = i + j;
			owners[j] = *owner;
		}
		if (bpf_map_update_batch(fd, keys, owners, &n, NULL))
			return -errno;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t sharers = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
	struct portarp_owner owner = { .wait = PORTARP_OWNER_KNOWN };
	struct portarp_addr addr = { 0 };
	int error;

	if (!sharers || sharers > SESSIONS_MAX ||
	    sscanf(argv[4], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &owner.mac[0], &owner.mac[1],
		   &owner.mac[2], &owner.mac[3], &owner.mac[4], &owner.mac[5]) != 6) {
		fprintf(stderr, "usage: fill_portarp INSTANCE N LAN_DEVICE MAC\n");
		return 2;
	}
	instance = argv[1];
	error = read_device(argv[3], &addr);
	if (!error)
		error = fill_addresses(sharers, addr);
	if (!error)
		error = fill_owners(sharers, &owner);
	if (error)
		fprintf(stderr, "fill_portarp: %s: %s\n", instance, strerror(-error));
	return !!error;
}
