// SPDX-License-Identifier: GPL-3.0-or-later
/* Hosts: a line each in a file, a record each in the map, with the next hop that the kernel knows.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <ctype.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/bpf.h>

#include "../../maps/pin.h"
#include "../lib/address.h"
#include "../lib/log.h"
#include "../lib/neighbour.h"
#include "gateway.h"

#define LINE_MAX_LEN 512
#define HOSTS_PAGE   150 /* whose names fit into a message, however long they are */

static const struct {
	const char *name;
	size_t key_size, value_size;
} known[MAP_COUNT] = {
	[MAP_CONF] = { "gateway_conf", 4, sizeof(struct gateway_conf) },
	[MAP_HOST] = { "gateway_host", 4, sizeof(struct gateway_host) },
	[MAP_FLOW] = { "gateway_flow", sizeof(struct gateway_flow_key),
		       sizeof(struct gateway_flow) },
	[MAP_PAIR] = { "gateway_pair", sizeof(struct gateway_pair_key),
		       sizeof(struct gateway_flow) },
	[MAP_MASK] = { "gateway_mask", sizeof(struct gateway_mask_key), sizeof(__be16) },
	[MAP_EVENT] = { "gateway_event", 0, 0 },
};

static const char *const modes[] = {
	[GATEWAY_PLAIN] = "plain", [GATEWAY_MASKED] = "masked", [GATEWAY_AWARE] = "aware"
};

/* ---- the map */

static void write_host(struct gateway *g, uint32_t number)
{
	__u32 key = number;
	int err = bpf_map_update_elem(g->map[MAP_HOST], &key, &g->host[number].record, BPF_ANY);

	if (err)
		log_error("host %u cannot be written: %s", number, strerror(-err));
}

/* Whom masked flows come from: our own address on the host's LAN. */
static void note_inside(struct gateway *g, uint32_t ifindex, const struct isthmus_addr *source)
{
	struct tunnel_conf *conf = &g->conf.common;
	__u32 zero = 0;

	for (unsigned int i = 0; i < conf->links; i++) {
		struct tunnel_link *link = &conf->link[i], before = *link;

		if (link->ifindex != ifindex || link->side != TUNNEL_LAN)
			continue;
		if (address_is_v4(source))
			memcpy(&link->inside, source->b + 12, 4);
		else
			link->inside6 = *source;
		if (memcmp(&before, link, sizeof(before)))
			bpf_map_update_elem(g->map[MAP_CONF], &zero, &g->conf, BPF_EXIST);
		return;
	}
	log_warn("a host is behind device %u, on which the datapath is not as --lan", ifindex);
}

static void resolve(struct gateway *g, uint32_t number, bool ask)
{
	struct mnl_socket *query = tunnel_peers_query(g->peers);
	struct host *host = &g->host[number];
	struct gateway_host fresh = host->record;
	struct neighbour_route route;

	fresh.asked = 0;
	if (neighbour_route(query, &host->address, &route) ||
	    tunnel_peers_device(g->peers, route.ifindex, fresh.src_mac, &fresh.mtu))
		return; /* as before, if there was a way */
	if (fresh.ifindex != route.ifindex)
		note_inside(g, route.ifindex, &route.source);
	fresh.ifindex = route.ifindex;
	if (route.mtu && route.mtu < fresh.mtu)
		fresh.mtu = route.mtu;
	host->hop = route.hop;
	if (neighbour_find(query, &route.hop, route.ifindex, fresh.dst_mac) && ask)
		neighbour_use(query, &route.hop, route.ifindex);
	if (!memcmp(&fresh, &host->record, sizeof(fresh)))
		return;
	host->record = fresh;
	write_host(g, number);
}

void hosts_resolve(struct gateway *g)
{
	for (uint32_t i = 0; i < GATEWAY_HOSTS; i++)
		if (g->host[i].taken)
			resolve(g, i, false);
}

/* The datapath had a packet and no MAC. */
void hosts_asked(struct gateway *g, uint32_t number)
{
	if (number >= GATEWAY_HOSTS || !g->host[number].taken)
		return;
	g->counters.asked++;
	resolve(g, number, true);
	write_host(g, number); /* `asked` is ours to clear */
}

/* Packets pass the kernel's neighbour code by, so it would take the hosts for silent. */
void hosts_keep_alive(struct gateway *g)
{
	static const uint8_t none[6];

	for (uint32_t i = 0; i < GATEWAY_HOSTS; i++) {
		const struct host *host = &g->host[i];

		if (host->taken && memcmp(host->record.dst_mac, none, 6))
			neighbour_use(tunnel_peers_query(g->peers), &host->hop,
				      host->record.ifindex);
	}
}

/* ---- the file */

struct line {
	char name[HOST_NAME];
	struct isthmus_addr address;
	uint8_t mode;
};

/* Letters, digits, hyphens, underscores and dots; or @. */
static bool name_is_valid(const char *name)
{
	if (!strcmp(name, "@"))
		return true;
	if (!*name || strlen(name) >= HOST_NAME || *name == '.' || strstr(name, ".."))
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
			return false;
	return true;
}

static int parse_mode(const char *text, uint8_t *mode)
{
	for (uint8_t i = GATEWAY_PLAIN; i <= GATEWAY_AWARE; i++)
		if (!strcmp(text, modes[i])) {
			*mode = i;
			return 0;
		}
	return -EINVAL;
}

