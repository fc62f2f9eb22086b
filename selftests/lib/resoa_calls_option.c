// SPDX-License-Identifier: GPL-3.0-or-later
/* Cases: options. Those that work on the wire are looked for there. See resoa_calls.h. */
#include <netinet/tcp.h>
#include <sys/time.h>

#include "resoa_calls.h"

static void say_congestion(int fd)
{
	char name[32] = "";
	socklen_t len = sizeof(name);

	DO(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
	say("TCP_CONGESTION %s", name);
}

static void options_ip(int fd, int family)
{
	if (family == 4) {
		SAY_OPTION(fd, IPPROTO_IP, IP_TTL);
		SAY_OPTION(fd, IPPROTO_IP, IP_TOS);
		SAY_OPTION(fd, IPPROTO_IP, IP_MTU_DISCOVER);
		SAY_OPTION(fd, IPPROTO_IP, IP_MTU);
		SAY_OPTION(fd, IPPROTO_IP, IP_MULTICAST_TTL);
		SAY_OPTION(fd, IPPROTO_IP, IP_MULTICAST_LOOP);
		SAY_OPTION(fd, IPPROTO_IP, IP_RECVERR);
		return;
	}
	SAY_OPTION(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
	SAY_OPTION(fd, IPPROTO_IPV6, IPV6_TCLASS);
	SAY_OPTION(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER);
	SAY_OPTION(fd, IPPROTO_IPV6, IPV6_MTU);
	SAY_OPTION(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS);
	SAY_OPTION(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP);
	SAY_OPTION(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	SAY_OPTION(fd, IPPROTO_IPV6, IPV6_RECVERR);
}

static void options_general(int fd)
{
	SAY_OPTION(fd, SOL_SOCKET, SO_KEEPALIVE);
	SAY_OPTION(fd, SOL_SOCKET, SO_REUSEADDR);
	SAY_OPTION(fd, SOL_SOCKET, SO_REUSEPORT);
	SAY_OPTION(fd, SOL_SOCKET, SO_BROADCAST);
	SAY_OPTION(fd, SOL_SOCKET, SO_OOBINLINE);
	SAY_OPTION(fd, SOL_SOCKET, SO_SNDBUF);
	SAY_OPTION(fd, SOL_SOCKET, SO_RCVLOWAT);
	SAY_OPTION(fd, SOL_SOCKET, SO_PRIORITY);
	SAY_OPTION(fd, SOL_SOCKET, SO_MARK);
	SAY_OPTION(fd, SOL_SOCKET, SO_DONTROUTE);
	SAY_OPTION(fd, SOL_SOCKET, SO_TIMESTAMP);
	SAY_OPTION(fd, SOL_SOCKET, SO_DOMAIN);
}

/* As they are when nobody has set them. */
static void option_defaults(int family)
{
	int fd = tcp(family);

	options_general(fd);
	SAY_OPTION(fd, SOL_SOCKET, SO_RCVBUF);
	options_ip(fd, family);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_NODELAY);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_MAXSEG);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_KEEPIDLE);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_KEEPINTVL);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_KEEPCNT);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_SYNCNT);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_LINGER2);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_QUICKACK);
	say_congestion(fd);
	fd = udp(family);
	options_general(fd);
	options_ip(fd, family);
	SAY_OPTION(fd, SOL_SOCKET, SO_RCVBUF);
}

static void option_connected(int family)
{
	int fd = tcp_open(family);

	options_ip(fd, family);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_MAXSEG);
	SAY_OPTION(fd, SOL_SOCKET, SO_ERROR);
	SAY_OPTION(fd, SOL_SOCKET, SO_ACCEPTCONN);
}

