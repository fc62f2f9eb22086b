// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The whole program on real maps without programs, in a network namespace: commands and their exit
 * status, privileges, SIGHUP, SIGKILL and a start again.
 */
/* link: selftests/lib/portarp_maps.c maps/pin.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../maps/pin.h"
#include "lib/portarp_maps.h"

#define SET "--offset 6 --length 8 --psid 52"
#define MAC "02:00:00:00:00:34"

static char instance[24], folder[64], program[512];
static pid_t agent;
static int owners;

static int command(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Exit status of the program with these words; its output is in folder/out. */
static int command(const char *format, ...)
{
	char words[512], line[1400];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	snprintf(line, sizeof(line), "%s %s --control %s/sock >%s/out 2>&1", program, words, folder,
		 folder);
	status = system(line);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool said(const char *text)
{
	char path[96], all[16384] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/out", folder);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(all, 1, sizeof(all) - 1, file) < sizeof(all) - 1);
	fclose(file);
	return strstr(all, text);
}

static void write_file(const char *name, const char *text)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void start_agent(void)
{
	char config[96];
	int tries = 200;

	snprintf(config, sizeof(config), "%s/conf", folder);
	agent = fork();
	assert_true(agent >= 0);
	if (!agent) {
		execl(program, program, "run", "--config", config, "--instance", instance, NULL);
		_exit(99);
	}
	while (command("status") && --tries)
		usleep(50000);
	assert_true(tries);
}

static int open_all(void **state)
{
	struct portarp_conf conf = { .role = PORTARP_GATEWAY, .links = 2 };
	const char *build = getenv("B");
	char text[512];

	(void)state;
	snprintf(program, sizeof(program), "%s/isthmus-portarp", build ? build : "build");
	snprintf(instance, sizeof(instance), "run-%d", getpid());
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(system("ip link add lan type veth peer name lan2 && ip link set lan up &&"
				" ip link set lan2 up && ip link add up type veth peer name up2"),
			 0);
	conf.link[0] = (struct portarp_link){ .ifindex = if_nametoindex("lan"),
					      .mtu = 1500,
					      .side = PORTARP_LAN };
	conf.link[1] = (struct portarp_link){ .ifindex = if_nametoindex("up"),
					      .mtu = 1500,
					      .side = PORTARP_UPLINK };
	portarp_maps_pin(instance, &conf);
	owners = pin_open_map(instance, "portarp", "portarp_owner", 4, 8);
	assert_true(owners >= 0);
	assert_int_equal(mkdtemp(strcpy(folder, "/tmp/isthmus-portarp-XXXXXX")) == NULL, 0);
	assert_int_equal(chmod(folder, 0777), 0);
	write_file("commands", "# none yet\n");
	snprintf(text, sizeof(text),
		 "[portarp]\nuser = nobody\nlog-level = error\ncontrol = %s/sock\n"
		 "state = %s/db\nassignments = %s/log\ncommands = %s/commands\n",
		 folder, folder, folder, folder);
	write_file("conf", text);
	start_agent();
	return 0;
}

static int close_all(void **state)
{
	char line[128];

	(void)state;
	if (agent > 0)
		kill(agent, SIGTERM);
	waitpid(agent, NULL, 0);
	close(owners);
	portarp_maps_unpin(instance);
	snprintf(line, sizeof(line), "rm -rf %s", folder);
	return system(line);
}

static uint64_t owner_word(uint32_t index)
{
	uint64_t word = 0;

	assert_int_equal(bpf_map_lookup_elem(owners, &index, &word), 0);
	return word;
}

static uint64_t known(uint8_t last)
{
	struct portarp_owner owner = { { 2, 0, 0, 0, 0, last }, PORTARP_OWNER_KNOWN };
	uint64_t word;

	memcpy(&word, &owner, sizeof(word));
	return word;
}

static void commands(void **state)
{
	(void)state;
	assert_int_equal(command("lease 192.0.2.1 " SET " --mac " MAC), 1);
	assert_true(said("not a shared address"));
	assert_int_equal(command("address-add 192.0.2.1 --offset 6 --length 8"), 0);
	assert_int_equal(system("ip neigh show dev lan | grep -q '192.0.2.1 lladdr .* PERMANENT'"),
			 0);
	assert_int_equal(system("ip route get 192.0.2.1 | grep -q 'dev lan'"), 0);
	assert_int_equal(command("lease 192.0.2.1 " SET " --mac " MAC " --seconds 999"), 0);
	assert_int_equal(owner_word(52), known(0x34));
	assert_int_equal(command("usage 192.0.2.1 --json"), 0);
	assert_true(said("\"psid\": 52") && said("\"ports\": 252") && said(MAC));
	assert_int_equal(command("use 192.0.2.1 " SET), 1);
	assert_true(said("not for this role"));
	assert_int_equal(command("lease 192.0.2.1 --offset"), 2);
	assert_int_equal(command("lease 192.0.2.1 --ports 9-8 --mac " MAC), 2);
	assert_int_equal(command("frobnicate"), 2);
	assert_int_equal(command("status --json"), 0);
	assert_true(said("\"role\": \"gateway\"") && said("\"given\": 1"));
}

static bool conf_follows(uint16_t mtu, const uint8_t mac[6])
{
	int confs =
		pin_open_map(instance, "portarp", "portarp_conf", 4, sizeof(struct portarp_conf));
	int addrs =
		pin_open_map(instance, "portarp", "portarp_addr", 4, sizeof(struct portarp_addr));
	uint32_t zero = 0, addr = inet_addr("192.0.2.1");
	struct portarp_addr record;
	struct portarp_conf conf;

	assert_int_equal(bpf_map_lookup_elem(confs, &zero, &conf), 0);
	assert_int_equal(bpf_map_lookup_elem(addrs, &addr, &record), 0);
	close(confs);
	close(addrs);
	return conf.link[0].mtu == mtu && record.mtu == mtu && !memcmp(conf.link[0].mac, mac, 6) &&
	       !memcmp(record.src_mac, mac, 6);
}

/* Another MAC and MTU; down and up again, which loses routes and neighbour entries. */
static void a_device_that_changes(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 0x77 };
	int tries = 200;

	(void)state;
	assert_int_equal(system("ip link set lan mtu 1400 && ip link set lan down &&"
				" ip link set lan address 02:00:00:00:00:77 && ip link set lan up"),
			 0);
	while (!conf_follows(1400, mac) && --tries)
		usleep(20000);
	assert_true(tries);
	while (system("ip neigh show dev lan | grep -q '192.0.2.1 lladdr .* PERMANENT' &&"
		      " ip route get 192.0.2.1 | grep -q 'dev lan'") &&
	       --tries)
		usleep(20000);
	assert_true(tries);
}

