// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The packet socket of a device. Frames come by up to ETHER_BATCH with one system call, and what
 * they make due (an ACK, more packets) is done once for all of them; lhp_ether_out.c sends them.
 */
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include <event2/event.h>
#include <openssl/rand.h>

#include "lhp_ether.h"

#define RECEIVE_BYTES (32 << 20)
/* What may wait in the device's queue, of bytes: see limit_queue(). */
#define QUEUE_LEAST (75 << 10)
#define QUEUE_MOST  (2 << 20)
#define QUEUE_US    6000
#define RATE_US	    50000
#define ROUNDS	    4 /* batches until others of the loop have their turn */

/* From so many frames in so many us on, frames are waited for by time: see look_by_time(). */
#define BUSY_FRAMES 32
#define BUSY_US	    1000
#define PAUSE_NS    100000

struct ether_io {
	size_t frame_bytes;
	struct mmsghdr in[ETHER_BATCH];
	struct iovec in_part[ETHER_BATCH];
	uint8_t *in_bytes;
	uint8_t *one; /* to send, where a test takes the socket's place */
};

uint64_t ether_port_clock(struct ether_port *port)
{
	struct timespec now;

	if (port->clock)
		return port->now = port->clock(port);
	clock_gettime(CLOCK_MONOTONIC, &now);
	port->now = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	return port->now;
}

/* ---- connections by id */

static unsigned int bucket(const struct ether_port *port, uint32_t id)
{
	return id & (port->by_id_size - 1); /* ids are random */
}

struct ether *ether_port_find(struct ether_port *port, uint32_t id)
{
	struct ether *ether = port->by_id[bucket(port, id)];

	while (ether && ether->id != id)
		ether = ether->next_id;
	return ether;
}

int ether_port_add(struct ether_port *port, struct ether *ether)
{
	do {
		if (RAND_bytes((unsigned char *)&ether->id, sizeof(ether->id)) != 1)
			return -EIO;
	} while (!ether->id || ether_port_find(port, ether->id));
	ether->next_id = port->by_id[bucket(port, ether->id)];
	port->by_id[bucket(port, ether->id)] = ether;
	ether->next_all = port->all;
	port->all = ether;
	port->count++;
	return 0;
}

void ether_port_remove(struct ether_port *port, struct ether *ether)
{
	struct ether **at = &port->by_id[bucket(port, ether->id)];

	while (*at && *at != ether)
		at = &(*at)->next_id;
	if (!*at)
		return;
	*at = ether->next_id;
	for (at = &port->all; *at != ether;)
		at = &(*at)->next_all;
	*at = ether->next_all;
	port->count--;
}

/* ---- sending */

uint8_t *ether_port_frame(struct ether_port *port, const uint8_t to[ETHER_MAC_BYTES])
{
	uint8_t *frame = port->out ? ether_out_frame(port->out) : port->io->one;

	if (!frame) {
		port->full = true;
		ether_out_flush(port->out);
		return NULL;
	}
	memcpy(frame, to, ETHER_MAC_BYTES);
	memcpy(frame + ETHER_MAC_BYTES, port->mac, ETHER_MAC_BYTES);
	put16(frame + 2 * ETHER_MAC_BYTES, port->ethertype);
	return frame + ETHER_L2;
}

void ether_port_commit(struct ether_port *port, size_t len)
{
	if (!port->out) {
		port->transmit(port, port->io->one, ETHER_L2 + len);
		return;
	}
	ether_out_commit(port->out, ETHER_L2 + len);
	port->rate_bytes += ETHER_L2 + len;
	if (ether_out_kept(port->out) == ETHER_BATCH)
		ether_out_flush(port->out);
}

/*
 * TCP keeps little of its own in the queue of its device (tcp_limit_output_bytes, and more on a
 * path of short RTT), and who keeps more has a greater part of the link. With this much the LHP's
 * part beside one TCP flow is about a half, on links of 50, 300 and 1000 Mbit/s; with 2 MB it was
 * 0.8, with a fixed 170 KB 0.7, 0.5 and 0.25 (selftests/bench/lhp.sh).
 */
