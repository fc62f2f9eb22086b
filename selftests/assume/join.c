// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c selftests/lib/packet.c */
/*
 * What splice is built on (p2p-broker thesis, chapter 5): two unmodified sockets that both call
 * connect() become one connection when each gets a SYNACK made of the other's SYN. Here a loop in
 * userspace between two tun devices does what the datapath does.
 *
 *	left [tun 10.0.1.2 -> 10.0.1.1:443] ── relay ── [tun 10.0.2.2 -> 10.0.2.1:443] right
 *
 * And its second assumption: data that reaches a socket in SYN-SENT is dropped without RST and sent
 *again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftests/lib/assume.h"

#define BULK (2 << 20)

/* Byte offsets in a packet without options in its IP header; a tun has no link-layer header. */
enum { IP_SRC = 12, IP_DST = 16, TCP_AT = 20, SEQ = 24, ACK = 28, DOFF = 32, FLAGS = 33, OPT = 40 };

struct side {
	int ns, tun, fd;
	const char *address, *peer;
	struct packet syn;
	unsigned int resets;
};

static struct side left = { .address = "10.0.1.2", .peer = "10.0.1.1" };
static struct side right = { .address = "10.0.2.2", .peer = "10.0.2.1" };

/* ---- packets */

static bool tun_read(struct side *side, struct packet *packet, int ms)
{
	struct pollfd ready = { .fd = side->tun, .events = POLLIN };
	ssize_t got;

	while (poll(&ready, 1, ms) > 0) {
		got = read(side->tun, packet->b, sizeof(packet->b));
		if (got < OPT || packet->b[0] != 0x45 || packet->b[9] != IPPROTO_TCP)
			continue;
		packet->len = got;
		side->resets += !!(packet->b[FLAGS] & PACKET_RST);
		return true;
	}
	return false;
}

/* Both checksums from scratch, then into the stack of `side`. */
static void tun_write(struct side *side, struct packet *packet)
{
	size_t l4_len = packet->len - TCP_AT;

	packet_put16(&packet->b[2], packet->len);
	packet_put16(&packet->b[10], 0);
	packet_put16(&packet->b[10], ~packet_sum(packet->b, TCP_AT, 0));
	packet_put16(&packet->b[TCP_AT + 16], 0);
	packet_put16(&packet->b[TCP_AT + 16],
		     ~packet_sum(&packet->b[IP_SRC], 8 + l4_len, IPPROTO_TCP + l4_len));
	if (write(side->tun, packet->b, packet->len) < 0 && errno != EAGAIN)
		assume_die("write to tun", __LINE__);
}

/* As if from side's peer: what `packet`'s addresses and ports become on the way to `side`. */
static void readdress(const struct side *side, struct packet *packet)
{
	inet_pton(AF_INET, side->peer, &packet->b[IP_SRC]);
	inet_pton(AF_INET, side->address, &packet->b[IP_DST]);
	packet_put16(&packet->b[TCP_AT], 443);
	memcpy(&packet->b[TCP_AT + 2], &side->syn.b[TCP_AT], 2);
}

/* The timestamp option of a SYN: offset of its TSval, 0 = none. */
static size_t timestamp_at(const struct packet *syn)
{
	for (size_t at = OPT; at + 10 <= syn->len && syn->b[at];) {
		if (syn->b[at] == TCPOPT_TIMESTAMP)
			return at + 2;
		at += syn->b[at] == TCPOPT_NOP ? 1 : syn->b[at + 1];
	}
	return 0;
}

/* The other side's SYN becomes the SYNACK for `to`: its ISN and options, TSecr is to's own TSval.
 */
static void answer(struct side *to, const struct side *from)
{
	struct packet synack = from->syn;
	size_t own = timestamp_at(&to->syn), at = timestamp_at(&synack);

	readdress(to, &synack);
	synack.b[FLAGS] = PACKET_SYN | PACKET_ACK;
	packet_put32(&synack.b[ACK], packet_get32(&to->syn.b[SEQ]) + 1);
	if (own && at)
		memcpy(&synack.b[at + 4], &to->syn.b[own], 4);
	tun_write(to, &synack);
}

/* ---- the relay's loop */

static volatile bool stop;

