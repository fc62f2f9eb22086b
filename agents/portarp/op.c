// SPDX-License-Identifier: GPL-3.0-or-later
/* The operations of the control socket, and the same as lines of a file. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/log.h"
#include "../lib/msg.h"
#include "cli.h"
#include "host.h"
#include "op.h"
#include "restore.h"
#include "state.h"

#define SECONDS_MAX 4294967295LL

void op_fail(struct op_result *result, const char *code, const char *format, ...)
{
	va_list args;

	result->code = code;
	va_start(args, format);
	vsnprintf(result->text, sizeof(result->text), format, args);
	va_end(args);
}

void op_fail_errno(struct op_result *result, int err)
{
	switch (err) {
	case -EEXIST:
		op_fail(result, "taken", "another MAC has these ports: release them first");
		break;
	case -EADDRINUSE:
		op_fail(result, "overlap", "the range overlaps another one");
		break;
	case -ENOSPC:
		op_fail(result, "full", "a map has no room for it: attach with larger ones");
		break;
	case -EINVAL:
		op_fail(result, "bad-request",
			"not ports of this address: its offset and length "
			"are the same for all sets");
		break;
	default:
		op_fail(result, "failed", "%s", strerror(-err));
	}
}

/* ---- members */

/* Host byte order: not of this network, of loopback, of a group, reserved or everybody's. */
static bool is_unicast(uint32_t addr)
{
	return addr >> 24 && addr >> 24 != IN_LOOPBACKNET && addr >> 28 < 0xe;
}

bool op_address(const json_t *request, uint32_t *addr_be, struct op_result *result)
{
	const char *text;

	if (!msg_get_string(request, "address", &text) || inet_pton(AF_INET, text, addr_be) != 1) {
		op_fail(result, "bad-request", "address: an IPv4 address is needed");
		return false;
	}
	if (is_unicast(ntohl(*addr_be)))
		return true;
	op_fail(result, "bad-request", "address: %.15s is not a host's", text);
	return false;
}

bool op_mac(const json_t *request, const char *key, uint8_t mac[6], struct op_result *result)
{
	unsigned int byte[6];
	const char *text;
	int end = 0;

	if (msg_get_string(request, key, &text) &&
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3],
		   &byte[4], &byte[5], &end) == 6 &&
	    !text[end]) {
		for (int i = 0; i < 6; i++)
			mac[i] = byte[i];
		if (!(mac[0] & 1) && !mac_is_zero(mac))
			return true;
	}
	op_fail(result, "bad-request", "%s: a unicast MAC is needed, as 02:00:00:00:00:01", key);
	return false;
}

bool op_ports(const json_t *request, struct ports *ports, struct op_result *result)
{
	int64_t a, k, psid, low, high;

	memset(ports, 0, sizeof(*ports));
	ports->range = msg_get_integer(request, "low", 0, 65535, &low) &&
		       msg_get_integer(request, "high", low, 65535, &high);
	if (ports->range) {
		ports->low = low;
		ports->high = high;
		return true;
	}
	if (msg_get_integer(request, "a", 0, 15, &a) && msg_get_integer(request, "k", 0, 16, &k) &&
	    msg_get_integer(request, "psid", 0, 65535, &psid)) {
		ports->set = (struct portset){ a, k, psid };
		if (portset_valid(&ports->set))
			return true;
	}
	op_fail(result, "bad-request",
		"ports: offset, length and psid of a set, or a range low-high, are needed");
	return false;
}

bool op_device(struct agent *agent, const json_t *request, enum portarp_side side,
	       uint32_t *ifindex, struct op_result *result)
{
	const struct portarp_conf *conf = &agent->maps.conf;
	uint32_t wanted = 0, found = 0;
	unsigned int count = 0;
	const char *name;

	maps_read_conf(&agent->maps);
	if (msg_get_string(request, "device", &name))
		wanted = if_nametoindex(name) ?: UINT32_MAX;
	for (int i = 0; i < conf->links && i < PORTARP_LINKS; i++) {
		if (conf->link[i].side != side || (wanted && conf->link[i].ifindex != wanted))
			continue;
		found = conf->link[i].ifindex;
		count++;
	}
	if (count == 1) {
		*ifindex = found;
		return true;
	}
	op_fail(result, "bad-request", "device: %s",
		wanted ? "portarp is not attached to it on this side"
		       : "portarp is attached to none or to several: name one");
	return false;
}

static bool op_ends(const struct agent *agent, const json_t *request, int64_t *ends_s,
		    struct op_result *result)
{
	int64_t seconds = 0;

	if (json_object_get(request, "seconds") &&
	    !msg_get_integer(request, "seconds", 0, SECONDS_MAX, &seconds)) {
		op_fail(result, "bad-request", "seconds: 0 (for ever) to %lld", SECONDS_MAX);
		return false;
	}
	*ends_s = seconds ? agent->clock_s() + seconds : 0;
	return true;
}

