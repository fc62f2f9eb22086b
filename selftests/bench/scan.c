/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * scan - one who saw addresses of a pool tries them all, over and over.
 *
 *	scan DEV GATEWAY_MAC SOURCE_PREFIX POOL_PREFIX PACKETS RATE FILE
 *
 * Sends frames to the addresses of FILE (IPv6, one a line), and as many to random ones of
 * the pool, from random addresses and ports of SOURCE_PREFIX: SYN, ACK with data, FIN, RST,
 *SYN-ACK, UDP, echo request by turns; at most RATE a second. Everything that comes from the pool to
 * SOURCE_PREFIX is an answer. Prints a line of JSON: sent, answers, seconds.
 */
#include <errno.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/onetime_numbers.h"

#define BURST	    32
#define TARGETS_MAX (1 << 20)
#define SETTLE_S    1 /* for the last answers */

/* A packet of each kind, addressed and summed when it is sent. */
struct frame {
	struct ethhdr eth;
	struct ipv6hdr ip;
	union {
		struct tcphdr tcp;
		struct udphdr udp;
		struct icmp6hdr icmp;
		uint8_t bytes[24]; /* of the longest: TCP with four bytes of data */
	} l4;
} __attribute__((packed));

enum kind { SYN, ACK, FIN, RST, SYN_ACK, UDP, ECHO, KINDS };

static struct isthmus_addr *targets, source, pool;
static uint64_t target_count, seed = 88172645463325252ULL;

static uint64_t chance(void) /* xorshift64: fast, and the same in each run */
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* ---- frames */

static uint16_t sum(const struct frame *frame, size_t l4_len)
{
	const uint8_t *bytes = (const uint8_t *)&frame->ip.saddr;
	uint32_t total = ntohs(frame->ip.payload_len) + frame->ip.nexthdr;

	for (size_t i = 0; i < 32 + l4_len; i += 2)
		total += bytes[i] << 8 | bytes[i + 1];
	total = (total & 0xffff) + (total >> 16);
	return htons(~(total + (total >> 16)));
}

static size_t fill_tcp(struct frame *frame, enum kind kind)
{
	size_t len = sizeof(struct tcphdr);

	frame->ip.nexthdr = IPPROTO_TCP;
	frame->l4.tcp = (struct tcphdr){
		.source = htons(1024 + chance() % 60000),
		.dest = htons(chance() % 2 ? 443 : 1 + chance() % 65535),
		.seq = chance(),
		.ack_seq = kind == SYN ? 0 : chance(),
		.doff = 5,
		.window = htons(65535),
		.syn = kind == SYN || kind == SYN_ACK,
		.ack = kind != SYN && kind != RST,
		.fin = kind == FIN,
		.rst = kind == RST,
	};
	if (kind == ACK) {
		memcpy(frame->l4.bytes + len, "scan", 4);
		len += 4;
	}
	return len;
}

static size_t fill_l4(struct frame *frame, enum kind kind)
{
	if (kind == UDP) {
		frame->ip.nexthdr = IPPROTO_UDP;
		frame->l4.udp = (struct udphdr){
			.source = htons(1024 + chance() % 60000),
			.dest = htons(443),
			.len = htons(sizeof(struct udphdr)),
		};
		return sizeof(struct udphdr);
	}
	if (kind == ECHO) {
		frame->ip.nexthdr = IPPROTO_ICMPV6;
		frame->l4.icmp = (struct icmp6hdr){ .icmp6_type = ICMPV6_ECHO_REQUEST };
		return sizeof(struct icmp6hdr);
	}
	return fill_tcp(frame, kind);
}

static size_t fill(struct frame *frame, uint64_t number)
{
	struct isthmus_addr to = pool, from = source;
	uint64_t host = chance();
	size_t len;

	memcpy(from.b + 8, &host, sizeof(host));
	host = chance();
	memcpy(to.b + 8, &host, sizeof(host));
	if (number % 2 && target_count)
		to = targets[chance() % target_count];
	memcpy(&frame->ip.saddr, from.b, sizeof(from.b));
	memcpy(&frame->ip.daddr, to.b, sizeof(to.b));
	frame->ip.version = 6;
	frame->ip.hop_limit = 64;
	len = fill_l4(frame, number / 2 % KINDS);
	frame->ip.payload_len = htons(len);
	if (frame->ip.nexthdr == IPPROTO_TCP)
		frame->l4.tcp.check = sum(frame, len);
	else if (frame->ip.nexthdr == IPPROTO_UDP)
		frame->l4.udp.check = sum(frame, len);
	else
		frame->l4.icmp.icmp6_cksum = sum(frame, len);
	return offsetof(struct frame, l4) + len;
}

