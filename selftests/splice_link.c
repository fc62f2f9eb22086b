// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/packet.c selftests/lib/splice_fixture.c */
/* link: selftests/lib/splice_wire.c selftests/lib/splice_model.c */
/*
 * selftests/splice_link.c - attached, on links: what a test run cannot show.
 *
 *	far[0] ===> near0 [tc, or XDP and tc] near1 ===> far[1]
 *
 * Tags that the kernel keeps beside the packet, checksums that are not finished (CHECKSUM_PARTIAL),
 * GSO packets, frames shorter than an IP header, and by which link a packet really leaves.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "selftests/lib/splice_fixture.h"
#include "selftests/lib/splice_model.h"

#define WAIT_MS 300

static struct splice_fixture fx;

static void attach(enum fixture_hook hook)
{
	splice_fixture_detach(&fx);
	splice_fixture_clear(&fx);
	assert_int_equal(splice_fixture_attach(&fx, hook), 0);
}

static void insert_tag(struct packet *packet, const struct packet_tag *tag)
{
	memmove(packet->b + 16, packet->b + 12, packet->len - 12);
	packet_put16(packet->b + 12, tag->proto);
	packet_put16(packet->b + 14, tag->tci);
	packet->len += 4;
}

static __u64 counted(enum splice_reason reason)
{
	struct isthmus_count count;

	splice_fixture_count(&fx, reason, &count);
	return count.packets;
}

static void print_counts(void)
{
	for (int reason = 0; reason < SPLICE_REASON_COUNT; reason++)
		fprintf(stderr, "%s %llu, ", splice_reason_name(reason), counted(reason));
	fprintf(stderr, "\n");
}

/* Frames are handled soon after they are sent; false if none was counted so within the time. */
static bool wait_counted(enum splice_reason reason, __u64 before)
{
	for (__u32 i = 0; i < WAIT_MS * splice_fixture_slow(); i++) {
		if (counted(reason) > before)
			return true;
		usleep(1000);
	}
	print_counts();
	return false;
}

/* Sends a session's packet by side `from`'s link, with a tag if one is given, and compares what
 * arrives. */
static void cross(const struct splice_session *session, int from, const struct packet_tag *tag)
{
	const struct splice_hop *hop = &session->end[!from].hop;
	struct packet_tag out_tag = { ntohs(hop->vlan_proto), ntohs(hop->vlan_tci) };
	struct packet_spec spec = { .flags = PACKET_ACK, .data_len = 60 };
	struct packet in, want, got;
	int out_link = hop->ifindex == fx.ifindex[1];

	splice_fixture_spec(&fx, session, from, &spec);
	packet_build(&spec, &in);
	assert_int_equal(splice_model_forward(session, from, FIXTURE_TC, &in, &want),
			 SPLICE_FORWARDED);
	if (tag && tag->proto)
		insert_tag(&in, tag);
	if (out_tag.proto)
		insert_tag(&want, &out_tag);
	splice_fixture_send(&fx, session->end[from].link, &in);
	assert_true(splice_fixture_receive(&fx, out_link, &got));
	assert_true(splice_model_same(&got, &want));
	assert_true(splice_fixture_silent(&fx, 0) && splice_fixture_silent(&fx, 1));
}

static void cross_all(enum fixture_hook hook)
{
	struct splice_session session;

	attach(hook);
	for (unsigned int bits = 0; bits < 16; bits++) {
		int from = bits >> 2 & 1;

		splice_fixture_session(&fx, bits & 1, bits & 2 ? IPPROTO_UDP : IPPROTO_TCP, false,
				       &session);
		if (bits & 8) /* both hosts are on one link */
			session.end[!from].hop.ifindex = fx.ifindex[from];
		splice_fixture_legs(&fx, &session);
		cross(&session, from, NULL);
	}
}

static void test_tc(void **state)
{
	(void)state;
	cross_all(FIXTURE_TC);
}

static void test_xdp(void **state)
{
	(void)state;
	cross_all(FIXTURE_XDP);
}

/* A tag comes, goes, changes or stays, in every combination. */
static void tags(enum fixture_hook hook)
{
	static const struct packet_tag tag[] = {
		{ 0, 0 }, { 0x8100, 100 }, { 0x8100, 0x6065 }, { 0x88a8, 100 }, { 0x8100, 0 },
	};
	struct splice_session session;

	attach(hook);
	for (unsigned int i = 0; i < 25; i++) {
		const struct packet_tag *out = &tag[i / 5];

		splice_fixture_session(&fx, i & 1, IPPROTO_TCP, false, &session);
		session.end[1].hop.vlan_proto = htons(out->proto);
		session.end[1].hop.vlan_tci = htons(out->tci);
		splice_fixture_legs(&fx, &session);
		cross(&session, 0, &tag[i % 5]);
	}
}

