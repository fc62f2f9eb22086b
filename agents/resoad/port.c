// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Whose each port is, where clients share an address. A port has one client at a time, and within
 * it a count: conflicts between one client's own sockets are found by its own kernel.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/address.h"
#include "resoad.h"

#define PORTS_FIRST 256 /* buckets, a power of 2 */

struct port {
	struct isthmus_addr address;
	__be16 port;
	uint8_t proto;
	struct client *client;
	unsigned int count;
	struct sock *bound; /* of BIND, until CONNECT or LISTEN goes on with it */
	struct port *next;
};

struct ports {
	struct port **bucket;
	unsigned int size, count;
};

struct ports *ports_new(void)
{
	struct ports *ports = calloc(1, sizeof(*ports));

	if (!ports)
		return NULL;
	ports->size = PORTS_FIRST;
	ports->bucket = calloc(ports->size, sizeof(struct port *));
	if (ports->bucket)
		return ports;
	free(ports);
	return NULL;
}

void ports_free(struct ports *ports)
{
	struct port *port, *next;

	if (!ports)
		return;
	for (unsigned int i = 0; i < ports->size; i++)
		for (port = ports->bucket[i]; port; port = next) {
			next = port->next;
			free(port);
		}
	free(ports->bucket);
	free(ports);
}

/* Addresses are few and ports many: the port spreads well enough. */
static unsigned int hash(const struct ports *ports, const struct isthmus_addr *address,
			 uint8_t proto, __be16 port)
{
	uint32_t h = ntohs(port) * 2654435761u;

	h ^= (address->b[15] * 31u + address->b[14] * 7u + proto) * 40503u;
	return (h ^ h >> 16) & (ports->size - 1);
}

static struct port **find(struct ports *ports, const struct ep_name *name)
{
	struct port **port = &ports->bucket[hash(ports, &name->address, name->proto, name->port)];

	while (*port && ((*port)->port != name->port || (*port)->proto != name->proto ||
			 !address_equal(&(*port)->address, &name->address)))
		port = &(*port)->next;
	return port;
}

static void grow(struct ports *ports)
{
	struct ports bigger = { .size = ports->size * 2, .count = ports->count };
	struct port *port, *next;
	unsigned int at;

	bigger.bucket = calloc(bigger.size, sizeof(struct port *));
	if (!bigger.bucket)
		return; /* longer chains, no more */
	for (unsigned int i = 0; i < ports->size; i++)
		for (port = ports->bucket[i]; port; port = next) {
			next = port->next;
			at = hash(&bigger, &port->address, port->proto, port->port);
			port->next = bigger.bucket[at];
			bigger.bucket[at] = port;
		}
	free(ports->bucket);
	*ports = bigger;
}

static bool is_granted(const struct client_conf *conf, uint16_t port)
{
	for (unsigned int i = 0; i < conf->granted_count; i++)
		if (conf->granted[i] == port)
			return true;
	return false;
}

/* A port that another client could have as its own at any time. */
static bool is_anothers(const struct client *client, uint8_t family, uint16_t port)
{
	const struct registry *registry = client->resoad->registry;
	const struct settings *settings = client->resoad->settings;
	const struct client_conf *other;

	if (port >= settings->port_low && port <= settings->port_high)
		return true;
	for (unsigned int i = 0; (other = registry_get(registry, i)); i++)
		if (other != client->conf && client_shares(other, family == 6) &&
		    (is_granted(other, port) ||
		     (port >= other->port_low && port <= other->port_high)))
			return true;
	return false;
}

bool port_is_leased(const struct client *client, const struct ep_name *name)
{
	uint16_t port = ntohs(name->port);

	return client->conf->own[name->family == 6] ||
	       (port >= client->conf->port_low && port <= client->conf->port_high);
}

/* What is not the client's is in use, as far as it can know; what needs CAP_NET_BIND_SERVICE at the
 * server is not permitted. */
static int permit(const struct client *client, const struct ep_name *name)
{
	uint16_t port = ntohs(name->port);

	if (port_is_leased(client, name) || is_granted(client->conf, port))
		return 0;
	if (client->conf->any_port && !is_anothers(client, name->family, port))
		return 0;
	return port < IPPORT_RESERVED && !client->conf->any_port ? -EACCES : -EADDRINUSE;
}

int port_take(struct client *client, const struct ep_name *name)
{
	struct ports *ports = client->resoad->ports;
	int err = permit(client, name);
	struct port **at, *port;

	if (err)
		return err;
	at = find(ports, name);
	port = *at;
	if (port && port->client != client)
		return -EADDRINUSE;
	if (!port) {
		port = calloc(1, sizeof(*port));
		if (!port)
			return -ENOMEM;
		port->address = name->address;
		port->port = name->port;
		port->proto = name->proto;
		port->client = client;
		*at = port;
		ports->count++;
	}
	port->count++;
	if (ports->count > ports->size)
		grow(ports);
	return 0;
}

void port_release(struct client *client, const struct ep_name *name)
{
	struct ports *ports = client->resoad->ports;
	struct port **at = find(ports, name), *port = *at;

	if (!port || port->client != client || --port->count)
		return;
	*at = port->next;
	free(port);
	ports->count--;
}

unsigned int port_count(const struct client *client, const struct ep_name *name)
{
	const struct port *port = *find(client->resoad->ports, name);

	return port && port->client == client ? port->count : 0;
}

struct sock *port_bound(const struct client *client, const struct ep_name *name)
{
	const struct port *port = *find(client->resoad->ports, name);

	return port && port->client == client ? port->bound : NULL;
}

void port_set_bound(struct client *client, const struct ep_name *name, struct sock *sock)
{
	struct port *port = *find(client->resoad->ports, name);

	if (port && port->client == client)
		port->bound = sock;
}

void port_release_all(struct client *client)
{
	struct ports *ports = client->resoad->ports;

	for (unsigned int i = 0; i < ports->size; i++)
		for (struct port **at = &ports->bucket[i], *port; (port = *at);) {
			if (port->client != client) {
				at = &port->next;
				continue;
			}
			*at = port->next;
			free(port);
			ports->count--;
		}
}
