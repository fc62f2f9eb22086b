// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/lib/dhcp_wire.c agents/lib/dhcp_client.c agents/lib/dhcp_client_send.c */
/* The client's states: what it says when, and which answers it believes (RFC 2131, figure 5; RFC
 * 7618). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agents/lib/dhcp_client.h"

#define SERVER 0x0a000001
#define OURS   0xc0000201

struct sent {
	unsigned int count;
	struct dhcp_message message;
	struct dhcp_frame_ends ends;
};

struct told {
	unsigned int bound, renewed, lost;
};

static struct sent sent;
static struct told told;
static const uint8_t server_mac[6] = { 2, 0, 0, 0, 0, 0x99 };

static void on_send(struct dhcp_client *c, struct dhcp_frame_ends *ends, const uint8_t *bytes,
		    size_t len)
{
	(void)c;
	assert_int_equal(dhcp_read(bytes, len, &sent.message), 0);
	sent.ends = *ends;
	sent.count++;
}

static void on_bound(struct dhcp_client *c, bool renewed)
{
	(void)c;
	told.bound += !renewed;
	told.renewed += renewed;
}

static void on_lost(struct dhcp_client *c, const char *why)
{
	(void)c;
	(void)why;
	told.lost++;
}

static uint32_t next_random = 1000;

static uint32_t on_random(void)
{
	return next_random += 1000;
}

static const struct dhcp_client_hooks hooks = { on_send, on_bound, on_lost, on_random };

static void start(struct dhcp_client *c)
{
	static const uint8_t duid[] = { 0, 3, 0, 1, 2, 0, 0, 0, 0, 1 };

	memset(c, 0, sizeof(*c));
	memset(&sent, 0, sizeof(sent));
	memset(&told, 0, sizeof(told));
	c->hooks = &hooks;
	c->select_ms = 500;
	memcpy(c->mac, "\2\0\0\0\0\1", 6);
	dhcp_client_make_id(c, 0x01020304, duid, sizeof(duid));
}

struct answer {
	enum dhcp_type type;
	uint32_t address, server, seconds;
	int psid; /* -1: no option 159 */
	uint8_t a, k;
	uint32_t giaddr;
};

static const struct answer good = { DHCP_OFFER, OURS, SERVER, 100, 52, 6, 8, 0 };

static void answer(struct dhcp_client *c, const struct answer *a, int64_t now)
{
	struct dhcp_head head = { .op = DHCP_BOOTREPLY,
				  .htype = 1,
				  .hlen = 6,
				  .xid = c->xid,
				  .yiaddr = a->address,
				  .giaddr = a->giaddr };
	struct portset set = { a->a, a->k, a->psid };
	uint8_t bytes[DHCP_BYTES_MAX];
	struct dhcp_message message;
	struct dhcp_writer w;
	int len;

	memcpy(head.chaddr, c->mac, 6);
	dhcp_start(&w, &head, a->type);
	dhcp_put_u32(&w, DHCP_OPT_SERVER, a->server);
	if (a->type != DHCP_NAK)
		dhcp_put_u32(&w, DHCP_OPT_LEASE_TIME, a->seconds);
	if (a->psid >= 0)
		dhcp_put_portset(&w, &set);
	len = dhcp_write(&w, bytes);
	assert_true(len > 0);
	assert_int_equal(dhcp_read(bytes, len, &message), 0);
	dhcp_client_message(c, &message, server_mac, now);
}

static void answer_as(struct dhcp_client *c, enum dhcp_type type, int64_t now)
{
	struct answer a = good;

	a.type = type;
	answer(c, &a, now);
}

static void assert_set(int psid)
{
	struct portset set;

	assert_int_equal(dhcp_get_portset(&sent.message, &set), 0);
	assert_int_equal(set.a, 6);
	assert_int_equal(set.k, 8);
	assert_int_equal(set.psid, psid);
}

static void assert_broadcast(void)
{
	assert_int_equal(sent.ends.src, 0);
	assert_int_equal(sent.ends.dst, ~0u);
	assert_memory_equal(sent.ends.dst_mac, "\xff\xff\xff\xff\xff\xff", 6);
	assert_int_equal(sent.ends.dport, 67);
}