static void test_tags_tc(void **state)
{
	(void)state;
	tags(FIXTURE_TC);
}

static void test_tags_xdp(void **state)
{
	(void)state;
	tags(FIXTURE_XDP);
}

/* A hop has one tag: a packet with two is not sent anywhere. */
static void two_tags(enum fixture_hook hook)
{
	struct packet_spec spec = { .flags = PACKET_ACK, .tag = { { 0x88a8, 5 }, { 0x8100, 6 } } };
	struct splice_session session;
	struct packet packet;
	__u64 before;

	attach(hook);
	splice_fixture_session(&fx, false, IPPROTO_TCP, false, &session);
	splice_fixture_legs(&fx, &session);
	splice_fixture_spec(&fx, &session, 0, &spec);
	packet_build(&spec, &packet);
	before = counted(SPLICE_NO_HOP);
	splice_fixture_send(&fx, 0, &packet);
	assert_true(wait_counted(SPLICE_NO_HOP, before));
	assert_true(splice_fixture_silent(&fx, 0) && splice_fixture_silent(&fx, 1));
	cross(&session, 0, NULL); /* the control */
}

static void test_two_tags(void **state)
{
	(void)state;
	two_tags(FIXTURE_TC);
	two_tags(FIXTURE_XDP);
}

static void untag(struct packet *packet, const struct packet_tag *want)
{
	if (!want->proto)
		return;
	assert_int_equal(packet_get16(packet->b + 12), want->proto);
	assert_int_equal(packet_get16(packet->b + 14), want->tci);
	memmove(packet->b + 12, packet->b + 16, packet->len - 16);
	packet->len -= 4;
}

static void send_syn(const struct splice_session *session, int side, const struct packet_tag *tag)
{
	struct splice_model_syn syn = {
		.isn = 70 + side, .window = 100, .mss = 1000 + side, .wscale = -1
	};
	struct packet packet;

	splice_model_syn_packet(&fx, session, side, &syn, &packet);
	if (tag->proto)
		insert_tag(&packet, tag);
	splice_fixture_send(&fx, side, &packet);
}

static void receive_synack(const struct splice_session *session, int side,
			   const struct packet_tag *tag)
{
	struct splice_model_syn synack;
	struct packet packet;

	assert_true(splice_fixture_receive(&fx, side, &packet));
	untag(&packet, tag);
	assert_true(splice_model_read_synack(session, side, &packet, &synack));
	assert_int_equal(synack.isn, 70 + !side);
	assert_int_equal(synack.ack, 71 + side);
	assert_int_equal(synack.mss, 1000);
}

/* SYNACKs carry the tags that the SYNs came with. */
static void handshake(enum fixture_hook hook, const struct packet_tag *tag0,
		      const struct packet_tag *tag1)
{
	struct splice_session session;
	__u64 before;

	attach(hook);
	for (int v6 = 0; v6 < 2; v6++) {
		splice_fixture_clear(&fx);
		splice_fixture_session(&fx, v6, IPPROTO_TCP, false, &session);
		splice_fixture_announce(&fx, &session);
		before = counted(SPLICE_SYN_HELD);
		send_syn(&session, 0, tag0);
		assert_true(wait_counted(SPLICE_SYN_HELD, before));
		send_syn(&session, 1, tag1);
		receive_synack(&session, 0, tag0);
		receive_synack(&session, 1, tag1);
		send_syn(&session, 0, tag0);
		receive_synack(&session, 0, tag0);
		assert_true(splice_fixture_silent(&fx, 0) && splice_fixture_silent(&fx, 1));
		cross(&session, 0, tag0);
		cross(&session, 1, tag1);
	}
}

static void test_handshake(void **state)
{
	static const struct packet_tag tag[] = { { 0, 0 }, { 0x8100, 100 }, { 0x8100, 200 } };

	(void)state;
	for (unsigned int i = 0; i < 18; i++)
		handshake(i & 1 ? FIXTURE_TC : FIXTURE_XDP, &tag[i / 2 % 3], &tag[i / 6]);
}

/* Sockets that tell and say what the kernel knows about a frame besides its bytes. */
static int open_vnet(int link)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), yes = 1;

	assert_true(fd >= 0);
	at.sll_ifindex = if_nametoindex(link ? "far1" : "far0");
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof(yes)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)), 0);
	return fd;
}

static void send_vnet(int fd, const struct virtio_net_hdr *header, const struct packet *packet)
{
	struct iovec parts[2] = {
		{ (void *)header, sizeof(*header) },
		{ (void *)packet->b, packet->len },
	};

	assert_int_equal(writev(fd, parts, 2), sizeof(*header) + packet->len);
}