static void set_all(int fd)
{
	SET_OPTION(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	SET_OPTION(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	SET_OPTION(fd, IPPROTO_TCP, TCP_KEEPIDLE, 100);
	SET_OPTION(fd, IPPROTO_TCP, TCP_KEEPINTVL, 20);
	SET_OPTION(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
	SET_OPTION(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 30000);
	SET_OPTION(fd, IPPROTO_TCP, TCP_SYNCNT, 3);
	SET_OPTION(fd, IPPROTO_TCP, TCP_LINGER2, 9);
	SET_OPTION(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
	SET_OPTION(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 5000);
	SET_OPTION(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 20000);
	SET_OPTION(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	SET_OPTION(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	SET_OPTION(fd, SOL_SOCKET, SO_SNDBUF, 20000);
	SET_OPTION(fd, SOL_SOCKET, SO_RCVBUF, 20000);
	SET_OPTION(fd, SOL_SOCKET, SO_RCVBUF, 1);
	SET_OPTION(fd, SOL_SOCKET, SO_SNDBUF, 1000000000);
	SET_OPTION(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	SET_OPTION(fd, SOL_SOCKET, SO_RCVLOWAT, 3);
	SET_OPTION(fd, SOL_SOCKET, SO_PRIORITY, 3);
	SET_OPTION(fd, SOL_SOCKET, SO_DONTROUTE, 1);
	SET_OPTION(fd, SOL_SOCKET, SO_DONTROUTE, 0);
}

static void option_set(int family)
{
	int fd = tcp(family), port = peer_port("tcp %d", family);

	set_all(fd);
	DO(connect_to(fd, peer_of(family), port));
	peer_accepts(fd);
	SAY_OPTION(fd, IPPROTO_TCP, TCP_NODELAY);
	SAY_OPTION(fd, SOL_SOCKET, SO_KEEPALIVE);
	DO(send(fd, "x", 1, 0));
	peer_say("read");
}

static void option_set_connected(int family)
{
	int fd = tcp_open(family);

	set_all(fd);
	DO(send(fd, "x", 1, 0));
	peer_say("read");
}

static void option_wrong(int family)
{
	int fd = tcp(family), value = 1;
	socklen_t len = sizeof(value);

	DO(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, 1));
	DO(setsockopt(fd, IPPROTO_TCP, 7777, &value, sizeof(value)));
	DO(setsockopt(fd, 7777, 1, &value, sizeof(value)));
	DO(setsockopt(fd, SOL_SOCKET, SO_TYPE, &value, sizeof(value)));
	DO(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){ 0 }, sizeof(int)));
	DO(setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){ 1000 }, sizeof(int)));
	DO(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &(int){ 1 }, sizeof(int)));
	DO(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nothing", 7));
	DO(setsockopt(fd, IPPROTO_IP, IP_TTL, &(int){ 256 }, sizeof(int)));
	DO(setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &(int){ 256 }, sizeof(int)));
	DO(setsockopt(udp(family), IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)));
	DO(getsockopt(fd, IPPROTO_TCP, 7777, &value, &len));
	DO(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, NULL));
	len = 1;
	DO(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len));
	say("length %d", (int)len);
}

/* The last of those that programs without privilege may choose, as the server's daemon is one. */
static const char *allowed_congestion(void)
{
	static char names[256];
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_allowed_congestion_control", "r");
	char *last;

	MUST(file && fgets(names, sizeof(names), file) ? 0 : -1);
	fclose(file);
	names[strcspn(names, "\n")] = 0;
	last = strrchr(names, ' ');
	return last ? last + 1 : names;
}

static void option_congestion(int family)
{
	int fd = tcp(family), port = peer_port("tcp %d", family);
	const char *other = allowed_congestion();

	DO(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	say_congestion(fd);
	DO(connect_to(fd, peer_of(family), port));
	say_congestion(fd);
	DO(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, other, strlen(other)));
	say_congestion(fd);
}

static void option_linger(int family)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 7 };
	socklen_t len = sizeof(linger);
	int fd = tcp(family);

	DO(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	linger = (struct linger){ 0 };
	DO(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len));
	say("SO_LINGER %d %d", linger.l_onoff, linger.l_linger);
	DO(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, 4));
}

static void option_times(int family)
{
	struct timeval time = { .tv_sec = 1, .tv_usec = 500000 };
	socklen_t len = sizeof(time);
	int fd = tcp(family);

	DO(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	DO(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &len));
	say("SO_RCVTIMEO %ld.%06ld", (long)time.tv_sec, (long)time.tv_usec);
	time.tv_usec = 1000000;
	DO(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)));
	DO(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, &len));
	say("SO_SNDTIMEO %ld.%06ld", (long)time.tv_sec, (long)time.tv_usec);
}

