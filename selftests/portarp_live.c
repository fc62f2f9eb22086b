// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Agent and datapath together: packets that come one after the other while their owner is asked and
 * answers reach it all, and in order.
 *
 *	test ── wan2 === wan [portarp_up_tc] gateway [portarp_lan_out] lan === lan2 ── test, as the
 *host
 */
/* link: selftests/lib/portarp_maps.c agents/portarp/arp.c agents/portarp/frame.c maps/pin.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../agents/portarp/arp.h"
#include "../agents/portarp/frame.h"
#include "../maps/pin.h"
#include "bpf/portarp.skel.h"
#include "lib/portarp_maps.h"

#define ADDRESS	 "192.0.2.1"
#define IP_BYTES 28
#define LEN	 (14 + IP_BYTES + 4)
#define ROUNDS	 40
#define PACKETS	 60

static const uint8_t host_mac[6] = { 2, 0, 0, 0, 0, 0x34 };
static char instance[24], folder[64], program[512];
static struct portarp_bpf *datapath;
static int up, lan; /* packet sockets at the far ends */
static uint8_t up_mac[6];
static pid_t agent;

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void run(const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (system(line))
		fail_msg("%s", line);
}

static void read_mac(const char *device, uint8_t mac[6])
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &request), 0);
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	close(fd);
}

static int packet_socket(const char *device)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = if_nametoindex(device) };
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), bytes = 8 << 20;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* ---- set-up */

/* The programs use the pinned maps instead of their own. */
static void load(void)
{
	struct bpf_map *map;
	char path[256];

	datapath = portarp_bpf__open();
	assert_non_null(datapath);
	bpf_object__for_each_map(map, datapath->obj)
	{
		int fd;

		if (pin_path(instance, "portarp", bpf_map__name(map), path, sizeof(path)))
			continue;
		fd = bpf_obj_get(path);
		if (fd < 0)
			continue;
		assert_int_equal(bpf_map__reuse_fd(map, fd), 0);
		close(fd);
	}
	assert_int_equal(portarp_bpf__load(datapath), 0);
}

static void attach(struct bpf_program *program_, const char *device, enum bpf_tc_attach_point point)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = if_nametoindex(device),
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = bpf_program__fd(program_));

	if (point == BPF_TC_INGRESS) /* one qdisc for both ways */
		bpf_tc_hook_create(&hook);
	hook.attach_point = point;
	assert_int_equal(bpf_tc_attach(&hook, &options), 0);
}

static void start_agent(void)
{
	int tries = 200;

	agent = fork();
	assert_true(agent >= 0);
	if (!agent) {
		char control[96], state[96];

		snprintf(control, sizeof(control), "%s/sock", folder);
		snprintf(state, sizeof(state), "%s/db", folder);
		execl(program, program, "run", "--instance", instance, "--control", control,
		      "--state", state, "--log-level", "error", NULL);
		_exit(99);
	}
	while (--tries) {
		char line[800];

		snprintf(line, sizeof(line), "%s status --control %s/sock >/dev/null 2>&1", program,
			 folder);
		if (!system(line))
			return;
		usleep(50000);
	}
	fail_msg("the agent does not start");
}

static int open_all(void **state)
{
	struct portarp_conf conf = { .role = PORTARP_GATEWAY, .links = 2 };
	const char *build = getenv("B");

	(void)state;
	snprintf(program, sizeof(program), "%s/isthmus-portarp", build ? build : "build");
	snprintf(instance, sizeof(instance), "live-%d", getpid());
	strcpy(folder, "/tmp/isthmus-portarp-XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv4.ip_forward=1 &&"
	    " ip link add lan type veth peer name lan2 && ip link add wan type veth peer name wan2 "
	    "&&"
	    " for d in lan lan2 wan wan2; do ip link set $d up; done");
	conf.link[0] = (struct portarp_link){ .ifindex = if_nametoindex("lan"),
					      .mtu = 1500,
					      .side = PORTARP_LAN };
	conf.link[1] = (struct portarp_link){ .ifindex = if_nametoindex("wan"),
					      .mtu = 1500,
					      .side = PORTARP_UPLINK };
	read_mac("lan", conf.link[0].mac);
	read_mac("wan", conf.link[1].mac);
	memcpy(up_mac, conf.link[1].mac, 6);
	portarp_maps_pin(instance, &conf);
	load();
	attach(datapath->progs.portarp_up_tc, "wan", BPF_TC_INGRESS);
	attach(datapath->progs.portarp_lan_tc, "lan", BPF_TC_INGRESS);
	attach(datapath->progs.portarp_lan_out, "lan", BPF_TC_EGRESS);
	up = packet_socket("wan2");
	lan = packet_socket("lan2");
	start_agent();
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	if (agent > 0)
		kill(agent, SIGTERM);
	waitpid(agent, NULL, 0);
	portarp_bpf__destroy(datapath);
	portarp_maps_unpin(instance);
	run("rm -rf %s", folder);
	return 0;
}

static void command(const char *words)
{
	run("%s %s --control %s/sock", program, words, folder);
}

/* ---- packets */

