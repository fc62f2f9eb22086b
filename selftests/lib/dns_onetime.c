// SPDX-License-Identifier: GPL-3.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agents/dns/dns.h"
#include "agents/lib/ask.h"
#include "dns_onetime.h"

struct dns_agent agent;
struct dns_reply *reply;

static struct event_base *base;
static pid_t server;
static char folder[] = "/tmp/isthmus-dns-onetime-XXXXXX";
static char zone_option[128], database[64], control[64], joined[64], log_file[64];

static const char zone[] = "$TTL 300\n@ SOA ns1 admin 1 3600 600 86400 5\n@ NS ns1\n"
			   "ns1 A 192.0.2.53\nweb A 192.0.2.1\n"
			   "legacy.home A 192.0.2.80\nalias.home CNAME web\n"
			   "to-ssh CNAME ssh.home\nchild.home NS ns1\n";

uint64_t client_ms(void)
{
	return dns_now_ms();
}

/* ---- the server */

static void run_server(void)
{
	char *argv[] = { "isthmus-dns",
			 "run",
			 "--listen",
			 "127.0.0.1:53",
			 "--listen",
			 "[::1]:53",
			 "--zone",
			 zone_option,
			 "--database",
			 database,
			 "--control",
			 control,
			 "--members",
			 "127.0.0.1:3481",
			 "--subnet-from",
			 "127.0.9.0/24",
			 "--subnet-from",
			 "::1",
			 "--initiators",
			 "127.0.10.0/24",
			 "--tcp-idle",
			 "5",
			 "--log-level",
			 "debug",
			 NULL };
	int argc = sizeof(argv) / sizeof(argv[0]) - 1;
	struct settings settings;
	char error[512];
	int fd = open(log_file, O_WRONLY | O_CREAT | O_APPEND, 0600);

	dup2(fd, 1);
	dup2(fd, 2);
	if (settings_read(&settings, argc, argv, error, sizeof(error)) < 0)
		_exit(2);
	_exit(dns_run(argc, argv, &settings));
}

static json_t *command(json_t *message)
{
	return ask_daemon("dns_onetime", control, message);
}

static void server_start(void)
{
	uint64_t end = client_ms() + SOON_MS;

	server = fork();
	if (!server)
		run_server();
	assert_true(server > 0);
	while (access(control, R_OK) && client_ms() < end)
		usleep(10000);
	usleep(50000);
}

static void server_end(void)
{
	int status = -1;

	kill(server, SIGTERM);
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_int_equal(status, 0);
}

void server_restart(void)
{
	server_end();
	server_start();
}

static json_t *status_of(const char *member)
{
	json_t *status = command(json_pack("{s:s}", "op", "status"));
	json_t *part = json_incref(json_object_get(json_object_get(status, "members"), member));

	json_decref(status);
	assert_non_null(part);
	return part;
}

long long server_count(const char *word)
{
	json_t *gives = status_of("gives");
	long long value;

	assert_true(json_is_integer(json_object_get(gives, word)));
	value = json_integer_value(json_object_get(gives, word));
	json_decref(gives);
	return value;
}

void server_add_key(void)
{
	json_t *answer = command(json_pack("{s:s, s:s}", "op", "key-add", "zone", "example.net"));

	assert_true(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
}

long long server_memory(void)
{
	long long kb = 0;
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", server);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmRSS: %lld", &kb) == 1)
			break;
	fclose(file);
	return kb;
}

const char *server_list(void)
{
	static char text[1024];
	json_t *answer = command(json_pack("{s:s}", "op", "member-list")), *one;
	size_t i;

	text[0] = 0;
	json_array_foreach (json_object_get(answer, "members"), i, one)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s %s %d\n",
			 json_string_value(json_object_get(one, "kind")),
			 json_string_value(json_object_get(one, "name")),
			 json_is_true(json_object_get(one, "enrolled")));
	json_decref(answer);
	return text;
}

/* ---- the agent */

static json_t *login(void *arg)
{
	(void)arg;
	return json_pack("{s:o}", "services", json_loads(agent.services, 0, NULL));
}

static void logged_in(const json_t *answer, void *arg)
{
	(void)answer;
	(void)arg;
	agent.logins++;
}