static void pass(struct side *from, struct side *to)
{
	struct packet packet;

	while (tun_read(from, &packet, 0)) {
		if (packet.b[FLAGS] & PACKET_SYN)
			continue; /* a repeated SYN is never forwarded */
		readdress(to, &packet);
		tun_write(to, &packet);
	}
}

static void *relay(void *arg)
{
	(void)arg;
	while (!stop) {
		struct pollfd ready[2] = { { .fd = left.tun, .events = POLLIN },
					   { .fd = right.tun, .events = POLLIN } };

		poll(ready, 2, 20);
		pass(&left, &right);
		pass(&right, &left);
	}
	return NULL;
}

/* ---- sockets */

static void dial(struct side *side)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(443) };
	bool came = false;

	assume_ns_enter(side->ns);
	inet_pton(AF_INET, side->peer, &peer.sin_addr);
	side->fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (connect(side->fd, (struct sockaddr *)&peer, sizeof(peer)) && errno != EINPROGRESS)
		assume_die("connect", __LINE__);
	while (!came && tun_read(side, &side->syn, assume_ms(1000)))
		came = side->syn.b[FLAGS] == PACKET_SYN;
	must(came ? 0 : -1);
}

static int connected(struct side *side)
{
	struct pollfd ready = { .fd = side->fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int err = ETIMEDOUT;

	if (poll(&ready, 1, assume_ms(2000)) > 0)
		must(getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &err, &size));
	return err;
}

/* Sends BULK bytes from one socket and compares what the other reads. */
static size_t move(int from, int to)
{
	static __u8 out[BULK], in[BULK];
	size_t sent = 0, got = 0;
	__u64 end = assume_now_ms() + assume_ms(8000);

	for (size_t i = 0; i < BULK; i++)
		out[i] = i * 7 + (i >> 9);
	memset(in, 0, sizeof(in));
	while (got < BULK && assume_now_ms() < end) {
		struct pollfd ready[2] = { { .fd = from, .events = sent < BULK ? POLLOUT : 0 },
					   { .fd = to, .events = POLLIN } };
		ssize_t n;

		poll(ready, 2, 100);
		n = sent < BULK ? send(from, out + sent, BULK - sent, MSG_NOSIGNAL) : 0;
		sent += n > 0 ? n : 0;
		n = recv(to, in + got, BULK - got, 0);
		got += n > 0 ? n : 0;
	}
	return memcmp(in, out, BULK) ? got / 2 : got;
}

static struct tcp_info info_of(const struct side *side)
{
	struct tcp_info info = {};
	socklen_t size = sizeof(info);

	must(getsockopt(side->fd, IPPROTO_TCP, TCP_INFO, &info, &size));
	return info;
}

/* FIN of one end is end-of-file at the other, and the other direction goes on. */
static bool half_close(void)
{
	struct pollfd eof = { .fd = right.fd, .events = POLLIN };
	struct pollfd data = { .fd = left.fd, .events = POLLIN };
	char byte = 'x';

	must(shutdown(left.fd, SHUT_WR));
	if (poll(&eof, 1, assume_ms(1000)) != 1 || recv(right.fd, &byte, 1, 0) != 0)
		return false;
	must(send(right.fd, "y", 1, MSG_NOSIGNAL));
	return poll(&data, 1, assume_ms(1000)) == 1 && recv(left.fd, &byte, 1, 0) == 1 &&
	       byte == 'y';
}

/* ---- what is assumed */

static void check_join(void)
{
	struct tcp_info info;
	pthread_t thread;
	size_t got;
	int err[2];

	dial(&left);
	dial(&right);
	answer(&left, &right);
	answer(&right, &left);
	err[0] = connected(&left);
	err[1] = connected(&right);
	assume(!err[0] && !err[1], "two connecting sockets are joined", "%s, %s", strerror(err[0]),
	       strerror(err[1]));
	info = info_of(&left);
	assume((info.tcpi_options & 7) == (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE),
	       "timestamps, SACK and window scaling are agreed", "options %#x", info.tcpi_options);
	pthread_create(&thread, NULL, relay, NULL);
	got = move(left.fd, right.fd);
	assume(got == BULK, "bytes arrive whole from left to right", "%zu of %d", got, BULK);
	got = move(right.fd, left.fd);
	assume(got == BULK, "and from right to left", "%zu of %d", got, BULK);
	assume(half_close(), "a half-close is one", "no end of file, or no data after it");
	stop = true;
	pthread_join(thread, NULL);
	assume(!left.resets && !right.resets, "nobody sent RST", "%u and %u", left.resets,
	       right.resets);
	close(left.fd);
	close(right.fd);
}

