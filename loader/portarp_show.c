// SPDX-License-Identifier: GPL-3.0-or-later
/* `isthmus portarp show`, `list`, `stats`, `who` and this datapath's line of `isthmus status`. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "address.h"
#include "attach.h"
#include "machine.h"
#include "pins.h"
#include "portarp.h"
#include "stats.h"
#include "walk.h"

#define NS_PER_S 1000000000ULL

/* ---- show */

static void print_link(const struct output *output, const struct portarp_link *link, bool here)
{
	char name[IF_NAMESIZE], mac[18];

	portarp_mac_text(link->mac, mac);
	output->record_start();
	output->text("device", here ? if_indextoname(link->ifindex, name) : NULL);
	output->number("ifindex", link->ifindex);
	output->text("side", link->side == PORTARP_UPLINK ? "uplink" : "lan");
	output->text("mode", put_hook_text(link->hook));
	output->text("tc", link->tc_link == PUT_TCX ? "tcx" : "clsact");
	output->text("mac", mac);
	output->number("mtu", link->mtu);
	output->record_end();
}

static void print_attachments(const struct output *output, const char *instance,
			      const struct portarp_pins *pins, const struct portarp_conf *conf,
			      unsigned int i, bool here)
{
	struct put_place place;
	struct put put;

	portarp_put_place(instance, PORTARP_STEM, pins, conf, &conf->link[i], &place);
	portarp_put_of(&conf->link[i], &put);
	put_print(output, &place, &put, here);
}

static const char *echo_text(unsigned int echo)
{
	static const char *const text[] = { "drop", "local", "owner" };

	return echo < COUNT_OF(text) ? text[echo] : "unknown";
}

/* One walk over the shared addresses: a record each, and places of the arrays that they use. */
struct addresses {
	const struct output *output;
	uint32_t sets, blocks, watched;
};

static void addr_each(const void *key, const void *value, void *arg)
{
	const struct portarp_addr *addr = value;
	struct addresses *addresses = arg;
	const struct output *output = addresses->output;
	struct isthmus_addr address;

	portarp_address(*(const __be32 *)key, &address);
	output->record_start();
	output->address("address", &address);
	output->number("offset_bits", addr->a);
	output->number("psid_bits", addr->k);
	output->text("claims", addr->flags & PORTARP_ADDR_OPEN ? "open" : "leased");
	output->text("echo", echo_text(addr->echo));
	output->boolean("ranges", addr->block);
	output->boolean("watched", addr->use);
	output->record_end();
	addresses->sets += 1u << (addr->k & 31);
	addresses->blocks += !!addr->block;
	addresses->watched += !!addr->use;
}

/* Seconds until a lease ends; OUTPUT_UNKNOWN: it does not. */
static int64_t seconds_left(__u64 expires_ns)
{
	struct timespec now;
	uint64_t now_ns;

	if (!expires_ns)
		return OUTPUT_UNKNOWN;
	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = now.tv_sec * NS_PER_S + now.tv_nsec;
	return expires_ns > now_ns ? (expires_ns - now_ns) / NS_PER_S : 0;
}

/* Every range of a record of portarp_mine; to be freed. NULL: no memory, or none. */
static struct output_range *mine_ranges(const struct portarp_mine *mine, unsigned int *count)
{
	unsigned int sets = mine->sets < PORTARP_SETS ? mine->sets : PORTARP_SETS;
	unsigned int ranges = mine->ranges < PORTARP_RANGES ? mine->ranges : PORTARP_RANGES;
	struct output_range *range;

	*count = 0;
	if (sets && !portset_valid(&mine->set))
		sets = 0;
	range = calloc((sets ? sets * portset_ranges(&mine->set) : 0) + ranges, sizeof(*range));
	for (unsigned int i = 0; range && i < sets; i++) {
		struct portset set = portarp_mine_set(mine, i);

		*count += portarp_set_ranges(&set, range + *count);
	}
	for (unsigned int i = 0; range && i < ranges; i++)
		range[(*count)++] =
			(struct output_range){ mine->range[i].low, mine->range[i].high };
	return range;
}

