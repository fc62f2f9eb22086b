// SPDX-License-Identifier: GPL-3.0-or-later
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "../../maps/pin.h"
#include "address.h"
#include "auth.h"
#include "log.h"
#include "neighbour.h"
#include "tunnel_peers.h"
#include "tunnel_socket.h"

#define NS_PER_MS      1000000ULL
#define CONF_BYTES_MAX 1024
#define PACKETS_A_CALL 256
#define REFRESH_GAP_MS 50 /* at least, between two looks at all next hops */
#define REFRESH_SHARE  10 /* and so many times as long as the last one took */
#define VNI_TRIES      64
#define RECEIVE_BYTES  (1 << 20)

enum { MAP_CONF, MAP_PEER, MAP_KEY, MAP_WINDOW, MAP_COUNT };

struct tunnel_peers {
	struct tunnel_conf conf;
	struct tunnel_peers_options options;
	int fd[MAP_COUNT];
	struct tunnel_socket socket[TUNNEL_FROM]; /* one for each outer address, or one for all */
	uint16_t cpus;
	struct mnl_socket *query;
	struct neighbour_watch *watch;
	struct event *refresh;
	uint64_t refresh_after_ms;
	struct tunnel_peer peer[TUNNEL_PEERS]; /* as in the map */
};

static uint64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / NS_PER_MS;
}

/* ---- maps */

static int open_map(struct tunnel_peers *peers, int map, const char *name, size_t key, size_t value)
{
	char full[64];

	snprintf(full, sizeof(full), "%s_%s", peers->options.stem, name);
	peers->fd[map] =
		pin_open_map(peers->options.instance, peers->options.stem, full, key, value);
	return peers->fd[map] < 0 ? peers->fd[map] : 0;
}

static int open_maps(struct tunnel_peers *peers)
{
	int err = open_map(peers, MAP_CONF, "conf", 4, peers->options.conf_bytes);

	if (!err)
		err = open_map(peers, MAP_PEER, "peer", 4, sizeof(struct tunnel_peer));
	if (!err)
		err = open_map(peers, MAP_KEY, "key", 4, sizeof(struct tunnel_key));
	if (!err)
		err = open_map(peers, MAP_WINDOW, "window", sizeof(struct tunnel_window_key),
			       sizeof(struct tunnel_window));
	return err;
}

static int read_conf(struct tunnel_peers *peers)
{
	_Alignas(8) uint8_t bytes[CONF_BYTES_MAX];
	struct stat ns;
	__u32 zero = 0;

	if (peers->options.conf_bytes > sizeof(bytes) ||
	    bpf_map_lookup_elem(peers->fd[MAP_CONF], &zero, bytes))
		return -EIO;
	memcpy(&peers->conf, bytes, sizeof(peers->conf));
	if (peers->conf.abi != peers->options.abi || peers->conf.links > TUNNEL_LINKS)
		return -EPROTO;
	if (peers->conf.netns && !stat("/proc/self/ns/net", &ns) && peers->conf.netns != ns.st_ino)
		return -EXDEV;
	return 0;
}

static void read_peers(struct tunnel_peers *peers)
{
	for (__u32 i = 0; i < TUNNEL_PEERS; i++)
		if (bpf_map_lookup_elem(peers->fd[MAP_PEER], &i, &peers->peer[i]))
			return;
}

static int write_peer(struct tunnel_peers *peers, __u32 index)
{
	int err = bpf_map_update_elem(peers->fd[MAP_PEER], &index, &peers->peer[index], BPF_ANY);

	if (err)
		log_error("%s_peer %u cannot be written: %s", peers->options.stem, index,
			  strerror(-err));
	return err;
}

/* ---- next hops */

int tunnel_peers_device(struct tunnel_peers *peers, uint32_t ifindex, uint8_t mac[6], uint16_t *mtu)
{
	struct ifreq request = { 0 };

	if (!if_indextoname(ifindex, request.ifr_name))
		return -errno;
	if (ioctl(peers->socket[0].fd, SIOCGIFMTU, &request))
		return -errno;
	*mtu = request.ifr_mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)request.ifr_mtu;
	if (ioctl(peers->socket[0].fd, SIOCGIFHWADDR, &request))
		return -errno;
	if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return -EMEDIUMTYPE;
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	return 0;
}