/* ---- sending, and what comes back */

static uint64_t answers_seen(int fd)
{
	uint64_t count = 0;
	struct frame frame;
	ssize_t len;

	while ((len = recv(fd, &frame, sizeof(frame), MSG_DONTWAIT)) > 0)
		count += len >= (ssize_t)offsetof(struct frame, l4) &&
			 !memcmp(&frame.ip.saddr, pool.b, 8) &&
			 !memcmp(&frame.ip.daddr, source.b, 8);
	return count;
}

static int receiver(int ifindex)
{
	const struct sockaddr_ll at = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IPV6),
		.sll_ifindex = ifindex,
	};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1, bytes = 64 << 20;

	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	return bind(fd, (const void *)&at, sizeof(at)) ? -1 : fd;
}

static uint64_t send_all(int fd, const struct sockaddr_ll *to, struct frame *frames,
			 uint64_t packets, double rate, int back, uint64_t *answers)
{
	struct mmsghdr messages[BURST] = {};
	struct iovec parts[BURST];
	double begin = now();
	uint64_t sent = 0;

	while (sent < packets) {
		int count = packets - sent < BURST ? packets - sent : BURST, done;

		for (int i = 0; i < count; i++) {
			parts[i] = (struct iovec){ &frames[i], fill(&frames[i], sent + i) };
			messages[i].msg_hdr = (struct msghdr){ .msg_name = (void *)to,
							       .msg_namelen = sizeof(*to),
							       .msg_iov = &parts[i],
							       .msg_iovlen = 1 };
		}
		done = sendmmsg(fd, messages, count, 0);
		if (done < 0 && errno != ENOBUFS && errno != EAGAIN)
			break;
		sent += done > 0 ? done : 0;
		*answers += answers_seen(back);
		while (sent > (now() - begin) * rate)
			usleep(100);
	}
	return sent;
}

static int read_targets(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[64];

	targets = calloc(TARGETS_MAX, sizeof(*targets));
	while (file && targets && target_count < TARGETS_MAX && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		if (inet_pton(AF_INET6, line, targets[target_count].b) != 1)
			return -1;
		target_count++;
	}
	if (file)
		fclose(file);
	return target_count ? 0 : -1;
}

static int prepare(int fd, const char *device, const char *mac, struct sockaddr_ll *to,
		   struct frame *frames)
{
	struct ifreq request = {};
	unsigned int byte[6];

	if (sscanf(mac, "%x:%x:%x:%x:%x:%x", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
		   &byte[5]) != 6)
		return -1;
	strncpy(request.ifr_name, device, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		return -1;
	to->sll_ifindex = if_nametoindex(device);
	for (int i = 0; i < BURST; i++) {
		for (int n = 0; n < 6; n++)
			frames[i].eth.h_dest[n] = byte[n];
		memcpy(frames[i].eth.h_source, request.ifr_hwaddr.sa_data, 6);
		frames[i].eth.h_proto = htons(ETH_P_IPV6);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IPV6) };
	static struct frame frames[BURST];
	int fd = socket(AF_PACKET, SOCK_RAW, 0), back = -1;
	uint64_t sent, answers = 0;
	double begin;

	if (argc != 8 || numbered_prefix(argv[3], &source) || numbered_prefix(argv[4], &pool)) {
		fprintf(stderr, "usage: scan DEV GATEWAY_MAC SOURCE_PREFIX POOL_PREFIX PACKETS "
				"RATE FILE\n");
		return 2;
	}
	if (!read_targets(argv[7]) && !prepare(fd, argv[1], argv[2], &to, frames))
		back = receiver(to.sll_ifindex);
	if (back < 0) {
		fprintf(stderr, "scan: %s\n", strerror(errno));
		return 1;
	}
	begin = now();
	sent = send_all(fd, &to, frames, strtoull(argv[5], NULL, 10), atof(argv[6]), back,
			&answers);
	sleep(SETTLE_S);
	answers += answers_seen(back);
	printf("{\"sent\":%llu,\"answers\":%llu,\"seconds\":%.1f}\n", (unsigned long long)sent,
	       (unsigned long long)answers, now() - begin);
	return 0;
}
