/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/splice_model.h - what splice should do, in plain C.
 *
 * Written from maps/splice.h, the thesis and the RFCs, without a line of bpf/: checksums are sums
 * of the whole packet, addresses come from the session, not from a leg's record.
 */
#ifndef ISTHMUS_SELFTESTS_SPLICE_MODEL_H
#define ISTHMUS_SELFTESTS_SPLICE_MODEL_H

#include "selftests/lib/splice_fixture.h"

/*
 * A packet of a joined session, from that side, that packet_parse() understands. Writes what leaves
 * (`in` itself if it is not sent) and returns the reason.
 */
enum splice_reason splice_model_forward(const struct splice_session *session, int from,
					enum fixture_hook hook, const struct packet *in,
					struct packet *out);

/* What a SYN offers, or a SYNACK agrees to. */
struct splice_model_syn {
	__u32 isn;
	__u16 window;
	__u16 mss;   /* 0 = no option */
	__s8 wscale; /* -1 = no option */
	bool sack, ts, ecn;
	__u32 tsval, tsecr;
	__u32 ack; /* SYNACK only */
};

/* Writes the options in the order that Linux uses; returns their length, at most 40. */
int splice_model_options(const struct splice_model_syn *syn, char *options);

/* The SYN of one side, as it arrives. */
void splice_model_syn_packet(const struct splice_fixture *fx, const struct splice_session *session,
			     int side, const struct splice_model_syn *syn, struct packet *packet);

/* The SYNACK to `to`, made of what both offered (design, section 5: splice). */
void splice_model_synack(const struct splice_model_syn *to, const struct splice_model_syn *from,
			 struct splice_model_syn *synack);

/*
 * Takes a SYNACK apart. False, with a reason on stderr, unless it is well-formed in every byte:
 * addressed from the side's local endpoint to its remote one, both checksums good, options known,
 * each once, padded by NOPs or EOL, no data, no padding after it.
 */
bool splice_model_read_synack(const struct splice_session *session, int side,
			      const struct packet *packet, struct splice_model_syn *synack);

bool splice_model_same_syn(const struct splice_model_syn *got, const struct splice_model_syn *want);

/* Every byte is the same; prints where not. */
bool splice_model_same(const struct packet *got, const struct packet *want);

#endif
