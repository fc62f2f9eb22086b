/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * dns_load - asks a DNS server by UDP as fast as it answers, and says on one line of JSON how that
 * went.
 *
 * It keeps --window questions on their way, in --sockets sockets; each answer is followed by the
 * next question, so no more is asked than is answered and nothing is lost for want of room. What is
 * not answered within LOST_NS is asked anew and counted. An answer counts only if it is whole: the
 * question's bytes, the rcode and the number of answers that the line of the question tells. It
 * never sleeps.
 *
 *   dns_load --server 192.0.2.53:53 --questions FILE --seconds 2
 *
 * A line of FILE: NAME TYPE RCODE ANSWERS, the last two as numbers. The JSON has `cpu_ns`, of
 * --pid's threads in that time, if it was given; of up to PIDS processes, each.
 *
 * With --clients 10.64.0.0/14 each question comes from the next address of that network, which a
 * local route has to lead here; its answer has to come back to that address. With --within
 * 203.0.113.80/28 an answer of type A counts only if its address is one of these. --yield leaves
 * the CPU to others of the same priority where there is nothing to hear.
 */
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS	      1000000000ULL
#define LOST_NS	      (NS / 5)
#define WARM_NS	      (NS / 10) /* until then nothing counts */
#define BATCH	      64
#define SOCKETS	      64
#define SLOTS	      1024 /* of a socket */
#define QUESTIONS     65536
#define QUESTION_MAX  300
#define ANSWER_MAX    4096
#define HEADER_LEN    12
#define OPT_LEN	      11
#define UDP_SIZE      1232
#define RECEIVE_BYTES (1 << 20)
#define PIDS	      4
#define CONTROL_LEN   (CMSG_SPACE(sizeof(struct in_pktinfo)))

struct question {
	uint16_t len, question_len; /* all of it; name, type and class */
	uint8_t rcode;
	uint16_t answers;
	uint8_t bytes[QUESTION_MAX];
};

struct slot { /* its number is the ID of its question */
	uint32_t question;
	bool waiting;
	struct in_addr from; /* if there are --clients */
	uint8_t bytes[QUESTION_MAX];
};

struct network {
	uint32_t first, count; /* host byte order; 0: none */
};

struct client {
	int fd;
	uint64_t heard_ns;
	struct slot slot[SLOTS];
};

static struct {
	struct sockaddr_in server;
	const char *questions;
	double seconds;
	unsigned int window, sockets, pids;
	int pid[PIDS];
	struct network clients, within;
	bool yield;
} opt = { .seconds = 1, .window = 128, .sockets = 8 };

static struct question question[QUESTIONS];
static unsigned int question_count, next_question, next_client;
static struct client client[SOCKETS];
static uint64_t answers, wrong, lost;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

/* ---- questions */

static uint16_t type_of(const char *word)
{
	return !strcmp(word, "A")      ? ns_t_a
	       : !strcmp(word, "AAAA") ? ns_t_aaaa
	       : !strcmp(word, "TXT")  ? ns_t_txt
				       : ns_t_invalid;
}

/* RD and AD are not asked for; with EDNS, as resolvers ask. -EINVAL if the name is none. */
static int make_question(struct question *q, const char *name, uint16_t type)
{
	uint8_t *at = q->bytes + HEADER_LEN;

	if (strlen(name) > 250 || type == ns_t_invalid)
		return -EINVAL;
	while (*name) {
		size_t len = strcspn(name, ".");

		if (!len || len > 63)
			return -EINVAL;
		*at++ = len;
		memcpy(at, name, len);
		at += len;
		name += len + (name[len] == '.');
	}
	*at++ = 0;
	put16(at, type);
	put16(at + 2, ns_c_in);
	at += 4;
	q->question_len = at - q->bytes - HEADER_LEN;
	q->bytes[5] = q->bytes[11] = 1; /* a question, an additional record */
	put16(at + 1, ns_t_opt);
	put16(at + 3, UDP_SIZE);
	q->len = at + OPT_LEN - q->bytes;
	return 0;
}

