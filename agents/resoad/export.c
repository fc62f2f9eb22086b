// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What clients are told of the server's network, so that a program there sees the addresses and
 * routes, and resolves names, as one here: REGISTERED, and CHANGED when it changes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/address.h"
#include "../lib/log.h"
#include "network.h"
#include "resoad.h"

#define FILE_MAX  32768
#define NAME_LEN  16  /* TCP_CA_NAME_MAX */
#define SETTLE_MS 100 /* several changes are told at once */

struct exports {
	struct resoad *resoad;
	struct isthmus_addr address[2]; /* that clients share */
	struct isthmus_addr resolver;	/* on loopback, that 192.0.0.8 stands for */
	struct network network;
	unsigned int mtu;
	json_t *files;
	int watch; /* network_watch() */
	struct event *changed, *settle;
};

static bool is_any(const struct isthmus_addr *address)
{
	static const struct isthmus_addr any;

	return !memcmp(address, &any, sizeof(any));
}

/* ---- choosing */

static bool is_of_device(const struct exports *exports, const struct held_address *held)
{
	const struct conf_list *devices = &exports->resoad->settings->device;

	for (unsigned int i = 0; i < devices->count; i++)
		if (if_nametoindex(devices->item[i]) == held->ifindex)
			return true;
	return !devices->count && held->ifindex != if_nametoindex("lo");
}

static void choose_address(struct exports *exports, int family, const char *text)
{
	struct isthmus_addr address;

	memset(&exports->address[family], 0, sizeof(address));
	if (text && !address_parse(text, &address)) {
		exports->address[family] = address;
		return;
	}
	for (unsigned int i = 0; i < exports->network.held_count; i++) {
		const struct held_address *held = &exports->network.held[i];

		if (address_is_v4(&held->prefix.address) != !family ||
		    !is_of_device(exports, held) ||
		    lease_has(exports->resoad, &held->prefix.address))
			continue;
		exports->address[family] = held->prefix.address;
		return;
	}
}

static const struct held_address *find_held(const struct exports *exports,
					    const struct isthmus_addr *address)
{
	for (unsigned int i = 0; i < exports->network.held_count; i++)
		if (address_equal(&exports->network.held[i].prefix.address, address))
			return &exports->network.held[i];
	return NULL;
}

/* By its own namespace: /sys may be another's. */
static unsigned int device_mtu(unsigned int ifindex)
{
	struct ifreq request = { .ifr_mtu = 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned int mtu = 0;

	if (fd >= 0 && if_indextoname(ifindex, request.ifr_name) &&
	    !ioctl(fd, SIOCGIFMTU, &request))
		mtu = (unsigned int)request.ifr_mtu;
	if (fd >= 0)
		close(fd);
	return mtu < 1280 || mtu > 65535 ? 1500 : mtu;
}

/* ---- files that the resolver of the C library reads */

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = file ? calloc(1, FILE_MAX + 1) : NULL;

	if (text)
		text[fread(text, 1, FILE_MAX, file)] = 0;
	if (file)
		fclose(file);
	return text;
}

static bool is_loopback(const struct isthmus_addr *address)
{
	static const struct isthmus_addr loopback6 = { { [15] = 1 } };

	return address_is_v4(address) ? address->b[12] == 127 : address_equal(address, &loopback6);
}

/* One line of resolv.conf: a loopback name server gets an address that can be routed here. */
static void convert_line(struct exports *exports, const char *line, FILE *out)
{
	struct isthmus_addr address;
	char word[64];

	if (sscanf(line, " nameserver %63s", word) != 1 || address_parse(word, &address) ||
	    !is_loopback(&address)) {
		fprintf(out, "%s\n", line);
		return;
	}
	if (!is_any(&exports->resolver))
		return; /* a second one of the same host */
	exports->resolver = address;
	fprintf(out, "nameserver 192.0.0.8\n");
}

static char *convert_resolv_conf(struct exports *exports, char *text)
{
	char *result = NULL, *save = NULL;
	size_t len;
	FILE *out = open_memstream(&result, &len);

	if (!out)
		return NULL;
	memset(&exports->resolver, 0, sizeof(exports->resolver));
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		convert_line(exports, line, out);
	fclose(out);
	return result;
}

static void read_files(struct exports *exports)
{
	static const char *const names[] = { "hosts", "nsswitch.conf", "resolv.conf" };
	char path[64], *text, *resolv;

	json_decref(exports->files);
	exports->files = json_object();
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/etc/%s", names[i]);
		text = read_file(path);
		if (text && i == 2) {
			resolv = convert_resolv_conf(exports, text);
			free(text);
			text = resolv;
		}
		if (text)
			json_object_set_new(exports->files, names[i], json_string(text));
		free(text);
	}
}

/* ---- what a client is told */

/* Empty if it cannot be read, or is longer than a name can be. */
static void read_congestion(char name[NAME_LEN])
{
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_congestion_control", "re");

	if (!file || fscanf(file, "%15s", name) != 1)
		name[0] = '\0';
	if (file)
		fclose(file);
}

const struct isthmus_addr *export_address(const struct client *client, uint8_t family)
{
	const struct client_conf *conf = client->conf;
	int i = family == 6;

	if (!i && conf->dhcp)
		return lease_get(client);
	if (!is_any(&conf->address[i]) || !client_shares(conf, i))
		return &conf->address[i];
	return &client->resoad->exports->address[i];
}

const struct isthmus_addr *export_resolver(const struct resoad *resoad)
{
	return &resoad->exports->resolver;
}

static unsigned int plain_bits(const struct prefix *prefix)
{
	return prefix->bits - (address_is_v4(&prefix->address) ? 96 : 0);
}

