// SPDX-License-Identifier: GPL-3.0-or-later
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "attach.h"
#include "choose.h"
#include "loader.h"
#include "machine.h"
#include "pins.h"
#include "put.h"

static const char *const hook_words[] = {
	[PUT_HOOK_NONE] = "none",
	[PUT_HOOK_TC] = "tc",
	[PUT_HOOK_XDP] = "xdp",
	[PUT_HOOK_XDP_GENERIC] = "xdp-generic",
};

const char *put_hook_text(unsigned int hook)
{
	return hook < COUNT_OF(hook_words) ? hook_words[hook] : "unknown";
}

static int link_path(const struct put_place *place, const char *hook, char path[512])
{
	return pins_link_path(place->instance, place->directory, hook, place->ifindex, path, 512);
}

static const char *tc_word(bool egress)
{
	return egress ? "out" : "tc";
}

/* ---- on */

static int put_filter(const struct put_place *place, int program, bool egress, struct put *put)
{
	struct attach_filter filter;
	int err = attach_filter_add(program, place->ifindex, egress, &filter);

	if (err)
		return err;
	if (filter.made_qdisc)
		put->tc = PUT_CLSACT_MADE; /* the second filter finds it there */
	*(egress ? &put->out : &put->in) = (struct put_filter){
		.handle = filter.handle,
		.priority = filter.priority,
	};
	return 0;
}

static int put_tc(const struct put_place *place, int program, bool egress, bool clsact,
		  struct put *put)
{
	char path[512];
	int err = link_path(place, tc_word(egress), path);

	if (err)
		return err;
	if (clsact)
		return put_filter(place, program, egress, put);
	err = attach_tcx(program, place->ifindex, egress, path);
	if (!err)
		put->tc = PUT_TCX;
	/* before 6.6, or built without it */
	return err == -EINVAL || err == -EOPNOTSUPP ? put_filter(place, program, egress, put) : err;
}

static int put_xdp(const struct put_place *place, int program, bool generic)
{
	char path[512];
	int err = link_path(place, "xdp", path);

	return err ? err : attach_xdp(program, place->ifindex, generic, path);
}

static int complain_tc(const char *device, int err, bool egress)
{
	const char *where = egress ? "egress" : "ingress";

	return complain(EXIT_FAILED,
			"%s: cannot attach at tc %s: %s; `tc filter show dev %s %s` tells who is "
			"there",
			device, where, strerror(-err), device, where);
}

static int complain_xdp(const struct device *device, int err, bool may_fall_back)
{
	char why[256];

	choose_explain_xdp(device, err, why, sizeof(why));
	if (!may_fall_back)
		return complain(EXIT_FAILED, "%s: %s", device->name, why);
	notice("%s: mode tc for all devices: %s", device->name, why);
	return EXIT_FAILED;
}

/* tc first: what XDP hands over must meet a program there. */
static int put_each(const struct put_place *place, const struct put_programs *programs,
		    const struct put_how *how, const struct device *device, struct put *put)
{
	int err = 0;

	if (programs->tc >= 0)
		err = put_tc(place, programs->tc, false, how->clsact, put);
	if (err)
		return complain_tc(device->name, err, false);
	if (programs->out >= 0)
		err = put_tc(place, programs->out, true, how->clsact, put);
	if (err)
		return complain_tc(device->name, err, true);
	if (programs->xdp >= 0)
		err = put_xdp(place, programs->xdp, how->hook == PUT_HOOK_XDP_GENERIC);
	return err ? complain_xdp(device, err, how->may_fall_back) : EXIT_DONE;
}

int put_on(const struct put_place *place, const struct put_programs *programs,
	   const struct put_how *how, const struct device *device, struct put *put)
{
	struct put made = { .hook = how->hook };
	int code = put_each(place, programs, how, device, &made);

	if (code == EXIT_DONE)
		*put = made;
	else
		put_off(place, &made);
	return code;
}

/* ---- another program */

