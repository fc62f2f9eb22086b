// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * R10 (4.3): the gate of a peer's FIN. The programs are in bpf/resoa_fin.bpf.h; here they are
 * loaded and put on the devices, sockets are armed, a FIN that is held back is told to its
 * connection, and the gate is opened by a FIN that the daemon sends to itself in the peer's name.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bpf/resoa.skel.h"
#include "../lib/address.h"
#include "../lib/log.h"
#include "resoad.h"

/* enum bpf_attach_type of kernels from 6.6; libbpf 1.1 does not know it yet and passes it on. */
#define TCX_INGRESS ((enum bpf_attach_type)46)
#define TCX_EGRESS  ((enum bpf_attach_type)47)

#define DEVICES	    (CONF_LIST_MAX + 1) /* and lo */
#define NS_PER_S    1000000000ull
#define FILTER_PRIO 49152 /* of a clsact filter, before TCX was there */

struct device {
	unsigned int ifindex;
	uint8_t mac[ETH_ALEN];
	bool ethernet; /* else frames begin with IP */
	int link[2];   /* ingress, egress; -1: clsact filters */
};

struct fin {
	struct resoad *resoad;
	struct resoa_bpf *skel;
	struct ring_buffer *ring;
	struct event *readable, *timer;
	int packet; /* AF_PACKET */
	struct device device[DEVICES];
	unsigned int devices;
	struct sock *oldest, *newest; /* that are held */
	uint64_t timeouts;
};

/* ---- gates that are held, in the order of their time */

static void held_add(struct fin *fin, struct sock *sock)
{
	const struct timeval limit = { .tv_sec = fin->resoad->settings->fin_s };

	sock->held_ns = resoad_now_ns();
	sock->held_before = fin->newest;
	sock->held_after = NULL;
	if (fin->newest)
		fin->newest->held_after = sock;
	else
		fin->oldest = sock;
	fin->newest = sock;
	if (fin->oldest == sock)
		evtimer_add(fin->timer, &limit);
}

static void held_remove(struct fin *fin, struct sock *sock)
{
	if (!sock->held_ns)
		return;
	*(sock->held_before ? &sock->held_before->held_after : &fin->oldest) = sock->held_after;
	*(sock->held_after ? &sock->held_after->held_before : &fin->newest) = sock->held_before;
	sock->held_ns = 0;
}

/* ---- the FIN that lets the peer's in */

static uint32_t sum(const void *bytes, size_t len, uint32_t before)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i + 1 < len; i += 2)
		before += p[i] << 8 | p[i + 1];
	return before;
}

static uint16_t fold(uint32_t sum32)
{
	while (sum32 >> 16)
		sum32 = (sum32 & 0xffff) + (sum32 >> 16);
	return htons(~sum32);
}

struct names {
	struct isthmus_addr local, remote;
	__be16 local_port, remote_port;
};

static int read_names(int fd, struct names *names)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len))
		return -errno;
	address_from_sockaddr((struct sockaddr *)&address, &names->local, &names->local_port);
	len = sizeof(address);
	if (getpeername(fd, (struct sockaddr *)&address, &len))
		return -errno;
	address_from_sockaddr((struct sockaddr *)&address, &names->remote, &names->remote_port);
	return 0;
}

/* Without options: an old timestamp would be refused (RFC 7323, 5.3), none is not. */
static size_t write_tcp(uint8_t *out, const struct names *names, const struct resoa_fin *record)
{
	struct tcphdr tcp = { .source = names->remote_port, .dest = names->local_port };

	tcp.seq = htonl(record->fin_seq);
	tcp.doff = sizeof(tcp) / 4;
	tcp.fin = tcp.ack = 1; /* the number is the program's */
	tcp.window = record->window;
	memcpy(out, &tcp, sizeof(tcp));
	return sizeof(tcp);
}

static size_t write_ip4(uint8_t *out, const struct names *names, const struct resoa_fin *record)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP };
	size_t len = write_tcp(out + sizeof(ip), names, record);
	uint16_t check;

	memcpy(&ip.saddr, names->remote.b + 12, 4);
	memcpy(&ip.daddr, names->local.b + 12, 4);
	ip.tot_len = htons(sizeof(ip) + len);
	ip.check = fold(sum(&ip, sizeof(ip), 0));
	memcpy(out, &ip, sizeof(ip));
	check = fold(sum(out + 12, 8 + len, IPPROTO_TCP + len));
	memcpy(out + sizeof(ip) + offsetof(struct tcphdr, check), &check, 2);
	return sizeof(ip) + len;
}