/* Ports of a shared address that are this machine's. */
static void mine_each(const void *key, const void *value, void *arg)
{
	const struct portarp_mine *mine = value;
	const struct output *output = arg;
	unsigned int count;
	struct output_range *range = mine_ranges(mine, &count);
	struct isthmus_addr address;

	portarp_address(*(const __be32 *)key, &address);
	output->record_start();
	output->address("address", &address);
	output->number("ifindex", mine->ifindex);
	output->number("sets", mine->sets);
	output->seconds("left", seconds_left(mine->expires_ns));
	output->ranges("ports", range, count);
	output->record_end();
	free(range);
}

static int print_array(const struct output *output, const char *name, int fd, uint64_t entries)
{
	uint32_t capacity;
	int err = walk_capacity(fd, &capacity);

	if (!err)
		stats_print_table(output, name, entries, capacity);
	return err;
}

static int print_tables(const struct output *output, const struct portarp_pins *pins,
			const struct addresses *addresses)
{
	const struct {
		const char *name;
		int fd;
	} tables[] = {
		{ "portarp_addr", pins->addr },	  { "portarp_sharer", pins->sharer },
		{ "portarp_mine", pins->mine },	  { "portarp_flow", pins->flow },
		{ "portarp_ident", pins->ident }, { "portarp_frag", pins->frag },
	};
	uint32_t singles;
	int err = portarp_singles(pins, &singles);

	output->list_start("tables");
	for (size_t i = 0; i < COUNT_OF(tables) && !err; i++)
		err = stats_print_fill(output, tables[i].name, tables[i].fd);
	if (!err)
		err = print_array(output, "portarp_owner", pins->owner, addresses->sets + singles);
	if (!err)
		err = print_array(output, "portarp_port", pins->port,
				  (uint64_t)addresses->blocks << 16);
	if (!err)
		err = print_array(output, "portarp_use", pins->use,
				  (uint64_t)addresses->watched * PORTARP_USE_WORDS);
	output->list_end();
	return err;
}

static void print_conf(const struct output *output, const struct portarp_conf *conf, bool here)
{
	output->text("role", portarp_role_text(conf->role));
	output->number("abi", conf->abi);
	output->number("netns", conf->netns);
	output->boolean("in_this_netns", here);
	output->number("op_request", ntohs(conf->op_request));
	output->number("op_reply", ntohs(conf->op_reply));
	output->seconds("echo", conf->echo_ns / NS_PER_S);
	output->seconds("ident", conf->ident_ns / NS_PER_S);
	output->seconds("proto", conf->proto_ns / NS_PER_S);
	output->seconds("frag", conf->frag_ns / NS_PER_S);
}

static int show(const struct output *output, const char *instance, const struct portarp_pins *pins)
{
	struct addresses addresses = { .output = output };
	struct portarp_conf conf;
	uint64_t here = 0;
	int err = portarp_conf_read(pins, &conf);

	if (!err)
		err = machine_netns(&here);
	if (err)
		return err;
	output->start();
	output->text("datapath", PORTARP_STEM);
	output->text("instance", instance);
	print_conf(output, &conf, here == conf.netns);
	output->list_start("devices");
	for (unsigned int i = 0; i < PORTARP_LINKS; i++)
		if (conf.link[i].ifindex)
			print_link(output, &conf.link[i], here == conf.netns);
	output->list_end();
	output->list_start("attachments");
	for (unsigned int i = 0; i < PORTARP_LINKS; i++)
		if (conf.link[i].ifindex)
			print_attachments(output, instance, pins, &conf, i, here == conf.netns);
	output->list_end();
	output->list_start("addresses");
	err = walk_map(pins->addr, addr_each, &addresses);
	output->list_end();
	output->list_start("own");
	if (!err)
		err = walk_map(pins->mine, mine_each, (void *)output);
	output->list_end();
	return err ? err : print_tables(output, pins, &addresses);
}

