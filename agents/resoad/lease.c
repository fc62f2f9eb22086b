// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Leases of 1-to-1 clients (4.1.2): an IPv4 address by DHCP with the client's MAC, for as long as
 * the client is registered.
 *
 *	REGISTER ── DISCOVER, OFFER, REQUEST, ACK ──> address on, REGISTERED ── T1, T2: renewed
 *	   │ 10 s                                           │            │
 *	   v                                                │ client     │ NAK, or
 *	REFUSED, or REGISTERED                              v gone: 3 s  v expired
 *	with IPv6 alone                        address off, RELEASE    client ended, address off
 *
 * A client without a lease is one that is not registered: its programs have a network that is not
 * there yet, and whatever ends its address ends its sockets as 4.4 says. It registers again by
 * itself, and tells again what listens.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/auth.h"
#include "../lib/dhcp_client.h"
#include "../lib/log.h"
#include "lease.h"
#include "resoad.h"

#define WAIT_S		 10   /* a client waits so long; it gives a silent server up after 15 s */
#define LINGER_MS	 3000 /* a client that comes back finds its address */
#define MESSAGES_AT_ONCE 64

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static bool is_any(const struct isthmus_addr *address)
{
	static const struct isthmus_addr any;

	return address_equal(address, &any);
}

/* ---- whose it is */

/* That are not about to end. */
static struct client *next_client(struct client *client, const struct lease *lease)
{
	while (client && (client->lease != lease || client->ending))
		client = client->next;
	return client;
}

/* One that has registered again is there twice for a moment. */
static struct client *any_client(const struct lease *lease)
{
	struct client *client = lease->leases->resoad->clients;

	while (client && client->lease != lease)
		client = client->next;
	return client;
}

static void end_clients(struct lease *lease, const char *why)
{
	struct client *client;

	while ((client = any_client(lease)))
		client_refuse_now(client, why);
}

/* ---- the address */

uint32_t lease_seconds_left(const struct lease *lease)
{
	int64_t left = (lease->dhcp.lease.expires - now_ms()) / 1000;

	if (lease->dhcp.lease.expires == DHCP_NEVER)
		return LEASE_FOREVER;
	return left < 1 ? 1 : left;
}

static void set_until(struct lease *lease)
{
	uint32_t left = lease_seconds_left(lease);

	lease->until = left == LEASE_FOREVER ? 0 : time(NULL) + left;
}

static void take_off(struct lease *lease)
{
	const struct lease_device *device = &lease->leases->device;
	char text[ADDRESS_TEXT_LEN];
	int err;

	if (is_any(&lease->address))
		return;
	if (lease->port68 >= 0)
		close(lease->port68);
	lease->port68 = -1;
	memset(&lease->address, 0, sizeof(lease->address));
	err = lease_address_remove(device, lease->dhcp.lease.address);
	if (err && err != -EADDRNOTAVAIL)
		log_error("client %s: %s stays on %s: %s", lease->name,
			  lease_v4_text(lease->dhcp.lease.address, text), device->link.name,
			  strerror(-err));
}

static void cannot_have(struct lease *lease, int err)
{
	char text[ADDRESS_TEXT_LEN];

	lease_v4_text(lease->dhcp.lease.address, text);
	if (err == -EEXIST) {
		log_warn("client %s: %s was leased, but is an address of this host: declined",
			 lease->name, text);
		dhcp_client_decline(&lease->dhcp, now_ms());
		return;
	}
	log_error("client %s: %s cannot be put on %s: %s", lease->name, text,
		  lease->leases->device.link.name, strerror(-err));
	for (struct client *c = next_client(lease->leases->resoad->clients, lease); c;
	     c = next_client(c->next, lease))
		client_end(c, "its address cannot be put on the server's device");
}

/* One that was registered without it has sockets that know no IPv4. */
static void tell_clients(struct lease *lease)
{
	struct client *client, *next;

	for (client = next_client(lease->leases->resoad->clients, lease); client; client = next) {
		next = next_client(client->next, lease);
		if (client->registered)
			client_end(client, "its IPv4 address has come");
		else
			client_register(client);
	}
}

static void first_bound(struct lease *lease)
{
	const struct dhcp_client_lease *got = &lease->dhcp.lease;
	const struct lease_device *device = &lease->leases->device;
	char address[ADDRESS_TEXT_LEN], server[ADDRESS_TEXT_LEN];
	int err = lease_address_put(device, got->address, lease_seconds_left(lease));

	if (err) {
		cannot_have(lease, err);
		return;
	}
	lease_set_v4(&lease->address, got->address);
	set_until(lease);
	lease->port68 = lease_address_hold_port(got->address);
	lease_address_announce(device, got->address);
	log_info("client %s: leases %s of %s for %u s", lease->name,
		 lease_v4_text(got->address, address), lease_v4_text(got->server, server),
		 got->seconds);
	event_del(lease->wait);
	tell_clients(lease);
}

