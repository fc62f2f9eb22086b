// SPDX-License-Identifier: GPL-3.0-or-later
#include "lhp_ends.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct ends ends;

/* ---- messages that are numbers' functions */

static uint32_t mix(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x7feb352d;
	x ^= x >> 15;
	x *= 0x846ca68b;
	return x ^ x >> 16;
}

/* Mostly short, some that fill a record, some of any length, the longest and the empty one. */
static size_t length_of(uint32_t seed, uint32_t stream, uint32_t number)
{
	uint32_t x = mix(seed ^ mix(stream << 20 ^ number));

	switch (x % 32) {
	case 0:
		return 0;
	case 1:
		return LHP_MESSAGE_MAX;
	case 2:
	case 3:
		return mix(x) % (LHP_MESSAGE_MAX + 1);
	case 4:
	case 5:
	case 6:
	case 7:
		return 16384 - 8;
	default:
		return mix(x) % 300;
	}
}

static void fill(uint8_t *bytes, size_t len, uint32_t seed, uint32_t stream, uint32_t number)
{
	uint32_t x = mix(seed ^ mix(stream << 20 ^ number)) | 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = x >> 24;
	}
}

int end_send(struct end *end, uint32_t stream, enum lhp_class class, const void *bytes, size_t len)
{
	const struct iovec part = { (void *)bytes, len };
	int rc;

	end->sending = true;
	rc = lhp_send(end->lhp, stream, class, &part, 1);
	end->sending = false;
	return rc;
}

static void send_numbered(struct end *end)
{
	static uint8_t bytes[LHP_MESSAGE_MAX];
	uint32_t stream = mix(end->sent ^ end->seed) % ENDS_STREAMS;
	uint32_t number = end->next_out[stream]++;
	size_t len = length_of(end->seed, stream, number), cut = len / 3;
	struct iovec parts[3];

	fill(bytes, len, end->seed, stream, number);
	parts[0] = (struct iovec){ bytes, cut };
	parts[1] = (struct iovec){ bytes + cut, 0 };
	parts[2] = (struct iovec){ bytes + cut, len - cut };
	end->sending = true;
	assert_int_equal(lhp_send(end->lhp, stream, LHP_RELIABLE, parts, 3), 0);
	end->sending = false;
	end->sent++;
}

void end_pump(struct end *end)
{
	while (end->sent < end->to_send && end->lhp && lhp_room(end->lhp))
		send_numbered(end);
}

static void check_numbered(struct end *end, uint32_t stream, const uint8_t *bytes, size_t len)
{
	static uint8_t wanted[LHP_MESSAGE_MAX];
	const struct end *from = end == &ends.client ? &ends.server : &ends.client;
	uint32_t number;

	assert_true(stream < ENDS_STREAMS);
	number = end->next_in[stream]++;
	assert_int_equal(len, length_of(from->seed, stream, number));
	fill(wanted, len, from->seed, stream, number);
	assert_memory_equal(bytes, wanted, len);
}

/* ---- handlers */

static void on_opened(struct lhp *lhp, void *arg)
{
	struct end *end = arg;

	assert_false(end->sending);
	assert_ptr_equal(lhp, end->lhp);
	end->opened++;
	if (end->on_opened)
		end->on_opened(end);
	else
		end_pump(end);
}

static void on_message(struct lhp *lhp, uint32_t stream, const uint8_t *bytes, size_t len,
		       void *arg)
{
	struct end *end = arg;

	assert_false(end->sending);
	assert_ptr_equal(lhp, end->lhp);
	assert_int_equal(end->opened, 1);
	end->received++;
	end->bytes += len;
	if (end->on_message)
		end->on_message(end, stream, bytes, len);
	else
		check_numbered(end, stream, bytes, len);
}

static void on_writable(struct lhp *lhp, void *arg)
{
	struct end *end = arg;

	assert_false(end->sending);
	assert_true(lhp_room(lhp));
	end->writables++;
	if (end->on_writable)
		end->on_writable(end);
	else
		end_pump(end);
}