static struct shared *op_shared(struct agent *agent, const json_t *request,
				struct op_result *result)
{
	struct shared *shared;
	uint32_t addr_be;
	char text[16];

	if (!op_address(request, &addr_be, result))
		return NULL;
	shared = table_find(&agent->table, addr_be);
	if (!shared) {
		op_address_text(addr_be, text);
		op_fail(result, "unknown-address", "%s is not a shared address here: %s first",
			text, agent->maps.conf.role == PORTARP_HOST ? "use" : "address-add");
	}
	return shared;
}

void op_address_text(uint32_t addr_be, char text[16])
{
	inet_ntop(AF_INET, &addr_be, text, 16);
}

void op_mac_text(const uint8_t mac[6], char text[18])
{
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		 mac[5]);
}

/* ---- gateway and bridge: addresses */

static bool read_echo(const json_t *request, struct portarp_addr *record, uint8_t mac[6],
		      struct op_result *result)
{
	static const char *const words[] = { "drop", "local", "owner" };
	const char *echo = "drop";

	msg_get_string(request, "echo", &echo);
	for (unsigned int i = 0; i < 3; i++) {
		if (strcmp(echo, words[i]))
			continue;
		record->echo = i;
		return i != PORTARP_ECHO_OWNER || op_mac(request, "echo_mac", mac, result);
	}
	op_fail(result, "bad-request", "echo: '%s' is none of drop, local, owner", echo);
	return false;
}

static bool read_record(struct agent *agent, const json_t *request, struct portarp_addr *record,
			struct op_result *result)
{
	const struct portarp_link *link;
	bool is_open = false;
	int64_t a, k;

	if (!msg_get_integer(request, "a", 0, 15, &a) ||
	    !msg_get_integer(request, "k", 0, 16, &k) || a + k > 16) {
		op_fail(result, "bad-request",
			"offset and length of its sets are needed, together "
			"at most 16 bits");
		return false;
	}
	record->a = a;
	record->k = k;
	msg_get_bool(request, "open", &is_open);
	record->flags = is_open ? PORTARP_ADDR_OPEN : 0;
	if (!op_device(agent, request, PORTARP_LAN, &record->ifindex, result))
		return false;
	link = agent_link(agent, record->ifindex);
	memcpy(record->src_mac, link->mac, 6);
	record->mtu = link->mtu;
	return true;
}

/* Asked for again as it is: nothing happens, so that a file of commands can be run twice. */
static bool is_same(const struct shared *shared, const struct portarp_addr *record)
{
	return shared->record.a == record->a && shared->record.k == record->k &&
	       shared->record.flags == record->flags && shared->record.ifindex == record->ifindex;
}

static void op_address_add(struct agent *agent, const json_t *request, struct op_result *result)
{
	struct portarp_addr record = { 0 };
	uint8_t echo_mac[6] = { 0 };
	struct shared *shared;
	uint32_t addr_be;
	int err = 0;

	if (!op_address(request, &addr_be, result) ||
	    !read_record(agent, request, &record, result) ||
	    !read_echo(request, &record, echo_mac, result))
		return;
	shared = table_find(&agent->table, addr_be);
	if (shared && !is_same(shared, &record)) {
		op_fail(result, "taken",
			"a shared address with other parameters: address-del first");
		return;
	}
	if (!shared)
		err = table_add(&agent->table, addr_be, &record, &shared);
	if (!err && record.echo == PORTARP_ECHO_OWNER) {
		err = table_set_echo(&agent->table, shared, echo_mac);
	} else if (!err && shared->record.echo != record.echo) {
		shared->record.echo = record.echo;
		err = table_write(&agent->table, shared);
	}
	if (err) {
		op_fail_errno(result, err);
		return;
	}
	restore_upstream(agent, shared);
	restore_leases(agent, shared);
	lan_add(agent, shared);
}

static void op_address_del(struct agent *agent, const json_t *request, struct op_result *result)
{
	struct shared *shared = op_shared(agent, request, result);
	struct grant *grant;

	if (!shared)
		return;
	while ((grant = TAILQ_FIRST(&shared->grants)))
		claim_release(agent, grant, "released");
	for (uint32_t i = 0; i < 1u << shared->record.k; i++)
		hold_drop(agent, shared->record.first + i);
	lan_remove(agent, shared);
	table_remove(&agent->table, shared);
}

/* ---- gateway and bridge: leases */

