// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Role host in a network namespace of its own: what `use` makes of addresses, rules, routes and
 * sysctls, and that `unuse` and the end of a lease leave nothing of it.
 */
/* link: agents/portarp/agent.c agents/portarp/age.c agents/portarp/arp.c agents/portarp/claim.c */
/* link: agents/portarp/events.c agents/portarp/frag.c agents/portarp/frame.c */
/* link: agents/portarp/hold.c agents/portarp/host.c agents/portarp/lan.c agents/portarp/maps.c */
/* link: agents/portarp/mine.c agents/portarp/net.c agents/portarp/op.c agents/portarp/owner.c */
/* link: agents/portarp/restore.c agents/portarp/rt.c agents/portarp/settings.c */
/* link: agents/lib/rtnl.c */
/* link: agents/portarp/state.c agents/portarp/status.c agents/portarp/table.c */
/* link: agents/portarp/upstream.c agents/portarp/use.c agents/portarp/cli.c */
/* link: agents/lib/conf.c agents/lib/log.c agents/lib/metrics.c agents/lib/address.c */
/* link: agents/lib/msg.c agents/lib/msg_json.c agents/lib/msg_socket.c agents/lib/msg_tls.c */
/* link: maps/pin.c selftests/lib/portarp_maps.c selftests/lib/portarp_agent.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../agents/portarp/host.h"
#include "../agents/portarp/op.h"
#include "lib/portarp_agent.h"

#define ADDR  "'address':'192.0.2.1'"
#define OTHER "'address':'198.51.100.1'"
#define TEXT  65536

static void run(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

/* A host with an address of its own on the LAN, and settings of its operator. */
static int open_host(void **arg)
{
	(void)arg;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	run("ip link set lo up && ip link add lan type veth peer name far &&"
	    " ip link set lan up && ip link set far up && ip addr add 10.0.0.7/24 dev lan &&"
	    " ip route add default via 10.0.0.254 metric 100");
	run("sysctl -qw net.ipv4.ip_local_reserved_ports=20000-20009,30000"
	    " net.ipv4.ip_local_port_range='33000 59999' net.ipv4.conf.lan.rp_filter=2"
	    " net.ipv4.conf.lan.arp_ignore=1");
	fixture_open_on(PORTARP_HOST, if_nametoindex("lan"));
	return 0;
}

static int close_host(void **arg)
{
	(void)arg;
	fixture_close();
	return 0;
}

/* Everything that may have changed. */
static char *look(void)
{
	char *text = calloc(1, TEXT);
	FILE *pipe = popen("ip -d rule; ip -4 -d route show table all; ip -4 -br addr; ip -4 neigh;"
			   "sysctl net.ipv4.ip_local_port_range net.ipv4.ip_local_reserved_ports "
			   "net.ipv4.ip_nonlocal_bind net.ipv4.conf.lan net.ipv4.conf.all",
			   "r");

	assert_non_null(text);
	assert_non_null(pipe);
	assert_true(fread(text, 1, TEXT - 1, pipe) > 1000);
	assert_int_equal(pclose(pipe), 0);
	return text;
}

static void is_as(char *before)
{
	char *after = look();

	assert_string_equal(after, before);
	free(after);
	free(before);
}

static void says(const char *command, const char *wanted)
{
	char line[4096] = "";
	FILE *pipe = popen(command, "r");

	assert_non_null(pipe);
	assert_true(fread(line, 1, sizeof(line) - 1, pipe) < sizeof(line) - 1);
	pclose(pipe);
	line[strcspn(line, "\n")] = 0;
	while (line[0] && line[strlen(line) - 1] == ' ')
		line[strlen(line) - 1] = 0;
	assert_string_equal(line, wanted);
}

static void a_contiguous_set(void **arg)
{
	char *before = look();

	(void)arg;
	assert_null(fixture_op("{'op':'use'," ADDR ",'a':0,'k':4,'psid':2,"
			       "'gateway':'192.0.2.254','prefix':24}"));
	says("ip -4 rule | head -1 | tr -s '\t ' ' '",
	     "10: from all iif lan lookup 15900 proto 159");
	says("ip -4 rule | sed -n 2p | tr -s '\t ' ' '", "11: from all lookup local proto 159");
	says("ip route show table 15900", "local 192.0.2.1 dev lan proto 159 scope host");
	says("ip route show table local 192.0.2.1", "");
	says("ip route get 192.0.2.1 | head -1 | tr -s ' '",
	     "192.0.2.1 dev lan src 192.0.2.1 uid 0");
	says("ip route get 192.0.2.1 from 192.0.2.1 | head -1 | tr -s ' '",
	     "192.0.2.1 from 192.0.2.1 dev lan uid 0");
	says("ip route get 203.0.113.9 | head -1 | tr -s ' '",
	     "203.0.113.9 via 192.0.2.254 dev lan src 192.0.2.1 uid 0");
	says("ip route get 192.0.2.77 | head -1 | tr -s ' '",
	     "192.0.2.77 dev lan src 192.0.2.1 uid 0");
	says("sysctl -n net.ipv4.ip_local_port_range | tr '\t' ' '", "8192 12287");
	says("sysctl -n net.ipv4.ip_local_reserved_ports", "20000-20009,30000");
	says("sysctl -n net.ipv4.conf.lan.arp_ignore", "3");
	says("ip neigh show 192.0.2.1 dev lan", "192.0.2.1 lladdr 02:50:45:00:00:01 PERMANENT");
	assert_null(fixture_op("{'op':'unuse'," ADDR "}"));
	is_as(before);
}