static void limit_queue(struct ether_port *port)
{
	uint64_t passed = port->now - port->rate_from, bytes;

	if (passed < RATE_US || !port->out)
		return;
	bytes = QUEUE_LEAST + port->rate_bytes * QUEUE_US / passed;
	if (bytes > QUEUE_MOST)
		bytes = QUEUE_MOST;
	port->rate_from = port->now;
	port->rate_bytes = 0;
	if (bytes > port->queue + port->queue / 8 || bytes < port->queue - port->queue / 8) {
		port->queue = bytes;
		ether_out_limit(port->out, bytes);
	}
}

void ether_port_flush(struct ether_port *port)
{
	limit_queue(port);
	if (port->out)
		ether_out_flush(port->out);
}

static void on_room(evutil_socket_t fd, short what, void *arg)
{
	struct ether_port *port = arg;
	eventfd_t count;

	(void)what;
	eventfd_read(fd, &count);
	port->full = false;
	port->users++;
	ether_port_clock(port);
	for (struct ether *ether = port->all; ether && !port->full; ether = ether->next_all)
		ether_later(ether);
	ether_port_turns(port);
	ether_port_release(port);
}

/* ---- receiving */

/* One of a listener's connections that is not known: a hint, and not often, so that a client of a
 * server that was started anew need not wait for silence. */
static void tell_gone(struct ether_port *port, const uint8_t *to, uint32_t id)
{
	struct ether_head head = { ETHER_GONE, 0, id };
	uint8_t *frame;

	port->refused.unknown++;
	if (!port->listener || port->now - port->gone_at < 10000)
		return;
	frame = ether_port_frame(port, to);
	if (!frame)
		return;
	port->gone_at = port->now;
	ether_write_head(&head, frame);
	ether_port_commit(port, ETHER_GONE_BYTES);
}

/* Anybody can say so: the connection is asked, and believed (lhp_ether.c). */
static void take_gone(struct ether_port *port, const uint8_t *from, uint32_t id)
{
	for (struct ether *ether = port->all; ether; ether = ether->next_all) {
		if (ether->peer_id != id || ether->hint || ether->state != ETHER_STANDS ||
		    memcmp(ether->peer, from, ETHER_MAC_BYTES))
			continue;
		ether->hint = port->now;
		ether->sender.ping = true;
		ether_later(ether);
	}
}

static void take_data(struct ether_port *port, const uint8_t *from, uint8_t *bytes,
		      const struct ether_head *head)
{
	struct ether *ether = ether_port_find(port, head->id);

	if (ether)
		ether_receive(ether, bytes, head);
	else
		tell_gone(port, from, head->id);
}

void ether_port_take(struct ether_port *port, uint8_t *frame, size_t len)
{
	const uint8_t *from = frame + ETHER_MAC_BYTES;
	uint8_t *bytes = frame + ETHER_L2;
	struct ether_head head;
	struct ether *ether;

	if (len < ETHER_L2 || ether_read_head(bytes, len - ETHER_L2, &head)) {
		port->refused.malformed++;
		return;
	}
	switch (head.type) {
	case ETHER_DATA:
		take_data(port, from, bytes, &head);
		return;
	case ETHER_HELLO:
		ether_accept_hello(port, from, bytes, len - ETHER_L2);
		return;
	case ETHER_OPEN:
		ether_accept_open(port, from, bytes, len - ETHER_L2);
		return;
	case ETHER_GONE:
		take_gone(port, from, head.id);
		return;
	default:
		ether = ether_port_find(port, head.id);
		if (ether && !memcmp(ether->peer, from, ETHER_MAC_BYTES))
			ether_connect_take(ether, bytes, len - ETHER_L2, head.type);
		else
			port->refused.handshakes++;
	}
}

static int take_batch(struct ether_port *port)
{
	struct ether_io *io = port->io;
	int count = recvmmsg(port->fd, io->in, ETHER_BATCH, MSG_DONTWAIT, NULL);

	ether_port_clock(port);
	for (int i = 0; i < count; i++) {
		if (io->in[i].msg_hdr.msg_flags & MSG_TRUNC)
			port->refused.malformed++;
		else
			ether_port_take(port, io->in_part[i].iov_base, io->in[i].msg_len);
	}
	ether_port_turns(port);
	return count;
}

static unsigned int take_batches(struct ether_port *port)
{
	unsigned int taken = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int count = take_batch(port);

		taken += count > 0 ? (unsigned int)count : 0;
		if (count < ETHER_BATCH)
			break;
	}
	return taken;
}