static size_t write_ip6(uint8_t *out, const struct names *names, const struct resoa_fin *record)
{
	struct ipv6hdr ip = { .version = 6, .hop_limit = 64, .nexthdr = IPPROTO_TCP };
	size_t len = write_tcp(out + sizeof(ip), names, record);
	uint16_t check;

	memcpy(&ip.saddr, names->remote.b, 16);
	memcpy(&ip.daddr, names->local.b, 16);
	ip.payload_len = htons(len);
	memcpy(out, &ip, sizeof(ip));
	check = fold(sum(out + 8, 32 + len, IPPROTO_TCP + len));
	memcpy(out + sizeof(ip) + offsetof(struct tcphdr, check), &check, 2);
	return sizeof(ip) + len;
}

static const struct device *find_device(const struct fin *fin, unsigned int ifindex)
{
	for (unsigned int i = 0; i < fin->devices; i++)
		if (fin->device[i].ifindex == ifindex)
			return &fin->device[i];
	return NULL;
}

void fin_send(const struct fin *fin, unsigned int ifindex, const void *frame, size_t len)
{
	const struct device *device = find_device(fin, ifindex);
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_halen = ETH_ALEN,
				  .sll_ifindex = (int)ifindex };
	const uint8_t *bytes = frame;

	if (!device || len < ETH_HLEN)
		return;
	if (device->ethernet)
		memcpy(&to.sll_protocol, bytes + 2 * ETH_ALEN, sizeof(to.sll_protocol));
	else
		to.sll_protocol = htons(bytes[0] >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6);
	memcpy(to.sll_addr, device->mac, ETH_ALEN);
	if (sendto(fin->packet, frame, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		log_debug("a frame to ourselves cannot be sent: %s", strerror(errno));
}

int fin_knocks(const struct fin *fin)
{
	return bpf_map__fd(fin->skel->maps.resoa_knock);
}

/*
 * Sent twice: the first is taken, and acknowledged when the kernel sees fit (40 ms later); the
 * second is a repetition, which is acknowledged at once. Not if we have ended before: then the
 * first one is acknowledged at once, and the peer's socket has gone. It would answer a second
 * acknowledgment with a RST, the end of our TIME_WAIT.
 */
static int how_often(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) &&
			       info.tcpi_state == TCP_ESTABLISHED
		       ? 2
		       : 1;
}

static void inject(const struct fin *fin, int fd, const struct resoa_fin *record)
{
	const struct device *device = find_device(fin, record->ifindex);
	uint8_t frame[128] = { 0 };
	__be16 type;
	struct names names;
	bool v4;
	size_t len;

	if (!device || read_names(fd, &names))
		return;
	v4 = address_is_v4(&names.local);
	len = device->ethernet ? ETH_HLEN : 0;
	type = htons(v4 ? ETH_P_IP : ETH_P_IPV6);
	if (len) {
		memcpy(frame, device->mac, ETH_ALEN);
		memcpy(frame + ETH_ALEN, device->mac, ETH_ALEN);
		memcpy(frame + 2 * ETH_ALEN, &type, 2);
	}
	len += v4 ? write_ip4(frame + len, &names, record) : write_ip6(frame + len, &names, record);
	for (int i = how_often(fd); i > 0; i--)
		fin_send(fin, record->ifindex, frame, len);
}

static int map_fd(const struct fin *fin)
{
	return bpf_map__fd(fin->skel->maps.resoa_fin);
}

int fin_arm(struct fin *fin, int fd, bool listens)
{
	const struct resoa_fin record = { .state = RESOA_FIN_ARMED,
					  .asks = listens && fin->resoad->knocks };

	return bpf_map_update_elem(map_fd(fin), &fd, &record, BPF_ANY) ? -errno : 0;
}

void fin_open(struct fin *fin, struct sock *sock)
{
	struct resoa_fin record;
	bool held;

	held_remove(fin, sock);
	if (bpf_map_lookup_elem(map_fd(fin), &sock->fd, &record))
		return;
	held = record.state == RESOA_FIN_HELD_BACK;
	record.state = RESOA_FIN_OPEN;
	if (bpf_map_update_elem(map_fd(fin), &sock->fd, &record, BPF_ANY))
		log_debug("a gate cannot be opened: %s", strerror(errno));
	else if (held)
		inject(fin, sock->fd, &record);
}