/* Our outer address for a peer, or NULL: the kernel's choice. */
static const struct isthmus_addr *from_of(const struct tunnel_peers *peers,
					  const struct isthmus_addr *remote)
{
	for (unsigned int i = 0; i < peers->options.from_count; i++)
		if (address_is_v4(&peers->options.from[i]) == address_is_v4(remote))
			return &peers->options.from[i];
	return NULL;
}

/* Fills in how packets to peer->remote leave. A neighbour that is not known is asked for. */
static int resolve(struct tunnel_peers *peers, struct tunnel_peer *peer)
{
	const struct isthmus_addr *from;
	struct neighbour_route route;
	uint16_t mtu = 0;
	int err = neighbour_route(peers->query, &peer->remote, &route);

	if (!err)
		err = tunnel_peers_device(peers, route.ifindex, peer->src_mac, &mtu);
	if (err)
		return err;
	peer->ifindex = route.ifindex;
	peer->mtu = route.mtu && route.mtu < mtu ? route.mtu : mtu;
	from = from_of(peers, &peer->remote);
	peer->local = from ? *from : route.source;
	err = neighbour_find(peers->query, &route.hop, route.ifindex, peer->dst_mac);
	if (err)
		neighbour_use(peers->query, &route.hop, route.ifindex);
	return err;
}

/* One that cannot be reached now is sent to as before: the kernel looks for its neighbour. */
static void refresh_peer(struct tunnel_peers *peers, uint32_t index)
{
	struct tunnel_peer fresh = peers->peer[index];

	if (resolve(peers, &fresh) || !memcmp(&fresh, &peers->peer[index], sizeof(fresh)))
		return;
	peers->peer[index] = fresh;
	write_peer(peers, index);
}

static void on_refresh(evutil_socket_t fd, short what, void *arg)
{
	struct tunnel_peers *peers = arg;
	uint64_t began = now_ms(), took;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < TUNNEL_PEERS; i++)
		if (peers->peer[i].flags & TUNNEL_UP)
			refresh_peer(peers, i);
	if (peers->options.changed)
		peers->options.changed(peers->options.arg);
	took = now_ms() - began;
	peers->refresh_after_ms = began + took + REFRESH_GAP_MS + REFRESH_SHARE * took;
}

/* Many changes cost one look. */
static void on_change(const struct nlmsghdr *message, void *arg)
{
	struct tunnel_peers *peers = arg;
	uint64_t now = now_ms(), wait = REFRESH_GAP_MS;
	struct timeval later;

	(void)message;
	if (evtimer_pending(peers->refresh, NULL))
		return;
	if (now + wait < peers->refresh_after_ms)
		wait = peers->refresh_after_ms - now;
	later.tv_sec = (long)(wait / 1000);
	later.tv_usec = (long)(wait % 1000 * 1000);
	evtimer_add(peers->refresh, &later);
}

/* ---- the socket of control packets */

static int open_sockets(struct tunnel_peers *peers, struct event_base *base)
{
	const struct tunnel_peers_options *options = &peers->options;
	int err = 0;

	if (!options->from_count)
		return tunnel_socket_open(&peers->socket[0], base, NULL, peers->conf.port,
					  options->control, options->arg);
	for (unsigned int i = 0; i < options->from_count && !err; i++)
		err = tunnel_socket_open(&peers->socket[i], base, &options->from[i],
					 peers->conf.port, options->control, options->arg);
	return err;
}

int tunnel_peers_send(struct tunnel_peers *peers, const struct tunnel_place *to,
		      const uint8_t bytes[TUNNEL_CONTROL_BYTES])
{
	int err = -EAFNOSUPPORT;

	for (unsigned int i = 0; i < TUNNEL_FROM && err == -EAFNOSUPPORT; i++)
		err = tunnel_socket_send(&peers->socket[i], to, bytes);
	return err;
}

/* ---- keys */

uint32_t tunnel_peers_vni(struct tunnel_peers *peers)
{
	struct tunnel_key key;

	for (int i = 0; i < VNI_TRIES; i++) {
		__u32 vni;

		if (auth_random(&vni, sizeof(vni)))
			return 0;
		vni &= TUNNEL_VNI_MAX;
		if (vni && bpf_map_lookup_elem(peers->fd[MAP_KEY], &vni, &key))
			return vni;
	}
	return 0;
}

