// SPDX-License-Identifier: GPL-3.0-or-later
/* The daemon in one order: files and programs while it is root, fewer privileges, loop, end. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/daemon.h"
#include "../lib/log.h"
#include "resoad.h"

#define ERROR_LEN 512

static bool find_key(struct lhp_identity *identity, void *arg)
{
	const struct resoad *resoad = arg;
	const struct client_conf *conf = registry_find(resoad->registry, identity->name);

	if (conf)
		memcpy(identity->key, conf->identity.key, LHP_KEY_BYTES);
	return conf;
}

static int listen_all(struct resoad *resoad, char *error)
{
	const struct conf_list *places = &resoad->settings->listen;

	for (unsigned int i = 0; i < places->count; i++) {
		resoad->listener[i] = lhp_listen(resoad->base, places->item[i], find_key,
						 client_accepted, resoad, error, ERROR_LEN);
		if (!resoad->listener[i])
			return -EINVAL;
	}
	if (places->count)
		return 0;
	snprintf(error, ERROR_LEN, "no place to listen at; see listen in --help");
	return -EINVAL;
}

/* ---- ports that the host itself gives to sockets must not be those of clients */

static bool reserved(unsigned int low, unsigned int high)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_reserved_ports", "re");
	unsigned int from, to, next = low;
	char text[4096] = "", *save = NULL, *word;

	if (file && !fgets(text, sizeof(text), file))
		text[0] = 0;
	if (file)
		fclose(file);
	/* The kernel prints them in order, and without overlaps. */
	for (word = strtok_r(text, ",\n", &save); word; word = strtok_r(NULL, ",\n", &save)) {
		if (sscanf(word, "%u-%u", &from, &to) != 2)
			to = from = strtoul(word, NULL, 10);
		if (from <= next && to >= next)
			next = to + 1;
	}
	return next > high;
}

static void check_range(const struct resoad *resoad)
{
	unsigned int low = resoad->settings->port_low, high = resoad->settings->port_high;
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned int from = 0, to = 0;

	if (file && fscanf(file, "%u %u", &from, &to) != 2)
		to = 0;
	if (file)
		fclose(file);
	if (from > high || to < low)
		return;
	low = low < from ? from : low;
	high = high > to ? to : high;
	if (!reserved(low, high))
		log_warn("ports %u-%u of port-range are also given to programs of this host; add "
			 "them to the sysctl net.ipv4.ip_local_reserved_ports, or choose others",
			 low, high);
}

/* ---- begin */

/* Ports below 1024; descriptors' BPF storage; clsact filters, if it was these, are taken away, and
 * leased addresses come and go. */
static int drop(const struct resoad *resoad, char *error)
{
	uint64_t keep = 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_BPF;
	const char *user = resoad->settings->user;
	int err;

	if (resoad->leases || (resoad->fin && fin_needs_admin(resoad->fin)))
		keep |= 1ULL << CAP_NET_ADMIN;
	err = daemon_drop_privileges(user, keep);
	if (err)
		snprintf(error, ERROR_LEN, "cannot become user %s: %s", user ? user : "root",
			 strerror(-err));
	return err;
}

static int load_fin(struct resoad *resoad, char *error)
{
	resoad->fin = fin_load(resoad, error, ERROR_LEN);
	return resoad->fin ? 0 : -EINVAL;
}

static int start(struct resoad *resoad, char *error)
{
	int err;

	resoad->registry =
		registry_read(resoad->settings->clients, resoad->settings, error, ERROR_LEN);
	if (!resoad->registry)
		return -EINVAL;
	err = status_listen(resoad, error, ERROR_LEN); /* a second one ends here */
	if (!err)
		err = load_fin(resoad, error);
	if (!err)
		err = lease_open(resoad, error, ERROR_LEN);
	if (err)
		return err;
	snprintf(error, ERROR_LEN, "out of memory");
	resoad->ports = ports_new();
	if (!resoad->ports || tcp_open(resoad) || knock_open(resoad))
		return -ENOMEM;
	err = export_watch(resoad);
	if (err)
		snprintf(error, ERROR_LEN, "addresses and routes: %s", strerror(-err));
	if (!err)
		err = listen_all(resoad, error);
	check_range(resoad);
	return err ? err : drop(resoad, error);
}

static void stop(struct resoad *resoad)
{
	for (unsigned int i = 0; i < CONF_LIST_MAX; i++)
		lhp_listener_free(resoad->listener[i]);
	client_free_all(resoad);
	lease_close(resoad);
	status_close(resoad);
	tcp_close(resoad);
	knock_close(resoad);
	export_close(resoad);
	fin_free(resoad->fin);
	ports_free(resoad->ports);
	registry_free(resoad->registry);
}

int resoad_reload(struct resoad *resoad, char *error, size_t error_len)
{
	struct registry *fresh =
		registry_read(resoad->settings->clients, resoad->settings, error, error_len);

	int err = fresh ? lease_check(resoad, fresh, error, error_len) : -EINVAL;

	if (err) {
		registry_free(fresh);
		return err;
	}
	client_reload(resoad, fresh);
	return 0;
}

static void on_hangup(void *arg)
{
	char error[ERROR_LEN];

	if (resoad_reload(arg, error, sizeof(error)))
		log_error("%s; the clients stay as they were", error);
	else
		log_info("clients read anew");
}

int resoad_run(const struct settings *settings)
{
	struct resoad *resoad = calloc(1, sizeof(*resoad));
	struct daemon_signals *signals = NULL;
	char error[ERROR_LEN] = "out of memory";
	int err;

	if (!resoad)
		return 1;
	resoad->settings = settings;
	daemon_raise_file_limit();
	resoad->base = event_base_new();
	err = resoad->base ? start(resoad, error) : -ENOMEM;
	if (!err)
		signals = daemon_signals_new(resoad->base, on_hangup, resoad);
	if (signals) {
		log_info("serving");
		daemon_ready("serving");
		event_base_dispatch(resoad->base);
		daemon_stopping();
	} else {
		log_error("%s", error);
	}
	stop(resoad);
	daemon_signals_free(signals);
	if (resoad->base)
		event_base_free(resoad->base);
	free(resoad);
	return signals ? 0 : 1;
}
