/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The datapath `portarp` in the loader: what its files share. */
#ifndef ISTHMUS_LOADER_PORTARP_H
#define ISTHMUS_LOADER_PORTARP_H

#include "../maps/pin.h"
#include "../maps/portarp.h"
#include "loader.h"
#include "put.h"

#define PORTARP_STEM	"portarp"
#define PORTARP_STAGING "portarp@new" /* '@' is in no stem's and no instance's name */

#define PORTARP_WATCH 64 /* addresses whose use is watched, by default */

#define PORTARP_LENGTH_NONE UINT32_MAX

/* Numbers are 0 when not given; length is PORTARP_LENGTH_NONE. */
struct portarp_settings {
	struct common_settings common;
	unsigned int role; /* enum portarp_role */
	struct option_devices uplink, lan;
	unsigned int mode; /* enum choose_mode */
	uint32_t owners, addresses, blocks, watch, flows, op_request, op_reply;
	const char *cgroup;
	bool clsact, replace;
	struct option_addresses only;
	const char *prefix4, *prefix6; /* map */
	uint32_t ea_len, offset, length;
};

int portarp_attach(const void *settings, const struct output *output);
int portarp_detach(const void *settings, const struct output *output);
int portarp_show(const void *settings, const struct output *output);
int portarp_list(const void *settings, const struct output *output);
int portarp_stats(const void *settings, const struct output *output);
int portarp_who(const void *settings, const struct output *output);
int portarp_map(const void *settings, const struct output *output);
int portarp_status(const char *instance, const struct output *output);

/* ---- pinned state (portarp_pins.c) */

struct portarp_pins {
	int conf, addr, port, owner, sharer, mine, flow, ident, frag, use, stats;
};

/*
 * Opens all maps of a directory (PORTARP_STEM or PORTARP_STAGING). -ENOENT: not attached; -EPROTO:
 * another ABI. On failure nothing is open.
 */
int portarp_pins_open(const char *instance, const char *directory, struct portarp_pins *pins);
void portarp_pins_close(struct portarp_pins *pins);
void portarp_pins_none(struct portarp_pins *pins);
int portarp_conf_read(const struct portarp_pins *pins, struct portarp_conf *conf);
int portarp_conf_write(const struct portarp_pins *pins, const struct portarp_conf *conf);
/* What stands on a device, and where. */
void portarp_put_of(const struct portarp_link *link, struct put *put);
void portarp_put_note(struct portarp_link *link, const struct put *put);
void portarp_put_place(const char *instance, const char *directory, const struct portarp_pins *pins,
		       const struct portarp_conf *conf, const struct portarp_link *link,
		       struct put_place *place);
/* Takes everything off and removes the directory. *stuck: devices that could not be cleared. */
int portarp_remove(const char *instance, const char *directory, unsigned int *stuck);

const char *portarp_role_text(unsigned int role);

/* ---- owners (portarp_owners.c) */

/* Who has a place of portarp_owner, as an operator reads it. */
struct portarp_owner_view {
	struct isthmus_addr address;
	struct portarp_addr addr;
	bool ranged; /* low to high; else by set */
	struct portset set;
	struct portarp_range range;
	struct portarp_owner owner;
};

/* An entry of portarp_port as it is mapped: the kernel rounds an element up to 8 bytes. */
struct portarp_slot {
	__u32 owner; /* 1 + index, 0 = none */
	__u32 pad;
};

/* What tells owners: the arrays themselves, mapped for reading. */
struct portarp_tables {
	int addr_fd;
	const struct portarp_slot *port;
	const struct portarp_owner *owner;
	uint32_t ports, owners; /* entries */
};

/* 0 or -errno; on failure nothing is mapped. */
int portarp_tables_open(const struct portarp_pins *pins, struct portarp_tables *tables);
void portarp_tables_close(struct portarp_tables *tables);

typedef void (*portarp_owner_each)(const struct portarp_owner_view *view, void *arg);

/* Every place that is given to somebody or asked for, by address: 0 or -errno. */
int portarp_owners_each(const struct portarp_tables *tables, portarp_owner_each each, void *arg);
/* Places of portarp_owner that single ports and ranges use, of all addresses: 0 or -errno. */
int portarp_singles(const struct portarp_pins *pins, uint32_t *count);
/* The three look-ups of maps/portarp.h. -ENOENT: no shared address; -ESRCH: the port is in no set.
 */
int portarp_owner_of(const struct portarp_tables *tables, const struct isthmus_addr *address,
		     uint16_t port, struct portarp_owner_view *view);
/* "192.0.2.1:5353"; port in host order: 0 or -EINVAL. */
int portarp_parse_endpoint(const char *text, struct isthmus_addr *address, uint16_t *port);
void portarp_address(__be32 v4, struct isthmus_addr *address);
void portarp_mac_text(const __u8 mac[6], char text[18]);
/* Fills portset_ranges() of them, and returns their number. */
unsigned int portarp_set_ranges(const struct portset *set, struct output_range *range);
void portarp_owner_print(const struct output *output, const struct portarp_owner_view *view);

#endif
