// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Routes and neighbours: what makes all legs look up their next hop again, and what keeps the next
 * hops alive. In a network namespace of its own.
 */
/* link: agents/translator/kernel.c agents/translator/attached.c agents/translator/events.c */
/* link: agents/translator/sweep.c selftests/lib/translator_maps.c */
/* link: agents/translator/decide.c agents/translator/restore.c agents/translator/hops.c */
/* link: agents/lib/neighbour.c agents/lib/neighbour_watch.c agents/translator/rendezvous.c */
/* link: agents/translator/ports.c agents/translator/settings.c agents/lib/conf.c */
/* link: agents/lib/address.c agents/lib/auth.c agents/lib/log.c agents/lib/metrics.c maps/pin.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../agents/lib/address.h"
#include "../agents/translator/kernel.h"
#include "../agents/lib/neighbour.h"
#include "lib/translator_maps.h"

static char instance[24];
static struct translator *t;

static int setup(void **state)
{
	struct isthmus_addr addr;
	char error[256] = "";

	(void)state;
	snprintf(instance, sizeof(instance), "h%d", getpid());
	assert_int_equal(address_parse("192.0.2.1", &addr), 0);
	maps_pin(instance, &addr, 30000, 30099, 8);
	t = calloc(1, sizeof(*t));
	assert_non_null(t);
	settings_default(&t->settings);
	t->settings.instance = strdup(instance);
	t->base = event_base_new();
	assert_int_equal(table_init(t, 64), 0);
	if (kernel_start(t, error, sizeof(error)))
		fail_msg("%s", error);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	t->engine->stop(t);
	table_free(t);
	locals_free(&t->locals);
	settings_free(&t->settings);
	event_base_free(t->base);
	free(t);
	maps_unpin(instance);
	return 0;
}

static void epoch_follows_the_host(void **state)
{
	struct splice_conf before, after;
	__u32 zero = 0;

	(void)state;
	assert_int_equal(bpf_map_lookup_elem(t->kernel->fd[MAP_CONF], &zero, &before), 0);
	assert_int_equal(system("ip link add epoch0 type veth peer name epoch1 && "
				"ip link del epoch0"),
			 0);
	for (int i = 0; i < 100; i++) {
		event_base_loop(t->base, EVLOOP_NONBLOCK);
		usleep(2000);
	}
	assert_int_equal(bpf_map_lookup_elem(t->kernel->fd[MAP_CONF], &zero, &after), 0);
	assert_true(after.epoch > before.epoch);
	assert_true(after.epoch <= before.epoch + 6); /* 20 a second at most */
	after.epoch = before.epoch;
	assert_memory_equal(&before, &after, sizeof(before));
}

static struct splice_leg hop_leg(const char *device, const char *dst, uint8_t mac)
{
	struct splice_leg leg = { .hop.ifindex = if_nametoindex(device),
				  .hop.dst_mac = { 2, 0, 0, 0, 0, mac } };

	assert_int_equal(address_parse(dst, &leg.new_dst), 0);
	return leg;
}

/* A stale next hop is probed, one that has vanished is resolved, one that nobody uses ages. */
static void neighbours_in_use_live(void **state)
{
	struct splice_leg legs[2];

	(void)state;
	assert_int_equal(
		system("ip link add hops0 type veth peer name hops1 && "
		       "ip addr add 192.0.2.1/24 dev hops0 && "
		       "ip link set hops0 up && ip link set hops1 up && "
		       "ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 nud stale dev hops0 && "
		       "ip neigh add 192.0.2.4 lladdr 02:00:00:00:00:04 nud stale dev hops0"),
		0);
	legs[0] = hop_leg("hops0", "192.0.2.2", 2);
	legs[1] = hop_leg("hops0", "192.0.2.3", 3);
	for (int i = 0; i < 2; i++)
		hops_note(t->kernel->hops, &legs[i]);
	hops_swept(t->kernel->hops);
	hops_keep_alive(t->kernel->hops);
	assert_int_equal(t->counters.neighbours_used, 2);
	assert_int_equal(system("ip neigh show 192.0.2.2 dev hops0 | grep -q 'DELAY\\|PROBE'"), 0);
	assert_int_equal(
		system("ip neigh show 192.0.2.3 dev hops0 | grep -q 'INCOMPLETE\\|FAILED'"), 0);
	assert_int_equal(system("ip neigh show 192.0.2.4 dev hops0 | grep -q STALE"), 0);
	assert_int_equal(system("ip link del hops0"), 0);
}

static void count_neighbour(const struct neighbour *neighbour, void *count)
{
	(void)neighbour;
	++*(unsigned int *)count;
}

/* An answer that nobody has read does not spoil the next ones. */
static void a_late_answer_is_dropped(void **state)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} question = { { sizeof(question), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 4242, 0 },
		       { 0 } };
	unsigned int count = 0;

	(void)state;
	assert_non_null(socket);
	assert_int_equal(mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID), 0);
	assert_int_equal(mnl_socket_sendto(socket, &question, sizeof(question)), sizeof(question));
	assert_int_equal(neighbour_dump(socket, count_neighbour, &count), 0);
	assert_int_equal(neighbour_dump(socket, count_neighbour, &count), 0);
	mnl_socket_close(socket);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(epoch_follows_the_host, setup, teardown),
		cmocka_unit_test_setup_teardown(neighbours_in_use_live, setup, teardown),
		cmocka_unit_test(a_late_answer_is_dropped),
	};

	if (unshare(CLONE_NEWNET) || system("ip link set lo up")) {
		perror("unshare");
		return 1;
	}
	return cmocka_run_group_tests_name("translator_hops", tests, NULL, NULL);
}
