// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <linux/ethtool.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "choose.h"
#include "loader.h"

static bool is_veth(const struct device *device)
{
	return !strcmp(device->kind, "veth");
}

const char *choose_why_tc(const struct device *device)
{
	if (is_veth(device))
		return "veth: packets may carry unfinished checksums or be GSO packets, which only "
		       "tc can forward";
	if (device->kind[0])
		return "not hardware: packets may carry unfinished checksums or be GSO packets, "
		       "which only tc can forward";
	return NULL;
}

const char *const choose_modes[] = { "auto", "xdp", "xdp-generic", "tc", NULL };

enum put_hook choose_by_mode(unsigned int mode)
{
	static const enum put_hook by_mode[] = {
		[CHOOSE_XDP] = PUT_HOOK_XDP,
		[CHOOSE_XDP_GENERIC] = PUT_HOOK_XDP_GENERIC,
		[CHOOSE_TC] = PUT_HOOK_TC,
	};

	return mode < COUNT_OF(by_mode) ? by_mode[mode] : PUT_HOOK_NONE;
}

/*
 * XDP redirects to any device of the set, so one that needs tc decides for all: a packet from a
 * NIC's native XDP to a bridge would be lost.
 */
enum put_hook choose_hook(unsigned int mode, const struct device *const *device, unsigned int count,
			  bool *may_fall_back)
{
	const struct device *decides = NULL;

	*may_fall_back = false;
	if (mode > CHOOSE_AUTO)
		return choose_by_mode(mode);
	for (unsigned int i = 0; i < count && !decides; i++)
		if (choose_why_tc(device[i]))
			decides = device[i];
	*may_fall_back = !decides;
	for (unsigned int i = 0; i < count; i++) {
		const char *name = device[i]->name, *why = choose_why_tc(device[i]);

		if (why)
			notice("%s: mode tc (%s)", name, why);
		else if (decides)
			notice("%s: mode tc (as %s needs it)", name, decides->name);
		else
			notice("%s: mode xdp (hardware; tc if its driver has no native XDP)", name);
	}
	return decides ? PUT_HOOK_TC : PUT_HOOK_XDP;
}

static int choose(const struct device_list *list, const char *name, bool loopback,
		  const struct device **device)
{
	const struct device *found = device_by_name(list, name);

	if (!found)
		return complain(
			EXIT_FAILED,
			"%s: no such device in this network namespace; `ip link` lists them", name);
	if (found->type != ARPHRD_ETHER && !(loopback && found->type == ARPHRD_LOOPBACK))
		return complain(
			EXIT_FAILED,
			"%s: not an Ethernet device (type %u); name one that has Ethernet headers",
			found->name, found->type);
	*device = found;
	return EXIT_DONE;
}

int choose_device(const struct device_list *list, const char *name, const struct device **device)
{
	return choose(list, name, false, device);
}

int choose_device_or_loopback(const struct device_list *list, const char *name,
			      const struct device **device)
{
	return choose(list, name, true, device);
}

/* What the sender at the other end of a veth must do can be asked only in this namespace. */
static void warn_veth_peer(const struct device_list *list, const struct device *device)
{
	const struct device *peer = device->link ? device_by_index(list, device->link) : NULL;

	if (!peer) {
		notice("%s: warning: its veth peer is in another namespace and cannot be asked; "
		       "XDP "
		       "needs whole checksums and NAPI there: `ethtool -K PEER tx off gro on`",
		       device->name);
		return;
	}
	if (device_ethtool_value(peer->name, ETHTOOL_GTXCSUM) == 1)
		notice("%s: warning: its peer %s leaves checksums unfinished, so receivers will "
		       "drop packets that XDP rewrote: `ethtool -K %s tx off`",
		       device->name, peer->name, peer->name);
	if (device_ethtool_value(peer->name, ETHTOOL_GGRO) == 0)
		notice("%s: warning: its peer %s has no NAPI, so packets redirected to %s are "
		       "lost: "
		       "`ethtool -K %s gro on`",
		       device->name, peer->name, device->name, peer->name);
}

static void warn_forwarding(const struct device *device, int version, const char *consequence)
{
	if (device_forwarding(device->name, version))
		return;
	notice("%s: warning: IPv%d forwarding is off, so %s: `sysctl "
	       "net.ipv%d.conf.%s.forwarding=1`",
	       device->name, version, consequence, version, device->name);
}

void choose_warn(const struct device_list *list, const struct device *device,
		 const struct choose_use *use)
{
	if (!device->up)
		notice("%s: warning: the device is down: `ip link set %s up`", device->name,
		       device->name);
	if (use->native_xdp && is_veth(device))
		warn_veth_peer(list, device);
	if (use->native_xdp && device->mtu > CHOOSE_XDP_MTU)
		notice("%s: warning: MTU %u: packets above %d bytes pass only if the driver has "
		       "multi-buffer XDP",
		       device->name, device->mtu, CHOOSE_XDP_MTU);
	if (device_lro(device->name) == 1)
		notice("%s: warning: large receive offload joins packets that cannot be parted "
		       "again: `ethtool -K %s lro off`",
		       device->name, device->name);
	if (use->v4)
		warn_forwarding(device, 4, use->unforwarded);
	if (use->v6)
		warn_forwarding(device, 6, use->unforwarded);
}

void choose_explain_xdp(const struct device *device, int err, char *text, size_t len)
{
	char driver[32], name[16];
	uint32_t id;

	device_driver(device->name, driver);
	if ((err == -EBUSY || err == -EEXIST) && !attach_xdp_occupant(device->ifindex, &id, name))
		snprintf(text, len,
			 "XDP program %s (id %u) is there already; remove it, as by `ip link set "
			 "dev %s "
			 "xdp off`, or use --mode tc",
			 name, id, device->name);
	else if (err == -EOPNOTSUPP)
		snprintf(text, len, "driver %s has no native XDP; use --mode xdp-generic or tc",
			 driver);
	else if (err == -ENOSPC)
		snprintf(text, len,
			 "it has fewer receive queues than its peer sends on; `ethtool -L %s rx N`",
			 device->name);
	else if (err == -ERANGE || err == -EINVAL)
		snprintf(text, len,
			 "driver %s refuses XDP at MTU %u or with these offloads; `ip link set %s "
			 "mtu "
			 "1500`, `ethtool -K %s lro off`, or --mode tc",
			 driver, device->mtu, device->name, device->name);
	else
		snprintf(text, len, "XDP: %s; use --mode tc", strerror(-err));
}