static void forget_key(struct tunnel_peers *peers, __u32 vni, uint16_t cpus)
{
	struct tunnel_window_key window = { .vni = vni };

	bpf_map_delete_elem(peers->fd[MAP_KEY], &vni);
	for (window.cpu = 0; window.cpu < cpus; window.cpu++)
		bpf_map_delete_elem(peers->fd[MAP_WINDOW], &window);
}

/* The words of SipHash's key are little-endian, wherever both ends are. */
static void key_words(const uint8_t bytes[16], __u64 words[2])
{
	memcpy(words, bytes, 16);
	words[0] = le64toh(words[0]);
	words[1] = le64toh(words[1]);
}

int tunnel_peers_take(struct tunnel_peers *peers, uint32_t index, uint32_t vni,
		      const uint8_t key[16], uint16_t cpus, uint8_t flags)
{
	struct tunnel_key record = { .peer = index, .cpus = cpus, .flags = flags };
	struct tunnel_window_key place = { .vni = vni };
	struct tunnel_window window;
	int err = 0;

	memset(&window, 0, sizeof(window));
	for (place.cpu = 0; place.cpu < cpus && !err; place.cpu++)
		err = bpf_map_update_elem(peers->fd[MAP_WINDOW], &place, &window, BPF_ANY);
	key_words(key, record.key);
	if (!err)
		err = bpf_map_update_elem(peers->fd[MAP_KEY], &vni, &record, BPF_NOEXIST);
	explicit_bzero(&record, sizeof(record));
	if (err)
		forget_key(peers, vni, cpus);
	return err;
}

/* Calls visit for each key; it may delete the one that it is given. */
static void each_key(struct tunnel_peers *peers,
		     void (*visit)(struct tunnel_peers *peers, __u32 vni, struct tunnel_key *key,
				   void *arg),
		     void *arg)
{
	struct tunnel_key key;
	__u32 vni, next;
	int rc = bpf_map_get_next_key(peers->fd[MAP_KEY], NULL, &next);

	for (int i = 0; i < 4 * TUNNEL_PEERS && !rc; i++) {
		vni = next;
		rc = bpf_map_get_next_key(peers->fd[MAP_KEY], &vni, &next);
		if (!bpf_map_lookup_elem(peers->fd[MAP_KEY], &vni, &key))
			visit(peers, vni, &key, arg);
	}
	explicit_bzero(&key, sizeof(key));
}

struct retiring {
	uint32_t index, keep[2];
	uint64_t until_ns; /* 0: now */
};

static void retire(struct tunnel_peers *peers, __u32 vni, struct tunnel_key *key, void *arg)
{
	const struct retiring *retiring = arg;

	if (key->peer != retiring->index || vni == retiring->keep[0] || vni == retiring->keep[1])
		return;
	if (!retiring->until_ns) {
		forget_key(peers, vni, key->cpus);
		return;
	}
	if (key->until_ns && key->until_ns <= retiring->until_ns)
		return;
	key->until_ns = retiring->until_ns;
	bpf_map_update_elem(peers->fd[MAP_KEY], &vni, key, BPF_EXIST);
}

void tunnel_peers_retire(struct tunnel_peers *peers, uint32_t index, uint32_t vni,
			 uint32_t other_vni, bool now)
{
	struct retiring retiring = { index, { vni, other_vni }, 0 };

	if (!now)
		retiring.until_ns = (now_ms() + TUNNEL_OLD_MS) * NS_PER_MS;
	each_key(peers, retire, &retiring);
}

static void drop_expired(struct tunnel_peers *peers, __u32 vni, struct tunnel_key *key, void *arg)
{
	const uint64_t *now_ns = arg;

	if (key->until_ns && key->until_ns < *now_ns)
		forget_key(peers, vni, key->cpus);
}

void tunnel_peers_tick(struct tunnel_peers *peers)
{
	uint64_t now_ns = now_ms() * NS_PER_MS;

	each_key(peers, drop_expired, &now_ns);
}

/* ---- records to seal by */

static int put_place(struct tunnel_peers *peers, uint32_t index, struct tunnel_peer *fresh)
{
	int err = resolve(peers, fresh);

	/* Without its neighbour's MAC it would go nowhere: it comes with the answer (on_change). */
	if (err && err != -ENOENT)
		log_warn("tunnel %u: no way to its other end now: %s", index, strerror(-err));
	fresh->flags |= TUNNEL_UP;
	peers->peer[index] = *fresh;
	if (err)
		on_change(NULL, peers);
	return write_peer(peers, index);
}

