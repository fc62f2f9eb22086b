// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c selftests/lib/resoa_fixture.c */
/* link: selftests/lib/resoa_fin.c */
/*
 * selftests/resoa_gate.c - R10 with real connections: a peer's FIN is acknowledged when the gate is
 * opened and not before, and no byte is lost. Packet by packet it is in resoa_fin.c.
 *
 *	peer [e0] ──── [e0: fin_in, fin_out] server [lo: fin_in, fin_out]
 *	                                            [t0: the same] by hand, without Ethernet
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/resoa_fin.h"

#define PORT  9000
#define SHORT 400 /* ms in which nothing may happen */
#define LONG  3000
#define BULK  3000000
#define MANY  200
#define P4    "198.51.100.2"
#define P6    "2001:db8::2"
#define T4    "203.0.113.2" /* behind t0 */

enum { FIN_WAIT1 = 4, FIN_WAIT2 = 5, CLOSE_WAIT = 8 };

static struct rfix fx;
static int peer_ns, tunnel;
static __u8 mac_own[6], mac_peer[6];

static const struct place {
	const char *own, *peer;
	const char *dev; /* where the peer's packets come in */
	bool local;	 /* the peer is on the server itself */
	int family;
} places[] = {
	{ RFIX_A4, P4, "e0", false, 4 },
	{ RFIX_A6, P6, "e0", false, 6 },
	{ "127.0.0.1", "127.0.0.1", "lo", true, 4 },
	{ "::1", "::1", "lo", true, 6 },
};
#define each_place(place) for (const struct place *place = places; place < places + 4; place++)

/* A connection: the server's socket and the peer's. */
struct pair {
	const struct place *place;
	int listener, server, peer;
	struct resoa_names names;
};

/* ---- set-up */

static void attach(const char *dev)
{
	rfix_attach_tc(fx.skel->progs.resoa_fin_in, dev, BPF_TC_INGRESS);
	rfix_attach_tc(fx.skel->progs.resoa_fin_out, dev, BPF_TC_EGRESS);
}

static int set_up(void **state)
{
	(void)state;
	if (rfix_open(&fx, "resoa_gate"))
		return -1;
	peer_ns = assume_ns_new();
	assume_veth("e0", "e0", peer_ns);
	assume_run("ip addr add " RFIX_A4 "/24 dev e0 && ip -6 addr add " RFIX_A6
		   "/64 dev e0 nodad");
	assume_mac("e0", mac_own);
	assume_ns_enter(peer_ns);
	assume_run("ip addr add " P4 "/24 dev e0 && ip -6 addr add " P6 "/64 dev e0 nodad");
	assume_mac("e0", mac_peer);
	assume_ns_enter(fx.home);
	tunnel = assume_tun("t0");
	assume_run("ip route add " T4 "/32 dev t0");
	attach("e0");
	attach("lo");
	attach("t0");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(tunnel);
	close(peer_ns);
	rfix_close(&fx);
	return 0;
}

/* ---- connections */

static int listening(const struct place *place, __u32 state)
{
	struct sockaddr_in6 own;
	socklen_t len = rfix_sockaddr(place->own, PORT, &own);
	int fd = must(socket(own.sin6_family, SOCK_STREAM, 0));

	rfin_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	must(bind(fd, (void *)&own, len));
	rfin_state(&fx, fd, state);
	must(listen(fd, MANY));
	return fd;
}

static int peer_connect(const struct place *place)
{
	struct sockaddr_in6 to;
	socklen_t len = rfix_sockaddr(place->own, PORT, &to);
	int fd;

	if (!place->local)
		assume_ns_enter(peer_ns);
	fd = must(socket(to.sin6_family, SOCK_STREAM, 0));
	must(connect(fd, (void *)&to, len));
	assume_ns_enter(fx.home);
	return fd;
}

static void pair_accept(struct pair *pair)
{
	pair->server = must(accept(pair->listener, NULL, NULL));
	pair->names =
		rfix_names(pair->place->own, PORT, pair->place->peer, rfin_port_of(pair->peer));
}

static struct pair pair_open(const struct place *place, __u32 state)
{
	struct pair pair = { .place = place };

	rfix_clear(&fx);
	pair.listener = listening(place, state);
	pair.peer = peer_connect(place);
	pair_accept(&pair);
	return pair;
}