static bool receive_vnet(int fd, struct virtio_net_hdr *header, struct packet *packet)
{
	struct iovec parts[2] = {
		{ header, sizeof(*header) },
		{ packet->b, sizeof(packet->b) },
	};
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	struct packet_view view;
	ssize_t len;

	memset(packet, 0, sizeof(*packet));
	while (poll(&poll_fd, 1, WAIT_MS * splice_fixture_slow()) > 0) {
		len = readv(fd, parts, 2);
		if (len < (ssize_t)sizeof(*header))
			return false;
		packet->len = len - sizeof(*header);
		if (packet_parse(packet, &view) && !(packet->b[0] & 1))
			return true;
	}
	return false;
}

/* The pseudo-header's sum alone, as a stack leaves it to the NIC to finish. */
static __u16 unfinished(const struct packet *packet, const struct packet_view *view)
{
	const __u8 *ip = packet->b + view->l3;
	__u32 sum = view->proto + (view->end - view->l4);

	return view->v6 ? packet_sum(ip + 8, 32, sum) : packet_sum(ip + 12, 8, sum);
}

static void vnet_header(const struct packet *packet, __u16 gso_size, struct virtio_net_hdr *header)
{
	struct packet_view view;

	assert_true(packet_parse(packet, &view));
	memset(header, 0, sizeof(*header));
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->csum_start = view.l4;
	header->csum_offset = view.proto == IPPROTO_TCP ? 16 : 6;
	if (!gso_size)
		return;
	header->gso_type = view.v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	header->gso_size = gso_size;
	header->hdr_len = view.l4 + (packet->b[view.l4 + 12] >> 4) * 4;
}