int tunnel_peers_use(struct tunnel_peers *peers, uint32_t index, const struct tunnel_place *place,
		     uint32_t vni, const uint8_t key[16], uint8_t flags)
{
	struct tunnel_peer fresh = {
		.remote = place->address,
		.remote_port = place->port,
		.local_port = peers->conf.port,
		.vni = vni,
		.flags = flags,
		.number = (uint8_t)(peers->peer[index].number + 1),
	};

	if (index >= TUNNEL_PEERS)
		return -EINVAL;
	key_words(key, fresh.key);
	return put_place(peers, index, &fresh);
}

int tunnel_peers_move(struct tunnel_peers *peers, uint32_t index, const struct tunnel_place *place)
{
	struct tunnel_peer *peer = &peers->peer[index], fresh = *peer;

	if (address_equal(&peer->remote, &place->address) && peer->remote_port == place->port)
		return 0;
	fresh.remote = place->address;
	fresh.remote_port = place->port;
	return put_place(peers, index, &fresh);
}

void tunnel_peers_down(struct tunnel_peers *peers, uint32_t index)
{
	if (!(peers->peer[index].flags & TUNNEL_UP))
		return;
	peers->peer[index].flags &= (uint8_t)~TUNNEL_UP;
	write_peer(peers, index);
}

bool tunnel_peers_is_up(const struct tunnel_peers *peers, uint32_t index)
{
	return index < TUNNEL_PEERS && peers->peer[index].flags & TUNNEL_UP;
}

/* ---- start and end */

const struct tunnel_conf *tunnel_peers_conf(const struct tunnel_peers *peers)
{
	return &peers->conf;
}

struct mnl_socket *tunnel_peers_query(struct tunnel_peers *peers)
{
	return peers->query;
}

uint16_t tunnel_peers_cpus(const struct tunnel_peers *peers)
{
	return peers->cpus;
}

static const char *explain(int err)
{
	switch (err) {
	case -ENOENT:
		return "it is not attached here";
	case -EPROTO:
		return "it is of another version: attach it again with --replace";
	case -EXDEV:
		return "it is attached in another network namespace";
	case -EADDRINUSE:
		return "another program has the tunnel's port";
	default:
		return strerror(-err);
	}
}

static int open_all(struct tunnel_peers *peers, struct event_base *base)
{
	int cpus = libbpf_num_possible_cpus(), err = open_maps(peers);

	if (!err)
		err = read_conf(peers);
	if (!err)
		err = open_sockets(peers, base);
	if (err)
		return err;
	peers->cpus = cpus > 0 && cpus <= TUNNEL_CPUS ? (uint16_t)cpus : TUNNEL_CPUS;
	read_peers(peers);
	peers->query = neighbour_query();
	if (!peers->query)
		return -errno;
	peers->refresh = evtimer_new(base, on_refresh, peers);
	if (!peers->refresh)
		return -ENOMEM;
	return neighbour_watch_new(base, on_change, peers, &peers->watch);
}

int tunnel_peers_new(struct event_base *base, const struct tunnel_peers_options *options,
		     struct tunnel_peers **result, char *error, size_t error_len)
{
	struct tunnel_peers *peers = calloc(1, sizeof(*peers));
	int err;

	if (!peers)
		return -ENOMEM;
	memset(peers->fd, -1, sizeof(peers->fd));
	for (int i = 0; i < TUNNEL_FROM; i++)
		peers->socket[i].fd = -1;
	peers->options = *options;
	err = open_all(peers, base);
	if (err) {
		snprintf(error, error_len, "the %s datapath: %s", options->stem, explain(err));
		tunnel_peers_free(peers);
		return err;
	}
	on_change(NULL, peers); /* what changed while no agent watched */
	*result = peers;
	return 0;
}

void tunnel_peers_free(struct tunnel_peers *peers)
{
	if (!peers)
		return;
	neighbour_watch_free(peers->watch);
	for (int i = 0; i < TUNNEL_FROM; i++)
		tunnel_socket_close(&peers->socket[i]);
	if (peers->refresh)
		event_free(peers->refresh);
	if (peers->query)
		mnl_socket_close(peers->query);
	for (int i = 0; i < MAP_COUNT; i++)
		if (peers->fd[i] >= 0)
			close(peers->fd[i]);
	explicit_bzero(peers, sizeof(*peers));
	free(peers);
}