/* Bound at 0 for 100 s. */
static void bind_client(struct dhcp_client *c)
{
	start(c);
	dhcp_client_start(c, -1000);
	dhcp_client_timer(c, -500);
	answer_as(c, DHCP_OFFER, -500);
	dhcp_client_timer(c, 0);
	answer_as(c, DHCP_ACK, 0);
	assert_int_equal(c->state, DHCP_CLIENT_BOUND);
}

static void test_discover(void **state)
{
	static const uint8_t id[] = { 255, 1, 2, 3, 4, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1 };
	struct dhcp_client c;
	struct portset set;
	size_t len;
	uint32_t value;

	(void)state;
	start(&c);
	dhcp_client_start(&c, 0);
	assert_in_range(c.next, 0, 999);
	dhcp_client_timer(&c, c.next);
	assert_int_equal(sent.count, 1);
	assert_int_equal(sent.message.type, DHCP_DISCOVER);
	assert_broadcast();
	assert_memory_equal(dhcp_get(&sent.message, DHCP_OPT_CLIENT_ID, &len), id, sizeof(id));
	assert_int_equal(len, sizeof(id));
	assert_true(dhcp_asks(&sent.message, DHCP_OPT_PORTPARAMS)); /* RFC 7618, 6.1: MUST */
	assert_false(dhcp_has(&sent.message, DHCP_OPT_PORTPARAMS));
	assert_int_equal(sent.message.head.ciaddr, 0);
	/* 4, 8, 16, 32, 64, 64 s, each a second more or less */
	for (int i = 0; i < 6; i++) {
		int64_t wait = c.next, now = wait;

		dhcp_client_timer(&c, now - 1);
		assert_int_equal(sent.count, 1 + i);
		dhcp_client_timer(&c, now);
		assert_int_equal(sent.count, 2 + i);
		wait = i < 3 ? 8000 << i : 64000;
		assert_in_range(c.next - now, wait - 1000, wait + 1000);
	}
	start(&c);
	c.size_hint = 5;
	dhcp_client_start(&c, 0);
	dhcp_client_timer(&c, 1000);
	assert_int_equal(dhcp_get_portset(&sent.message, &set), 0);
	assert_int_equal(set.k, 5);
	assert_int_equal(set.psid, 0);
	assert_false(dhcp_get_u32(&sent.message, DHCP_OPT_REQUESTED, &value));
}

static void test_selecting(void **state)
{
	struct answer full = { DHCP_OFFER, 0xc0000264, 0x0a000002, 100, -1, 0, 0, 0 };
	struct dhcp_client c;
	uint32_t value;

	(void)state;
	start(&c);
	dhcp_client_start(&c, 0);
	dhcp_client_timer(&c, 1000);
	answer_as(&c, DHCP_OFFER, 1100);
	assert_int_equal(c.next, 1600);
	dhcp_client_timer(&c, 1599);
	assert_int_equal(sent.count, 1);
	dhcp_client_timer(&c, 1600);
	assert_int_equal(sent.message.type, DHCP_REQUEST);
	assert_broadcast();
	assert_true(dhcp_get_u32(&sent.message, DHCP_OPT_REQUESTED, &value) && value == OURS);
	assert_true(dhcp_get_u32(&sent.message, DHCP_OPT_SERVER, &value) && value == SERVER);
	assert_set(52);
	answer(&c, &full, 1700); /* too late */
	assert_int_equal(c.state, DHCP_CLIENT_REQUESTING);
	answer_as(&c, DHCP_ACK, 2000);
	assert_int_equal(c.state, DHCP_CLIENT_BOUND);
	assert_int_equal(told.bound, 1);
	assert_int_equal(c.lease.t1, 52000);
	assert_int_equal(c.lease.t2, 89500 - 500);
	assert_int_equal(c.lease.expires, 102000);
	/* RFC 7618, 5: a full address is preferred, and not waited for */
	start(&c);
	dhcp_client_start(&c, 0);
	dhcp_client_timer(&c, 1000);
	answer_as(&c, DHCP_OFFER, 1100);
	answer(&c, &full, 1200);
	assert_int_equal(c.state, DHCP_CLIENT_REQUESTING);
	assert_true(dhcp_get_u32(&sent.message, DHCP_OPT_REQUESTED, &value) &&
		    value == full.address);
	assert_false(dhcp_has(&sent.message, DHCP_OPT_PORTPARAMS));
	full.type = DHCP_ACK;
	answer(&c, &full, 1300);
	assert_int_equal(c.state, DHCP_CLIENT_BOUND);
	assert_false(c.lease.shared);
}