/* ---- what the exchange asks for */

static uint32_t random_number(void)
{
	uint32_t number = 0;

	auth_random(&number, sizeof(number));
	return number;
}

static void on_send(struct dhcp_client *dhcp, struct dhcp_frame_ends *ends, const uint8_t *bytes,
		    size_t len)
{
	const struct lease *lease = dhcp->arg;
	int err = dhcp_link_send(&lease->leases->device.link, ends, bytes, len);

	if (err)
		log_debug("client %s: DHCP: not sent: %s", lease->name, strerror(-err));
}

static void on_bound(struct dhcp_client *dhcp, bool renewed)
{
	struct lease *lease = dhcp->arg;
	int err;

	if (!renewed || is_any(&lease->address)) {
		first_bound(lease);
		return;
	}
	set_until(lease);
	err = lease_address_keep(&lease->leases->device, dhcp->lease.address,
				 lease_seconds_left(lease));
	if (err)
		log_error("client %s: its address: %s", lease->name, strerror(-err));
	log_debug("client %s: renewed for %u s", lease->name, dhcp->lease.seconds);
	export_tell(lease->leases->resoad);
}

/* The sockets first: their peers are told from the address that they know. */
static void on_lost(struct dhcp_client *dhcp, const char *why)
{
	struct lease *lease = dhcp->arg;
	char text[ADDRESS_TEXT_LEN];

	end_clients(lease, "the lease of its address is over");
	if (!is_any(&lease->address))
		log_info("client %s: %s is its address no more: %s", lease->name,
			 lease_v4_text(dhcp->lease.address, text), why);
	take_off(lease);
}

static const struct dhcp_client_hooks hooks = { on_send, on_bound, on_lost, random_number };

/* ---- the loop */

static void lease_free(struct lease *lease)
{
	struct lease **at = &lease->leases->first;

	while (*at != lease)
		at = &(*at)->next;
	*at = lease->next;
	dhcp_client_release(&lease->dhcp, now_ms());
	dhcp_link_listen_for(&lease->leases->device.link, lease->dhcp.mac, false);
	if (lease->wait)
		event_free(lease->wait);
	free(lease);
}

/* When it is to be looked at again; 0: it is free. */
static int64_t next_time(struct lease *lease, int64_t now)
{
	if (any_client(lease))
		lease->free_at = 0;
	else if (!lease->free_at)
		lease->free_at = now + LINGER_MS;
	else if (lease->free_at <= now)
		return 0;
	return lease->free_at && lease->free_at < lease->dhcp.next ? lease->free_at
								   : lease->dhcp.next;
}