static json_t *addresses_json(const struct exports *exports, const struct client *client)
{
	json_t *array = json_array();
	char text[ADDRESS_TEXT_LEN];

	for (int i = 0; i < 2; i++) {
		const struct isthmus_addr *address = export_address(client, i ? 6 : 4);
		const struct held_address *held = find_held(exports, address);

		if (is_any(address))
			continue;
		address_text(address, text);
		json_array_append_new(array, json_pack("{s:s, s:i}", "address", text, "prefix",
						       held ? (int)plain_bits(&held->prefix)
						       : i  ? 128
							    : 32));
	}
	return array;
}

/* Of a family without an address nothing can be reached, as on a host that has none. */
static json_t *routes_json(const struct exports *exports, const struct client *client)
{
	json_t *array = json_array();
	char address[ADDRESS_TEXT_LEN], text[ADDRESS_TEXT_LEN + 8];

	for (unsigned int i = 0; i < exports->network.route_count; i++) {
		const struct route *route = &exports->network.route[i];
		json_t *object;

		if (is_any(export_address(client, address_is_v4(&route->to.address) ? 4 : 6)))
			continue;
		address_text(&route->to.address, address);
		snprintf(text, sizeof(text), "%s/%u", address, plain_bits(&route->to));
		object = json_pack("{s:s}", "to", text);
		if (route->type)
			json_object_set_new(object, "type", json_string(route->type));
		json_array_append_new(array, object);
	}
	return array;
}

static json_t *granted_json(const struct client_conf *conf)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < conf->granted_count; i++)
		json_array_append_new(array, json_integer(conf->granted[i]));
	return array;
}

json_t *export_registered(struct resoad *resoad, struct client *client)
{
	const struct client_conf *conf = client->conf;
	const struct exports *exports = resoad->exports;
	json_t *lease = lease_told(client);
	char congestion[NAME_LEN];

	read_congestion(congestion);
	return json_pack(
		"{s:i, s:s, s:s, s:o, s:o, s:i, s:[i,i], s:o, s:b, s:{s:i, s:I, s:I}, s:O, s:o*}",
		"version", EP_VERSION, "name", conf->identity.name, "congestion", congestion,
		"addresses", addresses_json(exports, client), "routes",
		routes_json(exports, client), "mtu", (int)exports->mtu, "ports",
		(int)conf->port_low, (int)conf->port_high, "granted", granted_json(conf),
		"any_port", (int)conf->any_port, "limits", "sockets", (int)conf->sockets, "rate",
		(json_int_t)conf->rate, "bytes", (json_int_t)conf->bytes, "files", exports->files,
		"lease", lease);
}

/* ---- changes */

static int read_all(struct exports *exports)
{
	const struct settings *settings = exports->resoad->settings;
	const struct held_address *held;
	int err = network_read(&exports->network);

	if (err)
		return err;
	choose_address(exports, 0, settings->address4);
	choose_address(exports, 1, settings->address6);
	held = find_held(exports, &exports->address[0]);
	if (!held)
		held = find_held(exports, &exports->address[1]);
	exports->mtu = held ? device_mtu(held->ifindex) : 1500;
	read_files(exports);
	if (exports->network.truncated)
		log_warn("more than %d routes: clients are told of the first ones", ROUTES_MAX);
	return 0;
}

static void tell(struct client *client)
{
	json_t *now = export_registered(client->resoad, client), *changed = json_object();
	const char *key;
	json_t *value;

	json_object_foreach (now, key, value)
		if (!json_equal(value, json_object_get(client->told, key)))
			json_object_set(changed, key, value);
	if (json_object_size(changed))
		client_tell(client, EP_CHANGED, now, changed);
	json_decref(changed);
	json_decref(now);
}

void export_tell(struct resoad *resoad)
{
	struct client *client, *next;

	for (client = resoad->clients; client; client = next) {
		next = client->next;
		if (client->registered && !client->ending)
			tell(client);
	}
}

static void on_settled(evutil_socket_t fd, short what, void *arg)
{
	struct exports *exports = arg;

	(void)fd;
	(void)what;
	if (!read_all(exports))
		export_tell(exports->resoad);
}

/* What has changed does not matter: all is read anew. */
static void on_changed(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval settle = { .tv_usec = SETTLE_MS * 1000 };
	struct exports *exports = arg;
	char buffer[16384];

	(void)what;
	for (int i = 0;
	     i < 64 && (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0 || errno == ENOBUFS);
	     i++)
		;
	if (!evtimer_pending(exports->settle, NULL))
		evtimer_add(exports->settle, &settle);
}

int export_watch(struct resoad *resoad)
{
	struct exports *exports = calloc(1, sizeof(*exports));

	if (!exports)
		return -ENOMEM;
	resoad->exports = exports;
	exports->resoad = resoad;
	exports->watch = network_watch();
	if (exports->watch < 0)
		return exports->watch;
	exports->settle = evtimer_new(resoad->base, on_settled, exports);
	exports->changed =
		event_new(resoad->base, exports->watch, EV_READ | EV_PERSIST, on_changed, exports);
	if (!exports->settle || !exports->changed || event_add(exports->changed, NULL))
		return -ENOMEM;
	return read_all(exports);
}

void export_close(struct resoad *resoad)
{
	struct exports *exports = resoad->exports;

	if (!exports)
		return;
	if (exports->changed)
		event_free(exports->changed);
	if (exports->settle)
		event_free(exports->settle);
	if (exports->watch >= 0)
		close(exports->watch);
	json_decref(exports->files);
	free(exports);
	resoad->exports = NULL;
}
