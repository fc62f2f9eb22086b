// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c selftests/lib/packet.c */
/*
 * NTF_USE: BPF cannot resolve a neighbour, and packets that it forwards confirm none. The agent
 *tells the kernel that a neighbour is in use, and the kernel probes as for its own packets.
 *
 *	here [lan] ── [eth] there
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftests/lib/assume.h"

static int here_ns, there_ns, raw;

/* RTM_NEWNEIGH with NTF_USE, as the agent sends it. Returns 0 or -errno. */
static int use_neighbour(int family, const char *address)
{
	char buffer[1024];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
	struct mnl_socket *socket = mnl_socket_open(NETLINK_ROUTE);
	struct in6_addr binary;
	struct ndmsg *neighbour;
	ssize_t got;
	int err;

	header->nlmsg_type = RTM_NEWNEIGH;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	neighbour = mnl_nlmsg_put_extra_header(header, sizeof(*neighbour));
	neighbour->ndm_family = family;
	neighbour->ndm_ifindex = if_nametoindex("lan");
	neighbour->ndm_state = NUD_NONE;
	neighbour->ndm_flags = NTF_USE;
	inet_pton(family, address, &binary);
	mnl_attr_put(header, NDA_DST, family == AF_INET ? 4 : 16, &binary);
	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		assume_die("netlink", __LINE__);
	must(mnl_socket_sendto(socket, header, header->nlmsg_len));
	got = must(mnl_socket_recvfrom(socket, buffer, sizeof(buffer)));
	err = mnl_cb_run(buffer, got, 0, mnl_socket_get_portid(socket), NULL, NULL) < 0 ? -errno
											: 0;
	mnl_socket_close(socket);
	return err;
}

/* What `ip neigh` calls its state. */
static bool state_is(const char *address, const char *state)
{
	return strstr(assume_read("ip neigh show %s dev lan", address), state);
}

static bool state_becomes(const char *address, const char *state, int ms)
{
	__u64 end = assume_now_ms() + assume_ms(ms);

	while (!state_is(address, state)) {
		if (assume_now_ms() > end)
			return false;
		usleep(20000);
	}
	return true;
}

/* An ARP request or a neighbour solicitation arrives at the other end, to one host if `unicast`. */
static bool asked(int family, bool unicast, int ms)
{
	__u64 end = assume_now_ms() + assume_ms(ms);
	struct packet packet;

	while (assume_now_ms() < end && assume_packet_receive(raw, &packet, 100)) {
		__u16 type = packet_get16(&packet.b[12]);
		bool arp = type == ETH_P_ARP && packet_get16(&packet.b[20]) == 1;
		bool solicitation = type == ETH_P_IPV6 && packet.b[20] == 58 && packet.b[54] == 135;

		if ((family == AF_INET ? arp : solicitation) && unicast == !(packet.b[0] & 1))
			return true;
	}
	return false;
}

static void flush(void)
{
	struct packet packet;

	while (assume_packet_receive(raw, &packet, 0))
		;
}

static void check_unresolved(int family, const char *address, const char *name)
{
	int err;

	flush();
	err = use_neighbour(family, address);
	assume(!err && state_becomes(address, "REACHABLE", 2000), name, "%s; %s", strerror(-err),
	       assume_read("ip neigh show %s dev lan", address));
}

static void check_stale(int family, const char *address, const char *lladdr, const char *name)
{
	bool quiet, probed;

	assume_run("ip neigh replace %s dev lan lladdr %s nud stale", address, lladdr);
	flush();
	quiet = !asked(family, true, 60) && state_is(address, "STALE");
	assume(quiet, "control: by itself a stale neighbour stays so", "%s",
	       assume_read("ip neigh show %s dev lan", address));
	must(use_neighbour(family, address));
	/* DELAY, delay_first_probe_time, then unicast probes. */
	probed = state_becomes(address, "REACHABLE", 6000);
	assume(probed && asked(family, true, 500), name, "%s",
	       assume_read("ip neigh show %s dev lan", address));
}

/* A neighbour whose address moved fails its unicast probes first; only the next use asks all. */
static void check_moved(void)
{
	static const char fresh[] = "02:00:00:00:00:77", old[] = "02:00:00:00:00:66";

	assume_run("ip neigh replace 10.0.1.2 dev lan lladdr %s nud stale", old);
	assume_ns_enter(there_ns);
	assume_run("ip link set eth address %s", fresh);
	assume_ns_enter(here_ns);
	must(use_neighbour(AF_INET, "10.0.1.2"));
	assume(strstr(assume_read("ip neigh show 10.0.1.2 dev lan"), old),
	       "while it is probed the old address stands", "%s",
	       assume_read("ip neigh show 10.0.1.2 dev lan"));
	assume(state_becomes("10.0.1.2", "FAILED", 10000), "a neighbour that moved fails", "%s",
	       assume_read("ip neigh show 10.0.1.2 dev lan"));
	must(use_neighbour(AF_INET, "10.0.1.2"));
	assume(state_becomes("10.0.1.2", fresh, 2000), "NTF_USE again finds its new address", "%s",
	       assume_read("ip neigh show 10.0.1.2 dev lan"));
}

int main(int argc, char **argv)
{
	char lladdr[18];
	__u8 mac[6];

	(void)argc;
	assume_begin(argv[0], false);
	there_ns = assume_ns_new();
	here_ns = assume_ns_new();
	assume_ns_enter(here_ns);
	assume_veth("lan", "eth", there_ns);
	assume_run("ip addr add 10.0.1.1/24 dev lan");
	assume_run("ip addr add 2001:db8:1::1/64 dev lan nodad");
	assume_run("sysctl -qw net.ipv4.neigh.lan.delay_first_probe_time=1 "
		   "net.ipv6.neigh.lan.delay_first_probe_time=1 "
		   "net.ipv4.neigh.lan.retrans_time_ms=200");
	assume_ns_enter(there_ns);
	assume_run("ip addr add 10.0.1.2/24 dev eth");
	assume_run("ip addr add 2001:db8:1::2/64 dev eth nodad");
	assume_mac("eth", mac);
	raw = assume_packet_socket("eth");
	assume_ns_enter(here_ns);
	snprintf(lladdr, sizeof(lladdr), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	check_unresolved(AF_INET, "10.0.1.2", "NTF_USE resolves an unknown neighbour");
	check_stale(AF_INET, "10.0.1.2", lladdr, "NTF_USE has a stale neighbour probed");
	check_unresolved(AF_INET6, "2001:db8:1::2", "IPv6: NTF_USE resolves an unknown neighbour");
	check_stale(AF_INET6, "2001:db8:1::2", lladdr, "IPv6: NTF_USE has a stale one probed");
	check_moved();
	return assume_end();
}