/* NULL, or what is wrong; name[0] is 0 for a line that says nothing. */
static const char *parse_line(char *text, struct line *line)
{
	char *save, *word[4] = { NULL }, *comment = strchr(text, '#');
	int words = 0;

	if (comment)
		*comment = 0;
	line->name[0] = 0;
	for (char *next = strtok_r(text, " \t\r\n", &save); next && words < 4;
	     next = strtok_r(NULL, " \t\r\n", &save))
		word[words++] = next;
	if (!words)
		return NULL;
	if (words < 2 || words > 3)
		return "NAME ADDRESS [plain|masked|aware] is needed";
	if (!name_is_valid(word[0]))
		return "the name is none";
	if (address_parse(word[1], &line->address))
		return "the address is none";
	line->mode = GATEWAY_PLAIN;
	if (word[2] && parse_mode(word[2], &line->mode))
		return "the mode is plain, masked or aware";
	for (char *at = word[0]; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	snprintf(line->name, sizeof(line->name), "%s", word[0]);
	return NULL;
}

static void put_host(struct gateway *g, uint32_t number, const struct line *line)
{
	struct host *host = &g->host[number];

	if (host->taken && address_equal(&host->address, &line->address) &&
	    host->record.mode == line->mode)
		return;
	memset(&host->record, 0, sizeof(host->record));
	host->taken = true;
	host->address = host->record.addr = line->address;
	host->record.mode = line->mode;
	snprintf(host->name, sizeof(host->name), "%s", line->name);
	resolve(g, number, true);
	write_host(g, number);
}

struct lines {
	struct line *line;
	unsigned int count;
};

static const char *take_line(struct lines *lines, char *text)
{
	struct line line;
	const char *why = parse_line(text, &line);

	if (why || !line.name[0])
		return why;
	if (lines->count == GATEWAY_HOSTS)
		return "there are too many hosts";
	for (unsigned int i = 0; i < lines->count; i++)
		if (!strcmp(lines->line[i].name, line.name))
			return "the name is there twice";
	lines->line[lines->count++] = line;
	return NULL;
}

static int read_lines(const char *path, struct lines *lines, char *error)
{
	FILE *file = fopen(path, "re");
	char text[LINE_MAX_LEN];
	const char *why = NULL;
	unsigned int number = 0;

	if (!file) {
		snprintf(error, ERROR_LEN, "%s: %s: a line NAME ADDRESS for each host is needed",
			 path, strerror(errno));
		return -errno;
	}
	while (!why && fgets(text, sizeof(text), file)) {
		number++;
		why = strlen(text) == sizeof(text) - 1 ? "the line is too long"
						       : take_line(lines, text);
	}
	fclose(file);
	if (!why)
		return 0;
	snprintf(error, ERROR_LEN, "%s:%u: %s", path, number, why);
	return -EINVAL;
}

/* Hosts that are no longer in the file are none for the datapath, too. */
static void drop_others(struct gateway *g, const bool *named)
{
	for (uint32_t i = 0; i < GATEWAY_HOSTS; i++) {
		struct gateway_host record;

		if (named[i] || bpf_map_lookup_elem(g->map[MAP_HOST], &i, &record) ||
		    (!g->host[i].taken && !record.mode))
			continue;
		memset(&g->host[i], 0, sizeof(g->host[i]));
		write_host(g, i);
	}
}

static void put_lines(struct gateway *g, const struct lines *lines)
{
	static bool named[GATEWAY_HOSTS];

	memset(named, 0, sizeof(named));
	for (unsigned int i = 0; i < lines->count; i++) {
		int number = numbers_get(g, "hosts", lines->line[i].name, 0, GATEWAY_HOSTS);

		if (number < 0) {
			log_error("%s: no number is free", lines->line[i].name);
			continue;
		}
		named[number] = true;
		put_host(g, (uint32_t)number, &lines->line[i]);
	}
	drop_others(g, named);
	numbers_save(g);
}

int hosts_read(struct gateway *g, char *error)
{
	struct lines lines = { calloc(GATEWAY_HOSTS, sizeof(struct line)), 0 };
	int err = lines.line ? read_lines(g->settings.hosts, &lines, error) : -ENOMEM;

	if (!err)
		put_lines(g, &lines);
	free(lines.line);
	return err;
}

json_t *hosts_json(const struct gateway *g, uint32_t *next)
{
	json_t *array = json_array();

	for (; *next < GATEWAY_HOSTS && json_array_size(array) < HOSTS_PAGE; ++*next) {
		const struct host *host = &g->host[*next];

		if (host->taken)
			json_array_append_new(array,
					      json_pack("{s:i, s:s, s:s}", "number", (int)*next,
							"name", host->name, "family",
							address_is_v4(&host->address) ? "4" : "6"));
	}
	return array;
}

int hosts_open(struct gateway *g, char *error)
{
	__u32 zero = 0;

	for (int i = 0; i < MAP_COUNT; i++) {
		int fd = pin_open_map(g->settings.instance, "gateway", known[i].name,
				      known[i].key_size, known[i].value_size);

		if (fd < 0) {
			snprintf(error, ERROR_LEN, "%s: %s", known[i].name,
				 fd == -ENOENT ? "not pinned: run `isthmus gateway attach`, or say "
						 "--attach auto"
				 : fd == -EPROTO
					 ? "of another version: attach it again with --replace"
					 : strerror(-fd));
			return fd;
		}
		g->map[i] = fd;
	}
	if (!bpf_map_lookup_elem(g->map[MAP_CONF], &zero, &g->conf))
		return 0;
	snprintf(error, ERROR_LEN, "gateway_conf cannot be read");
	return -EIO;
}
