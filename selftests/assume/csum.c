// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c selftests/lib/packet.c */
/*
 * bpf_l4_csum_replace() on checksums that are not finished (CHECKSUM_PARTIAL) and on GSO packets:
 * after addresses and ports were rewritten every packet must be right on the wire.
 *
 *	client 10.0.1.2 [eth] ── [in] relay [out] ── [eth] server 10.0.2.2
 *
 * The client talks to 10.0.1.1:2000, the server to 10.0.2.1; the relay has no addresses. `out`
 *finishes checksums and cuts segments itself (tx off), so that a raw socket in the server sees wire
 *bytes.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftests/assume/csum.h"
#include "selftests/lib/assume.h"

#define BULK (4 << 20)

static int relay_ns, client_ns, server_ns, server_raw;
static __u8 client_mac[6], server_mac[6];

static void topology(void)
{
	client_ns = assume_ns_new();
	server_ns = assume_ns_new();
	relay_ns = assume_ns_new();
	assume_ns_enter(relay_ns);
	assume_veth("in", "eth", client_ns);
	assume_veth("out", "eth", server_ns);
	assume_run("ethtool -K out tx off tso off gso on");
	assume_ns_enter(client_ns);
	assume_run("ip addr add 10.0.1.2/24 dev eth");
	assume_run("ip neigh add 10.0.1.1 dev eth lladdr 02:00:00:00:00:01");
	assume_mac("eth", client_mac);
	assume_ns_enter(server_ns);
	assume_run("ip addr add 10.0.2.2/24 dev eth");
	assume_run("ip neigh add 10.0.2.1 dev eth lladdr 02:00:00:00:00:01");
	assume_run("ethtool -K eth gro off");
	assume_mac("eth", server_mac);
	server_raw = assume_packet_socket("eth");
	assume_ns_enter(relay_ns);
}

/* Ports 0 stay. The server listens at 3000 if ports change, else at 2000. */
static void aim(bool ports)
{
	struct csum_state state = {
		.way = { { .new_src = inet_addr("10.0.2.1"), .new_dst = inet_addr("10.0.2.2") },
			 { .new_src = inet_addr("10.0.1.1"), .new_dst = inet_addr("10.0.1.2") } },
		.server_dev = if_nametoindex("out"),
	};

	state.way[0].out = if_nametoindex("out");
	state.way[1].out = if_nametoindex("in");
	memcpy(state.way[0].dst_mac, server_mac, 6);
	memcpy(state.way[1].dst_mac, client_mac, 6);
	state.way[0].src_mac[0] = state.way[1].src_mac[0] = 2;
	if (ports) {
		state.way[0].new_dport = htons(3000);
		state.way[1].new_sport = htons(2000);
	}
	assume_var_set(".bss", &state);
}

static struct csum_state result(void)
{
	struct csum_state state;

	assume_var_get(".bss", &state);
	return state;
}

/* ---- a TCP connection's bytes */

static void *send_bulk(void *arg)
{
	static __u8 block[65536];
	int fd = *(int *)arg;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = i * 31;
	for (size_t sent = 0; sent < BULK; sent += sizeof(block))
		if (send(fd, block, sizeof(block), MSG_NOSIGNAL) != sizeof(block))
			break;
	shutdown(fd, SHUT_WR);
	return NULL;
}

static size_t receive_all(int fd)
{
	static __u8 block[65536];
	size_t total = 0;

	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (poll(&ready, 1, assume_ms(5000)) <= 0)
			return total;
		got = read(fd, block, sizeof(block));
		if (got <= 0)
			return total;
		total += got;
	}
}

static int bound_socket(int type, int ns, const char *address, int port)
{
	struct sockaddr_in local = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1, fd;

	inet_pton(AF_INET, address, &local.sin_addr);
	assume_ns_enter(ns);
	fd = must(socket(AF_INET, type | SOCK_CLOEXEC, 0));
	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	must(bind(fd, (struct sockaddr *)&local, sizeof(local)));
	assume_ns_enter(relay_ns);
	return fd;
}

