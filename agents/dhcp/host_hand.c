// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What a lease is for: isthmus-portarp of this host configures shared addresses (ops `use`,
 * `unuse`); a script does where it does not run, and for full addresses.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/log.h"
#include "../lib/msg.h"
#include "host.h"

#define ANSWER_MS     5000
#define RETRY_S	      1
#define SCRIPT_MS     30000
#define SCRIPT_STEP   10000 /* µs */
#define VARIABLES_MAX 16
#define VARIABLE_LEN  320

struct hand {
	struct host *host;
	struct msg_conn *conn;
	struct event *timer;
	bool warned;
};

/* ---- isthmus-portarp */

static void put_ports(json_t *m, const struct dhcp_client_lease *lease, int range)
{
	if (range >= 0) {
		json_object_set_new(m, "low", json_integer(lease->range[range].low));
		json_object_set_new(m, "high", json_integer(lease->range[range].high));
		return;
	}
	json_object_set_new(m, "a", json_integer(lease->set.a));
	json_object_set_new(m, "k", json_integer(lease->set.k));
	json_object_set_new(m, "psid", json_integer(lease->set.psid));
}

static int prefix_of(uint32_t mask)
{
	return mask ? __builtin_popcount(mask) : 32;
}

static json_t *use_message(const struct hand *hand, const struct dhcp_client_lease *lease,
			   int range)
{
	int64_t left = (lease->expires - host_now()) / 1000;
	char ip[16], router[16];
	json_t *m = json_pack("{s:s, s:s, s:I, s:i}", "op", "use", "address",
			      pool_ip_text(lease->address, ip), "seconds",
			      (json_int_t)(lease->expires == DHCP_NEVER ? 0
					   : left > 0			? left
									: 1),
			      "prefix", prefix_of(lease->mask));

	if (!m)
		return NULL;
	json_object_set_new(m, "device", json_string(hand->host->link.name));
	if (lease->router)
		json_object_set_new(m, "gateway", json_string(pool_ip_text(lease->router, router)));
	put_ports(m, lease, range);
	return m;
}

static json_t *unuse_message(const struct dhcp_client_lease *lease, int range)
{
	char ip[16];
	json_t *m =
		json_pack("{s:s, s:s}", "op", "unuse", "address", pool_ip_text(lease->address, ip));

	if (m)
		put_ports(m, lease, range);
	return m;
}

static void on_answer(struct msg_conn *conn, json_t *answer, void *arg)
{
	const char *error = "", *text = "";
	bool good = false;

	(void)conn;
	(void)arg;
	if (!answer || (msg_get_bool(answer, "ok", &good) && good))
		return;
	msg_get_string(answer, "error", &error);
	msg_get_string(answer, "text", &text);
	log_warn("isthmus-portarp refuses: %s: %s", error, text);
}

/* The set, and what goes with the address beside it. */
static void tell_portarp(struct hand *hand, const struct dhcp_client_lease *lease, bool use)
{
	if (!lease->shared || !hand->conn || !msg_conn_is_open(hand->conn))
		return;
	for (int i = -1; i < (int)lease->ranges; i++)
		msg_request(hand->conn, use ? use_message(hand, lease, i) : unuse_message(lease, i),
			    ANSWER_MS, on_answer, hand);
}

static void on_opened(struct msg_conn *conn, void *arg)
{
	struct hand *hand = arg;

	(void)conn;
	hand->warned = false;
	for (unsigned int i = 0; i < HOST_SETS; i++)
		if (hand->host->set[i].in_use)
			tell_portarp(hand, &hand->host->set[i].lease, true);
}

static void on_message(struct msg_conn *conn, json_t *message, void *arg)
{
	(void)conn;
	(void)message;
	(void)arg;
}

static void on_closed(struct msg_conn *conn, const char *why, void *arg)
{
	struct hand *hand = arg;

	(void)conn;
	hand->conn = NULL;
	log_warn("isthmus-portarp left: %s; it is told again when it is back", why);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	static const struct msg_handler handler = { on_opened, on_message, on_closed };
	struct hand *hand = arg;
	const char *path = hand->host->settings.portarp;

	(void)fd;
	(void)what;
	if (hand->conn)
		return;
	hand->conn = msg_connect_unix(hand->host->base, path, &handler, hand);
	if (!hand->conn && !hand->warned)
		log_warn("no isthmus-portarp on %s: %s; it is told when it is there", path,
			 strerror(errno));
	hand->warned = true;
}

struct hand *hand_new(struct host *host)
{
	const struct timeval second = { .tv_sec = RETRY_S };
	struct hand *hand = calloc(1, sizeof(*hand));

	if (!hand)
		return NULL;
	hand->host = host;
	if (!strcmp(host->settings.portarp, "none"))
		return hand;
	hand->timer = event_new(host->base, -1, EV_PERSIST, on_time, hand);
	if (!hand->timer || event_add(hand->timer, &second)) {
		hand_free(hand);
		return NULL;
	}
	on_time(-1, 0, hand);
	return hand;
}

void hand_free(struct hand *hand)
{
	if (!hand)
		return;
	if (hand->timer)
		event_free(hand->timer);
	if (hand->conn)
		msg_conn_free(hand->conn);
	free(hand);
}

bool hand_connected(const struct hand *hand)
{
	return hand && hand->conn && msg_conn_is_open(hand->conn);
}

/* ---- JSON and script */

