// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c selftests/lib/packet.c */
/*
 * One SYN becomes two SYNACKs: the clone is sent before the packet is rewritten, and a SYN may have
 * to grow for options that it did not have.
 *
 *	near [eth] ── [in] here [out] ── [eth] far
 */
#include <netinet/in.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftests/assume/clone.h"
#include "selftests/lib/assume.h"

static int near_ns, far_ns, near_fd, far_fd;

static void topology(void)
{
	int here = must(assume_ns_new());

	near_ns = assume_ns_new();
	far_ns = assume_ns_new();
	assume_ns_enter(here);
	assume_veth("in", "eth", near_ns);
	assume_veth("out", "eth", far_ns);
	assume_run("ethtool -K out tx off tso off");
	assume_ns_enter(near_ns);
	near_fd = assume_packet_socket("eth");
	assume_ns_enter(far_ns);
	far_fd = assume_packet_socket("eth");
	assume_ns_enter(here);
}

static void use(const char *program)
{
	const struct clone_state state = { .out = if_nametoindex("out") };

	assume_try("tc qdisc del dev in clsact");
	assume_var_set(".bss", &state);
	assume_attach_tc(program, "in");
}

static __u32 failures(void)
{
	struct clone_state state;

	assume_var_get(".bss", &state);
	return state.failed;
}

/* The next TCP packet that comes out at the far end. */
static bool far_receive(struct packet *packet)
{
	struct packet_view view;

	while (assume_packet_receive(far_fd, packet, assume_ms(500)))
		if (packet_parse(packet, &view) && view.proto == IPPROTO_TCP && !view.v6)
			return true;
	return false;
}

static void check_clone(size_t data_len, const char *name)
{
	const struct packet_spec spec = { .src = PACKET_V4(10, 0, 1, 2),
					  .dst = PACKET_V4(10, 0, 1, 1),
					  .sport = 1000,
					  .dport = 2000,
					  .flags = PACKET_SYN,
					  .data_len = data_len };
	struct packet sent, clone, other;
	bool both;

	use("clone_then_write");
	packet_build(&spec, &sent);
	assume_packet_send(near_fd, &sent);
	both = far_receive(&clone) && far_receive(&other);
	if (!assume(both && !failures(), name, "not two packets, failed calls %#x", failures()))
		return;
	assume(clone.len == sent.len && !memcmp(clone.b, sent.b, sent.len),
	       "the clone is what came in", "port %u", packet_get16(&clone.b[36]));
	assume(other.len == sent.len && packet_get16(&other.b[36]) == 4444 &&
		       other.b[other.len - 1] == 0xf8,
	       "the packet itself is what was written", "port %u", packet_get16(&other.b[36]));
}

static bool grown_is_good(const struct packet *packet)
{
	struct packet_view view;

	return packet_parse(packet, &view) && packet_checks_good(packet) &&
	       packet->b[packet->len - 1] == 1 && packet->b[view.l4 + 13] == PACKET_SYN;
}

static void check_grow_raw(void)
{
	const struct packet_spec spec = { .src = PACKET_V4(10, 0, 1, 2),
					  .dst = PACKET_V4(10, 0, 1, 1),
					  .sport = 1000,
					  .dport = 2000,
					  .flags = PACKET_SYN,
					  .opt = "\2\4\5\264",
					  .opt_len = 4 };
	struct packet sent, got;
	bool came;

	use("grow_syn");
	packet_build(&spec, &sent);
	assume_packet_send(near_fd, &sent);
	came = far_receive(&got);
	assume(came && !failures() && got.len == sent.len + 12 && grown_is_good(&got),
	       "a SYN with a finished checksum grows", "%s, failed calls %#x",
	       came ? "wrong bytes" : "lost", failures());
}

/* A socket's own SYN has only the pseudo-header's sum in its checksum field. */
static void check_grow_partial(void)
{
	const struct sockaddr_in server = { .sin_family = AF_INET,
					    .sin_port = htons(2000),
					    .sin_addr.s_addr = htonl(0x0a000101) };
	struct packet got;
	bool came;
	int fd;

	use("grow_syn");
	assume_ns_enter(near_ns);
	assume_run("ip addr add 10.0.1.2/24 dev eth");
	assume_run("sysctl -qw net.ipv4.tcp_timestamps=0");
	assume_run("ip neigh add 10.0.1.1 dev eth lladdr 02:00:00:00:00:01");
	fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	connect(fd, (const struct sockaddr *)&server, sizeof(server));
	came = far_receive(&got);
	assume(came && !failures() && grown_is_good(&got),
	       "a SYN with CHECKSUM_PARTIAL grows and is right on the wire", "%s, failed calls %#x",
	       came ? "wrong bytes" : "lost", failures());
	close(fd);
}

int main(int argc, char **argv)
{
	(void)argc;
	assume_begin(argv[0], true);
	topology();
	check_clone(8, "a SYN and its clone are sent");
	check_clone(1000, "a long packet and its clone are sent");
	check_grow_raw();
	check_grow_partial();
	return assume_end();
}