static void send_packet(uint16_t port, uint32_t number)
{
	uint8_t frame[LEN] = { 0 };
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .ttl = 64,
			    .protocol = IPPROTO_UDP,
			    .tot_len = htons(LEN - 14),
			    .saddr = inet_addr("198.51.100.9"),
			    .daddr = inet_addr(ADDRESS) };
	uint16_t udp[4] = { htons(4242), htons(port), htons(12), 0 };

	ip.check = htons(~frame_sum(&ip, sizeof(ip), 0));
	memcpy(frame, up_mac, 6);
	memcpy(frame + 6, host_mac, 6);
	frame[12] = 8;
	memcpy(frame + 14, &ip, sizeof(ip));
	memcpy(frame + 34, udp, sizeof(udp));
	memcpy(frame + 42, &number, 4);
	assert_int_equal(send(up, frame, sizeof(frame), 0), sizeof(frame));
}

static void answer(const uint8_t *question, uint16_t psid)
{
	struct arp_message reply = { .addr_be = inet_addr(ADDRESS),
				     .flags = PORTARP_ARP_SET,
				     .set = { 6, 8, psid } };
	uint8_t frame[ARP_FRAME_BYTES];

	memcpy(reply.from, host_mac, 6);
	memcpy(reply.to, question + 6, 6);
	reply.port = question[46] << 8 | question[47];
	arp_build(&reply, htons(PORTARP_OP_REPLY), frame);
	assert_int_equal(send(lan, frame, sizeof(frame), 0), sizeof(frame));
}

struct seen {
	unsigned int packets, questions, out_of_order, wrong;
	uint32_t next;
};

/* One frame at the host's end, if any comes in time. */
static bool receive(int timeout_ms, bool answers, uint16_t psid, struct seen *seen)
{
	struct pollfd wait = { .fd = lan, .events = POLLIN };
	struct sockaddr_ll from;
	socklen_t from_len = sizeof(from);
	uint8_t frame[2048];
	uint32_t number;
	ssize_t len;

	if (poll(&wait, 1, timeout_ms) != 1)
		return false;
	len = recvfrom(lan, frame, sizeof(frame), 0, (struct sockaddr *)&from, &from_len);
	if (from.sll_pkttype == PACKET_OUTGOING || len < LEN)
		return true;
	if (frame[12] == 8 && frame[13] == 6 && frame[21] == PORTARP_OP_REQUEST) {
		seen->questions++;
		if (answers)
			answer(frame, psid);
		return true;
	}
	if (frame[13] != 0 || frame[23] != IPPROTO_UDP)
		return true;
	memcpy(&number, frame + 42, 4);
	seen->packets++;
	seen->out_of_order += number != seen->next;
	seen->next = number + 1;
	seen->wrong += memcmp(frame, host_mac, 6) || frame[22] != 63;
	return true;
}

static uint16_t port_of(uint16_t psid)
{
	const struct portset set = { 6, 8, psid };

	return portset_range_first(&set, 3);
}

/* Packets keep coming at a distance of `gap_us`, from before the question until after the answer.
 */
static struct seen race(uint16_t psid, unsigned int gap_us)
{
	struct seen seen = { 0 };

	for (uint32_t i = 0; i < PACKETS; i++) {
		send_packet(port_of(psid), i);
		if (gap_us)
			usleep(gap_us);
		while (receive(0, true, psid, &seen))
			;
	}
	while (seen.packets < PACKETS && receive(3000, true, psid, &seen))
		;
	while (receive(20, true, psid, &seen))
		;
	return seen;
}

static void no_packet_is_lost_or_overtaken(void **state)
{
	unsigned int questions = 0;

	(void)state;
	command("address-add " ADDRESS " --offset 6 --length 8 --open");
	for (uint16_t psid = 0; psid < ROUNDS; psid++) {
		struct seen seen = race(psid, psid * 7);

		assert_int_equal(seen.packets, PACKETS);
		assert_int_equal(seen.out_of_order, 0);
		assert_int_equal(seen.wrong, 0);
		questions += seen.questions;
	}
	assert_true(questions >= ROUNDS);
}

/* The control: the same without an answer, and nothing arrives. */
static void without_an_answer_nothing_is_sent(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		send_packet(port_of(200), i);
	while (receive(1500, false, 200, &seen))
		;
	assert_int_equal(seen.packets, 0);
	assert_in_range(seen.questions, 3, 5);
}

/* With the agent dead what is known stays known, and what is leased is sent without a question. */
static void the_agent_may_die(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	command("lease " ADDRESS " --offset 6 --length 8 --psid 201 --mac 02:00:00:00:00:34");
	kill(agent, SIGKILL);
	waitpid(agent, NULL, 0);
	for (uint32_t i = 0; i < 20; i++)
		send_packet(port_of(i < 10 ? 5 : 201), i);
	while (seen.packets < 20 && receive(2000, false, 0, &seen))
		;
	assert_int_equal(seen.packets, 20);
	assert_int_equal(seen.questions, 0);
	start_agent();
	send_packet(port_of(5), 20);
	while (seen.packets < 21 && receive(2000, false, 0, &seen))
		;
	assert_int_equal(seen.packets, 21);
	assert_int_equal(seen.questions, 0);
	assert_int_equal(race(202, 10).packets, PACKETS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_packet_is_lost_or_overtaken),
		cmocka_unit_test(without_an_answer_nothing_is_sent),
		cmocka_unit_test(the_agent_may_die),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