/* ---- list */

struct list {
	const struct output *output;
	const struct option_addresses *only;
	const __u8 *mac;
};

static void list_each(const struct portarp_owner_view *view, void *arg)
{
	struct list *list = arg;
	bool wanted = !list->only || !list->only->count;

	for (unsigned int i = 0; !wanted && i < list->only->count; i++)
		wanted = !memcmp(&list->only->item[i], &view->address, sizeof(view->address));
	if (list->mac &&
	    (memcmp(list->mac, view->owner.mac, 6) || !(view->owner.wait & PORTARP_OWNER_KNOWN)))
		wanted = false;
	if (!wanted)
		return;
	portarp_owner_print(list->output, view);
}

static int list_owners(const struct output *output, const char *instance,
		       const struct portarp_tables *tables, struct list *list)
{
	int err;

	list->output = output;
	output->start();
	output->text("datapath", PORTARP_STEM);
	output->text("instance", instance);
	output->list_start("owners");
	err = portarp_owners_each(tables, list_each, list);
	output->list_end();
	return err;
}

/* ---- who */

/* Six times two hexadecimal digits. */
static bool parse_mac(const char *text, __u8 mac[6])
{
	int used = 0;

	return strlen(text) == 17 && strspn(text, "0123456789abcdefABCDEF:") == 17 &&
	       sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		      &mac[3], &mac[4], &mac[5], &used) == 6 &&
	       used == 17;
}

static void print_owner(const struct output *output, const char *instance, const char *word,
			const struct portarp_owner_view *view)
{
	output->start();
	output->text("datapath", PORTARP_STEM);
	output->text("instance", instance);
	output->text("endpoint", word);
	output->list_start("owners");
	portarp_owner_print(output, view);
	output->list_end();
}

static int who_has(const struct output *output, const char *instance, const char *word,
		   const struct portarp_tables *tables)
{
	struct portarp_owner_view view;
	struct isthmus_addr address;
	uint16_t port;
	int err;

	if (portarp_parse_endpoint(word, &address, &port))
		return complain(EXIT_USAGE,
				"portarp who %s: ADDRESS:PORT, as 192.0.2.1:5353, or a MAC is "
				"needed",
				word);
	err = portarp_owner_of(tables, &address, port, &view);
	if (err == -ENOENT)
		return complain(EXIT_FAILED,
				"portarp who %s: not a shared address here; `isthmus portarp show` "
				"lists them",
				word);
	if (err == -ESRCH)
		return complain(EXIT_FAILED,
				"portarp who %s: the port is in no set and given to nobody; "
				"`isthmus portarp list` tells who has which",
				word);
	if (err)
		return complain_pins(err, instance, PORTARP_STEM);
	print_owner(output, instance, word, &view);
	return EXIT_DONE;
}

/* ---- status */

static void count_owner(const struct portarp_owner_view *view, void *arg)
{
	if (view->owner.wait & PORTARP_OWNER_KNOWN)
		++*(uint64_t *)arg;
}

static int status(const struct output *output, const char *instance,
		  const struct portarp_pins *pins)
{
	uint64_t addresses, known = 0, here = 0;
	unsigned int devices = 0;
	struct portarp_tables tables;
	struct portarp_conf conf;
	int err = portarp_conf_read(pins, &conf);

	if (!err)
		err = machine_netns(&here);
	if (!err)
		err = walk_count(pins->addr, &addresses);
	if (!err)
		err = portarp_tables_open(pins, &tables);
	if (err)
		return err;
	err = portarp_owners_each(&tables, count_owner, &known);
	portarp_tables_close(&tables);
	if (err)
		return err;
	for (unsigned int i = 0; i < PORTARP_LINKS; i++)
		devices += !!conf.link[i].ifindex;
	output->record_start();
	output->text("datapath", PORTARP_STEM);
	output->text("instance", instance);
	output->text("mode", put_hook_text(conf.link[0].hook));
	output->number("devices", devices);
	output->text("role", portarp_role_text(conf.role));
	output->number("addresses", addresses);
	output->number("known", known);
	output->boolean("in_this_netns", here == conf.netns);
	output->record_end();
	return 0;
}

