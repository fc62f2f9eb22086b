/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The Last Hop Protocol on raw Ethernet: what its files share. In small what QUIC is (RFC 9000 13,
 * RFC 9002): packets have numbers of their own that are never used twice, and hold frames; what was
 * lost goes again in a new packet.
 *
 *	lhp_ether.c         the provider: places, ops, life and end of a connection
 *	lhp_ether_port.c    the socket of a device: frames in and out, by many with one call
 *	lhp_ether_accept.c  handshakes of a listener     lhp_ether_connect.c  that of a client
 *	lhp_ether_key.c     keys, AEAD                   lhp_ether_shake.c, lhp_ether_frame.c: bytes
 *	lhp_ether_send.c    from messages to packets     lhp_ether_ack.c      from ACKs to losses
 *	lhp_ether_receive.c from packets to frames       lhp_ether_stream.c   from frames to
 *messages lhp_ether_congestion.c  RTT, CUBIC               lhp_ether_semi.c     semi-reliable
 *messages
 *
 *	 lhp_send() -> slots, a frame each -> queue -> packet in flight -> acknowledged: slots free
 *	                                       ^            |
 *	                                       +--- lost ---+
 *
 * All times are microseconds of CLOCK_MONOTONIC.
 */
#ifndef ISTHMUS_AGENTS_LHP_ETHER_H
#define ISTHMUS_AGENTS_LHP_ETHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lhp_ether_key.h"
#include "lhp_ether_out.h"
#include "lhp_ether_wire.h"
#include "lhp_internal.h"

#define ETHER_L2	 14
#define ETHER_MTU_MIN	 1200 /* what every path is taken to carry */
#define ETHER_MTU_MAX	 9000
#define ETHER_IN_FLIGHT	 8192
#define ETHER_SEEN_BITS	 16384	 /* packet numbers that are looked back */
#define ETHER_WINDOW	 4194304 /* bytes of messages that a receiver keeps out of order */
#define ETHER_FRAME_COST 64	 /* what a frame takes of it beside its bytes */
#define ETHER_AHEAD_MAX	 16384	 /* frames of one stream, out of order */
#define ETHER_SEMI_QUEUE (256 << 10)
#define ETHER_SEMI_SENDS 3
#define ETHER_SEMI_US	 100000
#define ETHER_SEMI_KEPT	 32 /* semi-reliable messages in parts */
#define ETHER_SEMI_SEEN	 4096
#define ETHER_PER_PACKET 64 /* frames */

#define ETHER_ACK_DELAY_US 1000
#define ETHER_PING_US	   5000000
#define ETHER_DEAD_US	   20000000
#define ETHER_GONE_US	   1000000 /* after a hint that the peer does not know us */
#define ETHER_FORGOTTEN_US 60000000

#define ETHER_NEVER UINT64_MAX

struct ether;
struct ether_port;

/* ---- lhp_ether_congestion.c */

#define ETHER_RECENT 8

struct ether_rtt {
	uint64_t latest, smoothed, variation, least; /* smoothed 0: not known yet */
	uint64_t recent[ETHER_RECENT];
	unsigned int recent_at;
};

/* RFC 9438, in bytes. */
struct ether_window {
	double window, threshold; /* cwnd, ssthresh */
	double before;		  /* W_max */
	double estimate;	  /* W_est: what Reno would have */
	double k;		  /* seconds until the window is `before` again */
	uint64_t epoch;		  /* when growth began, 0: not yet */
	uint64_t recovery;	  /* packets sent before belong to a loss that was answered */
	double lost_part;	  /* of the last hundred packets or so */
	double saved[4];	  /* of before the last answer: in case it was none */
	uint32_t unit;		  /* bytes of a full packet */
};

void ether_rtt_sample(struct ether_rtt *rtt, uint64_t sample, uint64_t ack_delay);
uint64_t ether_rtt_pto(const struct ether_rtt *rtt); /* without backoff */
uint64_t ether_rtt_loss(const struct ether_rtt *rtt, unsigned int slack);
void ether_window_init(struct ether_window *window, uint32_t unit);
/* `sent`: when the packet went that was acknowledged now. `full`: the window was in use. */
void ether_window_acked(struct ether_window *window, uint32_t bytes, uint64_t sent, uint64_t now,
			const struct ether_rtt *rtt, bool full);
/* Whether packets wait somewhere on the path. */
bool ether_rtt_queue(const struct ether_rtt *rtt);
/* True if the window was made smaller. */
bool ether_window_lost(struct ether_window *window, uint64_t sent, uint64_t now,
		       const struct ether_rtt *rtt);
