/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The network devices of this namespace: rtnetlink's list and ethtool's answers. */
#ifndef ISTHMUS_LOADER_DEVICE_H
#define ISTHMUS_LOADER_DEVICE_H

#include <linux/types.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_KIND 16

struct device {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	char kind[DEVICE_KIND]; /* "veth", "vlan", "bridge", ...; "" for hardware */
	uint16_t type;		/* ARPHRD_ */
	bool up;
	uint32_t mtu;
	uint32_t link;	  /* lower device or veth peer, 0 if none or in another namespace */
	uint32_t master;  /* the bridge, bond, ... that it belongs to, 0 if none */
	uint16_t vlan_id; /* of a VLAN device */
	__be16 vlan_proto;
};

struct device_list {
	struct device *item;
	size_t count;
};

/* Fills *list, to be freed with device_list_free(): 0 or -errno. */
int device_list_read(struct device_list *list);
void device_list_free(struct device_list *list);
const struct device *device_by_name(const struct device_list *list, const char *name);
const struct device *device_by_index(const struct device_list *list, uint32_t ifindex);

/* An on/off value (ETHTOOL_GTXCSUM, ...): 0, 1 or -errno. */
int device_ethtool_value(const char *name, uint32_t command);
/* Large receive offload on: 0, 1 or -errno. */
int device_lro(const char *name);
/* The driver's name, "" if it tells none. */
void device_driver(const char *name, char driver[32]);
/* Its hardware address, 0 or -errno. */
int device_mac(const char *name, uint8_t mac[6]);
/* net.ipv{4,6}.conf.DEV.forwarding: 0, 1 or -errno. */
int device_forwarding(const char *name, int version);

#endif