void fin_forget(struct sock *sock)
{
	if (sock->held_ns)
		fin_open(sock->client->resoad->fin, sock);
}

const char *fin_state(const struct fin *fin, const struct sock *sock)
{
	static const char *const names[] = { "off", "armed", "held", "open" };
	struct resoa_fin record;

	if (!fin || sock->fd < 0 || bpf_map_lookup_elem(map_fd(fin), &sock->fd, &record) ||
	    record.state > RESOA_FIN_OPEN)
		return names[RESOA_FIN_OFF];
	return names[record.state];
}

/* ---- what the programs tell */

static void on_held(struct fin *fin, struct sock *sock, uint64_t at)
{
	if (sock->held_ns)
		return;
	held_add(fin, sock);
	tcp_fin(sock, at);
}

void fin_accepted(struct fin *fin, struct sock *sock)
{
	struct resoa_fin record;

	if (!bpf_map_lookup_elem(map_fd(fin), &sock->fd, &record) &&
	    record.state == RESOA_FIN_HELD_BACK)
		on_held(fin, sock, record.at);
}

static int on_event(void *arg, void *data, size_t len)
{
	const struct resoa_event *event = data;
	struct fin *fin = arg;
	struct sock *sock;

	if (len < sizeof(*event) || event->type != RESOA_EVENT_FIN || !event->cookie)
		return 0; /* not accepted yet: fin_accepted() sees it */
	sock = sock_of_cookie(fin->resoad, event->cookie);
	if (sock)
		on_held(fin, sock, event->number);
	return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct fin *fin = arg;

	(void)fd;
	(void)what;
	ring_buffer__consume(fin->ring);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fin *fin = arg;
	uint64_t now = resoad_now_ns(), limit = fin->resoad->settings->fin_s * NS_PER_S, rest;
	struct timeval next;

	(void)fd;
	(void)what;
	while (fin->oldest && now - fin->oldest->held_ns >= limit) {
		fin->timeouts++;
		fin_open(fin, fin->oldest);
	}
	if (!fin->oldest)
		return;
	rest = limit - (now - fin->oldest->held_ns);
	next = (struct timeval){ .tv_sec = rest / NS_PER_S, .tv_usec = rest % NS_PER_S / 1000 + 1 };
	evtimer_add(fin->timer, &next);
}

void fin_count(struct fin *fin, struct isthmus_count counts[RESOA_REASON_COUNT])
{
	int cpus = libbpf_num_possible_cpus();
	struct isthmus_count *value = cpus > 0 ? calloc(cpus, sizeof(*value)) : NULL;
	int map = bpf_map__fd(fin->skel->maps.resoa_stats);

	memset(counts, 0, RESOA_REASON_COUNT * sizeof(*counts));
	for (uint32_t i = 0; value && i < RESOA_REASON_COUNT; i++) {
		if (bpf_map_lookup_elem(map, &i, value))
			continue;
		for (int cpu = 0; cpu < cpus; cpu++) {
			counts[i].packets += value[cpu].packets;
			counts[i].bytes += value[cpu].bytes;
		}
	}
	counts[RESOA_FIN_TIMEOUT].packets = fin->timeouts;
	free(value);
}

/* ---- loading */

/* Only what the server needs: its two programs, and their maps. */
static struct resoa_bpf *load(void)
{
	struct resoa_bpf *skel = resoa_bpf__open();
	struct bpf_program *program;
	int err;

	if (!skel)
		return NULL;
	bpf_object__for_each_program(program, skel->obj)
		bpf_program__set_autoload(program, program == skel->progs.resoa_fin_in ||
							   program == skel->progs.resoa_fin_out);
	bpf_map__set_autocreate(skel->maps.resoa_held, false);
	bpf_map__set_autocreate(skel->maps.resoa_world, false);
	bpf_map__set_autocreate(skel->maps.resoa_port, false);
	bpf_map__set_autocreate(skel->maps.resoa_socket, false);
	bpf_map__set_autocreate(skel->maps.resoa_timeout, false);
	err = resoa_bpf__load(skel);
	if (!err)
		return skel;
	resoa_bpf__destroy(skel);
	errno = -err;
	return NULL;
}

static int filter_attach(unsigned int ifindex, enum bpf_tc_attach_point point, int program)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .handle = 1, .priority = FILTER_PRIO,
		    .flags = BPF_TC_F_REPLACE);
	int err = bpf_tc_hook_create(&hook);

	if (err && err != -EEXIST)
		return err;
	return bpf_tc_attach(&hook, &options);
}