void ether_window_undo(struct ether_window *window);
void ether_window_collapse(struct ether_window *window); /* RFC 9002 7.6 */
void ether_window_idle(struct ether_window *window);

/* ---- sending */

/* One frame as it is on the wire. In one queue, or in one packet in flight. */
struct ether_slot {
	struct ether_slot *next;
	uint64_t born;
	uint16_t len;
	uint8_t pool; /* where it goes back to */
	uint8_t semi; /* class */
	uint8_t sends;
	uint8_t bytes[];
};

struct ether_queue {
	struct ether_slot *head, **tail;
	size_t bytes;
};

enum ether_sent_state { ETHER_SENT_NONE, ETHER_IN_THE_AIR, ETHER_TAKEN_LOST };

struct ether_sent {
	uint64_t at;
	struct ether_slot *slots;
	uint16_t bytes;
	uint8_t state; /* enum ether_sent_state */
	uint8_t probe; /* of the path's MTU */
};

#define ETHER_POOLS 3

struct ether_sender {
	struct ether_sent *ring;  /* by number, ETHER_IN_FLIGHT of them */
	uint64_t next, oldest;	  /* numbers: of the next packet; none before is in the air */
	uint64_t largest_acked;	  /* + 1; 0: none */
	uint64_t last_eliciting;  /* when a packet went that asks for an ACK */
	uint64_t loss_at;	  /* when the next is taken as lost by time */
	size_t in_flight;	  /* bytes */
	unsigned int eliciting;	  /* packets in the air */
	unsigned int pto, probes; /* time-outs in a row; packets that may go beyond the window */
	unsigned int threshold;	  /* packets of reordering that are no loss; grows as it happens */
	unsigned int slack;	  /* the same in time: eighths of an RTT beside one */
	uint64_t spent, limit;	  /* cost of MESSAGEs sent, and that the peer allows */
	struct ether_queue lost, semi, fresh;
	struct ether_slot *spare[ETHER_POOLS];
	bool blocked; /* lhp_room() was false */
	bool ping;    /* one is due */
	uint32_t semi_next;
	unsigned int mtu, mtu_probe, mtu_tries; /* of Ethernet payload; 0: nothing to probe */
	bool mtu_in_air;
	unsigned int large_lost; /* packets greater than ETHER_MTU_MIN, one after the other */
	uint64_t large_acked;	 /* when one had come */
	bool full;		 /* something waited for the window when packets were sent last */
	bool lost_any;
	uint64_t lost_last;   /* number */
	unsigned int episode; /* packets lost since the window was made smaller */
	uint64_t spurious;    /* that were only late */
};

/* ---- receiving */

struct ether_piece {
	struct ether_piece *next;
	uint16_t len;
	uint16_t parts; /* that have not come, one bit for each */
	uint8_t flags;
	uint8_t count; /* of parts; 0: it came whole */
	uint8_t bytes[];
};

struct ether_stream {
	struct ether_stream *chain;
	uint32_t id;
	uint32_t send_next, receive_next, final;
	bool forgotten, has_final; /* by us; by the peer, whose frames end before `final` */
	bool in_message, delivering;
	uint32_t ahead, ring_size; /* pieces out of order; of ring, a power of two */
	struct ether_piece **ring; /* by sequence */
	uint8_t *message;	   /* what has come of one in parts */
	size_t message_len, message_size;
	uint64_t message_cost; /* counts as delivered with its last frame */
};

/* Ids of streams that have ended, so that a late copy of a frame does not begin one anew. */
struct ether_ended {
	uint32_t *ids[2]; /* open hash, 0 is empty: of this minute and of the last one */
	unsigned int size[2], used[2];
	uint64_t turned;
};

struct ether_semi {
	uint32_t id, stream;
	uint16_t count, have;
	uint64_t born;
	struct ether_piece **pieces;
};

struct ether_receiver {
	uint64_t seen[ETHER_SEEN_BITS / 64];
	uint64_t largest; /* + 1; 0: none */
	uint64_t largest_at;
	uint64_t ack_at; /* ETHER_NEVER: none is due */
	unsigned int pending, stride;
	bool ack_now;
	uint64_t rate_from; /* since when rate_count packets have come */
	unsigned int rate_count;
	uint64_t taken, given; /* cost of MESSAGEs: that came, that were delivered */
	struct ether_stream **streams;
	unsigned int streams_size, streams_used;
	struct ether_ended ended;
	struct ether_piece *spare;
	unsigned int spares;
	uint8_t *spare_message;
	struct ether_semi semi[ETHER_SEMI_KEPT];
	uint64_t semi_seen[ETHER_SEMI_SEEN / 64];
	uint32_t semi_largest;
	bool semi_any;
};