/* Returns how many bytes arrived through a connection made across the relay. */
static size_t move_bulk(int server_port)
{
	struct sockaddr_in relay = { .sin_family = AF_INET, .sin_port = htons(2000) };
	int listener = bound_socket(SOCK_STREAM, server_ns, "10.0.2.2", server_port);
	int client = bound_socket(SOCK_STREAM, client_ns, "10.0.1.2", 0);
	struct timeval limit = { .tv_sec = assume_ms(3000) / 1000 };
	size_t total = 0;
	pthread_t thread;
	int server;

	inet_pton(AF_INET, "10.0.1.1", &relay.sin_addr);
	must(listen(listener, 1));
	must(setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	if (!connect(client, (struct sockaddr *)&relay, sizeof(relay))) {
		server = must(accept(listener, NULL, NULL));
		pthread_create(&thread, NULL, send_bulk, &client);
		total = receive_all(server);
		pthread_join(thread, NULL);
		close(server);
	}
	close(client);
	close(listener);
	return total;
}

/* Reads what the raw socket saw; returns the packets with a wrong checksum or a super-packet's
 * size. */
static unsigned int wrong_on_wire(int proto, unsigned int *seen)
{
	struct packet_view view;
	unsigned int wrong = 0;
	struct packet packet;

	*seen = 0;
	while (assume_packet_receive(server_raw, &packet, 50)) {
		if (!packet_parse(&packet, &view) || view.v6 || view.proto != proto)
			continue;
		++*seen;
		if (packet.len > 1514 || !packet_checks_good(&packet))
			wrong++;
	}
	return wrong;
}

static void check_tcp(bool ports, const char *name)
{
	unsigned int seen, wrong;
	struct csum_state state;
	size_t total;

	aim(ports);
	total = move_bulk(ports ? 3000 : 2000);
	state = result();
	assume(total == BULK && !state.failed, name, "%zu of %d bytes, failed calls %#x", total,
	       BULK, state.failed);
	assume(state.gso > 10, "super-packets were among them", "%llu of %llu packets",
	       (unsigned long long)state.gso, (unsigned long long)state.packets);
	wrong = wrong_on_wire(IPPROTO_TCP, &seen);
	assume(seen > 1000 && !wrong, "every segment is right on the wire",
	       "%u wrong of %u segments", wrong, seen);
}

static void check_udp(void)
{
	struct sockaddr_in relay = { .sin_family = AF_INET, .sin_port = htons(2000) };
	int client = bound_socket(SOCK_DGRAM, client_ns, "10.0.1.2", 0);
	int server = bound_socket(SOCK_DGRAM, server_ns, "10.0.2.2", 3000);
	unsigned int seen, wrong;
	char text[64] = "datagram";

	inet_pton(AF_INET, "10.0.1.1", &relay.sin_addr);
	aim(true);
	for (int i = 0; i < 64; i++)
		must(sendto(client, text, i, 0, (struct sockaddr *)&relay, sizeof(relay)));
	wrong = wrong_on_wire(IPPROTO_UDP, &seen);
	assume(seen == 64 && !wrong, "64 datagrams, odd and even, are right on the wire",
	       "%u wrong of %u", wrong, seen);
	close(client);
	close(server);
}

/* The control: the same look at the wire finds a checksum that nobody finished. */
static void check_control(void)
{
	struct sockaddr_in relay = { .sin_family = AF_INET, .sin_port = htons(2000) };
	int client = bound_socket(SOCK_DGRAM, client_ns, "10.0.1.2", 0);
	unsigned int seen, wrong;

	inet_pton(AF_INET, "10.0.1.1", &relay.sin_addr);
	aim(true);
	assume_run("ethtool -K out tx on");
	must(sendto(client, "control", 7, 0, (struct sockaddr *)&relay, sizeof(relay)));
	wrong = wrong_on_wire(IPPROTO_UDP, &seen);
	assume(seen == 1 && wrong == 1, "control: with tx on the checksum is not finished",
	       "%u wrong of %u", wrong, seen);
	close(client);
}

int main(int argc, char **argv)
{
	(void)argc;
	assume_begin(argv[0], true);
	topology();
	assume_attach_tc("csum_rewrite", "in");
	assume_attach_tc("csum_rewrite", "out");
	check_tcp(false, "TCP with other addresses arrives whole");
	check_tcp(true, "TCP with other addresses and ports arrives whole");
	check_udp();
	check_control();
	return assume_end();
}
