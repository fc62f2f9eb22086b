// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * `isthmus onetime client`: whose connects get an address of their own. Programs on a cgroup say
 * it: on the root for all, on the root but looking into onetime_user for users, or on a directory.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "cgroup.h"
#include "machine.h"
#include "onetime_client.h"
#include "onetime_clients.h"
#include "pins.h"
#include "sysctl.h"
#include "walk.h"

/* ---- the words */

static int parse_user(const char *text, uint32_t *uid)
{
	const struct passwd *user = getpwnam(text);

	if (user) {
		*uid = user->pw_uid;
		return 0;
	}
	return options_number(text, 0, UINT32_MAX - 1, uid);
}

static int check_words(const struct onetime_settings *wanted)
{
	const struct option_words *words = &wanted->common.words;
	const char *verb = words->item[0];
	unsigned int named = wanted->all + !!wanted->user + !!wanted->cgroup;

	if (words->count > 1)
		return complain(EXIT_USAGE, "onetime client %s: %s: no word is needed here", verb,
				words->item[1]);
	if (!strcmp(verb, "show"))
		return named ? complain(EXIT_USAGE, "onetime client show: it shows all of them")
			     : EXIT_DONE;
	if (strcmp(verb, "add") && strcmp(verb, "del"))
		return complain(EXIT_USAGE, "onetime client %s: add, del or show is needed", verb);
	if (wanted->common.json)
		return complain(EXIT_USAGE, "onetime client %s: --json is of client show", verb);
	if (named != 1)
		return complain(EXIT_USAGE,
				"onetime client %s: one of --all, --user NAME and --cgroup PATH is "
				"needed",
				verb);
	return EXIT_DONE;
}

/* ---- sysctls: a program's bind to an address that no device has */

/* Noted first: what was killed in between is taken back, too. */
static int want_nonlocal(const struct onetime_pins *pins, struct onetime_conf *conf, int version,
			 uint8_t bit)
{
	char name[32];
	int value, err;

	snprintf(name, sizeof(name), "net/ipv%d/ip_nonlocal_bind", version);
	err = sysctl_read(name, &value);
	if (err || value)
		return err;
	conf->nonlocal |= bit;
	err = onetime_conf_write(pins, conf) ?: sysctl_write(name, 1);
	if (err)
		return err;
	notice("onetime: net.ipv%d.ip_nonlocal_bind was 0 and is 1 now, for clients' addresses "
	       "are on no device; detach takes it back",
	       version);
	return 0;
}

int onetime_clients_allow(const struct onetime_pins *pins, struct onetime_conf *conf)
{
	int err = want_nonlocal(pins, conf, 6, ONETIME_NONLOCAL_6);

	if (!err)
		err = want_nonlocal(pins, conf, 4, ONETIME_NONLOCAL_4);
	return err ? complain(EXIT_FAILED,
			      "onetime: ip_nonlocal_bind cannot be set: %s; set it with sysctl",
			      strerror(-err))
		   : EXIT_DONE;
}

/* ---- add and del */

static int complain_cgroup(const char *path, int err)
{
	if (err == -EBADF || err == -EOPNOTSUPP)
		return complain(EXIT_FAILED,
				"onetime: --cgroup %s: it is not in a cgroup2 file system; name a "
				"directory of one",
				path);
	if (err == -EEXIST)
		return complain(EXIT_FAILED,
				"onetime: %s: it has the programs already; `isthmus onetime client "
				"show` lists them",
				path);
	if (err == -EPERM)
		return complain(EXIT_FAILED,
				"onetime: %s: a cgroup above it allows no programs below; `bpftool "
				"cgroup tree` shows it; name that one",
				path);
	return complain(EXIT_FAILED, "onetime: %s: its connects cannot be directed: %s", path,
			strerror(-err));
}

struct client {
	const struct onetime_settings *wanted;
	const char *instance;
	struct onetime_pins pins;
	struct onetime_conf conf;
	int cgroup;
	uint32_t number;
	const char *path; /* for messages */
	unsigned int first;
	uint32_t uid;
};

static int find_cgroup(struct client *client)
{
	uint64_t id;
	int err;

	client->path = client->wanted->cgroup ?: "all";
	client->cgroup = cgroup_open_or_root(client->wanted->cgroup, ONETIME_STEM);
	if (client->cgroup < 0)
		return EXIT_FAILED;
	err = cgroup_id(client->cgroup, &id);
	client->number = id;
	return err ? complain_cgroup(client->path, err) : EXIT_DONE;
}

static int add_cgroup(struct client *client)
{
	int err = onetime_client_put(client->instance, 0, client->cgroup, client->number);

	return err ? complain_cgroup(client->path, err) : EXIT_DONE;
}