/* As nobody, with three capabilities, and nothing more in reach. */
static void privileges(void **state)
{
	uint64_t effective = 0, bounding = 1;
	unsigned int uid = 0;
	char path[64], line[256];
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "/proc/%d/status", agent);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		sscanf(line, "Uid: %u", &uid);
		sscanf(line, "CapEff: %lx", &effective);
		sscanf(line, "CapBnd: %lx", &bounding);
	}
	fclose(file);
	assert_int_not_equal(uid, 0);
	assert_int_equal(effective, 1ULL << CAP_NET_ADMIN | 1ULL << CAP_NET_RAW | 1ULL << CAP_BPF);
}

static void killed_and_started_again(void **state)
{
	(void)state;
	kill(agent, SIGKILL);
	waitpid(agent, NULL, 0);
	assert_int_equal(command("status"), 3);
	assert_int_equal(owner_word(52), known(0x34));
	start_agent();
	assert_int_equal(owner_word(52), known(0x34));
	assert_int_equal(command("usage --json"), 0);
	assert_true(said("\"leased\": true") && said("\"seconds\": 9"));
}

static void commands_of_a_file(void **state)
{
	int tries = 100;

	(void)state;
	write_file("commands", "address-add 192.0.2.1 --offset 6 --length 8\n"
			       "lease 192.0.2.1 --offset 6 --length 8 --psid 53 --mac "
			       "02:00:00:00:00:35 # the other\n"
			       "nonsense\n");
	kill(agent, SIGHUP);
	while (owner_word(53) != known(0x35) && --tries)
		usleep(50000);
	assert_true(tries);
	assert_int_equal(owner_word(52), known(0x34));
	assert_int_equal(command("release 192.0.2.1 " SET " --mac 02:00:00:00:00:35"), 1);
	assert_int_equal(command("release 192.0.2.1 " SET " --mac " MAC), 0);
	assert_int_equal(owner_word(52) >> 48, PORTARP_OWNER_NONE);
	assert_int_equal(command("address-del 192.0.2.1"), 0);
	assert_int_equal(system("ip neigh show dev lan | grep -q 192.0.2.1"), 256);
	assert_int_equal(system("ip route show 192.0.2.1 | grep -q ."), 256);
}

static void assignments_are_written(void **state)
{
	char line[256];

	(void)state;
	snprintf(line, sizeof(line),
		 "[ \"$(cut -d' ' -f2,3 %s/log | paste -sd,)\" = 'given 192.0.2.1,given "
		 "192.0.2.1,released 192.0.2.1,released 192.0.2.1' ]",
		 folder);
	assert_int_equal(system(line), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands),	      cmocka_unit_test(a_device_that_changes),
		cmocka_unit_test(privileges),	      cmocka_unit_test(killed_and_started_again),
		cmocka_unit_test(commands_of_a_file), cmocka_unit_test(assignments_are_written),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