static void on_message(json_t *message, void *arg)
{
	const char *op = json_string_value(json_object_get(message, "op"));
	char address[64];

	(void)arg;
	agent.refused += !strcmp(op, "refused");
	if (strcmp(op, "give"))
		return;
	agent.proven += json_is_true(json_object_get(message, "proven"));
	if (agent.answers && agent.error) {
		agent_refuse(message, agent.error);
	} else if (agent.answers) {
		bool v4 = !strcmp(json_string_value(json_object_get(message, "family")), "4");
		unsigned int n = ++agent.given;

		snprintf(address, sizeof(address), v4 ? "198.18.%u.%u" : "2001:db8:1::%x:%x",
			 n >> 8 & 255, n & 255);
		agent_give(message, address);
	} else if (agent.gives < GIVES_MAX) {
		agent.give[agent.gives++] = json_incref(message);
	}
}

static void lost(void *arg)
{
	(void)arg;
}

void agent_give(const json_t *give, const char *address)
{
	member_tell(agent.member,
		    json_pack("{s:s, s:O, s:s, s:i}", "op", "given", "serial",
			      json_object_get(give, "serial"), "address", address, "seconds", 60));
}

void agent_refuse(const json_t *give, const char *error)
{
	member_tell(agent.member, json_pack("{s:s, s:O, s:s}", "op", "given", "serial",
					    json_object_get(give, "serial"), "error", error));
}

void pass(int ms)
{
	uint64_t end = client_ms() + (uint64_t)ms;

	do {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(500);
	} while (client_ms() < end);
}

static void forget_gives(void)
{
	while (agent.gives)
		json_decref(agent.give[--agent.gives]);
}

json_t *agent_next(void)
{
	static json_t *kept;
	uint64_t end = client_ms() + SOON_MS;

	json_decref(kept);
	kept = NULL;
	while (!agent.gives && client_ms() < end)
		pass(1);
	if (!agent.gives)
		return NULL;
	kept = agent.give[0];
	memmove(agent.give, agent.give + 1, --agent.gives * sizeof(agent.give[0]));
	return kept;
}

static void enrol(void)
{
	json_t *answer = command(
		json_pack("{s:s, s:s, s:s}", "op", "member-add", "kind", "onetime", "name", AGENT));
	const char *line = json_string_value(json_object_get(answer, "line"));
	char error[256] = "";

	assert_non_null(line);
	if (member_join(line, joined, error, sizeof(error)))
		fail_msg("%s", error);
	json_decref(answer);
}

void agent_services(const char *services)
{
	snprintf(agent.services, sizeof(agent.services), "%s", services);
	member_tell(agent.member, json_pack("{s:s, s:o}", "op", "services", "services",
					    json_loads(services, 0, NULL)));
	pass(100);
}

void agent_start(const char *services)
{
	static const struct member_handler handler = { login, logged_in, on_message, lost };
	uint64_t end = client_ms() + SOON_MS;
	struct member_credentials credentials;

	if (access(joined, R_OK))
		enrol();
	assert_int_equal(member_read(joined, &credentials), 0);
	snprintf(agent.services, sizeof(agent.services), "%s", services);
	agent.answers = false;
	agent.error = NULL;
	agent.refused = 0;
	agent.member = member_new(base, "onetime", &credentials, &handler, NULL);
	while (!member_is_logged_in(agent.member) && client_ms() < end)
		pass(5);
	assert_true(member_is_logged_in(agent.member));
}

void agent_stop(void)
{
	member_free(agent.member);
	agent.member = NULL;
	forget_gives();
	usleep(50000);
}

/* ---- clients */

static struct sockaddr_in at(const char *address, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, address, &sin.sin_addr), 1);
	return sin;
}

static int open_socket(const char *address, uint16_t port, int type)
{
	struct sockaddr_in from = at(address, port), to = at("127.0.0.1", 53);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

int client_open(const char *address, uint16_t port)
{
	return open_socket(address, port, SOCK_DGRAM);
}

void client_send(int fd, const struct dns_question *question)
{
	assert_int_equal(send(fd, question->bytes, question->len, 0), question->len);
}

/* True: there is something to read. */
static bool wait_readable(int fd, int ms)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };
	uint64_t end = client_ms() + (uint64_t)ms;

	do {
		event_base_loop(base, EVLOOP_NONBLOCK);
		if (poll(&one, 1, 1) > 0)
			return true;
	} while (client_ms() < end);
	return false;
}

bool client_receive(int fd, int ms)
{
	ssize_t len;

	memset(reply, 0, sizeof(*reply));
	if (!wait_readable(fd, ms))
		return false;
	len = recv(fd, reply->bytes, sizeof(reply->bytes), 0);
	if (len <= 0)
		return false;
	reply->len = (size_t)len;
	dns_read_reply(reply);
	return true;
}

