// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * "Everything else is learned" (AVES 5.5): the uplink is where the route to the name server leads,
 * inside networks are where those to the hosts lead. The loader does the rest.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libmnl/libmnl.h>

#include "../../maps/pin.h"
#include "../lib/address.h"
#include "../lib/log.h"
#include "../lib/neighbour.h"
#include "gateway.h"

#define ARGUMENTS_MAX 32

extern char **environ;

struct devices {
	char uplink[IF_NAMESIZE];
	char lan[TUNNEL_LINKS][IF_NAMESIZE];
	unsigned int lans;
};

static bool is_attached(const struct gateway *g)
{
	char path[PATH_MAX];

	return !pin_path(g->settings.instance, "gateway", "gateway_conf", path, sizeof(path)) &&
	       !access(path, F_OK);
}

static int device_of(struct mnl_socket *query, const struct isthmus_addr *address,
		     char name[IF_NAMESIZE])
{
	struct neighbour_route route;
	int err = neighbour_route(query, address, &route);

	if (err)
		return err;
	return if_indextoname(route.ifindex, name) ? 0 : -errno;
}

/* The name server may not resolve yet, at a start of the machine: then as to anybody outside. */
static int find_uplink(struct gateway *g, struct mnl_socket *query, struct devices *devices,
		       char *error)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	struct isthmus_addr address;
	uint16_t port;
	int err = -EHOSTUNREACH;

	if (getaddrinfo(g->credentials.host, g->credentials.port, &hints, &list))
		list = NULL;
	for (struct addrinfo *one = list; one && err; one = one->ai_next)
		if (!address_from_sockaddr(one->ai_addr, &address, &port))
			err = device_of(query, &address, devices->uplink);
	if (list)
		freeaddrinfo(list);
	for (int i = 0; i < 2 && err; i++)
		if (!address_parse(i ? "2000::" : "1.0.0.0", &address))
			err = device_of(query, &address, devices->uplink);
	if (err)
		snprintf(error, ERROR_LEN, "there is no route to the name server %s",
			 g->credentials.host);
	return err;
}

static void add_lan(struct devices *devices, const char *name)
{
	for (unsigned int i = 0; i < devices->lans; i++)
		if (!strcmp(devices->lan[i], name))
			return;
	if (strcmp(name, devices->uplink) && devices->lans + 1 < TUNNEL_LINKS)
		snprintf(devices->lan[devices->lans++], IF_NAMESIZE, "%s", name);
}

/* A first look at the file: hosts are read again when the maps are there. */
static int find_lans(struct gateway *g, struct mnl_socket *query, struct devices *devices,
		     char *error)
{
	FILE *file = fopen(g->settings.hosts, "re");
	char line[512], text[ADDRESS_TEXT_LEN], name[IF_NAMESIZE];
	struct isthmus_addr address;

	if (!file) {
		snprintf(error, ERROR_LEN, "%s: %s", g->settings.hosts, strerror(errno));
		return -errno;
	}
	while (fgets(line, sizeof(line), file))
		if (line[strspn(line, " \t")] != '#' && sscanf(line, "%*253s %63s", text) == 1 &&
		    !address_parse(text, &address) && !device_of(query, &address, name))
			add_lan(devices, name);
	fclose(file);
	if (devices->lans)
		return 0;
	snprintf(error, ERROR_LEN, "no route leads to a host of %s by another device than %s",
		 g->settings.hosts, devices->uplink);
	return -EHOSTUNREACH;
}

/* The loader beside this program, or the one in PATH. */
static void find_loader(char path[PATH_MAX])
{
	char self[PATH_MAX] = "";
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len > 0) {
		self[len] = 0;
		if (snprintf(path, PATH_MAX, "%s/isthmus", dirname(self)) < PATH_MAX &&
		    !access(path, X_OK))
			return;
	}
	snprintf(path, PATH_MAX, "isthmus");
}

static int run_loader(char **arguments)
{
	int status = 0;
	pid_t pid;
	int err = posix_spawnp(&pid, arguments[0], NULL, NULL, arguments, environ);

	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}

static int attach(struct gateway *g, struct devices *devices, char *error)
{
	char loader[PATH_MAX],
		*arguments[ARGUMENTS_MAX] = { loader, "gateway",  "attach",	  "--mode",
					      NULL,   "--uplink", devices->uplink };
	int count = 7, err;

	find_loader(loader);
	arguments[4] = g->settings.attach;
	for (unsigned int i = 0; i < devices->lans; i++) {
		arguments[count++] = "--lan";
		arguments[count++] = devices->lan[i];
	}
	if (g->settings.instance && g->settings.instance[0]) {
		arguments[count++] = "--instance";
		arguments[count++] = g->settings.instance;
	}
	arguments[count] = NULL;
	err = run_loader(arguments);
	if (err)
		snprintf(error, ERROR_LEN, "isthmus gateway attach failed on %s and %s%s",
			 devices->uplink, devices->lan[0], devices->lans > 1 ? "..." : "");
	else
		log_info("attached: uplink %s, %s%s inside", devices->uplink, devices->lan[0],
			 devices->lans > 1 ? " and others" : "");
	return err;
}

int attach_if_wanted(struct gateway *g, char *error)
{
	struct devices devices = { .lans = 0 };
	struct mnl_socket *query;
	int err;

	if (!g->settings.attach || !strcmp(g->settings.attach, "no") || is_attached(g))
		return 0;
	query = neighbour_query();
	if (!query)
		return -errno;
	err = find_uplink(g, query, &devices, error);
	if (!err)
		err = find_lans(g, query, &devices, error);
	mnl_socket_close(query);
	return err ? err : attach(g, &devices, error);
}
