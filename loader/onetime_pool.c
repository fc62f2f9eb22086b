// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus onetime pool add` and `pool del`. The guard at the device comes first and goes last: at
 * no time are a pool's addresses local and unguarded.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "machine.h"
#include "onetime.h"
#include "onetime_prefix.h"
#include "pins.h"
#include "walk.h"

#define LOOPBACK_IFINDEX 1

struct change {
	const struct onetime_settings *wanted;
	const char *text; /* the prefix as it was given */
	struct onetime_prefix prefix;
	struct onetime_pins pins;
	struct onetime_conf conf;
	struct onetime_pool_view view[ONETIME_POOLS];
	int count;
};

/* The kernel's batches know the trie's keys only by their values, so one after the other. */
int onetime_pools_read(const struct onetime_pins *pins, struct onetime_pool_view *view)
{
	struct onetime_prefix *before = NULL;
	int count = 0;

	while (count < ONETIME_POOLS &&
	       !bpf_map_get_next_key(pins->pool, before, &view[count].prefix)) {
		before = &view[count].prefix;
		if (!bpf_map_lookup_elem(pins->pool, before, &view[count].pool))
			count++;
	}
	return errno == ENOENT || count ? count : -errno;
}

const char *onetime_mode_text(unsigned int mode)
{
	static const char *const text[] = {
		[ONETIME_L0] = "l0",
		[ONETIME_L1] = "l1",
		[ONETIME_L2] = "l2",
		[ONETIME_AWARE] = "aware",
	};

	return mode < COUNT_OF(text) ? text[mode] : "unknown";
}

static struct onetime_link *link_of(struct onetime_conf *conf, uint32_t ifindex)
{
	for (unsigned int i = 0; i < ONETIME_LINKS; i++)
		if (conf->link[i].ifindex == ifindex)
			return &conf->link[i];
	return NULL;
}

static struct onetime_pool_view *find(struct change *change)
{
	for (int i = 0; i < change->count; i++)
		if (!memcmp(&change->view[i].prefix, &change->prefix, sizeof(change->prefix)))
			return &change->view[i];
	return NULL;
}

static bool is_v4(const struct onetime_pool_view *view)
{
	return view->pool.flags & ONETIME_POOL_V4;
}

static int pool_write(const struct change *change, const struct onetime_pool_view *view)
{
	return bpf_map_update_elem(change->pins.pool, &view->prefix, &view->pool, BPF_ANY) ? -errno
											   : 0;
}

/* ---- on the device */

static int allmulti_on(const struct onetime_pins *pins, struct onetime_conf *conf,
		       const struct onetime_pool_view *view)
{
	struct onetime_link *link = link_of(conf, view->pool.ifindex);
	int on;

	if (!link || is_v4(view) || link->ifindex == LOOPBACK_IFINDEX || link->allmulti)
		return 0;
	on = onetime_allmulti_is_on(link->ifindex);
	if (on)
		return on < 0 ? on : 0; /* somebody else's, and to stay */
	link->allmulti = 1;
	return onetime_conf_write(pins, conf) ?: onetime_allmulti(link->ifindex, true);
}

static int allmulti_off(const struct onetime_pins *pins, struct onetime_conf *conf,
			uint32_t ifindex)
{
	struct onetime_link *link = link_of(conf, ifindex);
	int err;

	if (!link || !link->allmulti)
		return 0;
	err = onetime_allmulti(ifindex, false);
	if (err && err != -ENODEV && err != -ENXIO)
		return err;
	link->allmulti = 0;
	return onetime_conf_write(pins, conf);
}

/* Do other IPv6 pools of the device go on? */
static bool is_last(const struct change *change, const struct onetime_pool_view *view)
{
	for (int i = 0; i < change->count; i++)
		if (&change->view[i] != view && !is_v4(&change->view[i]) &&
		    change->view[i].pool.ifindex == view->pool.ifindex)
			return false;
	return true;
}

static int count_clients(struct change *change)
{
	int err = 0;

	change->conf.client6 = change->conf.client4 = 0;
	change->count = onetime_pools_read(&change->pins, change->view);
	for (int i = 0; i < change->count; i++) {
		const struct onetime_pool_view *view = &change->view[i];

		if (view->pool.flags & ONETIME_POOL_CLIENT)
			++*(is_v4(view) ? &change->conf.client4 : &change->conf.client6);
	}
	if (change->count < 0)
		err = change->count;
	return err ?: onetime_conf_write(&change->pins, &change->conf);
}

/* ---- add */

static uint32_t free_number(const struct change *change)
{
	for (uint32_t number = 1;; number++) {
		bool is_free = true;

		for (int i = 0; i < change->count; i++)
			is_free = is_free && change->view[i].pool.number != number;
		if (is_free)
			return number;
	}
}