json_t *hand_lease(const struct dhcp_client *client)
{
	const struct dhcp_client_lease *lease = &client->lease;
	json_t *dns = json_array(), *ports = json_array();
	char ip[16];
	json_t *m = json_pack("{s:s, s:i, s:b, s:I}", "address", pool_ip_text(lease->address, ip),
			      "prefix", prefix_of(lease->mask), "shared", lease->shared, "iaid",
			      (json_int_t)client->iaid);

	json_object_set_new(m, "server", json_string(pool_ip_text(lease->server, ip)));
	json_object_set_new(m, "seconds",
			    json_integer(lease->expires == DHCP_NEVER
						 ? 0
						 : (lease->expires - host_now()) / 1000));
	if (lease->router)
		json_object_set_new(m, "gateway", json_string(pool_ip_text(lease->router, ip)));
	if (lease->shared)
		put_ports(m, lease, -1);
	for (unsigned int i = 0; i < lease->dns_count; i++)
		json_array_append_new(dns, json_string(pool_ip_text(lease->dns[i], ip)));
	for (unsigned int i = 0; i < lease->ranges; i++)
		json_array_append_new(ports,
				      json_pack("[ii]", lease->range[i].low, lease->range[i].high));
	json_object_set_new(m, "dns", dns);
	json_object_set_new(m, "ranges", ports);
	return m;
}

struct variables {
	char text[VARIABLES_MAX][VARIABLE_LEN];
	char *list[VARIABLES_MAX + 1];
	unsigned int count;
};

static void set_variable(struct variables *v, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void set_variable(struct variables *v, const char *name, const char *format, ...)
{
	char *text = v->text[v->count];
	va_list args;
	int len;

	if (v->count == VARIABLES_MAX)
		return;
	len = snprintf(text, VARIABLE_LEN, "%s=", name);
	va_start(args, format);
	vsnprintf(text + len, VARIABLE_LEN - len, format, args);
	va_end(args);
	v->list[v->count++] = text;
}

static void set_variables(struct variables *v, const struct host *host, const char *event,
			  const struct dhcp_client_lease *lease)
{
	char ip[16], dns[DHCP_CLIENT_DNS * 16 + 1] = "";

	for (unsigned int i = 0; i < lease->dns_count; i++) {
		strcat(dns, i ? " " : "");
		strcat(dns, pool_ip_text(lease->dns[i], ip));
	}
	set_variable(v, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	set_variable(v, "EVENT", "%s", event);
	set_variable(v, "DEVICE", "%s", host->link.name);
	set_variable(v, "ADDRESS", "%s", pool_ip_text(lease->address, ip));
	set_variable(v, "PREFIX", "%d", prefix_of(lease->mask));
	set_variable(v, "ROUTER", "%s", lease->router ? pool_ip_text(lease->router, ip) : "");
	set_variable(v, "DNS", "%s", dns);
	set_variable(v, "DOMAIN", "%s", lease->domain);
	set_variable(v, "SECONDS_LEFT", "%lld",
		     lease->expires == DHCP_NEVER
			     ? 0LL
			     : (long long)(lease->expires - host_now()) / 1000);
	set_variable(v, "SHARED", "%s", lease->shared ? "yes" : "no");
	if (!lease->shared)
		return;
	set_variable(v, "OFFSET", "%u", lease->set.a);
	set_variable(v, "LENGTH", "%u", lease->set.k);
	set_variable(v, "PSID", "%u", lease->set.psid);
}

/* Scripts run one after another, in the order of what they tell. */
static void wait_script(pid_t pid)
{
	int status;

	for (int waited = 0; waited < SCRIPT_MS * 1000; waited += SCRIPT_STEP) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			if (status)
				log_warn("the script failed: status %d",
					 WIFEXITED(status) ? WEXITSTATUS(status) : -1);
			return;
		}
		usleep(SCRIPT_STEP);
	}
	log_warn("the script was ended after %d s", SCRIPT_MS / 1000);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

static void run_script(const struct host *host, const char *event,
		       const struct dhcp_client_lease *lease)
{
	char *argv[] = { host->settings.script, (char *)event, NULL };
	struct variables variables = { .count = 0 };
	pid_t pid;
	int err;

	set_variables(&variables, host, event, lease);
	err = posix_spawn(&pid, host->settings.script, NULL, NULL, argv, variables.list);
	if (err)
		log_error("%s: %s", host->settings.script, strerror(err));
	else
		wait_script(pid);
}

static void tell_others(struct hand *hand, const char *event, const struct dhcp_client *client)
{
	const struct client_settings *settings = &hand->host->settings;
	json_t *m;

	if (settings->print) {
		m = hand_lease(client);
		json_object_set_new(m, "event", json_string(event));
		json_dumpf(m, stdout, JSON_COMPACT);
		printf("\n");
		fflush(stdout);
		json_decref(m);
	}
	if (settings->script)
		run_script(hand->host, event, &client->lease);
}

void hand_bound(struct hand *hand, const struct dhcp_client *client, bool renewed)
{
	tell_portarp(hand, &client->lease, true);
	tell_others(hand, renewed ? "renewed" : "bound", client);
	if (!client->lease.shared && !hand->host->settings.script && !hand->host->settings.print)
		log_warn("a full address was given: --script FILE has to configure it");
}

void hand_lost(struct hand *hand, const struct dhcp_client *client, const char *why)
{
	char ip[16];

	log_info("%s is over: %s", pool_ip_text(client->lease.address, ip), why);
	tell_portarp(hand, &client->lease, false);
	tell_others(hand, "lost", client);
}