/* A lease that is renewed may name another gateway or prefix; what it does not name stays. */
static void another_gateway(void **arg)
{
	char *before = look(), *used;

	(void)arg;
	assert_null(fixture_op("{'op':'use'," ADDR ",'a':0,'k':4,'psid':2,"
			       "'gateway':'192.0.2.254','prefix':24}"));
	assert_null(fixture_op("{'op':'use'," ADDR ",'a':0,'k':4,'psid':3,"
			       "'gateway':'192.0.2.130'}"));
	says("ip -4 route show default via 192.0.2.254 | wc -l", "0");
	says("ip route get 203.0.113.9 | head -1 | tr -s ' '",
	     "203.0.113.9 via 192.0.2.130 dev lan src 192.0.2.1 uid 0");
	assert_null(fixture_op("{'op':'use'," ADDR ",'a':0,'k':4,'psid':2,'prefix':25,"
			       "'gateway':'192.0.2.120'}"));
	says("ip -4 route show 192.0.2.0/24 | wc -l", "0");
	says("ip route get 192.0.2.77 | head -1 | tr -s ' '",
	     "192.0.2.77 dev lan src 192.0.2.1 uid 0");
	says("ip route get 203.0.113.9 | head -1 | tr -s ' '",
	     "203.0.113.9 via 192.0.2.120 dev lan src 192.0.2.1 uid 0");
	used = look();
	assert_null(fixture_op("{'op':'use'," ADDR ",'a':0,'k':4,'psid':3}"));
	is_as(used);
	used = look();
	fixture_reopen();
	is_as(used);
	assert_null(fixture_op("{'op':'unuse'," ADDR "}"));
	is_as(before);
}

static void addresses_of_nobody(void **arg)
{
	static const char *const nobody[] = { "0.0.0.0",   "0.1.2.3",	"127.0.0.1",
					      "224.0.0.1", "240.0.0.1", "255.255.255.255" };
	char *before = look(), request[160];

	(void)arg;
	for (size_t i = 0; i < sizeof(nobody) / sizeof(*nobody); i++) {
		snprintf(request, sizeof(request),
			 "{'op':'use','address':'%s','a':0,'k':4,'psid':2}", nobody[i]);
		assert_string_equal(fixture_op(request), "bad-request");
	}
	is_as(before);
}

/* The control: a line of 510 bytes is read whole; one more is refused with its number. */
static void long_lines(void **arg)
{
	char path[] = "/tmp/portarp-lines-XXXXXX", error[512] = "";
	const char *last = "unuse 192.0.2.1";
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");

	(void)arg;
	assert_non_null(file);
	fprintf(file, "use 192.0.2.1 --ports 80%*s#\n", 510 - 25, "");
	fprintf(file, "%s\n", last);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(op_run_file(&fixture->agent, path, error, sizeof(error)), 0);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "\nuse 192.0.2.1 --ports 80%*s#\n", 511 - 25, "");
	assert_int_equal(fclose(file), 0);
	assert_int_equal(op_run_file(&fixture->agent, path, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, ":2: longer than 510 bytes"));
	assert_true(TAILQ_EMPTY(&fixture->agent.own));
	unlink(path);
}

static void what_is_written_for_the_datapath(void **arg)
{
	uint32_t addr = inet_addr("192.0.2.1");
	struct portarp_addr record;
	struct portarp_mine mine;
	struct arp_message told;

	(void)arg;
	assert_null(fixture_op("{'op':'use'," ADDR ",'a':6,'k':8,'psid':52,'seconds':90}"));
	assert_null(fixture_op("{'op':'use'," ADDR ",'low':80,'high':80}"));
	assert_int_equal(map_get(&fixture->agent.maps, MAP_MINE, &addr, &mine), 0);
	assert_int_equal(mine.sets, 1);
	assert_int_equal(mine.set.psid, 52);
	assert_int_equal(mine.ranges, 1);
	assert_int_equal(mine.range[0].high, 80);
	assert_int_equal(mine.expires_ns, 0); /* port 80 is for ever */
	assert_int_equal(mine.ifindex, fixture->lan_ifindex);
	assert_int_equal(map_get(&fixture->agent.maps, MAP_ADDR, &addr, &record), 0);
	assert_int_equal(record.k, 8);
	assert_int_equal(fixture->agent.maps.owner.word[record.first + 52] >> 48,
			 PORTARP_OWNER_NONE);
	assert_int_equal(fixture->agent.maps.owner.word[record.first + 51], 0);
	assert_int_equal(arp_parse(fixture->sent[0].frame, fixture->sent[0].len,
				   htons(PORTARP_OP_REPLY), &told),
			 0);
	assert_int_equal(told.flags, PORTARP_ARP_SET | PORTARP_ARP_ANNOUNCE);
	assert_int_equal(told.set.psid, 52);
	assert_int_equal(told.lifetime_s, 90);
	assert_null(fixture_op("{'op':'unuse'," ADDR "}"));
	assert_int_not_equal(map_get(&fixture->agent.maps, MAP_ADDR, &addr, &record), 0);
	assert_int_not_equal(map_get(&fixture->agent.maps, MAP_MINE, &addr, &mine), 0);
}