/* Many frames come: so many in the last time span. */
static bool is_busy(struct ether_port *port, unsigned int taken)
{
	bool busy;

	port->busy_count += taken;
	if (port->now - port->busy_from < BUSY_US)
		return false;
	busy = port->busy_count >= BUSY_FRAMES * (port->now - port->busy_from) / BUSY_US;
	port->busy_from = port->now;
	port->busy_count = 0;
	return busy;
}

/*
 * Waking up for each few frames costs both ends more than the frames do: the sender wakes, on its
 * own time, who then finds what has come so far and sleeps again. Where many come they are looked
 * for every PAUSE_NS instead, as a network card moderates its interrupts.
 */
static void look_by_time(struct ether_port *port, bool begins)
{
	const struct itimerspec pause = { .it_interval.tv_nsec = PAUSE_NS,
					  .it_value.tv_nsec = PAUSE_NS };

	if (port->pause_fd < 0 || port->by_time == begins)
		return;
	port->by_time = begins;
	if (begins) {
		event_del(port->readable);
		event_add(port->paused, NULL);
		timerfd_settime(port->pause_fd, 0, &pause, NULL);
	} else {
		event_del(port->paused);
		event_add(port->readable, NULL);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ether_port *port = arg;

	(void)fd;
	(void)what;
	port->users++;
	if (is_busy(port, take_batches(port)))
		look_by_time(port, true);
	ether_port_release(port);
}

static void on_pause(evutil_socket_t fd, short what, void *arg)
{
	struct ether_port *port = arg;
	uint64_t ticks;

	(void)what;
	port->users++;
	if (read(fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		look_by_time(port, false);
	port->busy_count += take_batches(port);
	if (port->now - port->busy_from >= BUSY_US && !is_busy(port, 0))
		look_by_time(port, false);
	ether_port_release(port);
}

/* ---- turns */

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct ether_port *port = arg;

	(void)fd;
	(void)what;
	port->users++;
	ether_port_clock(port);
	ether_port_turns(port);
	ether_port_release(port);
}

/* A turn may make another one due, of this or that connection: so many and no more. */
void ether_port_turns(struct ether_port *port)
{
	for (unsigned int i = 2 * port->count + 2; i && port->turns; i--) {
		struct ether *ether = port->turns;

		port->turns = ether->next_turn;
		ether->in_turn = false;
		ether_turn(ether);
	}
	ether_port_flush(port);
	if (port->turns && port->soon)
		event_active(port->soon, 0, 0);
}

void ether_later(struct ether *ether)
{
	struct ether_port *port = ether->port;

	if (ether->in_turn)
		return;
	if (!port->turns && port->soon)
		event_active(port->soon, 0, 0);
	ether->in_turn = true;
	ether->next_turn = port->turns;
	port->turns = ether;
}

/* ---- opening */

static void io_init(struct ether_port *port)
{
	struct ether_io *io = port->io;

	for (int i = 0; i < ETHER_BATCH; i++) {
		io->in_part[i] = (struct iovec){ io->in_bytes + (size_t)i * io->frame_bytes,
						 io->frame_bytes };
		io->in[i].msg_hdr.msg_iov = &io->in_part[i];
		io->in[i].msg_hdr.msg_iovlen = 1;
	}
}

struct ether_port *ether_port_new(unsigned int mtu)
{
	struct ether_port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->fd = port->pause_fd = -1;
	port->users = 1;
	port->mtu = mtu < ETHER_MTU_MAX ? mtu : ETHER_MTU_MAX;
	port->by_id_size = 256;
	port->by_id = calloc(port->by_id_size, sizeof(*port->by_id));
	port->io = calloc(1, sizeof(*port->io));
	if (port->io) {
		port->io->frame_bytes = (ETHER_L2 + port->mtu + 127) / 64 * 64;
		port->io->in_bytes = calloc(ETHER_BATCH, port->io->frame_bytes);
		port->io->one = calloc(1, port->io->frame_bytes);
	}
	if (port->by_id && port->io && port->io->in_bytes && port->io->one) {
		io_init(port);
		return port;
	}
	ether_port_release(port);
	return NULL;
}

void ether_port_release(struct ether_port *port)
{
	if (--port->users)
		return;
	if (port->readable)
		event_free(port->readable);
	if (port->room)
		event_free(port->room);
	if (port->soon)
		event_free(port->soon);
	if (port->paused)
		event_free(port->paused);
	ether_out_free(port->out);
	if (port->fd >= 0)
		close(port->fd);
	if (port->pause_fd >= 0)
		close(port->pause_fd);
	if (port->io) {
		free(port->io->in_bytes);
		free(port->io->one);
	}
	free(port->io);
	free(port->by_id);
	free(port);
}

/* Only what is sent to us, not what a device in promiscuous mode sees; and, of DATA and answers,
 * only what is for the connection `id` if it is not 0. */
int ether_port_filter(struct ether_port *port, uint32_t id)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 6),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ETHER_L2 + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, id, 3, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETHER_L2),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHER_GONE, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JA, id ? 1 : 0, 0, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	return setsockopt(port->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program))
		       ? -errno
		       : 0;
}