static int read_questions(void)
{
	FILE *file = fopen(opt.questions, "re");
	unsigned int rcode, count;
	char name[256], type[8];
	int rc = 0;

	if (!file)
		return -errno;
	while (!rc && question_count < QUESTIONS &&
	       fscanf(file, "%255s %7s %u %u", name, type, &rcode, &count) == 4) {
		struct question *q = &question[question_count++];

		q->rcode = rcode;
		q->answers = count;
		rc = make_question(q, name, type_of(type));
	}
	if (!rc && (!question_count || !feof(file)))
		rc = -EINVAL;
	fclose(file);
	return rc;
}

/* ---- asking and hearing */

static int open_client(struct client *c)
{
	const struct sockaddr_in any = { .sin_family = AF_INET };
	int bytes = RECEIVE_BYTES, on = 1, rc;

	c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)))
		return -errno;
	if (opt.clients.count)
		rc = setsockopt(c->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) ||
		     bind(c->fd, (struct sockaddr *)&any, sizeof(any));
	else
		rc = connect(c->fd, (struct sockaddr *)&opt.server, sizeof(opt.server));
	return rc ? -errno : 0;
}

/* To the server from one of the clients. */
static void send_from(struct msghdr *header, uint8_t control[CONTROL_LEN], struct in_addr from)
{
	struct in_pktinfo info = { .ipi_spec_dst = from };
	struct cmsghdr *cmsg = (void *)control;

	memset(control, 0, CONTROL_LEN);
	cmsg->cmsg_level = IPPROTO_IP;
	cmsg->cmsg_type = IP_PKTINFO;
	cmsg->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
	header->msg_name = &opt.server;
	header->msg_namelen = sizeof(opt.server);
	header->msg_control = control;
	header->msg_controllen = CONTROL_LEN;
}

/* Has it come to this client? */
static bool came_to(struct msghdr *header, struct in_addr to)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);
	struct in_pktinfo info;

	if (!cmsg || cmsg->cmsg_type != IP_PKTINFO)
		return false;
	memcpy(&info, CMSG_DATA(cmsg), sizeof(info));
	return info.ipi_addr.s_addr == to.s_addr;
}

/* A refused datagram is asked for as lost later. */
static void ask(struct client *c, const uint16_t *ids, unsigned int count)
{
	static _Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_LEN];
	struct mmsghdr out[BATCH] = { 0 };
	struct iovec vector[BATCH];

	for (unsigned int i = 0; i < count; i++) {
		struct slot *slot = &c->slot[ids[i]];

		if (opt.clients.count)
			send_from(&out[i].msg_hdr, control[i], slot->from);

		vector[i] = (struct iovec){ slot->bytes, question[slot->question].len };
		out[i].msg_hdr.msg_iov = &vector[i];
		out[i].msg_hdr.msg_iovlen = 1;
	}
	for (unsigned int sent = 0; sent < count;) {
		int n = sendmmsg(c->fd, out + sent, count - sent, 0);

		if (n <= 0)
			return;
		sent += n;
	}
}

static void fill(struct client *c, uint16_t id)
{
	struct slot *slot = &c->slot[id];

	slot->question = next_question;
	next_question = next_question + 1 == question_count ? 0 : next_question + 1;
	slot->waiting = true;
	if (opt.clients.count)
		slot->from.s_addr = htonl(opt.clients.first + next_client++ % opt.clients.count);
	memcpy(slot->bytes, question[slot->question].bytes, question[slot->question].len);
	put16(slot->bytes, id);
}

/* Is its only record an A of --within, with TTL 0? Its owner is a pointer to the question's name.
 */
static bool is_within(const uint8_t *record, unsigned int len)
{
	static const uint8_t head[] = { 0xc0, HEADER_LEN, 0, ns_t_a, 0, ns_c_in, 0, 0, 0, 0, 0, 4 };
	uint32_t address;

	if (len < sizeof(head) + sizeof(address) || memcmp(record, head, sizeof(head)))
		return false;
	memcpy(&address, record + sizeof(head), sizeof(address));
	return ntohl(address) - opt.within.first < opt.within.count;
}

