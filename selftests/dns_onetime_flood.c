// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/dns/answer.c agents/dns/assigned.c agents/dns/bind.c agents/dns/bind_limit.c */
/* link: agents/dns/bind_send.c agents/dns/choose.c agents/dns/command.c agents/dns/control.c */
/* link: agents/dns/dynamic.c agents/dns/gateway.c agents/dns/give.c agents/dns/hold.c */
/* link: agents/dns/key.c agents/dns/key_control.c agents/dns/limit.c agents/dns/listen.c */
/* link: agents/dns/member.c agents/dns/member_command.c agents/dns/member_db.c */
/* link: agents/dns/member_names.c agents/dns/onetime.c agents/lib/prefix.c agents/dns/record.c */
/* link: agents/dns/rrl.c agents/dns/run.c agents/dns/secret.c agents/dns/settings.c */
/* link: agents/dns/sign.c agents/dns/sign_deny.c agents/dns/sign_wire.c agents/dns/stats.c */
/* link: agents/dns/store.c agents/dns/tcp.c agents/dns/udp.c agents/dns/waypoint.c */
/* link: agents/dns/wire.c agents/dns/zone.c agents/lib/address.c agents/lib/ask.c */
/* link: agents/lib/auth.c agents/lib/conf.c agents/lib/daemon.c agents/lib/log.c */
/* link: agents/lib/member.c agents/lib/member_join.c agents/lib/metrics.c agents/lib/msg.c */
/* link: agents/lib/msg_json.c agents/lib/msg_socket.c agents/lib/msg_tls.c agents/lib/setup.c */
/* link: agents/lib/setup_receive.c agents/lib/setup_send.c selftests/lib/dns_fixture.c */
/* link: selftests/lib/dns_onetime.c */
/*
 * Questions for one-time names from more sources than there are clients, and from one that asks too
 * often: nobody uses up addresses, and who is genuine is served.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/dns_onetime.h"

/* Each from an address of its own, forged for all the server knows. */
static void flood(unsigned int from, unsigned int count)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(53) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control;
	struct dns_question question;
	struct iovec vector;
	struct msghdr header = { .msg_name = &to,
				 .msg_namelen = sizeof(to),
				 .msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg;
	struct in_pktinfo info = { 0 };
	uint8_t drained[2048];

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memset(&control, 0, sizeof(control));
	cmsg = CMSG_FIRSTHDR(&header);
	cmsg->cmsg_level = IPPROTO_IP;
	cmsg->cmsg_type = IP_PKTINFO;
	cmsg->cmsg_len = CMSG_LEN(sizeof(info));
	dns_ask(&question, SSH, ns_t_aaaa);
	vector = (struct iovec){ question.bytes, question.len };
	for (unsigned int i = from; i < from + count; i++) {
		info.ipi_spec_dst.s_addr = htonl(0x7f100000 + i);
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
		if (sendmsg(fd, &header, 0) < 0)
			pass(1);
		while (recv(fd, drained, sizeof(drained), 0) > 0)
			;
		if (i % 64 == 0)
			pass(0);
	}
	close(fd);
}

/* By TCP, or with the cookie; asks again as any client does. */
static bool is_served(const char *address, const uint8_t *cookie)
{
	bool good = false;

	for (int i = 0; i < 3 && !good; i++)
		good = cookie ? client_ask_cookie(address, cookie) : client_ask_tcp(address);
	return good;
}

static void flood_does_not_exhaust(void **state)
{
	unsigned int served = 0, tries = 0;
	long long asked = server_count("asked"), proved = server_count("proven_first");
	long long memory = server_memory();
	uint64_t began = client_ms(), took;
	uint8_t cookie[24];

	(void)state;
	client_cookie(CLIENT, cookie);
	agent.answers = true;
	for (unsigned int i = 0; i < 100; i++) {
		flood(i * 1000, 1000);
		served += is_served("127.0.7.1", NULL);
		served += is_served(CLIENT, cookie);
		tries += 2;
	}
	took = client_ms() - began;
	print_message("100000 questions of 100000 sources in %u ms: %lld asked, %lld told to use "
		      "TCP; genuine: %u of %u\n",
		      (unsigned int)took, server_count("asked") - asked,
		      server_count("proven_first") - proved, served, tries);
	assert_int_equal(served, tries);
	assert_in_range(server_count("asked") - asked, 1000,
			1000 + 500 * (took / 1000 + 1) + tries);
	assert_true(server_count("proven_first") - proved > 50000);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
	assert_in_range(server_memory(), 0, memory + 8192);
#else
	(void)memory;
#endif
	/* One without proof is told how to get through, by an answer that is no longer than that.
	 */
	flood(0, 1500);
	assert_true(client_ask("127.0.6.1", SSH, ns_t_aaaa));
	assert_int_equal(reply->rcode, ns_r_noerror);
	assert_true(reply->tc);
	assert_int_equal(reply->len, 12 + strlen(SSH) + 2 + 4);
}