/* An ACK that is not for what was offered: nothing is configured by it. */
static void test_believes(void **state)
{
	static const struct {
		const char *what;
		struct answer answer;
		bool good;
	} table[] = {
		{ "another set", { DHCP_ACK, OURS, SERVER, 100, 53, 6, 8, 0 }, false },
		{ "another size", { DHCP_ACK, OURS, SERVER, 100, 52, 6, 7, 0 }, false },
		{ "another offset", { DHCP_ACK, OURS, SERVER, 100, 52, 5, 8, 0 }, false },
		{ "no option 159", { DHCP_ACK, OURS, SERVER, 100, -1, 0, 0, 0 }, false },
		{ "another address", { DHCP_ACK, OURS + 1, SERVER, 100, 52, 6, 8, 0 }, false },
		{ "no time", { DHCP_ACK, OURS, SERVER, 0, 52, 6, 8, 0 }, false },
		{ "a loopback address", { DHCP_ACK, 0x7f000001, SERVER, 100, 52, 6, 8, 0 }, false },
		{ "a NAK of another server", { DHCP_NAK, 0, SERVER + 1, 0, -1, 0, 0, 0 }, false },
		{ "what was offered", { DHCP_ACK, OURS, SERVER, 100, 52, 6, 8, 0 }, true },
	};
	struct dhcp_client c;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		start(&c);
		dhcp_client_start(&c, 0);
		dhcp_client_timer(&c, 1000);
		answer_as(&c, DHCP_OFFER, 1000);
		dhcp_client_timer(&c, 1500);
		answer(&c, &table[i].answer, 1600);
		if ((c.state == DHCP_CLIENT_BOUND) != table[i].good || told.bound != table[i].good)
			fail_msg("%s: state %s", table[i].what, dhcp_client_state_word(c.state));
	}
}

static void test_renew(void **state)
{
	struct answer relayed = good;
	struct dhcp_client c;
	uint32_t value;

	(void)state;
	bind_client(&c);
	dhcp_client_timer(&c, 49999);
	assert_int_equal(sent.count, 2);
	dhcp_client_timer(&c, 50000);
	assert_int_equal(c.state, DHCP_CLIENT_RENEWING);
	assert_int_equal(sent.message.type, DHCP_REQUEST);
	assert_int_equal(sent.message.head.ciaddr, OURS);
	assert_false(dhcp_get_u32(&sent.message, DHCP_OPT_SERVER, &value));
	assert_false(dhcp_get_u32(&sent.message, DHCP_OPT_REQUESTED, &value));
	assert_set(52);
	/* to the server, but never from the shared address */
	assert_int_equal(sent.ends.src, 0);
	assert_int_equal(sent.ends.dst, SERVER);
	assert_memory_equal(sent.ends.dst_mac, server_mac, 6);
	answer_as(&c, DHCP_ACK, 51000);
	assert_int_equal(c.state, DHCP_CLIENT_BOUND);
	assert_int_equal(told.renewed, 1);
	assert_int_equal(c.next, 101000);
	dhcp_client_timer(&c, 101000);
	dhcp_client_timer(&c, c.next); /* T2 */
	assert_int_equal(c.state, DHCP_CLIENT_REBINDING);
	assert_int_equal(c.next, 151000);
	assert_broadcast();
	assert_set(52);
	relayed.type = DHCP_ACK;
	relayed.giaddr = 0xc00002fe;
	answer(&c, &relayed, 140000); /* another server may answer now, here through a relay */
	assert_int_equal(c.state, DHCP_CLIENT_BOUND);
	dhcp_client_timer(&c, 190000);
	assert_int_equal(c.state, DHCP_CLIENT_RENEWING);
	assert_broadcast(); /* its answer comes through the relay only if it asked through it */
	dhcp_client_timer(&c, c.next);
	dhcp_client_timer(&c, c.next);
	assert_int_equal(told.lost, 1);
	assert_int_equal(c.state, DHCP_CLIENT_INIT);
	dhcp_client_timer(&c, c.next);
	assert_int_equal(sent.message.type, DHCP_DISCOVER); /* the same again, if it can be */
	assert_true(dhcp_get_u32(&sent.message, DHCP_OPT_REQUESTED, &value) && value == OURS);
	assert_set(52);
}