static int exchange_tc(const struct put_place *place, int program, bool egress,
		       const struct put_filter *noted)
{
	const struct attach_filter filter = {
		.ifindex = place->ifindex,
		.handle = noted->handle,
		.priority = noted->priority,
		.egress = egress,
	};
	char path[512];
	int err;

	if (noted->handle)
		return attach_filter_update(program, &filter);
	err = link_path(place, tc_word(egress), path);
	return err ? err : attach_link_update(path, program);
}

int put_exchange(const struct put_place *place, const struct put_programs *programs,
		 const struct put *put)
{
	char path[512];
	int err = 0;

	if (programs->tc >= 0)
		err = exchange_tc(place, programs->tc, false, &put->in);
	if (!err && programs->out >= 0)
		err = exchange_tc(place, programs->out, true, &put->out);
	if (!err && programs->xdp >= 0)
		err = link_path(place, "xdp", path) ?: attach_link_update(path, programs->xdp);
	return err;
}

/* ---- off */

static int link_remove(const struct put_place *place, const char *hook)
{
	char path[512];
	int err = link_path(place, hook, path);

	return err ? err : attach_link_remove(path);
}

static int map_id(int fd, uint32_t *id)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	*id = info.id;
	return 0;
}

/* Only the namespace of the device can name it. */
static int filter_remove(const struct put_place *place, const struct put *put, bool egress)
{
	const struct put_filter *noted = egress ? &put->out : &put->in;
	const struct attach_filter filter = {
		.ifindex = place->ifindex,
		.handle = noted->handle,
		.priority = noted->priority,
		.egress = egress,
		.made_qdisc = put->tc == PUT_CLSACT_MADE,
	};
	uint64_t here;
	uint32_t id = 0;
	int err;

	if (!noted->handle)
		return 0;
	err = machine_netns(&here);
	if (!err && here != place->netns)
		return -EXDEV;
	if (!err)
		err = map_id(place->map_fd, &id);
	return err ? err : attach_filter_remove(&filter, id);
}

static bool is_gone(int err)
{
	return err == -ENOENT || err == -ENODEV || err == -EINVAL;
}

int put_off(const struct put_place *place, const struct put *put)
{
	static const char *const hooks[] = { "xdp", "out", "tc" };
	int err = 0;

	for (size_t i = 0; i < COUNT_OF(hooks); i++) {
		err = link_remove(place, hooks[i]);
		if (err && err != -ENOENT)
			return err;
	}
	for (int egress = 1; egress >= 0; egress--) {
		err = filter_remove(place, put, egress);
		if (err && !is_gone(err))
			return err;
	}
	return 0;
}

/* ---- as an operator reads it */

static void print_one(const struct output *output, uint32_t ifindex, const char *hook,
		      const char *by, uint32_t link, uint32_t program)
{
	output->record_start();
	output->number("ifindex", ifindex);
	output->text("hook", hook);
	output->text("by", by);
	output->number("link", link);
	output->number("program", program);
	output->record_end();
}

static void print_filter(const struct output *output, const struct put_place *place,
			 const struct put *put, bool egress)
{
	const struct put_filter *noted = egress ? &put->out : &put->in;
	const struct attach_filter filter = {
		.ifindex = place->ifindex,
		.handle = noted->handle,
		.priority = noted->priority,
		.egress = egress,
	};
	uint32_t program;

	if (noted->handle && !attach_filter_info(&filter, &program))
		print_one(output, place->ifindex, tc_word(egress), "clsact", noted->handle,
			  program);
}

void put_print(const struct output *output, const struct put_place *place, const struct put *put,
	       bool here)
{
	static const char *const hooks[] = { "xdp", "tc", "out" };
	uint32_t link, program;
	char path[512];

	for (size_t i = 0; i < COUNT_OF(hooks); i++)
		if (!link_path(place, hooks[i], path) && !attach_link_info(path, &link, &program))
			print_one(output, place->ifindex, hooks[i], i ? "tcx" : "link", link,
				  program);
	for (int egress = 0; egress < 2 && here; egress++)
		print_filter(output, place, put, egress);
}
