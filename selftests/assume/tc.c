// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c selftests/lib/packet.c */
/*
 * How a program gets to tc ingress, and who else is there: TCX links (6.6), clsact filters, both.
 *Each arrangement is proved by what the programs counted of the packets sent.
 *
 *	sender [eth] ── [in] here
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "selftests/assume/hook.h"
#include "selftests/lib/assume.h"

#define PACKETS 10
/* enum bpf_attach_type from 6.6, which older headers lack. */
#define TCX_INGRESS ((enum bpf_attach_type)46)

static int sender, arrived;

static int program_fd(const char *name)
{
	return bpf_program__fd(assume_program(name));
}

static struct hook_state state(void)
{
	struct hook_state state;

	assume_var_get(".bss", &state);
	return state;
}

/* Sends the packets and checks that both programs saw as many as they should, and `in` all. */
static void expect(unsigned int first, unsigned int second, const char *name)
{
	const struct packet_spec spec = { .ethertype = HOOK_TYPE,
					  .dst_mac = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
					  .src = PACKET_V4(10, 0, 1, 2),
					  .dst = PACKET_V4(10, 0, 1, 1) };
	const struct hook_state zero = {};
	struct hook_state seen;
	struct packet packet;
	unsigned int came = 0;

	assume_var_set(".bss", &zero);
	packet_build(&spec, &packet);
	for (int i = 0; i < PACKETS; i++)
		assume_packet_send(sender, &packet);
	while (came < PACKETS && assume_packet_receive(arrived, &packet, assume_ms(300)))
		came += packet_get16(&packet.b[12]) == HOOK_TYPE;
	seen = state();
	assume(came == PACKETS && seen.seen[0] == first && seen.seen[1] == second, name,
	       "%u arrived, first saw %u, second %u", came, seen.seen[0], seen.seen[1]);
}

/* ---- clsact */

static struct bpf_tc_hook at; /* static, so that its padding is zero, as libbpf demands */

static int filter_attach(const char *program, struct bpf_tc_opts *options, __u32 flags)
{
	options->prog_fd = program_fd(program);
	options->prog_id = 0;
	options->flags = flags;
	return bpf_tc_attach(&at, options);
}

static int filter_detach(const struct bpf_tc_opts *options)
{
	LIBBPF_OPTS(bpf_tc_opts, only, .handle = options->handle, .priority = options->priority);

	return bpf_tc_detach(&at, &only);
}

static void check_clsact(void)
{
	LIBBPF_OPTS(bpf_tc_opts, first);
	LIBBPF_OPTS(bpf_tc_opts, second);
	__u32 handle, priority;

	assume(!bpf_tc_hook_create(&at) && bpf_tc_hook_create(&at) == -EEXIST,
	       "clsact is made once; again is EEXIST", "%s", strerror(errno));
	must(filter_attach("tc_first", &first, 0));
	expect(PACKETS, 0, "a clsact filter sees every packet");
	assume(first.handle && first.priority, "the kernel tells its handle and priority",
	       "%u and %u", first.handle, first.priority);
	must(filter_attach("tc_second", &second, 0));
	expect(PACKETS, PACKETS, "two filters both see it");
	handle = first.handle;
	priority = first.priority;
	assume(!filter_attach("tc_second", &first, BPF_TC_F_REPLACE) && first.handle == handle &&
		       first.priority == priority,
	       "a filter is replaced in place", "%s", strerror(errno));
	expect(0, 2 * PACKETS, "then the new program is in its place");
	must(filter_detach(&first));
	expect(0, PACKETS, "a filter goes alone");
	must(filter_detach(&second));
}

/* ---- TCX */

static bool has_tcx(void)
{
	struct utsname name;
	unsigned int major = 0, minor = 0;

	must(uname(&name));
	if (sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 6 || (major == 6 && minor >= 6);
}

static int tcx_link(const char *program)
{
	return bpf_link_create(program_fd(program), if_nametoindex("in"), TCX_INGRESS, NULL);
}

static void check_tcx(void)
{
	LIBBPF_OPTS(bpf_tc_opts, filter);
	int one, two;

	one = tcx_link("tc_first");
	if (!has_tcx()) {
		assume(one == -EINVAL, "TCX before 6.6 is refused with EINVAL", "%d", one);
		return;
	}
	if (!assume(one >= 0, "a TCX link from 6.6", "%s", strerror(-one)))
		return;
	expect(PACKETS, 0, "a TCX link's program sees every packet");
	two = must(tcx_link("tc_second"));
	expect(PACKETS, PACKETS, "two TCX links both see it");
	assume(bpf_link_update(two, program_fd("tc_first"), NULL) == -EEXIST,
	       "a program is at a device only once", "%s", strerror(errno));
	close(one);
	expect(0, PACKETS, "a link goes with its last descriptor");
	assume(!bpf_link_update(two, program_fd("tc_first"), NULL),
	       "a link's program is exchanged in place", "%s", strerror(errno));
	expect(PACKETS, 0, "then the new program is in its place");
	must(filter_attach("tc_second", &filter, 0));
	expect(PACKETS, PACKETS, "a TCX link and a clsact filter both see it");
	close(two);
	expect(0, PACKETS, "without the link the filter stays");
	must(filter_detach(&filter));
	expect(0, 0, "control: without programs nothing is counted");
}

int main(int argc, char **argv)
{
	int there, here;

	(void)argc;
	assume_begin(argv[0], true);
	there = assume_ns_new();
	here = assume_ns_new();
	assume_ns_enter(here);
	assume_veth("in", "eth", there);
	arrived = assume_packet_socket("in");
	assume_ns_enter(there);
	sender = assume_packet_socket("eth");
	assume_ns_enter(here);
	at.sz = sizeof(at);
	at.ifindex = if_nametoindex("in");
	at.attach_point = BPF_TC_INGRESS;
	check_clsact();
	check_tcx();
	return assume_end();
}
