// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/assume.c */
/* link: selftests/lib/waypoint_fixture.c selftests/lib/seal.c */
/*
 * selftests/waypoint_live.c - the tc program on a device, for what BPF_PROG_TEST_RUN cannot show:
 * all fragments of a packet that is cut, packets in pages, unfinished checksums, VLAN tags.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "selftests/lib/assume.h"
#include "selftests/lib/seal.h"
#include "selftests/lib/waypoint_fixture.h"

#define ETH_LEN	   14
#define IP_LEN	   20
#define MOST	   8000 /* bytes of an IP payload here */
#define WAIT_MS	   3000
#define SILENCE_MS 300

static struct wfix fx;
static int here, far_socket;

static int set_up(void **state)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = 1);
	const __u8 *mac = fx.mac;
	int err = wfix_open(&fx);

	(void)state;
	if (err)
		return err;
	hook.ifindex = fx.net;
	must(bpf_tc_hook_create(&hook));
	opts.prog_fd = fx.program[WFIX_TC];
	must(bpf_tc_attach(&hook, &opts));
	assume_run("ip link set net mtu 9000");
	here = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	assume_ns_enter(fx.far);
	assume_run("ip link set net_far mtu 9000");
	assume_run("ip addr add 198.51.100.7/32 dev net_far");
	assume_run("ip route add 192.0.2.80 dev net_far");
	assume_run("ip neigh add 192.0.2.80 lladdr %02x:%02x:%02x:%02x:%02x:%02x dev net_far nud "
		   "permanent",
		   mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	far_socket = assume_packet_socket("net_far");
	assume_ns_enter(here);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(far_socket);
	close(here);
	wfix_close(&fx);
	return 0;
}

/* What the kernels say of themselves (IPv6) is none of ours. */
static bool receive(struct packet *packet, int ms)
{
	__u64 end = assume_now_ms() + assume_ms(ms);

	for (;;) {
		__s64 left = end - assume_now_ms();

		if (left < 0 || !assume_packet_receive(far_socket, packet, left))
			return false;
		if (packet->b[12] == 0x08 && packet->b[13] == 0)
			return true;
	}
}

static int clear(void **state)
{
	struct packet rest;

	(void)state;
	while (receive(&rest, 0))
		;
	wfix_clear(&fx);
	wfix_bind(&fx, &wfix_alice, &wfix_w1, WFIX_G1, 5);
	return 0;
}

static __u64 count_of(enum waypoint_reason reason)
{
	struct isthmus_count each[256];
	__u64 sum = 0;

	must(bpf_map_lookup_elem(wfix_map(&fx, "waypoint_stats"), &reason, each));
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		sum += each[i].packets;
	return sum;
}

/* Waits until one more than `before` have been counted. */
static bool counts(enum waypoint_reason reason, __u64 before)
{
	__u64 end = assume_now_ms() + assume_ms(WAIT_MS);

	while (count_of(reason) == before && assume_now_ms() < end)
		usleep(1000);
	return count_of(reason) == before + 1;
}

/* The inner packet of a frame that the far end got; its tag and all outer bytes must be right. */
static void unseal(const struct packet *frame, struct packet *inner)
{
	size_t at = seal_inner_at(frame);
	struct packet want;

	assert_true(frame->len > at);
	inner->len = ETH_LEN + frame->len - at;
	memset(inner->b, 0, ETH_LEN);
	inner->b[12] = 0x08;
	memcpy(inner->b + ETH_LEN, frame->b + at, frame->len - at);
	wfix_sealed(&fx, WFIX_G1, 5, seal_sequence(frame), inner, &want);
	assert_true(wfix_same(frame, &want));
	assert_true(packet_ip4_check_good(inner));
}

/* ---- cutting */

/*
 * Sends one IP packet whose payload is `len` bytes, which lies `units` of 8 bytes in its datagram,
 * and puts together what comes out of the tunnel. Returns the number of fragments.
 */
static int cut_and_join(size_t len, __u16 frag)
{
	static __u8 frame[ETH_LEN + IP_LEN + MOST], got[MOST], come[MOST];
	struct packet_spec spec = wfix_spec(&wfix_alice, &wfix_w1, 47, 0);
	size_t units = frag & 0x1fff, sum = 0;
	struct packet head, piece, inner;
	int pieces = 0;

	spec.id = 0x1234;
	spec.data_len = 0;
	spec.frag = frag;
	spec.tot_len = IP_LEN + len;
	wfix_frame(&fx, &spec, &head);
	memcpy(frame, head.b, ETH_LEN + IP_LEN);
	for (size_t i = 0; i < len; i++)
		frame[ETH_LEN + IP_LEN + i] = i * 7 + (i >> 8);
	memset(come, 0, sizeof(come));
	must(write(far_socket, frame, ETH_LEN + IP_LEN + len));
	while (sum < len) {
		const __u8 *ip = inner.b + ETH_LEN;
		size_t from, bytes;
		bool last;

		assert_true(receive(&piece, WAIT_MS));
		unseal(&piece, &inner);
		pieces++;
		bytes = inner.len - ETH_LEN - IP_LEN;
		from = ((packet_get16(ip + 6) & 0x1fff) - units) * 8;
		last = from + bytes == len;
		assert_true(from + bytes <= len);
		assert_int_equal(ip[0], 0x45);
		assert_int_equal(ip[8], 63);
		assert_int_equal(packet_get16(ip + 4), 0x1234);
		assert_int_equal(packet_get16(ip + 2), IP_LEN + bytes);
		/* The last one has More Fragments if the packet had it. */
		assert_int_equal(packet_get16(ip + 6) & 0xe000, last ? frag & 0x2000 : 0x2000);
		memcpy(got + from, inner.b + ETH_LEN + IP_LEN, bytes);
		memset(come + from, 1, bytes);
		sum += bytes;
	}
	for (size_t i = 0; i < len; i++)
		assert_true(come[i]);
	assert_memory_equal(got, frame + ETH_LEN + IP_LEN, len);
	assert_false(receive(&piece, SILENCE_MS));
	return pieces;
}