static int del_cgroup(struct client *client)
{
	int err = onetime_client_take(client->instance, 0, client->number);

	if (err == -ENOENT)
		return complain(EXIT_FAILED,
				"onetime: %s: it has no programs of clients; `isthmus onetime "
				"client show` lists them",
				client->path);
	return err ? complain_pins(err, client->instance, ONETIME_STEM) : EXIT_DONE;
}

/* The programs are there from the first user to the last. */
static int add_user(struct client *client)
{
	uint32_t yes = 1;
	int err = onetime_client_put(client->instance, ONETIME_CLIENT_HALF, client->cgroup,
				     client->number);

	if (err && err != -EEXIST)
		return complain_cgroup("all", err);
	if (!bpf_map_update_elem(client->pins.user, &client->uid, &yes, BPF_NOEXIST))
		return EXIT_DONE;
	if (errno == EEXIST)
		return complain(EXIT_FAILED,
				"onetime: --user %s: it is a client already; `isthmus onetime "
				"client show` lists them",
				client->wanted->user);
	return complain(EXIT_FAILED, "onetime: --user %s: no more than %d users: %s",
			client->wanted->user, ONETIME_USERS, strerror(errno));
}

static int del_user(struct client *client)
{
	uint64_t left;
	int err;

	if (bpf_map_delete_elem(client->pins.user, &client->uid))
		return complain(EXIT_FAILED,
				"onetime: --user %s: it is no client; `isthmus onetime client "
				"show` lists them",
				client->wanted->user);
	err = walk_count(client->pins.user, &left);
	if (!err && !left)
		err = onetime_client_take(client->instance, ONETIME_CLIENT_HALF, client->number);
	return err && err != -ENOENT ? complain_pins(err, client->instance, ONETIME_STEM)
				     : EXIT_DONE;
}

static int change(struct client *client)
{
	bool adds = !strcmp(client->wanted->common.words.item[0], "add");
	const char *user = client->wanted->user;
	int code;

	if (user && parse_user(user, &client->uid))
		return complain(EXIT_FAILED,
				"onetime: --user %s: no such user; `getent passwd` lists them",
				user);
	code = find_cgroup(client);
	if (code == EXIT_DONE && adds)
		code = onetime_clients_allow(&client->pins, &client->conf);
	if (code != EXIT_DONE)
		return code;
	return user ? (adds ? add_user : del_user)(client)
		    : (adds ? add_cgroup : del_cgroup)(client);
}

/* ---- show */

static void user_each(const void *key, const void *value, void *arg)
{
	uint32_t uid = *(const uint32_t *)key;
	const struct output *output = arg;
	const struct passwd *user = getpwuid(uid);
	char number[12];

	(void)value;
	snprintf(number, sizeof(number), "%u", uid);
	output->record_start();
	output->text("client", "user");
	output->text("name", user ? user->pw_name : number);
	output->boolean("processes", true);
	output->record_end();
}

static int cgroup_each(const char *name, const char *path, void *arg)
{
	const struct output *output = arg;
	char found[512], root[512];
	bool is_root;
	uint64_t id;

	/* one of the four stands for all */
	if (onetime_client_program_of(name) || attach_cgroup_info(path, &id) || !id ||
	    cgroup_path_of(id, found))
		return 0;
	is_root = !cgroup_mount(root) && !strcmp(root, found);
	output->record_start();
	output->text("client", is_root ? "all" : "cgroup");
	output->text("name", found);
	output->boolean("processes", is_root || !cgroup_is_empty(found));
	output->record_end();
	return 0;
}

static int show(const struct client *client, const struct output *output)
{
	int err;

	output->start();
	output->text("datapath", ONETIME_STEM);
	output->text("instance", client->instance);
	output->list_start("clients");
	err = onetime_client_links(client->instance, cgroup_each, (void *)output);
	if (!err)
		err = walk_map(client->pins.user, user_each, (void *)output);
	output->list_end();
	return err ? complain_pins(err, client->instance, ONETIME_STEM) : EXIT_DONE;
}

/* ---- the verb */

static int client_opened(struct client *client, const struct output *output)
{
	int err = onetime_conf_read(&client->pins, &client->conf);
	int code;

	if (err)
		return complain_pins(err, client->instance, ONETIME_STEM);
	onetime_clients_sweep(client->instance);
	if (!strcmp(client->wanted->common.words.item[0], "show"))
		return show(client, output);
	code = onetime_check_netns(&client->conf);
	return code == EXIT_DONE ? change(client) : code;
}

int onetime_client(const void *settings, const struct output *output)
{
	struct client client = { .wanted = settings, .cgroup = -1 };
	int code = check_words(client.wanted);
	int lock CLOSE_FD = -1;

	client.instance = client.wanted->common.instance;
	if (code == EXIT_DONE)
		code = onetime_clients_open(client.instance, &lock, &client.pins);
	if (code != EXIT_DONE)
		return code;
	code = client_opened(&client, output);
	close_fd(&client.cgroup);
	onetime_pins_close(&client.pins);
	return code;
}