/* A packet whose checksum is not finished leaves so, for its new addresses, and can be finished. */
static void cross_unfinished(const struct splice_session *session, int in_fd, int out_fd,
			     __u16 gso_size)
{
	struct packet_spec spec = { .flags = PACKET_ACK, .data_len = gso_size ? 2500 : 301 };
	struct virtio_net_hdr header, got_header;
	struct packet in, want, got;
	struct packet_view view;

	splice_fixture_spec(&fx, session, 0, &spec);
	packet_build(&spec, &in);
	assert_int_equal(splice_model_forward(session, 0, FIXTURE_TC, &in, &want),
			 SPLICE_FORWARDED);
	vnet_header(&in, gso_size, &header);
	assert_true(packet_parse(&in, &view));
	packet_set_l4_check(&in, &view, unfinished(&in, &view));
	packet_set_l4_check(&want, &view, unfinished(&want, &view));
	send_vnet(in_fd, &header, &in);
	assert_true(receive_vnet(out_fd, &got_header, &got));
	assert_true(splice_model_same(&got, &want));
	assert_int_equal(got_header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
			 VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(got_header.csum_start, header.csum_start);
	assert_int_equal(got_header.csum_offset, header.csum_offset);
	assert_int_equal(got_header.gso_type, header.gso_type);
	assert_int_equal(got_header.gso_size, header.gso_size);
}

static void each_unfinished(__u16 gso_size)
{
	int in_fd = open_vnet(0), out_fd = open_vnet(1);
	struct splice_session session;
	struct splice_leg leg;

	attach(FIXTURE_TC);
	for (unsigned int bits = 0; bits < 8; bits++) {
		if (gso_size && bits & 2)
			continue;
		splice_fixture_session(&fx, bits & 1, bits & 2 ? IPPROTO_UDP : IPPROTO_TCP,
				       bits & 4, &session);
		splice_fixture_legs(&fx, &session);
		cross_unfinished(&session, in_fd, out_fd, gso_size);
		assert_true(splice_fixture_get_leg(&fx, &session, 0, &leg));
		/* Linux 6.1 counts the segments of what a packet socket sends later than tc. */
		assert_true(leg.packets == (gso_size ? 3 : 1) || (gso_size && leg.packets == 1));
	}
	close(in_fd);
	close(out_fd);
}

static void test_unfinished_checksum(void **state)
{
	(void)state;
	each_unfinished(0);
}

/* 2500 bytes in segments of 1000: one packet through tc, three on a wire. */
static void test_gso(void **state)
{
	(void)state;
	each_unfinished(1000);
}

/* A SYN with an unfinished checksum becomes SYNACKs that can be finished. */
static void finish(struct packet *packet)
{
	struct packet_view view;

	assert_true(packet_parse(packet, &view));
	assert_int_equal(packet_get_l4_check(packet, &view), unfinished(packet, &view));
	packet_set_l4_check(packet, &view, packet_l4_check(packet, &view));
}

static void unfinished_syn(const struct splice_session *session, int side, int fd)
{
	struct splice_model_syn syn = {
		.isn = 70 + side, .window = 100, .mss = 1000 + side, .wscale = -1
	};
	struct virtio_net_hdr header;
	struct packet_view view;
	struct packet packet;

	splice_model_syn_packet(&fx, session, side, &syn, &packet);
	vnet_header(&packet, 0, &header);
	assert_true(packet_parse(&packet, &view));
	packet_set_l4_check(&packet, &view, unfinished(&packet, &view));
	send_vnet(fd, &header, &packet);
}

static void test_unfinished_syns(void **state)
{
	int fd[2] = { open_vnet(0), open_vnet(1) };
	struct virtio_net_hdr header;
	struct splice_session session;
	struct splice_model_syn synack;
	struct packet packet;
	__u64 before;

	(void)state;
	attach(FIXTURE_TC);
	for (int v6 = 0; v6 < 2; v6++) {
		splice_fixture_clear(&fx);
		splice_fixture_session(&fx, v6, IPPROTO_TCP, false, &session);
		splice_fixture_announce(&fx, &session);
		before = counted(SPLICE_SYN_HELD);
		unfinished_syn(&session, 0, fd[0]);
		assert_true(wait_counted(SPLICE_SYN_HELD, before));
		unfinished_syn(&session, 1, fd[1]);
		for (int side = 0; side < 2; side++) {
			assert_true(receive_vnet(fd[side], &header, &packet));
			assert_int_equal(header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
					 VIRTIO_NET_HDR_F_NEEDS_CSUM);
			finish(&packet);
			assert_true(splice_model_read_synack(&session, side, &packet, &synack));
			assert_int_equal(synack.isn, 70 + !side);
			assert_int_equal(synack.ack, 71 + side);
		}
	}
	close(fd[0]);
	close(fd[1]);
}

/* Frames from 14 bytes on, which a test run at tc does not take. */
static void short_frames(enum fixture_hook hook, bool v6)
{
	struct packet_spec spec = { .flags = PACKET_ACK };
	struct splice_session session;
	struct packet whole, part;
	struct splice_leg leg;
	__u64 before;

	attach(hook);
	splice_fixture_session(&fx, v6, IPPROTO_TCP, false, &session);
	splice_fixture_legs(&fx, &session);
	splice_fixture_spec(&fx, &session, 0, &spec);
	packet_build(&spec, &whole);
	for (size_t len = 15; len < whole.len; len++) {
		part = whole;
		part.len = len;
		before = counted(SPLICE_OTHER) + counted(SPLICE_MALFORMED);
		splice_fixture_send(&fx, 0, &part);
		for (__u32 i = 0; i < WAIT_MS * splice_fixture_slow(); i++) {
			if (counted(SPLICE_OTHER) + counted(SPLICE_MALFORMED) > before)
				break;
			usleep(500);
		}
		assert_true(counted(SPLICE_OTHER) + counted(SPLICE_MALFORMED) > before);
		assert_true(splice_fixture_silent(&fx, 1));
	}
	assert_true(splice_fixture_get_leg(&fx, &session, 0, &leg));
	assert_int_equal(leg.packets, 0);
	cross(&session, 0, NULL); /* the control */
}

static void test_short_frames(void **state)
{
	(void)state;
	for (unsigned int bits = 0; bits < 4; bits++)
		short_frames(bits & 1 ? FIXTURE_TC : FIXTURE_XDP, bits & 2);
}

/* What is not for us reaches the host's own socket as if no program were there. */
static void to_host(enum fixture_hook hook)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(5300),
				  .sin_addr.s_addr = INADDR_ANY };
	struct packet_spec spec = { .data = "to the host", .data_len = 11 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	struct splice_session session;
	struct packet packet;
	char got[32];

	attach(hook);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	splice_fixture_session(&fx, false, IPPROTO_UDP, false, &session);
	session.end[0].local_port = 5300;
	splice_fixture_spec(&fx, &session, 0, &spec);
	packet_build(&spec, &packet);
	splice_fixture_send(&fx, 0, &packet);
	assert_int_equal(poll(&poll_fd, 1, WAIT_MS * splice_fixture_slow()), 1);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 11);
	assert_memory_equal(got, "to the host", 11);
	close(fd);
}

static void test_host_is_reached(void **state)
{
	(void)state;
	to_host(FIXTURE_TC);
	to_host(FIXTURE_XDP);
}

static int set_up(void **state)
{
	struct splice_fixture_options options = { .no_tx = true };

	(void)state;
	return splice_fixture_open(&fx, &options);
}

static int tear_down(void **state)
{
	(void)state;
	splice_fixture_detach(&fx);
	splice_fixture_close(&fx);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tc),
		cmocka_unit_test(test_xdp),
		cmocka_unit_test(test_tags_tc),
		cmocka_unit_test(test_tags_xdp),
		cmocka_unit_test(test_two_tags),
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_unfinished_checksum),
		cmocka_unit_test(test_gso),
		cmocka_unit_test(test_unfinished_syns),
		cmocka_unit_test(test_short_frames),
		cmocka_unit_test(test_host_is_reached),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