static bool read_bytes(int fd, uint8_t *bytes, size_t len)
{
	for (size_t have = 0; have < len;) {
		ssize_t got =
			wait_readable(fd, SOON_MS) ? recv(fd, bytes + have, len - have, 0) : -1;

		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	return true;
}

bool client_tcp(const char *address, const struct dns_question *question)
{
	uint8_t bytes[2 + WIRE_QUERY_MAX] = { (uint8_t)(question->len >> 8),
					      (uint8_t)question->len };
	int fd = open_socket(address, 0, SOCK_STREAM);
	bool good;

	memcpy(bytes + 2, question->bytes, question->len);
	assert_int_equal(send(fd, bytes, 2 + question->len, 0), 2 + question->len);
	memset(reply, 0, sizeof(*reply));
	good = read_bytes(fd, bytes, 2);
	if (good) {
		reply->len = (size_t)bytes[0] << 8 | bytes[1];
		good = read_bytes(fd, reply->bytes, reply->len);
	}
	if (good)
		dns_read_reply(reply);
	close(fd);
	return good;
}

bool client_ask(const char *address, const char *name, uint16_t type)
{
	int fd = client_open(address, 0);
	struct dns_question question;
	bool good;

	dns_ask(&question, name, type);
	client_send(fd, &question);
	good = client_receive(fd, SOON_MS);
	close(fd);
	return good;
}

const char *answers(void)
{
	return reply->section[ns_s_an];
}

/* A cookie of the server's for that address, whole. */
void client_cookie(const char *address, uint8_t cookie[24])
{
	static const uint8_t mine[8] = "12345678";
	struct dns_question question;
	int fd = client_open(address, 0);
	const char *hex;

	dns_ask(&question, "web.example.net", ns_t_a);
	dns_add_edns(&question, 1232, 0, false);
	dns_add_option(&question, OPTION_COOKIE, mine, sizeof(mine));
	client_send(fd, &question);
	assert_true(client_receive(fd, SOON_MS));
	hex = strstr(reply->options, "10:");
	assert_non_null(hex);
	assert_true(strlen(hex) >= 3 + 48);
	for (int i = 0; i < 24; i++)
		assert_int_equal(sscanf(hex + 3 + 2 * i, "%2hhx", &cookie[i]), 1);
	close(fd);
}

bool client_ask_cookie(const char *address, const uint8_t cookie[24])
{
	struct dns_question question;
	int fd = client_open(address, 0);
	bool good;

	dns_ask(&question, SSH, ns_t_aaaa);
	dns_add_edns(&question, 1232, 0, false);
	dns_add_option(&question, OPTION_COOKIE, cookie, 24);
	client_send(fd, &question);
	good = client_receive(fd, SOON_MS);
	close(fd);
	return good && reply->rcode == ns_r_noerror && !reply->tc && answers()[0];
}

bool client_ask_tcp(const char *address)
{
	struct dns_question question;

	dns_ask(&question, SSH, ns_t_aaaa);
	return client_tcp(address, &question) && reply->rcode == ns_r_noerror && answers()[0];
}

/* ---- start and end */

int world_start(void **state)
{
	char path[64];
	FILE *file;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (unshare(CLONE_NEWNET) || system("ip link set lo up") || !mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/zone", folder);
	snprintf(zone_option, sizeof(zone_option), "example.net=%s", path);
	snprintf(database, sizeof(database), "%s/state/dns.db", folder);
	snprintf(control, sizeof(control), "%s/dns.sock", folder);
	snprintf(joined, sizeof(joined), "%s/joined", folder);
	snprintf(log_file, sizeof(log_file), "%s/log", folder);
	file = fopen(path, "w");
	if (!file || fputs(zone, file) < 0 || fclose(file))
		return -1;
	reply = calloc(1, sizeof(*reply));
	base = event_base_new();
	server_start();
	return reply && base ? 0 : -1;
}

int world_end(void **state)
{
	char text[128];

	(void)state;
	agent_stop();
	server_end();
	event_base_free(base);
	free(reply);
	snprintf(text, sizeof(text), "rm -rf %s", folder);
	return system(text);
}

int stub_start(void **state)
{
	(void)state;
	agent_start(SERVICES);
	return 0;
}

int stub_stop(void **state)
{
	(void)state;
	agent_stop();
	return 0;
}