int portarp_status(const char *instance, const struct output *output)
{
	struct portarp_pins pins;
	int err = portarp_pins_open(instance, PORTARP_STEM, &pins);

	if (err)
		return err;
	err = status(output, instance, &pins);
	portarp_pins_close(&pins);
	return err;
}

/* ---- the verbs */

static const struct stats_reason reasons[] = {
#define REASON_ROW(name, verdict, text) { #name, #verdict, text },
	PORTARP_REASONS(REASON_ROW)
#undef REASON_ROW
};

int portarp_show(const void *arg, const struct output *output)
{
	const struct portarp_settings *wanted = arg;
	struct portarp_pins pins;
	int err = portarp_pins_open(wanted->common.instance, PORTARP_STEM, &pins);

	if (err)
		return complain_pins(err, wanted->common.instance, PORTARP_STEM);
	err = show(output, wanted->common.instance, &pins);
	portarp_pins_close(&pins);
	return err ? complain_pins(err, wanted->common.instance, PORTARP_STEM) : EXIT_DONE;
}

int portarp_list(const void *arg, const struct output *output)
{
	const struct portarp_settings *wanted = arg;
	struct list list = { .only = &wanted->only };
	struct portarp_pins pins;
	struct portarp_tables tables;
	int err = portarp_pins_open(wanted->common.instance, PORTARP_STEM, &pins);

	if (err)
		return complain_pins(err, wanted->common.instance, PORTARP_STEM);
	err = portarp_tables_open(&pins, &tables);
	if (!err) {
		err = list_owners(output, wanted->common.instance, &tables, &list);
		portarp_tables_close(&tables);
	}
	portarp_pins_close(&pins);
	return err ? complain_pins(err, wanted->common.instance, PORTARP_STEM) : EXIT_DONE;
}

int portarp_stats(const void *arg, const struct output *output)
{
	const struct portarp_settings *wanted = arg;
	struct portarp_pins pins;
	int err = portarp_pins_open(wanted->common.instance, PORTARP_STEM, &pins);

	if (err)
		return complain_pins(err, wanted->common.instance, PORTARP_STEM);
	err = stats_print(output, PORTARP_STEM, wanted->common.instance, pins.stats, reasons,
			  COUNT_OF(reasons));
	portarp_pins_close(&pins);
	return err ? complain_pins(err, wanted->common.instance, PORTARP_STEM) : EXIT_DONE;
}

static int who(const struct output *output, const char *instance, const char *word,
	       const struct portarp_tables *tables)
{
	__u8 mac[6];
	struct list list = { .mac = mac };
	int err;

	if (!parse_mac(word, mac))
		return who_has(output, instance, word, tables);
	err = list_owners(output, instance, tables, &list);
	return err ? complain_pins(err, instance, PORTARP_STEM) : EXIT_DONE;
}

int portarp_who(const void *arg, const struct output *output)
{
	const struct portarp_settings *wanted = arg;
	const char *instance = wanted->common.instance;
	struct portarp_tables tables;
	struct portarp_pins pins;
	int err = portarp_pins_open(instance, PORTARP_STEM, &pins);
	int code;

	if (err)
		return complain_pins(err, instance, PORTARP_STEM);
	err = portarp_tables_open(&pins, &tables);
	if (err) {
		code = complain_pins(err, instance, PORTARP_STEM);
	} else {
		code = who(output, instance, wanted->common.words.item[0], &tables);
		portarp_tables_close(&tables);
	}
	portarp_pins_close(&pins);
	return code;
}
