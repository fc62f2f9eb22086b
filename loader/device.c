// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "device.h"
#include "loader.h"
#include "netlink.h"

static int attribute_keep(const struct nlattr *attribute, void *data)
{
	const struct nlattr **table = data;
	int type = mnl_attr_get_type(attribute);

	if (type <= IFLA_MAX)
		table[type] = attribute;
	return MNL_CB_OK;
}

static void copy_text(char *to, size_t len, const struct nlattr *attribute)
{
	if (attribute)
		snprintf(to, len, "%.*s", (int)mnl_attr_get_payload_len(attribute),
			 (const char *)mnl_attr_get_payload(attribute));
}

static void read_vlan(const struct nlattr *data, struct device *device)
{
	const struct nlattr *table[IFLA_MAX + 1] = {};

	mnl_attr_parse_nested(data, attribute_keep, table);
	if (table[IFLA_VLAN_ID])
		device->vlan_id = mnl_attr_get_u16(table[IFLA_VLAN_ID]);
	device->vlan_proto = htons(ETH_P_8021Q);
	if (table[IFLA_VLAN_PROTOCOL])
		device->vlan_proto = mnl_attr_get_u16(table[IFLA_VLAN_PROTOCOL]);
}

static void read_kind(const struct nlattr *info, struct device *device)
{
	const struct nlattr *table[IFLA_MAX + 1] = {};

	mnl_attr_parse_nested(info, attribute_keep, table);
	copy_text(device->kind, sizeof(device->kind), table[IFLA_INFO_KIND]);
	if (!strcmp(device->kind, "vlan") && table[IFLA_INFO_DATA])
		read_vlan(table[IFLA_INFO_DATA], device);
}

static void read_device(const struct nlmsghdr *header, struct device *device)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(header);
	const struct nlattr *table[IFLA_MAX + 1] = {};

	mnl_attr_parse(header, sizeof(*link), attribute_keep, table);
	device->ifindex = link->ifi_index;
	device->type = link->ifi_type;
	device->up = link->ifi_flags & IFF_UP;
	copy_text(device->name, sizeof(device->name), table[IFLA_IFNAME]);
	if (table[IFLA_MTU])
		device->mtu = mnl_attr_get_u32(table[IFLA_MTU]);
	if (table[IFLA_LINK] && !table[IFLA_LINK_NETNSID])
		device->link = mnl_attr_get_u32(table[IFLA_LINK]);
	if (table[IFLA_MASTER])
		device->master = mnl_attr_get_u32(table[IFLA_MASTER]);
	if (table[IFLA_LINKINFO])
		read_kind(table[IFLA_LINKINFO], device);
}

static int list_add(const struct nlmsghdr *header, void *data)
{
	struct device_list *list = data;
	struct device *grown;

	if (header->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	grown = reallocarray(list->item, list->count + 1, sizeof(*grown));
	if (!grown)
		return MNL_CB_ERROR;
	list->item = grown;
	memset(&grown[list->count], 0, sizeof(*grown));
	read_device(header, &grown[list->count++]);
	return MNL_CB_OK;
}

int device_list_read(struct device_list *list)
{
	const struct ifinfomsg all = { .ifi_family = AF_UNSPEC };
	struct device_list read = {};
	int err = netlink_dump(RTM_GETLINK, &all, sizeof(all), list_add, &read);

	if (err)
		device_list_free(&read);
	else
		*list = read;
	return err;
}

void device_list_free(struct device_list *list)
{
	free(list->item);
	*list = (struct device_list){};
}

const struct device *device_by_name(const struct device_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (!strcmp(list->item[i].name, name))
			return &list->item[i];
	return NULL;
}

const struct device *device_by_index(const struct device_list *list, uint32_t ifindex)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->item[i].ifindex == ifindex)
			return &list->item[i];
	return NULL;
}

static int ethtool_ask(const char *name, void *question)
{
	struct ifreq request = { .ifr_data = question };
	int fd CLOSE_FD = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return ioctl(fd, SIOCETHTOOL, &request) ? -errno : 0;
}

int device_ethtool_value(const char *name, uint32_t command)
{
	struct ethtool_value value = { .cmd = command };
	int err = ethtool_ask(name, &value);

	return err ? err : !!value.data;
}

int device_lro(const char *name)
{
	struct ethtool_value value = { .cmd = ETHTOOL_GFLAGS };
	int err = ethtool_ask(name, &value);

	return err ? err : !!(value.data & ETH_FLAG_LRO);
}

void device_driver(const char *name, char driver[32])
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };

	if (ethtool_ask(name, &info))
		info.driver[0] = 0;
	snprintf(driver, 32, "%.31s", info.driver);
}

int device_mac(const char *name, uint8_t mac[6])
{
	struct ifreq request = {};
	int fd CLOSE_FD = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		return -errno;
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	return 0;
}

int device_forwarding(const char *name, int version)
{
	char path[96];
	int value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv%d/conf/%s/forwarding", version, name);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	if (fscanf(file, "%d", &value) != 1)
		value = -EIO;
	fclose(file);
	return value < 0 ? -EIO : !!value;
}