static void test_nak_and_release(void **state)
{
	struct answer nak = { DHCP_NAK, 0, SERVER, 0, -1, 0, 0, 0 };
	struct dhcp_client c;
	uint32_t value;

	(void)state;
	bind_client(&c);
	answer(&c, &nak, 10000); /* not asked */
	assert_int_equal(c.state, DHCP_CLIENT_BOUND);
	dhcp_client_renew(&c, 20000);
	answer(&c, &nak, 20010);
	assert_int_equal(c.state, DHCP_CLIENT_INIT);
	assert_int_equal(told.lost, 1);
	dhcp_client_timer(&c, c.next);
	assert_false(dhcp_has(&sent.message, DHCP_OPT_PORTPARAMS));
	bind_client(&c);
	dhcp_client_release(&c, 30000);
	assert_int_equal(sent.message.type, DHCP_RELEASE);
	assert_int_equal(sent.message.head.ciaddr, OURS);
	assert_true(dhcp_get_u32(&sent.message, DHCP_OPT_SERVER, &value) && value == SERVER);
	assert_set(52);
	assert_int_equal(sent.ends.src, 0);
	assert_int_equal(told.lost, 1);
	assert_int_equal(c.state, DHCP_CLIENT_STOPPED);
}

static void assert_proxy_request(uint32_t ciaddr, bool requested)
{
	uint32_t value;

	assert_int_equal(sent.message.type, DHCP_REQUEST);
	assert_int_equal(sent.message.head.ciaddr, ciaddr);
	assert_int_equal(sent.message.head.flags, ciaddr ? 0 : DHCP_FLAG_BROADCAST);
	assert_int_equal(dhcp_get_u32(&sent.message, DHCP_OPT_REQUESTED, &value), requested);
	assert_true(!requested || value == OURS);
}

static void start_proxy(struct dhcp_client *c)
{
	start(c);
	c->proxy = c->whole = true;
	dhcp_client_make_mac_id(c);
	dhcp_client_start(c, 0);
	dhcp_client_timer(c, 1000);
}

/* For another station, and its whole address. */
static void test_proxy(void **state)
{
	struct answer whole = good, shared = good;
	struct dhcp_client c;
	const uint8_t *id;
	uint32_t value;
	size_t len;

	(void)state;
	whole.psid = -1;
	start_proxy(&c);
	assert_broadcast();
	assert_int_equal(sent.message.head.flags, DHCP_FLAG_BROADCAST);
	id = dhcp_get(&sent.message, DHCP_OPT_CLIENT_ID, &len);
	assert_int_equal(len, 7);
	assert_memory_equal(id, "\1\2\0\0\0\0\1", 7);
	assert_false(dhcp_asks(&sent.message, DHCP_OPT_PORTPARAMS));
	assert_false(dhcp_asks(&sent.message, DHCP_OPT_RANGES));
	assert_true(dhcp_asks(&sent.message, DHCP_OPT_T2));
	answer(&c, &shared, 1000);
	assert_int_equal(c.state, DHCP_CLIENT_SELECTING);
	answer(&c, &whole, 1000);
	assert_broadcast();
	assert_proxy_request(0, true);
	whole.type = DHCP_ACK;
	answer(&c, &whole, 2000);
	assert_int_equal(told.bound, 1);
	dhcp_client_timer(&c, 52000); /* T1: as RFC 2131 has it */
	assert_int_equal(c.state, DHCP_CLIENT_RENEWING);
	assert_int_equal(sent.ends.src, OURS);
	assert_int_equal(sent.ends.dst, SERVER);
	assert_proxy_request(OURS, false);
	dhcp_client_timer(&c, 90000); /* T2: an answer to `ciaddr` might go to the station */
	assert_int_equal(c.state, DHCP_CLIENT_REBINDING);
	assert_broadcast();
	assert_proxy_request(0, true);
	assert_false(dhcp_get_u32(&sent.message, DHCP_OPT_SERVER, &value));
	answer(&c, &whole, 91000);
	assert_int_equal(told.renewed, 1);
	dhcp_client_release(&c, 92000);
	assert_int_equal(sent.message.head.ciaddr, OURS);
	assert_int_equal(sent.message.head.flags, 0);
}