/* RFC 7597, appendix A: PSID 0x34 of a 6, k 8; 63 ranges of 4 ports from 1232 to 64723. */
static void a_scattered_set(void **arg)
{
	char *before = look();

	(void)arg;
	assert_null(fixture_op("{'op':'use'," ADDR ",'a':6,'k':8,'psid':52}"));
	says("sysctl -n net.ipv4.ip_local_port_range | tr '\t' ' '", "1232 64723");
	says("sysctl -n net.ipv4.ip_local_reserved_ports | cut -d, -f1,2", "1236-2255,2260-3279");
	says("sysctl -n net.ipv4.ip_local_reserved_ports | tr , '\n' | wc -l", "62");
	assert_null(fixture_op("{'op':'unuse'," ADDR "}"));
	is_as(before);
}

static void leases_end_and_several_addresses(void **arg)
{
	char *before = look(), *one;

	(void)arg;
	assert_null(fixture_op("{'op':'use'," ADDR ",'a':0,'k':4,'psid':2,'seconds':100}"));
	one = look();
	assert_null(fixture_op("{'op':'use'," ADDR ",'a':0,'k':4,'psid':3,'seconds':50}"));
	assert_null(fixture_op("{'op':'use'," OTHER ",'low':40000,'high':40999,'seconds':20}"));
	assert_string_equal(fixture_op("{'op':'use'," ADDR ",'a':0,'k':5,'psid':3}"),
			    "bad-request");
	says("sysctl -n net.ipv4.ip_local_port_range | tr '\t' ' '", "8192 40999");
	says("sysctl -n net.ipv4.ip_local_reserved_ports", "16384-39999");
	fixture_reopen();
	fixture_pass(30000);
	says("sysctl -n net.ipv4.ip_local_port_range | tr '\t' ' '", "8192 16383");
	fixture_pass(40000);
	is_as(one);
	fixture_pass(40000);
	is_as(before);
	assert_true(TAILQ_EMPTY(&fixture->agent.own));
	assert_int_equal(fixture->agent.table.address_count, 0);
}

static void a_device_that_was_down(void **arg)
{
	char *before = look(), *used;

	(void)arg;
	assert_null(fixture_op("{'op':'use'," ADDR ",'a':0,'k':4,'psid':2,"
			       "'gateway':'192.0.2.254','prefix':24}"));
	used = look();
	run("ip link set lan down && ip link set lan up &&"
	    " ip route add default via 10.0.0.254 metric 100");
	says("ip route show 192.0.2.1", "");
	host_link_up(&fixture->agent, fixture->lan_ifindex);
	is_as(used);
	assert_null(fixture_op("{'op':'unuse'," ADDR "}"));
	is_as(before);
}

static void other_sharers_are_asked(void **arg)
{
	uint32_t owner;
	const struct shared *shared;
	struct arp_message claim = { .addr_be = inet_addr("192.0.2.1"),
				     .from = { 2, 0, 0, 0, 0, 9 },
				     .port = 4096 * 3,
				     .flags = PORTARP_ARP_SET,
				     .set = { 0, 4, 3 } };

	(void)arg;
	assert_null(fixture_op("{'op':'use'," ADDR ",'a':0,'k':4,'psid':2}"));
	shared = table_find(&fixture->agent.table, inet_addr("192.0.2.1"));
	owner = table_owner_of(&fixture->agent.table, shared, 4096 * 3);
	fixture->sents = 0;
	assert_true(fixture_packet(owner, 4096 * 3, 1));
	assert_int_equal(fixture_questions(), 1);
	fixture_claim(&claim);
	assert_int_equal(fixture_packets(), 1);
	assert_memory_equal(fixture_ip(0)->frame, claim.from, 6);
	assert_int_equal(fixture_ip(0)->frame[14 + 8], 64); /* TTL */
	claim.set.psid = 2;				    /* ours */
	claim.port = 4096 * 2;
	fixture_claim(&claim);
	assert_int_equal(fixture->agent.counter[COUNT_REFUSED_LEASE], 1);
	assert_null(fixture_op("{'op':'unuse'," ADDR "}"));
}

int main(void)
{
#define ROW(f) cmocka_unit_test_setup_teardown(f, open_host, close_host)
	const struct CMUnitTest tests[] = {
		ROW(a_contiguous_set),
		ROW(what_is_written_for_the_datapath),
		ROW(a_scattered_set),
		ROW(leases_end_and_several_addresses),
		ROW(a_device_that_was_down),
		ROW(other_sharers_are_asked),
		ROW(another_gateway),
		ROW(addresses_of_nobody),
		ROW(long_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
