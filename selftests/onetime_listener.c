// SPDX-License-Identifier: GPL-3.0-or-later
/* link: agents/onetime/process.c agents/lib/address.c selftests/lib/onetime_servers.c */
/* Which of a running server's sockets is taken: of children that this test makes, each a server. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "agents/lib/address.h"
#include "agents/onetime/process.h"
#include "selftests/lib/onetime_servers.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define NOBODY 65534

/* ---- one listener */

static void one(void)
{
	servers_tcp(AF_INET6, true, 7001);
}

static void found_whole(void **state)
{
	struct server server = servers_start(one);
	struct process_socket found;
	struct process process;
	char path[64], link[64], text[64];
	ssize_t len;

	(void)state;
	assert_int_equal(servers_ask(server.pid, WANT(), &found), 0);
	assert_int_equal(found.number, 3);
	assert_int_equal(found.family, AF_INET6);
	assert_int_equal(found.proto, IPPROTO_TCP);
	assert_int_equal(ntohs(found.port), 7001);
	assert_true(found.only6);
	assert_true(found.cookie != 0);
	assert_true(found.netns_cookie == process_netns_cookie(-1));
	snprintf(path, sizeof(path), "/proc/%d/fd/3", server.pid);
	len = readlink(path, link, sizeof(link) - 1);
	assert_true(len > 0);
	link[len] = 0;
	snprintf(text, sizeof(text), "socket:[%llu]", (unsigned long long)found.inode);
	assert_string_equal(link, text);
	assert_int_equal(process_open((uint32_t)server.pid, &process), 0);
	assert_string_equal(process.command, "onetime_listene"); /* the kernel's 15 letters */
	assert_true(process.started > 0);
	assert_false(process_has_ended(&process));
	servers_finish(&server);
	assert_true(process_has_ended(&process));
	process_close(&process);
}

static void by_port_and_number(void **state)
{
	struct server server = servers_start(one);

	(void)state;
	servers_finds(server.pid, WANT(.port = 7001), 3);
	servers_finds(server.pid, NUMBERED(3), 3);
	servers_refuses(server.pid, WANT(.v4 = true), -EAFNOSUPPORT, "fd 3 tcp [::]:7001");
	servers_refuses(server.pid, WANT(.port = 7002), -ENOENT, "fd 3 tcp [::]:7001");
	servers_refuses(server.pid, NUMBERED(4), -ENOENT, "fd 3 tcp [::]:7001");
	servers_refuses(server.pid, NUMBERED(3, .port = 7002), -ENOENT, "fd 3 tcp [::]:7001");
	servers_refuses(server.pid, NUMBERED(500), -ENOENT, "fd 3 tcp [::]:7001"); /* a pipe */
	servers_finish(&server);
}

/* ---- forks */

static pid_t *worker_pid; /* shared memory */

static void with_worker(void)
{
	pid_t pid;

	servers_tcp(AF_INET6, true, 7003);
	pid = fork();
	servers_need(pid);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	*worker_pid = pid;
}