static void test_decline(void **state)
{
	struct dhcp_client c;
	unsigned int count;
	uint32_t value;

	(void)state;
	bind_client(&c);
	dhcp_client_decline(&c, 0);
	assert_int_equal(sent.message.type, DHCP_DECLINE);
	assert_broadcast();
	assert_int_equal(sent.message.head.ciaddr, 0);
	assert_true(dhcp_get_u32(&sent.message, DHCP_OPT_REQUESTED, &value) && value == OURS);
	assert_true(dhcp_get_u32(&sent.message, DHCP_OPT_SERVER, &value) && value == SERVER);
	assert_true(dhcp_has(&sent.message, DHCP_OPT_CLIENT_ID));
	assert_false(dhcp_has(&sent.message, DHCP_OPT_PARAMETERS)); /* RFC 2131, table 5 */
	assert_int_equal(told.lost, 0);
	count = sent.count;
	dhcp_client_timer(&c, 9999); /* 3.1, 5: ten seconds */
	assert_int_equal(sent.count, count);
	dhcp_client_timer(&c, 10000);
	assert_int_equal(sent.message.type, DHCP_DISCOVER);
	assert_false(dhcp_get_u32(&sent.message, DHCP_OPT_REQUESTED, &value));
}

/* INIT-REBOOT; without any answer the lease is used while it runs (RFC 2131, 3.2). */
static void test_reboot(void **state)
{
	struct answer nak = { DHCP_NAK, 0, SERVER, 0, -1, 0, 0, 0 };
	struct dhcp_client_lease lease;
	struct dhcp_client c;
	uint32_t value;

	(void)state;
	bind_client(&c);
	lease = c.lease;
	for (int i = 0; i < 4; i++) {
		start(&c);
		c.lease = lease;
		c.has_lease = true;
		dhcp_client_start(&c, i == 3 ? 100000 : 10000);
		if (i == 3) { /* over */
			assert_int_equal(c.state, DHCP_CLIENT_INIT);
			break;
		}
		assert_int_equal(sent.message.type, DHCP_REQUEST);
		assert_broadcast();
		assert_int_equal(sent.message.head.ciaddr, 0);
		assert_true(dhcp_get_u32(&sent.message, DHCP_OPT_REQUESTED, &value) &&
			    value == OURS);
		assert_false(dhcp_get_u32(&sent.message, DHCP_OPT_SERVER, &value));
		assert_set(52);
		if (i == 0) {
			answer_as(&c, DHCP_ACK, 11000);
			assert_int_equal(c.lease.expires, 111000);
		} else if (i == 1) {
			answer(&c, &nak, 11000);
			assert_int_equal(c.state, DHCP_CLIENT_INIT);
			assert_int_equal(told.lost, 0); /* was not in use yet */
			continue;
		} else {
			for (int n = 0; n < 3; n++)
				dhcp_client_timer(&c, c.next);
			assert_int_equal(sent.count, 3);
			assert_int_equal(c.lease.expires, 100000);
		}
		assert_int_equal(c.state, DHCP_CLIENT_BOUND);
		assert_int_equal(told.bound, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_discover),	cmocka_unit_test(test_selecting),
		cmocka_unit_test(test_believes),	cmocka_unit_test(test_renew),
		cmocka_unit_test(test_nak_and_release), cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_decline),		cmocka_unit_test(test_reboot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