static void on_closed(struct lhp *lhp, const char *why, void *arg)
{
	struct end *end = arg;

	assert_false(end->sending);
	assert_ptr_equal(lhp, end->lhp);
	snprintf(end->why, sizeof(end->why), "%s", why);
	end->closed++;
	if (end->on_closed)
		end->on_closed(end);
	end->lhp = NULL;
}

const struct lhp_handler end_handler = { on_opened, on_message, on_writable, on_closed };

/* ---- both */

static bool find(struct lhp_identity *identity, void *arg)
{
	(void)arg;
	ends.asked++;
	if (strcmp(identity->name, ENDS_NAME))
		return false;
	memset(identity->key, ENDS_KEY, sizeof(identity->key));
	return true;
}

static void accepted(struct lhp *lhp, void *arg)
{
	(void)arg;
	ends.accepted++;
	ends.server.lhp = lhp;
	lhp_set_handler(lhp, &end_handler, &ends.server);
	if (ends.on_accepted)
		ends.on_accepted(&ends);
}

/* A port that nobody has right now. */
static unsigned int free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	close(fd);
	return ntohs(address.sin_port);
}

void ends_listen(const char *provider)
{
	char error[200] = "";

	memset(&ends, 0, sizeof(ends));
	ends.client.base = event_base_new();
	ends.server.base = event_base_new();
	ends.client.seed = 1;
	ends.server.seed = 2;
	if (!strcmp(provider, "tls"))
		snprintf(ends.place, sizeof(ends.place), "tls:127.0.0.1:%u", free_port());
	else if (!strcmp(provider, "unix"))
		snprintf(ends.place, sizeof(ends.place), "unix:/tmp/lhp_stream.%d", getpid());
	else
		snprintf(ends.place, sizeof(ends.place), "vsock:1:%d", getpid() % 30000 + 2000);
	ends.listener = lhp_listen(ends.server.base, ends.place, find, accepted, NULL, error,
				   sizeof(error));
	if (!ends.listener)
		fail_msg("%s", error);
}

struct lhp *ends_connect(const char *name, uint8_t key_byte)
{
	struct lhp_identity identity = { 0 };
	char error[200] = "";

	snprintf(identity.name, sizeof(identity.name), "%s", name);
	memset(identity.key, key_byte, sizeof(identity.key));
	ends.client.lhp = lhp_connect(ends.client.base, ends.place, &identity, &end_handler,
				      &ends.client, error, sizeof(error));
	if (!ends.client.lhp)
		fail_msg("%s", error);
	memset(&identity, 0, sizeof(identity)); /* it was copied */
	return ends.client.lhp;
}

static bool is_open(void)
{
	return ends.client.opened && ends.server.opened;
}

void ends_open(const char *provider)
{
	ends_listen(provider);
	ends_connect(ENDS_NAME, ENDS_KEY);
	assert_true(ends_run(is_open));
}

void ends_close(void)
{
	lhp_free(ends.client.lhp);
	lhp_free(ends.server.lhp);
	lhp_listener_free(ends.listener);
	event_base_free(ends.client.base);
	event_base_free(ends.server.base);
}

static uint64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000ull + time.tv_nsec / 1000000;
}

static int slow(void)
{
	const char *text = getenv("SLOW");
	int factor = text ? atoi(text) : 1;

	return factor > 1 && factor <= 100 ? factor : 1;
}

bool ends_run(bool (*done)(void))
{
	uint64_t end = now_ms() + (uint64_t)ENDS_WAIT_MS * slow();

	while (!done()) {
		event_base_loop(ends.client.base, EVLOOP_NONBLOCK);
		event_base_loop(ends.server.base, EVLOOP_NONBLOCK);
		if (now_ms() > end)
			return false;
	}
	return true;
}

void ends_turn(unsigned int ms)
{
	uint64_t end = now_ms() + ms;

	do {
		event_base_loop(ends.client.base, EVLOOP_NONBLOCK);
		event_base_loop(ends.server.base, EVLOOP_NONBLOCK);
		usleep(500);
	} while (now_ms() < end);
}