/* A worker has its master's socket: the same one, whichever is asked. */
static void forked(void **state)
{
	struct process_socket master, worker;
	struct server server;

	(void)state;
	worker_pid = mmap(NULL, sizeof(*worker_pid), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(worker_pid != MAP_FAILED);
	server = servers_start(with_worker);
	assert_int_equal(servers_ask(server.pid, WANT(), &master), 0);
	assert_int_equal(servers_ask(*worker_pid, WANT(), &worker), 0);
	assert_true(master.cookie == worker.cookie);
	assert_true(master.inode == worker.inode);
	servers_finish(&server);
	munmap(worker_pid, sizeof(*worker_pid));
}

/* ---- several */

static void three(void)
{
	servers_tcp(AF_INET6, true, 7010);
	servers_tcp(AF_INET6, true, 7011);
	servers_bind(servers_socket(AF_INET6, SOCK_DGRAM, 0), AF_INET6, 7010);
}

static void several(void **state)
{
	struct server server = servers_start(three);

	(void)state;
	servers_refuses(server.pid, WANT(), -ENOTUNIQ,
			"fd 3 tcp [::]:7010, fd 4 tcp [::]:7011, fd 5 udp [::]:7010");
	servers_refuses(server.pid, WANT(.port = 7010), -ENOTUNIQ,
			"fd 3 tcp [::]:7010, fd 5 udp [::]:7010");
	servers_finds(server.pid, WANT(.port = 7011), 4);
	servers_finds(server.pid, NUMBERED(5), 5);
	servers_finish(&server);
}

static void group(void)
{
	for (int i = 0; i < 4; i++) {
		int fd = servers_socket(AF_INET6, SOCK_STREAM, 0);

		servers_set(fd, SOL_SOCKET, SO_REUSEPORT);
		servers_bind(fd, AF_INET6, 7020);
		servers_need(listen(fd, 8));
	}
}

static void reuse_port(void **state)
{
	struct server server = servers_start(group);

	(void)state;
	servers_finds(server.pid, WANT(), 3);
	servers_finds(server.pid, NUMBERED(5), 5);
	servers_finish(&server);
}

static void twice(void)
{
	servers_need(dup2(servers_tcp(AF_INET6, true, 7021), 9));
}

static void by_two_descriptors(void **state)
{
	struct server server = servers_start(twice);

	(void)state;
	servers_finds(server.pid, WANT(), 3);
	servers_finds(server.pid, NUMBERED(9), 9);
	servers_finish(&server);
}

/* Behind more closed descriptors than anyone would try one by one. */
static uint32_t far_number(void)
{
	struct rlimit limit;

	servers_need(getrlimit(RLIMIT_NOFILE, &limit));
	return limit.rlim_max > 190001 ? 190001 : (uint32_t)limit.rlim_max - 1;
}

static void raise_limit(void)
{
	struct rlimit limit;

	servers_need(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = limit.rlim_max;
	servers_need(setrlimit(RLIMIT_NOFILE, &limit));
}

static void far(void)
{
	int fd = servers_tcp(AF_INET6, true, 7022);

	raise_limit();
	servers_need(dup2(fd, (int)far_number()));
	close(fd);
}

static void behind_gaps(void **state)
{
	struct server server = servers_start(far);

	(void)state;
	assert_true(far_number() > 1000);
	servers_finds(server.pid, WANT(), far_number());
	servers_finds(server.pid, NUMBERED(far_number()), far_number());
	servers_finish(&server);
}

static void crowd(void)
{
	int pair[2];

	raise_limit();
	for (int i = 0; i < 900; i++)
		servers_need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	servers_tcp(AF_INET6, true, 7023);
	for (int i = 0; i < 900; i++)
		servers_need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

static void among_3600_sockets(void **state)
{
	struct server server = servers_start(crowd);
	struct process_socket found;

	(void)state;
	assert_int_equal(servers_ask(server.pid, WANT(), &found), 0);
	assert_int_equal(ntohs(found.port), 7023);
	servers_finish(&server);
}

/* ---- families */

static void dual(void)
{
	servers_tcp(AF_INET6, false, 7030);
}

static void dual_stack(void **state)
{
	struct server server = servers_start(dual);

	(void)state;
	servers_finds(server.pid, WANT(), 3);
	servers_finds(server.pid, WANT(.v4 = true), 3);
	servers_finish(&server);
}

static void old(void)
{
	servers_tcp(AF_INET, false, 7031);
}

static void v4_alone(void **state)
{
	struct server server = servers_start(old);

	(void)state;
	servers_finds(server.pid, WANT(.v4 = true), 3);
	servers_refuses(server.pid, WANT(), -EAFNOSUPPORT, "fd 3 tcp 0.0.0.0:7031");
	servers_finish(&server);
}

static void both(void)
{
	servers_tcp(AF_INET, false, 7032);
	servers_tcp(AF_INET6, true, 7032);
}

/* As web servers do: the pool's family says which. */
static void one_of_each_family(void **state)
{
	struct server server = servers_start(both);

	(void)state;
	servers_finds(server.pid, WANT(.v4 = true), 3);
	servers_finds(server.pid, WANT(), 4);
	servers_finish(&server);
}

/* ---- what takes no sessions */

static void useless(void)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(7041) };
	int fd = servers_tcp(AF_INET6, true, 7041), other;

	other = servers_socket(AF_INET6, SOCK_STREAM, 0); /* established */
	to.sin6_addr = in6addr_loopback;
	servers_need(connect(other, (struct sockaddr *)&to, sizeof(to)));
	close(fd);
	servers_bind(servers_socket(AF_INET6, SOCK_STREAM, 0), AF_INET6, 7042); /* bound alone */
	servers_socket(AF_INET6, SOCK_DGRAM, 0);				/* not even that */
	fd = servers_socket(AF_INET6, SOCK_DGRAM, 0);				/* connected */
	servers_bind(fd, AF_INET6, 7043);
	servers_need(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	servers_socket(AF_UNIX, SOCK_STREAM, 0);
	servers_socket(AF_NETLINK, SOCK_RAW, 0);
	servers_socket(AF_INET6, SOCK_RAW, 99);
}

static void no_listener(void **state)
{
	struct server server = servers_start(useless);

	(void)state;
	servers_refuses(server.pid, WANT(), -ENOENT,
			"no listening TCP socket and no bound UDP socket");
	servers_finish(&server);
}

static void datagrams(void)
{
	servers_bind(servers_socket(AF_INET6, SOCK_DGRAM, 0), AF_INET6, 7044);
}

static void udp(void **state)
{
	struct server server = servers_start(datagrams);
	struct process_socket found;

	(void)state;
	assert_int_equal(servers_ask(server.pid, WANT(), &found), 0);
	assert_int_equal(found.proto, IPPROTO_UDP);
	assert_int_equal(ntohs(found.port), 7044);
	servers_finish(&server);
}

static void multipath(void)
{
	int fd = servers_socket(AF_INET6, SOCK_STREAM, IPPROTO_MPTCP);

	servers_bind(fd, AF_INET6, 7045);
	servers_need(listen(fd, 8));
}

/* Found and named, so that the sockmap's refusal can be explained. */
static void mptcp(void **state)
{
	int fd = socket(AF_INET6, SOCK_STREAM, IPPROTO_MPTCP);
	struct process_socket found;
	struct server server;

	(void)state;
	if (fd < 0) {
		printf("the kernel has no MPTCP\n");
		skip();
	}
	close(fd);
	server = servers_start(multipath);
	assert_int_equal(servers_ask(server.pid, WANT(), &found), 0);
	assert_int_equal(found.proto, IPPROTO_MPTCP);
	servers_finish(&server);
}

/* ---- network namespaces */

static void elsewhere(void)
{
	servers_need(unshare(CLONE_NEWNET));
	servers_tcp(AF_INET6, true, 7050);
}

static void other_namespace(void **state)
{
	struct server server = servers_start(elsewhere);

	(void)state;
	servers_refuses(server.pid, WANT(), -EXDEV, "fd 3 tcp [::]:7050");
	servers_finish(&server);
}

static void moved_away(void)
{
	servers_tcp(AF_INET6, true, 7051);
	servers_need(unshare(CLONE_NEWNET));
	servers_tcp(AF_INET6, true, 7052);
}

/* A socket stays where it was made: what counts is the socket's, not the process'. */
static void socket_of_before(void **state)
{
	struct server server = servers_start(moved_away);

	(void)state;
	servers_finds(server.pid, WANT(), 3);
	servers_refuses(server.pid, NUMBERED(4), -EXDEV, "fd 4 tcp [::]:7052");
	servers_finish(&server);
}

/* ---- processes */

static void no_process(void **state)
{
	struct process process = { .pid = 4711 };
	pid_t pid = fork();
	siginfo_t info;

	(void)state;
	if (!pid)
		_exit(0);
	assert_true(pid > 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(process_open((uint32_t)pid, &process), -ESRCH); /* a zombie */
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(process_open((uint32_t)pid, &process), -ESRCH);
	assert_int_equal(process.pid, 4711);
}

static pthread_barrier_t barrier;
static pid_t thread_id;

static void *thread(void *arg)
{
	(void)arg;
	thread_id = (pid_t)syscall(SYS_gettid);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void a_thread(void **state)
{
	struct process process;
	pthread_t id;

	(void)state;
	pthread_barrier_init(&barrier, NULL, 2);
	assert_int_equal(pthread_create(&id, NULL, thread, NULL), 0);
	pthread_barrier_wait(&barrier);
	assert_int_equal(process_open((uint32_t)thread_id, &process), -EINVAL);
	pthread_barrier_wait(&barrier);
	pthread_join(id, NULL);
}

static void ended_meanwhile(void **state)
{
	struct server server = servers_start(one);
	struct process_want want = WANT();
	struct process_socket found;
	struct process process;

	(void)state;
	want.netns_cookie = process_netns_cookie(-1);
	assert_int_equal(process_open((uint32_t)server.pid, &process), 0);
	servers_finish(&server);
	assert_int_equal(process_socket(&process, &want, &found, servers_why), -ESRCH);
	process_close(&process);
}

/* A command with what /proc/PID/stat separates its fields by, and what a terminal obeys. */
static void renamed(void)
{
	prctl(PR_SET_NAME, "a) S 1 (b c\n\xff\x1b");
	servers_tcp(AF_INET6, true, 7060);
}

static uint64_t now_ticks(void)
{
	struct timespec time;

	assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &time), 0);
	return (uint64_t)(time.tv_sec + 1) * (uint64_t)sysconf(_SC_CLK_TCK);
}

static void odd_command(void **state)
{
	struct server server = servers_start(renamed), plain;
	struct process odd, usual;

	(void)state;
	plain = servers_start(one);
	assert_int_equal(process_open((uint32_t)server.pid, &odd), 0);
	assert_int_equal(process_open((uint32_t)plain.pid, &usual), 0);
	assert_string_equal(odd.command, "a) S 1 (b c???");
	assert_in_range(odd.started, now_ticks() - 60 * sysconf(_SC_CLK_TCK), now_ticks());
	assert_in_range(usual.started, odd.started, now_ticks());
	process_close(&odd);
	process_close(&usual);
	servers_finish(&server);
	servers_finish(&plain);
}

/* ---- permission */

static void seccomp_no_getfd(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_getfd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	servers_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	servers_need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void other_user(void)
{
	servers_need(setgid(NOBODY));
	servers_need(setuid(NOBODY));
}

/* Asks in a child that has less than we do; it exits with 0 if that is refused well. */
static void asks_without(void (*lose)(void), pid_t pid)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		struct process_want want = WANT(.netns_cookie = process_netns_cookie(-1));
		struct process_socket found;
		struct process process;

		lose();
		if (process_open((uint32_t)pid, &process))
			_exit(1);
		if (process_socket(&process, &want, &found, servers_why) != -EPERM)
			_exit(2);
		want.number = 3;
		if (process_socket(&process, &want, &found, servers_why) != -EPERM)
			_exit(3);
		_exit(strstr(servers_why, "CAP_SYS_PTRACE") && strstr(servers_why, "seccomp") ? 0
											      : 4);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void not_permitted(void **state)
{
	struct server server = servers_start(one);

	(void)state;
	asks_without(seccomp_no_getfd, server.pid);
	asks_without(other_user, server.pid);
	servers_finds(server.pid, WANT(), 3); /* control */
	servers_finish(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_whole),
		cmocka_unit_test(by_port_and_number),
		cmocka_unit_test(forked),
		cmocka_unit_test(several),
		cmocka_unit_test(reuse_port),
		cmocka_unit_test(by_two_descriptors),
		cmocka_unit_test(behind_gaps),
		cmocka_unit_test(among_3600_sockets),
		cmocka_unit_test(dual_stack),
		cmocka_unit_test(v4_alone),
		cmocka_unit_test(one_of_each_family),
		cmocka_unit_test(no_listener),
		cmocka_unit_test(udp),
		cmocka_unit_test(mptcp),
		cmocka_unit_test(other_namespace),
		cmocka_unit_test(socket_of_before),
		cmocka_unit_test(no_process),
		cmocka_unit_test(a_thread),
		cmocka_unit_test(ended_meanwhile),
		cmocka_unit_test(odd_command),
		cmocka_unit_test(not_permitted),
	};

	/* Ports of the test's own; loopback for the connection that it makes. */
	if (unshare(CLONE_NEWNET) || system("ip link set lo up")) {
		printf("a network namespace needs root\n");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