/* Whether it answers a question that waits; its ID then. */
static bool take(struct client *c, struct msghdr *header, unsigned int len, uint16_t *id)
{
	const uint8_t *bytes = header->msg_iov->iov_base;
	const struct question *q;

	if (len < HEADER_LEN)
		return false;
	*id = bytes[0] << 8 | bytes[1];
	if (*id >= opt.window / opt.sockets || !c->slot[*id].waiting)
		return false;
	q = &question[c->slot[*id].question];
	if (len < HEADER_LEN + 0U + q->question_len || (bytes[2] & 0x82) != 0x80 || /* QR, not TC */
	    (bytes[3] & 0xf) != q->rcode || (bytes[6] << 8 | bytes[7]) != q->answers ||
	    memcmp(bytes + HEADER_LEN, q->bytes + HEADER_LEN, q->question_len))
		return false;
	if ((opt.clients.count && !came_to(header, c->slot[*id].from)) ||
	    (opt.within.count &&
	     !is_within(bytes + HEADER_LEN + q->question_len, len - HEADER_LEN - q->question_len)))
		return false;
	answers++;
	return true;
}

/* Hears one batch and asks as much again. Returns how many it has heard. */
static int turn(struct client *c, uint64_t now)
{
	static uint8_t bytes[BATCH][ANSWER_MAX];
	static struct mmsghdr in[BATCH];
	static struct iovec vector[BATCH];
	static _Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_LEN];
	uint16_t ids[BATCH];
	unsigned int again = 0;
	int count;

	for (int i = 0; i < BATCH; i++) {
		vector[i] = (struct iovec){ bytes[i], ANSWER_MAX };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &vector[i], .msg_iovlen = 1 };
		if (opt.clients.count) {
			in[i].msg_hdr.msg_control = control[i];
			in[i].msg_hdr.msg_controllen = CONTROL_LEN;
		}
	}
	count = recvmmsg(c->fd, in, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++) {
		if (!take(c, &in[i].msg_hdr, in[i].msg_len, &ids[again])) {
			wrong++;
			continue;
		}
		fill(c, ids[again++]);
	}
	if (again) {
		c->heard_ns = now;
		ask(c, ids, again);
	}
	return count;
}

/* A socket that has heard nothing for so long asks all of its questions once more. */
static void ask_lost(struct client *c, uint64_t now)
{
	unsigned int slots = opt.window / opt.sockets, count = 0;
	uint16_t ids[BATCH];

	if (now - c->heard_ns < LOST_NS)
		return;
	c->heard_ns = now;
	for (unsigned int id = 0; id < slots; id++) {
		if (c->slot[id].waiting)
			lost++;
		else
			fill(c, id);
		ids[count++] = id;
		if (count == BATCH || id + 1 == slots) {
			ask(c, ids, count);
			count = 0;
		}
	}
}

static void run_until(uint64_t end)
{
	uint64_t now;

	while ((now = now_ns()) < end) {
		bool heard = false;

		for (unsigned int i = 0; i < opt.sockets; i++) {
			heard |= turn(&client[i], now) > 0;
			ask_lost(&client[i], now);
		}
		if (opt.yield && !heard)
			sched_yield();
	}
}

/* ---- the server's time: what its threads have run, with the softirqs that came meanwhile */

static uint64_t thread_ns(int pid, const char *tid)
{
	unsigned long long ns = 0;
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", pid, tid);
	file = fopen(path, "re");
	if (file && fscanf(file, "%llu", &ns) != 1)
		ns = 0;
	if (file)
		fclose(file);
	return ns;
}

static uint64_t process_ns(int pid)
{
	struct dirent *entry;
	uint64_t ns = 0;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			ns += thread_ns(pid, entry->d_name);
	if (dir)
		closedir(dir);
	return ns;
}

/* ---- the command line */

static int take_server(const char *text)
{
	char host[INET_ADDRSTRLEN];
	unsigned int port;

	if (sscanf(text, "%15[0-9.]:%u", host, &port) != 2 || port > 65535 ||
	    inet_pton(AF_INET, host, &opt.server.sin_addr) != 1)
		return -EINVAL;
	opt.server.sin_family = AF_INET;
	opt.server.sin_port = htons(port);
	return 0;
}