static void op_lease(struct agent *agent, const json_t *request, struct op_result *result)
{
	struct shared *shared = op_shared(agent, request, result);
	struct grant *grant;
	struct ports ports;
	uint8_t mac[6];
	int64_t ends_s;
	int err;

	if (!shared || !op_ports(request, &ports, result) || !op_mac(request, "mac", mac, result) ||
	    !op_ends(agent, request, &ends_s, result))
		return;
	if (upstream_is_outside(agent, shared, &ports)) {
		op_fail(result, "bad-request", "these ports belong to the gateway above");
		return;
	}
	err = claim_lease(agent, shared, &ports, mac, ends_s, &grant);
	if (err)
		op_fail_errno(result, err);
}

static void op_release(struct agent *agent, const json_t *request, struct op_result *result)
{
	struct shared *shared = op_shared(agent, request, result);
	struct grant *grant;
	struct ports ports;
	uint8_t mac[6];

	if (!shared || !op_ports(request, &ports, result) || !op_mac(request, "mac", mac, result))
		return;
	grant = table_grant_find(&agent->table, shared, &ports);
	if (grant && !memcmp(grant->mac, mac, 6))
		claim_release(agent, grant, "released");
	else if (grant)
		op_fail(result, "taken", "another MAC has these ports");
	/* Nobody's: released already. */
}

/* The next packet asks again, as after a change of the host's device; a lease stays a lease. */
static void op_forget(struct agent *agent, const json_t *request, struct op_result *result)
{
	struct shared *shared = op_shared(agent, request, result);
	struct grant *grant;
	struct ports ports;

	if (!shared || !op_ports(request, &ports, result))
		return;
	grant = table_grant_find(&agent->table, shared, &ports);
	if (!grant)
		return;
	if (owner_load(table_word(&agent->table, grant->owner)).owner.wait & PORTARP_OWNER_NONE)
		op_fail(result, "bad-request", "these are this machine's own ports");
	else if (grant->leased)
		owner_change(table_word(&agent->table, grant->owner), NULL, 0);
	else
		claim_release(agent, grant, "forgotten");
}

static const char *grant_state(const struct agent *agent, const struct grant *grant)
{
	uint16_t flags = owner_load(table_word(&agent->table, grant->owner)).owner.wait;

	if (flags & PORTARP_OWNER_STALE)
		return "stale";
	if (flags & PORTARP_OWNER_KNOWN)
		return "known";
	return flags & PORTARP_OWNER_NONE ? "own" : "asked";
}

json_t *op_describe_grant(const struct agent *agent, const struct grant *grant)
{
	int64_t left = grant->ends_s ? grant->ends_s - agent->clock_s() : 0;
	char addr[16], mac[18];
	json_t *row;

	op_address_text(grant->shared->addr_be, addr);
	op_mac_text(grant->mac, mac);
	row = json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:b, s:b, s:I}", "address", addr, "mac",
			mac, "ports", (json_int_t)ports_count(&grant->ports), "used_tcp",
			(json_int_t)grant->used_tcp, "used_udp", (json_int_t)grant->used_udp,
			"state", grant_state(agent, grant), "leased", grant->leased, "alarm",
			grant->alarmed, "seconds",
			(json_int_t)(grant->ends_s && left < 1 ? 1 : left));
	if (grant->ports.range)
		json_object_update_new(row, json_pack("{s:i, s:i}", "low", (int)grant->ports.low,
						      "high", (int)grant->ports.high));
	else
		json_object_update_new(row,
				       json_pack("{s:i, s:i, s:i}", "a", (int)grant->ports.set.a,
						 "k", (int)grant->ports.set.k, "psid",
						 (int)grant->ports.set.psid));
	return row;
}

/* An answer is one line of at most MSG_LINE_MAX: the first sets from `skip` on, and how many more.
 */
#define USAGE_ROWS 200

static void op_usage(struct agent *agent, const json_t *request, struct op_result *result)
{
	struct shared *only = NULL, *shared;
	int64_t skip = 0, left;
	json_t *sets, *row;
	struct grant *grant;

	if (json_object_get(request, "address")) {
		only = op_shared(agent, request, result);
		if (!only)
			return;
	}
	msg_get_integer(request, "skip", 0, UINT32_MAX, &skip);
	left = -skip;
	sets = json_array();
	TAILQ_FOREACH(shared, &agent->table.addresses, link)
	{
		if (only && shared != only)
			continue;
		TAILQ_FOREACH(grant, &shared->grants, link)
		{
			if (left++ < 0 || left > USAGE_ROWS)
				continue;
			row = op_describe_grant(agent, grant);
			json_array_append_new(sets, row);
		}
	}
	result->body = json_pack("{s:o, s:I}", "sets", sets, "more",
				 (json_int_t)(left > USAGE_ROWS ? left - USAGE_ROWS : 0));
}

/* ---- host */

