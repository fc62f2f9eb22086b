// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * selftests/lib/splice_wire.c - a namespace with two links, and what passes on them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/lib/splice_wire.h"

#define WORDS	 32
#define WAIT_MS	 200
#define ATTEMPTS 64 /* frames that are not IP to us: neighbour and group messages of the kernel */

static const char *const set_up[] = {
	"ip link set lo up",
	"ip link add near0 address 02:00:00:00:00:a0 type veth peer name far0",
	"ip link add near1 address 02:00:00:00:00:b0 type veth peer name far1",
	"ip link set far0 arp off addrgenmode none up",
	"ip link set far1 arp off addrgenmode none up",
	"ip link set near0 addrgenmode none up",
	"ip link set near1 addrgenmode none up",
	"ip addr add 203.0.113.1/32 dev lo",
	"ip addr add 2001:db8:ff::1/128 dev lo nodad",
	"ip addr add 192.0.2.1/24 dev near0",
	"ip addr add 198.51.100.1/24 dev near1",
	"ip addr add 2001:db8:a::1/64 dev near0 nodad",
	"ip addr add 2001:db8:b::1/64 dev near1 nodad",
	"ip neigh add 192.0.2.10 lladdr 02:00:00:00:0a:10 dev near0 nud permanent",
	"ip neigh add 198.51.100.20 lladdr 02:00:00:00:0b:20 dev near1 nud permanent",
	"ip neigh add 2001:db8:a::10 lladdr 02:00:00:00:0a:10 dev near0 nud permanent",
	"ip neigh add 2001:db8:b::20 lladdr 02:00:00:00:0b:20 dev near1 nud permanent",
};

static const char *const switches[] = {
	"/proc/sys/net/ipv4/ip_forward",
	"/proc/sys/net/ipv6/conf/all/forwarding",
};

int splice_wire_command(const char *line)
{
	extern char **environ;
	char copy[256], *words[WORDS], *rest = copy;
	int count = 0, status, err;
	pid_t pid;

	snprintf(copy, sizeof(copy), "%s", line);
	while (count < WORDS - 1 && (words[count] = strsep(&rest, " ")))
		count++;
	words[count] = NULL;
	err = posix_spawnp(&pid, words[0], NULL, NULL, words, environ);
	if (err)
		return -err;
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	if (status)
		fprintf(stderr, "failed: %s\n", line);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

static int switch_on(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = fd < 0 || write(fd, "1", 1) != 1 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

static int get_mac(const char *name, __u8 *mac)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request))
		err = -errno;
	else
		memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	if (fd >= 0)
		close(fd);
	return err;
}

static int open_far(const char *name)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));
	int yes = 1, err;

	if (fd < 0)
		return -errno;
	at.sll_ifindex = if_nametoindex(name);
	if (!at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &yes, sizeof(yes)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int open_link(struct splice_fixture *fx, int link)
{
	static const __u8 host_mac[2][6] = {
		{ 2, 0, 0, 0, 0x0a, 0x10 },
		{ 2, 0, 0, 0, 0x0b, 0x20 },
	};
	const char *near = link ? "near1" : "near0";
	int err;

	fx->ifindex[link] = if_nametoindex(near);
	memcpy(fx->host_mac[link], host_mac[link], 6);
	err = get_mac(near, fx->mac[link]);
	if (err)
		return err;
	fx->far[link] = open_far(link ? "far1" : "far0");
	return fx->far[link] < 0 ? fx->far[link] : 0;
}

int splice_wire_open(struct splice_fixture *fx)
{
	int err;

	if (unshare(CLONE_NEWNET))
		return -errno;
	for (size_t i = 0; i < sizeof(set_up) / sizeof(*set_up); i++) {
		err = splice_wire_command(set_up[i]);
		if (err)
			return err < 0 ? err : -EINVAL;
	}
	for (size_t i = 0; i < sizeof(switches) / sizeof(*switches); i++) {
		err = switch_on(switches[i]);
		if (err)
			return err;
	}
	err = open_link(fx, 0);
	return err ? err : open_link(fx, 1);
}

void splice_wire_close(struct splice_fixture *fx)
{
	for (int i = 0; i < 2; i++)
		if (fx->far[i] >= 0)
			close(fx->far[i]);
	fx->far[0] = fx->far[1] = -1;
}

void splice_fixture_send(struct splice_fixture *fx, int link, const struct packet *packet)
{
	if (send(fx->far[link], packet->b, packet->len, 0) != (ssize_t)packet->len)
		perror("send at the far end");
}

/* The kernel keeps the outer tag aside; put it back to where it was on the wire. */
static void restore_tag(struct msghdr *message, struct packet *packet)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);
	struct tpacket_auxdata aux;

	if (!c || c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
		return;
	memcpy(&aux, CMSG_DATA(c), sizeof(aux));
	if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
		return;
	memmove(packet->b + 16, packet->b + 12, packet->len - 12);
	packet_put16(packet->b + 12, aux.tp_vlan_tpid);
	packet_put16(packet->b + 14, aux.tp_vlan_tci);
	packet->len += 4;
}

static bool receive_frame(int fd, struct packet *packet)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} control;
	struct iovec iov = { packet->b, PACKET_MAX - 4 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t len;

	memset(packet, 0, sizeof(*packet));
	len = recvmsg(fd, &message, 0);
	if (len < 0)
		return false;
	packet->len = len;
	restore_tag(&message, packet);
	return true;
}

static bool receive_ip(struct splice_fixture *fx, int link, struct packet *packet, int wait_ms)
{
	struct pollfd poll_fd = { .fd = fx->far[link], .events = POLLIN };
	struct packet_view view;

	for (int i = 0; i < ATTEMPTS; i++) {
		if (poll(&poll_fd, 1, wait_ms) <= 0 || !receive_frame(fx->far[link], packet))
			return false;
		if (!(packet->b[0] & 1) && packet_parse(packet, &view))
			return true;
	}
	return false;
}

bool splice_fixture_receive(struct splice_fixture *fx, int link, struct packet *packet)
{
	return receive_ip(fx, link, packet, WAIT_MS * splice_fixture_slow());
}

bool splice_fixture_silent(struct splice_fixture *fx, int link)
{
	struct packet packet;

	return !receive_ip(fx, link, &packet, 0);
}