static int take_network(const char *text, struct network *network)
{
	struct in_addr address;
	char host[INET_ADDRSTRLEN];
	unsigned int bits;

	if (sscanf(text, "%15[0-9.]/%u", host, &bits) != 2 || bits < 8 || bits > 32 ||
	    inet_pton(AF_INET, host, &address) != 1)
		return -EINVAL;
	network->count = 1U << (32 - bits);
	network->first = ntohl(address.s_addr) & -network->count;
	return 0;
}

static int take_pid(const char *text)
{
	if (opt.pids == PIDS)
		return -EINVAL;
	opt.pid[opt.pids++] = atoi(text);
	return 0;
}

static int take_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "server", 1, NULL, 's' },  { "questions", 1, NULL, 'q' },
		{ "seconds", 1, NULL, 't' }, { "window", 1, NULL, 'w' },
		{ "sockets", 1, NULL, 'n' }, { "pid", 1, NULL, 'p' },
		{ "clients", 1, NULL, 'c' }, { "within", 1, NULL, 'i' },
		{ "yield", 0, NULL, 'y' },   { NULL, 0, NULL, 0 },
	};
	int c, rc = 0;

	while (!rc && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			rc = take_server(optarg);
		else if (c == 'q')
			opt.questions = optarg;
		else if (c == 't')
			opt.seconds = atof(optarg);
		else if (c == 'w')
			opt.window = atoi(optarg);
		else if (c == 'n')
			opt.sockets = atoi(optarg);
		else if (c == 'p')
			rc = take_pid(optarg);
		else if (c == 'c')
			rc = take_network(optarg, &opt.clients);
		else if (c == 'i')
			rc = take_network(optarg, &opt.within);
		else if (c == 'y')
			opt.yield = true;
		else
			rc = -EINVAL;
	}
	if (rc || optind != argc || !opt.questions || !opt.server.sin_port || !opt.sockets ||
	    opt.sockets > SOCKETS || opt.window < opt.sockets || opt.window / opt.sockets > SLOTS ||
	    opt.seconds <= 0 || opt.seconds > 3600)
		return -EINVAL;
	return 0;
}

static uint64_t sum(const uint64_t *ns)
{
	uint64_t all = 0;

	for (unsigned int i = 0; i < opt.pids; i++)
		all += ns[i];
	return all;
}

int main(int argc, char **argv)
{
	uint64_t start, cpu_ns[PIDS];
	double seconds;
	int rc = take_options(argc, argv);

	if (!rc)
		rc = read_questions();
	for (unsigned int i = 0; !rc && i < opt.sockets; i++)
		rc = open_client(&client[i]);
	if (rc) {
		fprintf(stderr, "dns_load: %s\n", strerror(-rc));
		return rc == -EINVAL ? 2 : 1;
	}
	run_until(now_ns() + WARM_NS);
	answers = wrong = lost = 0;
	start = now_ns();
	for (unsigned int i = 0; i < opt.pids; i++)
		cpu_ns[i] = process_ns(opt.pid[i]);
	run_until(start + opt.seconds * NS);
	for (unsigned int i = 0; i < opt.pids; i++)
		cpu_ns[i] = process_ns(opt.pid[i]) - cpu_ns[i];
	seconds = (now_ns() - start) / (double)NS;
	printf("{\"seconds\": %.6f, \"answers\": %llu, \"wrong\": %llu, \"lost\": %llu, "
	       "\"rate\": %.0f, \"cpu_ns\": %llu, \"cpu_ns_each\": [",
	       seconds, (unsigned long long)answers, (unsigned long long)wrong,
	       (unsigned long long)lost, answers / seconds, (unsigned long long)sum(cpu_ns));
	for (unsigned int i = 0; i < opt.pids; i++)
		printf("%s%llu", i ? ", " : "", (unsigned long long)cpu_ns[i]);
	printf("]}\n");
	return 0;
}