static bool read_gateway(const json_t *request, struct host_request *use, struct op_result *result)
{
	const char *gateway;
	int64_t prefix = 0;

	if (msg_get_string(request, "gateway", &gateway) &&
	    inet_pton(AF_INET, gateway, &use->gateway_be) != 1) {
		op_fail(result, "bad-request", "gateway: an IPv4 address is needed");
		return false;
	}
	if (json_object_get(request, "prefix") &&
	    !msg_get_integer(request, "prefix", 0, 32, &prefix)) {
		op_fail(result, "bad-request", "prefix: 0 (none) to 32");
		return false;
	}
	use->prefix = prefix;
	return true;
}

static void op_use(struct agent *agent, const json_t *request, struct op_result *result)
{
	struct host_request use = { 0 };
	int err;

	if (!op_address(request, &use.addr_be, result) || !op_ports(request, &use.ports, result) ||
	    !op_ends(agent, request, &use.ends_s, result) || !read_gateway(request, &use, result) ||
	    !op_device(agent, request, PORTARP_LAN, &use.ifindex, result))
		return;
	err = host_use(agent, &use);
	if (err == -EBUSY)
		op_fail(result, "taken", "the address is in use on another device: unuse it first");
	else if (err)
		op_fail_errno(result, err);
}

static void op_unuse(struct agent *agent, const json_t *request, struct op_result *result)
{
	bool some = json_object_get(request, "psid") || json_object_get(request, "low");
	struct ports ports;
	uint32_t addr_be;

	if (!op_address(request, &addr_be, result) || (some && !op_ports(request, &ports, result)))
		return;
	if (host_unuse(agent, addr_be, some ? &ports : NULL))
		op_fail(result, "unknown-address", "this host does not use it");
}

static void op_status(struct agent *agent, const json_t *request, struct op_result *result)
{
	(void)request;
	result->body = status_describe(agent);
}

/* ---- all of them */

#define ROLE(role)   (1u << (role))
#define ROLE_SHARING (ROLE(PORTARP_GATEWAY) | ROLE(PORTARP_BRIDGE))
#define ROLE_ALL     (ROLE_SHARING | ROLE(PORTARP_HOST))

static const struct {
	const char *name;
	unsigned int roles;
	void (*run)(struct agent *agent, const json_t *request, struct op_result *result);
} ops[] = {
	{ "address-add", ROLE_SHARING, op_address_add },
	{ "address-del", ROLE_SHARING, op_address_del },
	{ "lease", ROLE_SHARING, op_lease },
	{ "release", ROLE_SHARING, op_release },
	{ "forget", ROLE_ALL, op_forget },
	{ "usage", ROLE_ALL, op_usage },
	{ "upstream", ROLE(PORTARP_GATEWAY), upstream_op },
	{ "use", ROLE(PORTARP_HOST), op_use },
	{ "unuse", ROLE(PORTARP_HOST), op_unuse },
	{ "status", ROLE_ALL, op_status },
};

void op_run(struct agent *agent, const json_t *request, struct op_result *result)
{
	const char *name = "";

	memset(result, 0, sizeof(*result));
	msg_get_string(request, "op", &name);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(name, ops[i].name))
			continue;
		if (ops[i].roles & ROLE(agent->role))
			ops[i].run(agent, request, result);
		else
			op_fail(result, "wrong-role", "%s is not for this role: see status", name);
		return;
	}
	op_fail(result, "unknown-op", "'%.32s' is not known here", name);
}

/* ---- the same from a file */

static int run_line(struct agent *agent, char *line, char *error, size_t error_len)
{
	struct op_result result;
	json_t *request = cli_request_of_line(line, error, error_len);

	if (!request)
		return error[0] ? -EINVAL : 0;
	op_run(agent, request, &result);
	json_decref(request);
	json_decref(result.body);
	if (!result.code)
		return 0;
	snprintf(error, error_len, "%s", result.text);
	return -EINVAL;
}

int op_run_file(struct agent *agent, const char *path, char *error, size_t error_len)
{
	char line[512], why[300];
	unsigned int number = 0;
	FILE *file = fopen(path, "re");
	int err = 0;

	if (!file) {
		err = -errno;
		snprintf(error, error_len, "%s: %s", path, strerror(-err));
		return err;
	}
	while (!err && fgets(line, sizeof(line), file)) {
		number++;
		why[0] = 0;
		if (strlen(line) == sizeof(line) - 1 && line[sizeof(line) - 2] != '\n') {
			err = -EINVAL;
			snprintf(why, sizeof(why), "longer than %zu bytes", sizeof(line) - 2);
		} else {
			err = run_line(agent, line, why, sizeof(why));
		}
		if (err)
			snprintf(error, error_len, "%s:%u: %s", path, number, why);
	}
	fclose(file);
	return err;
}