/* A segment for `side` as its peer would send after a handshake with ISN 7000. */
static void inject(struct side *side, __u8 flags, __u32 seq, __u32 ack, const char *data)
{
	struct packet packet = { .len = OPT + strlen(data) };

	packet.b[0] = 0x45;
	packet.b[8] = 64;
	packet.b[9] = IPPROTO_TCP;
	readdress(side, &packet);
	packet_put32(&packet.b[SEQ], seq);
	packet_put32(&packet.b[ACK], ack);
	packet.b[DOFF] = 0x50;
	packet.b[FLAGS] = flags;
	packet_put16(&packet.b[34], 64240);
	memcpy(&packet.b[OPT], data, strlen(data));
	tun_write(side, &packet);
}

/* Reads what side sends for a while; true if none of it is a RST. */
static bool no_reset(struct side *side, int ms)
{
	__u64 end = assume_now_ms() + ms;
	unsigned int before = side->resets;
	struct packet packet;

	while (assume_now_ms() < end)
		tun_read(side, &packet, 50);
	return side->resets == before;
}

static void check_early_data(void)
{
	struct pollfd ready = { .fd = -1, .events = POLLIN };
	char got[16] = "";
	__u32 next;

	dial(&left);
	next = packet_get32(&left.syn.b[SEQ]) + 1;
	inject(&left, PACKET_ACK | PACKET_PSH, 7001, next, "early");
	assume(no_reset(&left, 300), "data that acknowledges a SYN is dropped without RST",
	       "a RST");
	assume(info_of(&left).tcpi_state == TCP_SYN_SENT, "and the socket still waits", "state %u",
	       info_of(&left).tcpi_state);
	inject(&left, PACKET_SYN | PACKET_ACK, 7000, next, "");
	assume(!connected(&left), "its SYNACK connects it", "it does not");
	inject(&left, PACKET_ACK | PACKET_PSH, 7001, next, "early");
	ready.fd = left.fd;
	poll(&ready, 1, assume_ms(1000));
	assume(recv(left.fd, got, sizeof(got), 0) == 5 && !strcmp(got, "early"),
	       "the same data, sent again, is read", "'%s'", got);
	close(left.fd);
	dial(&left);
	next = packet_get32(&left.syn.b[SEQ]) + 1;
	inject(&left, PACKET_ACK | PACKET_PSH, 7001, next + 1, "early");
	assume(!no_reset(&left, 300), "control: an acknowledgement of more is answered with RST",
	       "it was not");
	close(left.fd);
}

/* Left is connected first and sends at once: what right drops in SYN-SENT comes again. */
static void check_sent_again(void)
{
	struct pollfd ready = { .events = POLLIN };
	pthread_t thread;
	char got[16] = "";
	int err;

	dial(&left);
	dial(&right);
	answer(&left, &right);
	must(connected(&left) ? -1 : 0);
	must(send(left.fd, "early", 5, MSG_NOSIGNAL));
	pass(&left, &right);
	assume(no_reset(&right, 100), "right drops early data without RST", "a RST");
	answer(&right, &left);
	err = connected(&right);
	stop = false;
	pthread_create(&thread, NULL, relay, NULL);
	ready.fd = right.fd;
	poll(&ready, 1, assume_ms(3000));
	assume(!err && recv(right.fd, got, sizeof(got), 0) == 5 && !strcmp(got, "early"),
	       "left's kernel sends it again", "'%s', %s", got, strerror(err));
	stop = true;
	pthread_join(thread, NULL);
	close(left.fd);
	close(right.fd);
}

static void side_open(struct side *side)
{
	side->ns = assume_ns_new();
	assume_ns_enter(side->ns);
	side->tun = assume_tun("tun0");
	assume_run("ip addr add %s/24 dev tun0", side->address);
}

int main(int argc, char **argv)
{
	(void)argc;
	assume_begin(argv[0], false);
	side_open(&left);
	side_open(&right);
	check_join();
	check_early_data();
	check_sent_again();
	return assume_end();
}