/* By RST, so that nothing of it is left on the port. */
static void pair_close(struct pair *pair)
{
	rfin_forget(pair->peer);
	rfin_forget(pair->server);
	close(pair->listener);
}

/* ---- the gate, as the daemon opens it */

static void build_fin(const struct pair *pair, const struct resoa_fin *fin, struct packet *frame)
{
	struct packet_spec spec = { .src = pair->names.remote,
				    .dst = pair->names.local,
				    .sport = ntohs(pair->names.remote_port),
				    .dport = ntohs(pair->names.local_port),
				    .flags = PACKET_FIN | PACKET_ACK,
				    .seq = fin->fin_seq,
				    .window = ntohs(fin->window) ?: PACKET_ZERO };

	if (!strcmp(pair->place->dev, "e0")) {
		memcpy(spec.dst_mac, mac_own, 6);
		memcpy(spec.src_mac, mac_peer, 6);
	}
	packet_build(&spec, frame);
}

static void gate_open(const struct pair *pair)
{
	struct resoa_fin fin = rfin_get(&fx, pair->server);
	struct packet frame;

	assert_int_equal(fin.state, RESOA_FIN_HELD_BACK);
	assert_int_equal(fin.ifindex, if_nametoindex(pair->place->dev));
	fin.state = RESOA_FIN_OPEN;
	rfin_put(&fx, pair->server, &fin);
	build_fin(pair, &fin, &frame);
	rfin_send_marked(fin.ifindex, &frame, 0);
	rfin_set(pair->server, IPPROTO_TCP, TCP_QUICKACK, 1);
}

static bool told(const struct pair *pair, __u64 cookie, __u64 at)
{
	struct resoa_event want = { .type = RESOA_EVENT_FIN,
				    .family = pair->place->family,
				    .proto = IPPROTO_TCP,
				    .cookie = cookie,
				    .number = at,
				    .names = pair->names };
	const struct resoa_event *event = rfix_event(&fx, assume_ms(LONG));

	if (!event || memcmp(event, &want, sizeof(want)))
		fprintf(stderr, "told: %llu, should be %llu\n", event ? event->number : 0, at);
	return event && !memcmp(event, &want, sizeof(want));
}

/*
 * After the gate: end-of-file here, FIN_WAIT2 there, and every FIN was counted. Repetitions of the
 * peer's come when they like: while the gate is written, too, which takes their number back. A
 * segment that devices made of several is counted as those.
 */
static void check_open(struct pair *pair)
{
	__u64 segments = rfix_counted(&fx, RESOA_FIN_HELD);
	char byte;

	assert_in_range(segments, 1, 64);
	gate_open(pair);
	assert_true(rfin_ready(pair->server, LONG));
	assert_int_equal(rfin_take(pair->server, &byte, 1), 0);
	assert_int_equal(rfin_tcp_state(pair->server), CLOSE_WAIT);
	assert_true(rfin_state_comes(pair->peer, FIN_WAIT2, LONG));
	assert_true(rfix_counts(&fx, { RESOA_FIN_HELD, segments },
				{ RESOA_FIN_AGAIN, rfix_counted(&fx, RESOA_FIN_AGAIN) },
				{ RESOA_FIN_OPENED, 1 }, { RESOA_FIN_SENT, 1 },
				{ RESOA_FIN_PASSED, rfix_counted(&fx, RESOA_FIN_PASSED) }));
	assert_true(rfix_counted(&fx, RESOA_FIN_AGAIN) >= rfin_get(&fx, pair->server).again);
	assert_null(rfix_event(&fx, 0));
}

/* ---- tests */

static void run_plain(const struct place *place)
{
	struct pair pair = pair_open(place, RESOA_FIN_ARMED);
	__u64 cookie = rfix_socket_cookie(pair.server);
	char bytes[16];

	must(send(pair.peer, "hello", 5, 0));
	must(shutdown(pair.peer, SHUT_WR));
	assert_true(told(&pair, cookie, 5));
	assert_true(rfin_again_comes(&fx, pair.server, LONG));
	assert_int_equal(rfin_take(pair.server, bytes, sizeof(bytes)), 5);
	assert_memory_equal(bytes, "hello", 5);
	assert_int_equal(rfin_take(pair.server, bytes, 1), -EAGAIN);
	assert_int_equal(rfin_tcp_state(pair.server), TCP_ESTABLISHED);
	assert_int_equal(rfin_tcp_state(pair.peer), FIN_WAIT1);
	/* The other direction lives. */
	must(send(pair.server, "while held", 10, 0));
	assert_true(rfin_ready(pair.peer, LONG));
	assert_int_equal(rfin_take(pair.peer, bytes, sizeof(bytes)), 10);
	check_open(&pair);
	must(send(pair.server, "after", 5, 0));
	assert_true(rfin_ready(pair.peer, LONG));
	assert_int_equal(rfin_take(pair.peer, bytes, sizeof(bytes)), 5);
	pair_close(&pair);
}

