/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the parts of `flow` share: what was asked for, and the streams. */
#ifndef ISTHMUS_SELFTESTS_BENCH_FLOW_H
#define ISTHMUS_SELFTESTS_BENCH_FLOW_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define NS	   1000000000ULL
#define BUFFER	   (256 << 10) /* bytes of one send() or recv() at most */
#define STREAMS	   4096
#define SAMPLES	   (4 << 20) /* round trips that are kept for the percentiles */
#define UDP_HEADER 9	     /* type byte, 64-bit number */

enum role { SEND, RECV, ECHO, PING };
extern const char *const flow_roles[];

union endpoint {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct flow_options {
	bool udp, listen, verify, reset, bound;
	enum role role;
	union endpoint bind, remote;
	unsigned int streams, bind_step, port_step;
	double seconds, rate, timeout;
	uint64_t bytes, count, reply;
	size_t size;
};

enum state { WAITING, CONNECTING, OPEN, FINISHED, FAILED };

struct stream {
	int fd;
	unsigned int index;
	enum state state;
	bool shut, eof, reset;
	uint64_t sent, received, mismatches; /* bytes; bytes that are not the pattern's */
	uint64_t messages, lost, seen;	     /* sent or received; missing; highest number + 1 */
	uint64_t first_ns, last_ns;
	uint64_t due_ns; /* retry, hello or next ping */
	uint64_t ping_ns;
	size_t got;		  /* of the awaited answer */
	size_t echo_at, echo_len; /* what is still to be echoed */
	char *echo;
};

struct flow {
	struct stream streams[STREAMS];
	uint32_t *samples; /* round trips, ns */
	size_t sample_count;
	unsigned int pending; /* streams neither FINISHED nor FAILED */
	int poller, listener;
	uint64_t start_ns; /* all streams are open */
	int last_error;
};

extern struct flow_options opt;
extern struct flow flow;

uint64_t flow_now(void);
int flow_take_options(int argc, char **argv); /* 0 or -EINVAL */
void flow_usage(void);			      /* to stderr */
int flow_report(void);			      /* the exit code */

#endif