/* With an agent that says nothing no more are held than may be. */
static void flood_of_a_silent_agent(void **state)
{
	long long held, full;

	(void)state;
	pass(2500); /* the rate recovers */
	full = server_count("agent_full");
	flood(0, 1500);
	pass(300);
	flood(0, 1000);
	held = server_count("held");
	assert_in_range(held, 500, 1024);
	assert_true(server_count("agent_full") > full);
	pass(1200);
	assert_int_equal(server_count("held"), 0);
	agent.answers = true;
	assert_true(client_ask_tcp(CLIENT));
}

/* So many at once with a cookie; how many of them get an address. */
static unsigned int burst(const char *address, const uint8_t cookie[24], unsigned int count)
{
	unsigned int good = 0, answered = 0;
	struct dns_question question;
	int fd = client_open(address, 0);

	dns_ask(&question, SSH, ns_t_aaaa);
	dns_add_edns(&question, 1232, 0, false);
	dns_add_option(&question, OPTION_COOKIE, cookie, 24);
	for (unsigned int i = 0; i < count; i++) {
		question.bytes[0] = (uint8_t)(i >> 8);
		question.bytes[1] = (uint8_t)i;
		client_send(fd, &question);
		for (; i % 16 == 15 && answered <= i && client_receive(fd, SOON_MS); answered++)
			good += reply->rcode == ns_r_noerror && answers()[0];
	}
	close(fd);
	assert_int_equal(answered, count);
	return good;
}

/*
 * Before that time. The agent's rate, which is asked first, has room for one more each 2 ms: who is
 * late by so much after the flood is served from there, so it is tried again.
 */
static bool is_refused(const char *address, const uint8_t cookie[24], uint64_t until)
{
	bool tried = false;

	while (client_ms() < until) {
		tried = true;
		flood(0, 1000);
		if (!client_ask_cookie(address, cookie))
			return true;
	}
	return !tried; /* too late to tell */
}

/* Who asks for more than its share has to wait, and longer if it does not stop; others have not. */
static void greedy_network(void **state)
{
	long long limited = server_count("limited");
	uint8_t cookie[24], other[24];
	uint64_t began, took;
	unsigned int good;

	(void)state;
	client_cookie("127.0.5.1", cookie);
	client_cookie("127.0.4.1", other);
	agent.answers = true;
	flood(0, 2500); /* the agent's rate is used up */
	began = client_ms();
	good = burst("127.0.5.1", cookie, 3200);
	took = client_ms() - began;
	print_message("one network, 3200 in %u ms: %u\n", (unsigned int)took, good);
	assert_in_range(good, 400, 400 + (700 * took) / 1000 + 50);
	assert_int_equal(server_count("limited") - limited, 3200 - good);
	/* In debt: 400 at 200 a second. */
	assert_true(is_refused("127.0.5.1", cookie, began + took + 1500));
	assert_true(is_served("127.0.4.1", other));
	pass(4500);
	assert_true(is_served("127.0.5.1", cookie));
}

int main(void)
{
#define AGENT_TEST(name) cmocka_unit_test_setup_teardown(name, stub_start, stub_stop)
	const struct CMUnitTest tests[] = {
		AGENT_TEST(flood_does_not_exhaust),
		AGENT_TEST(greedy_network),
		AGENT_TEST(flood_of_a_silent_agent),
	};

	return cmocka_run_group_tests(tests, world_start, world_end);
}
