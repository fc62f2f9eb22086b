// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/gateway_fixture.c selftests/lib/seal.c */
/*
 * selftests/gateway_live.c - the programs on devices, with a kernel as the responder.
 *
 *	waypoint (packet socket) ===up_far=uplink=== gateway, masquerading ===lan=lan_far===
 *responder
 *
 * A ping, an answer that is cut on its way, and path MTU discovery; by XDP with tc behind it, and
 *by tc alone. The machine's own NAT is there and sees none of it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/gateway_fixture.h"
#include "selftests/lib/seal.h"

#define SPORT	40000
#define DPORT	2222
#define LONG	2900
#define WAIT_MS 20000

static struct gfix fx;
static int waypoint, responder; /* sockets */
static const struct isthmus_addr initiator = GFIX_INITIATOR, address = GFIX_WAYPOINT;

static void enter_far(void (*then)(void))
{
	int here = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));

	assume_ns_enter(fx.far);
	then();
	assume_ns_enter(here);
	close(here);
}

static void open_far(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(DPORT) };
	struct isthmus_addr host = gfix_host_addr(GFIX_PLAIN);

	assume_run("ethtool -K lan_far tx off tso off gso off >/dev/null");
	assume_run("ip link set up_far arp off");
	assume_run("ip addr add 192.168.1.%d/24 dev lan_far", 16 + GFIX_PLAIN);
	assume_run("ip route add default via 192.168.1.1");
	waypoint = assume_packet_socket("up_far");
	responder = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	memcpy(&at.sin_addr, host.b + 12, 4);
	must(bind(responder, (struct sockaddr *)&at, sizeof(at)));
}

static void forget_far(void)
{
	assume_run("ip route flush cache");
}

static int set_up(void **state)
{
	struct gateway_host host;
	__u32 index = GFIX_PLAIN;
	int here;

	(void)state;
	if (gfix_open(&fx))
		return -1;
	enter_far(open_far);
	assume_run("ip addr add 192.168.1.1/24 dev lan");
	assume_run("ip addr add 203.0.113.1/24 dev uplink");
	assume_run("sysctl -qw net.ipv4.ip_forward=1");
	assume_run("nft 'add table ip nat; add chain ip nat out { type nat hook postrouting "
		   "priority 100; };"
		   " add rule ip nat out oifname uplink counter masquerade'");
	here = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	assume_ns_enter(fx.far);
	assert_true(gfix_get(&fx, "gateway_host", &index, &host));
	assume_mac("lan_far", host.dst_mac);
	assume_ns_enter(here);
	close(here);
	gfix_put(&fx, "gateway_host", &index, &host);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(waypoint);
	close(responder);
	gfix_close(&fx);
	return 0;
}

static void ask(const struct packet *inner)
{
	struct packet frame;

	gfix_seal(&fx, GFIX_W1, GFIX_PLAIN, inner, &frame);
	assume_packet_send(waypoint, &frame);
}

/* The next packet out of the tunnel, as a frame; its tag must be right. */
static bool answer(struct packet *inner)
{
	static const __u8 tunnel_to[6] = { 2, 0, 0, 0, 2, GFIX_W1 };
	struct packet got, again;
	size_t at;

	do {
		if (!assume_packet_receive(waypoint, &got, WAIT_MS))
			return false;
	} while (memcmp(got.b, tunnel_to, 6)); /* the kernel's own */
	at = seal_inner_at(&got);
	memset(inner, 0, sizeof(*inner));
	memcpy(inner->b, got.b, 14);
	memcpy(inner->b + 14, got.b + at, got.len - at);
	inner->len = 14 + got.len - at;
	gfix_answer(&fx, GFIX_W1, GFIX_PLAIN, seal_sequence(&got), inner, &again);
	return gfix_same(&got, &again);
}

static void ping(void)
{
	struct gfix_icmp echo = { .src = initiator,
				  .dst = address,
				  .ttl = 20,
				  .type = 8,
				  .rest = 0x47110001,
				  .data = "0123456789",
				  .data_len = 10 };
	struct packet in, got, want;

	gfix_icmp_build(&echo, &in);
	ask(&in);
	assert_true(answer(&got));
	echo.src = address;
	echo.dst = initiator;
	echo.type = 0;
	echo.ttl = 63;
	gfix_icmp_build(&echo, &want);
	gfix_frame(&want, got.b, got.b + 6);
	memcpy(want.b + 18, got.b + 18,
	       4); /* identification and flags are the responder's choice */
	memcpy(want.b + 24, got.b + 24, 2);
	assert_true(packet_ip4_check_good(&got));
	assert_true(gfix_same(&got, &want));
}