static void test_plain(void **unused)
{
	(void)unused;
	each_place(place) run_plain(place);
}

/* Who has not armed it: the FIN is acknowledged at once. */
static void test_control(void **unused)
{
	(void)unused;
	each_place(place)
	{
		struct pair pair = pair_open(place, RESOA_FIN_OFF);
		char byte;

		must(shutdown(pair.peer, SHUT_WR));
		assert_true(rfin_state_comes(pair.peer, FIN_WAIT2, LONG));
		assert_int_equal(rfin_take(pair.server, &byte, 1), 0);
		assert_true(rfix_counts(&fx, { RFIX_NONE, 0 }));
		assert_null(rfix_event(&fx, 0));
		pair_close(&pair);
	}
}

static void fill(char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = i * 31 + (i >> 12);
}

/* Both ends move until the peer has said all, and the server has so many bytes. */
static void move(struct pair *pair, const char *out, char *in, int len)
{
	__u64 end = assume_now_ms() + assume_ms(10000);
	int sent = 0, got = 0, more;

	while (got < len && assume_now_ms() < end) {
		more = send(pair->peer, out + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (more > 0) {
			sent += more;
			if (sent == len)
				must(shutdown(pair->peer, SHUT_WR));
		}
		more = rfin_take(pair->server, in + got, len - got);
		if (more > 0)
			got += more;
	}
	assert_int_equal(got, len);
}

/* The FIN comes with the last bytes, in segments as large as the devices make them. */
static void run_bulk(const struct place *place)
{
	char *out = malloc(BULK), *in = malloc(BULK);
	struct pair pair = pair_open(place, RESOA_FIN_ARMED);
	__u64 cookie = rfix_socket_cookie(pair.server);

	fill(out, BULK);
	move(&pair, out, in, BULK);
	assert_true(told(&pair, cookie, BULK));
	assert_memory_equal(in, out, BULK);
	assert_int_equal(rfin_tcp_state(pair.peer), FIN_WAIT1);
	check_open(&pair);
	pair_close(&pair);
	free(out);
	free(in);
}

static void test_bulk(void **unused)
{
	(void)unused;
	each_place(place) run_bulk(place);
}

static unsigned int bad_checksums(void)
{
	return atoi(assume_read("nstat -asz TcpInCsumErrors | awk '/Csum/ {print $2}'"));
}

/* The peer makes checksums and segments itself: what the programs write must be right on the wire,
 * for the kernel looks. */
static void test_no_offload(void **unused)
{
	static const char turn[] = "ethtool -K e0 tx %s tso %s gso %s >/dev/null";

	(void)unused;
	assume_ns_enter(peer_ns);
	assume_run(turn, "off", "off", "off");
	assume_ns_enter(fx.home);
	for (int i = 0; i < 2; i++) {
		run_plain(&places[i]);
		run_bulk(&places[i]);
	}
	assert_int_equal(bad_checksums(), 0);
	assume_ns_enter(peer_ns);
	assume_run(turn, "on", "on", "on");
	assume_ns_enter(fx.home);
}

/* Closed before anybody has accepted it: its storage is the listener's. */
static void test_before_accept(void **unused)
{
	static char bytes[50000], got[50000];

	(void)unused;
	each_place(place)
	{
		struct pair pair = { .place = place };
		int have = 0, more;

		rfix_clear(&fx);
		pair.listener = listening(place, RESOA_FIN_ARMED);
		pair.peer = peer_connect(place);
		must(send(pair.peer, bytes, sizeof(bytes), 0));
		must(shutdown(pair.peer, SHUT_WR));
		pair.names = rfix_names(place->own, PORT, place->peer, rfin_port_of(pair.peer));
		/* Nobody can have asked for its cookie. */
		assert_true(told(&pair, 0, sizeof(bytes)));
		pair_accept(&pair);
		assert_int_equal(rfin_get(&fx, pair.listener).state, RESOA_FIN_ARMED);
		/* It is told before its own bytes are there. */
		while (have < (int)sizeof(got) && rfin_ready(pair.server, LONG) &&
		       (more = rfin_take(pair.server, got + have, sizeof(got) - have)) > 0)
			have += more;
		assert_int_equal(have, sizeof(bytes));
		check_open(&pair);
		pair_close(&pair);
	}
}

static void test_reset(void **unused)
{
	char byte;

	(void)unused;
	each_place(place)
	{
		struct pair pair = pair_open(place, RESOA_FIN_ARMED);

		must(shutdown(pair.peer, SHUT_WR));
		assert_true(told(&pair, 0, 0));
		rfin_forget(pair.peer);
		pair.peer = -1;
		assert_true(rfin_ready(pair.server, LONG));
		assert_int_equal(rfin_take(pair.server, &byte, 1), -ECONNRESET);
		close(pair.server);
		close(pair.listener);
	}
}

/* A FIN by somebody who knows the names and not the numbers. */
static void forge(const struct pair *pair, __u32 seq, __u32 ack)
{
	struct packet_spec spec = { .src = pair->names.remote,
				    .dst = pair->names.local,
				    .sport = ntohs(pair->names.remote_port),
				    .dport = ntohs(pair->names.local_port),
				    .flags = PACKET_FIN | PACKET_ACK,
				    .seq = seq,
				    .ack = ack };
	struct packet frame;
	int fd;

	memcpy(spec.dst_mac, mac_own, 6);
	memcpy(spec.src_mac, mac_peer, 6);
	packet_build(&spec, &frame);
	assume_ns_enter(peer_ns);
	fd = assume_packet_socket("e0");
	assume_packet_send(fd, &frame);
	close(fd);
	assume_ns_enter(fx.home);
}

static void run_forged(const struct place *place)
{
	struct pair pair = pair_open(place, RESOA_FIN_ARMED);
	__u64 tries = 0;
	char bytes[8];

	for (__u64 seq = 0; seq < 1ull << 32; seq += 1 << 28, tries++)
		forge(&pair, seq, seq * 7);
	must(send(pair.peer, "hello", 5, 0));
	assert_true(rfin_ready(pair.server, LONG));
	assert_int_equal(rfin_take(pair.server, bytes, sizeof(bytes)), 5);
	assert_null(rfix_event(&fx, 50));
	assert_true(rfix_counts(&fx, { RESOA_FIN_EARLY, tries }));
	assert_int_equal(rfin_tcp_state(pair.server), TCP_ESTABLISHED);
	must(shutdown(pair.peer, SHUT_WR));
	assert_true(told(&pair, 0, 5));
	pair_close(&pair);
}

static void test_forged(void **unused)
{
	(void)unused;
	run_forged(&places[0]);
	run_forged(&places[1]);
}

/* Many at once: none is acknowledged before its gate, each after it. */
static void test_many(void **unused)
{
	static struct pair pairs[MANY];
	int listener = listening(&places[0], RESOA_FIN_ARMED);

	(void)unused;
	rfix_clear(&fx);
	for (int i = 0; i < MANY; i++) {
		pairs[i] = (struct pair){ .place = &places[0], .listener = listener };
		pairs[i].peer = peer_connect(&places[0]);
		pair_accept(&pairs[i]);
		must(send(pairs[i].peer, "abc", 3, 0));
		must(shutdown(pairs[i].peer, SHUT_WR));
	}
	for (int i = 0; i < MANY; i++)
		assert_true(told(&pairs[i], 0, 3));
	usleep(assume_ms(SHORT) * 1000);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(rfin_tcp_state(pairs[i].peer), FIN_WAIT1);
	for (int i = 0; i < MANY; i++) {
		char bytes[4];

		gate_open(&pairs[i]);
		assert_int_equal(rfin_take(pairs[i].server, bytes, 4), 3);
		assert_true(rfin_ready(pairs[i].server, LONG));
		assert_int_equal(rfin_take(pairs[i].server, bytes, 4), 0);
		rfin_set(pairs[i].server, IPPROTO_TCP, TCP_QUICKACK, 1);
	}
	for (int i = 0; i < MANY; i++) {
		assert_true(rfin_state_comes(pairs[i].peer, FIN_WAIT2, LONG));
		rfin_forget(pairs[i].peer);
		rfin_forget(pairs[i].server);
	}
	assert_int_equal(rfix_counted(&fx, RESOA_FIN_HELD), MANY);
	assert_int_equal(rfix_counted(&fx, RESOA_FIN_OPENED), MANY);
	close(listener);
}

/* ---- a device without Ethernet header: the peer is this test */

static void tunnel_send(struct packet_spec spec)
{
	struct packet frame;

	spec.src = rfix_addr(T4);
	spec.dst = rfix_addr(RFIX_A4);
	spec.sport = RFIN_PEER;
	spec.dport = PORT;
	packet_build(&spec, &frame);
	must(write(tunnel, frame.b + ETH_HLEN, frame.len - ETH_HLEN));
}

/* The next TCP segment that the server sends there. */
static bool tunnel_receive(struct packet *frame, struct packet_view *view)
{
	while (rfin_ready(tunnel, LONG)) {
		memset(frame, 0, sizeof(*frame));
		packet_put16(frame->b + 12, ETH_P_IP);
		frame->len = ETH_HLEN + must(read(tunnel, frame->b + ETH_HLEN, PACKET_MAX - 14));
		if (packet_parse(frame, view) && view->proto == IPPROTO_TCP)
			return true;
	}
	return false;
}

static __u32 tunnel_connect(__u32 isn)
{
	struct packet frame;
	struct packet_view view;
	__u32 seq;

	tunnel_send((struct packet_spec){ .flags = PACKET_SYN, .seq = isn });
	assert_true(tunnel_receive(&frame, &view));
	seq = packet_get32(frame.b + view.l4 + 4) + 1;
	assert_int_equal(packet_get32(frame.b + view.l4 + 8), isn + 1);
	tunnel_send((struct packet_spec){ .flags = PACKET_ACK, .seq = isn + 1, .ack = seq });
	return seq;
}

static void assert_acked(__u32 ack)
{
	struct packet frame;
	struct packet_view view;

	assert_true(tunnel_receive(&frame, &view));
	assert_int_equal(packet_get32(frame.b + view.l4 + 8), ack);
}

static void test_no_ethernet(void **unused)
{
	const struct place place = { RFIX_A4, T4, "t0", false, 4 };
	struct pair pair = { .place = &place };
	const __u32 isn = 0xfffffffd;
	struct resoa_fin fin;
	struct packet frame;
	char bytes[64];
	__u32 seq;

	(void)unused;
	rfix_clear(&fx);
	pair.listener = listening(&place, RESOA_FIN_ARMED);
	seq = tunnel_connect(isn);
	pair.server = must(accept(pair.listener, NULL, NULL));
	pair.names = rfix_names(RFIX_A4, PORT, T4, RFIN_PEER);
	tunnel_send((struct packet_spec){
		.flags = PACKET_FIN | PACKET_ACK, .seq = isn + 1, .ack = seq, .data_len = 33 });
	assert_true(told(&pair, 0, 33));
	assert_acked(isn + 1 + 33); /* the bytes, and not the FIN */
	assert_int_equal(rfin_take(pair.server, bytes, sizeof(bytes)), 33);
	fin = rfin_get(&fx, pair.server);
	assert_int_equal(fin.fin_seq, isn + 1 + 33);
	fin.state = RESOA_FIN_OPEN;
	rfin_put(&fx, pair.server, &fin);
	build_fin(&pair, &fin, &frame);
	rfin_send_marked(fin.ifindex, &frame, ETH_HLEN);
	assert_true(rfin_ready(pair.server, LONG));
	assert_int_equal(rfin_take(pair.server, bytes, sizeof(bytes)), 0);
	assert_acked(isn + 1 + 33 + 1);
	assert_true(rfix_counts(&fx, { RESOA_FIN_HELD, 1 }, { RESOA_FIN_OPENED, 1 },
				{ RESOA_FIN_SENT, 1 }));
	rfin_forget(pair.server);
	close(pair.listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),	      cmocka_unit_test(test_control),
		cmocka_unit_test(test_bulk),	      cmocka_unit_test(test_no_offload),
		cmocka_unit_test(test_before_accept), cmocka_unit_test(test_reset),
		cmocka_unit_test(test_forged),	      cmocka_unit_test(test_many),
		cmocka_unit_test(test_no_ethernet),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