/* ---- a connection */

enum ether_state {
	ETHER_ASKING,  /* client: HELLO was sent */
	ETHER_OPENING, /* client: OPEN was sent; server: ANSWER was */
	ETHER_PROVING, /* client: has the keys, the server has not shown that it has the proof */
	ETHER_STANDS,
	ETHER_OVER, /* closed() is due, or it was freed in a callback */
};

struct ether {
	struct lhp lhp; /* first */
	struct ether_port *port;
	struct ether *next_id, *next_all, *next_turn;
	uint8_t state; /* enum ether_state */
	bool server, in_turn, freed, accepted, over_there;
	unsigned int busy; /* callbacks that run */
	uint8_t peer[ETHER_MAC_BYTES];
	uint32_t id, peer_id; /* under which we receive; the peer does */
	struct lhp_identity identity;
	struct ether_open open; /* the client's half; the server's keeps nonce and id */
	uint8_t private[ETHER_POINT];
	uint8_t packet[ETHER_OPEN_BYTES]; /* of the handshake: repeated */
	size_t packet_len;
	uint64_t begun, repeat_at, repeat_after;
	unsigned int repeats;
	bool counted; /* among the listener's that are not proved */
	struct ether_keys out, in;
	struct ether_sender sender;
	struct ether_receiver receiver;
	struct ether_rtt rtt;
	struct ether_window window;
	uint64_t heard,
		hint;	/* when something valid came; since when the peer seems not to know us */
	uint64_t armed; /* for when the timer is set */
	void *timer;	/* struct event */
	int timer_fd;
	char why[128];
};

/* ---- lhp_ether_port.c */

struct ether_refused {
	uint64_t malformed, unknown, forged, replayed, late, handshakes, beyond;
};

struct ether_listener;

struct ether_port {
	unsigned int users; /* listener and connections */
	struct event_base *base;
	int fd;
	unsigned int ifindex;
	char device[16];
	uint16_t ethertype;
	unsigned int mtu; /* of the device, at most ETHER_MTU_MAX */
	uint8_t mac[ETHER_MAC_BYTES];
	uint64_t now; /* of this turn */
	struct ether **by_id;
	unsigned int by_id_size, count;
	struct ether *all, *turns;
	struct ether_listener *listener; /* NULL: none */
	struct ether_refused refused;
	uint64_t gone_at;	      /* when the last GONE was sent */
	struct ether_out *out;	      /* frames to send; NULL in a test */
	bool full;		      /* it had no room for one */
	void *readable, *room, *soon; /* struct event */
	/* How much of it may wait in the device's queue, by how much goes. */
	uint64_t queue, rate_from, rate_bytes;
	/* Frames are looked for by time, while many come. */
	bool by_time;
	int pause_fd;
	void *paused;	    /* struct event */
	uint64_t busy_from; /* since when busy_count frames have come */
	unsigned int busy_count;
	struct ether_io *io;
	/* What a test puts in the place of clock and socket; NULL: these. */
	uint64_t (*clock)(struct ether_port *port);
	void (*transmit)(struct ether_port *port, const uint8_t *frame, size_t len);
};

struct ether_port *ether_port_open(struct event_base *base, const char *device, uint16_t ethertype,
				   char *error, size_t error_len);
struct ether_port *ether_port_new(unsigned int mtu); /* without a socket */
void ether_port_release(struct ether_port *port);
uint64_t ether_port_clock(struct ether_port *port); /* sets `now` */
/* Room for one more frame behind an Ethernet header to `to`; NULL: none, until full is false. */
uint8_t *ether_port_frame(struct ether_port *port, const uint8_t to[ETHER_MAC_BYTES]);
void ether_port_commit(struct ether_port *port, size_t len); /* of what follows that header */
void ether_port_flush(struct ether_port *port);
/* One frame that came, with its Ethernet header. `bytes` are changed. */
void ether_port_take(struct ether_port *port, uint8_t *bytes, size_t len);
/* After some frames: what they made due. */
void ether_port_turns(struct ether_port *port);
struct ether *ether_port_find(struct ether_port *port, uint32_t id);
int ether_port_add(struct ether_port *port, struct ether *ether); /* gives it its id */
void ether_port_remove(struct ether_port *port, struct ether *ether);
/* Frames for one connection only. */
int ether_port_filter(struct ether_port *port, uint32_t id);

