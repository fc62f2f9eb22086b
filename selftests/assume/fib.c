// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c selftests/lib/packet.c */
/*
 * bpf_fib_lookup(): what splice's next hops stand on.
 *
 *	client ──[in]── here ──[out]── 10.0.2.0/24, 2001:db8:2::/64
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "selftests/assume/fib.h"
#include "selftests/lib/assume.h"

static const __u8 mac_a[6] = { 2, 0, 0, 0, 0, 0xa }, mac_b[6] = { 2, 0, 0, 0, 0, 0xb };

static struct fib_state ask(int family, const char *dst)
{
	const struct packet_spec spec = { .src = PACKET_V4(10, 0, 1, 2),
					  .dst = PACKET_V4(10, 0, 2, 2) };
	struct fib_state state = { .fib = { .ifindex = if_nametoindex("in"), .family = family } };
	struct packet packet;

	if (family == AF_INET) {
		inet_pton(AF_INET, "10.0.1.2", &state.fib.ipv4_src);
		inet_pton(AF_INET, dst, &state.fib.ipv4_dst);
	} else {
		inet_pton(AF_INET6, "2001:db8:1::2", state.fib.ipv6_src);
		inet_pton(AF_INET6, dst, state.fib.ipv6_dst);
	}
	packet_build(&spec, &packet);
	assume_var_set(".bss", &state);
	assume_run_tc("fib_ask", &packet, if_nametoindex("in"));
	assume_var_get(".bss", &state);
	return state;
}

static void expect(int family, const char *dst, int result, const char *name)
{
	struct fib_state state = ask(family, dst);

	assume(state.result == result, name, "result %d, not %d", state.result, result);
}

static void expect_hop(int family, const char *dst, const char *dev, const __u8 mac[6],
		       const char *name)
{
	struct fib_state state = ask(family, dst);
	__u8 own[6];

	assume_mac(dev, own);
	assume(state.result == BPF_FIB_LKUP_RET_SUCCESS &&
		       state.fib.ifindex == if_nametoindex(dev) &&
		       !memcmp(state.fib.smac, own, 6) && !memcmp(state.fib.dmac, mac, 6),
	       name, "result %d, ifindex %u, dmac ..%02x", state.result, state.fib.ifindex,
	       state.fib.dmac[5]);
}

static void check_v4(void)
{
	expect(AF_INET, "10.0.2.2", BPF_FIB_LKUP_RET_FWD_DISABLED, "no forwarding, no next hop");
	assume_run("sysctl -qw net.ipv4.conf.in.forwarding=1");
	expect(AF_INET, "10.0.2.2", BPF_FIB_LKUP_RET_NO_NEIGH,
	       "the arriving device's forwarding is what counts; unresolved is NO_NEIGH");
	assume_run("ip neigh replace 10.0.2.2 dev out lladdr 02:00:00:00:00:0a nud reachable");
	expect_hop(AF_INET, "10.0.2.2", "out", mac_a, "a resolved neighbour gives both MACs");
	assume_run("ip neigh replace 10.0.2.2 dev out lladdr 02:00:00:00:00:0b nud stale");
	expect_hop(AF_INET, "10.0.2.2", "out", mac_b, "a changed, stale neighbour is followed");
	assume_run("ip neigh replace 10.0.2.3 dev out lladdr 02:00:00:00:00:0a nud permanent");
	assume_run("ip route add 192.0.2.0/24 via 10.0.2.2");
	expect_hop(AF_INET, "192.0.2.9", "out", mac_b, "a gateway's MAC");
	assume_run("ip route replace 192.0.2.0/24 via 10.0.2.3");
	expect_hop(AF_INET, "192.0.2.9", "out", mac_a, "a changed route is followed");
	assume_run("ip route replace blackhole 192.0.2.0/24");
	expect(AF_INET, "192.0.2.9", BPF_FIB_LKUP_RET_BLACKHOLE, "a blackhole is told");
	assume_run("ip route del blackhole 192.0.2.0/24");
	expect(AF_INET, "192.0.2.9", BPF_FIB_LKUP_RET_NOT_FWDED, "no route is NOT_FWDED");
	expect(AF_INET, "10.0.1.1", BPF_FIB_LKUP_RET_NOT_FWDED, "an own address is NOT_FWDED");
}

static void check_v6(void)
{
	expect(AF_INET6, "2001:db8:2::2", BPF_FIB_LKUP_RET_FWD_DISABLED,
	       "IPv6: no forwarding, no next hop");
	assume_run("sysctl -qw net.ipv6.conf.in.forwarding=1");
	expect(AF_INET6, "2001:db8:2::2", BPF_FIB_LKUP_RET_NO_NEIGH, "IPv6: unresolved");
	assume_run("ip neigh replace 2001:db8:2::2 dev out lladdr 02:00:00:00:00:0a nud reachable");
	expect_hop(AF_INET6, "2001:db8:2::2", "out", mac_a, "IPv6: a resolved neighbour");
	assume_run("ip neigh replace 2001:db8:2::2 dev out lladdr 02:00:00:00:00:0b nud stale");
	expect_hop(AF_INET6, "2001:db8:2::2", "out", mac_b, "IPv6: a changed neighbour");
}

/* A route over a VLAN device names that device: its parent and tag are ours to know. */
static void check_vlan(void)
{
	struct fib_state state;

	if (assume_try("ip link add link out name tagged type vlan id 7")) {
		assume_skip("a VLAN device is named itself", "no 8021q in this kernel");
		return;
	}
	assume_run("ip link set tagged up");
	assume_run("ip addr add 10.0.7.1/24 dev tagged");
	assume_run("ip neigh add 10.0.7.2 dev tagged lladdr 02:00:00:00:00:0a nud permanent");
	state = ask(AF_INET, "10.0.7.2");
	assume(state.result == 0 && state.fib.ifindex == if_nametoindex("tagged") &&
		       !state.fib.h_vlan_proto,
	       "a VLAN device is named itself", "result %d, ifindex %u", state.result,
	       state.fib.ifindex);
}

int main(int argc, char **argv)
{
	int client, far;

	(void)argc;
	assume_begin(argv[0], true);
	client = assume_ns_new();
	far = assume_ns_new();
	assume_veth("in", "eth", client);
	assume_veth("out", "eth", far);
	assume_run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv6.conf.all.accept_dad=0");
	assume_run("ip addr add 10.0.1.1/24 dev in");
	assume_run("ip addr add 10.0.2.1/24 dev out");
	assume_run("ip addr add 2001:db8:1::1/64 dev in nodad");
	assume_run("ip addr add 2001:db8:2::1/64 dev out nodad");
	assume_run("sysctl -qw net.ipv4.conf.in.forwarding=0 net.ipv6.conf.in.forwarding=0");
	check_v4();
	check_v6();
	check_vlan();
	return assume_end();
}
