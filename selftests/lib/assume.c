// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "selftests/lib/assume.h"

static const char *program_name;
static unsigned int passed, failed, skipped;
static struct bpf_object *object;

/* ---- results */

void assume_die(const char *call, int line)
{
	printf("not ok %s: line %d # %s: %s\n", program_name, line, call, strerror(errno));
	fflush(stdout);
	exit(1);
}

bool assume(bool holds, const char *name, const char *why, ...)
{
	va_list args;

	printf("%s %s: %s", holds ? "ok" : "not ok", program_name, name);
	if (!holds) {
		printf(" # ");
		va_start(args, why);
		vprintf(why, args);
		va_end(args);
	}
	printf("\n");
	fflush(stdout);
	holds ? passed++ : failed++;
	return holds;
}

void assume_skip(const char *name, const char *reason)
{
	printf("skip %s: %s # %s\n", program_name, name, reason);
	skipped++;
}

int assume_end(void)
{
	bpf_object__close(object);
	return failed || !(passed + skipped);
}

/* ---- commands and time */

static char command[1024]; /* the last one, for messages */

static __attribute__((format(printf, 1, 0))) FILE *command_open(const char *format, va_list args)
{
	FILE *pipe;

	vsnprintf(command, sizeof(command) - sizeof(" 2>&1"), format, args);
	strcat(command, " 2>&1");
	fflush(stdout);
	pipe = popen(command, "re");
	if (!pipe)
		assume_die(command, __LINE__);
	return pipe;
}

static __attribute__((format(printf, 1, 0))) int command_run(const char *format, va_list args,
							     char *line, size_t size)
{
	FILE *pipe = command_open(format, args);
	char rest[512];

	line[0] = 0;
	if (fgets(line, size, pipe))
		line[strcspn(line, "\n")] = 0;
	while (fgets(rest, sizeof(rest), pipe))
		;
	return pclose(pipe);
}

void assume_run(const char *format, ...)
{
	char line[512];
	va_list args;
	int status;

	va_start(args, format);
	status = command_run(format, args, line, sizeof(line));
	va_end(args);
	if (status) {
		printf("not ok %s: command `%s` # status %d: %s\n", program_name, command, status,
		       line);
		exit(1);
	}
}

int assume_try(const char *format, ...)
{
	char line[512];
	va_list args;
	int status;

	va_start(args, format);
	status = command_run(format, args, line, sizeof(line));
	va_end(args);
	return status;
}

const char *assume_read(const char *format, ...)
{
	static char line[512];
	va_list args;

	va_start(args, format);
	command_run(format, args, line, sizeof(line));
	va_end(args);
	return line;
}

int assume_ms(int ms)
{
	const char *slow = getenv("SLOW");
	int factor = slow ? atoi(slow) : 1;

	return factor > 1 && factor <= 100 ? ms * factor : ms;
}

__u64 assume_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

/* ---- namespaces and devices */

int assume_ns_new(void)
{
	int old = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	int fresh;

	must(unshare(CLONE_NEWNET));
	fresh = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	assume_run("ip link set lo up");
	must(setns(old, CLONE_NEWNET));
	close(old);
	return fresh;
}

void assume_ns_enter(int ns)
{
	must(setns(ns, CLONE_NEWNET));
}

const char *assume_ns_name(int ns)
{
	static char name[4][64];
	static unsigned int next;
	char *at = name[next++ % 4];

	snprintf(at, sizeof(name[0]), "/proc/%d/fd/%d", getpid(), ns);
	return at;
}

void assume_veth(const char *here, const char *there, int ns)
{
	int back = must(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));

	assume_run("ip link add %s type veth peer name %s netns %s", here, there,
		   assume_ns_name(ns));
	assume_run("ip link set %s up", here);
	assume_ns_enter(ns);
	assume_run("ip link set %s up", there);
	assume_ns_enter(back);
	close(back);
}

void assume_mac(const char *dev, __u8 mac[6])
{
	struct ifreq request = {};
	int fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", dev);
	must(ioctl(fd, SIOCGIFHWADDR, &request));
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	close(fd);
}

/* ---- raw packets */

int assume_packet_socket(const char *dev)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex(dev),
	};
	int fd = must(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
	int bytes = 32 << 20;

	must(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)));
	must(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

void assume_packet_send(int fd, const struct packet *packet)
{
	must(write(fd, packet->b, packet->len));
}

bool assume_packet_receive(int fd, struct packet *packet, int ms)
{
	__u64 end = assume_now_ms() + ms;
	struct sockaddr_ll from;

	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		socklen_t size = sizeof(from);
		__s64 left = end - assume_now_ms();
		ssize_t got;

		if (must(poll(&ready, 1, left > 0 ? left : 0)) == 0)
			return false;
		got = must(recvfrom(fd, packet->b, sizeof(packet->b), 0, (struct sockaddr *)&from,
				    &size));
		if (from.sll_pkttype == PACKET_OUTGOING)
			continue;
		packet->len = got;
		return true;
	}
}

int assume_tun(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = must(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	must(ioctl(fd, TUNSETIFF, &request));
	assume_run("ip link set %s up", name);
	return fd;
}

/* ---- BPF */

static __attribute__((format(printf, 2, 0))) int print_warnings(enum libbpf_print_level level,
								const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

struct bpf_program *assume_program(const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);

	if (!program)
		assume_die(name, __LINE__);
	return program;
}

int assume_map_fd(const char *name)
{
	return must(bpf_object__find_map_fd_by_name(object, name));
}

void assume_var_get(const char *name, void *value)
{
	__u32 key = 0;

	must(bpf_map_lookup_elem(assume_map_fd(name), &key, value));
}

void assume_var_set(const char *name, const void *value)
{
	__u32 key = 0;

	must(bpf_map_update_elem(assume_map_fd(name), &key, value, BPF_ANY));
}

int assume_run_tc(const char *program, const struct packet *packet, int ifindex)
{
	struct __sk_buff context = { .ifindex = ifindex, .ingress_ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet->b, .data_size_in = packet->len,
		    .ctx_in = &context, .ctx_size_in = sizeof(context));

	must(bpf_prog_test_run_opts(bpf_program__fd(assume_program(program)), &options));
	return options.retval;
}

void assume_attach_tc(const char *program, const char *dev)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = if_nametoindex(dev),
		    .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = bpf_program__fd(assume_program(program)));
	int err = bpf_tc_hook_create(&hook);

	if (err && err != -EEXIST)
		must(err);
	must(bpf_tc_attach(&hook, &options));
}

static void object_load(const char *program)
{
	char path[512];

	snprintf(path, sizeof(path), "%s.bpf.o", program);
	object = bpf_object__open(path);
	if (!object || bpf_object__load(object))
		assume_die(path, __LINE__);
}

void assume_begin(const char *program, bool bpf)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	const char *slash = strrchr(program, '/');

	program_name = slash ? slash + 1 : program;
	if (geteuid()) {
		assume_skip("all", "needs root");
		exit(0);
	}
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	libbpf_set_print(print_warnings);
	must(unshare(CLONE_NEWNET));
	assume_run("ip link set lo up");
	if (bpf)
		object_load(program);
}