/* Gives back what nobody wants any more, and waits for the rest. */
static void settle(struct leases *leases)
{
	int64_t now = now_ms(), first = DHCP_NEVER, time;
	struct lease *lease, *next;
	struct timeval wait;

	if (leases->busy)
		return;
	leases->busy = true;
	for (lease = leases->first; lease; lease = next) {
		next = lease->next;
		time = next_time(lease, now);
		if (!time)
			lease_free(lease);
		else if (time < first)
			first = time;
	}
	leases->busy = false;
	event_del(leases->timer);
	if (first == DHCP_NEVER)
		return;
	first = first > now ? first - now : 0;
	wait.tv_sec = first / 1000;
	wait.tv_usec = first % 1000 * 1000;
	event_add(leases->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct leases *leases = arg;

	(void)fd;
	(void)what;
	leases->busy = true;
	for (struct lease *lease = leases->first; lease; lease = lease->next)
		dhcp_client_timer(&lease->dhcp, now_ms());
	leases->busy = false;
	settle(leases);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct leases *leases = arg;
	struct dhcp_frame_ends ends;
	struct dhcp_message message;
	uint8_t frame[DHCP_FRAME_MAX];
	const uint8_t *bytes;

	(void)fd;
	(void)what;
	leases->busy = true;
	for (int n = 0; n < MESSAGES_AT_ONCE; n++) {
		int len = dhcp_link_receive(&leases->device.link, frame, &ends, &bytes);

		if (len < 0 && len != -EBADMSG)
			break;
		if (len < 0 || dhcp_read(bytes, len, &message))
			continue;
		for (struct lease *lease = leases->first; lease; lease = lease->next)
			dhcp_client_message(&lease->dhcp, &message, ends.src_mac, now_ms());
	}
	leases->busy = false;
	settle(leases);
}

/* ---- a client comes and goes */

/* Without IPv4, if it has an address of IPv6: it may come by another server, or again. */
static void on_wait(evutil_socket_t fd, short what, void *arg)
{
	static const char why[] = "no address has been leased for it by DHCP";
	struct lease *lease = arg;
	struct client *client, *next;

	(void)fd;
	(void)what;
	for (client = next_client(lease->leases->resoad->clients, lease); client; client = next) {
		next = next_client(client->next, lease);
		if (client->registered)
			continue;
		log_warn("client %s: %s; state %s", lease->name, why,
			 dhcp_client_state_word(lease->dhcp.state));
		if (is_any(export_address(client, 6)))
			client_end(client, why);
		else
			client_register(client);
	}
}

static struct lease *lease_new(struct leases *leases, const struct client_conf *conf)
{
	struct lease *lease = calloc(1, sizeof(*lease));

	if (!lease)
		return NULL;
	lease->wait = evtimer_new(leases->resoad->base, on_wait, lease);
	if (!lease->wait) {
		free(lease);
		return NULL;
	}
	lease->leases = leases;
	lease->port68 = -1;
	strcpy(lease->name, conf->identity.name);
	lease->dhcp.hooks = &hooks;
	lease->dhcp.arg = lease;
	lease->dhcp.proxy = lease->dhcp.whole = true;
	memcpy(lease->dhcp.mac, conf->mac, DHCP_MAC);
	dhcp_client_make_mac_id(&lease->dhcp);
	dhcp_link_listen_for(&leases->device.link, conf->mac, true);
	lease->next = leases->first;
	leases->first = lease;
	dhcp_client_start(&lease->dhcp, now_ms());
	return lease;
}

int lease_take(struct client *client)
{
	const struct timeval wait = { .tv_sec = WAIT_S };
	struct leases *leases = client->resoad->leases;
	struct lease *lease = lease_find(leases, client->conf);

	if (!lease && leases)
		lease = lease_new(leases, client->conf);
	if (!lease)
		return -ENOMEM;
	client->lease = lease;
	if (!is_any(&lease->address))
		return 0;
	evtimer_add(lease->wait, &wait);
	settle(leases);
	return -EAGAIN;
}

void lease_drop(struct client *client)
{
	if (!client->lease)
		return;
	client->lease = NULL;
	settle(client->resoad->leases);
}

/* ---- begin and end */

static const struct client_conf *first_of_dhcp(const struct registry *registry)
{
	const struct client_conf *conf;

	for (unsigned int i = 0; (conf = registry_get(registry, i)); i++)
		if (conf->dhcp)
			return conf;
	return NULL;
}

int lease_check(const struct resoad *resoad, const struct registry *fresh, char *error,
		size_t error_len)
{
	const struct client_conf *conf = first_of_dhcp(fresh);

	if (!conf || resoad->leases)
		return 0;
	snprintf(error, error_len,
		 "client '%s': address = dhcp: no client had it at the start, so this daemon may "
		 "set no addresses; restart it, or start it with dhcp-device",
		 conf->identity.name);
	return -EPERM;
}

static void check_device(const struct settings *settings, const char *device)
{
	for (unsigned int i = 0; i < settings->device.count; i++)
		if (!strcmp(settings->device.item[i], device))
			return;
	log_warn("dhcp-device %s is none of the devices: FINs of peers are not held there", device);
}

int lease_open(struct resoad *resoad, char *error, size_t error_len)
{
	const struct settings *settings = resoad->settings;
	const char *device = settings->dhcp_device;
	struct leases *leases;
	int err;

	if (!device && !first_of_dhcp(resoad->registry))
		return 0;
	if (!device && settings->device.count)
		device = settings->device.item[0];
	if (!device) {
		snprintf(error, error_len,
			 "client '%s': address = dhcp: no device to ask on; see dhcp-device in "
			 "--help",
			 first_of_dhcp(resoad->registry)->identity.name);
		return -EINVAL;
	}
	snprintf(error, error_len, "out of memory");
	leases = calloc(1, sizeof(*leases));
	if (!leases)
		return -ENOMEM;
	err = lease_device_open(device, settings->control, &leases->device, error, error_len);
	if (err) {
		free(leases);
		return err;
	}
	check_device(settings, device);
	leases->resoad = resoad;
	resoad->leases = leases;
	leases->timer = evtimer_new(resoad->base, on_timer, leases);
	leases->readable = event_new(resoad->base, leases->device.link.fd, EV_READ | EV_PERSIST,
				     on_readable, leases);
	return leases->timer && leases->readable && !event_add(leases->readable, NULL) ? 0
										       : -ENOMEM;
}

/* Clients are gone. */
void lease_close(struct resoad *resoad)
{
	struct leases *leases = resoad->leases;

	if (!leases)
		return;
	leases->busy = true;
	while (leases->first)
		lease_free(leases->first);
	if (leases->timer)
		event_free(leases->timer);
	if (leases->readable)
		event_free(leases->readable);
	lease_device_close(&leases->device);
	free(leases);
	resoad->leases = NULL;
}
