// SPDX-License-Identifier: GPL-3.0-or-later
/* Links of clients' programs: made, found, removed. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "cgroup.h"
#include "machine.h"
#include "onetime_client.h"
#include "onetime_clients.h"
#include "pins.h"

const struct onetime_client_program onetime_client_programs[ONETIME_CLIENT_PROGRAMS] = {
	{ "onetime_connect6", "connect6", BPF_CGROUP_INET6_CONNECT },
	{ "onetime_connect4", "connect4", BPF_CGROUP_INET4_CONNECT },
	{ "onetime_sendmsg6", "sendmsg6", BPF_CGROUP_UDP6_SENDMSG },
	{ "onetime_sendmsg4", "sendmsg4", BPF_CGROUP_UDP4_SENDMSG },
	{ "onetime_user_connect6", "user_connect6", BPF_CGROUP_INET6_CONNECT },
	{ "onetime_user_connect4", "user_connect4", BPF_CGROUP_INET4_CONNECT },
	{ "onetime_user_sendmsg6", "user_sendmsg6", BPF_CGROUP_UDP6_SENDMSG },
	{ "onetime_user_sendmsg4", "user_sendmsg4", BPF_CGROUP_UDP4_SENDMSG },
};

int onetime_client_program_path(const char *instance, const char *directory, unsigned int i,
				char path[512])
{
	char name[48];

	snprintf(name, sizeof(name), "program_%s", onetime_client_programs[i].pin);
	return pin_path(instance, directory, name, path, 512);
}

/* "link_connect6_42" */
int onetime_client_program_of(const char *name)
{
	for (int i = 0; i < ONETIME_CLIENT_PROGRAMS; i++) {
		const char *pin = onetime_client_programs[i].pin;

		if (!strncmp(name, "link_", 5) && !strncmp(name + 5, pin, strlen(pin)) &&
		    name[5 + strlen(pin)] == '_')
			return i;
	}
	return -1;
}

/* ---- one cgroup's */

static int put_one(const char *instance, unsigned int i, int cgroup, uint32_t number)
{
	char path[512];
	int program CLOSE_FD = -1;
	int err = onetime_client_program_path(instance, ONETIME_STEM, i, path);

	if (err)
		return err;
	program = bpf_obj_get(path);
	if (program < 0)
		return -errno;
	err = pins_link_path(instance, ONETIME_STEM, onetime_client_programs[i].pin, number, path,
			     sizeof(path));
	return err ?: attach_cgroup(program, cgroup, onetime_client_programs[i].type, path);
}

static int take_one(const char *instance, unsigned int i, uint32_t number)
{
	char path[512];
	int err = pins_link_path(instance, ONETIME_STEM, onetime_client_programs[i].pin, number,
				 path, sizeof(path));

	return err ?: attach_link_remove(path);
}

int onetime_client_put(const char *instance, unsigned int first, int cgroup, uint32_t number)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < ONETIME_CLIENT_HALF && !err; i++) {
		err = put_one(instance, first + i, cgroup, number);
		if (err)
			break;
	}
	/* The first one of a killed predecessor is an -EEXIST too: what is there is whole, or the
	 * others are made good. */
	if (err == -EEXIST && !i)
		for (i = 1; i < ONETIME_CLIENT_HALF; i++)
			put_one(instance, first + i, cgroup, number);
	else
		while (err && i--)
			take_one(instance, first + i, number);
	return err;
}

int onetime_client_take(const char *instance, unsigned int first, uint32_t number)
{
	int err = 0, code = -ENOENT;

	for (unsigned int i = 0; i < ONETIME_CLIENT_HALF; i++) {
		err = take_one(instance, first + i, number);
		if (err != -ENOENT && (!err || code == -ENOENT))
			code = err;
	}
	return code;
}

/* ---- all */

int onetime_client_links(const char *instance, onetime_client_each each, void *arg)
{
	struct dirent *entry;
	char path[512], name[800];
	DIR *directory;
	int err = pin_path(instance, ONETIME_STEM, NULL, path, sizeof(path));

	if (err)
		return err;
	directory = opendir(path);
	if (!directory)
		return -errno;
	while (!err && (entry = readdir(directory))) {
		if (onetime_client_program_of(entry->d_name) < 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		err = each(entry->d_name, name, arg);
	}
	closedir(directory);
	return err;
}

/* A cgroup that `run` made, and neither that nor any process in it is left: it goes. */
static bool removed(const char *path)
{
	const char *name = strrchr(path, '/');
	int pid;

	if (!name || sscanf(name + 1, ONETIME_RUN_CGROUP "%d", &pid) != 1)
		return false;
	return kill(pid, 0) && errno == ESRCH && cgroup_is_empty(path) && !rmdir(path);
}

static int sweep_each(const char *name, const char *path, void *arg)
{
	char cgroup[512];
	uint64_t id;
	int err;

	(void)name;
	(void)arg;
	if (attach_cgroup_info(path, &id))
		return 0;
	err = id ? cgroup_path_of(id, cgroup) : -ESTALE;
	if (err == -ESTALE || (!err && removed(cgroup)))
		attach_link_remove(path);
	return 0;
}

void onetime_clients_sweep(const char *instance)
{
	onetime_client_links(instance, sweep_each, NULL);
}

int onetime_clients_open(const char *instance, int *lock, struct onetime_pins *pins)
{
	int err;

	if (!pins_exist(instance, ONETIME_STEM)) /* the lock would make directories for nothing */
		return complain_pins(-ENOENT, instance, ONETIME_STEM);
	machine_block_signals();
	*lock = pin_lock(instance);
	err = *lock < 0 ? *lock : onetime_pins_open(instance, ONETIME_STEM, pins);
	return err ? complain_pins(err, instance, ONETIME_STEM) : EXIT_DONE;
}
