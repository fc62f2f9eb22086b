/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * selftests/lib/assume.h - what the programs of selftests/assume/ share: result lines, namespaces
 * of their own, devices, raw packets, BPF objects.
 *
 * Each program proves kernel behaviour that a datapath relies on. It calls assume_begin() first and
 * returns assume_end(). Everything that must work for the proof to mean anything goes through
 * must(): it ends the program as failed, with the call's text.
 */
#ifndef ISTHMUS_SELFTESTS_ASSUME_H
#define ISTHMUS_SELFTESTS_ASSUME_H

#include <bpf/libbpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "selftests/lib/packet.h"

/* Loads NAME.bpf.o beside argv[0] if `bpf` is set; enters a new network namespace with `lo` up. */
void assume_begin(const char *program, bool bpf);
int assume_end(void);

/* One result line. `why` is printed after a failure; the result is returned. */
bool assume(bool holds, const char *name, const char *why, ...)
	__attribute__((format(printf, 3, 4)));
void assume_skip(const char *name, const char *reason);

#define must(call)                                                                                 \
	({                                                                                         \
		__typeof__(call) result_ = (call);                                                 \
		if (result_ < 0)                                                                   \
			assume_die(#call, __LINE__);                                               \
		result_;                                                                           \
	})
void assume_die(const char *call, int line) __attribute__((noreturn));

/* A shell command; it must succeed (run) or its status is returned (try). */
void assume_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
int assume_try(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The first line that a command prints; "" if none. */
const char *assume_read(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Milliseconds, times $SLOW on machines that are emulated. */
int assume_ms(int ms);
__u64 assume_now_ms(void);

/* A new namespace in /proc/PID/fd/N, usable by `ip ... netns` through assume_ns_name(). */
int assume_ns_new(void);
void assume_ns_enter(int ns);
const char *assume_ns_name(int ns);

/* A veth pair, both ends up: `here` in the current namespace, `there` in ns. */
void assume_veth(const char *here, const char *there, int ns);
void assume_mac(const char *dev, __u8 mac[6]);

/* Raw packets. Receiving sees only packets that came in; false after `ms` without one. */
int assume_packet_socket(const char *dev);
void assume_packet_send(int fd, const struct packet *packet);
bool assume_packet_receive(int fd, struct packet *packet, int ms);
int assume_tun(const char *name);

struct bpf_program *assume_program(const char *name);
int assume_map_fd(const char *name);
/* Copies the object's only variable section `name` (".bss", ".data") out or in. */
void assume_var_get(const char *name, void *value);
void assume_var_set(const char *name, const void *value);
/* Runs a tc program once on `packet` as if it came in by ifindex; returns its verdict. */
int assume_run_tc(const char *program, const struct packet *packet, int ifindex);
/* Clsact filter at ingress of `dev`. */
void assume_attach_tc(const char *program, const char *dev);

#endif