static int make(struct change *change, struct onetime_pool_view *view)
{
	int err = pool_write(change, view);

	if (!err)
		err = onetime_route_add(&view->prefix);
	if (err == -EEXIST) /* of one that was killed */
		err = 0;
	if (!err)
		err = allmulti_on(&change->pins, &change->conf, view);
	view->pool.flags |= ONETIME_POOL_READY;
	return err ?: pool_write(change, view) ?: count_clients(change);
}

static int unmake(struct change *change, const struct onetime_pool_view *view)
{
	int err = is_v4(view) || !is_last(change, view)
			  ? 0
			  : allmulti_off(&change->pins, &change->conf, view->pool.ifindex);

	if (!err)
		err = onetime_route_del(&view->prefix);
	if (err == -ESRCH || err == -ENOENT)
		err = 0;
	return err;
}

static int complain_make(const struct change *change, int err)
{
	if (err == -ENOSPC)
		return complain(EXIT_FAILED,
				"%s: there are %d pools, and no room for more; del one",
				change->text, ONETIME_POOLS);
	if (err == -EAFNOSUPPORT || err == -EOPNOTSUPP)
		return complain(EXIT_FAILED,
				"%s: the kernel takes no local route of this family: %s",
				change->text, strerror(-err));
	return complain(EXIT_FAILED, "%s: it could not be made a pool: %s; nothing of it stays",
			change->text, strerror(-err));
}

static int add_new(struct change *change, uint32_t ifindex)
{
	const struct onetime_settings *wanted = change->wanted;
	struct onetime_pool_view view = {
		.prefix = change->prefix,
		.pool = { .number = free_number(change),
			  .ifindex = ifindex,
			  .mode = wanted->mode ? wanted->mode - 1 : ONETIME_L1,
			  .flags = (wanted->reset ? ONETIME_POOL_RESET : 0) |
				   (wanted->for_eas ? ONETIME_POOL_CLIENT : 0) |
				   (onetime_prefix_is_v4(&change->prefix) ? ONETIME_POOL_V4 : 0) },
	};
	int err = make(change, &view);

	if (!err)
		return EXIT_DONE;
	unmake(change, &view);
	bpf_map_delete_elem(change->pins.pool, &view.prefix);
	return complain_make(change, err);
}

static int check_pools(struct change *change)
{
	char other[ONETIME_PREFIX_TEXT];

	for (int i = 0; i < change->count; i++) {
		const struct onetime_pool_view *view = &change->view[i];

		if (!onetime_prefix_overlaps(&view->prefix, &change->prefix))
			continue;
		onetime_prefix_text(&view->prefix, other);
		return complain(EXIT_FAILED,
				"%s: %s is a pool already; `isthmus onetime pool del "
				"%s` first, or name another prefix",
				change->text, other, other);
	}
	return EXIT_DONE;
}

static int add(struct change *change)
{
	const char *device = change->wanted->common.words.item[1];
	uint32_t ifindex = if_nametoindex(device);
	struct onetime_pool_view *killed = find(change);
	int code;

	if (!ifindex)
		return complain(
			EXIT_FAILED,
			"%s: no such device in this network namespace; `ip link` lists them",
			device);
	if (!link_of(&change->conf, ifindex))
		return complain(EXIT_FAILED,
				"%s: onetime is not attached to it, so its packets are not "
				"guarded; detach, and attach with --dev %s",
				device, device);
	if (killed && !(killed->pool.flags & ONETIME_POOL_READY)) {
		unmake(change, killed);
		bpf_map_delete_elem(change->pins.pool, &killed->prefix);
		change->count = onetime_pools_read(&change->pins, change->view);
	}
	code = check_pools(change);
	if (code == EXIT_DONE)
		code = onetime_overlap_check(&change->prefix, ifindex);
	return code == EXIT_DONE ? add_new(change, ifindex) : code;
}

/* ---- del */

struct entries {
	int fd;
	uint32_t pool;
	uint64_t now_ns, live;
	bool remove;
};

static void entry_each(const void *key, const void *value, void *arg)
{
	const struct onetime_addr *addr = value;
	struct entries *entries = arg;

	if (addr->pool != entries->pool)
		return;
	if (entries->remove)
		bpf_map_delete_elem(entries->fd, key);
	else if (addr->use != ONETIME_MANY &&
		 onetime_state_at(addr, entries->now_ns) >= ONETIME_STATE_TAKING &&
		 onetime_state_at(addr, entries->now_ns) < ONETIME_STATE_DEAD)
		entries->live++;
}