/* ---- lhp_ether.c */
struct ether *ether_new(struct ether_port *port, bool server);
/* Its end: closed() comes from the loop, not from inside. */
void ether_fail(struct ether *ether, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ether_name_peer(struct ether *ether);
/* closed(), and it is gone: not from inside one of its callbacks. */
void ether_end(struct ether *ether);
void ether_stands(struct ether *ether); /* opened() */
void ether_turn(struct ether *ether);	/* what is due now: ACKs, packets; and when the next is */
void ether_later(struct ether *ether);	/* a turn at the end of this turn of the loop */
void ether_message(struct ether *ether, uint32_t stream, const uint8_t *bytes, size_t len);
uint64_t ether_due(const struct ether *ether);
void ether_timeout(struct ether *ether); /* a time of ether_due() has come */

/* ---- lhp_ether_connect.c, lhp_ether_accept.c */
int ether_connect_start(struct ether *ether, const struct lhp_identity *identity);
void ether_connect_take(struct ether *ether, const uint8_t *bytes, size_t len, uint8_t type);
void ether_repeat(struct ether *ether); /* the handshake's last packet */
void ether_accept_hello(struct ether_port *port, const uint8_t *from, const uint8_t *bytes,
			size_t len);
void ether_accept_open(struct ether_port *port, const uint8_t *from, const uint8_t *bytes,
		       size_t len);
void ether_accept_proved(struct ether *ether);

struct ether_listener {
	struct lhp_listener lhp; /* first */
	struct ether_port *port;
	uint8_t secret[2][ETHER_HASH]; /* of cookies: this one's and the last */
	uint64_t secret_at;
	unsigned int opening; /* handshakes that wait for their proof */
};

int ether_listener_init(struct ether_listener *listener, struct ether_port *port);

/* ---- lhp_ether_send.c */
int ether_sender_init(struct ether *ether);
void ether_sender_free(struct ether *ether);
int ether_send_message(struct ether *ether, uint32_t stream, const struct iovec *parts, int count,
		       size_t len);
int ether_send_semi(struct ether *ether, uint32_t stream, const struct iovec *parts, int count,
		    size_t len);
int ether_send_forget(struct ether *ether, uint32_t stream, uint32_t final);
void ether_send_close(struct ether *ether, const char *why);
void ether_send_packets(struct ether *ether);	 /* as many as may go now */
size_t ether_payload(const struct ether *ether); /* bytes of a message in one packet */
struct ether_slot *ether_slot_new(struct ether *ether, size_t len);
void ether_slot_free(struct ether *ether, struct ether_slot *slot);
void ether_queue_init(struct ether_queue *queue);
void ether_queue_add(struct ether_queue *queue, struct ether_slot *slot);
struct ether_slot *ether_queue_take(struct ether_queue *queue);

/* ---- lhp_ether_ack.c */
int ether_acked(struct ether *ether, const struct ether_frame *ack);
void ether_detect_losses(struct ether *ether);
uint64_t ether_ack_due(const struct ether *ether); /* loss by time, or PTO */
void ether_pto(struct ether *ether);

/* ---- lhp_ether_receive.c */
int ether_receiver_init(struct ether *ether);
void ether_receiver_free(struct ether *ether);
/* One DATA packet, from its head on. */
void ether_receive(struct ether *ether, uint8_t *bytes, const struct ether_head *head);
/* The ACK that is due: its bytes, 0 if none is. `body` has room for ETHER_RANGES. */
size_t ether_make_ack(struct ether *ether, uint8_t *bytes, bool wanted);
void ether_ack_turn(struct ether *ether); /* after some packets: is one due now? */

/* ---- lhp_ether_stream.c: 0; -ENOBUFS: no room, the packet is as if it had not come; -EPROTO */
int ether_stream_frame(struct ether *ether, const struct ether_frame *frame);
int ether_stream_final(struct ether *ether, const struct ether_frame *frame);
struct ether_stream *ether_stream_get(struct ether *ether, uint32_t id); /* NULL: none, or ended */
void ether_stream_check(struct ether *ether, struct ether_stream *stream); /* frees an ended one */
void ether_streams_free(struct ether *ether);
struct ether_piece *ether_piece_new(struct ether *ether, const struct ether_frame *frame);
void ether_piece_free(struct ether *ether, struct ether_piece *piece);

/* ---- lhp_ether_semi.c */
int ether_semi_frame(struct ether *ether, const struct ether_frame *frame);
void ether_semi_free(struct ether *ether);

#endif