static void filter_detach(unsigned int ifindex, enum bpf_tc_attach_point point)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = 1, .priority = FILTER_PRIO);

	bpf_tc_detach(&hook, &options);
}

static int attach_one(struct fin *fin, struct device *device, bool egress)
{
	int program = bpf_program__fd(egress ? fin->skel->progs.resoa_fin_out
					     : fin->skel->progs.resoa_fin_in);
	int link =
		bpf_link_create(program, device->ifindex, egress ? TCX_EGRESS : TCX_INGRESS, NULL);

	device->link[egress] = link < 0 ? -1 : link;
	if (link >= 0)
		return 0;
	return filter_attach(device->ifindex, egress ? BPF_TC_EGRESS : BPF_TC_INGRESS, program);
}

static int attach(struct fin *fin, const char *name)
{
	struct device *device = &fin->device[fin->devices];
	struct ifreq request = { 0 };
	int err;

	device->ifindex = if_nametoindex(name);
	if (!device->ifindex)
		return -errno;
	if (find_device(fin, device->ifindex))
		return 0;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fin->packet, SIOCGIFHWADDR, &request))
		return -errno;
	device->ethernet = request.ifr_hwaddr.sa_family == ARPHRD_ETHER ||
			   request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
	memcpy(device->mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
	device->link[0] = device->link[1] = -1;
	err = attach_one(fin, device, false);
	fin->devices++; /* what was done of it is undone by fin_free() */
	return err ? err : attach_one(fin, device, true);
}

static int attach_all(struct fin *fin, char *error, size_t error_len)
{
	const struct conf_list *names = &fin->resoad->settings->device;
	int err = attach(fin, "lo");

	for (unsigned int i = 0; i < names->count && !err; i++) {
		err = attach(fin, names->item[i]);
		if (err)
			snprintf(error, error_len, "device %s: %s", names->item[i], strerror(-err));
	}
	return err;
}

static int open_packet(void)
{
	const int mark = RESOA_FIN_MARK;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* receives nothing */
	int err;

	if (fd < 0)
		return -errno;
	if (!setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int start(struct fin *fin, char *error, size_t error_len)
{
	struct event_base *base = fin->resoad->base;

	fin->skel = load();
	if (!fin->skel)
		return -errno;
	fin->packet = open_packet();
	if (fin->packet < 0)
		return fin->packet;
	fin->ring = ring_buffer__new(bpf_map__fd(fin->skel->maps.resoa_event), on_event, fin, NULL);
	if (!fin->ring)
		return -errno;
	fin->readable = event_new(base, ring_buffer__epoll_fd(fin->ring), EV_READ | EV_PERSIST,
				  on_readable, fin);
	fin->timer = evtimer_new(base, on_timer, fin);
	if (!fin->readable || !fin->timer || event_add(fin->readable, NULL))
		return -ENOMEM;
	return attach_all(fin, error, error_len);
}

struct fin *fin_load(struct resoad *resoad, char *error, size_t error_len)
{
	struct fin *fin = calloc(1, sizeof(*fin));
	int err;

	snprintf(error, error_len, "out of memory");
	if (!fin)
		return NULL;
	fin->resoad = resoad;
	fin->packet = -1;
	error[0] = 0;
	err = start(fin, error, error_len);
	if (!err)
		return fin;
	if (!error[0])
		snprintf(error, error_len, "the programs for FINs cannot be loaded: %s",
			 strerror(-err));
	fin_free(fin);
	return NULL;
}

bool fin_needs_admin(const struct fin *fin)
{
	for (unsigned int i = 0; i < fin->devices; i++)
		if (fin->device[i].link[0] < 0)
			return true;
	return false;
}

static void detach(const struct device *device)
{
	for (int i = 0; i < 2; i++) {
		if (device->link[i] >= 0)
			close(device->link[i]);
		else
			filter_detach(device->ifindex, i ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	}
}

void fin_free(struct fin *fin)
{
	if (!fin)
		return;
	for (unsigned int i = 0; i < fin->devices; i++)
		detach(&fin->device[i]);
	if (fin->readable)
		event_free(fin->readable);
	if (fin->timer)
		event_free(fin->timer);
	ring_buffer__free(fin->ring);
	if (fin->packet >= 0)
		close(fin->packet);
	resoa_bpf__destroy(fin->skel);
	free(fin);
}