/* On the wire: the handshake's TTL and TOS, and the segments' size, at the peer. */
static void option_wire(int family)
{
	int fd = tcp(family), port = peer_port("tcp %d", family);

	if (family == 4) {
		SET_OPTION(fd, IPPROTO_IP, IP_TTL, 33);
		SET_OPTION(fd, IPPROTO_IP, IP_TOS, 0x28);
	} else {
		SET_OPTION(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 33);
		SET_OPTION(fd, IPPROTO_IPV6, IPV6_TCLASS, 0x28);
	}
	SET_OPTION(fd, IPPROTO_TCP, TCP_MAXSEG, 700);
	DO(connect_to(fd, peer_of(family), port));
	peer_accepts(fd);
	peer_say("pktoptions %d", family);
	peer_say("mss");
	SAY_OPTION(fd, IPPROTO_TCP, TCP_MAXSEG);
	fd = tcp_open(family);
	peer_say("pktoptions %d", family);
	peer_say("mss");
	SAY_OPTION(fd, IPPROTO_TCP, TCP_MAXSEG);
}

/* Of a listener: those that it accepts have it. */
static void option_wire_accepted(int family)
{
	int fd = tcp(family);

	if (family == 4)
		set(fd, IPPROTO_IP, IP_TTL, 44);
	else
		set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 44);
	set(fd, IPPROTO_TCP, TCP_MAXSEG, 800);
	MUST(bind_to(fd, any_of(family), 0));
	MUST(listen(fd, 3));
	peer_say("connect %s %d", own_of(family), port_of(fd));
	fd = MADE(accept(fd, NULL, NULL));
	peer_say("mss");
	SAY_OPTION(fd, IPPROTO_TCP, TCP_MAXSEG);
	options_ip(fd, family);
}

static void option_info(int family)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int fd = tcp(family);

	DO(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	say("state %d, all %d", info.tcpi_state, len == sizeof(info));
	fd = tcp_open(family);
	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	say("state %d, ca %d, retransmits %d, options %x, mss %u, pmtu %u", info.tcpi_state,
	    info.tcpi_ca_state, info.tcpi_retransmits, info.tcpi_options & 7, info.tcpi_snd_mss,
	    info.tcpi_pmtu);
	DO(send(fd, "12345", 5, 0));
	wait_acknowledged(fd);
	len = sizeof(info);
	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	say("unacked %u", info.tcpi_unacked);
	len = 4;
	DO(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	say("length %d", (int)len);
	DO(setsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, sizeof(info)));
}

static void option_lowat(int family)
{
	int fd = tcp_open(family);

	set(fd, SOL_SOCKET, SO_RCVLOWAT, 5);
	peer_say("send abc");
	wait_bytes(fd, 3);
	ready_after(fd, POLLIN, 100);
	peer_say("send de");
	ready(fd, POLLIN);
}

static void option_v6only(int family)
{
	int fd = tcp(6);

	(void)family;
	SET_OPTION(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	SET_OPTION(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	DO(bind_to(fd, "::", 0));
	SET_OPTION(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
}

/* An IPv6 socket becomes one of IPv4, as some programs want it. */
static void option_addrform(int family)
{
	int fd = tcp(6), port = peer_port("tcp 4");

	(void)family;
	MUST(connect_to(fd, "::ffff:198.51.100.2", port));
	SET_OPTION(fd, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET);
	say_local(fd);
	SAY_OPTION(fd, SOL_SOCKET, SO_DOMAIN);
	peer("accept");
	DO(send(fd, "formed", 6, 0));
	peer_say("read");
}

const struct calls_case calls_option[] = {
	{ "option_defaults", option_defaults, CALLS_BOTH },
	{ "option_connected", option_connected, CALLS_BOTH },
	{ "option_set", option_set, CALLS_BOTH },
	{ "option_set_connected", option_set_connected, CALLS_BOTH },
	{ "option_wrong", option_wrong, CALLS_BOTH },
	{ "option_congestion", option_congestion, CALLS_BOTH },
	{ "option_linger", option_linger, CALLS_BOTH },
	{ "option_times", option_times, CALLS_BOTH },
	{ "option_wire", option_wire, CALLS_BOTH },
	{ "option_wire_accepted", option_wire_accepted, CALLS_BOTH },
	{ "option_info", option_info, CALLS_BOTH },
	{ "option_lowat", option_lowat, CALLS_BOTH },
	{ "option_v6only", option_v6only, CALLS_6 },
	{ "option_addrform", option_addrform, CALLS_6 },
	{ 0 },
};