/* A datagram for the responder, which learns whom it came from. */
static void datagram(struct sockaddr_in *from)
{
	struct packet_spec spec = { .src = initiator,
				    .dst = address,
				    .sport = SPORT,
				    .dport = DPORT,
				    .proto = 17,
				    .data = "hello",
				    .data_len = 5 };
	struct timeval patience = { .tv_sec = WAIT_MS / 1000 };
	socklen_t size = sizeof(*from);
	struct packet in;
	char text[16];

	packet_build(&spec, &in);
	ask(&in);
	must(setsockopt(responder, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)));
	assert_int_equal(recvfrom(responder, text, sizeof(text), 0, (struct sockaddr *)from, &size),
			 5);
	assert_memory_equal(text, "hello", 5);
	assert_memory_equal(&from->sin_addr, initiator.b + 12, 4);
	assert_int_equal(from->sin_port, htons(SPORT));
}

/* More than the tunnel takes, and no DF: the kernel's fragments are cut again. */
static void cut(const struct sockaddr_in *to)
{
	int dont = IP_PMTUDISC_DONT;
	struct packet pieces[8], whole;
	struct packet_view view;
	size_t count = 0, bytes = 0;
	static __u8 data[LONG];

	for (int i = 0; i < LONG; i++)
		data[i] = i * 11 + 5;
	must(setsockopt(responder, IPPROTO_IP, IP_MTU_DISCOVER, &dont, sizeof(dont)));
	assert_int_equal(sendto(responder, data, LONG, 0, (struct sockaddr *)to, sizeof(*to)),
			 LONG);
	while (bytes < LONG + 8 && count < 8) {
		struct packet *piece = &pieces[count++];

		assert_true(answer(piece));
		assert_true(piece->len - 14 <= GFIX_MTU - TUNNEL_HEADERS_V4);
		assert_true(packet_ip4_check_good(piece));
		bytes += piece->len - 34;
	}
	assert_true(count > 3);
	assert_true(packet_join(pieces, count, &whole));
	assert_true(packet_checks_good(&whole));
	assert_true(packet_parse(&whole, &view));
	assert_memory_equal(whole.b + 26, address.b + 12, 4);
	assert_memory_equal(whole.b + 30, initiator.b + 12, 4);
	assert_int_equal(packet_get16(whole.b + view.l4 + 2), SPORT);
	assert_int_equal(view.end - view.l4, LONG + 8);
	assert_memory_equal(whole.b + view.l4 + 8, data, LONG);
}

/* With DF the responder's kernel is told, and then knows, what the tunnel takes. */
static void path_mtu(const struct sockaddr_in *to)
{
	int discover = IP_PMTUDISC_DO, tries = 200, mtu = 0;
	socklen_t size = sizeof(mtu);
	static __u8 data[1450];

	must(setsockopt(responder, IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof(discover)));
	while (--tries && mtu != GFIX_MTU - TUNNEL_HEADERS_V4) {
		sendto(responder, data, sizeof(data), 0, (struct sockaddr *)to, sizeof(*to));
		must(connect(responder, (struct sockaddr *)to, sizeof(*to)));
		must(getsockopt(responder, IPPROTO_IP, IP_MTU, &mtu, &size));
		must(connect(responder, &(struct sockaddr){ .sa_family = AF_UNSPEC },
			     sizeof(struct sockaddr)));
		usleep(20000);
	}
	assert_int_equal(mtu, GFIX_MTU - TUNNEL_HEADERS_V4);
}

static void rebind(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(DPORT) };
	struct isthmus_addr host = gfix_host_addr(GFIX_PLAIN);

	close(responder);
	responder = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	memcpy(&at.sin_addr, host.b + 12, 4);
	must(bind(responder, (struct sockaddr *)&at, sizeof(at)));
}

static void session(bool xdp)
{
	struct sockaddr_in from;

	assert_int_equal(gfix_attach(&fx, xdp), 0);
	ping();
	datagram(&from);
	cut(&from);
	path_mtu(&from);
	gfix_detach(&fx);
	enter_far(forget_far);
	enter_far(rebind);
	/* The masquerade has had none of it. */
	assert_string_equal(assume_read("nft list chain ip nat out | grep -o 'packets [0-9]*'"),
			    "packets 0");
}

static void by_xdp(void **state)
{
	(void)state;
	session(true);
}

static void by_tc(void **state)
{
	(void)state;
	session(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_xdp),
		cmocka_unit_test(by_tc),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
