// SPDX-License-Identifier: GPL-3.0-or-later
/* link: selftests/lib/assume.c selftests/lib/packet.c */
/*
 * What holding SYNs and FINs rests upon: a SYN that is taken at egress was sent, in TCP's mind; an
 * accepted socket has a copy of its listener's storage; a FIN counts among the bytes received.
 *
 *	here [e0] ── [e0] there
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftests/lib/assume.h"

#define PORT 7777
/* enum bpf_attach_type from 6.6, which older headers lack. */
#define TCX_EGRESS ((enum bpf_attach_type)47)

static int listener;

static struct sockaddr_in name_of(const char *text)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	must(inet_pton(AF_INET, text, &name.sin_addr) == 1 ? 0 : -1);
	return name;
}

static struct tcp_info info_of(int fd)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info;
}

static void topology(void)
{
	struct sockaddr_in any = name_of("0.0.0.0");
	int here = assume_ns_new(), there = assume_ns_new();

	assume_ns_enter(here);
	assume_veth("e0", "e0", there);
	assume_run("ip addr add 10.0.1.1/24 dev e0");
	assume_ns_enter(there);
	assume_run("ip addr add 10.0.1.2/24 dev e0");
	listener = must(socket(AF_INET, SOCK_STREAM, 0));
	must(bind(listener, (void *)&any, sizeof(any)));
	must(listen(listener, 8));
	assume_ns_enter(here);
}

static int connecting(void)
{
	struct sockaddr_in to = name_of("10.0.1.2");
	int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));

	must(connect(fd, (void *)&to, sizeof(to)) && errno != EINPROGRESS ? -1 : 0);
	return fd;
}

static bool connected(int fd, int ms)
{
	struct pollfd waits = { .fd = fd, .events = POLLOUT };

	return must(poll(&waits, 1, ms)) == 1;
}

static void attach(const char *program)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex("e0"),
			    .attach_point = BPF_TC_EGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, options,
			    .prog_fd = bpf_program__fd(assume_program(program)));

	assume_try("tc qdisc del dev e0 clsact");
	must(bpf_tc_hook_create(&hook));
	must(bpf_tc_attach(&hook, &options));
}

/* What TCP has made of a SYN that the program stopped: its congestion state. */
static int stopped(const char *program, bool *came)
{
	struct tcp_info info;
	int fd;

	attach(program);
	fd = connecting();
	*came = connected(fd, 200);
	info = info_of(fd);
	close(fd);
	return info.tcpi_ca_state;
}

static void check_taken(void)
{
	bool came;
	int state = stopped("take", &came);

	assume(!came && state == TCP_CA_Open, "a SYN that is taken was sent, in TCP's mind",
	       "came %d, congestion state %d", came, state);
	state = stopped("drop", &came);
	assume(!came && state == TCP_CA_CWR, "and one that is dropped reduces its window",
	       "came %d, congestion state %d", came, state);
	assume_run("tc qdisc del dev e0 clsact");
	state = connecting();
	assume(connected(state, assume_ms(500)), "without a program it connects", "it does not");
	close(state);
}

/* TCX knows this verdict no more: it passes. */
static void check_tcx(void)
{
	int program = bpf_program__fd(assume_program("take"));
	int link = bpf_link_create(program, if_nametoindex("e0"), TCX_EGRESS, NULL), fd;

	if (link < 0) {
		assume_skip("a TCX program cannot take", "no TCX (Linux 6.6)");
		return;
	}
	fd = connecting();
	assume(connected(fd, assume_ms(500)), "a TCX program cannot take", "it took the SYN");
	close(fd);
	close(link);
}

static __u64 kept(int fd)
{
	__u64 value = 0;

	return bpf_map_lookup_elem(assume_map_fd("kept"), &fd, &value) ? 0 : value;
}

static void keep(int fd, __u64 value)
{
	must(bpf_map_update_elem(assume_map_fd("kept"), &fd, &value, BPF_ANY));
}

static void drain(void)
{
	struct pollfd waits = { .fd = listener, .events = POLLIN };

	while (must(poll(&waits, 1, 50)) == 1)
		close(must(accept(listener, NULL, NULL)));
}

static void check_storage(void)
{
	int fd, first, second;

	drain();
	keep(listener, 7);
	fd = connecting();
	first = must(accept(listener, NULL, NULL));
	assume(kept(first) == 7, "an accepted socket has its listener's storage", "it has %llu",
	       kept(first));
	keep(first, 8);
	close(fd);
	fd = connecting();
	second = must(accept(listener, NULL, NULL));
	assume(kept(listener) == 7 && kept(first) == 8 && kept(second) == 7, "as a copy",
	       "%llu, %llu, %llu", kept(listener), kept(first), kept(second));
	close(first);
	close(second);
	close(fd);
}

/* Bytes received of a connection that was ended behind so many bytes, and of one that was not. */
static __u64 received(bool end)
{
	int fd = connecting(), other;
	__u64 bytes;

	must(connected(fd, assume_ms(500)) ? 0 : -1);
	other = must(accept(listener, NULL, NULL));
	must(send(fd, "0123456789", 10, 0));
	if (end)
		must(shutdown(fd, SHUT_WR));
	usleep(assume_ms(50) * 1000);
	bytes = info_of(other).tcpi_bytes_received;
	close(fd);
	close(other);
	return bytes;
}

int main(int argc, char **argv)
{
	__u64 open, ended;

	(void)argc;
	assume_begin(argv[0], true);
	topology();
	check_taken();
	check_tcx();
	check_storage();
	open = received(false);
	ended = received(true);
	assume(open == 10 && ended == 11, "a FIN is one among the bytes received", "%llu and %llu",
	       open, ended);
	close(listener);
	return assume_end();
}