static int del_pool(struct change *change, const struct onetime_pool_view *view)
{
	struct entries entries = {
		.fd = change->pins.addr,
		.pool = view->pool.number,
		.remove = true,
	};
	struct onetime_pool_view gone = *view;
	int err = unmake(change, view);

	/* The agent makes no more of a pool that is not ready. */
	gone.pool.flags &= ~ONETIME_POOL_READY;
	if (!err)
		err = pool_write(change, &gone);
	if (!err)
		err = walk_map(change->pins.addr, entry_each, &entries);
	if (!err && bpf_map_delete_elem(change->pins.pool, &gone.prefix))
		err = -errno;
	return err ?: count_clients(change);
}

static int del(struct change *change)
{
	const struct onetime_pool_view *view = find(change);
	struct entries entries = { .now_ns = onetime_now_ns() };
	int err;

	if (!view)
		return complain(EXIT_FAILED, "%s: it is no pool; `isthmus onetime show` lists them",
				change->text);
	entries.pool = view->pool.number;
	err = walk_map(change->pins.addr, entry_each, &entries);
	if (!err && entries.live && !change->wanted->force)
		return complain(EXIT_FAILED,
				"%s: %llu of its sessions live, and would end without a word; wait "
				"for them, or use --force",
				change->text, (unsigned long long)entries.live);
	if (!err)
		err = del_pool(change, view);
	return err ? complain(EXIT_FAILED, "%s: it could not be taken away whole: %s; repeat it",
			      change->text, strerror(-err))
		   : EXIT_DONE;
}

/* Before the programs go: no address of a pool is local any more. */
int onetime_pools_end(const struct onetime_pins *pins, struct onetime_conf *conf)
{
	struct onetime_pool_view view[ONETIME_POOLS];
	int count = onetime_pools_read(pins, view);
	int err = count < 0 ? count : 0;

	for (int i = 0; i < count && !err; i++) {
		err = onetime_route_del(&view[i].prefix);
		if (err == -ESRCH || err == -ENOENT)
			err = 0;
	}
	for (unsigned int i = 0; i < ONETIME_LINKS && !err; i++)
		if (conf->link[i].ifindex)
			err = allmulti_off(pins, conf, conf->link[i].ifindex);
	return err;
}

/* ---- the verb */

static int read_words(struct change *change)
{
	const struct option_words *words = &change->wanted->common.words;
	bool adds = !strcmp(words->item[0], "add");
	char error[128];

	if (!adds && strcmp(words->item[0], "del"))
		return complain(EXIT_USAGE, "onetime pool %s: add or del is needed",
				words->item[0]);
	if (words->count != (adds ? 3 : 2))
		return complain(EXIT_USAGE, "onetime pool %s: %s", words->item[0],
				adds ? "DEV PREFIX is needed, as `pool add eth0 2001:db8:1::/64`"
				     : "PREFIX is needed, as `pool del 2001:db8:1::/64`");
	change->text = words->item[words->count - 1];
	if (onetime_prefix_parse(change->text, &change->prefix, error, sizeof(error)))
		return complain(EXIT_USAGE, "onetime pool %s: %s", words->item[0], error);
	if (!adds && (change->wanted->mode || change->wanted->reset || change->wanted->for_eas))
		return complain(EXIT_USAGE, "onetime pool del: --mode, --reset and --client are of "
					    "pool add");
	return EXIT_DONE;
}

static int change_opened(struct change *change)
{
	int err = onetime_conf_read(&change->pins, &change->conf);
	int code;

	if (!err) {
		change->count = onetime_pools_read(&change->pins, change->view);
		err = change->count < 0 ? change->count : 0;
	}
	if (err)
		return complain_pins(err, change->wanted->common.instance, ONETIME_STEM);
	code = onetime_check_netns(&change->conf);
	if (code != EXIT_DONE)
		return code;
	return *change->wanted->common.words.item[0] == 'a' ? add(change) : del(change);
}

int onetime_pool(const void *settings, const struct output *output)
{
	struct change change = { .wanted = settings };
	const char *instance = change.wanted->common.instance;
	int lock CLOSE_FD = -1;
	int code = read_words(&change), err;

	(void)output;
	if (code != EXIT_DONE)
		return code;
	if (!pins_exist(instance, ONETIME_STEM)) /* the lock would make directories for nothing */
		return complain_pins(-ENOENT, instance, ONETIME_STEM);
	machine_block_signals();
	lock = pin_lock(instance);
	err = lock < 0 ? lock : onetime_pins_open(instance, ONETIME_STEM, &change.pins);
	if (err)
		return complain_pins(err, instance, ONETIME_STEM);
	code = change_opened(&change);
	onetime_pins_close(&change.pins);
	return code;
}