static void test_cut(void **state)
{
	(void)state;
	assert_int_equal(cut_and_join(WFIX_ROOM - IP_LEN, 0), 1);
	assert_int_equal(cut_and_join(WFIX_ROOM - IP_LEN + 1, 0), 2);
	assert_int_equal(cut_and_join(1480, 0), 2);
	assert_int_equal(cut_and_join(2 * 1416, 0), 2);
	assert_int_equal(cut_and_join(2 * 1416 + 8, 0), 3);
}

/* A fragment is cut as a whole packet is. */
static void test_cut_fragment(void **state)
{
	struct packet_spec first = wfix_spec(&wfix_alice, &wfix_w1, 47, 0);

	(void)state;
	assert_true(wfix_seals(&fx, WFIX_TC, first, WAYPOINT_SEALED, WFIX_G1, 5));
	assert_int_equal(cut_and_join(1480, 0x2000), 2);
	assert_int_equal(cut_and_join(1480, 0x2000 | 185), 2);
	assert_int_equal(cut_and_join(1477, 370), 2);
}

/* From a link of long packets: more than one call can take away lies before the last fragment. */
static void test_cut_long(void **state)
{
	(void)state;
	assert_int_equal(cut_and_join(MOST, 0), (MOST + 1415) / 1416);
}

/* ---- pages */

/* Sends `len` bytes by UDP from pages: the kernel leaves them where they are. */
static void send_pages(int fd, const __u8 *data, size_t len)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	int ends[2];

	must(pipe2(ends, O_CLOEXEC));
	assert_int_equal(vmsplice(ends[1], &part, 1, 0), len);
	assert_int_equal(splice(ends[0], NULL, fd, NULL, len, 0), len);
	close(ends[0]);
	close(ends[1]);
}

static int far_udp(bool check)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(22) };
	int fd, none = 1;

	memcpy(&to.sin_addr, wfix_w1.b + 12, 4);
	assume_ns_enter(fx.far);
	fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	assume_ns_enter(here);
	if (!check)
		must(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &none, sizeof(none)));
	must(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	return fd;
}

static void test_pages(void **state)
{
	static __u8 data[1400];
	int fd = far_udp(false);

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = i * 13;
	for (size_t len = 200; len <= sizeof(data); len += 240) {
		struct packet frame, inner;

		send_pages(fd, data, len);
		assert_true(receive(&frame, WAIT_MS));
		unseal(&frame, &inner);
		assert_int_equal(inner.len, ETH_LEN + IP_LEN + 8 + len);
		assert_memory_equal(inner.b + ETH_LEN + IP_LEN + 8, data, len);
	}
	close(fd);
}

/* ---- checksums */

/* A sender on this machine leaves its checksum to the device; nothing is sealed with that. */
static void test_unfinished(void **state)
{
	__u64 before = count_of(WAYPOINT_UNFINISHED);
	struct packet frame, inner;
	int fd = far_udp(true);

	(void)state;
	assert_int_equal(write(fd, "unfinished", 10), 10);
	assert_true(counts(WAYPOINT_UNFINISHED, before));
	assert_false(receive(&frame, SILENCE_MS));
	assume_ns_enter(fx.far);
	assume_run("ethtool -K net_far tx off >/dev/null");
	assume_ns_enter(here);
	assert_int_equal(write(fd, "finished", 8), 8);
	assert_true(receive(&frame, WAIT_MS));
	unseal(&frame, &inner);
	assert_true(packet_checks_good(&inner));
	close(fd);
}

/* ---- VLANs */

/* Tagged frames are their VLAN devices', which have programs of their own. */
static void test_tagged(void **state)
{
	struct packet_spec spec = wfix_spec(&wfix_alice, &wfix_w1, IPPROTO_UDP, 0);
	struct packet_spec reply = wfix_spec(&wfix_w1, &wfix_alice, IPPROTO_UDP, 0);
	struct packet in, sealed, inner, frame;
	__u64 before;

	(void)state;
	wfix_frame(&fx, &spec, &in);
	assume_packet_send(far_socket, &in);
	assert_true(receive(&frame, WAIT_MS));
	packet_build(&reply, &inner);
	wfix_from_gateway(&fx, WFIX_G1, 5, &inner, &sealed);
	for (int i = 0; i < 2; i++) {
		struct packet tagged = i ? sealed : in;

		memmove(tagged.b + 16, tagged.b + 12, tagged.len - 12);
		packet_put16(tagged.b + 12, 0x8100);
		packet_put16(tagged.b + 14, 7);
		tagged.len += 4;
		before = count_of(WAYPOINT_OTHER);
		assume_packet_send(far_socket, &tagged);
		assert_true(counts(WAYPOINT_OTHER, before));
		assert_false(receive(&frame, SILENCE_MS));
	}
	assume_packet_send(far_socket, &sealed);
	assert_true(receive(&frame, WAIT_MS));
	assert_int_equal(frame.len, inner.len);
}

#define test(name) cmocka_unit_test_setup(name, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_cut),	  test(test_cut_fragment), test(test_cut_long),
		test(test_pages), test(test_unfinished),   test(test_tagged),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
