// SPDX-License-Identifier: GPL-3.0-or-later
/* Local endpoints. A table of pointers for each address and protocol: finding an owner is one load.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/address.h"
#include "ports.h"

#define PORTS	     65536
#define RANDOM_TRIES 32
#define BIND_TRIES   64 /* ports of the host's own sockets that one search may meet */

static int slot(uint8_t proto)
{
	return proto == IPPROTO_UDP;
}

int locals_add(struct locals *locals, const struct isthmus_addr *addr, struct splice_range range,
	       bool draining)
{
	struct local *local;

	if (locals_find(locals, addr))
		return -EEXIST;
	if (locals->count == SPLICE_LOCALS)
		return -ENOSPC;
	local = &locals->item[locals->count++];
	memset(local, 0, sizeof(*local));
	local->addr = *addr;
	local->range = local->attached = range;
	local->draining = draining;
	return 0;
}

void locals_free(struct locals *locals)
{
	for (unsigned int i = 0; i < locals->count; i++) {
		free(locals->item[i].owner[0]);
		free(locals->item[i].owner[1]);
	}
	locals->count = 0;
}

struct local *locals_find(const struct locals *locals, const struct isthmus_addr *addr)
{
	for (unsigned int i = 0; i < locals->count; i++)
		if (address_equal(&locals->item[i].addr, addr))
			return (struct local *)&locals->item[i];
	return NULL;
}

struct session *locals_owner(const struct locals *locals, const struct isthmus_addr *addr,
			     uint8_t proto, uint16_t port)
{
	const struct local *local = locals_find(locals, addr);

	if (!local || !local->owner[slot(proto)])
		return NULL;
	return local->owner[slot(proto)][port];
}

static bool serves(const struct local *local, uint8_t family)
{
	return !local->draining && address_is_v4(&local->addr) == (family == 4);
}

bool locals_have_family(const struct locals *locals, uint8_t family)
{
	for (unsigned int i = 0; i < locals->count; i++)
		if (serves(&locals->item[i], family))
			return true;
	return false;
}

static unsigned int range_size(const struct local *local)
{
	return local->range.high - local->range.low + 1;
}

unsigned int locals_free_ports(const struct locals *locals, uint8_t proto)
{
	unsigned int ports = 0;

	for (unsigned int i = 0; i < locals->count; i++) {
		const struct local *local = &locals->item[i];

		if (!local->draining && range_size(local) > local->used[slot(proto)])
			ports += range_size(local) - local->used[slot(proto)];
	}
	return ports;
}

static int set_owner(struct local *local, uint8_t proto, uint16_t port, struct session *session)
{
	struct session ***owner = &local->owner[slot(proto)];

	if (!*owner)
		*owner = calloc(PORTS, sizeof(**owner));
	if (!*owner)
		return -ENOMEM;
	(*owner)[port] = session;
	local->used[slot(proto)]++;
	return 0;
}

/*
 * Does the host itself use the port? A bind tells: it fails for listeners, wildcard ones too, and
 * for connections. An address that is not the host's own cannot have such sockets.
 */
static bool host_uses(const struct isthmus_addr *addr, uint8_t proto, uint16_t port)
{
	struct sockaddr_storage storage;
	socklen_t len = address_to_sockaddr(addr, htons(port), &storage);
	int type = proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(storage.ss_family, type | SOCK_CLOEXEC, 0);
	bool used;

	if (fd < 0)
		return false;
	used = bind(fd, (struct sockaddr *)&storage, len) < 0 && errno == EADDRINUSE;
	close(fd);
	return used;
}

/* A free port of one address, or -ENOSPC. binds: how many more times the host may be asked. */
static int take_of(struct local *local, uint8_t proto, struct session *session, uint16_t *port,
		   int *binds)
{
	struct session **owner = local->owner[slot(proto)];
	unsigned int size = range_size(local);
	unsigned int at = arc4random_uniform(size);
	int err;

	if (local->used[slot(proto)] >= size)
		return -ENOSPC;
	/* Random first; a full table is then walked once from a random place. */
	for (unsigned int i = 0; i<size + RANDOM_TRIES && * binds> 0; i++) {
		uint16_t candidate = (uint16_t)(local->range.low + at);

		if (!owner || !owner[candidate]) {
			if (!host_uses(&local->addr, proto, candidate)) {
				err = set_owner(local, proto, candidate, session);
				if (!err)
					*port = candidate;
				return err;
			}
			--*binds;
		}
		at = i < RANDOM_TRIES ? arc4random_uniform(size) : (at + 1) % size;
	}
	return -ENOSPC;
}

int port_take(struct locals *locals, uint8_t family, uint8_t proto, struct session *session,
	      struct isthmus_addr *addr, uint16_t *port)
{
	static const struct isthmus_addr any;
	bool chosen = memcmp(addr, &any, sizeof(any)) != 0;
	unsigned int start = locals->count ? arc4random_uniform(locals->count) : 0;
	int binds = BIND_TRIES;

	for (unsigned int i = 0; i < locals->count; i++) {
		struct local *local = &locals->item[(start + i) % locals->count];
		int err;

		if (!serves(local, family) || (chosen && !address_equal(&local->addr, addr)))
			continue;
		err = take_of(local, proto, session, port, &binds);
		if (!err)
			*addr = local->addr;
		if (err != -ENOSPC)
			return err;
	}
	return -ENOSPC;
}

int port_claim(struct locals *locals, const struct isthmus_addr *addr, uint8_t proto, uint16_t port,
	       struct session *session)
{
	struct local *local = locals_find(locals, addr);

	if (!local || port < local->range.low || port > local->range.high)
		return -ERANGE;
	if (locals_owner(locals, addr, proto, port) || host_uses(addr, proto, port))
		return -EEXIST;
	return set_owner(local, proto, port, session);
}

int port_restore(struct locals *locals, const struct isthmus_addr *addr, uint8_t proto,
		 uint16_t port, struct session *session)
{
	struct local *local = locals_find(locals, addr);

	if (!local || port < local->attached.low || port > local->attached.high)
		return -ERANGE;
	if (locals_owner(locals, addr, proto, port))
		return -EEXIST;
	return set_owner(local, proto, port, session);
}

void port_release(struct locals *locals, const struct isthmus_addr *addr, uint8_t proto,
		  uint16_t port)
{
	struct local *local = locals_find(locals, addr);

	if (!local || !port || !locals_owner(locals, addr, proto, port))
		return;
	local->owner[slot(proto)][port] = NULL;
	local->used[slot(proto)]--;
}