static void set_buffer(int fd)
{
	int bytes = RECEIVE_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

/* What the device is: 0 or a negative errno. */
static int look_at(int fd, const char *device, struct ifreq *ifr, unsigned int *ifindex,
		   unsigned int *mtu, uint8_t mac[ETHER_MAC_BYTES])
{
	memset(ifr, 0, sizeof(*ifr));
	strncpy(ifr->ifr_name, device, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCGIFINDEX, ifr))
		return -errno;
	*ifindex = (unsigned int)ifr->ifr_ifindex;
	if (ioctl(fd, SIOCGIFMTU, ifr))
		return -errno;
	*mtu = (unsigned int)ifr->ifr_mtu;
	if (ioctl(fd, SIOCGIFHWADDR, ifr))
		return -errno;
	memcpy(mac, ifr->ifr_hwaddr.sa_data, ETHER_MAC_BYTES);
	return ifr->ifr_hwaddr.sa_family == ARPHRD_ETHER && *mtu >= 576 ? 0 : -EPROTONOSUPPORT;
}

static int attach(struct ether_port *port, struct event_base *base, int fd)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htobe16(port->ethertype),
				       .sll_ifindex = (int)port->ifindex };
	int err;

	port->fd = fd;
	port->base = base;
	err = ether_port_filter(port, 0);
	if (err)
		return err;
	set_buffer(fd);
	port->out = ether_out_new(fd, port->io->frame_bytes);
	if (!port->out)
		return -ENOMEM;
	port->queue = QUEUE_LEAST;
	ether_out_limit(port->out, port->queue);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	port->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, port);
	port->room =
		event_new(base, ether_out_room_fd(port->out), EV_READ | EV_PERSIST, on_room, port);
	port->soon = event_new(base, -1, 0, on_soon, port);
	port->pause_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	port->paused = event_new(base, port->pause_fd, EV_READ | EV_PERSIST, on_pause, port);
	if (!port->readable || !port->room || !port->soon || !port->paused || port->pause_fd < 0 ||
	    event_add(port->readable, NULL) || event_add(port->room, NULL))
		return -ENOMEM;
	ether_port_clock(port);
	return 0;
}

struct ether_port *ether_port_open(struct event_base *base, const char *device, uint16_t ethertype,
				   char *error, size_t error_len)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;
	uint8_t mac[ETHER_MAC_BYTES];
	struct ether_port *port = NULL;
	unsigned int ifindex = 0, mtu = 0;
	struct ifreq ifr;

	err = fd < 0 ? -errno : look_at(fd, device, &ifr, &ifindex, &mtu, mac);
	if (!err && !(port = ether_port_new(mtu)))
		err = -ENOMEM;
	if (!err) {
		port->ifindex = ifindex;
		port->ethertype = ethertype;
		memcpy(port->mac, mac, ETHER_MAC_BYTES);
		snprintf(port->device, sizeof(port->device), "%s", device);
		err = attach(port, base, fd);
	}
	if (!err)
		return port;
	snprintf(error, error_len, "ether:%s: %s", device,
		 err == -EPROTONOSUPPORT ? "no Ethernet device" : strerror(-err));
	if (port)
		ether_port_release(port);
	else if (fd >= 0)
		close(fd);
	return NULL;
}
