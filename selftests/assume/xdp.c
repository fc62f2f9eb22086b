// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c selftests/lib/packet.c */
/*
 * Native XDP on veth: a redirected or returned frame is taken only by a peer with NAPI, which
 * `gro on` or any XDP program gives it; otherwise it is dropped silently, so `attach` must look.
 *
 *	sender [eth] ── [in] here [out] ── [eth] receiver
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "selftests/assume/hook.h"
#include "selftests/lib/assume.h"

#define PACKETS 20

static int here_ns, sender_ns, receiver_ns, sender, receiver;

static void use(const char *program)
{
	const struct hook_state state = { .out = if_nametoindex("out") };

	must(bpf_xdp_attach(if_nametoindex("in"), bpf_program__fd(assume_program(program)),
			    XDP_FLAGS_DRV_MODE, NULL));
	assume_var_set(".bss", &state);
}

static __u32 seen(void)
{
	struct hook_state state;

	assume_var_get(".bss", &state);
	return state.seen[HOOK_FIRST];
}

/* Sends the packets; returns how many came to `fd`. */
static unsigned int exchange(int fd)
{
	const struct packet_spec spec = { .ethertype = HOOK_TYPE,
					  .dst_mac = { 2, 0, 0, 0, 0, 1 },
					  .src_mac = { 2, 0, 0, 0, 0, 2 },
					  .src = PACKET_V4(10, 0, 1, 2),
					  .dst = PACKET_V4(10, 0, 1, 1) };
	struct packet packet;
	unsigned int came = 0;

	packet_build(&spec, &packet);
	for (int i = 0; i < PACKETS; i++)
		assume_packet_send(sender, &packet);
	while (came < PACKETS && assume_packet_receive(fd, &packet, assume_ms(300)))
		came += packet_get16(&packet.b[12]) == HOOK_TYPE;
	return came;
}

static void in_ns(int ns, const char *command)
{
	assume_ns_enter(ns);
	assume_run("%s", command);
	assume_ns_enter(here_ns);
}

/* A program of its own on the far end of `in` or `out`. */
static void set_program(int ns, bool on)
{
	int fd = on ? bpf_program__fd(assume_program("xdp_look")) : -1;

	assume_ns_enter(ns);
	must(bpf_xdp_attach(if_nametoindex("eth"), fd, XDP_FLAGS_DRV_MODE, NULL));
	assume_ns_enter(here_ns);
}

static void check_redirect(void)
{
	unsigned int came;

	use("xdp_redirect");
	in_ns(receiver_ns, "ethtool -K eth gro off");
	came = exchange(receiver);
	assume(came == 0 && seen() == PACKETS, "a redirect to a peer without NAPI is lost",
	       "%u of %u came", came, seen());
	in_ns(receiver_ns, "ethtool -K eth gro on");
	came = exchange(receiver);
	assume(came == PACKETS, "with gro on at the peer all arrive", "%u of %u", came, PACKETS);
	in_ns(receiver_ns, "ethtool -K eth gro off");
	set_program(receiver_ns, true);
	came = exchange(receiver);
	assume(came == PACKETS, "with a program at the peer all arrive", "%u of %u", came, PACKETS);
	set_program(receiver_ns, false);
}

/* One arm: back to where it came from. XDP_TX wakes only a peer that has a program
 * (veth_xdp_flush()). */
static void check_back(void)
{
	struct hook_state state = { .out = if_nametoindex("in") };
	unsigned int came;

	use("xdp_redirect");
	assume_var_set(".bss", &state);
	in_ns(sender_ns, "ethtool -K eth gro off");
	came = exchange(sender);
	assume(came == 0 && seen() == PACKETS, "a redirect back to a sender without NAPI is lost",
	       "%u of %u came", came, seen());
	in_ns(sender_ns, "ethtool -K eth gro on");
	came = exchange(sender);
	assume(came == PACKETS, "with gro on at the sender all come back", "%u of %u", came,
	       PACKETS);
	use("xdp_back");
	set_program(sender_ns, true);
	came = exchange(sender);
	assume(came == PACKETS, "XDP_TX with a program at the sender brings all back", "%u of %u",
	       came, PACKETS);
	set_program(sender_ns, false);
}

/* A link keeps its program until its last descriptor goes; another's attach is refused. */
static void check_link(void)
{
	int fd = bpf_program__fd(assume_program("xdp_redirect"));
	LIBBPF_OPTS(bpf_link_create_opts, native, .flags = XDP_FLAGS_DRV_MODE);
	int ifindex = if_nametoindex("in"), link, err;

	must(bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, NULL));
	link = must(bpf_link_create(fd, ifindex, BPF_XDP, &native));
	err = bpf_xdp_attach(ifindex, bpf_program__fd(assume_program("xdp_look")),
			     XDP_FLAGS_DRV_MODE, NULL);
	assume(err == -EBUSY, "a device with an XDP link refuses another program", "%d", err);
	err = bpf_link_update(link, bpf_program__fd(assume_program("xdp_look")), NULL);
	assume(!err, "a link's program is exchanged in place", "%s", strerror(errno));
	close(link);
	err = bpf_xdp_attach(ifindex, fd, XDP_FLAGS_DRV_MODE, NULL);
	assume(!err, "the link goes with its last descriptor", "%d", err);
}

int main(int argc, char **argv)
{
	(void)argc;
	assume_begin(argv[0], true);
	sender_ns = assume_ns_new();
	receiver_ns = assume_ns_new();
	here_ns = assume_ns_new();
	assume_ns_enter(here_ns);
	assume_veth("in", "eth", sender_ns);
	assume_veth("out", "eth", receiver_ns);
	assume_ns_enter(sender_ns);
	sender = assume_packet_socket("eth");
	assume_ns_enter(receiver_ns);
	receiver = assume_packet_socket("eth");
	assume_ns_enter(here_ns);
	check_redirect();
	check_back();
	check_link();
	return assume_end();
}
